//! What the writer says about itself in `/metrics`.

use std::sync::Arc;

use super::{Queue, Shared};
use crate::metrics::{Counter, Registry};

pub(super) fn register_queue(shared: &Arc<Shared>, metrics: &Registry) {
    let watch = |read: fn(&Queue) -> usize| {
        let shared = Arc::clone(shared);
        move || read(&shared.queue()) as f64
    };
    let depth = "monlight_store_queue_jobs";
    let help = "Jobs waiting for the writer.";
    metrics.gauge_fn(
        depth,
        help,
        &[("lane", "ingest")],
        watch(|queue| queue.ingest.len()),
    );
    metrics.gauge_fn(
        depth,
        help,
        &[("lane", "upkeep")],
        watch(|queue| queue.upkeep.len()),
    );
    metrics.gauge_fn(
        "monlight_store_queue_bytes",
        "Payload waiting for the writer.",
        &[],
        watch(|queue| queue.bytes),
    );
    let limits = shared.limits;
    let most = "monlight_store_queue_limit_jobs";
    let help = "The most jobs that may wait.";
    metrics.gauge_fn(most, help, &[("lane", "ingest")], move || {
        limits.ingest_jobs as f64
    });
    metrics.gauge_fn(most, help, &[("lane", "upkeep")], move || {
        limits.upkeep_jobs as f64
    });
    metrics.gauge_fn(
        "monlight_store_queue_limit_bytes",
        "The most payload that may wait.",
        &[],
        move || limits.bytes as f64,
    );
}

/// Counters that only the thread feeds.
pub(super) struct Tell {
    pub(super) commits: Counter,
    pub(super) jobs: Counter,
    pub(super) failed: Counter,
    pub(super) commit_seconds: Counter,
    pub(super) group_seconds: Counter,
}

impl Tell {
    pub(super) fn new(metrics: &Registry) -> Self {
        Self {
            commits: metrics.counter(
                "monlight_store_commits_total",
                "Commits that reached the disk.",
                &[],
            ),
            jobs: metrics.counter("monlight_store_jobs_total", "Jobs in those commits.", &[]),
            failed: metrics.counter(
                "monlight_store_failed_jobs_total",
                "Jobs that failed and were undone.",
                &[],
            ),
            commit_seconds: metrics.seconds(
                "monlight_store_commit_seconds_total",
                "Time spent in COMMIT, mostly waiting for the disk.",
                &[],
            ),
            group_seconds: metrics.seconds(
                "monlight_store_group_seconds_total",
                "Time spent running jobs, commits included.",
                &[],
            ),
        }
    }
}
