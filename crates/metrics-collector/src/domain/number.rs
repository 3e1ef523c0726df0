//! Figures in answers: six decimals, as clients of the original know them, where six decimals say it exactly; as many
//! digits as it takes where they do not. So nothing small becomes 0 and nothing large loses its value.

use std::str;

/// Above this, six decimals no longer fit into the 53 bits of a double's integers.
const LARGEST_MICROS: f64 = 9_007_199_254_740_992.0;

/// Appends a finite number as JSON. What is not finite, which no stored number is, becomes `null`.
pub(crate) fn write(out: &mut String, value: f64) {
    let micros = (value * 1e6).round();
    if micros.abs() < LARGEST_MICROS && micros / 1e6 == value {
        if micros < 0.0 {
            out.push('-');
        }
        write_digits(out, (micros as i64).unsigned_abs(), 6);
    } else {
        write_shortest(out, value);
    }
}

/// Appends a whole number.
pub(crate) fn write_count(out: &mut String, count: u64) {
    write_digits(out, count, 0);
}

/// Digits of the largest number, and a point.
const DIGITS: usize = 21;

/// Appends a number of which the last digits are decimals.
fn write_digits(out: &mut String, number: u64, decimals: usize) {
    let mut text = [0_u8; DIGITS];
    let mut from = DIGITS;
    let mut left = number;
    // By hand, as `write!` takes longer and an answer has tens of thousands of numbers.
    for (place, byte) in text.iter_mut().rev().enumerate() {
        if decimals > 0 && place == decimals {
            *byte = b'.';
        } else if left == 0 && place > decimals + usize::from(decimals > 0) {
            break;
        } else {
            *byte = b'0' + (left % 10) as u8;
            left /= 10;
        }
        from -= 1;
    }
    let text = text.get(from..).unwrap_or_default();
    out.push_str(str::from_utf8(text).unwrap_or_default());
}

/// Appends the shortest digits that give the same double back; `null` when it is not finite.
fn write_shortest(out: &mut String, value: f64) {
    let mut text = [0_u8; 40];
    let mut rest = text.as_mut_slice();
    // Writing a number to memory with room for it cannot fail.
    let done = serde_json::to_writer(&mut rest, &value).is_ok();
    let left = rest.len();
    let written = text.get(..text.len() - left).filter(|_| done);
    let written = written.and_then(|written| str::from_utf8(written).ok());
    out.push_str(written.unwrap_or("null"));
}

/// Appends a number or `null`.
pub(crate) fn write_optional(out: &mut String, value: Option<f64>) {
    match value {
        Some(value) => write(out, value),
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: f64) -> String {
        let mut out = String::new();
        write(&mut out, value);
        out
    }

    #[test]
    fn six_decimals_where_they_are_exact() {
        for (value, expected) in [
            (3.0, "3.000000"),
            (-2.5, "-2.500000"),
            (0.0, "0.000000"),
            (-0.0, "0.000000"),
            (0.012_345, "0.012345"),
            (0.1, "0.100000"),
            (433.333_333_333, "433.333333333"),
            (1_234_567_890.5, "1234567890.500000"),
        ] {
            assert_eq!(written(value), expected);
        }
        assert_eq!(written(f64::INFINITY), "null");
        assert_eq!(written(-f64::MIN_POSITIVE), "-2.2250738585072014e-308");
        for count in [0, 9, 10, 1_234_567_890, u64::MAX] {
            let mut out = String::new();
            write_count(&mut out, count);
            assert_eq!(out, count.to_string());
        }
    }

    proptest! {
        #[test]
        fn every_number_is_read_back(value in prop_oneof![any::<f64>(), -1e7..1e7, (-1_000_000_i64..1_000_000).prop_map(|n| n as f64 / 1000.0)]) {
            prop_assume!(value.is_finite());
            let text = written(value);
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok(), "{} is no JSON number", text);
            prop_assert_eq!(text.parse::<f64>().expect("is a number"), value);
        }
    }
}
