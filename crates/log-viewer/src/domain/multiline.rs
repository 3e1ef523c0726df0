//! Puts lines that belong together into one entry: stack traces, indented continuations, pretty-printed objects.
//!
//! One [`Assembler`] per stream of a container, so that what a program prints to its two outputs is never mixed. It has no
//! clock: callers say what time it is. Its state can be written down and read back, so an entry survives a restart of
//! the service half-way.
//!
//! Invariants: no line is lost but blank ones at the beginning and the end of an entry; lines keep their order; an entry
//! has at most [`MAX_LINES`] lines and [`MAX_BYTES`] bytes, then the next line starts another one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ansi;
use super::entry::{Line, NewEntry, Stream};
use super::fields;
use super::level;
use super::trace::{self, Context, Trace};

/// An entry closes when its stream has been quiet for this long.
pub const QUIET: Duration = Duration::from_millis(200);
/// An entry closes when it is this old.
pub const MAX_AGE: Duration = Duration::from_secs(1);
/// The largest number of lines of an entry.
pub const MAX_LINES: usize = 2000;
/// The largest size of an entry in bytes. A single line may be longer by its mark of being cut.
pub const MAX_BYTES: usize = 256 * 1024;

/// Longer runs of blanks are kept as an empty line.
const MAX_BLANK_BYTES: usize = 80;

/// Collects the lines of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assembler {
    stream: Stream,
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    time_ns: i64,
    text: String,
    lines: usize,
    first_line_bytes: usize,
    blank_lines: Vec<String>,
    trace: Trace,
    unclosed_bracket: bool,
    #[serde(skip)]
    since: Duration,
    #[serde(skip)]
    touched: Duration,
}

impl Assembler {
    /// An assembler with nothing in it.
    pub fn new(stream: Stream) -> Self {
        Self { stream, open: None }
    }

    /// Takes a line. Answers the entry before it, when the line does not belong to that.
    pub fn push(&mut self, line: Line, now: Duration) -> Option<NewEntry> {
        if line.text.trim().is_empty() {
            if let Some(open) = &mut self.open {
                open.push_blank(line.text, now);
            }
            return None;
        }
        if let Some(open) = &mut self.open
            && open.accepts(&line, now)
        {
            return None;
        }
        let closed = self.close();
        self.open = Some(Open::new(line, now));
        closed
    }

    /// Closes the entry when it is due. Call it when there is nothing more to read, so that a slow reader does not tear
    /// apart what was written in one go.
    pub fn flush(&mut self, now: Duration) -> Option<NewEntry> {
        if self.due().is_some_and(|due| due <= now) {
            self.close()
        } else {
            None
        }
    }

    /// When [`Assembler::flush`] will have something.
    pub fn due(&self) -> Option<Duration> {
        let open = self.open.as_ref()?;
        Some((open.touched + QUIET).min(open.since + MAX_AGE))
    }

    /// Closes the entry at once.
    pub fn close(&mut self) -> Option<NewEntry> {
        let open = self.open.take()?;
        Some(NewEntry {
            time_ns: open.time_ns,
            stream: self.stream,
            level: level::detect(&open.text, self.stream),
            fields: fields::tokens(&open.text),
            message: open.text,
        })
    }

    /// How much text is open.
    pub fn held_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.text.len())
    }

    /// Starts the clock of a restored state.
    pub fn resume(&mut self, now: Duration) {
        if let Some(open) = &mut self.open {
            open.since = now;
            open.touched = now;
        }
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_none()
    }
}

impl Open {
    fn new(line: Line, now: Duration) -> Self {
        let plain = ansi::strip(&line.text);
        Self {
            time_ns: line.time_ns,
            lines: 1,
            first_line_bytes: line.text.len(),
            blank_lines: Vec::new(),
            trace: trace::of_first_line(&plain),
            unclosed_bracket: trace::opens_bracket(&plain),
            since: now,
            touched: now,
            text: line.text,
        }
    }

    /// Blank lines wait for a line that continues the entry behind them; else they are its end, and dropped.
    fn push_blank(&mut self, line: String, now: Duration) {
        if self.lines + self.blank_lines.len() < MAX_LINES {
            // What is blank needs no width; a huge run of blanks must not count as content.
            self.blank_lines.push(if line.len() <= MAX_BLANK_BYTES {
                line
            } else {
                String::new()
            });
        }
        self.touched = now;
    }

