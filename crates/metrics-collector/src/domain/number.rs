//! Figures in answers: six decimals, as clients of the original know them, where six decimals say it exactly; as many
//! digits as it takes where they do not. So nothing small becomes 0 and nothing large loses its value.

use std::fmt::Write as _;

/// Above this, six decimals no longer fit into the 53 bits of a double's integers.
const LARGEST_MICROS: f64 = 9_007_199_254_740_992.0;

/// Appends a finite number as JSON. What is not finite, which no stored number is, becomes `null`.
pub(crate) fn write(out: &mut String, value: f64) {
    let micros = (value * 1e6).round();
    if micros.abs() < LARGEST_MICROS && micros / 1e6 == value {
        let sign = if micros < 0.0 { "-" } else { "" };
        let micros = (micros as i64).unsigned_abs();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{sign}{}.{:06}",
            micros / 1_000_000,
            micros % 1_000_000
        );
    } else {
        // The shortest digits that give the same double back; `null` when it is not finite.
        out.push_str(&serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned()));
    }
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
