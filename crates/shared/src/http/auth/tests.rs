use axum::http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::*;
use crate::clock::ManualClock;
use std::time::Duration;

const KEY: &str = "s3cret key";

fn auth_of(service: &str, key: &str, clock: &Clock) -> Auth {
    let internal = Secret::new("internal");
    Auth::new(
        service,
        &Secret::new(key),
        Some(&internal),
        clock,
        &Registry::default(),
    )
}

fn auth() -> (Auth, ManualClock) {
    let (clock, hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    (auth_of("error-tracker", KEY, &clock), hand)
}

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap()
}

fn client() -> Client {
    Client {
        address: "192.0.2.1".parse().unwrap(),
        secure: false,
        proxied: false,
    }
}

fn outcome(auth: &Auth, request: &Request<()>, doors: Doors) -> Result<Caller, u16> {
    auth.check(&Presented::by(request, client()), doors)
        .map_err(|error| error.status().as_u16())
}

#[track_caller]
fn check(target: &str, headers: &[(&str, &str)], expected: Result<Caller, u16>) {
    let found = outcome(&auth().0, &request("GET", target, headers), Doors::Usual);
    assert_eq!(found, expected, "{target} {headers:?}");
}

#[test]
fn a_key_in_the_header() {
    check("/", &[("X-API-Key", KEY)], Ok(Caller::Key));
    check("/", &[("x-api-key", "  s3cret key\t")], Ok(Caller::Key));
    check("/", &[("X-API-Key", "internal")], Ok(Caller::Internal));
    check("/", &[], Err(401));
    for wrong in ["", "s3cret ke", "s3cret key2", "S3cret key", "\u{fc}"] {
        check("/", &[("X-API-Key", wrong)], Err(401));
    }
    // The first header counts.
    check(
        "/",
        &[("X-API-Key", KEY), ("X-API-Key", "no")],
        Ok(Caller::Key),
    );
    check("/", &[("X-API-Key", "no"), ("X-API-Key", KEY)], Err(401));
}

#[test]
fn a_key_in_the_query_counts_without_a_header_only() {
    check("/?api_key=s3cret%20key", &[], Ok(Caller::Key));
    check("/?api_key=s3cret+key", &[], Ok(Caller::Key));
    check("/?a=b&api_key=&api_key=internal", &[], Ok(Caller::Internal));
    check("/?api_key=no&api_key=internal", &[], Err(401));
    check("/?API_KEY=internal", &[], Err(401));
    check("/?api_key=internal", &[("X-API-Key", "no")], Err(401));
    check("/?api_key=internal", &[("X-API-Key", "")], Err(401));
}

#[test]
fn a_key_with_signs_that_decoding_would_change_is_taken_as_it_stands() {
    let auth = auth_of("x", "a+b%20", &Clock::system());
    for target in ["/?api_key=a+b%20", "/?api_key=a%2Bb%2520"] {
        assert_eq!(
            outcome(&auth, &request("GET", target, &[]), Doors::Usual),
            Ok(Caller::Key)
        );
    }
}

#[test]
fn a_bearer_token_counts_where_it_is_let_in() {
    let (auth, _) = auth();
    for (value, known) in [
        ("Bearer s3cret key", true),
        ("bearer internal", true),
        ("Bearer no", false),
        ("Basic internal", false),
        ("", false),
    ] {
        let request = request("GET", "/metrics", &[("Authorization", value)]);
        assert_eq!(
            outcome(&auth, &request, Doors::WithBearer).is_ok(),
            known,
            "{value}"
        );
        assert_eq!(outcome(&auth, &request, Doors::Usual), Err(401));
    }
}

