//! Reading one file: whole lines from a cursor on.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::gzip::{Inflated, Inflater};
use crate::domain::cursor::{Cursor, FileId, HEAD_BYTES};

/// A line of a file longer than this is cut: its beginning and end are kept.
pub(super) const LONGEST_LINE: usize = 512 * 1024;
/// How much of the beginning of such a line is kept.
const KEPT_OF_LONG_LINE: usize = 256 * 1024;
/// The same when memory is short.
const KEPT_IN_NEED: usize = 4 * 1024;
/// How much of its end: Docker writes stream and time there.
const TAIL_OF_LONG_LINE: usize = 512;

/// A line as it stands in the file, without its LF.
pub(super) enum RawLine<'b> {
    Whole(&'b [u8]),
    Cut {
        head: &'b [u8],
        tail: &'b [u8],
        dropped: u64,
    },
}

/// A file that is being read.
#[derive(Debug, Default)]
pub(super) struct LogFile {
    /// The name it had when it was last seen.
    pub(super) path: PathBuf,
    /// What of it was consumed.
    pub(super) cursor: Cursor,
    /// Size and time of the last change when it was last looked at.
    pub(super) stamp: (u64, i64, i64),
    /// Its first bytes when it was last looked at.
    pub(super) seen_head: Vec<u8>,
    /// No file of the directory is this one any more.
    pub(super) is_gone: bool,
    /// Something may be there to read.
    pub(super) is_unread: bool,
    handle: Option<Handle>,
    /// What was read behind the cursor.
    buffer: Vec<u8>,
    /// How much of the buffer holds no line end.
    searched: usize,
    /// The line at the cursor is too long for the buffer.
    long: Option<LongLine>,
    /// The cursor stands within a line, the rest of which is to be ignored.
    skips_line: bool,
}

#[derive(Debug)]
enum Handle {
    Plain(File),
    Gzip(Inflater),
}

