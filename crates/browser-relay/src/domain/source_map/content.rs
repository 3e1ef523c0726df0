//! The original text of a source as rows: some lines each, so that a few lines are read without the whole text.
//!
//! And the functions around them, as blocks of breakpoints ([`function_scopes`](super::super::function_scopes)).

use std::ops::Range;

use super::super::function_scopes::{Breakpoint, Scanner};
use super::block::{put, take};

/// A row is given away at the end of the line that brings it to this many bytes.
const CHUNK: usize = 4096;
/// Characters of a line that are kept; longer lines are generated and say nothing to a reader.
const LONGEST_LINE: usize = 500;
/// A block of breakpoints is given away when it has this many bytes; one more takes at most 135.
const FULL: usize = 700;

/// Part of a source's text or of its functions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'p> {
    /// Whole lines from `line` (from 0), parted by `\n`, without one at the end.
    Text { line: u32, text: &'p str },
    /// Breakpoints, the first of which is at this place.
    Functions {
        line: u32,
        column: u32,
        data: &'p [u8],
    },
}

/// Takes the text of one source character by character and gives away parts.
pub(super) struct ContentWriter {
    scanner: Scanner,
    functions: Functions,
    text: String,
    first_line: u32,
    line: u32,
    length: usize,
}

#[derive(Default)]
struct Functions {
    data: Vec<u8>,
    /// Place of the first breakpoint in the block.
    first: (u32, u32),
    last_line: u32,
    /// Held back, because another at the same place would take its place.
    held: Option<Breakpoint>,
}

impl ContentWriter {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            functions: Functions::default(),
            text: String::new(),
            first_line: 0,
            line: 0,
            length: 0,
        }
    }

    pub(super) fn push<E>(
        &mut self,
        character: char,
        write: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fault = Ok(());
        let functions = &mut self.functions;
        self.scanner.push(character, &mut |breakpoint| {
            if fault.is_ok() {
                fault = functions.push(breakpoint, write);
            }
        });
        fault?;
        if character != '\n' {
            self.length += 1;
            if self.length <= LONGEST_LINE {
                self.text.push(character);
            }
            return Ok(());
        }
        if self.text.ends_with('\r') {
            self.text.pop();
        }
        self.line = self.line.saturating_add(1);
        self.length = 0;
        if self.text.len() < CHUNK {
            self.text.push('\n');
            return Ok(());
        }
        write(Part::Text {
            line: self.first_line,
            text: &self.text,
        })?;
        self.text.clear();
        self.first_line = self.line;
        Ok(())
    }

    pub(super) fn finish<E>(
        mut self,
        write: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // The scanner knows where a last word ends only by what follows it.
        let functions = &mut self.functions;
        let mut fault = Ok(());
        self.scanner.push('\n', &mut |breakpoint| {
            if fault.is_ok() {
                fault = functions.push(breakpoint, write);
            }
        });
        fault?;
        functions.finish(write)?;
        if self.text.is_empty() {
            return Ok(());
        }
        write(Part::Text {
            line: self.first_line,
            text: &self.text,
        })
    }
}

impl Functions {
    fn push<E>(
        &mut self,
        breakpoint: Breakpoint,
        write: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.held.replace(breakpoint) {
            Some(held)
                if self
                    .held
                    .as_ref()
                    .is_some_and(|next| (next.line, next.column) != (held.line, held.column)) =>
            {
                self.append(&held, write)
            }
            _ => Ok(()),
        }
    }

    fn append<E>(
        &mut self,
        breakpoint: &Breakpoint,
        write: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.data.len() >= FULL {
            self.give(write)?;
        }
        if self.data.is_empty() {
            self.first = (breakpoint.line, breakpoint.column);
            self.last_line = breakpoint.line;
        }
        put(
            &mut self.data,
            u64::from(breakpoint.line.saturating_sub(self.last_line)),
        );
        put(&mut self.data, u64::from(breakpoint.column));
        let name = breakpoint.function.as_deref().unwrap_or_default();
        put(&mut self.data, name.len() as u64);
        self.data.extend_from_slice(name.as_bytes());
        self.last_line = breakpoint.line;
        Ok(())
    }

    fn give<E>(&mut self, write: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        if !self.data.is_empty() {
            write(Part::Functions {
                line: self.first.0,
                column: self.first.1,
                data: &self.data,
            })?;
        }
        self.data.clear();
        Ok(())
    }

