//! Which of two releases is the newer one, as far as their names tell.
//!
//! Understood are semantic versions, versions of Python packages (PEP 440), dates, plain numbers and
//! what `git describe` prints, with or without a name in front (`shop@1.2.3`, `release/2026.1`).
//!
//! Precedence is that of Semantic Versioning 2.0.0, section 11, extended: missing numbers are zeros;
//! numbers inside words count as numbers (`rc2` before `rc10`); `dev` comes before all other
//! pre-releases; what says so comes after its release (`post1`, `hotfix`, commits since a tag); build
//! numbers (`+41`, `(41)`) count, and so does what follows a date. Hashes have no order.

use std::cmp::Ordering;

/// How `one` stands to `other`: [`Ordering::Greater`] when it is the newer one. `None` when the
/// names do not tell: hashes, different packages, and whatever is no version.
pub fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (one.trim(), other.trim());
    if one == other {
        return Some(Ordering::Equal);
    }
    let (one, other) = (Release::read(one)?, Release::read(other)?);
    // Who leaves the name out means the same package.
    let different = one.package != other.package;
    if different && !one.package.is_empty() && !other.package.is_empty() {
        return None;
    }
    match compare_core(&one.core, &other.core) {
        Ordering::Equal => {}
        decided => return Some(decided),
    }
    match compare_suffix(&one.suffix, &other.suffix)? {
        Ordering::Equal => compare_build(&one.build, &other.build),
        decided => Some(decided),
    }
}

/// Whether both name a package (`name@...`), each another one.
pub fn different_packages(one: &str, other: &str) -> bool {
    let package = |release| match str::rsplit_once(release, '@') {
        Some((package, _)) => package,
        None => "",
    };
    let (one, other) = (package(one.trim()), package(other.trim()));
    one != other && !one.is_empty() && !other.is_empty()
}

/// Digits without leading zeros; none at all for zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number<'r>(&'r str);

impl<'r> Number<'r> {
    const ZERO: Self = Number("");

    fn new(digits: &'r str) -> Self {
        Self(digits.trim_start_matches('0'))
    }

