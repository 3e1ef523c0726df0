//! A stretch of time in equal parts, for sparklines and counts over time.

const HOUR_MS: i64 = 3_600_000;

/// What is understood, for error texts.
pub const EXPECTED: &str = "24h, 7d or 30d";

/// For how long reports are counted by the hour, and so the longest stretch there is.
pub const LONGEST_HOURS: i64 = 30 * 24;

/// Parts of equal length, whole hours, one after the other. They begin at multiples of their length, so that a part
/// stays the same part while time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Hours since 1970 before the first part.
    pub first_hour: i64,
    /// Hours in a part.
    pub step_hours: i64,
    /// Number of parts.
    pub parts: i64,
}

/// A window that ends with the running hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 24 hours.
    Day,
    /// 28 times six hours.
    Week,
    /// 30 days.
    Month,
}

impl Range {
    /// Reads `24h`, `7d` or `30d`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "24h" => Some(Self::Day),
            "7d" => Some(Self::Week),
            "30d" => Some(Self::Month),
            _ => None,
        }
    }

    /// Its parts at `now_ms`; the last one is the running one.
    pub fn window(self, now_ms: i64) -> Window {
        let (step_hours, parts) = match self {
            Self::Day => (1, 24),
            Self::Week => (6, 28),
            Self::Month => (24, 30),
        };
        let running = now_ms.div_euclid(step_hours * HOUR_MS);
        Window {
            first_hour: (running - parts + 1) * step_hours,
            step_hours,
            parts,
        }
    }
}

impl Window {
    /// The parts that cover everything from `since_ms` to `until_ms`, at most the newest 30 days of that. `None` when it
    /// ends before it begins.
    pub fn covering(since_ms: i64, until_ms: i64) -> Option<Self> {
        if since_ms > until_ms {
            return None;
        }
        let last_hour = until_ms.div_euclid(HOUR_MS);
        let since_hour = since_ms
            .div_euclid(HOUR_MS)
            .max(last_hour - LONGEST_HOURS + 1);
        let step_hours = match last_hour - since_hour + 1 {
            ..=72 => 1,
            73..=336 => 6,
            _ => 24,
        };
        let first = since_hour.div_euclid(step_hours);
        Some(Self {
            first_hour: first * step_hours,
            step_hours,
            parts: last_hour.div_euclid(step_hours) - first + 1,
        })
    }

    /// As long a window that ends where this one begins.
    #[must_use]
    pub fn before(self) -> Self {
        Self {
            first_hour: self.first_hour - self.parts * self.step_hours,
            ..self
        }
    }

    /// The first hour behind it.
    pub fn end_hour(self) -> i64 {
        self.first_hour + self.parts * self.step_hours
    }

    /// The part that an hour belongs to.
    pub fn part(self, hour: i64) -> Option<usize> {
        let part = (hour - self.first_hour).div_euclid(self.step_hours);
        (0..self.parts).contains(&part).then_some(part as usize)
    }

    /// Unix milliseconds at the start of a part.
    pub fn start_ms(self, part: usize) -> i64 {
        (self.first_hour + part as i64 * self.step_hours) * HOUR_MS
    }

    /// Length of a part.
    pub fn step_seconds(self) -> i64 {
        self.step_hours * HOUR_MS / 1_000
    }

    /// Nothing, for each part.
    pub fn zeros(self) -> Vec<i64> {
        vec![0; self.parts as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T03:04:05Z: in hour 490,923, the fourth of its day.
    const NOW: i64 = 1_767_323_045_000;
    const HOUR: i64 = 490_923;

    #[test]
    fn a_range_ends_with_the_running_part() {
        #[track_caller]
        fn check(text: &str, parts: i64, step_hours: i64, first_hour: i64) {
            let window = Range::parse(text).expect(text).window(NOW);
            let expected = Window {
                first_hour,
                step_hours,
                parts,
            };
            assert_eq!(window, expected, "{text}");
            assert_eq!(window.part(HOUR), Some(parts as usize - 1));
            assert_eq!(window.part(first_hour), Some(0));
            assert_eq!(window.part(first_hour - 1), None);
            assert_eq!(window.part(window.end_hour()), None);
            assert_eq!(window.zeros().len(), parts as usize);
            assert_eq!(window.before().end_hour(), first_hour);
        }
        check("24h", 24, 1, HOUR - 23);
        check("7d", 28, 6, HOUR - 3 - 27 * 6);
        check("30d", 30, 24, HOUR - 3 - 29 * 24);
        assert_eq!(Range::parse("1h"), None);
        assert_eq!(Range::parse(""), None);
    }

    #[test]
    fn parts_grow_with_the_stretch_they_cover() {
        #[track_caller]
        fn check(hours: i64, parts: i64, step_hours: i64) {
            let window = Window::covering(NOW - hours * HOUR_MS, NOW).expect("some time");
            assert_eq!((window.parts, window.step_hours), (parts, step_hours));
            assert!(window.part(HOUR).is_some());
            assert_eq!(window.start_ms(0) % (step_hours * HOUR_MS), 0);
        }
        check(0, 1, 1);
        check(24, 25, 1);
        check(71, 72, 1);
        check(72, 13, 6);
        check(7 * 24, 29, 6);
        check(14 * 24, 15, 24);
        check(1_000_000, 31, 24);
        assert_eq!(Window::covering(NOW, NOW - 1), None);
        assert!(Window::covering(i64::MIN, NOW).is_some());
        assert!(Window::covering(0, i64::MAX).is_some());
    }

    #[test]
    fn a_part_begins_at_a_multiple_of_its_length() {
        let window = Range::Week.window(NOW);
        assert_eq!(window.start_ms(27), 1_767_312_000_000);
        assert_eq!(window.step_seconds(), 21_600);
    }
}
