//! Which groups somebody wants to see, or to change.

use monlight_shared::search_text::{Columns, MOST_WORDS, SearchText, words};

use super::facet::{FacetId, FacetKind};
use super::group::{Source, State};
use super::session::SessionId;
use super::time;
use super::user::UserId;

/// What a search looks at.
pub const SEARCHED: Columns = Columns {
    names: &["exception_type", "message", "traceback"],
    aliases: &[("type", 0)],
    confined: false,
};
/// A shorter beginning of a word would be that of nearly every word, and cost as much. In bytes: one letter of a script
/// with many of them is enough.
const SHORTEST_PREFIX: usize = 3;
/// How many facets one list can ask for.
const MOST_FACETS: usize = 16;

/// All that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Exact name.
    pub project: Option<String>,
    /// `None`: in any state.
    pub state: Option<State>,
    /// See [`Source`].
    pub source: Option<Source>,
    /// With a report of this session.
    pub session: Option<SessionId>,
    /// With a report of this user.
    pub user: Option<UserId>,
    /// With reports of each of these.
    pub facets: Vec<FacetId>,
    /// Last seen at or after this unix time in milliseconds.
    pub since_ms: Option<i64>,
    /// Last seen at or before this unix time in milliseconds.
    pub until_ms: Option<i64>,
    /// With these words in its texts.
    pub search: Option<Search>,
}

/// Words to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// There is no searchable term in the text: nothing is found.
    Nothing,
    /// See [`SearchText`].
    For(SearchText),
}

/// A parameter that says nothing sensible; the text names it and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadParameter(String);

impl BadParameter {
    /// `name`: `value` is not `expected`.
    pub fn new(name: &str, value: &str, expected: &str) -> Self {
        let shown: String = value.chars().take(64).collect();
        Self(format!(
            "{name}: {shown:?} is not understood; expected {expected}"
        ))
    }

    /// `name` says nothing without `other`.
    pub fn alone(name: &str, other: &str) -> Self {
        Self(format!("{name}: expected {other} beside it"))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            project: None,
            state: Some(State::Open),
            source: None,
            session: None,
            user: None,
            facets: Vec::new(),
            since_ms: None,
            until_ms: None,
            search: None,
        }
    }
}

impl Filter {
    /// Reads a filter in which every parameter must make sense: whoever changes groups by a filter must not change more
    /// of them because of a typing error. Names that stand for the page of a list are refused, too.
    pub fn strict<'q>(
        pairs: impl IntoIterator<Item = (&'q str, &'q str)>,
        now_ms: i64,
    ) -> Result<Self, BadParameter> {
        let mut reader = FilterReader::new(now_ms);
        for (name, value) in pairs {
            let taken = reader.take(name, value)?;
            // Forms send empty parameters along with a list; here one would leave all groups.
            if taken == Taken::Read && value.trim().is_empty() {
                return Err(BadParameter::new(name, value, "a value"));
            }
            match taken {
                Taken::Read => {}
                Taken::Unreadable(expected) => {
                    return Err(BadParameter::new(name, value, expected));
                }
                Taken::NoFilter => {
                    let expected = "project, state, resolved, source, session_id, user, level, release, environment, \
                                    server_name, tag, since, until or search";
                    return Err(BadParameter::new("filter", name, expected));
                }
            }
        }
        Ok(reader.finish())
    }
}

/// What became of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is part of the filter.
    Read,
    /// The contract wants it to change nothing; the text says what was expected.
    Unreadable(&'static str),
    /// It is no part of a filter.
    NoFilter,
}

/// Reads a filter from decoded parameters, of which the last readable one of a name counts.
#[derive(Debug)]
pub(super) struct FilterReader {
    filter: Filter,
    /// Whether `state` was given, which wins over `resolved`.
    has_state: bool,
    /// The facets by kind; only tags can be asked for together.
    facets: Vec<(FacetKind, FacetId)>,
    now_ms: i64,
}

impl FilterReader {
    pub(super) fn new(now_ms: i64) -> Self {
        Self {
            filter: Filter::default(),
            has_state: false,
            facets: Vec::new(),
            now_ms,
        }
    }

