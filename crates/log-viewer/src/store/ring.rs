//! Storing entries: a ring of ten slots.

use std::collections::{BTreeMap, HashMap};

use monlight_shared::store::StoreError;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::cursors::{self, FollowState};
use super::{SLOTS, keep, legacy};
use crate::domain::ansi;
use crate::domain::entry::NewEntry;

/// A slot smaller than this would not be worth its tables.
const SMALLEST_SLOT: i64 = 1000;
/// Entries forgotten in one transaction when the ring was made smaller.
pub(super) const FORGOTTEN_AT_ONCE: i64 = 20_000;
/// Ids per row of `fence`, as a power of two.
pub(super) const FENCE_BITS: u32 = 10;
const NANOS_PER_MINUTE: i64 = 60_000_000_000;

/// How a container is known in lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContainerName {
    /// Its name without the slash that Docker puts in front.
    pub name: String,
    /// Compose project, empty when there is none.
    pub project: String,
    /// Compose service, empty when there is none.
    pub service: String,
}

/// What one transaction stores.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The containers that entries refer to.
    pub containers: Vec<ContainerName>,
    /// Entries, each with the index of its container.
    pub entries: Vec<(usize, NewEntry)>,
    /// How far the files behind these entries were read, and what was read but not completed.
    pub states: Vec<FollowState>,
    /// Containers whose files are gone for good.
    pub gone: Vec<String>,
    /// Names of containers that go on where the original service stopped.
    pub resumed: Vec<String>,
    /// When containers were last looked for, in milliseconds since 1970.
    pub scanned_ms: i64,
}

impl Batch {
    /// About how many bytes it carries.
    pub fn bytes(&self) -> usize {
        let entries: usize = self
            .entries
            .iter()
            .map(|(_, entry)| entry_bytes(entry))
            .sum();
        let states: usize = self.states.iter().map(FollowState::bytes).sum();
        entries + states
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many entries.
    pub entries: i64,
    /// A database of so many bytes.
    pub bytes: Option<u64>,
}

/// What became of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The id of the first entry; the others follow without gaps.
    pub first_id: i64,
    /// The indexes of the batch's entries in the order of their ids: by time, and for equal times as given.
    pub order: Vec<usize>,
    /// How many entries there are now.
    pub entries: i64,
    /// How many had to go because there were too many.
    pub forgotten: i64,
    /// How many had to go because a slot was needed that they still stood in: slots are as large as the bytes allow.
    pub displaced: i64,
    /// The database holds more bytes than it should.
    pub is_too_large: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    pub(super) next_id: i64,
    pub(super) floor: i64,
    pub(super) slot: i64,
}

/// Differences to `tally` and `hist`, keyed by minute, container, level and stream.
pub(super) type Deltas = BTreeMap<(i64, i64, i64, i64), i64>;

/// Stores a batch and forgets what is beyond the limit of entries. Call it in a write job.
pub fn append(conn: &Connection, batch: &Batch, limits: Limits) -> Result<Stored, StoreError> {
    let mut order: Vec<usize> = (0..batch.entries.len()).collect();
    order.sort_by_key(|index| {
        batch
            .entries
            .get(*index)
            .map_or(0, |(_, entry)| entry.time_ns)
    });
    append_in_order(conn, batch, order, limits)
}

/// The same, with ids in the order in which the entries are given.
pub(super) fn append_as_given(
    conn: &Connection,
    batch: &Batch,
    limits: Limits,
) -> Result<Stored, StoreError> {
    append_in_order(conn, batch, (0..batch.entries.len()).collect(), limits)
}

fn append_in_order(
    conn: &Connection,
    batch: &Batch,
    order: Vec<usize>,
    limits: Limits,
) -> Result<Stored, StoreError> {
    let max_entries = limits.entries;
    let mut ring = load(conn)?;
    let first_id = ring.next_id;
    let container_ids = container_ids(conn, &batch.containers)?;
    let mut deltas = Deltas::new();
    let mut fences: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let slot_size = slot_size(max_entries);

    let floor = ring.floor;
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let size = SlotSize {
            entries: slot_size,
            bytes: limits.bytes.map(|bytes| bytes / SLOTS.unsigned_abs()),
        };
        let room = room_in_slot(conn, &mut ring, size, &container_ids, &mut deltas)?;
        let (now, later) = rest.split_at(rest.len().min(room));
        rest = later;
        let mut slot = SlotWriter::new(conn, ring.slot)?;
        let mut bytes = 0;
        for (container, entry) in now.iter().filter_map(|index| batch.entries.get(*index)) {
            let id = ring.next_id;
            let container = container_ids.get(*container).copied().unwrap_or_default();
            slot.insert(id, container, entry)?;
            ring.next_id += 1;
            bytes += entry_bytes(entry);
            let key = (
                entry.time_ns.div_euclid(NANOS_PER_MINUTE),
                container,
                entry.level.code(),
                entry.stream.code(),
            );
            *deltas.entry(key).or_default() += 1;
            let fence = fences
                .entry(id >> FENCE_BITS)
                .or_insert((entry.time_ns, entry.time_ns));
            *fence = (fence.0.min(entry.time_ns), fence.1.max(entry.time_ns));
        }
        note_slot(conn, ring.slot, ring.next_id, bytes)?;
    }
    save_fences(conn, &fences)?;
    let displaced = ring.floor - floor;
    let target = (ring.next_id - max_entries)
        .min(ring.floor + batch.entries.len() as i64 + FORGOTTEN_AT_ONCE);
    raise_floor(conn, &mut ring, target, &mut deltas)?;
    apply(conn, &deltas)?;
    save(conn, ring, batch.scanned_ms)?;
    cursors::save(conn, &batch.states, &batch.gone, batch.scanned_ms)?;
    legacy::forget_original(conn, &batch.resumed)?;
    let is_too_large = match limits.bytes {
        Some(bytes) => keep::used_bytes(conn)? > bytes,
        None => false,
    };
    Ok(Stored {
        first_id,
        order,
        entries: ring.next_id - ring.floor,
        forgotten: ring.floor - floor - displaced,
        displaced,
        is_too_large,
    })
}

