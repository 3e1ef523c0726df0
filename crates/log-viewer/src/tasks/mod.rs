//! Background work: finding containers, following their files, storing what they hold.

pub mod discover;
mod file;
mod follow;
mod gzip;
pub mod ingest;
mod keeping;
mod listing;
mod meters;
mod taken_over;
mod watch;

use std::time::Duration;

use monlight_shared::lifecycle::Stop;
use monlight_shared::service::Context;

use ingest::{Ingest, Parts, Wake};
use watch::Watcher;

/// Changes within this time are taken together: a busy writer must not cost a commit per line.
const GATHER: Duration = Duration::from_millis(15);
/// How long to wait after a failed commit.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the ingest thread and the one that listens for changes of files.
pub fn start(ctx: &Context, parts: Parts) -> anyhow::Result<()> {
    let watcher = Watcher::start(&ctx.lifecycle)?;
    let (ctx_inside, watcher_inside) = (ctx.clone(), watcher.clone());
    let stop = ctx.lifecycle.thread("log-ingest", move |stop| {
        let ingest = Ingest::new(&ctx_inside, parts.clone(), watcher_inside.clone())?;
        run(ingest, &watcher_inside, &ctx_inside, stop)
    })?;
    watcher.notifies(stop);
    Ok(())
}

fn run(mut ingest: Ingest, watcher: &Watcher, ctx: &Context, stop: &Stop) -> anyhow::Result<()> {
    let poll_interval = ingest.poll_interval();
    let mut next_poll = ctx.clock.monotonic() + poll_interval;
    let mut wake = Wake::All;
    let mut is_failing = false;
    while !stop.is_stopped() {
        let due = match ingest.step(&wake, &|| stop.is_stopped()) {
            Ok(due) => {
                is_failing = false;
                due
            }
            Err(fault) => {
                // Nothing is lost: the batch is kept and tried again. The writer reports the cause to /health.
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%fault, "cannot store log entries, trying again every second");
                }
                Some(ctx.clock.monotonic() + RETRY)
            }
        };
        let stepped = ctx.clock.monotonic();
        let until = due.map_or(next_poll, |due| due.min(next_poll));
        // With more to read there is nothing to wait for.
        if until > stepped {
            stop.wait(until.saturating_sub(stepped));
            let gathered = stepped + GATHER;
            while let Some(left) = gathered.checked_sub(ctx.clock.monotonic()) {
                if stop.wait(left) {
                    break;
                }
            }
        }
        let now = ctx.clock.monotonic();
        wake = watcher.take();
        if now >= next_poll {
            wake = Wake::All;
            next_poll = now + poll_interval;
        }
    }
    ingest.finish()?;
    Ok(())
}
