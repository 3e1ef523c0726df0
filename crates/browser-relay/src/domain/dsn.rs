//! DSN keys: the public keys that pages carry. A key says which project an event belongs to; it is no secret.

use std::collections::HashMap;

/// Bytes of a project's name.
pub(crate) const LONGEST_PROJECT: usize = 100;
/// Characters of a key that an operator chose; ours have 32.
pub(crate) const LONGEST_KEY: usize = 128;

/// A key from `DSN_KEYS`, to be created unless it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) project: String,
    pub(crate) public_key: String,
}

/// Writes 16 random bytes as a key: 32 lower-case hexadecimal digits.
pub(crate) fn key_from_random(random: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(random))
}

/// Reads `project:key,project:key`. The project ends at the first colon; blanks around both are dropped; empty entries
/// are passed over, so that a list may end in a comma.
///
/// The error names the entry and what is wrong with it: a key that is silently missing would look like an outage of
/// one site, days later.
pub(crate) fn parse_seeds(text: &str) -> Result<Vec<Seed>, String> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut projects = HashMap::new();
    for (number, entry) in (1..).zip(text.split(',')) {
        let entry = entry.trim();
        if entry.is_empty() {
            continue;
        }
        let fault = |why: &str| format!("entry {number} ({entry:?}) {why}");
        let (project, key) = entry.split_once(':').ok_or_else(|| fault("has no colon"))?;
        let (project, public_key) = (project.trim(), key.trim());
        if project.is_empty() || project.len() > LONGEST_PROJECT {
            return Err(fault(
                "needs a project of 1 to 100 bytes before its first colon",
            ));
        }
        if public_key.is_empty()
            || public_key.len() > LONGEST_KEY
            || !public_key.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(fault(
                "needs a key of 1 to 128 visible ASCII characters after its first colon",
            ));
        }
        match projects.insert(public_key.to_owned(), project.to_owned()) {
            Some(other) if other == project => {}
            Some(other) => {
                return Err(fault(&format!(
                    "gives a key to a second project, after {other:?}"
                )));
            }
            None => seeds.push(Seed {
                project: project.to_owned(),
                public_key: public_key.to_owned(),
            }),
        }
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &str)], &str>) {
        let seeds = parse_seeds(text);
        match (seeds, expected) {
            (Ok(seeds), Ok(expected)) => {
                let seeds: Vec<_> = seeds
                    .iter()
                    .map(|s| (s.project.as_str(), s.public_key.as_str()))
                    .collect();
                assert_eq!(seeds, expected, "{text}");
            }
            (Err(fault), Err(expected)) => assert!(fault.contains(expected), "{text}: {fault}"),
            (seeds, _) => panic!("{text}: {seeds:?}"),
        }
    }

    #[test]
    fn seeds() {
        check("", Ok(&[]));
        check("web:k1", Ok(&[("web", "k1")]));
        check(
            " a : k1 ,, b:k2:extra, ",
            Ok(&[("a", "k1"), ("b", "k2:extra")]),
        );
        check("a:k1,a:k1", Ok(&[("a", "k1")]));
        check("a:k1,nocolon", Err("entry 2 (\"nocolon\") has no colon"));
        check(":key", Err("entry 1"));
        check("a:k1,b:", Err("entry 2"));
        check("a:k 1", Err("visible ASCII"));
        check("a:k1,b:k1", Err("second project, after \"a\""));
        check(&format!("{}:k", "p".repeat(101)), Err("1 to 100 bytes"));
        check(
            &format!("{}:k", "p".repeat(100)),
            Ok(&[(&"p".repeat(100), "k")]),
        );
    }

    #[test]
    fn keys_are_32_hexadecimal_digits() {
        assert_eq!(key_from_random([0; 16]), "0".repeat(32));
        assert_eq!(key_from_random([0x0f; 16]), "0f".repeat(16));
        assert_eq!(key_from_random([0xff; 16]), "f".repeat(32));
    }
}
