//! CORS: which pages may read our answers, on every status a page can get.
//!
//! Credentials are allowed because `sendBeacon` always sends them; nothing here looks at a cookie, so that gives a page
//! nothing it does not have. `Vary: Origin` keeps caches from giving one page the answer of another.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::keys::{Keys, Site};

const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
const HEADERS: HeaderValue =
    HeaderValue::from_static("X-Monlight-Key, Content-Type, Content-Encoding");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The origin of a page that may read the answer to a request with this key.
pub(super) fn readable_origin(
    headers: &HeaderMap,
    keys: &Keys,
    site: Option<&Site>,
) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    keys.readable(site, origin.to_str().ok()?)
        .then(|| origin.clone())
}

/// Whether a request may use its key: one with origins of its own is for their pages only.
pub(super) fn admitted(headers: &HeaderMap, site: &Site) -> bool {
    let origin = headers.get(header::ORIGIN);
    // No page has an origin that is no text.
    site.admits(origin.map(|origin| origin.to_str().unwrap_or_default()))
}

/// The answer to a preflight, which needs no key and counts for no limit: 204, and what the page may send if its origin
/// is allowed.
pub(super) fn preflight(origin: Option<&HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    if origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    headers.insert(header::ALLOW, METHODS);
    response
}

/// Lets the page read the answer, if it may.
pub(super) fn apply(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}