#[derive(Debug)]
struct LongLine {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, cursor: Cursor) -> Self {
        Self {
            path,
            cursor,
            is_unread: true,
            ..Self::default()
        }
    }

    /// Starts at `position`, which may be within a line: that line is then ignored.
    pub(super) fn starting_at(path: PathBuf, cursor: Cursor, skips_line: bool) -> Self {
        Self {
            skips_line,
            ..Self::new(path, cursor)
        }
    }

    /// Goes on in what is now known to be the file: a copy, or the same one cut shorter.
    pub(super) fn move_to(&mut self, path: PathBuf, cursor: Cursor) {
        *self = Self::new(path, cursor);
    }

    /// How many bytes are known to be there and were not read to their end. Of a compressed file the bytes on the disk count, until
    /// all of it was read.
    pub(super) fn lag(&self) -> u64 {
        if !self.is_unread {
            return 0;
        }
        if !self.is_compressed() {
            return self.stamp.0.saturating_sub(self.cursor.position);
        }
        match self.cursor.read_whole {
            Some(_) => 0,
            None => self.stamp.0,
        }
    }

    /// Whether what is read is what its bytes inflate to.
    pub(super) fn is_compressed(&self) -> bool {
        is_compressed(&self.path)
    }

    /// Opens the file if it is not open. A file that is gone can only be read when it was open before.
    fn open(&mut self) -> io::Result<Option<&mut Handle>> {
        if self.handle.is_none() && !self.is_gone {
            let handle = File::open(&self.path)?;
            let is_another = file_id(&handle.metadata()?) != self.cursor.file;
            if is_another && self.cursor.file != FileId::default() {
                return Err(io::Error::other("another file has its name by now"));
            }
            self.adopt(Some(handle));
        }
        Ok(self.handle.as_mut())
    }

    /// Keeps the file readable though its name may go to another one.
    pub(super) fn adopt(&mut self, handle: Option<File>) {
        if self.handle.is_some() {
            return;
        }
        self.handle = handle.map(|file| {
            if self.is_compressed() {
                Handle::Gzip(Inflater::new(file))
            } else {
                Handle::Plain(file)
            }
        });
    }

    /// Whether it can be read though its name is gone.
    pub(super) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Lets go of the file descriptor until there is something to read again.
    pub(super) fn close(&mut self) {
        self.handle = None;
    }

    /// Looks at a file through its open handle, because it has no name any more. `false` when it was truncated and perhaps
    /// written again since it was read: then nothing of it is where the cursor says.
    pub(super) fn look_through_handle(&mut self) -> io::Result<bool> {
        let Some(Handle::Plain(file)) = &self.handle else {
            return Ok(true);
        };
        let head = read_head(file, false)?;
        let size = file.metadata()?.size();
        let is_same = head.starts_with(&self.cursor.head);
        if !is_same || !head.starts_with(&self.seen_head) {
            self.forget_buffer();
        }
        self.forget_buffer_beyond(size);
        self.seen_head = head;
        Ok(is_same)
    }

    /// Reads an open file from its beginning.
    pub(super) fn start_over(&mut self) {
        self.cursor.head.clear();
        self.cursor.position = 0;
        self.forget_buffer();
    }

    fn read_position(&self) -> u64 {
        let long = self.long.as_ref().map_or(0, |line| line.length);
        self.cursor.position + long + self.buffer.len() as u64
    }

    /// Reads up to a block behind what was read, or passes over a block of a compressed file that was read before.
    /// 0 at the end of the file.
    pub(super) fn fill(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let position = self.read_position();
        let file = match self.open()? {
            None => return Ok(0),
            Some(Handle::Plain(file)) => file,
            Some(Handle::Gzip(_)) => return self.inflate(block, position),
        };
        let count = loop {
            match file.read_at(block, position) {
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.buffer
            .extend_from_slice(block.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// The same for a compressed file: its stream can only be read from its start on.
    fn inflate(&mut self, block: &mut [u8], position: u64) -> io::Result<usize> {
        let Some(Handle::Gzip(mut inflater)) = self.handle.take() else {
            return Ok(0);
        };
        if inflater.position() > position {
            inflater = inflater.rewind();
        }
        let behind = position - inflater.position();
        let room = usize::try_from(behind)
            .ok()
            .filter(|behind| (1..block.len()).contains(behind))
            .unwrap_or(block.len());
        match inflater.read(block.get_mut(..room).unwrap_or_default()) {
            Ok(Inflated::Bytes(count)) => {
                if behind == 0 {
                    self.buffer
                        .extend_from_slice(block.get(..count).unwrap_or_default());
                }
                self.handle = Some(Handle::Gzip(inflater));
                Ok(count)
            }
            Ok(Inflated::End) => {
                self.cursor.read_whole = Some(inflater.compressed_size()?);
                Ok(0)
            }
            Ok(Inflated::Cut) => {
                // When more of it is there, it is read again from the cursor on.
                self.forget_buffer();
                Ok(0)
            }
            Err(fault) => {
                // It will not get better, unless it is replaced.
                self.cursor.read_whole = Some(inflater.compressed_size()?);
                Err(fault)
            }
        }
    }

    /// Hands over the whole lines of the buffer, until `take` says that it wants no more. `true` when it took all.
    pub(super) fn drain(&mut self, mut take: impl FnMut(RawLine<'_>) -> bool) -> bool {
        let mut start = 0;
        let mut passed: Option<(LongLine, u64)> = None;
        let mut wants_more = true;
        while wants_more {
            start += self.skip_nuls(start);
            let from = start.max(self.searched);
            let rest = self.buffer.get(from..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                break;
            };
            let end = from + found;
            let bytes = self.buffer.get(start..end).unwrap_or_default();
            let is_skipped = std::mem::take(&mut self.skips_line);
            if let Some(mut long) = self.long.take() {
                let set_aside = long.length;
                long.append(bytes);
                if !is_skipped {
                    wants_more = take(long.as_line());
                }
                passed = Some((long, set_aside));
            } else if !is_skipped {
                wants_more = take(RawLine::Whole(bytes));
            }
            start = end + 1;
            self.searched = start;
        }
        if let Some((long, set_aside)) = passed {
            remember_head(&mut self.cursor, &long.head);
            self.cursor.position += set_aside;
        }
        self.consume(start);
        if wants_more && self.buffer.len() > LONGEST_LINE {
            self.set_aside(KEPT_OF_LONG_LINE);
        }
        wants_more
    }

    /// The cursor moves past `count` bytes of the buffer.
    fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let consumed = self.buffer.get(..count).unwrap_or_default();
        remember_head(&mut self.cursor, consumed);
        self.cursor.position += count as u64;
        if count == self.buffer.len() {
            // An idle file should hold no memory.
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..count);
        }
        self.searched = self.searched.saturating_sub(count);
    }

    /// Bytes at the start of a line that a truncation under a writer left empty. They are no line and cost no memory.
    fn skip_nuls(&self, start: usize) -> usize {
        const NULS: &[u8] = &[0; 4096];
        if self.long.is_some() {
            return 0;
        }
        let mut rest = self.buffer.get(start..).unwrap_or_default();
        let length = rest.len();
        // Gigabytes of them are compared in blocks.
        while let Some(behind) = rest.strip_prefix(NULS) {
            rest = behind;
        }
        let nuls = rest.iter().take_while(|byte| **byte == 0).count();
        length - rest.len() + nuls
    }

    /// Makes room in the buffer: the line in it is longer than any that is kept whole.
    fn set_aside(&mut self, kept: usize) {
        let buffer = std::mem::take(&mut self.buffer);
        self.searched = 0;
        let long = self.long.get_or_insert_with(|| LongLine {
            head: buffer
                .get(..kept.min(buffer.len()))
                .unwrap_or_default()
                .to_vec(),
            tail: Vec::new(),
            length: 0,
        });
        long.append(&buffer);
    }

    /// Bytes of an unfinished line.
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len() + self.long.as_ref().map_or(0, |long| long.head.len())
    }

    /// Keeps only the beginning of an unfinished line. What was not handed over yet is read again.
    pub(super) fn cut_short(&mut self) {
        if memchr::memchr(b'\n', &self.buffer).is_some() {
            self.forget_buffer();
            return;
        }
        if self.buffer.len() > KEPT_IN_NEED {
            self.set_aside(KEPT_IN_NEED);
        }
        if let Some(long) = &mut self.long {
            long.head.truncate(KEPT_IN_NEED);
            long.head.shrink_to_fit();
        }
    }

    /// Reads again from the cursor on.
    pub(super) fn forget_buffer(&mut self) {
        self.buffer = Vec::new();
        self.searched = 0;
        self.long = None;
        self.is_unread = true;
    }

    /// The same, when the file is shorter than what was read of it.
    pub(super) fn forget_buffer_beyond(&mut self, size: u64) {
        if self.read_position() > size {
            self.forget_buffer();
        }
    }

    /// Hands over what stands behind the last line end, because nothing more will come.
    pub(super) fn finish(&mut self, mut take: impl FnMut(RawLine<'_>)) {
        let rest = std::mem::take(&mut self.buffer);
        if let Some(mut long) = self.long.take() {
            long.append(&rest);
            remember_head(&mut self.cursor, &long.head);
            self.cursor.position += long.length;
            if !self.skips_line {
                take(long.as_line());
            }
        } else if !rest.is_empty() {
            if !self.skips_line {
                take(RawLine::Whole(&rest));
            }
            remember_head(&mut self.cursor, &rest);
            self.cursor.position += rest.len() as u64;
        }
        self.skips_line = false;
        self.searched = 0;
    }

    /// Whether something stands behind the last line end.
    pub(super) fn has_rest(&self) -> bool {
        !self.buffer.is_empty() || self.long.is_some()
    }
}

impl LongLine {
    fn append(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let from = bytes.len().saturating_sub(TAIL_OF_LONG_LINE);
        self.tail
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(TAIL_OF_LONG_LINE);
        self.tail.drain(..excess);
    }

    fn as_line(&self) -> RawLine<'_> {
        RawLine::Cut {
            head: &self.head,
            tail: &self.tail,
            dropped: self.length.saturating_sub(self.head.len() as u64),
        }
    }
}

/// Adds consumed bytes to the beginning that is remembered.
fn remember_head(cursor: &mut Cursor, consumed: &[u8]) {
    if cursor.head.len() as u64 == cursor.position && cursor.head.len() < HEAD_BYTES {
        let room = (HEAD_BYTES - cursor.head.len()).min(consumed.len());
        cursor
            .head
            .extend_from_slice(consumed.get(..room).unwrap_or_default());
    }
}

/// What tells a file from all others.
pub(super) fn file_id(found: &Metadata) -> FileId {
    FileId {
        device: found.dev(),
        inode: found.ino(),
    }
}

/// Whether a file of this name is compressed.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "gz")
}

