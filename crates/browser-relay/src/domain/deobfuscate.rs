//! Puts what the maps know into a stack.
//!
//! The stack keeps its form: only names and places change, as the contract says them. What the form has no room for,
//! the enclosing function, the line of source, the minified place, or why a frame was not mapped, goes into a
//! [`Symbolication`] beside it.

use super::debug_id::{DebugId, DebugIds};
use super::enrich::Object;
use super::stack::{Dialect, Frame, Place, Stack};

/// Frames of one stack that are looked up.
pub(crate) const MOST_LOOKUPS: usize = 100;
/// Frames that the [`Symbolication`] describes.
const MOST_DESCRIBED: usize = 50;
/// Frames that are described with the lines around them.
const MOST_WITH_CONTEXT: usize = 20;
/// Bytes of a described frame, about.
const BYTES_OF_FRAME: usize = 256;
/// Characters of a line of source.
const LONGEST_LINE: usize = 200;
/// Names shorter than this are taken to be minified.
const SHORTEST_TELLING_NAME: usize = 3;

/// What a map says about a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) source: String,
    /// The map says that the source is not of the app.
    pub(crate) ignored: bool,
    /// From 1.
    pub(crate) line: u32,
    /// From 1.
    pub(crate) column: u32,
    /// Name of the token: what is used at this place.
    pub(crate) name: Option<String>,
    /// The token begins just where the frame is, so that its name is what is called there.
    pub(crate) exact: bool,
    /// The function around this place, from the original text.
    pub(crate) function: Option<String>,
    /// The line of the original text.
    pub(crate) text: Option<String>,
    /// That line and those around it.
    pub(crate) context: Vec<String>,
    /// The line of the first of them, from 1.
    pub(crate) context_line: u32,
}

/// Lines of the original text before and after a frame.
pub(crate) const LINES_AROUND: u32 = 2;

/// Why a frame stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unmapped {
    /// Neither a release nor a debug id says which map it could be.
    NoRelease,
    NoMapForDebugId,
    NoMapForRelease,
    NoMapForFile,
    /// Several maps of the release could be that of the script.
    Ambiguous,
    LineOutside,
    /// There are mappings on its line, all of them behind it.
    BeforeFirst,
    LineWithout,
    /// The mappings say that it comes from no source.
    NoMapping,
    NoPlace,
    Eval,
    TooMany,
    Unavailable,
}

impl Unmapped {
    pub(crate) const ALL: [Self; 13] = [
        Self::NoRelease,
        Self::NoMapForDebugId,
        Self::NoMapForRelease,
        Self::NoMapForFile,
        Self::Ambiguous,
        Self::LineOutside,
        Self::BeforeFirst,
        Self::LineWithout,
        Self::NoMapping,
        Self::NoPlace,
        Self::Eval,
        Self::TooMany,
        Self::Unavailable,
    ];

    /// For people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoRelease => "the event names no release",
            Self::NoMapForDebugId => "no map for debug id",
            Self::NoMapForRelease => "no map for release",
            Self::NoMapForFile => "no map for file",
            Self::Ambiguous => "two maps fit the file name",
            Self::LineOutside => "line outside the map",
            Self::BeforeFirst => "column before the first mapping",
            Self::LineWithout => "no mapping on this line",
            Self::NoMapping => "no mapping at this place",
            Self::NoPlace => "line or column 0",
            Self::Eval => "code made by eval",
            Self::TooMany => "beyond the first 100 frames",
            Self::Unavailable => "source map could not be read",
        }
    }

    /// For labels of metrics.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::NoRelease => "no_release",
            Self::NoMapForDebugId => "no_map_for_debug_id",
            Self::NoMapForRelease => "no_map_for_release",
            Self::NoMapForFile => "no_map_for_file",
            Self::Ambiguous => "ambiguous",
            Self::LineOutside => "line_outside",
            Self::BeforeFirst => "before_first",
            Self::LineWithout => "line_without",
            Self::NoMapping => "no_mapping",
            Self::NoPlace => "no_place",
            Self::Eval => "eval",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
        }
    }
}

/// One for each frame of a stack, in its order.
pub(crate) type Outcome = Result<Found, Unmapped>;

