//! From what people type to an expression that FTS5 always understands, and to an answer whether a text matches it.
//!
//! ```text
//! connection refused        both words, in any order
//! "connection refused"      the phrase
//! conn*                     words that begin so
//! timeout -healthcheck      the first word without the second; NOT works too
//! timeout OR refused db     (timeout or refused) and db
//! user@example.com          the phrase of its words; special characters are no operators
//! message:refused           only in that column
//! status:500, a:"b c"       a field that is no column is a word in front of the others
//! ```
//!
//! `AND`, `OR` and `NOT` are operators only where they have something to work on; elsewhere they are words like all
//! others. Text without any letter or digit finds nothing. A service that knows fields of its own says what they find
//! beside their words: [`SearchText::expression_with`].

mod unicode61;

use unicode61::Tokens;

/// The most words of one search. Each costs memory in every index while it looks: some thousand would cost hundreds of
/// megabytes.
pub const MOST_WORDS: usize = 64;

/// How many words the index would look for, operators included.
pub fn words(text: &str) -> usize {
    Tokens::of(text).len()
}

/// What is searched: columns of an FTS5 table with the tokenizer `unicode61`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Their names in the index, which people may type as fields.
    pub names: &'static [&'static str],
    /// Further names that people may type, and the place of the column each of them means.
    pub aliases: &'static [(&'static str, usize)],
    /// Whether the index has other columns too, which no text may reach.
    pub confined: bool,
}

impl Columns {
    /// The column of a field.
    fn place(&self, field: &str) -> Option<usize> {
        let alias = self.aliases.iter().find(|(alias, _)| *alias == field);
        alias
            .map(|(_, place)| *place)
            .or_else(|| self.names.iter().position(|name| *name == field))
    }

    /// What stands in front of a term.
    fn filter(&self, place: Option<usize>) -> String {
        match place.and_then(|place| self.names.get(place)) {
            Some(name) => format!("{name} : "),
            None if self.confined => format!("{{{}}} : ", self.names.join(" ")),
            None => String::new(),
        }
    }
}

/// A search text, understood.
#[derive(Clone, Debug)]
pub struct SearchText {
    /// One term of each of these must match.
    groups: Vec<Vec<Term>>,
    columns: Columns,
}

/// What FTS5 is asked. It has no way to ask for all rows that do not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Wanted are the rows that match.
    Matching(String),
    /// Wanted are all rows but those that match.
    NotMatching(String),
}

#[derive(Clone, Debug)]
struct Term {
    /// As typed, for FTS5.
    text: String,
    /// The same for texts that no index holds.
    tokens: Tokens,
    column: Option<usize>,
    /// The name and the value of a field that is no column.
    field: Option<(String, String)>,
    prefix: bool,
    excluded: bool,
}

impl PartialEq for SearchText {
    fn eq(&self, other: &Self) -> bool {
        self.columns == other.columns && self.expression() == other.expression()
    }
}

impl Eq for SearchText {}

impl SearchText {
    /// Understands any text; `None` when there is no searchable term in it.
    pub fn parse(text: &str, columns: Columns) -> Option<Self> {
        let groups = group(tokens(text, &columns));
        (!groups.is_empty()).then_some(Self { groups, columns })
    }

    /// For the index.
    pub fn expression(&self) -> Expression {
        self.expression_with(|_, _| None)
    }

    /// For an index that knows fields: `field` answers for a name and a value what else finds them, beside their words.
    pub fn expression_with(&self, field: impl Fn(&str, &str) -> Option<String>) -> Expression {
        let groups = self.groups.iter().map(|terms| {
            let terms = terms
                .iter()
                .map(|term| term.expression(&self.columns, &field));
            Expression::any(terms.collect())
        });
        Expression::all(groups.collect())
    }

    /// Words in lower case, one of which stands in every ASCII text that matches; none when no such words are known. Of
    /// several sets the one whose shortest word is longest.
    pub fn one_of(&self) -> Vec<&str> {
        let plain = |term: &Term| !term.excluded && term.field.is_none();
        let mut best: Vec<&str> = Vec::new();
        let shortest = |words: &[&str]| words.iter().map(|word| word.len()).min().unwrap_or(0);
        for terms in &self.groups {
            if !terms.iter().all(plain) {
                continue;
            }
            let words: Option<Vec<&str>> = terms.iter().map(Term::longest_ascii).collect();
            if let Some(words) = words
                && shortest(&words) > shortest(&best)
            {
                best = words;
            }
        }
        best
    }

