//! V8 (`at name (file:line:column)`), Firefox and Safari (`name@file:line:column`).

use super::path;
use super::place::{BLANKS, Place};
use super::{Frame, Language};

/// Hosts that serve libraries to pages of others.
const LIBRARY_HOSTS: [&str; 10] = [
    "ajax.googleapis.com",
    "cdn.jsdelivr.net",
    "cdnjs.cloudflare.com",
    "code.jquery.com",
    "connect.facebook.net",
    "esm.sh",
    "js.stripe.com",
    "unpkg.com",
    "www.google-analytics.com",
    "www.googletagmanager.com",
];

/// Schemes of files that are no app's.
const LIBRARY_SCHEMES: [&str; 10] = [
    "node",
    "deno",
    "ext",
    "bun",
    "chrome-extension",
    "moz-extension",
    "safari-extension",
    "safari-web-extension",
    "chrome",
    "resource",
];

/// Modules of Node as versions before 15 name them.
const NODE_MODULES: [&str; 18] = [
    "assert.js",
    "async_hooks.js",
    "child_process.js",
    "dgram.js",
    "dns.js",
    "domain.js",
    "events.js",
    "fs.js",
    "module.js",
    "net.js",
    "readline.js",
    "repl.js",
    "stream.js",
    "timers.js",
    "tls.js",
    "util.js",
    "vm.js",
    "zlib.js",
];

/// Names of chunks that bundlers make of libraries and of themselves.
const LIBRARY_CHUNKS: [&str; 6] = [
    "vendor",
    "vendors",
    "framework",
    "polyfills",
    "webpack",
    "runtime",
];

/// Reads what follows `at `.
pub(super) fn v8(rest: &str) -> Option<Frame<'_>> {
    let rest = rest.strip_suffix(" {").unwrap_or(rest);
    named(rest).or_else(|| bare(rest))
}

/// `name (place)`
fn named(rest: &str) -> Option<Frame<'_>> {
    let (before, after) = rest.split_once('(')?;
    let name = before.strip_suffix(' ')?;
    let (inside, _) = after.rsplit_once(')')?;
    if !is_name(name) {
        return None;
    }
    let native =
        ["<anonymous>", "native", "native code"].contains(&inside) || inside.starts_with("index ");
    if native {
        return Some(frame(name, "", None, None));
    }
    let inside = inside.strip_prefix("address at ").unwrap_or(inside);
    let place = match inside.strip_prefix("eval at ") {
        // The innermost parentheses hold the place of the script that called `eval`.
        Some(evaluated) => evaluated.rsplit_once('(')?.1.split_once(')')?.0,
        None => inside,
    };
    let place = Place::read(place).filter(Place::has_path)?;
    Some(frame(name, place.file, Some(place.line), place.column))
}

/// A place alone, always with a column.
fn bare(rest: &str) -> Option<Frame<'_>> {
    let place = rest.strip_prefix("async ").unwrap_or(rest);
    let place = Place::read(place).filter(Place::has_path)?;
    if place.column.is_none() || place.file.contains(" (") {
        return None;
    }
    Some(frame("", place.file, Some(place.line), place.column))
}

/// Reads `name@place`, or the place alone of a script on the web, which Safari writes for code
/// without a name. A mail address is no frame.
pub(super) fn gecko(body: &str) -> Option<Frame<'_>> {
    let (name, place) = match body.split_once('@') {
        Some((name, place)) if !name.contains("://") => (name, place),
        _ if body.starts_with("http") && !body.contains(BLANKS) => ("", body),
        _ => return None,
    };
    let place = Place::read(place).filter(Place::has_path)?;
    let on_web = place.file.contains("://");
    if !on_web && place.column.is_none() || !is_name(name) {
        return None;
    }
    // ` line 10 > eval`
    let file = place
        .file
        .split_once(" line ")
        .map_or(place.file, |(file, _)| file);
    (!file.contains(BLANKS)).then(|| frame(name, file, Some(place.line), place.column))
}

fn frame<'t>(name: &'t str, file: &'t str, line: Option<u32>, column: Option<u32>) -> Frame<'t> {
    Frame {
        language: Language::JavaScript,
        function: name.trim_end_matches(BLANKS),
        file,
        line,
        column,
        in_app: !is_library(file),
    }
}

/// Words of a message are no name of a function: only some may stand before one.
fn is_name(name: &str) -> bool {
    let name = without_alias(name);
    let name = name.rsplit('*').next().unwrap_or_default();
    let mut words = name.rsplit(' ');
    let last = words.next().unwrap_or_default();
    let marks = [
        "async",
        "new",
        "get",
        "set",
        "static",
        "global",
        "eval",
        "module",
        "Global",
        "Anonymous",
    ];
    !last.ends_with([':', ',']) && words.all(|word| marks.contains(&word))
}

