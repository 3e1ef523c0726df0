//! Takes secrets out of reports before anybody sees them.
//!
//! Two kinds of secrets are found: values whose name says so (in headers, in parameters of URLs, and at any depth of
//! `extra` and tags), and what gives itself away by its shape, such as `Bearer ...`, JSON Web Tokens, private keys, tokens
//! with a known prefix, and passwords in URLs. The names and the shape of everything stay, and so do nothing, `true`,
//! `false` and the empty text, which tell whether there was something.
//!
//! The message and the traceback are searched for shapes and for parameters of absolute URLs only: ordinary text stays as
//! it was reported. Everything is one pass without recursion, and what holds no secret is not copied.

mod names;
mod shapes;
mod suspicion;

use std::borrow::Cow;
use std::ops::Range;

use names::{Pattern, Place};
use serde::de::IgnoredAny;
use shapes::Kind;
use suspicion::Suspicion;

use super::json;
use super::report::ErrorReport;

/// What secrets are replaced by.
pub const SCRUBBED: &str = "[scrubbed]";

/// How often JSON is looked for in a text inside JSON. Each level at least doubles the backslashes.
const LEVELS_OF_JSON: u8 = 3;

/// Knows what secrets look like, and what else the operator calls one.
#[derive(Debug, Default)]
pub struct Scrubber {
    patterns: Vec<Pattern>,
    suspicion: Suspicion,
}

impl Scrubber {
    /// With more names of secrets: exact but for their case, or with a `*` at the beginning or the end for anything.
    pub fn new(extra_keys: &[String]) -> Self {
        Self {
            patterns: extra_keys
                .iter()
                .filter_map(|key| Pattern::new(key))
                .collect(),
            suspicion: Suspicion::default(),
        }
    }

    /// Scrubs all that a report keeps, in place. What is worked out of the traceback has to be worked out before.
    pub fn report(&self, report: &mut ErrorReport) {
        replace(&mut report.message, |text| self.text(text));
        replace(&mut report.traceback, |text| self.text(text));
        if let Some(url) = &mut report.request_url {
            replace(url, |url| self.url(url));
        }
        if let Some(headers) = &mut report.request_headers {
            replace(headers, |headers| self.headers(headers));
        }
        for data in [&mut report.extra, &mut report.tags].into_iter().flatten() {
            replace(data, |data| self.json(data));
        }
    }

