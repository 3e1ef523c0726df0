use super::*;

const NOW: i64 = 1_767_323_045_000;

fn strict(query: &[(&str, &str)]) -> Result<Filter, String> {
    Filter::strict(query.iter().copied(), NOW).map_err(|fault| fault.to_string())
}

#[track_caller]
fn check(query: &[(&str, &str)], expected: Filter) {
    assert_eq!(strict(query), Ok(expected), "{query:?}");
}

#[track_caller]
fn check_refused(query: &[(&str, &str)], says: &str) {
    let fault = strict(query).expect_err(says);
    assert!(fault.contains(says), "{query:?}: {fault}");
}

/// Forms send empty parameters along with a list, and a filter of changes that lost its value changed everything.
#[test]
fn an_empty_value_leaves_a_list_as_it_is_and_a_change_undone() {
    for name in [
        "level",
        "release",
        "environment",
        "server_name",
        "tag",
        "user",
        "until",
        "state",
        "search",
        "q",
    ] {
        for value in ["", " "] {
            let mut reader = FilterReader::new(NOW);
            assert_eq!(reader.take(name, value), Ok(Taken::Read), "{name}");
            assert_eq!(reader.finish(), Filter::default(), "{name}");
            check_refused(
                &[(name, value)],
                &format!("{name}: {value:?} is not understood"),
            );
        }
    }
    for name in ["project", "session_id", "source", "since", "resolved"] {
        check_refused(&[(name, "")], &format!("{name}: \"\" is not understood"));
    }
}

#[test]
fn states_have_names_of_their_own() {
    let with = |state| Filter {
        state,
        ..Filter::default()
    };
    check(&[], with(Some(State::Open)));
    check(&[("resolved", "1")], with(Some(State::Resolved)));
    check(&[("resolved", "all")], with(None));
    for (name, state) in [
        ("open", Some(State::Open)),
        ("resolved", Some(State::Resolved)),
        ("ignored", Some(State::Ignored)),
        ("all", None),
    ] {
        check(&[("state", name)], with(state));
        check(&[("state", name), ("resolved", "true")], with(state));
        check(&[("resolved", "true"), ("state", name)], with(state));
    }
    check_refused(
        &[("state", "Open")],
        "state: \"Open\" is not understood; expected open, resolved, ignored or all",
    );
}

#[test]
fn facets_of_a_kind_replace_each_other_and_tags_add_up() {
    let with = |facets: &[(FacetKind, &str)]| Filter {
        facets: facets
            .iter()
            .map(|(kind, value)| FacetId::of(*kind, value))
            .collect(),
        ..Filter::default()
    };
    check(
        &[
            ("level", "error"),
            ("release", "1"),
            ("environment", "e"),
            ("server_name", "s"),
        ],
        with(&[
            (FacetKind::Level, "error"),
            (FacetKind::Release, "1"),
            (FacetKind::Environment, "e"),
            (FacetKind::ServerName, "s"),
        ]),
    );
    check(
        &[("release", "1"), ("release", "2")],
        with(&[(FacetKind::Release, "2")]),
    );
    check(
        &[("tag", "a:1"), ("tag", "a:2"), ("tag", "a:1")],
        with(&[(FacetKind::Tag, "a:1"), (FacetKind::Tag, "a:2")]),
    );
    check(&[("tag", "a::b c")], with(&[(FacetKind::Tag, "a::b c")]));
    check_refused(&[("tag", "region")], "expected key:value");
    check_refused(&[("tag", ":eu")], "expected key:value");
    let many: Vec<String> = (0..=MOST_FACETS).map(|n| format!("k:{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|tag| ("tag", tag.as_str())).collect();
    check_refused(&many, "at most 16");
}

#[test]
fn times_cover_what_they_state() {
    let (since_ms, until_ms) = (Some(NOW), Some(NOW + 999));
    let expected = Filter {
        since_ms,
        until_ms,
        ..Filter::default()
    };
    let second = "2026-01-02T03:04:05Z";
    check(&[("since", second), ("until", second)], expected);
    let day = Filter {
        since_ms: Some(NOW - 86_400_000),
        ..Filter::default()
    };
    check(&[("since", "24h")], day);
    check_refused(
        &[("until", "later")],
        "until: \"later\" is not understood; expected a time such as",
    );
}

#[test]
fn searches_are_understood_or_refused() {
    let with = |search| Filter {
        search: Some(search),
        ..Filter::default()
    };
    let parsed = SearchText::parse("type:KeyError \"no such\"", SEARCHED).expect("searchable");
    check(
        &[("search", "type:KeyError \"no such\"")],
        with(Search::For(parsed.clone())),
    );
    check(
        &[("search", "x"), ("q", "type:KeyError \"no such\"")],
        with(Search::For(parsed)),
    );
    check(&[("search", "@ \" . -")], with(Search::Nothing));
    check_refused(
        &[("q", &"a ".repeat(65))],
        "q: 65 words; expected at most 64",
    );
    check_refused(
        &[("search", "conn* a*")],
        "search: \"a*\" would begin too many words",
    );
    check_refused(&[("search", "é*")], "at least 3 letters");
    assert!(strict(&[("search", "日*")]).is_ok());
    assert!(strict(&[("search", "con*")]).is_ok());
}

#[test]
fn a_strict_filter_forgives_nothing() {
    check_refused(
        &[("resolved", "yes")],
        "resolved: \"yes\" is not understood; expected true, false or all",
    );
    check_refused(&[("source", "Browser")], "expected browser or server");
    check_refused(&[("since", "yesterday")], "expected a time such as");
    check_refused(&[("project", "")], "expected a name");
    check_refused(&[("limit", "5")], "filter: \"limit\" is not understood");
    check_refused(&[("prjoect", "a")], "filter: \"prjoect\" is not understood");
    check_refused(
        &[("state", &"x".repeat(5_000))],
        &format!("\"{}\"", "x".repeat(64)),
    );
}
