//! Hours of the day in which nobody is told.

use serde::Deserialize;
use serde_json::{Value, json};

const MINUTES_OF_DAY: i64 = 24 * 60;
/// No place on earth is further from UTC.
const LARGEST_OFFSET: i64 = 14 * 60;

/// From one time of the day to another, over midnight when the second is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuietHours {
    /// Minutes since midnight.
    from: i64,
    /// The first minute that is not quiet any more.
    to: i64,
    /// Minutes that the clocks of these people are ahead of UTC.
    offset: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    from: String,
    to: String,
    #[serde(default)]
    offset: Option<String>,
}

impl QuietHours {
    /// Reads `{"from": "22:00", "to": "07:00", "offset": "+02:00"}`; without an offset they are in UTC.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let expected = || {
            "quiet_hours: expected an object such as {\"from\": \"22:00\", \"to\": \"07:00\", \"offset\": \"+02:00\"}, or null"
                .to_owned()
        };
        let body = Body::deserialize(value).map_err(|_| expected())?;
        let offset = match body.offset.as_deref() {
            None | Some("" | "Z" | "UTC") => 0,
            Some(text) => offset(text).ok_or_else(expected)?,
        };
        let from = time_of_day(&body.from).ok_or_else(expected)?;
        let to = time_of_day(&body.to).ok_or_else(expected)?;
        if from == to {
            return Err(
                "quiet_hours: from and to are the same; a rule that is never told can be disabled"
                    .to_owned(),
            );
        }
        Ok(Self { from, to, offset })
    }

    /// As [`QuietHours::read`] reads it.
    pub(crate) fn to_json(self) -> Value {
        let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        json!({
            "from": clock(self.from),
            "to": clock(self.to),
            "offset": format!("{sign}{}", clock(self.offset.abs())),
        })
    }

    /// Whether a time, in milliseconds since 1970, lies in them.
    pub(crate) fn hold(self, at_ms: i64) -> bool {
        let minute = (at_ms.div_euclid(60_000) + self.offset).rem_euclid(MINUTES_OF_DAY);
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// `HH:MM` as minutes.
fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, most: i64| -> Option<i64> {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_plain);
        number.filter(|number| *number <= most)
    };
    Some(number(hours, 23)? * 60 + number(minutes, 59)?)
}

/// `+HH:MM` or `-HH:MM` as minutes.
fn offset(text: &str) -> Option<i64> {
    let (sign, clock) = match text.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, text.strip_prefix('+')?),
    };
    let minutes = time_of_day(clock)?;
    (minutes <= LARGEST_OFFSET).then_some(sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-01-20T00:00:00Z.
    const MIDNIGHT: i64 = 1_737_331_200_000;

    #[track_caller]
    fn check(hours: &Value, clock: &str, expected: bool) {
        let hours = QuietHours::read(hours).expect("quiet hours");
        let at = MIDNIGHT + time_of_day(clock).expect("a time") * 60_000;
        assert_eq!(hours.hold(at), expected, "{clock}");
    }

    #[test]
    fn they_can_go_over_midnight_and_have_a_zone() {
        let night = json!({"from": "22:00", "to": "07:00"});
        check(&night, "21:59", false);
        check(&night, "22:00", true);
        check(&night, "00:00", true);
        check(&night, "06:59", true);
        check(&night, "07:00", false);
        let noon = json!({"from": "12:00", "to": "13:30", "offset": "Z"});
        check(&noon, "13:29", true);
        check(&noon, "13:30", false);
        let east = json!({"from": "22:00", "to": "07:00", "offset": "+05:30"});
        check(&east, "16:29", false);
        check(&east, "16:30", true);
        check(&east, "01:29", true);
        check(&east, "01:30", false);
        let west = json!({"from": "00:00", "to": "01:00", "offset": "-08:00"});
        check(&west, "08:30", true);
        check(&west, "00:30", false);
    }

    #[test]
    fn they_come_back_as_they_were_given() {
        let given = json!({"from": "22:05", "to": "07:00", "offset": "-03:30"});
        let hours = QuietHours::read(&given).expect("quiet hours");
        assert_eq!(hours.to_json(), given);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            json!("22:00-07:00"),
            json!({"from": "22:00"}),
            json!({"from": "22:00", "to": "24:00"}),
            json!({"from": "2:00", "to": "07:00"}),
            json!({"from": "22:00", "to": "07:+1"}),
            json!({"from": "22:00", "to": "07:00", "offset": "Europe/Berlin"}),
            json!({"from": "22:00", "to": "07:00", "offset": "+15:00"}),
            json!({"from": "22:00", "to": "07:00", "days": "sat"}),
        ] {
            let fault = QuietHours::read(&wrong).expect_err("no quiet hours");
            assert!(
                fault.contains("expected an object such as"),
                "{wrong}: {fault}"
            );
        }
        let fault = QuietHours::read(&json!({"from": "07:00", "to": "07:00"}));
        assert!(fault.expect_err("none").contains("are the same"));
    }
}
