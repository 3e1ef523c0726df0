//! A strict JSON reader that walks a document and never builds a tree.
//!
//! Two things make it necessary beside `serde_json`. A source map arrives as a JSON string inside JSON, several MiB
//! long, and must be unescaped and read while it streams by ([`Json::open_string`] hands out the text of a string as a
//! [`Read`], which a second reader can take as its input). And an event must keep the digits of its numbers, refuse a
//! key given twice at any depth, and cost no more memory than its own text whatever a stranger sends.
//!
//! The grammar is RFC 8259. The input must be UTF-8 already; callers check it. Nesting deeper than [`MAX_DEPTH`] is
//! refused, so that recursion is bounded.

mod text;

use std::collections::HashSet;
use std::io::{self, Read};

pub(crate) use text::StringBytes;

/// Arrays and objects inside each other.
pub(crate) const MAX_DEPTH: u32 = 128;

/// Longest key that is reported in full when duplicates are not watched; no key we know is longer.
const LONGEST_KNOWN_KEY: usize = 64;
/// A number of more characters says nothing a double could hold.
const LONGEST_NUMBER: usize = 4096;
const BUFFER: usize = 8 * 1024;

/// Why a document is no JSON, with the offset in bytes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{expected} expected at byte {offset}")]
    Syntax { offset: u64, expected: &'static str },
    #[error("failed to read the document")]
    Input(#[source] io::Error),
}

/// What begins at the current place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// What to do with a surrogate escape that has no partner. JavaScript strings may hold one, and `JSON.stringify`
/// writes it as an escape; UTF-8 cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoneSurrogate {
    Refuse,
    /// Becomes U+FFFD.
    Replace,
}

/// Whether a key given twice in one object is a fault. Watching costs memory in proportion to the keys, so documents
/// of several MiB do without and check the keys they know themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    Refuse,
    Ignore,
}

/// The reader; see the module.
pub(crate) struct Json<R> {
    input: R,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    /// Bytes of the document before the buffer.
    before: u64,
    depth: u32,
    duplicates: Duplicates,
    lone_surrogate: LoneSurrogate,
}

/// Where an open object stands.
pub(crate) struct Members {
    first: bool,
    seen: HashSet<String>,
}

/// Where an open array stands.
pub(crate) struct Items {
    first: bool,
}

impl<'t> Json<&'t [u8]> {
    /// Of a document in memory.
    pub(crate) fn of(
        text: &'t [u8],
        duplicates: Duplicates,
        lone_surrogate: LoneSurrogate,
    ) -> Self {
        let buffer = text.len().clamp(1, BUFFER);
        Self::buffered(text, buffer, duplicates, lone_surrogate)
    }
}

impl<R: Read> Json<R> {
    pub(crate) fn new(input: R, duplicates: Duplicates, lone_surrogate: LoneSurrogate) -> Self {
        Self::buffered(input, BUFFER, duplicates, lone_surrogate)
    }

    fn buffered(
        input: R,
        buffer: usize,
        duplicates: Duplicates,
        lone_surrogate: LoneSurrogate,
    ) -> Self {
        Self {
            input,
            buffer: vec![0; buffer].into_boxed_slice(),
            at: 0,
            filled: 0,
            before: 0,
            depth: 0,
            duplicates,
            lone_surrogate,
        }
    }

    /// Bytes of the document read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// The kind of the value that comes next.
    pub(crate) fn kind(&mut self) -> Result<Kind, Fault> {
        self.skip_blanks()?;
        Ok(match self.peek()? {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => return Err(self.expected("a value")),
        })
    }

    pub(crate) fn open_object(&mut self) -> Result<Members, Fault> {
        self.skip_blanks()?;
        self.byte(b'{', "an object")?;
        self.enter()?;
        Ok(Members {
            first: true,
            seen: HashSet::new(),
        })
    }

