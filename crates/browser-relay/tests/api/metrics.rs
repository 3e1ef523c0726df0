//! `POST /api/browser/metrics`.

use serde_json::{Value, json};

use crate::support::{Reply, WEB, World, batch};

const PATH: &str = "/api/browser/metrics";

#[tokio::test]
async fn a_batch_arrives_with_what_the_relay_knows() {
    let world = World::new();
    let body = json!({
        "metrics": [
            {"name": "web_vitals_lcp", "type": "histogram", "value": 1250.5, "labels": {"plan": "pro", "session_id": "x",
             "project": "evil"}, "timestamp": "2026-11-22T02:11:00.833Z", "project": "evil"},
            {"name": "n", "type": "counter", "value": 1},
        ],
        "session_id": "s-1", "url": "https://shop.example/cart?x=1",
    });
    let answer = world.browse(PATH, WEB, &body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (202, json!({"status": "accepted", "count": 2}))
    );
    let received = &world.collector.received()[0];
    assert_eq!(received.line, "POST /api/metrics HTTP/1.1");
    assert_eq!(received.header("x-api-key"), Some("collector-key"));
    let sent: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(
        sent,
        json!([
            {"name": "web_vitals_lcp", "type": "histogram", "value": 1250.5, "project": "web",
             "labels": {"project": "web", "source": "browser", "page": "/cart", "plan": "pro"},
             "timestamp": "2026-11-22T02:11:00.833Z"},
            {"name": "n", "type": "counter", "value": 1, "project": "web",
             "labels": {"project": "web", "source": "browser", "page": "/cart"}},
        ])
    );
    assert!(world.tracker.received().is_empty());
}

#[tokio::test]
async fn a_full_batch_fits_however_much_is_added_to_it() {
    let world = World::new();
    let metric = json!({"name": "n", "type": "gauge", "value": 1});
    let body =
        json!({"metrics": vec![metric; 1000], "url": "https://shop.example/a/rather/long/path"});
    let answer = world.browse(PATH, WEB, &body).await;
    assert_eq!(answer.json(), json!({"status": "accepted", "count": 1000}));
    assert!(world.collector.received()[0].body.len() > 65_536);
}

#[tokio::test]
async fn any_success_of_the_collector_is_accepted() {
    let world = World::new();
    for status in ["200 OK", "201 Created", "202 Accepted"] {
        world
            .collector
            .next(Reply::Answer(status, "whatever".to_owned()));
        let answer = world.browse(PATH, WEB, &batch()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (202, json!({"status": "accepted", "count": 1}))
        );
    }
}

#[tokio::test]
async fn one_bad_metric_refuses_the_batch() {
    let world = World::new();
    let mut body = batch();
    body["metrics"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "second-is-bad", "type": "gauge"}));
    let answer = world.browse(PATH, WEB, &body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (400, json!({"detail": "Missing required field: value"}))
    );
    assert!(world.collector.received().is_empty());
}