/// What is wanted from the maps for one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// A URL, or whatever the engine calls the script.
    pub(crate) file: String,
    /// Of the script, if the event says it.
    pub(crate) debug_id: Option<DebugId>,
    /// From 1.
    pub(crate) line: u32,
    /// From 1.
    pub(crate) column: u32,
}

/// The look-ups a stack needs, or why a frame needs none.
pub(crate) fn queries(stack: &Stack<'_>, debug_ids: &DebugIds) -> Vec<Result<Query, Unmapped>> {
    let query = |(index, (_, frame)): (usize, (usize, &Frame<'_>))| {
        if index >= MOST_LOOKUPS {
            Err(Unmapped::TooMany)
        } else if frame.is_eval() {
            Err(Unmapped::Eval)
        } else if frame.line == 0 || frame.column == 0 {
            Err(Unmapped::NoPlace)
        } else {
            Ok(Query {
                file: frame.file.to_owned(),
                debug_id: debug_ids.find(frame.file),
                line: frame.line,
                column: frame.column,
            })
        }
    };
    stack.frames().enumerate().map(query).collect()
}

/// The stack in readable form and the description of its frames.
pub(crate) fn deobfuscate(stack: &Stack<'_>, outcomes: &[Outcome]) -> (String, Symbolication) {
    let mut next = outcomes.iter();
    let text = stack.rewrite(|_| {
        let found = next.next()?.as_ref().ok()?;
        Some(Place {
            name: found.name.as_deref(),
            source: &found.source,
            line: found.line,
            column: found.column,
        })
    });
    (text, Symbolication::of(stack, outcomes))
}

/// The function around a frame: from the original text, else what its caller says it calls, else what the engine says
/// when that was not minified.
fn function<'f>(
    frames: &[(usize, &'f Frame<'f>)],
    outcomes: &'f [Outcome],
    index: usize,
) -> Option<&'f str> {
    let found = outcomes[index].as_ref().ok()?;
    let (number, frame) = frames[index];
    let called = || {
        // Only a caller on the very next line called this frame; an awaiting one stands at its await.
        let (caller_number, caller) = frames.get(index + 1)?;
        let caller_found = outcomes.get(index + 1)?.as_ref().ok()?;
        let adjacent = *caller_number == number + 1 && caller.dialect != Dialect::V8Async;
        let name = caller_found.name.as_deref();
        name.filter(|_| adjacent && caller_found.exact)
    };
    let known = found.function.as_deref();
    known
        .or_else(called)
        .or_else(|| telling_name(frame.function?))
}

/// The last part of an engine's function name (`o.computeTotal`, `Object.f [as g]`), unless it looks minified.
fn telling_name(engine: &str) -> Option<&str> {
    let name = engine
        .split(" [")
        .next()?
        .rsplit(['.', ' ', '*', '/'])
        .next()?
        .trim_end_matches('<');
    let word = name
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    let code = matches!(name, "code" | "anonymous" | "eval");
    (word && !code && name.len() >= SHORTEST_TELLING_NAME).then_some(name)
}

/// What became of the frames of a stack, as JSON; goes to the tracker as `extra.symbolication`.
#[derive(Debug)]
pub(crate) struct Symbolication(String);

impl Symbolication {
    /// `{"frames": [{"file", "line", "column", "function"?, "in_app"?, "source"?, "context_line"?, "context"?, "minified":
    /// {"file", "line", "column", "function"?}}]}`; a frame that was not mapped has `reason` and `minified` only.
    fn of(stack: &Stack<'_>, outcomes: &[Outcome]) -> Self {
        let frames: Vec<_> = stack.frames().collect();
        let count = frames.len().min(outcomes.len()).min(MOST_DESCRIBED);
        let mut out = String::with_capacity(32 + count * BYTES_OF_FRAME);
        out.push_str("{\"frames\":[");
        for index in 0..count {
            if index > 0 {
                out.push(',');
            }
            let function = function(&frames, outcomes, index);
            write_frame(&mut out, index, &outcomes[index], function, frames[index].1);
        }
        out.push_str("]}");
        Self(out)
    }

    /// Nothing was looked up: `{"frames": [], "reason"}`.
    pub(crate) fn none(reason: &'static str) -> Self {
        let mut out = String::new();
        let mut object = Object::open(&mut out);
        object.raw("frames", "[]");
        object.text("reason", reason);
        object.close();
        Self(out)
    }

    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }
}

