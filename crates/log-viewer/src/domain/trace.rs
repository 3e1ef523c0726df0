//! What the lines of stack traces look like, and which line may follow which.

use serde::{Deserialize, Serialize};

use super::level;

/// What kind of trace an open entry holds so far, as far as that decides whether the next line belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trace {
    /// None yet.
    #[default]
    None,
    /// Frames of a Python traceback: the next line that is not indented is its exception.
    PythonFrames,
    /// A Python traceback with its exception: another one may be chained to it.
    PythonDone,
    /// Between the two parts of a chain.
    PythonChain,
    /// Java, Kotlin, Scala, .NET.
    Java,
    /// A Go panic or a dump of goroutines.
    Go,
    /// Node: the place of an uncaught error; its source line comes next.
    NodePlace,
    /// Node: the source line was there; a caret and the error come next.
    NodeSource,
    /// Node: the error itself.
    NodeError,
    /// A Rust panic whose message is on the next line.
    RustHead,
    /// A Rust panic with its message.
    RustPanic,
    /// A PHP error that lists its stack.
    Php,
    /// A Ruby error; calls follow at the left margin.
    Ruby,
}

/// The part of an open entry that decides about the next line.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What it holds so far.
    pub trace: Trace,
    /// Its first line, without colours.
    pub first_line: &'a str,
    /// How many lines it has.
    pub lines: usize,
    /// Whether a line of it ended in an opening bracket that was not closed.
    pub open_bracket: bool,
    /// Whether blank lines stand between it and the line asked about.
    pub after_blank: bool,
}

const TRACEBACK: &str = "Traceback (most recent call last)";
/// What faulthandler begins with; threads follow, and no exception.
const FATAL: &str = "Fatal Python error";
/// What Rich draws around a traceback.
const BOX: [char; 3] = ['│', '╰', '├'];

/// The kind of trace that a line starts when it begins an entry.
pub fn of_first_line(line: &str) -> Trace {
    if line.starts_with(TRACEBACK) || is_boxed_traceback(line) {
        Trace::PythonFrames
    } else if is_group_traceback(line) {
        Trace::PythonDone
    } else if is_go_start(line) {
        Trace::Go
    } else if is_rust_panic(line) {
        if line.ends_with(':') {
            Trace::RustHead
        } else {
            Trace::RustPanic
        }
    } else if is_node_place(line) {
        Trace::NodePlace
    } else if line.starts_with("PHP ") || line.contains("PHP Fatal error:") {
        Trace::Php
    } else if is_ruby_error(line) {
        Trace::Ruby
    } else {
        indented(line, Trace::None)
    }
}

/// Whether `line`, not blank and without colours, goes on with the entry; if so, what the entry then holds.
pub fn continues(open: Context<'_>, line: &str) -> Option<Trace> {
    if is_json_object(line) || is_json_object(open.first_line) && open.lines == 1 {
        return None;
    }
    if is_group_traceback(line) {
        return takes_traceback(open).then_some(Trace::PythonDone);
    }
    if line.starts_with([' ', '\t']) {
        return (!is_padded_level(line)).then(|| indented(line, open.trace));
    }
    if line.starts_with(TRACEBACK) || is_boxed_traceback(line) {
        return takes_traceback(open).then_some(Trace::PythonFrames);
    }
    if open.open_bracket && is_closing_bracket(line) {
        return Some(open.trace);
    }
    follows(open, line)
}

/// What PHP says after a blank line of the exception that was thrown because of the one before.
fn is_php_outer(line: &str) -> bool {
    line.strip_prefix("Next ")
        .and_then(|rest| rest.split_once(": "))
        .is_some_and(|(class, rest)| {
            class
                .chars()
                .all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '\\'))
                && rest.contains(" in ")
        })
}

/// What the traceback of an exception group begins with. All of it is indented.
fn is_group_traceback(line: &str) -> bool {
    line.trim_start()
        .strip_prefix("+ Exception Group ")
        .is_some_and(|rest| rest.starts_with(TRACEBACK))
}

/// Whether the whole line is one JSON object: such a line is an entry of its own.
pub fn is_json_object(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with('{')
        && line.ends_with('}')
        && line
            .get(1..)
            .is_some_and(|inside| inside.trim_start().starts_with(['"', '}']))
}

/// Whether a line opens a bracket that a later line has to close.
pub fn opens_bracket(line: &str) -> bool {
    line.trim_end().ends_with(['{', '[', '('])
}

fn is_closing_bracket(line: &str) -> bool {
    line.trim_end()
        .chars()
        .all(|letter| matches!(letter, '}' | ']' | ')' | ',' | ';'))
}

/// Loggers that pad levels to five letters start some lines with a blank: ` INFO app: up`.
fn is_padded_level(line: &str) -> bool {
    [" INFO ", " WARN "]
        .iter()
        .any(|start| line.starts_with(start))
}

