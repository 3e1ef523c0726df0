//! The second reading of a map: everything in it becomes a row.

use std::io::Read;

use super::super::json::{Fault, Json, Kind, unwrap_fault};
use super::block::Block;
use super::content::{ContentWriter, Part};
use super::names::{LONGEST_NAME, NAMES_PER_CHUNK};
use super::survey::{Section, Survey, reader};
use super::tokens::{Refused, TokenWriter};
use super::vlq::{Counts, Event, Mappings};
use super::{MapFault, Original, Token, names, resolve};

/// Bytes of a source's path.
const LONGEST_PATH: usize = 2048;

/// A row of a decoded map. Sources and names are numbered through all sections.
pub(crate) enum Row<'r> {
    Block(Block<'r>),
    Source {
        index: u32,
        path: &'r str,
        /// Not of the app.
        ignored: bool,
    },
    Names {
        chunk: u32,
        list: &'r [u8],
    },
    Content {
        source: u32,
        part: Part<'r>,
    },
}

/// Where the rows go.
pub(crate) trait Sink {
    type Fault;
    fn put(&mut self, row: Row<'_>) -> Result<(), Self::Fault>;
}

/// What was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) tokens: u64,
    /// Lines of the generated code that the mappings reach.
    pub(crate) lines: u32,
}

/// Why decoding ended early.
#[derive(Debug)]
pub(crate) enum DecodeFault<F> {
    Map(MapFault),
    Sink(F),
}

impl<F> From<MapFault> for DecodeFault<F> {
    fn from(fault: MapFault) -> Self {
        Self::Map(fault)
    }
}

impl<F> From<Fault> for DecodeFault<F> {
    fn from(fault: Fault) -> Self {
        Self::Map(fault.into())
    }
}

impl<F> From<Refused<F>> for DecodeFault<F> {
    fn from(refused: Refused<F>) -> Self {
        match refused {
            Refused::Map(fault) => Self::Map(fault),
            Refused::Sink(fault) => Self::Sink(fault),
        }
    }
}

/// Reads the document that `survey` was made of and gives its rows to `sink`.
pub(crate) fn decode<S: Sink>(
    input: impl Read,
    survey: &Survey,
    sink: &mut S,
) -> Result<Summary, DecodeFault<S::Fault>> {
    let mut json = reader(input);
    let mut decoder = Decoder {
        survey,
        sink,
        section: 0,
        sources: 0,
        names: 0,
        tokens: TokenWriter::default(),
        lines: 0,
        list: Vec::new(),
        listed: 0,
    };
    decoder.map(&mut json, !survey.is_index)?;
    json.end()?;
    decoder.finish()
}

struct Decoder<'d, S> {
    survey: &'d Survey,
    sink: &'d mut S,
    /// The section being read, and the numbers of its first source and name.
    section: usize,
    sources: u32,
    names: u32,
    tokens: TokenWriter,
    lines: u32,
    /// Names that wait for their row to be full, and all names so far.
    list: Vec<u8>,
    listed: u32,
}

type Decoded<T, S> = Result<T, DecodeFault<<S as Sink>::Fault>>;

