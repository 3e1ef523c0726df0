//! What lies in a container's directory, and where to start in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use super::discover::Container;
use super::file::{LogFile, file_id, read_head};
use crate::domain::cursor::{Cursor, HEAD_BYTES, Seen};

/// How far back the start of a line is looked for on a first start.
const LINE_START_SEARCH: u64 = 512 * 1024;

/// Where reading starts in a container without a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest file that is there.
    Beginning,
    /// With the last so many bytes of the current file, from a line start.
    Tail(u64),
}

/// A file of the container's directory.
pub(super) struct Listed {
    /// 0 is the current file, 1 the one rotated last.
    pub(super) rank: u32,
    pub(super) path: PathBuf,
    pub(super) handle: Option<File>,
    pub(super) stamp: (u64, i64, i64),
    pub(super) seen: Seen,
}

/// The files of a container, oldest first: `ID-json.log.2`, `ID-json.log.1`, `ID-json.log`.
pub(super) fn list(container: &Container, known: &[LogFile]) -> io::Result<Vec<Listed>> {
    let base = format!("{}-json.log", container.id);
    let mut files = Vec::new();
    for entry in fs::read_dir(&container.dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rank) = name.to_str().and_then(|name| rank(name, &base)) else {
            continue;
        };
        match look_at(rank, entry.path(), known) {
            Ok(Some(listed)) => files.push(listed),
            Ok(None) => {}
            // Renamed or deleted since the directory was read: the next look will see it.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.rank));
    Ok(files)
}

fn rank(name: &str, base: &str) -> Option<u32> {
    match name.strip_prefix(base)? {
        "" => Some(0),
        suffix => suffix.strip_prefix('.')?.parse().ok(),
    }
}

/// `None` for what is no regular file.
fn look_at(rank: u32, path: PathBuf, known: &[LogFile]) -> io::Result<Option<Listed>> {
    let found = fs::metadata(&path)?;
    if !found.is_file() {
        return Ok(None);
    }
    let stamp = stamp(&found);
    let id = file_id(&found);
    let unchanged = known
        .iter()
        .find(|file| !file.is_gone && file.cursor.file == id && file.stamp == stamp);
    if let Some(file) = unchanged {
        let seen = Seen {
            file: id,
            size: stamp.0,
            head: file.seen_head.clone(),
            is_unchanged: true,
        };
        return Ok(Some(Listed {
            rank,
            path,
            handle: None,
            stamp,
            seen,
        }));
    }
    // From here on the open file is looked at, not the name: another file may get that at any time.
    let handle = File::open(&path)?;
    let found = handle.metadata()?;
    let head = read_head(&handle)?;
    let seen = Seen {
        file: file_id(&found),
        size: found.size(),
        head,
        is_unchanged: false,
    };
    let stamp = self::stamp(&found);
    Ok(Some(Listed {
        rank,
        path,
        handle: Some(handle),
        stamp,
        seen,
    }))
}

fn stamp(found: &fs::Metadata) -> (u64, i64, i64) {
    (found.size(), found.mtime(), found.mtime_nsec())
}

/// The file of a container on a first start: rotated ones are left alone, the current one is read from near its end.
pub(super) fn start_file(listed: Listed, tail_bytes: u64) -> io::Result<LogFile> {
    let size = listed.seen.size;
    let wanted = if listed.rank == 0 {
        size.saturating_sub(tail_bytes)
    } else {
        size
    };
    let (position, skips_line) = match &listed.handle {
        Some(handle) if wanted > 0 => line_start(handle, wanted, size)?,
        _ => (wanted, false),
    };
    let mut head = listed.seen.head;
    head.truncate(usize::try_from(position).unwrap_or(HEAD_BYTES));
    let cursor = Cursor {
        file: listed.seen.file,
        head,
        position,
    };
    Ok(LogFile::starting_at(listed.path, cursor, skips_line))
}

/// The start of a line at or behind `wanted`; when there is none before the end of the file, the start of the last line,
/// which is still being written; when that is out of reach too, `wanted` itself, and the rest of that line is skipped.
fn line_start(file: &File, wanted: u64, size: u64) -> io::Result<(u64, bool)> {
    let mut block = vec![0; 64 * 1024];
    // One byte earlier: `wanted` may be the start of a line already.
    let mut at = wanted - 1;
    while at < size {
        let count = file.read_at(&mut block, at)?;
        if count == 0 {
            break;
        }
        if let Some(found) = memchr::memchr(b'\n', block.get(..count).unwrap_or_default()) {
            return Ok((at + found as u64 + 1, false));
        }
        at += count as u64;
    }
    let from = wanted.saturating_sub(LINE_START_SEARCH);
    let mut before = vec![0; usize::try_from(wanted - from).unwrap_or(0)];
    file.read_exact_at(&mut before, from)?;
    Ok(match memchr::memrchr(b'\n', &before) {
        Some(found) => (from + found as u64 + 1, false),
        None if from == 0 => (0, false),
        None => (wanted, true),
    })
}
