//! Events that the services behind the relay cannot take when they come.

use std::time::Duration;

use axum::http::Method;
use browser_relay::BrowserRelay;
use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use crate::support::{BASE, Received, Reply, SHOP, WEB, World, batch, event, request};

const ERRORS: &str = "/api/browser/errors";
const METRICS: &str = "/api/browser/metrics";
/// These tests look again and again.
const NO_LIMIT: (&str, &str) = ("RATE_LIMIT", "0");

fn failing() -> Reply {
    Reply::Answer("500 Oops", String::new())
}

async fn queued(world: &World, path: &str, key: &str, body: &Value) {
    let answer = world.browse(path, key, body).await.expect(202);
    assert_eq!(answer.json(), json!({"status": "queued"}));
}

fn numbered(number: usize) -> Value {
    let mut event = event();
    event["message"] = json!(number.to_string());
    event
}

/// Three events wait, and so that the next batch holds all of them.
async fn three_wait(world: &World) {
    wait(world, 3).await;
}

/// As many events wait as that, and the next batch begins with them.
async fn wait(world: &World, count: usize) {
    world.tracker.break_down(true);
    for number in 0..count {
        queued(world, ERRORS, WEB, &numbered(number)).await;
    }
    // One batch may have been made before the last event came.
    let tried = world.tracker.received().len();
    world.tracker.received_at_least(tried + 2).await;
}

/// The documents of a batch and their keys.
fn items(received: &Received) -> Vec<(String, Value)> {
    let items: Vec<Value> = serde_json::from_slice(&received.body).expect("a batch");
    let item = |item: &Value| {
        let key = item["key"].as_str().expect("a key").to_owned();
        (key, item["document"].clone())
    };
    items.iter().map(item).collect()
}

