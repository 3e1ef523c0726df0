//! Bounds: bodies and requests.

use std::time::Duration;

use error_tracker::ErrorTracker;
use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use super::{report, report_with, service};

/// A report that is `length` bytes long.
fn report_of(length: usize) -> Value {
    let mut report = report_with(1, json!({"message": ""}));
    let missing = length - report.to_string().len();
    report["message"] = json!("x".repeat(missing));
    report
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken_in() {
    let service = service();
    let largest = report_of(262_144);
    let answer = service.post_json("/api/errors", &largest).await.expect(201);
    assert_eq!(answer.json()["id"], 1);
    let detail = service.get("/api/errors/1").await.json();
    assert_eq!(detail["message"], largest["message"]);
    let answer = service
        .post_json("/api/errors", &report_of(262_145))
        .await
        .expect(413);
    assert_eq!(
        answer.json(),
        json!({"detail": "Request body exceeds maximum size"})
    );
}

#[tokio::test]
async fn an_inflated_body_counts_by_its_real_size() {
    let service = service();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &vec![b' '; 50_000_000]).expect("is packed");
    let bomb = gzip.finish().expect("is packed");
    assert!(bomb.len() < 100_000);
    let request = service.request(axum::http::Method::POST, "/api/errors");
    let request = request.header("content-encoding", "gzip").body(bomb.into());
    service.send(request.expect("a request")).await.expect(413);
}

#[tokio::test]
async fn too_many_requests_wait_for_the_window() {
    let service = TestService::new::<ErrorTracker>(&[("RATE_LIMIT", "3")]);
    for status in [200, 404, 400] {
        let answer = match status {
            200 => service.get("/api/errors").await,
            404 => service.get("/api/none").await,
            _ => service.post("/api/errors", "x").await,
        };
        answer.expect(status);
    }
    service.clock.advance(Duration::from_secs(20));
    let refused = service
        .post_json("/api/errors", &report(1))
        .await
        .expect(429);
    assert_eq!(
        refused.json(),
        json!({"detail": "Rate limit exceeded", "retry_after": 40})
    );
    assert_eq!(refused.header("retry-after"), "40");
    service.get("/health").await.expect(200);
    service.clock.advance(Duration::from_secs(40));
    service
        .post_json("/api/errors", &report(1))
        .await
        .expect(201);
}
