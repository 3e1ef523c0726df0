//! What the full-text index is asked: the words that people type, and filters as tokens of the column `k`.
//!
//! See [`monlight_shared::search_text`] for what can be typed. Every term is confined to the column `message`, so that
//! no text can reach the tokens of the filter column. `name:value` finds the words behind each other, and besides that
//! the entries that have such a field, level, stream, container, project or service.

use monlight_shared::search_text::{self, Columns, SearchText};

use super::entry::{Level, Stream};
use super::fields;
use super::filter::{Filter, Levels};

pub use monlight_shared::search_text::{MOST_WORDS, words};

/// A search text, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// There is no searchable term in it: nothing is found.
    Nothing,
    /// What people type.
    Text(SearchText),
    /// FTS5's own language. It has to be valid.
    Raw(String),
}

const COLUMNS: Columns = Columns {
    names: &["message"],
    aliases: &[],
    confined: true,
};

/// Every entry has one of the stream tokens, so this matches all.
pub const ALL: &str = "k : (\"s0\" OR \"s1\")";

impl Search {
    /// Understands any text.
    pub fn parse(text: &str) -> Self {
        SearchText::parse(text, COLUMNS).map_or(Self::Nothing, Self::Text)
    }
}

/// What a name in front of a colon stands for, beside a field of structured lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// `level:error`, `level:>=warning`.
    Levels(Levels),
    /// `stream:stderr`.
    Stream(Stream),
    /// `container:web`, `container:api-*,!api-2`: a [list of names](super::names::is_listed).
    Container,
    /// `project:shop`.
    Project,
    /// `service:api`.
    Service,
}

impl Known {
    /// `None` when it can only be a field.
    pub fn of(name: &str, value: &str) -> Option<Self> {
        match name {
            "level" => Some(Levels::parse(value))
                .filter(|levels| !levels.is_empty())
                .map(Self::Levels),
            "stream" => stream(value).map(Self::Stream),
            "container" => Some(Self::Container),
            "project" => Some(Self::Project),
            "service" => Some(Self::Service),
            _ => None,
        }
    }
}

/// The stream of a name, in any case.
pub fn stream(name: &str) -> Option<Stream> {
    [Stream::Stdout, Stream::Stderr]
        .into_iter()
        .find(|stream| stream.name().eq_ignore_ascii_case(name))
}

/// The containers of a filter by their ids in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Containers {
    /// Only these.
    Only(Vec<i64>),
    /// All but these.
    AllBut(Vec<i64>),
}

/// What the index is asked for a filter; `None` when there is nothing to ask: all entries, as far as it is concerned.
///
/// `found` names the ids of the containers for `container:web`, `project:shop` and `service:api`.
pub fn expression(
    filter: &Filter,
    containers: Option<&Containers>,
    found: impl Fn(&Known, &str) -> Vec<i64>,
) -> Option<String> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    match &filter.search {
        None => {}
        Some(Search::Nothing) => wanted.push(any_token(["none"])),
        Some(Search::Raw(raw)) => wanted.push(confined(raw)),
        Some(Search::Text(text)) => {
            match text.expression_with(|name, value| Some(field(name, value, &found))) {
                search_text::Expression::Matching(expression) => {
                    wanted.push(format!("({expression})"));
                }
                search_text::Expression::NotMatching(expression) => unwanted.push(expression),
            }
        }
    }
    wanted.extend(filter.levels.and_then(level_tokens));
    wanted.extend(
        filter
            .stream
            .map(|stream| tokens_of("s", [stream.code()].into_iter())),
    );
    match containers {
        None => {}
        Some(Containers::Only(ids)) => wanted.push(tokens_of("c", ids.iter().copied())),
        Some(Containers::AllBut(ids)) => unwanted.push(tokens_of("c", ids.iter().copied())),
    }
    for (is_wanted, words) in filter
        .fields
        .iter()
        .filter_map(super::field_test::FieldTest::words)
    {
        if is_wanted {
            wanted.push(any_token(words));
        } else {
            unwanted.push(any_token(words));
        }
    }
    if wanted.is_empty() && unwanted.is_empty() {
        return None;
    }
    if wanted.is_empty() {
        wanted.push(ALL.to_owned());
    }
    let wanted = wanted.join(" AND ");
    Some(if unwanted.is_empty() {
        wanted
    } else {
        format!("({wanted}) NOT ({})", unwanted.join(" OR "))
    })
}

/// An expression of FTS5's own language that sees the messages only.
pub fn confined(raw: &str) -> String {
    format!("({{message}} : ({raw}))")
}

/// The entries of one level among those of an expression.
pub fn of_level(expression: Option<&str>, level: Level) -> String {
    let token = tokens_of("l", [level.code()].into_iter());
    match expression {
        None => token,
        Some(expression) => format!("({expression}) AND {token}"),
    }
}

/// `None` when all levels are wanted.
fn level_tokens(levels: Levels) -> Option<String> {
    let is_all = levels.iter().count() == Level::ALL.len();
    (!is_all).then(|| tokens_of("l", levels.iter().map(Level::code)))
}

fn field(name: &str, value: &str, found: &impl Fn(&Known, &str) -> Vec<i64>) -> String {
    let own = any_token([fields::token(name, value).as_str()]);
    let also = Known::of(name, value).map(|known| match known {
        Known::Levels(levels) => tokens_of("l", levels.iter().map(Level::code)),
        Known::Stream(stream) => tokens_of("s", [stream.code()].into_iter()),
        Known::Container | Known::Project | Known::Service => {
            tokens_of("c", found(&known, value).into_iter())
        }
    });
    match also {
        None => own,
        Some(also) => format!("({own} OR {also})"),
    }
}

fn tokens_of(kind: &str, codes: impl Iterator<Item = i64>) -> String {
    let mut tokens: Vec<String> = codes.map(|code| format!("{kind}{code}")).collect();
    if tokens.is_empty() {
        // A token that no entry has.
        tokens.push(format!("{kind}none"));
    }
    any_token(tokens.iter().map(String::as_str))
}

fn any_token<'t>(tokens: impl IntoIterator<Item = &'t str>) -> String {
    let tokens: Vec<String> = tokens
        .into_iter()
        .map(|token| format!("\"{token}\""))
        .collect();
    format!("k : ({})", tokens.join(" OR "))
}
