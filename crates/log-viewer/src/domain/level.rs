//! How bad an entry is, judged by its text.
//!
//! Tiers of confidence, the first that speaks wins:
//!
//! 1. a level field of a JSON line;
//! 2. a syslog priority (`<27>`), a klog prefix (`E0120 10:…`), Redis' role and sign (`1:M … #`), Ruby's letter
//!    (`E, [2025-…`);
//! 3. a level in brackets, anywhere in the text;
//! 4. a level at the very start (`ERROR:`, `npm ERR!`, `panic:`);
//! 5. a logfmt pair (`level=error`);
//! 6. an upper-case level where loggers put it: behind a time, a logger's name or a separator;
//! 7. what only failures print (`Traceback`, `ValueError: …`);
//! 8. the stream: standard error is ERROR, standard output INFO.
//!
//! The order of 3 to 5 and 8 is that of the original service; the others came with the layouts of loggers in common use.
//! Terminal colours are ignored.

use super::ansi;
use super::entry::{Level, Stream};
use super::level_json;

/// How far into a line a level may stand without brackets or a key, in words.
const WORDS_LOOKED_AT: usize = 10;
/// How much of an entry is looked at, in bytes. What stands further back is data.
const BYTES_LOOKED_AT: usize = 8 * 1024;

/// The level of an entry.
pub fn detect(message: &str, stream: Stream) -> Level {
    explicit(message).unwrap_or(match stream {
        Stream::Stderr => Level::Error,
        Stream::Stdout => Level::Info,
    })
}

/// The level that the text itself states, if any. The first line decides; the others are asked when it says nothing.
pub fn explicit(message: &str) -> Option<Level> {
    if message.starts_with('{')
        && let Some(level) = level_json::level(message)
    {
        return Some(level);
    }
    let message = ansi::strip(beginning(message));
    let text = message.trim();
    let first = text.lines().next().unwrap_or_default();
    of_line(first).or_else(|| {
        if first.len() == text.len() {
            None
        } else {
            level_json::level(text)
                .or_else(|| in_brackets(text))
                .or_else(|| logfmt(text))
        }
    })
}

fn of_line(text: &str) -> Option<Level> {
    level_json::level(text)
        .or_else(|| syslog_priority(text))
        .or_else(|| klog(text))
        .or_else(|| redis(text))
        .or_else(|| ruby(text))
        .or_else(|| in_brackets(text))
        .or_else(|| at_start(text))
        .or_else(|| logfmt(text))
        .or_else(|| positional(text))
        .or_else(|| failure_words(text))
}

/// What loggers call the levels, in any case.
pub(super) fn word(word: &str) -> Option<Level> {
    const WORDS: [(Level, &[&str]); 5] = [
        (
            Level::Info,
            &["info", "inf", "information", "informational", "notice"],
        ),
        (
            Level::Debug,
            &[
                "debug", "trace", "dbg", "dbug", "trc", "trce", "verbose", "vrb", "silly",
                "finest", "finer",
            ],
        ),
        (Level::Warning, &["warning", "warn", "wrn"]),
        (Level::Error, &["error", "err", "severe", "eror"]),
        (
            Level::Critical,
            &[
                "critical",
                "fatal",
                "crit",
                "panic",
                "alert",
                "emerg",
                "emergency",
                "ftl",
                "pnc",
                "dpanic",
            ],
        ),
    ];
    if !(3..=13).contains(&word.len()) {
        return None;
    }
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
        .map(|(level, _)| *level)
}

