//! Names of secrets that the operator adds.

use std::fmt;

/// Why a name cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// A `*` that stands neither at the beginning nor at the end.
    StarInside,
    /// Nothing but a `*`, which would take everything.
    StarAlone,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StarInside => "has a * that is neither its first nor its last letter",
            Self::StarAlone => "has no letter or digit besides the *, so it would take every value",
        })
    }
}

/// A name: exact, or with a `*` at its beginning or end for anything.
///
/// Names are compared word by word, so that `x-foo`, `X_Foo` and `xFoo` are one, and letter by letter but for their case, so
/// that `iban` and `iBan` are.
#[derive(Debug)]
pub(super) struct Pattern {
    /// In lower case.
    letters: String,
    /// See [`words`].
    words: String,
    open_start: bool,
    open_end: bool,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, Unusable> {
        let text = text.trim();
        let (open_start, rest) = match text.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (open_end, inner) = match rest.strip_suffix('*') {
            Some(inner) => (true, inner),
            None => (false, rest),
        };
        let open = open_start || open_end;
        let mut words = words(inner);
        if open && words.is_empty() {
            return Err(Unusable::StarAlone);
        }
        if inner.contains('*') {
            return Err(Unusable::StarInside);
        }
        // A separator beside the star ends a word.
        if open_end && inner.ends_with(separates) {
            words.push('_');
        }
        if open_start && inner.starts_with(separates) {
            words.insert(0, '_');
        }
        Ok(Self {
            letters: inner.to_lowercase(),
            words,
            open_start,
            open_end,
        })
    }

    pub(super) fn matches(&self, name: &Name) -> bool {
        self.fits(&name.letters, &self.letters)
            || !self.words.is_empty() && self.fits(&name.words, &self.words)
    }

    fn fits(&self, name: &str, text: &str) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => name == text,
            (false, true) => name.starts_with(text),
            (true, false) => name.ends_with(text),
            (true, true) => name.contains(text),
        }
    }
}

/// A name as patterns are compared with it.
pub(super) struct Name {
    letters: String,
    words: String,
}

impl Name {
    pub(super) fn new(name: &str) -> Self {
        Self {
            letters: name.to_lowercase(),
            words: words(name),
        }
    }
}

fn separates(letter: char) -> bool {
    !letter.is_alphanumeric()
}

/// The words of a name in lower case with a `_` between them. A capital behind a small letter or a digit begins one, and so
/// does the last of several capitals, as in `IBANNumber`.
fn words(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut letters = name.chars().peekable();
    let mut before = '_';
    while let Some(letter) = letters.next() {
        let next_is_small = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase()
            && (before.is_lowercase()
                || before.is_numeric()
                || before.is_uppercase() && next_is_small);
        if (begins || separates(before)) && !separates(letter) && !out.is_empty() {
            out.push('_');
        }
        if !separates(letter) {
            out.extend(letter.to_lowercase());
        }
        before = letter;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, names: &str, expected: bool) {
        let read = Pattern::new(pattern).expect("usable");
        for name in names.split_whitespace() {
            assert_eq!(
                read.matches(&Name::new(name)),
                expected,
                "{pattern:?} {name}"
            );
        }
    }

    #[test]
    fn patterns_are_exact_or_open() {
        check(" IBAN ", "iban IBAN Iban iBan -iban-", true);
        check("iban", "my_iban ibans", false);
        check("customer_*", "Customer_Name customer_name_2", true);
        check("customer_*", "a_customer_name customer customers", false);
        check("*_iban", "my_IBAN", true);
        check("*_iban", "my_iban_2 iban", false);
        check("*iban*", "my_iban_2 iban myibans", true);
        check("Größe", "GRÖSSE", false);
        check("Größe", "größe", true);
    }

    #[test]
    fn patterns_are_compared_in_any_spelling() {
        let spellings = "X_Foo x-foo xFoo X-FOO XFoo x.foo x__foo";
        for pattern in spellings.split(' ') {
            check(pattern, spellings, true);
            check(pattern, "xf_oo foo x x_foo_bar", false);
        }
        check(
            "customer_*",
            "customerName CustomerName Customer-Name customer.name",
            true,
        );
        check("customer*", "customerName customers customer", true);
        check("*Nr", "tax_nr taxNr TAX-NR nr", true);
        check("*_nr", "taxNr", true);
        check("*-middle-*", "aMiddleB a_middle_b", true);
        check("address2", "Address2 ADDRESS2", true);
    }

    #[test]
    fn stars_elsewhere_are_refused() {
        for pattern in ["pass*word*", "a*b", "*a*b", "a**", "**a", "a*b*c"] {
            assert_eq!(
                Pattern::new(pattern).err(),
                Some(Unusable::StarInside),
                "{pattern}"
            );
        }
        for pattern in ["*", "**", "***", " * ", "*_*", "-*"] {
            assert_eq!(
                Pattern::new(pattern).err(),
                Some(Unusable::StarAlone),
                "{pattern}"
            );
        }
    }
}
