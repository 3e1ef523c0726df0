//! The innermost frames of an exception, however many it has.

use std::collections::VecDeque;

use super::{Exception, Frame, MOST_FRAMES};

/// A frame with its number in the text and the ends of its names, which differ most.
#[derive(Debug)]
struct Numbered<'t> {
    number: u32,
    ends: u64,
    frame: Frame<'t>,
}

/// Frames of one kind, in the order of the text.
#[derive(Debug, Default)]
struct Window<'t> {
    frames: VecDeque<Numbered<'t>>,
    /// Where in `frames` the newest frame is.
    newest: usize,
    /// Whether the frame that is innermost so far was running before, with others in between.
    recursive: bool,
}

impl<'t> Window<'t> {
    /// Adds a frame of a text that begins with the innermost one.
    fn push_outer(&mut self, frame: Numbered<'t>) {
        match self.position(&frame) {
            Some(known) => {
                self.recursive |= known == 0 && self.newest != 0;
                self.newest = known;
            }
            None if self.frames.len() < MOST_FRAMES => {
                self.newest = self.frames.len();
                self.frames.push_back(frame);
            }
            None => self.newest = MOST_FRAMES,
        }
    }

    /// Adds a frame of a text that begins with the outermost one.
    fn push_inner(&mut self, frame: Numbered<'t>) {
        match self.position(&frame) {
            Some(known) if known + 1 == self.frames.len() => {}
            Some(known) => {
                self.frames.remove(known);
                self.frames.push_back(frame);
                self.recursive = true;
            }
            None => {
                if self.frames.len() == MOST_FRAMES {
                    self.frames.pop_front();
                }
                self.frames.push_back(frame);
                self.recursive = false;
            }
        }
    }

    fn position(&self, frame: &Numbered<'t>) -> Option<usize> {
        self.frames.iter().position(|known| {
            known.ends == frame.ends
                && same(known.frame.function, frame.frame.function)
                && same(known.frame.file, frame.frame.file)
        })
    }
}

/// An exception while its lines are read.
#[derive(Debug, Default)]
pub(super) struct Building<'t> {
    pub(super) cause_type: Option<&'t str>,
    pub(super) is_member: bool,
    outermost_first: bool,
    app: Window<'t>,
    library: Window<'t>,
    pushed: u32,
}

impl<'t> Building<'t> {
    /// True while nothing is known about it.
    pub(super) fn is_empty(&self) -> bool {
        self.pushed == 0 && self.cause_type.is_none()
    }

    /// Whether a frame was read.
    pub(super) fn has_frames(&self) -> bool {
        self.pushed > 0
    }

    /// Adds a frame; the first one tells in which order they come.
    pub(super) fn push(&mut self, frame: Frame<'t>, outermost_first: bool) {
        if self.pushed == 0 {
            self.outermost_first = outermost_first;
        }
        let numbered = Numbered {
            number: self.pushed,
            ends: ends(frame.file, frame.function),
            frame,
        };
        self.pushed = self.pushed.saturating_add(1);
        let window = if frame.in_app {
            &mut self.app
        } else {
            &mut self.library
        };
        if self.outermost_first {
            window.push_inner(numbered);
        } else {
            window.push_outer(numbered);
        }
    }

    /// The exception, with both kinds of frames in one list.
    pub(super) fn finish(self) -> Exception<'t> {
        let is_recursive = if self.app.frames.is_empty() {
            self.library.recursive
        } else {
            self.app.recursive
        };
        let mut numbered: Vec<_> = self.app.frames.into();
        numbered.extend(self.library.frames);
        numbered.sort_unstable_by_key(|numbered| numbered.number);
        let mut frames: Vec<_> = numbered
            .into_iter()
            .map(|numbered| numbered.frame)
            .collect();
        if self.outermost_first {
            frames.reverse();
        }
        Exception {
            cause_type: self.cause_type,
            is_member: self.is_member,
            frames,
            is_recursive,
        }
    }
}

/// As `==`, which costs a hundred times as much for empty texts: they may point to no memory, and
/// vector instructions that are told to read nothing there still fault inside the processor.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && (left.is_empty() || left == right)
}

/// Made of lengths and last letters: names of one program differ there more than at the beginning.
pub(super) fn ends(file: &str, function: &str) -> u64 {
    let end = |text: &str| {
        let last = text.as_bytes().last_chunk::<8>().copied();
        last.map_or(0, u64::from_le_bytes).rotate_left(8) ^ text.len() as u64
    };
    end(file).rotate_left(32) ^ end(function)
}
