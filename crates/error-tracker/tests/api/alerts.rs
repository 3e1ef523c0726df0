//! Alerts, from the report to a receiver.

use std::time::Duration;

use error_tracker::ErrorTracker;
use error_tracker::tasks::ignored;
use monlight_shared::config::Env;
use monlight_shared::testing::TestService;
use monlight_shared::testing::receiver::{Received, Receiver};
use serde_json::{Value, json};

use super::resolve::state_with;
use super::{accepted, report, report_with};

fn service_with(settings: &[(&str, &str)]) -> TestService {
    let mut all = vec![
        ("ALERT_ALLOW_PRIVATE", "true"),
        ("BASE_URL", "https://m.example/"),
        // The outbox is asked again and again until it is as it should be.
        ("RATE_LIMIT", "0"),
    ];
    all.extend(settings);
    TestService::new::<ErrorTracker>(&all)
}

async fn outbox(service: &TestService, query: &str) -> Value {
    let path = format!("/api/alerts{query}");
    service.get(&path).await.expect(200).json()
}

/// The outbox, once it is as it should be.
async fn outbox_once(service: &TestService, query: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let list = outbox(service, query).await;
        if is(&list) {
            return list;
        }
        assert!(tokio::time::Instant::now() < deadline, "{list}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn new_errors_and_those_that_come_back_are_told() {
    let hook = Receiver::start("200 OK", "", "ok");
    let service = service_with(&[("ALERT_WEBHOOK_URLS", &hook.url("/hook"))]);
    let fields = json!({"request_method": "POST", "request_url": "https://shop.example/pay", "release": "1.2"});
    accepted(&service, &report_with(1, fields)).await;
    accepted(&service, &report(1)).await;
    let told = hook.wait_for(1).await[0].json();
    assert_eq!(told["kind"], "new");
    assert_eq!(told["title"], "[shop] ValueError: invalid input (#1)");
    assert_eq!(told["link"], "https://m.example/errors/1");
    assert_eq!(told["error"]["project"], "shop");

    service.post("/api/errors/1/resolve", "").await.expect(200);
    let again = report_with(1, json!({"message": "worse"}));
    assert_eq!(accepted(&service, &again).await["status"], "reopened");
    let told = hook.wait_for(2).await[1].json();
    assert_eq!(told["kind"], "reopened");
    assert_eq!(told["title"], "[shop] ValueError: worse (#1, came back)");
    assert_eq!(told["error"]["count"], 3);

    let list = outbox_once(&service, "", |list| list["alerts"][0]["state"] == "sent").await;
    let alerts = list["alerts"].as_array().expect("a list");
    let kinds: Vec<_> = alerts.iter().map(|alert| alert["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("reopened"), Some("new")]);
    assert_eq!(alerts[0]["error_id"], 1);
    let delivery = &alerts[0]["deliveries"][0];
    assert_eq!(
        (&delivery["channel"], &delivery["tries"]),
        (&json!("webhook"), &json!(1))
    );
    assert_eq!(delivery["last_error"], Value::Null);
    assert_eq!(list["channels"][0]["last_success"], "2025-01-20T10:00:00Z");
    assert!(
        !list.to_string().contains("/hook"),
        "the URL is secret: {list}"
    );
}

#[tokio::test]
async fn an_alert_that_cannot_be_delivered_is_shown_with_the_reason() {
    let hook = Receiver::start("503 Service Unavailable", "", "try later");
    let service = service_with(&[("SLACK_WEBHOOK_URLS", &hook.url("/secret"))]);
    accepted(&service, &report(1)).await;
    hook.wait_for(1).await;
    let tried = |list: &Value| list["alerts"][0]["deliveries"][0]["tries"] == 1;
    let list = outbox_once(&service, "?state=pending", tried).await;
    let delivery = &list["alerts"][0]["deliveries"][0];
    assert_eq!(delivery["state"], "pending");
    assert_eq!(delivery["next_try"], "2025-01-20T10:00:10Z");
    assert_eq!(
        delivery["last_error"],
        "the server fails (status 503: try later)"
    );
    assert_eq!(list["channels"][0]["failures"], 1);
    assert_eq!(outbox(&service, "?state=sent").await["alerts"], json!([]));
}

#[tokio::test]
async fn beyond_the_limit_alerts_are_collected() {
    let hook = Receiver::start("200 OK", "", "");
    let url = hook.url("/");
    let service = service_with(&[
        ("NTFY_URLS", &hook.url("/t")),
        ("ALERT_WEBHOOK_URLS", &url),
        ("ALERTS_PER_HOUR", "2"),
    ]);
    for line in 1..=5 {
        accepted(&service, &report(line)).await;
    }
    hook.wait_for(4).await;
    let list = outbox_once(&service, "", |list| list["collecting"]["alerts"] == 3).await;
    assert_eq!(list["alerts"][0]["state"], "waiting");
    assert_eq!(list["collecting"]["due"], "2025-01-20T10:01:00Z");
    assert_eq!(
        (&list["told_last_hour"], &list["alerts_per_hour"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        outbox(&service, "?state=waiting&limit=2").await["alerts"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn without_a_channel_nothing_is_kept() {
    let service = service_with(&[]);
    accepted(&service, &report(1)).await;
    assert_eq!(outbox(&service, "").await["alerts"], json!([]));
}

#[tokio::test]
async fn a_test_without_a_channel_says_what_is_missing() {
    let host = "SMTP not configured: SMTP_HOST is not set";
    let emails = "SMTP not configured: ALERT_EMAILS is not set";
    let postmark = [
        ("POSTMARK_API_TOKEN", "t"),
        ("POSTMARK_FROM_EMAIL", "a@b.example"),
    ];
    for (settings, detail) in [
        (vec![], host),
        (vec![("SMTP_HOST", ""), ("ALERT_EMAILS", "")], host),
        (vec![("ALERT_EMAILS", "a@b.example")], host),
        (vec![("SMTP_HOST", "127.0.0.1")], emails),
        (postmark.to_vec(), emails),
    ] {
        let service = service_with(&settings);
        let answer = service.post("/api/test-alert", "").await.expect(503);
        assert_eq!(answer.json(), json!({"detail": detail}));
        service.get("/api/test-alert").await.expect(404);
    }
}

#[tokio::test]
async fn a_test_alert_tries_every_channel() {
    let good = Receiver::start("200 OK", "", "fine");
    let bad = Receiver::start("404 Not Found", "", "no_service");
    let service = service_with(&[
        ("DISCORD_WEBHOOK_URLS", &good.url("/1")),
        ("SLACK_WEBHOOK_URLS", &bad.url("/2")),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", "1"),
        ("ALERT_EMAILS", "ops@x.example"),
    ]);
    let answer = service.post("/api/test-alert", "").await.expect(202);
    let text = answer.text();
    let start = "{\"status\": \"test alert dispatched\", \"detail\": \"Check service logs for SMTP transaction result\", \"channels\": [";
    assert!(text.starts_with(start), "{text}");
    let answer = answer.json();
    let shown: Vec<_> = answer["channels"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            (
                one["channel"].as_str().expect("a text"),
                one["ok"].as_bool().expect("a bool"),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [("smtp", false), ("slack", false), ("discord", true)]
    );
    assert_eq!(answer["channels"][0]["target"], "ops@x.example");
    assert_eq!(
        answer["channels"][1]["detail"],
        "the URL or its secret is not accepted (status 404: no_service)"
    );
    let list = outbox(&service, "").await;
    assert_eq!(list["alerts"], json!([]), "a test is no alert");
    assert!(list["channels"][1]["last_error"].is_string());
    assert_eq!(list["channels"][2]["last_success"], "2025-01-20T10:00:00Z");
}

#[tokio::test]
async fn parameters_of_the_outbox_are_checked() {
    let service = service_with(&[]);
    for (query, why) in [
        ("?limit=0", "limit: \"0\" is no number from 1 to 200"),
        ("?limit=x", "limit: \"x\""),
        (
            "?state=lost",
            "state: \"lost\" is unknown; expected all, waiting",
        ),
    ] {
        let answer = service
            .get(&format!("/api/alerts{query}"))
            .await
            .expect(400)
            .json();
        assert!(
            answer["detail"].as_str().expect("a text").starts_with(why),
            "{answer}"
        );
    }
    assert_eq!(outbox(&service, "?limit=999&state=").await["limit"], 200);
    let keyless = axum_request("/api/alerts");
    service.send(keyless).await.expect(401);
}

fn axum_request(path: &str) -> axum::http::Request<axum::body::Body> {
    axum::http::Request::get(path)
        .body(axum::body::Body::empty())
        .expect("a request")
}

/// Whether anybody heard of it depended on whether a report or the task that looks after times came first.
#[tokio::test]
async fn a_group_whose_time_is_over_is_told_of_once() {
    let hook = Receiver::start("200 OK", "", "");
    let url = hook.url("/");
    let service = service_with(&[("ALERT_WEBHOOK_URLS", &url)]);
    for line in [1, 2] {
        accepted(&service, &report(line)).await;
    }
    hook.wait_for(2).await;
    let lasting = json!({"for": "1h"});
    let ignore = service.post_json("/api/errors/1/ignore", &lasting);
    ignore.await.expect(200);
    service.post("/api/errors/2/resolve", "").await.expect(200);
    service.clock.advance(Duration::from_hours(1));
    let settings = [
        ("ALERT_WEBHOOK_URLS", url.as_str()),
        ("ALERT_ALLOW_PRIVATE", "true"),
    ];
    let state = state_with(&service, Env::of(settings));
    for _ in 0..2 {
        ignored::step(&state).await.expect("runs");
    }
    let status = async |line| accepted(&service, &report(line)).await["status"].clone();
    assert_eq!(status(1).await, "incremented");
    // This one wakes the service's own outbox.
    assert_eq!(status(2).await, "reopened");
    let told = hook.wait_for(4).await;
    let back: Vec<_> = told.iter().skip(2).map(Received::json).collect();
    for (told, id) in back.iter().zip([1, 2]) {
        assert_eq!(
            (&told["kind"], &told["error"]["id"]),
            (&json!("reopened"), &json!(id))
        );
    }
    let list = outbox(&service, "").await;
    assert_eq!(list["alerts"].as_array().map(Vec::len), Some(4), "{list}");
}

#[tokio::test]
async fn a_group_that_was_deleted_is_not_told_of() {
    // Nobody takes anything before the group is gone.
    let hook = Receiver::start("503 Service Unavailable", "", "");
    let service = service_with(&[("ALERT_WEBHOOK_URLS", &hook.url("/"))]);
    accepted(&service, &report(1)).await;
    let tried = |list: &Value| list["alerts"][0]["deliveries"][0]["tries"] == 1;
    outbox_once(&service, "?state=pending", tried).await;
    service.delete("/api/errors/1").await.expect(200);
    service.clock.advance(Duration::from_mins(1));
    // The next alert wakes the channel.
    accepted(&service, &report(2)).await;
    let skipped = |list: &Value| list["alerts"][0]["state"] == "skipped";
    let list = outbox_once(&service, "?state=skipped", skipped).await;
    assert_eq!(list["alerts"][0]["error_id"], 1);
    let delivery = &list["alerts"][0]["deliveries"][0];
    assert_eq!(delivery["last_error"], "what it was about is gone");
}

#[tokio::test]
async fn alerts_survive_a_restart() {
    let hook = Receiver::start("500 Internal Server Error", "", "");
    let settings = |url: String| {
        [
            ("ALERT_ALLOW_PRIVATE", "true".to_owned()),
            ("ALERT_WEBHOOK_URLS", url),
        ]
    };
    let before = settings(hook.url("/"));
    let before: Vec<_> = before
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let service = TestService::new::<ErrorTracker>(&before);
    accepted(&service, &report(1)).await;
    hook.wait_for(1).await;
    let (clock, hand) = (service.ctx.clock.clone(), service.clock.clone());
    let dir = service.stop().await;
    hand.advance(Duration::from_mins(1));
    // The same file, another address of the same kind: what waits for the old one goes there.
    let works = Receiver::start("200 OK", "", "");
    let after = settings(works.url("/"));
    let after: Vec<_> = after
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let service = TestService::with_clock::<ErrorTracker>(dir, &after, clock, hand);
    assert_eq!(works.wait_for(1).await[0].json()["error"]["id"], 1);
    accepted(&service, &report(2)).await;
    assert_eq!(works.wait_for(2).await[1].json()["error"]["id"], 2);
    hook.wait_for(1).await;
}
