//! The layout of JSON answers.
//!
//! The original puts a blank behind the commas and colons of objects, and none between the entries
//! of a list. Scripts that search answers as text know it that way.

use std::io;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use monlight_shared::http::{ApiError, json_text};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

struct Layout;

impl Formatter for Layout {
    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Appends `value` to `out`.
pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Layout))
}

/// As text.
pub(super) fn text(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(256);
    write(&mut text, value)?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// An answer.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(256);
    match write(&mut text, value) {
        Ok(()) => json_text(status, text),
        Err(fault) => ApiError::internal(fault).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_have_blanks_and_lists_have_none() {
        let mut out = Vec::new();
        write(
            &mut out,
            &json!({"a": [1, 2, {"b": null}], "c": "\u{7f}é/\n"}),
        )
        .expect("is written");
        let expected = "{\"a\": [1,2,{\"b\": null}], \"c\": \"\u{7f}é/\\n\"}";
        assert_eq!(String::from_utf8(out).expect("is text"), expected);
    }
}
