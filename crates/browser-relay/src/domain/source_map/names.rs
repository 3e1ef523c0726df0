//! The `names` of a map as rows: up to 256 of them, each as its length and its bytes.

use super::block::{put, take};

/// Names of one row.
pub(crate) const NAMES_PER_CHUNK: u32 = 256;
/// Bytes of a name that are kept.
pub(super) const LONGEST_NAME: usize = 256;

/// Appends a name to a row.
pub(super) fn push(list: &mut Vec<u8>, name: &str) {
    put(list, name.len() as u64);
    list.extend_from_slice(name.as_bytes());
}

/// The name at `index` of a row.
pub(crate) fn find(mut list: &[u8], index: u32) -> Option<&str> {
    for _ in 0..index {
        let length = usize::try_from(take(&mut list)?).ok()?;
        list = list.get(length..)?;
    }
    let length = usize::try_from(take(&mut list)?).ok()?;
    std::str::from_utf8(list.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let mut list = Vec::new();
        let long = "x".repeat(200);
        for name in ["", "total", "é", &long] {
            push(&mut list, name);
        }
        assert_eq!(find(&list, 0), Some(""));
        assert_eq!(find(&list, 1), Some("total"));
        assert_eq!(find(&list, 2), Some("é"));
        assert_eq!(find(&list, 3), Some(long.as_str()));
        assert_eq!(find(&list, 4), None);
        assert_eq!(find(&list[..list.len() - 1], 3), None);
        assert_eq!(find(&[0xFF; 12], 0), None);
    }
}
