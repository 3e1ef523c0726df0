//! Times as people and programs state them.

use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A stated time as the span it covers: `10:00:03` is the whole second, `2025-01-20` the whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first nanosecond.
    pub first_ns: i64,
    /// Its last nanosecond.
    pub last_ns: i64,
}

impl Span {
    /// Understands ISO 8601 with `T` or a blank between date and time, down to nanoseconds, with `Z`, `+01:00`, `+0100` or
    /// no zone (UTC). A plus sign that a query string turned into a blank is a plus sign.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = Scanner(text.trim());
        let year = rest.digits(4)?;
        rest.take('-')?;
        let month = rest.digits(2)?;
        rest.take('-')?;
        let day = rest.digits(2)?;
        let mut clock = [0_i64; 3];
        let mut fraction = 0;
        let mut unit_ns: i64 = 86_400_000_000_000;
        if !rest.0.is_empty() {
            rest.take('T')
                .or_else(|| rest.take('t'))
                .or_else(|| rest.take(' '))?;
            for (index, (field, unit)) in clock
                .iter_mut()
                .zip([3_600_000_000_000, 60_000_000_000, 1_000_000_000])
                .enumerate()
            {
                if index > 0 && rest.take(':').is_none() {
                    break;
                }
                *field = rest.digits(2)?;
                unit_ns = unit;
            }
            if unit_ns == 1_000_000_000 && rest.take('.').or_else(|| rest.take(',')).is_some() {
                (fraction, unit_ns) = rest.fraction()?;
            }
        }
        let offset = rest.zone()?;
        let [hour, minute, second] = clock;
        let civil = DateTime::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second).ok()?,
            i32::try_from(fraction).ok()?,
        )
        .ok()?;
        // Only the last hours of the year 9999 are beyond what a timestamp can be.
        let first = offset
            .to_timestamp(civil)
            .map_or(i128::MAX / 2, jiff::Timestamp::as_nanosecond);
        let last = first + i128::from(unit_ns) - 1;
        Some(Self {
            first_ns: clamp(first),
            last_ns: clamp(last),
        })
    }
}

/// Stored times lie between 1677 and 2262; bounds outside of that are as good as those years.
fn clamp(ns: i128) -> i64 {
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

struct Scanner<'t>(&'t str);

impl Scanner<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.0.get(..count)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = self.0.get(count..)?;
        digits.parse().ok()
    }

    fn take(&mut self, letter: char) -> Option<()> {
        self.0 = self.0.strip_prefix(letter)?;
        Some(())
    }

    /// Nanoseconds, and the unit of the last digit; digits behind the ninth are dropped.
    fn fraction(&mut self) -> Option<(i64, i64)> {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let used = digits.get(..count.min(9))?;
        let unit = 10_i64.pow(9 - u32::try_from(used.len()).ok()?);
        Some((used.parse::<i64>().ok()? * unit, unit))
    }

    /// The zone, which must be the end.
    fn zone(&mut self) -> Option<Offset> {
        if matches!(self.0, "" | "Z" | "z") {
            return Some(Offset::UTC);
        }
        let sign = match self.0.chars().next()? {
            '+' | ' ' => 1,
            '-' => -1,
            _ => return None,
        };
        self.0 = self.0.get(1..)?;
        let hours = self.digits(2)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            // The colon may be left out.
            let _ = self.take(':');
            self.digits(2)?
        };
        if !self.0.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        Offset::from_seconds(i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    /// 2025-01-20T10:00:00Z.
    const TEN: i64 = 1_737_367_200 * SECOND;

    #[track_caller]
    fn check(text: &str, first_ns: i64, length_ns: i64) {
        assert_eq!(
            Span::parse(text),
            Some(Span {
                first_ns,
                last_ns: first_ns + length_ns - 1
            }),
            "{text}"
        );
    }

    #[test]
    fn a_time_means_its_whole_stated_unit() {
        check("2025-01-20T10:00:03Z", TEN + 3 * SECOND, SECOND);
        check("2025-01-20T10:00:03", TEN + 3 * SECOND, SECOND);
        check("2025-01-20 10:00:03Z", TEN + 3 * SECOND, SECOND);
        check(
            "2025-01-20T10:00:03.5Z",
            TEN + 3 * SECOND + SECOND / 2,
            SECOND / 10,
        );
        check(
            "2025-01-20T10:00:03.999Z",
            TEN + 3 * SECOND + 999_000_000,
            1_000_000,
        );
        check(
            "2025-01-20T10:00:03.123456789Z",
            TEN + 3 * SECOND + 123_456_789,
            1,
        );
        check(
            "2025-01-20T10:00:03.1234567891Z",
            TEN + 3 * SECOND + 123_456_789,
            1,
        );
        check("2025-01-20T10:00", TEN, 60 * SECOND);
        check("2025-01-20T10Z", TEN, 3600 * SECOND);
        check("2025-01-20", TEN - 10 * 3600 * SECOND, 86_400 * SECOND);
    }

    #[test]
    fn zones_are_applied() {
        check("2025-01-20T11:00:03+01:00", TEN + 3 * SECOND, SECOND);
        check("2025-01-20T11:00:03 01:00", TEN + 3 * SECOND, SECOND);
        check("2025-01-20T11:00:03+0100", TEN + 3 * SECOND, SECOND);
        check("2025-01-20T11:00:03+01", TEN + 3 * SECOND, SECOND);
        check("2025-01-20T04:30:00-05:30", TEN, SECOND);
        check("2025-01-20T10:00:00-00:00", TEN, SECOND);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "garbage",
            "",
            "2025",
            "2025-13-01",
            "2025-02-30",
            "2025-01-20T25:00:00Z",
            "2025-01-20T10:00:03Zjunk",
            "2025-01-20T10:00:03.Z",
            "2025-01-20T10:00:03+1",
            "2025-1-2",
            "2025-01-20T",
            "2025-01-20T10:00:60Z",
            "2025-01-20T10:00:00+24:00",
            "２025-01-20",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
        assert_eq!(
            Span::parse("9999-12-31").map(|span| span.last_ns),
            Some(i64::MAX)
        );
        assert_eq!(
            Span::parse("0001-01-01").map(|span| span.first_ns),
            Some(i64::MIN)
        );
    }
}
