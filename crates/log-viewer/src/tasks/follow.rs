//! Following one container: its current file, the ones it was rotated away to, and what is half-read.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::discover::Container;
use super::file::{LogFile, RawLine, is_compressed};
use super::gzip;
use super::listing::{Listed, Listing, Start, list, start_files};
use super::meters::Meters;
use crate::domain::cursor::{Cursor, Place, Seen, assign, begin_alike};
use crate::domain::docker_line::{self, Skip};
use crate::domain::entry::{Line, NewEntry, Stream};
use crate::domain::multiline::Assembler;
use crate::domain::partial::Joiner;
use crate::store::cursors::FollowState;
use crate::store::ring::ContainerName;

/// A time this far ahead of the clock is not believed.
const FUTURE_NS: i64 = 24 * 3600 * 1_000_000_000;
/// The time, both kinds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Nanoseconds since 1970.
    pub(super) wall_ns: i64,
    pub(super) monotonic: Duration,
}

/// Takes completed entries, up to a bound.
#[derive(Default)]
pub(super) struct Sink {
    pub(super) containers: Vec<ContainerName>,
    /// Each with the index of its container.
    pub(super) entries: Vec<(usize, NewEntry)>,
    current: ContainerName,
    lines: usize,
    bytes: usize,
}

impl Sink {
    /// Lines per transaction.
    const MOST_LINES: usize = 1000;
    /// Text per transaction.
    const MOST_BYTES: usize = 256 * 1024;

    /// What follows comes from this container.
    pub(super) fn enter(&mut self, container: &ContainerName) {
        self.current.clone_from(container);
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines >= Self::MOST_LINES || self.bytes >= Self::MOST_BYTES
    }

    fn push(&mut self, entry: NewEntry) {
        let known = self
            .containers
            .iter()
            .position(|known| *known == self.current);
        let container = known.unwrap_or_else(|| {
            self.containers.push(self.current.clone());
            self.containers.len() - 1
        });
        self.bytes += entry.message.len();
        self.entries.push((container, entry));
    }
}

/// What is half-read of one of the two outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    joiner: Joiner,
    assembler: Assembler,
}

impl Output {
    fn new(stream: Stream) -> Self {
        Self {
            joiner: Joiner::default(),
            assembler: Assembler::new(stream),
        }
    }

    fn is_empty(&self) -> bool {
        self.joiner.due().is_none() && self.assembler.is_empty()
    }

    fn held_bytes(&self) -> usize {
        self.joiner.held_bytes() + self.assembler.held_bytes()
    }