    /// `None` for what is far too large for a date.
    fn small(self) -> Option<u16> {
        match self.0 {
            "" => Some(0),
            digits => digits.parse().ok(),
        }
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A piece of what follows the numbers.
#[derive(Debug)]
enum Part<'r> {
    /// Unfinished.
    Dev,
    Number(Number<'r>),
    /// In lower case.
    Word(String),
    /// Marks what comes after the release itself.
    Post,
    Hash(&'r str),
}

#[derive(Debug)]
struct Release<'r> {
    /// Empty when there is none.
    package: &'r str,
    core: Vec<Number<'r>>,
    suffix: Vec<Part<'r>>,
    build: Vec<&'r str>,
}

impl<'r> Release<'r> {
    fn read(text: &'r str) -> Option<Self> {
        let (package, version) = split_package(text)?;
        let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
        if is_hash(version) || is_uuid(version) {
            return None;
        }
        let (core, rest) = read_core(version)?;
        let (suffix, build) = split_build(rest);
        Some(Self {
            package,
            core,
            suffix: read_suffix(suffix)?,
            build: build
                .split(SEPARATORS)
                .filter(|part| !part.is_empty())
                .collect(),
        })
    }
}

const SEPARATORS: [char; 6] = ['.', '-', '_', '~', ' ', '/'];

/// Names that say no more than that a version follows.
const GENERIC: [&str; 4] = ["release", "releases", "version", "build"];

/// Splits a release into its package's name, which may be empty, and its version.
fn split_package(text: &str) -> Option<(&str, &str)> {
    if let Some((package, version)) = text.rsplit_once('@') {
        return begins_version(version).then_some((package, version));
    }
    if begins_version(text) {
        return Some(("", text));
    }
    let at_boundary = text
        .match_indices(['-', '_', '/', ' '])
        .find_map(|(at, _)| {
            let (package, rest) = text.split_at_checked(at)?;
            let version = rest.split_at_checked(1)?.1;
            begins_version(version).then_some((package, version))
        });
    let (package, version) = at_boundary?;
    let generic = GENERIC
        .iter()
        .any(|name| package.eq_ignore_ascii_case(name));
    Some((if generic { "" } else { package }, version))
}

fn begins_version(text: &str) -> bool {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    text.starts_with(|letter: char| letter.is_ascii_digit())
}

/// The short form of a commit has seven digits and more; without a letter among them it is a number.
fn is_hash(text: &str) -> bool {
    text.len() >= 7
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// Reads `separator digits`.
fn next_number<'r>(text: &'r str, separators: &[char]) -> Option<(&'r str, &'r str)> {
    let (digits, rest) = split_digits(text.strip_prefix(separators)?);
    (!digits.is_empty()).then_some((digits, rest))
}

/// Reads the numbers that a version begins with. All forms of a date become year, month, day.
fn read_core(version: &str) -> Option<(Vec<Number<'_>>, &str)> {
    let (first, mut rest) = split_digits(version);
    if first.is_empty() {
        return None;
    }
    let mut core = compact_date(first).unwrap_or_else(|| vec![Number::new(first)]);
    if core.len() == 1
        && let Some((date, behind)) = dashed_date(core[0], rest)
    {
        (core, rest) = (date, behind);
    }
    while let Some((digits, behind)) = next_number(rest, &['.']) {
        core.push(Number::new(digits));
        rest = behind;
    }
    if is_date(&core) {
        // The time of day, or the how-manieth of that day.
        while let Some((digits, behind)) = next_number(rest, &['-', '_', '.', ':', 'T', ' ']) {
            core.push(Number::new(digits));
            rest = behind;
        }
        rest = rest.strip_prefix('Z').unwrap_or(rest);
    }
    Some((core, rest))
}

fn is_date(core: &[Number<'_>]) -> bool {
    let (Some(year), Some(month), Some(day)) = (core.first(), core.get(1), core.get(2)) else {
        return false;
    };
    let within = |number: &Number<'_>, range: std::ops::RangeInclusive<u16>| {
        number.small().is_some_and(|number| range.contains(&number))
    };
    within(year, 1970..=2199) && within(month, 1..=12) && within(day, 1..=31)
}

/// Reads `20260131`, also with hours, minutes and seconds behind it.
fn compact_date(digits: &str) -> Option<Vec<Number<'_>>> {
    if !matches!(digits.len(), 8 | 10 | 12 | 14) {
        return None;
    }
    let (year, mut rest) = digits.split_at_checked(4)?;
    let mut date = vec![Number::new(year)];
    while let Some((two, behind)) = rest.split_at_checked(2) {
        date.push(Number::new(two));
        rest = behind;
    }
    is_date(&date).then_some(date)
}

/// Reads the rest of `2026-01-31`.
fn dashed_date<'r>(year: Number<'r>, rest: &'r str) -> Option<(Vec<Number<'r>>, &'r str)> {
    let (month, rest) = next_number(rest, &['-'])?;
    let (day, rest) = next_number(rest, &['-'])?;
    let date = vec![year, Number::new(month), Number::new(day)];
    is_date(&date).then_some((date, rest))
}

/// Splits off the build: `+41`, or `(41)` as phones show it.
fn split_build(rest: &str) -> (&str, &str) {
    if let Some(split) = rest.split_once('+') {
        return split;
    }
    let in_parentheses = rest.strip_suffix(')').and_then(|rest| rest.split_once('('));
    in_parentheses.unwrap_or((rest, ""))
}

/// Reads pre-release and post-release. `None`: this is no version.
fn read_suffix(text: &str) -> Option<Vec<Part<'_>>> {
    if let Some(commits) = commits_since_tag(text) {
        return Some(commits);
    }
    let mut parts = Vec::new();
    // `1.0rc1` is a version, `3f2` is none.
    let attached = !text.is_empty() && !text.starts_with(SEPARATORS);
    for (at, piece) in text.split(SEPARATORS).enumerate() {
        if !piece.chars().all(char::is_alphanumeric) {
            return None;
        }
        if is_hash(piece) {
            parts.push(Part::Hash(piece));
            continue;
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let (digits, behind) = split_digits(rest);
            if !digits.is_empty() {
                parts.push(Part::Number(Number::new(digits)));
                rest = behind;
                continue;
            }
            let end = rest.find(|letter: char| letter.is_ascii_digit());
            let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
            let part = read_word(word);
            let known =
                !matches!(&part, Some(Part::Word(word)) if !PRE_RELEASES.contains(&word.as_str()));
            if attached && at == 0 && parts.is_empty() && !known {
                return None;
            }
            parts.extend(part);
            rest = behind;
        }
    }
    Some(parts)
}

