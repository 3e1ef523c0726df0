mod apart;

use proptest::prelude::*;

use super::*;

fn plain() -> Scrubber {
    Scrubber::default()
}

fn with(names: &[&str]) -> Scrubber {
    let mut scrubber = plain();
    for name in names {
        scrubber.add(name).expect("usable");
    }
    scrubber
}

#[track_caller]
fn check(json: &str, expected: &str) {
    let scrubbed = plain().json(json).into_owned();
    assert_eq!(scrubbed, expected);
    assert_eq!(plain().json(&scrubbed), expected, "scrubbed again");
}

#[track_caller]
fn check_unchanged(json: &str) {
    let scrubbed = plain();
    let scrubbed = scrubbed.json(json);
    assert_eq!(scrubbed, json);
    assert!(matches!(scrubbed, Cow::Borrowed(_)), "copied: {json}");
}

#[track_caller]
fn check_headers(json: &str, expected: &str) {
    assert_eq!(plain().headers(json), expected);
}

#[test]
fn values_of_secret_names_go_and_everything_else_stays() {
    check(
        r#"{"password":"p","user":"bob","n":[{"apiKey":"k"},{"deep":{"authToken":"t","a":1}}]}"#,
        r#"{"password":"[scrubbed]","user":"bob","n":[{"apiKey":"[scrubbed]"},{"deep":{"authToken":"[scrubbed]","a":1}}]}"#,
    );
    check(
        r#"{"pin":1234,"ssn":-5.0e3,"b":1}"#,
        r#"{"pin":"[scrubbed]","ssn":"[scrubbed]","b":1}"#,
    );
    check(
        r#"{"p\u0061ssword":"x","words\"pass\"":"y"}"#,
        r#"{"p\u0061ssword":"[scrubbed]","words\"pass\"":"y"}"#,
    );
    check_unchanged(
        r#"{"session_id":"s-1","author":"a","tokens_used":512,"keyboard":"de","max_tokens":7,"page_url":"https://h/?q=1"}"#,
    );
    for value in ["5", "true", "\"x\"", "null", "[]", "{}", "\"\""] {
        check_unchanged(value);
    }
}

