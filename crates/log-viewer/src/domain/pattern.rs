//! Regular expressions over messages, in time that grows with the text alone.
//!
//! The engine is a DFA that is built as it is needed (`regex-automata`), so there is no text for which it goes back and
//! tries again, and a line of 200 bytes costs about a third of a microsecond; `regex-lite` needs 5 to 25 times a
//! microsecond, too much for a pass over 100,000 lines. The syntax is that of the crate `regex`, without tables of
//! Unicode: `\d`, `\w`, `\s` and `\b` mean ASCII, `\p{…}` is refused.
//!
//! Bounds: [`PATTERN_BYTES`] of pattern, [`NFA_BYTES`] of its program, [`CACHE_BYTES`] of states per user. What a
//! pattern may cost beyond that is time, for which whoever matches has a clock: [`PatternMatcher::is_match`].

use std::fmt;
use std::sync::Arc;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson;
use regex_syntax::ast::{self, Ast, ClassSet, ClassSetItem};
use regex_syntax::hir::translate::Translator;

mod literal;

/// The longest pattern.
pub const PATTERN_BYTES: usize = 1000;
/// The largest program: some thousand states.
const NFA_BYTES: usize = 128 * 1024;
/// Beyond this the states of the DFA are thrown away and built anew.
const CACHE_BYTES: usize = 512 * 1024;
/// How deep groups may stand in each other.
const MOST_NESTED: u32 = 50;
/// How much of a text is read between two looks at the clock.
const PIECE: usize = 4096;

/// A regular expression, understood. Cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    dfa: Arc<DFA>,
    literal: Option<Arc<str>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({:?})", self.text)
    }
}

impl Pattern {
    /// Understands a pattern.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES {
            return Err(format!(
                "{} bytes; expected at most {PATTERN_BYTES}",
                text.len()
            ));
        }
        let mut ast = ast::parse::ParserBuilder::new()
            .nest_limit(MOST_NESTED)
            .build()
            .parse(text)
            .map_err(|fault| at(fault.kind(), fault.span()))?;
        use_ascii(&mut ast)?;
        let hir = Translator::new()
            .translate(text, &ast)
            .map_err(|fault| at(fault.kind(), fault.span()))?;
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .nfa_size_limit(Some(NFA_BYTES))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build_from_hir(&hir)
            .map_err(|_| too_large())?;
        let dfa = DFA::builder()
            .configure(Config::new().cache_capacity(CACHE_BYTES))
            .build_from_nfa(nfa)
            .map_err(|_| too_large())?;
        Ok(Self {
            text: text.into(),
            dfa: Arc::new(dfa),
            literal: literal::required(&hir).map(Into::into),
        })
    }

    /// ASCII text in lower case that every match contains, whatever its case there; `None` when none is known.
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// What matches text after text. It holds up to [`CACHE_BYTES`].
    pub fn matcher(&self) -> PatternMatcher {
        PatternMatcher {
            cache: self.dfa.create_cache(),
            dfa: Arc::clone(&self.dfa),
        }
    }
}

fn too_large() -> String {
    "a pattern that grows too large; expected smaller repetitions".to_owned()
}

fn at(fault: impl fmt::Display, span: &ast::Span) -> String {
    format!("{fault} at character {}", span.start.column)
}

/// A [`Pattern`] at work.
#[derive(Debug)]
pub struct PatternMatcher {
    dfa: Arc<DFA>,
    cache: Cache,
}

impl PatternMatcher {
    /// Whether the pattern is found anywhere in the text. `None` when `is_over` said that there is no more time; it is
    /// asked every few kilobytes.
    pub fn is_match(&mut self, text: &str, mut is_over: impl FnMut() -> bool) -> Option<bool> {
        let mut state = self
            .dfa
            .start_state_forward(&mut self.cache, &Input::new(text))
            .ok()?;
        for piece in text.as_bytes().chunks(PIECE) {
            for byte in piece {
                state = self.dfa.next_state(&mut self.cache, state, *byte).ok()?;
                if state.is_tagged() {
                    if state.is_match() {
                        return Some(true);
                    }
                    if state.is_dead() {
                        return Some(false);
                    }
                }
            }
            if piece.len() == PIECE && is_over() {
                return None;
            }
        }
        // A match is known one step later: what follows may decide, as with `$`.
        let end = self.dfa.next_eoi_state(&mut self.cache, state).ok()?;
        Some(end.is_match())
    }
}

/// Lets the classes of Perl and the borders of words mean ASCII, which needs no tables, and refuses what does.
fn use_ascii(ast: &mut Ast) -> Result<(), String> {
    match ast {
        Ast::ClassPerl(class) => {
            *ast = Ast::class_bracketed(ast::ClassBracketed {
                span: class.span,
                negated: false,
                kind: ClassSet::Item(ClassSetItem::Ascii(ascii(class))),
            });
        }
        Ast::Assertion(assertion) if is_border(&assertion.kind) => {
            let span = assertion.span;
            let mut flags = ast::Flags {
                span,
                items: Vec::new(),
            };
            for kind in [
                ast::FlagsItemKind::Negation,
                ast::FlagsItemKind::Flag(ast::Flag::Unicode),
            ] {
                flags.add_item(ast::FlagsItem { span, kind });
            }
            let inner = std::mem::replace(ast, Ast::empty(span));
            *ast = Ast::group(ast::Group {
                span,
                kind: ast::GroupKind::NonCapturing(flags),
                ast: Box::new(inner),
            });
        }
        Ast::ClassBracketed(class) => use_ascii_in(&mut class.kind)?,
        Ast::Repetition(repetition) => use_ascii(&mut repetition.ast)?,
        Ast::Group(group) => use_ascii(&mut group.ast)?,
        Ast::Alternation(either) => either.asts.iter_mut().try_for_each(use_ascii)?,
        Ast::Concat(parts) => parts.asts.iter_mut().try_for_each(use_ascii)?,
        Ast::ClassUnicode(class) => return Err(no_tables(class)),
        Ast::Empty(_) | Ast::Flags(_) | Ast::Literal(_) | Ast::Dot(_) | Ast::Assertion(_) => {}
    }
    Ok(())
}

