//! Takes over a database of the original service: every group with its number, its count and its kept reports.
//!
//! Such a file may be years old and edited by hand. What is damaged in it is mended where that is honest and left out
//! where it is not; the log says so, and nothing of that stops the move.

use std::collections::VecDeque;

use monlight_shared::store::{Import, LARGEST_ID, StoreError, TakeOver, TakenOver};
use rusqlite::{Connection, OptionalExtension, params};

use self::rows::{LegacyGroup, LegacyReport, Reports};
use super::record::{count_report, text_hashes};
use super::seen_by::{self, Audience};
use super::{HOUR_MS, KEPT_HOURS, SLOTS, facets};
use crate::domain::facet::{Facet, FacetKind, facets_of};
use crate::domain::group::{KEPT_OCCURRENCES, Source, State};
use crate::domain::grouping::{self, GroupingKey};

mod rows;

/// Takes over the schemas 1 to 4 of the original. They differ in little: the first has no reports beside the groups, and
/// up to the third each group names an environment.
pub const TAKE_OVER: TakeOver = TakeOver {
    table: "errors",
    oldest: 1,
    newest: 4,
    import,
};

fn import(import: &Import<'_>) -> Result<TakenOver, StoreError> {
    let mut taken = TakenOver::default();
    let (mut of_groups, mut of_reports) = (
        LegacyGroup::select(import.from)?,
        Reports::select(import.from)?,
    );
    let (mut rows, mut reports) = (of_groups.query([])?, Reports::new(of_reports.query([])?));
    let (mut group_count, mut report_count) = (0, 0);
    while let Some(row) = rows.next()? {
        let group = LegacyGroup::from_row(row)?;
        let kept = Kept::of(&mut reports, group.id, &mut taken)?;
        if !(1..=LARGEST_ID).contains(&group.id) {
            taken.remark(|| format!("group {} is left out: no such number is possible", group.id));
            continue;
        }
        group_count += 1;
        report_count += kept.newest.len();
        take(import, group, kept, &mut taken)?;
    }
    let strays = reports.strays()?;
    if strays > 0 {
        taken.remark(|| format!("{strays} reports are left out: their groups are not there"));
    }
    go_on_counting(import)?;
    let projects: i64 = import
        .into
        .query_row("SELECT count(*) FROM projects", [], |row| row.get(0))?;
    taken.taken =
        format!("{group_count} groups in {projects} projects, {report_count} kept reports");
    Ok(taken)
}

/// The reports of a group.
struct Kept {
    /// Those that fit into its ring, the oldest first.
    newest: VecDeque<LegacyReport>,
    /// Whether one of all of them came from a page.
    browser: bool,
    mended: bool,
}

impl Kept {
    fn of(
        reports: &mut Reports<'_>,
        group: i64,
        taken: &mut TakenOver,
    ) -> Result<Self, StoreError> {
        let mut kept = Self {
            newest: VecDeque::new(),
            browser: false,
            mended: false,
        };
        let mut too_many = 0;
        while let Some(report) = reports.next_of(group)? {
            if !(1..=LARGEST_ID).contains(&report.number) {
                taken.remark(|| {
                    format!(
                        "report {} is left out: no such number is possible",
                        report.number
                    )
                });
                continue;
            }
            kept.browser |= report.report.source() == Source::Browser;
            kept.mended |= report.mended;
            kept.newest.push_back(report);
            if kept.newest.len() > KEPT_OCCURRENCES as usize {
                kept.newest.pop_front();
                too_many += 1;
            }
        }
        if too_many > 0 {
            taken.remark(|| {
                format!(
                    "{too_many} reports of group {group} are left out: the newest five are kept"
                )
            });
        }
        Ok(kept)
    }
}

/// When a group was seen. The original writes both times; where one is unreadable, the others tell.
struct Times {
    first: i64,
    last: i64,
}

impl Times {
    fn of(group: &LegacyGroup, kept: &Kept, now_ms: i64) -> Self {
        let of_reports = || kept.newest.iter().filter_map(|report| report.time);
        let last = group
            .last_seen
            .or_else(|| of_reports().max())
            .or(group.first_seen)
            .unwrap_or(now_ms);
        let first = group
            .first_seen
            .or_else(|| of_reports().min())
            .unwrap_or(last);
        Self {
            first: first.min(last),
            last: last.max(first),
        }
    }

