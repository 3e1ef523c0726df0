//! Cells of a table that another program wrote, or that people edited: of whatever type.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Reads the cells of a row, and knows whether one was not what it should be.
#[derive(Debug)]
pub struct Cells<'r> {
    row: &'r Row<'r>,
    /// Whether some text had to be mended.
    pub mended: bool,
}

impl<'r> Cells<'r> {
    /// The cells of a row.
    pub fn of(row: &'r Row<'r>) -> Self {
        Self { row, mended: false }
    }

    /// A text, a number as text; bytes that are no UTF-8 become replacement characters.
    pub fn text(&mut self, column: usize) -> rusqlite::Result<Option<String>> {
        Ok(match self.row.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                self.mended |= matches!(text, std::borrow::Cow::Owned(_));
                Some(text.into_owned())
            }
        })
    }

    /// A text that is cut after so many characters.
    pub fn short_text(&mut self, column: usize, chars: usize) -> rusqlite::Result<String> {
        let mut text = self.text(column)?.unwrap_or_default();
        if let Some((end, _)) = text.char_indices().nth(chars) {
            text.truncate(end);
            self.mended = true;
        }
        Ok(text)
    }

    /// A whole number; `None` for anything else.
    pub fn integer(&self, column: usize) -> rusqlite::Result<Option<i64>> {
        Ok(match self.row.get_ref(column)? {
            ValueRef::Integer(number) => Some(number),
            _ => None,
        })
    }

    /// Unix milliseconds of a time as SQLite writes it, or with a zone.
    pub fn time(&self, column: usize) -> rusqlite::Result<Option<i64>> {
        let ValueRef::Text(bytes) = self.row.get_ref(column)? else {
            return Ok(None);
        };
        Ok(str::from_utf8(bytes).ok().and_then(|text| {
            let zoned = text.parse::<Timestamp>();
            let time = zoned.or_else(|_| {
                let utc: DateTime = text.parse()?;
                Ok::<_, jiff::Error>(utc.to_zoned(TimeZone::UTC)?.timestamp())
            });
            Some(time.ok()?.as_millisecond())
        }))
    }
}
