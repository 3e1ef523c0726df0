//! When a point happened.
//!
//! Strings are RFC 3339 with any offset and fraction; a string without an offset is UTC. Numbers of 10^11 and more are
//! milliseconds since 1970. Anything absent or of another type means now. A string nobody can read, and a time more than
//! a day ahead, become the time of arrival: the contract takes any string, so they are counted, not refused.

use super::strict_json;

const DAY_MS: i64 = 86_400_000;
/// Smaller numbers are no milliseconds of this age; the contract gives them no meaning.
const SMALLEST_EPOCH_MS: f64 = 1e11;
/// Milliseconds of the last moment of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;

/// When a point happened and whether its sender said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) at_ms: i64,
    /// The sender gave a time that cannot be meant.
    pub(crate) replaced: bool,
}

/// Reads a timestamp field, given as JSON.
pub(crate) fn resolve(raw: Option<&str>, now_ms: i64) -> Resolved {
    let now = Resolved {
        at_ms: now_ms,
        replaced: false,
    };
    let replaced = Resolved {
        at_ms: now_ms,
        replaced: true,
    };
    let Some(raw) = raw else { return now };
    let given = match raw.as_bytes().first() {
        Some(b'"') => strict_json::string(raw).and_then(|text| parse(&text)),
        Some(b'0'..=b'9') => match raw.parse::<f64>() {
            Ok(ms) if ms >= SMALLEST_EPOCH_MS => (ms <= LATEST_MS as f64).then_some(ms as i64),
            _ => return now,
        },
        _ => return now,
    };
    match given {
        Some(at_ms) if at_ms <= now_ms.saturating_add(DAY_MS) => Resolved {
            at_ms,
            replaced: false,
        },
        _ => replaced,
    }
}

/// Reads a time that somebody has stored; `None` when it is none, or more than a day ahead.
pub(crate) fn stored(text: &str, now_ms: i64) -> Option<i64> {
    parse(text).filter(|&at_ms| at_ms <= now_ms.saturating_add(DAY_MS))
}

/// Milliseconds since 1970 of a date and time, rounded down.
fn parse(text: &str) -> Option<i64> {
    common_form(text.as_bytes()).or_else(|| {
        let text = text.trim();
        if !has_plain_zone(text) {
            return None;
        }
        let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
            let local: jiff::civil::DateTime = text.parse().ok()?;
            local
                .to_zoned(jiff::tz::TimeZone::UTC)
                .ok()
                .map(|zoned| zoned.timestamp())
        })?;
        i64::try_from(at.as_nanosecond().div_euclid(1_000_000)).ok()
    })
}

