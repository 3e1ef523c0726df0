//! What can go wrong, sorted by what the caller can do about it.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a read or write failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue is full: come back in a moment.
    #[error("the write queue is full")]
    Full,
    /// Another program holds the database for too long: come back in a moment.
    #[error("the database is locked by another program")]
    Busy,
    /// The disk is full, the file is damaged or read-only: nothing can be stored until that changes.
    #[error("the database cannot be used: {reason}")]
    Unavailable {
        /// What is the matter, for `/health` and the operator.
        reason: String,
    },
    /// The read took too long.
    #[error("the query took too long")]
    Deadline,
    /// The service is stopping.
    #[error("the database is closed")]
    Closed,
    /// The job panicked; what it did was undone.
    #[error("the job {0}")]
    Panicked(String),
    /// The job gave up; what it did was undone.
    #[error("{0}")]
    Job(String),
    /// Any other fault of SQLite, mostly a bug of ours.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(fault: rusqlite::Error) -> Self {
        match fault.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::Deadline,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(code) if sickness(code).is_some() => Self::Unavailable {
                reason: format!("{} ({fault})", sickness(code).unwrap_or_default()),
            },
            _ => Self::Sqlite(fault),
        }
    }
}

/// Faults of the file or the disk, as opposed to faults of a statement.
fn sickness(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::DiskFull => "the disk is full",
        ErrorCode::SystemIoFailure => "reading or writing the disk failed",
        ErrorCode::DatabaseCorrupt => "the database file is damaged",
        ErrorCode::NotADatabase => "the file is no database",
        ErrorCode::ReadOnly => "the database file is read-only",
        ErrorCode::CannotOpen => "the database file cannot be opened",
        _ => return None,
    })
}

impl StoreError {
    /// The reason, when it is one that keeps everything from being stored.
    pub(super) fn sickness(&self) -> Option<&str> {
        match self {
            Self::Unavailable { reason } => Some(reason),
            _ => None,
        }
    }

    /// The same verdict for another job of the same group.
    pub(super) fn for_neighbour(&self) -> Self {
        match self {
            Self::Unavailable { reason } => Self::Unavailable {
                reason: reason.clone(),
            },
            Self::Busy => Self::Busy,
            Self::Closed => Self::Closed,
            other => Self::Unavailable {
                reason: format!("the commit failed ({other})"),
            },
        }
    }
}

/// Why a database cannot be opened. Each text names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made.
    #[error(
        "DATABASE_PATH: cannot create the directory {0:?} ({1}); expected a path below a writable directory"
    )]
    Directory(PathBuf, std::io::Error),
    /// The file cannot be created or opened.
    #[error(
        "DATABASE_PATH: cannot open {0:?} ({1}); expected the path of a readable and writable file"
    )]
    File(PathBuf, std::io::Error),
    /// Another copy has it open.
    #[error(
        "DATABASE_PATH: {0:?} is in use by another running copy; expected a file of its own for each copy"
    )]
    InUse(PathBuf),
    /// It is something else.
    #[error(
        "DATABASE_PATH: {0:?} is no SQLite database, or a damaged one ({1}); expected a database of this service or no file"
    )]
    NotADatabase(PathBuf, rusqlite::Error),
    /// It was written by a later version.
    #[error(
        "DATABASE_PATH: {path:?} has schema version {found}, this program knows up to {known}; expected a program at least as new as the database"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// It was written by the original service.
    #[error(
        "DATABASE_PATH: {path:?} was written by the original Monlight (schema version {found}), which this version cannot take over yet; expected a new path"
    )]
    Original {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It was written by a version of the original that is not known.
    #[error(
        "DATABASE_PATH: {path:?} was written by another version of the original Monlight (schema version {found}), this program takes over {oldest} to {newest}; expected a new path, or a file that the latest original service has opened once"
    )]
    OtherOriginal {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The oldest one that can be taken over.
        oldest: u32,
        /// The newest one.
        newest: u32,
    },
    /// It was written by the original of another service.
    #[error(
        "DATABASE_PATH: {path:?} was written by the original {owner}; expected a database of this service, or no file"
    )]
    OriginalOfOther {
        /// The file.
        path: PathBuf,
        /// The service it is of.
        owner: &'static str,
    },
    /// It was written by the original service, and some program has it open.
    #[error(
        "DATABASE_PATH: {0:?} was written by the original Monlight and is in use by another program, so it cannot be taken over; expected that the original service and whatever else reads the file have been stopped"
    )]
    OriginalInUse(PathBuf),
    /// It was written by the original service, and taking it over failed. It is as it was.
    #[error(
        "DATABASE_PATH: cannot take over {path:?} of the original Monlight: {step} failed ({fault:#}); it keeps what it holds. Expected an undamaged file in a writable directory with free space of about three times its size"
    )]
    TakeOver {
        /// The file.
        path: PathBuf,
        /// What failed.
        step: &'static str,
        /// Why.
        fault: anyhow::Error,
    },
    /// It holds tables of something else.
    #[error(
        "DATABASE_PATH: {0:?} holds tables of another program; expected a database of this service or no file"
    )]
    Foreign(PathBuf),
    /// A migration failed; the file is as it was before it.
    #[error("DATABASE_PATH: cannot bring {path:?} to schema version {version} ({source})")]
    Migration {
        /// The file.
        path: PathBuf,
        /// The version that failed.
        version: u32,
        /// Why.
        source: rusqlite::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the writer thread ({0})")]
    Thread(std::io::Error),
    /// Any other fault of SQLite.
    #[error(
        "DATABASE_PATH: cannot use {0:?} ({1}); expected a readable and writable file in a writable directory"
    )]
    Sqlite(PathBuf, rusqlite::Error),
}