    fn of_report(&self, report: &LegacyReport) -> i64 {
        report.time.unwrap_or(self.last)
    }

    /// The hour a report counts in: none is newer than its group.
    fn hour_of_report(&self, report: &LegacyReport) -> i64 {
        self.of_report(report).min(self.last).div_euclid(HOUR_MS)
    }

    /// The hour that is not over yet.
    fn hour(&self) -> i64 {
        self.last.div_euclid(HOUR_MS)
    }
}

/// Stores a group with its reports.
fn take(
    import: &Import<'_>,
    group: LegacyGroup,
    mut kept: Kept,
    taken: &mut TakenOver,
) -> Result<(), StoreError> {
    let conn = import.into;
    for report in &mut kept.newest {
        report.report.environment.clone_from(&group.environment);
    }
    let times = Times::of(&group, &kept, import.now_ms);
    let at_least = kept.newest.len().max(1) as i64;
    let count = group.count.unwrap_or(0).clamp(at_least, LARGEST_ID);
    if is_mended(&group, &kept, count) {
        taken.remark(|| {
            format!(
                "group {}: values that were unreadable or out of range were replaced",
                group.id
            )
        });
    }
    let project = project(conn, &group.project)?;
    insert(import, &group, &kept, (project, count), &times)?;
    identify(conn, project, &group, taken)?;
    let mut found: Vec<Facet> = Vec::new();
    let environment = group.environment.as_deref();
    found.extend(environment.and_then(|name| Facet::new(FacetKind::Environment, name)));
    found.extend(
        kept.newest
            .iter()
            .flat_map(|report| facets_of(&report.report)),
    );
    if let Some(facets) = facets::changed(&[], &found) {
        facets.write(conn, project, group.id, times.first)?;
    }
    keep(conn, &group, &kept, (project, count), &times)?;
    seen(conn, group.id, count, &kept)?;
    conn.prepare_cached(
        "INSERT INTO group_texts (group_id, exception_type, message, traceback) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((group.id, group.exception_type, group.message, group.traceback))?;
    Ok(())
}

fn is_mended(group: &LegacyGroup, kept: &Kept, count: i64) -> bool {
    let readable = |time: Option<i64>| time.is_some();
    group.mended
        || kept.mended
        || group.count != Some(count)
        || group
            .first_seen
            .is_none_or(|first| group.last_seen.is_none_or(|last| last < first))
        || group.resolved && !readable(group.resolved_at)
        || !kept.newest.iter().all(|report| readable(report.time))
}

fn project(conn: &Connection, name: &str) -> Result<i64, StoreError> {
    conn.prepare_cached("INSERT INTO projects (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([name])?;
    let id = conn
        .prepare_cached("SELECT id FROM projects WHERE name = ?1")?
        .query_row([name], |row| row.get(0))?;
    Ok(id)
}

fn insert(
    import: &Import<'_>,
    group: &LegacyGroup,
    kept: &Kept,
    (project, count): (i64, i64),
    times: &Times,
) -> Result<(), StoreError> {
    let state = if group.resolved {
        State::Resolved
    } else {
        State::Open
    };
    let source = if kept.browser {
        Source::Browser
    } else {
        Source::Server
    };
    let in_hour = kept
        .newest
        .iter()
        .filter(|report| times.hour_of_report(report) == times.hour());
    import
        .into
        .prepare_cached(
            "INSERT INTO error_groups (id, project, fingerprint, state, source, count, first_seen, last_seen, fresh_at,
               resolved_at, hour, hour_count, texts, count_rank, users_rank)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7, ?9, ?10, ?11, ?12, ?6, 0)",
        )?
        .execute(params![
            group.id,
            project,
            group.fingerprint.as_bytes(),
            state as i64,
            source as i64,
            count,
            times.first,
            times.last,
            // One that was resolved at an unknown time is kept for as long as one that is resolved now.
            group.resolved.then(|| group.resolved_at.unwrap_or(import.now_ms)),
            times.hour(),
            in_hour.count() as i64,
            text_hashes(&group.message, &group.traceback),
        ])?;
    Ok(())
}