    fn due(&self) -> Option<Duration> {
        [self.joiner.due(), self.assembler.due()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// The files of a container and the lines that wait for others.
pub(super) struct Follower {
    pub(super) container: Container,
    /// Oldest first; the last one is the current file when it exists.
    files: Vec<LogFile>,
    outputs: [Output; 2],
    /// Its state is not the one that was stored last.
    pub(super) is_changed: bool,
    /// It may have something to read.
    pub(super) is_unread: bool,
    /// Its directory is gone.
    pub(super) is_deleted: bool,
    /// A file was replaced or is gone: what was read of it exists nowhere else, so it should be stored soon.
    pub(super) lost_a_file: bool,
    /// What kept it from looking at a file the last time.
    pub(super) trouble: Option<String>,
    /// The time of the line that was read last, in nanoseconds since 1970.
    pub(super) read_to_ns: i64,
    /// When it was read last, as the number of the turn.
    pub(super) last_turn: u64,
}

impl Follower {
    /// Goes on where an earlier run ended.
    pub(super) fn restore(container: Container, state: &FollowState, now: Now) -> Self {
        let files = state
            .files
            .iter()
            .map(|(name, cursor)| {
                let mut file = LogFile::new(container.dir.join(name), cursor.clone());
                // Until it is found in the directory nobody knows whether it is still there.
                file.is_gone = true;
                file
            })
            .collect();
        let mut follower = Self::new(container, files);
        let open = state
            .open
            .as_deref()
            .map(serde_json::from_str::<[Output; 2]>);
        match open {
            Some(Ok(outputs)) => follower.outputs = outputs,
            Some(Err(fault)) => {
                tracing::error!(%fault, container_id = follower.container.id, "cannot read back an open entry");
            }
            None => {}
        }
        for output in &mut follower.outputs {
            output.joiner.resume(now.monotonic);
            output.assembler.resume(now.monotonic);
        }
        follower
    }

    /// Starts with a container that was never followed.
    pub(super) fn begin(container: Container, start: Start) -> io::Result<Self> {
        let mut files = Vec::new();
        if let Start::Tail(bytes) = start {
            files = start_files(list(&container, &[])?.files, bytes)?;
        }
        let mut follower = Self::new(container, files);
        follower.is_changed = true;
        Ok(follower)
    }

    fn new(container: Container, files: Vec<LogFile>) -> Self {
        Self {
            container,
            files,
            outputs: [Output::new(Stream::Stdout), Output::new(Stream::Stderr)],
            is_changed: false,
            is_unread: true,
            is_deleted: false,
            lost_a_file: false,
            trouble: None,
            read_to_ns: i64::MIN,
            last_turn: 0,
        }
    }

    /// Looks at the directory again: new files, rotated ones, truncated ones, ones that are gone.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        let Listing {
            files: listed,
            trouble,
        } = match list(&self.container, &self.files) {
            // The whole directory is gone, perhaps only for a while, as when a disk is unmounted. What is open can still
            // be read to its end; where the files were left is not forgotten.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                self.trouble = None;
                for file in self.files.iter_mut().filter(|file| file.is_open()) {
                    // One that was truncated may have a copy that only its cursor can tell; it waits for the directory.
                    file.is_unread = file.look_through_handle()?;
                    self.is_unread |= file.is_unread;
                }
                return Ok(());
            }
            result => result?,
        };
        self.trouble = trouble;
        let seen: Vec<Seen> = listed.iter().map(|file| file.seen.clone()).collect();
        let cursors: Vec<Cursor> = self.files.iter().map(|file| file.cursor.clone()).collect();
        let mut places = assign(&cursors, &seen);
        self.look_at_nameless(&seen, &mut places)?;
        let mut old: Vec<Option<LogFile>> = std::mem::take(&mut self.files)
            .into_iter()
            .map(Some)
            .collect();
        let mut current = Vec::with_capacity(listed.len());
        for (listed, place) in listed.into_iter().zip(places) {
            let known = match place {
                Place::Copy => continue,
                Place::Fresh => None,
                Place::Known { cursor, position } => old
                    .get_mut(cursor)
                    .and_then(Option::take)
                    .map(|file| (file, position)),
            };
            self.is_changed |= known.is_none();
            current.push(place_file(listed, known));
        }
        let mut files: Vec<LogFile> = Vec::with_capacity(current.len());
        for mut file in old.into_iter().flatten() {
            self.is_changed = true;
            self.lost_a_file = true;
            let was_replaced = current
                .iter()
                .any(|now| now.cursor.file == file.cursor.file);
            // The content of a replaced file is lost; a file that is merely gone can be read while it is open.
            if !was_replaced && file.mark_gone() {
                files.push(file);
            }
        }
        files.append(&mut current);
        self.is_unread |= files.iter().any(|file| file.is_unread);
        self.files = files;
        Ok(())
    }

    /// Looks at open files that lost their names and have no copy that could be told by what was read of them. Such a file
    /// may have been truncated and written again, and it may have a copy all the same, compressed: what its handle holds
    /// says so.
    fn look_at_nameless(&mut self, seen: &[Seen], places: &mut [Place]) -> io::Result<()> {
        for (index, file) in self.files.iter_mut().enumerate() {
            let is_placed = places
                .iter()
                .any(|place| matches!(place, Place::Known { cursor, .. } if *cursor == index));
            // While a file is open nobody else can get its inode.
            let is_listed = seen.iter().any(|seen| seen.file == file.cursor.file);
            if is_placed || is_listed || !file.is_open() {
                continue;
            }
            if !file.look_through_handle()? {
                file.start_over();
            }
            let copy = seen.iter().zip(places.iter_mut()).find(|(seen, place)| {
                **place == Place::Fresh && begin_alike(&seen.head, &file.seen_head)
            });
            if let Some((seen, place)) = copy {
                *place = Place::Known {
                    cursor: index,
                    position: file.cursor.position.min(seen.size),
                };
            }
        }
        Ok(())
    }

