//! Dates and times as programs write them. Each function gives the end of what it read.

use super::text::Text;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A date with or without a time, or a time with seconds, from the beginning of a word; the longest
/// that no word follows.
pub(super) fn date_or_time(text: Text<'_>, at: usize) -> Option<usize> {
    match text.byte(at) {
        b'0'..=b'9' => iso_date(text, at)
            .or_else(|| compact(text, at))
            .or_else(|| day_first(text, at))
            .or_else(|| clock(text, at, true)),
        b'A'..=b'Z' => weekday_first(text, at).or_else(|| month_first(text, at)),
        _ => None,
    }
}

/// `2024-05-01`, also with slashes or dots
fn iso_date(text: Text<'_>, at: usize) -> Option<usize> {
    let separator = text.byte(at + 4);
    if !is_separator(separator) || text.byte(at + 7) != separator {
        return None;
    }
    year(text.digits(at, 4)?)?;
    month(text.digits(at + 5, 2)?)?;
    day(text.digits(at + 8, 2)?)?;
    with_clock(text, at + 10)
}

/// `20240501T123456Z`
fn compact(text: Text<'_>, at: usize) -> Option<usize> {
    if text.byte(at + 8) != b'T' {
        return None;
    }
    let date = text.digits(at, 8)?;
    year(date / 10_000)?;
    month(date / 100 % 100)?;
    day(date % 100)?;
    let seconds = text.digits(at + 9, 6).map(|_| at + 15);
    let end = seconds.or_else(|| text.digits(at + 9, 4).map(|_| at + 13))?;
    let fraction = fraction(text, end);
    [fraction, Some(end)]
        .into_iter()
        .flatten()
        .find_map(|end| zone(text, end))
}

/// `1.5.2024`, `05/01/2024`, `01/May/2024`, `1 May 2024`
fn day_first(text: Text<'_>, at: usize) -> Option<usize> {
    let (first, end) = text.number(at, 2)?;
    day(first)?;
    let separator = text.byte(end);
    let before_year = match text.number(end + 1, 2) {
        Some((second, after)) if is_separator(separator) => {
            day(second)?;
            after
        }
        _ if is_separator(separator) || separator == b' ' => month_name(text, end + 1)?,
        _ => return None,
    };
    if text.byte(before_year) != separator {
        return None;
    }
    year(text.digits(before_year + 1, 4)?)?;
    with_clock(text, before_year + 5)
}

/// `Wed, 01 May 2024 12:34:56 GMT`, `Wed May  1 12:34:56 2024`
fn weekday_first(text: Text<'_>, at: usize) -> Option<usize> {
    let end = name(text, at, &WEEKDAYS)?;
    let end = end + usize::from(text.byte(end) == b',');
    let date = blanks(text, end)?;
    match text.byte(date) {
        b'0'..=b'9' => day_first(text, date),
        _ => month_first(text, date),
    }
}

/// `May 5, 2024`, `May  1 12:34:56`, `May 01 2024 12:34:56 GMT+0200`
fn month_first(text: Text<'_>, at: usize) -> Option<usize> {
    let end = month_name(text, at)?;
    let (number, end) = text.number(blanks(text, end)?, 2)?;
    day(number)?;
    let day_end = (!text.word_at(end)).then_some(end);
    let after_comma = end + usize::from(text.byte(end) == b',');
    let year_end = |at: usize| {
        year(text.digits(at + 1, 4)?)?;
        (text.byte(at) == b' ').then_some(at + 5)
    };
    if let Some(end) = year_end(after_comma) {
        return with_clock(text, end).or(day_end);
    }
    match with_clock(text, end) {
        Some(end) => Some(
            year_end(end)
                .filter(|end| !text.word_at(*end))
                .unwrap_or(end),
        ),
        None => day_end,
    }
}

/// A date ends at `end`: that, or the end of the time that follows.
fn with_clock(text: Text<'_>, end: usize) -> Option<usize> {
    let joined = matches!(text.byte(end), b'T' | b't' | b' ' | b':' | b'_');
    let clock = joined.then(|| clock(text, end + 1, false)).flatten();
    clock.or_else(|| (!text.word_at(end)).then_some(end))
}

