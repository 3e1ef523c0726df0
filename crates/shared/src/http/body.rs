//! Request bodies: limited, inflated, and together never more than [`IN_FLIGHT_BYTES`].
//!
//! A body is read whole, because every door of the services takes a document, not a stream. Three
//! bounds keep that safe: the limit of the route counts for the bytes as sent and as inflated; all
//! bodies in flight share one budget, of which each takes its part before it is read; the server
//! ends a body that does not come (see [`server`](super::server)). A share is held until the last
//! clone of the bytes is dropped, so the budget is about memory, not about reading.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{ApiError, UNREADABLE_BODY};
use super::front::RequestContext;
use crate::metrics::{Counter, Registry};

/// What all request bodies of a service may hold in memory at the same time.
pub const IN_FLIGHT_BYTES: usize = 8 * 1024 * 1024;
/// How long a request waits for its share before it gets a 503.
pub const WAIT_FOR_SHARE: Duration = Duration::from_secs(1);

/// A body whose length is not known takes its share in steps of at least this.
const STEP_BYTES: usize = 16 * 1024;

/// The whole body of a request, inflated. `.0` gives the bytes.
///
/// The limit is that of the route (see [`App::body_limit`](super::App::body_limit)). Refuses with
/// 413 (too long, as sent or inflated), 415 (unknown `Content-Encoding`), 400 (ended early, not
/// valid HTTP, not what its encoding says), 408 (too slow), 503 (no room now).
#[derive(Clone, Debug, Default)]
pub struct ApiBytes(pub Bytes);

impl<S: Sync> FromRequest<S> for ApiBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let Some(rules) = request
            .extensions()
            .get::<RequestContext>()
            .map(|ctx| ctx.body.clone())
        else {
            return Err(ApiError::internal(anyhow::anyhow!(
                "a route reads its body outside of App"
            )));
        };
        let (parts, body) = request.into_parts();
        read(&parts.headers, body, &rules).await.map(Self)
    }
}

/// How the body of one request is read.
#[derive(Clone, Debug)]
pub struct BodyRules {
    /// The most bytes, as sent and as inflated.
    pub limit: usize,
    /// Where its share comes from.
    pub budget: BodyBudget,
}

/// Reads a whole body; see [`ApiBytes`].
pub async fn read(headers: &HeaderMap, body: Body, rules: &BodyRules) -> Result<Bytes, ApiError> {
    let encoding = Encoding::of(headers)?;
    let mut share = Share {
        budget: &rules.budget,
        held: None,
    };
    let raw = collect(body, rules.limit, &mut share).await?;
    let bytes = match encoding {
        Encoding::Identity => raw,
        _ if raw.is_empty() => raw,
        encoding => Bytes::from(inflate(&raw, encoding, rules.limit, &mut share).await?),
    };
    Ok(share.attach(bytes))
}

/// Refuses a body whose declared length is over the limit, before any of it is read.
pub fn check_declared(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    match declared {
        Some(length) if length > limit as u64 => Err(ApiError::TooLarge),
        _ => Ok(()),
    }
}

/// The room that all bodies in flight share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    room: Arc<Semaphore>,
    size: usize,
    refused: Counter,
}

impl BodyBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize, metrics: &Registry) -> Self {
        let size = bytes.min(u32::MAX as usize);
        let room = Arc::new(Semaphore::new(size));
        let seen = Arc::downgrade(&room);
        metrics.gauge_fn(
            "monlight_http_body_bytes_in_flight",
            "Memory taken by request bodies that are being read or worked on.",
            &[],
            move || {
                seen.upgrade().map_or(0.0, |room| {
                    (size - room.available_permits().min(size)) as f64
                })
            },
        );
        metrics
            .gauge(
                "monlight_http_body_bytes_max",
                "The most that all request bodies may take.",
                &[],
            )
            .set(size as i64);
        let refused = metrics.counter(
            "monlight_http_body_budget_refused_total",
            "Requests refused because other bodies took all the room.",
            &[],
        );
        Self {
            room,
            size,
            refused,
        }
    }

    /// Waits for room; 503 when there is none in time.
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        // More than everything is never free; the limit of the route has its own say.
        let permits = bytes.min(self.size) as u32;
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(permits) {
            return Ok(permit);
        }
        let waiting = Arc::clone(&self.room).acquire_many_owned(permits);
        // The semaphore is never closed, so the inner result is always a permit.
        if let Ok(Ok(permit)) = tokio::time::timeout(WAIT_FOR_SHARE, waiting).await {
            return Ok(permit);
        }
        self.refused.inc();
        Err(ApiError::busy("Too many large requests at the same time"))
    }
}

