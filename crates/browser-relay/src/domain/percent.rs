//! Percent-encoding, read where two spellings of one thing have to be found alike (RFC 3986, section 2.1).

/// A text with those of its percent-encoded bytes read that are `wanted`; `None` when there are none, or when what comes
/// out is no UTF-8.
pub(crate) fn decoded(text: &str, wanted: impl Fn(u8) -> bool) -> Option<String> {
    String::from_utf8(bytes(text, wanted)?).ok()
}

/// A text with all of its percent-encoded bytes read, U+FFFD in the place of those that are no UTF-8, as pages in other
/// encodings write them; `None` when there are none.
pub(crate) fn decoded_lossily(text: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(text, |_| true)?).into_owned())
}

fn bytes(text: &str, wanted: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let mut any = false;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, behind @ ..]) => byte(*high, *low)
                .filter(|byte| wanted(*byte))
                .map(|byte| (byte, behind)),
            _ => None,
        };
        if let Some((byte, behind)) = escaped {
            out.push(byte);
            rest = behind;
            any = true;
        } else {
            out.push(first);
        }
    }
    any.then_some(out)
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = decoded(text, |byte| byte != b'%');
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn what_is_escaped_is_read() {
        check("", None);
        check("plain", None);
        check("a%20b", Some("a b"));
        check("%5Bid%5d%C3%A9\u{e9}", Some("[id]\u{e9}\u{e9}"));
        check("%41%25%2541", Some("A%25%2541"));
        check("%", None);
        check("%4", None);
        check("%4g%+1", None);
        check("%\u{e9}%41", Some("%\u{e9}A"));
        check("%ff", None);
    }

    #[test]
    fn what_is_no_utf_8_does_not_hide_the_rest() {
        assert_eq!(
            decoded_lossily("m%FCller%3D1").as_deref(),
            Some("m\u{fffd}ller=1")
        );
        assert_eq!(decoded_lossily("%C3%A9").as_deref(), Some("\u{e9}"));
        assert_eq!(decoded_lossily("%zz"), None);
    }
}
