//! Times before now: how people say since when.

use monlight_shared::time_span::Span;

/// A stated time, or one before `now_ns`: `15m`, `1h30m`, `now`, `now-2d`, with `s`, `m`, `h`, `d` and `w`.
pub fn parse(text: &str, now_ns: i64) -> Option<Span> {
    let ago = |ago_ns: i64| {
        let at = now_ns.saturating_sub(ago_ns);
        Span {
            first_ns: at,
            last_ns: at,
        }
    };
    let text = text.trim();
    match text.strip_prefix("now") {
        Some("") => Some(ago(0)),
        Some(rest) => duration(rest.strip_prefix('-')?).map(ago),
        None => duration(text).map(ago).or_else(|| Span::parse(text)),
    }
}

/// `1h30m` in nanoseconds; a time too long to be counted is the longest that can.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        if number.is_empty() {
            return None;
        }
        let mut letters = behind.chars();
        let unit: i64 = match letters.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        let number = number.parse().unwrap_or(i64::MAX);
        total = total.saturating_add(number.saturating_mul(unit * 1_000_000_000));
        rest = letters.as_str();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    /// 2025-01-20T10:00:00Z.
    const TEN: i64 = 1_737_367_200 * SECOND;

    #[test]
    fn times_before_now() {
        let ago = |text: &str| {
            let span = parse(text, TEN)?;
            assert_eq!(span.first_ns, span.last_ns, "{text}");
            Some((TEN - span.first_ns) / SECOND)
        };
        for (text, seconds) in [
            ("now", 0),
            ("0s", 0),
            ("90s", 90),
            ("15m", 900),
            (" 1h30m ", 5400),
            ("now-2d", 172_800),
            ("1w1d1h1m1s", 694_861),
        ] {
            assert_eq!(ago(text), Some(seconds), "{text}");
        }
        for text in [
            "", "15", "m", "1.5h", "-15m", "now+1h", "now-", "15min", "1h 30m", "1y",
        ] {
            assert_eq!(parse(text, TEN), None, "{text}");
        }
        assert_eq!(
            parse("99999999999999999999w", TEN).map(|span| span.first_ns),
            Some(TEN - i64::MAX)
        );
        assert_eq!(parse("2025-01-20", TEN), Span::parse("2025-01-20"));
    }
}
