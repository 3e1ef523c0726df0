//! The only places that open connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::OpenError;
use super::migrate::{self, Schema};
use super::takeover;
use crate::metrics::Registry;

const STATEMENTS_KEPT: usize = 64;
/// How long a lock of another program, or of another connection, is waited for.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of its file a write-ahead log keeps that SQLite begins anew, in bytes. Twice what it has to hold before that
/// is tried, so that it is rarely cut; and little enough for the size of the file to say when it goes on growing.
pub(super) const WAL_KEPT: u64 = 32 * 1024 * 1024;

/// Holds the file open for as long as the database is in use, with an advisory lock that keeps a second copy out.
///
/// It must be closed after every connection: closing any descriptor of a file drops the POSIX locks that SQLite holds.
pub(super) struct FileLock {
    file: File,
    /// The database and its write-ahead log, and which files they were when they were opened.
    opened: Vec<(PathBuf, Option<Identity>)>,
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path)
        .ok()
        .map(|file| (file.dev(), file.ino()))
}

impl FileLock {
    fn of(file: File) -> Self {
        Self {
            file,
            opened: Vec::new(),
        }
    }

    /// The file that is held open.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Remembers which files are in use; to be called once the write-ahead log is there.
    pub(super) fn remember(&mut self, path: &Path) {
        self.opened = [path.to_owned(), with_suffix(path, "-wal")]
            .map(|file| (file.clone(), identity(&file)))
            .into();
    }

    /// The file that is no longer where it was opened. SQLite goes on writing into a removed or renamed file, in WAL mode
    /// without noticing, and all of that would be gone at the next start.
    pub(super) fn missing(&self) -> Option<&Path> {
        self.opened
            .iter()
            .find(|(path, opened)| opened.is_some() && identity(path) != *opened)
            .map(|(path, _)| path.as_path())
    }
}

/// The connection of the writer, its schema up to date. A file of the original is taken over first.
pub(super) fn open_writer(
    path: &Path,
    schema: &Schema,
    now_ms: i64,
) -> Result<(Connection, FileLock), OpenError> {
    let mut lock = create_and_lock(path)?;
    let sqlite = |fault| classify(path, fault);
    let mut conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    // Before anything is changed: what is refused stays as it is, in its journal mode too.
    let found = migrate::check(&conn, path, schema)?;
    if let Some(how) = &schema.take_over {
        takeover::clean(path);
        if how.reads(found) {
            takeover::run(conn, &lock, path, found, how, schema.migrations, now_ms)?;
            conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
        }
    }
    // A new file takes these two; for an existing one they change nothing.
    conn.execute_batch("PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;")
        .map_err(sqlite)?;
    conn.execute_batch(&format!(
        "PRAGMA journal_mode=WAL;
         PRAGMA synchronous=FULL;
         PRAGMA foreign_keys=ON;
         PRAGMA cache_size=-2048;
         PRAGMA temp_store=MEMORY;
         PRAGMA mmap_size=0;
         PRAGMA wal_autocheckpoint=4000;
         PRAGMA journal_size_limit={WAL_KEPT};"
    ))
    .map_err(sqlite)?;
    migrate::migrate(&mut conn, path, schema)?;
    lock.remember(path);
    Ok((conn, lock))
}

/// A connection that can only read.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where databases are opened"
)]
fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Without this, a statement whose plan might depend on bound values is compiled again each time it comes out of the
    // statement cache, which cost a third of the writer's time.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

/// A connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |fault| classify(path, fault);
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite)?;
    conn.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;").map_err(sqlite)?;
    Ok(conn)
}

/// A new, empty database for a backup.
pub(super) fn open_backup_target(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn create_and_lock(path: &Path) -> Result<FileLock, OpenError> {
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        std::fs::create_dir_all(directory)
            .map_err(|fault| OpenError::Directory(directory.to_owned(), fault))?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|fault| OpenError::File(path.to_owned(), fault))?;
    match file.try_lock() {
        Ok(()) => Ok(FileLock::of(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        // A file system without locks: SQLite's own locks still keep the data whole.
        Err(TryLockError::Error(fault)) => {
            tracing::warn!(%fault, "cannot lock the database file, a second copy would not be noticed");
            Ok(FileLock::of(file))
        }
    }
}

pub(super) fn classify(path: &Path, fault: rusqlite::Error) -> OpenError {
    match fault.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::NotADatabase(path.to_owned(), fault)
        }
        _ => OpenError::Sqlite(path.to_owned(), fault),
    }
}

/// Lets `/metrics` show how large the files are.
pub(super) fn register_sizes(path: &Path, metrics: &Registry) {
    let size = |path: PathBuf| {
        move || std::fs::metadata(&path).map_or(0.0, |metadata| metadata.len() as f64)
    };
    metrics.gauge_fn(
        "monlight_store_file_bytes",
        "Size of the database file.",
        &[],
        size(path.to_owned()),
    );
    metrics.gauge_fn(
        "monlight_store_wal_bytes",
        "Size of the write-ahead log.",
        &[],
        size(with_suffix(path, "-wal")),
    );
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
