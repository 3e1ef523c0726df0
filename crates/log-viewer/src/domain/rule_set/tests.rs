use monlight_shared::http::Query;
use proptest::prelude::*;

use super::*;
use crate::domain::entry::Stream;
use crate::domain::{fields, query_filter};

fn filter(query: &str) -> Filter {
    let query = Query::parse(query);
    let pairs: Vec<(&str, &str)> = query.pairs().collect();
    query_filter::parse(&pairs).expect("a filter")
}

fn set(queries: &[&str]) -> RuleSet {
    let rules = queries.iter().zip(1..).map(|(query, id)| Watched {
        id,
        revision: 1,
        filter: filter(query),
    });
    RuleSet::new(rules.collect())
}

fn seen<'e>(
    container: &'e str,
    level: Level,
    message: &'e str,
    fields: Option<&'e str>,
) -> Seen<'e> {
    Seen {
        container,
        project: "shop",
        service: "",
        stream: Stream::Stdout,
        level,
        message,
        fields,
    }
}

/// The rules that find a message of a container, with how many entries.
fn found(set: &RuleSet, entries: &[(usize, Level, &str)]) -> Vec<(i64, i64, Vec<usize>)> {
    let containers = [["web", "shop", ""], ["db", "shop", ""]];
    let tokens: Vec<_> = entries
        .iter()
        .map(|(_, _, message)| fields::tokens(message))
        .collect();
    let seen = entries
        .iter()
        .zip(&tokens)
        .map(|((container, level, message), tokens)| {
            (
                *container,
                seen(
                    containers[*container][0],
                    *level,
                    message,
                    tokens.as_deref(),
                ),
            )
        });
    let hits = set.look(&containers, seen, &|| false).into_iter();
    hits.map(|hit| (hit.id, hit.entries, hit.newest)).collect()
}

#[track_caller]
fn check(query: &str, message: &str, expected: bool) {
    let is_found = !found(&set(&[query]), &[(0, Level::Info, message)]).is_empty();
    assert_eq!(is_found, expected, "{query}: {message}");
}

#[test]
fn a_rule_finds_what_a_list_would() {
    check("search=timeout", "request TIMEOUT after 3 s", true);
    check("search=timeout", "timeouts", false);
    check("search=time*", "timeouts", true);
    check("search=timeout+-health", "timeout of health", false);
    check("search=timeout+OR+refused", "connection refused", true);
    check(
        "search=%22connection+refused%22",
        "connection was refused",
        false,
    );
    check("search=uber", "über", true);
    check("search=%C3%BCber", "uber", true);
    check("search=timeout", "time\u{1b}[31mout", true);
    check("search=status:500", "status=500", true);
    check("regex=took+%5B0-9%5D%7B4%7D+ms", "it took 1234 ms", true);
    check("regex=took+%5B0-9%5D%7B4%7D+ms", "it took 12 ms", false);
    check("regex=(?i)TOOK", "it Took", true);
    check("regex=to", "it took", true);
    check("field.status=500", "status=500 x=1", true);
    check("field.status=5*", "status=503", true);
    check("field.ms=%3E=250", "ms=249", false);
    check("level=%3E=error", "x", false);
    check("container=db", "x", false);
    check("container=w*&project=shop", "x", true);
    check("", "anything", true);
    check("stream=stderr", "x", false);
}

#[test]
fn entries_are_counted_for_each_rule() {
    let set = set(&[
        "level=error",
        "search=timeout",
        "container=db",
        "search=nothing",
    ]);
    let entries = [
        (0, Level::Error, "timeout"),
        (0, Level::Info, "timeout"),
        (1, Level::Info, "slow"),
        (1, Level::Error, "lost"),
    ];
    assert_eq!(
        found(&set, &entries),
        [(1, 2, vec![0, 3]), (2, 2, vec![0, 1]), (3, 2, vec![2, 3])]
    );
    let many = [(0, Level::Error, "x"); 9];
    assert_eq!(found(&set, &many), [(1, 9, vec![4, 5, 6, 7, 8])]);
}

#[test]
fn without_time_patterns_are_left_out_and_counted() {
    let set = set(&["regex=a", "level=info"]);
    let entries = [(0, seen("web", Level::Info, "a", None)); 3];
    let hits = set.look(&[["web", "", ""]], entries.into_iter(), &|| true);
    let all: Vec<_> = hits
        .iter()
        .map(|hit| (hit.id, hit.entries, hit.skipped))
        .collect();
    assert_eq!(all, [(1, 0, 3), (2, 3, 0)]);
}

#[test]
fn there_are_no_more_than_the_most() {
    let queries = vec!["level=info"; MOST_RULES + 9];
    let set = set(&queries);
    assert_eq!(set.len(), MOST_RULES);
    assert_eq!(found(&set, &[(0, Level::Info, "x")]).len(), MOST_RULES);
}

proptest! {
    /// The short cut leaves out nothing that the filter itself would find.
    #[test]
    fn what_is_left_out_does_not_match(
        queries in proptest::collection::vec(
            prop_oneof![
                Just("search=time"), Just("search=tim*"), Just("search=out+time"), Just("search=out+OR+%C3%BCber"),
                Just("search=-time"), Just("search=a:time"), Just("regex=(?i)time+%5Bx%5D?out"), Just("regex=(time)?out"),
                Just("regex=%5Et.*t$"), Just("search=time&level=error"), Just("container=db&search=out"),
            ],
            1..20,
        ),
        entries in proptest::collection::vec(
            (0_usize..2, prop_oneof![Just(Level::Info), Just(Level::Error)], "(time|out|Über|TIME|a=|ü|[ x.]|\u{1b}\\[1m){0,6}"),
            0..12,
        ),
    ) {
        let queries: Vec<&str> = queries.clone();
        let entries: Vec<(usize, Level, &str)> = entries.iter().map(|(container, level, text)| (*container, *level, text.as_str())).collect();
        let mut plain = Vec::new();
        for (query, id) in queries.iter().zip(1_i64..) {
            let filter = filter(query);
            let (mut matching, mut pass) = (Matching::new(&filter).expect("can"), SecondPass::new(&filter));
            let mut count = 0;
            for (container, level, message) in &entries {
                let tokens = fields::tokens(message);
                let name = ["web", "db"][*container];
                let matches = matching.matches(seen(name, *level, message, tokens.as_deref()))
                    && pass.as_mut().is_none_or(|pass| pass.matches(message, || false) == Some(true));
                count += i64::from(matches);
            }
            if count > 0 {
                plain.push((id, count));
            }
        }
        let found: Vec<(i64, i64)> = found(&set(&queries), &entries).into_iter().map(|(id, count, _)| (id, count)).collect();
        prop_assert_eq!(found, plain);
    }
}
