//! Where the original service stopped reading a file, as far as that can be told.
//!
//! It wrote down the size that a file had before it read it, and it read on to the end: lines that came meanwhile are
//! stored, yet lie behind its position. When it was killed, all of a long read lies behind. A line that was cut at the end
//! of the file was dropped, and its position is within that line. So reading goes on from the start of the line, and what
//! is stored already is found by comparing: the longest run of stored lines that is also the beginning of what is read.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::docker_line;
use super::entry::Stream;

/// Text as the original stored it: the escapes of the json-file are still in it, lines are joined by LF.
pub fn decode(stored: &str) -> String {
    let mut text = String::with_capacity(stored.len());
    for (index, line) in stored.split('\n').enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let decoded = docker_line::unescape(line);
        text.push_str(decoded.strip_suffix('\r').unwrap_or(&decoded));
    }
    text
}

/// What lines are compared by: the text, and of those that can begin an entry the second and the stream. The original
/// joined the others to the line before, whose second and stream they then have.
pub fn marks(text: &str, stream: Stream, second: i64) -> impl Iterator<Item = u64> {
    text.split('\n')
        .filter(|line| !line.trim_matches([' ', '\t']).is_empty())
        .map(move |line| {
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            let is_joined = line.starts_with([' ', '\t'])
                || line.starts_with("Traceback (most recent call last)");
            if !is_joined {
                (second, stream).hash(&mut hasher);
            }
            hasher.finish()
        })
}

/// How many of the lines that were read are stored already: the longest run that ends `stored` and begins `read`.
///
/// Takes time linear in both, by the prefix function of Knuth, Morris and Pratt.
pub fn overlap(stored: &[u64], read: &[u64]) -> usize {
    // fallback[n]: the longest proper beginning of read[..=n] that also ends it.
    let mut fallback: Vec<usize> = Vec::with_capacity(read.len());
    let mut length = 0;
    for (index, mark) in read.iter().enumerate() {
        length = if index == 0 {
            0
        } else {
            longer(read, &fallback, length, *mark)
        };
        fallback.push(length);
    }
    let mut length = 0;
    for mark in stored {
        if length == read.len() {
            length = before(&fallback, length);
        }
        length = longer(read, &fallback, length, *mark);
    }
    length
}

/// The length of the beginning of `read` that ends with one more mark, after one of `length` did without it.
fn longer(read: &[u64], fallback: &[usize], mut length: usize, mark: u64) -> usize {
    loop {
        if read.get(length) == Some(&mark) {
            return length + 1;
        }
        if length == 0 {
            return 0;
        }
        length = before(fallback, length);
    }
}

fn before(fallback: &[usize], length: usize) -> usize {
    length
        .checked_sub(1)
        .and_then(|last| fallback.get(last))
        .copied()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stored_text_is_decoded_line_by_line() {
        assert_eq!(decode("plain"), "plain");
        assert_eq!(
            decode("said \\\"hi\\\"\\tto \\u003cb\\u003e\\r\n  at C:\\\\dir"),
            "said \"hi\"\tto <b>\n  at C:\\dir"
        );
        assert_eq!(decode(""), "");
    }

    #[test]
    fn lines_are_told_apart_by_second_and_stream_unless_they_were_joined() {
        let of = |text, stream, second| marks(text, stream, second).collect::<Vec<_>>();
        let out = Stream::Stdout;
        assert_eq!(of("a", out, 1), of("a", out, 1));
        assert_ne!(of("a", out, 1), of("a", out, 2));
        assert_ne!(of("a", out, 1), of("a", Stream::Stderr, 1));
        assert_ne!(of("a", out, 1), of("b", out, 1));
        assert_eq!(of("  at x", out, 1), of("  at x", Stream::Stderr, 2));
        assert_eq!(of(" \t\n\n", out, 1), [0_u64; 0]);
        assert_eq!(
            of("a\n  b", out, 1),
            [of("a", out, 1), of("  b", out, 9)].concat()
        );
    }

    #[track_caller]
    fn check(stored: &[u64], read: &[u64], expected: usize) {
        assert_eq!(overlap(stored, read), expected, "{stored:?} {read:?}");
    }

    #[test]
    fn what_is_stored_is_not_read_again() {
        check(&[1, 2, 3], &[4, 5], 0);
        check(&[1, 2, 3], &[3, 4], 1);
        check(&[1, 2, 3], &[2, 3, 4], 2);
        check(&[1, 2, 3], &[1, 2, 3], 3);
        check(&[1, 2, 3], &[2, 4], 0);
        check(&[7, 7, 7], &[7, 7, 8], 2);
        check(&[1, 2, 1, 2, 1], &[1, 2, 1, 3], 3);
        check(&[], &[1], 0);
        check(&[1], &[], 0);
    }

    proptest! {
        #[test]
        fn the_run_is_the_longest(stored in proptest::collection::vec(0_u64..3, 0..12), read in proptest::collection::vec(0_u64..3, 0..12)) {
            let plain = (0..=stored.len().min(read.len()))
                .rev()
                .find(|length| stored.ends_with(&read[..*length]));
            prop_assert_eq!(Some(overlap(&stored, &read)), plain);
        }
    }
}
