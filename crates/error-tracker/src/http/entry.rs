//! A group as lists and exports show it.

use monlight_shared::clock::iso_seconds;
use serde::Serialize;

use super::text::write;
use crate::domain::group::State;
use crate::store::list::GroupSummary;

#[derive(Serialize)]
struct Entry<'a> {
    id: i64,
    fingerprint: String,
    project: &'a str,
    exception_type: &'a str,
    message: &'a str,
    count: i64,
    first_seen: String,
    last_seen: String,
    resolved: bool,
    source: &'static str,
    // From here on the original has nothing.
    first_seen_ms: i64,
    last_seen_ms: i64,
    state: &'static str,
    reopened: bool,
    users: i64,
    level: Option<&'a str>,
    release: Option<&'a str>,
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparkline: Option<&'a [i64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<&'a str>,
}

impl<'a> From<&GroupSummary<'a>> for Entry<'a> {
    fn from(group: &GroupSummary<'a>) -> Self {
        Self {
            id: group.id.get(),
            fingerprint: group.fingerprint.to_string(),
            project: group.project,
            exception_type: group.exception_type,
            message: group.message,
            count: group.count,
            first_seen: iso_seconds(group.first_seen),
            last_seen: iso_seconds(group.last_seen),
            resolved: group.state == State::Resolved,
            source: group.source.name(),
            first_seen_ms: group.first_seen,
            last_seen_ms: group.last_seen,
            state: group.state.name(),
            reopened: group.state == State::Open && group.fresh_at > group.first_seen,
            users: group.users,
            level: group.level,
            release: group.release,
            environment: group.environment,
            sparkline: group.sparkline,
            traceback: group.traceback,
        }
    }
}

/// Appends an entry to a list that was opened or that has some.
pub(super) fn append_to_list(text: &mut Vec<u8>, group: &GroupSummary<'_>) {
    // Only the first entry of the answer follows the opening bracket.
    if text.last() != Some(&b'[') {
        text.push(b',');
    }
    append(text, group);
}

fn append(text: &mut Vec<u8>, group: &GroupSummary<'_>) {
    // Texts and numbers always have a JSON form.
    let written = write(text, &Entry::from(group));
    debug_assert!(written.is_ok(), "an entry has a JSON form");
}
