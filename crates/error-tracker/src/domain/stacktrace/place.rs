//! `file:line` and `file:line:column`, which most runtimes write in some way.

/// Letters that count as blanks in a trace.
pub(super) const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'t> {
    pub(super) file: &'t str,
    pub(super) line: u32,
    pub(super) column: Option<u32>,
}

impl<'t> Place<'t> {
    /// Reads a place; the file is what is left before one number or two.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let (before, last) = colon_number(text.trim_matches(BLANKS))?;
        Some(match colon_number(before) {
            Some((file, line)) => Self {
                file,
                line,
                column: Some(last),
            },
            None => Self {
                file: before,
                line: last,
                column: None,
            },
        })
    }

    /// Whether the file can be one. `ratio 3:2` and `10:30` have no letter of a path.
    pub(super) fn has_path(&self) -> bool {
        self.file
            .bytes()
            .any(|byte| matches!(byte, b'/' | b'\\' | b'.' | b':' | b'<'))
    }
}

/// Splits `<something>:<digits>` at its last colon.
pub(super) fn colon_number(text: &str) -> Option<(&str, u32)> {
    let (before, digits) = text.rsplit_once(':')?;
    let number = number(digits)?;
    (!before.is_empty()).then_some((before, number))
}

/// Decimal digits, at least one; a number too big for lines is the biggest one.
pub(super) fn number(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// The number at the beginning of `text`, and what follows.
pub(super) fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((number(digits)?, rest))
}
