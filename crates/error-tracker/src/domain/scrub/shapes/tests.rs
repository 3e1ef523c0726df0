use super::super::Edits;
use super::super::names::{self, Place};
use super::*;

const PLAIN: Kind = Kind {
    escaped: false,
    query: false,
};
const QUERY: Kind = Kind {
    escaped: false,
    query: true,
};
const ESCAPED: Kind = Kind {
    escaped: true,
    query: true,
};

fn scrubbed(text: &str, kind: Kind) -> String {
    let mut edits = Edits::new(text);
    let secrecy = |name: &str| names::secrecy(name, Place::Url);
    find(text, kind, secrecy, |part| edits.replace(part, "#"));
    edits.finish().into_owned()
}

#[track_caller]
fn check(kind: Kind, text: &str, expected: &str) {
    assert_eq!(scrubbed(text, kind), expected, "{text}");
}

#[track_caller]
fn check_all_kinds(text: &str, expected: &str) {
    for kind in [PLAIN, QUERY, ESCAPED] {
        check(kind, text, expected);
    }
}

#[track_caller]
fn check_unchanged(text: &str) {
    check_all_kinds(text, text);
}

#[test]
fn tokens_are_known_by_their_prefixes() {
    let tail = "AbCdEf0123456789AbCdEf0123456789AbCdEf0123456789AbCd";
    for prefix in [
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "whsec_",
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xapp-",
        "npm_",
        "pypi-",
        "SG.",
        "hf_",
        "hvs.",
        "dop_v1_",
        "dckr_pat_",
        "AIza",
        "shpat_",
        "lin_api_",
        "glsa_",
        "sntrys_",
        "sk-",
        "sk-proj-",
        "ya29.",
        "dapi",
    ] {
        let token = format!("{prefix}{tail}");
        check_all_kinds(&token, "#");
        check_all_kinds(&format!("(key={token})"), "(key=#)");
        check_all_kinds(&format!("a {token}, b"), "a #, b");
        check_unchanged(&format!("a{token}"));
        check_unchanged(prefix);
    }
    check_all_kinds("AKIAIOSFODNN7EXAMPLE!", "#!");
    check_unchanged("AKIAIOSFODNN7EXAMPLe");
    check_unchanged("npm_config_registry sk_live_short ghp_");
    check_unchanged("sk-learn-something-long-name");
}

#[test]
fn web_tokens_have_three_parts() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_X";
    check_all_kinds(jwt, "#");
    check_all_kinds(&format!("got '{jwt}'"), "got '#'");
    check_all_kinds("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0NTY3ODkwIn0.", "#");
    check_unchanged("data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbXX0=");
    check_unchanged("eyJ.a.b");
}

#[test]
fn schemes_of_authorization() {
    check_all_kinds("Bearer 9f86d081884c", "Bearer #");
    check_all_kinds(
        "authorization: bearer  abc.DEF-123/x+y==",
        "authorization: bearer  #",
    );
    check_all_kinds("BASIC dXNlcjpwYXNzd29yZA==", "BASIC #");
    check_all_kinds("basic ghp_AbCdEf0123456789AbCdEf0123456789", "basic #");
    check_unchanged("Bearer authentication required");
    check_unchanged("bearer token missing, Bearer");
    check_unchanged("Basic authentication failed: basic setup");
    check_unchanged("forbearer 9f86d081884c");
}

#[test]
fn private_keys_are_blocks() {
    let block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----";
    check_all_kinds(&format!("a {block} b"), "a # b");
    check(ESCAPED, &block.replace('\n', "\\n"), "#");
    check_all_kinds("x\n-----BEGIN PRIVATE KEY-----\nMIIEow", "x\n#");
    check_all_kinds("-----BEGIN PGP PRIVATE KEY BLOCK-----\n-----END ", "#");
    check_unchanged("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----");
    check_unchanged("-----BEGIN PUBLIC KEY-----");
    check_unchanged("----- BEGIN PRIVATE KEY -----");
}

