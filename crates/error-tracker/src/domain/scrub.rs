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
mod pattern;
mod shapes;
mod suspicion;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

use names::{Place, Secrecy};
pub use pattern::Unusable;
use pattern::{Name, Pattern};
use shapes::Kind;
use suspicion::Suspicion;
use walk::{LEVELS_OF_JSON, Walker};

use super::json;
use super::report::ErrorReport;

/// What secrets are replaced by.
pub const SCRUBBED: &str = "[scrubbed]";

/// Knows what secrets look like, and what else the operator calls one.
#[derive(Debug, Default)]
pub struct Scrubber {
    patterns: Vec<Pattern>,
    suspicion: Suspicion,
}

impl Scrubber {
    /// With one more name of secrets: exact, or with a `*` at the beginning or the end for anything. Case, `-`, `_` and
    /// capitals inside do not count.
    pub fn add(&mut self, name: &str) -> Result<(), Unusable> {
        self.patterns.push(Pattern::new(name)?);
        Ok(())
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
        self.secrecy(name, place) != Secrecy::Nothing
    }

    fn secrecy(&self, name: &str, place: Place) -> Secrecy {
        if !self.patterns.is_empty() {
            let name = Name::new(name);
            if self.patterns.iter().any(|pattern| pattern.matches(&name)) {
                return Secrecy::Everything;
            }
        }
        names::secrecy(name, place)
    }

    fn shapes<'t>(&self, text: &'t str, query: bool) -> Cow<'t, str> {
        let kind = Kind {
            escaped: false,
            query,
        };
        let mut edits = Edits::new(text);
        let secrecy = |name: &str| self.secrecy(name, Place::Url);
        shapes::find(text, kind, secrecy, |part| edits.replace(part, SCRUBBED));
        edits.finish()
    }

    /// Of the inside of a JSON string.
    fn shapes_inside(&self, text: &str, found: impl FnMut(Range<usize>)) {
        let kind = Kind {
            escaped: true,
            query: true,
        };
        let secrecy = |name: &str| self.secrecy(name, Place::Url);
        shapes::find(text, kind, secrecy, found);
    }

    fn walk<'t>(&self, json: &'t str, place: Place, levels: u8) -> Cow<'t, str> {
        Walker::new(self, json, place, levels).run()
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

#[cfg(test)]
mod tests;
