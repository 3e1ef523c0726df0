//! Stack traces as browsers write them: V8 (`at name (url:line:column)`), Firefox and Safari (`name@url:line:column`).
//!
//! The parser never fails. A line it does not understand is kept byte for byte, and so is everything around the
//! place of a frame that it does: indentation, a carriage return at the end.

/// A stack, line by line.
#[derive(Debug)]
pub(crate) struct Stack<'s> {
    lines: Vec<Line<'s>>,
}

#[derive(Debug)]
struct Line<'s> {
    text: &'s str,
    frame: Option<Frame<'s>>,
}

/// How a frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    V8,
    /// V8's frame of an awaiting function: `at async name (…)`.
    V8Async,
    Gecko,
}

/// A line that names a place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame<'s> {
    pub(crate) dialect: Dialect,
    /// Blanks before the frame.
    indent: &'s str,
    /// Blanks after it, such as a carriage return.
    tail: &'s str,
    /// Function as the engine names it, `async ` taken off; none where the engine gave none.
    pub(crate) function: Option<&'s str>,
    /// A URL, or whatever the engine calls the script.
    pub(crate) file: &'s str,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in UTF-16 code units.
    pub(crate) column: u32,
}

impl<'s> Stack<'s> {
    pub(crate) fn parse(text: &'s str) -> Self {
        Self {
            lines: text
                .split('\n')
                .map(|text| Line {
                    text,
                    frame: parse_line(text),
                })
                .collect(),
        }
    }

    /// The frames, innermost first, each with the number of its line.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (usize, &Frame<'s>)> {
        self.lines
            .iter()
            .enumerate()
            .filter_map(|(number, line)| line.frame.as_ref().map(|frame| (number, frame)))
    }

    /// The stack with some frames written anew; `rewritten` is asked for each frame in order.
    pub(crate) fn rewrite<'r>(
        &self,
        mut rewritten: impl FnMut(&Frame<'s>) -> Option<Place<'r>>,
    ) -> String {
        let length = self.lines.iter().map(|line| line.text.len() + 1).sum();
        let mut out = String::with_capacity(length);
        for (number, line) in self.lines.iter().enumerate() {
            if number > 0 {
                out.push('\n');
            }
            match line
                .frame
                .as_ref()
                .and_then(|frame| Some((frame, rewritten(frame)?)))
            {
                Some((frame, place)) => frame.write(&place, &mut out),
                None => out.push_str(line.text),
            }
        }
        out
    }
}

/// Where a frame came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place<'r> {
    /// Takes the place of the engine's function name when there is one.
    pub(crate) name: Option<&'r str>,
    pub(crate) source: &'r str,
    /// From 1.
    pub(crate) line: u32,
    /// From 1.
    pub(crate) column: u32,
}

impl Frame<'_> {
    /// True for code made by `eval` or `new Function`, whose place is no place in a file.
    pub(crate) fn is_eval(&self) -> bool {
        self.file.contains("eval at ")
            || self.file.contains("> eval")
            || self.file.contains("> Function")
    }

    fn write(&self, place: &Place<'_>, out: &mut String) {
        let Place {
            source,
            line,
            column,
            ..
        } = place;
        let name = place.name.or(self.function);
        out.push_str(self.indent);
        let place = match (self.dialect, name) {
            (Dialect::Gecko, name) => {
                format!("{}@{source}:{line}:{column}", name.unwrap_or_default())
            }
            (Dialect::V8, Some(name)) => format!("at {name} ({source}:{line}:{column})"),
            (Dialect::V8, None) => format!("at {source}:{line}:{column}"),
            (Dialect::V8Async, Some(name)) => format!("at async {name} ({source}:{line}:{column})"),
            (Dialect::V8Async, None) => format!("at async {source}:{line}:{column}"),
        };
        out.push_str(&place);
        out.push_str(self.tail);
    }
}

const BLANKS: [char; 3] = [' ', '\t', '\r'];

fn parse_line(text: &str) -> Option<Frame<'_>> {
    let unindented = text.trim_start_matches(BLANKS);
    let indent = text.strip_suffix(unindented)?;
    let body = unindented.trim_end_matches(BLANKS);
    let tail = unindented.strip_prefix(body)?;
    let (dialect, function, place) = match body.strip_prefix("at ") {
        Some(rest) => v8(rest),
        None => gecko(body)?,
    };
    let (file, line, column) = location(place)?;
    Some(Frame {
        dialect,
        indent,
        tail,
        function: function.filter(|name| !name.is_empty()),
        file,
        line,
        column,
    })
}

