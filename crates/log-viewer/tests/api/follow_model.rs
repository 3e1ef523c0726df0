//! Random things happen to a container's files, to a model of them, and to the service; both must agree.
//!
//! The model knows every line that was written, which file it lies in, and whether it is certain that the service has
//! stored it or can still read it. At the end every such line is there once, in the order of writing within its stream; no
//! line is there twice, whatever happened. Lines that may be missing are only those of a file that was truncated, deleted
//! or overwritten before the service could read it: nobody can promise those. Where the service is given a look before
//! and after, nothing may be missing at all.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use crate::rig::{Logs, Rig, Stopped, gzip, record};

#[derive(Clone, Debug)]
enum Action {
    /// Writes so many lines.
    Write(u8),
    /// Writes the first part of a line; the rest comes with the next write.
    WritePart(u8),
    /// Renames the current file away.
    Rotate,
    /// Renames the current file away and does not begin a new one yet.
    RotateAndWait,
    /// Copies the current file away and truncates it.
    CopyAndTruncate(Look),
    /// Compresses a rotated file.
    Compress(u8),
    /// Begins to compress a rotated file: so many hundredths of it are there, and the plain file too.
    CompressInPart(u8, u8),
    /// Empties the current file in place.
    Truncate(Look),
    /// Deletes the current file.
    Delete(Look),
    /// Deletes the oldest rotated file.
    DeleteOldest(Look),
    /// Deletes the container and makes one of the same name, under the same id.
    Recreate(Look),
    /// Gives the container another name.
    Rename,
    /// The directory of all containers is not there for a while; the service may be killed meanwhile.
    Vanish(bool),
    /// Lets the service read.
    Step,
    /// Lets it read and time pass.
    Settle,
    /// Ends it in order.
    Stop,
    /// Ends it as kill -9 does.
    Kill,
    Start,
}

/// Whether the service has a look right before and right after something is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Given,
    None,
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![Just(Look::Given), Just(Look::None)]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        10 => (1..6_u8).prop_map(Action::Write),
        4 => (1..60_u8).prop_map(Action::WritePart),
        4 => Just(Action::Rotate),
        1 => Just(Action::RotateAndWait),
        2 => look().prop_map(Action::CopyAndTruncate),
        3 => (1..=4_u8).prop_map(Action::Compress),
        2 => (1..=4_u8, 0..100_u8).prop_map(|(number, part)| Action::CompressInPart(number, part)),
        2 => look().prop_map(Action::Truncate),
        2 => look().prop_map(Action::Delete),
        1 => look().prop_map(Action::DeleteOldest),
        2 => look().prop_map(Action::Recreate),
        1 => Just(Action::Rename),
        1 => any::<bool>().prop_map(Action::Vanish),
        6 => Just(Action::Step),
        3 => Just(Action::Settle),
        2 => Just(Action::Stop),
        2 => Just(Action::Kill),
        6 => Just(Action::Start),
    ]
}

const ID: &str = "abc";
/// Docker keeps a bounded number of rotated files; so does the test.
const ROTATED: u32 = 4;

/// Every third line.
fn goes_to_stderr(number: u32) -> bool {
    number.is_multiple_of(3)
}

enum Service {
    Up(Box<Rig>),
    Down(Stopped),
}

struct World {
    service: Option<Service>,
    logs: Logs,
    written: u32,
    /// The rest of the line that was written last, of which only a part is in the file.
    rest: Option<String>,
    /// The lines of the current file, by number; `None` when there is no such file.
    current: Option<Vec<u32>>,
    /// The lines of the rotated files, number 1 first. They exist without gaps.
    rotated: Vec<Vec<u32>>,
    /// Every whole line up to this one is stored.
    stored: u32,
    /// All whole lines.
    whole: Vec<u32>,
    /// May have been destroyed before they could be read.
    at_risk: BTreeSet<u32>,
    /// The current file was copied away and truncated since the service looked last.
    copied_unseen: bool,
    renamed: u32,
}

impl World {
    fn new() -> Self {
        let rig = Rig::web();
        let logs = rig.logs.clone();
        Self {
            service: Some(Service::Up(Box::new(rig))),
            logs,
            written: 0,
            rest: None,
            current: None,
            rotated: Vec::new(),
            stored: 0,
            whole: Vec::new(),
            at_risk: BTreeSet::new(),
            copied_unseen: false,
            renamed: 0,
        }
    }

    fn up(&mut self) -> Option<&mut Rig> {
        match &mut self.service {
            Some(Service::Up(rig)) => Some(rig),
            _ => None,
        }
    }

    fn step(&mut self) {
        if let Some(rig) = self.up() {
            rig.step();
            self.copied_unseen = false;
        }
    }

