//! Takes over a file that the original service wrote.
//!
//! ```text
//! its file ── fold in the write-ahead log, lock everybody out
//!    ├── copy ──▶ errors.db.original          complete before anything is changed
//!    ├── import ▶ errors.db.taking-over       our schema, built aside without syncs
//!    └◀─ replace the content, one transaction ─┘
//! ```
//!
//! Whatever stops it, at any point, leaves either the file of the original or ours. The copy stays, the file aside is
//! removed at the next start. Replacing the content (SQLite's backup, in the other direction) keeps the file itself, so
//! that mounted files, links and permissions stay what they are; and it brings the settings of our files along, for
//! which an existing file would need a VACUUM with as much memory or temporary space as there is data.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};

use super::backup;
use super::error::{OpenError, StoreError};
use super::migrate::{self, Migration};
use super::open::{self, FileLock};

const COPY_SUFFIX: &str = ".original";
const ASIDE_SUFFIX: &str = ".taking-over";
/// Copies of different files of one name; whoever has more of them should look.
const MOST_COPIES: u32 = 100;
const MOST_REMARKS: usize = 50;

/// How a service takes over a file of the original.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver {
    /// The table that tells the original's file of this service from those of the others.
    pub table: &'static str,
    /// The oldest schema version of the original that `import` reads.
    pub oldest: u32,
    /// The newest one.
    pub newest: u32,
    /// Copies all rows. Called inside a transaction, on empty tables; a failure leaves the original's file as it was.
    pub import: fn(&Import<'_>) -> Result<TakenOver, StoreError>,
}

/// The originals' services, each by a table that every version of its files has.
const OWNERS: [(&str, &str); 4] = [
    ("errors", "error-tracker"),
    ("log_entries", "log-viewer"),
    ("metrics_raw", "metrics-collector"),
    ("dsn_keys", "browser-relay"),
];

impl TakeOver {
    /// Which other service's original wrote the file.
    pub(super) fn other_owner(&self, conn: &Connection) -> rusqlite::Result<Option<&'static str>> {
        if conn.table_exists(None, self.table)? {
            return Ok(None);
        }
        for (table, service) in OWNERS {
            if conn.table_exists(None, table)? {
                return Ok(Some(service));
            }
        }
        Ok(None)
    }

    pub(super) fn reads(&self, version: u32) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

/// What an import works with.
#[derive(Debug)]
pub struct Import<'c> {
    /// The file of the original.
    pub from: &'c Connection,
    /// Ours, with all tables.
    pub into: &'c Connection,
    /// The schema version of `from`.
    pub version: u32,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// Larger ids are not exact in the JSON of most clients, and the largest leave no room for those that come after.
pub const LARGEST_ID: i64 = 1 << 53;

impl Import<'_> {
    /// Whether the file has this table; early versions of the original lack some.
    pub fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.from.table_exists(None, name)?)
    }

    /// The highest id that was ever given in a table with AUTOINCREMENT, as far as that can be believed.
    pub fn highest_given_id(&self, table: &str) -> Result<i64, StoreError> {
        // AUTOINCREMENT made the table of the sequences along with the first table.
        let given: Option<i64> = self.from.query_row(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = ?1 AND typeof(seq) = 'integer'",
            [table],
            |row| row.get(0),
        )?;
        Ok(given.unwrap_or(0).clamp(0, LARGEST_ID))
    }
}

/// What came of an import, for the log.
#[derive(Debug, Default)]
pub struct TakenOver {
    /// In words, such as `18 groups, 63 reports`.
    pub taken: String,
    remarks: Vec<String>,
    further_remarks: usize,
}

impl TakenOver {
    /// Notes what was left out or mended. Only the first few are kept; it names rows by their ids, never by what they hold.
    pub fn remark(&mut self, text: impl FnOnce() -> String) {
        if self.remarks.len() < MOST_REMARKS {
            self.remarks.push(text());
        } else {
            self.further_remarks += 1;
        }
    }

    /// The first of what was noted.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    fn log(&self) {
        for remark in &self.remarks {
            tracing::warn!("file of the original service: {remark}");
        }
        if self.further_remarks > 0 {
            tracing::warn!(
                "file of the original service: {} more of this kind",
                self.further_remarks
            );
        }
    }
}

/// Removes what a take-over that was cut has left. Only for the holder of the lock.
pub(super) fn clean(path: &Path) {
    if remove(&open::with_suffix(path, ASIDE_SUFFIX)) {
        tracing::info!("removed what an unfinished take-over had left");
    }
}

/// Removes a file that is of no use any more; `false` when there was none.
fn remove(path: &Path) -> bool {
    let removed = std::fs::remove_file(path);
    match &removed {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%fault, "cannot remove {path:?}");
        }
        _ => {}
    }
    removed.is_ok()
}

