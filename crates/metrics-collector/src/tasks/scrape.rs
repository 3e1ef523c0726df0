//! Scrapes each target at its own times, which are spread over the interval.

use std::time::Duration;

use crate::config::Target;
use crate::domain::change::JUST_BEGUN_MS;
use crate::domain::exposition::Form;
use crate::domain::rhythm::Rhythm;
use crate::import::{self, Exposition, Outcome};
use crate::state::AppState;

/// Starts a task for each target.
pub(crate) fn start(state: &AppState) {
    for place in 0..state.config.scraping.targets.len() {
        let state = state.clone();
        state
            .lifecycle
            .clone()
            .spawn("scrape", move || run(state.clone(), place));
    }
}

/// Scrapes a target in the rhythm of the interval. What is missed is left out.
async fn run(state: AppState, place: usize) -> anyhow::Result<()> {
    let first = state.clock.monotonic() + offset(&state, place);
    let mut rhythm = Rhythm::new(first, state.config.scraping.interval);
    loop {
        let pause = rhythm.pause(state.clock.monotonic());
        if state.lifecycle.sleep(pause).await {
            return Ok(());
        }
        let soft = state.lifecycle.soft();
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            result = scrape(&state, place, Some(rhythm)) => result?,
        }
        rhythm.go_on(state.clock.monotonic());
    }
}

/// Where in the interval a target is scraped: targets follow each other evenly, and collectors that start together do not
/// ask them together.
fn offset(state: &AppState, place: usize) -> Duration {
    let scraping = &state.config.scraping;
    let mixed = (state.started_ms.cast_unsigned() ^ u64::from(std::process::id()))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let start = (mixed >> 32) as f64 / f64::from(u32::MAX);
    let part = place as f64 / scraping.targets.len().max(1) as f64;
    scraping.interval.mul_f64((start + part).fract())
}

/// Scrapes a target once, at a time of a rhythm if there is one.
pub(crate) async fn scrape(
    state: &AppState,
    place: usize,
    rhythm: Option<Rhythm>,
) -> anyhow::Result<()> {
    let scraping = &state.config.scraping;
    let Some(target) = scraping.targets.get(place) else {
        return Ok(());
    };
    let in_turn = async {
        let (now, most) = (state.clock.monotonic(), scraping.timeout);
        let timeout = rhythm.map_or(most, |rhythm| rhythm.time_left(now, most));
        scrape_target(state, place, target, timeout).await
    };
    state.scraper.in_turn(in_turn).await
}

async fn scrape_target(
    state: &AppState,
    place: usize,
    target: &Target,
    timeout: Duration,
) -> anyhow::Result<()> {
    let scraping = &state.config.scraping;
    let (at_ms, began) = (state.clock.now_ms(), state.clock.monotonic());
    let answer = state.scraper.ask(target, scraping, timeout).await;
    let took = state.clock.monotonic().saturating_sub(began);
    let extra = [
        ("instance".to_owned(), target.instance.clone()),
        ("job".to_owned(), target.job.clone()),
    ];
    let nothing = Exposition {
        body: b"",
        form: Form::Text,
        project: &scraping.project,
        extra: &extra,
        partial: false,
        key: None,
        // What began since the scrape before.
        new_ms: JUST_BEGUN_MS.max(scraping.interval.as_millis() as i64 * 2),
    };
    let levels = |up| [("up", up), ("scrape_duration_seconds", took.as_secs_f64())];
    let result = match answer {
        Err(fault) => Err(fault),
        Ok(answer) => {
            let form = Form::of(answer.content_type.as_deref(), &answer.body);
            let exposition = Exposition {
                body: &answer.body,
                form,
                ..nothing
            };
            match import::take(state, exposition, &levels(1.0)).await {
                Ok(Outcome::Stored(report)) => Ok(report.samples),
                Ok(Outcome::Refused(faults)) => Err(faults.first.first().map_or_else(
                    || "its answer cannot be read".to_owned(),
                    ToString::to_string,
                )),
                // It has no key.
                Ok(Outcome::Before) => Ok(0),
                // Not the target's fault, so it is neither up nor down.
                Err(fault) => {
                    let fault = format!("what it exposes cannot be stored: {fault}");
                    note(state, place, at_ms, took, Err(fault));
                    return Ok(());
                }
            }
        }
    };
    if result.is_err()
        && let Err(fault) = import::take(state, nothing, &levels(0.0)).await
    {
        tracing::debug!(job = target.job, %fault, "that a target is down cannot be stored");
    }
    note(state, place, at_ms, took, result);
    Ok(())
}

/// Notes how a scrape went; what has changed is logged, once.
fn note(state: &AppState, place: usize, at_ms: i64, took: Duration, result: Result<u64, String>) {
    let fault = result.as_ref().err().cloned();
    let before = state.scraper.note(place, at_ms, took, result);
    let Some(target) = state.config.scraping.targets.get(place) else {
        return;
    };
    let (job, instance) = (&target.job, &target.instance);
    match (before, fault) {
        (None, Some(fault)) => tracing::warn!(job, instance, fault, "a target cannot be scraped"),
        (Some(_), None) => tracing::info!(job, instance, "a target is scraped again"),
        _ => {}
    }
}
