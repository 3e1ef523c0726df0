//! Nearest-rank percentiles, as the contract defines them: of n sorted values, percentile p is number ceil(p·n/100),
//! counted from 1. The result is always a value that occurred.

/// The position, counted from 1, of a percentile (1 to 100) among `count` sorted values; 0 when there are none.
pub(crate) fn rank(count: u64, percent: u32) -> u64 {
    u64::try_from((u128::from(count) * u128::from(percent)).div_ceil(100)).unwrap_or(count)
}

/// A percentile of values sorted ascending.
pub(crate) fn nearest_rank(sorted: &[f64], percent: u32) -> Option<f64> {
    let position = rank(sorted.len() as u64, percent).checked_sub(1)?;
    sorted.get(usize::try_from(position).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: u32, expected: [u32; 3]) {
        let sorted: Vec<f64> = (1..=count).map(f64::from).collect();
        let got = [50, 95, 99].map(|percent| nearest_rank(&sorted, percent).expect("not empty"));
        assert_eq!(got, expected.map(f64::from), "{count} values");
    }

    #[test]
    fn nearest_rank_of_one_to_n() {
        check(1, [1, 1, 1]);
        check(2, [1, 2, 2]);
        check(3, [2, 3, 3]);
        check(10, [5, 10, 10]);
        check(20, [10, 19, 20]);
        check(100, [50, 95, 99]);
        check(101, [51, 96, 100]);
        assert_eq!(nearest_rank(&[], 50), None);
        assert_eq!(rank(u64::MAX, 100), u64::MAX);
    }
}
