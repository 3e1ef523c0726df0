//! All rules at work on what is about to be stored.
//!
//! An entry is compared with few of them: levels and containers leave out most rules, and of the rest those whose words or
//! patterns need text that is not in the entry. That text is searched for all rules in one pass, with a DFA that is built
//! as it is needed. Rules are bits of a number.

use std::sync::{Mutex, MutexGuard, PoisonError};

use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind, PatternSet};
use regex_syntax::ParserBuilder;

use super::ansi;
use super::entry::Level;
use super::filter::Filter;
use super::matching::{Matching, SecondPass, Seen};
use super::rule::MOST_RULES;
use super::search::Search;

/// Shorter text is in nearly every entry.
const SHORTEST: usize = 3;
/// States of the search for text, per user.
const CACHE_BYTES: usize = 256 * 1024;
/// Entries that are named as examples of one batch.
pub const NAMED: usize = 5;

/// A rule that is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its number.
    pub id: i64,
    /// Which version of it this is.
    pub revision: i64,
    /// What it looks for.
    pub filter: Filter,
}

/// The rules that are looked at. Made when one of them changes.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Watched>,
    /// For each level the rules that want it.
    by_level: [u64; Level::ALL.len()],
    /// Rules whose text is searched for.
    texts: u64,
    /// Those of them whose text an entry may have in other letters, unless it is ASCII.
    folded: u64,
    search: Option<TextSearch>,
}

/// What one rule found in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The number of the rule.
    pub id: i64,
    /// Which version of it.
    pub revision: i64,
    /// How many entries match.
    pub entries: i64,
    /// The last few of them, by their places in the batch.
    pub newest: Vec<usize>,
    /// Entries that there was no time for.
    pub skipped: i64,
}

/// Finds all texts of all rules in one pass.
#[derive(Debug)]
struct TextSearch {
    dfa: DFA,
    /// The rule of each text.
    bits: Vec<u64>,
    /// The states that were built: making them anew for each batch would cost more than the search.
    cache: Mutex<Cache>,
}

impl RuleSet {
    /// Of rules that are enabled; those beyond [`MOST_RULES`] are left out.
    pub fn new(mut rules: Vec<Watched>) -> Self {
        rules.truncate(MOST_RULES);
        let mut set = Self::default();
        let mut texts = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let bit = 1_u64 << place;
            for (wanted, level) in set.by_level.iter_mut().zip(Level::ALL) {
                if rule
                    .filter
                    .levels
                    .is_none_or(|levels| levels.contains(level))
                {
                    *wanted |= bit;
                }
            }
            let (needed, is_folded) = needed(&rule.filter);
            if !needed.is_empty() {
                set.texts |= bit;
                set.folded |= if is_folded { bit } else { 0 };
                texts.extend(needed.into_iter().map(|text| (text, bit)));
            }
        }
        set.rules = rules;
        set.search = TextSearch::new(&texts);
        if set.search.is_none() {
            set.texts = 0;
        }
        set
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules find among entries, each of which has the place of its container. `is_over` says when there is no
    /// more time for patterns; nothing else needs any to speak of.
    pub fn look<'e>(
        &self,
        containers: &[[&str; 3]],
        entries: impl Iterator<Item = (usize, Seen<'e>)>,
        is_over: &dyn Fn() -> bool,
    ) -> Vec<Hit> {
        if self.is_empty() {
            return Vec::new();
        }
        let wanted: Vec<u64> = containers.iter().map(|names| self.wanted(*names)).collect();
        let mut finder = self.search.as_ref().map(TextSearch::finder);
        let entries: Vec<(usize, Seen<'e>)> = entries.collect();
        // Of each rule the places of the entries it may want: few, unless it wants nearly everything.
        let mut candidates: Vec<Vec<usize>> = vec![Vec::new(); self.rules.len()];
        for (place, (container, seen)) in entries.iter().enumerate() {
            let by_level = self.by_level.get(seen.level as usize).copied().unwrap_or(0);
            let possible = by_level & wanted.get(*container).copied().unwrap_or(0);
            let mut left = possible & !self.texts;
            if possible & self.texts != 0
                && let Some(finder) = &mut finder
            {
                left |= possible & self.texts & self.with_text(finder, &ansi::strip(seen.message));
            }
            while left != 0 {
                let rule = left.trailing_zeros() as usize;
                left &= left - 1;
                if let Some(candidates) = candidates.get_mut(rule) {
                    candidates.push(place);
                }
            }
        }
        let rules = self.rules.iter().zip(candidates);
        rules
            .filter(|(_, candidates)| !candidates.is_empty())
            .filter_map(|(rule, places)| {
                let entries = places.iter().filter_map(|place| {
                    let (_, seen) = entries.get(*place)?;
                    Some((*place, *seen))
                });
                rule.look(entries, is_over)
            })
            .collect()
    }

    /// The rules that want a container.
    fn wanted(&self, [container, project, service]: [&str; 3]) -> u64 {
        let wants = |rule: &Watched| rule.filter.wants(container, project, service);
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| wants(rule))
            .fold(0, |bits, (place, _)| bits | 1 << place)
    }

