//! Replaces what differs between two occurrences of the same error: numbers, ids, addresses, times.
//!
//! | in a message | becomes |
//! |---|---|
//! | `5`, `-3.14`, `1,024`, `1_000`, `1'000`, `２３`, `1e-7`, `5 MB`, `30s`, `1h2m3.5s`, `50%`, `2nd` | `<n>` |
//! | `#1042`, `order-1042`, `user_7`, `user10042`, `/users/42` | `#<n>`, `order-<n>`, `user_<n>`, `user<n>`, `/users/<n>` |
//! | `v1.2.3`, `cus_NffrFeUfNV2Hib`, `shop-7d9f8b6c59-x2x7k`, `/tmp/tmpx7f3k_2q` | `v<n>`, `cus_<n>`, `shop-<n>`, `/tmp/tmp<n>` |
//! | `9fceb02`, `7f9c6d5b8x`, a hash, a base64 text or another machine-made id | `<n>` |
//! | `0x7ffe3a10` | `<hex>` |
//! | `550e8400-e29b-41d4-a716-446655440000` | `<uuid>` |
//! | `10.0.0.1`, `10.0.0.1:5432`, `10.0.0.0/8`, `::1`, `fe80::1%eth0` | `<ip>` |
//! | `00:1a:2b:3c:4d:5e` | `<mac>` |
//! | `bob@mail.example` | `<email>` |
//! | `"..."`, `'...'`, `` `...` ``, `“...”`, `‘...’`, `„...“`, `«...»` | `<str>` |
//! | `2024-05-01T12:34:56.789Z`, `01/May/2024:12:34:56 +0000`, `May 5, 2024`, `12:34:56`, `1:05 PM` | `<time>` |
//! | `https://u:p@h.example:8443/users/42?page=2#x` | `https://h.example/users/<n>` |
//! | several blanks; a line end, `\r\n` or blanks around one | one blank; one line feed |
//!
//! Short hexadecimal ids share the placeholder of numbers, because of eight random digits one in
//! forty has no letter among them. Digits glued to letters stay (`utf8`, `x86`, `E11000`), unless
//! there are three or more behind small letters.
//!
//! The work is linear in the length of the text: a search that found nothing is remembered up to
//! where it looked. Placeholders count as the words they stand for, which makes the replacement
//! idempotent: doing it again changes nothing.

mod addresses;
mod ids;
mod text;
mod times;

#[cfg(test)]
mod tests;

use text::Text;

/// `text` with its variable parts replaced.
pub fn replace(text: &str) -> String {
    replace_up_to(text, usize::MAX)
}

/// The beginning of [`replace`]`(text)`, cut at `limit` bytes or up to three before.
pub fn replace_up_to(text: &str, limit: usize) -> String {
    let mut out = Replacer::new(text, limit).run();
    if out.len() > limit {
        let end = (0..=limit)
            .rev()
            .find(|at| out.is_char_boundary(*at))
            .unwrap_or_default();
        out.truncate(end);
    }
    out
}

/// True for the name of a file or directory that a program made up for a while: `tmpx7f3k_2q`, `_MEI12345`.
pub(super) fn is_temporary(name: &str) -> bool {
    let at = match name.bytes().next() {
        Some(b't') => 1,
        Some(b'_') => 2,
        _ => return false,
    };
    let path = format!("/{name}");
    ids::temporary(Text(&path), at).is_some_and(|(_, end)| end == path.len())
}

/// True for a word that looks made by a machine: a hash, an id in base 36 or 64.
pub(super) fn is_random(word: &str) -> bool {
    ids::is_random(word)
}

const NUMBER: &str = "<n>";
const POINTER: &str = "<hex>";
const UUID: &str = "<uuid>";
const ADDRESS: &str = "<ip>";
const HARDWARE_ADDRESS: &str = "<mac>";
const EMAIL: &str = "<email>";
const QUOTED: &str = "<str>";
const TIME: &str = "<time>";

/// In the order in which they are looked for.
const PLACEHOLDERS: [&str; 8] = [
    NUMBER,
    QUOTED,
    TIME,
    ADDRESS,
    EMAIL,
    UUID,
    POINTER,
    HARDWARE_ADDRESS,
];

