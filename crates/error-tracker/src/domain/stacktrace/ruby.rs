//! ``app/models/cart.rb:42:in `total': message (Type)``, then `from ...`; with numbers and in
//! reverse order on a terminal.

use super::path;
use super::place::{colon_number, leading_number};
use super::{Frame, Language};

/// Reads `from file:line:in ...`.
pub(super) fn frame(body: &str) -> Option<Frame<'_>> {
    let rest = body.strip_prefix("from ")?;
    match split_name(rest) {
        Some((place, name)) => named(place, name),
        None => named(rest, ""),
    }
}

/// Reads `2: from file:line:in ...`.
pub(super) fn numbered(body: &str) -> Option<Frame<'_>> {
    let (_, rest) = leading_number(body)?;
    frame(rest.strip_prefix(": ")?)
}

/// Reads the line without a mark: the first of a trace, or any of a list of frames.
pub(super) fn first(body: &str) -> Option<Frame<'_>> {
    let (place, name) = split_name(body)?;
    named(place, name)
}

fn split_name(text: &str) -> Option<(&str, &str)> {
    let (place, rest) = text.split_once(":in ")?;
    let name = rest.strip_prefix(['`', '\''])?.split_once('\'')?.0;
    Some((place, name))
}

fn named<'t>(place: &'t str, function: &'t str) -> Option<Frame<'t>> {
    let (file, line) = colon_number(place)?;
    let is_file = file.contains(['/', '.']) || file.starts_with(['<', '(', '-']);
    is_file.then(|| Frame {
        language: Language::Ruby,
        function,
        file,
        line: Some(line),
        column: None,
        in_app: !is_library(file),
    })
}

fn is_library(file: &str) -> bool {
    if file.starts_with("<internal:") {
        return true;
    }
    let mut above = "";
    path::components(file).any(|component| {
        let parent = std::mem::replace(&mut above, component);
        matches!(component, "gems" | "rubygems")
            || matches!(
                (parent, component),
                ("vendor", "bundle")
                    | ("lib", "ruby")
                    | ("bin", "bundle" | "rails" | "rake" | "puma")
            )
    })
}

/// The method without its class, which versions before 3.4 do not name, and without the blocks
/// around it.
pub(super) fn stable_function(name: &str) -> &str {
    let method = name.rsplit(" in ").next().unwrap_or(name);
    let bare = method.rsplit(['#', '.']).next().unwrap_or(method);
    if bare.is_empty() { method } else { bare }
}