/// About what an entry adds to the database, before the index.
fn entry_bytes(entry: &NewEntry) -> usize {
    entry.message.len() + entry.fields.as_ref().map_or(0, |fields| fields.len()) + 64
}

/// The size of a slot: nine full ones hold the whole ring while the tenth fills.
fn slot_size(max_entries: i64) -> i64 {
    let ninth = max_entries / (SLOTS - 1) + i64::from(max_entries % (SLOTS - 1) != 0);
    ninth.max(SMALLEST_SLOT)
}

pub(super) fn load(conn: &Connection) -> Result<Ring, StoreError> {
    let mut statement = conn.prepare_cached("SELECT next_id, floor, slot FROM ring")?;
    Ok(statement.query_row([], |row| {
        Ok(Ring {
            next_id: row.get(0)?,
            floor: row.get(1)?,
            slot: row.get(2)?,
        })
    })?)
}

fn save(conn: &Connection, ring: Ring, scanned_ms: i64) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE ring SET next_id = ?1, floor = ?2, slot = ?3, scanned_ms = ?4")?
        .execute(params![ring.next_id, ring.floor, ring.slot, scanned_ms])?;
    Ok(())
}

/// The ids of the containers, new ones included.
fn container_ids(conn: &Connection, containers: &[ContainerName]) -> Result<Vec<i64>, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT id FROM containers WHERE name = ?1 AND project = ?2 AND service = ?3",
    )?;
    let mut add =
        conn.prepare_cached("INSERT INTO containers(name, project, service) VALUES (?1, ?2, ?3)")?;
    let mut ids = Vec::with_capacity(containers.len());
    for container in containers {
        let key = params![container.name, container.project, container.service];
        let known: Option<i64> = find.query_row(key, |row| row.get(0)).optional()?;
        ids.push(match known {
            Some(id) => id,
            None => add.insert(key)?,
        });
    }
    Ok(ids)
}

/// When a slot is full.
#[derive(Clone, Copy)]
struct SlotSize {
    entries: i64,
    /// Its share of the database.
    bytes: Option<u64>,
}

/// How many entries the current slot still takes; goes on to the next slot when it is full.
fn room_in_slot(
    conn: &Connection,
    ring: &mut Ring,
    size: SlotSize,
    used_containers: &[i64],
    deltas: &mut Deltas,
) -> Result<usize, StoreError> {
    let used = slot_bounds(conn, ring.slot)?.map_or(0, |(first, last)| last - first + 1);
    let is_full = used >= size.entries
        || match size.bytes {
            Some(most) if used > 0 => keep::slot_bytes(conn, ring.slot)? >= most,
            _ => false,
        };
    if !is_full {
        return Ok((size.entries - used) as usize);
    }
    ring.slot = (ring.slot + 1) % SLOTS;
    if let Some((_, last)) = slot_bounds(conn, ring.slot)? {
        // Nine full slots hold the ring, unless it was made larger since they were filled.
        raise_floor(conn, ring, last + 1, deltas)?;
        keep::empty_slot(conn, ring.slot, ring.floor)?;
        keep::forget_containers(conn, used_containers)?;
    }
    Ok(size.entries as usize)
}

