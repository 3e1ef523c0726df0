//! What lies in a container's directory, and where to start in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::discover::Container;
use super::file::{LogFile, file_id, is_compressed, read_head};
use crate::domain::cursor::{Cursor, HEAD_BYTES, Place, Seen, assign};

/// The files of a container beyond this, the oldest, are not looked at. Docker keeps as many as `max-file` says.
const MOST_FILES: usize = 256;
/// How often the files are looked at before their names have to be at rest.
const MOST_LOOKS: usize = 20;
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

/// What a look at a container's directory found.
#[derive(Default)]
pub(super) struct Listing {
    /// Oldest first: `ID-json.log.2.gz`, `ID-json.log.1`, `ID-json.log`.
    pub(super) files: Vec<Listed>,
    /// Which file cannot be looked at and why, the one that matters most.
    pub(super) trouble: Option<String>,
}

/// A name of a log file, and the inode that had it.
#[derive(PartialEq, Eq)]
struct Name {
    rank: u32,
    path: PathBuf,
    inode: u64,
}

/// Looks at the files of a container. A file that cannot be looked at right now does not hide the others; one that was
/// read before keeps its place.
///
/// A rotation in the middle of a look can hide a file: it was not yet under its new name and no longer under its old one.
/// Such a file would count as deleted, and as a new one the next time. So a look counts only when all names stayed with
/// their files from its beginning to its end.
///
/// # Errors
/// The directory cannot be read, or its names do not come to rest.
pub(super) fn list(container: &Container, known: &[LogFile]) -> io::Result<Listing> {
    let mut names = names(container)?;
    for _ in 0..MOST_LOOKS {
        let listing = look_at_all(&names, known);
        let now = self::names(container)?;
        if now == names {
            return Ok(listing);
        }
        names = now;
    }
    Err(io::Error::other("their names keep changing"))
}

/// Youngest first.
fn names(container: &Container) -> io::Result<Vec<Name>> {
    let base = format!("{}-json.log", container.id);
    let mut names = Vec::new();
    for entry in fs::read_dir(&container.dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(rank) = name.to_str().and_then(|name| rank(name, &base)) {
            names.push(Name {
                rank,
                path: entry.path(),
                inode: entry.ino(),
            });
        }
    }
    // Of two with one number the plain one is the original, so it counts as the younger.
    names.sort_by_cached_key(|name| (name.rank, is_compressed(&name.path)));
    names.truncate(MOST_FILES);
    Ok(names)
}

fn look_at_all(names: &[Name], known: &[LogFile]) -> Listing {
    let mut listing = Listing::default();
    for Name { rank, path, .. } in names.iter().rev() {
        match look_at(*rank, path.clone(), known) {
            Ok(Some(listed)) => listing.files.push(listed),
            Ok(None) => {
                let what = format!("{} is no regular file", path.display());
                listing.trouble = Some(what);
            }
            // Renamed or deleted since the directory was read: this look does not count.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => {
                listing.trouble = Some(format!("cannot read {}: {fault}", path.display()));
                listing.files.extend(as_known(*rank, path, known));
            }
        }
    }
    listing
}

fn rank(name: &str, base: &str) -> Option<u32> {
    match name.strip_prefix(base)? {
        "" => Some(0),
        suffix => {
            let number = suffix.strip_prefix('.')?;
            number.strip_suffix(".gz").unwrap_or(number).parse().ok()
        }
    }
}

