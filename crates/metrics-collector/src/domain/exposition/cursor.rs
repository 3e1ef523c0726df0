//! Reads a line of an exposition from its beginning to its end.

use std::borrow::Cow;
use std::fmt;

/// Labels of one sample.
const MOST_LABELS: usize = 64;
/// Characters of a bad line that are shown.
const SHOWN: usize = 40;

/// What was expected, and what is there instead.
pub(super) struct Expected<'a>(pub(super) Cow<'static, str>, pub(super) &'a str);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, found) = self;
        if found.is_empty() {
            return write!(f, "expected {what}, found the end of the line");
        }
        let end = found
            .char_indices()
            .nth(SHOWN)
            .map_or(found.len(), |(at, _)| at);
        let shown = found.get(..end).unwrap_or_default();
        let more = if end < found.len() { "…" } else { "" };
        write!(f, "expected {what}, found {shown:?}{more}")
    }
}

pub(super) fn is_metric_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_' || c == b':'
}

pub(super) fn is_metric(c: u8) -> bool {
    is_metric_start(c) || c.is_ascii_digit()
}

fn is_label_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_'
}

fn is_label(c: u8) -> bool {
    is_label_start(c) || c.is_ascii_digit()
}

/// What is left of a line.
pub(super) struct Cursor<'a>(pub(super) &'a str);

impl<'a> Cursor<'a> {
    pub(super) fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// What stands before the next blank.
    pub(super) fn token(&mut self) -> &'a str {
        let end = self.0.find([' ', '\t']).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token
    }

    pub(super) fn word(&mut self, first: fn(u8) -> bool, next: fn(u8) -> bool) -> Option<&'a str> {
        let bytes = self.0.as_bytes();
        if !bytes.first().is_some_and(|&c| first(c)) {
            return None;
        }
        let end = bytes.iter().position(|&c| !next(c)).unwrap_or(bytes.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(word)
    }

    /// What stands in quotes, behind the first of them.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Expected<'a>> {
        let text = self.0;
        let mut decoded: Option<String> = None;
        let mut from = 0;
        let bytes = text.as_bytes();
        let mut at = 0;
        let piece = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    self.0 = piece(at + 1, text.len());
                    return Ok(match decoded {
                        None => Cow::Borrowed(piece(0, at)),
                        Some(decoded) => Cow::Owned(decoded + piece(from, at)),
                    });
                }
                b'\\' => {
                    let escaped = match bytes.get(at + 1) {
                        Some(b'n') => '\n',
                        Some(b'"') => '"',
                        Some(b'\\') => '\\',
                        // Others stay as they are.
                        _ => {
                            at += 1;
                            continue;
                        }
                    };
                    let decoded = decoded.get_or_insert_default();
                    decoded.push_str(piece(from, at));
                    decoded.push(escaped);
                    at += 2;
                    from = at;
                }
                _ => at += 1,
            }
        }
        Err(Expected("a closing quote".into(), ""))
    }

    /// Labels up to the closing brace. A quoted text without a value is the metric's name.
    pub(super) fn labels(
        &mut self,
        metric: &mut Option<Cow<'a, str>>,
        labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<(), Expected<'a>> {
        loop {
            self.skip_blanks();
            if self.eat('}') {
                return Ok(());
            }
            let found = self.0;
            let name = if self.eat('"') {
                self.quoted()?
            } else {
                let word = self.word(is_label_start, is_label);
                Cow::Borrowed(word.ok_or(Expected("the name of a label or }".into(), found))?)
            };
            self.skip_blanks();
            if found.starts_with('"') && metric.is_none() && !self.0.starts_with('=') {
                *metric = Some(name);
            } else {
                self.label(name, found, labels)?;
            }
            self.skip_blanks();
            if !self.eat(',') && !self.0.starts_with('}') {
                return Err(Expected(", or } behind a label".into(), self.0));
            }
        }
    }

    fn label(
        &mut self,
        name: Cow<'a, str>,
        found: &'a str,
        labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<(), Expected<'a>> {
        if !self.eat('=') {
            return Err(Expected("= behind the name of a label".into(), self.0));
        }
        self.skip_blanks();
        if !self.eat('"') {
            return Err(Expected("the value of a label in quotes".into(), self.0));
        }
        let value = self.quoted()?;
        if labels.iter().any(|(known, _)| *known == name) {
            return Err(Expected("each label once".into(), found));
        }
        if labels.len() == MOST_LABELS {
            let what = format!("at most {MOST_LABELS} labels");
            return Err(Expected(what.into(), found));
        }
        labels.push((name, value));
        Ok(())
    }

    pub(super) fn number(&mut self) -> Result<f64, Expected<'a>> {
        self.skip_blanks();
        let found = self.0;
        let number = self.token().parse();
        number.map_err(|_| Expected("a number".into(), found))
    }

    /// The name in a comment line.
    pub(super) fn comment_name(&mut self) -> Result<Cow<'a, str>, Expected<'a>> {
        self.skip_blanks();
        let found = self.0;
        if self.eat('"') {
            return self.quoted();
        }
        let word = self.word(is_metric_start, is_metric);
        let ended = self.0.is_empty() || self.0.starts_with([' ', '\t']);
        word.filter(|_| ended)
            .map(Cow::Borrowed)
            .ok_or(Expected("the name of a metric".into(), found))
    }

    pub(super) fn end(&mut self, expected: &'static str) -> Result<(), Expected<'a>> {
        self.skip_blanks();
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Expected(expected.into(), self.0))
        }
    }
}
