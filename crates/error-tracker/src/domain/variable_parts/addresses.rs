//! Addresses of machines and people, and UUIDs. Each function reads from the beginning of a word
//! and gives the end of the longest text that is one and that no word follows.

use super::text::Text;

/// 8-4-4-4-12 hexadecimal digits.
pub(super) fn uuid(text: Text<'_>, at: usize) -> Option<usize> {
    const LENGTH: usize = 36;
    let shaped = (0..LENGTH).all(|offset| {
        let byte = text.byte(at + offset);
        match offset {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }
    });
    let end = at + LENGTH;
    (shaped && !text.word_at(end)).then_some(end)
}

/// Six pairs of hexadecimal digits, with colons or hyphens.
pub(super) fn mac(text: Text<'_>, at: usize) -> Option<usize> {
    const LENGTH: usize = 17;
    let separator = text.byte(at + 2);
    if !matches!(separator, b':' | b'-') {
        return None;
    }
    let shaped = (0..LENGTH).all(|offset| {
        let byte = text.byte(at + offset);
        match offset % 3 {
            2 => byte == separator,
            _ => byte.is_ascii_hexdigit(),
        }
    });
    let end = at + LENGTH;
    (shaped && !text.word_at(end) && text.byte(end) != separator).then_some(end)
}

/// Four numbers up to 255, with a port or a prefix length.
pub(super) fn ipv4(text: Text<'_>, at: usize) -> Option<usize> {
    let mut end = at;
    for part in 0..4 {
        if part > 0 {
            if text.byte(end) != b'.' {
                return None;
            }
            end += 1;
        }
        let (value, after) = text.number(end, 3)?;
        if value > 255 {
            return None;
        }
        end = after;
    }
    if text.word_at(end) || text.byte(end) == b'.' && text.is_digit(end + 1) {
        return None;
    }
    let more = match text.byte(end) {
        b':' => text.number(end + 1, 5),
        b'/' => text.number(end + 1, 2),
        _ => None,
    };
    Some(match more {
        Some((_, after)) if !text.word_at(after) => after,
        _ => end,
    })
}

/// Eight groups of hexadecimal digits, or fewer and one `::` among them; with a zone. It must have
/// a digit, for `add::face` is a path of Rust or C++.
pub(super) fn ipv6(text: Text<'_>, at: usize) -> Option<usize> {
    let mut groups = 0;
    let mut shortened = false;
    let mut digit = false;
    let mut valid = None;
    let mut end = at;
    if text.starts_with(end, "::") {
        shortened = true;
        end += 2;
    }
    while groups < 8 {
        if let Some(after) = ipv4(text, end).filter(|_| shortened && groups < 7) {
            return Some(after);
        }
        let start = end;
        while end < start + 4 && text.byte(end).is_ascii_hexdigit() {
            digit |= text.is_digit(end);
            end += 1;
        }
        if end == start {
            break;
        }
        groups += 1;
        let complete = digit && (groups == 8 || shortened && groups < 8);
        let goes_on = text.byte(end) == b':' && text.word_at(end + 1);
        if complete && !text.word_at(end) && !goes_on {
            valid = Some(end);
        }
        if !shortened && text.starts_with(end, "::") {
            shortened = true;
            end += 2;
            if digit && !text.word_at(end) && text.byte(end) != b':' {
                valid = Some(end);
            }
        } else if goes_on {
            end += 1;
        } else {
            break;
        }
    }
    valid.map(|end| zone(text, end).unwrap_or(end))
}

/// `%eth0`
fn zone(text: Text<'_>, at: usize) -> Option<usize> {
    let mut end = at + 1;
    while text.byte(end).is_ascii_alphanumeric() {
        end += 1;
    }
    (text.byte(at) == b'%' && end > at + 1 && !text.word_at(end)).then_some(end)
}

/// A mail address, or how far a search from any word before would come without finding one.
pub(super) fn email(text: Text<'_>, at: usize) -> Result<usize, usize> {
    let mut sign = at;
    while is_local(text.byte(sign)) {
        sign += 1;
    }
    if text.byte(sign) != b'@' {
        return Err(sign.max(at + 1));
    }
    domain(text, sign + 1).ok_or(sign)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

/// Two names or more with dots between them, the last one of letters.
fn domain(text: Text<'_>, at: usize) -> Option<usize> {
    let mut valid = None;
    let mut end = at;
    for label in 0..10 {
        let start = end;
        let mut letters = true;
        while text.byte(end).is_ascii_alphanumeric() || text.byte(end) == b'-' {
            // A name may go on behind a hyphen, but what is before it may be all there is.
            if text.byte(end) == b'-' && label > 0 && letters && end > start + 1 {
                valid = Some(end);
            }
            letters &= text.byte(end).is_ascii_alphabetic();
            end += 1;
        }
        if end == start || text.byte(start) == b'-' {
            break;
        }
        if label > 0 && letters && end > start + 1 && !text.word_at(end) {
            valid = Some(end);
        }
        if text.byte(end) != b'.' {
            break;
        }
        end += 1;
    }
    valid
}
