//! A text with cheap looks at single bytes. Out of range is a zero byte, which matches nothing.

use super::PLACEHOLDERS;

#[derive(Clone, Copy)]
pub(super) struct Text<'t>(pub(super) &'t str);

/// A run of letters and digits.
pub(super) struct Word {
    pub(super) end: usize,
    /// Where the digits begin that are left out of a word such as `user10042`.
    pub(super) trailing_digits: Option<usize>,
    length: usize,
    digits: usize,
    /// How often a letter follows a digit or a digit a letter.
    turns: usize,
    ascii: bool,
    hexadecimal: bool,
}

impl Word {
    /// Short enough and made for the beginning of an address.
    pub(super) fn is_hexadecimal(&self) -> bool {
        self.hexadecimal && self.length <= 8
    }

    /// A hash, a short hexadecimal id, or letters and digits without a pattern.
    pub(super) fn is_id(&self) -> bool {
        let letters = self.length - self.digits;
        let hexadecimal = self.hexadecimal
            && letters > 0
            && (self.length >= 16 || self.digits > 0 && self.length >= 7);
        hexadecimal || self.ascii && self.turns >= 4 && self.length >= 8
    }
}

impl<'t> Text<'t> {
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn byte(self, at: usize) -> u8 {
        self.0.as_bytes().get(at).copied().unwrap_or(0)
    }

    pub(super) fn is_digit(self, at: usize) -> bool {
        self.byte(at).is_ascii_digit()
    }

    /// The text from `at` on; nothing when that is no border of characters.
    pub(super) fn from(self, at: usize) -> &'t str {
        self.0.get(at..).unwrap_or_default()
    }

    pub(super) fn between(self, from: usize, to: usize) -> &'t str {
        self.0.get(from..to).unwrap_or_default()
    }

    pub(super) fn starts_with(self, at: usize, prefix: &str) -> bool {
        self.0
            .as_bytes()
            .get(at..)
            .is_some_and(|rest| rest.starts_with(prefix.as_bytes()))
    }

    pub(super) fn is_letter_or_digit(self, at: usize) -> bool {
        match self.byte(at) {
            byte @ 0..0x80 => byte.is_ascii_alphanumeric(),
            _ => self.letter(at).is_some_and(char::is_alphanumeric),
        }
    }

    /// Whether a word begins or goes on here. A placeholder counts as the word it stands for.
    pub(super) fn word_at(self, at: usize) -> bool {
        self.is_letter_or_digit(at) || self.placeholder(at).is_some()
    }

    pub(super) fn placeholder(self, at: usize) -> Option<&'static str> {
        if self.byte(at) != b'<' {
            return None;
        }
        PLACEHOLDERS
            .into_iter()
            .find(|name| self.starts_with(at, name))
    }

    pub(super) fn digits_end(self, mut at: usize) -> usize {
        while self.is_digit(at) {
            at += 1;
        }
        at
    }

    /// The number written with one to `most` digits at `at`, and where it ends. `None` also when
    /// more digits follow.
    pub(super) fn number(self, at: usize, most: usize) -> Option<(u32, usize)> {
        let mut value = 0;
        let mut end = at;
        while end < at + most && self.is_digit(end) {
            value = value * 10 + u32::from(self.byte(end) - b'0');
            end += 1;
        }
        (end > at && !self.is_digit(end)).then_some((value, end))
    }

    /// As [`number`](Self::number), with exactly `count` digits.
    pub(super) fn digits(self, at: usize, count: usize) -> Option<u32> {
        self.number(at, count)
            .filter(|(_, end)| *end == at + count)
            .map(|(value, _)| value)
    }

    /// The run of letters and digits that begins at `start`, at least one.
    pub(super) fn word(self, start: usize) -> Word {
        let mut word = Word {
            end: start,
            trailing_digits: None,
            length: 0,
            digits: 0,
            turns: 0,
            ascii: true,
            hexadecimal: true,
        };
        let mut small_letters = 0;
        loop {
            let byte = self.byte(word.end);
            let bytes = match byte {
                0..0x80 if byte.is_ascii_alphanumeric() => 1,
                0..0x80 => break,
                _ => match self.letter(word.end) {
                    Some(letter) if letter.is_alphanumeric() => letter.len_utf8(),
                    _ => break,
                },
            };
            let digit = byte.is_ascii_digit();
            if word.length > 0 && digit != self.is_digit(word.end - 1) {
                word.turns += 1;
            }
            word.ascii &= byte.is_ascii();
            word.hexadecimal &= byte.is_ascii_hexdigit();
            word.digits += usize::from(digit);
            small_letters += usize::from(byte.is_ascii_lowercase());
            word.length += 1;
            word.end += bytes;
        }
        let small_then_digits = word.turns == 1
            && small_letters >= 2
            && small_letters + word.digits == word.length
            && !self.is_digit(start);
        if small_then_digits && word.digits >= 3 {
            word.trailing_digits = Some(word.end - word.digits);
        }
        word
    }

    fn letter(self, at: usize) -> Option<char> {
        self.from(at).chars().next()
    }
}