/// What follows `at `: `name (place)`, or the place alone, either after `async `.
fn v8(rest: &str) -> (Dialect, Option<&str>, &str) {
    let rest = rest.trim_start_matches(BLANKS);
    let (dialect, rest) = match rest.strip_prefix("async ") {
        Some(rest) => (Dialect::V8Async, rest.trim_start_matches(BLANKS)),
        None => (Dialect::V8, rest),
    };
    let named = rest.rsplit_once(')').and_then(|(inside, _)| {
        // A script's name may hold parentheses, but hardly a blank before one; `(eval at f (url), …)` nests.
        let eval = inside
            .split_once(" (")
            .filter(|(_, place)| place.starts_with("eval at "));
        eval.or_else(|| inside.rsplit_once(" ("))
            .or_else(|| inside.rsplit_once('('))
    });
    match named {
        Some((name, place)) => (dialect, Some(name.trim_matches(BLANKS)), place),
        None => (dialect, None, rest),
    }
}

/// `name@place`. A URL before the `@` means a bare URL with an `@` in its path, as package CDNs have them.
fn gecko(body: &str) -> Option<(Dialect, Option<&str>, &str)> {
    let (name, place) = body.split_once('@')?;
    (!name.contains("://")).then_some((Dialect::Gecko, Some(name), place))
}

