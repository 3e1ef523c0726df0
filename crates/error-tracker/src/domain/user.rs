//! The user a report names, so that an operator can see how many are hit and what else went wrong for one of them.

use md5::{Digest, Md5};

use super::facet::first_number;

/// A user id as it is stored and looked up: 8 bytes of the MD5 of its text, because ids have any length and only
/// equality matters. Spread evenly, as counting by a sketch needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(i64);

impl UserId {
    /// Of a user id's text.
    pub fn of(text: &str) -> Self {
        Self(first_number(&Md5::digest(text).into()))
    }

    /// As stored.
    pub fn from_stored(number: i64) -> Self {
        Self(number)
    }

    /// As stored.
    pub fn get(self) -> i64 {
        self.0
    }
}
