//! `#0 /app/src/Cart.php(42): Shop\Cart->total(Object(Order))`: a call and where it was made.

use super::path;
use super::place::{Place, leading_number, number};
use super::{Frame, Language};

/// Reads a line that begins with the number.
pub(super) fn frame(body: &str) -> Option<Frame<'_>> {
    let (_, rest) = leading_number(body.strip_prefix('#')?)?;
    let rest = rest.strip_prefix(' ')?;
    if let Some(call) = rest.strip_prefix("[internal function]: ") {
        return Some(named(function(call), "", None));
    }
    let (place, call) = match rest.split_once("): ") {
        Some((place, call)) => (place, call),
        None => (rest.strip_suffix(')')?, ""),
    };
    let (file, line) = place.rsplit_once('(')?;
    Some(named(function(call), file, Some(number(line)?)))
}

/// Where the exception was thrown, from the line before `Stack trace:`.
pub(super) fn thrown(heading: &str) -> Option<Frame<'_>> {
    let (_, place) = heading.rsplit_once(" in ")?;
    let place = Place::read(place)?;
    place
        .file
        .contains(".php")
        .then(|| named("", place.file, Some(place.line)))
}

/// The called function, without its arguments.
fn function(call: &str) -> &str {
    let closure = call.find("{closure").unwrap_or(0);
    let behind = match call.get(closure..).and_then(|rest| rest.find('}')) {
        Some(brace) if closure > 0 || call.starts_with('{') => closure + brace,
        _ => 0,
    };
    let end = call
        .get(behind..)
        .and_then(|rest| rest.find('('))
        .map_or(call.len(), |arguments| behind + arguments);
    call.get(..end).unwrap_or(call)
}

fn named<'t>(function: &'t str, file: &'t str, line: Option<u32>) -> Frame<'t> {
    let library = file.is_empty()
        || file.starts_with("phar://")
        || path::components(file)
            .any(|component| matches!(component, "vendor" | "wp-includes" | "wp-admin"));
    Frame {
        language: Language::Php,
        function,
        file,
        line,
        column: None,
        in_app: !library,
    }
}

/// The function without the places that newer versions write into names of closures and anonymous
/// classes.
pub(super) fn stable_function(function: &str, out: &mut String) {
    let mut rest = function;
    while let Some((before, marked)) = rest.split_once(['@', '{']) {
        out.push_str(before);
        rest = if let Some(class) = marked.strip_prefix("anonymous") {
            out.push_str("@anonymous");
            let method = class.find("->").or_else(|| class.find("::"));
            method.and_then(|at| class.get(at..)).unwrap_or_default()
        } else if marked.starts_with("closure") {
            out.push_str("{closure}");
            marked.split_once('}').map_or("", |(_, behind)| behind)
        } else {
            marked
        };
    }
    out.push_str(rest);
}

/// The file without the mark of evaluated code.
pub(super) fn source(file: &str) -> &str {
    match file.split_once(".php(") {
        Some((stem, _)) => file.get(..stem.len() + 4).unwrap_or(file),
        None => file,
    }
}
