//! Puts the tokens of a map in order and into blocks.
//!
//! Generated columns may go back within a line, though few tools write that. The last [`WINDOW`] tokens of a line are
//! held so that a token can take its place among them; one that belongs further back is refused, as sorting a line
//! would mean keeping it, and a minified bundle is one line.

use std::collections::VecDeque;

use super::block::{Block, BlockWriter};
use super::{MapFault, Token};

/// Tokens of a line that can still change places.
const WINDOW: usize = 512;

#[derive(Default)]
pub(super) struct TokenWriter {
    window: VecDeque<Token>,
    /// The last token that went to the blocks.
    written: Option<Token>,
    blocks: BlockWriter,
    count: u64,
}

/// Why a token could not be taken: the map, or where the blocks go.
pub(super) enum Refused<E> {
    Map(MapFault),
    Sink(E),
}

impl TokenWriter {
    /// Takes a token; lines must not go back. Of two tokens for one place the later counts.
    pub(super) fn push<E>(
        &mut self,
        token: Token,
        write: &mut impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<(), Refused<E>> {
        if self
            .window
            .back()
            .is_some_and(|last| last.line < token.line)
        {
            self.flush(write)?;
        }
        if self
            .written
            .is_some_and(|written| (written.line, written.column) >= (token.line, token.column))
        {
            return Err(Refused::Map(MapFault::at(format!(
                "mappings of generated line {} go back to column {} from more than {WINDOW} segments further",
                token.line, token.column
            ))));
        }
        let place = self
            .window
            .iter()
            .rposition(|held| held.column <= token.column)
            .map_or(0, |before| before + 1);
        match place
            .checked_sub(1)
            .and_then(|before| self.window.get_mut(before))
        {
            Some(held) if held.column == token.column => *held = token,
            _ => self.window.insert(place, token),
        }
        if self.window.len() > WINDOW
            && let Some(first) = self.window.pop_front()
        {
            self.write(first, write)?;
        }
        Ok(())
    }

    /// Writes what is still held and returns the number of tokens.
    pub(super) fn finish<E>(
        mut self,
        write: &mut impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<u64, Refused<E>> {
        self.flush(write)?;
        self.blocks.finish(write).map_err(Refused::Sink)?;
        Ok(self.count)
    }

    fn flush<E>(
        &mut self,
        write: &mut impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<(), Refused<E>> {
        while let Some(token) = self.window.pop_front() {
            self.write(token, write)?;
        }
        Ok(())
    }

    fn write<E>(
        &mut self,
        token: Token,
        write: &mut impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<(), Refused<E>> {
        self.written = Some(token);
        self.count += 1;
        self.blocks.push(token, write).map_err(Refused::Sink)
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::find;
    use super::*;

    /// Tokens and blocks, each with its first column.
    type Written = (u64, Vec<(u32, Vec<u8>)>);

    fn written(columns: impl IntoIterator<Item = u32>) -> Result<Written, String> {
        let mut blocks = Vec::new();
        let mut write = |block: Block<'_>| -> Result<(), ()> {
            blocks.push((block.column, block.data.to_vec()));
            Ok(())
        };
        let mut writer = TokenWriter::default();
        let mut result = Ok(());
        for column in columns {
            result = result.and(writer.push(
                Token {
                    line: 0,
                    column,
                    original: None,
                },
                &mut write,
            ));
        }
        match result.and_then(|()| writer.finish(&mut write)) {
            Ok(count) => Ok((count, blocks)),
            Err(Refused::Map(fault)) => Err(fault.to_string()),
            Err(Refused::Sink(())) => Err("sink".to_owned()),
        }
    }

    #[test]
    fn a_little_disorder_is_sorted() {
        let (count, blocks) = written([10, 30, 20, 0, 20, 40]).unwrap();
        assert_eq!((count, blocks.len()), (5, 1));
        for (asked, found) in [(0, 0), (15, 10), (25, 20), (39, 30), (99, 40)] {
            assert_eq!(
                find(&blocks[0].1, 0, 0, asked).map(|token| token.column),
                Some(found)
            );
        }
    }

    #[test]
    fn a_line_backwards_is_refused_when_it_is_long() {
        let (count, blocks) = written((0..512).rev()).unwrap();
        assert_eq!((count, blocks.len(), blocks[0].0), (512, 8, 0));
        let fault = written((0..2000).rev()).unwrap_err();
        assert!(
            fault.contains("generated line 0 go back to column"),
            "{fault}"
        );
    }

    #[test]
    fn one_place_has_one_token_even_across_blocks() {
        let (count, blocks) = written(std::iter::repeat_n(7, 1000)).unwrap();
        assert_eq!((count, blocks.len()), (1, 1));
    }
}