/// Opening quotes and what closes each.
const QUOTES: [(&str, &[&str]); 7] = [
    ("\"", &["\""]),
    ("'", &["'"]),
    ("`", &["`", "'"]),
    ("“", &["”"]),
    ("‘", &["’"]),
    ("„", &["“", "”"]),
    ("«", &["»"]),
];

/// Where in a URL the scanner is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Url {
    Outside,
    Authority,
    Path,
}

struct Replacer<'t> {
    text: Text<'t>,
    limit: usize,
    at: usize,
    out: String,
    /// A blank or line feed that is written once something follows.
    blank: Option<char>,
    /// Whether what is before `at` belongs to a word.
    after_word: bool,
    url: Url,
    /// No mail address begins before this place.
    no_email_before: usize,
    /// No machine-made id with dots and slashes begins before this place.
    no_run_before: usize,
    /// No machine-made id between dots and slashes begins before this place.
    no_segment_before: usize,
    /// No name of a pod begins before this place.
    no_pod_before: usize,
    /// For each quote, bare and behind a backslash: it is not closed before this place.
    unclosed_before: [[usize; 2]; QUOTES.len()],
}

impl<'t> Replacer<'t> {
    fn new(text: &'t str, limit: usize) -> Self {
        let no_email_before = if text.contains('@') { 0 } else { text.len() };
        Self {
            text: Text(text),
            limit,
            at: 0,
            out: String::with_capacity(text.len().min(limit)),
            blank: None,
            after_word: false,
            url: Url::Outside,
            no_email_before,
            no_run_before: 0,
            no_segment_before: 0,
            no_pod_before: 0,
            unclosed_before: [[0; 2]; QUOTES.len()],
        }
    }

    fn run(mut self) -> String {
        while self.at < self.text.len() && self.out.len() < self.limit {
            match self.text.byte(self.at) {
                b' ' | b'\t' | b'\r' | b'\n' => self.blanks(),
                b'<' => self.angle(),
                b'"' | b'\'' | b'`' => self.quote(),
                _ if self.text.is_letter_or_digit(self.at) => self.word(),
                0x80.. => self.quote(),
                other => self.punctuation(other),
            }
        }
        self.out
    }

    fn blanks(&mut self) {
        while let byte @ (b' ' | b'\t' | b'\r' | b'\n') = self.text.byte(self.at) {
            if matches!(byte, b'\r' | b'\n') {
                self.blank = Some('\n');
            } else if self.blank.is_none() {
                self.blank = Some(' ');
            }
            self.at += 1;
        }
        self.after_word = false;
        self.url = Url::Outside;
    }

    /// A placeholder that was there before, or a mere bracket.
    fn angle(&mut self) {
        let Some(name) = self.text.placeholder(self.at) else {
            self.url = Url::Outside;
            return self.keep(self.at + 1, false);
        };
        // As the quotes did that were there.
        if name == QUOTED {
            self.url = Url::Outside;
        }
        // What has one in it was looked at when it was written.
        if self.at >= self.no_run_before {
            self.no_run_before = ids::run_end(self.text, self.at);
        }
        if self.at >= self.no_segment_before {
            self.no_segment_before = ids::segment_end(self.text, self.at);
        }
        self.replace(self.at + name.len(), name);
    }

