//! JSON as values hold it: whole, cut off, several behind each other, inside texts, with a word before it.

use std::borrow::Cow;
use std::ops::Range;

use super::super::json;
use super::names::{Place, Secrecy};

use super::{Edits, SCRUBBED, Scrubber, shapes, suspicion};

/// How often JSON is looked for in a text inside JSON. Each level at least doubles the backslashes.
pub(super) const LEVELS_OF_JSON: u8 = 5;

/// What the strings before say about the one that follows, where names and values are apart: `["Cookie", "..."]` and
/// `{"name": "Cookie", "value": "..."}`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Hint {
    #[default]
    None,
    /// A list in a list has begun: its first text may be a name.
    Opened,
    /// The next value of this list belongs to a secret name.
    Paired(Secrecy),
    /// The value of this key is a name.
    Name,
    /// This object is about a secret name.
    Named(Secrecy),
}

/// The keys of objects that are about a name.
fn holds_name(key: &str) -> bool {
    matches!(
        key,
        "name" | "key" | "header" | "field" | "param" | "parameter" | "path" | "property"
    )
}

/// The keys beside them.
pub(super) fn holds_value(key: &str) -> bool {
    matches!(
        key,
        "value" | "values" | "val" | "rejectedValue" | "rejected_value"
    )
}

/// One pass over text that is JSON or holds some: nothing is assumed of what stands around names and values.
pub(super) struct Walker<'s, 't> {
    scrubber: &'s Scrubber,
    json: &'t str,
    place: Place,
    levels: u8,
    edits: Edits<'t>,
    /// The next value belongs to a secret name.
    secret: Secrecy,
    /// So many lists and objects are open in a value that belongs to a secret name.
    inside: usize,
    /// What goes in there.
    inside_secret: Secrecy,
    /// The next value is one of an object.
    after_key: bool,
    hint: Hint,
    /// Those of the lists and objects around.
    hints: Vec<Hint>,
    /// The next value is that of an object with a name of its own.
    is_value: bool,
    /// The value of this object, when its name was not known yet.
    unnamed: Option<Range<usize>>,
    /// A list or object that begins here would be one of a list.
    in_list: bool,
}

impl<'s, 't> Walker<'s, 't> {
    pub(super) fn new(scrubber: &'s Scrubber, json: &'t str, place: Place, levels: u8) -> Self {
        Self {
            scrubber,
            json,
            place,
            levels,
            edits: Edits::new(json),
            secret: Secrecy::Nothing,
            inside: 0,
            inside_secret: Secrecy::Nothing,
            after_key: false,
            hint: Hint::None,
            hints: Vec::new(),
            is_value: false,
            unnamed: None,
            in_list: false,
        }
    }

