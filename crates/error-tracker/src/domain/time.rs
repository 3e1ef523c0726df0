//! Times that people state: absolute ones, and ages such as `24h`.

use monlight_shared::time_span::Span;

/// A number below this is a time in seconds, from it on in milliseconds (as seconds it would be
/// the year 5138).
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
const NS_IN_MS: i64 = 1_000_000;

/// What is understood, for error texts.
pub const EXPECTED: &str = "a time such as 2025-01-20T10:00:00Z, 2025-01-20T11:00:00+01:00 or 2025-01-20, unix seconds or \
                            milliseconds, or an age such as 15m, 24h or 7d";

/// A stated time as the span it covers, first and last unix millisecond: `10:00:03` and a number of seconds are a whole
/// second, `2025-01-20` is a whole day. An age is counted back from `now_ms`.
pub fn span(text: &str, now_ms: i64) -> Option<(i64, i64)> {
    if let Ok(number) = text.parse::<i64>() {
        return match number {
            0..FIRST_MILLISECONDS => Some((number * 1_000, number * 1_000 + 999)),
            FIRST_MILLISECONDS.. => Some((number, number)),
            _ => None,
        };
    }
    if let Some(ms) = duration_ms(text) {
        let at = now_ms.checked_sub(ms)?;
        return Some((at, at));
    }
    let Span { first_ns, last_ns } = Span::parse(text)?;
    // Stored times have whole milliseconds: the first one inside of the span, and the last one.
    let first = first_ns.div_euclid(NS_IN_MS) + i64::from(first_ns.rem_euclid(NS_IN_MS) > 0);
    Some((first, last_ns.div_euclid(NS_IN_MS)))
}

/// A number and a unit: `90s`, `15m`, `24h`, `7d`, `2w`.
pub fn duration_ms(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms: i64 = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse::<i64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T03:04:05Z.
    const FIVE: i64 = 1_767_323_045_000;

    #[track_caller]
    fn check(text: &str, expected: Option<(i64, i64)>) {
        assert_eq!(span(text, FIVE), expected, "{text:?}");
    }

    #[test]
    fn times_are_read_in_every_usual_form() {
        check("2026-01-02T03:04:05Z", Some((FIVE, FIVE + 999)));
        check("2026-01-02T03:04:05.678Z", Some((FIVE + 678, FIVE + 678)));
        check(
            "2026-01-02T05:04:05.6+02:00",
            Some((FIVE + 600, FIVE + 699)),
        );
        check("2026-01-02T05:04:05 02:00", Some((FIVE, FIVE + 999)));
        check("2026-01-02T03:04:05", Some((FIVE, FIVE + 999)));
        check("2026-01-02 03:04", Some((FIVE - 5_000, FIVE + 54_999)));
        check("2026-01-02", Some((1_767_312_000_000, 1_767_398_399_999)));
        check("1767323045", Some((FIVE, FIVE + 999)));
        check("1767323045678", Some((FIVE + 678, FIVE + 678)));
        check("0", Some((0, 999)));
    }

    #[test]
    fn a_part_of_a_millisecond_holds_none() {
        check("2026-01-02T03:04:05.000000001Z", Some((FIVE + 1, FIVE)));
        check("2026-01-02T03:04:05.000Z", Some((FIVE, FIVE)));
    }

    #[test]
    fn ages_are_counted_back_from_now() {
        check("90s", Some((FIVE - 90_000, FIVE - 90_000)));
        check("15m", Some((FIVE - 900_000, FIVE - 900_000)));
        check("24h", Some((FIVE - 86_400_000, FIVE - 86_400_000)));
        check("7d", Some((FIVE - 7 * 86_400_000, FIVE - 7 * 86_400_000)));
        check("2w", Some((FIVE - 14 * 86_400_000, FIVE - 14 * 86_400_000)));
        check("0h", Some((FIVE, FIVE)));
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "soon",
            "-5",
            "2026-13-01",
            "99999999999999999999",
            "9999999999999999999h",
            "9223372036854775807w",
            "h",
            "-1h",
            "+1h",
            "1.5h",
            "1y",
            "1 h",
            " ",
            "1é",
        ] {
            check(text, None);
        }
    }
}
