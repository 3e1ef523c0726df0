//! One line of a Docker json-file: `{"log":"text\n","stream":"stdout","time":"2025-01-20T10:00:01.123456789Z"}`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::Stream;

/// A record of the json-file, its text decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerLine<'a> {
    /// The text without the line end; borrowed when nothing in it was escaped.
    pub text: Cow<'a, str>,
    /// Whether the text ended in a line end. Docker cuts lines at 16 KiB into several records; all but the last lack it.
    pub complete: bool,
    /// Standard output unless the record says `stderr`.
    pub stream: Stream,
    /// Nanoseconds since 1970, UTC; `None` when the record has no readable time.
    pub time_ns: Option<i64>,
    /// Bytes of the text that are not there.
    pub dropped: u64,
}

/// Why a line of the file is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Nothing but blanks.
    Blank,
    /// No JSON object.
    NotJson,
    /// An object without a text called `log`.
    NoText,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    log: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
}

/// Reads one line of the file, given without its LF.
pub fn parse(line: &[u8]) -> Result<DockerLine<'_>, Skip> {
    let line = trim(line);
    if line.is_empty() {
        return Err(Skip::Blank);
    }
    if line.first() != Some(&b'{') {
        return Err(Skip::NotJson);
    }
    match std::str::from_utf8(line) {
        Ok(text) => parse_text(text),
        // Not what Docker writes; shown with U+FFFD rather than lost.
        Err(_) => parse_text(&String::from_utf8_lossy(line)).map(DockerLine::into_owned),
    }
}

impl DockerLine<'_> {
    /// The same line with a text of its own.
    pub fn into_owned(self) -> DockerLine<'static> {
        DockerLine {
            text: Cow::Owned(self.text.into_owned()),
            complete: self.complete,
            stream: self.stream,
            time_ns: self.time_ns,
            dropped: self.dropped,
        }
    }
}

fn parse_text(text: &str) -> Result<DockerLine<'_>, Skip> {
    let record: Record<'_> = serde_json::from_str(text).map_err(|_| Skip::NotJson)?;
    let quoted = record
        .log
        .and_then(|raw| unquote(raw.get()))
        .ok_or(Skip::NoText)?;
    let (text, complete) = decode_line(quoted);
    Ok(DockerLine {
        text,
        complete,
        stream: record
            .stream
            .and_then(|raw| unquote(raw.get()))
            .map_or(Stream::Stdout, stream),
        time_ns: record
            .time
            .and_then(|raw| unquote(raw.get()))
            .and_then(parse_time),
        dropped: 0,
    })
}

/// What can be saved of a record that was too long to be kept whole.
///
/// `head` is its beginning, `tail` its last bytes, `dropped` how many bytes in between are gone. Docker writes `log`
/// first and `stream` and `time` last, so both are usually there.
pub fn parse_cut(head: &[u8], tail: &[u8], dropped: u64) -> Result<DockerLine<'static>, Skip> {
    let head = String::from_utf8_lossy(head);
    let value = head
        .trim_start()
        .strip_prefix('{')
        .and_then(|rest| rest.trim_start().strip_prefix("\"log\""))
        .and_then(|rest| rest.trim_start().strip_prefix(':'))
        .and_then(|rest| rest.trim_start().strip_prefix('"'))
        .ok_or(Skip::NotJson)?;
    let text = unescape(value.trim_end_matches('\u{fffd}'));
    let tail = String::from_utf8_lossy(tail);
    Ok(DockerLine {
        text: Cow::Owned(text),
        complete: !tail_has_partial_text(&tail),
        stream: last_value(&tail, "stream").map_or(Stream::Stdout, stream),
        time_ns: last_value(&tail, "time").and_then(parse_time),
        dropped,
    })
}

/// What stands where text was left out.
pub fn cut_mark(dropped: u64) -> String {
    format!(" … [cut: {dropped} more bytes]")
}

