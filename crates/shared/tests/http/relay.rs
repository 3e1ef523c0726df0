//! The other order: rate limit, size, key, with open routes and 405.

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request};
use monlight_shared::http::public_only;
use monlight_shared::testing::{TestResponse, TestService};

use crate::demo::Relay;

async fn send(service: &TestService, request: Builder) -> TestResponse {
    service
        .send(request.body(Body::empty()).expect("well formed"))
        .await
}

#[tokio::test]
async fn the_rate_comes_before_the_size_and_the_size_before_the_key() {
    let service = TestService::new::<Relay>(&[("RATE_LIMIT", "3")]);
    let large = |path: &str| Request::post(path).header("content-length", "999999");
    send(&service, large("/api/keys")).await.expect(413);
    send(&service, large("/nowhere")).await.expect(413);
    send(&service, Request::get("/api/keys")).await.expect(401);
    send(&service, large("/api/keys")).await.expect(429);
    send(&service, Request::get("/nowhere")).await.expect(429);
    // The key has a budget of its own.
    service.get("/api/keys").await.expect(200);
}

#[tokio::test]
async fn only_admin_paths_need_the_key() {
    let service = TestService::new::<Relay>(&[]);
    for path in ["/nowhere", "/", "/api/other", "/favicon.ico"] {
        let answer = send(&service, Request::get(path)).await.expect(404);
        assert_eq!(answer.text(), r#"{"detail":"Not found"}"#);
    }
    for path in ["/api/keys", "/api/keysfoo", "/api/maps/unknown"] {
        send(&service, Request::get(path)).await.expect(401);
    }
    service.get("/api/keysfoo").await.expect(404);
    send(&service, Request::get("/metrics")).await.expect(401);
    service.get("/metrics").await.expect(200);
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let service = TestService::new::<Relay>(&[]);
    let answer = send(&service, service.request(Method::PUT, "/api/keys"))
        .await
        .expect(405);
    assert_eq!(answer.text(), r#"{"detail":"Method not allowed"}"#);
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    let answer = send(&service, Request::put("/api/session"))
        .await
        .expect(405);
    assert_eq!(answer.header("allow"), "GET, HEAD, POST, DELETE");
}

#[tokio::test]
async fn open_routes_get_everything_below_their_prefix() {
    let service = TestService::new::<Relay>(&[("RATE_LIMIT", "1")]);
    for _ in 0..3 {
        let request = Request::post("/api/browser/events")
            .body(Body::from("{}"))
            .unwrap();
        let answer = service.send(request).await.expect(201);
        assert_eq!(answer.text(), r#"{"bytes":2}"#);
        assert!(!answer.header("x-request-id").is_empty());
    }
    let answer = send(&service, Request::options("/api/browser/x"))
        .await
        .expect(404);
    assert_eq!(answer.text(), r#"{"detail":"no such door"}"#);
    let answer = send(&service, Request::get("/api/browser/events"))
        .await
        .expect(405);
    assert_eq!(answer.header("allow"), "POST");
    let large = Request::post("/api/browser/events")
        .body(Body::from(vec![b'x'; 262_145]))
        .unwrap();
    service.send(large).await.expect(413);
}

#[tokio::test]
async fn paths_have_limits_of_their_own() {
    let service = TestService::new::<Relay>(&[]);
    let declared = |length: &str| {
        service
            .request(Method::POST, "/api/maps/x")
            .header("content-length", length)
    };
    send(&service, declared("5000000")).await.expect(404);
    send(&service, declared("5000001")).await.expect(413);
}

#[tokio::test]
async fn the_public_door_has_the_open_routes_and_health_and_nothing_else() {
    let mut service = TestService::new::<Relay>(&[]);
    let whole = service.router.clone();
    service.router = public_only(whole.clone());
    send(&service, Request::get("/health")).await.expect(200);
    let open = Request::post("/api/browser/events").header("content-type", "application/json");
    let here = service
        .send(open.body(Body::from("{}")).expect("well formed"))
        .await;
    for path in [
        "/api/keys",
        "/api/keys/1",
        "/api/maps",
        "/api/session",
        "/metrics",
        "/",
        "/api/browser",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            // Also with the right key.
            let request = service.request(method.clone(), path);
            let answer = send(&service, request).await;
            assert_eq!(answer.status.as_u16(), 404, "{method} {path}");
            assert_eq!(
                answer.text(),
                r#"{"detail":"Not found"}"#,
                "{method} {path}"
            );
        }
    }
    service.router = whole;
    let open = Request::post("/api/browser/events").header("content-type", "application/json");
    let there = service
        .send(open.body(Body::from("{}")).expect("well formed"))
        .await;
    assert_eq!(here.status, there.status);
    service.get("/api/keys").await.expect(200);
    service.get("/metrics").await.expect(200);
}