/// Gives a group its keys. The original does not enforce that there is one group for each of its fingerprints, and several
/// of them may be one by the stable key.
fn identify(
    conn: &Connection,
    project: i64,
    group: &LegacyGroup,
    taken: &mut TakenOver,
) -> Result<(), StoreError> {
    let original = GroupingKey::original(group.fingerprint);
    if let Some(other) = claim(conn, project, &original, group.id)? {
        taken.remark(|| format!("groups {other} and {} have one fingerprint", group.id));
    }
    let stable = grouping::stable_key(
        &group.project,
        &group.exception_type,
        &group.message,
        &group.traceback,
    );
    claim(conn, project, &stable, group.id)?;
    Ok(())
}

/// Gives a key to a group, or leaves it to the other one that has it, which is then the answer: new reports go where the
/// original would send them, to an unresolved group first and else to the one that was seen last.
fn claim(
    conn: &Connection,
    project: i64,
    key: &GroupingKey,
    group: i64,
) -> Result<Option<i64>, StoreError> {
    let other: Option<i64> = conn
        .prepare_cached("SELECT group_id FROM group_keys WHERE project = ?1 AND key = ?2")?
        .query_row((project, key.as_bytes()), |row| row.get(0))
        .optional()?;
    let comes_first = match other {
        None => group,
        Some(other) => conn
            .prepare_cached(
                "SELECT id FROM error_groups WHERE id IN (?1, ?2)
                 ORDER BY state, CASE state WHEN 0 THEN 0 ELSE -last_seen END, id LIMIT 1",
            )?
            .query_row((other, group), |row| row.get(0))?,
    };
    if comes_first == group {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO group_keys (project, key, group_id) VALUES (?1, ?2, ?3)",
        )?
        .execute((project, key.as_bytes(), group))?;
    }
    Ok(other)
}

/// Puts the reports into the group's ring, in such a way that the next one goes on in it, and counts them by the hour.
fn keep(
    conn: &Connection,
    group: &LegacyGroup,
    kept: &Kept,
    (project, count): (i64, i64),
    times: &Times,
) -> Result<(), StoreError> {
    let before = count - kept.newest.len() as i64;
    for (number, kept) in (before..).zip(&kept.newest) {
        let report = &kept.report;
        conn.prepare_cached(
            "INSERT INTO occurrences (slot, number, time, traceback, request_url, request_method, request_headers,
               user_id, extra, release, environment)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            group.id * SLOTS + number % KEPT_OCCURRENCES,
            kept.number,
            times.of_report(kept),
            (report.traceback != group.traceback).then_some(&report.traceback),
            report.request_url,
            report.request_method,
            report.request_headers,
            report.user_id,
            report.extra,
            report.release,
            report.environment,
        ])?;
        let hour = times.hour_of_report(kept);
        let fresh = times.first.div_euclid(HOUR_MS);
        count_report(conn, project, report.source(), (hour, fresh))?;
        if hour < times.hour() && hour > times.hour() - KEPT_HOURS {
            conn.prepare_cached(
                "INSERT INTO group_hours (group_id, hour, count) VALUES (?1, ?2, 1)
                 ON CONFLICT (group_id, hour) DO UPDATE SET count = count + 1",
            )?
            .execute((group.id, hour))?;
        }
    }
    Ok(())
}

fn seen(conn: &Connection, group: i64, count: i64, kept: &Kept) -> Result<(), StoreError> {
    let mut counted = Vec::new();
    for kept in &kept.newest {
        if let Some(session) = kept.report.session() {
            seen_by::session(conn, group, session)?;
        }
        if let Some(user) = kept.report.user()
            && !counted.contains(&user)
        {
            let users = counted.len() as i64;
            let audience = Audience {
                group,
                users,
                count,
            };
            seen_by::user(conn, audience, user)?;
            counted.push(user);
        }
    }
    // Otherwise the ranks follow only when a group is seen again.
    conn.prepare_cached("UPDATE error_groups SET users_rank = users WHERE id = ?1")?
        .execute([group])?;
    Ok(())
}

/// New groups and reports get numbers behind all that the original ever gave.
fn go_on_counting(import: &Import<'_>) -> Result<(), StoreError> {
    let into = import.into;
    into.execute(
        "INSERT INTO sqlite_sequence (name, seq)
         SELECT 'error_groups', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'error_groups')",
        [],
    )?;
    into.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'error_groups'",
        [import.highest_given_id("errors")?],
    )?;
    into.execute(
        "UPDATE last_occurrence SET number = max(?1, (SELECT coalesce(max(number), 0) FROM occurrences))",
        [import.highest_given_id("error_occurrences")?],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
