//! Text of strangers on its way into mails, chats and headers.
//!
//! What an alert says comes from whoever may report an error, browsers included. Nothing of it may become a header, a
//! command, markup, or text that reads in another order than it is written.

use std::fmt::Write as _;

/// Text for one line: a subject, a title. Line breaks and other controls become blanks, several blanks one, formatting
/// controls vanish; at most `most` characters are kept.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(4 * most));
    let mut kept = 0;
    for character in text.chars().filter(|c| !is_formatting(*c)) {
        let blank = character.is_whitespace() || character.is_control();
        if blank && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if kept == most {
            break;
        }
        line.push(if blank { ' ' } else { character });
        kept += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// Text of several lines: every kind of line break becomes LF, other controls but the tab become U+FFFD, formatting
/// controls vanish. Of a text over `most_bytes` the beginning is kept, and a last line says how much is missing.
pub fn lines(text: &str, most_bytes: usize) -> String {
    let kept = text.get(..text.floor_char_boundary(most_bytes));
    let kept = kept.unwrap_or(text);
    let mut clean = String::with_capacity(kept.len() + 40);
    let mut characters = kept.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                clean.push('\n');
            }
            '\n' | '\t' => clean.push(character),
            '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            c if is_formatting(c) => {}
            c if c.is_control() => clean.push('\u{FFFD}'),
            c => clean.push(c),
        }
    }
    let missing = text.len() - kept.len();
    if missing > 0 {
        if !clean.ends_with('\n') {
            clean.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = write!(clean, "[cut: {missing} more bytes]");
    }
    clean
}

/// The first `most` characters.
pub fn first_chars(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

/// Two lower-case digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// For HTML, inside elements and quoted attributes.
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Controls that reorder or hide text: a name could read backwards, and a link could look like another.
/// Sources: Unicode Standard Annex 9 (bidirectional controls), RFC 8264 on zero-width characters.
fn is_formatting(character: char) -> bool {
    matches!(
        character,
        '\u{61C}'
            | '\u{200B}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_line(text: &str, most: usize, expected: &str) {
        assert_eq!(one_line(text, most), expected, "{text:?}");
    }

    #[test]
    fn a_line_is_one_line() {
        check_line("plain", 80, "plain");
        check_line("a\r\nBcc: x@y", 80, "a Bcc: x@y");
        check_line(" \t a \u{b}\u{0}\u{7f} b \n", 80, "a b");
        check_line("a\u{2028}b\u{85}c", 80, "a b c");
        check_line("\u{202E}evil\u{2066} txt\u{FEFF}", 80, "evil txt");
        check_line("", 80, "");
        check_line("abc", 2, "ab");
        check_line("äöü", 2, "äö");
        check_line("ab cd", 3, "ab");
        check_line("👩‍👧 x", 80, "👩‍👧 x");
    }

    #[track_caller]
    fn check_lines(text: &str, most: usize, expected: &str) {
        assert_eq!(lines(text, most), expected, "{text:?}");
    }

    #[test]
    fn lines_keep_their_breaks_and_nothing_else() {
        check_lines("a\r\nb\rc\nd", 99, "a\nb\nc\nd");
        check_lines("a\u{0}b\u{1b}[31m\tc", 99, "a\u{FFFD}b\u{FFFD}[31m\tc");
        check_lines("a\u{202E}b", 99, "ab");
        check_lines(".\n.\n", 99, ".\n.\n");
        check_lines("abcdef", 3, "abc\n[cut: 3 more bytes]");
        check_lines("aé", 2, "a\n[cut: 2 more bytes]");
        check_lines("a\nb", 2, "a\n[cut: 1 more bytes]");
        check_lines("abc", 3, "abc");
    }

    #[test]
    fn html_is_text() {
        assert_eq!(
            html("<a href=\"x\" o='1'>&amp;</a>"),
            "&lt;a href=&quot;x&quot; o=&#39;1&#39;&gt;&amp;amp;&lt;/a&gt;"
        );
    }

    #[test]
    fn first_characters_end_at_a_character() {
        assert_eq!(first_chars("äöü", 2), "äö");
        assert_eq!(first_chars("a", 2), "a");
        assert_eq!(first_chars("", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_that_could_end_a_header_is_left(text in ".*", most in 0usize..100) {
            let line = one_line(&text, most);
            prop_assert!(line.chars().count() <= most);
            let breaks = line.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}');
            prop_assert!(!breaks);
            prop_assert_eq!(line.trim(), line.as_str());
        }

        #[test]
        fn lines_have_no_bare_carriage_return(text in "(.|\n|\r)*", most in 0usize..100) {
            let clean = lines(&text, most);
            prop_assert!(!clean.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