pub(super) fn slot_bounds(conn: &Connection, n: i64) -> Result<Option<(i64, i64)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT first_id, last_id FROM slot WHERE n = ?1 AND first_id IS NOT NULL",
    )?;
    Ok(statement
        .query_row([n], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// The current slot now ends right before `next_id`.
fn note_slot(conn: &Connection, n: i64, next_id: i64, bytes: usize) -> Result<(), StoreError> {
    conn.prepare_cached(&format!(
        "UPDATE slot SET last_id = ?2, bytes = bytes + ?3, first_id = coalesce(first_id, (SELECT min(id) FROM e{n})) WHERE n = ?1"
    ))?
    .execute(params![n, next_id - 1, bytes as i64])?;
    Ok(())
}

/// Forgets all entries below `target`: they stay in their slots, but no longer count.
pub(super) fn raise_floor(
    conn: &Connection,
    ring: &mut Ring,
    target: i64,
    deltas: &mut Deltas,
) -> Result<(), StoreError> {
    let target = target.min(ring.next_id);
    if target <= ring.floor {
        return Ok(());
    }
    for n in 0..SLOTS {
        let Some((first, last)) = slot_bounds(conn, n)? else {
            continue;
        };
        if last < ring.floor || first >= target {
            continue;
        }
        let mut rows = conn.prepare_cached(&format!(
            "SELECT time, container, level, stream FROM e{n} WHERE id >= ?1 AND id < ?2"
        ))?;
        let mut rows = rows.query([ring.floor, target])?;
        while let Some(row) = rows.next()? {
            let minute = row.get::<_, i64>(0)?.div_euclid(NANOS_PER_MINUTE);
            *deltas
                .entry((minute, row.get(1)?, row.get(2)?, row.get(3)?))
                .or_default() -= 1;
        }
    }
    ring.floor = target;
    Ok(())
}

fn save_fences(conn: &Connection, fences: &BTreeMap<i64, (i64, i64)>) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO fence(block, min_time, max_time) VALUES (?1, ?2, ?3)
         ON CONFLICT(block) DO UPDATE SET min_time = min(min_time, excluded.min_time), max_time = max(max_time, excluded.max_time)",
    )?;
    for (block, (min, max)) in fences {
        statement.execute([block, min, max])?;
    }
    Ok(())
}

pub(super) fn apply(conn: &Connection, deltas: &Deltas) -> Result<(), StoreError> {
    let mut totals: HashMap<(i64, i64, i64), i64> = HashMap::new();
    let mut hours = Deltas::new();
    let mut add = conn.prepare_cached(
        "INSERT INTO hist(minute, container, level, stream, n) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    let mut clean = conn.prepare_cached(
        "DELETE FROM hist WHERE minute = ?1 AND container = ?2 AND level = ?3 AND stream = ?4 AND n = 0",
    )?;
    for ((minute, container, level, stream), n) in deltas.iter().filter(|(_, n)| **n != 0) {
        add.execute([minute, container, level, stream, n])?;
        if *n < 0 {
            clean.execute([minute, container, level, stream])?;
        }
        *totals.entry((*container, *level, *stream)).or_default() += n;
        let hour = minute.div_euclid(60);
        *hours
            .entry((hour, *container, *level, *stream))
            .or_default() += n;
    }
    apply_hours(conn, &hours)?;
    let mut add = conn.prepare_cached(
        "INSERT INTO tally(container, level, stream, n) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    let mut clean = conn.prepare_cached(
        "DELETE FROM tally WHERE container = ?1 AND level = ?2 AND stream = ?3 AND n = 0",
    )?;
    for ((container, level, stream), n) in totals {
        add.execute([container, level, stream, n])?;
        if n < 0 {
            clean.execute([container, level, stream])?;
        }
    }
    Ok(())
}

/// The same by hour.
fn apply_hours(conn: &Connection, deltas: &Deltas) -> Result<(), StoreError> {
    let mut add = conn.prepare_cached(
        "INSERT INTO hist_hour(hour, container, level, stream, n) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    let mut clean = conn.prepare_cached(
        "DELETE FROM hist_hour WHERE hour = ?1 AND container = ?2 AND level = ?3 AND stream = ?4 AND n = 0",
    )?;
    for ((hour, container, level, stream), n) in deltas {
        add.execute([hour, container, level, stream, n])?;
        if *n < 0 {
            clean.execute([hour, container, level, stream])?;
        }
    }
    Ok(())
}

/// The two insert statements of a slot.
struct SlotWriter<'c> {
    rows: CachedStatement<'c>,
    index: CachedStatement<'c>,
}

impl<'c> SlotWriter<'c> {
    fn new(conn: &'c Connection, n: i64) -> Result<Self, StoreError> {
        Ok(Self {
            rows: conn.prepare_cached(&format!(
                "INSERT INTO e{n}(id, time, container, stream, level, message, plain, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            ))?,
            index: conn.prepare_cached(&format!("INSERT INTO f{n}(rowid, message, k) VALUES (?1, ?2, ?3)"))?,
        })
    }

    fn insert(&mut self, id: i64, container: i64, entry: &NewEntry) -> Result<(), StoreError> {
        let (level, stream) = (entry.level.code(), entry.stream.code());
        let stripped = ansi::strip(&entry.message);
        let plain = match &stripped {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(text) => Some(text.as_str()),
        };
        self.rows.execute(params![
            id,
            entry.time_ns,
            container,
            stream,
            level,
            entry.message,
            plain,
            entry.fields
        ])?;
        let mut filters = format!("l{level} c{container} s{stream}");
        if let Some(fields) = &entry.fields {
            filters.push(' ');
            filters.push_str(fields);
        }
        self.index
            .execute(params![id, plain.unwrap_or(&entry.message), filters])?;
        Ok(())
    }
}
