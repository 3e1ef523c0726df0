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
mod tests;