#[test]
fn a_secret_that_is_not_there_stays_visible() {
    check_unchanged(
        r#"{"token":null,"auth":true,"authenticated":true,"password":"","cookie":false}"#,
    );
    check_unchanged(r#"{"token":"[redacted]","cookie":"[scrubbed]"}"#);
    check_unchanged(r#"{"cookies":{},"tokens":[],"secrets":[]}"#);
}

#[test]
fn lists_and_objects_below_a_secret_name_keep_their_shape() {
    check(
        r#"{"cookies":{"theme":"dark","n":[1,null,true,"x",""],"o":{"a":"b"}},"after":"x"}"#,
        r#"{"cookies":{"theme":"[scrubbed]","n":["[scrubbed]",null,true,"[scrubbed]",""],"o":{"a":"[scrubbed]"}},"after":"x"}"#,
    );
    check(
        r#"{"credentials":["a",{"b":[["c"]]}],"after":["x",1]}"#,
        r#"{"credentials":["[scrubbed]",{"b":[["[scrubbed]"]]}],"after":["x",1]}"#,
    );
}

#[test]
fn secrets_below_harmless_names_are_known_by_their_shape() {
    check(
        r#"{"note":"use Bearer 9f86d081884c now","dsn":"postgres://u:p@db/x","tab":"a\tghp_AbCdEf0123456789AbCdEf0123456789"}"#,
        r#"{"note":"use Bearer [scrubbed] now","dsn":"postgres://[scrubbed]@db/x","tab":"a\t[scrubbed]"}"#,
    );
    check(
        r#"["/reset?token=abc&x=1","query=1&secret=s"]"#,
        r#"["/reset?token=[scrubbed]&x=1","query=1&secret=[scrubbed]"]"#,
    );
}

#[test]
fn json_in_texts_is_scrubbed_too() {
    check(
        r#"{"body":"{\"user\":\"bob\",\"password\":\"p\\\"q\"}"}"#,
        r#"{"body":"{\"user\":\"bob\",\"password\":\"[scrubbed]\"}"}"#,
    );
    check(
        r#""[{\"token\": 5}]""#,
        r#""[{\"token\": \"[scrubbed]\"}]""#,
    );
    check(
        r#"["{\"a\":\"{\\\"pin\\\":1}\"}"]"#,
        r#"["{\"a\":\"{\\\"pin\\\":\\\"[scrubbed]\\\"}\"}"]"#,
    );
    check_unchanged(r#"["{\"a\":\"b\"}","{not json \"key\":\"p\"","[x]"]"#);
    check(
        r#"["{no json \"t\" http://h/?token=x"]"#,
        r#"["{no json \"t\" http://h/?token=[scrubbed]"]"#,
    );
}

#[test]
fn headers_in_their_usual_forms() {
    check_headers(
        r#"{"Host":"h","Authorization":"Basic x","COOKIE":"a=b","X-Session-Id":"s","Referer":"https://h/?token=t&x=1","X-N":5}"#,
        r#"{"Host":"h","Authorization":"[scrubbed]","COOKIE":"[scrubbed]","X-Session-Id":"[scrubbed]","Referer":"https://h/?token=[scrubbed]&x=1","X-N":5}"#,
    );
    check_headers(
        r#"{"Set-Cookie":["a=b","c=d"],"Accept":["x","y"]}"#,
        r#"{"Set-Cookie":["[scrubbed]","[scrubbed]"],"Accept":["x","y"]}"#,
    );
    check_headers(
        r#"[["Host","h"],["cookie","a=b"],["X-API-Key","k"],["Accept","x"]]"#,
        r#"[["Host","h"],["cookie","[scrubbed]"],["X-API-Key","[scrubbed]"],["Accept","x"]]"#,
    );
    check_headers(
        r#"["Host","h","Cookie","a=b","Accept","x"]"#,
        r#"["Host","h","Cookie","[scrubbed]","Accept","x"]"#,
    );
    check_headers(
        r#"[{"name":"Cookie","x":"y","value":"a=b"},{"name":"Host","value":"h"},{"key":"X-API-Key","value":"k"}]"#,
        r#"[{"name":"Cookie","x":"y","value":"[scrubbed]"},{"name":"Host","value":"h"},{"key":"X-API-Key","value":"[scrubbed]"}]"#,
    );
    check_headers(
        r#""Host: h\r\nCookie: a=b\r\nX-Api-Key:\r\nAuthorization: Digest x, Referer: y\nX: Bearer 9f86d081884c""#,
        r#""Host: h\r\nCookie: [scrubbed]\r\nX-Api-Key:\r\nAuthorization: [scrubbed]\nX: Bearer [scrubbed]""#,
    );
    check_headers("5", "5");
}

#[test]
fn the_operator_names_more() {
    let scrubber = with(&["IBAN", "customer_*", "*_nr", "session_id"]);
    assert_eq!(
        scrubber.json(r#"{"iban":"DE1","Customer_Name":"n","tax_nr":7,"session_id":"s","nr":1}"#),
        r#"{"iban":"[scrubbed]","Customer_Name":"[scrubbed]","tax_nr":"[scrubbed]","session_id":"[scrubbed]","nr":1}"#
    );
    assert_eq!(scrubber.url("/?iban=DE1&b=2"), "/?iban=[scrubbed]&b=2");
    assert_eq!(
        scrubber.headers(r#"{"Customer_X":"y"}"#),
        r#"{"Customer_X":"[scrubbed]"}"#
    );
}

#[test]
fn messages_and_tracebacks_keep_ordinary_text() {
    let text = "KeyError: 'password'\n  File \"a.py\", line 3, in f\n    token = get(x) ? password=secret : None &key=1\n";
    assert!(matches!(plain().text(text), Cow::Borrowed(_)));
    assert_eq!(
        plain().text("401 for url: https://h/v1?api_key=abc&x=1\nredis://:pw@cache:6379"),
        "401 for url: https://h/v1?api_key=[scrubbed]&x=1\nredis://[scrubbed]@cache:6379"
    );
}

#[test]
fn a_report_is_scrubbed_everywhere() {
    let body = r#"{"project":"p","exception_type":"E","message":"m sk_live_0123456789abcdefg","traceback":"t https://a:b@h",
        "request_url":"/x?token=a","request_headers":{"Cookie":"c"},"extra":{"pwd":"p"},"tags":{"jwt":"j"},
        "user_id":"bob","request_method":"GET","release":"1","level":"error","environment":"e","server_name":"s"}"#;
    let original = ErrorReport::from_json(body.as_bytes()).expect("a report");
    let mut report = original.clone();
    plain().report(&mut report);
    let expected = ErrorReport {
        message: "m [scrubbed]".to_owned(),
        traceback: "t https://[scrubbed]@h".to_owned(),
        request_url: Some("/x?token=[scrubbed]".to_owned()),
        request_headers: Some(r#"{"Cookie":"[scrubbed]"}"#.to_owned()),
        extra: Some(r#"{"pwd":"[scrubbed]"}"#.to_owned()),
        tags: Some(r#"{"jwt":"[scrubbed]"}"#.to_owned()),
        ..original
    };
    assert_eq!(report, expected);
}

#[test]
fn hostile_json_takes_linear_time_and_no_stack() {
    for (open, close) in [("[", "]"), (r#"{"token":"#, "}"), (r#"{"a":"#, "}")] {
        let deep = open.repeat(100_000) + "\"x\"" + &close.repeat(100_000);
        plain().json(&deep);
        plain().headers(&deep);
    }
    for piece in [
        "\":",
        "\\\":",
        "{\\\"",
        "\"{\\\":",
        "a=",
        "=",
        "a://b=",
        "\"",
        "\\",
        "sk-a.",
        "\"sk-\":",
        "[[\"token\",",
        "{\"name\":\"a\",",
        "{\"value\":",
        "\"a\" ",
        "\"nnn\\\"",
        "[nnn\\\"",
        "\\u0022",
        "//",
        "\"{\\\"a\\\": \\\"",
        "\"token\": ",
    ] {
        let text = piece.repeat(300_000 / piece.len());
        let scrubber = plain();
        for scrub in [
            Scrubber::text,
            Scrubber::url,
            Scrubber::json,
            Scrubber::headers,
        ] {
            scrub(&scrubber, &text);
        }
    }
    // JSON in JSON, as deep as the size of a report allows.
    let mut nested = "{\"password\":\"x\"}".to_owned();
    for _ in 0..14 {
        let mut outer = String::new();
        json::write_string(&mut outer, &nested);
        nested = format!("{{\"a\":{outer}}}");
    }
    plain().json(&nested);
    let many = format!("[{}1]", "\"{\\\"a\\\":1}\",".repeat(50_000));
    assert_eq!(plain().json(&many), many);
}

#[test]
fn texts_that_are_no_json_are_harmless() {
    for text in [
        "\"",
        "\"\\",
        "{\"token\":",
        "{\"token\":\"",
        "[\"",
        "nul",
        "-",
        "\"a\":",
        "}]",
        "tr",
    ] {
        plain().json(text);
        plain().headers(text);
    }
}

/// What the cheap look at something calls harmless has to be harmless to the exact one.
fn check_json_suspicion(json: &str) -> Result<(), TestCaseError> {
    let scrubber = with(&["x*"]);
    for place in [Place::Data, Place::Header] {
        let exact = scrubber.walk(json, place, LEVELS_OF_JSON);
        prop_assert_eq!(scrubber.compact_json(json, place), exact, "{}", json);
    }
    Ok(())
}

fn check_text_suspicion(text: &str) -> Result<(), TestCaseError> {
    let scrubber = with(&["x*"]);
    prop_assert_eq!(scrubber.text(text), scrubber.shapes(text, false));
    prop_assert_eq!(scrubber.url(text), scrubber.shapes(text, true));
    Ok(())
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let key = prop_oneof![
        "[a-z]{1,6}",
        "(auth_)?token",
        "password",
        "name",
        "value",
        "session_id",
        "\\PC{0,4}"
    ];
    let text = prop_oneof![
        "\\PC{0,12}",
        "Cookie",
        "Bearer [a-z0-9]{8,12}",
        "https://(u:p@)?h/\\?(token|a)=b",
        "\\{\"pin\":1\\}",
        "",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        text.prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether `scrubbed` differs from `original` in texts and numbers only, which became texts.
fn same_shape(original: &serde_json::Value, scrubbed: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Null, Number, Object, String};
    match (original, scrubbed) {
        (Array(one), Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| same_shape(one, other))
        }
        (Object(one), Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| same_shape(one, other.get(key).unwrap_or(&Null)))
        }
        (String(_), String(_)) => true,
        (Number(_), String(text)) => text == SCRUBBED,
        (one, other) => one == other,
    }
}

proptest! {
    #[test]
    fn json_stays_json_of_the_same_shape(value in json_value()) {
        let original = value.to_string();
        check_json_suspicion(&original)?;
        check_text_suspicion(&original)?;
        for scrub in [Scrubber::json, Scrubber::headers] {
            let scrubbed = scrub(&plain(), &original).into_owned();
            let read: serde_json::Value = serde_json::from_str(&scrubbed).expect("still JSON");
            prop_assert!(same_shape(&value, &read), "{} became {}", original, scrubbed);
            prop_assert_eq!(&*scrub(&plain(), &scrubbed), &scrubbed, "scrubbed again");
        }
    }

    #[test]
    fn what_is_not_suspicious_is_harmless(text in "\\PC{0,80}", pieces in proptest::collection::vec(
        prop_oneof!["://", "\\?token=", "[a-z0-9@.]{1,8}", " ", "\n", "\\\\", ":[0-9]", "-----BEGIN PRIVATE KEY-----", "Bearer ", "basic dXNlcjpwYXNz", ";", "&x=", "\"", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJub25lIn0.", "-", "n", "u0041"], 0..12,
    )) {
        for text in [text, pieces.concat()] {
            let mut json = String::new();
            json::write_string(&mut json, &text);
            check_json_suspicion(&format!("[{json}]"))?;
            check_json_suspicion(&format!("{{{json}:{json}}}"))?;
            check_text_suspicion(&text)?;
        }
    }
}
