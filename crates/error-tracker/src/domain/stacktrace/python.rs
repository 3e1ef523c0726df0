//! `  File "/app/shop/cart.py", line 42, in total`

use super::path;
use super::place::leading_number;
use super::{Frame, Language};

/// Reads a line that begins with the file. The frame of a syntax error, and of nothing else, has
/// no function.
pub(super) fn frame(body: &str) -> Option<Frame<'_>> {
    let rest = body.strip_prefix("File \"")?;
    let (file, rest) = rest.split_once('"')?;
    let (line, rest) = leading_number(rest.strip_prefix(", line ")?)?;
    let function = match rest.strip_prefix(", in ") {
        Some(name) => name,
        None if rest.is_empty() => "",
        None => return None,
    };
    Some(Frame {
        language: Language::Python,
        function,
        file,
        line: Some(line),
        column: None,
        in_app: !is_library(file),
    })
}

/// Whether another exception follows, which this one led to.
pub(super) fn is_chain(body: &str) -> bool {
    body.starts_with("The above exception was the direct cause of")
        || body.starts_with("During handling of the above exception")
}

fn is_library(file: &str) -> bool {
    if file.starts_with("<frozen ") || file.starts_with("/var/runtime/") {
        return true;
    }
    let mut before = "";
    path::components(file).any(|component| {
        let above = std::mem::replace(&mut before, component);
        let versioned = component.starts_with("python") || component.starts_with("pypy");
        matches!(component, "site-packages" | "dist-packages")
            || versioned && above.starts_with("lib")
            || component.eq_ignore_ascii_case("lib") && starts_with_ignoring_case(above, "python")
    })
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
