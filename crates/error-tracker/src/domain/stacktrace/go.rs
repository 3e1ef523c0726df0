//! Two lines for a frame: `main.(*Cart).Total(0xc000010000)` and `\t/app/cart.go:42 +0x1d`. Stacks
//! of error packages leave out the arguments and the offset.

use super::path;
use super::place::{Place, number};
use super::{Frame, Language};

/// First elements of the packages of the standard library.
const STANDARD: [&str; 56] = [
    "archive",
    "bufio",
    "builtin",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "panic",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
    "cmd",
    "arena",
    "_cgo_export",
    "_rt0_amd64",
];

/// Reads the second line.
pub(super) fn place(body: &str) -> Option<Place<'_>> {
    let (stem, rest) = body.rsplit_once(".go:")?;
    let file = body.get(..stem.len() + 3)?;
    let digits = rest.split_once(" +0x").map_or(rest, |(digits, _)| digits);
    Some(Place {
        file,
        line: number(digits)?,
        column: None,
    })
}

/// The frame, unless the first line is none, such as `created by ...`.
pub(super) fn frame<'t>(first_line: &'t str, place: Place<'t>) -> Option<Frame<'t>> {
    let function = match first_line.strip_suffix(')') {
        Some(call) => call.rsplit_once('(')?.0,
        None => first_line,
    };
    let named = function.contains('.') || function == "panic";
    if !named || function.contains([' ', '\t']) || function.ends_with(':') {
        return None;
    }
    Some(Frame {
        language: Language::Go,
        function,
        file: place.file,
        line: Some(place.line),
        column: None,
        in_app: !is_library(function, place.file),
    })
}

fn is_library(function: &str, file: &str) -> bool {
    let first = function.split(['/', '.']).next().unwrap_or_default();
    if STANDARD.contains(&first) {
        return true;
    }
    let mut above = "";
    path::components(file).any(|component| {
        let parent = std::mem::replace(&mut above, component);
        component == "vendor" || component.contains("@v") || parent == "pkg" && component == "mod"
    })
}

/// The function without the numbers of anonymous functions.
pub(super) fn stable_function(function: &str, out: &mut String) {
    for (index, part) in function.split('.').enumerate() {
        let kind = ["func", "gowrap", "deferwrap"].into_iter().find(|kind| {
            part.strip_prefix(kind)
                .is_some_and(|rest| number(rest).is_some())
        });
        if number(part).is_some() {
            continue;
        }
        if index > 0 {
            out.push('.');
        }
        out.push_str(kind.unwrap_or(part));
    }
}
