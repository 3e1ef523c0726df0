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

/// What stands between groups of three digits besides points and commas.
const GROUP_SEPARATORS: [&str; 6] = ["_", "'", "’", "\u{a0}", "\u{202f}", "\u{2009}"];

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
        while let Some(after) = more_digits(text, start, end) {
            end = after;
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

/// The end of the digits behind the separator at `end` in a number that began at `start`.
fn more_digits(text: Text<'_>, start: usize, end: usize) -> Option<usize> {
    if matches!(text.byte(end), b'.' | b',') {
        return text.is_digit(end + 1).then(|| text.digits_end(end + 1));
    }
    // `1_000`, `1'000`, `1 000` with a blank that keeps it together.
    let separator = GROUP_SEPARATORS
        .into_iter()
        .find(|separator| text.starts_with(end, separator))?;
    let group = end + separator.len();
    let first = text.digits_end(start) - start <= 3;
    (first && text.digits(group, 3).is_some()).then_some(group + 3)
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

/// Digits of other scripts than ASCII's, alone or among these, with points and commas.
pub(super) fn other_digits(text: Text<'_>, at: usize) -> Option<usize> {
    let mut end = at;
    let mut valid = None;
    let mut other = false;
    let mut letters = text.from(at).chars().peekable();
    while let Some(letter) = letters.next() {
        let separates = matches!(letter, '.' | ',' | '٫' | '٬');
        if separates {
            valid = other.then_some(end);
        }
        let next_is_digit = letters.peek().is_some_and(|next| next.is_numeric());
        let belongs = letter.is_numeric() || separates && end > at && next_is_digit;
        if !belongs {
            break;
        }
        other |= !letter.is_ascii();
        end += letter.len_utf8();
    }
    if other && !text.word_at(end) {
        return Some(end);
    }
    valid
}

/// `v1.2.3`: where the number begins that this word and what follows it are, and where it ends.
pub(super) fn version(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    if !matches!(text.byte(at), b'v' | b'V') {
        return None;
    }
    let mut end = text.digits_end(at + 1);
    // The `v2` of an API is a name.
    if end == at + 1 || text.byte(end) != b'.' || !text.is_digit(end + 1) {
        return None;
    }
    while text.byte(end) == b'.' && text.is_digit(end + 1) {
        end = text.digits_end(end + 1);
    }
    (!text.word_at(end)).then_some((at + 1, end))
}

/// An id behind the short name of what it is an id of, as in `cus_NffrFeUfNV2Hib`: where it begins and ends. `end` is that
/// of the name.
pub(super) fn prefixed(text: Text<'_>, at: usize, end: usize) -> Option<(usize, usize)> {
    const PREFIX: std::ops::RangeInclusive<usize> = 2..=8;
    let named = PREFIX.contains(&(end - at))
        && text
            .between(at, end)
            .bytes()
            .all(|byte| byte.is_ascii_lowercase());
    if !named || text.byte(end) != b'_' {
        return None;
    }
    let start = end + 1;
    let mut end = start;
    while text.byte(end).is_ascii_alphanumeric() {
        end += 1;
    }
    let id = text.between(start, end);
    (!text.word_at(end) && id.len() >= SHORTEST_PREFIXED && turns_often(id)).then_some((start, end))
}

const SHORTEST_PREFIXED: usize = 14;

/// Whether letters and digits change as in an id of base 62; without a digit, capitals must stand together as well.
fn turns_often(id: &str) -> bool {
    let pairs = id.as_bytes().windows(2);
    let turns = pairs.clone().filter(|pair| is_turn(pair)).count();
    let capitals = |pair: &[u8]| pair.iter().all(u8::is_ascii_uppercase);
    let mixed = id.bytes().any(|byte| byte.is_ascii_digit()) || pairs.clone().any(capitals);
    mixed && turns * 4 > id.len()
}

/// Where the name ends that Kubernetes made of the name of a deployment or a job, if one begins here: `7d9f8b6c59-x2x7k`,
/// `28391040-x2x7k`. The letters are those that form no words.
pub(super) fn pod(text: Text<'_>, at: usize) -> Option<usize> {
    let hash = |byte: u8| matches!(byte, b'4'..=b'9' | b'b' | b'c' | b'd' | b'f');
    let mut end = at;
    while hash(text.byte(end)) {
        end += 1;
    }
    if !(6..=10).contains(&(end - at)) {
        // Of a job: the minute it was to begin at.
        end = text.digits_end(at);
        if end - at != 8 {
            return None;
        }
    }
    let random = |byte: u8| matches!(byte, b'2' | b'4'..=b'9' | b'b'..=b'd' | b'f'..=b'h' | b'j'..=b'n' | b'p'..=b't' | b'v'..=b'x' | b'z');
    let suffix = end + 1;
    let all = (suffix..suffix + 5).all(|at| random(text.byte(at)));
    // Else they are two numbers.
    let all = all && (suffix..suffix + 5).any(|at| !text.is_digit(at));
    (text.byte(end) == b'-' && all && !text.word_at(suffix + 5)).then_some(suffix + 5)
}

/// Where in the segment that begins at `at` such a name begins, or how far the search came.
pub(super) fn pod_in_segment(text: Text<'_>, at: usize) -> Result<usize, usize> {
    let searched = segment_end(text, at);
    let segment = text.between(at, searched);
    let mut hyphens = segment.rmatch_indices('-').map(|(hyphen, _)| at + hyphen);
    let start = hyphens.nth(1).map(|hyphen| hyphen + 1);
    start
        .filter(|start| pod(text, *start) == Some(searched))
        .ok_or(searched)
}

/// The part of the name of a temporary file or directory that programs make up, if one begins here: where it begins and
/// ends. `tmpx7f3k_2q` is Python's, `tmp.Xa9Qk2LmPz` that of `mktemp`, `_MEI12345` that of bundles of Python.
pub(super) fn temporary(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    let before = if at == 0 { 0 } else { text.byte(at - 1) };
    let in_path = matches!(before, b'/' | b'\\');
    let run = |from: usize, belongs: fn(u8) -> bool| {
        let mut end = from;
        while belongs(text.byte(end)) {
            end += 1;
        }
        (from, end)
    };
    let (start, end) = if text.starts_with(at, "MEI") && before == b'_' {
        run(at + 3, |byte| byte.is_ascii_alphanumeric())
    } else if text.starts_with(at, "tmp.") {
        run(at + 4, |byte| byte.is_ascii_alphanumeric())
    } else if text.starts_with(at, "tmp") {
        run(at + 3, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
    } else {
        return None;
    };
    let made_up = text.between(start, end);
    let fits = match text.byte(start - 1) {
        b'I' => made_up.len() >= 4,
        b'.' => made_up.len() == 10 && turns_often(made_up),
        _ => {
            let small = made_up.bytes().all(|byte| !byte.is_ascii_uppercase());
            let digits = made_up.bytes().any(|byte| byte.is_ascii_digit());
            // `tmp_cache_1` and `tmpdownload` are names, but hardly those of files in a directory for such.
            small && made_up.len() == 8 && (in_path || digits && !made_up.starts_with('_'))
        }
    };
    (fits && !text.word_at(end) && text.byte(end) != b'-').then_some((start, end))
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