    fn quote(&mut self) {
        self.url = Url::Outside;
        let rest = self.text.from(self.at);
        let found = QUOTES
            .iter()
            .zip(0..)
            .find(|((open, _), _)| rest.starts_with(open));
        let Some(((open, closes), index)) = found else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            return self.keep(self.at + length, false);
        };
        let inside = self.at + open.len();
        if !self.after_word
            && let Some(end) = self.closing(index, closes, inside)
        {
            return self.replace(end, QUOTED);
        }
        self.keep(inside, false);
    }

    /// The end of the text quoted from `inside` on: behind the first closing quote on the same line
    /// that no word follows (so an apostrophe closes nothing) and no backslash precedes.
    fn closing(&mut self, quote: usize, closes: &[&str], inside: usize) -> Option<usize> {
        let escaped = self.at > 0 && self.text.byte(self.at - 1) == b'\\';
        let unclosed = &mut self.unclosed_before[quote][usize::from(escaped)];
        if inside <= *unclosed {
            return None;
        }
        let mut at = inside;
        while at < self.text.len() && !matches!(self.text.byte(at), b'\n' | b'\r') {
            if !escaped && self.text.byte(at) == b'\\' {
                let line_ends = matches!(self.text.byte(at + 1), b'\n' | b'\r');
                at += if line_ends { 1 } else { 2 };
                continue;
            }
            let close = closes.iter().find(|close| self.text.starts_with(at, close));
            match close.map(|close| at + close.len()) {
                Some(end) if !self.text.word_at(end) => return Some(end),
                Some(end) => at = end,
                None => at += 1,
            }
        }
        *unclosed = at;
        None
    }

    fn punctuation(&mut self, byte: u8) {
        if byte == b':'
            && !self.after_word
            && self.text.byte(self.at + 1) == b':'
            && let Some(end) = addresses::ipv6(self.text, self.at)
        {
            return self.replace(end, ADDRESS);
        }
        match (self.url, byte) {
            (Url::Authority | Url::Path, b'?' | b'#') => {
                let end = self.query_end();
                if end > self.at + 1 {
                    self.at = end;
                    return;
                }
            }
            (Url::Authority, b':') => {
                if let Some(end) = self.port_end() {
                    self.at = end;
                    return;
                }
            }
            (Url::Authority, b'/') => self.url = Url::Path,
            (_, byte) if ends_url(byte) => self.url = Url::Outside,
            _ => {}
        }
        self.keep(self.at + 1, false);
    }

    /// Where the port that begins here ends, when the authority ends there, too.
    fn port_end(&self) -> Option<usize> {
        let end = self.text.digits_end(self.at + 1);
        let next = self.text.byte(end);
        let sentence = is_sentence_mark(next) && ends_url(self.text.byte(end + 1));
        (end > self.at + 1 && (ends_authority(next) || sentence)).then_some(end)
    }

    /// Where the query or fragment that begins here ends; a mark that ends a sentence is not part
    /// of it.
    fn query_end(&self) -> usize {
        let mut end = self.at;
        while end < self.text.len() && !ends_url(self.text.byte(end)) {
            end += 1;
        }
        if end > self.at && is_sentence_mark(self.text.byte(end - 1)) {
            end -= 1;
        }
        end
    }

    fn word(&mut self) {
        let start = self.at;
        let word = self.text.word(start);
        if self.scheme(word.end) {
            return;
        }
        if let Some((made_up, end)) = self.named(&word) {
            self.keep(made_up, true);
            return self.replace(end, NUMBER);
        }
        if let Some((end, placeholder)) = self.whole(&word) {
            return self.replace(end, placeholder);
        }
        match word.trailing_digits {
            Some(digits) => {
                self.keep(digits, true);
                self.replace(word.end, NUMBER);
            }
            None => self.keep(word.end, true),
        }
    }

    /// The beginning of a URL; a user name and a password in it are left out.
    fn scheme(&mut self, end: usize) -> bool {
        if !self.text.byte(self.at).is_ascii_alphabetic() || !self.text.starts_with(end, "://") {
            return false;
        }
        let authority = end + 3;
        self.keep(authority, false);
        let mut at = authority;
        while at < self.text.len() && !ends_authority(self.text.byte(at)) {
            if self.text.byte(at) == b'@' {
                self.at = at + 1;
            }
            at += 1;
        }
        self.url = Url::Authority;
        true
    }

    /// What begins with this word, if it is a name and something variable behind it: where that begins and ends.
    fn named(&self, word: &text::Word) -> Option<(usize, usize)> {
        let (text, start) = (self.text, self.at);
        ids::temporary(text, start)
            .or_else(|| ids::version(text, start))
            .or_else(|| ids::prefixed(text, start, word.end))
            .filter(|(_, end)| text.byte(*end) != b'@')
    }

    /// What begins with this word, if it is something to replace: where it ends, and by what.
    fn whole(&mut self, word: &text::Word) -> Option<(usize, &'static str)> {
        let (text, start) = (self.text, self.at);
        if start >= self.no_email_before {
            match addresses::email(text, start) {
                Ok(end) => return Some((end, EMAIL)),
                Err(searched) => self.no_email_before = searched,
            }
        }
        if word.is_hexadecimal() {
            if let Some(end) = addresses::uuid(text, start) {
                return Some((end, UUID));
            }
            if let Some(end) = addresses::mac(text, start) {
                return Some((end, HARDWARE_ADDRESS));
            }
        }
        if let Some(end) = times::date_or_time(text, start) {
            return Some((end, TIME));
        }
        if word.is_hexadecimal()
            && let Some(end) = addresses::ipv4(text, start).or_else(|| addresses::ipv6(text, start))
        {
            return Some((end, ADDRESS));
        }
        if let Some(end) = ids::pointer(text, start) {
            return Some((end, POINTER));
        }
        if let Some(end) = self.machine_made(start, word) {
            return Some((end, NUMBER));
        }
        if word.is_id() {
            return Some((word.end, NUMBER));
        }
        let end = ids::other_digits(text, start).or_else(|| ids::number(text, start))?;
        self.drop_sign();
        Some((end, NUMBER))
    }

    fn machine_made(&mut self, start: usize, word: &text::Word) -> Option<usize> {
        // Most words stand alone and are short.
        if !ids::may_be_random(self.text, start, word.end) {
            return None;
        }
        let behind_name = start > 0 && self.text.byte(start - 1) == b'-';
        if behind_name
            && start == self.no_pod_before
            && let Some(end) = ids::pod(self.text, start)
        {
            return Some(end);
        }
        if start >= self.no_pod_before {
            match ids::pod_in_segment(self.text, start) {
                // The name of the deployment before it stays.
                Ok(pod) => {
                    self.no_pod_before = pod;
                    self.no_run_before = self.no_run_before.max(pod);
                    self.no_segment_before = self.no_segment_before.max(pod);
                }
                Err(searched) => self.no_pod_before = searched,
            }
        }
        // The parts of a URL stay apart.
        if start >= self.no_run_before && self.url == Url::Outside {
            match ids::run(self.text, start) {
                Ok(end) => return Some(end),
                Err(searched) => self.no_run_before = searched,
            }
        }
        if start >= self.no_segment_before {
            match ids::segment(self.text, start) {
                Ok(end) => return Some(end),
                Err(searched) => self.no_segment_before = searched,
            }
        }
        None
    }

    /// Takes back a sign before a number, unless it stands between two things.
    fn drop_sign(&mut self) {
        if self.blank.is_some() {
            return;
        }
        let Some(before) = self.out.strip_suffix(['-', '+']) else {
            return;
        };
        let opens = |last: char| matches!(last, ' ' | '\n' | '(' | '[' | '{' | '=' | ',' | ':');
        if before.is_empty() || before.ends_with(opens) {
            self.out.truncate(before.len());
        }
    }

    fn keep(&mut self, to: usize, word: bool) {
        self.write_blank();
        let from = self.at;
        self.out.push_str(self.text.between(from, to));
        self.at = to;
        self.after_word = word;
    }

    fn replace(&mut self, to: usize, placeholder: &str) {
        self.write_blank();
        self.out.push_str(placeholder);
        self.at = to;
        self.after_word = true;
    }

    fn write_blank(&mut self) {
        if let Some(blank) = self.blank.take()
            && !self.out.is_empty()
        {
            self.out.push(blank);
        }
    }
}

fn is_sentence_mark(byte: u8) -> bool {
    matches!(byte, b'.' | b',' | b';' | b'!')
}

fn ends_authority(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#') || ends_url(byte)
}

fn ends_url(byte: u8) -> bool {
    byte <= b' '
        || matches!(
            byte,
            b'"' | b'\''
                | b'`'
                | b'<'
                | b'>'
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'|'
                | b'\\'
        )
}
