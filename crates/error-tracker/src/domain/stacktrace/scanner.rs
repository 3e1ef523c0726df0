//! Lines become frames, frames become exceptions.

use super::place::{BLANKS, leading_number};
use super::window::Building;
use super::{
    Exception, Frame, Language, MOST_EXCEPTIONS, Stacktrace, dotnet, go, javascript, jvm, php,
    python, ruby, rust,
};

/// Shorter lines are no frames.
const SHORTEST: usize = 4;

/// Longer lines are no frames, except for those that begin as one.
const LONGEST_UNMARKED: usize = 4096;

/// What is remembered from line to line.
#[derive(Debug, Default)]
pub(super) struct Scanner<'t> {
    exceptions: Vec<Exception<'t>>,
    current: Building<'t>,
    language: Option<Language>,
    counts: [u32; 8],
    /// The line before, without blanks around it.
    previous: &'t str,
    /// Lines indented deeper than the Python frame above them show its source.
    python_indent: Option<usize>,
    /// What may be the type of the Python exception whose frames were just read.
    python_type: Option<&'t str>,
    /// Inside a Python exception group, whose lines have a margin.
    python_group: bool,
    /// Whether the exceptions that come are of a group.
    is_member: bool,
    /// How deep the word stood that began a suppressed exception of Java.
    suppressed_indent: Option<usize>,
    /// Types of inner .NET exceptions, the outermost first; they are printed in reverse.
    inner_types: Vec<&'t str>,
    goroutines: u32,
    /// Whether numbered lines are Rust frames even if they do not look so.
    rust_backtrace: bool,
    /// A Rust frame whose place may be on the next line.
    rust_frame: Option<rust::Symbol<'t>>,
}

impl<'t> Scanner<'t> {
    /// Reads the next line, with or without its carriage return.
    pub(super) fn line(&mut self, line: &'t str) {
        // Nothing that matters is shorter, and a hostile text has many such lines.
        if line.len() < SHORTEST {
            self.place_rust_frame("");
            self.previous = "";
            return;
        }
        let body = line.trim_start_matches(BLANKS);
        let indent = line.len() - body.len();
        let body = body.trim_end_matches(BLANKS);
        let Some(first) = body.bytes().next() else {
            self.place_rust_frame("");
            self.previous = "";
            return;
        };
        if self.place_rust_frame(body) {
            return;
        }
        if matches!(first, b'|' | b'+') && self.margin(line, body) {
            return;
        }
        self.body(body, indent, first);
        self.previous = body;
    }

    fn body(&mut self, body: &'t str, indent: usize, first: u8) {
        if self.is_python_source(body, indent) || self.is_suppressed(body, indent) {
            return;
        }
        match first {
            b'F' if self.python_frame(body, indent) => {}
            b'a' if body.starts_with("at ") => self.at_line(body),
            b'#' => self.push(php::frame(body), false),
            b'0'..=b'9' => self.numbered(body),
            b'f' if body.starts_with("from ") => self.push(ruby::frame(body), false),
            _ if self.is_heading(body, indent, first) => {}
            _ => self.unmarked(body),
        }
    }

