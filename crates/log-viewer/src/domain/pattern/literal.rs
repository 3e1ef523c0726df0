//! Text that every match of a pattern contains: a cheap test whether a pattern is worth trying.

use regex_syntax::hir::{Class, Hir, HirKind};

/// The longest run of ASCII letters, digits and signs that each match has, in lower case.
pub(super) fn required(hir: &Hir) -> Option<String> {
    let mut runs = Runs::default();
    runs.read(hir);
    runs.end();
    (!runs.best.is_empty()).then_some(runs.best)
}

/// Collects what stands side by side in every match.
#[derive(Default)]
struct Runs {
    current: String,
    best: String,
}

impl Runs {
    fn read(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Literal(literal) => {
                for byte in &*literal.0 {
                    self.push(*byte);
                }
            }
            HirKind::Class(class) => match one_letter(class) {
                Some(byte) => self.push(byte),
                None => self.end(),
            },
            HirKind::Capture(capture) => self.read(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.read(part)),
            HirKind::Repetition(repetition) => {
                self.end();
                if repetition.min > 0 {
                    self.read(&repetition.sub);
                    self.end();
                }
            }
            // They take no room.
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Alternation(_) => self.end(),
        }
    }

    fn push(&mut self, byte: u8) {
        if byte.is_ascii() {
            self.current.push(char::from(byte.to_ascii_lowercase()));
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.current.len() > self.best.len() {
            self.best.clone_from(&self.current);
        }
        self.current.clear();
    }
}

/// The letter of a class that is one letter in both cases, as `(?i)` makes them.
fn one_letter(class: &Class) -> Option<u8> {
    let letters: Vec<u32> = match class {
        Class::Unicode(class) => class
            .iter()
            .filter(|range| range.start() == range.end())
            .map(|range| u32::from(range.start()))
            .collect(),
        Class::Bytes(class) => class
            .iter()
            .filter(|range| range.start() == range.end())
            .map(|range| u32::from(range.start()))
            .collect(),
    };
    let ranges = match class {
        Class::Unicode(class) => class.ranges().len(),
        Class::Bytes(class) => class.ranges().len(),
    };
    let [upper, lower] = letters.as_slice() else {
        return None;
    };
    let (upper, lower) = (u8::try_from(*upper).ok()?, u8::try_from(*lower).ok()?);
    let is_letter = upper.is_ascii_uppercase() && lower == upper.to_ascii_lowercase();
    (ranges == 2 && is_letter).then_some(lower)
}

#[cfg(test)]
mod tests {
    use crate::domain::pattern::Pattern;

    #[track_caller]
    fn check(pattern: &str, expected: Option<&str>) {
        let pattern = Pattern::parse(pattern).expect("a pattern");
        assert_eq!(pattern.literal(), expected, "{pattern:?}");
    }

    #[test]
    fn what_every_match_has_is_found() {
        check("timeout", Some("timeout"));
        check("(?i)Timeout", Some("timeout"));
        check("Connection .* refused", Some("connection "));
        check(r"took \d+ ms, (slow|bad) query", Some(" query"));
        check(r"\btimeout\b$", Some("timeout"));
        check("(timeout)+", Some("timeout"));
        check("a(bc)d", Some("abcd"));
    }

    #[test]
    fn what_only_some_have_is_not() {
        check("timeout|refused", None);
        check("(timeout)?", None);
        check("(timeout)*x", Some("x"));
        check("[ab]", None);
        check("[a-z]+", None);
        check("größe", Some("gr"));
        check("", None);
        // The sign of Kelvin is a k too.
        check("(?i)k", None);
    }
}
