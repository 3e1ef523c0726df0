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
async fn a_report_with_a_known_name_is_not_counted_again_whatever_its_time() {
    let service = TestService::new::<ErrorTracker>(&[]);
    let key = |minutes: i64, name| Key::named(NOW_MS - minutes * 60_000, name).to_string();
    send(&service, &key(30, 7), &report("m")).await.expect(201);
    let again = send(&service, &key(2, 7), &report("m")).await.expect(200);
    assert_eq!(again.json(), json!({"status": "duplicate"}));
    // Also with another body: nobody looks into it, as of any key.
    let other = send(&service, &key(1, 7), &report("other")).await;
    assert_eq!(other.json(), json!({"status": "duplicate"}));
    let item = |minutes, name| json!({"key": key(minutes, name), "document": report("m")});
    let batch = json!([item(9, 7), item(5, 8), item(4, 8), item(3, 9)]);
    let service = TestService::on::<ErrorTracker>(service.stop().await, &[]);
    for path in ["/api/errors/batch", "/api/errors/batch?live=1"] {
        service.post_json(path, &batch).await.expect(200);
        assert_eq!(total(&service).await, 3, "{path}");
    }
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

#[tokio::test]
async fn a_live_batch_is_told_what_each_report_would_be() {
    let service = TestService::new::<ErrorTracker>(&[]);
    // The sender's clock is an hour late, which is nobody's business.
    let item = |counter, document: Value| {
        let key = Key::new(NOW_MS - 3_600_000, 2, counter).to_string();
        json!({"key": key, "document": document})
    };
    let batch = json!([
        item(1, report("m")),
        item(2, json!({"project": "p"})),
        item(3, report("m")),
        item(1, report("m")),
    ]);
    let live = "/api/errors/batch?live=1";
    let answer = service.post_json(live, &batch).await.expect(200).json();
    let group = service.get("/api/errors/1").await.json();
    let fingerprint = group["fingerprint"].clone();
    let detail = "Missing required field: exception_type";
    assert_eq!(
        answer,
        json!({"results": [
            {"status": 201, "answer": {"status": "created", "id": 1, "fingerprint": fingerprint}},
            {"status": 400, "detail": detail},
            {"status": 200, "answer": {"status": "incremented", "id": 1, "count": 2}},
            {"status": 200, "answer": {"status": "duplicate"}},
        ]})
    );
    assert_eq!(group["first_seen"], "2025-01-20T10:00:00Z");
    // It came before the group was resolved, if its key is asked; but it comes now.
    service.post("/api/errors/1/resolve", "").await.expect(200);
    let batch = json!([item(4, report("m"))]);
    let answer = service.post_json(live, &batch).await.expect(200).json();
    assert_eq!(answer["results"][0]["status"], 201);
    assert_eq!(
        answer["results"][0]["answer"],
        json!({"status": "reopened", "id": 1, "count": 3})
    );
}

#[tokio::test]
async fn what_was_kept_elsewhere_has_the_time_when_it_came_there() {
    const HOUR_MS: i64 = 3_600_000;
    let service = TestService::new::<ErrorTracker>(&[]);
    let deliver = async |made_at: i64, counter: u32, message: &str| {
        let key = Key::new(made_at, 2, counter).to_string();
        let batch = json!([{"key": key, "document": report(message)}]);
        service
            .post_json("/api/errors/batch", &batch)
            .await
            .expect(200);
    };
    let times = async || {
        let group = service.get("/api/errors/1").await.json();
        let occurrences = group["occurrences"]
            .as_array()
            .expect("occurrences")
            .clone();
        let times = occurrences
            .iter()
            .map(|one| one["timestamp"].as_str().expect("a time").to_owned());
        (
            group["last_seen"].clone(),
            group["status"].clone(),
            times.collect::<Vec<_>>(),
        )
    };
    deliver(NOW_MS - 2 * HOUR_MS, 1, "m").await;
    let (last_seen, _, seen) = times().await;
    assert_eq!(
        (last_seen, seen),
        (
            json!("2025-01-20T08:00:00Z"),
            vec!["2025-01-20T08:00:00Z".to_owned()]
        )
    );
    // A clock that is ahead, and one that is far behind.
    deliver(NOW_MS + 5 * HOUR_MS, 2, "m").await;
    deliver(0, 3, "m").await;
    let (last_seen, _, mut seen) = times().await;
    seen.sort_unstable();
    assert_eq!(last_seen, "2025-01-20T10:00:00Z");
    assert_eq!(
        seen,
        [
            "2025-01-17T10:00:00Z",
            "2025-01-20T08:00:00Z",
            "2025-01-20T10:00:00Z"
        ]
    );
    // What came before the group was resolved does not bring it back.
    service
        .post_json("/api/errors/1/resolve", &json!({}))
        .await
        .expect(200);
    deliver(NOW_MS - HOUR_MS, 4, "m").await;
    let state = async || {
        let list = service.get("/api/errors?resolved=true").await.json();
        list["errors"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(state().await, 1);
    deliver(NOW_MS, 5, "m").await;
    assert_eq!(state().await, 0);
}
