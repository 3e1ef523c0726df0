//! What is stored and shown.

use serde::{Deserialize, Serialize};

/// How bad an entry is, in ascending order. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Level {
    /// For developers.
    Debug = 0,
    /// Normal operation.
    Info = 1,
    /// Worth a look.
    Warning = 2,
    /// Something failed.
    Error = 3,
    /// The process or the whole service is in danger.
    Critical = 4,
}

impl Level {
    /// All levels, ascending.
    pub const ALL: [Self; 5] = [
        Self::Debug,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Critical,
    ];

    /// The stored number.
    pub fn code(self) -> i64 {
        i64::from(self as u8)
    }

    /// The level of a stored number; a number that is none counts as the nearest.
    pub fn from_code(code: i64) -> Self {
        match code {
            ..=0 => Self::Debug,
            1 => Self::Info,
            2 => Self::Warning,
            3 => Self::Error,
            4.. => Self::Critical,
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// The level somebody asks for: a name or one of the contract's aliases, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        const NAMES: [(&str, Level); 9] = [
            ("debug", Level::Debug),
            ("info", Level::Info),
            ("warn", Level::Warning),
            ("warning", Level::Warning),
            ("error", Level::Error),
            ("err", Level::Error),
            ("critical", Level::Critical),
            ("fatal", Level::Critical),
            ("crit", Level::Critical),
        ];
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, level)| *level)
    }
}

/// Which output of the process a line came from. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Stream {
    /// Standard output.
    Stdout = 0,
    /// Standard error.
    Stderr = 1,
}

impl Stream {
    /// The stored number.
    pub fn code(self) -> i64 {
        i64::from(self as u8)
    }

    /// The stream of a stored number.
    pub fn from_code(code: i64) -> Self {
        if code == 1 {
            Self::Stderr
        } else {
            Self::Stdout
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One whole line of a container's output, decoded, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// What was printed.
    pub text: String,
}

/// An entry that is ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// Nanoseconds since 1970, UTC: the time of the first line.
    pub time_ns: i64,
    /// Where it came from.
    pub stream: Stream,
    /// As found in the text, or guessed from the stream.
    pub level: Level,
    /// The lines, joined by LF.
    pub message: String,
    /// The words of the index that stand for its fields, as [`super::fields::tokens`] makes them.
    pub fields: Option<Box<str>>,
}

/// An entry as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Ascending in the order of storing, never used twice.
    pub id: i64,
    /// Nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// The container's name.
    pub container: String,
    /// Where it came from.
    pub stream: Stream,
    /// How bad it is.
    pub level: Level,
    /// The decoded text.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_and_names_come_back() {
        for level in Level::ALL {
            assert_eq!(Level::from_code(level.code()), level);
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            assert_eq!(Stream::from_code(stream.code()), stream);
        }
        assert_eq!(Level::from_name("Fatal"), Some(Level::Critical));
        assert_eq!(Level::from_name("bogus"), None);
    }
}
