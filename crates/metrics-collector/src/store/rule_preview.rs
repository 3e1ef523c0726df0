//! What a rule would have done, had it looked at the time that has passed.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::MINUTE_MS;
use super::measure::Groups;
use super::watermark::Watermark;
use crate::domain::reading::read;
use crate::domain::rollup::{Rollup, add_to};
use crate::domain::rule::Rule;
use crate::domain::rule_state::{Act, Group, step};
use crate::domain::sliding::Windows;

/// Groups that are gone through; fewer when their sketches are held.
const MOST_GROUPS: usize = 50;
const MOST_WITH_SKETCHES: usize = 20;
/// Groups whose values are shown.
const VALUES_SHOWN: usize = 10;
/// Stretches of firing that are shown.
const SPANS_SHOWN: usize = 200;
/// Parts of a window, about.
const PARTS: i64 = 120;
/// Parts that are read at once.
const PARTS_READ: usize = 64;

/// What a rule would have done.
#[derive(Debug)]
pub(crate) struct Preview {
    /// Milliseconds between two looks.
    pub(crate) step_ms: i64,
    /// From when it looked, milliseconds since 1970: later than asked where the minutes before are not kept any more.
    pub(crate) from_ms: i64,
    /// The end of the first window, milliseconds since 1970.
    pub(crate) first_ms: i64,
    /// Groups that were gone through, and others.
    pub(crate) groups: usize,
    pub(crate) left_out: usize,
    /// How often groups would have begun to fire and ended, and how many messages there would have been.
    pub(crate) fired: usize,
    pub(crate) resolved: usize,
    pub(crate) told: usize,
    /// When groups would have fired, by their beginning.
    pub(crate) spans: Vec<Span>,
    /// The values of the groups that would have fired most, or else have the worst value.
    pub(crate) lines: Vec<Line>,
}

/// A stretch of time in which a group would have fired, milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) group: Vec<String>,
    pub(crate) from_ms: i64,
    /// `None`: it still would.
    pub(crate) to_ms: Option<i64>,
    pub(crate) worst: Option<f64>,
}

/// The values of one group, one for each look.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) group: Vec<String>,
    pub(crate) values: Vec<Option<f64>>,
}

/// One group on the way through time.
struct Runner {
    /// For each measure.
    windows: Vec<Windows>,
    /// Whether a measure had a point so far.
    seen: Vec<bool>,
    state: Option<Group>,
    span: Option<Span>,
    looks_firing: usize,
    worst: Option<f64>,
    values: Vec<Option<f64>>,
}

/// Goes through the time between two full minutes, as far as the minutes of every window are kept.
pub(crate) fn look_back(
    conn: &Connection,
    rule: &Rule,
    (from_ms, to_ms): (i64, i64),
) -> Result<Preview, StoreError> {
    let mut groups = Groups::find(conn, rule, &[], MOST_GROUPS, to_ms)?;
    if groups.needs_sketches() {
        groups = Groups::find(conn, rule, &[], MOST_WITH_SKETCHES, to_ms)?;
    }
    let step_ms = step_of(rule.window_ms() / MINUTE_MS) * MINUTE_MS;
    let parts = (rule.window_ms() / step_ms) as usize;
    let before = rule.window_ms() * if rule.compares() { 2 } else { 1 };
    let kept_from = Watermark::MinuteFloor.read_floor(conn)?;
    let from_ms = from_ms.max(kept_from.saturating_add(before)).min(to_ms);
    let first_ms = from_ms + step_ms;
    let mut walk = Walk {
        rule,
        runners: groups
            .keys
            .iter()
            .map(|_| Runner::new(rule, parts))
            .collect(),
        preview: Preview {
            step_ms,
            from_ms,
            first_ms,
            groups: groups.keys.len(),
            left_out: groups.left_out,
            fired: 0,
            resolved: 0,
            told: 0,
            spans: Vec::new(),
            lines: Vec::new(),
        },
    };
    let mut at = from_ms - before;
    while first_ms <= to_ms && at + step_ms <= to_ms {
        let count = (((to_ms - at) / step_ms) as usize).min(PARTS_READ);
        let until = at + step_ms * count as i64;
        let grids: Vec<Grid> = rule
            .measures()
            .enumerate()
            .map(|(place, _)| Grid::read(conn, &groups, place, (at, step_ms, count)))
            .collect::<Result<_, _>>()?;
        walk.go(&groups, grids, (at, count));
        at = until;
    }
    Ok(walk.finish(&groups))
}

/// Minutes between two looks: one, or as many as leave a window not too many parts.
fn step_of(window_minutes: i64) -> i64 {
    let least = (window_minutes + PARTS - 1) / PARTS;
    (least..=window_minutes)
        .find(|step| window_minutes % step == 0)
        .unwrap_or(window_minutes)
}

/// What the groups have in some parts of time, part by part.
struct Grid(Vec<Vec<Option<Rollup>>>);

impl Grid {
    fn read(
        conn: &Connection,
        groups: &Groups,
        place: usize,
        (at, step_ms, count): (i64, i64, usize),
    ) -> Result<Self, StoreError> {
        let mut parts = vec![vec![None; groups.keys.len()]; count];
        let until = at + step_ms * count as i64;
        groups.by_the_minute(conn, place, (at, until), |minute, group, rollup| {
            let part = usize::try_from((minute - at).div_euclid(step_ms)).ok();
            let part = part.and_then(|part| parts.get_mut(part));
            if let Some(sum) = part.and_then(|part| part.get_mut(group)) {
                add_to(sum, rollup);
            }
        })?;
        Ok(Self(parts))
    }

