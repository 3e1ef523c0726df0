//! Secrets where names and values are not simply beside each other.

use super::{check, check_unchanged, plain};

#[test]
fn json_behind_blanks_and_marks_is_scrubbed() {
    check(
        r#"{"body":" {\"token\":\"S3\"}"}"#,
        r#"{"body":" {\"token\":\"[scrubbed]\"}"}"#,
    );
    check(
        r#"{"body":"\n{\n  \"token\" : \"S3\",\r\n\t\"pin\":\t5}\n"}"#,
        r#"{"body":"\n{\n  \"token\" : \"[scrubbed]\",\r\n\t\"pin\":\t\"[scrubbed]\"}\n"}"#,
    );
    check(
        "{\"body\":\"\u{feff}{\\\"token\\\"\\n:\\\"S3\\\"}\"}",
        "{\"body\":\"\u{feff}{\\\"token\\\"\\n:\\\"[scrubbed]\\\"}\"}",
    );
    check(
        r#"{"line":"sent 5\" of {\"a\":{\"token\":\"S3\"}} to the \"bank\""}"#,
        r#"{"line":"sent 5\" of {\"a\":{\"token\":\"[scrubbed]\"}} to the \"bank\""}"#,
    );
    check(
        r#"{"line":"set-nft {\"token\":\"S3\"}, see https://u:p@h/ and ghp_AbCdEf0123456789AbCdEf0123456789"}"#,
        r#"{"line":"set-nft {\"token\":\"[scrubbed]\"}, see https://[scrubbed]@h/ and [scrubbed]"}"#,
    );
}

#[test]
fn several_json_documents_in_one_text_are_scrubbed() {
    check(
        r#"{"body":"{\"id\":1,\"token\":\"S3\"}\n{\"id\":2,\"token\":\"S4\"}\n"}"#,
        r#"{"body":"{\"id\":1,\"token\":\"[scrubbed]\"}\n{\"id\":2,\"token\":\"[scrubbed]\"}\n"}"#,
    );
    check(
        r#"{"body":"{\"a\":\"b\"}{\"pwd\":\"S3\"}[{\"pwd\":\"S4\"}]"}"#,
        r#"{"body":"{\"a\":\"b\"}{\"pwd\":\"[scrubbed]\"}[{\"pwd\":\"[scrubbed]\"}]"}"#,
    );
}

#[test]
fn json_encoded_again_is_scrubbed() {
    let mut text = "{\"token\":\"S3\",\"a\":1}".to_owned();
    for times in 1..=5 {
        let mut outer = String::new();
        super::json::write_string(&mut outer, &text);
        text = outer;
        let scrubbed = plain().json(&text).into_owned();
        assert!(!scrubbed.contains("S3"), "{times} times: {scrubbed}");
        assert!(scrubbed.contains("[scrubbed]"), "{times} times: {scrubbed}");
        let inside = format!("{{\"body\":{text}}}");
        assert!(!plain().json(&inside).contains("S3"));
    }
    check(
        r#"["{\"a\":\"{\\u0022token\\u0022:\\u0022S3\\u0022}\"}"]"#,
        r#"["{\"a\":\"{\\\"token\\\":\\\"[scrubbed]\\\"}\"}"]"#,
    );
}

