//! The identity of an error group.
//!
//! A fingerprint is the MD5 of `project:exception_type:file:line`, or of
//! `project:exception_type:traceback` when the traceback names no place. MD5 because the wire
//! contract says so: it names a group and protects nothing.

use std::fmt;

use md5::{Digest, Md5};

use super::traceback;

/// 16 bytes, written as 32 lower-case hexadecimal digits.
///
/// The parts are joined with colons and not escaped, so different projects can share a
/// fingerprint. Groups are therefore unique by project and fingerprint together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of an error, in time linear in the length of its traceback. Neither the message nor the
    /// request plays a part.
    pub fn of(project: &str, exception_type: &str, traceback: &str) -> Self {
        let mut hash = Md5::new();
        hash.update(project);
        hash.update(b":");
        hash.update(exception_type);
        hash.update(b":");
        match traceback::locate(traceback) {
            Some(location) => {
                hash.update(location.file);
                hash.update(b":");
                hash.update(location.line);
            }
            None => hash.update(traceback),
        }
        Self(hash.finalize().into())
    }

    /// As stored.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        // The digits above are ASCII, so this cannot fail.
        formatter.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(project: &str, exception_type: &str, traceback: &str, hashed: &str) {
        let expected: [u8; 16] = Md5::digest(hashed).into();
        let found = Fingerprint::of(project, exception_type, traceback);
        assert_eq!(
            found,
            Fingerprint::from_bytes(expected),
            "not the hash of {hashed:?}"
        );
    }

    #[test]
    fn hashes_the_place_or_else_the_whole_text() {
        check("shop", "E", "File \"a.py\", line 3, in f", "shop:E:a.py:3");
        check("shop", "E", "at f (a.js:3:9)", "shop:E:a.js:3");
        check(
            "shop",
            "E",
            "nothing\r\nto see ",
            "shop:E:nothing\r\nto see ",
        );
        check("", "", "", "::");
    }

    #[test]
    fn is_written_in_lower_case_hexadecimal() {
        let text = Fingerprint::from_bytes([
            0x00, 0x01, 0x0a, 0x10, 0x7f, 0x80, 0xab, 0xcd, 0xef, 0xff, 2, 3, 4, 5, 6, 7,
        ])
        .to_string();
        assert_eq!(text, "00010a107f80abcdefff020304050607");
    }
}
