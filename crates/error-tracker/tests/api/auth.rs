//! Who may do what.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use super::{report, service};

#[tokio::test]
async fn every_route_needs_the_key_known_or_not() {
    let service = service();
    for (method, path) in [
        ("POST", "/api/errors"),
        ("GET", "/api/errors"),
        ("GET", "/api/errors/1"),
        ("POST", "/api/errors/1/resolve"),
        ("POST", "/api/errors/1/reopen"),
        ("POST", "/api/errors/1/ignore"),
        ("PUT", "/api/errors/1/note"),
        ("POST", "/api/errors/1/merge"),
        ("POST", "/api/errors/bulk"),
        ("DELETE", "/api/errors/1"),
        ("GET", "/api/projects"),
        ("POST", "/api/test-alert"),
        ("GET", "/api/unknown"),
        ("OPTIONS", "/api/errors"),
        ("POST", "/"),
    ] {
        for key in [None, Some(""), Some("wrong"), Some("test-key1")] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(key) = key {
                request = request.header("X-Api-Key", key);
            }
            let answer = service
                .send(request.body(Body::empty()).expect("a request"))
                .await;
            assert_eq!(answer.status, 401, "{method} {path} {key:?}");
            assert_eq!(answer.json(), json!({"detail": "Invalid API key"}));
        }
    }
}

#[tokio::test]
async fn the_key_may_stand_in_the_query_when_there_is_no_header() {
    let service = service();
    let send = |method: &str, path: &str, key: Option<&str>, body: String| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        service.send(request.body(Body::from(body)).expect("a request"))
    };
    let report = report(1).to_string();
    send("POST", "/api/errors?api_key=test-key", None, report)
        .await
        .expect(201);
    send("GET", "/api/errors?api_key=test-key", None, String::new())
        .await
        .expect(200);
    send(
        "GET",
        "/api/errors?api_key=test-key",
        Some("wrong"),
        String::new(),
    )
    .await
    .expect(401);
    send(
        "GET",
        "/api/errors?api_key=wrong",
        Some("test-key"),
        String::new(),
    )
    .await
    .expect(200);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_404_behind_the_key() {
    let service = service();
    for (method, path) in [
        (Method::PUT, "/api/errors"),
        (Method::PATCH, "/api/errors/1"),
        (Method::PUT, "/api/errors/1/resolve"),
        (Method::DELETE, "/api/projects"),
        (Method::OPTIONS, "/api/errors"),
        (Method::GET, "/api"),
        (Method::GET, "/api/projects/"),
        (Method::GET, "/API/errors"),
        (Method::GET, "/errors"),
        (Method::POST, "/api/errors/"),
        (Method::POST, "/api/errors/1"),
        (Method::PUT, "/api/errors/bulk"),
        (Method::GET, "/api/errors/1/merge"),
        (Method::DELETE, "/api/errors/1/note"),
        (Method::POST, "/api/errors/1/resolve/"),
        (Method::POST, "/api/errors/1/resolvex"),
    ] {
        let request = service.request(method.clone(), path).body(Body::empty());
        let answer = service.send(request.expect("a request")).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(
            answer.json(),
            json!({"detail": "Not found"}),
            "{method} {path}"
        );
    }
}
