//! The `mappings` of a map, character by character.
//!
//! Segments of 1, 4 or 5 base64 VLQ numbers are parted by `,` and lines by `;` (ECMA-426, section "Mappings structure").
//! Nothing is kept but the running sums, each of which must stay between 0 and 2^32.

use super::{MapFault, Original, Token};

/// How many sources and names a segment may point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) sources: u32,
    pub(super) names: u32,
}

/// What a character completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Nothing,
    Token(Token),
    /// A `;`, with the token that ended at it.
    Line(Option<Token>),
}

pub(super) struct Mappings {
    counts: Counts,
    /// Of the next character.
    offset: u64,
    line: u32,
    column: i64,
    source: i64,
    original_line: i64,
    original_column: i64,
    name: i64,
    fields: [i64; 5],
    field: usize,
    value: u64,
    shift: u32,
}

impl Mappings {
    pub(super) fn new(counts: Counts) -> Self {
        Self {
            counts,
            offset: 0,
            line: 0,
            column: 0,
            source: 0,
            original_line: 0,
            original_column: 0,
            name: 0,
            fields: [0; 5],
            field: 0,
            value: 0,
            shift: 0,
        }
    }

    /// The line of the generated code that is being read.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<Event, MapFault> {
        let event = match byte {
            b',' => self.segment()?.map_or(Event::Nothing, Event::Token),
            b';' => {
                let token = self.segment()?;
                self.line = self
                    .line
                    .checked_add(1)
                    .ok_or_else(|| self.fault("too many lines"))?;
                self.column = 0;
                Event::Line(token)
            }
            _ => {
                self.digit(byte)?;
                Event::Nothing
            }
        };
        self.offset += 1;
        Ok(event)
    }

    /// The token that the end of the mappings completed.
    pub(super) fn finish(&mut self) -> Result<Option<Token>, MapFault> {
        self.segment()
    }

    fn digit(&mut self, byte: u8) -> Result<(), MapFault> {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(self.fault("a character that is no base64 digit")),
        };
        if self.field == self.fields.len() {
            return Err(self.fault("a segment of more than 5 numbers"));
        }
        // 7 digits hold 35 bits; a number that needs more is hostile, as no sum may leave 32 bits.
        if self.shift >= 35 {
            return Err(self.fault("a number of more than 32 bits"));
        }
        self.value |= u64::from(digit & 31) << self.shift;
        self.shift += 5;
        if digit & 32 == 0 {
            let magnitude = (self.value >> 1) as i64;
            self.fields[self.field] = if self.value & 1 == 1 {
                -magnitude
            } else {
                magnitude
            };
            self.field += 1;
            self.value = 0;
            self.shift = 0;
        }
        Ok(())
    }

    fn segment(&mut self) -> Result<Option<Token>, MapFault> {
        if self.shift > 0 {
            return Err(self.fault("a number that is cut off"));
        }
        let count = std::mem::take(&mut self.field);
        let fields = self.fields;
        if count == 0 {
            return Ok(None);
        }
        self.column += fields[0];
        let column = self.sum(self.column, "column", u32::MAX)?;
        if count == 1 {
            return Ok(Some(Token {
                line: self.line,
                column,
                original: None,
            }));
        }
        if count < 4 {
            return Err(self.fault("a segment of 2 or 3 numbers"));
        }
        self.source += fields[1];
        self.original_line += fields[2];
        self.original_column += fields[3];
        if self.counts.sources == 0 {
            return Err(self.fault("a source where the map has none"));
        }
        let mut original = Original {
            source: self.sum(self.source, "source", self.counts.sources - 1)?,
            line: self.sum(self.original_line, "original line", u32::MAX)?,
            column: self.sum(self.original_column, "original column", u32::MAX)?,
            name: None,
        };
        if count == 5 {
            self.name += fields[4];
            if self.counts.names == 0 {
                return Err(self.fault("a name where the map has none"));
            }
            original.name = Some(self.sum(self.name, "name", self.counts.names - 1)?);
        }
        Ok(Some(Token {
            line: self.line,
            column,
            original: Some(original),
        }))
    }

    fn sum(&self, sum: i64, what: &str, most: u32) -> Result<u32, MapFault> {
        u32::try_from(sum)
            .ok()
            .filter(|sum| *sum <= most)
            .ok_or_else(|| self.fault(&format!("{what} {sum}, outside 0 to {most},")))
    }

    fn fault(&self, what: &str) -> MapFault {
        MapFault::at(format!("mappings have {what} at character {}", self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, counts: Counts) -> Result<Vec<Token>, String> {
        let mut mappings = Mappings::new(counts);
        let mut tokens = Vec::new();
        for byte in text.bytes() {
            match mappings.push(byte).map_err(|fault| fault.to_string())? {
                Event::Token(token) | Event::Line(Some(token)) => tokens.push(token),
                Event::Nothing | Event::Line(None) => {}
            }
        }
        tokens.extend(mappings.finish().map_err(|fault| fault.to_string())?);
        Ok(tokens)
    }

    /// Line, column, and source, line, column and name.
    type Place = (u32, u32, Option<(u32, u32, u32, Option<u32>)>);

    #[track_caller]
    fn check(text: &str, expected: &[Place]) {
        let tokens = read(
            text,
            Counts {
                sources: 3,
                names: 3,
            },
        )
        .unwrap();
        let tokens: Vec<_> = tokens
            .iter()
            .map(|t| {
                (
                    t.line,
                    t.column,
                    t.original.map(|o| (o.source, o.line, o.column, o.name)),
                )
            })
            .collect();
        assert_eq!(tokens, expected, "{text}");
    }

    #[test]
    fn segments() {
        check("", &[]);
        check(";;,,;", &[]);
        check("AAAA", &[(0, 0, Some((0, 0, 0, None)))]);
        check(
            "AAAAA,CACCC;E",
            &[
                (0, 0, Some((0, 0, 0, Some(0)))),
                (0, 1, Some((0, 1, 1, Some(1)))),
                (1, 2, None),
            ],
        );
        check(
            "gBAAA,FAAA",
            &[
                (0, 16, Some((0, 0, 0, None))),
                (0, 14, Some((0, 0, 0, None))),
            ],
        );
    }

    #[track_caller]
    fn check_fault(text: &str, expected: &str) {
        let fault = read(
            text,
            Counts {
                sources: 1,
                names: 0,
            },
        )
        .unwrap_err();
        assert!(
            fault.starts_with("Invalid source map format: ") && fault.contains(expected),
            "{text}: {fault}"
        );
    }

    #[test]
    fn hostile_mappings_name_the_place() {
        check_fault("!!!", "no base64 digit at character 0");
        check_fault("AAAA,AA AA", "at character 7");
        check_fault("AAAA;é", "at character 5");
        check_fault("AA", "2 or 3 numbers at character 2");
        check_fault("AAA;", "2 or 3 numbers at character 3");
        check_fault("AAAAAA", "more than 5 numbers");
        check_fault("g", "cut off at character 1");
        check_fault("ggggggggA", "more than 32 bits at character 7");
        check_fault("AAAA,DAAA", "column -1");
        check_fault("ACAA", "source 1, outside 0 to 0");
        check_fault("ADAA", "source -1");
        check_fault("AADA", "original line -1");
        check_fault("AAAD", "original column -1");
        check_fault("AAAAA", "a name where the map has none");
        check_fault("+/////D,+/////D,+/////D", "column");
    }
}
