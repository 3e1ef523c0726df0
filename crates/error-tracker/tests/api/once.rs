//! Reports that are sent again, because their sender heard no answer.

use error_tracker::ErrorTracker;
use monlight_shared::idempotency::Key;
use monlight_shared::testing::{TEST_START_SECONDS, TestResponse, TestService};
use serde_json::{Value, json};

const NOW_MS: i64 = TEST_START_SECONDS * 1000;

const KEY: &str = "0199aa00-0000-7000-8000-000000000001";

async fn send(service: &TestService, key: &str, report: &Value) -> TestResponse {
    let request = service
        .request(axum::http::Method::POST, "/api/errors")
        .header("Idempotency-Key", key)
        .body(report.to_string().into())
        .expect("a request");
    service.send(request).await
}

fn report(message: &str) -> Value {
    json!({"project": "p", "exception_type": "E", "message": message, "traceback": ""})
}

async fn total(service: &TestService) -> Value {
    service.get("/api/errors").await.json()["errors"][0]["count"].clone()
}

#[tokio::test]
async fn a_report_with_a_known_key_is_not_counted_again() {
    let service = TestService::new::<ErrorTracker>(&[]);
    send(&service, KEY, &report("m")).await.expect(201);
    let again = send(&service, &KEY.replace('-', ""), &report("m"))
        .await
        .expect(200);
    assert_eq!(again.json(), json!({"status": "duplicate"}));
    assert_eq!(total(&service).await, 1);
    let wrong = send(&service, "mine", &report("m")).await.expect(400);
    assert_eq!(
        wrong.json(),
        json!({"detail": "An idempotency key must be a UUID of version 7"})
    );
    let service = TestService::on::<ErrorTracker>(service.stop().await, &[]);
    send(&service, KEY, &report("m")).await.expect(200);
    assert_eq!(total(&service).await, 1);
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item() {
    let service = TestService::new::<ErrorTracker>(&[]);
    let item = |counter, document: Value| json!({"key": Key::new(NOW_MS, 2, counter).to_string(), "document": document});
    let batch = json!([
        item(1, report("m")),
        item(2, report("m")),
        item(3, json!({"project": "p"})),
        item(1, report("m")),
    ]);
    let answer = service
        .post_json("/api/errors/batch", &batch)
        .await
        .expect(200)
        .json();
    let statuses: Vec<_> = answer["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|result| result["status"].clone())
        .collect();
    assert_eq!(statuses, [201, 200, 400, 200]);
    assert!(answer["results"][2]["detail"].is_string());
    assert_eq!(total(&service).await, 2);
    service
        .post_json("/api/errors/batch", &json!({}))
        .await
        .expect(400);
    service
        .post_json("/api/errors/batch", &batch)
        .await
        .expect(200);
    assert_eq!(total(&service).await, 2);
}