    /// A message or a traceback.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let is_secret = |name: &str| self.is_secret(name, Place::Url);
        if self.suspicion.in_text(text, is_secret) {
            self.shapes(text, false)
        } else {
            Cow::Borrowed(text)
        }
    }

    /// A URL, absolute or not.
    pub fn url<'t>(&self, url: &'t str) -> Cow<'t, str> {
        let is_secret = |name: &str| self.is_secret(name, Place::Url);
        if self.suspicion.in_data(url, is_secret) {
            self.shapes(url, true)
        } else {
            Cow::Borrowed(url)
        }
    }

    /// `extra` or tags: any JSON value in compact form. The answer is one, too, of the same shape.
    pub fn json<'t>(&self, json: &'t str) -> Cow<'t, str> {
        self.compact_json(json, Place::Data)
    }

    /// Request headers, in compact JSON: an object, a list of names and values in one of the usual forms, or a text with a
    /// header in each line.
    pub fn headers<'t>(&self, json: &'t str) -> Cow<'t, str> {
        let lines = json::unescape(json).and_then(|lines| self.header_lines(&lines.text));
        let Some(lines) = lines else {
            return self.compact_json(json, Place::Header);
        };
        let mut out = String::with_capacity(json.len());
        json::write_string(&mut out, &lines);
        Cow::Owned(self.compact_json(&out, Place::Header).into_owned())
    }

    /// `None` when no line is a secret.
    fn header_lines(&self, lines: &str) -> Option<String> {
        let mut edits = Edits::new(lines);
        let mut start = 0;
        for line in lines.split_inclusive('\n') {
            let text = line.trim_end();
            if let Some((name, value)) = text.split_once(':')
                && !matches!(value.trim(), "" | SCRUBBED)
                && self.is_secret(name, Place::Header)
            {
                let value = start + name.len() + 1..start + text.len();
                edits.replace(value, " [scrubbed]");
            }
            start += line.len();
        }
        match edits.finish() {
            Cow::Owned(lines) => Some(lines),
            Cow::Borrowed(_) => None,
        }
    }

    fn compact_json<'t>(&self, json: &'t str, place: Place) -> Cow<'t, str> {
        let suspicion = &self.suspicion;
        let found = suspicion.in_keys(json, place, |name| self.is_secret(name, place))
            || suspicion.in_data(json, |name| self.is_secret(name, Place::Url));
        if found {
            self.walk(json, place, LEVELS_OF_JSON)
        } else {
            Cow::Borrowed(json)
        }
    }

    fn is_secret(&self, name: &str, place: Place) -> bool {
        names::is_secret(name, place)
            || !self.patterns.is_empty() && {
                let name = name.to_lowercase();
                self.patterns.iter().any(|pattern| pattern.matches(&name))
            }
    }

    fn shapes<'t>(&self, text: &'t str, query: bool) -> Cow<'t, str> {
        let kind = Kind {
            escaped: false,
            query,
        };
        let mut edits = Edits::new(text);
        let is_secret = |name: &str| self.is_secret(name, Place::Url);
        shapes::find(text, kind, is_secret, |part| edits.replace(part, SCRUBBED));
        edits.finish()
    }

    fn walk<'t>(&self, json: &'t str, place: Place, levels: u8) -> Cow<'t, str> {
        let mut walker = Walker {
            scrubber: self,
            json,
            place,
            levels,
            edits: Edits::new(json),
            secret: false,
            inside: 0,
            after_key: false,
            hint: Hint::None,
        };
        let mut at = 0;
        while at < json.len() {
            at = walker.step(at);
        }
        walker.edits.finish()
    }
}

fn replace(text: &mut String, scrub: impl FnOnce(&str) -> Cow<'_, str>) {
    let scrubbed = match scrub(text) {
        Cow::Owned(scrubbed) => Some(scrubbed),
        Cow::Borrowed(_) => None,
    };
    if let Some(scrubbed) = scrubbed {
        *text = scrubbed;
    }
}

/// A text of which parts are replaced from left to right; copied when the first one is.
struct Edits<'t> {
    text: &'t str,
    out: String,
    done: usize,
}

impl<'t> Edits<'t> {
    fn new(text: &'t str) -> Self {
        let out = String::new();
        Self { text, out, done: 0 }
    }

    fn replace(&mut self, part: Range<usize>, by: &str) {
        if self.done == 0 {
            self.out.reserve(self.text.len());
        }
        // Parts begin and end beside ASCII.
        self.out
            .push_str(self.text.get(self.done..part.start).unwrap_or_default());
        self.out.push_str(by);
        self.done = part.end;
    }

    fn finish(mut self) -> Cow<'t, str> {
        if self.done == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out
            .push_str(self.text.get(self.done..).unwrap_or_default());
        Cow::Owned(self.out)
    }
}

/// What the strings before say about the one that follows, where headers are lists: `["Cookie", "..."]` and
/// `{"name": "Cookie", "value": "..."}`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    None,
    /// The next string of this list belongs to a secret name.
    Paired,
    /// The value of this key is the name of a header.
    Name,
    /// This object is about a secret name.
    Named,
}

/// One pass over JSON text.
struct Walker<'s, 't> {
    scrubber: &'s Scrubber,
    json: &'t str,
    place: Place,
    levels: u8,
    edits: Edits<'t>,
    /// The next value belongs to a secret name.
    secret: bool,
    /// So many lists and objects are open in a value that belongs to a secret name.
    inside: usize,
    /// The next value is one of an object.
    after_key: bool,
    hint: Hint,
}

