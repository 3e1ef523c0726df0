//! The fingerprint against recorded answers, and against a plain reading of its rules.

use error_tracker::domain::fingerprint::Fingerprint;
use error_tracker::domain::traceback::{self, Location};
use proptest::prelude::*;
use serde_json::Value;

fn recorded(file: &str) -> Vec<Value> {
    serde_json::from_str(file).expect("the file holds a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn realistic_tracebacks_give_the_recorded_fingerprints() {
    let vectors = recorded(include_str!("../data/fingerprint_vectors.json"));
    assert_eq!(vectors.len(), 96);
    for vector in &vectors {
        let field = |name: &str| text(&vector[name]);
        let traceback = field("traceback");
        let found = Fingerprint::of(field("project"), field("exception_type"), traceback);
        assert_eq!(found.to_string(), field("fingerprint"), "{}", field("name"));
        let place = traceback::locate(traceback);
        let expected = vector["file"].as_str().zip(vector["line"].as_str());
        assert_eq!(
            place.map(|place| (place.file, place.line)),
            expected,
            "{}",
            field("name")
        );
    }
}

#[test]
fn random_texts_give_the_recorded_fingerprints() {
    let vectors = recorded(include_str!("../data/fingerprint_fuzz.json"));
    assert_eq!(vectors.len(), 757);
    for vector in &vectors {
        let found = Fingerprint::of(text(&vector[0]), text(&vector[1]), text(&vector[2]));
        assert_eq!(found.to_string(), text(&vector[3]), "{vector}");
    }
}

/// The rules again, byte by byte and without any care for speed.
mod plainly {
    type Place = (Vec<u8>, Vec<u8>);

    pub(super) fn locate(text: &[u8]) -> Option<Place> {
        let mut last = None;
        let mut cursor = 0;
        while cursor < text.len() {
            if !text[cursor..].starts_with(b"File \"") {
                cursor += 1;
                continue;
            }
            if let Some((place, used)) = python(&text[cursor + 6..]) {
                last = Some(place);
                cursor += 6 + used;
            } else {
                while cursor < text.len() && text[cursor] != b'\n' {
                    cursor += 1;
                }
                cursor += 1;
            }
        }
        last.or_else(|| text.split(|byte| *byte == b'\n').find_map(javascript))
    }

    fn python(text: &[u8]) -> Option<(Place, usize)> {
        let quote = text.iter().position(|byte| *byte == b'"')?;
        let digits_at = quote + 8;
        if text.len() < digits_at || &text[quote + 1..digits_at] != b", line " {
            return None;
        }
        let mut end = digits_at;
        while end < text.len() && text[end].is_ascii_digit() {
            end += 1;
        }
        let place = (text[..quote].to_vec(), text[digits_at..end].to_vec());
        (end > digits_at).then_some((place, end))
    }

    fn javascript(line: &[u8]) -> Option<Place> {
        let line = trimmed(line);
        for at in 0..line.len() {
            if line[at..].starts_with(b"at ") {
                let rest = &line[at + 3..];
                let opening = rest.iter().position(|byte| *byte == b'(');
                let closing = rest.iter().position(|byte| *byte == b')');
                return match (opening, closing) {
                    (Some(opening), Some(closing)) if closing > opening => {
                        place(&rest[opening + 1..closing])
                    }
                    _ => place(rest),
                };
            }
        }
        let at = line.iter().position(|byte| *byte == b'@')?;
        place(&line[at + 1..])
    }

    fn place(text: &[u8]) -> Option<Place> {
        let text = trimmed(text);
        let (before, last) = number_at_end(text)?;
        match number_at_end(before) {
            Some((file, line)) => Some((file.to_vec(), line.to_vec())),
            None => Some((before.to_vec(), last.to_vec())),
        }
    }

    fn number_at_end(text: &[u8]) -> Option<(&[u8], &[u8])> {
        let mut start = text.len();
        while start > 0 && text[start - 1].is_ascii_digit() {
            start -= 1;
        }
        let good = start < text.len() && start > 1 && text[start - 1] == b':';
        good.then(|| (&text[..start - 1], &text[start..]))
    }

    fn trimmed(mut text: &[u8]) -> &[u8] {
        while let Some((b' ' | b'\t' | b'\r', rest)) = text.split_first() {
            text = rest;
        }
        while let Some((b' ' | b'\t' | b'\r', rest)) = text.split_last() {
            text = rest;
        }
        text
    }
}

/// Texts made of the pieces that the rules look at.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "File \"", "File \"a.py\", line 3", "\", line ", "\"", ", line ", "12", "007", "\n", "\r\n", " ", "\t", "at ",
            "    at f (", "(", ")", "@", ":", ":1", ":1:2", "x.js", "https://h:8/a b.js", "<anonymous>", "é", "format ",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_located_as_the_rules_say(text in soup()) {
        let found = traceback::locate(&text)
            .map(|Location { file, line }| (file.as_bytes().to_vec(), line.as_bytes().to_vec()));
        prop_assert_eq!(found, plainly::locate(text.as_bytes()));
    }

    #[test]
    fn a_fingerprint_depends_on_nothing_but_its_place(
        project in ".*", kind in ".*", before in "[^\"@]{0,80}", after in "[^\"]{0,80}",
    ) {
        let frame = "\nFile \"a.py\", line 3\n";
        let whole = Fingerprint::of(&project, &kind, &format!("{before}{frame}{after}"));
        prop_assert_eq!(whole, Fingerprint::of(&project, &kind, frame));
    }
}

/// Quadratic searching took seconds for these texts; a linear one takes well under a millisecond.
/// The bound leaves room for a busy machine and an unoptimised build.
#[test]
fn hostile_texts_take_linear_time() {
    let texts = [
        "\n".repeat(250_000),
        "File \"".repeat(42_000),
        "File \"\n".repeat(36_000),
        "File \"a\", line \n".repeat(15_000),
        "at (".repeat(62_000),
        "at (\n".repeat(50_000),
        "@".repeat(250_000),
        "a:1".repeat(83_000) + "\n",
        format!("at {}", ":1".repeat(125_000)),
        " ".repeat(250_000),
        format!("File \"{}", "x\n".repeat(125_000)),
    ];
    let (clock, limit) = (
        monlight_shared::clock::Clock::system(),
        std::time::Duration::from_secs(2),
    );
    let started = clock.monotonic();
    for text in &texts {
        Fingerprint::of("p", "E", text);
    }
    let taken = clock.monotonic().saturating_sub(started);
    assert!(taken < limit, "took {taken:?}");
}