#[test]
fn users_and_passwords_in_urls() {
    check_all_kinds(
        "postgres://user:p%40ss@db:5432/shop",
        "postgres://#@db:5432/shop",
    );
    check_all_kinds("(redis://:pw@cache)", "(redis://#@cache)");
    check_all_kinds("mysql://u:p@ss@db", "mysql://#@db");
    check_all_kinds("https://ghp_x@github.com/a", "https://#@github.com/a");
    check_all_kinds("a://b@c d://e:f@g", "a://#@c d://#@g");
    check_unchanged("https://unpkg.com/@scope/pkg@1.2/x.js");
    check_unchanged("https://h/a?mail=x@y.z");
    check_unchanged("f@https://h/a.js:1:2");
    check_unchanged("see http://h and write to a@b.c");
    check_unchanged("://a@b");
    check_unchanged("https://[redacted]@h https://[scrubbed]@h");
}

#[test]
fn parameters_of_urls() {
    check_all_kinds("http://h/?token=s&x=1", "http://h/?token=#&x=1");
    check_all_kinds("'http://h/?x=1&%74oken=s'", "'http://h/?x=1&%74oken=#'");
    check_all_kinds(
        "http://h/;jsessionid=A1?a=b#id_token=t",
        "http://h/;jsessionid=#?a=b#id_token=#",
    );
    check_all_kinds("http://h/?api_key=a?b)", "http://h/?api_key=#)");
    check_all_kinds("http://h/?user[password]=p", "http://h/?user[password]=#");
    check_unchanged("http://h/?x=1&token=&y");
    check_unchanged("http://h/?token=[redacted]&key=[scrubbed]");
    check_unchanged("http://h/?page=2&sort_key=name&author=x");
    // A stack keeps its places.
    check_all_kinds(
        "at f (https://h/a.js?token=t:10:5)",
        "at f (https://h/a.js?token=#:10:5)",
    );
    check_all_kinds("https://h/a.js?token=12:5", "https://h/a.js?token=#:5");
}

#[test]
fn queries_without_a_url_count_only_in_data() {
    check(QUERY, "/u?x=1&token=s", "/u?x=1&token=#");
    check(QUERY, "token=s&x=1", "token=#&x=1");
    check(
        QUERY,
        "theme=dark; sessionid=a; x=y",
        "theme=dark; sessionid=#; x=y",
    );
    check(
        QUERY,
        "text/html; charset=utf-8;q=0.9",
        "text/html; charset=utf-8;q=0.9",
    );
    check(QUERY, "a = b; token = c", "a = b; token = c");
    check(
        PLAIN,
        "f(a) ? token=s : x &token=s",
        "f(a) ? token=s : x &token=s",
    );
    check(
        PLAIN,
        "http://h/ token=s &token=s",
        "http://h/ token=s &token=s",
    );
}

#[test]
fn escapes_of_json_are_stepped_over() {
    let token = "AbCdEf0123456789AbCdEf0123456789";
    check(ESCAPED, &format!("\\nghp_{token}\\n"), "\\n#\\n");
    check(ESCAPED, &format!("\\u001fghp_{token}"), "\\u001f#");
    check(
        ESCAPED,
        &format!("\\npm_{token}"),
        &format!("\\npm_{token}"),
    );
    check(
        ESCAPED,
        "\\\"http://h?token=a\\\"b",
        "\\\"http://h?token=#\\\"b",
    );
    check(ESCAPED, "http://u:p\\\"w@h", "http://u:p\\\"w@h");
    check(PLAIN, &format!("'a\\nghp_{token}'"), "'a\\n#'");
}

#[test]
fn hostile_texts_take_linear_time() {
    // Each would take minutes if anything was looked at again and again.
    for piece in [
        "sk-",
        "eyJ",
        "eyJ.",
        "://",
        "a://",
        "&",
        "?a",
        "; ",
        "bearer ",
        "-----BEGIN ",
        "-",
        "-----BEGIN PRIVATE KEY",
        "basic a",
        "a://a@",
        "&%",
        "\\",
        "=",
        "@",
        "xoxb-",
        "ya29.",
    ] {
        let text = piece.repeat(300_000 / piece.len());
        for kind in [PLAIN, QUERY, ESCAPED] {
            find(&text, kind, |_| Secrecy::Nothing, |_| ());
        }
    }
}
