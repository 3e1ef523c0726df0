//! Takes over a database of the original service: every entry with its id, and where it stopped reading.
//!
//! Ids of ours have no gaps. The original's have none either, unless somebody deleted rows by hand; then those before the
//! gap move up. All entries go into the first slot: however large the ring is, that slot is emptied only when as many new
//! ones are there.

use std::path::Path;

use monlight_shared::store::{Cells, Import, LARGEST_ID, StoreError, TakeOver, TakenOver};
use rusqlite::{Connection, Row};

use super::ring::{self, Batch, ContainerName, Limits};
use crate::domain::entry::{Level, NewEntry, Stream};
use crate::domain::{fields, taken_over};

/// Takes over the schemas 1 to 4 of the original: entries, then their index, cursors, and indexes.
pub const TAKE_OVER: TakeOver = TakeOver {
    table: "log_entries",
    oldest: 1,
    newest: 4,
    import,
};

/// Entries that are held at a time, and their text.
const BATCH_ENTRIES: usize = 1000;
const BATCH_BYTES: usize = 256 * 1024;
/// The original followed what matched `CONTAINERS`; nobody has more.
const MOST_CURSORS: i64 = 1000;
/// Lines of a container that are compared with what is read again.
const MOST_MARKS: usize = 100_000;

/// Where the original stopped reading a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalCursor {
    /// The container's name, which is what the original knew it by.
    pub name: String,
    /// Its id at that time.
    pub container_id: String,
    /// Of its log file; the device was not written down.
    pub inode: u64,
    /// The size of the file before it was read for the last time.
    pub position: u64,
    /// When that was, in milliseconds since 1970.
    pub updated_ms: i64,
}

fn import(import: &Import<'_>) -> Result<TakenOver, StoreError> {
    let mut taken = TakenOver::default();
    let (count, odd) = count(import.from)?;
    if odd > 0 {
        taken.remark(|| format!("{odd} entries are left out: no such ids are possible"));
    }
    let last = highest_id(import.from)?;
    begin(import.into, last - count + 1)?;
    let entries = entries(import, &mut taken)?;
    if first_id(import.from)?.is_some_and(|first| last - first + 1 != count) {
        taken.remark(|| "the ids had gaps: entries before them have new ones".to_owned());
    }
    let cursors = cursors(import, &mut taken)?;
    taken.taken = format!("{entries} entries, cursors of {cursors} containers");
    Ok(taken)
}

/// How many entries have usable ids, and how many have not.
fn count(from: &Connection) -> Result<(i64, i64), StoreError> {
    Ok(from.query_row(
        "SELECT count(*) FILTER (WHERE id BETWEEN 1 AND ?1), count(*) FILTER (WHERE id NOT BETWEEN 1 AND ?1) FROM log_entries",
        [LARGEST_ID],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

fn first_id(from: &Connection) -> Result<Option<i64>, StoreError> {
    Ok(from.query_row(
        "SELECT min(id) FROM log_entries WHERE id BETWEEN 1 AND ?1",
        [LARGEST_ID],
        |row| row.get(0),
    )?)
}

/// The greatest id that the original ever gave.
fn highest_id(from: &Connection) -> Result<i64, StoreError> {
    // AUTOINCREMENT made the table of the sequences along with the first table.
    Ok(from.query_row(
        "SELECT max(
           (SELECT coalesce(max(seq), 0) FROM sqlite_sequence
            WHERE name = 'log_entries' AND typeof(seq) = 'integer' AND seq BETWEEN 1 AND ?1),
           (SELECT coalesce(max(id), 0) FROM log_entries WHERE id BETWEEN 1 AND ?1))",
        [LARGEST_ID],
        |row| row.get(0),
    )?)
}

fn begin(into: &Connection, first_id: i64) -> Result<(), StoreError> {
    into.execute("UPDATE ring SET next_id = ?1, floor = ?1", [first_id])?;
    Ok(())
}

fn entries(import: &Import<'_>, taken: &mut TakenOver) -> Result<i64, StoreError> {
    let mut statement = import.from.prepare(
        "SELECT id, timestamp, container, stream, level, message FROM log_entries
         WHERE id BETWEEN 1 AND ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([LARGEST_ID])?;
    let mut filling = Filling {
        conn: import.into,
        batch: Batch::default(),
        bytes: 0,
        total: 0,
    };
    let mut time_ms = None;
    while let Some(row) = rows.next()? {
        let original = OriginalEntry::from_row(row)?;
        if original.is_mended || original.time_ms.is_none() {
            taken.remark(|| {
                format!(
                    "entry {}: values that were unreadable were replaced",
                    original.id
                )
            });
        }
        // The entry before it is the best guess.
        let time = *time_ms.insert(original.time_ms.or(time_ms).unwrap_or(import.now_ms));
        filling.add(original, time)?;
    }
    filling.store()?;
    Ok(filling.total)
}

/// A row of `log_entries`, whatever it holds.
struct OriginalEntry {
    id: i64,
    time_ms: Option<i64>,
    container: String,
    stream: Stream,
    level: Level,
    message: String,
    is_mended: bool,
}

impl OriginalEntry {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut cells = Cells::of(row);
        let level = cells.text(4)?.as_deref().and_then(Level::from_name);
        let stream = match cells.text(3)?.as_deref() {
            Some("stderr") => Stream::Stderr,
            _ => Stream::Stdout,
        };
        let message = cells.text(5)?.unwrap_or_default();
        Ok(Self {
            id: row.get(0)?,
            time_ms: cells.time(1)?,
            container: cells.text(2)?.unwrap_or_default(),
            stream,
            level: level.unwrap_or(Level::Info),
            message: taken_over::decode(&message),
            is_mended: cells.mended || level.is_none(),
        })
    }
}

/// Entries on their way into the ring, a batch at a time.
struct Filling<'c> {
    conn: &'c Connection,
    batch: Batch,
    bytes: usize,
    total: i64,
}

impl Filling<'_> {
    fn add(&mut self, entry: OriginalEntry, time_ms: i64) -> Result<(), StoreError> {
        let known = &mut self.batch.containers;
        let place = known.iter().position(|name| name.name == entry.container);
        let container = place.unwrap_or_else(|| {
            known.push(ContainerName {
                name: entry.container,
                ..ContainerName::default()
            });
            known.len() - 1
        });
        self.bytes += entry.message.len();
        let new = NewEntry {
            time_ns: time_ms.saturating_mul(1_000_000),
            stream: entry.stream,
            level: entry.level,
            fields: fields::tokens(&entry.message),
            message: entry.message,
        };
        self.batch.entries.push((container, new));
        if self.batch.entries.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES {
            self.store()?;
        }
        Ok(())
    }

    fn store(&mut self) -> Result<(), StoreError> {
        let all = Limits {
            entries: i64::MAX,
            bytes: None,
        };
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.total += batch.entries.len() as i64;
        ring::append_as_given(self.conn, &batch, all)?;
        Ok(())
    }
}

