//! Batches that are sent again, because their sender heard no answer.

use axum::http::Method;
use metrics_collector::MetricsCollector;
use monlight_shared::idempotency::Key;
use monlight_shared::testing::{TEST_START_SECONDS, TestResponse, TestService};
use serde_json::{Value, json};

const NOW_MS: i64 = TEST_START_SECONDS * 1000;

fn points(value: i64) -> Value {
    json!([{"name": "n", "type": "counter", "value": value, "project": "p"}])
}

async fn send(service: &TestService, body: &Value) -> TestResponse {
    let request = service
        .request(Method::POST, "/api/metrics")
        .header("Idempotency-Key", Key::new(NOW_MS, 2, 3).to_string())
        .body(body.to_string().into())
        .expect("a request");
    service.send(request).await
}

async fn received(service: &TestService) -> Value {
    service.get("/health").await.json()["metrics_received_24h"].clone()
}

#[tokio::test]
async fn a_batch_with_a_known_key_is_not_counted_again() {
    let service = TestService::new::<MetricsCollector>(&[]);
    send(&service, &points(1)).await.expect(202);
    let again = send(&service, &points(1)).await.expect(200);
    assert_eq!(again.json(), json!({"status": "duplicate"}));
    assert_eq!(received(&service).await, 1);
}

#[tokio::test]
async fn a_batch_with_a_known_name_is_not_counted_again_whatever_its_time() {
    let service = TestService::new::<MetricsCollector>(&[]);
    let item = |minutes: i64, name| {
        let key = Key::named(NOW_MS - minutes * 60_000, name).to_string();
        json!({"key": key, "document": points(1)})
    };
    let batch = json!([item(9, 7), item(5, 8), item(4, 8), item(3, 7)]);
    let statuses = async |service: &TestService| {
        let answer = service.post_json("/api/metrics/batch", &batch).await;
        let results = answer.expect(200).json()["results"].take();
        let results = results.as_array().cloned().unwrap_or_default();
        let statuses = results.iter().map(|result| result["status"].clone());
        statuses.collect::<Vec<_>>()
    };
    assert_eq!(statuses(&service).await, [202, 202, 200, 200]);
    let service = TestService::on::<MetricsCollector>(service.stop().await, &[]);
    assert_eq!(statuses(&service).await, [200; 4]);
    assert_eq!(received(&service).await, 2);
}

#[tokio::test]
async fn several_batches_are_answered_one_by_one() {
    let service = TestService::new::<MetricsCollector>(&[]);
    send(&service, &points(1)).await.expect(202);
    let item = |counter, document: Value| json!({"key": Key::new(NOW_MS, 2, counter).to_string(), "document": document});
    let batch = json!([
        item(3, points(1)),
        item(4, points(2)),
        item(5, json!([{"name": 5}])),
    ]);
    let answer = service
        .post_json("/api/metrics/batch", &batch)
        .await
        .expect(200)
        .json();
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<_> = results
        .iter()
        .map(|result| result["status"].clone())
        .collect();
    assert_eq!(statuses, [200, 202, 400]);
    assert!(results[2]["detail"].is_string());
    assert_eq!(received(&service).await, 2);
}
