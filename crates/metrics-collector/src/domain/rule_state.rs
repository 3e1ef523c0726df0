//! How a group of a rule goes from fine to firing and back, and what people are told on the way.
//!
//! ```text
//!            too much                 for `for`                   fine, or nothing to read
//!   calm ───────────────▶ pending ───────────────▶ firing ──────────────────────────────▶ calm
//!     ▲                      │                       │ every `repeat`: told again
//!     └──────────────────────┘ fine
//! ```
//!
//! In quiet hours nobody is told. At their end people hear of what still fires, and of the end of what they know to fire.
//! What fired and ended within them is only in the history.

use super::reading::Reading;
use super::rule::Rule;

/// Where a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Fine; kept only because somebody has still to be told so.
    Calm = 0,
    /// Too much, but not for long enough.
    Pending = 1,
    Firing = 2,
}

impl Phase {
    /// From the number that is stored.
    pub(crate) const fn from_code(code: i64) -> Self {
        match code {
            1 => Self::Pending,
            2 => Self::Firing,
            _ => Self::Calm,
        }
    }
}

/// What is remembered of a group that is not fine, or of which somebody has still to hear. Times are milliseconds since
/// 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) phase: Phase,
    /// Since when it is in this phase.
    pub(crate) since_ms: i64,
    /// When people were last told that it fires; `None`: they were not.
    pub(crate) told_ms: Option<i64>,
    /// Whether people know of a firing whose end they were not told of.
    pub(crate) owes_end: bool,
}

/// Why something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The value is fine.
    Fine = 0,
    /// There is nothing to read any more.
    Nothing = 1,
    /// The rule looks for something else now.
    Changed = 2,
    /// The rule does not look any more.
    Disabled = 3,
    /// There is no such rule any more.
    Deleted = 4,
}

impl Reason {
    /// From the number that is stored.
    pub(crate) const fn from_code(code: i64) -> Self {
        match code {
            1 => Self::Nothing,
            2 => Self::Changed,
            3 => Self::Disabled,
            4 => Self::Deleted,
            _ => Self::Fine,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fine => "value",
            Self::Nothing => "no_data",
            Self::Changed => "rule_changed",
            Self::Disabled => "rule_disabled",
            Self::Deleted => "rule_deleted",
        }
    }
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It began to fire: goes into the history.
    Fired,
    /// People are told that it fires.
    TellFired,
    /// People are told that it still does.
    Remind,
    /// It ended: goes into the history.
    Ended(Reason),
    /// People are told of the last end.
    TellEnded,
}

/// What becomes of a group: `None` when there is nothing to remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) group: Option<Group>,
    pub(crate) acts: Vec<Act>,
}

/// Goes on with a group at a time. `restart_ms`: what was pending before begins anew.
pub(crate) fn step(
    rule: &Rule,
    known: Option<Group>,
    reading: Reading,
    now_ms: i64,
    restart_ms: i64,
) -> Step {
    let mut group = known.unwrap_or(Group {
        phase: Phase::Calm,
        since_ms: now_ms,
        told_ms: None,
        owes_end: false,
    });
    // The clock was set back.
    group.since_ms = group.since_ms.min(now_ms);
    group.told_ms = group.told_ms.map(|told| told.min(now_ms));
    if group.phase == Phase::Pending && group.since_ms < restart_ms {
        group.since_ms = now_ms;
    }
    let mut acts = Vec::new();
    move_on(rule, &mut group, reading, now_ms, &mut acts);
    if !rule.quiet.is_some_and(|quiet| quiet.hold(now_ms)) {
        tell(rule, &mut group, now_ms, &mut acts);
    }
    Step {
        group: Some(group).filter(|group| group.phase != Phase::Calm || group.owes_end),
        acts,
    }
}

fn move_on(rule: &Rule, group: &mut Group, reading: Reading, now_ms: i64, acts: &mut Vec<Act>) {
    let fires = group.phase == Phase::Firing;
    let is_broken = match reading {
        Reading::Unknown => return,
        Reading::Nothing => false,
        Reading::Value(value) => rule.limit.is_broken(value, fires),
    };
    if is_broken {
        if group.phase == Phase::Calm {
            group.phase = Phase::Pending;
            group.since_ms = now_ms;
        }
        let waited = now_ms - group.since_ms >= rule.wait.as_millis() as i64;
        if group.phase == Phase::Pending && waited {
            group.phase = Phase::Firing;
            group.since_ms = now_ms;
            acts.push(Act::Fired);
        }
        return;
    }
    if fires {
        acts.push(Act::Ended(match reading {
            Reading::Nothing => Reason::Nothing,
            _ => Reason::Fine,
        }));
        // Of what was never told nobody has to hear the end.
        group.owes_end |= group.told_ms.is_some();
    }
    *group = Group {
        phase: Phase::Calm,
        since_ms: now_ms,
        told_ms: None,
        owes_end: group.owes_end,
    };
}

fn tell(rule: &Rule, group: &mut Group, now_ms: i64, acts: &mut Vec<Act>) {
    let repeat = rule.repeat.as_millis() as i64;
    match (group.phase, group.told_ms) {
        (Phase::Firing, None) => {
            acts.push(Act::TellFired);
            group.told_ms = Some(now_ms);
            // People take it for the same as the one whose end they do not know.
            group.owes_end = false;
        }
        (Phase::Firing, Some(told)) if repeat > 0 && now_ms - told >= repeat => {
            acts.push(Act::Remind);
            group.told_ms = Some(now_ms);
        }
        (Phase::Firing, Some(_)) => {}
        (Phase::Calm | Phase::Pending, _) => {
            if std::mem::take(&mut group.owes_end) {
                acts.push(Act::TellEnded);
            }
        }
    }
}

#[cfg(test)]
mod tests;