impl<S: Sink> Decoder<'_, S> {
    /// Reads a map; only one with `content` of its own has tokens, an index map has sections.
    fn map<R: Read>(&mut self, json: &mut Json<R>, content: bool) -> Decoded<(), S> {
        let mut members = json.open_object()?;
        while let Some(key) = json.next_member(&mut members)? {
            match key.as_str() {
                "sections" if !content => self.sections(json)?,
                "sources" if content => self.source_paths(json)?,
                "sourcesContent" if content && json.kind()? == Kind::Array => {
                    self.contents(json)?;
                }
                "names" if content && json.kind()? == Kind::Array => self.name_list(json)?,
                "mappings" if content => self.mappings(json)?,
                _ => json.skip()?,
            }
        }
        Ok(())
    }

    fn sections<R: Read>(&mut self, json: &mut Json<R>) -> Decoded<(), S> {
        let mut items = json.open_array()?;
        while json.next_item(&mut items)? {
            let mut members = json.open_object()?;
            while let Some(key) = json.next_member(&mut members)? {
                if key == "map" {
                    self.map(json, true)?;
                } else {
                    json.skip()?;
                }
            }
            let Section { sources, names, .. } = self.current()?;
            self.sources += sources;
            self.names += names;
            self.section += 1;
        }
        Ok(())
    }

    /// The two readings see the same document, so the section is always there.
    fn current(&self) -> Result<Section, MapFault> {
        self.survey
            .sections
            .get(self.section)
            .cloned()
            .ok_or_else(MapFault::no_map)
    }

    fn source_paths<R: Read>(&mut self, json: &mut Json<R>) -> Decoded<(), S> {
        let Section { root, ignored, .. } = self.current()?;
        let mut index = self.sources;
        let mut items = json.open_array()?;
        while json.next_item(&mut items)? {
            let path = match json.kind()? {
                Kind::String => json.string_cut(LONGEST_PATH)?,
                _ => json.skip().map(|()| String::new())?,
            };
            let path = resolve(root.as_deref(), &path);
            self.put(Row::Source {
                index,
                path: &path,
                ignored: ignored.binary_search(&(index - self.sources)).is_ok(),
            })?;
            index += 1;
        }
        Ok(())
    }

    fn contents<R: Read>(&mut self, json: &mut Json<R>) -> Decoded<(), S> {
        let end = self.sources + self.current()?.sources;
        let mut source = self.sources;
        let mut items = json.open_array()?;
        while json.next_item(&mut items)? {
            if json.kind()? == Kind::String && source < end {
                self.content(json, source)?;
            } else {
                json.skip()?;
            }
            source = source.saturating_add(1);
        }
        Ok(())
    }

    fn content<R: Read>(&mut self, json: &mut Json<R>, source: u32) -> Decoded<(), S> {
        let mut writer = ContentWriter::new();
        let sink = &mut *self.sink;
        let mut write = |part: Part<'_>| sink.put(Row::Content { source, part });
        let mut bytes = json.open_string()?;
        let mut buffer = [0; 4096];
        // A character may be cut by the end of the buffer: its beginning is kept for the next round.
        let mut kept = 0;
        loop {
            let count = bytes.read(&mut buffer[kept..]).map_err(unwrap_fault)?;
            if count == 0 {
                break;
            }
            let filled = kept + count;
            let valid = match std::str::from_utf8(&buffer[..filled]) {
                Ok(text) => text,
                Err(fault) if fault.error_len().is_none() => {
                    std::str::from_utf8(&buffer[..fault.valid_up_to()]).unwrap_or_default()
                }
                Err(_) => return Err(MapFault::no_map().into()),
            };
            for character in valid.chars() {
                writer
                    .push(character, &mut write)
                    .map_err(DecodeFault::Sink)?;
            }
            let used = valid.len();
            buffer.copy_within(used..filled, 0);
            kept = filled - used;
        }
        writer.finish(&mut write).map_err(DecodeFault::Sink)
    }

    fn name_list<R: Read>(&mut self, json: &mut Json<R>) -> Decoded<(), S> {
        let mut items = json.open_array()?;
        while json.next_item(&mut items)? {
            let name = match json.kind()? {
                Kind::String => json.string_cut(LONGEST_NAME)?,
                _ => json.skip().map(|()| String::new())?,
            };
            names::push(&mut self.list, &name);
            self.listed += 1;
            if self.listed.is_multiple_of(NAMES_PER_CHUNK) {
                self.put_names()?;
            }
        }
        Ok(())
    }

    fn put_names(&mut self) -> Decoded<(), S> {
        if self.list.is_empty() {
            return Ok(());
        }
        let list = std::mem::take(&mut self.list);
        self.put(Row::Names {
            chunk: (self.listed - 1) / NAMES_PER_CHUNK,
            list: &list,
        })
    }

    fn mappings<R: Read>(&mut self, json: &mut Json<R>) -> Decoded<(), S> {
        let section = self.current()?;
        let next = self
            .survey
            .sections
            .get(self.section + 1)
            .map(|next| (next.line, next.column));
        let place = Place {
            section: &section,
            next,
            sources: self.sources,
            names: self.names,
        };
        if self.section > 0 {
            // What comes before the section's first token belongs to nobody, not to the section before.
            self.token(Token {
                line: section.line,
                column: section.column,
                original: None,
            })?;
        }
        let mut mappings = Mappings::new(Counts {
            sources: section.sources,
            names: section.names,
        });
        let mut bytes = json.open_string()?;
        let mut buffer = [0; 4096];
        loop {
            let count = bytes.read(&mut buffer).map_err(unwrap_fault)?;
            if count == 0 {
                break;
            }
            for &byte in &buffer[..count] {
                let token = match mappings.push(byte)? {
                    Event::Nothing | Event::Line(None) => continue,
                    Event::Token(token) | Event::Line(Some(token)) => token,
                };
                if let Some(token) = place.of(token)? {
                    self.token(token)?;
                }
            }
        }
        if let Some(token) = mappings.finish()?
            && let Some(token) = place.of(token)?
        {
            self.token(token)?;
        }
        let last_line = section.line.saturating_add(mappings.line());
        self.lines = self.lines.max(last_line.saturating_add(1));
        Ok(())
    }

    fn token(&mut self, token: Token) -> Decoded<(), S> {
        let sink = &mut *self.sink;
        Ok(self
            .tokens
            .push(token, &mut |block| sink.put(Row::Block(block)))?)
    }

    fn put(&mut self, row: Row<'_>) -> Decoded<(), S> {
        self.sink.put(row).map_err(DecodeFault::Sink)
    }

    fn finish(mut self) -> Decoded<Summary, S> {
        self.put_names()?;
        let sink = &mut *self.sink;
        let tokens = self
            .tokens
            .finish(&mut |block| sink.put(Row::Block(block)))?;
        Ok(Summary {
            tokens,
            lines: self.lines,
        })
    }
}

/// Where a section's tokens are in the whole.
struct Place<'p> {
    section: &'p Section,
    /// The beginning of the next section, at which this one ends.
    next: Option<(u32, u32)>,
    sources: u32,
    names: u32,
}

impl Place<'_> {
    fn of(&self, token: Token) -> Result<Option<Token>, MapFault> {
        let beyond = || MapFault::at("a section that reaches beyond 2^32 lines or columns");
        let line = token
            .line
            .checked_add(self.section.line)
            .ok_or_else(beyond)?;
        let column = match token.line {
            0 => token
                .column
                .checked_add(self.section.column)
                .ok_or_else(beyond)?,
            _ => token.column,
        };
        if self.next.is_some_and(|next| (line, column) >= next) {
            return Ok(None);
        }
        let original = token.original.map(|original| Original {
            source: original.source + self.sources,
            name: original.name.map(|name| name + self.names),
            ..original
        });
        Ok(Some(Token {
            line,
            column,
            original,
        }))
    }
}
