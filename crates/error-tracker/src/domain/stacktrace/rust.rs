//! `4: shop::cart::total` with `at ./src/cart.rs:42:9` on the next line, and the place in the
//! message of a panic.

use super::path;
use super::place::{Place, leading_number};
use super::{Frame, Language};

/// Crates that are hardly ever an app.
const LIBRARIES: [&str; 34] = [
    "std",
    "core",
    "alloc",
    "proc_macro",
    "test",
    "backtrace",
    "anyhow",
    "eyre",
    "color_eyre",
    "tokio",
    "hyper",
    "hyper_util",
    "axum",
    "axum_core",
    "tower",
    "tower_http",
    "futures",
    "futures_core",
    "futures_util",
    "actix",
    "actix_web",
    "actix_rt",
    "rocket",
    "warp",
    "rayon",
    "rayon_core",
    "crossbeam",
    "serde",
    "serde_json",
    "sqlx",
    "sqlx_core",
    "diesel",
    "tracing",
    "reqwest",
];

/// The first line of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol<'t> {
    name: &'t str,
    /// Whether it reads as a path and not as a numbered sentence.
    is_path: bool,
}

/// Reads `4: name` or `4: 0x55d0c8a1 - name`.
pub(super) fn symbol(body: &str) -> Option<Symbol<'_>> {
    let (_, rest) = leading_number(body)?;
    let rest = rest.strip_prefix(':')?.trim_start_matches(' ');
    let name = match rest
        .strip_prefix("0x")
        .and_then(|rest| rest.split_once(" - "))
    {
        Some((_, name)) => name,
        None => rest,
    };
    let (_, behind) = name.split_once(':').unwrap_or_default();
    let is_path = behind.starts_with(':') && (name.starts_with('<') || !name.contains(' '));
    (!name.is_empty()).then_some(Symbol { name, is_path })
}

/// Reads the second line.
pub(super) fn place(body: &str) -> Option<Place<'_>> {
    Place::read(body.strip_prefix("at ")?).filter(Place::has_path)
}

/// The frame, unless it is a numbered sentence outside of a backtrace.
pub(super) fn frame<'t>(
    symbol: Symbol<'t>,
    place: Option<Place<'t>>,
    in_backtrace: bool,
) -> Option<Frame<'t>> {
    if place.is_none() && !symbol.is_path && !in_backtrace {
        return None;
    }
    let file = place.map_or("", |place| place.file);
    Some(Frame {
        language: Language::Rust,
        function: symbol.name,
        file,
        line: place.map(|place| place.line),
        column: place.and_then(|place| place.column),
        in_app: !is_library(symbol.name) && !is_library_file(file),
    })
}

/// `thread 'main' panicked at src/cart.rs:42:9:`; older versions put the message before the place.
pub(super) fn panic(body: &str) -> Option<Frame<'_>> {
    if !body.starts_with("thread '") && !body.starts_with("panicked at ") {
        return None;
    }
    let (_, rest) = body.split_once("panicked at ")?;
    let place = if rest.starts_with(['\'', '"']) {
        rest.rsplit_once(", ")?.1
    } else {
        rest
    };
    let place = Place::read(place.trim_end_matches(':'))?;
    let is_source = place.file.rsplit('.').next() == Some("rs");
    is_source.then(|| Frame {
        language: Language::Rust,
        function: "",
        file: place.file,
        line: Some(place.line),
        column: place.column,
        in_app: !is_library_file(place.file),
    })
}

fn is_library(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&', '*', '(', '[', '_']);
    let name = name
        .strip_prefix("dyn ")
        .or_else(|| name.strip_prefix("mut "))
        .unwrap_or(name);
    // `<T as shop::Total>::total`
    let of_trait = || name.split_once(" as ");
    let path = match name.contains(' ').then(of_trait).flatten() {
        Some((generic, of_trait)) if !generic.contains("::") => of_trait,
        _ => name,
    };
    match path.split_once(':') {
        Some((first, _)) => LIBRARIES.contains(&first),
        None => true,
    }
}

fn is_library_file(file: &str) -> bool {
    let mut above = "";
    file.starts_with("/rustc/")
        || path::components(file).any(|component| {
            let parent = std::mem::replace(&mut above, component);
            matches!(
                (parent, component),
                (".cargo" | "cargo", "registry" | "git") | ("library", "std" | "core" | "alloc")
            )
        })
}

/// The function without the hash of its build and the numbers of closures.
pub(super) fn stable_function(function: &str, out: &mut String) {
    let hash = function
        .rsplit_once("::h")
        .filter(|(_, hash)| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let name = hash.map_or(function, |(name, _)| name);
    let mut numbering = false;
    let mut before = ' ';
    for letter in name.chars() {
        numbering = letter == '#' || numbering && letter.is_ascii_digit();
        let doubled = before == letter && matches!(letter, '{' | '}');
        before = letter;
        if !numbering && !doubled {
            out.push(letter);
        }
    }
}