/// Whether the record says that its line goes on in the next one: the text before `","stream"` does not end in `\n`.
fn tail_has_partial_text(tail: &str) -> bool {
    tail.rfind("\",\"stream\"")
        .is_some_and(|end| !tail.get(..end).unwrap_or_default().ends_with("\\n"))
}

fn last_value<'t>(tail: &'t str, key: &str) -> Option<&'t str> {
    let marker = format!("\"{key}\":\"");
    let start = tail.rfind(&marker)? + marker.len();
    let rest = tail.get(start..)?;
    rest.get(..rest.find('"')?)
}

fn stream(name: &str) -> Stream {
    if name == "stderr" {
        Stream::Stderr
    } else {
        Stream::Stdout
    }
}

/// An instant in RFC 3339 as nanoseconds since 1970; zones and fractions are understood.
pub fn parse_time(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok()
}

/// The inside of a JSON string, still escaped; `None` when the value is something else.
fn unquote(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

/// The decoded text without its line end, and whether it had one.
fn decode_line(quoted: &str) -> (Cow<'_, str>, bool) {
    // Nearly every text ends in an escaped LF and holds no other escape.
    let (body, complete) = match quoted.strip_suffix("\\n") {
        Some(body) if !ends_in_open_escape(body) => (body, true),
        _ => (quoted, false),
    };
    if memchr::memchr(b'\\', body.as_bytes()).is_none() {
        return (Cow::Borrowed(body), complete);
    }
    let mut text = unescape(body);
    if complete && text.ends_with('\r') {
        text.pop();
    }
    (Cow::Owned(text), complete)
}

/// Whether the text ends in an odd number of backslashes, so that what follows is escaped.
fn ends_in_open_escape(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Undoes JSON escapes. Never fails: half a surrogate pair becomes U+FFFD, a cut escape at the end is dropped.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let mut letters = escaped.chars();
        letters.next();
        match letters.next() {
            None => return out,
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (letter, after) = unicode_escape(letters.as_str());
                out.extend(letter);
                rest = after;
                continue;
            }
            Some(other) => out.push(other),
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out
}

/// Reads what follows `\u`: four hexadecimal digits, and the second half of a surrogate pair when the first is one.
fn unicode_escape(text: &str) -> (Option<char>, &str) {
    let Some((first, rest)) = hex4(text) else {
        // Only a record that was cut can end here.
        return (None, "");
    };
    if !(0xd800..0xe000).contains(&first) {
        return (char::from_u32(first), rest);
    }
    let second = rest.strip_prefix("\\u").and_then(hex4);
    if let Some((low, after)) = second
        && first < 0xdc00
        && (0xdc00..0xe000).contains(&low)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code), after);
    }
    (Some(char::REPLACEMENT_CHARACTER), rest)
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    Some((code, text.get(4..)?))
}

