//! The session of a browser: a signed cookie, so that pages need no key in JavaScript or in a URL.
//!
//! The token is `EXPIRY.MAC`: the second at which it ends, and an HMAC-SHA256 over service and
//! expiry under a key derived from the API key. Nothing is stored, so a session survives a restart,
//! and a new API key ends all sessions. The cookie is `monlight_<service>`, because browsers share
//! cookies between the ports of a host. It has no `Path`: browsers then use the directory of
//! `<prefix>/api/session`, which is `<prefix>/api` under any prefix a reverse proxy may have added.

use axum::http::{HeaderMap, HeaderValue, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Presented;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::query::nibble;
use crate::secret::Secret;

/// How long a session lasts.
pub const LIFETIME_SECONDS: i64 = 30 * 24 * 3600;
/// A session that is older is renewed when its browser asks about it.
const RENEW_AFTER_SECONDS: i64 = 24 * 3600;
/// The header that a page sends with each write, and that a form of another site cannot send.
const PROOF: (&str, &[u8]) = ("x-requested-with", b"monlight");

/// Makes and checks the session tokens of one service.
#[derive(Clone)]
pub struct Sessions {
    cookie: String,
    service: String,
    mac: Hmac<Sha256>,
    clock: Clock,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions of `service` that end when `key` changes.
    pub fn new(service: &str, key: &Secret, clock: &Clock) -> Self {
        let mut derive = keyed(key.expose().as_bytes());
        derive.update(b"monlight session 1");
        Self {
            cookie: format!("monlight_{service}"),
            service: service.to_owned(),
            mac: keyed(&derive.finalize().into_bytes()),
            clock: clock.clone(),
        }
    }

    /// The `Set-Cookie` of a new session. `secure` keeps it off unencrypted connections.
    pub fn start(&self, secure: bool) -> HeaderValue {
        let expiry = self.now() + LIFETIME_SECONDS;
        let mac = self.mac_of(expiry).finalize().into_bytes();
        let mut token = format!("{expiry}.");
        for byte in mac {
            token.extend(
                [byte >> 4, byte & 15]
                    .map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or_default()),
            );
        }
        self.set_cookie(&token, LIFETIME_SECONDS, secure)
    }

    /// The `Set-Cookie` that ends a session.
    pub fn end(&self, secure: bool) -> HeaderValue {
        self.set_cookie("", 0, secure)
    }

    /// Whether the request carries a session that has not ended.
    pub fn opens(&self, headers: &HeaderMap) -> bool {
        self.expiry(headers).is_some()
    }

    /// Whether the session of the request is old enough to be renewed.
    pub fn is_worth_renewing(&self, headers: &HeaderMap) -> bool {
        self.expiry(headers)
            .is_some_and(|expiry| expiry - self.now() < LIFETIME_SECONDS - RENEW_AFTER_SECONDS)
    }

    /// The end of the session in the request, in Unix seconds. A browser may send several cookies
    /// of one name (of other paths), so each is tried.
    fn expiry(&self, headers: &HeaderMap) -> Option<i64> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == self.cookie)
            .find_map(|(_, token)| self.verify(token))
    }

    fn verify(&self, token: &str) -> Option<i64> {
        let (expiry, mac) = token.split_once('.')?;
        if expiry.is_empty() || !expiry.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let expiry = expiry.parse().ok()?;
        self.mac_of(expiry).verify_slice(&from_hex(mac)?).ok()?;
        (self.now() < expiry).then_some(expiry)
    }

    fn mac_of(&self, expiry: i64) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(self.service.as_bytes());
        mac.update(&[0]);
        mac.update(&expiry.to_be_bytes());
        mac
    }

    fn now(&self) -> i64 {
        self.clock.now_ms().div_euclid(1000)
    }

    fn set_cookie(&self, token: &str, max_age: i64, secure: bool) -> HeaderValue {
        let secure = if secure { "; Secure" } else { "" };
        let text = format!(
            "{}={token}; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}",
            self.cookie
        );
        // Service names, digits and hex digits are all fit for a header.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Refuses a write by cookie that a page of another origin may have caused. It must carry
/// `X-Requested-With: monlight`, which needs the consent of CORS from elsewhere, and what the
/// browser says about its origin must agree. `SameSite=Strict` alone lets other ports of the host in.
pub fn require_same_origin_write(request: &Presented<'_>) -> Result<(), ApiError> {
    if request.method.is_safe() {
        return Ok(());
    }
    let (name, value) = PROOF;
    if request
        .headers
        .get(name)
        .is_none_or(|given| given.as_bytes() != value)
    {
        return Err(ApiError::Forbidden(
            "Writing with a session needs the header X-Requested-With: monlight".to_owned(),
        ));
    }
    require_same_origin(request)
}

/// Refuses a request that, by its own browser's word, comes from a page of another origin.
pub fn require_same_origin(request: &Presented<'_>) -> Result<(), ApiError> {
    let text = |name: &str| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let same = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map_or(origin, |(_, host)| host);
            // Behind a proxy the name that the browser knows may be in a header of the proxy.
            let known = [
                text("host"),
                text("x-forwarded-host").filter(|_| request.client.proxied),
            ];
            known
                .into_iter()
                .flatten()
                .any(|known| known.eq_ignore_ascii_case(host))
        }
        // No browser in use leaves out both on a write.
        (None, None) => true,
    };
    same.then_some(()).ok_or_else(|| {
        ApiError::Forbidden(
            "Writing with a session is only possible from the service's own pages".to_owned(),
        )
    })
}

/// An HMAC takes keys of any length, so this cannot fail.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "an HMAC takes keys of any length")]
    Hmac::new_from_slice(key).expect("any length will do")
}

/// 32 bytes from 64 lower-case hexadecimal digits.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        *byte = nibble(digits[0])? << 4 | nibble(digits[1])?;
    }
    Some(bytes)
}
