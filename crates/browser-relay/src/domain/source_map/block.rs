//! Tokens as rows: at most 64 of them in the order of the generated code, as small numbers.
//!
//! Each token is a tag byte and varints: how many lines further it is, its column (from the token before on the same
//! line, else from 0), and the differences of its source, line, column and name to those of the token before. A block
//! stays under 900 bytes, because SQLite keeps such a row in its page instead of a chain of overflow pages.

use super::{Original, Token};

const MOST_TOKENS: usize = 64;
/// One token has at most 31 bytes, so that a block of less than this many has at most 890 after one more.
const FULL: usize = 860;

const MAPPED: u8 = 1;
const NAMED: u8 = 2;
const NEW_LINE: u8 = 4;

/// Collects tokens, which must come in order, into blocks.
#[derive(Default)]
pub(super) struct BlockWriter {
    data: Vec<u8>,
    count: usize,
    first: Token,
    line: u32,
    column: u32,
    last: Original,
}

/// A block and the place of its first token, its key.
pub(crate) struct Block<'b> {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) data: &'b [u8],
}

impl BlockWriter {
    /// Takes a token; `write` gets the block that was full before it.
    pub(super) fn push<E>(
        &mut self,
        token: Token,
        write: impl FnOnce(Block<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.count == MOST_TOKENS || self.data.len() >= FULL {
            self.finish(write)?;
        }
        if self.count == 0 {
            self.first = token;
            self.line = token.line;
            self.column = 0;
            self.last = Original::default();
        }
        self.count += 1;
        let new_line = token.line > self.line;
        let name = token.original.and_then(|original| original.name);
        self.data.push(
            if token.original.is_some() { MAPPED } else { 0 }
                | if name.is_some() { NAMED } else { 0 }
                | if new_line { NEW_LINE } else { 0 },
        );
        if new_line {
            put(&mut self.data, u64::from(token.line - self.line));
            self.column = 0;
        }
        put(
            &mut self.data,
            u64::from(token.column.wrapping_sub(self.column)),
        );
        self.line = token.line;
        self.column = token.column;
        if let Some(original) = token.original {
            put_difference(&mut self.data, original.source, self.last.source);
            put_difference(&mut self.data, original.line, self.last.line);
            put_difference(&mut self.data, original.column, self.last.column);
            if let Some(name) = name {
                put_difference(&mut self.data, name, self.last.name.unwrap_or_default());
            }
            self.last = Original {
                name: name.or(self.last.name),
                ..original
            };
        }
        Ok(())
    }

    /// Gives away what is left, if anything.
    pub(super) fn finish<E>(
        &mut self,
        write: impl FnOnce(Block<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.count > 0 {
            write(Block {
                line: self.first.line,
                column: self.first.column,
                data: &self.data,
            })?;
        }
        self.count = 0;
        self.data.clear();
        Ok(())
    }
}

/// The last token of a block, whose first is on `first_line`, that is on `line` and not after `column`. A damaged
/// block has no tokens after the damage.
pub(crate) fn find(data: &[u8], first_line: u32, line: u32, column: u32) -> Option<Token> {
    let mut found = None;
    for token in Tokens::new(data, first_line) {
        if (token.line, token.column) > (line, column) {
            break;
        }
        if token.line == line {
            found = Some(token);
        }
    }
    found
}

/// Reads the tokens of a block.
struct Tokens<'b> {
    data: &'b [u8],
    line: u32,
    column: u32,
    last: Original,
}

impl<'b> Tokens<'b> {
    fn new(data: &'b [u8], first_line: u32) -> Self {
        Self {
            data,
            line: first_line,
            column: 0,
            last: Original::default(),
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let (&tag, rest) = self.data.split_first()?;
        self.data = rest;
        if tag & NEW_LINE != 0 {
            self.line = self.line.wrapping_add(take(&mut self.data)? as u32);
            self.column = 0;
        }
        self.column = self.column.wrapping_add(take(&mut self.data)? as u32);
        let mut original = None;
        if tag & MAPPED != 0 {
            self.last.source = take_difference(&mut self.data, self.last.source)?;
            self.last.line = take_difference(&mut self.data, self.last.line)?;
            self.last.column = take_difference(&mut self.data, self.last.column)?;
            let mut named = Original {
                name: None,
                ..self.last
            };
            if tag & NAMED != 0 {
                self.last.name = Some(take_difference(
                    &mut self.data,
                    self.last.name.unwrap_or_default(),
                )?);
                named.name = self.last.name;
            }
            original = Some(named);
        }
        Some(Token {
            line: self.line,
            column: self.column,
            original,
        })
    }
}

/// LEB128, least significant group first.
pub(super) fn put(data: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        data.push(value as u8 | 0x80);
        value >>= 7;
    }
    data.push(value as u8);
}

/// Reads what [`put`] wrote.
pub(super) fn take(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Differences of either sign: the sign goes to the lowest bit.
fn put_difference(data: &mut Vec<u8>, value: u32, before: u32) {
    let difference = i64::from(value) - i64::from(before);
    put(data, ((difference << 1) ^ (difference >> 63)) as u64);
}

fn take_difference(data: &mut &[u8], before: u32) -> Option<u32> {
    let coded = take(data)?;
    let difference = (coded >> 1) as i64 ^ -((coded & 1) as i64);
    u32::try_from(i64::from(before).checked_add(difference)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(tokens: &[Token]) -> Vec<(u32, u32, Vec<u8>)> {
        let mut blocks = Vec::new();
        let mut write = |block: Block<'_>| -> Result<(), ()> {
            blocks.push((block.line, block.column, block.data.to_vec()));
            Ok(())
        };
        let mut writer = BlockWriter::default();
        for &token in tokens {
            writer.push(token, &mut write).unwrap();
        }
        writer.finish(&mut write).unwrap();
        blocks
    }

    fn token() -> impl Strategy<Value = Token> {
        let number = prop_oneof![0..50_u32, any::<u32>()];
        let original = (
            number.clone(),
            number.clone(),
            number.clone(),
            proptest::option::of(number),
        )
            .prop_map(|(source, line, column, name)| Original {
                source,
                line,
                column,
                name,
            });
        let place = prop_oneof![(0..20_u32, 0..200_u32), (any::<u32>(), any::<u32>())];
        (place, proptest::option::of(original)).prop_map(|((line, column), original)| Token {
            line,
            column,
            original,
        })
    }

    proptest! {
        #[test]
        fn blocks_hold_what_was_put_in_and_stay_small(mut tokens in prop::collection::vec(token(), 0..400)) {
            tokens.sort_by_key(|token| (token.line, token.column));
            tokens.dedup_by_key(|token| (token.line, token.column));
            let blocks = blocks(&tokens);
            let mut read = Vec::new();
            for (line, column, data) in &blocks {
                prop_assert!(data.len() < 900);
                let before = read.len();
                read.extend(Tokens::new(data, *line));
                prop_assert!(read.len() - before <= MOST_TOKENS);
                prop_assert_eq!((read[before].line, read[before].column), (*line, *column));
            }
            prop_assert_eq!(read, tokens);
        }

        #[test]
        fn damaged_blocks_are_read_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..200), line: u32, column: u32) {
            find(&data, 3, line, column);
        }
    }

    #[test]
    fn only_tokens_on_the_asked_line_count() {
        let original = |line| {
            Some(Original {
                source: 0,
                line,
                column: 0,
                name: None,
            })
        };
        let tokens = [
            Token {
                line: 0,
                column: 5,
                original: original(1),
            },
            Token {
                line: 0,
                column: 9,
                original: None,
            },
            Token {
                line: 2,
                column: 4,
                original: original(2),
            },
        ];
        let block = &blocks(&tokens)[0];
        let find = |line, column| find(&block.2, block.0, line, column);
        assert_eq!(find(0, 4), None);
        assert_eq!(find(0, 5), Some(tokens[0]));
        assert_eq!(find(0, 8), Some(tokens[0]));
        assert_eq!(find(0, 1000), Some(tokens[1]));
        assert_eq!(find(1, 1000), None);
        assert_eq!(find(2, 3), None);
        assert_eq!(find(2, 4), Some(tokens[2]));
    }
}