/// Takes off ` [as total]`.
fn without_alias(name: &str) -> &str {
    let alias = name
        .strip_suffix(']')
        .and_then(|name| name.rsplit_once(" [as "));
    alias.map_or(name, |(name, _)| name)
}

fn is_library(file: &str) -> bool {
    let (scheme, rest) = file.split_once(':').unwrap_or_default();
    if file.is_empty() || LIBRARY_SCHEMES.contains(&scheme) {
        return true;
    }
    let host = rest
        .strip_prefix("//")
        .and_then(|rest| rest.split('/').next());
    if host.is_some_and(|host| LIBRARY_HOSTS.contains(&host)) {
        return true;
    }
    let of_webpack = file.starts_with("webpack");
    let versioned = host.is_some() && file.contains('@');
    let mut name = "";
    let mut first = scheme.is_empty();
    let library = path::components(file).any(|component| {
        name = component;
        let is_first = std::mem::replace(&mut first, false);
        matches!(
            component,
            "node_modules" | "(webpack)" | "@vite" | "@react-refresh"
        ) || of_webpack && component == "webpack"
            || is_first && component == "internal"
            || versioned && is_package(component)
    });
    if host.is_some() {
        return library || is_library_chunk(name);
    }
    let bare = name.len() == file.len();
    let of_node = || {
        NODE_MODULES.contains(&file) || file.starts_with("_http_") || file.starts_with("_stream_")
    };
    library || bare && of_node()
}

/// `react@18.2.0`, as hosts of packages name them.
fn is_package(component: &str) -> bool {
    component.rsplit_once('@').is_some_and(|(name, version)| {
        !name.is_empty() && version.starts_with(|letter: char| letter.is_ascii_digit())
    })
}

/// `vendors~main.3f2a.js`, `framework-0a1b.js`
fn is_library_chunk(name: &str) -> bool {
    name.contains(".js")
        && name
            .split(['.', '-', '~', '_'])
            .next()
            .is_some_and(|first| LIBRARY_CHUNKS.contains(&first))
}

/// Whether a bundler made the file, so that short names in it are made up, too.
pub(super) fn is_bundle(file: &str, hashed: bool) -> bool {
    let path = file.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let marked = |part: &str| matches!(part, "min" | "bundle" | "chunk");
    if hashed || name.split('.').any(marked) {
        return true;
    }
    let scheme = path.split(':').next().unwrap_or_default();
    let on_web = matches!(
        scheme,
        "http" | "https" | "app" | "capacitor" | "ionic" | "tauri"
    );
    let ending = name.rsplit('.').next().unwrap_or_default();
    let source = matches!(
        ending,
        "ts" | "tsx" | "jsx" | "mts" | "vue" | "svelte" | "astro"
    );
    on_web && path.len() > scheme.len() && !source
}

/// Receivers that say nothing about a function, or not the same in all versions of Node.
const NO_RECEIVERS: [&str; 6] = ["Array", "Function", "Module", "Object", "Promise", "Proxy"];

/// The class of the object that a method of a server's script was called on: `UserRepository` of
/// `async UserRepository.find`. Empty on the web, because browsers do not agree on it.
pub(super) fn receiver<'t>(name: &'t str, file: &str) -> &'t str {
    let on_web = file.contains("://") && !file.starts_with("file://");
    let name = without_alias(name).rsplit(' ').next().unwrap_or_default();
    let mut parts = name.rsplit('.').skip(1);
    let receiver = parts.find(|part| *part != "prototype").unwrap_or_default();
    // Written so where a class refers to itself.
    let receiver = receiver.trim_start_matches('_');
    let is_class = receiver.starts_with(|letter: char| letter.is_uppercase());
    if on_web || !is_class || NO_RECEIVERS.contains(&receiver) {
        return "";
    }
    receiver
}

/// The last part of a name, which all browsers give alike; nothing for code without a name.
/// Callers of callbacks (`setTimeout handler*`), receivers (`Object.`) and marks (`/<`, `async`)
/// are left out.
pub(super) fn stable_function(name: &str) -> &str {
    let name = without_alias(name);
    if name.ends_with("/<") || name.ends_with(" code") || name == "Anonymous function" {
        return "";
    }
    let name = name.rsplit('*').next().unwrap_or_default();
    let name = name.rsplit(' ').next().unwrap_or_default();
    let name = name
        .rsplit('/')
        .find(|part| *part != "<")
        .unwrap_or_default();
    let name = name.trim_end_matches('<');
    let name = name.rsplit('.').next().unwrap_or_default();
    match name {
        "<anonymous>" | "anonymous" | "eval" | "code" => "",
        name => name,
    }
}
