//! Secrets that give themselves away by their shape, wherever they stand in a text.
//!
//! One pass over the bytes; nothing that was looked at is looked at again more than a constant number of times, whatever
//! the text is.

use std::borrow::Cow;
use std::ops::Range;

use super::names::Secrecy;

/// What kind of text is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The inside of a JSON string, escapes and all.
    pub(super) escaped: bool,
    /// `name=value` counts wherever it follows one of `?&;#` or begins the text, not only inside absolute URLs. A text that
    /// begins with `//` is a URL.
    pub(super) query: bool,
}

/// Finds the parts of `text` that are secrets, from left to right. `secrecy` judges names of URL parameters.
pub(super) fn find(
    text: &str,
    kind: Kind,
    secrecy: impl Fn(&str) -> Secrecy,
    mut found: impl FnMut(Range<usize>),
) {
    let bytes = text.as_bytes();
    let parameter = |at: usize| parameter(text, at, &secrecy);
    // Whether a word can begin here, and whether an absolute URL goes on.
    let (mut boundary, mut in_url) = (true, false);
    let mut at = 0;
    if kind.query {
        if let Some(value) = parameter(0) {
            at = value.end;
            found(value);
        } else if bytes.starts_with(b"//") {
            at = 2 + user_info(&bytes[2..]);
            if at > 2 {
                found(2..at);
            }
        }
    }
    while let Some(byte) = bytes.get(at).copied() {
        let class = CLASSES[usize::from(byte)];
        match class {
            Class::Word => boundary = false,
            Class::First | Class::Dash => {
                if boundary || class == Class::Dash {
                    match token(&bytes[at..]) {
                        Token::Secret(part) => {
                            found(at + part.start..at + part.end);
                            at += part.end;
                            boundary = false;
                            continue;
                        }
                        Token::Harmless(length) => at += length - 1,
                    }
                }
                boundary = !is_word(bytes[at]);
            }
            Class::Colon => {
                boundary = true;
                let scheme = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
                if scheme && bytes[at..].starts_with(b"://") {
                    in_url = true;
                    at += 3;
                    let user = user_info(&bytes[at..]);
                    if user > 0 {
                        found(at..at + user);
                        at += user;
                    }
                    continue;
                }
            }
            Class::Separator => {
                boundary = true;
                if (in_url || kind.query)
                    && let Some(value) = parameter(at + 1)
                {
                    at = value.end;
                    found(value);
                    continue;
                }
            }
            Class::Backslash if kind.escaped => {
                let unicode = bytes.get(at + 1) == Some(&b'u');
                at += if unicode { 5 } else { 1 };
                (boundary, in_url) = (true, false);
            }
            // A text within a text, as `repr` prints it.
            Class::Backslash => {
                let escape = matches!(bytes.get(at + 1), Some(b'n' | b'r' | b't'));
                at += usize::from(escape);
                (boundary, in_url) = (true, false);
            }
            Class::End => (boundary, in_url) = (true, false),
            Class::Other => boundary = true,
        }
        at += 1;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word that cannot begin a token.
    Word,
    /// Can begin a token.
    First,
    Dash,
    Colon,
    /// Stands before a parameter.
    Separator,
    Backslash,
    /// Ends a URL.
    End,
    Other,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            b'A' | b'B' | b'S' | b'b' | b'd' | b'e' | b'g' | b'h' | b'l' | b'n' | b'p' | b'r'
            | b's' | b'w' | b'x' | b'y' => Class::First,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => Class::Word,
            b'-' => Class::Dash,
            b':' => Class::Colon,
            b'?' | b'&' | b'#' | b';' => Class::Separator,
            b'\\' => Class::Backslash,
            b'\0'..=b' ' | b'"' | b'\'' | b'<' | b'>' | b'`' => Class::End,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

pub(super) fn is_word(byte: u8) -> bool {
    matches!(CLASSES[usize::from(byte)], Class::Word | Class::First)
}

pub(super) fn ends_url(byte: u8) -> bool {
    matches!(CLASSES[usize::from(byte)], Class::End | Class::Backslash)
}

/// Whether the name of a parameter cannot hold it.
pub(super) fn ends_name(byte: u8) -> bool {
    byte == b'=' || CLASSES[usize::from(byte)] == Class::Separator || ends_url(byte)
}

/// What was found where a token could begin. Positions count from there.
pub(super) enum Token {
    Secret(Range<usize>),
    /// So many bytes, at least one, begin no token.
    Harmless(usize),
}

/// What the part of a token behind its prefix consists of.
#[derive(Clone, Copy)]
enum Alphabet {
    Alphanumeric,
    UpperOrDigit,
    /// Letters, digits, `_` and `-`.
    Url,
    /// The same and `.`.
    Dotted,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::UpperOrDigit => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
        }
    }
}

