//! What a client is told when its request fails, and how.
//!
//! Every refusal is JSON with a `detail` text that says what was wrong. [`ApiError::Internal`] is
//! the exception: its text is fixed, and the cause goes to the log together with the request id.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::StoreError;

/// The text of every 500.
pub const INTERNAL: &str = "Internal server error";
/// The text of a missing and of a wrong API key alike.
pub const INVALID_KEY: &str = "Invalid API key";
/// The text for an unknown path.
pub const NOT_FOUND: &str = "Not found";
/// The text for a body over the limit.
pub const TOO_LARGE: &str = "Request body exceeds maximum size";
/// The text for a body that ended early or was not valid HTTP.
pub const UNREADABLE_BODY: &str = "Failed to read request body";

/// Why a request failed. Each variant is one status; the texts reach the client as they are.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: something in the request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// 401: no key, or a wrong one.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403: the caller is known and may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// 404: no such path, or no such thing.
    #[error("{0}")]
    NotFound(String),
    /// 405, with `Allow`.
    #[error("Method not allowed")]
    MethodNotAllowed {
        /// The methods that would work, as in `GET, POST`; empty when the router sets the header.
        allow: &'static str,
    },
    /// 408: the body did not come in time.
    #[error("Request body was not received in time")]
    Timeout,
    /// 409: it stands against what is stored.
    #[error("{0}")]
    Conflict(String),
    /// 413: the body, as sent or inflated, is over the limit.
    #[error("{TOO_LARGE}")]
    TooLarge,
    /// 415: the body is in an encoding or of a type that is not understood.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// 429, with `Retry-After` and `retry_after`.
    #[error("Rate limit exceeded")]
    TooManyRequests {
        /// Whole seconds until it is worth trying again.
        retry_after: u64,
    },
    /// 500: our fault. The cause is logged once, with the request id, and never sent.
    #[error("{INTERNAL}")]
    Internal(anyhow::Error),
    /// 502: another service failed us.
    #[error("{0}")]
    BadGateway(String),
    /// 503, with `Retry-After`: not now.
    #[error("{detail}")]
    Unavailable {
        /// What is the matter.
        detail: String,
        /// Whole seconds until it is worth trying again.
        retry_after: u64,
    },
}

impl ApiError {
    /// A 400.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid(detail.into())
    }

    /// A 404 for a thing that is not there, as in `Error not found`.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::NotFound(detail.into())
    }

    /// The 404 of an unknown path.
    pub fn no_route() -> Self {
        Self::NotFound(NOT_FOUND.to_owned())
    }

    /// A 503 that is worth another try in a second.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::Unavailable {
            detail: detail.into(),
            retry_after: 1,
        }
    }

    /// A 500 from any error; its whole chain goes to the log.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(cause.into())
    }

    /// The status it is sent with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway(_) => StatusCode::BAD_GATEWAY,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A full queue and a database that is away are worth another try; anything else is our fault.
impl From<StoreError> for ApiError {
    fn from(fault: StoreError) -> Self {
        match fault {
            StoreError::Full => Self::busy("The write queue is full"),
            StoreError::Busy => Self::busy("The database is locked by another program"),
            StoreError::Closed => Self::busy("The service is stopping"),
            StoreError::Deadline => {
                Self::busy("The query took too long; ask for a shorter time range or fewer results")
            }
            StoreError::Unavailable { reason } => Self::Unavailable {
                detail: format!("The database cannot be used: {reason}"),
                retry_after: 5,
            },
            other => Self::internal(other),
        }
    }
}

/// The cause of a 500 on its way to the log, kept in the answer's extensions.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) Arc<str>);

#[derive(Serialize)]
struct Detail<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = match &self {
            Self::TooManyRequests { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(*retry_after)
            }
            _ => None,
        };
        // The contract has the number in the body of a 429 only.
        let in_body = retry_after.filter(|_| matches!(self, Self::TooManyRequests { .. }));
        let detail = self.to_string();
        let mut response = json(
            self.status(),
            &Detail {
                detail: &detail,
                retry_after: in_body,
            },
        );
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::MethodNotAllowed { allow } if !allow.is_empty() => {
                response
                    .headers_mut()
                    .insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::UnsupportedMedia(_) => {
                response.headers_mut().insert(
                    header::ACCEPT_ENCODING,
                    HeaderValue::from_static("gzip, deflate"),
                );
            }
            Self::Internal(cause) => {
                response
                    .extensions_mut()
                    .insert(Cause(format!("{cause:#}").into()));
            }
            _ => {}
        }
        response
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => json_text(status, text),
        // Only a map with keys that are no texts, or a failing `Serialize`, gets here: a bug.
        Err(fault) => ApiError::internal(fault).into_response(),
    }
}

/// A JSON answer whose text is there already.
pub fn json_text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: ApiError, status: u16, body: &str, retry_after: Option<&str>) {
        let response = error.into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(
            response.headers().get("content-type").unwrap(),
            "application/json"
        );
        let sent = response
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap());
        assert_eq!(sent, retry_after);
        let bytes =
            futures_util::FutureExt::now_or_never(axum::body::to_bytes(response.into_body(), 1024));
        assert_eq!(bytes.unwrap().unwrap(), body);
    }

    #[test]
    fn each_kind_has_its_status_and_text() {
        check(ApiError::invalid("no"), 400, r#"{"detail":"no"}"#, None);
        check(
            ApiError::Unauthorized(INVALID_KEY),
            401,
            r#"{"detail":"Invalid API key"}"#,
            None,
        );
        check(
            ApiError::Forbidden("x".into()),
            403,
            r#"{"detail":"x"}"#,
            None,
        );
        check(ApiError::no_route(), 404, r#"{"detail":"Not found"}"#, None);
        check(
            ApiError::MethodNotAllowed { allow: "GET" },
            405,
            r#"{"detail":"Method not allowed"}"#,
            None,
        );
        check(
            ApiError::Timeout,
            408,
            r#"{"detail":"Request body was not received in time"}"#,
            None,
        );
        check(
            ApiError::TooLarge,
            413,
            r#"{"detail":"Request body exceeds maximum size"}"#,
            None,
        );
        check(
            ApiError::TooManyRequests { retry_after: 29 },
            429,
            r#"{"detail":"Rate limit exceeded","retry_after":29}"#,
            Some("29"),
        );
        check(
            ApiError::BadGateway("up".into()),
            502,
            r#"{"detail":"up"}"#,
            None,
        );
        check(
            ApiError::busy("later"),
            503,
            r#"{"detail":"later"}"#,
            Some("1"),
        );
    }

    #[test]
    fn an_internal_error_keeps_its_cause_to_itself() {
        let error = ApiError::internal(anyhow::anyhow!("no such table: secrets"));
        let response = error.into_response();
        let cause = response.extensions().get::<Cause>().unwrap();
        assert_eq!(&*cause.0, "no such table: secrets");
        let error = ApiError::internal(anyhow::anyhow!("no such table: secrets"));
        check(error, 500, r#"{"detail":"Internal server error"}"#, None);
    }

    #[test]
    fn store_faults_are_worth_another_try_unless_they_are_bugs() {
        for (fault, status) in [
            (StoreError::Full, 503),
            (StoreError::Deadline, 503),
            (
                StoreError::Unavailable {
                    reason: "the disk is full".into(),
                },
                503,
            ),
            (StoreError::Panicked("index".into()), 500),
        ] {
            assert_eq!(ApiError::from(fault).status().as_u16(), status);
        }
    }
}