    /// The rules of which a text is in this one, or may be.
    fn with_text(&self, finder: &mut Finder<'_>, text: &str) -> u64 {
        let found = finder.find(text);
        if text.is_ascii() {
            found
        } else {
            found | self.folded
        }
    }
}

impl Watched {
    /// What this rule finds; `None` when that is nothing.
    fn look<'e>(
        &self,
        candidates: impl Iterator<Item = (usize, Seen<'e>)>,
        is_over: &dyn Fn() -> bool,
    ) -> Option<Hit> {
        let mut matching = Matching::new(&self.filter)?;
        let mut second_pass = SecondPass::new(&self.filter);
        let mut hit = Hit {
            id: self.id,
            revision: self.revision,
            entries: 0,
            newest: Vec::new(),
            skipped: 0,
        };
        for (place, seen) in candidates {
            if !matching.matches(seen) {
                continue;
            }
            let passes = match &mut second_pass {
                None => Some(true),
                Some(_) if is_over() => None,
                Some(pass) => pass.matches(seen.message, is_over),
            };
            match passes {
                Some(true) => {
                    hit.entries += 1;
                    if hit.newest.len() == NAMED {
                        hit.newest.remove(0);
                    }
                    hit.newest.push(place);
                }
                Some(false) => {}
                None => hit.skipped += 1,
            }
        }
        (hit.entries > 0 || hit.skipped > 0).then_some(hit)
    }
}

/// ASCII texts in lower case, one of which every match has, and whether that holds for ASCII entries only. None when no
/// such texts are known.
fn needed(filter: &Filter) -> (Vec<String>, bool) {
    let long = |text: &str| text.len() >= SHORTEST;
    let pattern = filter
        .regex
        .as_ref()
        .and_then(super::pattern::Pattern::literal);
    if let Some(text) = pattern.filter(|text| long(text)) {
        return (vec![text.to_owned()], false);
    }
    let Some(Search::Text(search)) = &filter.search else {
        return (Vec::new(), false);
    };
    let words = search.one_of();
    if !words.iter().all(|word| long(word)) {
        return (Vec::new(), false);
    }
    (words.into_iter().map(str::to_owned).collect(), true)
}

impl TextSearch {
    /// `None` when there is nothing to search for, or no way to.
    fn new(texts: &[(String, u64)]) -> Option<Self> {
        if texts.is_empty() {
            return None;
        }
        let mut parser = ParserBuilder::new();
        parser.unicode(false).utf8(false).case_insensitive(true);
        let literals = texts
            .iter()
            .map(|(text, _)| parser.build().parse(&regex_syntax::escape(text)).ok());
        let literals: Vec<_> = literals.collect::<Option<_>>()?;
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build_many_from_hir(&literals)
            .ok()?;
        let config = Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        Some(Self {
            cache: Mutex::new(dfa.create_cache()),
            dfa,
            bits: texts.iter().map(|(_, bit)| *bit).collect(),
        })
    }

    fn finder(&self) -> Finder<'_> {
        Finder {
            search: self,
            cache: self.cache.lock().unwrap_or_else(PoisonError::into_inner),
            found: PatternSet::new(self.bits.len()),
        }
    }
}

struct Finder<'s> {
    search: &'s TextSearch,
    cache: MutexGuard<'s, Cache>,
    found: PatternSet,
}

impl Finder<'_> {
    /// The rules of which a text is in this one; all of them when that cannot be said.
    fn find(&mut self, text: &str) -> u64 {
        let dfa = &self.search.dfa;
        // Whether there is any is known much faster than which, and mostly there is none.
        let first = dfa.try_search_fwd(&mut self.cache, &Input::new(text).earliest(true));
        if matches!(first, Ok(None)) {
            return 0;
        }
        self.found.clear();
        let done =
            dfa.try_which_overlapping_matches(&mut self.cache, &Input::new(text), &mut self.found);
        if done.is_err() {
            return u64::MAX;
        }
        let bits = self
            .found
            .iter()
            .filter_map(|text| self.search.bits.get(text.as_usize()));
        bits.fold(0, |all, bit| all | bit)
    }
}

#[cfg(test)]
mod tests;