fn indented(line: &str, before: Trace) -> Trace {
    let text = line.trim_start();
    if line.len() == text.len() {
        return before;
    }
    if text.starts_with("File \"") && text.contains(", line ") || text.starts_with(TRACEBACK) {
        return Trace::PythonFrames;
    }
    match before {
        Trace::None | Trace::PythonDone if is_frame(text) => Trace::Java,
        Trace::PythonDone => Trace::PythonDone,
        Trace::NodePlace => Trace::NodeSource,
        other => other,
    }
}

/// `at a.B.c(B.java:1)`, `at A.B.C() in /app/A.cs:line 3`, `... 2 more`.
fn is_frame(text: &str) -> bool {
    text.starts_with("at ") && (text.ends_with(')') || text.contains(":line "))
        || text.starts_with("... ") && text.ends_with("more")
}

/// A traceback belongs to the line before it, which `logger.exception` wrote. A line that says it is harmless did not:
/// then the traceback is somebody else's and must not hide behind that level.
fn takes_traceback(open: Context<'_>) -> bool {
    match open.trace {
        Trace::PythonChain => true,
        Trace::None => !matches!(
            level::explicit(open.first_line),
            Some(super::entry::Level::Debug | super::entry::Level::Info)
        ),
        _ => false,
    }
}

/// Lines that are not indented and yet belong to the trace before them.
fn follows(open: Context<'_>, line: &str) -> Option<Trace> {
    match open.trace {
        Trace::PythonFrames
            if !open.after_blank
                && is_python_exception(line)
                && !open.first_line.starts_with(FATAL) =>
        {
            Some(Trace::PythonDone)
        }
        Trace::PythonFrames if line.starts_with(BOX) => Some(Trace::PythonFrames),
        Trace::PythonDone if is_python_chain(line) => Some(Trace::PythonChain),
        _ if is_python_thread(open.first_line, line) => Some(open.trace),
        Trace::None if is_lost_future(open, line) => Some(Trace::None),
        Trace::Go if is_go_line(line) => Some(Trace::Go),
        Trace::NodePlace if !open.after_blank => Some(Trace::NodeSource),
        Trace::NodeSource if is_caret(line) => Some(Trace::NodeSource),
        Trace::NodeSource if open.after_blank => Some(Trace::NodeError),
        Trace::NodeError if line.starts_with("Node.js v") || line.starts_with("Emitted '") => {
            Some(Trace::NodeError)
        }
        Trace::RustHead if !open.after_blank => Some(Trace::RustPanic),
        Trace::RustPanic if is_rust_note(line) => Some(Trace::RustPanic),
        Trace::Php if is_php_stack(line) || is_php_outer(line) => Some(Trace::Php),
        Trace::Java if line.starts_with("Caused by: ") || line.starts_with("--- End of ") => {
            Some(Trace::Java)
        }
        Trace::Ruby if is_ruby_call(line) || !open.after_blank && is_ruby_error(line) => {
            Some(Trace::Ruby)
        }
        Trace::None if is_ruby_call(line) && is_ruby_head(open.first_line) => Some(Trace::Ruby),
        Trace::None if is_report_section(line) && complains(open.first_line) => Some(Trace::None),
        Trace::None if open.lines == 1 && is_java_throwable(line) && complains(open.first_line) => {
            Some(Trace::Java)
        }
        _ if open.after_blank => is_goroutine(line).then_some(Trace::Go),
        Trace::None if line.starts_with("Caused by: ") => Some(Trace::Java),
        _ if is_goroutine(line) => Some(Trace::Go),
        Trace::None if line.starts_with("Stack trace:") || line == "[stacktrace]" => {
            Some(Trace::Php)
        }
        _ => None,
    }
}

fn complains(first_line: &str) -> bool {
    level::explicit(first_line).is_some_and(|level| level >= super::entry::Level::Warning)
}

/// `ValueError: text`, `KeyboardInterrupt`, `app.errors.Custom: text`; not `INFO: text`.
fn is_python_exception(line: &str) -> bool {
    let class = line.split_once(": ").map_or(line, |(class, _)| class);
    let class = class.strip_suffix(':').unwrap_or(class);
    let is_name = !class.is_empty()
        && class
            .split('.')
            .all(|part| part.starts_with(|letter: char| letter.is_alphabetic() || letter == '_'))
        && class
            .chars()
            .all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.'));
    let is_one_case = class.bytes().all(|byte| byte.is_ascii_uppercase())
        || class.bytes().all(|byte| byte.is_ascii_lowercase());
    is_name && !(is_one_case && level::word(class).is_some())
}

/// `╭───── Traceback (most recent call last) ─────╮`.
fn is_boxed_traceback(line: &str) -> bool {
    line.starts_with('╭') && line.contains("Traceback")
}

