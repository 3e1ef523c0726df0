//! What the full-text index is asked: the words that people type, and filters as tokens of the column `k`.
//!
//! See [`monlight_shared::search_text`] for what can be typed. Every term is confined to the column `message`, so that
//! no text can reach the tokens of the filter column.

use monlight_shared::search_text::{self, Columns, SearchText};

use super::entry::Level;
use super::filter::Levels;

pub use monlight_shared::search_text::{MOST_WORDS, words};

/// A search text, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// There is no searchable term in it: nothing is found.
    Nothing,
    /// An FTS5 expression over the columns `message` and `k`.
    Expression(String),
}

const COLUMNS: Columns = Columns {
    names: &["message"],
    aliases: &[],
    confined: true,
};

/// Every entry has one of the stream tokens, so this matches all.
const ALL: &str = "k : (\"s0\" OR \"s1\")";

impl Search {
    /// Understands any text.
    pub fn parse(text: &str) -> Self {
        let search = SearchText::parse(text, COLUMNS);
        match search.map(|search| search.expression()) {
            None => Self::Nothing,
            Some(search_text::Expression::Matching(expression)) => Self::Expression(expression),
            Some(search_text::Expression::NotMatching(expression)) => {
                Self::Expression(format!("{ALL} NOT ({expression})"))
            }
        }
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
