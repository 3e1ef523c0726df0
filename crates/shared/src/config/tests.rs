use super::*;
use crate::service::ServiceInfo;

static SIZE: Var = Var::with_default("SIZE", "5", "whole number, 1 to 9", "A size.");
static TOKEN: Var = Var::required("TOKEN", "a text", "A token.").secret();
static NAMES: Var = Var::optional("NAMES", "names separated by commas", "Names.");
static TARGET: Var = Var::optional("TARGET", "an http:// or https:// address", "A target.");

const INFO: ServiceInfo = ServiceInfo {
    name: "error-tracker",
    version: "1.0.0",
    summary: "",
    default_port: 5010,
    default_database: "./data/errors.db",
    default_rate_limit: 6000,
    default_max_body: 262_144,
    api_key: ApiKeyName::ApiKey,
};

fn problems(env: &[(&str, &str)], read: impl FnOnce(&mut Reader<'_>)) -> Vec<String> {
    let env = Env::of(env.iter().copied());
    let mut reader = Reader::new(&env);
    read(&mut reader);
    reader
        .finish()
        .err()
        .map(|error| error.problems)
        .unwrap_or_default()
}

#[test]
fn all_problems_come_together_and_name_value_and_form() {
    let found = problems(
        &[("SIZE", "soon"), ("TOKEN", ""), ("TARGET", "ftp://x")],
        |reader| {
            reader.integer(&SIZE, 1..=9);
            reader.required_text(&TOKEN);
            reader.url(&TARGET);
        },
    );
    assert_eq!(
        found,
        [
            "SIZE: \"soon\" is no whole number; expected whole number, 1 to 9",
            "TOKEN (or TOKEN_FILE) is not set or empty; expected a text",
            "TARGET: \"ftp://x\" does not begin with http:// or https://; expected an http:// or https:// address",
        ]
    );
}

#[test]
fn a_number_must_be_in_range_and_empty_means_default() {
    let env = Env::of([("SIZE", "")]);
    assert_eq!(Reader::new(&env).integer(&SIZE, 1..=9), 5);
    assert_eq!(
        problems(&[("SIZE", "10")], |reader| {
            reader.integer(&SIZE, 1..=9);
        }),
        ["SIZE: \"10\" is out of range; expected whole number, 1 to 9"]
    );
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("token");
    std::fs::write(&path, "hush\n").expect("write");
    let path = path.to_str().expect("utf-8");
    let env = Env::of([("TOKEN_FILE", path)]);
    assert_eq!(Reader::new(&env).required_secret(&TOKEN).expose(), "hush");

    let both = problems(&[("TOKEN", "visible"), ("TOKEN_FILE", path)], |reader| {
        reader.required_secret(&TOKEN);
    });
    assert_eq!(
        both,
        ["TOKEN and TOKEN_FILE are both set; expected one of them"]
    );

    let missing = problems(&[("TOKEN_FILE", "/nonexistent/token")], |reader| {
        reader.required_secret(&TOKEN);
    });
    assert!(
        missing.len() == 1 && missing[0].starts_with("TOKEN_FILE: cannot read"),
        "{missing:?}"
    );

    let bad = problems(&[("TOKEN", "visible")], |reader| {
        let value = reader.required_secret(&TOKEN);
        reader.problem(&TOKEN, value.expose(), "is too short");
    });
    assert_eq!(
        bad,
        ["TOKEN: the given value is too short; expected a text"]
    );
}

#[test]
fn lists_are_trimmed() {
    let env = Env::of([("NAMES", " a, b ,,c")]);
    assert_eq!(Reader::new(&env).list(&NAMES), ["a", "b", "c"]);
}

#[track_caller]
fn check_url(text: &str, expected: Option<&str>) {
    let env = Env::of([("TARGET", text)]);
    let mut reader = Reader::new(&env);
    assert_eq!(reader.url(&TARGET).as_deref(), expected, "{text}");
    assert_eq!(reader.finish().is_ok(), expected.is_some(), "{text}");
}

#[test]
fn urls_are_checked() {
    check_url(
        "http://error-tracker:5010",
        Some("http://error-tracker:5010"),
    );
    check_url(
        "https://a.example/monlight//",
        Some("https://a.example/monlight"),
    );
    check_url("http://[::1]:5010", Some("http://[::1]:5010"));
    for bad in [
        "a.example",
        "http://",
        "http:///x",
        "http://a b",
        "http://u:p@a",
        "http://a?b",
        "http://a:99999",
        "http://a:x",
    ] {
        check_url(bad, None);
    }
}

fn common(env: &[(&str, &str)]) -> Result<Common, ConfigError> {
    let env = Env::of(env.iter().copied());
    let mut reader = Reader::new(&env);
    let common = Common::read(&mut reader, &INFO);
    reader.finish().map(|()| common)
}

#[test]
fn common_settings_have_the_service_defaults() {
    let common = common(&[("API_KEY", "k")]).expect("fine");
    assert_eq!(
        (common.port, common.rate_limit, common.max_body_bytes),
        (5010, 6000, 262_144)
    );
    assert_eq!(common.database_path.to_str(), Some("./data/errors.db"));
    assert!(common.trusted_proxies.is_empty());
}

#[test]
fn an_empty_or_unsendable_key_is_refused() {
    for key in ["", "ключик", " blank-first", "line\nbreak"] {
        let error = common(&[("API_KEY", key)]).expect_err(key).to_string();
        assert!(error.contains("API_KEY"), "{error}");
        assert!(key.is_empty() || !error.contains(key.trim()), "{error}");
    }
    let same = common(&[("API_KEY", "k"), ("INTERNAL_API_KEY", "k")])
        .expect_err("same")
        .to_string();
    assert!(
        same.contains("INTERNAL_API_KEY: the given value is the same as the first key"),
        "{same}"
    );
}

#[test]
fn proxies_are_addresses_or_networks() {
    let common = common(&[
        ("API_KEY", "k"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8, 192.168.1.7, fd00::/8, 0.0.0.0/0",
        ),
    ])
    .expect("fine");
    for address in [
        "10.1.2.3",
        "192.168.1.7",
        "fd12::1",
        "::ffff:10.0.0.1",
        "8.8.8.8",
    ] {
        assert!(
            common
                .trusted_proxies
                .contains(address.parse().expect("address")),
            "{address}"
        );
    }
    assert!(
        !common
            .trusted_proxies
            .contains("2001:db8::1".parse().expect("address"))
    );
}

#[test]
fn bad_proxies_are_named() {
    for bad in ["10.0.0.0/33", "proxy", "::/129", "1.2.3.4/x"] {
        let error = common(&[("API_KEY", "k"), ("TRUSTED_PROXIES", bad)])
            .expect_err(bad)
            .to_string();
        assert!(error.contains("TRUSTED_PROXIES"), "{error}");
    }
}

#[test]
fn a_value_that_is_no_utf8_is_reported_and_not_ignored() {
    use std::os::unix::ffi::OsStringExt as _;
    let latin1 = OsString::from_vec(b"/srv/d\xe9mo".to_vec());
    let env = Env::of_os([("TARGET".into(), latin1.clone()), ("TOKEN".into(), latin1)]);
    let mut reader = Reader::new(&env);
    reader.text(&TARGET);
    reader.text(&TARGET);
    reader.required_text(&TOKEN);
    let fault = reader.finish().expect_err("unusable").to_string();
    assert_eq!(
        fault,
        "the settings cannot be used:\n  TARGET: the value is no UTF-8 text; expected UTF-8\n  TOKEN: the value is no UTF-8 text; expected UTF-8"
    );
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    for given in [
        "http://me:hunter2@host/",
        "ftp://me:hunter2@host/",
        "me:hunt/er2@host",
        "http://me:hunt/er2@host/",
    ] {
        for problem in problems(&[("TARGET", given)], |reader| {
            reader.url(&TARGET);
            reader.required_url(&TARGET);
        }) {
            assert!(!problem.contains("er2"), "{problem}");
            assert!(
                problem.contains("TARGET") && problem.contains("host"),
                "{problem}"
            );
        }
    }
}

#[test]
fn a_secret_file_without_an_end_is_not_read_to_its_end() {
    let env = Env::of([("TOKEN_FILE", "/dev/zero")]);
    let token = Reader::new(&env).required_text(&TOKEN);
    assert_eq!(token.len(), 64 * 1024);
}

#[test]
fn an_ipv4_network_written_as_ipv6_keeps_its_width() {
    let proxies = |text: &str| {
        let env = Env::of([("API_KEY", "k"), ("TRUSTED_PROXIES", text)]);
        let mut reader = Reader::new(&env);
        let common = Common::read(&mut reader, &INFO);
        reader.finish().map(|()| common.trusted_proxies)
    };
    let ten = proxies("::ffff:10.0.0.0/104").expect("usable");
    assert!(ten.contains("10.9.8.7".parse().expect("an address")));
    assert!(!ten.contains("11.0.0.1".parse().expect("an address")));
    proxies("::ffff:10.0.0.0/8")
        .map(|_| ())
        .expect_err("wider than all of IPv4");
}
