//! Takes over a database of the original service: every key with its number and its state, every source map, decoded anew.
//!
//! The original kept the texts of maps and never looked into them, so some may be no maps at all. What cannot be used is
//! left out, the log says so, and nothing of that stops the move; a copy of the file is kept in any case.

use monlight_shared::store::{Cells, Import, LARGEST_ID, StoreError, TakeOver, TakenOver};
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};

use super::dsn_keys::MOST_KEYS;
use super::map_rows::{self, DirectSink};
use crate::domain::dsn::{LONGEST_KEY, LONGEST_PROJECT};
use crate::domain::source_map::decode::{DecodeFault, Summary, decode};
use crate::domain::source_map::survey::survey;
use crate::domain::source_map::{MapFault, file_name, plain_path};

/// Takes over the schemas 1 to 3 of the original; the first has no maps, the third only adds indexes.
pub(crate) const TAKE_OVER: TakeOver = TakeOver {
    table: "dsn_keys",
    oldest: 1,
    newest: 3,
    import,
};

/// Bytes of a map's text: the most that the original took. One text at a time is in memory.
const LARGEST_MAP: i64 = 5 * 1024 * 1024;

fn import(import: &Import<'_>) -> Result<TakenOver, StoreError> {
    let mut taken = TakenOver::default();
    let keys = take_keys(import, &mut taken)?;
    let mut maps = Maps::default();
    if import.has_table("source_maps")? {
        maps = take_maps(import, &mut taken)?;
    }
    for table in ["dsn_keys", "source_maps"] {
        go_on_counting(import, table)?;
    }
    let Maps {
        decoded,
        unreadable,
    } = maps;
    taken.taken = format!(
        "{keys} DSN keys, {decoded} source maps; {unreadable} source maps that cannot be used"
    );
    Ok(taken)
}

fn take_keys(import: &Import<'_>, taken: &mut TakenOver) -> Result<i64, StoreError> {
    let mut statement = import
        .from
        .prepare("SELECT id, public_key, project, created_at, active FROM dsn_keys ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if count == MOST_KEYS {
            taken.remark(|| format!("key {id} is left out: there are {MOST_KEYS} before it"));
            continue;
        }
        match take_key(import, row, id)? {
            Ok(Mended(false)) => count += 1,
            Ok(Mended(true)) => {
                count += 1;
                taken.remark(|| format!("key {id}: its time was unreadable and was replaced"));
            }
            Err(why) => taken.remark(|| format!("key {id} is left out: {why}")),
        }
    }
    Ok(count)
}

/// Whether something in a row had to be replaced.
struct Mended(bool);

/// Stores a key, or says why it is of no use.
fn take_key(
    import: &Import<'_>,
    row: &Row<'_>,
    id: i64,
) -> Result<Result<Mended, &'static str>, StoreError> {
    let mut cells = Cells::of(row);
    let public_key = cells.text(1)?.unwrap_or_default();
    let project = cells.text(2)?.unwrap_or_default();
    if !(1..=LARGEST_ID).contains(&id) {
        return Ok(Err("no such number is possible"));
    }
    // Of such a project the original never took a thing either.
    if project.is_empty() || project.len() > LONGEST_PROJECT {
        return Ok(Err("its project has no name of 1 to 100 bytes"));
    }
    let visible = public_key.bytes().all(|byte| byte.is_ascii_graphic());
    if public_key.is_empty() || public_key.len() > LONGEST_KEY || !visible {
        return Ok(Err("its key is not 1 to 128 visible ASCII characters long"));
    }
    let created_at = cells.time(3)?;
    let inserted = import
        .into
        .prepare_cached(
            "INSERT OR IGNORE INTO dsn_keys (id, public_key, project, active, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            id,
            public_key,
            project,
            cells.integer(4)? == Some(1),
            created_at.unwrap_or(import.now_ms)
        ])?;
    if inserted == 0 {
        return Ok(Err("another one before it is the same"));
    }
    Ok(Ok(Mended(created_at.is_none())))
}

