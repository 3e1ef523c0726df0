//! Debug ids: a UUID that a build writes into a script and into its map, so that the two find each other whatever the
//! release is called and wherever the script is served from (ECMA-426, proposal "Source Map Debug ID").

use std::fmt;
use std::io::Read;

use super::json::{Fault, Json, Kind};

/// Scripts of one event whose ids are kept.
const MOST_SCRIPTS: usize = 32;
/// Bytes of a script's URL; a longer one is passed over.
const LONGEST_URL: usize = 2048;
/// Bytes that are read of a text that may be an id: one more than an id has.
const LONGEST_TEXT: usize = 37;

/// A UUID of any version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DebugId(u128);

impl DebugId {
    /// Reads 32 hexadecimal digits, or the same in groups of 8-4-4-4-12, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hyphens: &[usize] = match text.len() {
            32 => &[],
            36 => &[8, 13, 18, 23],
            _ => return None,
        };
        let mut id = 0_u128;
        for (place, byte) in text.bytes().enumerate() {
            if hyphens.contains(&place) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            id = id << 4 | u128::from(char::from(byte).to_digit(16)?);
        }
        Some(Self(id))
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The next value if it is a string that is an id; anything else is passed over.
    pub(crate) fn read<R: Read>(json: &mut Json<R>) -> Result<Option<Self>, Fault> {
        if json.kind()? == Kind::String {
            Ok(Self::parse(&json.string_cut(LONGEST_TEXT)?))
        } else {
            json.skip().map(|()| None)
        }
    }
}

impl fmt::Display for DebugId {
    /// Lower case, in groups of 8-4-4-4-12.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(
            out,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            id >> 80 & 0xFFFF,
            id >> 64 & 0xFFFF,
            id >> 48 & 0xFFFF,
            id & 0xFFFF_FFFF_FFFF
        )
    }
}

/// The debug ids of the scripts of a page, as an event says them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct DebugIds(Vec<(String, DebugId)>);

impl DebugIds {
    /// Reads an object from script URL to id. Entries that are none are passed over, and so is what comes after the first
    /// 32; a value that is no object has no ids.
    pub(crate) fn read<R: Read>(json: &mut Json<R>) -> Result<Self, Fault> {
        let mut ids = Vec::new();
        if json.kind()? != Kind::Object {
            return json.skip().map(|()| Self::default());
        }
        let mut members = json.open_object()?;
        while let Some(url) = json.next_member(&mut members)? {
            if let Some(id) = DebugId::read(json)?
                && (1..=LONGEST_URL).contains(&url.len())
                && ids.len() < MOST_SCRIPTS
            {
                ids.push((url, id));
            }
        }
        Ok(Self(ids))
    }

    /// The id of a script, called as in the stack.
    pub(crate) fn find(&self, file: &str) -> Option<DebugId> {
        self.0
            .iter()
            .find(|(url, _)| url == file)
            .map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json::{Duplicates, LoneSurrogate};
    use proptest::prelude::*;

    const ID: &str = "85314830-023f-4cf1-a267-535f4e37bb17";

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let shown = DebugId::parse(text).map(|id| id.to_string());
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn ids_in_every_form() {
        check(ID, Some(ID));
        check("85314830023F4CF1A267535F4E37BB17", Some(ID));
        check("85314830-023F-4cf1-A267-535f4e37bb17", Some(ID));
        for wrong in [
            "",
            "85314830023f4cf1a267535f4e37bb1",
            "85314830023f4cf1a267535f4e37bb177",
            "85314830-023f-4cf1-a267-535f4e37bb1g",
            "853148300-23f-4cf1-a267-535f4e37bb17",
            "{85314830-023f-4cf1-a267-535f4e37bb17}",
            "85314830 023f 4cf1 a267 535f4e37bb17",
            "8531483002\u{e9}f4cf1a267535f4e37bb17",
            "+5314830023f4cf1a267535f4e37bb17",
        ] {
            check(wrong, None);
        }
    }

    fn ids(object: &str) -> DebugIds {
        let mut json = Json::new(
            object.as_bytes(),
            Duplicates::Refuse,
            LoneSurrogate::Replace,
        );
        let ids = DebugIds::read(&mut json).unwrap();
        json.end().unwrap();
        ids
    }

    #[test]
    fn what_is_no_id_is_passed_over() {
        let long = "u".repeat(LONGEST_URL + 1);
        let object = format!(
            r#"{{"https://a/x.js": "{ID}", "https://a/y.js": "no id", "z": 5, "w": {{"a": ["b"]}}, "{long}": "{ID}", "": "{ID}"}}"#
        );
        let found = ids(&object);
        assert_eq!(found.0.len(), 1);
        assert_eq!(found.find("https://a/x.js"), DebugId::parse(ID));
        assert_eq!(found.find("https://a/y.js"), None);
        for none in ["[]", "5", "null", "\"x\"", "{}"] {
            assert_eq!(ids(none), DebugIds::default(), "{none}");
        }
    }

    #[test]
    fn their_number_is_bounded() {
        let entries: Vec<String> = (0..100).map(|n| format!("\"/{n}.js\": \"{ID}\"")).collect();
        let found = ids(&format!("{{{}}}", entries.join(",")));
        assert_eq!(found.0.len(), MOST_SCRIPTS);
        assert!(found.find("/31.js").is_some() && found.find("/32.js").is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u128) {
            let id = DebugId(id);
            prop_assert_eq!(DebugId::parse(&id.to_string()), Some(id));
            prop_assert_eq!(DebugId::parse(&id.to_string().replace('-', "").to_uppercase()), Some(id));
        }
    }
}