#[test]
fn cut_json_is_scrubbed_as_far_as_it_can_be_read() {
    check(
        r#"{"body":"{\"user\":\"bob\",\"token\":\"S3cre"}"#,
        r#"{"body":"{\"user\":\"bob\",\"token\":\"[scrubbed]\""}"#,
    );
    check(
        r#"{"body":"\",\"x\":\"y\",\"password\":\"S3\",\"z\":1}"}"#,
        r#"{"body":"\",\"x\":\"y\",\"password\":\"[scrubbed]\",\"z\":1}"}"#,
    );
    check(
        r#"{"body":"me\":\"y\",\"password\":\"S3\"} "}"#,
        r#"{"body":"me\":\"y\",\"password\":\"[scrubbed]\"} "}"#,
    );
    check(
        r#"{"body":"{\"tokens\":[\"S3\",\"S4"}"#,
        r#"{"body":"{\"tokens\":[\"[scrubbed]\",\"[scrubbed]\""}"#,
    );
    check(
        r#"{"body":"{\"auth\":{\"a\":\"S3\",\"b\":[5"}"#,
        r#"{"body":"{\"auth\":{\"a\":\"[scrubbed]\",\"b\":[\"[scrubbed]\""}"#,
    );
    check_unchanged(r#"{"body":"{\"token\":\""}"#);
    check_unchanged(r#"{"body":"the \"password\": too short, \"x\" and 5"}"#);
    check_unchanged(r#"{"body":"say \"token\" and \"secret\", then \"x\": 1"}"#);
}

#[test]
fn plurals_are_names_of_secrets_too() {
    check(
        r#"{"tokens":["S3","S4"],"access_tokens":{"a":"S5"},"refresh_tokens":"S6","passwords":["S7"]}"#,
        r#"{"tokens":["[scrubbed]","[scrubbed]"],"access_tokens":{"a":"[scrubbed]"},"refresh_tokens":"[scrubbed]","passwords":["[scrubbed]"]}"#,
    );
    check_unchanged(
        r#"{"tokens":512,"usage":{"tokens":{"prompt":5,"answer":7.5}},"max_tokens":9,"token_count":5,"stop_tokens":["a"]}"#,
    );
    assert_eq!(
        plain().url("/v1?tokens=512&access_tokens=S3,S4&max_tokens=7"),
        "/v1?tokens=512&access_tokens=[scrubbed]&max_tokens=7"
    );
}

#[test]
fn urls_without_a_scheme_keep_no_password() {
    assert_eq!(plain().url("//u:SECRET@h/?a=b"), "//[scrubbed]@h/?a=b");
    assert_eq!(plain().url("//h/@x:y@z"), "//h/@x:y@z");
    assert_eq!(plain().url("//h//u:p@x"), "//h//u:p@x");
    check(
        r#"{"to":"//u:SECRET@h/","from":"//h/a"}"#,
        r#"{"to":"//[scrubbed]@h/","from":"//h/a"}"#,
    );
    assert_eq!(plain().text("// u: see a@b"), "// u: see a@b");
}

#[test]
fn names_and_values_apart_are_scrubbed_in_data() {
    check(
        r#"{"headers":[{"name":"X-Api-Key","value":"S3"},{"name":"Host","value":"h"}],"name":"token","list":["token","x"]}"#,
        r#"{"headers":[{"name":"X-Api-Key","value":"[scrubbed]"},{"name":"Host","value":"h"}],"name":"token","list":["token","x"]}"#,
    );
    check(
        r#"[["token","S3"],["host","h"],["pin",1234],["auth",{"a":"S4"}],["user","token"]]"#,
        r#"[["token","[scrubbed]"],["host","h"],["pin","[scrubbed]"],["auth",{"a":"[scrubbed]"}],["user","token"]]"#,
    );
    check(
        r#"[{"value":"S3","name":"Cookie"},{"value":1234,"in":"x","key":"pin"},{"field":"password","msg":"short","tags":["a"],"value":"S4"}]"#,
        r#"[{"value":"[scrubbed]","name":"Cookie"},{"value":"[scrubbed]","in":"x","key":"pin"},{"field":"password","msg":"short","tags":["a"],"value":"[scrubbed]"}]"#,
    );
    check(
        r#"{"body":"[\n  [\"token\", \"S3\"]\n]"}"#,
        r#"{"body":"[\n  [\"token\", \"[scrubbed]\"]\n]"}"#,
    );
    check_unchanged(
        r#"{"missing":["password","email"],"rows":[["token","user","id"],["a","b","c"]],"m":[{"name":"tokens","value":5}]}"#,
    );
    check_unchanged(r#"[{"value":"red","name":"color"},{"name":"password","value":""}]"#);
}

#[test]
fn ordinary_names_keep_their_values() {
    check_unchanged(
        r#"{"author":"a","tokenizer":"bpe","passenger":"p","passed":3,"monkey":"m","keyboard":"de","session_count":5,"token_count":5,"key":"k","app_name":"shop","card":"c","number":"n","passport":"x","word":"w"}"#,
    );
}

#[test]
fn names_in_any_spelling_are_scrubbed() {
    check(
        r#"{"pass_phrase":"S","passPhrase":"S","Pass-Phrase":"S","PassWord":"S","passWord":"S","pass_word":"S","pass":"S"}"#,
        r#"{"pass_phrase":"[scrubbed]","passPhrase":"[scrubbed]","Pass-Phrase":"[scrubbed]","PassWord":"[scrubbed]","passWord":"[scrubbed]","pass_word":"[scrubbed]","pass":"[scrubbed]"}"#,
    );
    assert_eq!(
        plain().url("/x?passPhrase=S&pass_word=S&a=b"),
        "/x?passPhrase=[scrubbed]&pass_word=[scrubbed]&a=b"
    );
    assert_eq!(
        plain().headers(r#"{"Pass-Phrase":"S","PassWord":"S"}"#),
        r#"{"Pass-Phrase":"[scrubbed]","PassWord":"[scrubbed]"}"#
    );
}
