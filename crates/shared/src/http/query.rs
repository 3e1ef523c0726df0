//! Query strings: percent-decoded, forgiving, never a reason to fail a request.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The parameters of a query string, in their order.
///
/// A pair without `=` is skipped; `+` is a blank; an escape that is none (`%zz`) stays as it is;
/// bytes that are no UTF-8 become U+FFFD. Its size is bounded by the 16 KiB of a request head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what stands behind the `?`.
    pub fn parse(raw: &str) -> Self {
        Self(
            raw.split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decode(name).into_owned(), decode(value).into_owned()))
                .collect(),
        )
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The last value of a parameter.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value that is not empty.
    pub fn first_nonempty(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The last value that is not empty.
    pub fn last_nonempty(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All parameters.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Extracts the [`Query`] of a request.
#[derive(Clone, Debug, Default)]
pub struct RawParams(pub Query);

impl<S: Sync> FromRequestParts<S> for RawParams {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(
            parts.uri.query().map(Query::parse).unwrap_or_default(),
        ))
    }
}

/// Decodes `+` and `%XX` of one name or value of a query string.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(byte),
        }
    }
    Cow::Owned(match String::from_utf8_lossy(&out) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    })
}

/// The value of a hexadecimal digit.
pub(super) fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(raw: &str, expected: &[(&str, &str)]) {
        let query = Query::parse(raw);
        assert_eq!(query.pairs().collect::<Vec<_>>(), expected, "{raw}");
    }

    #[test]
    fn parses_pairs() {
        check("", &[]);
        check("a=1", &[("a", "1")]);
        check("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("a&b=&=c&&d==", &[("b", ""), ("", "c"), ("d", "=")]);
        check("q=a+b%20c%2B", &[("q", "a b c+")]);
        check("%61pi=%C3%BC", &[("api", "ü")]);
        check("a=%", &[("a", "%")]);
        check("a=%4", &[("a", "%4")]);
        check("a=%zz%41", &[("a", "%zzA")]);
        check("a=%ff", &[("a", "\u{fffd}")]);
        check("a=%%41", &[("a", "%A")]);
        check(
            "t=2025-01-20T10%3A00%3a00Z",
            &[("t", "2025-01-20T10:00:00Z")],
        );
    }

    #[test]
    fn finds_by_position_and_emptiness() {
        let query = Query::parse("a=&a=1&a=2&a=&b=");
        assert_eq!(query.first("a"), Some(""));
        assert_eq!(query.last("a"), Some(""));
        assert_eq!(query.first_nonempty("a"), Some("1"));
        assert_eq!(query.last_nonempty("a"), Some("2"));
        assert_eq!(query.last_nonempty("b"), None);
        assert_eq!(query.first("c"), None);
        assert_eq!(query.all("a").count(), 4);
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(name in "\\PC{0,8}", value in "\\PC{0,16}") {
            let escape = |text: &str| {
                text.bytes().fold(String::new(), |out, byte| out + &format!("%{byte:02X}"))
            };
            let raw = format!("{}={}", escape(&name), escape(&value));
            prop_assert_eq!(Query::parse(&raw), Query(vec![(name, value)]));
        }

        #[test]
        fn any_text_is_parsed(raw in ".{0,64}") {
            let _ = Query::parse(&raw);
        }
    }
}