    /// Lines of a file that lost its name can still be read through its handle, but nothing tells whether they are older
    /// or younger than a copy of it that was made unseen: their order is not promised, so this does not happen here.
    fn see_copy(&mut self) {
        if self.copied_unseen {
            self.step();
        }
    }

    fn settle(&mut self) {
        let Some(rig) = self.up() else { return };
        rig.settle();
        self.copied_unseen = false;
        self.stored = self.written - u32::from(self.rest.is_some());
    }

    fn end(&mut self, in_order: bool) {
        self.service = self.service.take().map(|service| match service {
            Service::Up(rig) => Service::Down(rig.stop(in_order)),
            down @ Service::Down(_) => down,
        });
    }

    fn start(&mut self) {
        self.service = self.service.take().map(|service| match service {
            Service::Down(stopped) => Service::Up(Box::new(stopped.start())),
            up @ Service::Up(_) => up,
        });
    }

    /// Does something that destroys content. `true` when all of it must have been read: the service looked.
    fn looking(&mut self, look: Look, destroy: impl FnOnce(&mut Self) -> Vec<u32>) {
        let is_seen = look == Look::Given && self.up().is_some();
        if is_seen {
            self.step();
        }
        let lost = destroy(self);
        if is_seen {
            // What was read then exists nowhere else, so it is stored.
            self.step();
        } else {
            let unsure = lost.into_iter().filter(|line| *line > self.stored);
            self.at_risk.extend(unsure);
        }
    }

    fn next_line(&mut self) -> String {
        self.written += 1;
        let stream = if goes_to_stderr(self.written) {
            "stderr"
        } else {
            "stdout"
        };
        record(&format!("line {}", self.written), stream, self.written)
    }

    fn write(&mut self, count: u8) {
        self.finish_line();
        for _ in 0..count {
            let line = self.next_line();
            self.logs.write_raw(ID, line);
            self.note_whole();
        }
    }

    /// The line that was written last is whole.
    fn note_whole(&mut self) {
        self.whole.push(self.written);
        self.current.get_or_insert_default().push(self.written);
    }

