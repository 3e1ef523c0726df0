//! Pages and their files: embedded, checked by ETag, compressed as stored, under a strict policy.
//!
//! A page may load scripts, styles, images and fonts from its own origin, talk to its own origin,
//! and nothing else: no inline code, no frames, no forms, no base. Answers are `no-cache`, so a
//! browser asks each time and mostly hears 304; after an upgrade nobody sees an old page.

use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::Response;

/// One file of a page, embedded at compile time.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Relative to the root, as in `app.js`.
    pub path: &'static str,
    /// As in `text/html; charset=utf-8`.
    pub content_type: &'static str,
    /// A strong ETag with its quotes.
    pub etag: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    /// The file, compressed by gzip.
    pub gzip: Option<&'static [u8]>,
}

/// What a page may do.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// All pages of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    assets: &'static [Asset],
    pages: &'static [(&'static str, &'static str)],
    /// Where a debug build takes the files from instead.
    directory: Option<PathBuf>,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    Embedded(&'static Asset),
    File(PathBuf),
}

impl Site {
    /// Serves each asset at its path, and for each `(pattern, path)` of `pages` that asset at the
    /// pattern. `directory` counts in debug builds only.
    pub(super) fn new(
        assets: &'static [Asset],
        pages: &'static [(&'static str, &'static str)],
        directory: Option<PathBuf>,
    ) -> Self {
        Self {
            assets,
            pages,
            directory: directory.filter(|_| cfg!(debug_assertions)),
        }
    }

    /// The file behind a path of a request.
    pub(super) fn find(&self, path: &str) -> Option<Found> {
        let page = self
            .pages
            .iter()
            .find(|(pattern, _)| matches(pattern, path));
        let name = page.map_or_else(
            || path.strip_prefix('/').unwrap_or_default(),
            |(_, name)| *name,
        );
        if let Some(directory) = &self.directory {
            let file = inside(directory, name).filter(|file| file.is_file());
            return file.map(Found::File);
        }
        self.assets
            .iter()
            .find(|asset| asset.path == name)
            .map(Found::Embedded)
    }
}

/// Whether a path fits a pattern, in which `{...}` stands for one segment of digits.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let fits = pattern.split('/').all(|expected| {
        let Some(segment) = segments.next() else {
            return false;
        };
        if expected.starts_with('{') {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
        } else {
            segment == expected
        }
    });
    fits && segments.next().is_none()
}

/// A file below `directory`, unless the name tries to leave it.
fn inside(directory: &Path, name: &str) -> Option<PathBuf> {
    let relative = Path::new(name);
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (plain && !name.is_empty()).then(|| directory.join(relative))
}

/// The answer to a GET or HEAD of a page or one of its files.
pub(super) fn answer<B>(found: &Found, request: &Request<B>) -> Response {
    let mut response = match found {
        Found::Embedded(asset) => embedded(asset, request.headers()),
        Found::File(path) => from_disk(path),
    };
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn embedded(asset: &'static Asset, asked: &HeaderMap) -> Response {
    let gzip = asset.gzip.filter(|_| accepts_gzip(asked));
    // A strong ETag names the bytes, so the compressed ones have another.
    let etag = match gzip {
        Some(_) => format!("{}-gz\"", asset.etag.trim_end_matches('"')),
        None => asset.etag.to_owned(),
    };
    let fresh = is_fresh(asked, asset.etag);
    let mut response = Response::new(match (fresh, gzip) {
        (true, _) => Body::empty(),
        (false, Some(gzip)) => Body::from(gzip),
        (false, None) => Body::from(asset.bytes),
    });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    if asset.gzip.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if !fresh {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(asset.content_type),
        );
        if gzip.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    response
}

/// Whether the browser has the file already. `If-None-Match` compares weakly (RFC 9110, 13.1.2),
/// and either form of the file will do.
fn is_fresh(asked: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| {
        let tag = tag
            .trim()
            .trim_start_matches("W/")
            .trim_matches('"')
            .to_owned();
        tag.strip_suffix("-gz").map(str::to_owned).unwrap_or(tag)
    };
    let known = opaque(etag);
    asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == known)
}

/// Whether the client takes gzip: named, or by `*`, and not with a weight of 0.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|codings| codings.split(','))
            .find_map(|coding| {
                let mut parts = coding.split(';');
                let name = parts.next().unwrap_or_default().trim();
                name.eq_ignore_ascii_case(wanted).then(|| {
                    let q = parts.find_map(|part| part.trim().strip_prefix("q="));
                    q.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0)
                })
            })
    };
    weight("gzip")
        .or_else(|| weight("*"))
        .is_some_and(|weight| weight > 0.0)
}

