//! The fields of structured lines: what a JSON object holds, and `key=value` pairs anywhere in a line.
//!
//! They are found once, when an entry is stored, and become words of the index, so that a filter by a field costs a
//! look-up. A word is a hash of key and value, both without regard to case. Nothing else of them is kept: whoever wants
//! the values asks [`parse`] again.
//!
//! Bounds: the first [`TEXT_BYTES`] of the text, [`MOST_FIELDS`] fields, [`KEY_BYTES`] a key, [`VALUE_BYTES`] a value,
//! [`DEPTH`] levels of objects. What is beyond is passed over. Fields that hold a time are left out: no two entries share
//! one, and lists have bounds for it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::ansi;

/// How much of an entry is looked at.
pub const TEXT_BYTES: usize = 16 * 1024;
/// How many fields of an entry can be asked for.
pub const MOST_FIELDS: usize = 16;
/// A longer key names no field.
pub const KEY_BYTES: usize = 64;
/// A longer value is no field's.
pub const VALUE_BYTES: usize = 128;
/// Objects within objects.
const DEPTH: usize = 6;

/// Keys under which loggers write the time.
const TIMES: [&str; 10] = [
    "time",
    "ts",
    "t",
    "timestamp",
    "@timestamp",
    "@t",
    "asctime",
    "date",
    "datetime",
    "eventtime",
];

/// A field of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its key; keys of nested objects are joined by dots.
    pub key: String,
    /// Its value as text, decoded. Each scalar of a list is a field of its own.
    pub value: String,
}

/// The fields of an entry, in the order of its text, each once.
pub fn parse(message: &str) -> Vec<Field> {
    let mut found = Found::default();
    let text = ansi::strip(beginning(message));
    let mut line = text.lines().next().unwrap_or_default();
    if let Some((before, object)) = object_in(&text) {
        read_object(object, &mut found);
        if !found.fields.is_empty() {
            line = before;
        }
    }
    read_pairs(line, &mut found);
    found.fields
}

/// The words of an entry's fields, separated by blanks; `None` when it has no fields.
pub fn tokens(message: &str) -> Option<Box<str>> {
    // Most lines hold neither sign.
    memchr::memchr2(b'=', b'{', message.as_bytes())?;
    let mut words = String::new();
    for field in parse(message) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&token(&field.key, &field.value));
    }
    (!words.is_empty()).then(|| words.into_boxed_str())
}

/// The word of the index that stands for a field: `f` and 50 bits in base 32.
pub fn token(key: &str, value: &str) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hash = Fnv::default();
    hash.text(key);
    hash.byte(0);
    hash.text(value);
    let mut bits = hash.mixed();
    let mut word = String::with_capacity(11);
    word.push('f');
    for _ in 0..10 {
        let letter = LETTERS.get((bits & 31) as usize).copied();
        word.push(char::from(letter.unwrap_or(b'a')));
        bits >>= 5;
    }
    word
}

/// FNV-1a with the finalizer of MurmurHash3: stored words must mean the same in every version, and the low bits of FNV
/// alone are weak. See Fowler, Noll, Vo (draft-eastlake-fnv) and Appleby, `fmix64`.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    /// The text in lower case.
    fn text(&mut self, text: &str) {
        if text.is_ascii() {
            text.bytes()
                .for_each(|byte| self.byte(byte.to_ascii_lowercase()));
            return;
        }
        for letter in text.chars().flat_map(char::to_lowercase) {
            let mut bytes = [0; 4];
            letter
                .encode_utf8(&mut bytes)
                .bytes()
                .for_each(|byte| self.byte(byte));
        }
    }

    fn mixed(&self) -> u64 {
        let mut bits = self.0;
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        bits ^ (bits >> 33)
    }
}

#[derive(Default)]
struct Found {
    fields: Vec<Field>,
}

impl Found {
    fn is_full(&self) -> bool {
        self.fields.len() >= MOST_FIELDS
    }