/// A level word in capitals: in running text only those mean something.
fn upper_word(text: &str) -> Option<Level> {
    if text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        word(text)
    } else {
        None
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(BYTES_LOOKED_AT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// RFC 5424 section 6.2.1: priority is facility times eight plus severity.
fn syslog_priority(text: &str) -> Option<Level> {
    let (digits, _) = text.strip_prefix('<')?.split_once('>')?;
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let priority: u16 = digits.parse().ok()?;
    (priority < 192).then(|| syslog_severity(u64::from(priority % 8)))
}

/// RFC 5424's severities 0 to 7.
pub(super) fn syslog_severity(severity: u64) -> Level {
    match severity {
        0..=2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    }
}

/// klog and glog: a letter, month and day, a blank, the time.
fn klog(text: &str) -> Option<Level> {
    let head = text.as_bytes().get(..8)?;
    let (letter, rest) = head.split_first()?;
    let shape = rest.get(..4)?.iter().all(u8::is_ascii_digit)
        && rest.get(4) == Some(&b' ')
        && rest.get(5..7)?.iter().all(u8::is_ascii_digit);
    if !shape {
        return None;
    }
    Some(match letter {
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Critical,
        _ => return None,
    })
}

/// Redis and Valkey: `pid:role day month year time sign text`.
fn redis(text: &str) -> Option<Level> {
    let mut words = text.split(' ');
    let (pid, role) = words.next()?.split_once(':')?;
    let is_redis = pid.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(role, "M" | "S" | "C" | "X")
        && !pid.is_empty();
    if !is_redis {
        return None;
    }
    match words.nth(4)? {
        "#" => Some(Level::Warning),
        "*" => Some(Level::Info),
        "-" | "." => Some(Level::Debug),
        _ => None,
    }
}

/// Ruby's logger: a letter, a comma, time and process in brackets.
fn ruby(text: &str) -> Option<Level> {
    let (letter, _) = text.split_once(", [")?;
    Some(match letter {
        "D" => Level::Debug,
        "I" | "A" => Level::Info,
        "W" => Level::Warning,
        "E" => Level::Error,
        "F" => Level::Critical,
        _ => return None,
    })
}

/// logrus on a terminal: four letters of the level and the seconds since the start.
fn logrus(word: &str, rest: &str) -> Option<Level> {
    let (seconds, _) = rest.strip_prefix('[')?.split_once(']')?;
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(match word {
        "TRAC" | "DEBU" => Level::Debug,
        "INFO" => Level::Info,
        "WARN" => Level::Warning,
        "ERRO" => Level::Error,
        "FATA" | "PANI" => Level::Critical,
        _ => return None,
    })
}

fn in_brackets(text: &str) -> Option<Level> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('[') {
        let (content, after) = behind.split_once(']')?;
        if let Some(level) = bracket_content(content) {
            return Some(level);
        }
        rest = after;
    }
    None
}

fn bracket_content(content: &str) -> Option<Level> {
    let content = content.trim().trim_start_matches('[');
    if let Some(level) = word(content) {
        return Some(level);
    }
    // MySQL and MariaDB.
    if matches!(content, "Note" | "System") {
        return Some(Level::Info);
    }
    // Apache: module and level.
    if let Some((module, level)) = content.split_once(':')
        && !module.is_empty()
        && module
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && let Some(level) = word(level)
    {
        return Some(level);
    }
    // Time and level in one pair of brackets: Celery, Serilog, env_logger.
    content
        .split([' ', '/'])
        .filter(|part| !part.is_empty())
        .take(4)
        .skip(1)
        .find_map(upper_word)
        .filter(|_| content.starts_with(|letter: char| letter.is_ascii_digit()))
}

/// A level at the start: `error:` in any case, `ERROR` in capitals, and what some programs say instead.
fn at_start(text: &str) -> Option<Level> {
    const STARTS: [(&str, Level); 12] = [
        ("fail:", Level::Error),
        ("npm ERR!", Level::Error),
        ("npm error", Level::Error),
        ("npm WARN", Level::Warning),
        ("npm warn", Level::Warning),
        ("fatal error:", Level::Critical),
        ("fatal error ", Level::Critical),
        ("PHP Fatal error:", Level::Critical),
        ("PHP Parse error:", Level::Error),
        ("PHP Warning:", Level::Warning),
        ("PHP Notice:", Level::Info),
        ("PHP Deprecated:", Level::Warning),
    ];
    if let Some((_, level)) = STARTS.iter().find(|(start, _)| text.starts_with(start)) {
        return Some(*level);
    }
    if text.starts_with("thread '") && text.contains(" panicked at ") {
        return Some(Level::Critical);
    }
    let end = text
        .find(|letter: char| !letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    if let Some(level) = logrus(first, rest) {
        return Some(level);
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    if rest.starts_with(':') {
        return word(first);
    }
    let stands_alone = rest.is_empty() || text.as_bytes().get(end) == Some(&b' ');
    stands_alone.then(|| upper_word(first)).flatten()
}

/// `level=error`, also as part of a longer key (`loglevel=`), quoted or not; `severity=` and `lvl=`; Python's
/// `'level': 'error'`.
fn logfmt(text: &str) -> Option<Level> {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'=', b':', rest.as_bytes()) {
        let (before, after) = rest.split_at(at);
        let after = after.get(1..).unwrap_or_default();
        rest = after;
        let quoted = before.ends_with('\'');
        let key = before.trim_end_matches('\'');
        let is_key = ["level", "severity", "lvl"].iter().any(|known| {
            key.len() >= known.len()
                && key
                    .get(key.len() - known.len()..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(known))
        });
        // A colon counts only in a quoted pair, else every sentence about levels would.
        let is_pair = quoted || text.as_bytes().get(text.len() - after.len() - 1) == Some(&b'=');
        if !is_key || !is_pair {
            continue;
        }
        let value = if quoted { after.trim_start() } else { after };
        let value = value.trim_start_matches(['"', '\'']);
        let end = value
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(value.len());
        if let Some(level) = value.get(..end).and_then(word) {
            return Some(level);
        }
    }
    None
}

/// An upper-case level among the first words of the first line, where a logger would put it.
fn positional(text: &str) -> Option<Level> {
    let line = text.lines().next()?;
    let mut prefix_only = true;
    let mut after_separator = false;
    for (index, token) in line
        .split([' ', '\t'])
        .filter(|token| !token.is_empty())
        .take(WORDS_LOOKED_AT)
        .enumerate()
    {
        let bare = token
            .trim_end_matches([':', ',', '|', ';', ')'])
            .trim_start_matches('(');
        let labelled = token.ends_with(':');
        // ClickHouse.
        if prefix_only
            && let Some(level) = token
                .strip_prefix('<')
                .and_then(|token| token.strip_suffix('>'))
                .and_then(word)
        {
            return Some(level);
        }
        let here = prefix_only || after_separator || labelled;
        if here && let Some(level) = upper_word(bare).or_else(|| server_word(bare, labelled, index))
        {
            return Some(level);
        }
        // Monolog: channel and level.
        if labelled
            && let Some(level) = bare.rsplit_once('.').and_then(|(_, last)| upper_word(last))
        {
            return Some(level);
        }
        // PHP's own log: `[time] PHP Warning:  text`.
        if prefix_only && token == "PHP" {
            let rest = line.get(line.find("PHP")?..)?;
            return at_start(rest);
        }
        after_separator = is_separator(token);
        prefix_only = prefix_only && is_prefix(token);
    }
    None
}

/// PostgreSQL's words besides the usual ones, behind its time and process id.
fn server_word(bare: &str, labelled: bool, index: usize) -> Option<Level> {
    if !labelled || index == 0 {
        return None;
    }
    match bare {
        "LOG" => Some(Level::Info),
        _ if bare.len() == 6 && bare.starts_with("DEBUG") => Some(Level::Debug),
        _ => None,
    }
}

fn is_separator(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_punctuation())
}

/// Times, process ids, threads and hosts in front of a level hold digits or stand in brackets.
fn is_prefix(token: &str) -> bool {
    // `main` is the thread that Java programs begin with.
    const WORDS: [&str; 25] = [
        "main", "AM", "PM", "UTC", "GMT", "CET", "CEST", "EST", "Mon", "Tue", "Wed", "Thu", "Fri",
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    token.bytes().any(|byte| byte.is_ascii_digit())
        || is_separator(token)
        || token.starts_with(['[', '(', '<'])
        || token.ends_with([']', ')', '>'])
        || WORDS.contains(&token)
}

/// What nothing but a failure prints first.
fn failure_words(text: &str) -> Option<Level> {
    if text.starts_with("Traceback (most recent call last)")
        || text.starts_with("Unhandled exception")
        || text.starts_with("Exception in thread")
    {
        return Some(Level::Error);
    }
    let line = text.lines().next()?;
    let (class, _) = line.split_once(':').unwrap_or((line, ""));
    // Rails: `NoMethodError (undefined method …):`.
    let class = class.split_once(" (").map_or(class, |(class, _)| class);
    let last = class.rsplit(['.', '$']).next().unwrap_or(class);
    let is_class = class
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(&byte))
        && last.starts_with(|letter: char| letter.is_ascii_uppercase());
    let is_failure = last.ends_with("Error") || last.ends_with("Exception");
    (is_class && is_failure && (line.len() > class.len() || class.contains('.')))
        .then_some(Level::Error)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        message: String,
        stream: String,
        level_if_decoded: String,
        ideal: String,
    }

    fn vectors() -> Vec<Vector> {
        serde_json::from_str(include_str!("../../tests/data/level_vectors.json"))
            .expect("the vectors are JSON")
    }

    fn found(vector: &Vector) -> &'static str {
        let stream = if vector.stream == "stderr" {
            Stream::Stderr
        } else {
            Stream::Stdout
        };
        detect(&vector.message, stream).name()
    }

    #[test]
    fn nearly_all_lines_of_common_programs_get_the_level_a_reader_would_give_them() {
        let vectors = vectors();
        let missed: Vec<_> = vectors
            .iter()
            .filter(|vector| found(vector) != vector.ideal)
            .map(|vector| format!("{} not {}: {}", found(vector), vector.ideal, vector.message))
            .collect();
        let reached = (vectors.len() - missed.len()) as f64 / vectors.len() as f64;
        assert!(reached >= 0.95, "{reached}: {missed:#?}");
    }

    #[derive(Deserialize)]
    struct LevelLine {
        layout: String,
        stream: String,
        message: String,
        ideal: String,
    }

    #[test]
    fn so_do_lines_of_more_programs() {
        let lines: Vec<LevelLine> =
            serde_json::from_str(include_str!("../../tests/data/level_lines.json"))
                .expect("the lines are JSON");
        let missed: Vec<_> = lines
            .iter()
            .filter_map(|line| {
                let stream = if line.stream == "stderr" {
                    Stream::Stderr
                } else {
                    Stream::Stdout
                };
                let found = detect(&line.message, stream).name();
                let (layout, ideal, message) = (&line.layout, &line.ideal, &line.message);
                (found != ideal).then(|| format!("{layout}: {found} not {ideal}: {message}"))
            })
            .collect();
        let reached = (lines.len() - missed.len()) as f64 / lines.len() as f64;
        assert!(reached >= 0.97, "{reached}: {missed:#?}");
    }

    #[test]
    fn what_the_original_got_right_stays_right() {
        let broken: Vec<_> = vectors()
            .into_iter()
            .filter(|vector| vector.level_if_decoded == vector.ideal)
            .filter(|vector| found(vector) != vector.ideal)
            .map(|vector| {
                format!(
                    "{} not {}: {}",
                    found(&vector),
                    vector.ideal,
                    vector.message
                )
            })
            .collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[track_caller]
    fn check(text: &str, expected: Option<Level>) {
        assert_eq!(explicit(text), expected, "{text}");
    }

    #[test]
    fn layouts_that_the_vectors_lack() {
        use Level::{Critical, Debug, Error, Info, Warning};
        check(
            "2025-01-20 10:00:00.123 | WARNING  | app:main:12 - slow",
            Some(Warning),
        );
        check("Jan 20 10:00:00 host app[1]: hello", None);
        check("2025-01-20 10:00:00 UTC [7] DETAIL:  Key exists", None);
        check("2025-01-20 10:00:00 UTC [7] LOG:  ready", Some(Info));
        check("{\"severity\":\"warning\",\"msg\":\"x\"}", Some(Warning));
        check(
            "{\"msg\":\"an [ERROR] inside\",\"level\":\"info\"}",
            Some(Info),
        );
        check(
            "{\"level\":{\"name\":\"ERROR\"},\"msg\":\"x\"}",
            Some(Error),
        );
        check(
            "{\"log\":{\"level\":\"warn\"},\"msg\":\"x\"}",
            Some(Warning),
        );
        check(
            "{\"level\":400,\"level_name\":\"ERROR\",\"message\":\"x\"}",
            Some(Error),
        );
        check(
            "{\"version\":\"1.1\",\"short_message\":\"x\",\"level\":3}",
            Some(Error),
        );
        check("{\"severityNumber\":21,\"body\":\"x\"}", Some(Critical));
        check("{\"msg\":\"no level\"}", None);
        check("{not json level=warn", Some(Warning));
        check("<191>debugging", Some(Debug));
        check("<192>no priority", None);
        check("I0120 10:00:00.1 main.go:1] up", Some(Info));
        check("no errors found, 0 warnings", None);
        check("Found no ERROR in the log", None);
        check("request to http://x failed with error: timeout", None);
        check("java.lang.IllegalStateException: bad", Some(Error));
        check("12:00:00 ERR database gone err=EOF", Some(Error));
        check("severity: a word in a sentence", None);
        check("", None);
        check("[", None);
    }

    #[test]
    fn the_stream_is_the_last_resort() {
        assert_eq!(detect("plain", Stream::Stdout), Level::Info);
        assert_eq!(detect("plain", Stream::Stderr), Level::Error);
    }
}