    /// The beginnings of words that are searched, with their case and accents removed.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let terms = self.groups.iter().flatten();
        terms
            .filter(|term| term.prefix)
            .filter_map(|term| term.tokens.iter().next_back())
    }
}

/// Matches one text after the other.
#[derive(Debug)]
pub struct Matcher<'s> {
    search: &'s SearchText,
    tokens: Vec<Tokens>,
}

impl<'s> Matcher<'s> {
    /// For what is searched.
    pub fn new(search: &'s SearchText) -> Self {
        let tokens = search.columns.names.iter().map(|_| Tokens::default());
        Self {
            search,
            tokens: tokens.collect(),
        }
    }

    /// Whether the index would find a row with these texts, which are in the order of the columns.
    pub fn matches(&mut self, texts: &[&str]) -> bool {
        self.matches_with(texts, |_, _| false)
    }

    /// The same where fields are known: `field` says whether the row has one of this name and value.
    pub fn matches_with(&mut self, texts: &[&str], field: impl Fn(&str, &str) -> bool) -> bool {
        for (tokens, text) in self.tokens.iter_mut().zip(texts) {
            tokens.fill(text);
        }
        let found = |term: &Term| {
            let mut columns = self.tokens.iter().enumerate();
            let found = columns.any(|(place, tokens)| {
                term.column.is_none_or(|column| column == place)
                    && tokens.contain(&term.tokens, term.prefix)
            });
            let has_field = |(name, value): &(String, String)| field(name, value);
            (found || term.field.as_ref().is_some_and(has_field)) != term.excluded
        };
        self.search
            .groups
            .iter()
            .all(|terms| terms.iter().any(found))
    }
}

impl Term {
    fn longest_ascii(&self) -> Option<&str> {
        let words = self.tokens.iter().filter(|word| word.is_ascii());
        words.max_by_key(|word| word.len())
    }

    /// Of whole words, in any column.
    fn new(text: &str, excluded: bool) -> Self {
        Self {
            text: text.to_owned(),
            tokens: Tokens::of(text),
            column: None,
            field: None,
            prefix: false,
            excluded,
        }
    }

    fn expression(
        &self,
        columns: &Columns,
        field: &impl Fn(&str, &str) -> Option<String>,
    ) -> Expression {
        // A quote would end the string, a NUL the whole expression.
        let text = self.text.replace(['\0', '"'], " ");
        let star = if self.prefix { " *" } else { "" };
        let mut expression = format!("{}\"{text}\"{star}", columns.filter(self.column));
        let also = self.field.as_ref();
        if let Some(also) = also.and_then(|(name, value)| field(name, value)) {
            expression = format!("({expression} OR {also})");
        }
        if self.excluded {
            Expression::NotMatching(expression)
        } else {
            Expression::Matching(expression)
        }
    }
}

impl Expression {
    /// All of these at once; there is one at least.
    fn all(parts: Vec<Self>) -> Self {
        let (wanted, unwanted) = Self::sorted(parts);
        if wanted.is_empty() {
            return Self::NotMatching(joined(&unwanted, "OR"));
        }
        let wanted = joined(&wanted, "AND");
        Self::Matching(if unwanted.is_empty() {
            wanted
        } else {
            format!("({wanted} NOT {})", joined(&unwanted, "OR"))
        })
    }

    /// At least one of these; there is one at least.
    fn any(parts: Vec<Self>) -> Self {
        let (wanted, unwanted) = Self::sorted(parts);
        if unwanted.is_empty() {
            return Self::Matching(joined(&wanted, "OR"));
        }
        let unwanted = joined(&unwanted, "AND");
        Self::NotMatching(if wanted.is_empty() {
            unwanted
        } else {
            format!("({unwanted} NOT {})", joined(&wanted, "OR"))
        })
    }

    fn sorted(parts: Vec<Self>) -> (Vec<String>, Vec<String>) {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Self::Matching(expression) => wanted.push(expression),
                Self::NotMatching(expression) => unwanted.push(expression),
            }
        }
        (wanted, unwanted)
    }
}

