//! Numbers, pointers and machine-made ids.

use super::text::Text;

/// Units that may be glued to a number; lower case stands for any.
const UNITS: [&str; 41] = [
    "ns", "us", "ms", "s", "sec", "secs", "m", "min", "mins", "h", "hr", "hrs", "d", "w", "y", "b",
    "k", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "bit", "bits", "g", "t", "px", "em",
    "rem", "pt", "hz", "khz", "mhz", "ghz", "st", "nd", "rd", "th",
];

/// Units that programs choose by the size of the number, so that they are as variable as it is.
const SPACED_UNITS: [&str; 34] = [
    "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "byte", "bytes", "ns", "us", "ms",
    "s", "sec", "secs", "second", "seconds", "min", "mins", "minute", "minutes", "h", "hr", "hrs",
    "hour", "hours", "day", "days", "week", "weeks", "month", "months",
];

const LONGEST_UNIT: usize = 7;

/// `0x` and hexadecimal digits.
pub(super) fn pointer(text: Text<'_>, at: usize) -> Option<usize> {
    if text.byte(at) != b'0' || !matches!(text.byte(at + 1), b'x' | b'X') {
        return None;
    }
    let mut end = at + 2;
    while text.byte(end).is_ascii_hexdigit() {
        end += 1;
    }
    (end > at + 2 && !text.word_at(end)).then_some(end)
}

/// A number with points and commas, exponent and unit; several with units make a duration.
pub(super) fn number(text: Text<'_>, at: usize) -> Option<usize> {
    let mut valid = None;
    let mut end = at;
    // In a duration every number has its unit.
    let mut units = 0;
    loop {
        let start = end;
        end = text.digits_end(start);
        if end == start {
            break;
        }
        let mut note = |end| {
            if units == 0 && !text.word_at(end) {
                valid = Some(end);
            }
        };
        note(end);
        while matches!(text.byte(end), b'.' | b',') && text.is_digit(end + 1) {
            end = text.digits_end(end + 1);
            note(end);
        }
        if let Some(after) = exponent(text, end) {
            end = after;
            note(end);
        }
        let Some(after) = unit(text, end, &UNITS) else {
            break;
        };
        end = after;
        units += 1;
        if !text.word_at(end) {
            valid = Some(end);
        }
    }
    let end = valid?;
    if text.byte(end) == b'%' && !text.word_at(end + 1) {
        return Some(end + 1);
    }
    let spaced = text.byte(end) == b' ';
    let with_unit = spaced
        .then(|| unit(text, end + 1, &SPACED_UNITS))
        .flatten()
        .filter(|after| !text.word_at(*after));
    Some(with_unit.unwrap_or(end))
}

fn exponent(text: Text<'_>, at: usize) -> Option<usize> {
    if !matches!(text.byte(at), b'e' | b'E') {
        return None;
    }
    let digits = at + 1 + usize::from(matches!(text.byte(at + 1), b'+' | b'-'));
    let end = text.digits_end(digits);
    (end > digits).then_some(end)
}

/// The end of one of `units`, when a run of letters is exactly that.
fn unit(text: Text<'_>, at: usize, units: &[&str]) -> Option<usize> {
    // The Greek letter and the sign for a millionth of a second.
    if let Some(after) = ["µs", "μs"]
        .into_iter()
        .find(|unit| text.starts_with(at, unit))
    {
        return Some(at + after.len());
    }
    let mut end = at;
    while end <= at + LONGEST_UNIT && text.byte(end).is_ascii_alphabetic() {
        end += 1;
    }
    let letters = text.between(at, end);
    units
        .iter()
        .any(|unit| unit.eq_ignore_ascii_case(letters))
        .then_some(end)
}

/// What ids of all alphabets are made of: base64 in both of its alphabets, and the dots of a JWT.
fn is_run(byte: u8) -> bool {
    is_segment(byte) || matches!(byte, b'+' | b'/' | b'=' | b'.')
}

fn is_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Where the run of id letters at `at` ends, placeholders counted in.
pub(super) fn run_end(text: Text<'_>, at: usize) -> usize {
    end(text, at, is_run)
}

/// As [`run_end`], of the part between dots or slashes.
pub(super) fn segment_end(text: Text<'_>, at: usize) -> usize {
    end(text, at, is_segment)
}

fn end(text: Text<'_>, mut at: usize, belongs: fn(u8) -> bool) -> usize {
    loop {
        if belongs(text.byte(at)) {
            at += 1;
        } else if let Some(name) = text.placeholder(at) {
            at += name.len();
        } else {
            return at;
        }
    }
}

/// False for a word that is too short for an id and part of nothing longer.
pub(super) fn may_be_random(text: Text<'_>, start: usize, end: usize) -> bool {
    end - start >= SHORTEST || is_run(text.byte(end))
}

/// A machine-made id that may have dots and slashes in it, or how far the search came.
pub(super) fn run(text: Text<'_>, at: usize) -> Result<usize, usize> {
    let mut end = at;
    while is_run(text.byte(end)) {
        end += 1;
    }
    let searched = run_end(text, end);
    let whole = searched == end;
    while end > at && text.byte(end - 1) == b'.' {
        end -= 1;
    }
    if whole && !text.word_at(end) && is_random(text.between(at, end)) {
        Ok(end)
    } else {
        Err(searched)
    }
}

/// A machine-made id between dots or slashes, or how far the search came.
pub(super) fn segment(text: Text<'_>, at: usize) -> Result<usize, usize> {
    let mut end = at;
    while is_segment(text.byte(end)) {
        end += 1;
    }
    let searched = segment_end(text, end);
    if searched == end && !text.word_at(end) && is_random(text.between(at, end)) {
        Ok(end)
    } else {
        Err(searched)
    }
}

const SHORTEST: usize = 16;

/// True for 16 or more letters and digits that turn from letters to digits, or from small letters
/// to capitals, more often than every fourth place, and that have no word of three letters among
/// them. Random letters of base 64 turn at every second, names of classes at every sixth.
pub(super) fn is_random(id: &str) -> bool {
    if id.len() < SHORTEST || !id.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let mut turns = 0;
    for piece in id.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        let inside = piece.as_bytes().windows(2).filter(|pair| is_turn(pair));
        let turns_inside = inside.count();
        let word = piece.len() >= 3 && turns_inside == 0;
        if word && !piece.bytes().any(|byte| byte.is_ascii_digit()) {
            return false;
        }
        turns += turns_inside;
    }
    turns * 4 > id.len()
}

fn is_turn(pair: &[u8]) -> bool {
    let [before, after] = pair else { return false };
    before.is_ascii_digit() != after.is_ascii_digit()
        || before.is_ascii_lowercase() && after.is_ascii_uppercase()
}
