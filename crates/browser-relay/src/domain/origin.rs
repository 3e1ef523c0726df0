//! Which origins may read the relay's answers (CORS).

use std::collections::{BTreeSet, HashSet};

/// Longest entry of the list, in bytes.
const LONGEST_ENTRY: usize = 256;
/// Entries of one list.
const MOST_ENTRIES: usize = 1000;

/// A list of allowed origins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    any: bool,
    exact: HashSet<String>,
    /// What stands before and after the `*`.
    wildcards: BTreeSet<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Any,
    Exact(String),
    /// What stands before and after the `*`.
    Wildcard(String, String),
}

impl Origins {
    /// Reads the entries of `CORS_ORIGINS`: origins as browsers send them (`https://shop.example`, no path), origins
    /// with one `*`, or `*` alone for any origin.
    ///
    /// The error names an entry that could never match, which is nearly always a typing mistake.
    pub(crate) fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, String> {
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            match parse_entry(entry).map_err(|why| format!("{entry:?} {why}"))? {
                Entry::Any => list.any = true,
                Entry::Exact(origin) => drop(list.exact.insert(origin)),
                Entry::Wildcard(before, after) => drop(list.wildcards.insert((before, after))),
            }
            if list.exact.len() + list.wildcards.len() > MOST_ENTRIES {
                return Err(format!("holds more than {MOST_ENTRIES} origins"));
            }
        }
        Ok(list)
    }

    /// Allows what `other` allows, too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.any |= other.any;
        self.exact.extend(other.exact.iter().cloned());
        self.wildcards.extend(other.wildcards.iter().cloned());
    }

    /// True when an answer may be read by a page of `origin`. Comparison is byte for byte, as browsers write origins
    /// in one way only.
    pub(crate) fn allow(&self, origin: &str) -> bool {
        self.any
            || self.exact.contains(origin)
            || self.wildcards.iter().any(|(before, after)| {
                origin
                    .strip_prefix(before.as_str())
                    .and_then(|rest| rest.strip_suffix(after.as_str()))
                    .is_some_and(|middle| {
                        !middle.is_empty() && !middle.contains(['/', ':', '@', '?', '#', '\\'])
                    })
            })
    }
}

fn parse_entry(entry: &str) -> Result<Entry, &'static str> {
    if entry == "*" {
        return Ok(Entry::Any);
    }
    if entry.len() > LONGEST_ENTRY {
        return Err("is longer than 256 bytes");
    }
    if entry == "null" {
        return Ok(Entry::Exact(entry.to_owned()));
    }
    let Some((scheme, host)) = entry.split_once("://") else {
        return Err("has no scheme: write it as https://host");
    };
    if scheme.is_empty()
        || host.is_empty()
        || host.contains(['/', '?', '#', '@', '\\'])
        || !entry.is_ascii()
    {
        return Err(
            "is no origin: write it as scheme://host or scheme://host:port, without a path or a slash at its end",
        );
    }
    if entry.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
        return Err("holds a blank");
    }
    match entry.split_once('*') {
        None => Ok(Entry::Exact(entry.to_owned())),
        Some((_, after)) if after.contains('*') => Err("holds more than one *"),
        Some((before, after)) => Ok(Entry::Wildcard(before.to_owned(), after.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Origins {
        Origins::parse(text.split(',')).unwrap()
    }

    #[track_caller]
    fn check(text: &str, allowed: &[&str], refused: &[&str]) {
        let origins = list(text);
        for origin in allowed {
            assert!(origins.allow(origin), "{text} should allow {origin}");
        }
        for origin in refused {
            assert!(!origins.allow(origin), "{text} should refuse {origin}");
        }
    }

    #[test]
    fn matching() {
        check("", &[], &["https://a.example", "null", ""]);
        check(
            " https://a.example ,,\thttp://localhost:3000",
            &["https://a.example", "http://localhost:3000"],
            &[
                "https://A.example",
                "https://a.example:443",
                "https://a.example/",
                "http://a.example",
                "null",
                "",
            ],
        );
        check(
            "https://*.example.com",
            &["https://app.example.com", "https://a.b.example.com"],
            &[
                "https://example.com",
                "https://.example.com",
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com.evil.example",
                "https://evil.example/.example.com",
                "https://evil.example#.example.com",
                "https://user@x.example.com",
                "https://evilexample.com",
            ],
        );
        check(
            "http://localhost:*",
            &["http://localhost:1", "http://localhost:65535"],
            &["http://localhost", "http://localhost:"],
        );
        check(
            "*",
            &["https://any.example", "null", "http://localhost:1"],
            &[],
        );
        check("null", &["null"], &["https://a.example"]);
    }

    #[test]
    fn lists_together_allow_what_each_allows() {
        let mut origins = list("https://a.example");
        origins.add(&list("https://*.b.example,https://c.example"));
        for origin in [
            "https://a.example",
            "https://x.b.example",
            "https://c.example",
        ] {
            assert!(origins.allow(origin), "{origin}");
        }
        assert!(!origins.allow("https://d.example"));
        origins.add(&list("*"));
        assert!(origins.allow("https://d.example"));
    }

    #[test]
    fn entries_that_could_never_match_are_refused() {
        for (text, why) in [
            ("a.example", "no scheme"),
            ("https://a.example/", "no origin"),
            ("https://a.example/path", "no origin"),
            ("https://", "no origin"),
            ("https://*.*.example", "more than one"),
            ("https://a b", "blank"),
            (&format!("https://{}", "a".repeat(250)), "longer"),
        ] {
            let fault = Origins::parse([text]).unwrap_err();
            assert!(fault.contains(why), "{text}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn an_exact_entry_allows_itself_only(host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}(:[0-9]{1,5})?", other in ".{0,30}") {
            let origin = format!("https://{host}");
            let origins = Origins::parse([origin.as_str()]).unwrap();
            prop_assert!(origins.allow(&origin));
            prop_assert_eq!(origins.allow(&other), other == origin);
        }

        #[test]
        fn a_wildcard_never_leaves_its_domain(origin in "https?://[a-z.@:/#?*]{0,24}") {
            if list("https://*.shop.example").allow(&origin) {
                let host = origin.strip_prefix("https://").unwrap();
                prop_assert!(host.ends_with(".shop.example"));
                prop_assert!(!host.contains(['/', ':', '@', '#', '?']));
            }
        }
    }
}
