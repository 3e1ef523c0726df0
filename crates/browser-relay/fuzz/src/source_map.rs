//! Source maps: whole documents, and mappings inside of a map that is well-formed otherwise.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::json;

use crate::domain::source_map::block::find;
use crate::domain::source_map::content::{Part, find_function, lines};
use crate::domain::source_map::decode::{DecodeFault, Row, Sink, Summary, decode};
use crate::domain::source_map::survey::survey;
use crate::domain::source_map::{Original, names};

const SOURCES: [&str; 3] = ["a.ts", "b.ts", "c.ts"];
const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

/// The first byte says whether the rest is a document or the mappings of one.
pub fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    // The service has checked that the body is UTF-8 before it reads it.
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    if mode % 2 == 0 {
        check_document(text);
    } else {
        let content = "function total(){\n  return 1;\n}\nconst f = () => {\n};";
        let map = json!({"version": 3, "sources": SOURCES, "names": NAMES, "mappings": text, "sourcesContent": [content]});
        check_mappings(text, &map.to_string());
    }
}

/// The rows of a map, found as the store finds them.
#[derive(Default, PartialEq, Debug)]
struct Memory {
    blocks: BTreeMap<(u32, u32), Vec<u8>>,
    sources: BTreeMap<u32, String>,
    names: BTreeMap<u32, Vec<u8>>,
    text: BTreeMap<(u32, u32), String>,
    functions: BTreeMap<(u32, u32, u32), Vec<u8>>,
}

impl Sink for Memory {
    type Fault = std::convert::Infallible;

    fn put(&mut self, row: Row<'_>) -> Result<(), Self::Fault> {
        let fresh = match row {
            Row::Block(block) => {
                assert!(
                    block.data.len() < 4096,
                    "a block of {} bytes",
                    block.data.len()
                );
                let place = (block.line, block.column);
                self.blocks.insert(place, block.data.to_vec()).is_none()
            }
            Row::Source { index, path, .. } => {
                self.sources.insert(index, path.to_owned()).is_none()
            }
            Row::Names { chunk, list } => self.names.insert(chunk, list.to_vec()).is_none(),
            Row::Content {
                source,
                part: Part::Text { line, text },
            } => self.text.insert((source, line), text.to_owned()).is_none(),
            Row::Content {
                source,
                part: Part::Functions { line, column, data },
            } => self
                .functions
                .insert((source, line, column), data.to_vec())
                .is_none(),
        };
        assert!(fresh, "two rows of one key");
        Ok(())
    }
}

impl Memory {
    fn original(&self, line: u32, column: u32) -> Option<Original> {
        let (&(first, _), data) = self.blocks.range(..=(line, column)).next_back()?;
        find(data, first, line, column)?.original
    }

    /// Follows a place through all rows, as the look-up of a frame does; answers its source, line, column and name.
    fn look_up(&self, line: u32, column: u32) -> Option<(&str, u32, u32, Option<&str>)> {
        let Original {
            source,
            line,
            column,
            name,
        } = self.original(line, column)?;
        if let Some((&(_, first, _), data)) =
            self.functions.range(..=(source, line, column)).next_back()
        {
            find_function(data, first, line, column);
        }
        if let Some((&(_, first), text)) = self.text.range(..=(source, line)).next_back() {
            lines(text, first, line..line.saturating_add(1)).next();
        }
        let path = self.sources.get(&source).expect("every source has a row");
        let name = name.map(|name| {
            let list = self
                .names
                .get(&(name / names::NAMES_PER_CHUNK))
                .expect("every name has a row");
            names::find(list, name % names::NAMES_PER_CHUNK).expect("a name")
        });
        Some((path, line, column, name))
    }
}

/// One byte at a time, as a slow connection brings a body.
struct Slow<'s>(&'s [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(buffer.get_mut(..one).unwrap_or_default())
    }
}

fn read<R: Read>(open: impl Fn() -> R) -> Result<(Memory, Summary), String> {
    let survey = survey(open()).map_err(|fault| fault.to_string())?;
    let mut memory = Memory::default();
    match decode(open(), &survey, &mut memory) {
        Ok(summary) => Ok((memory, summary)),
        Err(DecodeFault::Map(fault)) => Err(fault.to_string()),
    }
}

fn check_document(text: &str) -> Option<Memory> {
    let whole = read(|| text.as_bytes());
    assert_eq!(
        read(|| Slow(text.as_bytes())),
        whole,
        "the pieces of the input make a difference"
    );
    let (memory, summary) = match whole {
        Ok(read) => read,
        Err(fault) => {
            assert!(fault.starts_with("Invalid source map format"), "{fault}");
            return None;
        }
    };
    for &(line, column) in memory.blocks.keys() {
        assert!(
            line < summary.lines,
            "a block on line {line} of {}",
            summary.lines
        );
        for (line, column) in [
            (line, column),
            (line, u32::MAX),
            (line.saturating_add(1), 0),
            (u32::MAX, u32::MAX),
        ] {
            memory.look_up(line, column);
        }
    }
    Some(memory)
}

/// Compares with a plain reading of the mappings.
fn check_mappings(mappings: &str, map: &str) {
    let Some(memory) = check_document(map) else {
        return;
    };
    let tokens = plain(mappings).expect("what is taken can be read");
    for (&(line, column), last) in &tokens {
        let expected = last.map(|(source, line, column, name)| {
            (SOURCES[source], line, column, name.map(|name| NAMES[name]))
        });
        assert_eq!(
            memory.look_up(line, column),
            expected,
            "line {line}, column {column}"
        );
    }
}

/// Source, line, column, name.
type Plain = Option<(usize, u32, u32, Option<usize>)>;

/// The tokens by their places, the last one of each, as ECMA-426 describes them.
fn plain(mappings: &str) -> Option<BTreeMap<(u32, u32), Plain>> {
    let mut tokens = BTreeMap::new();
    let [mut source, mut line, mut column, mut name] = [0_i64; 4];
    for (number, group) in mappings.split(';').enumerate() {
        let mut generated = 0_i64;
        for segment in group.split(',').filter(|segment| !segment.is_empty()) {
            let fields = digits(segment)?;
            generated += fields.first()?;
            let mut original = None;
            if fields.len() >= 4 {
                source += fields[1];
                line += fields[2];
                column += fields[3];
                if let Some(field) = fields.get(4) {
                    name += field;
                }
                let place = (
                    usize::try_from(source).ok()?,
                    u32::try_from(line).ok()?,
                    u32::try_from(column).ok()?,
                );
                let name = usize::try_from(name).ok().filter(|_| fields.len() > 4);
                original = Some((place.0, place.1, place.2, name));
            }
            tokens.insert((number as u32, u32::try_from(generated).ok()?), original);
        }
    }
    Some(tokens)
}

/// The numbers of a segment: groups of five bits, lowest first, the lowest of all being the sign.
fn digits(segment: &str) -> Option<Vec<i64>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut numbers = Vec::new();
    let (mut number, mut shift) = (0_i64, 0);
    for byte in segment.bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)? as i64;
        number += (digit & 31).checked_shl(shift)?;
        if digit & 32 != 0 {
            shift += 5;
            continue;
        }
        numbers.push(if number & 1 == 1 {
            -(number >> 1)
        } else {
            number >> 1
        });
        (number, shift) = (0, 0);
    }
    Some(numbers)
}
