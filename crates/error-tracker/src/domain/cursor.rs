//! Where a page of a list ended, so that the next one goes on right behind it whatever was added meanwhile.

use super::query::Sort;

/// The last group of a page: what it was sorted by, and its number. Clients see it as a text without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The order of the list.
    pub sort: Sort,
    /// What the group was sorted by.
    pub key: i64,
    /// Its number.
    pub id: i64,
}

const BYTES: usize = 17;
/// The alphabet of base64url, RFC 4648 section 5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Cursor {
    /// As given to clients.
    pub fn encode(self) -> String {
        let mut bytes = [0; BYTES];
        bytes[0] = self.sort as u8;
        bytes[1..9].copy_from_slice(&self.key.to_be_bytes());
        bytes[9..].copy_from_slice(&self.id.to_be_bytes());
        to_base64url(&bytes)
    }

    /// As it came back; `None` when it is not what [`Cursor::encode`] made.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; BYTES] = from_base64url(text)?.try_into().ok()?;
        let (sort, numbers) = bytes.split_first()?;
        let sort = Sort::ALL.iter().find(|known| **known as u8 == *sort)?;
        let (key, id) = numbers.split_first_chunk()?;
        let cursor = Self {
            sort: *sort,
            key: i64::from_be_bytes(*key),
            id: i64::from_be_bytes(id.try_into().ok()?),
        };
        (cursor.encode() == text).then_some(cursor)
    }
}

fn to_base64url(bytes: &[u8]) -> String {
    let digit = |number: u32| char::from(ALPHABET[number as usize & 63]);
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| chunk.get(index).map_or(0, |byte| u32::from(*byte));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(digit);
        // A byte more makes a digit more; what would pad the last digits is left out.
        text.extend(digits.into_iter().take(chunk.len() + 1));
    }
    text
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let value = |digit: &u8| ALPHABET.iter().position(|known| known == digit);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for index in 0..4 {
            let digit = chunk.get(index).map_or(Some(0), value)? as u32;
            bits = bits << 6 | digit;
        }
        let [_, all @ ..] = bits.to_be_bytes();
        bytes.extend(all.into_iter().take(chunk.len() - 1));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64url_is_that_of_the_rfc() {
        #[track_caller]
        fn check(bytes: &[u8], text: &str) {
            assert_eq!(to_base64url(bytes), text);
            assert_eq!(from_base64url(text).as_deref(), Some(bytes));
        }
        check(b"", "");
        check(b"f", "Zg");
        check(b"fo", "Zm8");
        check(b"foo", "Zm9v");
        check(b"foob", "Zm9vYg");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xfb, 0xff], "-_8");
    }

    #[test]
    fn what_nobody_was_given_is_no_cursor() {
        let good = Cursor {
            sort: Sort::LastSeen,
            key: 5,
            id: 7,
        }
        .encode();
        assert!(Cursor::decode(&good).is_some());
        let (first, behind) = good.split_at(1);
        let (before, last) = good.split_at(good.len() - 1);
        let other_bits = format!("{before}_");
        let no_such_sort = format!("_{behind}");
        for text in [
            "",
            "x",
            "abc=",
            "é",
            behind,
            before,
            first,
            last,
            &format!("{good}A"),
            &format!("{good}="),
            &other_bits,
            &no_such_sort,
            &"A".repeat(10_000),
        ] {
            assert_eq!(Cursor::decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back(sort in proptest::sample::select(Sort::ALL), key: i64, id: i64) {
            let cursor = Cursor { sort, key, id };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn any_text_is_read(text in ".{0,64}") {
            let _ = Cursor::decode(&text);
        }
    }
}
