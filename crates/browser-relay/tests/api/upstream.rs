//! What a browser is told when the services behind the relay do not do their part and nothing can be kept.

use browser_relay::BrowserRelay;
use monlight_shared::testing::TestService;
use serde_json::json;

use crate::support::{BASE, Reply, WEB, World, batch, event, request};

#[track_caller]
fn check(
    answer: &monlight_shared::testing::TestResponse,
    status: u16,
    detail: &str,
    retry_after: Option<&str>,
) {
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (status, json!({"detail": detail}))
    );
    let sent = answer
        .headers
        .get("retry-after")
        .map(|value| value.to_str().unwrap());
    assert_eq!(sent, retry_after);
}

/// Nothing is kept for later.
const NO_OUTBOX: (&str, &str) = ("OUTBOX_MAX_EVENTS", "0");

#[tokio::test]
async fn faults_of_the_service_are_no_fault_of_the_page() {
    let world = World::with(&[NO_OUTBOX]);
    for (reply, retry_after) in [
        (
            Reply::Answer("500 Oops", "<html>secret</html>".to_owned()),
            Some("5"),
        ),
        (
            Reply::Answer("503 Busy\r\nRetry-After: 7", String::new()),
            Some("7"),
        ),
        (
            Reply::Answer("429 Slow down\r\nRetry-After: 9", String::new()),
            Some("9"),
        ),
        (
            Reply::Answer(
                "401 Unauthorized",
                r#"{"detail":"Invalid API key"}"#.to_owned(),
            ),
            None,
        ),
        (
            Reply::Answer("404 Not Found", r#"{"detail":"Not found"}"#.to_owned()),
            None,
        ),
        (Reply::Answer("204 No Content", String::new()), None),
        (Reply::HangUp, Some("5")),
    ] {
        world.tracker.next(reply.clone());
        check(
            &world.browse("/api/browser/errors", WEB, &event()).await,
            502,
            "Upstream error",
            retry_after,
        );
        world.collector.next(reply);
        check(
            &world.browse("/api/browser/metrics", WEB, &batch()).await,
            502,
            "Upstream error",
            retry_after,
        );
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let world = World::with(&[NO_OUTBOX]);
    let elsewhere = Box::leak(
        format!(
            "302 Found\r\nLocation: {}/api/errors",
            world.collector.url()
        )
        .into_boxed_str(),
    );
    world.tracker.next(Reply::Answer(elsewhere, String::new()));
    check(
        &world.browse("/api/browser/errors", WEB, &event()).await,
        502,
        "Upstream error",
        None,
    );
    assert!(world.collector.received().is_empty());
}

#[tokio::test]
async fn a_refusal_of_the_event_is_told_to_the_page() {
    let world = World::new();
    let detail = "Field 'exception_type' must be 1-200 characters";
    for status in ["400 Bad Request", "413 Too Large", "422 No"] {
        world
            .tracker
            .next(Reply::Answer(status, json!({"detail": detail}).to_string()));
        check(
            &world.browse("/api/browser/errors", WEB, &event()).await,
            400,
            detail,
            None,
        );
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_an_upstream_error() {
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let mut settings = vec![
        ("ERROR_TRACKER_URL", url.as_str()),
        ("METRICS_COLLECTOR_URL", url.as_str()),
    ];
    settings.extend(BASE);
    settings.push(NO_OUTBOX);
    let relay = TestService::new::<BrowserRelay>(&settings);
    let post = |path, body: &serde_json::Value| {
        request(
            axum::http::Method::POST,
            path,
            WEB,
            &[],
            body.to_string().into(),
        )
    };
    check(
        &relay.send(post("/api/browser/errors", &event())).await,
        502,
        "Upstream error",
        Some("5"),
    );
    check(
        &relay.send(post("/api/browser/metrics", &batch())).await,
        502,
        "Upstream error",
        Some("5"),
    );
    check(
        &relay.send(post("/api/browser/errors", &json!({}))).await,
        400,
        "Missing required field: type",
        None,
    );
    let trouble =
        json!({"error-tracker": "cannot be reached", "metrics-collector": "cannot be reached"});
    assert_eq!(
        relay.get("/health").await.json(),
        json!({"status": "ok", "upstreams": trouble})
    );
}

#[tokio::test]
async fn a_service_that_says_nothing_is_given_up() {
    let world = World::with(&[NO_OUTBOX]);
    // The connection is made with the clock running; then the only thing left to wait for is the time-out.
    world.browse("/api/browser/errors", WEB, &event()).await;
    world.tracker.next(Reply::Wait);
    tokio::time::pause();
    check(
        &world.browse("/api/browser/errors", WEB, &event()).await,
        502,
        "Upstream error",
        Some("5"),
    );
    tokio::time::resume();
    let text = world.relay.get("/metrics").await.text();
    assert!(
        text.contains(r#"failures_total{upstream="error-tracker",reason="timeout"} 1"#),
        "{text}"
    );
    world.tracker.release();
}

#[tokio::test]
async fn connections_are_used_again() {
    let world = World::new();
    for _ in 0..3 {
        world.browse("/api/browser/errors", WEB, &event()).await;
    }
    let received = world.tracker.received();
    assert_eq!(received.len(), 3);
    assert!(
        received
            .iter()
            .all(|request| request.header("connection").is_none())
    );
}

#[tokio::test]
async fn an_address_with_a_path_and_slashes_is_used_as_meant() {
    let world = World::new();
    let url = format!("{}/base//", world.tracker.url());
    let mut settings = vec![
        ("ERROR_TRACKER_URL", url.as_str()),
        ("METRICS_COLLECTOR_URL", url.as_str()),
    ];
    settings.extend(BASE);
    let relay = TestService::new::<BrowserRelay>(&settings);
    relay
        .send(request(
            axum::http::Method::POST,
            "/api/browser/errors",
            WEB,
            &[],
            event().to_string().into(),
        ))
        .await;
    assert_eq!(
        world.tracker.received()[0].line,
        "POST /base/api/errors HTTP/1.1"
    );
}

#[tokio::test]
async fn a_client_for_https_can_be_built() {
    let mut settings = vec![
        ("ERROR_TRACKER_URL", "https://127.0.0.1:1"),
        ("METRICS_COLLECTOR_URL", "https://127.0.0.1:1"),
    ];
    settings.extend(BASE);
    settings.push(NO_OUTBOX);
    let relay = TestService::new::<BrowserRelay>(&settings);
    let answer = relay
        .send(request(
            axum::http::Method::POST,
            "/api/browser/errors",
            WEB,
            &[],
            event().to_string().into(),
        ))
        .await;
    check(&answer, 502, "Upstream error", Some("5"));
}
