//! Events that a page sends again because it did not hear the answer.

use std::time::Duration;

use monlight_shared::clock::Clock;
use monlight_shared::testing::TestConnection;
use serde_json::{Value, json};

use crate::crash::start;
use crate::support::{Fake, PATIENCE, Received, Reply, SHOP, WEB, World, batch, event};

const ERRORS: &str = "/api/browser/errors";
const METRICS: &str = "/api/browser/metrics";
const ID: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
/// This test looks again and again.
const NO_LIMIT: (&str, &str) = ("RATE_LIMIT", "0");

fn with_id(mut body: Value, id: Value) -> Value {
    body["event_id"] = id;
    body
}

/// Of a key, what a service compares if the key says that it has a name.
fn find_name(key: &str) -> Option<&str> {
    let (head, name) = key.split_at_checked(16)?;
    head.ends_with("7e1d").then_some(name)
}

fn name(key: &str) -> &str {
    find_name(key).expect("a name")
}

/// The keys of what came one by one.
fn keys(service: &Fake) -> Vec<String> {
    let key = |received: &Received| received.header("idempotency-key").unwrap().to_owned();
    service.received().iter().map(key).collect()
}

#[tokio::test]
async fn a_repetition_is_passed_on_with_the_name_of_the_first_attempt() {
    let world = World::new();
    for (path, body, service) in [
        (ERRORS, event(), &world.tracker),
        (METRICS, batch(), &world.collector),
    ] {
        let body = with_id(body, json!(ID));
        world.browse(path, WEB, &body).await;
        world.relay.clock.advance(Duration::from_hours(1));
        world.browse(path, WEB, &body).await;
        // In another form, and from another site.
        let same = with_id(body.clone(), json!(ID.replace('-', "").to_uppercase()));
        world.browse(path, WEB, &same).await;
        world.browse(path, SHOP, &body).await;
        let keys = keys(service);
        let names: Vec<_> = keys.iter().map(|key| name(key)).collect();
        assert_eq!([names[0]; 2], names[1..3], "{path}");
        assert_ne!(names[0], names[3], "{path}");
        assert!(keys[0] < keys[1], "each has its time: {keys:?}");
        let sent = String::from_utf8(service.received()[0].body.clone()).unwrap();
        assert!(!sent.contains(ID), "the id is between page and relay");
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
    // A known group is no repetition.
    let incremented = json!({"status": "incremented", "id": 1, "count": 2}).to_string();
    world.tracker.next(Reply::Answer("200 OK", incremented));
    world.browse(ERRORS, WEB, &event()).await.expect(200);
    let metrics = world.relay.get("/metrics").await.text();
    assert!(
        metrics.contains("monlight_relay_events_repeated_total 2"),
        "{metrics}"
    );
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
    assert!(keys.iter().all(|key| find_name(key).is_none()), "{keys:?}");
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
    let received = world.tracker.received();
    let keys: Vec<_> = received.iter().flat_map(all_keys).collect();
    assert!(keys.len() >= 3, "{keys:?}");
    assert!(
        keys.iter().all(|key| name(key) == name(&keys[0])),
        "{keys:?}"
    );
}

/// The keys of what came in a request.
fn all_keys(received: &Received) -> Vec<String> {
    if let Some(key) = received.header("idempotency-key") {
        return vec![key.to_owned()];
    }
    let items: Vec<Value> = serde_json::from_slice(&received.body).expect("a batch");
    let key = |item: &Value| item["key"].as_str().expect("a key").to_owned();
    items.iter().map(key).collect()
}

/// Sends to a page's route of a process; the status of the answer, if there was one.
fn post(page: &mut TestConnection, path: &str, body: &Value) -> Option<u16> {
    let path = format!("{path}?key={WEB}");
    let answer = page.post(&path, body.to_string().as_bytes());
    answer.ok().map(|(status, _)| status)
}

#[test]
fn an_event_that_is_sent_again_to_another_process_has_its_name() {
    let (tracker, collector) = (Fake::start(), Fake::start());
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("relay.db");
    for (path, body, service) in [(ERRORS, event(), &tracker), (METRICS, batch(), &collector)] {
        let body = with_id(body, json!(ID));
        // Killed between the service's taking and the page's answer.
        service.next(Reply::Wait);
        let relay = start(&database, &tracker, &collector);
        let mut page = relay.connect();
        std::thread::scope(|scope| {
            scope.spawn(|| post(&mut page, path, &body));
            service.received_at_least_blocking(1);
            relay.kill();
        });
        service.release();
        // Kept by the next one, which is killed too, and sent again to a third.
        service.break_down(true);
        let relay = start(&database, &tracker, &collector);
        assert_eq!(post(&mut relay.connect(), path, &body), Some(202));
        relay.kill();
        let relay = start(&database, &tracker, &collector);
        assert_eq!(post(&mut relay.connect(), path, &body), Some(202));
        service.break_down(false);
        let clock = Clock::system();
        let latest = clock.monotonic() + PATIENCE;
        while relay.metric("monlight_relay_outbox_events{") > 0.0 {
            assert!(clock.monotonic() < latest, "not everything is delivered");
            std::thread::yield_now();
        }
        let received = service.received();
        let keys: Vec<String> = received.iter().flat_map(all_keys).collect();
        assert!(keys.len() >= 4, "{keys:?}");
        let names: Vec<_> = keys.iter().map(|key| name(key)).collect();
        assert!(names.iter().all(|one| *one == names[0]), "{keys:?}");
    }
}