/// A file of `UI_DIR`, for working on the pages: read each time, never cached.
fn from_disk(path: &Path) -> Response {
    let (status, body) = match std::fs::read(path) {
        Ok(bytes) => (StatusCode::OK, Body::from(bytes)),
        Err(fault) => {
            tracing::error!(path = %path.display(), %fault, "cannot read a file of UI_DIR");
            (StatusCode::NOT_FOUND, Body::empty())
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(path)),
    );
    response
}

fn content_type(path: &Path) -> &'static str {
    match path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
    {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ASSETS: &[Asset] = &[
        Asset {
            path: "app.js",
            content_type: "text/javascript; charset=utf-8",
            etag: "\"0123\"",
            bytes: b"alert(1)",
            gzip: Some(b"zzz"),
        },
        Asset {
            path: "index.html",
            content_type: "text/html; charset=utf-8",
            etag: "\"4567\"",
            bytes: b"<!doctype html>",
            gzip: None,
        },
    ];

    static PAGES: &[(&str, &str)] = &[("/", "index.html"), ("/errors/{id}", "index.html")];

    fn site() -> Site {
        Site::new(ASSETS, PAGES, None)
    }

    #[track_caller]
    fn leads_to(path: &str, expected: Option<&str>) {
        let found = site().find(path).map(|found| match found {
            Found::Embedded(asset) => asset.path,
            Found::File(path) => panic!("{path:?} is on the disk"),
        });
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_lead_to_files() {
        leads_to("/", Some("index.html"));
        leads_to("/index.html", Some("index.html"));
        leads_to("/app.js", Some("app.js"));
        leads_to("/errors/12", Some("index.html"));
        for nothing in [
            "",
            "//",
            "/app.jsx",
            "/errors",
            "/errors/",
            "/errors/x",
            "/errors/1/",
            "/errors/1/2",
            "/favicon.ico",
        ] {
            leads_to(nothing, None);
        }
    }

    #[test]
    fn a_directory_is_not_left() {
        for name in ["../x", "a/../../x", "/etc/passwd", "", "a/./../.."] {
            assert_eq!(inside(Path::new("/ui"), name), None, "{name}");
        }
        assert_eq!(
            inside(Path::new("/ui"), "a/b.js"),
            Some("/ui/a/b.js".into())
        );
    }

    fn get(path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(
            &site().find(path).expect("there is a page"),
            &request.body(()).unwrap(),
        )
    }

    #[track_caller]
    fn check(
        path: &str,
        headers: &[(&str, &str)],
        status: u16,
        etag: &str,
        encoding: Option<&str>,
    ) {
        let response = get(path, headers);
        assert_eq!(response.status().as_u16(), status, "{headers:?}");
        assert_eq!(response.headers()["etag"], etag, "{headers:?}");
        let sent = response
            .headers()
            .get("content-encoding")
            .map(|value| value.to_str().unwrap());
        assert_eq!(sent, encoding, "{headers:?}");
    }

    #[test]
    fn etags_name_the_bytes() {
        check("/", &[], 200, "\"4567\"", None);
        check("/", &[("Accept-Encoding", "gzip")], 200, "\"4567\"", None);
        check("/app.js", &[], 200, "\"0123\"", None);
        check(
            "/app.js",
            &[("Accept-Encoding", "br, gzip")],
            200,
            "\"0123-gz\"",
            Some("gzip"),
        );
        check(
            "/app.js",
            &[("Accept-Encoding", "gzip;q=0")],
            200,
            "\"0123\"",
            None,
        );
        check(
            "/app.js",
            &[("Accept-Encoding", "gzip;q=0, *")],
            200,
            "\"0123\"",
            None,
        );
        check(
            "/app.js",
            &[("Accept-Encoding", "*;q=0.5")],
            200,
            "\"0123-gz\"",
            Some("gzip"),
        );
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        for tag in [
            "\"0123\"",
            "W/\"0123\"",
            "\"0123-gz\"",
            "\"9\", \"0123\"",
            "*",
        ] {
            check("/app.js", &[("If-None-Match", tag)], 304, "\"0123\"", None);
        }
        for tag in ["\"0124\"", "0123x", ""] {
            check("/app.js", &[("If-None-Match", tag)], 200, "\"0123\"", None);
        }
        let response = get(
            "/app.js",
            &[("If-None-Match", "*"), ("Accept-Encoding", "gzip")],
        );
        assert_eq!(response.headers()["etag"], "\"0123-gz\"");
        assert!(!response.headers().contains_key("content-type"));
    }

    #[test]
    fn pages_come_with_their_policy() {
        let response = get("/", &[]);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-cache");
    }
}
