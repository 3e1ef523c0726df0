//! What the routes share: keys, methods, pages, hostile requests.

use axum::body::Body;
use axum::http::{Method, Request};
use monlight_shared::testing::{TestResponse, TestService};

use crate::rig::Rig;

const ROUTES: [&str; 6] = [
    "/api/logs",
    "/api/logs/tail",
    "/api/containers",
    "/api/stats",
    "/api/logs/containers",
    "/api/logs/stats",
];

fn send(rig: &Rig, request: Request<Body>) -> TestResponse {
    let service: &TestService = &rig.service;
    rig.runtime.block_on(service.send(request))
}

fn without_key(rig: &Rig, method: Method, path: &str) -> TestResponse {
    send(
        rig,
        Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .expect("a request"),
    )
}

#[test]
fn every_route_needs_the_key_and_knows_only_get() {
    let rig = Rig::new(&[]);
    for path in ROUTES {
        let refused = without_key(&rig, Method::GET, path).expect(401).json();
        assert_eq!(
            refused,
            serde_json::json!({"detail": "Invalid API key"}),
            "{path}"
        );
        let post = rig
            .service
            .request(Method::POST, path)
            .body(Body::empty())
            .expect("a request");
        assert_eq!(
            send(&rig, post).expect(404).json(),
            serde_json::json!({"detail": "Not found"}),
            "{path}"
        );
    }
    without_key(&rig, Method::GET, "/api/stats?api_key=test-key").expect(200);
    without_key(&rig, Method::GET, "/health").expect(200);
    without_key(&rig, Method::GET, "/health?x=1").expect(200);
    rig.get("/api/logs/").expect(404);
    rig.get("/api/logs/7").expect(404);
}

#[test]
fn pages_need_no_key() {
    let rig = Rig::new(&[]);
    for path in ["/", "/index.html", "/?search=x&level=ERROR"] {
        let page = without_key(&rig, Method::GET, path).expect(200);
        assert_eq!(
            page.header("content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
        assert!(page.text().contains("<html"), "{path}");
    }
    without_key(&rig, Method::POST, "/").expect(401);
}

/// Requests that ended the original's process or made it answer nothing.
#[test]
fn requests_that_ended_the_original_are_answered() {
    let rig = Rig::new(&[]);
    without_key(&rig, Method::POST, "/health").expect(200);
    without_key(&rig, Method::POST, "/anything").expect(401);
    let long = "x".repeat(5000);
    for path in [
        format!("/api/logs?level={long}"),
        format!("/api/logs?container={long}&search={long}"),
        format!("/api/logs?search={}", "%22%2A-OR+".repeat(64)),
        format!("/api/logs?search={}", "a+OR+".repeat(32)),
        format!("/api/logs?search={}", "-a+".repeat(64)),
        format!("/api/logs?search={}", "%22%28+%2D%2D*".repeat(700)),
        "/api/logs?search=%00%ff%zz&level=%00&container=%ff".to_owned(),
        "/api/logs?search=%22%22%22%22&q='%3B%20DROP%20TABLE%20ring%3B--".to_owned(),
    ] {
        let list = rig.json(&path);
        assert_eq!(list["total"], 0);
    }
    rig.get(&format!("/api/logs?since={long}")).expect(400);
}

/// Four thousand words made the index take 270 MB.
#[test]
fn a_search_of_thousands_of_words_took_hundreds_of_megabytes() {
    let rig = Rig::new(&[]);
    for (text, words) in [
        ("a+".repeat(2000), 2000),
        ("-a+".repeat(65), 65),
        ("e*+OR+".repeat(40), 80),
        (format!("%22{}%22", "a.".repeat(65)), 65),
    ] {
        for (path, name) in [
            ("/api/logs", "search"),
            ("/api/logs", "q"),
            ("/api/logs/tail", "search"),
        ] {
            let refused = rig.get(&format!("{path}?{name}={text}")).expect(400).json();
            assert_eq!(
                refused["detail"],
                format!("{name}: {words} words; expected at most 64"),
                "{path}"
            );
        }
    }
    let most = "a.b+".repeat(32);
    assert_eq!(rig.json(&format!("/api/logs?search={most}"))["total"], 0);
}

#[test]
fn a_database_that_cannot_be_read_makes_health_say_so() {
    let rig = Rig::new(&[]);
    rig.service.ctx.store.close();
    let health = rig.get("/health").expect(503).json();
    assert_eq!(health["status"], "error");
    rig.get("/api/logs").expect(503);
}