fn write_frame(
    out: &mut String,
    index: usize,
    outcome: &Outcome,
    function: Option<&str>,
    frame: &Frame<'_>,
) {
    let mut object = Object::open(out);
    match outcome {
        Ok(found) => {
            object.text("file", &found.source);
            object.number("line", found.line);
            object.number("column", found.column);
            object.optional("function", function);
            found.write_in_app(&mut object);
            found.write_source(&mut object, index < MOST_WITH_CONTEXT);
        }
        Err(unmapped) => object.text("reason", unmapped.reason()),
    }
    let mut minified = object.object("minified");
    minified.text("file", frame.file);
    minified.number("line", frame.line);
    minified.number("column", frame.column);
    minified.optional("function", frame.function);
    minified.close();
    object.close();
}

/// One place by itself: `{"file", "line", "column", "name"?, "function"?, "in_app"?, "source"?, "context_line"?, "context"?}`,
/// or `{"reason"}`.
pub(crate) fn described(outcome: &Outcome) -> String {
    let mut out = String::new();
    let mut object = Object::open(&mut out);
    match outcome {
        Ok(found) => {
            object.text("file", &found.source);
            object.number("line", found.line);
            object.number("column", found.column);
            object.optional("name", found.name.as_deref());
            object.optional("function", found.function.as_deref());
            found.write_in_app(&mut object);
            found.write_source(&mut object, true);
        }
        Err(unmapped) => object.text("reason", unmapped.reason()),
    }
    object.close();
    out
}

impl Found {
    /// `in_app` is said only where it is known to be false.
    fn write_in_app(&self, object: &mut Object<'_>) {
        if self.ignored {
            object.raw("in_app", "false");
        }
    }

    /// `source`, the line itself, and `context` from the line `context_line` on if it is asked for, as far as they are known.
    fn write_source(&self, object: &mut Object<'_>, with_context: bool) {
        object.optional("source", self.text.as_deref().map(cut));
        if self.context.is_empty() || !with_context {
            return;
        }
        object.number("context_line", self.context_line);
        object.texts("context", self.context.iter().map(|line| cut(line)));
    }
}