/// The first bytes of an open file, inflated when it is compressed.
pub(super) fn read_head(file: &File, is_compressed: bool) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    if is_compressed {
        filled = Inflater::read_head(file, &mut head)?;
        head.truncate(filled);
        return Ok(head);
    }
    while let Some(room) = head.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    head.truncate(filled);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Fixture {
        _dir: tempfile::TempDir,
        path: PathBuf,
        file: LogFile,
        lines: Vec<String>,
    }

    fn fixture(content: &[u8]) -> Fixture {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x-json.log");
        std::fs::write(&path, content).expect("written");
        let file = LogFile::new(path.clone(), Cursor::default());
        Fixture {
            _dir: dir,
            path,
            file,
            lines: Vec::new(),
        }
    }

    impl Fixture {
        fn append(&self, content: &[u8]) {
            let mut file = File::options()
                .append(true)
                .open(&self.path)
                .expect("opens");
            file.write_all(content).expect("written");
        }

        fn read(&mut self) {
            let mut block = vec![0; 65536];
            while self.file.fill(&mut block).expect("readable") > 0 {
                let lines = &mut self.lines;
                self.file.drain(|line| {
                    lines.push(show(&line));
                    true
                });
            }
        }
    }

    fn show(line: &RawLine<'_>) -> String {
        match line {
            RawLine::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            RawLine::Cut {
                head,
                tail,
                dropped,
            } => format!(
                "{}+{dropped}+{}",
                head.len(),
                String::from_utf8_lossy(
                    tail.get(tail.len().saturating_sub(3)..).unwrap_or_default()
                )
            ),
        }
    }

    #[test]
    fn whole_lines_only_and_the_cursor_stays_at_their_end() {
        let mut f = fixture(b"one\ntwo\nthr");
        f.read();
        assert_eq!(f.lines, ["one", "two"]);
        assert_eq!(f.file.cursor.position, 8);
        assert_eq!(f.file.cursor.head, b"one\ntwo\n");
        f.append(b"ee\n");
        f.read();
        assert_eq!(f.lines, ["one", "two", "three"]);
        assert_eq!(f.file.cursor.position, 14);
    }

    #[test]
    fn a_full_taker_gets_the_rest_later() {
        let mut f = fixture(b"1\n2\n3\n");
        let mut block = vec![0; 64];
        f.file.fill(&mut block).expect("readable");
        assert!(!f.file.drain(|_| false));
        assert_eq!(f.file.cursor.position, 2);
        let mut rest = Vec::new();
        assert!(f.file.drain(|line| {
            rest.push(show(&line));
            true
        }));
        assert_eq!(rest, ["2", "3"]);
    }

    #[test]
    fn a_line_of_any_length_is_cut_and_its_neighbours_are_whole() {
        let long = "x".repeat(3 * LONGEST_LINE);
        let mut f = fixture(format!("before\n{long}end\nafter\n").as_bytes());
        f.read();
        let dropped = long.len() + 3 - KEPT_OF_LONG_LINE;
        assert_eq!(
            f.lines,
            [
                "before".to_owned(),
                format!("{KEPT_OF_LONG_LINE}+{dropped}+end"),
                "after".to_owned()
            ]
        );
        assert_eq!(f.file.cursor.position, 7 + long.len() as u64 + 4 + 6);
        assert!(!f.file.has_rest());
    }

    #[test]
    fn an_unfinished_long_line_leaves_the_cursor_before_it() {
        let mut f = fixture(format!("a\n{}", "x".repeat(2 * LONGEST_LINE)).as_bytes());
        f.read();
        assert_eq!(f.file.cursor.position, 2);
        f.append(b"\nb\n");
        f.read();
        assert_eq!(f.lines.last().map(String::as_str), Some("b"));
        assert_eq!(f.file.cursor.position, 2 + 2 * LONGEST_LINE as u64 + 3);
    }

    #[test]
    fn nul_bytes_before_a_line_are_no_line() {
        let mut content = vec![0; 3 * LONGEST_LINE];
        content.extend_from_slice(b"one\n\0\0two\n");
        let mut f = fixture(&content);
        f.read();
        assert_eq!(f.lines, ["one", "two"]);
        assert_eq!(f.file.cursor.position, content.len() as u64);
        assert_eq!(f.file.cursor.head.len(), HEAD_BYTES);
    }

    #[test]
    fn the_rest_of_a_line_can_be_skipped_or_finished() {
        let mut f = fixture(b"rest of a line\nnext\nlast");
        let start = Cursor {
            position: 5,
            ..Cursor::default()
        };
        f.file = LogFile::starting_at(f.path.clone(), start, true);
        f.read();
        assert_eq!(f.lines, ["next"]);
        assert!(f.file.has_rest());
        let mut rest = Vec::new();
        f.file.finish(|line| rest.push(show(&line)));
        assert_eq!(rest, ["last"]);
        assert_eq!(f.file.cursor.position, 24);
        assert!(!f.file.has_rest());
    }
}
