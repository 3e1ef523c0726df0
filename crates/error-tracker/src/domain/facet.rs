//! What groups can be filtered by besides their own columns: the levels, releases, environments, hosts and tags that
//! their reports named.

use md5::{Digest, Md5};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json;
use super::report::ErrorReport;

/// Of a longer value the beginning is the facet; all of it stays with its occurrence.
pub const MAX_FACET_CHARS: usize = 200;
/// How many tags of one report become facets.
pub const TAGS_OF_A_REPORT: usize = 8;
/// How many facets a group remembers, the newest ones.
pub const FACETS_OF_A_GROUP: usize = 64;

/// What a value is one of. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FacetKind {
    /// As in `warning`.
    Level = 1,
    /// Version of the reporting software.
    Release = 2,
    /// As in `staging`.
    Environment = 3,
    /// The host it ran on.
    ServerName = 4,
    /// Written `key:value`.
    Tag = 5,
}

impl FacetKind {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[
        Self::Level,
        Self::Release,
        Self::Environment,
        Self::ServerName,
        Self::Tag,
    ];

    /// As stored; `None` for a number of a later version.
    pub fn from_stored(number: i64) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| *kind as i64 == number)
    }

    /// As shown and asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Release => "release",
            Self::Environment => "environment",
            Self::ServerName => "server_name",
            Self::Tag => "tag",
        }
    }
}

/// A facet as it is stored and looked up: 8 bytes of the MD5 of its kind and value, because a number that anybody can
/// work out needs no dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FacetId(i64);

impl FacetId {
    /// Of a value of a kind.
    pub fn of(kind: FacetKind, value: &str) -> Self {
        let mut hash = Md5::new();
        hash.update([kind as u8]);
        hash.update(beginning(value));
        Self(first_number(&hash.finalize().into()))
    }

    /// As stored.
    pub fn get(self) -> i64 {
        self.0
    }

    /// As stored in a group's list of facets.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

fn beginning(value: &str) -> &str {
    let end = value.char_indices().nth(MAX_FACET_CHARS);
    end.and_then(|(end, _)| value.get(..end)).unwrap_or(value)
}

/// The first 8 bytes of a hash as a number.
pub fn first_number(hash: &[u8; 16]) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(first)
}

/// A facet with what a dictionary has to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// See [`FacetId`].
    pub id: FacetId,
    /// See [`FacetKind`].
    pub kind: FacetKind,
    /// At most [`MAX_FACET_CHARS`].
    pub value: String,
}

impl Facet {
    /// `None` for an empty value.
    pub fn new(kind: FacetKind, value: &str) -> Option<Self> {
        (!value.is_empty()).then(|| Self {
            id: FacetId::of(kind, value),
            kind,
            value: beginning(value).to_owned(),
        })
    }
}

/// The facets of a report, each once.
pub fn facets_of(report: &ErrorReport) -> Vec<Facet> {
    let named = [
        (FacetKind::Level, &report.level),
        (FacetKind::Release, &report.release),
        (FacetKind::Environment, &report.environment),
        (FacetKind::ServerName, &report.server_name),
    ];
    let mut facets: Vec<Facet> = named
        .into_iter()
        .filter_map(|(kind, value)| Facet::new(kind, value.as_deref()?))
        .collect();
    facets.extend(report.tags.as_deref().map(tags).unwrap_or_default());
    facets
}

/// The first tags of a JSON object whose values are texts, numbers or booleans.
fn tags(object: &str) -> Vec<Facet> {
    serde_json::from_str::<Tags>(object).map_or_else(|_| Vec::new(), |tags| tags.0)
}

struct Tags(Vec<Facet>);

impl<'j> Deserialize<'j> for Tags {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TagsVisitor)
    }
}

struct TagsVisitor;

impl<'j> Visitor<'j> for TagsVisitor {
    type Value = Tags;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("tags")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Tags, A::Error> {
        let mut tags = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let (Some(key), Some(value)) = (json::unescape(key.get()), scalar(value.get())) else {
                continue;
            };
            if tags.len() < TAGS_OF_A_REPORT {
                let text = format!("{}:{value}", key.text);
                tags.extend(Facet::new(FacetKind::Tag, &text));
            }
        }
        Ok(Tags(tags))
    }
}

fn scalar(value: &str) -> Option<String> {
    match value.bytes().next()? {
        b'{' | b'[' | b'n' => None,
        b'"' => Some(json::unescape(value)?.text.into_owned()),
        _ => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fields: &str) -> ErrorReport {
        let body = format!(
            r#"{{"project":"p","exception_type":"E","message":"","traceback":""{fields}}}"#
        );
        ErrorReport::from_json(body.as_bytes()).expect("a report")
    }

    #[track_caller]
    fn check(fields: &str, expected: &[(FacetKind, &str)]) {
        let found = facets_of(&report(fields));
        let found: Vec<_> = found
            .iter()
            .map(|facet| (facet.kind, facet.value.as_str()))
            .collect();
        assert_eq!(found, expected, "{fields}");
    }

    #[test]
    fn facets_are_the_short_values_a_report_names() {
        check("", &[]);
        check(
            r#","level":"error","release":"1.2","environment":"prod","server_name":"web-1""#,
            &[
                (FacetKind::Level, "error"),
                (FacetKind::Release, "1.2"),
                (FacetKind::Environment, "prod"),
                (FacetKind::ServerName, "web-1"),
            ],
        );
        check(r#","level":"","release":null"#, &[]);
        let long = "é".repeat(MAX_FACET_CHARS);
        check(
            &format!(r#","release":"{long}","level":"{long}x""#),
            &[(FacetKind::Level, &long), (FacetKind::Release, &long)],
        );
    }

    #[test]
    fn tags_become_facets_of_key_and_value() {
        check(
            r#","tags":{"region":"eu","n":5,"on":true,"none":null,"list":[1],"a:b":"c\"d"}"#,
            &[
                (FacetKind::Tag, "region:eu"),
                (FacetKind::Tag, "n:5"),
                (FacetKind::Tag, "on:true"),
                (FacetKind::Tag, "a:b:c\"d"),
            ],
        );
        let many: Vec<String> = (0..20).map(|n| format!("\"k{n}\":{n}")).collect();
        let many = report(&format!(r#","tags":{{{}}}"#, many.join(",")));
        assert_eq!(facets_of(&many).len(), TAGS_OF_A_REPORT);
    }

    #[test]
    fn the_same_value_of_two_kinds_is_two_facets() {
        let of = |kind| FacetId::of(kind, "x");
        assert_ne!(of(FacetKind::Level), of(FacetKind::Release));
        assert_eq!(of(FacetKind::Tag), of(FacetKind::Tag));
        for kind in FacetKind::ALL {
            assert_eq!(FacetKind::from_stored(*kind as i64), Some(*kind));
        }
    }
}
