//! A report as details show it.

use monlight_shared::clock::iso_seconds;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::store::detail::Occurrence;

#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: i64,
    timestamp: String,
    request_url: Option<&'a str>,
    request_method: Option<&'a str>,
    request_headers: Option<JsonText<'a>>,
    user_id: Option<&'a str>,
    extra: Option<JsonText<'a>>,
    traceback: &'a str,
    // From here on the original has nothing.
    message: &'a str,
    timestamp_ms: i64,
    level: Option<&'a str>,
    release: Option<&'a str>,
    environment: Option<&'a str>,
    server_name: Option<&'a str>,
    tags: Option<JsonText<'a>>,
}

impl<'a> From<&'a Occurrence> for Shown<'a> {
    fn from(one: &'a Occurrence) -> Self {
        Self {
            id: one.number,
            timestamp: iso_seconds(one.time),
            request_url: one.request_url.as_deref(),
            request_method: one.request_method.as_deref(),
            request_headers: one.request_headers.as_deref().map(JsonText),
            user_id: one.user_id.as_deref(),
            extra: one.extra.as_deref().map(JsonText),
            traceback: &one.traceback,
            message: &one.message,
            timestamp_ms: one.time,
            level: one.level.as_deref(),
            release: one.release.as_deref(),
            environment: one.environment.as_deref(),
            server_name: one.server_name.as_deref(),
            tags: one.tags.as_deref().map(JsonText),
        }
    }
}

/// Stored JSON, given back as the value it is, digit for digit.
pub(super) struct JsonText<'a>(pub(super) &'a str);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}