/// A line as it is shown.
fn cut(line: &str) -> &str {
    let line = line.trim_end();
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => line.get(..end).unwrap_or(line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn found(source: &str, line: u32, name: Option<&str>) -> Found {
        let name = name.map(str::to_owned);
        Found {
            source: source.to_owned(),
            line,
            column: 9,
            name,
            exact: true,
            ..Found::default()
        }
    }

    fn described(stack: &str, outcomes: &[Outcome]) -> (String, Value) {
        let (text, symbolication) = deobfuscate(&Stack::parse(stack), outcomes);
        (text, serde_json::from_str(symbolication.as_json()).unwrap())
    }

    #[test]
    fn queries_say_why_not() {
        let stack = Stack::parse(
            "E\nat f (/a.js:1:2)\nat f (/a.js:0:2)\nat eval (eval at f (/a.js:1:2), <anonymous>:1:1)",
        );
        let query = Query {
            file: "/a.js".to_owned(),
            debug_id: None,
            line: 1,
            column: 2,
        };
        let none = DebugIds::default();
        assert_eq!(
            queries(&stack, &none),
            [Ok(query), Err(Unmapped::NoPlace), Err(Unmapped::Eval)]
        );
        let many = "at f (/a.js:1:2)\n".repeat(150);
        let queries = queries(&Stack::parse(&many), &none);
        assert_eq!(
            queries.iter().filter(|query| query.is_ok()).count(),
            MOST_LOOKUPS
        );
        assert_eq!(queries[100], Err(Unmapped::TooMany));
    }

    #[test]
    fn mapped_and_unmapped_frames() {
        let stack = "TypeError: x\n    at u (/a.js:1:164)\n    at o.computeTotal (/a.js:1:108)\n    at r (/b.js:1:2)";
        let (text, symbolication) = described(
            stack,
            &[
                Ok(found("cart.ts", 25, None)),
                Ok(found("cart.ts", 17, Some("lineTotal"))),
                Err(Unmapped::NoMapForFile),
            ],
        );
        assert_eq!(
            text,
            "TypeError: x\n    at u (cart.ts:25:9)\n    at lineTotal (cart.ts:17:9)\n    at r (/b.js:1:2)"
        );
        assert_eq!(
            symbolication,
            json!({"frames": [
                {"file": "cart.ts", "line": 25, "column": 9, "function": "lineTotal",
                 "minified": {"file": "/a.js", "line": 1, "column": 164, "function": "u"}},
                {"file": "cart.ts", "line": 17, "column": 9, "function": "computeTotal",
                 "minified": {"file": "/a.js", "line": 1, "column": 108, "function": "o.computeTotal"}},
                {"reason": "no map for file", "minified": {"file": "/b.js", "line": 1, "column": 2, "function": "r"}},
            ]})
        );
    }

    #[track_caller]
    fn check_function(stack: &str, outcomes: &[Outcome], expected: Option<&str>) {
        let (_, symbolication) = described(stack, outcomes);
        assert_eq!(
            symbolication["frames"][0]["function"].as_str(),
            expected,
            "{stack}"
        );
    }

    #[test]
    fn enclosing_functions() {
        let plain = found("a.ts", 1, None);
        let named = found("a.ts", 2, Some("load"));
        let inexact = Found {
            exact: false,
            ..named.clone()
        };
        let scoped = Found {
            function: Some("scope".to_owned()),
            ..plain.clone()
        };
        let caller = "at u (/a.js:1:2)\nat v (/a.js:1:3)";
        let awaiting = "at u (/a.js:1:2)\nat async v (/a.js:1:3)";
        let native = "at u (/a.js:1:2)\nat Array.map (<anonymous>)\nat v (/a.js:1:3)";
        let pair = |inner: &Found, outer: &Found| [Ok(inner.clone()), Ok(outer.clone())];
        check_function(caller, &pair(&scoped, &named), Some("scope"));
        check_function(caller, &pair(&plain, &named), Some("load"));
        check_function(caller, &pair(&plain, &inexact), None);
        check_function(awaiting, &pair(&plain, &named), None);
        check_function(native, &pair(&plain, &named), None);
        let alone = [Ok(plain)];
        check_function("at Object.onClick (/a.js:1:2)", &alone, Some("onClick"));
        check_function("global code@/a.js:1:2", &alone, None);
        check_function("at https://a/a.js:1:2", &alone, None);
    }

    #[test]
    fn telling_names() {
        for (engine, name) in [
            ("u", None),
            ("t.r", None),
            ("o.computeTotal", Some("computeTotal")),
            ("new Cart", Some("Cart")),
            ("Object.run [as go]", Some("run")),
            ("async*load/<", None),
            ("load<", Some("load")),
            ("HTMLButtonElement.<anonymous>", None),
            ("module code", None),
        ] {
            assert_eq!(telling_name(engine), name, "{engine}");
        }
    }

    #[test]
    fn lines_of_source_are_cut_and_long_stacks_described_in_part() {
        let long = Ok(Found {
            text: Some("é".repeat(300)),
            ..found("a.ts", 1, None)
        });
        let outcomes = vec![long; 80];
        let (text, symbolication) = described(&"at u (/a.js:1:2)\n".repeat(80), &outcomes);
        assert_eq!(text.matches("at u (a.ts:1:9)").count(), 80);
        assert_eq!(
            symbolication["frames"].as_array().unwrap().len(),
            MOST_DESCRIBED
        );
        assert_eq!(
            symbolication["frames"][0]["source"]
                .as_str()
                .unwrap()
                .chars()
                .count(),
            200
        );
    }

    #[test]
    fn nothing_looked_up() {
        assert_eq!(
            Symbolication::none("no release").as_json(),
            r#"{"frames":[],"reason":"no release"}"#
        );
    }

    proptest! {
        #[test]
        fn unmapped_stacks_stay_byte_for_byte(text in "([at @:()0-9/.jsx\\r\\t ]{0,30}\n){0,8}") {
            let stack = Stack::parse(&text);
            let outcomes = vec![Err(Unmapped::NoMapForRelease); stack.frames().count()];
            let (rewritten, symbolication) = deobfuscate(&stack, &outcomes);
            prop_assert_eq!(&rewritten, &text);
            let described: Value = serde_json::from_str(symbolication.as_json()).unwrap();
            prop_assert!(described["frames"].is_array());
        }
    }
}