fn cursors(import: &Import<'_>, taken: &mut TakenOver) -> Result<i64, StoreError> {
    let (mut count, mut last_ms) = (0, None);
    if import.has_table("cursors")? {
        let mut statement = import.from.prepare(
            "SELECT container_id, file_path, position, inode, updated_at FROM cursors ORDER BY id DESC LIMIT ?1",
        )?;
        let mut rows = statement.query([MOST_CURSORS])?;
        let mut add = import
            .into
            .prepare("INSERT OR IGNORE INTO original_cursors VALUES (?1, ?2, ?3, ?4, ?5)")?;
        while let Some(row) = rows.next()? {
            let Some(cursor) = cursor(row, import.now_ms)? else {
                taken.remark(|| {
                    "a cursor is left out: its container is read as on a first start".to_owned()
                });
                continue;
            };
            last_ms = last_ms.max(Some(cursor.updated_ms));
            count += add.execute((
                cursor.name,
                cursor.container_id,
                cursor.inode.cast_signed(),
                cursor.position.cast_signed(),
                cursor.updated_ms,
            ))? as i64;
        }
    }
    // Containers that were created after that are new, and read whole.
    import
        .into
        .execute("UPDATE ring SET scanned_ms = ?1", [last_ms])?;
    Ok(count)
}

/// `None` when it says nothing.
fn cursor(row: &Row<'_>, now_ms: i64) -> rusqlite::Result<Option<OriginalCursor>> {
    let mut cells = Cells::of(row);
    let path = cells.text(1)?.unwrap_or_default();
    let directory = Path::new(&path).parent().and_then(Path::file_name);
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let (Some(name), Some(position), Some(inode)) = (
        cells.text(0)?.filter(|name| !name.is_empty()),
        number(cells.integer(2)?),
        number(cells.integer(3)?),
    ) else {
        return Ok(None);
    };
    Ok(Some(OriginalCursor {
        name,
        container_id: directory.unwrap_or_default().to_string_lossy().into_owned(),
        inode,
        position,
        // One that is unreadable proves nothing against a file.
        updated_ms: cells.time(4)?.unwrap_or(now_ms),
    }))
}

/// Where the original stopped reading a container of this name, until it is followed again.
pub fn original_cursor(
    conn: &Connection,
    name: &str,
) -> Result<Option<OriginalCursor>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT name, container_id, inode, position, updated_ms FROM original_cursors WHERE name = ?1",
    )?;
    let mut rows = statement.query([name])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(OriginalCursor {
        name: row.get(0)?,
        container_id: row.get(1)?,
        inode: row.get::<_, i64>(2)?.cast_unsigned(),
        position: row.get::<_, i64>(3)?.cast_unsigned(),
        updated_ms: row.get(4)?,
    }))
}

/// What the newest lines of a container are compared by, oldest first. Of use only until something else is stored.
pub fn newest_marks(conn: &Connection, name: &str) -> Result<Vec<u64>, StoreError> {
    let mut statement = conn.prepare(
        "SELECT e.message, e.stream, e.time FROM e0 AS e JOIN containers AS c ON c.id = e.container
         WHERE c.name = ?1 AND c.project = '' AND c.service = '' ORDER BY e.id DESC",
    )?;
    let mut rows = statement.query([name])?;
    let mut newest_first: Vec<u64> = Vec::new();
    while newest_first.len() < MOST_MARKS
        && let Some(row) = rows.next()?
    {
        let (message, stream, time_ns): (String, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let second = time_ns.div_euclid(1_000_000_000);
        let first = newest_first.len();
        newest_first.extend(taken_over::marks(
            &message,
            Stream::from_code(stream),
            second,
        ));
        if let Some(of_entry) = newest_first.get_mut(first..) {
            of_entry.reverse();
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// The containers of these names are followed again. Part of the transaction that stores their first cursors.
pub(super) fn forget_original(conn: &Connection, names: &[String]) -> Result<(), StoreError> {
    for name in names {
        conn.prepare_cached("DELETE FROM original_cursors WHERE name = ?1")?
            .execute([name])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
