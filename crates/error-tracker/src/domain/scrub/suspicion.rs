//! Tells at little cost that a text holds no secret.
//!
//! Nearly all texts hold none, so this is what a report costs. Where it finds nothing, the exact search would find nothing
//! either (a property test holds that); where it suspects something, the exact search decides.

use std::borrow::Cow;

use memchr::memmem::{self, Finder};
use memchr::{memchr_iter, memrchr};

use super::names::Place;
use super::shapes::{self, Token};
use super::walk;

/// No token is shorter than this, prefix included.
const SHORTEST_TOKEN: usize = 20;

/// What is looked for, prepared.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// What comes before a secret, whatever follows.
    marks: [Finder<'static>; 5],
    url: Finder<'static>,
    key_end: Finder<'static>,
    list: Finder<'static>,
}

impl Default for Suspicion {
    fn default() -> Self {
        let marks = ["-----BEGIN ", "earer ", "EARER ", "asic ", "ASIC "];
        Self {
            marks: marks.map(Finder::new),
            url: Finder::new("//"),
            key_end: Finder::new("\":"),
            list: Finder::new("[\""),
        }
    }
}

impl Suspicion {
    /// Of a text in which parameters count inside absolute URLs only.
    pub(super) fn in_text(&self, text: &str, is_secret: impl Fn(&str) -> bool) -> bool {
        let bytes = text.as_bytes();
        // A URL inside a URL is a part of it, and is not searched again.
        let mut searched = 0;
        let in_url = |at: usize| {
            let rest = &bytes[at..];
            if at >= searched {
                let length = rest.iter().position(|byte| shapes::ends_url(*byte));
                searched = at + length.unwrap_or(rest.len());
                if parameters(&bytes[at..searched]).any(|name| is_secret(&name)) {
                    return true;
                }
            }
            shapes::user_info(rest) > 0
        };
        self.mark(bytes) || token(bytes) || self.urls(bytes).any(in_url)
    }

    /// Of a URL, or of JSON as far as the values of its strings go.
    pub(super) fn in_data(&self, text: &str, is_secret: impl Fn(&str) -> bool) -> bool {
        let bytes = text.as_bytes();
        self.mark(bytes)
            || token(bytes)
            || parameters(bytes).any(|name| is_secret(&name))
            || self
                .urls(bytes)
                .any(|at| shapes::user_info(&bytes[at..]) > 0)
    }

    /// Of the keys of compact JSON, and of everything that has to be read to be understood: JSON in texts, and names apart
    /// from their values.
    pub(super) fn in_keys(
        &self,
        json: &str,
        place: Place,
        is_secret: impl Fn(&str) -> bool,
    ) -> bool {
        let bytes = json.as_bytes();
        let suspicious = |end: usize| {
            let Some(start) = memrchr(b'"', &bytes[..end]) else {
                return true;
            };
            let escaped = bytes[end - 1] == b'\\' || start > 0 && bytes[start - 1] == b'\\';
            let key = json.get(start + 1..end).unwrap_or_default();
            escaped || walk::holds_value(key) || key.contains('\\') || is_secret(key)
        };
        let listed = place == Place::Header && (!json.starts_with('{') || json.contains('['));
        let pair = |at: usize| at > 0 && matches!(bytes[at - 1], b'[' | b',');
        listed
            || self.key_end.find_iter(bytes).any(suspicious)
            || self.list.find_iter(bytes).any(pair)
            || may_hold_json(bytes)
    }

    fn mark(&self, text: &[u8]) -> bool {
        self.marks.iter().any(|mark| mark.find(text).is_some())
    }

    /// Where the authorities of URLs may begin.
    fn urls<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = usize> + 't {
        let begins = |at: &usize| *at == 0 || matches!(text[at - 1], b':' | b'"');
        self.url.find_iter(text).filter(begins).map(|at| at + 2)
    }
}

/// Whether there are names as JSON has them in the inside of a JSON string: quotes before a `:` or behind a `[`, whatever
/// blanks are between.
pub(super) fn may_hold_json(text: &[u8]) -> bool {
    let between = |byte: &&u8| matches!(byte, b' ' | b'\\' | b'n' | b'r' | b't');
    let names = |at: usize| {
        let after = text[at + 2..].iter().find(|byte| !between(byte));
        let before = text[..at].iter().rfind(|byte| !between(byte));
        after == Some(&b':') || before == Some(&b'[')
    };
    memmem::find_iter(text, b"\\\"").any(names) || memmem::find(text, b"u0022").is_some()
}

/// What stands before each `=` and could be the name of a parameter.
fn parameters(text: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    memchr_iter(b'=', text).filter_map(|end| {
        let from = end.saturating_sub(shapes::LONGEST_NAME + 1);
        let before = text[from..end]
            .iter()
            .rposition(|byte| shapes::ends_name(*byte));
        let start = before.map_or(from, |before| from + before + 1);
        // Begins within a character only where it is too long for a name.
        let name = str::from_utf8(text.get(start..end)?).ok()?;
        Some(shapes::decoded(name))
    })
}

/// Whether there is something that begins as a token does and is long enough for one.
fn token(text: &[u8]) -> bool {
    let mut from = 0;
    while let Some(window) = text.get(from..from + SHORTEST_TOKEN) {
        // The last byte that breaks the window is the first one to look behind.
        if let Some(breaks) = window.iter().rposition(|byte| !is_part(*byte)) {
            from += breaks + 1;
            continue;
        }
        let run = &text[from..];
        let length = run.iter().position(|byte| !is_part(*byte));
        let run = &run[..length.unwrap_or(run.len())];
        // Behind a backslash, the first letters can belong to an escape.
        let escape = if from > 0 && text[from - 1] == b'\\' {
            5
        } else {
            0
        };
        let mut at = 0;
        while let Some(rest) = run.get(at..).filter(|rest| !rest.is_empty()) {
            let begins = at == 0 || at == 1 && escape > 0 || at == escape;
            if !begins && shapes::is_word(run[at - 1]) {
                at += 1;
                continue;
            }
            match shapes::token(rest) {
                Token::Secret(_) => return true,
                Token::Harmless(length) => at += length,
            }
        }
        from += run.len();
    }
    false
}

fn is_part(byte: u8) -> bool {
    shapes::is_word(byte) || matches!(byte, b'-' | b'.')
}
