//! Lines of comma-separated values as RFC 4180 has them.
//!
//! Spreadsheets take a cell that begins with `=`, `+`, `-` or `@` for a formula, and label values come from anybody who may
//! send metrics, browsers included. So such a text gets a `'` before it, which they do not show (OWASP, "CSV Injection").

use crate::domain::number;

/// What a formula can begin with: some programs pass over white space before it, and take the wide forms of the signs, too.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A line that is being written.
pub(super) struct Line<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Line<'a> {
    /// Begins a line; [`Line::end`] ends it.
    pub(super) fn begin(out: &'a mut String) -> Self {
        Self { out, empty: true }
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
    }

    /// Adds a text, in quotes where it needs them, and never as a formula.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.next();
        let quoted = text.contains(['"', ',', '\n', '\r']);
        if quoted {
            self.out.push('"');
        }
        if text.starts_with(FORMULA_STARTS) {
            self.out.push('\'');
        }
        if quoted {
            self.out.push_str(&text.replace('"', "\"\""));
            self.out.push('"');
        } else {
            self.out.push_str(text);
        }
        self
    }

    /// Adds a whole number.
    pub(super) fn count(&mut self, count: u64) -> &mut Self {
        self.next();
        number::write_count(self.out, count);
        self
    }

    /// Adds a figure; nothing for none.
    pub(super) fn number(&mut self, value: Option<f64>) -> &mut Self {
        self.next();
        if let Some(value) = value {
            number::write(self.out, value);
        }
        self
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.out.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_needs_it() {
        let mut out = String::new();
        let mut line = Line::begin(&mut out);
        line.text("plain").text("").text("a,\"b\"\n");
        line.number(Some(1.5)).number(None).count(7);
        line.end();
        assert_eq!(out, "plain,,\"a,\"\"b\"\"\n\",1.500000,,7\r\n");
    }

    #[test]
    fn no_text_is_a_formula_and_numbers_stay_numbers() {
        let check = |text: &str, expected: &str| {
            let mut out = String::new();
            Line::begin(&mut out).text(text);
            assert_eq!(out, expected);
        };
        check("=1+1", "'=1+1");
        check(
            "=HYPERLINK(\"x\",\"y\")",
            "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"",
        );
        check("+1", "'+1");
        check("-2", "'-2");
        check("@sum", "'@sum");
        check("\t=1", "'\t=1");
        check("\r=1", "\"'\r=1\"");
        check("＝1", "'＝1");
        check("a=1", "a=1");
        check("'=1", "'=1");
        let mut out = String::new();
        Line::begin(&mut out).number(Some(-1.5));
        assert_eq!(out, "-1.500000");
    }
}
