//! Reads the upload of a source map, `POST /api/source-maps`.
//!
//! The body is `{"project", "release", "file_url", "map_content"}`, where `map_content` is the text of the map as a
//! JSON string, several MiB of it. It is never held: [`read`] checks the body as it streams by and remembers where the
//! map's text begins, and [`map_text`] unescapes it from there.

use std::io::Read;

use super::dsn::LONGEST_PROJECT;
use super::json::{Duplicates, Fault, Json, Kind, LoneSurrogate, unwrap_fault};

const LONGEST_RELEASE: usize = 100;
const LONGEST_FILE_URL: usize = 500;
/// Read of a field whose limit is less; the rest would be refused anyway.
const LONGEST_FIELD: usize = LONGEST_FILE_URL + 1;

/// An upload that may be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) project: String,
    pub(crate) release: String,
    pub(crate) file_url: String,
    /// Offset of the map's opening quote in the body.
    pub(crate) map_at: u64,
    /// Bytes of the map's text.
    pub(crate) map_bytes: u64,
}

/// Why an upload is refused, or could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadFault {
    #[error("{0}")]
    Invalid(&'static str),
    /// The map is longer than allowed.
    #[error("the source map is too large")]
    TooLarge,
    #[error("failed to read the upload")]
    Read(#[source] std::io::Error),
}

impl From<Fault> for UploadFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax { .. } => Self::Invalid("Invalid JSON"),
            Fault::Input(error) => Self::Read(error),
        }
    }
}

/// Reads a body, which is known to be UTF-8, and checks its fields in the contract's order.
pub(crate) fn read(input: impl Read, most_map_bytes: u64) -> Result<Upload, UploadFault> {
    let mut json = reader(input);
    if json.kind()? != Kind::Object {
        json.skip()?;
        json.end()?;
        return Err(UploadFault::Invalid("Request body must be a JSON object"));
    }
    let (mut project, mut release, mut file_url, mut map) = (None, None, None, None);
    let mut seen: [bool; 4] = [false; 4];
    let mut members = json.open_object()?;
    while let Some(key) = json.next_member(&mut members)? {
        let index = match key.as_str() {
            "project" => 0,
            "release" => 1,
            "file_url" => 2,
            "map_content" => 3,
            _ => {
                json.skip()?;
                continue;
            }
        };
        if std::mem::replace(&mut seen[index], true) {
            return Err(UploadFault::Invalid("Invalid JSON"));
        }
        if json.kind()? != Kind::String {
            json.skip()?;
            continue;
        }
        match index {
            0 => project = Some(json.string_cut(LONGEST_FIELD)?),
            1 => release = Some(json.string_cut(LONGEST_FIELD)?),
            2 => file_url = Some(json.string_cut(LONGEST_FIELD)?),
            _ => map = Some((json.offset(), text_length(&mut json)?)),
        }
    }
    json.end()?;
    let project = field(
        project,
        LONGEST_PROJECT,
        "Missing required field: project",
        "Field 'project' must be 1-100 characters",
    )?;
    let release = field(
        release,
        LONGEST_RELEASE,
        "Missing required field: release",
        "Field 'release' must be 1-100 characters",
    )?;
    let file_url = field(
        file_url,
        LONGEST_FILE_URL,
        "Missing required field: file_url",
        "Field 'file_url' must be 1-500 characters",
    )?;
    let (map_at, map_bytes) =
        map.ok_or(UploadFault::Invalid("Missing required field: map_content"))?;
    if map_bytes > most_map_bytes {
        return Err(UploadFault::TooLarge);
    }
    Ok(Upload {
        project,
        release,
        file_url,
        map_at,
        map_bytes,
    })
}