    fn add(&mut self, key: &str, value: &str) {
        let is_bounded = (1..=KEY_BYTES).contains(&key.len())
            && (1..=VALUE_BYTES).contains(&value.len())
            && !self.is_full();
        let is_time = TIMES.iter().any(|time| time.eq_ignore_ascii_case(key));
        let is_known = || {
            self.fields
                .iter()
                .any(|field| field.key == key && field.value == value)
        };
        if is_bounded && !is_time && !is_known() {
            self.fields.push(Field {
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// A JSON object that is the whole text, or that stands behind other words on its first line (zap's console, Monolog).
/// What stands before it, and the object with what follows.
fn object_in(text: &str) -> Option<(&str, &str)> {
    let start = text.trim_start();
    if start.starts_with('{') {
        return Some(("", start));
    }
    let line = text.lines().next().unwrap_or_default();
    let at = memchr::memmem::find_iter(line.as_bytes(), b"{\"")
        .find(|at| *at > 0 && matches!(line.as_bytes().get(at - 1), Some(b' ' | b'\t')))?;
    line.split_at_checked(at)
}

/// Takes what it finds up to the first fault: the text may have been cut.
fn read_object(text: &str, found: &mut Found) {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut key = String::new();
    // A fault says that the text ended, or that there are fields enough; what was found stays found.
    let _ = Node {
        found,
        key: &mut key,
        depth: 0,
    }
    .deserialize(&mut json);
}

/// A value within an object; its key is built up in one buffer.
struct Node<'f> {
    found: &'f mut Found,
    key: &'f mut String,
    depth: usize,
}

impl Node<'_> {
    fn scalar<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.found.add(self.key, value);
        if self.found.is_full() {
            return Err(E::custom("enough"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(text)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(if value { "true" } else { "false" })
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(&value.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let text = serde_json::Number::from_f64(value).map_or_else(String::new, |n| n.to_string());
        self.scalar(&text)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth > DEPTH {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while items
            .next_element_seed(Node {
                found: &mut *self.found,
                key: &mut *self.key,
                depth,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let before = self.key.len();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if before > 0 {
                self.key.push('.');
            }
            self.key.push_str(&key);
            if self.depth >= DEPTH || self.key.len() > KEY_BYTES {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Node {
                    found: &mut *self.found,
                    key: &mut *self.key,
                    depth: self.depth + 1,
                })?;
            }
            self.key.truncate(before);
        }
        if self.found.is_full() {
            return Err(A::Error::custom("enough"));
        }
        Ok(())
    }
}

/// `key=value` and `key="some text"` wherever they stand in the line.
fn read_pairs(line: &str, found: &mut Found) {
    let mut from = 0;
    while let Some(at) = line
        .get(from..)
        .and_then(|rest| memchr::memchr(b'=', rest.as_bytes()))
    {
        if found.is_full() {
            return;
        }
        let sign = from + at;
        from = sign + 1;
        let Some(key) = key_before(line.get(..sign).unwrap_or_default()) else {
            continue;
        };
        let rest = line.get(sign + 1..).unwrap_or_default();
        if rest.starts_with(['=', ' ', '\t']) {
            continue;
        }
        let (value, length) = value(rest);
        found.add(key, &value);
        from += length;
    }
}

/// The key that ends the text: it begins with a letter, behind a blank or a bracket.
fn key_before(text: &str) -> Option<&str> {
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte);
    let length = text
        .bytes()
        .rev()
        .take(KEY_BYTES + 1)
        .take_while(|byte| is_of_key(*byte))
        .count();
    let (before, key) = text.split_at_checked(text.len() - length)?;
    let begins =
        key.starts_with(|letter: char| letter.is_ascii_alphabetic() || "_@".contains(letter));
    let is_separate =
        before.is_empty() || before.ends_with([' ', '\t', '{', '(', '[', ',', ';', '|']);
    (begins && is_separate).then_some(key)
}

/// The value at the start of the text, and how long it is there.
fn value(text: &str) -> (Cow<'_, str>, usize) {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        let word = text.get(..end).unwrap_or_default();
        // Punctuation behind it belongs to the sentence, or to the span around it.
        let bare = word.trim_end_matches([',', ';', ':', ')', ']', '}']);
        let bare = if word.starts_with(['[', '(', '{']) {
            word
        } else {
            bare
        };
        return (Cow::Borrowed(bare), end);
    };
    let bytes = inside.as_bytes();
    let mut end = 0;
    let mut is_escaped = false;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(end..).unwrap_or_default()) {
        end += found;
        if bytes.get(end) == Some(&b'"') {
            let quoted = inside.get(..end).unwrap_or_default();
            return (unquote(quoted, is_escaped), end + 2);
        }
        is_escaped = true;
        end += 2;
    }
    // The closing quote was cut off.
    (Cow::Borrowed(""), text.len())
}

fn unquote(quoted: &str, is_escaped: bool) -> Cow<'_, str> {
    if !is_escaped {
        return Cow::Borrowed(quoted);
    }
    let decoded: Result<String, _> = serde_json::from_str(&format!("\"{quoted}\""));
    decoded.map_or(Cow::Borrowed(quoted), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(message: &str) -> Vec<String> {
        parse(message)
            .into_iter()
            .map(|field| format!("{}={}", field.key, field.value))
            .collect()
    }

    #[track_caller]
    fn check(message: &str, expected: &[&str]) {
        assert_eq!(shown(message), expected, "{message}");
    }

    #[test]
    fn json_objects() {
        check(
            r#"{"level":"info","ts":1737367200.5,"status":500,"ok":true,"none":null,"ratio":1.50,"user":{"id":7,"name":"Ann \"A\""},"tags":["a","b",["c"]]}"#,
            &[
                "level=info",
                "status=500",
                "ok=true",
                "ratio=1.5",
                "user.id=7",
                "user.name=Ann \"A\"",
                "tags=a",
                "tags=b",
                "tags=c",
            ],
        );
        check("{\n  \"a\": {\n    \"b\": -1\n  }\n}", &["a.b=-1"]);
        check("{}", &[]);
        check("{\"cut\":\"x\",\"rest\":\"unfini", &["cut=x"]);
        check("{not json a=b", &["a=b"]);
    }

    #[test]
    fn json_behind_a_prefix() {
        check(
            "2025-01-20T10:00:00Z\tINFO\tapp/main.go:7\tdone\t{\"status\": 200, \"path\": \"/\"}",
            &["status=200", "path=/"],
        );
        check(
            "[2025-01-20] app.ERROR: failed k=v {\"user\":7} []",
            &["user=7", "k=v"],
        );
    }

    #[test]
    fn logfmt_and_pairs_in_a_line() {
        check(
            "time=\"2025-01-20T10:00:00Z\" level=info msg=\"said \\\"hi\\\"\" path=/a?b=c took=5ms empty= n=\"\"",
            &["level=info", "msg=said \"hi\"", "path=/a?b=c", "took=5ms"],
        );
        check(
            "INFO request{method=GET path=\"/x y\"}: app: done status=200",
            &["method=GET", "path=/x y", "status=200"],
        );
        check(
            "pool (size=5, idle=2); wait=[1,2] x",
            &["size=5", "idle=2", "wait=[1,2]"],
        );
        check("\u{1b}[36mstatus=\u{1b}[0m200", &["status=200"]);
    }

    #[test]
    fn what_is_no_pair() {
        check("GET /path?a=b&c=d http://x/?q=1", &[]);
        check("if a == b or c >= d and 1=1", &[]);
        check("a = b", &[]);
        check("k=\"never closed", &[]);
        check("no fields here", &[]);
        check("", &[]);
    }

    #[test]
    fn bounds() {
        let long = "x".repeat(VALUE_BYTES + 1);
        check(&format!("a={long} b=1"), &["b=1"]);
        check(
            &format!("{{\"a\":\"{long}\",\"{long}\":1,\"b\":1}}"),
            &["b=1"],
        );
        let many: Vec<String> = (0..40).map(|n| format!("k{n}={n}")).collect();
        assert_eq!(shown(&many.join(" ")), many.get(..16).expect("40"));
        let object: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        assert_eq!(
            shown(&format!("{{{}}}", object.join(","))),
            many.get(..16).expect("40")
        );
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        check(&deep, &[]);
        check(&format!("{{\"d\":{deep},\"e\":1}}"), &["e=1"]);
        check(&"[".repeat(10_000), &[]);
        check(&"{\"a\":".repeat(10_000), &[]);
        assert_eq!(
            shown(&format!("{{\"a\":1,\"b\":\"{}", "é".repeat(9000))),
            ["a=1"]
        );
    }

    #[test]
    fn a_word_does_not_depend_on_case_and_never_changes() {
        assert_eq!(token("Status", "OK"), token("status", "ok"));
        assert_eq!(token("k", "ÄÖ"), token("K", "äö"));
        assert_ne!(token("a", "b=c"), token("a=b", "c"));
        assert_eq!(token("status", "500"), "f24dbnqxyo7");
        assert_eq!(
            tokens("x status=500").as_deref(),
            Some(token("status", "500").as_str())
        );
        assert_eq!(tokens("nothing"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_within_the_bounds(text in "([a-z]{1,3}=|\"|\\{|\\}|\\[|,|:|\\\\|[a-zé0-9]{1,9}| ){0,60}") {
            for field in parse(&text) {
                prop_assert!(field.key.len() <= KEY_BYTES && field.value.len() <= VALUE_BYTES);
                prop_assert!(!field.key.is_empty() && !field.value.is_empty());
            }
            let words = tokens(&text);
            let count = words.as_deref().map_or(0, |words| words.split(' ').count());
            prop_assert_eq!(count, parse(&text).len());
        }
    }
}
