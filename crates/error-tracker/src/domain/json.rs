//! JSON text as reports carry it and answers give it back.
//!
//! `extra` and the request headers are any JSON value. They are kept as text, so that numbers stay
//! as the client wrote them (a 30-digit integer has no other exact form here), and are brought into
//! one compact form on arrival. Nothing here recurses: depth costs a client's patience, never the
//! service's stack.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

/// How many lists and objects may be open at once in a kept value. The original accepts 256 and
/// dies at 257; the readers of a detail page have limits of their own.
pub const MAX_NESTING: usize = 256;

/// What a list or object below the last allowed level is replaced by.
pub const TOO_DEEP: &str = "\"[nested more than 256 levels deep]\"";

/// The text of a JSON string.
#[derive(Debug, PartialEq, Eq)]
pub struct Unescaped<'j> {
    /// Every lone surrogate in it has become U+FFFD.
    pub text: Cow<'j, str>,
    /// Whether there was one.
    pub lone_surrogate: bool,
}

/// Reads `json`, a valid JSON string with its quotes, without blanks around it. `None` for any
/// other value.
pub fn unescape(json: &str) -> Option<Unescaped<'_>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Unescaped {
            text: Cow::Borrowed(inner),
            lone_surrogate: false,
        });
    }
    let mut text = String::with_capacity(inner.len());
    let mut lone_surrogate = false;
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut letters = escape.chars();
        match letters.next()? {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let (letter, remainder) = code_point(letters.as_str())?;
                lone_surrogate |= letter.is_none();
                text.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = remainder;
                continue;
            }
            itself => text.push(itself),
        }
        rest = letters.as_str();
    }
    text.push_str(rest);
    Some(Unescaped {
        text: Cow::Owned(text),
        lone_surrogate,
    })
}

/// Reads what follows `\u`: a character, or `None` for half of a surrogate pair without the other,
/// and the text behind it.
fn code_point(text: &str) -> Option<(Option<char>, &str)> {
    let (unit, rest) = code_unit(text)?;
    if let Some(letter) = char::from_u32(unit) {
        return Some((Some(letter), rest));
    }
    if unit < 0xdc00
        && let Some((low @ 0xdc00..0xe000, rest)) = rest.strip_prefix("\\u").and_then(code_unit)
    {
        let combined = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return Some((char::from_u32(combined), rest));
    }
    Some((None, rest))
}

fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(plain) = rest.find(|letter: char| matches!(letter, '"' | '\\' | '\0'..' ')) {
        let (before, from) = rest.split_at(plain);
        out.push_str(before);
        let mut letters = from.chars();
        match letters.next() {
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(letter @ ('"' | '\\')) => out.extend(['\\', letter]),
            Some(control) => {
                // Writing to a String cannot fail.
                let _: std::fmt::Result = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// The compact form of `json`, a valid JSON value: no blanks, strings escaped no more than needed,
/// numbers as written, a key given twice in one object with its last value only, and everything
/// below [`MAX_NESTING`] levels replaced by [`TOO_DEEP`].
///
/// Linear in the length of `json`, but for the sorting of each object's keys.
pub fn compact(json: &str) -> String {
    let mut writer = Compactor {
        out: String::with_capacity(json.len()),
        open: Vec::new(),
        members: Vec::new(),
        removed: Vec::new(),
        key_next: false,
    };
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        let (token, remainder) = match first {
            b'"' => split_string(rest),
            b'{' | b'[' if writer.open.len() == MAX_NESTING => split_value(rest),
            b'{' | b'[' | b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => {
                rest.split_at(1)
            }
            _ => split_scalar(rest),
        };
        writer.token(first, token);
        rest = remainder;
    }
    writer.finish()
}

/// Splits behind the string that `text` begins with.
fn split_string(text: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    // Position counts from the second byte; the part includes both quotes.
    text.split_at(end.map_or(text.len(), |end| end + 2))
}

/// Splits behind the list or object that `text` begins with.
fn split_value(text: &str) -> (&str, &str) {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let end = text.bytes().position(|byte| {
        match byte {
            _ if in_string => {
                in_string = byte != b'"' || escaped;
                escaped = byte == b'\\' && !escaped;
            }
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    text.split_at(end.map_or(text.len(), |end| end + 1))
}

/// Splits behind the number, `true`, `false` or `null` that `text` begins with.
fn split_scalar(text: &str) -> (&str, &str) {
    let end = text.find([',', ']', '}', ' ', '\t', '\r', '\n']);
    text.split_at(end.unwrap_or(text.len()))
}

struct Compactor {
    out: String,
    open: Vec<Open>,
    /// Of all open objects, the innermost last.
    members: Vec<Member>,
    /// Parts of `out` that hold the earlier values of keys given twice.
    removed: Vec<Range<usize>>,
    key_next: bool,
}

#[derive(Clone, Copy)]
enum Open {
    List,
    /// With how many members were on the stack before its own.
    Object(usize),
}

/// Where a member of an object lies in the output.
struct Member {
    start: usize,
    key_end: usize,
    /// Where the next member starts, known when it does.
    end: usize,
}

impl Compactor {
    fn token(&mut self, first: u8, token: &str) {
        match first {
            b'"' => self.string(token),
            b'{' | b'[' if token.len() > 1 => self.out.push_str(TOO_DEEP),
            b'{' => {
                self.open.push(Open::Object(self.members.len()));
                self.key_next = true;
                self.out.push('{');
            }
            b'[' => {
                self.open.push(Open::List);
                self.key_next = false;
                self.out.push('[');
            }
            b'}' | b']' => {
                if let Some(Open::Object(first_member)) = self.open.pop() {
                    self.close_object(first_member);
                }
                self.key_next = false;
                self.out.push_str(token);
            }
            b',' => {
                self.key_next = matches!(self.open.last(), Some(Open::Object(_)));
                self.out.push(',');
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.out.push_str(token),
        }
    }

    fn string(&mut self, token: &str) {
        let start = self.out.len();
        match unescape(token) {
            Some(Unescaped {
                text: Cow::Owned(text),
                ..
            }) => write_string(&mut self.out, &text),
            _ => self.out.push_str(token),
        }
        if self.key_next {
            self.key_next = false;
            self.start_member(start);
        }
    }

    fn start_member(&mut self, start: usize) {
        if let Some(Open::Object(first_member)) = self.open.last()
            && let Some(previous) = self.members.get_mut(*first_member..)
            && let Some(previous) = previous.last_mut()
        {
            previous.end = start;
        }
        let key_end = self.out.len();
        self.members.push(Member {
            start,
            key_end,
            end: key_end,
        });
    }

    fn close_object(&mut self, first_member: usize) {
        let Self {
            out,
            members,
            removed,
            ..
        } = self;
        let own = &mut members[first_member..];
        if own.len() > 1 {
            let key = |member: &Member| &out.as_bytes()[member.start..member.key_end];
            own.sort_unstable_by(|one, other| {
                key(one).cmp(key(other)).then(one.start.cmp(&other.start))
            });
            let twice = own.windows(2).filter(|pair| key(&pair[0]) == key(&pair[1]));
            removed.extend(twice.map(|pair| pair[0].start..pair[0].end));
        }
        members.truncate(first_member);
    }

    fn finish(mut self) -> String {
        if self.removed.is_empty() {
            return self.out;
        }
        self.removed.sort_unstable_by_key(|part| part.start);
        let mut kept = String::with_capacity(self.out.len());
        let mut position = 0;
        for part in self.removed {
            // A part can lie in one that is removed already.
            if let Some(text) = self.out.get(position..part.start) {
                kept.push_str(text);
            }
            position = position.max(part.end);
        }
        kept.push_str(self.out.get(position..).unwrap_or_default());
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(compact(json), expected);
    }

    #[test]
    fn blanks_go_and_everything_else_stays() {
        check(
            " { \"a\" : [ 1 , true , null ] ,\r\n\t\"b\" : { } } ",
            "{\"a\":[1,true,null],\"b\":{}}",
        );
        check("\"a  b\"", "\"a  b\"");
        check(" 7 ", "7");
        check("[]", "[]");
    }

    #[test]
    fn numbers_keep_every_digit() {
        check(
            "[123456789012345678901234567890, 1.0, -0.0, 1e400, 1E-7]",
            "[123456789012345678901234567890,1.0,-0.0,1e400,1E-7]",
        );
    }

    #[test]
    fn escapes_take_their_shortest_form() {
        check(
            r#""\u0041\/\n\u000a\b\u001f\"\\é\ud83d\ude00""#,
            "\"A/\\n\\n\\b\\u001f\\\"\\\\é😀\"",
        );
        check(r#""[\"{,""#, r#""[\"{,""#);
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        check(
            r#"["\ud800","\udc00x","\ud800\ud83d\ude00","\ud800\n"]"#,
            "[\"\u{fffd}\",\"\u{fffd}x\",\"\u{fffd}😀\",\"\u{fffd}\\n\"]",
        );
        check(r#"{"\ud800":1}"#, "{\"\u{fffd}\":1}");
    }

    #[test]
    fn a_key_given_twice_keeps_its_last_value() {
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        check(
            r#"{"a":1,"b":2,"a":3,"c":4,"\u0061":5}"#,
            r#"{"b":2,"c":4,"a":5}"#,
        );
        check(
            r#"{"a":{"x":1,"x":2},"a":{"x":3,"x":4},"b":{"x":5}}"#,
            r#"{"a":{"x":4},"b":{"x":5}}"#,
        );
        check(r#"[{"a":1},{"a":2}]"#, r#"[{"a":1},{"a":2}]"#);
        check(r#"{"a":["a","a"],"b":"a"}"#, r#"{"a":["a","a"],"b":"a"}"#);
    }

    #[test]
    fn what_is_nested_too_deep_is_replaced() {
        let at_limit = "[".repeat(256) + &"]".repeat(256);
        check(&at_limit, &at_limit);
        let over = "[".repeat(257) + "\"]\\\"\"" + &"]".repeat(257);
        check(&over, &("[".repeat(256) + TOO_DEEP + &"]".repeat(256)));
        let far_over = r#"{"a":"#.repeat(40_000) + "1" + &"}".repeat(40_000);
        check(
            &far_over,
            &(r#"{"a":"#.repeat(256) + TOO_DEEP + &"}".repeat(256)),
        );
    }

    #[test]
    fn a_string_is_read_with_its_escapes() {
        #[track_caller]
        fn check(json: &str, text: &str, lone_surrogate: bool) {
            let text = Cow::Borrowed(text);
            assert_eq!(
                unescape(json),
                Some(Unescaped {
                    text,
                    lone_surrogate
                })
            );
        }
        check("\"\"", "", false);
        check("\"plain\"", "plain", false);
        check(
            r#""\"\\\/\b\f\n\r\t\u00e9""#,
            "\"\\/\u{8}\u{c}\n\r\té",
            false,
        );
        check(r#""a\ud800""#, "a\u{fffd}", true);
        check(r#""\ud83d\ude00""#, "😀", false);
        assert_eq!(unescape("5"), None);
    }
}
