//! Puts together what Docker cut: a line longer than 16 KiB arrives as several records, all but the last without a line
//! end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::docker_line::cut_mark;
use super::entry::Line;

/// The longest line that is kept, in bytes; the rest is left out and the line says so.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// How long the rest of a line is waited for. Docker writes the pieces one right after the other; a program that prints
/// without a line end (a prompt, a last word before a crash) should still be seen.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Joins the records of one stream of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joiner(Option<Pending>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    time_ns: i64,
    text: String,
    dropped: u64,
    #[serde(skip)]
    touched: Duration,
}

impl Joiner {
    /// Takes a record's text; answers the whole line once it is complete.
    pub fn push(
        &mut self,
        text: &str,
        dropped: u64,
        complete: bool,
        time_ns: i64,
        now: Duration,
    ) -> Option<Line> {
        if complete && dropped == 0 && self.0.is_none() && text.len() <= MAX_LINE_BYTES {
            return Some(Line {
                time_ns,
                text: text.to_owned(),
            });
        }
        let pending = self.0.get_or_insert_with(|| Pending {
            time_ns,
            text: String::new(),
            dropped: 0,
            touched: now,
        });
        pending.touched = now;
        pending.append(text);
        pending.dropped += dropped;
        if complete { self.take() } else { None }
    }

    /// Gives up waiting for the rest of a line when it has been quiet for [`PATIENCE`].
    pub fn flush(&mut self, now: Duration) -> Option<Line> {
        if self.due().is_some_and(|due| due <= now) {
            self.take()
        } else {
            None
        }
    }

    /// When [`Joiner::flush`] will have something.
    pub fn due(&self) -> Option<Duration> {
        self.0.as_ref().map(|pending| pending.touched + PATIENCE)
    }

    /// How much of a line waits for its rest.
    pub fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |pending| pending.text.len())
    }

    /// Starts the clock of a restored state.
    pub fn resume(&mut self, now: Duration) {
        if let Some(pending) = &mut self.0 {
            pending.touched = now;
        }
    }

    fn take(&mut self) -> Option<Line> {
        let Pending {
            time_ns,
            mut text,
            dropped,
            ..
        } = self.0.take()?;
        if text.ends_with('\r') {
            text.pop();
        }
        if dropped > 0 {
            text.push_str(&cut_mark(dropped));
        }
        Some(Line { time_ns, text })
    }
}

impl Pending {
    fn append(&mut self, text: &str) {
        // Once something was left out, what follows must not close the gap.
        let room = if self.dropped > 0 {
            0
        } else {
            MAX_LINE_BYTES.saturating_sub(self.text.len())
        };
        let end = floor_boundary(text, room);
        self.text.push_str(text.get(..end).unwrap_or_default());
        self.dropped += (text.len() - end) as u64;
    }
}

/// The largest character boundary of `text` that is not above `limit`.
fn floor_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    /// The mark was put into the text, and then cut with it.
    #[test]
    fn a_text_that_was_cut_before_has_one_mark_with_all_that_is_missing() {
        let mut joiner = Joiner::default();
        let long = "x".repeat(MAX_LINE_BYTES + 7);
        let line = joiner.push(&long, 1_000, true, 1, NOW).expect("complete");
        assert_eq!(
            line.text,
            format!("{}{}", "x".repeat(MAX_LINE_BYTES), cut_mark(1_007))
        );
        let line = joiner.push("short", 5, true, 1, NOW).expect("complete");
        assert_eq!(line.text, format!("short{}", cut_mark(5)));
    }

    #[test]
    fn pieces_become_one_line_with_the_first_time() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.push("ERROR: xx", 0, false, 1, NOW), None);
        assert_eq!(joiner.push("yy", 0, false, 2, NOW), None);
        assert_eq!(
            joiner.push("zz", 0, true, 3, NOW),
            Some(Line {
                time_ns: 1,
                text: "ERROR: xxyyzz".to_owned()
            })
        );
        assert_eq!(joiner.due(), None);
        let whole = joiner.push("next", 0, true, 4, NOW).expect("complete");
        assert_eq!(whole.text, "next");
    }

    #[test]
    fn a_line_without_an_end_is_shown_after_a_while() {
        let mut joiner = Joiner::default();
        joiner.push("password: ", 0, false, 1, NOW);
        assert_eq!(joiner.flush(NOW + Duration::from_millis(999)), None);
        let line = joiner.flush(NOW + PATIENCE).expect("is due");
        assert_eq!(line.text, "password: ");
    }

    #[test]
    fn an_endless_line_is_cut_at_a_character_and_says_so() {
        let mut joiner = Joiner::default();
        joiner.push("a", 0, false, 1, NOW);
        for _ in 0..40 {
            joiner.push(&"é".repeat(8192), 0, false, 1, NOW);
        }
        let line = joiner.push("end", 0, true, 2, NOW).expect("complete");
        let kept = 1 + (MAX_LINE_BYTES - 1) / 2 * 2;
        let dropped = 1 + 40 * 16384 + 3 - kept;
        assert!(
            line.text
                .ends_with(&format!("é … [cut: {dropped} more bytes]"))
        );
        assert_eq!(line.text.len(), kept + cut_mark(dropped as u64).len());
    }

    #[test]
    fn a_carriage_return_before_the_line_end_is_dropped() {
        let mut joiner = Joiner::default();
        joiner.push("a\r", 0, false, 1, NOW);
        assert_eq!(
            joiner.push("", 0, true, 1, NOW).expect("complete").text,
            "a"
        );
    }
}