/// The names of pre-releases, as [`read_word`] gives them back.
const PRE_RELEASES: [&str; 4] = ["alpha", "beta", "rc", "snapshot"];

/// `None` for words that say no more than that it is the release.
fn read_word<'r>(word: &str) -> Option<Part<'r>> {
    let word = word.to_lowercase();
    let standard = match word.as_str() {
        "final" | "ga" | "release" => return None,
        "dev" => return Some(Part::Dev),
        "post" | "p" | "pl" | "patch" | "sp" | "r" | "rev" | "hotfix" | "build" | "dirty" => {
            return Some(Part::Post);
        }
        "a" => "alpha",
        "b" => "beta",
        "c" | "pre" | "preview" => "rc",
        _ => return Some(Part::Word(word)),
    };
    Some(Part::Word(standard.to_owned()))
}

/// Reads `-14-g1a2b3c4`: so many commits after the tag.
fn commits_since_tag(text: &str) -> Option<Vec<Part<'_>>> {
    let (commits, rest) = next_number(text, &['-'])?;
    let hash = rest.strip_prefix("-g")?;
    let hash = hash.strip_suffix("-dirty").unwrap_or(hash);
    let hexadecimal = hash.len() >= 4 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| {
        vec![
            Part::Post,
            Part::Number(Number::new(commits)),
            Part::Hash(hash),
        ]
    })
}

fn compare_core(one: &[Number<'_>], other: &[Number<'_>]) -> Ordering {
    let places = 0..one.len().max(other.len());
    let compared = places.map(|at| {
        let (one, other) = (one.get(at), other.get(at));
        one.unwrap_or(&Number::ZERO)
            .cmp(other.unwrap_or(&Number::ZERO))
    });
    first_difference(compared)
}