    /// Appends the line when it belongs to the entry and there is room.
    fn accepts(&mut self, line: &Line, now: Duration) -> bool {
        let plain = ansi::strip(&line.text);
        let blank_bytes: usize = self.blank_lines.iter().map(|blank| blank.len() + 1).sum();
        let is_full = self.lines + self.blank_lines.len() >= MAX_LINES
            || self.text.len() + blank_bytes + 1 + line.text.len() > MAX_BYTES;
        if is_full {
            return false;
        }
        let first_line = ansi::strip(self.text.get(..self.first_line_bytes).unwrap_or_default());
        let context = Context {
            trace: self.trace,
            first_line: &first_line,
            lines: self.lines,
            open_bracket: self.unclosed_bracket,
            after_blank: !self.blank_lines.is_empty(),
        };
        let Some(trace) = trace::continues(context, &plain) else {
            return false;
        };
        drop(first_line);
        self.trace = trace;
        self.unclosed_bracket |= trace::opens_bracket(&plain);
        self.lines += self.blank_lines.len() + 1;
        for blank in self.blank_lines.drain(..) {
            self.text.push('\n');
            self.text.push_str(&blank);
        }
        self.text.push('\n');
        self.text.push_str(&line.text);
        self.touched = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::Level;
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn line(time_ns: i64, text: &str) -> Line {
        Line {
            time_ns,
            text: text.to_owned(),
        }
    }

    fn assemble(lines: &[&str]) -> Vec<NewEntry> {
        let mut assembler = Assembler::new(Stream::Stderr);
        let mut entries = Vec::new();
        for (time, text) in lines.iter().enumerate() {
            entries.extend(assembler.push(line(time as i64, text), NOW));
        }
        entries.extend(assembler.close());
        entries
    }

    /// `text` holds the entries, separated by lines of `---`.
    #[track_caller]
    fn check(text: &str) {
        let expected: Vec<String> = text.split("\n---\n").map(ToOwned::to_owned).collect();
        let lines: Vec<&str> = text.lines().filter(|line| *line != "---").collect();
        let found: Vec<String> = assemble(&lines)
            .into_iter()
            .map(|entry| entry.message)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn indented_lines_and_a_traceback_header_continue() {
        check(
            "ERROR: failed\nTraceback (most recent call last):\n  frame one\n    code\n---\nINFO: next",
        );
    }

    #[test]
    fn python_tracebacks_end_with_their_exception() {
        check(
            "ERROR: request failed\nTraceback (most recent call last):\n  File \"/app/main.py\", line 42, in handler\n    \
             process(data)\n  File \"/app/core.py\", line 7, in process\n    raise ValueError(\"bad\")\nValueError: bad\n\
             ---\nINFO: next request\n---\nplain",
        );
        check(
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyboardInterrupt\n---\nnext line",
        );
        check("Traceback (most recent call last):\n  x\napp.errors.Custom: text");
        check("Traceback (most recent call last):\n  x\n---\nINFO: cut off");
        check("  File \"a.py\", line 3\n    x =\n       ^\nSyntaxError: invalid syntax");
    }

    #[test]
    fn chained_python_exceptions_and_groups_are_one_entry() {
        check(
            "Traceback (most recent call last):\n  frame a\nZeroDivisionError: division by zero\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  frame b\nKeyError: 'x'\n---\nnext",
        );
        check(
            "Traceback (most recent call last):\n  a\nOSError: 1\n\n\
             The above exception was the direct cause of the following exception:\n\n\
             Traceback (most recent call last):\n  b\nRuntimeError: 2",
        );
        check(
            "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in <module>\n  \
             | ExceptionGroup: many (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    \
             | ValueError: 1\n    +---------------- 2 ----------------\n    | TypeError: 2\n    \
             +------------------------------------\n---\nnext",
        );
    }

    #[test]
    fn a_traceback_does_not_hide_behind_a_harmless_line() {
        let entries = assemble(&[
            "INFO: 127.0.0.1 \"GET /\" 500",
            "Traceback (most recent call last):",
            "  x",
            "ValueError: bad",
        ]);
        let levels: Vec<_> = entries.iter().map(|entry| entry.level).collect();
        assert_eq!(levels, [Level::Info, Level::Error]);
    }

    #[test]
    fn chained_traces_of_php_ruby_and_spring_are_one_entry() {
        check(
            "PHP Fatal error:  Uncaught InvalidArgumentException: inner in /app/a.php:3\nStack trace:\n\
             #0 /app/a.php(7): f()\n#1 {main}\n\nNext RuntimeException: outer in /app/a.php:9\nStack trace:\n\
             #0 /app/a.php(12): g()\n#1 {main}\n  thrown in /app/a.php on line 9\n---\nNext request",
        );
        check(
            "app.rb:10:in `rescue in bar': wrapped (RuntimeError)\n\tfrom app.rb:6:in `bar'\n\
             app.rb:7:in `bar': inner (ArgumentError)\n\tfrom app.rb:14:in `<main>'\n---\nnext",
        );
        check(
            "2025-01-20 10:00:00.123 ERROR 1 --- [nio-8080-exec-1] o.a.c.c.C.[.[.[/] : Servlet.service() threw exception\n\n\
             java.lang.NullPointerException: x is null\n\tat a.B.c(B.java:1)\n---\nnext",
        );
    }

    #[test]
    fn an_exception_group_does_not_hide_behind_a_harmless_line() {
        for harmless in [
            "INFO:     127.0.0.1:5000 - \"GET / HTTP/1.1\" 500",
            "DEBUG x",
        ] {
            let entries = assemble(&[
                harmless,
                "  + Exception Group Traceback (most recent call last):",
                "  |   File \"a.py\", line 1, in <module>",
                "  | ExceptionGroup: many (1 sub-exception)",
                "  +-+---------------- 1 ----------------",
                "    | ValueError: 1",
                "    +------------------------------------",
                "next",
            ]);
            let lines: Vec<_> = entries
                .iter()
                .map(|entry| entry.message.lines().count())
                .collect();
            assert_eq!(lines, [1, 6, 1], "{harmless}");
            assert_eq!(entries[1].level, Level::Error, "{harmless}");
        }
    }

    #[test]
    fn two_tracebacks_in_a_row_are_two_entries() {
        check(
            "Traceback (most recent call last):\n  a\nValueError: 1\n---\nTraceback (most recent call last):\n  b\nValueError: 2",
        );
    }

    #[test]
    fn java_traces_with_causes() {
        check(
            "java.lang.IllegalStateException: bad\n\tat com.acme.Foo.run(Foo.java:10)\n\tat com.acme.Main.main(Main.java:3)\n\
             Caused by: java.io.IOException: disk\n\t... 2 more\n---\nnext",
        );
        check(
            "2025-01-20 10:00:00,123 [main] ERROR org.acme.Foo - failed\njava.lang.RuntimeException: x\n\tat a.B.c(B.java:1)\n\
             ---\n2025-01-20 10:00:01,123 [main] INFO  org.acme.Foo - ok\n---\njava.lang.RuntimeException: printed",
        );
    }

    #[test]
    fn go_panics() {
        check(
            "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:9 +0x1d\nexit status 2\n---\nnext",
        );
        check(
            "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation]\n\n\
             goroutine 34 [running]:\nnet/http.(*conn).serve.func1()\n\t/usr/lib/go/server.go:1 +0x1\npanic({0x1, 0x2})\n\t/x.go:1\n\
             created by net/http.(*Server).Serve in goroutine 1\n\t/usr/lib/go/server.go:2\n\ngoroutine 5 [select]:\nmain.f(...)\n\t/y.go:2\n\
             ---\n2025/01/20 10:00:00 started",
        );
        check(
            "2025/01/20 10:00:00 http: panic serving 1.2.3.4:5: boom\ngoroutine 34 [running]:\nmain.f()\n\t/x.go:1",
        );
    }

    #[test]
    fn node_errors() {
        check(
            "Error: boom\n    at run (/app/index.js:1:7)\n    at Module._compile (node:internal:1105:14) {\n  code: 'X'\n}\n---\nINFO: up",
        );
        check(
            "/app/index.js:3\nthrow new Error('boom')\n^\n\nError: boom\n    at Object.<anonymous> (/app/index.js:3:7)\n\nNode.js v20.10.0\n---\nnext",
        );
    }

    #[test]
    fn rust_panics_and_php_stacks() {
        check(
            "thread 'main' panicked at src/main.rs:4:5:\nboom\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n---\nnext",
        );
        check(
            "PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 /a.php(5): f()\n#1 {main}\n  thrown in /a.php on line 3\n---\nnext",
        );
    }

    #[test]
    fn json_lines_are_never_glued() {
        check("{\"level\":\"info\"}\n---\n{\"level\":\"error\"}\n---\n  indented");
        check("before\n---\n{\"a\":1}\n---\nafter");
        check("{\n  \"pretty\": true\n}\n---\nnext");
    }

    #[test]
    fn blank_lines_at_the_end_and_the_beginning_are_dropped() {
        assert_eq!(
            assemble(&["", "one", "", "", "   ", "", "two", ""])
                .into_iter()
                .map(|entry| entry.message)
                .collect::<Vec<_>>(),
            ["one", "two"]
        );
        check("one\n\n  indented after a blank line\n---\ntwo");
    }

    #[test]
    fn lines_that_pad_their_level_with_a_blank_are_entries() {
        check(" INFO app: one\n---\n WARN app: two\n---\nERROR app: three");
    }

    #[test]
    fn time_and_level_come_from_the_first_line() {
        let entries = assemble(&["WARNING: careful", "  [ERROR] detail"]);
        assert_eq!(
            entries,
            [NewEntry {
                time_ns: 0,
                stream: Stream::Stderr,
                level: Level::Warning,
                message: "WARNING: careful\n  [ERROR] detail".to_owned(),
                fields: None,
            }]
        );
    }

    #[test]
    fn colours_do_not_hide_a_continuation() {
        let entries = assemble(&["Error", "\u{1b}[90m    at f (/a.js:1:1)\u{1b}[39m"]);
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn an_entry_closes_when_quiet_or_old() {
        let ms = Duration::from_millis;
        let mut assembler = Assembler::new(Stream::Stdout);
        assert_eq!(assembler.push(line(1, "one"), NOW), None);
        assert_eq!(assembler.flush(NOW + ms(199)), None);
        assert!(assembler.flush(NOW + ms(200)).is_some());
        assert_eq!(assembler.due(), None);
        for step in 0..10 {
            assembler.push(line(2, "  x"), NOW + ms(150 * step));
        }
        assert_eq!(assembler.due(), Some(NOW + MAX_AGE));
        assert!(assembler.flush(NOW + MAX_AGE).is_some());
    }

    #[test]
    fn an_entry_has_bounds_and_nothing_is_lost_at_them() {
        let mut lines = vec!["head"];
        lines.resize(2 * MAX_LINES + 1, "  more");
        let entries = assemble(&lines);
        let counts: Vec<_> = entries
            .iter()
            .map(|entry| entry.message.lines().count())
            .collect();
        assert_eq!(counts, [MAX_LINES, MAX_LINES, 1]);

        let long = format!("  {}", "x".repeat(MAX_BYTES / 4));
        let entries = assemble(&["head", &long, &long, &long, &long, &long]);
        assert!(entries.iter().all(|entry| entry.message.len() <= MAX_BYTES));
        let bytes: usize = entries.iter().map(|entry| entry.message.len()).sum();
        assert_eq!(bytes + entries.len() - 1, 4 + 5 * (long.len() + 1));
    }

    #[test]
    fn the_state_survives_being_written_down() {
        let mut assembler = Assembler::new(Stream::Stderr);
        assembler.push(line(7, "Traceback (most recent call last):"), NOW);
        assembler.push(line(8, "  frame"), NOW);
        let text = serde_json::to_string(&assembler).expect("serializes");
        let mut restored: Assembler = serde_json::from_str(&text).expect("deserializes");
        restored.resume(Duration::from_secs(1));
        assert_eq!(restored.due(), Some(Duration::from_secs(1) + QUIET));
        restored.push(line(9, "ValueError: x"), Duration::from_secs(1));
        let entry = restored.close().expect("is open");
        assert_eq!(
            (entry.time_ns, entry.message.as_str()),
            (
                7,
                "Traceback (most recent call last):\n  frame\nValueError: x"
            )
        );
    }

    fn any_line() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            Just("   ".to_owned()),
            Just("Traceback (most recent call last):".to_owned()),
            Just("  File \"a.py\", line 1, in f".to_owned()),
            Just("ValueError: bad".to_owned()),
            Just("During handling of the above exception, another exception occurred:".to_owned()),
            Just("\tat a.B.c(B.java:1)".to_owned()),
            Just("Caused by: java.lang.X: y".to_owned()),
            Just("panic: x".to_owned()),
            Just("goroutine 1 [running]:".to_owned()),
            Just("{\"level\":\"info\"}".to_owned()),
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("/app/x.js:1".to_owned()),
            "[^\n\r]{0,40}",
        ]
    }

    proptest! {
        #[test]
        fn no_line_is_lost_and_order_is_kept(lines in prop::collection::vec(any_line(), 0..60), ticks in prop::collection::vec(0u64..400, 60)) {
            let mut assembler = Assembler::new(Stream::Stdout);
            let mut entries = Vec::new();
            let mut now = NOW;
            for (index, text) in lines.iter().enumerate() {
                now += Duration::from_millis(ticks.get(index).copied().unwrap_or(0));
                entries.extend(assembler.flush(now));
                entries.extend(assembler.push(line(index as i64, text), now));
            }
            entries.extend(assembler.close());
            let found: Vec<&str> = entries
                .iter()
                .flat_map(|entry| entry.message.split('\n'))
                .filter(|line| !line.trim().is_empty())
                .collect();
            let given: Vec<&str> = lines
                .iter()
                .map(String::as_str)
                .filter(|line| !line.trim().is_empty())
                .collect();
            prop_assert_eq!(found, given);
            let times: Vec<i64> = entries.iter().map(|entry| entry.time_ns).collect();
            prop_assert!(times.is_sorted());
            for entry in &entries {
                prop_assert!(!entry.message.starts_with('\n') && !entry.message.ends_with('\n'));
            }
        }
    }
}
