//! Reads `multipart/form-data` (RFC 7578) piece by piece, as it streams by.
//!
//! Nothing of a part's content is kept but what may be the beginning of a boundary, so a body of any length costs the
//! memory of one piece. Heads, boundaries and the number of parts are bounded.

/// Characters of a boundary (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 70;
/// Bytes of the head of a part.
const LONGEST_HEAD: usize = 4096;
/// Blanks between a boundary and the end of its line.
const MOST_PADDING: usize = 64;
const MOST_PARTS: u32 = 32;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid multipart body: {0}")]
pub(crate) struct Fault(pub(crate) &'static str);

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'b> {
    /// A part begins; its name, if it has one.
    Part(Option<String>),
    /// Some of its content.
    Data(&'b [u8]),
    /// It ends.
    End,
}

/// The boundary that a `Content-Type` names; `None`: it is not multipart/form-data. The error says what is wrong with it.
pub(crate) fn boundary(content_type: &str) -> Option<Result<String, Fault>> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary").filter(|boundary| {
        let fits = (1..=LONGEST_BOUNDARY).contains(&boundary.len());
        fits && boundary.bytes().all(|byte| (0x20..0x7F).contains(&byte))
    });
    Some(boundary.ok_or(Fault("Content-Type names no boundary of 1-70 characters")))
}

/// The value of a parameter in `; a=b; c="d"`.
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        text = text.trim_start_matches([';', ' ', '\t']);
        let (name, rest) = text.split_once('=')?;
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            loop {
                match characters.next()? {
                    (at, '"') => {
                        text = quoted.get(at + 1..)?;
                        break;
                    }
                    (_, '\\') => value.push(characters.next()?.1),
                    (_, character) => value.push(character),
                }
            }
        } else {
            let end = rest.find(';').unwrap_or(rest.len());
            rest.get(..end)?.trim().clone_into(&mut value);
            text = rest.get(end..)?;
        }
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
    }
}

/// The reader; see the module.
pub(crate) struct Parser {
    /// With the line end before it, which belongs to it.
    delimiter: Vec<u8>,
    /// What was not decided about yet.
    held: Vec<u8>,
    state: State,
    parts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Right behind a boundary.
    Boundary,
    Head,
    Content,
    /// Behind the last boundary.
    Epilogue,
}

impl Parser {
    pub(crate) fn new(boundary: &str) -> Self {
        Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // So that a boundary at the very beginning is one.
            held: b"\r\n".to_vec(),
            state: State::Preamble,
            parts: 0,
        }
    }

    /// Takes the next piece; `report` hears what it completes, and may end the reading.
    pub(crate) fn push<E: From<Fault>>(
        &mut self,
        piece: &[u8],
        report: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(piece);
        let mut rest = held.as_slice();
        while let Some(used) = self.step(rest, report)? {
            rest = rest.get(used..).unwrap_or_default();
        }
        let kept = rest.len();
        held.drain(..held.len() - kept);
        self.held = held;
        Ok(())
    }

    /// Whether the last boundary has come.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Epilogue
    }

    /// Handles what `bytes` begin with and answers how many were used; `None` when more are needed first.
    fn step<E: From<Fault>>(
        &mut self,
        bytes: &[u8],
        report: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        match self.state {
            State::Preamble | State::Content => self.content(bytes, report),
            State::Boundary => Ok(self.boundary(bytes)?),
            State::Head => self.head(bytes, report),
            State::Epilogue => Ok((!bytes.is_empty()).then_some(bytes.len())),
        }
    }

    fn content<E>(
        &mut self,
        bytes: &[u8],
        report: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        let in_part = self.state == State::Content;
        let (content, ends) = match find(bytes, &self.delimiter) {
            Found::At(at) => (at, true),
            Found::Until(at) => (at, false),
        };
        if in_part && content > 0 {
            report(Event::Data(bytes.get(..content).unwrap_or_default()))?;
        }
        if !ends {
            return Ok((content > 0).then_some(content));
        }
        if in_part {
            report(Event::End)?;
        }
        self.state = State::Boundary;
        Ok(Some(content + self.delimiter.len()))
    }

    fn boundary(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        if bytes.starts_with(b"--") {
            self.state = State::Epilogue;
            return Ok(Some(2));
        }
        let padding = bytes
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let line_end = bytes.get(padding..).unwrap_or_default();
        let fits = padding <= MOST_PADDING;
        if fits && line_end.starts_with(b"\r\n") {
            self.state = State::Head;
            self.parts += 1;
            if self.parts > MOST_PARTS {
                return Err(Fault("it has more than 32 parts"));
            }
            // The line end stays: with it, a head without lines ends as any other.
            return Ok(Some(padding));
        }
        let may_come = fits && (line_end.is_empty() || line_end == b"\r" || bytes == b"-");
        if may_come {
            return Ok(None);
        }
        Err(Fault("a boundary is followed by something else"))
    }

    fn head<E: From<Fault>>(
        &mut self,
        bytes: &[u8],
        report: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        let end = match find(bytes, b"\r\n\r\n") {
            Found::At(end) if end <= LONGEST_HEAD => end,
            Found::Until(place) if place <= LONGEST_HEAD => return Ok(None),
            _ => return Err(Fault("the head of a part is too long").into()),
        };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        report(Event::Part(name(&head)))?;
        self.state = State::Content;
        Ok(Some(end + 4))
    }
}

