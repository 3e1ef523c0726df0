//! A complete copy of a live database, by SQLite's online backup.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context as _;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::open;

/// Copies the database `source` to `target`, which must not exist; the copy appears under its name only when it is
/// whole, mode 0600. The source may be in use by a running service.
pub fn backup_file(source: &Path, target: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(source.is_file(), "there is no database at {source:?}");
    anyhow::ensure!(
        !target.exists(),
        "{target:?} exists already; expected a new path"
    );
    copy_to(&open::open_reader(source)?, target)
}

/// As [`backup_file`], of a database that is open already, to a path that is known to be free.
pub(super) fn copy_to(from: &Connection, target: &Path) -> anyhow::Result<()> {
    let unfinished = open::with_suffix(target, ".unfinished");
    // Held until the copy has its name, and closed after SQLite's connections: see `open::FileLock`.
    let _lock = create_empty(&unfinished)?;
    let copied = copy(from, &unfinished).and_then(|()| {
        std::fs::rename(&unfinished, target)
            .with_context(|| format!("cannot rename {unfinished:?} to {target:?}"))?;
        // The new name has to reach the disk as well.
        let directory = target.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    });
    if copied.is_err() {
        // The first fault is the one to tell.
        let _ = std::fs::remove_file(&unfinished);
    }
    copied
}

/// The empty file of a copy, locked against other backups. What a backup that was killed has left is written over.
fn create_empty(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {path:?}"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => anyhow::bail!("another backup is writing {path:?}"),
        // A file system without locks: two backups to one path are then up to whoever starts them.
        Err(TryLockError::Error(fault)) => {
            tracing::warn!(%fault, "cannot lock the unfinished copy");
        }
    }
    file.set_len(0)
        .with_context(|| format!("cannot empty {path:?}"))?;
    Ok(file)
}

fn copy(from: &Connection, target: &Path) -> anyhow::Result<()> {
    let mut to = open::open_backup_target(target)?;
    // All pages in one step: between steps the copy would start over whenever the service writes. In WAL mode this
    // read holds up no writer.
    let step = Backup::new(from, &mut to)?.step(-1)?;
    anyhow::ensure!(step == StepResult::Done, "the database is busy ({step:?})");
    // The copy should be one file: the WAL mode it inherited is left by whoever opens it first.
    to.close().map_err(|(_, fault)| fault)?;
    File::open(target)?.sync_all()?;
    Ok(())
}
