//! Counters of the ingestion.

use monlight_shared::metrics::{Counter, Gauge, Registry};

use crate::state::Sources;

/// What is counted while files are read.
pub(super) struct Meters {
    pub(super) bytes_read: Counter,
    pub(super) lines: Counter,
    pub(super) not_json: Counter,
    pub(super) no_text: Counter,
    pub(super) blank: Counter,
    pub(super) cut: Counter,
    pub(super) stored: Counter,
    pub(super) containers: Gauge,
    pub(super) unready: Gauge,
    pub(super) lag: Gauge,
    pub(super) held: Gauge,
    pub(super) read_errors: Counter,
}

impl Meters {
    pub(super) fn new(registry: &Registry, sources: &Sources) -> Self {
        let skipped = |reason: &str| {
            registry.counter(
                "monlight_log_lines_skipped_total",
                "Lines of log files that became no entry.",
                &[("reason", reason)],
            )
        };
        let counter = |name, help| registry.counter(name, help, &[]);
        let gauge = |name, help| registry.gauge(name, help, &[]);
        let sources = sources.clone();
        registry.gauges_fn(
            "monlight_log_container_lag_bytes",
            "Bytes known of and not read, of the containers that are behind most.",
            "container",
            move || {
                let lag = sources.lag().into_iter();
                lag.map(|(name, bytes)| (name, bytes as f64)).collect()
            },
        );
        Self {
            bytes_read: counter(
                "monlight_log_read_bytes_total",
                "Bytes read from log files.",
            ),
            lines: counter(
                "monlight_log_lines_read_total",
                "Lines read from log files.",
            ),
            not_json: skipped("no_json"),
            no_text: skipped("no_text"),
            blank: skipped("blank"),
            cut: counter(
                "monlight_log_lines_cut_total",
                "Lines that were too long to be kept whole.",
            ),
            stored: counter("monlight_log_entries_stored_total", "Entries stored."),
            containers: gauge("monlight_log_containers", "Containers that are followed."),
            unready: gauge(
                "monlight_log_containers_unready",
                "Directories without a config.v2.json that can be read and has a name.",
            ),
            lag: gauge(
                "monlight_log_lag_bytes",
                "Bytes in log files that are known of and not read.",
            ),
            held: gauge(
                "monlight_log_held_bytes",
                "Bytes of unfinished lines and open entries that are held in memory.",
            ),
            read_errors: counter(
                "monlight_log_read_errors_total",
                "Log files that could not be read.",
            ),
        }
    }
}
