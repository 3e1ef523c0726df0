//! Makes one group of two.
//!
//! One of them goes on with everything both had, and answers to all their keys, so that whatever was reported as either
//! is reported as it from now on. The counters of projects are not touched: the reports did happen.

use std::cmp::Reverse;

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension};
use serde_json::json;

use super::{FIRST_SLOT, SLOTS, facets, history, remove, seen_by};
use crate::domain::decision::MAX_NOTE_CHARS;
use crate::domain::facet::FACETS_OF_A_GROUP;
use crate::domain::group::{GroupId, KEPT_OCCURRENCES, State};
use crate::domain::lifecycle::{Decision, unite};

/// What became of the wish to merge groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// There is no such group.
    Unknown(GroupId),
    /// They are of different projects, and a group has one.
    OtherProject(GroupId),
    /// They are one now, or can be.
    Now,
}

/// Whether `others` can go into `into`.
pub fn check(conn: &Connection, into: GroupId, others: &[GroupId]) -> Result<Merged, StoreError> {
    let mut statement = conn.prepare_cached("SELECT project FROM error_groups WHERE id = ?1")?;
    let mut project = |id: GroupId| -> Result<Option<i64>, StoreError> {
        let project = statement.query_row([id.get()], |row| row.get(0));
        Ok(project.optional()?)
    };
    let Some(own) = project(into)? else {
        return Ok(Merged::Unknown(into));
    };
    for other in others {
        match project(*other)? {
            None => return Ok(Merged::Unknown(*other)),
            Some(found) if found != own => return Ok(Merged::OtherProject(*other)),
            Some(_) => {}
        }
    }
    Ok(Merged::Now)
}

/// Those of some groups that are there, in order.
pub fn known(conn: &Connection, ids: &[GroupId]) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM error_groups WHERE id = ?1")?;
    let mut known = Vec::new();
    for id in ids {
        if statement.exists([id.get()])? {
            known.push(*id);
        }
    }
    Ok(known)
}

/// Puts all that `other` has into `into`, which keeps its number and its texts, and deletes `other`.
pub fn merge(
    conn: &Connection,
    into: GroupId,
    other: GroupId,
    now_ms: i64,
) -> Result<Merged, StoreError> {
    let possible = check(conn, into, &[other])?;
    if possible != Merged::Now || into == other {
        return Ok(possible);
    }
    let (Some(kept), Some(gone)) = (Part::read(conn, into)?, Part::read(conn, other)?) else {
        return Ok(Merged::Unknown(other));
    };
    occurrences(conn, &kept, &gone)?;
    facets(conn, &kept, &gone)?;
    sessions(conn, &kept, &gone)?;
    users(conn, &kept, &gone)?;
    counters(conn, &kept, &gone)?;
    decisions(conn, &kept, &gone)?;
    for sql in [
        "UPDATE group_keys SET group_id = ?1 WHERE group_id = ?2",
        "UPDATE group_history SET group_id = ?1 WHERE group_id = ?2",
        "UPDATE error_groups SET facets = NULL WHERE id = ?2 AND ?1 <> ?2",
    ] {
        conn.prepare_cached(sql)?.execute((kept.id, gone.id))?;
    }
    remove::group(conn, other)?;
    let detail = json!({"id": gone.id, "reports": gone.count}).to_string();
    history::add(conn, kept.id, now_ms, "merged", Some(&detail))?;
    Ok(Merged::Now)
}

/// One of the two groups, as it was before.
struct Part {
    id: i64,
    project: i64,
    state: State,
    count: i64,
    users: i64,
    sessions: i64,
    first_seen: i64,
    last_seen: i64,
    fresh_at: i64,
    resolved_at: Option<i64>,
    hour: i64,
    hour_count: i64,
    facets: Vec<u8>,
    ignored_until: Option<i64>,
    ignored_count: Option<i64>,
    resolved_release: Option<String>,
    note: Option<String>,
}