/// A kind of token: its prefix, and how long the rest is at least.
type Shape = (&'static str, Alphabet, usize);

/// The tokens that begin with two bytes.
fn shapes(first: u8, second: u8) -> &'static [Shape] {
    use Alphabet::{Alphanumeric, Dotted, UpperOrDigit, Url};
    match (first, second) {
        // Cloud providers.
        (b'A', b'K') => &[("AKIA", UpperOrDigit, 16)],
        (b'A', b'S') => &[("ASIA", UpperOrDigit, 16)],
        (b'A', b'I') => &[("AIza", Url, 35)],
        (b'y', b'a') => &[("ya29.", Dotted, 20)],
        (b'd', b'o') => &[("dop_v1_", Alphanumeric, 40)],
        (b'd', b'a') => &[("dapi", Alphanumeric, 32)],
        (b'h', b'v') => &[("hvs.", Url, 20)],
        // Payment, mail, chat.
        (b's', b'k') => &[
            ("sk_live_", Alphanumeric, 16),
            ("sk_test_", Alphanumeric, 16),
            ("sk-", Url, 20),
        ],
        (b'r', b'k') => &[
            ("rk_live_", Alphanumeric, 16),
            ("rk_test_", Alphanumeric, 16),
        ],
        (b'w', b'h') => &[("whsec_", Alphanumeric, 16)],
        (b's', b'h') => &[("shpat_", Alphanumeric, 30), ("shpss_", Alphanumeric, 30)],
        (b'S', b'G') => &[("SG.", Dotted, 40)],
        (b'x', b'o') => &[
            ("xoxa-", Url, 10),
            ("xoxb-", Url, 10),
            ("xoxp-", Url, 10),
            ("xoxr-", Url, 10),
            ("xoxs-", Url, 10),
        ],
        (b'x', b'a') => &[("xapp-", Url, 10)],
        // Code hosting, packages, models, operations.
        (b'g', b'h') => &[
            ("ghp_", Alphanumeric, 30),
            ("gho_", Alphanumeric, 30),
            ("ghu_", Alphanumeric, 30),
            ("ghs_", Alphanumeric, 30),
            ("ghr_", Alphanumeric, 30),
        ],
        (b'g', b'i') => &[("github_pat_", Url, 22)],
        (b'g', b'l') => &[("glpat-", Url, 20), ("glsa_", Url, 30)],
        (b'n', b'p') => &[("npm_", Alphanumeric, 30)],
        (b'p', b'y') => &[("pypi-", Url, 50)],
        (b'd', b'c') => &[("dckr_pat_", Url, 20)],
        (b'h', b'f') => &[("hf_", Alphanumeric, 30)],
        (b'l', b'i') => &[("lin_api_", Alphanumeric, 30)],
        (b's', b'n') => &[("sntrys_", Url, 30), ("sntryu_", Url, 30)],
        // JSON in base64: three parts make a web token.
        (b'e', b'y') => &[("eyJ", Dotted, 20)],
        _ => &[],
    }
}

/// Judges the beginning of `text`.
pub(super) fn token(text: &[u8]) -> Token {
    let (Some(first), Some(second)) = (text.first(), text.get(1)) else {
        return Token::Harmless(1);
    };
    match (first.to_ascii_lowercase(), second.to_ascii_lowercase()) {
        (b'-', b'-') => return private_key(text),
        (b'b', b'e') => return scheme(text, b"bearer", is_bearer),
        (b'b', b'a') => return scheme(text, b"basic", is_basic),
        _ => {}
    }
    for (prefix, alphabet, least) in shapes(*first, *second) {
        let Some(rest) = text.strip_prefix(prefix.as_bytes()) else {
            continue;
        };
        let length = rest.iter().take_while(|byte| alphabet.has(**byte)).count();
        let (body, behind) = rest.split_at(length);
        let goes_on = behind.first().is_some_and(u8::is_ascii_alphanumeric);
        let fits = length >= *least
            && !goes_on
            && match *prefix {
                "eyJ" => is_web_token(body),
                // These begin ordinary words as well.
                "sk-" | "dapi" | "hf_" | "pypi-" => is_mixed(body),
                _ => true,
            };
        let end = prefix.len() + length;
        return if fits {
            Token::Secret(0..end)
        } else {
            Token::Harmless(end)
        };
    }
    Token::Harmless(1)
}

/// Whether there are digits as well as letters.
fn is_mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic)
}

/// Whether this is the rest of a JSON Web Token: header, payload and signature, which may be empty.
fn is_web_token(body: &[u8]) -> bool {
    let mut parts = body.split(|byte| *byte == b'.');
    let mut long = || parts.next().is_some_and(|part| part.len() >= 10);
    long() && long() && parts.next().is_some()
}

/// Judges `Bearer ...`, `bearer ...` and its like; the word itself stays.
fn scheme(text: &[u8], name: &[u8], is_secret: impl Fn(&[u8]) -> bool) -> Token {
    let upper = name.to_ascii_uppercase();
    let named = text.get(1..name.len());
    if named != name.get(1..) && named != upper.get(1..) {
        return Token::Harmless(1);
    }
    let rest = &text[name.len()..];
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let value = &rest[blanks..];
    let length = value
        .iter()
        .take_while(|byte| is_credential(**byte))
        .count();
    let start = name.len() + blanks;
    if blanks > 0 && is_secret(&value[..length]) {
        Token::Secret(start..start + length)
    } else {
        Token::Harmless(start)
    }
}