    pub(super) fn run(mut self) -> Cow<'t, str> {
        let mut at = 0;
        while at < self.json.len() {
            at = self.step(at);
        }
        self.edits.finish()
    }

    /// Goes on at the beginning of a token, and answers where the next one begins.
    fn step(&mut self, at: usize) -> usize {
        let bytes = self.json.as_bytes();
        let byte = bytes[at];
        if is_blank(byte) || byte == b':' {
            return at + 1;
        }
        let in_list = std::mem::replace(&mut self.in_list, matches!(byte, b'[' | b','));
        match byte {
            b'"' => self.quote(at),
            b'{' | b'[' => {
                self.open(byte == b'[' && in_list);
                at + 1
            }
            b'}' | b']' => {
                self.inside = self.inside.saturating_sub(1);
                self.hint = self.hints.pop().unwrap_or_default();
                self.unnamed = None;
                at + 1
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().position(|byte| ends_number(*byte));
                let end = length.map_or(bytes.len(), |length| at + length);
                self.number(at..end);
                end
            }
            // In text around JSON; what it escapes begins nothing.
            b'\\' => at + 2,
            b',' => {
                self.secret = Secrecy::Nothing;
                at + 1
            }
            _ => {
                self.value_begins();
                at + 1
            }
        }
    }

    fn quote(&mut self, at: usize) -> usize {
        let bytes = self.json.as_bytes();
        let string = Token::at(bytes, at);
        let next = bytes[string.end..].iter().find(|byte| !is_blank(**byte));
        if next == Some(&b':') {
            self.key(&string);
            return string.end;
        }
        let value = self.after_key || matches!(next, None | Some(b',' | b']' | b'}' | b'"' | b'{'));
        if !value {
            // What it closes was not opened, or it stands in a sentence.
            self.value_begins();
            return at + 1;
        }
        self.string(&string, next);
        string.end
    }

    fn open(&mut self, list_in_list: bool) {
        let secret = self.value_begins();
        if self.inside > 0 {
            self.inside += 1;
        } else if secret != Secrecy::Nothing {
            self.inside = 1;
            self.inside_secret = secret;
        }
        self.hints.push(self.hint);
        self.is_value = false;
        self.hint = if list_in_list {
            Hint::Opened
        } else {
            Hint::None
        };
        self.unnamed = None;
    }

    /// Answers what of the value that begins is secret.
    fn value_begins(&mut self) -> Secrecy {
        let in_list = !std::mem::take(&mut self.after_key);
        let own = std::mem::take(&mut self.secret);
        if self.inside > 0 {
            return self.inside_secret;
        }
        match self.hint {
            Hint::Paired(secret) if in_list => {
                self.hint = Hint::None;
                secret
            }
            Hint::Opened => {
                self.hint = Hint::None;
                own
            }
            _ => own,
        }
    }

    fn key(&mut self, token: &Token) {
        self.after_key = true;
        if self.inside > 0 {
            return;
        }
        let Some(key) = self.json.get(token.whole()).and_then(json::unescape) else {
            return;
        };
        self.secret = self.scrubber.secrecy(&key.text, self.place);
        self.is_value = holds_value(&key.text);
        self.hint = match self.hint {
            Hint::Named(secret) => {
                if self.is_value && self.secret == Secrecy::Nothing {
                    self.secret = secret;
                }
                Hint::Named(secret)
            }
            _ if holds_name(&key.text) => Hint::Name,
            _ => Hint::None,
        };
    }

    fn number(&mut self, token: Range<usize>) {
        let is_value = std::mem::take(&mut self.is_value);
        if self.value_begins() == Secrecy::Everything {
            self.replace(token);
        } else if is_value {
            self.unnamed = Some(token);
        }
    }

    fn string(&mut self, token: &Token, next: Option<&u8>) {
        let in_list = !self.after_key;
        let hint = self.hint;
        let is_value = std::mem::take(&mut self.is_value);
        let mut secret = self.value_begins();
        let is_row = matches!(hint, Hint::Paired(_)) && next == Some(&b',');
        if in_list && is_row && self.place != Place::Header {
            // Of a table, whose first text names nothing.
            secret = Secrecy::Nothing;
        }
        let Some(text) = self.json.get(token.content()) else {
            return;
        };
        let present = !text.is_empty() && !shapes::is_placeholder(text.as_bytes());
        if secret != Secrecy::Nothing {
            if present {
                self.replace(token.whole());
            }
            return;
        }
        if is_value && present {
            self.unnamed = Some(token.whole());
        }
        self.name(text, hint, in_list);
        self.look_inside(token, text);
    }

    /// A text that may name what follows, or what was before.
    fn name(&mut self, text: &str, hint: Hint, in_list: bool) {
        let may_name = match (in_list, hint) {
            (true, Hint::Opened) => true,
            (true, Hint::Paired(_)) => false,
            (true, _) => self.place == Place::Header,
            (false, hint) => hint == Hint::Name,
        };
        let secret = if may_name && is_one_word(text) {
            self.scrubber.secrecy(text, self.place)
        } else {
            Secrecy::Nothing
        };
        self.hint = match (secret, in_list) {
            (Secrecy::Nothing, false) if matches!(hint, Hint::Named(_)) => hint,
            (Secrecy::Nothing, _) => Hint::None,
            (_, true) => Hint::Paired(secret),
            (_, false) => Hint::Named(secret),
        };
        if matches!(self.hint, Hint::Named(_))
            && let Some(value) = self.unnamed.take()
            && value.start >= self.edits.done
        {
            let is_text = self.json.as_bytes()[value.start] == b'"';
            if is_text || self.hint == Hint::Named(Secrecy::Everything) {
                self.replace(value);
            }
        }
    }

    /// A text of no secret name: JSON may be in it, and what is known by its shape.
    fn look_inside(&mut self, token: &Token, text: &str) {
        let content = token.content();
        let Some(scrubbed) = self.json_inside(text) else {
            self.scrubber.shapes_inside(text, |part| {
                let part = content.start + part.start..content.start + part.end;
                self.edits.replace(part, SCRUBBED);
            });
            return;
        };
        let mut string = String::with_capacity(text.len());
        json::write_string(&mut string, &scrubbed);
        let inner = string.get(1..string.len() - 1).unwrap_or_default();
        let mut edits = Edits::new(inner);
        self.scrubber
            .shapes_inside(inner, |part| edits.replace(part, SCRUBBED));
        self.edits.replace(content, &edits.finish());
    }

    /// The scrubbed form of a text that holds JSON with secrets.
    fn json_inside(&self, text: &str) -> Option<String> {
        if self.levels == 0 || !suspicion::may_hold_json(text.as_bytes()) {
            return None;
        }
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.extend(["\"", text, "\""]);
        let inner = json::unescape(&quoted)?.text;
        match self.scrubber.walk(&inner, self.place, self.levels - 1) {
            Cow::Owned(scrubbed) => Some(scrubbed),
            Cow::Borrowed(_) => None,
        }
    }

    fn replace(&mut self, value: Range<usize>) {
        self.edits.replace(value, "\"[scrubbed]\"");
    }
}

/// Whether a text can be a name, and is no sentence.
fn is_one_word(text: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'-' | b'_' | b'.')
    };
    text.bytes().all(fits)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn ends_number(byte: u8) -> bool {
    !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Where a string is.
struct Token {
    start: usize,
    end: usize,
    /// Whether the text ends before the string does.
    cut: bool,
}

impl Token {
    /// The string whose first quote is at `start`.
    fn at(text: &[u8], start: usize) -> Self {
        let mut at = start + 1;
        while let Some(length) = text
            .get(at..)
            .and_then(|rest| rest.iter().position(|byte| matches!(byte, b'"' | b'\\')))
        {
            at += length;
            if text[at] == b'"' {
                return Self {
                    start,
                    end: at + 1,
                    cut: false,
                };
            }
            at += 2;
        }
        Self {
            start,
            end: text.len(),
            cut: true,
        }
    }

    fn whole(&self) -> Range<usize> {
        self.start..self.end
    }

    fn content(&self) -> Range<usize> {
        let quote = usize::from(!self.cut);
        self.start + 1..self.end - quote
    }
}
