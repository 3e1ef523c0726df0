//! What a question covers: how far back, and in steps of which size.

/// One row of a series covers a minute, an hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resolution {
    Minute,
    Hour,
    Day,
}

impl Resolution {
    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Reads a name; `auto` stands for the given one.
    pub(crate) fn parse(text: &str, auto: Self) -> Option<Self> {
        match text {
            "minute" => Some(Self::Minute),
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            "auto" => Some(auto),
            _ => None,
        }
    }

    /// The coarsest one whose buckets a longer one can be made of. `step_ms` is a multiple of a minute.
    pub(crate) const fn dividing(step_ms: i64) -> Self {
        if step_ms % Self::Day.step_ms() == 0 {
            Self::Day
        } else if step_ms % Self::Hour.step_ms() == 0 {
            Self::Hour
        } else {
            Self::Minute
        }
    }

    /// Milliseconds of a bucket.
    pub(crate) const fn step_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// What its rows are made of; minutes are made of points.
    pub(crate) const fn finer(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::Hour => Some(Self::Minute),
            Self::Day => Some(Self::Hour),
        }
    }

    /// The finest one that suits a stretch of time and is still kept for where it begins, `age_ms` ago.
    pub(crate) const fn suiting(length_ms: i64, age_ms: i64, kept: Kept) -> Self {
        // The first bucket need not be whole.
        if length_ms <= MINUTES_UP_TO_MS && age_ms < kept.minute_ms + Self::Minute.step_ms() {
            Self::Minute
        } else if age_ms < kept.hour_ms + Self::Hour.step_ms() {
            Self::Hour
        } else {
            Self::Day
        }
    }

    /// The start of the bucket that holds a time.
    pub(crate) const fn bucket_of(self, at_ms: i64) -> i64 {
        at_ms - at_ms.rem_euclid(self.step_ms())
    }
}

/// A length of time as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// Such as `24h`; given back in the answer.
    pub(crate) text: String,
    pub(crate) seconds: i64,
}

const LONGEST_TEXT: usize = 10;
/// Stretches of time up to this one are shown by the minute.
const MINUTES_UP_TO_MS: i64 = 86_400_000;

/// How long rows are kept, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) minute_ms: i64,
    /// At least as long as those of minutes.
    pub(crate) hour_ms: i64,
}

impl Default for Period {
    fn default() -> Self {
        Self {
            text: "24h".to_owned(),
            seconds: 86_400,
        }
    }
}

impl Period {
    /// `<digits><s|m|h|d>` of 2 to 10 characters, more than zero; a period too long to count is as long as can be.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST_TEXT {
            return None;
        }
        let (unit, number) = text.as_bytes().split_last()?;
        let unit_seconds = match unit {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return None,
        };
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = number
            .iter()
            .fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
        (number > 0).then(|| Self {
            text: text.to_owned(),
            seconds: number.saturating_mul(unit_seconds),
        })
    }

    /// The start of the period that ends now, in milliseconds since 1970; never before the year 1.
    pub(crate) fn start_ms(&self, now_ms: i64) -> i64 {
        const YEAR_1_MS: i64 = -62_135_596_800_000;
        now_ms
            .saturating_sub(self.seconds.saturating_mul(1000))
            .max(YEAR_1_MS)
    }

    /// The resolution that suits the period that ends now.
    pub(crate) const fn resolution(&self, kept: Kept) -> Resolution {
        let length_ms = self.seconds.saturating_mul(1000);
        Resolution::suiting(length_ms, length_ms, kept)
    }
}

/// Longest buckets, in seconds.
const LONGEST_STEP_SECONDS: i64 = 366 * 86_400;

/// The length of buckets in milliseconds, from a text like that of a period: whole minutes, a year at most.
pub(crate) fn step_ms(text: &str) -> Option<i64> {
    let seconds = Period::parse(text)?.seconds;
    (seconds % 60 == 0 && seconds <= LONGEST_STEP_SECONDS).then_some(seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const USUAL: Kept = Kept {
        minute_ms: DAY_MS,
        hour_ms: 30 * DAY_MS,
    };

    #[test]
    fn what_is_shown_is_what_is_kept() {
        use Resolution::{Day, Hour, Minute};
        const HOUR_MS: i64 = DAY_MS / 24;
        let short = Kept {
            minute_ms: 2 * HOUR_MS,
            hour_ms: DAY_MS,
        };
        for (kept, length_ms, age_ms, expected) in [
            (USUAL, DAY_MS, DAY_MS, Minute),
            (USUAL, DAY_MS, DAY_MS + 59_999, Minute),
            (USUAL, HOUR_MS, 2 * DAY_MS, Hour),
            (USUAL, HOUR_MS, 31 * DAY_MS, Day),
            (USUAL, DAY_MS + 1, DAY_MS + 1, Hour),
            (USUAL, 0, 0, Minute),
            (short, HOUR_MS, HOUR_MS, Minute),
            (short, 3 * HOUR_MS, 3 * HOUR_MS, Hour),
            (short, DAY_MS, DAY_MS, Hour),
            (short, 2 * DAY_MS, 2 * DAY_MS, Day),
            (short, i64::MAX, i64::MAX, Day),
        ] {
            let found = Resolution::suiting(length_ms, age_ms, kept);
            assert_eq!(found, expected, "{length_ms} {age_ms} {kept:?}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<(i64, Resolution)>) {
        assert_eq!(
            Period::parse(text).map(|period| (period.seconds, period.resolution(USUAL))),
            expected,
            "{text}"
        );
    }

    #[test]
    fn periods() {
        use Resolution::{Day, Hour, Minute};
        check("30s", Some((30, Minute)));
        check("5m", Some((300, Minute)));
        check("05m", Some((300, Minute)));
        check("24h", Some((86_400, Minute)));
        check("1440m", Some((86_400, Minute)));
        check("86401s", Some((86_401, Hour)));
        check("25h", Some((90_000, Hour)));
        check("7d", Some((604_800, Hour)));
        check("30d", Some((2_592_000, Hour)));
        check("31d", Some((2_678_400, Day)));
        check("999999999d", Some((999_999_999 * 86_400, Day)));
        for invalid in [
            "",
            "h",
            "5",
            "0d",
            "00h",
            "-5m",
            "+5m",
            "1_0m",
            "5 m",
            "1.5h",
            "5w",
            "5M",
            "99999999999h",
            "5é",
        ] {
            check(invalid, None);
        }
    }

    #[test]
    fn steps() {
        use Resolution::{Day, Hour, Minute};
        for (text, expected) in [
            ("1m", Some((60_000, Minute))),
            ("90m", Some((5_400_000, Minute))),
            ("6h", Some((21_600_000, Hour))),
            ("7d", Some((604_800_000, Day))),
            ("120s", Some((120_000, Minute))),
            ("30s", None),
            ("90s", None),
            ("367d", None),
            ("1w", None),
            ("", None),
        ] {
            let step = step_ms(text);
            assert_eq!(
                step.map(|step| (step, Resolution::dividing(step))),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn starts_and_buckets() {
        let day = Period::default();
        assert_eq!(day.start_ms(86_400_000), 0);
        assert_eq!(
            Period::parse("999999999d").expect("is valid").start_ms(0),
            -62_135_596_800_000
        );
        assert_eq!(Resolution::Minute.bucket_of(119_999), 60_000);
        assert_eq!(Resolution::Minute.bucket_of(-1), -60_000);
        assert_eq!(Resolution::Hour.bucket_of(3_600_000), 3_600_000);
        assert_eq!(Resolution::Day.bucket_of(-1), -86_400_000);
    }
}
