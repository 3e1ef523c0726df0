//! Source maps, taken apart once when they are uploaded.
//!
//! A map of 5 MiB holds some 800,000 tokens. Read as a whole it needs more memory than the service may use, and read
//! for every error it costs more time than all else. So an upload is read twice as it streams by: [`survey`] checks
//! its shape and counts, [`decode`] turns it into small rows: blocks of at most 64 [`Token`]s in the order of the
//! generated code ([`block`]), source paths, chunks of names, and, where the map carries the original text, its lines
//! and the functions around them. A frame is then one look-up of the last block that begins at or before it.
//!
//! What a map says is never trusted: every number is bounded, every list is counted, and a fault names its place.
//!
//! The format is ECMA-426 (source map revision 3), with index maps.

pub(crate) mod block;
pub(crate) mod content;
pub(crate) mod decode;
pub(crate) mod names;
pub(crate) mod survey;
mod tokens;
mod vlq;

use std::borrow::Cow;
use std::io;

use super::{json, percent};

/// What every refusal begins with; the contract's text.
const INVALID: &str = "Invalid source map format";

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MapFault {
    /// It is no source map, or this part of it is wrong.
    #[error("{INVALID}{}{}", if .0.is_empty() { "" } else { ": " }, .0)]
    Invalid(String),
    /// It could not be read; not the map's fault.
    #[error("failed to read the source map")]
    Read(#[source] io::Error),
}

impl MapFault {
    /// Not a map at all: the contract's text without details.
    fn no_map() -> Self {
        Self::Invalid(String::new())
    }

    fn at(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }
}

impl From<json::Fault> for MapFault {
    fn from(fault: json::Fault) -> Self {
        match fault {
            json::Fault::Input(error) => Self::Read(error),
            json::Fault::Syntax { .. } => Self::no_map(),
        }
    }
}

/// One entry of the mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Token {
    /// In the generated code, from 0.
    pub(crate) line: u32,
    /// From 0, in UTF-16 code units.
    pub(crate) column: u32,
    /// None when the generated code from here on comes from no source.
    pub(crate) original: Option<Original>,
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Original {
    pub(crate) source: u32,
    /// From 0.
    pub(crate) line: u32,
    /// From 0.
    pub(crate) column: u32,
    pub(crate) name: Option<u32>,
}

/// The path of a source below a `sourceRoot`: joined, with `.` and `..` resolved. An absolute path or URL stays as it
/// is, and so does everything when there is no root.
pub(crate) fn resolve(root: Option<&str>, source: &str) -> String {
    let root = root.unwrap_or_default();
    if root.is_empty() || source.starts_with('/') || source.contains("://") {
        return source.to_owned();
    }
    let joined = format!("{}/{source}", root.trim_end_matches('/'));
    let (prefix, path) = match joined.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{host}/"), path)
        }
        None => match joined.strip_prefix('/') {
            Some(path) => ("/".to_owned(), path),
            None => (String::new(), joined.as_str()),
        },
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." if parts.last().is_some_and(|part| *part != "..") => drop(parts.pop()),
            ".." if prefix.is_empty() => parts.push(part),
            // Above the top of a URL there is only the top.
            "" | "." | ".." => {}
            part => parts.push(part),
        }
    }
    prefix + &parts.join("/")
}

/// The path by which a file is looked up: a URL without scheme and host, anything else as it is. The query stays, as
/// `app.js?v=3` may be another file than `app.js?v=4`.
pub(crate) fn lookup_path(file: &str) -> &str {
    match file.split_once("://") {
        Some((_, rest)) => rest
            .find('/')
            .and_then(|slash| rest.get(slash..))
            .unwrap_or("/"),
        None => file,
    }
}

/// The [`lookup_path`] of a file as maps are found by it: what is percent-encoded is read, as a build writes `[id].js` where
/// a browser says `%5Bid%5D.js`. The query stays as it is, and so do characters that would mean something else then.
pub(crate) fn plain_path(file: &str) -> Cow<'_, str> {
    let path = lookup_path(file);
    let (bare, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let decoded = percent::decoded(bare, |byte| {
        !byte.is_ascii_control() && !b"/?#%".contains(&byte)
    });
    match decoded {
        Some(decoded) => Cow::Owned(decoded + query),
        None => Cow::Borrowed(path),
    }
}

/// The last part of a path, without its query.
pub(crate) fn file_name(path: &str) -> &str {
    let bare = path.split('?').next().unwrap_or_default();
    bare.rsplit('/').next().unwrap_or_default()
}

/// Whether a map uploaded for `map_path` may be that of a script at `path`: of two paths of different length, the shorter
/// one must be the end of the longer, part by part. `app.js` and `dist/assets/app.js` fit `/assets/app.js`, `dist/app.js`
/// does not. The query of the script counts only when the map's path has one.
pub(crate) fn is_suffix(map_path: &str, path: &str) -> bool {
    let bare = |path| str::split(path, '?').next().unwrap_or_default();
    let path = if map_path.contains('?') {
        path
    } else {
        bare(path)
    };
    let parts = |path| {
        let parts = str::split(path, '/').rev();
        parts.filter(|part| !matches!(*part, "" | "." | "~"))
    };
    let (mut of_map, mut of_script) = (parts(map_path), parts(path));
    loop {
        match (of_map.next(), of_script.next()) {
            (Some(one), Some(other)) if one == other => {}
            (Some(_), Some(_)) => return false,
            (None, _) | (_, None) => return true,
        }
    }
}

#[cfg(test)]
mod tests;