/// How many maps there were.
#[derive(Default)]
struct Maps {
    decoded: u64,
    unreadable: u64,
}

fn take_maps(import: &Import<'_>, taken: &mut TakenOver) -> Result<Maps, StoreError> {
    let mut statement = import.from.prepare(
        "SELECT id, project, release, file_url, uploaded_at, octet_length(map_content),
           CASE WHEN octet_length(map_content) <= ?1 THEN map_content END
         FROM source_maps ORDER BY id",
    )?;
    let mut rows = statement.query([LARGEST_MAP])?;
    let mut maps = Maps::default();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        import.into.execute_batch("SAVEPOINT one_map")?;
        match take_map(import, row, id)? {
            Ok(mended) => {
                maps.decoded += 1;
                if mended.0 {
                    taken.remark(|| format!("map {id}: what was unreadable was replaced"));
                }
            }
            Err(why) => {
                // The rows of the part that could be decoded.
                import.into.execute_batch("ROLLBACK TO one_map")?;
                maps.unreadable += 1;
                taken.remark(|| format!("map {id} is left out: {why}"));
            }
        }
        import.into.execute_batch("RELEASE one_map")?;
    }
    Ok(maps)
}

/// Decodes and stores a map, or says why it cannot be used.
fn take_map(
    import: &Import<'_>,
    row: &Row<'_>,
    id: i64,
) -> Result<Result<Mended, String>, StoreError> {
    if !(1..=LARGEST_ID).contains(&id) {
        return Ok(Err("no such number is possible".to_owned()));
    }
    let size: Option<i64> = row.get(5)?;
    let text = match row.get_ref(6)? {
        ValueRef::Text(text) | ValueRef::Blob(text) => text,
        _ if size > Some(LARGEST_MAP) => {
            return Ok(Err(format!("its text is longer than {LARGEST_MAP} bytes")));
        }
        _ => return Ok(Err("it has no text".to_owned())),
    };
    let (map_set, summary) = match decode_map(import, text) {
        Ok(decoded) => decoded,
        Err(DecodeFault::Map(fault)) => return Ok(Err(fault.to_string())),
        Err(DecodeFault::Sink(fault)) => return Err(fault),
    };
    let mut cells = Cells::of(row);
    let [project, release, file_url] =
        [cells.text(1)?, cells.text(2)?, cells.text(3)?].map(Option::unwrap_or_default);
    let uploaded_at = cells.time(4)?;
    let Summary { tokens, lines } = summary;
    let path = plain_path(&file_url);
    let inserted = import
        .into
        .prepare_cached(
            "INSERT OR IGNORE INTO source_maps
               (id, project, release, file_url, path, file_name, map_set, lines, tokens, size_bytes, uploaded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            id,
            project,
            release,
            file_url,
            path,
            file_name(&path),
            map_set,
            lines,
            tokens as i64,
            text.len() as i64,
            uploaded_at.unwrap_or(import.now_ms)
        ])?;
    if inserted == 0 {
        return Ok(Err("another one before it has the same name".to_owned()));
    }
    Ok(Ok(Mended(cells.mended || uploaded_at.is_none())))
}

fn decode_map(import: &Import<'_>, text: &[u8]) -> Result<(i64, Summary), DecodeFault<StoreError>> {
    // The readers of maps count on text.
    let text = std::str::from_utf8(text)
        .map_err(|_| MapFault::Invalid("its text is no UTF-8".to_owned()))?;
    let survey = survey(text.as_bytes())?;
    let map_set = map_rows::begin(import.into, import.now_ms).map_err(DecodeFault::Sink)?;
    let mut sink = DirectSink {
        conn: import.into,
        map_set,
    };
    Ok((map_set, decode(text.as_bytes(), &survey, &mut sink)?))
}

/// New rows get numbers behind all that the original ever gave.
fn go_on_counting(import: &Import<'_>, table: &str) -> Result<(), StoreError> {
    let given = import.highest_given_id(table)?;
    let known = import.into.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
        params![table, given],
    )?;
    if known == 0 {
        import.into.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
            params![table, given],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