    fn take(&mut self, part: usize, group: usize) -> Option<Rollup> {
        self.0.get_mut(part)?.get_mut(group)?.take()
    }
}

/// All groups on their way.
struct Walk<'r> {
    rule: &'r Rule,
    runners: Vec<Runner>,
    preview: Preview,
}

impl Walk<'_> {
    fn go(&mut self, groups: &Groups, mut grids: Vec<Grid>, (at, count): (i64, usize)) {
        for part in 0..count {
            let end_ms = at + self.preview.step_ms * (part as i64 + 1);
            for (group, runner) in self.runners.iter_mut().enumerate() {
                for (place, grid) in grids.iter_mut().enumerate() {
                    runner.push(place, grid.take(part, group));
                }
                if end_ms < self.preview.first_ms {
                    continue;
                }
                let acts = runner.look(self.rule, groups, group, end_ms);
                for act in acts {
                    self.preview
                        .count(act, runner, &groups.keys, (group, end_ms));
                }
            }
        }
    }

    fn finish(self, groups: &Groups) -> Preview {
        let Self {
            rule,
            runners,
            mut preview,
        } = self;
        let mut ended: Vec<(usize, Runner)> = runners.into_iter().enumerate().collect();
        for (_, runner) in &mut ended {
            preview.spans.extend(runner.span.take());
        }
        preview.spans.sort_by_key(|span| span.from_ms);
        let older = preview.spans.len().saturating_sub(SPANS_SHOWN);
        preview.spans.drain(..older);
        ended.sort_by(|(_, one), (_, other)| {
            let firing = other.looks_firing.cmp(&one.looks_firing);
            firing.then_with(|| match (one.worst, other.worst) {
                (Some(one), Some(other)) => rule.limit.worse_first(one, other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            })
        });
        let shown = ended.into_iter().take(VALUES_SHOWN);
        preview.lines = shown
            .map(|(group, runner)| Line {
                group: groups.keys.get(group).cloned().unwrap_or_default(),
                values: runner.values,
            })
            .collect();
        preview
    }
}

impl Preview {
    fn count(
        &mut self,
        act: Act,
        runner: &mut Runner,
        keys: &[Vec<String>],
        (group, end_ms): (usize, i64),
    ) {
        match act {
            Act::Fired => {
                self.fired += 1;
                runner.span = Some(Span {
                    group: keys.get(group).cloned().unwrap_or_default(),
                    from_ms: end_ms,
                    to_ms: None,
                    worst: runner.values.last().copied().flatten(),
                });
            }
            Act::Ended(_) => {
                self.resolved += 1;
                if let Some(span) = runner.span.take() {
                    self.spans.push(Span {
                        to_ms: Some(end_ms),
                        ..span
                    });
                }
            }
            Act::TellFired | Act::Remind | Act::TellEnded => self.told += 1,
        }
    }
}

impl Runner {
    fn new(rule: &Rule, parts: usize) -> Self {
        let windows = rule.measures().enumerate();
        let windows: Vec<Windows> = windows
            .map(|(place, _)| Windows::new(parts, place == 0 && rule.compares()))
            .collect();
        Self {
            seen: vec![false; windows.len()],
            windows,
            state: None,
            span: None,
            looks_firing: 0,
            worst: None,
            values: Vec::new(),
        }
    }

    fn push(&mut self, place: usize, part: Option<Rollup>) {
        if let Some(seen) = self.seen.get_mut(place) {
            *seen |= part.is_some();
        }
        if let Some(windows) = self.windows.get_mut(place) {
            windows.push(part);
        }
    }

    /// Looks at the windows that end now.
    fn look(&mut self, rule: &Rule, groups: &Groups, group: usize, end_ms: i64) -> Vec<Act> {
        let seen = self.windows.iter().zip(&self.seen).enumerate();
        let mut measured = seen.map(|(place, (windows, seen))| {
            let [now, before] = windows.sums();
            let mut measured = groups.measured(place, group, now, before);
            // What came later was not known then.
            measured.is_known = *seen;
            measured
        });
        let query = measured.next().unwrap_or_default();
        let denominator = measured.next();
        let reading = read(rule, &query, denominator.as_ref());
        let value = reading.value();
        self.values.push(value);
        let is_worse = |known: Option<f64>, value: f64| {
            known.is_none_or(|known| rule.limit.worse_first(value, known).is_lt())
        };
        if let Some(value) = value {
            if is_worse(self.worst, value) {
                self.worst = Some(value);
            }
            if let Some(span) = &mut self.span {
                if is_worse(span.worst, value) {
                    span.worst = Some(value);
                }
                self.looks_firing += 1;
            }
        }
        let step = step(rule, self.state, reading, end_ms, i64::MIN);
        self.state = step.group;
        step.acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_divide_windows() {
        for (minutes, step) in [
            (1, 1),
            (5, 1),
            (120, 1),
            (122, 2),
            (180, 2),
            (360, 3),
            (1440, 12),
            (121, 11),
            (127, 127),
        ] {
            assert_eq!(step_of(minutes), step, "{minutes}");
        }
    }
}