/// What one body holds of the budget.
struct Share<'b> {
    budget: &'b BodyBudget,
    held: Option<OwnedSemaphorePermit>,
}

impl Share<'_> {
    fn bytes(&self) -> usize {
        self.held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Makes the share at least `bytes`.
    async fn cover(&mut self, bytes: usize) -> Result<(), ApiError> {
        let bytes = bytes.min(self.budget.size);
        if bytes <= self.bytes() {
            return Ok(());
        }
        let more = self.budget.take(bytes - self.bytes()).await?;
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// [`Share::cover`] for bytes that were not announced: a little more at a time.
    async fn cover_growing(&mut self, bytes: usize) -> Result<(), ApiError> {
        if bytes <= self.bytes() {
            Ok(())
        } else {
            self.cover(bytes.max(self.bytes() + STEP_BYTES)).await
        }
    }

    /// Ties the share to the bytes it is for.
    fn attach(self, bytes: Bytes) -> Bytes {
        match self.held {
            Some(share) => Bytes::from_owner(Held {
                bytes,
                _share: share,
            }),
            None => bytes,
        }
    }
}

struct Held {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why the server gave up on a body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub(super) struct Stalled;

/// The body as it was sent. A body that came in one piece is not copied.
async fn collect(mut body: Body, limit: usize, share: &mut Share<'_>) -> Result<Bytes, ApiError> {
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(ApiError::TooLarge);
    }
    let declared = hint.exact().map(|exact| exact as usize);
    share.cover(declared.unwrap_or(0)).await?;
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that we need.
        let Ok(data) = frame.map_err(reading_fault)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > limit {
            return Err(ApiError::TooLarge);
        }
        share.cover_growing(length).await?;
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve_exact(declared.unwrap_or(length));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() {
        first
    } else {
        Bytes::from(whole)
    })
}

fn reading_fault(fault: axum::Error) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&fault);
    while let Some(error) = cause {
        if error.is::<Stalled>() {
            return ApiError::Timeout;
        }
        cause = error.source();
    }
    ApiError::invalid(UNREADABLE_BODY)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let known = match value
            .as_bytes()
            .trim_ascii()
            .to_ascii_lowercase()
            .as_slice()
        {
            b"" | b"identity" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            _ => None,
        };
        known.filter(|_| values.next().is_none()).ok_or_else(|| {
            ApiError::UnsupportedMedia(
                "Unsupported Content-Encoding: expected gzip, deflate or identity".to_owned(),
            )
        })
    }

    fn decoder<'r>(self, raw: &'r [u8]) -> Box<dyn Read + Send + 'r> {
        match self {
            Self::Identity => Box::new(raw),
            Self::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Self::Deflate if has_zlib_header(raw) => Box::new(ZlibDecoder::new(raw)),
            Self::Deflate => Box::new(DeflateDecoder::new(raw)),
        }
    }
}

/// `deflate` means zlib (RFC 9110, 8.4.1.2), but some clients send the bare stream. The first two
/// bytes tell them apart (RFC 1950, 2.2).
fn has_zlib_header(raw: &[u8]) -> bool {
    matches!(raw, [method, flags, ..] if method & 15 == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}

/// Inflates step by step, so that a bomb is noticed when it passes the limit, not when it is done.
async fn inflate(
    raw: &[u8],
    encoding: Encoding,
    limit: usize,
    share: &mut Share<'_>,
) -> Result<Vec<u8>, ApiError> {
    let mut decoder = encoding.decoder(raw);
    let mut step = vec![0; STEP_BYTES];
    let mut out = Vec::new();
    loop {
        let count = decoder.read(&mut step).map_err(|_| {
            let name = if encoding == Encoding::Gzip {
                "gzip"
            } else {
                "deflate"
            };
            ApiError::Invalid(format!("Request body is not valid {name} data"))
        })?;
        if count == 0 {
            return Ok(out);
        }
        if out.len() + count > limit {
            return Err(ApiError::TooLarge);
        }
        share.cover_growing(raw.len() + out.len() + count).await?;
        out.extend_from_slice(step.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