    /// Reads until there is nothing more, the sink is full, or `blocks` blocks were read. `true` when there may be more.
    ///
    /// A file that cannot be read now is left for the next look; the ones behind it do not wait for it.
    pub(super) fn read(
        &mut self,
        block: &mut [u8],
        mut blocks: usize,
        now: Now,
        sink: &mut Sink,
        meters: &Meters,
    ) -> bool {
        sink.enter(&self.container.name);
        for index in 0..self.files.len() {
            let next_has_content = self
                .files
                .get(index + 1)
                .is_some_and(|next| next.stamp.0 > 0);
            let Some(file) = self.files.get_mut(index) else {
                break;
            };
            let has_work = file.is_unread || file.is_over(next_has_content) && file.has_rest();
            if !has_work {
                continue;
            }
            let (outputs, read_to_ns) = (&mut self.outputs, &mut self.read_to_ns);
            loop {
                let before = file.cursor.position;
                let took_all = file.drain(|line| {
                    if let Some(time_ns) = take(&line, outputs, now, sink, meters) {
                        *read_to_ns = time_ns;
                    }
                    !sink.is_full()
                });
                self.is_changed |= file.cursor.position != before;
                if !took_all || blocks == 0 {
                    return true;
                }
                blocks -= 1;
                let got = file.fill(block).unwrap_or_else(|fault| {
                    meters.read_errors.inc();
                    tracing::warn!(%fault, path = %file.path.display(), "cannot read a log file");
                    0
                });
                meters.bytes_read.add(got as u64);
                if got == 0 {
                    break;
                }
            }
            self.is_changed |= file.is_compressed();
            let is_over = file.is_over(next_has_content);
            if is_over && file.has_rest() {
                file.finish(|line| {
                    take(&line, outputs, now, sink, meters);
                });
                self.is_changed = true;
            }
            if is_over {
                file.close();
            }
            file.is_unread = false;
        }
        self.files.retain(|file| !file.is_gone);
        self.is_unread = false;
        false
    }

    /// Closes the entries that are due. Call it when everything was read.
    pub(super) fn flush(&mut self, now: Now, sink: &mut Sink) {
        sink.enter(&self.container.name);
        for output in &mut self.outputs {
            if let Some(line) = output.joiner.flush(now.monotonic) {
                self.is_changed = true;
                if let Some(entry) = output.assembler.push(line, now.monotonic) {
                    sink.push(entry);
                }
            }
            if let Some(entry) = output.assembler.flush(now.monotonic) {
                self.is_changed = true;
                sink.push(entry);
            }
        }
    }

    /// Closes all open entries: the container is gone, or followed no more.
    pub(super) fn close(&mut self, now: Now, sink: &mut Sink) {
        let later = Now {
            monotonic: now.monotonic + Duration::from_hours(1),
            ..now
        };
        self.flush(later, sink);
        self.flush(
            Now {
                monotonic: later.monotonic + Duration::from_hours(1),
                ..now
            },
            sink,
        );
    }

    /// When [`Follower::flush`] will have something.
    pub(super) fn due(&self) -> Option<Duration> {
        self.outputs.iter().filter_map(Output::due).min()
    }

    /// Bytes of unfinished lines and open entries.
    pub(super) fn held_bytes(&self) -> usize {
        let files: usize = self.files.iter().map(LogFile::held_bytes).sum();
        let outputs: usize = self.outputs.iter().map(Output::held_bytes).sum();
        files + outputs
    }

    /// Holds less, because all containers together hold too much: closes what is open and cuts unfinished lines short.
    pub(super) fn let_go(&mut self, now: Now, sink: &mut Sink) {
        self.close(now, sink);
        self.files.iter_mut().for_each(LogFile::cut_short);
    }

    /// How many files it holds open.
    pub(super) fn open_files(&self) -> usize {
        self.files.iter().filter(|file| file.is_open()).count()
    }

    /// Lets go of the files that can be opened again by their names; how many.
    pub(super) fn release(&mut self) -> usize {
        let mut released = 0;
        for file in &mut self.files {
            if file.is_open() && !file.is_gone {
                file.close();
                released += 1;
            }
        }
        released
    }

    /// Whether it has files, be they only remembered.
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// What has to be remembered.
    pub(super) fn state(&self) -> anyhow::Result<FollowState> {
        let open = if self.outputs.iter().all(Output::is_empty) {
            None
        } else {
            Some(serde_json::to_string(&self.outputs)?)
        };
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Ok(FollowState {
            container_id: self.container.id.clone(),
            files: self
                .files
                .iter()
                .filter(|file| !file.is_gone)
                .map(|file| (name(&file.path), file.cursor.clone()))
                .collect(),
            open,
        })
    }