/// RFC 9110, section 11.2: `token68`.
fn is_credential(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// Tells `Bearer 9f86d0` from `bearer authentication is required`.
fn is_bearer(value: &[u8]) -> bool {
    value.len() >= 6 && is_mixed(value) || value.len() >= 24
}

/// Whether `value` is `user:password` in base64.
fn is_basic(value: &[u8]) -> bool {
    let (mut bits, mut held, mut colon) = (0_u32, 0_u32, false);
    for byte in value.iter().take_while(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        (bits, held) = (bits << 6 | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            let byte = (bits >> held & 0xff) as u8;
            if byte < b' ' {
                return false;
            }
            colon |= byte == b':';
            bits &= (1 << held) - 1;
        }
    }
    colon
}

/// Judges a block in PEM form (RFC 7468). One that is cut off is as secret as a whole one.
fn private_key(text: &[u8]) -> Token {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const LONGEST_LABEL: usize = 48;
    let Some(rest) = text.strip_prefix(BEGIN) else {
        return Token::Harmless(1);
    };
    let label = &rest[..rest.len().min(LONGEST_LABEL)];
    let label = position(label, b"-----").map_or(&b""[..], |end| &label[..end]);
    if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK") {
        return Token::Harmless(BEGIN.len());
    }
    let body = BEGIN.len() + label.len();
    let end = position(&text[body..], b"-----END ").and_then(|end| {
        let closing = body + end + b"-----END ".len();
        position(&text[closing..], b"-----").map(|end| closing + end + b"-----".len())
    });
    Token::Secret(0..end.unwrap_or(text.len()))
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The length of the user and password that the authority of a URL begins with, without the `@`; 0 when there are none.
pub(super) fn user_info(authority: &[u8]) -> usize {
    let end = authority.iter().position(|byte| {
        matches!(byte, b'/' | b'?' | b'#' | b'\\') || CLASSES[usize::from(*byte)] == Class::End
    });
    let authority = &authority[..end.unwrap_or(authority.len())];
    let length = authority.iter().rposition(|byte| *byte == b'@');
    let length = length.unwrap_or_default();
    if is_placeholder(&authority[..length]) {
        0
    } else {
        length
    }
}

/// A longer name of a parameter is none.
pub(super) const LONGEST_NAME: usize = 128;

/// The value of the parameter that begins at `at`, if its name says that it is a secret.
fn parameter(text: &str, at: usize, secrecy: impl Fn(&str) -> Secrecy) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // Cookies are written with a blank.
    let blanks = bytes[at..].iter().take_while(|byte| **byte == b' ').count();
    let start = at + blanks;
    let name_end = start
        + bytes[start..]
            .iter()
            .take(LONGEST_NAME + 1)
            .position(|byte| ends_name(*byte))?;
    if bytes[name_end] != b'=' {
        return None;
    }
    let secrecy = secrecy(&decoded(text.get(start..name_end)?));
    if secrecy == Secrecy::Nothing {
        return None;
    }
    let value = name_end + 1;
    // What follows `;` is part of the path, which the query ends.
    let in_path = at > 0 && bytes[at - 1] == b';';
    let ends_value = |byte: &u8| match byte {
        b'&' | b'#' | b';' | b')' => true,
        b'?' => in_path,
        _ => matches!(CLASSES[usize::from(*byte)], Class::End | Class::Backslash),
    };
    let length = bytes[value..].iter().position(ends_value);
    let end = length.map_or(bytes.len(), |length| value + length);
    let secret = without_place(&bytes[value..end]);
    let counts = secrecy == Secrecy::Texts && is_count(secret);
    let present = !secret.is_empty() && !is_placeholder(secret);
    (present && !counts).then(|| value..value + secret.len())
}

/// Whether something so short and numeric is rather a number of things than one of them.
fn is_count(value: &[u8]) -> bool {
    value.len() <= 7 && value.iter().all(u8::is_ascii_digit)
}

/// A percent-encoded name as it is meant.
pub(super) fn decoded(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digit = |at| char::from(*behind.get(at)?).to_digit(16);
        if let (b'%', Some((high, low))) = (*byte, digit(0).zip(digit(1))) {
            bytes.push((high << 4 | low) as u8);
            rest = &behind[2..];
        } else {
            bytes.push(*byte);
            rest = behind;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// A value without the line and column that follow a URL in a stack.
fn without_place(value: &[u8]) -> &[u8] {
    let mut kept = value;
    for _ in 0..2 {
        let digits = kept
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        match kept[..kept.len() - digits].strip_suffix(b":") {
            Some(before) if digits > 0 && !before.is_empty() => kept = before,
            _ => break,
        }
    }
    kept
}

/// What was replaced already, here or by an SDK.
pub(super) fn is_placeholder(text: &[u8]) -> bool {
    matches!(text, b"[scrubbed]" | b"[redacted]")
}

#[cfg(test)]
mod tests;