impl Part {
    fn read(conn: &Connection, id: GroupId) -> Result<Option<Self>, StoreError> {
        let part = conn
            .prepare_cached(
                "SELECT g.id, g.project, g.state, g.count, g.users, g.sessions, g.first_seen, g.last_seen, g.fresh_at,
                   g.resolved_at, g.hour, g.hour_count, g.facets, d.ignored_until, d.ignored_count, d.resolved_release,
                   d.note
                 FROM error_groups g LEFT JOIN group_decisions d ON d.group_id = g.id WHERE g.id = ?1",
            )?
            .query_row([id.get()], |row| {
                Ok(Self {
                    id: row.get(0)?,
                    project: row.get(1)?,
                    state: State::from_stored(row.get(2)?),
                    count: row.get(3)?,
                    users: row.get(4)?,
                    sessions: row.get(5)?,
                    first_seen: row.get(6)?,
                    last_seen: row.get(7)?,
                    fresh_at: row.get(8)?,
                    resolved_at: row.get(9)?,
                    hour: row.get(10)?,
                    hour_count: row.get(11)?,
                    facets: row.get::<_, Option<Vec<u8>>>(12)?.unwrap_or_default(),
                    ignored_until: row.get(13)?,
                    ignored_count: row.get(14)?,
                    resolved_release: row.get(15)?,
                    note: row.get(16)?,
                })
            })
            .optional()?;
        Ok(part)
    }

    fn decision(&self) -> Decision<'_> {
        match self.state {
            State::Open => Decision::Open,
            State::Resolved => Decision::Resolved {
                in_release: self.resolved_release.as_deref(),
            },
            State::Ignored => Decision::Ignored {
                until_ms: self.ignored_until,
                until_count: self.ignored_count,
            },
        }
    }

    /// When it came back, if it did.
    fn came_back(&self) -> Option<i64> {
        (self.fresh_at > self.first_seen).then_some(self.fresh_at)
    }
}

/// A report that is kept in full: its slot, and its number in the service.
#[derive(Clone, Copy)]
struct Report {
    slot: i64,
    number: i64,
}

/// The newest five of both become the ring of `kept`, in such slots that the next report overwrites the oldest, and the
/// first of both its first.
fn occurrences(conn: &Connection, kept: &Part, gone: &Part) -> Result<(), StoreError> {
    for text in ["message", "traceback"] {
        // A text that is not there is that of its group.
        conn.prepare_cached(&format!(
            "UPDATE occurrences SET {text} = nullif(coalesce({text}, (SELECT {text} FROM group_texts WHERE group_id = ?2)),
               (SELECT {text} FROM group_texts WHERE group_id = ?1))
             WHERE slot BETWEEN ?2 * ?3 AND ?2 * ?3 + ?3 - 1"
        ))?
        .execute((kept.id, gone.id, SLOTS))?;
    }
    let count = kept.count + gone.count;
    let (own, others) = (reports(conn, kept)?, reports(conn, gone)?);
    let first = if gone.first_seen < kept.first_seen {
        first_of(gone, &others)
    } else {
        first_of(kept, &own)
    };
    let mut all = [own, others].concat();
    all.sort_unstable_by_key(|report| Reverse(report.number));
    let place = |at: i64| kept.id * SLOTS + (count - 1 - at).rem_euclid(KEPT_OCCURRENCES);
    let newest = all.iter().take(KEPT_OCCURRENCES as usize).zip(0..);
    let mut moves: Vec<(i64, i64)> = newest
        .map(|(report, at)| (report.slot, place(at)))
        .collect();
    if let Some(slot) = first
        && !moves.iter().any(|(from, _)| *from == slot)
    {
        moves.push((slot, kept.id * SLOTS + FIRST_SLOT));
    }
    // Out of the way first, because a place can still be taken by another one.
    for (from, to) in &moves {
        conn.prepare_cached("UPDATE occurrences SET slot = -?2 WHERE slot = ?1")?
            .execute((from, to))?;
    }
    for group in [kept.id, gone.id] {
        conn.prepare_cached(
            "DELETE FROM occurrences WHERE slot BETWEEN ?1 * ?2 AND ?1 * ?2 + ?2 - 1",
        )?
        .execute((group, SLOTS))?;
    }
    for (_, to) in &moves {
        conn.prepare_cached("UPDATE occurrences SET slot = ?1 WHERE slot = -?1")?
            .execute([to])?;
    }
    Ok(())
}

