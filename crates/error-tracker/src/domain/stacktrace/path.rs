//! File names without what changes from release to release and from machine to machine.

use super::super::variable_parts::{is_random, is_temporary};
use super::Language;

/// How many names of a path tell files apart.
const DEPTH: usize = 3;

/// The names in a path, of any system; a URL's scheme and host come first.
pub(super) fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split(['/', '\\'])
}

/// Whether the dotted `name` is below one of `prefixes`, which are in order and none below another.
pub(super) fn in_order(prefixes: &[&str], name: &str) -> bool {
    // What stands between a prefix and a name below it begins with the prefix, too.
    let after = prefixes.partition_point(|prefix| *prefix <= name);
    let below = |prefix: &&str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    prefixes
        .get(..after)
        .and_then(<[_]>::last)
        .is_some_and(below)
}

#[cfg(test)]
pub(super) fn check_order(prefixes: &[&str]) {
    for pair in prefixes.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
        assert!(!in_order(&pair[..1], pair[1]), "{pair:?}");
    }
    for prefix in prefixes {
        assert!(in_order(prefixes, &format!("{prefix}.x")));
        assert!(!in_order(prefixes, &format!("{prefix}0.x")));
        assert!(!in_order(prefixes, prefix));
    }
}

/// Appends the last three names of a file's path, the file's own without hash and digits of a
/// build; directories that name a release, a version or a build do not count, nor do the host and
/// the query of a URL. Gives whether the file's name had a hash.
pub(super) fn push_stable(file: &str, language: Language, out: &mut String) -> bool {
    let path = match language {
        Language::JavaScript => web_path(file),
        _ => file,
    };
    // A name in angle brackets is no path: `<string>`, `<ipython-input-3-0a1b2c>`.
    if let Some(pseudo) = path.strip_prefix('<') {
        let end = pseudo.find(|letter: char| letter.is_ascii_digit());
        out.push('<');
        out.push_str(end.and_then(|end| pseudo.get(..end)).unwrap_or(pseudo));
        return false;
    }
    let mut names = components(path).rev();
    let name = names.next().unwrap_or_default();
    let mut directories = [""; DEPTH - 1];
    let mut kept = 0;
    let mut release_inside = false;
    for directory in names {
        let variable = is_build(directory);
        let of_releases = release_inside && matches!(directory, "releases" | "versions" | "builds");
        release_inside = variable;
        if variable || of_releases || is_nowhere(directory) {
            continue;
        }
        directories[kept] = without_version(directory);
        kept += 1;
        if kept == directories.len() {
            break;
        }
    }
    for directory in directories.iter().take(kept).rev() {
        out.push_str(directory);
        out.push('/');
    }
    let numbered = directories[0] == "chunks" || behind_scheme(file).is_some();
    push_name(name, language == Language::JavaScript, numbered, out)
}

/// What is behind the host of a URL and before its query.
fn web_path(file: &str) -> &str {
    let path = file.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_prefix("blob:").unwrap_or(path);
    match behind_scheme(path) {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => path,
    }
}

fn behind_scheme(path: &str) -> Option<&str> {
    path.split_once(':')?.1.strip_prefix("//")
}

fn is_nowhere(directory: &str) -> bool {
    matches!(directory, "" | "." | ".." | "~" | "current")
}

/// Whether a directory is named after a release, a build or an id: `20240501120000`, `v1.2.3`,
/// `2.0.0-rc.1`, `9fceb02`, `42`; or for a while: `tmpab12cd34`. The `v2` of an API is none.
fn is_build(name: &str) -> bool {
    let Some(first) = name.bytes().next() else {
        return false;
    };
    let version = name.strip_prefix(['v', 'V']).unwrap_or(name);
    let digits = version.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return is_hash(name, 7) || is_random(name) || is_temporary(name);
    }
    let rest = version.get(digits..).unwrap_or_default();
    let bare = rest.is_empty();
    if bare {
        return first.is_ascii_digit() || digits > 2;
    }
    let dotted = rest
        .strip_prefix(['.', '-', '_'])
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    dotted || digits >= 8 || is_hash(name, 7) || is_uuid(name) || is_random(name)
}

/// `rails-7.0.4` is `rails`, `gin@v1.9.1` is `gin`, `python3.11` is `python`, `app-9fceb02` is `app`.
fn without_version(name: &str) -> &str {
    let suffix = name
        .rsplit_once(['@', '-', '_'])
        .filter(|(stem, suffix)| !stem.is_empty() && is_version(suffix));
    let stem = suffix.map_or(name, |(stem, _)| stem);
    let bare = stem.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    match stem.get(bare.len()..) {
        Some(version) if !bare.is_empty() && version.contains('.') => bare,
        _ => stem,
    }
}

fn is_version(suffix: &str) -> bool {
    let digits = suffix.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        suffix.len() >= 4
    } else {
        is_build(suffix)
    }
}

fn is_uuid(name: &str) -> bool {
    name.len() == 36
        && name
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Hexadecimal digits, so many of them at least, that are no number and no word.
fn is_hash(name: &str, shortest: usize) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.len() >= shortest
        && digits > 0
        && digits < name.len()
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Appends a file's name without hashes and numbers of builds: `main.3f2a1b9c.chunk.js` is
/// `main.chunk.js`, `index-BX3k9a2Z.js` is `index.js`.
fn push_name(name: &str, script: bool, numbered: bool, out: &mut String) -> bool {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && !ending.contains(['-', '_']) => (stem, ending),
        _ => (name, ""),
    };
    let (stem, mut hashed) = match bundler_hash(stem, numbered).filter(|_| script) {
        Some(stem) => (stem, true),
        None => (stem, false),
    };
    let shortest = match (script, numbered) {
        (true, true) => 4,
        (true, false) => 6,
        _ => 7,
    };
    let start = out.len();
    let mut rest = if is_uuid(stem) || is_temporary(stem) {
        ""
    } else {
        stem
    };
    let mut separator = None;
    loop {
        let end = rest.find(['.', '-', '_', '~']);
        let part = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let hash = is_hash(part, shortest) || is_random(part);
        let build_number = digits && (numbered && script || part.len() >= 6);
        hashed |= hash && script;
        if !hash && !build_number {
            if out.len() > start {
                out.extend(separator);
            }
            out.push_str(part);
        }
        let Some(remainder) = end.and_then(|end| rest.get(end..)) else {
            break;
        };
        let mut letters = remainder.chars();
        separator = letters.next();
        rest = letters.as_str();
    }
    if !ending.is_empty() {
        out.push('.');
        out.push_str(ending);
    }
    hashed
}

/// What is before a hash of eight letters, which current bundlers write in base 32 or 64 behind a
/// hyphen or a dot. On the web nearly any eight letters with a capital or a digit among them are
/// one; elsewhere they must look it.
fn bundler_hash(stem: &str, on_web: bool) -> Option<&str> {
    let before = stem.get(..stem.len().checked_sub(9)?)?;
    let hash = stem.get(before.len()..)?.strip_prefix(['-', '.'])?;
    let small = |byte: u8| byte.is_ascii_lowercase();
    if before.is_empty() || !hash.is_ascii() || hash.bytes().skip(1).all(small) {
        return None;
    }
    let turn = |pair: &[u8]| {
        let [a, b] = pair else { return false };
        let digit = |byte: &u8| !byte.is_ascii_alphabetic();
        digit(a) != digit(b) || small(*a) && b.is_ascii_uppercase()
    };
    let turns = hash.as_bytes().windows(2).filter(|pair| turn(pair)).count();
    let shouted = !hash.bytes().any(small);
    (on_web || shouted || turns >= 2).then_some(before)
}