    /// The next key with its colon consumed, or `None` at the end of the object.
    pub(crate) fn next_member(&mut self, members: &mut Members) -> Result<Option<String>, Fault> {
        self.skip_blanks()?;
        if self.peek()? == Some(b'}') && members.first {
            self.leave();
            return Ok(None);
        }
        if !members.first {
            match self.peek()? {
                Some(b'}') => {
                    self.leave();
                    return Ok(None);
                }
                Some(b',') => self.at += 1,
                _ => return Err(self.expected("',' or '}'")),
            }
            self.skip_blanks()?;
        }
        members.first = false;
        let key = match self.duplicates {
            Duplicates::Refuse => {
                let key = self.string()?;
                if !members.seen.insert(key.clone()) {
                    return Err(self.expected("a key that was not given before"));
                }
                key
            }
            Duplicates::Ignore => self.string_cut(LONGEST_KNOWN_KEY)?,
        };
        self.skip_blanks()?;
        self.byte(b':', "':'")?;
        Ok(Some(key))
    }

    pub(crate) fn open_array(&mut self) -> Result<Items, Fault> {
        self.skip_blanks()?;
        self.byte(b'[', "an array")?;
        self.enter()?;
        Ok(Items { first: true })
    }

    /// True when another item follows.
    pub(crate) fn next_item(&mut self, items: &mut Items) -> Result<bool, Fault> {
        self.skip_blanks()?;
        match self.peek()? {
            Some(b']') => {
                self.leave();
                return Ok(false);
            }
            Some(b',') if !items.first => {
                self.at += 1;
                self.skip_blanks()?;
            }
            _ if items.first => {}
            _ => return Err(self.expected("',' or ']'")),
        }
        items.first = false;
        Ok(true)
    }

    /// The whole text of a string.
    pub(crate) fn string(&mut self) -> Result<String, Fault> {
        let offset = self.offset();
        let mut bytes = self.open_string()?;
        let mut text = Vec::with_capacity(bytes.length_in_buffer());
        bytes.read_to_end(&mut text).map_err(unwrap_fault)?;
        String::from_utf8(text).map_err(|_| Fault::Syntax {
            offset,
            expected: "UTF-8 text",
        })
    }

    /// The text of a string, without what goes beyond `most` bytes.
    pub(crate) fn string_cut(&mut self, most: usize) -> Result<String, Fault> {
        let mut text = Vec::new();
        let mut bytes = self.open_string()?;
        bytes
            .by_ref()
            .take(most as u64)
            .read_to_end(&mut text)
            .map_err(unwrap_fault)?;
        bytes.finish()?;
        // A cut may go through the middle of a character.
        while let Err(fault) = std::str::from_utf8(&text) {
            text.truncate(fault.valid_up_to());
        }
        Ok(String::from_utf8(text).unwrap_or_default())
    }

