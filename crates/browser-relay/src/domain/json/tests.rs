use super::*;
use proptest::prelude::*;

fn copy(text: &str, lone: LoneSurrogate) -> Result<String, Fault> {
    let mut json = Json::new(text.as_bytes(), Duplicates::Refuse, lone);
    let mut out = String::new();
    json.copy(&mut out)?;
    json.end()?;
    Ok(out)
}

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    assert_eq!(
        copy(text, LoneSurrogate::Refuse).ok().as_deref(),
        expected,
        "{text}"
    );
}

#[test]
fn strict_grammar() {
    check(
        " { \"a\" : [ 1 , -0.50e+7 , true , null ] } ",
        Some("{\"a\":[1,-0.50e+7,true,null]}"),
    );
    check(
        "123456789012345678901234567890",
        Some("123456789012345678901234567890"),
    );
    check("{}", Some("{}"));
    check("[ ]", Some("[]"));
    check(
        "\"\\u0041\\/\\ud83d\\ude00\\u0001\"",
        Some("\"A/\u{1F600}\\u0001\""),
    );
    for bad in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "+1",
        "NaN",
        "tru",
        "nul",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "1 2",
        "[1}",
        "{\"a\":1]",
        "\u{feff}1",
        "//",
        "'a'",
    ] {
        check(bad, None);
    }
}

#[test]
fn a_key_given_twice_is_a_fault_at_any_depth() {
    check("{\"a\":1,\"a\":2}", None);
    check("[{\"b\":{\"a\":1,\"\\u0061\":2}}]", None);
    check("{\"a\":{\"a\":1}}", Some("{\"a\":{\"a\":1}}"));
}

#[test]
fn lone_surrogates() {
    for (text, replaced) in [
        ("\"\\ud800\"", "\"\u{FFFD}\""),
        ("\"a\\udc00b\"", "\"a\u{FFFD}b\""),
        ("\"\\ud800x\"", "\"\u{FFFD}x\""),
        ("\"\\ud800\\n\"", "\"\u{FFFD}\\n\""),
        ("\"\\ud800\\ud83d\\ude00\"", "\"\u{FFFD}\u{1F600}\""),
    ] {
        check(text, None);
        assert_eq!(
            copy(text, LoneSurrogate::Replace).ok().as_deref(),
            Some(replaced),
            "{text}"
        );
    }
}

#[test]
fn deep_nesting_is_refused_and_not_recursed_into() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(copy(&deep(128), LoneSurrogate::Refuse).is_ok());
    assert!(copy(&deep(129), LoneSurrogate::Refuse).is_err());
    assert!(copy(&deep(100_000), LoneSurrogate::Refuse).is_err());
}

#[test]
fn a_document_inside_a_string_streams() {
    let inner = format!("{{\"text\":\"{}\",\"n\":7}}", "x\\\"y\u{e9}".repeat(5000));
    let outer = serde_json::json!({"before": 1, "doc": inner, "after": 2}).to_string();
    let mut json = Json::new(outer.as_bytes(), Duplicates::Ignore, LoneSurrogate::Refuse);
    let mut members = json.open_object().unwrap();
    let mut keys = Vec::new();
    while let Some(key) = json.next_member(&mut members).unwrap() {
        if key == "doc" {
            let mut copied = String::new();
            let mut nested = Json::new(
                json.open_string().unwrap(),
                Duplicates::Ignore,
                LoneSurrogate::Refuse,
            );
            nested.copy(&mut copied).unwrap();
            nested.end().unwrap();
            assert_eq!(copied, inner);
        } else {
            json.skip().unwrap();
        }
        keys.push(key);
    }
    json.end().unwrap();
    assert_eq!(keys, ["after", "before", "doc"]);
}

#[test]
fn a_cut_string_stays_text() {
    let mut json = Json::new(
        "\"aa\u{e9}bb\"".as_bytes(),
        Duplicates::Ignore,
        LoneSurrogate::Refuse,
    );
    assert_eq!(json.string_cut(3).unwrap(), "aa");
    json.end().unwrap();
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn copies_what_serde_json_wrote(value in value()) {
        let compact = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let copied: serde_json::Value =
            serde_json::from_str(&copy(&pretty, LoneSurrogate::Refuse).unwrap()).unwrap();
        prop_assert_eq!(&copied, &value);
        let recopied: serde_json::Value =
            serde_json::from_str(&copy(&compact, LoneSurrogate::Refuse).unwrap()).unwrap();
        prop_assert_eq!(&recopied, &value);
    }

    #[test]
    fn accepts_nothing_that_serde_json_refuses(text in "[\\[\\]{}\",:0-9a-z\\\\.+ \\-]{0,24}") {
        if copy(&text, LoneSurrogate::Refuse).is_ok() {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(text.trim()).is_ok());
        }
    }
}

#[test]
fn any_text_is_written_as_a_string_that_reads_back_the_same() {
    for text in [
        "",
        "plain",
        "\"",
        "\\",
        "\\\"\\",
        "line\nline\r\n\ttab",
        "\u{0}\u{1f}\u{7f}\u{80}\u{2028}",
        "ends in a quote\"",
        "\u{1}ends and begins in a control\u{1f}",
        "Grüße, 世界 🦀 \"zitiert\"",
    ] {
        let mut written = String::from("before ");
        push_string(&mut written, text);
        let written = written.strip_prefix("before ").unwrap();
        let read: String = serde_json::from_str(written).unwrap();
        assert_eq!(read, text, "{written}");
    }
}