/// Whether a time says its zone as RFC 3339 does, or not at all. Jiff also reads offsets of a day and more, and passes
/// over the name of a zone that stands without an offset: such a time would be hours wrong.
fn has_plain_zone(text: &str) -> bool {
    let Some((_, time)) = text.split_once(['T', 't', ' ']) else {
        return true;
    };
    let (time, zone_name) = match time.split_once('[') {
        Some((time, _)) => (time, true),
        None => (time, false),
    };
    match time.rsplit_once(['+', '-']) {
        Some((_, offset)) => {
            let hours = offset.get(..2).and_then(|hours| digits(hours.as_bytes()));
            hours.is_some_and(|hours| hours < 24)
        }
        None => !zone_name || time.ends_with(['Z', 'z']),
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`, which is what nearly everybody sends.
fn common_form(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let at = |from: usize, to: usize| digits(date_time.get(from..to)?);
    let separators = [
        date_time[4],
        date_time[7],
        date_time[10],
        date_time[13],
        date_time[16],
    ];
    if &separators != b"--T::" {
        return None;
    }
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let (hour, minute, second) = (at(11, 13)?, at(14, 16)?, at(17, 19)?);
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let (fraction_ms, zone) = fraction(rest)?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset_seconds(zone)?) * 1000 + fraction_ms)
}

/// Milliseconds of a fraction such as `.25`, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    let ms = (0..3).fold(0, |ms, place| {
        ms * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'))
    });
    Some((ms, rest))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b"Z" => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            (*sign, digits(&[*h1, *h2])?, digits(&[*m1, *m2])?)
        }
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = hours * 3_600 + minutes * 60;
    Some(if sign == b'-' { -offset } else { offset })
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i64::from(byte - b'0'))
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, after H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms": years start in March, so that the leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2025-01-20T10:00:00Z
    const NOW: i64 = 1_737_367_200_000;

    #[track_caller]
    fn check(raw: &str, expected_ms: i64) {
        assert_eq!(
            resolve(Some(raw), NOW),
            Resolved {
                at_ms: expected_ms,
                replaced: false
            },
            "{raw}"
        );
    }

    #[test]
    fn reads_zones_and_fractions() {
        check("\"2025-01-20T09:59:30Z\"", NOW - 30_000);
        check("\"2025-01-20T09:59:30.250Z\"", NOW - 29_750);
        check("\"2025-01-20T09:59:30.2506789+00:00\"", NOW - 29_750);
        check("\"2025-01-20T11:59:30+02:00\"", NOW - 30_000);
        check("\"2025-01-20T04:29:30-05:30\"", NOW - 30_000);
        check("\"2025-01-20T09:59:30\"", NOW - 30_000);
        check("\"2025-01-20 09:59:30.5\"", NOW - 29_500);
        check("\"2025-01-20t09:59:30z\"", NOW - 30_000);
        check("\"2025-01-20\"", NOW - 10 * 3_600_000);
        check("\"2025-01-20T15:29:30+0530\"", NOW - 30_000);
        check("\"2025-01-20T11:59:30+02\"", NOW - 30_000);
        check("\"2025-01-20T10:59:30+01:00[Europe/Berlin]\"", NOW - 30_000);
        check("\"2025-01-20T09:59:30Z[Etc/GMT-0]\"", NOW - 30_000);
        check("\"1970-01-01T00:00:00Z\"", 0);
        check("\"1969-12-31T23:59:59.999Z\"", -1);
        check("1737367170000", NOW - 30_000);
        check("1.7373671705e12", NOW - 29_500);
    }

    #[test]
    fn absent_and_other_types_mean_now() {
        assert_eq!(
            resolve(None, NOW),
            Resolved {
                at_ms: NOW,
                replaced: false
            }
        );
        for raw in [
            "null",
            "true",
            "{}",
            "[]",
            "-5",
            "0",
            "1737367170",
            "1732240000.5",
        ] {
            check(raw, NOW);
        }
    }

    #[test]
    fn what_cannot_be_meant_becomes_the_arrival() {
        for raw in [
            "\"banana\"",
            "\"\"",
            "\"1732240000\"",
            "\"2999-01-01T00:00:00Z\"",
            "\"2025-01-21T10:00:00.001Z\"",
            "\"2025-02-30T00:00:00Z\"",
            "\"2025-01-20T24:00:01Z\"",
            "\"2025-01-20T09:59:30.Z\"",
            "\"2025-01-20T09:59:30+24:00\"",
            "\"2025-01-20T09:59:30-25:00\"",
            "\"2025-01-20T10:59:30[Europe/Berlin]\"",
            "\"2025-01-20 10:59[America/Port-au-Prince]\"",
            "1e300",
            "99999999999999999999",
        ] {
            assert_eq!(
                resolve(Some(raw), NOW),
                Resolved {
                    at_ms: NOW,
                    replaced: true
                },
                "{raw}"
            );
        }
        check("\"2025-01-21T10:00:00Z\"", NOW + DAY_MS);
    }

    proptest! {
        #[test]
        fn the_quick_reading_agrees_with_jiff(ms in -62_135_596_800_000_i64..=LATEST_MS, offset in -1439_i64..=1439) {
            let at = jiff::Timestamp::from_millisecond(ms).expect("in range");
            let text = format!("{at:.3}");
            prop_assert_eq!(common_form(text.as_bytes()), Some(ms));
            if let Ok(shifted) = jiff::Timestamp::from_millisecond(ms + offset * 60_000) {
                let sign = if offset < 0 { '-' } else { '+' };
                let local = format!("{shifted:.3}").replace('Z', &format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60));
                if !local.starts_with('-') && local.len() == 29 {
                    prop_assert_eq!(common_form(local.as_bytes()), Some(ms), "{}", local);
                }
            }
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let raw = serde_json::to_string(&text).expect("a string has a JSON form");
            resolve(Some(&raw), NOW);
        }
    }
}