/// The `name=value` of a `Set-Cookie`.
fn cookie_of(header: &HeaderValue) -> String {
    header
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_session_opens_until_it_ends() {
    let (auth, hand) = auth();
    let set = auth.sessions().start(false);
    assert!(
        set.to_str()
            .unwrap()
            .ends_with("; Max-Age=2592000; HttpOnly; SameSite=Strict")
    );
    assert!(set.to_str().unwrap().starts_with("monlight_error-tracker="));
    assert!(
        auth.sessions()
            .start(true)
            .to_str()
            .unwrap()
            .ends_with("; SameSite=Strict; Secure")
    );
    let request = request(
        "GET",
        "/",
        &[("Cookie", &format!("a=b; {}; c", cookie_of(&set)))],
    );
    assert_eq!(outcome(&auth, &request, Doors::Usual), Ok(Caller::Session));
    assert!(!auth.sessions().is_worth_renewing(request.headers()));
    hand.advance(Duration::from_hours(25));
    assert!(auth.sessions().is_worth_renewing(request.headers()));
    hand.advance(Duration::from_secs(29 * 24 * 3600 - 3600 - 1));
    assert_eq!(outcome(&auth, &request, Doors::Usual), Ok(Caller::Session));
    hand.advance(Duration::from_secs(1));
    assert_eq!(outcome(&auth, &request, Doors::Usual), Err(401));
}

#[test]
fn a_session_survives_a_restart_and_ends_with_the_key() {
    let (clock, _) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    let cookie = cookie_of(
        &auth_of("error-tracker", KEY, &clock)
            .sessions()
            .start(false),
    );
    let request = request("GET", "/", &[("Cookie", &cookie)]);
    let again = auth_of("error-tracker", KEY, &clock);
    assert_eq!(outcome(&again, &request, Doors::Usual), Ok(Caller::Session));
    let other_key = auth_of("error-tracker", "another", &clock);
    assert_eq!(outcome(&other_key, &request, Doors::Usual), Err(401));
}

#[test]
fn a_session_of_another_service_or_a_forged_one_does_not_open() {
    let (clock, _) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    let errors = auth_of("error-tracker", KEY, &clock);
    let logs = cookie_of(&auth_of("log-viewer", KEY, &clock).sessions().start(false));
    let renamed = logs.replace("log-viewer", "error-tracker");
    let good = cookie_of(&errors.sessions().start(false));
    let (name, token) = good.split_once('=').unwrap();
    let (expiry, mac) = token.split_once('.').unwrap();
    let later = expiry.parse::<i64>().unwrap() + 1;
    let forged = [
        logs,
        renamed,
        format!("{name}={later}.{mac}"),
        format!("{name}=+{expiry}.{mac}"),
        format!("{name}={expiry}.{}", mac.to_uppercase()),
        format!("{name}={expiry}.{}", mac.get(2..).unwrap()),
        format!("{name}={expiry}."),
        format!("{name}={expiry}"),
        format!("{name}=99999999999999999999999.{mac}"),
        format!("{name}="),
        name.to_owned(),
    ];
    for cookie in forged {
        let request = request("GET", "/", &[("Cookie", &cookie)]);
        assert_eq!(
            outcome(&errors, &request, Doors::Usual),
            Err(401),
            "{cookie}"
        );
    }
    // A stale cookie of another path before the good one does no harm.
    let both = request("GET", "/", &[("Cookie", &format!("{name}=1.00; {good}"))]);
    assert_eq!(outcome(&errors, &both, Doors::Usual), Ok(Caller::Session));
}

#[test]
fn a_write_by_cookie_needs_proof_of_its_origin() {
    let (auth, _) = auth();
    let cookie = cookie_of(&auth.sessions().start(false));
    let check = |method: &str, extra: &[(&str, &str)], expected: Result<Caller, u16>| {
        let mut headers = vec![("Cookie", cookie.as_str()), ("Host", "mon.example:5010")];
        headers.extend(extra);
        let found = outcome(&auth, &request(method, "/api/x", &headers), Doors::Usual);
        assert_eq!(found, expected, "{method} {extra:?}");
    };
    let proof = ("X-Requested-With", "monlight");
    check("GET", &[], Ok(Caller::Session));
    check("HEAD", &[], Ok(Caller::Session));
    check("POST", &[], Err(403));
    check("DELETE", &[], Err(403));
    check("POST", &[("X-Requested-With", "XMLHttpRequest")], Err(403));
    check("POST", &[proof], Ok(Caller::Session));
    check(
        "POST",
        &[proof, ("Sec-Fetch-Site", "same-origin")],
        Ok(Caller::Session),
    );
    for site in ["same-site", "cross-site", "none", ""] {
        check("POST", &[proof, ("Sec-Fetch-Site", site)], Err(403));
    }
    check("POST", &[("Sec-Fetch-Site", "same-origin")], Err(403));
    check(
        "POST",
        &[proof, ("Origin", "http://mon.example:5010")],
        Ok(Caller::Session),
    );
    check(
        "POST",
        &[proof, ("Origin", "https://MON.example:5010")],
        Ok(Caller::Session),
    );
    for origin in [
        "http://mon.example:5011",
        "http://evil.example",
        "null",
        "http://mon.example",
    ] {
        check("POST", &[proof, ("Origin", origin)], Err(403));
    }
    // Only a trusted proxy may say by what name the browser knows the service.
    check(
        "POST",
        &[
            proof,
            ("Origin", "https://mon.org"),
            ("X-Forwarded-Host", "mon.org"),
        ],
        Err(403),
    );
    let request = request(
        "POST",
        "/api/x",
        &[
            ("Cookie", &cookie),
            ("Host", "10.0.0.7"),
            proof,
            ("Origin", "https://mon.org"),
            ("X-Forwarded-Host", "mon.org"),
        ],
    );
    let proxied = Client {
        proxied: true,
        ..client()
    };
    assert!(
        auth.check(&Presented::by(&request, proxied), Doors::Usual)
            .is_ok()
    );
}

#[test]
fn wrong_keys_are_slowed_down_and_the_right_one_is_not() {
    let (auth, hand) = auth();
    let wrong = request("GET", "/", &[("X-API-Key", "guess")]);
    let right = request("GET", "/", &[("X-API-Key", KEY)]);
    let none = request("GET", "/", &[]);
    for _ in 0..WRONG_KEYS_A_MINUTE {
        assert_eq!(outcome(&auth, &wrong, Doors::Usual), Err(401));
    }
    assert_eq!(outcome(&auth, &wrong, Doors::Usual), Err(429));
    assert_eq!(
        auth.sign_in("guess", client())
            .unwrap_err()
            .status()
            .as_u16(),
        429
    );
    assert_eq!(outcome(&auth, &right, Doors::Usual), Ok(Caller::Key));
    assert!(auth.sign_in(KEY, client()).is_ok());
    assert_eq!(
        outcome(&auth, &none, Doors::Usual),
        Err(401),
        "no key is no guess"
    );
    let elsewhere = Client {
        address: "192.0.2.2".parse().unwrap(),
        ..client()
    };
    assert_eq!(
        auth.check(&Presented::by(&wrong, elsewhere), Doors::Usual)
            .unwrap_err()
            .status(),
        401
    );
    hand.advance(Duration::from_secs(61));
    assert_eq!(outcome(&auth, &wrong, Doors::Usual), Err(401));
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", auth().0);
    assert!(
        !shown.contains("s3cret") && !shown.contains("internal\""),
        "{shown}"
    );
}
