//! What serde_json's raw values leave unchecked: duplicate keys, lone surrogates and depth.
//!
//! A [`serde_json::value::RawValue`] is known to be well-formed, but its strings are not decoded and its keys are not
//! compared. These functions walk such text once, without recursion.

use std::borrow::Cow;
use std::collections::HashSet;

/// How deep arrays and objects may be nested.
pub(crate) const MAX_DEPTH: usize = 128;

/// Keys of one object up to which a linear search is quicker than a hash set.
const FEW_KEYS: usize = 16;

/// Why well-formed text is refused all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotStrict {
    /// An object names a key twice.
    #[error("an object has the same key twice")]
    DuplicateKey,
    /// A `\u` escape of half a surrogate pair.
    #[error("a string holds half a surrogate pair")]
    LoneSurrogate,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("arrays or objects are nested deeper than 128 levels")]
    TooDeep,
}

enum Frame<'a> {
    Array,
    Object { keys: Keys<'a>, key_next: bool },
}

#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// `false` when the key was there before.
    fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(key);
        }
        if self.few.contains(&key) {
            return false;
        }
        self.few.push(key);
        if self.few.len() > FEW_KEYS {
            self.many.extend(self.few.drain(..));
        }
        true
    }
}

/// Checks text that is already known to be well-formed JSON.
pub(crate) fn check(text: &str) -> Result<(), NotStrict> {
    let bytes = text.as_bytes();
    let mut stack: Vec<Frame<'_>> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' => {
                if stack.len() == MAX_DEPTH {
                    return Err(NotStrict::TooDeep);
                }
                stack.push(if byte == b'[' {
                    Frame::Array
                } else {
                    Frame::Object {
                        keys: Keys::default(),
                        key_next: true,
                    }
                });
            }
            b']' | b'}' => {
                stack.pop();
            }
            b',' => {
                if let Some(Frame::Object { key_next, .. }) = stack.last_mut() {
                    *key_next = true;
                }
            }
            b'"' => {
                let end = string_end(bytes, at)?;
                if let Some(Frame::Object { keys, key_next }) = stack.last_mut()
                    && *key_next
                {
                    *key_next = false;
                    let key = text
                        .get(at..=end)
                        .and_then(string)
                        .ok_or(NotStrict::LoneSurrogate)?;
                    if !keys.insert(key) {
                        return Err(NotStrict::DuplicateKey);
                    }
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The position of the quote that closes the string opened at `start`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, NotStrict> {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => match code_unit(bytes, at) {
                0xD800..=0xDBFF => {
                    let low = bytes.get(at + 6..at + 8) == Some(b"\\u".as_slice());
                    if !low || !(0xDC00..=0xDFFF).contains(&code_unit(bytes, at + 6)) {
                        return Err(NotStrict::LoneSurrogate);
                    }
                    at += 12;
                }
                0xDC00..=0xDFFF => return Err(NotStrict::LoneSurrogate),
                _ => at += 6,
            },
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    // Well-formed text never gets here.
    Ok(bytes.len().saturating_sub(1))
}

/// The number in a `\uXXXX` escape that starts at `at`.
fn code_unit(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at + 2..at + 6)
        .unwrap_or_default()
        .iter()
        .fold(0, |number, &digit| {
            number * 16 + char::from(digit).to_digit(16).unwrap_or(0)
        })
}

/// The text of a JSON string given with its quotes; `None` when it is no string or holds half a surrogate pair.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Well-formed JSON without the white space between its tokens.
pub(crate) fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_raw_value_lets_through() {
        use NotStrict::{DuplicateKey, LoneSurrogate, TooDeep};
        for (text, expected) in [
            (r#"{"a":1,"b":[{"a":2},{"a":2}],"c":{"a":{"a":1}}}"#, Ok(())),
            (r#"{"a":1,"a":2}"#, Err(DuplicateKey)),
            (r#"[{"x":{"k":"k","l":"k","k":0}}]"#, Err(DuplicateKey)),
            (r#"{"a":1,"\u0061":2}"#, Err(DuplicateKey)),
            (r#"["a","a",{"a":"a"}]"#, Ok(())),
            (r#""\ud83d\ude00""#, Ok(())),
            (r#""\ud83d""#, Err(LoneSurrogate)),
            (r#""\ud83dx\ude00""#, Err(LoneSurrogate)),
            (r#""\ude00""#, Err(LoneSurrogate)),
            (r#""\\ud83d""#, Ok(())),
            (r#"{"\ud83d":1}"#, Err(LoneSurrogate)),
            (r#""quote \" , { [ ""#, Ok(())),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
        let nest = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(&nest(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nest(MAX_DEPTH + 1)), Err(TooDeep));
        assert_eq!(check(&nest(1_000_000)), Err(TooDeep));
    }

    #[test]
    fn finds_a_duplicate_among_many_keys() {
        let mut keys: Vec<String> = (0..5000).map(|n| format!("\"k{n}\":{n}")).collect();
        assert_eq!(check(&format!("{{{}}}", keys.join(","))), Ok(()));
        keys.push("\"k17\":0".to_owned());
        assert_eq!(
            check(&format!("{{{}}}", keys.join(","))),
            Err(NotStrict::DuplicateKey)
        );
    }

    #[test]
    fn compacts_only_between_tokens() {
        assert_eq!(
            compact("{ \"a b\" : [ 1 , \"x \\\" y\" ],\n\"c\":\ttrue }"),
            r#"{"a b":[1,"x \" y"],"c":true}"#
        );
    }
}