/// The kept reports of a group, the oldest first.
fn reports(conn: &Connection, group: &Part) -> Result<Vec<Report>, StoreError> {
    let reports = conn
        .prepare_cached(
            "SELECT slot, number FROM occurrences WHERE slot BETWEEN ?1 * ?2 AND ?1 * ?2 + ?2 - 1 ORDER BY number",
        )?
        .query_map((group.id, SLOTS), |row| {
            Ok(Report {
                slot: row.get(0)?,
                number: row.get(1)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(reports)
}

/// The slot of a group's first report; groups of an earlier version do not all have theirs.
fn first_of(group: &Part, reports: &[Report]) -> Option<i64> {
    let all_kept = group.count <= KEPT_OCCURRENCES;
    let first = reports.first().map(|report| report.slot);
    first.filter(|slot| all_kept || slot % SLOTS == FIRST_SLOT)
}

/// Those of the group that was seen last count as the newest.
fn facets(conn: &Connection, kept: &Part, gone: &Part) -> Result<(), StoreError> {
    let (older, newer) = if gone.last_seen > kept.last_seen {
        (&kept.facets, &gone.facets)
    } else {
        (&gone.facets, &kept.facets)
    };
    let known = |list: &[u8], facet| facets::ids(list).any(|id| id == facet);
    for facet in facets::ids(&gone.facets) {
        if known(&kept.facets, facet) {
            facets::remove(conn, gone.project, gone.id, facet)?;
        } else {
            conn.prepare_cached(
                "UPDATE group_facets SET group_id = ?1 WHERE facet = ?2 AND group_id = ?3",
            )?
            .execute((kept.id, i64::from_be_bytes(facet), gone.id))?;
        }
    }
    let only_older = facets::ids(older).filter(|facet| !known(newer, *facet));
    let mut list: Vec<_> = only_older.chain(facets::ids(newer)).collect();
    let too_many = list.len().saturating_sub(FACETS_OF_A_GROUP);
    for facet in list.drain(..too_many) {
        facets::remove(conn, kept.project, kept.id, facet)?;
    }
    conn.prepare_cached("UPDATE error_groups SET facets = ?1 WHERE id = ?2")?
        .execute((list.concat(), kept.id))?;
    Ok(())
}

/// The sessions of `gone` follow those of `kept` in its ring, in their order.
fn sessions(conn: &Connection, kept: &Part, gone: &Part) -> Result<(), StoreError> {
    let added = conn
        .prepare_cached(
            "INSERT OR REPLACE INTO group_sessions (group_id, slot, session)
             SELECT ?1, (?2 + row_number() OVER (ORDER BY (s.slot - ?4 % ?5 + ?5) % ?5) - 1) % ?5, s.session
             FROM group_sessions s WHERE s.group_id = ?3 AND NOT EXISTS
               (SELECT 1 FROM group_sessions t WHERE t.session = s.session AND t.group_id = ?1)",
        )?
        .execute((kept.id, kept.sessions, gone.id, gone.sessions, seen_by::KEPT))?;
    conn.prepare_cached("UPDATE error_groups SET sessions = sessions + ?1 WHERE id = ?2")?
        .execute((added as i64, kept.id))?;
    Ok(())
}

/// Lists both groups' users as far as there is room; beyond that they are counted by the united sketches.
fn users(conn: &Connection, kept: &Part, gone: &Part) -> Result<(), StoreError> {
    let (own, others) = (
        seen_by::sketch(conn, kept.id)?,
        seen_by::sketch(conn, gone.id)?,
    );
    let beyond = own.is_some() || others.is_some();
    let mut sketch = match own {
        Some(sketch) => sketch,
        None => seen_by::listed(conn, kept.id)?,
    };
    sketch.merge(&match others {
        Some(sketch) => sketch,
        None => seen_by::listed(conn, gone.id)?,
    });
    let (listed, different): (i64, i64) = conn
        .prepare_cached(
            "SELECT (SELECT count(*) FROM group_users WHERE group_id = ?1), count(*) FROM group_users u
             WHERE u.group_id = ?2 AND NOT EXISTS
               (SELECT 1 FROM group_users t WHERE t.user = u.user AND t.group_id = ?1)",
        )?
        .query_row((kept.id, gone.id), |row| Ok((row.get(0)?, row.get(1)?)))?;
    conn.prepare_cached(
        "INSERT INTO group_users (group_id, slot, user)
         SELECT ?1, ?3 + row_number() OVER (ORDER BY u.slot) - 1, u.user FROM group_users u
         WHERE u.group_id = ?2 AND NOT EXISTS (SELECT 1 FROM group_users t WHERE t.user = u.user AND t.group_id = ?1)
         ORDER BY u.slot LIMIT max(?4 - ?3, 0)",
    )?
    .execute((kept.id, gone.id, listed, seen_by::KEPT))?;
    let users = if beyond || listed + different > seen_by::KEPT {
        seen_by::keep_sketch(conn, kept.id, &sketch)?;
        let estimate = sketch.estimate().cast_signed();
        kept.users.max(gone.users).max(seen_by::KEPT).max(estimate)
    } else {
        listed + different
    };
    conn.prepare_cached("UPDATE error_groups SET users = ?1 WHERE id = ?2")?
        .execute((users, kept.id))?;
    Ok(())
}

/// Reports in all and by the hour, and the times.
fn counters(conn: &Connection, kept: &Part, gone: &Part) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO group_hours (group_id, hour, count) SELECT ?1, hour, count FROM group_hours WHERE group_id = ?2
         ON CONFLICT (group_id, hour) DO UPDATE SET count = count + excluded.count",
    )?
    .execute((kept.id, gone.id))?;
    let (earlier, running) = if gone.hour > kept.hour {
        (kept, gone)
    } else {
        (gone, kept)
    };
    let same = earlier.hour == running.hour;
    if !same && earlier.hour_count > 0 {
        conn.prepare_cached(
            "INSERT INTO group_hours (group_id, hour, count) VALUES (?1, ?2, ?3)
             ON CONFLICT (group_id, hour) DO UPDATE SET count = count + excluded.count",
        )?
        .execute((kept.id, earlier.hour, earlier.hour_count))?;
    }
    let hour_count = running.hour_count + if same { earlier.hour_count } else { 0 };
    // A group that came back stays one that came back; being merged is no return.
    let first_seen = kept.first_seen.min(gone.first_seen);
    let fresh_at = kept.came_back().max(gone.came_back()).unwrap_or(first_seen);
    conn.prepare_cached(
        "UPDATE error_groups SET count = count + ?1, first_seen = ?2, last_seen = max(last_seen, ?3), fresh_at = ?4,
           hour = ?5, hour_count = ?6, count_rank = count + ?1, users_rank = users,
           source = max(source, (SELECT source FROM error_groups WHERE id = ?7))
         WHERE id = ?8",
    )?
    .execute((
        gone.count,
        first_seen,
        gone.last_seen,
        fresh_at,
        running.hour,
        hour_count,
        gone.id,
        kept.id,
    ))?;
    Ok(())
}

/// Notes of merged groups may be longer than those that people write at once, and still have a bound.
const MAX_MERGED_NOTE_CHARS: usize = 10 * MAX_NOTE_CHARS;

fn cut(note: String) -> String {
    let end = note.char_indices().nth(MAX_MERGED_NOTE_CHARS);
    let Some((kept, more)) = end.and_then(|(end, _)| note.split_at_checked(end)) else {
        return note;
    };
    format!("{kept}\n… [cut: {} more characters]", more.chars().count())
}

/// What was decided about them, as far as it can hold for both, and their notes.
fn decisions(conn: &Connection, kept: &Part, gone: &Part) -> Result<(), StoreError> {
    let decision = unite((kept.decision(), kept.count), (gone.decision(), gone.count));
    let (state, until, count, release) = match decision {
        Decision::Open => (State::Open, None, None, None),
        Decision::Resolved { in_release } => (State::Resolved, None, None, in_release),
        Decision::Ignored {
            until_ms,
            until_count,
        } => (State::Ignored, until_ms, until_count, None),
    };
    let resolved_at = kept.resolved_at.max(gone.resolved_at);
    let resolved_at = resolved_at.filter(|_| state == State::Resolved);
    conn.prepare_cached("UPDATE error_groups SET state = ?1, resolved_at = ?2 WHERE id = ?3")?
        .execute((state as i64, resolved_at, kept.id))?;
    let notes: Vec<&str> = [&kept.note, &gone.note]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let note = (!notes.is_empty()).then(|| cut(notes.join("\n\n")));
    if (until, count, release, &note) == (None, None, None, &None) {
        conn.prepare_cached("DELETE FROM group_decisions WHERE group_id = ?1")?
            .execute([kept.id])?;
        return Ok(());
    }
    conn.prepare_cached(
        "INSERT OR REPLACE INTO group_decisions (group_id, ignored_until, ignored_count, resolved_release, note)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((kept.id, until, count, release, note))?;
    Ok(())
}
