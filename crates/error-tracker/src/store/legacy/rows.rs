//! Rows of the original's tables, whatever they hold.

use monlight_shared::store::Cells;
use rusqlite::{Connection, Row, Rows, Statement};
use serde_json::value::RawValue;

use crate::domain::fingerprint::Fingerprint;
use crate::domain::json;
use crate::domain::report::{ErrorReport, MAX_PROJECT_CHARS, MAX_TYPE_CHARS};
use crate::domain::session;

/// A row of `errors`. Numbers and times that are none are `None`.
#[derive(Debug)]
pub(super) struct LegacyGroup {
    pub(super) id: i64,
    pub(super) fingerprint: Fingerprint,
    pub(super) project: String,
    pub(super) exception_type: String,
    pub(super) message: String,
    pub(super) traceback: String,
    pub(super) count: Option<i64>,
    pub(super) first_seen: Option<i64>,
    pub(super) last_seen: Option<i64>,
    pub(super) resolved: bool,
    pub(super) resolved_at: Option<i64>,
    pub(super) environment: Option<String>,
    /// Whether some text was not what it should be.
    pub(super) mended: bool,
}

impl LegacyGroup {
    /// All of them by their numbers.
    pub(super) fn select(conn: &Connection) -> rusqlite::Result<Statement<'_>> {
        let environment: bool = conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info('errors') WHERE name = 'environment')",
            [],
            |row| row.get(0),
        )?;
        conn.prepare(&format!(
            "SELECT id, fingerprint, project, exception_type, message, traceback, count, first_seen, last_seen, resolved,
               resolved_at, {} FROM errors ORDER BY id",
            if environment { "environment" } else { "NULL" }
        ))
    }

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut cells = Cells::of(row);
        let project = cells.short_text(2, MAX_PROJECT_CHARS)?;
        let exception_type = cells.short_text(3, MAX_TYPE_CHARS)?;
        let traceback = cells.text(5)?.unwrap_or_default();
        let stored = cells.text(1)?.as_deref().and_then(from_hex);
        cells.mended |= stored.is_none();
        let fingerprint =
            stored.unwrap_or_else(|| Fingerprint::of(&project, &exception_type, &traceback));
        Ok(Self {
            id: row.get(0)?,
            fingerprint,
            project,
            exception_type,
            message: cells.text(4)?.unwrap_or_default(),
            traceback,
            count: cells.integer(6)?,
            first_seen: cells.time(7)?,
            last_seen: cells.time(8)?,
            resolved: cells.integer(9)?.is_some_and(|resolved| resolved != 0),
            resolved_at: cells.time(10)?,
            environment: cells.text(11)?,
            mended: cells.mended,
        })
    }
}

/// A row of `error_occurrences`.
#[derive(Debug)]
pub(super) struct LegacyReport {
    pub(super) number: i64,
    /// `None`: no group has such a number.
    group: Option<i64>,
    pub(super) time: Option<i64>,
    /// What a client would have sent, but for what is only kept with the group.
    pub(super) report: ErrorReport,
    /// Whether some text was not what it should be.
    pub(super) mended: bool,
}

impl LegacyReport {
    const COLUMNS: &'static str =
        "o.id, o.error_id, o.timestamp, o.request_url, o.request_method, o.request_headers,
        o.user_id, o.extra, o.traceback";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut cells = Cells::of(row);
        let extra = json_cell(&mut cells, 7)?;
        Ok(Self {
            number: row.get(0)?,
            group: cells.integer(1)?,
            time: cells.time(2)?,
            report: ErrorReport {
                project: String::new(),
                exception_type: String::new(),
                message: String::new(),
                traceback: cells.text(8)?.unwrap_or_default(),
                request_url: cells.text(3)?,
                request_method: cells.text(4)?,
                request_headers: json_cell(&mut cells, 5)?,
                user_id: cells.text(6)?,
                release: extra.as_deref().and_then(session::release_in),
                extra,
                level: None,
                environment: None,
                server_name: None,
                tags: None,
                fingerprint: None,
            },
            mended: cells.mended,
        })
    }
}

/// All reports by group and number, of a group when it is its turn.
pub(super) struct Reports<'s> {
    rows: Rows<'s>,
    ahead: Option<LegacyReport>,
    strays: u64,
}

impl<'s> Reports<'s> {
    /// Reads along an index, so that nothing has to be sorted; where it is missing, only numbers are.
    pub(super) fn select(conn: &Connection) -> rusqlite::Result<Statement<'_>> {
        let exists = |name: &str| -> rusqlite::Result<bool> {
            conn.query_row(
                "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)",
                [name],
                |row| row.get(0),
            )
        };
        let columns = LegacyReport::COLUMNS;
        if !exists("error_occurrences")? {
            return conn.prepare("SELECT 1 LIMIT 0");
        }
        if exists("idx_occurrence_error_id")? {
            return conn.prepare(&format!(
                "SELECT {columns} FROM error_occurrences o INDEXED BY idx_occurrence_error_id ORDER BY o.error_id, o.id"
            ));
        }
        conn.execute_batch(
            "CREATE TEMP TABLE by_group AS SELECT id FROM error_occurrences ORDER BY error_id, id",
        )?;
        conn.prepare(&format!(
            "SELECT {columns} FROM by_group b CROSS JOIN error_occurrences o ON o.id = b.id ORDER BY b.rowid"
        ))
    }

    pub(super) fn new(rows: Rows<'s>) -> Self {
        Self {
            rows,
            ahead: None,
            strays: 0,
        }
    }

    /// The next one of a group; groups must be asked for in the order of their numbers.
    pub(super) fn next_of(&mut self, group: i64) -> rusqlite::Result<Option<LegacyReport>> {
        loop {
            if self.ahead.is_none() {
                self.ahead = match self.rows.next()? {
                    Some(row) => Some(LegacyReport::from_row(row)?),
                    None => return Ok(None),
                };
            }
            match self.ahead.as_ref().and_then(|report| report.group) {
                Some(its) if its == group => return Ok(self.ahead.take()),
                Some(its) if its > group => return Ok(None),
                _ => {
                    self.ahead = None;
                    self.strays += 1;
                }
            }
        }
    }

    /// How many belong to no group, once all groups have been asked for.
    pub(super) fn strays(mut self) -> rusqlite::Result<u64> {
        self.strays += u64::from(self.ahead.is_some());
        while self.rows.next()?.is_some() {
            self.strays += 1;
        }
        Ok(self.strays)
    }
}

/// A JSON value in the form in which reports are kept. Text that is none becomes a JSON string.
fn json_cell(cells: &mut Cells<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let Some(text) = cells.text(column)? else {
        return Ok(None);
    };
    Ok(match serde_json::from_str::<&RawValue>(&text) {
        Ok(value) if value.get() == "null" => None,
        Ok(value) => Some(json::compact(value.get())),
        Err(_) => {
            cells.mended = true;
            let mut string = String::new();
            json::write_string(&mut string, &text);
            Some(string)
        }
    })
}

fn from_hex(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(position * 2..position * 2 + 2)?, 16).ok()?;
    }
    Some(Fingerprint::from_bytes(bytes))
}
