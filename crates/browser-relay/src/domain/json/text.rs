//! Strings of a document as they stream by.

use std::io::{self, Read};

use super::{Fault, Json, LoneSurrogate, unwrap_fault};

/// The text of one string of the document, unescaped.
pub(crate) struct StringBytes<'j, R> {
    json: &'j mut Json<R>,
    /// A high surrogate whose partner should come next.
    high: Option<u32>,
    /// UTF-8 of what escapes stood for, until the caller's buffer takes it.
    pending: [u8; 8],
    pending_at: usize,
    pending_end: usize,
    done: bool,
}

/// What an escape stands for.
enum Escape {
    Character(char),
    Surrogate(u32),
}

impl<'j, R: Read> StringBytes<'j, R> {
    /// For a reader just behind an opening quote.
    pub(super) fn new(json: &'j mut Json<R>) -> Self {
        Self {
            json,
            high: None,
            pending: [0; 8],
            pending_at: 0,
            pending_end: 0,
            done: false,
        }
    }

    /// At least as many bytes as the text has, if it ends in the buffer; else those of it that are there.
    pub(super) fn length_in_buffer(&self) -> usize {
        let rest = &self.json.buffer[self.json.at..self.json.filled];
        let mut escaped = false;
        let ends = |byte: &u8| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        };
        rest.iter().position(ends).unwrap_or(rest.len())
    }

    /// Reads what is left and forgets it.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        let mut scratch = [0; 1024];
        while self.read(&mut scratch).map_err(unwrap_fault)? > 0 {}
        Ok(())
    }

    /// Handles what stands at the current place: the closing quote, an escape, or plain text, of which as much as
    /// fits goes to `out`.
    fn step(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        match self.json.peek()? {
            None => Err(self.json.expected("a closing quote")),
            Some(b'\\') => {
                self.json.at += 1;
                let escape = self.escape()?;
                self.unescape(escape)?;
                Ok(0)
            }
            Some(_) if self.high.is_some() => {
                self.high = None;
                self.lone()?;
                Ok(0)
            }
            Some(b'"') => {
                self.json.at += 1;
                self.done = true;
                Ok(0)
            }
            Some(byte) if byte < b' ' => {
                Err(self.json.expected("a control character as an escape"))
            }
            Some(_) => {
                let text = &self.json.buffer[self.json.at..self.json.filled];
                let text = &text[..text.len().min(out.len())];
                let plain = |byte: &u8| *byte != b'"' && *byte != b'\\' && *byte >= b' ';
                let length = text
                    .iter()
                    .position(|byte| !plain(byte))
                    .unwrap_or(text.len());
                out[..length].copy_from_slice(&text[..length]);
                self.json.at += length;
                Ok(length)
            }
        }
    }

    fn escape(&mut self) -> Result<Escape, Fault> {
        let byte = match self.json.peek()? {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.json.at += 1;
                let unit = self.hex4()?;
                return Ok(char::from_u32(unit).map_or(Escape::Surrogate(unit), Escape::Character));
            }
            _ => return Err(self.json.expected("an escape")),
        };
        self.json.at += 1;
        Ok(Escape::Character(char::from(byte)))
    }

    fn unescape(&mut self, escape: Escape) -> Result<(), Fault> {
        match (self.high.take(), escape) {
            (Some(high), Escape::Surrogate(low)) if low >= 0xDC00 => {
                let point = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                self.pend(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (Some(_), escape) => {
                self.lone()?;
                self.unescape(escape)?;
            }
            (None, Escape::Character(character)) => self.pend(character),
            (None, Escape::Surrogate(unit)) if unit < 0xDC00 => self.high = Some(unit),
            (None, Escape::Surrogate(_)) => self.lone()?,
        }
        Ok(())
    }

    fn lone(&mut self) -> Result<(), Fault> {
        if self.json.lone_surrogate == LoneSurrogate::Refuse {
            return Err(self.json.expected("a pair of surrogates"));
        }
        self.pend(char::REPLACEMENT_CHARACTER);
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self
                .json
                .peek()?
                .and_then(|byte| char::from(byte).to_digit(16));
            unit =
                unit * 16 + digit.ok_or_else(|| self.json.expected("four hexadecimal digits"))?;
            self.json.at += 1;
        }
        Ok(unit)
    }

    /// At most two characters, seven bytes, are pending at once: a replacement and what followed it.
    fn pend(&mut self, character: char) {
        let mut utf8 = [0; 4];
        for byte in character.encode_utf8(&mut utf8).bytes() {
            self.pending[self.pending_end] = byte;
            self.pending_end += 1;
        }
    }

    fn give_pending(&mut self, out: &mut [u8]) -> usize {
        let pending = &self.pending[self.pending_at..self.pending_end];
        let length = pending.len().min(out.len());
        out[..length].copy_from_slice(&pending[..length]);
        self.pending_at += length;
        if self.pending_at == self.pending_end {
            self.pending_at = 0;
            self.pending_end = 0;
        }
        length
    }
}

impl<R: Read> Read for StringBytes<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while length < out.len() {
            if self.pending_end > 0 {
                length += self.give_pending(&mut out[length..]);
            } else if self.done {
                break;
            } else {
                length += self.step(&mut out[length..]).map_err(|fault| match fault {
                    Fault::Input(error) => error,
                    fault @ Fault::Syntax { .. } => {
                        io::Error::new(io::ErrorKind::InvalidData, fault)
                    }
                })?;
            }
        }
        Ok(length)
    }
}
