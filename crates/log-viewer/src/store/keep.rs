//! Forgetting by age and by size, beside the number of entries that [`super::ring`] keeps to.
//!
//! Entries are forgotten by raising the floor, in slices; a slot that lies below it is emptied whole, which gives its
//! pages back to the file, and shrinking gives those back to the file system.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use super::ring::{self, Deltas, FENCE_BITS, FORGOTTEN_AT_ONCE, Ring};

/// Pages given back to the file system in one transaction.
const PAGES_IN_SLICE: i64 = 256;

/// What a slice of forgetting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// How many entries are gone.
    pub forgotten: i64,
    /// There may be more to do.
    pub has_more: bool,
}

/// Forgets the oldest entries while there are more than `most`, because the ring was made smaller. Call it in a write job,
/// until there is no more.
pub fn forget_excess(conn: &Connection, most: i64) -> Result<Slice, StoreError> {
    let ring = ring::load(conn)?;
    let target = ring.next_id - most;
    let forgotten = forget_below(
        conn,
        ring,
        target.min(ring.floor.saturating_add(FORGOTTEN_AT_ONCE)),
    )?;
    Ok(Slice {
        forgotten,
        has_more: ring.floor + forgotten < target,
    })
}

/// Forgets entries from before `oldest_ns`, up to the first one that is younger. Call it in a write job, until there is no
/// more.
pub fn forget_older(conn: &Connection, oldest_ns: i64) -> Result<Slice, StoreError> {
    let ring = ring::load(conn)?;
    let most = ring
        .next_id
        .min(ring.floor.saturating_add(FORGOTTEN_AT_ONCE));
    let mut target = ring.floor;
    // Whole blocks by their fences, the rest entry by entry.
    let mut fences = conn.prepare_cached(
        "SELECT block, max_time FROM fence WHERE block >= ?1 AND block <= ?2 ORDER BY block",
    )?;
    let mut rows = fences.query([ring.floor >> FENCE_BITS, most >> FENCE_BITS])?;
    while let Some(row) = rows.next()? {
        let (block, max_time): (i64, i64) = (row.get(0)?, row.get(1)?);
        if max_time >= oldest_ns {
            target = first_younger(conn, target, (block + 1) << FENCE_BITS, oldest_ns)?;
            break;
        }
        target = (block + 1) << FENCE_BITS;
    }
    let target = target.min(most);
    let forgotten = forget_below(conn, ring, target)?;
    Ok(Slice {
        forgotten,
        has_more: forgotten > 0 && target == most && most < ring.next_id,
    })
}

/// The first id from `first` on whose time is not before `oldest_ns`, or `end`.
fn first_younger(
    conn: &Connection,
    first: i64,
    end: i64,
    oldest_ns: i64,
) -> Result<i64, StoreError> {
    for (n, low, high) in slots(conn)? {
        if high < first || low >= end {
            continue;
        }
        let found: Option<i64> = conn
            .prepare_cached(&format!(
                "SELECT id FROM e{n} WHERE id >= ?1 AND id < ?2 AND time >= ?3 ORDER BY id LIMIT 1"
            ))?
            .query_row([first, end, oldest_ns], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
    }
    Ok(end)
}

/// Forgets entries of the oldest slot, when it is not the one that is being filled, while the database holds more than
/// `max_bytes`. Call it in a write job, until there is no more.
pub fn forget_oldest_slot(conn: &Connection, max_bytes: u64) -> Result<Slice, StoreError> {
    if used_bytes(conn)? <= max_bytes {
        return Ok(Slice::default());
    }
    let ring = ring::load(conn)?;
    let oldest = slots(conn)?.into_iter().find(|(n, _, _)| *n != ring.slot);
    let Some((_, _, last)) = oldest else {
        return Ok(Slice::default());
    };
    let target = (last + 1).min(ring.floor.saturating_add(FORGOTTEN_AT_ONCE));
    Ok(Slice {
        forgotten: forget_below(conn, ring, target)?,
        has_more: true,
    })
}

/// Gives free pages back to the file system while the file is larger than `max_bytes`. `true` when there may be more.
pub fn shrink(conn: &Connection, max_bytes: u64) -> Result<bool, StoreError> {
    let free = pragma(conn, "freelist_count")?;
    let size = pragma(conn, "page_count")? * pragma(conn, "page_size")?;
    if free == 0 || size.unsigned_abs() <= max_bytes {
        return Ok(false);
    }
    // The pragma frees a page with each step.
    let mut statement =
        conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_IN_SLICE})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(pragma(conn, "freelist_count")? < free)
}

