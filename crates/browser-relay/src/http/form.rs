//! The form of an upload, taken apart on its way to the disk: fields are kept, the map is inflated and written.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use monlight_shared::http::ApiError;

use super::spool::{Refusal, Target};
use crate::domain::multipart::{self, Event, Parser};
use crate::domain::upload::{Field, Fields, LONGEST_FIELD, Names, UploadFault};

/// What a file that is gzip begins with.
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Takes the bytes of a form.
pub(super) struct Form {
    parser: Parser,
    parts: Parts,
    /// Bytes that may still come.
    left: u64,
}

struct Parts {
    fields: Fields,
    map: Map,
    open: Open,
}

/// The part that is being read.
enum Open {
    /// One that nobody asked for.
    Ignored,
    Field(Field, Vec<u8>),
    Map,
}

/// The part with the map.
enum Map {
    /// It has not come, or too little of it to see what it is.
    Begin(Target, Vec<u8>),
    Plain(Target),
    Gzip(Box<MultiGzDecoder<Target>>),
    Done(Target),
    /// Its file could not be written.
    Lost,
}

impl Form {
    /// `most_bytes` is for the whole form, the map as it is sent.
    pub(super) fn new(boundary: &str, target: Target, most_bytes: u64) -> Self {
        Self {
            parser: Parser::new(boundary),
            parts: Parts {
                fields: Fields::default(),
                map: Map::Begin(target, Vec::new()),
                open: Open::Ignored,
            },
            left: most_bytes,
        }
    }

    /// The file with the map, and what the map is called.
    pub(super) fn finish(self) -> Result<(Target, Names), ApiError> {
        if !self.parser.is_finished() {
            let fault = multipart::Fault("it ends before its last boundary");
            return Err(ApiError::Invalid(fault.to_string()));
        }
        let Parts { fields, map, .. } = self.parts;
        let no_map = (!matches!(map, Map::Done(_))).then_some("Missing required field: file");
        let names = fields.check(no_map).map_err(|fault| match fault {
            UploadFault::Invalid(detail) => ApiError::invalid(detail),
            fault => ApiError::internal(fault),
        })?;
        match map {
            Map::Done(target) => Ok((target, names)),
            _ => Err(ApiError::internal(anyhow::anyhow!(
                "an upload lost its map"
            ))),
        }
    }
}

impl Write for Form {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or(io::ErrorKind::FileTooLarge)?;
        let parts = &mut self.parts;
        self.parser
            .push(piece, &mut |event| parts.take(event).map_err(Stopped))
            .map_err(|stopped| stopped.0)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a form is not read on.
struct Stopped(io::Error);

impl From<multipart::Fault> for Stopped {
    fn from(fault: multipart::Fault) -> Self {
        Self(refused(fault.to_string()))
    }
}

fn refused(detail: impl Into<String>) -> io::Error {
    io::Error::other(Refusal(detail.into()))
}

impl Parts {
    fn take(&mut self, event: Event<'_>) -> io::Result<()> {
        match event {
            Event::Part(name) => self.begin(name.as_deref().unwrap_or_default()),
            Event::Data(data) => match &mut self.open {
                Open::Ignored => Ok(()),
                Open::Field(_, value) => {
                    let room = LONGEST_FIELD.saturating_sub(value.len());
                    value.extend_from_slice(data.get(..room).unwrap_or(data));
                    Ok(())
                }
                Open::Map => self.map.write(data),
            },
            Event::End => match std::mem::replace(&mut self.open, Open::Ignored) {
                Open::Ignored => Ok(()),
                Open::Field(field, value) => {
                    let text = String::from_utf8_lossy(&value).into_owned();
                    self.fields.set(field, text);
                    Ok(())
                }
                Open::Map => self.map.end(),
            },
        }
    }

    fn begin(&mut self, name: &str) -> io::Result<()> {
        let twice = || Err(refused(format!("Field '{name}' is given twice")));
        self.open = match Field::named(name) {
            Some(field) if self.fields.has(field) => return twice(),
            Some(field) => Open::Field(field, Vec::new()),
            None if matches!(name, "file" | "map_content") => match self.map {
                Map::Begin(..) => Open::Map,
                _ => return twice(),
            },
            None => Open::Ignored,
        };
        Ok(())
    }
}

impl Map {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Begin(_, begin) => {
                begin.extend_from_slice(data);
                if begin.len() >= GZIP.len() {
                    self.decide()?;
                }
                Ok(())
            }
            Self::Plain(target) => target.write_all(data),
            Self::Gzip(inflater) => inflater.write_all(data).map_err(no_gzip),
            Self::Done(_) | Self::Lost => Ok(()),
        }
    }

    /// Looks at the first bytes.
    fn decide(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Begin(target, begin) => {
                let mut decided = if begin.starts_with(&GZIP) {
                    Self::Gzip(Box::new(MultiGzDecoder::new(target)))
                } else {
                    Self::Plain(target)
                };
                decided.write(&begin)?;
                decided
            }
            decided => decided,
        };
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.decide()?;
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Plain(target) | Self::Done(target) | Self::Begin(target, _) => Self::Done(target),
            Self::Gzip(inflater) => Self::Done(inflater.finish().map_err(no_gzip)?),
            Self::Lost => Self::Lost,
        };
        Ok(())
    }
}

/// What flate2 says about bytes that are no gzip.
fn no_gzip(fault: io::Error) -> io::Error {
    match fault.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            refused("The file begins as gzip but is none")
        }
        _ => fault,
    }
}
