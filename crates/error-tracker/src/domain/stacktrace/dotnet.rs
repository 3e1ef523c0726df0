//! `at Shop.Cart.Total(Order order) in /src/Cart.cs:line 42`, and what Mono makes of it.

use super::path;
use super::place::{BLANKS, Place, number};
use super::scanner::type_of;
use super::{Frame, Language};

/// First names of the namespaces of the runtime, of frameworks and of drivers, in order.
const LIBRARIES: [&str; 34] = [
    "AutoMapper",
    "Autofac",
    "Castle",
    "Confluent",
    "Dapper",
    "FSharp",
    "FluentValidation",
    "Grpc",
    "Hangfire",
    "Internal",
    "Interop",
    "MassTransit",
    "MediatR",
    "Microsoft",
    "Mono",
    "MySql",
    "MySqlConnector",
    "NLog",
    "NUnit",
    "Newtonsoft",
    "Npgsql",
    "Oracle",
    "Polly",
    "Quartz",
    "RabbitMQ",
    "Serilog",
    "StackExchange",
    "Swashbuckle",
    "System",
    "UnityEditor",
    "UnityEngine",
    "Windows",
    "Xunit",
    "log4net",
];

/// Reads a frame from the texts before and after its first parenthesis.
pub(super) fn frame<'t>(before: &'t str, after: &'t str) -> Option<Frame<'t>> {
    if !is_name(before) {
        return None;
    }
    match after.split_once(") in ") {
        Some((_, place)) => {
            let (file, digits) = place.rsplit_once(":line ")?;
            Some(named(before, file, Some(number(digits)?)))
        }
        None => after.ends_with(')').then(|| named(before, "", None)),
    }
}

/// `at Shop.Cart.Total (Order order) [0x00012] in /src/Cart.cs:42`; without symbols the file is
/// `<hash>`.
pub(super) fn mono<'t>(before: &'t str, after: &'t str) -> Option<Frame<'t>> {
    let name = before.trim_end_matches(BLANKS);
    if !after.contains('[') {
        return None;
    }
    let (_, offset) = after.split_once(") [0x")?;
    let (_, place) = offset.split_once("] in ")?;
    let place = Place::read(place)?;
    if !is_name(name) {
        return None;
    }
    let (file, line) = if place.file.starts_with('<') {
        ("", None)
    } else {
        (place.file, Some(place.line))
    };
    Some(named(name, file, line))
}

/// The type behind `---> `.
pub(super) fn inner_type(heading: &str) -> Option<&str> {
    let numbered = heading.strip_prefix("(Inner Exception #");
    let heading = numbered
        .and_then(|rest| rest.split_once(") "))
        .map_or(heading, |(_, rest)| rest);
    type_of(heading)
}

fn named<'t>(function: &'t str, file: &'t str, line: Option<u32>) -> Frame<'t> {
    let library = path::in_order(&LIBRARIES, function);
    Frame {
        language: Language::CSharp,
        function,
        file,
        line,
        column: None,
        in_app: !library && !function.starts_with("lambda_method"),
    }
}

fn is_name(name: &str) -> bool {
    let method = name.contains('.') || name.starts_with("lambda_method");
    method && !name.contains([' ', '/', '\\', ':', '@', '*', '"'])
}

/// The method as its author named it: the compiler's names for the state machines of `async`
/// methods, for lambdas and local functions are undone, numbers of type parameters left out.
pub(super) fn stable_function(function: &str, out: &mut String) {
    if function.starts_with("lambda_method") {
        out.push_str("lambda_method");
        return;
    }
    let mut compiled = false;
    let mut depth = 0_usize;
    let parts = function.split(|letter| {
        // Dots inside brackets are those of type arguments.
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == '.' && depth == 0
    });
    for part in parts {
        if part.is_empty() || compiled && part == "MoveNext" {
            continue;
        }
        let part = part.split(['[', '`']).next().unwrap_or_default();
        compiled = part.contains('<');
        if !compiled {
            push_part(out, part);
            continue;
        }
        let inner = part.rsplit('<').next().unwrap_or_default();
        let (name, rest) = inner.split_once('>').unwrap_or((inner, ""));
        push_part(out, name);
        if let Some((local, _)) = rest
            .strip_prefix("g__")
            .and_then(|rest| rest.split_once('|'))
        {
            push_part(out, local);
        }
    }
}

fn push_part(out: &mut String, part: &str) {
    if part.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_in_order() {
        path::check_order(&LIBRARIES);
    }
}
