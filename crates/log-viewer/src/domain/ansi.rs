//! Terminal colours: kept for display, ignored for search, levels and multi-line rules.

use std::borrow::Cow;

const ESC: char = '\u{1b}';

/// The text without its escape sequences; borrowed when there are none.
///
/// Understands what ECMA-48 calls control sequences (`ESC [ … letter`), operating-system commands
/// (`ESC ] … BEL` or `ESC \`), and two-character escapes.
pub fn strip(text: &str) -> Cow<'_, str> {
    if !text.contains(ESC) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != ESC {
            plain.push(letter);
            continue;
        }
        match rest.next() {
            Some('[') => skip_control_sequence(&mut rest),
            Some(']') => skip_command(&mut rest),
            // Two-character escapes, some of which announce a third.
            Some('(' | ')' | '#') => {
                rest.next();
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

/// Parameters and intermediates are 0x20 to 0x3f, the final byte is 0x40 to 0x7e. Anything else means the sequence was
/// cut, and belongs to the text.
fn skip_control_sequence(rest: &mut std::str::Chars<'_>) {
    loop {
        let mut ahead = rest.clone();
        match ahead.next() {
            Some(' '..='?') => *rest = ahead,
            Some('@'..='~') => {
                *rest = ahead;
                return;
            }
            _ => return,
        }
    }
}

fn skip_command(rest: &mut std::str::Chars<'_>) {
    while let Some(letter) = rest.next() {
        if letter == '\u{7}' {
            return;
        }
        if letter == ESC {
            rest.next();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(strip(text), expected);
    }

    #[test]
    fn escape_sequences_go_and_text_stays() {
        check("plain", "plain");
        check("\u{1b}[31mERROR\u{1b}[0m boom", "ERROR boom");
        check("\u{1b}[2m12:00\u{1b}[0m \u{1b}[38;5;196mx", "12:00 x");
        check(
            "\u{1b}]8;;http://a\u{7}link\u{1b}]8;;\u{1b}\\ end",
            "link end",
        );
        check("\u{1b}(Bx", "x");
        check("cut \u{1b}[31", "cut ");
        check("cut \u{1b}", "cut ");
        check("\u{1b}[31é", "é");
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(strip("[31m"), Cow::Borrowed("[31m")));
    }
}
