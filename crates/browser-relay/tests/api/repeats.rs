//! Events that a page sends again because it did not hear the answer.

use serde_json::{Value, json};

use crate::support::{Fake, Received, Reply, SHOP, WEB, World, batch, event};

const ERRORS: &str = "/api/browser/errors";
const METRICS: &str = "/api/browser/metrics";
const ID: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
/// This test looks again and again.
const NO_LIMIT: (&str, &str) = ("RATE_LIMIT", "0");

fn with_id(mut body: Value, id: Value) -> Value {
    body["event_id"] = id;
    body
}

/// The keys of what came one by one.
fn keys(service: &Fake) -> Vec<String> {
    let key = |received: &Received| received.header("idempotency-key").unwrap().to_owned();
    service.received().iter().map(key).collect()
}

#[tokio::test]
async fn a_repetition_is_passed_on_with_the_key_of_the_first_attempt() {
    let world = World::new();
    for (path, body, service) in [
        (ERRORS, event(), &world.tracker),
        (METRICS, batch(), &world.collector),
    ] {
        let body = with_id(body, json!(ID));
        world.browse(path, WEB, &body).await;
        world.browse(path, WEB, &body).await;
        // In another form, and from another site.
        let same = with_id(body.clone(), json!(ID.replace('-', "").to_uppercase()));
        world.browse(path, WEB, &same).await;
        world.browse(path, SHOP, &body).await;
        let keys = keys(service);
        assert_eq!((&keys[0], &keys[0]), (&keys[1], &keys[2]), "{path}");
        assert_ne!(keys[0], keys[3], "{path}");
        let sent = String::from_utf8(service.received()[0].body.clone()).unwrap();
        assert!(!sent.contains(ID), "the id is between page and relay");
    }
    let metrics = world.relay.get("/metrics").await.text();
    for line in [
        "monlight_relay_event_ids 4",
        "monlight_relay_event_ids_max 25000",
        "monlight_relay_events_repeated_total 4",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn the_page_hears_what_the_service_says_of_a_repetition() {
    let world = World::new();
    let duplicate = json!({"status": "duplicate"});
    let body = with_id(event(), json!(ID));
    world.browse(ERRORS, WEB, &body).await.expect(201);
    world
        .tracker
        .next(Reply::Answer("200 OK", duplicate.to_string()));
    let answer = world.browse(ERRORS, WEB, &body).await.expect(200);
    assert_eq!(answer.json(), duplicate);
    let body = with_id(batch(), json!(ID));
    world
        .collector
        .next(Reply::Answer("200 OK", duplicate.to_string()));
    let answer = world.browse(METRICS, WEB, &body).await.expect(202);
    assert_eq!(answer.json(), json!({"status": "accepted", "count": 1}));
}

#[tokio::test]
async fn without_an_id_every_event_is_its_own() {
    let world = World::new();
    for id in [
        json!(null),
        json!(7),
        json!(""),
        json!("x"),
        json!([ID]),
        json!({"id": ID}),
    ] {
        for _ in 0..2 {
            let body = with_id(event(), id.clone());
            world.browse(ERRORS, WEB, &body).await.expect(201);
        }
    }
    let mut keys = keys(&world.tracker);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 12);
}

#[tokio::test]
async fn what_is_kept_is_recognised_too() {
    let world = World::with(&[NO_LIMIT]);
    world.tracker.break_down(true);
    let body = with_id(event(), json!(ID));
    for _ in 0..2 {
        let answer = world.browse(ERRORS, WEB, &body).await.expect(202);
        assert_eq!(answer.json(), json!({"status": "queued"}));
    }
    world.tracker.break_down(false);
    world.outbox_empty().await;
    let items = |received: &Received| -> Vec<String> {
        if let Some(key) = received.header("idempotency-key") {
            return vec![key.to_owned()];
        }
        let items: Vec<Value> = serde_json::from_slice(&received.body).expect("a batch");
        let key = |item: &Value| item["key"].as_str().expect("a key").to_owned();
        items.iter().map(key).collect()
    };
    let keys: Vec<_> = world.tracker.received().iter().flat_map(items).collect();
    assert!(keys.len() >= 3, "{keys:?}");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}
