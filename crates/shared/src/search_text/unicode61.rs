//! What FTS5's tokenizer `unicode61` makes of a text, worked out here too, so that a text can be matched that no index
//! holds yet.
//!
//! Its tables follow an old version of Unicode and treat what was unassigned then as letters, so no library knows them.
//! The lists beside this file were measured: SQLite was asked about each code point. A test asks it again.

use std::sync::LazyLock;

/// What a character does to the tokens of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Part of a token, in this form: without case, and without the accent where one letter has one.
    Letter(char),
    /// An accent of its own: dropped inside a token, a separator elsewhere.
    Mark,
    Separator,
}

static SEPARATORS: LazyLock<Vec<(u32, u32)>> =
    LazyLock::new(|| ranges(include_str!("unicode61/separators.txt")));
static MARKS: LazyLock<Vec<(u32, u32)>> =
    LazyLock::new(|| ranges(include_str!("unicode61/marks.txt")));
static FOLDS: LazyLock<Vec<(char, char)>> =
    LazyLock::new(|| pairs(include_str!("unicode61/folds.txt")));

/// `300-304 30f`: code points in hexadecimal, ascending.
fn ranges(list: &str) -> Vec<(u32, u32)> {
    let number = |text| u32::from_str_radix(text, 16).ok();
    list.split_whitespace()
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((number(first)?, number(last)?))
        })
        .collect()
}

/// `Àa Áa`: a letter and what it becomes, ascending.
fn pairs(list: &str) -> Vec<(char, char)> {
    list.split_whitespace()
        .filter_map(|pair| {
            let mut letters = pair.chars();
            Some((letters.next()?, letters.next()?))
        })
        .collect()
}

fn is_in(ranges: &[(u32, u32)], letter: char) -> bool {
    let code = u32::from(letter);
    let before = ranges.partition_point(|(first, _)| *first <= code);
    before
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|(_, last)| code <= *last)
}

fn role(letter: char) -> Role {
    if letter.is_ascii() {
        return if letter.is_ascii_alphanumeric() {
            Role::Letter(letter.to_ascii_lowercase())
        } else {
            Role::Separator
        };
    }
    if is_in(&SEPARATORS, letter) {
        return Role::Separator;
    }
    if is_in(&MARKS, letter) {
        return Role::Mark;
    }
    let fold = FOLDS.binary_search_by_key(&letter, |(from, _)| *from);
    let folded = fold.ok().and_then(|index| FOLDS.get(index));
    Role::Letter(folded.map_or(letter, |(_, to)| *to))
}

/// Whether a character can begin a token.
pub(super) fn is_letter(letter: char) -> bool {
    matches!(role(letter), Role::Letter(_))
}

/// The tokens of a text. Made for being filled again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    text: String,
    /// Where each token ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
}

impl Tokens {
    /// Of one text.
    pub(super) fn of(text: &str) -> Self {
        let mut tokens = Self::default();
        tokens.fill(text);
        tokens
    }

    /// Of another text, in place of the last one.
    pub(super) fn fill(&mut self, text: &str) {
        self.text.clear();
        self.ends.clear();
        let mut inside = false;
        for letter in text.chars() {
            match role(letter) {
                Role::Letter(folded) => {
                    self.text.push(folded);
                    inside = true;
                }
                Role::Mark if inside => {}
                Role::Mark | Role::Separator => self.end(&mut inside),
            }
        }
        self.end(&mut inside);
    }

    fn end(&mut self, inside: &mut bool) {
        if std::mem::take(inside) {
            self.ends.push(self.text.len());
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One after the other.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index))
    }

    fn get(&self, index: usize) -> &str {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(0),
        };
        start
            .zip(self.ends.get(index).copied())
            .and_then(|(start, end)| self.text.get(start..end))
            .unwrap_or_default()
    }

    /// Whether `wanted` stands in it, one token right behind the other, the last one at least as a beginning when
    /// `prefix`.
    pub(super) fn contain(&self, wanted: &Self, prefix: bool) -> bool {
        let Some(last) = wanted.len().checked_sub(1) else {
            return false;
        };
        let is = |index: usize, token: usize| {
            let (found, wanted) = (self.get(index), wanted.get(token));
            found == wanted || prefix && token == last && found.starts_with(wanted)
        };
        (0..self.len().saturating_sub(last))
            .any(|start| (0..=last).all(|token| is(start + token, token)))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Every code point between two letters and by itself: the index must hold the tokens that are made here.
    #[test]
    fn every_character_plays_the_role_it_plays_in_sqlite() {
        const BLOCK: u32 = 2048;
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(
            "CREATE VIRTUAL TABLE f USING fts5(t, content = '', tokenize = 'unicode61');
             CREATE VIRTUAL TABLE v USING fts5vocab(f, 'instance');",
        )
        .expect("FTS5 is there");
        let block = |number: u32| {
            let codes = number * BLOCK..(number + 1) * BLOCK;
            codes
                .filter_map(char::from_u32)
                .fold(String::new(), |text, letter| {
                    text + &format!("q{letter}z {letter} ")
                })
        };
        for number in 0..0x11_0000 / BLOCK {
            let text = block(number);
            conn.execute("INSERT INTO f (rowid, t) VALUES (1, ?1)", [&text])
                .expect("is indexed");
            let mut statement = conn
                .prepare_cached("SELECT term FROM v ORDER BY offset")
                .expect("is understood");
            let terms = statement.query_map([], |row| row.get(0)).expect("is read");
            let terms: Vec<String> = terms.collect::<Result<_, _>>().expect("are texts");
            let tokens = Tokens::of(&text);
            for (index, (ours, theirs)) in tokens.iter().zip(&terms).enumerate() {
                assert_eq!(ours, theirs, "token {index} of block {number}");
            }
            assert_eq!(tokens.len(), terms.len(), "block {number}");
            conn.execute("INSERT INTO f (f) VALUES ('delete-all')", [])
                .expect("is emptied");
        }
    }

    #[test]
    fn marks_disappear_inside_of_tokens_only() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            let tokens = Tokens::of(text);
            assert_eq!(tokens.iter().collect::<Vec<_>>(), expected, "{text:?}");
        }
        check("Cafe\u{301} Ünïcode", &["cafe", "unicode"]);
        check("\u{301}a \u{301} b\u{301}", &["a", "b"]);
        check("a\0b-c_d", &["a", "b", "c", "d"]);
        check("日本語のログ", &["日本語のログ"]);
        check("", &[]);
        check(" \u{1f600}—“”", &[]);
    }

    #[test]
    fn phrases_stand_together_and_only_their_end_may_be_open() {
        #[track_caller]
        fn check(text: &str, wanted: &str, prefix: bool, expected: bool) {
            let found = Tokens::of(text).contain(&Tokens::of(wanted), prefix);
            assert_eq!(found, expected, "{wanted:?} in {text:?}");
        }
        check("connection refused by db", "Refused", false, true);
        check("connection refused by db", "refused by", false, true);
        check("connection refused by db", "connection by", false, false);
        check("connection refused by db", "by d", false, false);
        check("connection refused by db", "by d", true, true);
        check("connection refused by db", "re by", true, false);
        check("connection refused by db", "db x", false, false);
        check("", "x", true, false);
        check("x", "", true, false);
        check("a a b", "a b", false, true);
    }
}