    /// The text of a string as it streams by; it must be read to its end or given to [`StringBytes::finish`].
    pub(crate) fn open_string(&mut self) -> Result<StringBytes<'_, R>, Fault> {
        self.skip_blanks()?;
        self.byte(b'"', "a string")?;
        Ok(StringBytes::new(self))
    }

    /// A number, digit for digit.
    pub(crate) fn number(&mut self) -> Result<String, Fault> {
        self.skip_blanks()?;
        let mut text = String::new();
        if self.peek()? == Some(b'-') {
            self.take(&mut text)?;
        }
        match self.peek()? {
            Some(b'0') => self.take(&mut text)?,
            Some(b'1'..=b'9') => self.digits(&mut text)?,
            _ => return Err(self.expected("a digit")),
        }
        if self.peek()? == Some(b'.') {
            self.take(&mut text)?;
            self.digits(&mut text)?;
        }
        if matches!(self.peek()?, Some(b'e' | b'E')) {
            self.take(&mut text)?;
            if matches!(self.peek()?, Some(b'+' | b'-')) {
                self.take(&mut text)?;
            }
            self.digits(&mut text)?;
        }
        Ok(text)
    }

    /// Reads a value of any kind and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        match self.kind()? {
            Kind::Object => {
                let mut members = self.open_object()?;
                while self.next_member(&mut members)?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::Array => {
                let mut items = self.open_array()?;
                while self.next_item(&mut items)? {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::String => self.open_string()?.finish(),
            Kind::Number => self.number().map(drop),
            Kind::Bool | Kind::Null => self.word().map(drop),
        }
    }

    /// Writes a value of any kind to `out`, without blanks, keys in their order, numbers digit for digit.
    pub(crate) fn copy(&mut self, out: &mut String) -> Result<(), Fault> {
        match self.kind()? {
            Kind::Object => {
                let mut members = self.open_object()?;
                let mut separator = '{';
                while let Some(key) = self.next_member(&mut members)? {
                    out.push(separator);
                    push_string(out, &key);
                    out.push(':');
                    self.copy(out)?;
                    separator = ',';
                }
                out.push_str(if separator == '{' { "{}" } else { "}" });
            }
            Kind::Array => {
                let mut items = self.open_array()?;
                let mut separator = '[';
                while self.next_item(&mut items)? {
                    out.push(separator);
                    self.copy(out)?;
                    separator = ',';
                }
                out.push_str(if separator == '[' { "[]" } else { "]" });
            }
            Kind::String => push_string(out, &self.string()?),
            Kind::Number => out.push_str(&self.number()?),
            Kind::Bool | Kind::Null => out.push_str(self.word()?),
        }
        Ok(())
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.skip_blanks()?;
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the document")),
        }
    }

    fn word(&mut self) -> Result<&'static str, Fault> {
        let word = match self.peek()? {
            Some(b't') => "true",
            Some(b'f') => "false",
            _ => "null",
        };
        for byte in word.bytes() {
            self.byte(byte, "true, false or null")?;
        }
        Ok(word)
    }

    fn digits(&mut self, text: &mut String) -> Result<(), Fault> {
        if !matches!(self.peek()?, Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        while matches!(self.peek()?, Some(b'0'..=b'9')) {
            self.take(text)?;
        }
        Ok(())
    }

    fn take(&mut self, text: &mut String) -> Result<(), Fault> {
        if let Some(byte) = self.peek()? {
            if text.len() == LONGEST_NUMBER {
                return Err(self.expected("a shorter number"));
            }
            text.push(char::from(byte));
            self.at += 1;
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(self.expected("less nesting"))
        } else {
            Ok(())
        }
    }

    /// Past the closing bracket that is at the current place.
    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn byte(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek()? != Some(byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_blanks(&mut self) -> Result<(), Fault> {
        while matches!(self.peek()?, Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        if self.at == self.filled && self.fill().map_err(unwrap_fault)? == 0 {
            return Ok(None);
        }
        Ok(Some(self.buffer[self.at]))
    }

    fn fill(&mut self) -> io::Result<usize> {
        loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.before += self.filled as u64;
                    self.at = 0;
                    self.filled = count;
                    return Ok(count);
                }
            }
        }
    }

    fn expected(&self, expected: &'static str) -> Fault {
        Fault::Syntax {
            offset: self.offset(),
            expected,
        }
    }
}

/// A fault that went through [`Read`] comes back as itself.
pub(crate) fn unwrap_fault(error: io::Error) -> Fault {
    match error.downcast::<Fault>() {
        Ok(fault) => fault,
        Err(error) => Fault::Input(error),
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // Nearly all of it is copied as it is, so it goes in pieces and not by characters.
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    while let Some(at) = rest.as_bytes().iter().position(is_special) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(quoted @ ('"' | '\\')) => out.extend(['\\', quoted]),
            Some(control) => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    let digit = (control as u32 >> shift) & 0xF;
                    out.extend(char::from_digit(digit, 16));
                }
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests;