    /// What the text told.
    pub(super) fn finish(mut self) -> Stacktrace<'t> {
        self.place_rust_frame("");
        self.cut(None);
        let most = self
            .counts
            .iter()
            .copied()
            .zip(LANGUAGES)
            .max_by_key(|(count, _)| *count);
        let language = most
            .filter(|(count, _)| *count > 0)
            .map(|(_, language)| language);
        // Where causes come first, the exception that was reported is the last one.
        let last = self.exceptions.len().saturating_sub(1);
        let main = match language {
            Some(Language::Python) => self
                .exceptions
                .iter()
                .rposition(|exception| !exception.is_member)
                .unwrap_or(last),
            Some(Language::Php | Language::CSharp) => last,
            _ => 0,
        };
        Stacktrace {
            language,
            exceptions: self.exceptions,
            main,
        }
    }

    fn push(&mut self, frame: Option<Frame<'t>>, outermost_first: bool) {
        let Some(frame) = frame else { return };
        if self.current.has_frames() && self.language != Some(frame.language) {
            self.cut(None);
        }
        self.language = Some(frame.language);
        if let Some(count) = self.counts.get_mut(frame.language as usize) {
            *count = count.saturating_add(1);
        }
        self.current.is_member = self.is_member;
        self.current.push(frame, outermost_first);
    }

    /// Ends the exception that is being read.
    fn cut(&mut self, cause_type: Option<&'t str>) {
        let mut done = std::mem::take(&mut self.current);
        if done.has_frames() && done.cause_type.is_none() {
            done.cause_type = cause_type;
        }
        if done.is_empty() {
            return;
        }
        if self.exceptions.len() == MOST_EXCEPTIONS {
            self.exceptions.remove(MOST_EXCEPTIONS / 2);
        }
        self.exceptions.push(done.finish());
    }

    /// Begins an exception that the text sets off as the cause of another.
    fn begin_cause(&mut self, heading: &'t str) {
        self.cut(None);
        self.current.cause_type = type_of(heading);
    }

    fn python_frame(&mut self, body: &'t str, indent: usize) -> bool {
        let frame = python::frame(body);
        if frame.is_some() {
            self.python_indent = Some(indent);
            self.python_type = None;
        }
        let found = frame.is_some();
        self.push(frame, true);
        found
    }

    fn is_python_source(&mut self, body: &'t str, indent: usize) -> bool {
        let Some(frame_indent) = self.python_indent else {
            return false;
        };
        if body.starts_with("File \"") {
            return false;
        }
        if indent > frame_indent {
            return true;
        }
        if indent < frame_indent || frame_indent == 0 {
            self.python_indent = None;
            self.python_type = type_of(body);
        }
        false
    }

    /// The margin of an exception group: `|` before its lines, `+--- 2 ---` between its members.
    fn margin(&mut self, line: &'t str, body: &'t str) -> bool {
        if body.starts_with("+ Exception Group Traceback") {
            self.python_group = true;
            self.cut_python();
            return true;
        }
        if !self.python_group {
            return false;
        }
        if body.starts_with('+') {
            self.cut_python();
            self.is_member = body.bytes().any(|byte| byte.is_ascii_digit());
            return true;
        }
        let inside = body.trim_start_matches(['|', ' ']);
        if let Some(first) = inside.bytes().next() {
            let before = line.trim_end_matches(BLANKS).len() - inside.len();
            self.body(inside, before, first);
        }
        true
    }

    fn cut_python(&mut self) {
        let python_type = self.python_type.take();
        self.python_indent = None;
        self.cut(python_type);
    }

    fn is_suppressed(&mut self, body: &'t str, indent: usize) -> bool {
        let Some(outer) = self.suppressed_indent else {
            return false;
        };
        let goes_on = ["Caused by: ", "Suppressed: ", "... "];
        let inside = indent > outer
            || indent == outer && indent > 0 && goes_on.iter().any(|mark| body.starts_with(mark));
        if !inside {
            self.suppressed_indent = None;
        }
        inside
    }

    /// Lines that stand between frames and say what comes next.
    fn is_heading(&mut self, body: &'t str, indent: usize, first: u8) -> bool {
        let found = match first {
            b'T' if body.starts_with("Traceback (most recent call last)") => {
                self.cut_python();
                true
            }
            b'T' | b'D' if python::is_chain(body) => {
                self.cut_python();
                true
            }
            b'C' | b'W' | b'[' => {
                let cause = ["Caused by: ", "Wrapped by: ", "[cause]: "]
                    .iter()
                    .find_map(|mark| body.strip_prefix(mark));
                cause.map(|heading| self.begin_cause(heading)).is_some()
            }
            b'S' if body.starts_with("Suppressed: ") => {
                self.suppressed_indent = Some(indent);
                true
            }
            b'N' => match body.strip_prefix("Next ") {
                Some(_) if self.language == Some(Language::Php) => {
                    self.cut(None);
                    true
                }
                _ => false,
            },
            b'-' if body.starts_with("--- End of inner exception") => {
                let inner = self.inner_types.pop();
                self.cut(inner);
                true
            }
            b'g' => match body.strip_prefix("goroutine ").and_then(leading_number) {
                Some((_, rest)) if rest.starts_with(" [") => {
                    self.goroutines += 1;
                    true
                }
                _ => false,
            },
            _ => false,
        };
        if first.eq_ignore_ascii_case(&b's') && body.ends_with("tack backtrace:") {
            self.rust_backtrace = true;
            return true;
        }
        if first == b'S' && body == "Stack trace:" {
            self.push(php::thrown(self.previous), false);
            return true;
        }
        found
    }

    fn numbered(&mut self, body: &'t str) {
        if let Some(frame) = ruby::numbered(body) {
            return self.push(Some(frame), true);
        }
        match rust::symbol(body) {
            Some(symbol) => self.rust_frame = Some(symbol),
            None => self.unmarked(body),
        }
    }

    /// A Rust frame waits for the line behind it, `body`, which may say where it is; if it does,
    /// the line is used up.
    fn place_rust_frame(&mut self, body: &'t str) -> bool {
        let Some(symbol) = self.rust_frame.take() else {
            return false;
        };
        let place = rust::place(body);
        let frame = rust::frame(symbol, place, self.rust_backtrace);
        self.push(frame, false);
        place.is_some()
    }

    /// `at ...`, which Java, C# and V8 all write.
    fn at_line(&mut self, body: &'t str) {
        let Some(rest) = body.strip_prefix("at ") else {
            return;
        };
        let rest = rest.trim_start_matches(BLANKS);
        let glued = match rest.split_once('(') {
            Some((before, after)) if !before.ends_with(' ') => Some((before, after)),
            Some((before, after)) => {
                let mono = dotnet::mono(before, after);
                if mono.is_some() {
                    return self.push(mono, false);
                }
                None
            }
            None => None,
        };
        if let Some((before, after)) = glued {
            if jvm::is_generated(before) {
                return;
            }
            let frame = jvm::frame(before, after).or_else(|| dotnet::frame(before, after));
            if frame.is_some() {
                return self.push(frame, false);
            }
        }
        self.push(javascript::v8(rest), false);
    }

    /// A line without a mark at its beginning.
    fn unmarked(&mut self, body: &'t str) {
        let last = body.bytes().next_back().unwrap_or(0);
        if body.len() > LONGEST_UNMARKED {
            return;
        }
        if last.is_ascii_hexdigit()
            && let Some(place) = go::place(body)
        {
            let frame = go::frame(self.previous, place);
            return self.push(frame.filter(|_| self.goroutines <= 1), false);
        }
        if last.is_ascii_digit()
            && let Some(frame) = javascript::gecko(body)
        {
            return self.push(Some(frame), false);
        }
        if let Some(frame) = rust::panic(body) {
            return self.push(Some(frame), false);
        }
        if body.contains('\'')
            && let Some(frame) = ruby::first(body)
        {
            return self.push(Some(frame), false);
        }
        if body.contains('>') {
            let types = body.split("---> ").skip(1).filter_map(dotnet::inner_type);
            let room = MOST_EXCEPTIONS.saturating_sub(self.inner_types.len());
            self.inner_types.extend(types.take(room));
        }
    }
}

const LANGUAGES: [Language; 8] = [
    Language::Python,
    Language::JavaScript,
    Language::Java,
    Language::Go,
    Language::Ruby,
    Language::Php,
    Language::Rust,
    Language::CSharp,
];

/// The type before the message of an exception.
pub(super) fn type_of(heading: &str) -> Option<&str> {
    let name = heading.split_once(':').map_or(heading, |(name, _)| name);
    let named = !name.is_empty()
        && name.len() <= 200
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$' | b'\\'));
    named.then_some(name)
}
