//! From what people type to an expression that FTS5 always understands.
//!
//! ```text
//! connection refused        both words, in any order
//! "connection refused"      the phrase
//! conn*                     words that begin so
//! timeout -healthcheck      the first word without the second; NOT works too
//! timeout OR refused db     (timeout or refused) and db
//! user@example.com          the phrase of its words; special characters are no operators
//! message:refused           as without the field
//! ```
//!
//! `AND`, `OR` and `NOT` are operators only where they have something to work on; elsewhere they are words like all
//! others. Text without any letter or digit finds nothing. Every term is confined to the column `message`, so that no
//! text can reach the tokens of the filter column `k`.

use super::entry::Level;
use super::filter::Levels;

/// A search text, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// There is no searchable term in it: nothing is found.
    Nothing,
    /// An FTS5 expression over the columns `message` and `k`.
    Expression(String),
}

/// The most words of one search. Each costs memory in every slot of the index while it looks: some thousand would cost
/// hundreds of megabytes.
pub const MOST_WORDS: usize = 64;

/// How many words the index would look for, operators included.
pub fn words(text: &str) -> usize {
    text.split(|letter| !is_token_letter(letter))
        .filter(|word| !word.is_empty())
        .count()
}

/// Every entry has one of the stream tokens, so this matches all.
const ALL: &str = "k : (\"s0\" OR \"s1\")";

#[derive(Debug)]
enum Token<'t> {
    Term {
        text: &'t str,
        prefix: bool,
        excluded: bool,
    },
    Word(&'t str),
}

#[derive(Debug)]
struct Term {
    expression: String,
    excluded: bool,
}

impl Search {
    /// Understands any text.
    pub fn parse(text: &str) -> Self {
        let groups = group(tokens(text));
        let (mut required, mut excluded) = (Vec::new(), Vec::new());
        for mut terms in groups {
            match terms.pop() {
                Some(only) if terms.is_empty() && only.excluded => excluded.push(only.expression),
                Some(only) if terms.is_empty() => required.push(only.expression),
                Some(last) => {
                    terms.push(last);
                    required.push(any_of(&terms));
                }
                None => {}
            }
        }
        if required.is_empty() && excluded.is_empty() {
            return Self::Nothing;
        }
        if required.is_empty() {
            required.push(ALL.to_owned());
        }
        let mut expression = required.join(" AND ");
        if !excluded.is_empty() {
            expression = format!("({expression}) NOT ({})", excluded.join(" OR "));
        }
        Self::Expression(expression)
    }
}

/// The expression for a text search and filters by token; `None` when there is nothing to ask the index for.
pub fn expression(
    search: Option<&str>,
    levels: Option<Levels>,
    containers: Option<&[i64]>,
) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(search.map(|search| format!("({search})")));
    let all_levels = |levels: &Levels| levels.iter().count() == Level::ALL.len();
    parts.extend(
        levels
            .filter(|levels| !all_levels(levels))
            .map(|levels| tokens_of("l", levels.iter().map(Level::code))),
    );
    parts.extend(containers.map(|ids| tokens_of("c", ids.iter().copied())));
    (!parts.is_empty()).then(|| parts.join(" AND "))
}

fn tokens_of(kind: &str, codes: impl Iterator<Item = i64>) -> String {
    let tokens: Vec<String> = codes.map(|code| format!("\"{kind}{code}\"")).collect();
    if tokens.is_empty() {
        // A token that no entry has.
        return format!("k : (\"{kind}none\")");
    }
    format!("k : ({})", tokens.join(" OR "))
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (excluded, body) = match rest.strip_prefix('-') {
            Some(body)
                if !body.starts_with(|letter: char| letter == '-' || letter.is_whitespace()) =>
            {
                (true, body)
            }
            _ => (false, rest),
        };
        let token;
        (token, rest) = match body.strip_prefix('"') {
            Some(quoted) => phrase(quoted, excluded),
            None => word(body, excluded),
        };
        tokens.extend(token);
        rest = rest.trim_start();
    }
    tokens
}

/// A phrase up to the next quote or the end; a star right behind it makes its last word a prefix.
fn phrase(quoted: &str, excluded: bool) -> (Option<Token<'_>>, &str) {
    let (text, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
    let (prefix, rest) = match rest.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let term = Token::Term {
        text,
        prefix,
        excluded,
    };
    (Some(term), rest)
}

fn word(body: &str, excluded: bool) -> (Option<Token<'_>>, &str) {
    let end = body
        .find(|letter: char| letter == '"' || letter.is_whitespace())
        .unwrap_or(body.len());
    let (whole, rest) = body.split_at(end);
    let text = whole.strip_prefix("message:").unwrap_or(whole);
    if text.is_empty() && rest.starts_with('"') {
        // `message:"a phrase"`.
        let (token, rest) = phrase(rest.get(1..).unwrap_or_default(), excluded);
        return (token, rest);
    }
    if !excluded && matches!(whole, "AND" | "OR" | "NOT") {
        return (Some(Token::Word(whole)), rest);
    }
    let bare = text.trim_end_matches('*');
    let term = Token::Term {
        text: bare,
        prefix: bare.len() < text.len(),
        excluded,
    };
    (Some(term), rest)
}

/// Terms that `OR` connects stand in one group; all groups must match.
fn group(tokens: Vec<Token<'_>>) -> Vec<Vec<Term>> {
    let mut groups: Vec<Vec<Term>> = Vec::new();
    let mut tokens = tokens.into_iter().filter(searchable).peekable();
    let mut joined_by_or = false;
    let mut negated = false;
    while let Some(token) = tokens.next() {
        let followed = tokens.peek().is_some();
        let preceded = !groups.is_empty();
        let term = match token {
            Token::Word("NOT") if followed => {
                negated = true;
                continue;
            }
            Token::Word("OR") if followed && preceded => {
                joined_by_or = true;
                continue;
            }
            Token::Word("AND") if followed && preceded => continue,
            Token::Word(text) => term(text, false, negated),
            Token::Term {
                text,
                prefix,
                excluded,
            } => term(text, prefix, excluded || negated),
        };
        match groups.last_mut() {
            Some(group) if joined_by_or => group.push(term),
            _ => groups.push(vec![term]),
        }
        (joined_by_or, negated) = (false, false);
    }
    groups
}

fn searchable(token: &Token<'_>) -> bool {
    match token {
        Token::Word(_) => true,
        Token::Term { text, .. } => text.chars().any(is_token_letter),
    }
}

/// What the tokenizer unicode61 keeps: letters, digits, and private use.
fn is_token_letter(letter: char) -> bool {
    letter.is_alphanumeric()
        || matches!(letter, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}')
}

fn term(text: &str, prefix: bool, excluded: bool) -> Term {
    // A quote cannot be in it; a NUL would end the expression.
    let text = text.replace('\0', " ");
    let star = if prefix { " *" } else { "" };
    Term {
        expression: format!("message : \"{text}\"{star}"),
        excluded,
    }
}

fn any_of(terms: &[Term]) -> String {
    let parts: Vec<String> = terms
        .iter()
        .map(|term| {
            if term.excluded {
                format!("({ALL} NOT {})", term.expression)
            } else {
                term.expression.clone()
            }
        })
        .collect();
    format!("({})", parts.join(" OR "))
}