/// `None` for what is no regular file: opening a FIFO would wait for somebody to write.
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
        return Ok(Some(as_before(rank, path, file)));
    }
    // From here on the open file is looked at, not the name: another file may get that at any time.
    let handle = File::open(&path)?;
    let found = handle.metadata()?;
    let is_compressed = is_compressed(&path);
    let head = read_head(&handle, is_compressed)?;
    let seen = Seen {
        file: file_id(&found),
        size: size(&found, is_compressed),
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

/// As the file was when it was looked at last.
fn as_before(rank: u32, path: PathBuf, file: &LogFile) -> Listed {
    let size = if is_compressed(&path) {
        u64::MAX
    } else {
        file.stamp.0
    };
    Listed {
        rank,
        path,
        handle: None,
        stamp: file.stamp,
        seen: Seen {
            file: file.cursor.file,
            size,
            head: file.seen_head.clone(),
            is_unchanged: true,
        },
    }
}

/// The same for a file that cannot be opened, by its name.
fn as_known(rank: u32, path: &Path, known: &[LogFile]) -> Option<Listed> {
    let file = known
        .iter()
        .find(|file| file.path == path && !file.is_gone)?;
    Some(as_before(rank, path.to_owned(), file))
}

/// Of what can be read in it, as [`Seen`] wants it.
fn size(found: &fs::Metadata, is_compressed: bool) -> u64 {
    if is_compressed {
        u64::MAX
    } else {
        found.size()
    }
}

fn stamp(found: &fs::Metadata) -> (u64, i64, i64) {
    (found.size(), found.mtime(), found.mtime_nsec())
}

/// The files of a container on a first start: rotated ones are left alone, the current one is read from near its end.
pub(super) fn start_files(listed: Vec<Listed>, tail_bytes: u64) -> io::Result<Vec<LogFile>> {
    let seen: Vec<Seen> = listed.iter().map(|file| file.seen.clone()).collect();
    // One that is just being compressed is its original's business.
    let originals = listed
        .into_iter()
        .zip(assign(&[], &seen))
        .filter(|(_, place)| *place != Place::Copy);
    originals
        .map(|(listed, _)| start_file(listed, tail_bytes))
        .collect()
}

/// One of them.
pub(super) fn start_file(listed: Listed, tail_bytes: u64) -> io::Result<LogFile> {
    if is_compressed(&listed.path) {
        let cursor = Cursor {
            file: listed.seen.file,
            position: listed.seen.head.len() as u64,
            head: listed.seen.head,
            read_whole: Some(listed.stamp.0),
        };
        return Ok(LogFile::starting_at(listed.path, cursor, false));
    }
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
    Ok(listed.from(position, skips_line))
}

impl Listed {
    /// Read from this position on, at once or behind the next line end.
    pub(super) fn from(self, position: u64, skips_line: bool) -> LogFile {
        let mut head = self.seen.head;
        head.truncate(usize::try_from(position).unwrap_or(HEAD_BYTES));
        let cursor = Cursor {
            file: self.seen.file,
            head,
            position,
            read_whole: None,
        };
        LogFile::starting_at(self.path, cursor, skips_line)
    }
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;

    use super::*;
    use crate::store::ring::ContainerName;

    /// A file that was hidden counted as deleted, then as new: all of it was stored twice.
    #[test]
    fn a_rotation_in_the_middle_of_a_look_hid_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let container = Container {
            id: "x".to_owned(),
            dir: dir.path().to_owned(),
            name: ContainerName::default(),
            created_ms: None,
        };
        let numbered = {
            let dir = dir.path().to_owned();
            move |number: u32| dir.join(format!("x-json.log.{number}"))
        };
        for number in 1..=3 {
            fs::write(numbered(number), format!("{number}\n")).expect("written");
        }
        let (go, wait) = mpsc::channel::<()>();
        let rotates = std::thread::spawn(move || {
            let mut first = 1;
            while wait.recv().is_ok() {
                for number in (first..first + 3).rev() {
                    fs::rename(numbered(number), numbered(number + 1)).expect("renamed");
                }
                first += 1;
            }
        });
        let mut settled = 0;
        for _ in 0..3000 {
            go.send(()).expect("it waits");
            // A machine that is busy may let many rotations pass in one look.
            let Ok(listing) = list(&container, &[]) else {
                continue;
            };
            settled += 1;
            let files: HashSet<_> = listing
                .files
                .iter()
                .map(|listed| listed.seen.file)
                .collect();
            assert_eq!((files.len(), listing.files.len()), (3, 3));
        }
        drop(go);
        rotates.join().expect("ended");
        assert!(settled > 1000, "{settled}");
    }
}
