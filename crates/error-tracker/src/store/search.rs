//! The words of the groups' texts.
//!
//! Groups are indexed behind their reports, in the order of their numbers up to a watermark. The few above it are
//! matched by their texts, by the same rules. The index holds the beginning of each text only, and so does a match.

use monlight_shared::search_text::{Expression, Matcher, SearchText};
use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row};

/// So much of a message and of a traceback is searched.
const SEARCHED_BYTES: usize = 16 * 1024;
/// One job of the writer indexes at most so many groups, and stops behind so much text: some milliseconds.
const GROUPS_IN_SLICE: usize = 64;
const BYTES_IN_SLICE: usize = 64 * 1024;
/// Index pages that one merge writes at most.
const MERGED_PAGES: i64 = 16;

/// The greatest number whose group is indexed.
pub fn watermark(conn: &Connection) -> Result<i64, StoreError> {
    let id = conn
        .prepare_cached("SELECT group_id FROM search_watermark WHERE id = 1")?
        .query_row([], |row| row.get(0))?;
    Ok(id)
}

/// How many groups are not indexed yet, counted up to `most`.
pub fn behind(conn: &Connection, most: i64) -> Result<i64, StoreError> {
    let groups = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM group_texts WHERE group_id > ?1 LIMIT ?2)",
        )?
        .query_row((watermark(conn)?, most), |row| row.get(0))?;
    Ok(groups)
}

/// Indexes some groups, and answers whether there may be more.
pub fn index_some(conn: &Connection) -> Result<bool, StoreError> {
    let mut read = conn.prepare_cached(TEXTS_ABOVE)?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO group_search (rowid, exception_type, message, traceback) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut rows = read.query([watermark(conn)?])?;
    let (mut last, mut groups, mut bytes) = (None, 0, 0);
    while groups < GROUPS_IN_SLICE
        && bytes < BYTES_IN_SLICE
        && let Some(row) = rows.next()?
    {
        let (id, texts) = (row.get::<_, i64>(0)?, texts(row)?);
        insert.execute((id, texts[0], texts[1], texts[2]))?;
        last = Some(id);
        groups += 1;
        bytes += texts.iter().map(|text| text.len()).sum::<usize>();
    }
    let Some(last) = last else {
        return Ok(false);
    };
    conn.prepare_cached("UPDATE search_watermark SET group_id = ?1 WHERE id = 1")?
        .execute([last])?;
    Ok(true)
}

/// Merges some of what [`index_some`] wrote, and answers whether there was anything to merge. Left to itself, the index
/// would merge much at a time now and then, and reports would wait for it.
pub fn merge_some(conn: &Connection) -> Result<bool, StoreError> {
    let changes = conn.total_changes();
    conn.prepare_cached("INSERT INTO group_search (group_search, rank) VALUES ('merge', ?1)")?
        .execute([MERGED_PAGES])?;
    // One change is the command itself.
    Ok(conn.total_changes() - changes > 1)
}

pub(super) const TEXTS_ABOVE: &str = "SELECT group_id, exception_type, message, traceback FROM group_texts WHERE group_id > ?1 ORDER BY group_id";

pub(super) const HITS: &str =
    "SELECT rowid FROM group_search WHERE group_search MATCH ?1 ORDER BY rowid DESC";

/// The searched texts of a row that has them behind its first column.
fn texts<'r>(row: &'r Row<'_>) -> Result<[&'r str; 3], StoreError> {
    let text = |column| -> Result<&'r str, StoreError> {
        let text = row
            .get_ref(column)?
            .as_str()
            .map_err(rusqlite::Error::from)?;
        let (beginning, _) = text.split_at(text.floor_char_boundary(SEARCHED_BYTES));
        Ok(beginning)
    };
    Ok([text(1)?, text(2)?, text(3)?])
}

/// Whether the texts of single groups match.
pub(super) struct TextTest<'c, 's> {
    texts: rusqlite::CachedStatement<'c>,
    matcher: Matcher<'s>,
}

impl<'c, 's> TextTest<'c, 's> {
    pub(super) fn new(conn: &'c Connection, search: &'s SearchText) -> Result<Self, StoreError> {
        Ok(Self {
            texts: conn.prepare_cached(
                "SELECT group_id, exception_type, message, traceback FROM group_texts WHERE group_id = ?1",
            )?,
            matcher: Matcher::new(search),
        })
    }

    pub(super) fn matches(&mut self, id: i64) -> Result<bool, StoreError> {
        let mut rows = self.texts.query([id])?;
        match rows.next()? {
            Some(row) => Ok(self.matcher.matches(&texts(row)?)),
            None => Ok(false),
        }
    }
}

/// Visits groups that a search finds, until `visit` says `false`. Answers whether they are those that are *not* wanted.
pub(super) fn visit(
    conn: &Connection,
    search: &SearchText,
    mut visit: impl FnMut(i64) -> bool,
) -> Result<bool, StoreError> {
    let (expression, unwanted) = match search.expression() {
        Expression::Matching(expression) => (expression, false),
        Expression::NotMatching(expression) => (expression, true),
    };
    // The newest first: when not all are taken, they are those that the top of a list most likely shows.
    let mut above = conn.prepare_cached(TEXTS_ABOVE)?;
    let mut rows = above.query([watermark(conn)?])?;
    let mut matcher = Matcher::new(search);
    while let Some(row) = rows.next()? {
        if matcher.matches(&texts(row)?) != unwanted && !visit(row.get(0)?) {
            return Ok(unwanted);
        }
    }
    let mut indexed = conn.prepare_cached(HITS)?;
    let mut rows = indexed.query([expression])?;
    while let Some(row) = rows.next()? {
        if !visit(row.get(0)?) {
            break;
        }
    }
    Ok(unwanted)
}

/// Whether the newest group is indexed; the cheapest question whether there is something to do.
pub fn is_current(conn: &Connection) -> Result<bool, StoreError> {
    let newest: Option<i64> = conn
        .prepare_cached("SELECT group_id FROM group_texts ORDER BY group_id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.is_none_or(|newest| watermark(conn).is_ok_and(|indexed| indexed >= newest)))
}
