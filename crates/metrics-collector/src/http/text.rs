//! Answers in the form the original wrote them: `", "` and `": "` inside objects, `,` between the members of arrays.

use monlight_shared::clock::iso_seconds;

use crate::domain::number;

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object; [`Object::end`] ends it.
    pub(super) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Adds a member whose value `write` appends.
    pub(super) fn member(&mut self, key: &str, write: impl FnOnce(&mut String)) -> &mut Self {
        if !std::mem::take(&mut self.empty) {
            self.out.push_str(", ");
        }
        string(self.out, key);
        self.out.push_str(": ");
        write(self.out);
        self
    }

    /// Adds a text.
    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.member(key, |out| string(out, value))
    }

    /// Adds the start of a bucket as `YYYY-MM-DDTHH:MM:SSZ`.
    pub(super) fn time(&mut self, key: &str, ms: i64) -> &mut Self {
        self.text(key, &iso_seconds(ms))
    }

    /// Adds a whole number.
    pub(super) fn count(&mut self, key: &str, value: u64) -> &mut Self {
        self.member(key, |out| number::write_count(out, value))
    }

    /// Adds a figure.
    pub(super) fn number(&mut self, key: &str, value: f64) -> &mut Self {
        self.member(key, |out| number::write(out, value))
    }

    /// Adds a figure or null.
    pub(super) fn optional(&mut self, key: &str, value: Option<f64>) -> &mut Self {
        self.member(key, |out| number::write_optional(out, value))
    }

    /// Adds an object that `write` fills.
    pub(super) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.member(key, |out| object(out, write))
    }

    /// Adds an array of what `each` writes.
    pub(super) fn array<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        each: impl FnMut(&mut String, T),
    ) -> &mut Self {
        self.member(key, |out| array(out, items, each))
    }

    /// Ends the object.
    pub(super) fn end(self) {
        self.out.push('}');
    }
}

/// Appends an object that `write` fills.
pub(super) fn object(out: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    let mut object = Object::begin(out);
    write(&mut object);
    object.end();
}

/// Appends a JSON string.
pub(super) fn string(out: &mut String, text: &str) {
    if text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        // As almost all are, and an answer has tens of thousands.
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A string always has a JSON form.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

fn array<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_the_original_did() {
        let mut out = String::new();
        object(&mut out, |answer| {
            answer
                .array("a", ["x", "y\"\u{1}", "\\", "é"], string)
                .count("n", 3)
                .object("o", |inner| {
                    inner
                        .time("t", 60_000)
                        .number("f", 1.5)
                        .optional("none", None);
                });
        });
        assert_eq!(
            out,
            r#"{"a": ["x","y\"\u0001","\\","é"], "n": 3, "o": {"t": "1970-01-01T00:01:00Z", "f": 1.500000, "none": null}}"#
        );
    }
}