    fn finish<E>(&mut self, write: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        if let Some(held) = self.held.take() {
            self.append(&held, write)?;
        }
        self.give(write)
    }
}

/// The function that encloses a place, from a block whose first breakpoint is on `first_line`.
pub(crate) fn find_function(
    mut data: &[u8],
    first_line: u32,
    line: u32,
    column: u32,
) -> Option<&str> {
    let mut found = None;
    let mut at_line = first_line;
    while !data.is_empty() {
        at_line = at_line.wrapping_add(take(&mut data)? as u32);
        let at_column = take(&mut data)? as u32;
        let length = usize::try_from(take(&mut data)?).ok()?;
        let name = data.get(..length)?;
        if (at_line, at_column) > (line, column) {
            break;
        }
        found = Some(name);
        data = data.get(length..)?;
    }
    found
        .and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| !name.is_empty())
}

/// Those of the lines `wanted` that are in a row that begins with `first_line`, with their numbers.
pub(crate) fn lines(
    text: &str,
    first_line: u32,
    wanted: Range<u32>,
) -> impl Iterator<Item = (u32, &str)> {
    let begin = wanted.start.max(first_line);
    let before = usize::try_from(begin - first_line).unwrap_or(usize::MAX);
    (begin..wanted.end).zip(text.split('\n').skip(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_line(text: &str, first_line: u32, line: u32) -> Option<&str> {
        let mut found = lines(text, first_line, line..line + 1);
        found.next().map(|(_, text)| text)
    }

    type Rows = (Vec<(u32, String)>, Vec<(u32, u32, Vec<u8>)>);

    fn rows(text: &str) -> Rows {
        let (mut lines, mut functions) = (Vec::new(), Vec::new());
        let mut write = |part: Part<'_>| -> Result<(), ()> {
            match part {
                Part::Text { line, text } => lines.push((line, text.to_owned())),
                Part::Functions { line, column, data } => {
                    functions.push((line, column, data.to_vec()));
                }
            }
            Ok(())
        };
        let mut writer = ContentWriter::new();
        for character in text.chars() {
            writer.push(character, &mut write).unwrap();
        }
        writer.finish(&mut write).unwrap();
        (lines, functions)
    }

    #[test]
    fn every_line_is_found_again() {
        let line = |n| format!("line {n}{}", if n % 3 == 0 { "\r\n" } else { "\n" });
        let text = (0..2000).map(line).collect::<Vec<_>>().concat();
        let (lines, _) = rows(&text);
        assert!(lines.len() > 3);
        for n in 0..2000 {
            let (first, chunk) = lines.iter().rev().find(|(first, _)| *first <= n).unwrap();
            assert_eq!(
                find_line(chunk, *first, n),
                Some(format!("line {n}").as_str())
            );
        }
        assert_eq!(rows(""), (vec![], vec![]));
        assert_eq!(rows("a").0, [(0, "a".to_owned())]);
    }

    #[test]
    fn long_lines_are_cut() {
        let (lines, _) = rows(&format!("{}\nb", "é".repeat(5000)));
        assert_eq!(lines, [(0, format!("{}\nb", "é".repeat(500)))]);
    }

    #[test]
    fn functions_are_found_in_small_blocks() {
        let function = |n| format!("function name{n}() {{\n  body();\n}}\n");
        let text = (0..500).map(function).collect::<Vec<_>>().concat();
        let (_, functions) = rows(&text);
        assert!(functions.len() > 5 && functions.iter().all(|(.., data)| data.len() < 900));
        for n in 0..500 {
            let place = (3 * n + 1, 2);
            let (line, _, data) = functions
                .iter()
                .rev()
                .find(|(line, column, _)| (*line, *column) <= place)
                .unwrap();
            assert_eq!(
                find_function(data, *line, place.0, place.1),
                Some(format!("name{n}").as_str())
            );
            let (line, _, data) = functions
                .iter()
                .rev()
                .find(|(line, column, _)| (*line, *column) <= (3 * n + 2, 1))
                .unwrap();
            assert_eq!(find_function(data, *line, 3 * n + 2, 1), None);
        }
    }

    #[test]
    fn damage_finds_nothing() {
        assert_eq!(find_function(&[0, 0, 200], 0, 5, 5), None);
        assert_eq!(find_function(&[0xFF; 20], 0, 5, 5), None);
        assert_eq!(find_line("a\nb", 5, 4), None);
        assert_eq!(find_line("a\nb", 5, 7), None);
    }
}