fn joined(parts: &[String], operator: &str) -> String {
    match parts {
        [only] => only.clone(),
        parts => format!("({})", parts.join(&format!(" {operator} "))),
    }
}

#[derive(Debug)]
enum Token<'t> {
    Term {
        text: &'t str,
        column: Option<usize>,
        field: Option<(&'t str, &'t str)>,
        prefix: bool,
        excluded: bool,
    },
    /// `AND`, `OR` or `NOT`.
    Operator(&'t str),
}

fn tokens<'t>(text: &'t str, columns: &Columns) -> Vec<Token<'t>> {
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
            Some(quoted) => phrase(quoted, None, excluded),
            None => word(body, excluded, columns),
        };
        tokens.push(token);
        rest = rest.trim_start();
    }
    tokens
}

/// A phrase up to the next quote or the end; a star right behind it makes its last word a prefix.
fn phrase(quoted: &str, column: Option<usize>, excluded: bool) -> (Token<'_>, &str) {
    let (text, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
    let (prefix, rest) = match rest.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let term = Token::Term {
        text,
        column,
        field: None,
        prefix,
        excluded,
    };
    (term, rest)
}

fn word<'t>(body: &'t str, excluded: bool, columns: &Columns) -> (Token<'t>, &'t str) {
    let end = body
        .find(|letter: char| letter == '"' || letter.is_whitespace())
        .unwrap_or(body.len());
    let (whole, rest) = body.split_at(end);
    let field = whole.split_once(':');
    let field = field.and_then(|(field, text)| Some((columns.place(field)?, text)));
    let (column, text) = field.map_or((None, whole), |(column, text)| (Some(column), text));
    if text.is_empty()
        && let Some(quoted) = rest.strip_prefix('"')
    {
        // `message:"a phrase"`.
        return phrase(quoted, column, excluded);
    }
    let name = whole.split_once(':').filter(|(name, _)| is_name(name));
    if let (Some((name, "")), Some(quoted)) = (name, rest.strip_prefix('"')) {
        return phrase_of_field(body, name, quoted, excluded);
    }
    if !excluded && matches!(whole, "AND" | "OR" | "NOT") {
        return (Token::Operator(whole), rest);
    }
    let bare = text.trim_end_matches('*');
    let prefix = bare.len() < text.len();
    let is_field = column.is_none();
    let term = Token::Term {
        text: bare,
        column,
        field: name.filter(|(_, value)| is_field && !value.is_empty()),
        prefix,
        excluded,
    };
    (term, rest)
}

/// `name:"a value"`, of which `quoted` is what stands behind the first quote.
fn phrase_of_field<'t>(
    body: &'t str,
    name: &'t str,
    quoted: &'t str,
    excluded: bool,
) -> (Token<'t>, &'t str) {
    let (token, rest) = phrase(quoted, None, excluded);
    let Token::Term {
        text: value,
        prefix,
        ..
    } = token
    else {
        return (token, rest);
    };
    let end = body.len() - quoted.len() + value.len();
    let term = Token::Term {
        text: body.get(..end).unwrap_or(value),
        column: None,
        field: (!prefix && !value.is_empty()).then_some((name, value)),
        prefix,
        excluded,
    };
    (term, rest)
}

/// Whether it can be the name of a field, as opposed to a time, a path or an address.
fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_alphabetic() || "_@".contains(letter))
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || "_@.-".contains(letter))
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
            Token::Operator("NOT") if followed => {
                negated = true;
                continue;
            }
            Token::Operator("OR") if followed && preceded => {
                joined_by_or = true;
                continue;
            }
            Token::Operator("AND") if followed && preceded => continue,
            Token::Operator(text) => Term::new(text, negated),
            Token::Term {
                text,
                column,
                field,
                prefix,
                excluded,
            } => Term {
                column,
                field: field.map(|(name, value)| (name.to_owned(), value.to_owned())),
                prefix,
                ..Term::new(text, excluded || negated)
            },
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
        Token::Operator(_) => true,
        Token::Term { text, .. } => text.chars().any(unicode61::is_letter),
    }
}

#[cfg(test)]
mod tests;