impl Walker<'_, '_> {
    /// Goes on at the beginning of a token, and answers where the next one begins.
    fn step(&mut self, at: usize) -> usize {
        let bytes = self.json.as_bytes();
        match bytes[at] {
            b'"' => {
                let end = at + string_length(&bytes[at..]);
                let next = bytes[end..].iter().find(|byte| !byte.is_ascii_whitespace());
                if next == Some(&b':') {
                    self.key(at..end);
                } else {
                    self.string(at..end);
                }
                end
            }
            b'{' | b'[' => {
                self.inside += usize::from(self.inside > 0 || self.secret);
                self.value_begins();
                self.hint = Hint::None;
                at + 1
            }
            b'}' | b']' => {
                self.inside = self.inside.saturating_sub(1);
                self.hint = Hint::None;
                at + 1
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .position(|byte| matches!(byte, b',' | b']' | b'}' | b' '));
                let end = length.map_or(bytes.len(), |length| at + length);
                if self.value_begins() {
                    self.replace(at..end);
                }
                end
            }
            b't' | b'f' | b'n' => {
                self.value_begins();
                // true, null; the e of false is stepped over like a blank.
                (at + 4).min(bytes.len())
            }
            _ => at + 1,
        }
    }

    /// Answers whether the value that begins is a secret.
    fn value_begins(&mut self) -> bool {
        self.after_key = false;
        std::mem::take(&mut self.secret) || self.inside > 0
    }

    fn key(&mut self, token: Range<usize>) {
        self.after_key = true;
        if self.inside > 0 {
            return;
        }
        let Some(key) = self.json.get(token).and_then(json::unescape) else {
            return;
        };
        self.secret = self.scrubber.is_secret(&key.text, self.place);
        if self.place == Place::Header {
            self.hint = match (&*key.text, self.hint) {
                ("value" | "values", Hint::Named) => {
                    self.secret = true;
                    Hint::None
                }
                ("name" | "key", _) => Hint::Name,
                (_, Hint::Named) => Hint::Named,
                _ => Hint::None,
            };
        }
    }

    fn string(&mut self, token: Range<usize>) {
        let in_list = !self.after_key;
        let mut secret = self.value_begins();
        let content = token.start + 1..(token.end - 1).max(token.start + 1);
        let Some(text) = self.json.get(content.clone()) else {
            return;
        };
        if self.place == Place::Header && !secret {
            let paired = in_list && self.hint == Hint::Paired;
            let names_one = (in_list || self.hint == Hint::Name)
                && !paired
                && self.scrubber.is_secret(text, Place::Header);
            self.hint = match (names_one, in_list) {
                (true, true) => Hint::Paired,
                (true, false) => Hint::Named,
                (false, false) if self.hint == Hint::Named => Hint::Named,
                (false, _) => Hint::None,
            };
            secret = paired;
        }
        if secret {
            if !text.is_empty() && !shapes::is_placeholder(text.as_bytes()) {
                self.replace(token);
            }
        } else if let Some(scrubbed) = self.json_inside(text, &token) {
            let mut string = String::with_capacity(text.len());
            json::write_string(&mut string, &scrubbed);
            self.edits.replace(token, &string);
        } else {
            let kind = Kind {
                escaped: true,
                query: true,
            };
            let is_secret = |name: &str| self.scrubber.is_secret(name, Place::Url);
            shapes::find(text, kind, is_secret, |part| {
                let part = content.start + part.start..content.start + part.end;
                self.edits.replace(part, SCRUBBED);
            });
        }
    }

    /// The scrubbed form of a text that is itself JSON and holds secrets.
    fn json_inside(&self, text: &str, token: &Range<usize>) -> Option<String> {
        let possible = self.levels > 0 && text.starts_with(['{', '[']) && text.contains("\\\":");
        if !possible {
            return None;
        }
        let inner = json::unescape(self.json.get(token.clone())?)?.text;
        serde_json::from_str::<IgnoredAny>(&inner).ok()?;
        match self.scrubber.walk(&inner, self.place, self.levels - 1) {
            Cow::Owned(scrubbed) => Some(scrubbed),
            Cow::Borrowed(_) => None,
        }
    }

    fn replace(&mut self, value: Range<usize>) {
        self.edits.replace(value, "\"[scrubbed]\"");
    }
}

/// The length of the string that `text` begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(length) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| matches!(byte, b'"' | b'\\')))
    {
        at += length;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests;