/// The name in the `Content-Disposition` of a head.
fn name(head: &str) -> Option<String> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    let (_, parameters) = disposition.split_once(';')?;
    parameter(parameters, "name")
}

enum Found {
    /// Where it begins.
    At(usize),
    /// It does not begin before this place.
    Until(usize),
}

fn find(bytes: &[u8], wanted: &[u8]) -> Found {
    let mut from = 0;
    while let Some(at) = bytes
        .get(from..)
        .and_then(|rest| rest.iter().position(|byte| *byte == wanted[0]))
    {
        let rest = bytes.get(from + at..).unwrap_or_default();
        if rest.starts_with(wanted) {
            return Found::At(from + at);
        }
        if wanted.starts_with(rest) {
            return Found::Until(from + at);
        }
        from += at + 1;
    }
    Found::Until(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The name and the content of a part.
    type Part = (Option<String>, Vec<u8>);

    /// The parts of a body that comes in pieces of `size`.
    fn parts(body: &[u8], size: usize) -> Result<Vec<Part>, Fault> {
        let mut parser = Parser::new("xYz");
        let (mut parts, mut open) = (Vec::new(), None);
        for piece in body.chunks(size) {
            parser.push(piece, &mut |event| {
                match event {
                    Event::Part(name) => open = Some((name, Vec::new())),
                    Event::Data(data) => open.as_mut().unwrap().1.extend_from_slice(data),
                    Event::End => parts.extend(open.take()),
                }
                Ok::<(), Fault>(())
            })?;
        }
        if parser.is_finished() {
            Ok(parts)
        } else {
            Err(Fault("it ends early"))
        }
    }

    const BODY: &str = "a preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"project\"\r\n\r\nweb\r\n--xYz \t\r\n\
        content-type: text/plain\r\nCONTENT-DISPOSITION: form-data; filename=\"a;name=b\\\"c\"; name=file\r\n\r\n\
        line\r\n--xY\r\n--xyz\r\r\n\r\n--xYz\r\n\r\nno head\r\n--xYz\r\nX: 1\r\n\r\n\r\n--xYz--\r\nan epilogue --xYz";

    fn expected() -> Vec<Part> {
        let part =
            |name: Option<&str>, data: &str| (name.map(str::to_owned), data.as_bytes().to_vec());
        vec![
            part(Some("project"), "web"),
            part(Some("file"), "line\r\n--xY\r\n--xyz\r\r\n"),
            part(None, "no head"),
            part(None, ""),
        ]
    }

    #[test]
    fn parts_are_the_same_however_the_body_is_cut() {
        for size in 1..=BODY.len() {
            assert_eq!(parts(BODY.as_bytes(), size), Ok(expected()), "{size}");
        }
        let at_once = BODY.trim_start_matches("a preamble\r\n");
        assert_eq!(parts(at_once.as_bytes(), 7), Ok(expected()));
        assert_eq!(parts(b"--xYz--", 1), Ok(vec![]));
    }

    #[track_caller]
    fn check_fault(body: &str, why: &str) {
        for size in [1, 5, 10_000] {
            let fault = parts(body.as_bytes(), size).unwrap_err();
            assert_eq!(fault.0, why, "{body:?} {size}");
        }
    }

    #[test]
    fn faults() {
        check_fault("", "it ends early");
        check_fault("{}", "it ends early");
        check_fault("--xYz\r\nA: b\r\n\r\ndata\r\n--xYz", "it ends early");
        check_fault("--xYz-", "it ends early");
        let junk = "a boundary is followed by something else";
        check_fault("--xYzz\r\n", junk);
        check_fault("--xYz\n", junk);
        check_fault(&format!("--xYz{}", " ".repeat(100)), junk);
        check_fault(
            &format!("--xYz\r\n{}", "A: b\r\n".repeat(1000)),
            "the head of a part is too long",
        );
        check_fault(
            &format!("--xYz\r\n{}\r\n\r\n", "a".repeat(5000)),
            "the head of a part is too long",
        );
        check_fault(&"--xYz\r\n\r\n\r\n".repeat(33), "it has more than 32 parts");
    }

    #[test]
    fn limits_are_the_same_however_the_body_is_cut() {
        let padded = |blanks: usize| format!("--xYz{}\r\n\r\ndata\r\n--xYz--", " ".repeat(blanks));
        // The line end before the head counts.
        let headed =
            |bytes: usize| format!("--xYz\r\n{}\r\n\r\ndata\r\n--xYz--", "a".repeat(bytes - 2));
        for size in [1, 3, 64, 10_000] {
            assert!(parts(padded(MOST_PADDING).as_bytes(), size).is_ok());
            assert!(parts(headed(LONGEST_HEAD).as_bytes(), size).is_ok());
        }
        check_fault(
            &padded(MOST_PADDING + 1),
            "a boundary is followed by something else",
        );
        check_fault(&headed(LONGEST_HEAD + 1), "the head of a part is too long");
    }

    /// `"no form"` and `"none"` are what they say.
    #[track_caller]
    fn check_boundary(content_type: &str, expected: &str) {
        let found = match boundary(content_type) {
            None => "no form".to_owned(),
            Some(found) => found.unwrap_or_else(|_| "none".to_owned()),
        };
        assert_eq!(found, expected, "{content_type}");
    }

    #[test]
    fn boundaries() {
        check_boundary("application/json", "no form");
        check_boundary("", "no form");
        check_boundary("multipart/mixed; boundary=a", "no form");
        check_boundary("multipart/form-data", "none");
        check_boundary("multipart/form-data; boundary=", "none");
        check_boundary("multipart/form-data; boundary=\"open", "none");
        let long = "x".repeat(71);
        check_boundary(&format!("multipart/form-data; boundary={long}"), "none");
        check_boundary(
            "Multipart/Form-Data; charset=utf-8; Boundary=----a1",
            "----a1",
        );
        check_boundary("multipart/form-data;boundary=\"a b;c\"; x=y", "a b;c");
    }

    proptest! {
        #[test]
        fn any_content_comes_back(contents in prop::collection::vec(prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), Just(b'Y'), any::<u8>()], 0..40), 0..5), size in 1..50_usize) {
            let mut body = Vec::new();
            let holds_boundary = |content: &[u8]| content.windows(7).any(|window| window == b"\r\n--xYz");
            prop_assume!(!contents.iter().any(|content| holds_boundary(content)));
            for content in &contents {
                body.extend_from_slice(b"--xYz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n");
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--xYz--\r\n");
            let found = parts(&body, size).unwrap();
            prop_assert_eq!(found.len(), contents.len());
            for ((name, data), content) in found.iter().zip(&contents) {
                prop_assert_eq!(name.as_deref(), Some("n"));
                prop_assert_eq!(data, content);
            }
        }

        #[test]
        fn nothing_upsets_it(body in prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), Just(b'Y'), Just(b'z'), any::<u8>()], 0..200), size in 1..50_usize) {
            let whole = parts(&body, 1000);
            prop_assert_eq!(parts(&body, size), whole);
        }
    }
}
