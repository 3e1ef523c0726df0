//! Goes on in a container's files where the original service stopped.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::discover::Container;
use super::file::{LogFile, is_compressed};
use super::listing::{Listed, Start, list, start_file};
use crate::domain::docker_line;
use crate::domain::taken_over::{marks, overlap};
use crate::store::cursors::FollowState;
use crate::store::legacy::OriginalCursor;

/// How much behind the position is compared with what is stored, and how many lines of it.
const MOST_COMPARED: u64 = 64 * 1024 * 1024;
const MOST_LINES: usize = 100_000;
/// The original gave up a file with a longer line.
const LONGEST_LINE: u64 = 64 * 1024;

/// Where to go on in a container's files; `None` when they are another container's of the same name.
///
/// The file with the inode goes on at the position, unless it begins with something written later: then it is a new one
/// that got the inode. After a move to another disk it is the one that has a line that is stored right before the
/// position. Rotated files that are older than it were read, younger ones were not. When the file is gone, those that begin
/// after the original's last look were not read.
///
/// `stored` answers what the newest stored lines are compared by.
pub(super) fn resume(
    container: &Container,
    cursor: &OriginalCursor,
    start: Start,
    stored: &dyn Fn() -> anyhow::Result<Vec<u64>>,
) -> anyhow::Result<Option<FollowState>> {
    let listing = list(container, &[])?;
    if let Some(trouble) = listing.trouble {
        // It may be the one; the next look will see it.
        anyhow::bail!(trouble);
    }
    let listed = listing.files;
    let could_be = |file: &Listed| !is_compressed(&file.path) && !begins_after(file, cursor);
    let mut found = listed
        .iter()
        .position(|file| file.seen.file.inode == cursor.inode && could_be(file));
    if found.is_none() {
        if container.id != cursor.container_id {
            return Ok(None);
        }
        let stored: HashSet<u64> = stored()?.into_iter().collect();
        for (index, file) in listed.iter().enumerate() {
            if could_be(file) && has_before(file, cursor.position, &stored)? {
                found = Some(index);
            }
        }
    }
    let mut files = Vec::new();
    for (index, file) in listed.into_iter().enumerate() {
        let is_unread = match found {
            Some(found) => index > found,
            None => begins_after(&file, cursor),
        };
        if is_unread {
            continue;
        }
        let file = if Some(index) == found {
            known_file(file, cursor.position, stored)?
        } else {
            old_file(file, start)?
        };
        let name = file.path.file_name().unwrap_or_default();
        files.push((name.to_string_lossy().into_owned(), file.cursor));
    }
    Ok(Some(FollowState {
        container_id: container.id.clone(),
        files,
        open: None,
    }))
}

/// Whether a file has one of these lines right before a position.
fn has_before(file: &Listed, position: u64, stored: &HashSet<u64>) -> io::Result<bool> {
    let (Some(handle), 1..) = (&file.handle, position) else {
        return Ok(false);
    };
    if position > file.seen.size || line_start(handle, position)? != position {
        return Ok(false);
    }
    let from = line_start(handle, position - 1)?;
    let (read, _) = lines_behind(handle, from, position - from)?;
    Ok(read.last().is_some_and(|mark| stored.contains(mark)))
}

/// Whether the first record of a file was written after the original's last look. An empty file counts as new.
fn begins_after(file: &Listed, cursor: &OriginalCursor) -> bool {
    let first = file.seen.head.split(|byte| *byte == b'\n').next();
    let Some(first) = first.filter(|line| !line.is_empty()) else {
        return file.stamp.0 == 0;
    };
    let record = docker_line::parse(first).ok();
    let time_ns = record.and_then(|record| record.time_ns);
    // Both are of one clock, and the cursor's is in whole seconds.
    time_ns.is_some_and(|time_ns| {
        time_ns.div_euclid(1_000_000_000) > cursor.updated_ms.div_euclid(1000)
    })
}

/// A file that was there before, and is not the one with the cursor: as on a first start.
fn old_file(file: Listed, start: Start) -> io::Result<LogFile> {
    match start {
        Start::Tail(bytes) => start_file(file, bytes),
        Start::Beginning => start_file(file, u64::MAX),
    }
}

/// The file that the original was reading, at the first line of it that is not stored.
fn known_file(
    listed: Listed,
    position: u64,
    stored: &dyn Fn() -> anyhow::Result<Vec<u64>>,
) -> anyhow::Result<LogFile> {
    // A file shorter than that was truncated and written again, as the original saw it too.
    let mut position = if position > listed.seen.size {
        0
    } else {
        position
    };
    if let Some(handle) = &listed.handle {
        position = line_start(handle, position)?;
        let (read, ends) = lines_behind(handle, position, MOST_COMPARED)?;
        if !read.is_empty() {
            let known = overlap(&stored()?, &read);
            if let Some(end) = known.checked_sub(1).and_then(|last| ends.get(last)) {
                position = *end;
            }
        }
    }
    Ok(listed.from(position, false))
}

/// The start of the line that a position is in.
fn line_start(file: &File, position: u64) -> io::Result<u64> {
    let from = position.saturating_sub(LONGEST_LINE);
    let mut before = vec![0; usize::try_from(position - from).unwrap_or(0)];
    file.read_exact_at(&mut before, from)?;
    Ok(match memchr::memrchr(b'\n', &before) {
        Some(found) => from + found as u64 + 1,
        None if from == 0 => 0,
        None => position,
    })
}

/// What the lines of so many bytes behind a position are compared by, and where each of them ends.
fn lines_behind(file: &File, position: u64, bytes: u64) -> io::Result<(Vec<u64>, Vec<u64>)> {
    let (mut read, mut ends) = (Vec::new(), Vec::new());
    let mut block = vec![0; 64 * 1024];
    let (mut rest, mut at, mut start) = (Vec::new(), position, position);
    while at - position < bytes && at - start <= LONGEST_LINE && read.len() < MOST_LINES {
        let room = usize::try_from(bytes - (at - position))
            .map_or(block.len(), |left| left.min(block.len()));
        let count = file.read_at(block.get_mut(..room).unwrap_or_default(), at)?;
        if count == 0 {
            break;
        }
        at += count as u64;
        rest.extend_from_slice(block.get(..count).unwrap_or_default());
        let mut used = 0;
        while let Some(found) = memchr::memchr(b'\n', rest.get(used..).unwrap_or_default()) {
            let line = rest.get(used..used + found).unwrap_or_default();
            used += found + 1;
            start += found as u64 + 1;
            let Ok(record) = docker_line::parse(line) else {
                continue;
            };
            let second = record.time_ns.unwrap_or(0).div_euclid(1_000_000_000);
            read.extend(marks(&record.text, record.stream, second));
            ends.resize(read.len(), start);
        }
        rest.drain(..used);
    }
    Ok((read, ends))
}