fn trim(line: &[u8]) -> &[u8] {
    // A file that was truncated under a writer which does not append begins with NUL bytes.
    let start = line
        .iter()
        .position(|byte| *byte != 0 && !byte.is_ascii_whitespace())
        .unwrap_or(line.len());
    line.get(start..).unwrap_or_default().trim_ascii_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, text: &str, complete: bool) {
        let record = parse(line.as_bytes()).expect("a record");
        assert_eq!((record.text.as_ref(), record.complete), (text, complete));
    }

    #[track_caller]
    fn skipped(line: &str, expected: Skip) {
        assert_eq!(parse(line.as_bytes()), Err(expected), "{line}");
    }

    #[test]
    fn escapes_are_decoded() {
        check(r#"{"log":"plain\n"}"#, "plain", true);
        check(
            r#"{"log":"said \"hi\", \u003cb\u003e \u0026\n"}"#,
            "said \"hi\", <b> &",
            true,
        );
        check(
            r#"{"log":"a\tb \u001b[31mred C:\\dir \\ end\n"}"#,
            "a\tb \u{1b}[31mred C:\\dir \\ end",
            true,
        );
        check(r#"{"log":"\ud83d\ude00\n"}"#, "😀", true);
        check(
            r#"{"log":"\ud83d lone \ude00\n"}"#,
            "\u{fffd} lone \u{fffd}",
            true,
        );
        check(
            r#"{"log":"\ud83d\u0041 \u65e5\b\f\/\n"}"#,
            "\u{fffd}A 日\u{8}\u{c}/",
            true,
        );
        check(
            r#"{"log":"ends in backslash \\n"}"#,
            "ends in backslash \\n",
            false,
        );
        check(r#"{"log":"two \\\n"}"#, "two \\", true);
        check(r#"{"log":"windows\r\n"}"#, "windows", true);
        check(r#"{"log":"progress\r50%\n"}"#, "progress\r50%", true);
        check(r#"{"log":""}"#, "", false);
        check(r#"{"log":"\n"}"#, "", true);
        check(r#"{"log":"first of two"}"#, "first of two", false);
    }

    #[test]
    fn order_spacing_and_further_fields_do_not_matter() {
        let line = " \t{ \"time\" : \"2025-01-20T10:00:02Z\", \"attrs\":{\"log\":\"no\"}, \"stream\" : \"stderr\" , \"log\" : \"x\\n\" } \r";
        let record = parse(line.as_bytes()).expect("a record");
        assert_eq!(record.text, "x");
        assert_eq!(record.stream, Stream::Stderr);
        assert_eq!(record.time_ns, Some(1_737_367_202_000_000_000));
    }

    #[test]
    fn unescaped_text_is_borrowed() {
        let line =
            br#"{"log":"plain text\n","stream":"stdout","time":"2025-01-20T10:00:01.123456789Z"}"#;
        let record = parse(line).expect("a record");
        assert!(matches!(record.text, Cow::Borrowed("plain text")));
        assert_eq!(record.time_ns, Some(1_737_367_201_123_456_789));
    }

    #[test]
    fn times_with_zones_are_converted_and_odd_ones_are_none() {
        assert_eq!(
            parse_time("2025-01-20T12:00:01.5+02:00"),
            Some(1_737_367_201_500_000_000)
        );
        assert_eq!(parse_time("2025-01-20"), None);
        assert_eq!(parse_time("zzz"), None);
        assert_eq!(parse_time("9999-01-01T00:00:00Z"), None);
    }

    #[test]
    fn lines_that_are_no_records_are_told_apart() {
        skipped("", Skip::Blank);
        skipped(" \r", Skip::Blank);
        skipped("not json", Skip::NotJson);
        skipped("[1,2]", Skip::NotJson);
        skipped(r#"{"log":"unterminated"#, Skip::NotJson);
        skipped(r#"{"log":"a"} trailing"#, Skip::NotJson);
        skipped("{}", Skip::NoText);
        skipped(r#"{"msg":"other"}"#, Skip::NoText);
        skipped(r#"{"log":123,"stream":"stdout","time":"x"}"#, Skip::NoText);
        skipped(r#"{"log":null}"#, Skip::NoText);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        let record = parse(b"{\"log\":\"bad \xff\xfe\\n\"}").expect("a record");
        assert_eq!(record.text, "bad \u{fffd}\u{fffd}");
    }

    #[test]
    fn leading_nul_bytes_are_skipped() {
        let record = parse(b"\0\0\0{\"log\":\"x\\n\"}").expect("a record");
        assert_eq!(record.text, "x");
        assert_eq!(parse(b"\0\0"), Err(Skip::Blank));
    }

    #[test]
    fn a_record_that_was_cut_keeps_its_beginning_stream_and_time() {
        let head = br#"{"log":"ERROR: aaa \"bbb\u00"#;
        let tail = br#"cccc\n","stream":"stderr","time":"2025-01-20T10:00:02Z"}"#;
        let record = parse_cut(head, tail, 4096).expect("a record");
        assert_eq!((&*record.text, record.dropped), ("ERROR: aaa \"bbb", 4096));
        assert_eq!(record.stream, Stream::Stderr);
        assert_eq!(record.time_ns, Some(1_737_367_202_000_000_000));
        assert!(record.complete);
        assert_eq!(parse_cut(b"garbage", tail, 1), Err(Skip::NotJson));
    }
}