/// How many entries there are.
pub fn entries(conn: &Connection) -> Result<i64, StoreError> {
    let ring = ring::load(conn)?;
    Ok(ring.next_id - ring.floor)
}

/// The bytes of the database that hold something.
pub fn used_bytes(conn: &Connection) -> Result<u64, StoreError> {
    let pages = pragma(conn, "page_count")? - pragma(conn, "freelist_count")?;
    Ok((pages * pragma(conn, "page_size")?).unsigned_abs())
}

fn pragma(conn: &Connection, name: &str) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached(&format!("PRAGMA {name}"))?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// About how many bytes of the database a slot takes: its share of the text.
pub(super) fn slot_bytes(conn: &Connection, n: i64) -> Result<u64, StoreError> {
    let (own, all): (i64, i64) = conn
        .prepare_cached(
            "SELECT (SELECT bytes FROM slot WHERE n = ?1), (SELECT sum(bytes) FROM slot)",
        )?
        .query_row([n], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let used = used_bytes(conn)? as f64;
    Ok((used * own as f64 / all.max(1) as f64) as u64)
}

/// Raises the floor and empties the slots that lie below it. How many entries went.
fn forget_below(conn: &Connection, mut ring: Ring, target: i64) -> Result<i64, StoreError> {
    if target <= ring.floor {
        return Ok(0);
    }
    let before = ring.floor;
    let mut deltas = Deltas::new();
    ring::raise_floor(conn, &mut ring, target, &mut deltas)?;
    ring::apply(conn, &deltas)?;
    conn.prepare_cached("UPDATE ring SET floor = ?1")?
        .execute([ring.floor])?;
    let mut has_emptied = false;
    for (n, _, last) in slots(conn)? {
        if last < ring.floor {
            empty_slot(conn, n, ring.floor)?;
            has_emptied = true;
        }
    }
    if has_emptied {
        forget_containers(conn, &[])?;
    }
    Ok(ring.floor - before)
}

/// Number, first and last id of the slots that hold something; oldest first.
fn slots(conn: &Connection) -> Result<Vec<(i64, i64, i64)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT n, first_id, last_id FROM slot WHERE first_id IS NOT NULL ORDER BY first_id",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Empties a slot whose entries no longer count: the trees of rows and index are cut whole.
pub(super) fn empty_slot(conn: &Connection, n: i64, floor: i64) -> Result<(), StoreError> {
    conn.prepare_cached(&format!("DELETE FROM e{n}"))?
        .execute([])?;
    conn.prepare_cached(&format!("INSERT INTO f{n}(f{n}) VALUES ('delete-all')"))?
        .execute([])?;
    conn.prepare_cached("UPDATE slot SET first_id = NULL, last_id = NULL, bytes = 0 WHERE n = ?1")?
        .execute([n])?;
    conn.prepare_cached("DELETE FROM fence WHERE block < ?1")?
        .execute([floor >> FENCE_BITS])?;
    Ok(())
}

/// Drops the names of containers that have no entry left.
pub(super) fn forget_containers(conn: &Connection, used: &[i64]) -> Result<(), StoreError> {
    let mut unused = conn.prepare_cached(
        "SELECT id FROM containers WHERE id NOT IN (SELECT container FROM tally)",
    )?;
    let ids: Vec<i64> = unused
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut delete = conn.prepare_cached("DELETE FROM containers WHERE id = ?1")?;
    for id in ids.iter().filter(|id| !used.contains(id)) {
        delete.execute(params![id])?;
    }
    Ok(())
}