fn use_ascii_in(class: &mut ClassSet) -> Result<(), String> {
    match class {
        ClassSet::Item(item) => use_ascii_in_item(item),
        ClassSet::BinaryOp(operation) => {
            use_ascii_in(&mut operation.lhs)?;
            use_ascii_in(&mut operation.rhs)
        }
    }
}

fn use_ascii_in_item(item: &mut ClassSetItem) -> Result<(), String> {
    match item {
        ClassSetItem::Perl(class) => *item = ClassSetItem::Ascii(ascii(class)),
        ClassSetItem::Bracketed(class) => use_ascii_in(&mut class.kind)?,
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(use_ascii_in_item)?,
        ClassSetItem::Unicode(class) => return Err(no_tables(class)),
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_) => {}
    }
    Ok(())
}

fn no_tables(class: &ast::ClassUnicode) -> String {
    at(
        "classes of Unicode such as \\p{Greek} are not supported",
        &class.span,
    )
}

fn ascii(class: &ast::ClassPerl) -> ast::ClassAscii {
    ast::ClassAscii {
        span: class.span,
        kind: match class.kind {
            ast::ClassPerlKind::Digit => ast::ClassAsciiKind::Digit,
            ast::ClassPerlKind::Space => ast::ClassAsciiKind::Space,
            ast::ClassPerlKind::Word => ast::ClassAsciiKind::Word,
        },
        negated: class.negated,
    }
}

fn is_border(kind: &ast::AssertionKind) -> bool {
    use ast::AssertionKind::{EndLine, EndText, StartLine, StartText};
    !matches!(kind, StartLine | EndLine | StartText | EndText)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(pattern: &str, text: &str) -> Option<bool> {
        let pattern = Pattern::parse(pattern).expect(pattern);
        pattern.matcher().is_match(text, || false)
    }

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        for text in matching {
            assert_eq!(found(pattern, text), Some(true), "{pattern} in {text:?}");
        }
        for text in other {
            assert_eq!(found(pattern, text), Some(false), "{pattern} in {text:?}");
        }
    }

    #[test]
    fn the_usual_syntax() {
        check("refused", &["connection refused"], &["Refused", ""]);
        check("", &["", "x"], &[]);
        check("^ERROR", &["ERROR: x"], &["an ERROR", "x\nERROR"]);
        check("(?m)^ERROR$", &["x\nERROR\ny"], &["x\nERRORS"]);
        check(
            r"took \d{4,}ms$",
            &["took 1234ms"],
            &["took 999ms", "took 1234ms."],
        );
        check(r"(?i)ÄRGER", &["ärger"], &["arger"]);
        check(r"[äö]+b", &["öäb"], &["ub"]);
        check("a.c", &["aéc"], &["a\nc"]);
        check("(?s)a.c", &["a\nc"], &[]);
        check(r"a|b{2}", &["a", "bb"], &["b"]);
    }

    #[test]
    fn classes_and_borders_of_words_are_ascii() {
        check(r"^\w+$", &["a_1"], &["é", "a b"]);
        check(r"^\W$", &["é", "-"], &["a"]);
        check(r"\bid\b", &["id=1", "éid"], &["ids", "void"]);
        check(r"\Bid", &["void"], &["id"]);
        check(r"^[\d.-]+$", &["1.2-3"], &["１", "a"]);
        check(r"^[^\s\d]+$", &["abc"], &["a c", "a1"]);
        check(r"^[\w--\d]+$", &["abc"], &["a1"]);
        check(r"\x41\u{42}", &["AB"], &["ab"]);
    }

    #[test]
    fn what_is_no_pattern_is_explained() {
        for (pattern, part) in [
            ("(", "unclosed group at character 1"),
            ("a**{", "repetition"),
            (
                r"\p{Greek}",
                "Unicode such as \\p{Greek} are not supported at character 1",
            ),
            (r"[a\P{L}]", "at character 3"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=x)", "look-around"),
            ("x{1000}{1000}", "too large"),
            ("[z-a]", "range"),
        ] {
            let fault = Pattern::parse(pattern).expect_err(pattern);
            assert!(
                fault.contains(part) && !fault.contains('\n'),
                "{pattern}: {fault}"
            );
        }
        let long = "x".repeat(PATTERN_BYTES + 1);
        assert_eq!(
            Pattern::parse(&long).expect_err("long"),
            "1001 bytes; expected at most 1000"
        );
        assert!(Pattern::parse(&"(".repeat(900)).is_err());
        assert!(Pattern::parse(&format!("{}{}", "(".repeat(400), ")".repeat(400))).is_err());
    }

    #[test]
    fn time_can_run_out() {
        let pattern = Pattern::parse("[ab]*b[ab]{12}c").expect("a pattern");
        let mut looks = 0;
        let answer = pattern.matcher().is_match(&"ab".repeat(100_000), || {
            looks += 1;
            looks == 3
        });
        assert_eq!((answer, looks), (None, 3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_a_pattern_or_a_refusal(pattern in any::<String>(), text in any::<String>()) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                prop_assert!(pattern.matcher().is_match(&text, || false).is_some());
            }
        }

        #[test]
        fn plain_text_matches_itself(before in ".{0,5}", text in "[a-z é=/]{1,20}", behind in ".{0,5}") {
            prop_assert_eq!(found(&text, &format!("{before}{text}{behind}")), Some(true));
        }
    }
}
