//! Errors that share a fingerprint, and what can be said about them.

/// The number of a group: 1, 2, 3, ... in the order of their first reports, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(i64);

impl GroupId {
    /// As stored; positive by the schema.
    pub fn from_stored(id: i64) -> Self {
        Self(id)
    }

    /// As stored and shown.
    pub fn get(self) -> i64 {
        self.0
    }

    /// Reads an id from a path: decimal digits only, 1 to 9223372036854775807.
    pub fn from_path(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return None;
        }
        text.parse().ok().filter(|id| *id > 0).map(Self)
    }
}

/// How many of a group's reports are kept in full.
pub const KEPT_OCCURRENCES: i64 = 5;

/// Whether somebody has dealt with a group. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has.
    Open = 0,
    /// Somebody has; the next report brings it back, unless it was resolved in a later release.
    Resolved = 1,
    /// Nobody wants to hear of it, for some time or for ever.
    Ignored = 2,
}

impl State {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Open, Self::Resolved, Self::Ignored];

    /// As stored; a number of a later version counts as open, so that nothing is hidden.
    pub fn from_stored(number: i64) -> Self {
        match number {
            1 => Self::Resolved,
            2 => Self::Ignored,
            _ => Self::Open,
        }
    }

    /// As shown and asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Ignored => "ignored",
        }
    }
}

/// Where a group's reports come from. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// All of them from servers.
    Server = 0,
    /// At least one from a page, ever.
    Browser = 1,
}

impl Source {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Server, Self::Browser];

    /// As stored.
    pub fn from_stored(number: i64) -> Self {
        match number {
            1 => Self::Browser,
            _ => Self::Server,
        }
    }

    /// As shown and asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Browser => "browser",
        }
    }
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The first of a new group.
    Created {
        /// The new group.
        id: GroupId,
    },
    /// One more of a group that stays in its state.
    Incremented {
        /// Its group.
        id: GroupId,
        /// Reports so far, this one included.
        count: i64,
    },
    /// One more of a group that somebody had dealt with, which is open again.
    Reopened {
        /// Its group.
        id: GroupId,
        /// Reports so far, this one included.
        count: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(
            GroupId::from_path(text).map(GroupId::get),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn an_id_is_a_positive_decimal_number() {
        check("1", Some(1));
        check("007", Some(7));
        check("9223372036854775807", Some(i64::MAX));
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "1_0",
            "1.0",
            "abc",
            "9223372036854775808",
            " 1",
            "１",
        ] {
            check(text, None);
        }
    }
}