    fn finish_line(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.logs.write_raw(ID, rest);
            self.note_whole();
        }
    }

    fn write_part(&mut self, length: u8) {
        self.finish_line();
        let line = self.next_line();
        let (first, rest) = line.split_at(usize::from(length));
        self.logs.write_raw(ID, first);
        self.current.get_or_insert_default();
        self.rest = Some(rest.to_owned());
    }

    /// Makes room for a new number 1.
    fn shift(&mut self) {
        if self.rotated.len() == ROTATED as usize {
            self.delete_oldest(Look::Given);
        }
        for number in (1..=self.rotated.len() as u32).rev() {
            for (from, to) in [
                (
                    self.logs.rotated(ID, number),
                    self.logs.rotated(ID, number + 1),
                ),
                (
                    self.logs.compressed(ID, number),
                    self.logs.compressed(ID, number + 1),
                ),
            ] {
                if from.exists() {
                    fs::rename(from, to).expect("renamed");
                }
            }
        }
    }

    /// A line that is cut by what happens to its file never becomes whole.
    fn rotate(&mut self, begin_new: bool) {
        let Some(lines) = self.current.take() else {
            return;
        };
        self.rest = None;
        self.shift();
        fs::rename(self.logs.log(ID), self.logs.rotated(ID, 1)).expect("renamed");
        self.rotated.insert(0, lines);
        if begin_new {
            self.logs.write_raw(ID, "");
            self.current = Some(Vec::new());
        }
    }

    fn truncate(&mut self, look: Look) {
        if self.current.is_none() {
            return;
        }
        self.rest = None;
        self.looking(look, |world| {
            world.empty_current();
            world.current.replace(Vec::new()).unwrap_or_default()
        });
    }

    fn copy_and_truncate(&mut self, look: Look) {
        if self.current.is_none() {
            return;
        }
        self.rest = None;
        self.shift();
        self.looking(look, |world| {
            fs::copy(world.logs.log(ID), world.logs.rotated(ID, 1)).expect("copied");
            world.empty_current();
            let lines = world.current.replace(Vec::new()).unwrap_or_default();
            world.rotated.insert(0, lines);
            world.copied_unseen = true;
            // The copy has them all.
            Vec::new()
        });
    }

    fn empty_current(&self) {
        let file = fs::File::options().write(true).open(self.logs.log(ID));
        file.expect("opens").set_len(0).expect("truncated");
    }

    fn compress(&self, number: u8) {
        let number = u32::from(number);
        if self.logs.rotated(ID, number).exists() {
            self.logs.compress(ID, number);
        }
    }

    fn compress_in_part(&self, number: u8, percent: u8) {
        let number = u32::from(number);
        let Ok(content) = fs::read(self.logs.rotated(ID, number)) else {
            return;
        };
        let whole = gzip(&content);
        let part = whole.get(..whole.len() * usize::from(percent) / 100);
        fs::write(self.logs.compressed(ID, number), part.expect("a part")).expect("written");
    }

    fn delete(&mut self, look: Look) {
        if self.current.is_none() {
            return;
        }
        self.rest = None;
        self.see_copy();
        self.looking(look, |world| {
            fs::remove_file(world.logs.log(ID)).expect("removed");
            world.current.take().unwrap_or_default()
        });
    }

    fn delete_oldest(&mut self, look: Look) {
        let oldest = self.rotated.len() as u32;
        let Some(lines) = self.rotated.pop() else {
            return;
        };
        self.looking(look, |world| {
            for path in [
                world.logs.rotated(ID, oldest),
                world.logs.compressed(ID, oldest),
            ] {
                if path.exists() {
                    fs::remove_file(path).expect("removed");
                }
            }
            lines
        });
    }

    fn recreate(&mut self, look: Look) {
        self.rest = None;
        self.see_copy();
        self.looking(look, |world| {
            fs::remove_dir_all(world.logs.root().join(ID)).expect("removed");
            let mut lines: Vec<u32> = world.rotated.drain(..).flatten().collect();
            lines.extend(world.current.take().unwrap_or_default());
            lines
        });
        self.logs.container(ID, "web");
    }

    fn vanish(&mut self, with_kill: bool) {
        self.see_copy();
        let root = self.logs.root().to_owned();
        let away = root.with_extension("away");
        fs::rename(&root, &away).expect("renamed");
        self.step();
        if with_kill && self.up().is_some() {
            self.end(false);
            self.start();
        }
        if let Some(rig) = self.up() {
            rig.settle();
        }
        fs::rename(&away, &root).expect("renamed");
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Write(count) => self.write(*count),
            Action::WritePart(length) => self.write_part(*length),
            Action::Rotate => self.rotate(true),
            Action::RotateAndWait => self.rotate(false),
            Action::CopyAndTruncate(look) => self.copy_and_truncate(*look),
            Action::Compress(number) => self.compress(*number),
            Action::CompressInPart(number, percent) => self.compress_in_part(*number, *percent),
            Action::Truncate(look) => self.truncate(*look),
            Action::Delete(look) => self.delete(*look),
            Action::DeleteOldest(look) => self.delete_oldest(*look),
            Action::Recreate(look) => self.recreate(*look),
            Action::Rename => {
                self.renamed += 1;
                self.logs.container(ID, &format!("web{}", self.renamed));
            }
            Action::Vanish(with_kill) => self.vanish(*with_kill),
            Action::Step => self.step(),
            Action::Settle => self.settle(),
            Action::Stop => self.end(true),
            Action::Kill => self.end(false),
            Action::Start => self.start(),
        }
    }

    /// What the service has at the end, by id and by time.
    fn observe(&mut self) -> (Vec<u32>, Vec<u32>) {
        self.start();
        self.settle();
        let rig = self.up().expect("it was started");
        let numbers = |messages: Vec<String>| {
            messages
                .iter()
                .map(|message| {
                    let number = message.strip_prefix("line ").and_then(|n| n.parse().ok());
                    number.unwrap_or_else(|| panic!("nobody wrote {message:?}"))
                })
                .collect()
        };
        (
            numbers(rig.all_messages()),
            numbers(rig.all_messages_by_time()),
        )
    }
}

fn ascends(numbers: &[u32]) -> bool {
    numbers.is_sorted_by(|one, next| one < next)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the torture takes is up to who runs it"
)]
fn cases() -> u32 {
    std::env::var("TORTURE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(48)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_once_and_in_order(actions in prop::collection::vec(action(), 1..120)) {
        let mut world = World::new();
        world.step();
        for action in &actions {
            world.act(action);
        }
        let (by_id, by_time) = world.observe();
        prop_assert!(ascends(&by_time), "twice, or out of order: {by_time:?}");
        // Ids follow the order of writing within each of the two outputs.
        for is_stderr in [false, true] {
            let of_stream: Vec<u32> = by_id.iter().copied().filter(|line| goes_to_stderr(*line) == is_stderr).collect();
            prop_assert!(ascends(&of_stream), "out of order: {of_stream:?}");
        }
        let found: BTreeSet<u32> = by_time.into_iter().collect();
        let whole: BTreeSet<u32> = world.whole.iter().copied().collect();
        let invented: Vec<_> = found.difference(&whole).collect();
        prop_assert!(invented.is_empty(), "never whole: {invented:?}");
        let lost: Vec<_> = whole.difference(&found).filter(|line| !world.at_risk.contains(line)).collect();
        prop_assert!(lost.is_empty(), "lost: {lost:?}");
    }
}
