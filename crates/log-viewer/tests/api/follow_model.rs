//! Random things happen to a container's files, to a model of them, and to the service; both must agree.
//!
//! The model is what a reader with perfect timing would see: every whole line, once, in order. It is exact because the
//! service is given a step before a truncation and before a rotated file is deleted while the service is down: what is
//! destroyed before anybody read it is lost, and nobody can promise otherwise.

use std::fs;

use proptest::prelude::*;

use crate::rig::{Rig, record};

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
    CopyAndTruncate,
    /// Empties the current file in place.
    Truncate,
    /// Deletes the current file while it is read.
    Delete,
    /// Deletes the container and makes one of the same name, under the same id.
    Recreate,
    /// Lets the service read.
    Step,
    /// Lets it read and time pass.
    Settle,
    Restart,
    Kill,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (1..6_u8).prop_map(Action::Write),
        3 => (1..60_u8).prop_map(Action::WritePart),
        3 => Just(Action::Rotate),
        1 => Just(Action::RotateAndWait),
        1 => Just(Action::CopyAndTruncate),
        1 => Just(Action::Truncate),
        1 => Just(Action::Delete),
        1 => Just(Action::Recreate),
        4 => Just(Action::Step),
        2 => Just(Action::Settle),
        2 => Just(Action::Restart),
        2 => Just(Action::Kill),
    ]
}

const ID: &str = "abc";
/// Docker keeps a bounded number of rotated files; so does the test.
const ROTATED: u32 = 4;

/// Every third line.
fn goes_to_stderr(message: &str) -> bool {
    let number = message
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse::<u32>().ok());
    number.is_some_and(|number| number % 3 == 0)
}

struct World {
    rig: Option<Rig>,
    written: u32,
    /// The rest of a line of which only a part was written.
    rest: Option<(String, String)>,
    expected: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self {
            rig: Some(Rig::web()),
            written: 0,
            rest: None,
            expected: Vec::new(),
        }
    }

    fn rig(&mut self) -> &mut Rig {
        self.rig.as_mut().expect("there is always one")
    }

    fn next_line(&mut self) -> (String, String) {
        self.written += 1;
        let message = format!("line {}", self.written);
        let stream = if goes_to_stderr(&message) {
            "stderr"
        } else {
            "stdout"
        };
        (record(&message, stream, self.written), message)
    }

    fn write(&mut self, count: u8) {
        self.finish_line();
        for _ in 0..count {
            let (line, message) = self.next_line();
            self.rig().write_raw(ID, line);
            self.expected.push(message);
        }
    }

    fn finish_line(&mut self) {
        if let Some((rest, message)) = self.rest.take() {
            self.rig().write_raw(ID, rest);
            self.expected.push(message);
        }
    }

    fn write_part(&mut self, length: u8) {
        self.finish_line();
        let (line, message) = self.next_line();
        let (first, rest) = line.split_at(usize::from(length).min(line.len() - 1));
        self.rig().write_raw(ID, first);
        self.rest = Some((rest.to_owned(), message));
    }

    /// A line that is cut by what happens to its file never becomes whole.
    fn rotate(&mut self, begin_new: bool) {
        if !self.rig().log(ID).exists() {
            return;
        }
        self.rest = None;
        if self.rig().rotated(ID, ROTATED).exists() {
            // Deleting the oldest file may take lines with it that were not read, or not stored.
            self.rig().settle();
        }
        for number in (1..=ROTATED).rev() {
            let (from, to) = (
                self.rig().rotated(ID, number),
                self.rig().rotated(ID, number + 1),
            );
            if number == ROTATED {
                let _ = fs::remove_file(from);
            } else if from.exists() {
                fs::rename(from, to).expect("renamed");
            }
        }
        let (from, to) = (self.rig().log(ID), self.rig().rotated(ID, 1));
        fs::rename(from, to).expect("renamed");
        if begin_new {
            self.rig().write_raw(ID, "");
        }
    }

    fn truncate(&mut self, copy_first: bool) {
        if !self.rig().log(ID).exists() {
            return;
        }
        self.rest = None;
        self.rig().step();
        if copy_first {
            for number in (1..ROTATED).rev() {
                let (from, to) = (
                    self.rig().rotated(ID, number),
                    self.rig().rotated(ID, number + 1),
                );
                if from.exists() {
                    fs::rename(from, to).expect("renamed");
                }
            }
            let (from, to) = (self.rig().log(ID), self.rig().rotated(ID, 1));
            fs::copy(from, to).expect("copied");
        }
        let log = self.rig().log(ID);
        fs::File::options()
            .write(true)
            .open(log)
            .expect("opens")
            .set_len(0)
            .expect("truncated");
        // Content that was destroyed unseen could come back under the same beginning; it is looked at empty.
        self.rig().step();
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Write(count) => self.write(*count),
            Action::WritePart(length) => self.write_part(*length),
            Action::Rotate => self.rotate(true),
            Action::RotateAndWait => self.rotate(false),
            Action::CopyAndTruncate => self.truncate(true),
            Action::Truncate => self.truncate(false),
            Action::Delete => {
                // The service has it open, so nothing is lost; what it read then exists nowhere else, so it stores that.
                self.rig().step();
                self.rest = None;
                let _ = fs::remove_file(self.rig().log(ID));
                self.rig().step();
            }
            Action::Recreate => {
                self.rig().step();
                self.rest = None;
                let dir = self.rig().root().join(ID);
                fs::remove_dir_all(dir).expect("removed");
                self.rig().step();
                self.rig().container(ID, "web");
            }
            Action::Step => self.rig().step(),
            Action::Settle => self.rig().settle(),
            Action::Restart => self.rig = self.rig.take().map(Rig::restart),
            Action::Kill => self.rig = self.rig.take().map(Rig::kill),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_line_once_and_in_order(actions in prop::collection::vec(action(), 1..60)) {
        let mut world = World::new();
        world.rig().step();
        for action in &actions {
            world.act(action);
        }
        world.rig().settle();
        let by_time = world.rig().all_messages_by_time();
        prop_assert_eq!(by_time, world.expected.clone());
        // Ids follow the order of writing within each of the two outputs.
        for is_stderr in [false, true] {
            let of_stream = |messages: Vec<String>| messages.into_iter().filter(|message| is_stderr == goes_to_stderr(message)).collect::<Vec<_>>();
            prop_assert_eq!(of_stream(world.rig().all_messages()), of_stream(world.expected.clone()));
        }
    }
}
