//! What the relay counts about itself.

use monlight_shared::metrics::{Counter, Registry};

use crate::domain::deobfuscate::{Outcome, Unmapped};

/// What a browser sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EventKind {
    Error,
    Metrics,
}

impl EventKind {
    pub(crate) const ALL: [Self; 2] = [Self::Error, Self::Metrics];

    /// The service that such events are for.
    pub(crate) fn upstream(self) -> &'static str {
        match self {
            Self::Error => "error-tracker",
            Self::Metrics => "metrics-collector",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventResult {
    /// The other service has it.
    Forwarded,
    /// The other service did not take it now; it is kept.
    Queued,
    /// It is wrong; the page was told how.
    Invalid,
    /// The other service did not take it, and it could not be kept.
    Failed,
}

/// The counters.
pub(crate) struct Telemetry {
    events: Vec<((EventKind, EventResult), Counter)>,
    metrics_forwarded: Counter,
    repeated: Counter,
    frames_mapped: Counter,
    frames_unmapped: Vec<(Unmapped, Counter)>,
    uploads: Counter,
    upload_seconds: Counter,
    refused: Vec<(Refused, Counter)>,
}

/// Why a browser was turned away before its event was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    RateLimit,
    TooLarge,
    Key,
    Origin,
    Busy,
}

impl Telemetry {
    pub(crate) fn new(registry: &Registry) -> Self {
        let kinds = [(EventKind::Error, "error"), (EventKind::Metrics, "metrics")];
        let results = [
            (EventResult::Forwarded, "forwarded"),
            (EventResult::Queued, "queued"),
            (EventResult::Invalid, "invalid"),
            (EventResult::Failed, "failed"),
        ];
        let events = kinds.iter().flat_map(|(kind, kind_label)| {
            results.iter().map(|(result, result_label)| {
                let labels = [("kind", *kind_label), ("result", *result_label)];
                let help = "Errors and batches of metrics from browsers.";
                (
                    (*kind, *result),
                    registry.counter("monlight_relay_events_total", help, &labels),
                )
            })
        });
        let unmapped = Unmapped::ALL.map(|unmapped| {
            let help = "Frames of browser stacks, by what became of them.";
            (
                unmapped,
                registry.counter(
                    "monlight_relay_frames_total",
                    help,
                    &[("result", unmapped.slug())],
                ),
            )
        });
        let refused = [
            (Refused::RateLimit, "rate_limit"),
            (Refused::TooLarge, "too_large"),
            (Refused::Key, "key"),
            (Refused::Origin, "origin"),
            (Refused::Busy, "busy"),
        ];
        let refused = refused.map(|(refused, label)| {
            let help = "Browser requests turned away before they were looked at.";
            (
                refused,
                registry.counter("monlight_relay_refused_total", help, &[("reason", label)]),
            )
        });
        Self {
            events: events.collect(),
            metrics_forwarded: registry.counter(
                "monlight_relay_metrics_forwarded_total",
                "Single metrics that the collector has taken.",
                &[],
            ),
            repeated: registry.counter(
                "monlight_relay_events_repeated_total",
                "Events that pages have sent again and a service had already.",
                &[],
            ),
            frames_mapped: registry.counter(
                "monlight_relay_frames_total",
                "Frames of browser stacks, by what became of them.",
                &[("result", "mapped")],
            ),
            frames_unmapped: unmapped.into(),
            uploads: registry.counter(
                "monlight_relay_source_map_uploads_total",
                "Source maps taken.",
                &[],
            ),
            upload_seconds: registry.seconds(
                "monlight_relay_source_map_decode_seconds_total",
                "Time spent on decoding source maps.",
                &[],
            ),
            refused: refused.into(),
        }
    }

    pub(crate) fn event(&self, kind: EventKind, result: EventResult) {
        if let Some((_, counter)) = self
            .events
            .iter()
            .find(|(known, _)| *known == (kind, result))
        {
            counter.inc();
        }
    }

    pub(crate) fn metrics_forwarded(&self, count: usize) {
        self.metrics_forwarded.add(count as u64);
    }

    pub(crate) fn repeated(&self) {
        self.repeated.inc();
    }

    pub(crate) fn refused(&self, reason: Refused) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }

    pub(crate) fn frames(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome {
                Ok(_) => self.frames_mapped.inc(),
                Err(unmapped) => {
                    if let Some((_, counter)) = self
                        .frames_unmapped
                        .iter()
                        .find(|(known, _)| known == unmapped)
                    {
                        counter.inc();
                    }
                }
            }
        }
    }

    pub(crate) fn uploaded(&self, took: std::time::Duration) {
        self.uploads.inc();
        self.upload_seconds
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}