    pub(super) fn finish(self) -> Filter {
        Filter {
            facets: self.facets.into_iter().map(|(_, id)| id).collect(),
            ..self.filter
        }
    }

    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<Taken, BadParameter> {
        let filter = &mut self.filter;
        match name {
            "resolved" => {
                if !self.has_state {
                    filter.state = match value {
                        "true" | "1" => Some(State::Resolved),
                        "all" => None,
                        _ => Some(State::Open),
                    };
                }
                if !matches!(value, "true" | "1" | "false" | "0" | "all") {
                    return Ok(Taken::Unreadable("true, false or all"));
                }
            }
            "source" => match Source::ALL.iter().find(|source| source.name() == value) {
                Some(source) => filter.source = Some(*source),
                None => return Ok(Taken::Unreadable("browser or server")),
            },
            "since" => match time::span(value, self.now_ms) {
                Some((first, _)) => filter.since_ms = Some(first),
                None => return Ok(Taken::Unreadable(time::EXPECTED)),
            },
            "project" | "session_id" if value.is_empty() => {
                return Ok(Taken::Unreadable("a name"));
            }
            "project" => filter.project = Some(value.to_owned()),
            "session_id" => filter.session = Some(SessionId::of(value)),
            _ => return self.take_new(name, value),
        }
        Ok(Taken::Read)
    }

    /// Parameters that the original does not have. Forms send the empty ones along.
    fn take_new(&mut self, name: &str, value: &str) -> Result<Taken, BadParameter> {
        let filter = &mut self.filter;
        let kind = FacetKind::ALL.iter().find(|kind| kind.name() == name);
        match (name, kind) {
            ("state" | "until" | "user" | "search" | "q", _) | (_, Some(_))
                if value.trim().is_empty() => {}
            ("state", _) => {
                filter.state = state(value)?;
                self.has_state = true;
            }
            ("until", _) => {
                let (_, last) = time::span(value, self.now_ms)
                    .ok_or_else(|| BadParameter::new(name, value, time::EXPECTED))?;
                filter.until_ms = Some(last);
            }
            ("user", _) => filter.user = Some(UserId::of(value)),
            ("search" | "q", _) => filter.search = Some(search(name, value)?),
            (_, Some(kind)) => self.take_facet(*kind, value)?,
            _ => return Ok(Taken::NoFilter),
        }
        Ok(Taken::Read)
    }

    fn take_facet(&mut self, kind: FacetKind, value: &str) -> Result<(), BadParameter> {
        let id = FacetId::of(kind, value);
        if kind == FacetKind::Tag {
            let named = value
                .split_once(':')
                .is_some_and(|(key, _)| !key.is_empty());
            if !named {
                return Err(BadParameter::new(kind.name(), value, "key:value"));
            }
        } else {
            self.facets.retain(|(known, _)| *known != kind);
        }
        if !self.facets.contains(&(kind, id)) {
            self.facets.push((kind, id));
        }
        if self.facets.len() > MOST_FACETS {
            let many = format!("at most {MOST_FACETS} of these filters");
            return Err(BadParameter::new(kind.name(), value, &many));
        }
        Ok(())
    }
}

fn state(value: &str) -> Result<Option<State>, BadParameter> {
    if value == "all" {
        return Ok(None);
    }
    let known = State::ALL.iter().find(|state| state.name() == value);
    known
        .copied()
        .map(Some)
        .ok_or_else(|| BadParameter::new("state", value, "open, resolved, ignored or all"))
}

fn search(name: &str, text: &str) -> Result<Search, BadParameter> {
    let count = words(text);
    if count > MOST_WORDS {
        return Err(BadParameter(format!(
            "{name}: {count} words; expected at most {MOST_WORDS}"
        )));
    }
    let Some(search) = SearchText::parse(text, SEARCHED) else {
        return Ok(Search::Nothing);
    };
    if let Some(short) = search
        .prefixes()
        .find(|start| start.len() < SHORTEST_PREFIX)
    {
        return Err(BadParameter(format!(
            "{name}: \"{short}*\" would begin too many words; expected at least {SHORTEST_PREFIX} letters before the *"
        )));
    }
    Ok(Search::For(search))
}

#[cfg(test)]
mod tests;