/// `12:34:56.789 PM +02:00`; the seconds may be missing behind a date and in one half of a day only.
fn clock(text: Text<'_>, at: usize, alone: bool) -> Option<usize> {
    let (hour, end) = text.number(at, 2)?;
    let in_half = |end| half_day(text, end).filter(|_| hour <= 12);
    let Some(minutes) = sixtieth(text, end).filter(|_| hour <= 24) else {
        return in_half(end).and_then(|end| zone(text, end));
    };
    let seconds = sixtieth(text, minutes);
    let parts = [
        seconds.and_then(|end| fraction(text, end)),
        seconds,
        (!alone || in_half(minutes).is_some()).then_some(minutes),
    ];
    parts.into_iter().flatten().find_map(|end| zone(text, end))
}

fn sixtieth(text: Text<'_>, at: usize) -> Option<usize> {
    let value = text.digits(at + 1, 2)?;
    (text.byte(at) == b':' && value <= 60).then_some(at + 3)
}

fn fraction(text: Text<'_>, at: usize) -> Option<usize> {
    let end = text.digits_end(at + 1);
    (matches!(text.byte(at), b'.' | b',') && end > at + 1).then_some(end)
}

/// The end of what may follow a time that ends at `end`, or `end` when a time may end there.
fn zone(text: Text<'_>, end: usize) -> Option<usize> {
    let end = half_day(text, end).unwrap_or(end);
    let gap = usize::from(text.byte(end) == b' ');
    let named = ["UTC", "GMT", "Z"]
        .into_iter()
        .find(|name| text.starts_with(end + gap, name))
        .map(|name| end + gap + name.len());
    let offset = |at: usize| {
        let hours = at + 3;
        let minutes = hours + usize::from(text.byte(hours) == b':');
        text.byte(at + 1).is_ascii_digit().then_some(())?;
        let shaped = matches!(text.byte(at), b'+' | b'-')
            && text.is_digit(at + 2)
            && text.digits(minutes, 2).is_some();
        let end = minutes + 2;
        (shaped && !text.word_at(end)).then_some(end)
    };
    let candidates = [named.and_then(offset), named, offset(end + gap), Some(end)];
    candidates
        .into_iter()
        .flatten()
        .find(|end| !text.word_at(*end))
}

/// The end of `AM`, `pm` or `p.m.` behind a time that ends at `end`.
fn half_day(text: Text<'_>, end: usize) -> Option<usize> {
    let letters = end + usize::from(text.byte(end) == b' ');
    let first = matches!(text.byte(letters), b'A' | b'P' | b'a' | b'p');
    let dots = usize::from(text.byte(letters + 1) == b'.');
    let second = matches!(text.byte(letters + 1 + dots), b'M' | b'm');
    let after = letters + 2 + dots;
    let closed = dots == 0 || text.byte(after) == b'.';
    let after = after + dots;
    (first && second && closed && !text.word_at(after)).then_some(after)
}

fn month_name(text: Text<'_>, at: usize) -> Option<usize> {
    let end = name(text, at, &MONTHS)?;
    Some(end + usize::from(text.byte(end) == b'.'))
}

/// One of `names`, in full or its first three letters.
fn name(text: Text<'_>, at: usize, names: &[&str]) -> Option<usize> {
    let full = names.iter().find(|name| text.starts_with(at, name));
    if let Some(name) = full
        && !text.word_at(at + name.len())
    {
        return Some(at + name.len());
    }
    let short = names.iter().any(|name| {
        name.get(..3)
            .is_some_and(|short| text.starts_with(at, short))
    });
    (short && !text.word_at(at + 3)).then_some(at + 3)
}

/// Behind one blank or two.
fn blanks(text: Text<'_>, at: usize) -> Option<usize> {
    (text.byte(at) == b' ').then(|| at + 1 + usize::from(text.byte(at + 1) == b' '))
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'/' | b'.')
}

fn year(value: u32) -> Option<()> {
    (1900..2200).contains(&value).then_some(())
}

fn month(value: u32) -> Option<()> {
    (1..=12).contains(&value).then_some(())
}

fn day(value: u32) -> Option<()> {
    (1..=31).contains(&value).then_some(())
}
