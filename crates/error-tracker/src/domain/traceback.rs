//! Finds the place in a traceback that stands for the whole error.
//!
//! The rules are those of the wire contract, byte for byte, because clients and existing databases
//! hold fingerprints made with them. They run over hostile text, so the work is linear in its
//! length: every search goes on from where the one before it ended.

/// The place an error is grouped by. Both parts are text of the traceback, unchanged: `line` keeps
/// its leading zeros, and `file` may hold a URL, a query string or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'t> {
    /// What stands for the file.
    pub file: &'t str,
    /// The digits of the line number, at least one.
    pub line: &'t str,
}

/// The location of `traceback`: the last good Python frame anywhere in the text, else the first
/// line that reads as a JavaScript frame (which Java's look like, too).
pub fn locate(traceback: &str) -> Option<Location<'_>> {
    last_python_frame(traceback).or_else(|| first_javascript_frame(traceback))
}

/// The last `File "<file>", line <digits>`. The innermost frame is the last one printed, and of
/// chained exceptions it is the one that reached the reporter.
fn last_python_frame(text: &str) -> Option<Location<'_>> {
    let mut found = None;
    let mut rest = text;
    while let Some((_, after_marker)) = rest.split_once("File \"") {
        if let Some((location, remainder)) = python_frame(after_marker) {
            found = Some(location);
            rest = remainder;
        } else if let Some((_, next_line)) = after_marker.split_once('\n') {
            rest = next_line;
        } else {
            break;
        }
    }
    found
}

/// Reads a frame from behind its opening quote. The closing one may be lines away; that stays
/// linear over the whole text, because the next marker cannot begin before it.
fn python_frame(after_marker: &str) -> Option<(Location<'_>, &str)> {
    let (file, after_file) = after_marker.split_once('"')?;
    let from_digits = after_file.strip_prefix(", line ")?;
    let (line, remainder) = split_digits(from_digits);
    (!line.is_empty()).then_some((Location { file, line }, remainder))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn first_javascript_frame(text: &str) -> Option<Location<'_>> {
    let mut rest = text;
    // Every frame has a colon, so the lines without one need no look.
    while let Some((before, after)) = rest.split_once(':') {
        let begun = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        let (ended, remainder) = after.split_once('\n').unwrap_or((after, ""));
        let line = before.len() - begun.len()..before.len() + 1 + ended.len();
        if let Some(location) = rest.get(line).and_then(javascript_frame) {
            return Some(location);
        }
        rest = remainder;
    }
    None
}

/// Reads one line: `at name (file:line:column)`, `at file:line:column` or `name@file:line:column`.
fn javascript_frame(line: &str) -> Option<Location<'_>> {
    // `@f:1` is the shortest frame; a hostile text has many shorter lines.
    if line.len() < 4 {
        return None;
    }
    let line = trim(line);
    if let Some((_, frame)) = line.split_once("at ") {
        return place(in_parentheses(frame).unwrap_or(frame));
    }
    let (_, frame) = line.split_once('@')?;
    place(frame)
}

/// What stands between the first opening and the first closing parenthesis, when they come in this
/// order.
fn in_parentheses(frame: &str) -> Option<&str> {
    let (before, after) = frame.split_once('(')?;
    if before.contains(')') {
        return None;
    }
    after.split_once(')').map(|(inner, _)| inner)
}

/// Reads `file:line` or `file:line:column`.
fn place(text: &str) -> Option<Location<'_>> {
    let (before, last) = colon_number(trim(text))?;
    Some(match colon_number(before) {
        Some((file, line)) => Location { file, line },
        None => Location {
            file: before,
            line: last,
        },
    })
}

/// Splits `<something>:<digits>` at its last colon.
fn colon_number(text: &str) -> Option<(&str, &str)> {
    let (before, number) = text.rsplit_once(':')?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !before.is_empty()).then_some((before, number))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(traceback: &str, expected: Option<(&str, &str)>) {
        let found = locate(traceback).map(|place| (place.file, place.line));
        assert_eq!(found, expected, "in {traceback:?}");
    }

    #[test]
    fn python_takes_the_last_frame() {
        check(
            "File \"a.py\", line 1\nFile \"b.py\", line 2",
            Some(("b.py", "2")),
        );
        check("  File \"a.py\", line 007, in f", Some(("a.py", "007")));
        check("File \"\", line 1", Some(("", "1")));
        check("File \"a\nb\", line 3x", Some(("a\nb", "3")));
        check("File \"a\", line 1 File \"b\", line 2", Some(("b", "2")));
    }

    #[test]
    fn python_skips_the_line_of_a_bad_marker() {
        check("File \"a\", line x File \"b\", line 2", None);
        check("File \"a\", line x\nFile \"b\", line 2", Some(("b", "2")));
        check("File \"a\", line", None);
        check("file \"a\", line 1", None);
    }

    #[test]
    fn javascript_takes_the_first_frame() {
        check(
            "E: x\n    at f (a.js:1:2)\n    at g (b.js:3:4)",
            Some(("a.js", "1")),
        );
        check("    at a.js:1:2", Some(("a.js", "1")));
        check("f@http://h/a.js:5:6", Some(("http://h/a.js", "5")));
        check("at f (a.js:12)", Some(("a.js", "12")));
        check("at node:fs:603:3", Some(("node:fs", "603")));
        check("\n@:1\n@f:1", Some(("f", "1")));
        check(
            "\tat shop.Cart.total(Cart.java:57)\r",
            Some(("Cart.java", "57")),
        );
    }

    #[test]
    fn javascript_gives_up_a_line_without_a_place() {
        check("at f (<anonymous>)\nat g (b.js:3:4)", Some(("b.js", "3")));
        check("at f (x) b.js:3:4", None);
        check("at f) ( b.js:3:4", Some(("f) ( b.js", "3")));
        check("@:5", None);
        check("a@b:5x", None);
        check("no frame here", None);
        check("", None);
    }

    #[test]
    fn a_python_frame_wins_over_an_earlier_javascript_one() {
        check(
            "at f (a.js:1:2)\nFile \"b.py\", line 2",
            Some(("b.py", "2")),
        );
    }
}