    /// How many bytes are known to be there and were not read.
    pub(super) fn lag(&self) -> u64 {
        self.files.iter().map(LogFile::lag).sum()
    }
}

/// One line of a file on its way to the sink. Its time, in nanoseconds since 1970, when it is a record.
fn take(
    line: &RawLine<'_>,
    outputs: &mut [Output; 2],
    now: Now,
    sink: &mut Sink,
    meters: &Meters,
) -> Option<i64> {
    sink.lines += 1;
    meters.lines.inc();
    let record = match line {
        RawLine::Whole(bytes) => docker_line::parse(bytes),
        RawLine::Cut {
            head,
            tail,
            dropped,
        } => {
            meters.cut.inc();
            docker_line::parse_cut(head, tail, *dropped)
        }
    };
    let record = match record {
        Ok(record) => record,
        Err(skip) => {
            match skip {
                Skip::Blank => meters.blank.inc(),
                Skip::NotJson => meters.not_json.inc(),
                Skip::NoText => meters.no_text.inc(),
            }
            return None;
        }
    };
    let time_ns = record
        .time_ns
        .filter(|time| *time <= now.wall_ns.saturating_add(FUTURE_NS))
        .unwrap_or(now.wall_ns);
    let [stdout, stderr] = outputs;
    let output = if record.stream == Stream::Stderr {
        stderr
    } else {
        stdout
    };
    let line: Option<Line> = output.joiner.push(
        &record.text,
        record.dropped,
        record.complete,
        time_ns,
        now.monotonic,
    );
    let entry = line.and_then(|line| output.assembler.push(line, now.monotonic));
    if let Some(entry) = entry {
        sink.push(entry);
    }
    Some(time_ns)
}

impl LogFile {
    /// Nothing will be written any more to a file that was rotated away or deleted. A compressed one may still be written.
    fn is_over(&self, next_has_content: bool) -> bool {
        let is_whole = if self.is_compressed() {
            self.cursor.read_whole.is_some()
        } else {
            next_has_content
        };
        self.is_gone || is_whole
    }

    /// The file has no name any more. Whether it can still be read.
    fn mark_gone(&mut self) -> bool {
        let was_gone = std::mem::replace(&mut self.is_gone, true);
        self.is_unread = true;
        // A file remembered from an earlier run was never opened in this one.
        !was_gone || self.is_open()
    }
}

/// Puts what is known of a file together with how it looks now.
fn place_file(listed: Listed, known: Option<(LogFile, u64)>) -> LogFile {
    let is_same = |file: &LogFile, position: u64| {
        file.cursor.file == listed.seen.file && file.cursor.position == position
    };
    let mut file = match known {
        Some((mut file, position)) if is_same(&file, position) => {
            file.path = listed.path;
            file.is_unread |= file.stamp != listed.stamp || file.is_gone;
            // What was consumed is still there; what was read behind it may have been replaced.
            if !listed.seen.head.starts_with(&file.seen_head) {
                file.forget_buffer();
            }
            file.forget_buffer_beyond(listed.seen.size);
            file
        }
        Some((mut file, position)) => {
            let cursor = Cursor {
                file: listed.seen.file,
                position,
                head: std::mem::take(&mut file.cursor.head),
                read_whole: read_before(&listed, position),
            };
            file.move_to(listed.path, cursor);
            file
        }
        None => LogFile::new(
            listed.path,
            Cursor {
                file: listed.seen.file,
                ..Cursor::default()
            },
        ),
    };
    if file.is_compressed() && file.cursor.read_whole == Some(listed.stamp.0) {
        file.is_unread = false;
    }
    file.is_gone = false;
    file.stamp = listed.stamp;
    file.seen_head = listed.seen.head;
    if file.is_unread {
        file.adopt(listed.handle);
    }
    file
}

/// The size of a compressed file when all of it was read before it was compressed.
fn read_before(listed: &Listed, position: u64) -> Option<u64> {
    let file = listed
        .handle
        .as_ref()
        .filter(|_| is_compressed(&listed.path))?;
    gzip::inflates_to(file, position)
        .is_ok_and(|is_whole| is_whole)
        .then_some(listed.stamp.0)
}
