//! What handlers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monlight_shared::service::Context;

use crate::live::Hub;
use crate::rules::Rules;

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Database, clock, lifecycle.
    pub ctx: Context,
    /// Where live tails hear of new entries.
    pub hub: Hub,
    /// How the directory of containers is.
    pub sources: Sources,
    /// Rules that watch what arrives.
    pub rules: Rules,
}

/// Containers whose lag is shown one by one.
const MOST_SHOWN: usize = 20;
/// Names in one sentence.
const MOST_NAMED: usize = 5;
/// What is said to be far behind.
const FAR_BEHIND_BYTES: u64 = 16 * 1024 * 1024;

/// How the log files are. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    fault: Option<String>,
    unusable: Vec<String>,
    troubles: Vec<String>,
    lag: Vec<(String, u64)>,
}

impl Sources {
    /// Why `LOG_SOURCES` cannot be read, `None` when it can. Logs a change once.
    pub fn set_fault(&self, fault: Option<String>) {
        let mut seen = self.seen();
        match (&seen.fault, &fault) {
            (None, Some(fault)) => tracing::warn!(fault, "no log files can be found"),
            (Some(_), None) => tracing::info!("log files can be found again"),
            _ => {}
        }
        seen.fault = fault;
    }

    /// Which directories hold a `config.v2.json` that says nothing. Logs new ones once.
    pub fn set_unusable(&self, ids: Vec<String>) {
        let mut seen = self.seen();
        for id in ids.iter().filter(|id| !seen.unusable.contains(id)) {
            tracing::warn!(
                container_id = id,
                "its config.v2.json cannot be read or has no name: it is not followed"
            );
        }
        seen.unusable = ids;
    }

    /// Which files could not be looked at the last time and why. Logs new ones once.
    pub fn set_troubles(&self, troubles: Vec<String>) {
        let mut seen = self.seen();
        for trouble in troubles.iter().filter(|text| !seen.troubles.contains(text)) {
            tracing::warn!("{trouble}");
        }
        seen.troubles = troubles;
    }

    /// How many bytes each container is behind, most first; only those that are.
    pub fn set_lag(&self, mut lag: Vec<(String, u64)>) {
        lag.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        lag.truncate(MOST_SHOWN);
        self.seen().lag = lag;
    }

    /// Why `LOG_SOURCES` cannot be read, `None` when it can.
    pub fn fault(&self) -> Option<String> {
        self.seen().fault.clone()
    }

    /// The containers that are behind most, with the bytes not read yet; at most twenty.
    pub fn lag(&self) -> Vec<(String, u64)> {
        self.seen().lag.clone()
    }

    /// What else somebody should know, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let seen = self.seen();
        let mut notes = Vec::new();
        if !seen.unusable.is_empty() {
            notes.push(format!(
                "not followed, config.v2.json cannot be read or has no name: {}",
                some_of(seen.unusable.iter().map(|id| short(id)))
            ));
        }
        if !seen.troubles.is_empty() {
            notes.push(some_of(seen.troubles.iter().map(String::as_str)));
        }
        let behind = seen.lag.iter().filter(|(_, lag)| *lag >= FAR_BEHIND_BYTES);
        let behind: Vec<String> = behind
            .map(|(name, lag)| format!("{name} ({} MB)", lag / 1_000_000))
            .collect();
        if !behind.is_empty() {
            notes.push(format!(
                "not read yet: {}",
                some_of(behind.iter().map(String::as_str))
            ));
        }
        notes
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As `docker ps` shows it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn some_of<'t>(names: impl ExactSizeIterator<Item = &'t str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMED);
    let text = names.take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        format!("{text} and {more} more")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_short_whatever_happens() {
        let sources = Sources::default();
        assert_eq!(sources.notes(), [""; 0]);
        let ids: Vec<String> = (0..500).map(|n| format!("{n:064}")).collect();
        sources.set_unusable(ids);
        sources.set_troubles(vec!["cannot read x: denied".to_owned()]);
        sources.set_lag((0..500).map(|n| (format!("c{n}"), n * 1_000_000)).collect());
        assert_eq!(
            sources.notes(),
            [
                "not followed, config.v2.json cannot be read or has no name: 000000000000, 000000000000, 000000000000, \
                 000000000000, 000000000000 and 495 more",
                "cannot read x: denied",
                "not read yet: c499 (499 MB), c498 (498 MB), c497 (497 MB), c496 (496 MB), c495 (495 MB) and 15 more",
            ]
        );
        assert_eq!(sources.lag().len(), MOST_SHOWN);
    }
}