/// Turns the original's file at `path`, open as `conn`, into one of ours.
pub(super) fn run(
    mut conn: Connection,
    lock: &FileLock,
    path: &Path,
    version: u32,
    how: &TakeOver,
    migrations: &[Migration],
    now_ms: i64,
) -> Result<(), OpenError> {
    tracing::info!(version, "taking over a file of the original service");
    let failed = |step| {
        let path = path.to_owned();
        move |fault| OpenError::TakeOver { path, step, fault }
    };
    lock_out_others(&conn).map_err(|fault| match fault.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OpenError::OriginalInUse(path.to_owned())
        }
        _ => failed("folding in its write-ahead log")(fault.into()),
    })?;
    let copy = keep_copy(&conn, lock, path).map_err(failed("copying it"))?;
    let aside = open::with_suffix(path, ASIDE_SUFFIX);
    let replaced = build(&conn, &aside, version, how, migrations, now_ms)
        .map_err(failed("importing its rows"))
        .and_then(|taken| {
            replace(&aside, &mut conn).map_err(failed("replacing its content"))?;
            Ok(taken)
        });
    remove(&aside);
    let taken = replaced?;
    taken.log();
    tracing::info!(
        taken_over = taken.taken,
        "the file of the original service is taken over; a copy of it is kept as {copy:?}"
    );
    Ok(())
}

/// Folds the write-ahead log in, which fails when another program has the file open, and holds SQLite's own lock from
/// here on: until `conn` is closed, not even a reader gets in.
fn lock_out_others(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0))?;
    if mode != "delete" {
        return Err(busy());
    }
    conn.execute_batch(
        "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;
         PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;",
    )
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, None)
}

/// Writes a complete copy beside the file, unless an earlier attempt has done so; answers its path.
fn keep_copy(conn: &Connection, lock: &FileLock, path: &Path) -> anyhow::Result<PathBuf> {
    for number in 1..=MOST_COPIES {
        let suffix = match number {
            1 => COPY_SUFFIX.to_owned(),
            _ => format!("{COPY_SUFFIX}-{number}"),
        };
        let copy = open::with_suffix(path, &suffix);
        if !copy.try_exists()? {
            backup::copy_to(conn, &copy)?;
            return Ok(copy);
        }
        if same_content(lock.file(), &copy).with_context(|| format!("cannot read {copy:?}"))? {
            return Ok(copy);
        }
    }
    anyhow::bail!("there are {MOST_COPIES} copies of other files; remove those that are not needed")
}

/// Whether two database files differ in nothing but what opening and copying changes. `file` must be complete, without a
/// write-ahead log. It is read through a descriptor that stays open: closing one would end SQLite's locks.
fn same_content(file: &File, copy: &Path) -> io::Result<bool> {
    let mut copy = File::open(copy)?;
    let length = file.metadata()?.len();
    if copy.metadata()?.len() != length {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut ignored = Vec::new();
    let mut at = 0;
    while at < length {
        let part = usize::try_from(length - at).map_or(ours.len(), |left| left.min(ours.len()));
        file.read_exact_at(&mut ours[..part], at)?;
        copy.read_exact(&mut theirs[..part])?;
        if at == 0 {
            ignored = incidental(&ours[..part]);
        }
        for range in &ignored {
            let within = |position: u64| position.clamp(at, at + part as u64) - at;
            let range = within(range.start) as usize..within(range.end) as usize;
            ours[range.clone()].fill(0);
            theirs[range].fill(0);
        }
        if ours[..part] != theirs[..part] {
            return Ok(false);
        }
        at += part as u64;
    }
    Ok(true)
}

/// The bytes of a database file that say nothing about its content, see <https://sqlite.org/fileformat2.html>: how it is
/// journalled, the counters of changes, who wrote last; and the page that SQLite only locks.
fn incidental(header: &[u8]) -> Vec<Range<u64>> {
    const LOCKED: u64 = 0x4000_0000;
    let page = match header.get(16..18) {
        Some(&[0, 1]) => 65_536,
        Some(&[high, low]) => u64::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let locked = match page {
        0 => LOCKED..LOCKED,
        page => LOCKED / page * page..(LOCKED / page + 1) * page,
    };
    vec![18..20, 24..28, 40..44, 92..100, locked]
}

/// Builds our database in a file of its own. It may be in any state after a crash, so nothing is synced.
fn build(
    from: &Connection,
    aside: &Path,
    version: u32,
    how: &TakeOver,
    migrations: &[Migration],
    now_ms: i64,
) -> anyhow::Result<TakenOver> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(aside)
        .with_context(|| format!("cannot create {aside:?}"))?;
    let mut into = open::open_backup_target(aside)?;
    into.execute_batch(
        "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF;
         PRAGMA locking_mode=EXCLUSIVE; PRAGMA foreign_keys=OFF; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;",
    )?;
    let all = into.transaction()?;
    for migration in migrations {
        migrate::apply(&all, migration)?;
    }
    let taken = (how.import)(&Import {
        from,
        into: &all,
        version,
        now_ms,
    })?;
    all.commit()?;
    into.close().map_err(|(_, fault)| fault)?;
    Ok(taken)
}

/// Puts the content of the file aside in place of the other one's, in one transaction of SQLite.
fn replace(aside: &Path, conn: &mut Connection) -> anyhow::Result<()> {
    conn.flush_prepared_statement_cache();
    let from = open::open_reader(aside)?;
    let step = Backup::new(&from, conn)?.step(-1)?;
    anyhow::ensure!(step == StepResult::Done, "the file is busy ({step:?})");
    Ok(())
}
