//! Reads the upload of a source map, `POST /api/source-maps`.
//!
//! The body is `{"project", "release", "file_url", "debug_id", "map_content"}`, where `map_content` is the text of the map
//! as a JSON string, several MiB of it. It is never held: [`read`] checks the body as it streams by and remembers where the
//! map's text begins, and [`map_text`] unescapes it from there. Release and file are not needed for a map with a debug id,
//! which may stand in the map itself; so whether they are missing is only known when the map was looked at.

use std::io::Read;

use super::debug_id::DebugId;
use super::dsn::LONGEST_PROJECT;
use super::json::{Duplicates, Fault, Json, Kind, LoneSurrogate, unwrap_fault};

const LONGEST_RELEASE: usize = 100;
const LONGEST_FILE_URL: usize = 500;
/// The field with the map.
const MAP: &str = "map_content";
/// Read of a field whose limit is less; the rest would be refused anyway.
pub(crate) const LONGEST_FIELD: usize = LONGEST_FILE_URL + 1;

/// An upload that may be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) names: Names,
    pub(crate) form: Form,
    /// Bytes of the map's text.
    pub(crate) map_bytes: u64,
}

/// How the text of a map stands in what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a JSON string, whose opening quote has this offset.
    Quoted(u64),
    /// It is all there is.
    Plain,
}

/// What a map is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) project: String,
    pub(crate) release: Option<String>,
    pub(crate) file_url: Option<String>,
    pub(crate) debug_id: Option<DebugId>,
}

impl Names {
    /// What is missing to find the map by.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match (&self.release, &self.file_url) {
            _ if self.debug_id.is_some() => None,
            (None, _) => Some("Missing required field: release"),
            (_, None) => Some("Missing required field: file_url"),
            _ => None,
        }
    }
}

/// The fields of an upload as they were sent.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    values: [Option<String>; 4],
}

/// A field beside the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Project,
    Release,
    FileUrl,
    DebugId,
}

impl Field {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "project" => Self::Project,
            "release" => Self::Release,
            "file_url" => Self::FileUrl,
            "debug_id" => Self::DebugId,
            _ => return None,
        })
    }
}

impl Fields {
    pub(crate) fn set(&mut self, field: Field, value: String) {
        self.values[field as usize] = Some(value);
    }

    /// Whether a field was set.
    pub(crate) fn has(&self, field: Field) -> bool {
        self.values[field as usize].is_some()
    }

    /// Checks the fields in the contract's order; `no_map` says what is missing if there is no map.
    pub(crate) fn check(self, no_map: Option<&'static str>) -> Result<Names, UploadFault> {
        let [project, release, file_url, debug_id] = self.values;
        let project = project.ok_or(UploadFault::Invalid("Missing required field: project"))?;
        let invalid = UploadFault::Invalid;
        if !(1..=LONGEST_PROJECT).contains(&project.len()) {
            return Err(invalid("Field 'project' must be 1-100 characters"));
        }
        let fits = |value: &Option<String>, longest: usize| {
            let length = value.as_ref().map(String::len);
            length.is_none_or(|length| (1..=longest).contains(&length))
        };
        // Without an id the map is needed to know whether one of these is missing.
        let must_have = debug_id.is_none() && no_map.is_some();
        if must_have && release.is_none() {
            return Err(invalid("Missing required field: release"));
        }
        if !fits(&release, LONGEST_RELEASE) {
            return Err(invalid("Field 'release' must be 1-100 characters"));
        }
        if must_have && file_url.is_none() {
            return Err(invalid("Missing required field: file_url"));
        }
        if !fits(&file_url, LONGEST_FILE_URL) {
            return Err(invalid("Field 'file_url' must be 1-500 characters"));
        }
        let wrong = invalid(
            "Field 'debug_id' must be a UUID: 32 hexadecimal digits, with or without hyphens",
        );
        let debug_id = match debug_id {
            Some(text) => Some(DebugId::parse(&text).ok_or(wrong)?),
            None => None,
        };
        if let Some(missing) = no_map {
            return Err(invalid(missing));
        }
        Ok(Names {
            project,
            release,
            file_url,
            debug_id,
        })
    }
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
    let (mut fields, mut map) = (Fields::default(), None);
    let mut seen: Vec<String> = Vec::new();
    let mut members = json.open_object()?;
    while let Some(key) = json.next_member(&mut members)? {
        let field = Field::named(&key);
        if field.is_none() && key != MAP {
            json.skip()?;
            continue;
        }
        if seen.contains(&key) {
            return Err(UploadFault::Invalid("Invalid JSON"));
        }
        seen.push(key);
        match field {
            _ if json.kind()? != Kind::String => json.skip()?,
            Some(field) => fields.set(field, json.string_cut(LONGEST_FIELD)?),
            None => map = Some((json.offset(), text_length(&mut json)?)),
        }
    }
    json.end()?;
    let no_map = map
        .is_none()
        .then_some("Missing required field: map_content");
    let names = fields.check(no_map)?;
    let (map_at, map_bytes) = map.unwrap_or_default();
    if map_bytes > most_map_bytes {
        return Err(UploadFault::TooLarge);
    }
    Ok(Upload {
        names,
        form: Form::Quoted(map_at),
        map_bytes,
    })
}

impl Form {
    /// Where the text of the map begins.
    pub(crate) fn offset(self) -> u64 {
        match self {
            Self::Quoted(at) => at,
            Self::Plain => 0,
        }
    }
}

/// Gives the text of the map to `read`; `input` must be at [`Form::offset`].
pub(crate) fn map_text<T>(
    mut input: impl Read,
    form: Form,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> Result<T, UploadFault> {
    if form == Form::Plain {
        return Ok(read(&mut input));
    }
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
        check_refused(
            r#"{"project":"p","map_content":"{}","debug_id":"5"}"#,
            "Field 'debug_id' must be a UUID: 32 hexadecimal digits, with or without hyphens",
        );
        check_refused(
            r#"{"project":"p","debug_id":"85314830023f4cf1a267535f4e37bb17"}"#,
            "Missing required field: map_content",
        );
    }

    #[track_caller]
    fn check_missing(more: &str, expected: Option<&str>) {
        let body = format!("{{\"project\":\"p\",\"map_content\":\"{{}}\"{more}}}");
        let upload = read(body.as_bytes(), 100).unwrap();
        assert_eq!(upload.names.missing(), expected, "{body}");
    }

    #[test]
    fn a_map_with_a_debug_id_needs_no_other_name() {
        let id = r#","debug_id":"85314830-023F-4cf1-a267-535f4e37bb17""#;
        check_missing("", Some("Missing required field: release"));
        check_missing(
            r#","release":"r","debug_id":null"#,
            Some("Missing required field: file_url"),
        );
        check_missing(r#","release":"r","file_url":"u""#, None);
        check_missing(id, None);
        check_missing(&format!(r#","file_url":"u"{id}"#), None);
    }

    #[test]
    fn the_map_is_found_where_it_begins() {
        let map = "{\"a\":\"\u{e9}\\n\"}";
        let body = json!({"project": "p", "map_content": map, "release": "r", "file_url": "u", "z": [1, {"map_content": 2}]});
        let text = serde_json::to_string_pretty(&body).unwrap();
        let upload = read(text.as_bytes(), 100).unwrap();
        assert_eq!(upload.map_bytes, map.len() as u64);
        let mut unescaped = String::new();
        let at = upload.form.offset() as usize;
        map_text(&text.as_bytes()[at..], upload.form, |text| {
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