/// Gives the text of the map to `read`; `input` must be at [`Upload::map_at`].
pub(crate) fn map_text<T>(
    input: impl Read,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> Result<T, UploadFault> {
    let mut json = reader(input);
    let mut text = json.open_string()?;
    Ok(read(&mut text))
}

fn reader<R: Read>(input: R) -> Json<R> {
    Json::new(input, Duplicates::Ignore, LoneSurrogate::Refuse)
}

fn text_length<R: Read>(json: &mut Json<R>) -> Result<u64, Fault> {
    let mut length = 0;
    let mut bytes = json.open_string()?;
    let mut buffer = [0; 4096];
    loop {
        match bytes.read(&mut buffer).map_err(unwrap_fault)? {
            0 => return Ok(length),
            count => length += count as u64,
        }
    }
}

fn field(
    value: Option<String>,
    longest: usize,
    missing: &'static str,
    out_of_bounds: &'static str,
) -> Result<String, UploadFault> {
    let value = value.ok_or(UploadFault::Invalid(missing))?;
    if value.is_empty() || value.len() > longest {
        return Err(UploadFault::Invalid(out_of_bounds));
    }
    Ok(value)
}

/// Checks UTF-8 piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    /// Beginning of a character that the last piece cut.
    kept: Vec<u8>,
}

impl Utf8 {
    /// False when the text so far cannot be UTF-8.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> bool {
        while !self.kept.is_empty() {
            let Some((&byte, rest)) = piece.split_first() else {
                return true;
            };
            piece = rest;
            self.kept.push(byte);
            match std::str::from_utf8(&self.kept) {
                Ok(_) => self.kept.clear(),
                Err(fault) if fault.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(fault) if fault.error_len().is_some() => false,
            Err(fault) => {
                self.kept
                    .extend_from_slice(piece.get(fault.valid_up_to()..).unwrap_or_default());
                true
            }
        }
    }

    /// False when the text ends inside a character.
    pub(crate) fn finish(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[track_caller]
    fn check_refused(body: &str, detail: &str) {
        assert_eq!(
            read(body.as_bytes(), 100).unwrap_err().to_string(),
            detail,
            "{body}"
        );
    }

    #[test]
    fn refusals_in_order() {
        check_refused("{", "Invalid JSON");
        check_refused("{} {}", "Invalid JSON");
        check_refused("[]", "Request body must be a JSON object");
        check_refused("{}", "Missing required field: project");
        check_refused(r#"{"project":"a","project":"b"}"#, "Invalid JSON");
        check_refused(r#"{"project":5}"#, "Missing required field: project");
        check_refused(
            r#"{"map_content":1,"project":""}"#,
            "Field 'project' must be 1-100 characters",
        );
        check_refused(r#"{"project":"p"}"#, "Missing required field: release");
        check_refused(
            r#"{"project":"p","release":""}"#,
            "Field 'release' must be 1-100 characters",
        );
        check_refused(
            r#"{"project":"p","release":"r"}"#,
            "Missing required field: file_url",
        );
        check_refused(
            r#"{"project":"p","release":"r","file_url":""}"#,
            "Field 'file_url' must be 1-500 characters",
        );
        let body = |url: &str, map: &str| {
            json!({"project": "p", "release": "r", "file_url": url, "map_content": map}).to_string()
        };
        check_refused(
            &body(&"u".repeat(501), ""),
            "Field 'file_url' must be 1-500 characters",
        );
        check_refused(
            r#"{"project":"p","release":"r","file_url":"u","map_content":{}}"#,
            "Missing required field: map_content",
        );
        check_refused(&body("u", &"x".repeat(101)), "the source map is too large");
        assert!(read(body(&"u".repeat(500), &"x".repeat(100)).as_bytes(), 100).is_ok());
    }

    #[test]
    fn the_map_is_found_where_it_begins() {
        let map = "{\"a\":\"\u{e9}\\n\"}";
        let body = json!({"project": "p", "map_content": map, "release": "r", "file_url": "u", "z": [1, {"map_content": 2}]});
        let text = serde_json::to_string_pretty(&body).unwrap();
        let upload = read(text.as_bytes(), 100).unwrap();
        assert_eq!(upload.map_bytes, map.len() as u64);
        let mut unescaped = String::new();
        map_text(&text.as_bytes()[upload.map_at as usize..], |text| {
            text.read_to_string(&mut unescaped)
        })
        .unwrap()
        .unwrap();
        assert_eq!(unescaped, map);
    }

    proptest! {
        #[test]
        fn utf8_in_pieces(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..20), size in 1..7_usize, junk: bool) {
            let mut all = text.into_bytes();
            if junk {
                all.extend(bytes);
            }
            let mut utf8 = Utf8::default();
            let whole = all.chunks(size).all(|piece| utf8.push(piece)) && utf8.finish();
            prop_assert_eq!(whole, std::str::from_utf8(&all).is_ok());
        }
    }
}
