//! Who may come in: API keys, the session of a browser, and a brake on guessing.
//!
//! A key comes in `X-API-Key`; only without that header in `?api_key=`; for scrapers of
//! `GET /metrics` also in `Authorization: Bearer`. A browser signs in once with the key and gets a
//! [session cookie](session). Keys are compared as SHA-256 digests in constant time, so an answer's
//! time says nothing about them. Wrong keys are counted per address: above
//! [`WRONG_KEYS_A_MINUTE`] they get 429, while a right key is never refused because of them.
//! Nothing here logs a key, a cookie or a header.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, Method, Request, Uri, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::address::Client;
use super::error::{ApiError, INVALID_KEY};
use super::query::decode;
use super::rate_limit::RateLimit;
use crate::clock::Clock;
use crate::metrics::Registry;
use crate::secret::Secret;

pub mod session;

use session::Sessions;

/// Wrong keys from one address that get a 401 within a minute; more get a 429.
pub const WRONG_KEYS_A_MINUTE: u32 = 600;

/// How a caller got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// With the API key.
    Key,
    /// With the key of the other services, which has no rate limit.
    Internal,
    /// With a session cookie.
    Session,
}

/// Where a request may carry its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doors {
    /// Header, query, cookie.
    Usual,
    /// Also `Authorization: Bearer`, as scrapers send it.
    WithBearer,
}

/// The parts of a request that say who is asking.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'r> {
    /// The method: writes with a cookie need proof of their origin.
    pub method: &'r Method,
    /// The target, for `?api_key=`.
    pub uri: &'r Uri,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// Where it comes from.
    pub client: Client,
}

impl<'r> Presented<'r> {
    /// The parts of `request`.
    pub fn by<B>(request: &'r Request<B>, client: Client) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            client,
        }
    }
}

/// Checks keys and sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: KeyDigest,
    internal: Option<KeyDigest>,
    sessions: Sessions,
    wrong_keys: RateLimit<IpAddr>,
}

impl Auth {
    /// Opens to `key`, to `internal` if there is one, and to sessions signed with `key`.
    pub fn new(
        service: &str,
        key: &Secret,
        internal: Option<&Secret>,
        clock: &Clock,
        metrics: &Registry,
    ) -> Self {
        Self(Arc::new(Inner {
            key: KeyDigest::of(key),
            internal: internal.map(KeyDigest::of),
            sessions: Sessions::new(service, key, clock),
            wrong_keys: RateLimit::new(WRONG_KEYS_A_MINUTE, "wrong_keys", clock, metrics),
        }))
    }

    /// Who is asking; 401 without a key or with a wrong one, 429 after too many wrong ones, 403 for
    /// a write by cookie that may come from another site.
    pub fn check(&self, request: &Presented<'_>, doors: Doors) -> Result<Caller, ApiError> {
        // A header that is there is final, even when it is empty and the query has the right key.
        if let Some(value) = request.headers.get("x-api-key") {
            return self.by_key(value.as_bytes().trim_ascii(), request.client);
        }
        if let Some(raw) = request.uri.query().and_then(key_in_query) {
            return self.by_query(raw, request.client);
        }
        if let Some(token) = bearer(request.headers).filter(|_| doors == Doors::WithBearer) {
            return self.by_key(token, request.client);
        }
        if self.0.sessions.opens(request.headers) {
            session::require_same_origin_write(request)?;
            return Ok(Caller::Session);
        }
        Err(ApiError::Unauthorized(INVALID_KEY))
    }

    /// Whether `key` is the API key, as a person typed it.
    pub fn sign_in(&self, key: &str, client: Client) -> Result<(), ApiError> {
        if self.0.key.matches(key.trim().as_bytes()) {
            return Ok(());
        }
        Err(self.wrong_key(client))
    }

    /// The sessions of this service.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    fn by_key(&self, given: &[u8], client: Client) -> Result<Caller, ApiError> {
        self.caller(given).ok_or_else(|| self.wrong_key(client))
    }

    /// A key in the query counts as it stands or percent-decoded: both have been in use.
    fn by_query(&self, raw: &str, client: Client) -> Result<Caller, ApiError> {
        let decoded = decode(raw);
        self.caller(raw.as_bytes())
            .or_else(|| self.caller(decoded.as_bytes()))
            .ok_or_else(|| self.wrong_key(client))
    }

    fn caller(&self, given: &[u8]) -> Option<Caller> {
        let given = Sha256::digest(given);
        if self.0.key.is(&given) {
            return Some(Caller::Key);
        }
        self.0
            .internal
            .as_ref()
            .filter(|key| key.is(&given))
            .map(|_| Caller::Internal)
    }

    fn wrong_key(&self, client: Client) -> ApiError {
        match self.0.wrong_keys.check(&client.network()) {
            Ok(()) => ApiError::Unauthorized(INVALID_KEY),
            Err(retry) => retry.into(),
        }
    }
}

/// A key as its digest: all that is needed to recognise it, and of one length for all keys.
#[derive(Clone)]
struct KeyDigest([u8; 32]);

impl KeyDigest {
    fn of(key: &Secret) -> Self {
        Self(Sha256::digest(key.expose().as_bytes()).into())
    }

    fn is(&self, given: &[u8]) -> bool {
        self.0.as_slice().ct_eq(given).into()
    }

    fn matches(&self, given: &[u8]) -> bool {
        self.is(&Sha256::digest(given))
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// The first `api_key` with a value, not decoded.
fn key_in_query(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, value)| *name == "api_key" && !value.is_empty())
        .map(|(_, value)| value)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests;