/// The threads that faulthandler lists behind `Fatal Python error: …`.
fn is_python_thread(first_line: &str, line: &str) -> bool {
    first_line.starts_with(FATAL)
        && ["Current thread 0x", "Thread 0x", "Extension modules:"]
            .iter()
            .any(|start| line.starts_with(start))
}

/// asyncio names the future between its complaint and the traceback.
fn is_lost_future(open: Context<'_>, line: &str) -> bool {
    open.lines == 1
        && open.first_line.ends_with("exception was never retrieved")
        && line.starts_with("future: <")
}

fn is_python_chain(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

fn is_java_throwable(line: &str) -> bool {
    let class = line.split_once(':').map_or(line, |(class, _)| class);
    class.contains('.')
        && class
            .chars()
            .all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '$'))
        && ["Exception", "Error", "Throwable"]
            .iter()
            .any(|end| class.ends_with(end))
}

fn is_go_start(line: &str) -> bool {
    [
        "panic: ",
        "fatal error: ",
        "SIGQUIT: ",
        "SIGABRT: ",
        "runtime: goroutine ",
    ]
    .iter()
    .any(|start| line.starts_with(start))
        || is_goroutine(line)
}

fn is_goroutine(line: &str) -> bool {
    line.strip_prefix("goroutine ")
        .and_then(|rest| rest.split_once(" ["))
        .is_some_and(|(id, state)| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && state.ends_with("]:")
        })
}

/// What Go's runtime prints at the left margin: goroutines, calls, their origin, signals, registers, the exit.
fn is_go_line(line: &str) -> bool {
    const STARTS: [&str; 6] = [
        "created by ",
        "[signal ",
        "exit status ",
        "...additional frames elided...",
        "panic: ",
        "runtime stack:",
    ];
    is_goroutine(line)
        || STARTS.iter().any(|start| line.starts_with(start))
        || is_go_call(line)
        || is_register(line)
}

fn is_go_call(line: &str) -> bool {
    line.ends_with(')')
        && line
            .split_once('(')
            .is_some_and(|(name, _)| !name.is_empty() && !name.contains(' ') && name.contains('.'))
        || line.starts_with("panic(") && line.ends_with(')')
}

fn is_register(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(name, value)| {
        (2..=6).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && value.trim_start().starts_with("0x")
    })
}

/// `/app/index.js:12`, which Node prints before an uncaught error.
fn is_node_place(line: &str) -> bool {
    let Some((file, number)) = line.rsplit_once(':') else {
        return false;
    };
    let is_script = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx"]
        .iter()
        .any(|end| file.ends_with(end));
    let has_root = file.starts_with('/') || file.starts_with("file://");
    let is_place = has_root && is_script || file.starts_with("node:");
    is_place && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_caret(line: &str) -> bool {
    line.trim_end()
        .bytes()
        .all(|byte| matches!(byte, b'^' | b'~'))
}

fn is_rust_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at ")
}

fn is_rust_note(line: &str) -> bool {
    line.starts_with("note: ") || line.starts_with("stack backtrace:")
}

/// The parts of a report by anyhow or eyre, which stand behind blank lines.
fn is_report_section(line: &str) -> bool {
    ["Caused by:", "Location:", "Stack backtrace:", "Backtrace:"].contains(&line.trim_end())
}

/// ``app/cart.rb:3:in `add': undefined method (NoMethodError)``, by which Ruby ends.
fn is_ruby_error(line: &str) -> bool {
    behind_ruby_place(line).is_some() && line.ends_with(')')
}

/// ``app/cart.rb:3:in `add'`` at the left margin.
fn is_ruby_call(line: &str) -> bool {
    behind_ruby_place(line).is_some_and(|call| {
        call.trim_end()
            .strip_suffix('\'')
            .is_some_and(|name| !name.contains('\''))
    })
}

/// What follows ``x.rb:3:in ` ``.
fn behind_ruby_place(line: &str) -> Option<&str> {
    let (file, rest) = line.split_once(".rb:")?;
    let (number, rest) = rest.split_once(":in ")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !file.contains(' '))
        .then(|| rest.strip_prefix(['`', '\'']))
        .flatten()
}

/// `NoMethodError (undefined method …):`, as Rails logs it.
fn is_ruby_head(first_line: &str) -> bool {
    first_line.split_once(" (").is_some_and(|(class, _)| {
        class.starts_with(|letter: char| letter.is_ascii_uppercase())
            && class
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b':')
    }) || complains(first_line)
}

/// Laravel's stack ends with the bracket of its context.
fn is_php_stack(line: &str) -> bool {
    line.starts_with("Stack trace:")
        || ["[stacktrace]", "[previous exception]", "\"}"]
            .iter()
            .any(|start| line.starts_with(start))
        || line.strip_prefix('#').is_some_and(|rest| {
            rest.split_once(' ').is_some_and(|(number, _)| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
}
