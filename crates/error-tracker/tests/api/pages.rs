//! Pages, health and metrics.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::{accepted, metric, report, service};

#[tokio::test]
async fn the_pages_open_without_a_key() {
    let service = service();
    for path in [
        "/",
        "/index.html",
        "/?project=shop",
        "/errors/1",
        "/errors/999999?x=y",
    ] {
        let request = Request::get(path)
            .header("x-api-key", "wrong")
            .body(Body::empty());
        let answer = service.send(request.expect("a request")).await.expect(200);
        assert_eq!(
            answer.header("content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
        assert!(answer.text().contains("<html"), "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[tokio::test]
async fn health_is_open_and_takes_a_query() {
    let service = service();
    for path in ["/health", "/health?x=1"] {
        let answer = service
            .send(Request::get(path).body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(answer.expect(200).json()["status"], json!("ok"));
    }
}

#[tokio::test]
async fn metrics_tell_about_groups_and_reports() {
    let service = service();
    accepted(&service, &report(1)).await;
    assert_eq!(
        metric(&service, "monlight_error_reports_total{result=\"created\"}").await,
        1.0
    );
    assert_eq!(
        metric(&service, "monlight_error_reports_total{result=\"failed\"}").await,
        0.0
    );
}