/// `file:line:column`, read from the end as the file may hold colons.
fn location(place: &str) -> Option<(&str, u32, u32)> {
    let (rest, column) = place.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let number = |digits: &str| {
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse::<u32>().ok()
        } else {
            None
        }
    };
    if file.is_empty() {
        return None;
    }
    Some((file, number(line)?, number(column)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(Dialect, Option<&str>, &str, u32, u32)>) {
        let stack = Stack::parse(line);
        let frame = stack
            .frames()
            .next()
            .map(|(_, f)| (f.dialect, f.function, f.file, f.line, f.column));
        assert_eq!(frame, expected, "{line}");
    }

    #[test]
    fn v8_frames() {
        use Dialect::{V8, V8Async};
        check(
            "    at u (https://shop.example/app.js:1:164)",
            Some((V8, Some("u"), "https://shop.example/app.js", 1, 164)),
        );
        check(
            "at https://shop.example/app.js:1:164",
            Some((V8, None, "https://shop.example/app.js", 1, 164)),
        );
        check(
            "\tat new Cart (/app.js:3:4)\r",
            Some((V8, Some("new Cart"), "/app.js", 3, 4)),
        );
        check(
            "at async f (/app.js:3:4)",
            Some((V8Async, Some("f"), "/app.js", 3, 4)),
        );
        check(
            "at async https://a/app.js:3:4",
            Some((V8Async, None, "https://a/app.js", 3, 4)),
        );
        check(
            "at Object.x [as y] (app.js:3:4)",
            Some((V8, Some("Object.x [as y]"), "app.js", 3, 4)),
        );
        check(
            "at Object.<anonymous> (app.js:3:4)",
            Some((V8, Some("Object.<anonymous>"), "app.js", 3, 4)),
        );
        check("at f(app.js:3:4)", Some((V8, Some("f"), "app.js", 3, 4)));
        check(
            "at f (https://a/app(1).js:3:4)",
            Some((V8, Some("f"), "https://a/app(1).js", 3, 4)),
        );
        check(
            "at eval (webpack-internal:///./src/a.js:1:2)",
            Some((V8, Some("eval"), "webpack-internal:///./src/a.js", 1, 2)),
        );
        check("at f (app.js:0:0)", Some((V8, Some("f"), "app.js", 0, 0)));
    }

    #[test]
    fn firefox_and_safari_frames() {
        use Dialect::Gecko;
        check(
            "u@https://shop.example/app.js:1:164",
            Some((Gecko, Some("u"), "https://shop.example/app.js", 1, 164)),
        );
        check(
            "@https://shop.example/app.js:1:164",
            Some((Gecko, None, "https://shop.example/app.js", 1, 164)),
        );
        check(
            "global code@https://a/app.js:1:330",
            Some((Gecko, Some("global code"), "https://a/app.js", 1, 330)),
        );
        check(
            "async*f/<@https://a/app.js:1:3",
            Some((Gecko, Some("async*f/<"), "https://a/app.js", 1, 3)),
        );
        check(
            "f@https://cdn/npm/vue@3/vue.js:1:2",
            Some((Gecko, Some("f"), "https://cdn/npm/vue@3/vue.js", 1, 2)),
        );
        // The word "at" inside a Firefox name does not make it a V8 frame.
        check(
            "format at home@/app.js:1:2",
            Some((Gecko, Some("format at home"), "/app.js", 1, 2)),
        );
    }

    #[test]
    fn lines_that_are_no_frames() {
        for line in [
            "",
            "   ",
            "TypeError: boom",
            "    at async Promise.all (index 0)",
            "    at <anonymous>",
            "    at Array.forEach (<anonymous>)",
            "forEach@[native code]",
            "[native code]",
            "at app.js:3",
            "f@app.js:3",
            "https://a/app.js:1:2",
            "https://cdn/npm/vue@3/vue.js:1:2",
            "at :1:2",
            "@:1:2",
            "at f (app.js:1:2x)",
            "at f (app.js:+1:2)",
            "at f (app.js:1:4294967296)",
            "at f (app.js::2)",
            "at",
            "at ",
            "at ()",
            "@",
            "wasm-function[12]@[wasm code]",
        ] {
            check(line, None);
        }
    }

    #[test]
    fn eval_is_told_apart() {
        for (line, eval) in [
            (
                "at eval (eval at f (https://a/app.js:1:2), <anonymous>:3:4)",
                true,
            ),
            ("f@https://a/app.js line 1 > eval:3:4", true),
            ("anonymous@https://a/app.js line 1 > Function:3:4", true),
            ("at evaluate (https://a/app.js:3:4)", false),
        ] {
            let stack = Stack::parse(line);
            assert_eq!(
                stack.frames().next().map(|(_, frame)| frame.is_eval()),
                Some(eval),
                "{line}"
            );
        }
    }

    #[track_caller]
    fn check_rewrite(text: &str, name: Option<&str>, expected: &str) {
        let rewritten = Stack::parse(text).rewrite(|_| {
            Some(Place {
                name,
                source: "src/a.ts",
                line: 7,
                column: 9,
            })
        });
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn rewriting_keeps_the_form() {
        check_rewrite("  at u (/a.js:1:2)", None, "  at u (src/a.ts:7:9)");
        check_rewrite(
            "\tat u (/a.js:1:2)",
            Some("total"),
            "\tat total (src/a.ts:7:9)",
        );
        check_rewrite("at /a.js:1:2", None, "at src/a.ts:7:9");
        check_rewrite("at /a.js:1:2", Some("total"), "at total (src/a.ts:7:9)");
        check_rewrite("at async /a.js:1:2", None, "at async src/a.ts:7:9");
        check_rewrite(
            "at async u (/a.js:1:2)",
            Some("load"),
            "at async load (src/a.ts:7:9)",
        );
        check_rewrite("u@/a.js:1:2", Some("total"), "total@src/a.ts:7:9");
        check_rewrite("@/a.js:1:2", None, "@src/a.ts:7:9");
        check_rewrite(
            "\n\n  at u (/a.js:1:2)\r\nend",
            None,
            "\n\n  at u (src/a.ts:7:9)\r\nend",
        );
    }

    proptest! {
        #[test]
        fn unknown_text_comes_back_byte_for_byte(text in "(?s).{0,200}") {
            prop_assert_eq!(Stack::parse(&text).rewrite(|_| None), text);
        }

        #[test]
        fn noise_around_frames_never_panics(text in "[at @:()0-9\\n\\r\\tx/>é]{0,120}") {
            let stack = Stack::parse(&text);
            let frames = stack.frames().count();
            let rewritten = stack.rewrite(|_| Some(Place { name: None, source: "s", line: 1, column: 1 }));
            prop_assert_eq!(rewritten.matches('\n').count(), text.matches('\n').count());
            prop_assert_eq!(Stack::parse(&rewritten).frames().count(), frames);
        }
    }
}