fn first_difference(mut compared: impl Iterator<Item = Ordering>) -> Ordering {
    compared
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Where a part stands among those that can be at its place. The end of the name (`None`) comes
/// after a pre-release, but before one more piece of it.
fn rank(part: Option<&Part<'_>>, first: bool) -> u8 {
    match part {
        Some(Part::Dev) => 0,
        None if !first => 1,
        Some(Part::Number(_)) => 2,
        Some(Part::Word(_) | Part::Hash(_)) => 3,
        None => 4,
        Some(Part::Post) => 5,
    }
}

fn compare_suffix(one: &[Part<'_>], other: &[Part<'_>]) -> Option<Ordering> {
    for at in 0..one.len().max(other.len()) {
        let (one, other) = (one.get(at), other.get(at));
        let order = match (one, other) {
            (Some(Part::Hash(one)), Some(Part::Hash(other))) if one == other => Ordering::Equal,
            (Some(Part::Hash(_)), _) | (_, Some(Part::Hash(_))) => return None,
            (Some(Part::Number(one)), Some(Part::Number(other))) => one.cmp(other),
            (Some(Part::Word(one)), Some(Part::Word(other))) => one.cmp(other),
            _ => rank(one, at == 0).cmp(&rank(other, at == 0)),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

/// Numbers of builds are compared; builds that are named by anything else have no order.
fn compare_build(one: &[&str], other: &[&str]) -> Option<Ordering> {
    let number = |piece: &&str| piece.bytes().all(|byte| byte.is_ascii_digit());
    for at in 0..one.len().max(other.len()) {
        let order = match (one.get(at), other.get(at)) {
            (Some(one), Some(other)) if number(one) && number(other) => {
                Number::new(one).cmp(&Number::new(other))
            }
            (Some(one), Some(other)) if one == other => Ordering::Equal,
            (Some(more), None) if number(more) => Ordering::Greater,
            (None, Some(more)) if number(more) => Ordering::Less,
            _ => return None,
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each is newer than all before it.
    #[track_caller]
    fn check_ascending(releases: &[&str]) {
        for (at, older) in releases.iter().enumerate() {
            assert_eq!(compare(older, older), Some(Ordering::Equal), "{older}");
            for newer in &releases[at + 1..] {
                assert_eq!(
                    compare(older, newer),
                    Some(Ordering::Less),
                    "{older} before {newer}"
                );
                assert_eq!(
                    compare(newer, older),
                    Some(Ordering::Greater),
                    "{newer} after {older}"
                );
            }
        }
    }

    #[track_caller]
    fn check(one: &str, other: &str, expected: Option<Ordering>) {
        assert_eq!(compare(one, other), expected, "{one} and {other}");
        let reversed = expected.map(Ordering::reverse);
        assert_eq!(compare(other, one), reversed, "{other} and {one}");
    }

    #[test]
    fn semantic_versions() {
        check_ascending(&[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
            "10.0.0",
        ]);
        check_ascending(&["1.0.0-0", "1.0.0-1", "1.0.0-10", "1.0.0-a", "1.0.0"]);
        check_ascending(&["v1.9", "V1.10", "v2"]);
        check("1.0", "1.0.0", Some(Ordering::Equal));
        check("v1.2.3", "1.2.3", Some(Ordering::Equal));
        check("1.02.3", "1.2.03", Some(Ordering::Equal));
        check(" 1.2.3\n", "1.2.3", Some(Ordering::Equal));
        check_ascending(&["1.99999999999999999999", "1.100000000000000000000"]);
    }

    #[test]
    fn versions_of_python_packages() {
        check_ascending(&[
            "1.0.dev1",
            "1.0.dev2",
            "1.0a1.dev1",
            "1.0a1",
            "1.0a2",
            "1.0b1",
            "1.0rc2",
            "1.0rc10",
            "1.0",
            "1.0.post1",
            "1.0.post2",
            "1.1.dev1",
            "1.1",
        ]);
        check("1.0b2", "1.0-beta.2", Some(Ordering::Equal));
        check("1.0.0.RELEASE", "1.0.0", Some(Ordering::Equal));
        check_ascending(&[
            "1.0-rc1",
            "1.0-SNAPSHOT",
            "1.0",
            "1.0-hotfix.1",
            "1.0-patch2",
        ]);
    }

    #[test]
    fn dates() {
        check_ascending(&["2025.01.31", "2025.2.1", "2025.10.1", "2026.1.1"]);
        check_ascending(&["2025-01-31", "20250201", "2025.2.2", "2025-10-01"]);
        check_ascending(&[
            "2025.01.31",
            "2025.01.31-2",
            "2025.01.31-10",
            "2025-02-01T08:30:00Z",
            "202502010900",
            "2025-02-01T10:00",
        ]);
        check_ascending(&["2025.1.31-rc1", "2025.1.31-rc2", "2025.1.31"]);
        check_ascending(&["24.10", "25.1", "25.04"]);
        // One scheme followed the other.
        check_ascending(&["1.4.2", "2025.1.1"]);
    }

    #[test]
    fn builds() {
        check_ascending(&["1.2.3", "1.2.3+9", "1.2.3+10", "1.2.4+1"]);
        check_ascending(&["1.2.3 (41)", "1.2.3 (42)", "1.2.3+43"]);
        check_ascending(&["1.2.3.41", "1.2.3.42"]);
        check_ascending(&["1.2.3-41", "1.2.3-42"]);
        check_ascending(&["1.2.3-build.41", "1.2.3-build.42"]);
        check_ascending(&["1.0+20250131.ab12cd3", "1.0+20250201.0aa12cd"]);
        check_ascending(&["41", "42", "1041"]);
        check_ascending(&["1.0+ab", "1.1+aa"]);
        check("1.0+ab", "1.0+ba", None);
        check("1.0+ab", "1.0+1", None);
        check("1.0", "1.0+ab", None);
        check("1.0+ab.1", "1.0+ab.2", Some(Ordering::Less));
    }

    #[test]
    fn commits_since_a_tag() {
        check_ascending(&[
            "v1.2.3-rc1",
            "v1.2.3",
            "v1.2.3-2-g1a2b3c4",
            "v1.2.3-14-g0a2b3c4",
            "v1.2.4",
        ]);
        check("v1.2.3-2-g1a2b3c4", "v1.2.3-2-g2a2b3c4", None);
        check_ascending(&["v1.2.3", "v1.2.3-dirty"]);
    }

    #[test]
    fn names_in_front() {
        check_ascending(&["shop@1.2.3", "shop@1.3.0"]);
        check_ascending(&["@acme/shop@1.2.3", "@acme/shop@1.3.0"]);
        check_ascending(&["shop-api-1.9", "shop-api-1.10"]);
        check_ascending(&["release/2025.1", "release/2025.2"]);
        check_ascending(&["release-41", "42", "Version 43"]);
        check_ascending(&["shop@1.2.3", "1.3.0"]);
        check("shop@1.2.3", "cart@1.3.0", None);
        check("shop-1.2.3", "cart-1.3.0", None);
    }

    #[test]
    fn what_has_no_order() {
        for (one, other) in [
            ("1a2b3c4", "2a2b3c4"),
            ("1a2b3c4", "1.2.3"),
            ("shop@1a2b3c4d", "shop@1a2b3c4e"),
            (
                "550e8400-e29b-41d4-a716-446655440000",
                "550e8400-e29b-41d4-a716-446655440001",
            ),
            ("main-1a2b3c4", "main-2b2b3c4"),
            ("1.2.3-1a2b3c4", "1.2.3-2b2b3c4"),
            ("1.2.3-1a2b3c4", "1.2.3"),
            ("latest", "1.2.3"),
            ("production", "staging"),
            ("", "1.2.3"),
            ("3f2", "3f3"),
            ("12x", "13x"),
            ("1.2.3-é!", "1.2.3"),
            ("@", "1"),
            ("shop@", "shop@1"),
        ] {
            check(one, other, None);
        }
        check("1a2b3c4", "1a2b3c4", Some(Ordering::Equal));
        check("latest", " latest", Some(Ordering::Equal));
        check("", "", Some(Ordering::Equal));
        check("1.2.3-1a2b3c4", "1.2.4-2b2b3c4", Some(Ordering::Less));
    }

    fn release() -> impl Strategy<Value = String> {
        let number = prop_oneof!["[0-3]", "(19|20)[0-9]{2}", "20250[1-3](0[1-9]|3[0-9])"];
        let word = prop_oneof![
            "a", "b", "rc", "dev", "post", "alpha", "final", "x", "SNAPSHOT", "p", "gabc1234",
            "1a2b3c4",
        ];
        let separator = prop_oneof!["\\.", "-", "_", "\\+", "", " ", "T", ":"];
        let piece = (separator, prop_oneof![number.clone(), number.clone(), word])
            .prop_map(|(separator, text)| separator + &text);
        let name = prop_oneof!["", "", "v", "shop@", "cart@v", "shop-"];
        (name, number, proptest::collection::vec(piece, 0..5))
            .prop_map(|(name, number, pieces)| name + &number + &pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn the_order_has_no_contradictions(one in release(), two in release(), three in release()) {
            prop_assert_eq!(compare(&one, &one), Some(Ordering::Equal));
            let order = compare(&one, &two);
            prop_assert_eq!(order, compare(&two, &one).map(Ordering::reverse));
            let onward = compare(&two, &three);
            if let (Some(order), Some(onward), Some(whole)) = (order, onward, compare(&one, &three))
                && (order == onward || order.is_eq() || onward.is_eq())
            {
                let expected = if order.is_eq() { onward } else { order };
                prop_assert_eq!(whole, expected, "{} {} {}", one, two, three);
            }
        }

        #[test]
        fn any_text_is_harmless(one in "\\PC{0,40}", two in "[0-9a-fvT@.+_ :/-]{0,30}") {
            compare(&one, &two);
            compare(&two, &two);
        }
    }
}