#[tokio::test]
async fn what_cannot_be_taken_now_is_delivered_later_in_order() {
    let world = World::with(&[NO_LIMIT]);
    for _ in 0..2 {
        world.tracker.next(failing());
    }
    for number in 0..5 {
        queued(&world, ERRORS, WEB, &numbered(number)).await;
    }
    world.outbox_empty().await;
    let received = world.tracker.received();
    assert!(received[0].line.starts_with("POST /api/errors HTTP"));
    let first = received[0].header("idempotency-key").unwrap();
    assert!(
        received[1..]
            .iter()
            .all(|request| request.line.starts_with("POST /api/errors/batch "))
    );
    let delivered: Vec<_> = received[2..].iter().flat_map(items).collect();
    assert_eq!(delivered[0].0, first, "the key of the first attempt");
    let messages: Vec<_> = delivered
        .iter()
        .map(|(_, report)| report["message"].clone())
        .collect();
    assert_eq!(messages, ["0", "1", "2", "3", "4"]);
    assert!(delivered.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(delivered[0].1["project"], "web");
    // Afterwards events go straight on.
    world.browse(ERRORS, WEB, &event()).await.expect(201);
    let metrics = world.relay.get("/metrics").await.text();
    for line in [
        "monlight_relay_outbox_total{upstream=\"error-tracker\",result=\"queued\"} 5",
        "monlight_relay_outbox_total{upstream=\"error-tracker\",result=\"delivered\"} 5",
        "monlight_relay_outbox_events{upstream=\"error-tracker\"} 0",
        "monlight_relay_outbox_bytes{upstream=\"error-tracker\"} 0",
        "monlight_relay_outbox_events_max 250000",
        "monlight_relay_events_total{kind=\"error\",result=\"queued\"} 5",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn every_kind_of_trouble_is_waited_out() {
    let world = World::with(&[NO_LIMIT]);
    for reply in [
        Reply::HangUp,
        Reply::Answer("503 Busy\r\nRetry-After: 0", String::new()),
        Reply::Answer("429 Slow down\r\nRetry-After: 0", String::new()),
        Reply::Answer(
            "401 Unauthorized",
            r#"{"detail":"Invalid API key"}"#.to_owned(),
        ),
        Reply::Answer("404 Not Found", String::new()),
    ] {
        world.collector.next(reply);
        queued(&world, METRICS, WEB, &batch()).await;
        world.outbox_empty().await;
    }
    assert_eq!(world.collector.received().len(), 10);
}

#[tokio::test]
async fn one_service_does_not_hold_up_the_other() {
    let world = World::with(&[NO_LIMIT]);
    for _ in 0..100 {
        world.tracker.next(failing());
    }
    queued(&world, ERRORS, WEB, &event()).await;
    world.browse(METRICS, WEB, &batch()).await.expect(202);
    assert_eq!(world.collector.received().len(), 1);
    let shown = world.relay.get("/api/outbox").await.expect(200).json();
    let side = &shown["upstreams"][0];
    assert_eq!(
        (
            &side["upstream"],
            &side["events"],
            &side["oldest"],
            &side["trouble"]
        ),
        (
            &json!("error-tracker"),
            &json!(1),
            &json!("2025-01-20T10:00:00Z"),
            &json!("fails")
        )
    );
    assert_eq!(shown["upstreams"][1]["events"], 0);
    assert_eq!(
        (
            &shown["max_events"],
            &shown["max_bytes"],
            &shown["max_age_seconds"]
        ),
        (&json!(250_000), &json!(1_024_000_000), &json!(86_400))
    );
    let plain = world.plain(Method::GET, "/api/outbox", WEB, &[]).await;
    assert_eq!(plain.status.as_u16(), 401);
}

#[tokio::test]
async fn metrics_that_wait_keep_the_time_when_they_came() {
    let world = World::with(&[NO_LIMIT]);
    world.collector.next(failing());
    queued(&world, METRICS, WEB, &batch()).await;
    let received = world.collector.received_at_least(2).await;
    let sent = &items(&received[1])[0].1;
    assert_eq!(sent[0]["timestamp"], "2025-01-20T10:00:00.000Z");
    assert_eq!(
        received[0].header("idempotency-key").unwrap(),
        items(&received[1])[0].0
    );
}

#[tokio::test]
async fn an_event_that_is_refused_later_is_counted_and_does_not_come_again() {
    let world = World::with(&[NO_LIMIT]);
    three_wait(&world).await;
    let results = json!({"results": [
        {"status": 400, "detail": "Field 'exception_type' must be 1-200 characters"}, {"status": 503}, {"status": 200}]});
    world
        .tracker
        .next(Reply::Answer("200 OK", results.to_string()));
    world.tracker.break_down(false);
    world.outbox_empty().await;
    let received = world.tracker.received();
    assert_eq!(
        items(received.last().unwrap())[0].1["message"],
        "1",
        "only what was not taken"
    );
    assert_eq!(items(received.last().unwrap()).len(), 1);
    let metrics = world.relay.get("/metrics").await.text();
    for line in ["result=\"refused\"} 1", "result=\"delivered\"} 2"] {
        let line = format!("monlight_relay_outbox_total{{upstream=\"error-tracker\",{line}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_service_that_fails_at_single_events_is_in_trouble() {
    for (status, trouble, reason) in [
        (429, "is overloaded", "overloaded"),
        (500, "fails", "server_error"),
    ] {
        let world = World::with(&[NO_LIMIT]);
        three_wait(&world).await;
        let failures = async || {
            let name =
                "monlight_relay_upstream_failures_total{upstream=\"error-tracker\",reason=\"";
            let metrics = world.relay.get("/metrics").await.text();
            let value = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(reason));
            value
                .and_then(|value| value.strip_prefix("\"} ")?.parse::<u64>().ok())
                .expect(reason)
        };
        // What was broken altogether until now failed with 500.
        let before = failures().await;
        // Then the first of them alone.
        for statuses in [&[status, 201, status][..], &[status]] {
            let results: Vec<_> = statuses
                .iter()
                .map(|status| json!({"status": status}))
                .collect();
            let answer = json!({"results": results}).to_string();
            world.tracker.next(Reply::Answer("200 OK", answer));
        }
        world.tracker.next(Reply::Wait);
        world.tracker.break_down(false);
        world.tracker.used_replies().await;
        let shown = world.relay.get("/api/outbox").await.json();
        let side = &shown["upstreams"][0];
        assert_eq!((&side["events"], &side["dead"]), (&json!(2), &json!(0)));
        assert_eq!(side["trouble"], trouble, "{status}");
        let health = world.relay.get("/health").await.json();
        assert_eq!(health["upstreams"]["error-tracker"], trouble);
        assert!(failures().await >= before + 2, "{status}");
        world.tracker.release();
        world.outbox_empty().await;
        let received = world.tracker.received();
        let messages: Vec<_> = received[received.len() - 2..]
            .iter()
            .flat_map(items)
            .map(|(_, report)| report["message"].clone())
            .collect();
        assert_eq!(messages, ["0", "2"], "in their order");
        let health = world.relay.get("/health").await.json();
        assert_eq!(health["upstreams"], Value::Null);
    }
}

#[tokio::test]
async fn what_will_not_be_taken_is_dead_until_somebody_tries_it_again() {
    let world = World::with(&[NO_LIMIT]);
    three_wait(&world).await;
    let results = json!({"results": [{"status": 404, "detail": "Not found"}, {"status": 401}, {"status": 201}]});
    world
        .tracker
        .next(Reply::Answer("200 OK", results.to_string()));
    world.tracker.break_down(false);
    world.outbox_empty().await;
    let side = |shown: &Value| shown["upstreams"][0].clone();
    let shown = side(&world.relay.get("/api/outbox").await.json());
    assert_eq!((&shown["events"], &shown["dead"]), (&json!(0), &json!(2)));
    assert_eq!(shown["dead_reason"], "401");
    assert_eq!(shown["oldest"], Value::Null);
    // Nobody waits behind the dead.
    let answer = world.browse(ERRORS, WEB, &numbered(7)).await;
    assert_eq!(answer.status.as_u16(), 201);
    let metrics = world.relay.get("/metrics").await.text();
    for line in [
        "monlight_relay_outbox_dead_events{upstream=\"error-tracker\"} 2",
        "monlight_relay_outbox_total{upstream=\"error-tracker\",result=\"dead\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // They outlive the process.
    let settings = world.settings();
    let mut all: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    all.extend(BASE);
    all.push(NO_LIMIT);
    let dir = world.relay.stop().await;
    let relay = TestService::on::<BrowserRelay>(dir, &all);
    let before = world.tracker.received().len();
    let retry = async || relay.post("/api/outbox/retry", "").await.expect(200).json();
    assert_eq!(retry().await, json!({"retried": 2}));
    let received = world.tracker.received_at_least(before + 1).await;
    let again: Vec<_> = received[before..].iter().flat_map(items).collect();
    assert_eq!(again[0].1["message"], "0");
    assert_eq!(retry().await, json!({"retried": 0}));
}

#[tokio::test]
async fn a_batch_that_is_refused_whole_is_cut() {
    let world = World::with(&[NO_LIMIT]);
    three_wait(&world).await;
    for _ in 0..2 {
        let refusal = json!({"detail": "too large"}).to_string();
        world.tracker.next(Reply::Answer("413 Too Large", refusal));
    }
    world.tracker.break_down(false);
    world.outbox_empty().await;
    let received = world.tracker.received();
    let sizes: Vec<_> = received[received.len() - 3..]
        .iter()
        .map(|batch| items(batch).len())
        .collect();
    // Three, then one, which is refused by itself; the other two go.
    assert_eq!(sizes, [3, 1, 2]);
    let metrics = world.relay.get("/metrics").await.text();
    assert!(
        metrics.contains("{upstream=\"error-tracker\",result=\"refused\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_service_that_does_not_say_what_became_of_events_is_in_trouble() {
    let world = World::with(&[NO_LIMIT]);
    for answer in [r#"{"results":[]}"#, r#"{"results":[{"status":"x"}]}"#] {
        world.tracker.break_down(true);
        queued(&world, ERRORS, WEB, &event()).await;
        for _ in 0..100 {
            world
                .tracker
                .next(Reply::Answer("200 OK", answer.to_owned()));
        }
        world
            .outbox_says("trouble", &json!("gives unexpected answers"))
            .await;
        let health = world.relay.get("/health").await.json();
        assert_eq!(
            health["upstreams"]["error-tracker"],
            "gives unexpected answers"
        );
        world.tracker.forget_replies();
        world.tracker.break_down(false);
        world.outbox_empty().await;
    }
}

#[tokio::test]
async fn the_room_is_bounded_and_one_key_gets_three_quarters() {
    let world = World::with(&[("OUTBOX_MAX_EVENTS", "4")]);
    for _ in 0..100 {
        world.tracker.next(failing());
    }
    for _ in 0..3 {
        queued(&world, ERRORS, WEB, &event()).await;
    }
    for key in [WEB, SHOP, SHOP] {
        let answer = world.browse(ERRORS, key, &event()).await;
        if key == SHOP && answer.status.as_u16() == 202 {
            continue;
        }
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (502, json!({"detail": "Upstream error"}))
        );
        assert_eq!(answer.header("retry-after"), "5");
    }
    let shown = world.relay.get("/api/outbox").await.json();
    assert_eq!(shown["upstreams"][0]["events"], 4);
    let metrics = world.relay.get("/metrics").await.text();
    assert!(
        metrics.contains("{upstream=\"error-tracker\",result=\"no_room\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_waits_outlives_a_restart_and_is_given_up_when_it_is_too_old() {
    let world = World::with(&[NO_LIMIT, ("OUTBOX_MAX_HOURS", "1")]);
    for _ in 0..1000 {
        world.tracker.next(failing());
    }
    queued(&world, ERRORS, WEB, &event()).await;
    let before = world.relay.get("/api/outbox").await.json();
    let urls = world.settings();
    let mut settings: Vec<_> = urls
        .iter()
        .map(|(name, url)| (*name, url.as_str()))
        .collect();
    settings.extend(BASE);
    settings.extend([NO_LIMIT, ("OUTBOX_MAX_HOURS", "1")]);
    let World { relay, tracker, .. } = world;
    let relay = TestService::on::<BrowserRelay>(relay.stop().await, &settings);
    let events = async |relay: &TestService| relay.get("/api/outbox").await.json();
    assert_eq!(events(&relay).await["upstreams"][0]["events"], 1);
    assert_eq!(
        events(&relay).await["upstreams"][0]["bytes"],
        before["upstreams"][0]["bytes"]
    );
    // New ones wait behind it without trying.
    let tried = tracker
        .received()
        .iter()
        .filter(|request| !request.line.contains("batch"))
        .count();
    let post = request(Method::POST, ERRORS, WEB, &[], event().to_string().into());
    relay.send(post).await.expect(202);
    let again = tracker
        .received()
        .iter()
        .filter(|request| !request.line.contains("batch"))
        .count();
    assert_eq!(tried, again);
    relay.clock.advance(Duration::from_mins(61));
    let gone = async {
        while events(&relay).await["upstreams"][0]["events"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, gone)
        .await
        .expect("given up");
    let metrics = relay.get("/metrics").await.text();
    assert!(
        metrics.contains("{upstream=\"error-tracker\",result=\"expired\"} 2"),
        "{metrics}"
    );
}
