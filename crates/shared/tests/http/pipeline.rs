//! Order of checks, faults, pages, metrics, compression.

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request};
use monlight_shared::http::server::Settings;
use monlight_shared::testing::{TestResponse, TestService};
use serde_json::json;

use crate::demo::Demo;
use crate::socket::{head, start};

async fn send(service: &TestService, request: Builder) -> TestResponse {
    service
        .send(request.body(Body::empty()).expect("well formed"))
        .await
}

#[tokio::test]
async fn the_key_comes_before_the_rate_the_rate_before_the_size_the_size_before_the_route() {
    let service = TestService::new::<Demo>(&[("RATE_LIMIT", "2")]);
    let large = |builder: Builder| builder.header("content-length", "999999");
    send(&service, large(Request::post("/nowhere")))
        .await
        .expect(401);
    send(&service, large(service.request(Method::POST, "/nowhere")))
        .await
        .expect(413);
    send(&service, service.request(Method::POST, "/nowhere"))
        .await
        .expect(404);
    send(&service, large(service.request(Method::POST, "/nowhere")))
        .await
        .expect(429);
    send(&service, large(Request::post("/nowhere")))
        .await
        .expect(401);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_one() {
    let service = TestService::new::<Demo>(&[]);
    for (method, path) in [
        ("GET", "/nowhere"),
        ("PUT", "/api/things"),
        ("OPTIONS", "/api/things"),
        ("GET", "/api/things/"),
        ("GET", "/API/things"),
        ("GET", "//api/things"),
        ("POST", "/"),
        ("DELETE", "/metrics"),
        ("POST", "/app.js"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = send(&service, request.header("x-api-key", "test-key"))
            .await
            .expect(404);
        assert_eq!(
            answer.text(),
            r#"{"detail":"Not found"}"#,
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), "", "{method} {path}");
        let answer = send(&service, Request::builder().method(method).uri(path))
            .await
            .expect(401);
        assert_eq!(answer.text(), r#"{"detail":"Invalid API key"}"#);
    }
}

#[tokio::test]
async fn answers_have_an_id_and_their_headers() {
    let service = TestService::new::<Demo>(&[]);
    let first = service.get("/api/things?project=a%20b").await.expect(200);
    assert_eq!(
        first.json(),
        json!({"project": "a b", "caller": "key", "client": "127.0.0.1"})
    );
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(first.header("x-content-type-options"), "nosniff");
    let second = service.get("/api/things").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let ask = async |id: &str| {
        let request = service
            .request(Method::GET, "/api/things")
            .header("x-request-id", id);
        send(&service, request)
            .await
            .header("x-request-id")
            .to_owned()
    };
    assert_eq!(ask("req_1.2:3-A").await, "req_1.2:3-A");
    for unfit in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert_ne!(ask(unfit).await, unfit);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_no_more() {
    let running = start(&[], Settings::default()).await;
    let mut client = running.connect().await;
    for _ in 0..3 {
        client.send(&head("GET", "/api/panic", "")).await;
        let answer = client.answer().await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(
            answer.ends_with(r#"{"detail":"Internal server error"}"#),
            "{answer}"
        );
    }
    client.send(&head("GET", "/api/things", "")).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(running.metric("monlight_http_panics_total"), 3.0);
    assert_eq!(
        running.metric("monlight_http_requests_total{class=\"5xx\"}"),
        3.0
    );
    assert_eq!(
        running.metric("monlight_http_request_duration_seconds_count"),
        4.0
    );
}

#[tokio::test]
async fn a_fault_of_ours_says_nothing_about_itself() {
    let service = TestService::new::<Demo>(&[]);
    let answer = service.get("/api/fault").await.expect(500);
    assert_eq!(answer.text(), r#"{"detail":"Internal server error"}"#);
}

#[tokio::test]
async fn health_is_open_to_any_method_and_reads_the_database() {
    let service = TestService::new::<Demo>(&[("RATE_LIMIT", "1")]);
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        let answer = send(&service, Request::builder().method(method).uri("/health?x"))
            .await
            .expect(200);
        assert_eq!(answer.json(), json!({"status": "ok", "things": 0}));
    }
    let head = send(&service, Request::head("/health")).await.expect(200);
    assert_eq!(head.text(), "");
    let store = service.ctx.store.clone();
    tokio::task::spawn_blocking(move || store.close())
        .await
        .unwrap();
    let answer = send(&service, Request::get("/health")).await.expect(503);
    assert_eq!(answer.json()["status"], "error");
    assert_ne!(answer.json()["detail"], "");
}

#[tokio::test]
async fn metrics_need_the_key_in_any_form() {
    let service = TestService::new::<Demo>(&[]);
    send(&service, Request::get("/metrics")).await.expect(401);
    send(
        &service,
        Request::get("/metrics").header("authorization", "Bearer guess"),
    )
    .await
    .expect(401);
    send(
        &service,
        Request::get("/api/things").header("authorization", "Bearer test-key"),
    )
    .await
    .expect(401);
    send(&service, Request::get("/metrics?api_key=test-key"))
        .await
        .expect(200);
    service.get("/metrics").await.expect(200);
    let answer = send(
        &service,
        Request::get("/metrics").header("authorization", "Bearer test-key"),
    )
    .await
    .expect(200);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text();
    for series in [
        "monlight_http_requests_total{class=\"4xx\"} 3",
        "monlight_http_refusals_total{reason=\"unauthorized\"} 3",
        "monlight_http_body_bytes_max 8388608",
        "monlight_http_rate_limit_clients 0",
        "monlight_http_streams_max 2",
        "# TYPE monlight_http_request_duration_seconds_sum counter",
    ] {
        assert!(text.contains(series), "no {series} in\n{text}");
    }
}

#[tokio::test]
async fn pages_are_open_and_strict() {
    let service = TestService::new::<Demo>(&[("RATE_LIMIT", "1")]);
    for path in ["/", "/?project=x", "/index.html", "/things/12"] {
        let page = send(&service, Request::get(path)).await.expect(200);
        assert_eq!(page.text(), "<!doctype html><title>Demo</title>", "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert!(
            page.header("content-security-policy")
                .starts_with("default-src 'none'; script-src 'self';")
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
    }
    for path in ["/things/x", "/things/", "/favicon.ico", "/app.jsx"] {
        send(&service, Request::get(path)).await.expect(401);
    }
    let script = send(
        &service,
        Request::get("/app.js").header("accept-encoding", "gzip"),
    )
    .await
    .expect(200);
    assert_eq!(script.header("content-encoding"), "gzip");
    assert_eq!(script.text(), "not really gzip");
    let known = Request::get("/app.js").header("if-none-match", script.header("etag"));
    let known = send(&service, known).await.expect(304);
    assert_eq!(known.text(), "");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let running = start(&[], Settings::default()).await;
    let mut client = running.connect().await;
    for (path, length) in [("/", 34), ("/api/long", 10_011), ("/health", 26)] {
        client
            .send(&head("HEAD", path, "Connection: keep-alive\r\n"))
            .await;
        let answer = client.answer_with("\r\n\r\n").await;
        assert!(
            answer.contains(&format!("content-length: {length}\r\n")),
            "{path}: {answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        client = running.connect().await;
    }
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_ask() {
    let service = TestService::new::<Demo>(&[]);
    let ask = async |path: &str, accepts: &str| {
        let request = service
            .request(Method::GET, path)
            .header("accept-encoding", accepts);
        send(&service, request).await.expect(200)
    };
    let plain = ask("/api/long", "identity").await;
    assert_eq!(plain.header("content-encoding"), "");
    let small = ask("/api/things", "gzip").await;
    assert_eq!(small.header("content-encoding"), "");
    let done = ask("/api/packed", "gzip").await;
    assert_eq!(done.header("content-encoding"), "br");
    let packed = ask("/api/long", "gzip, deflate").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("vary"), "accept-encoding");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*packed.body), &mut text)
        .unwrap();
    assert_eq!(text, plain.text());
}

#[tokio::test]
async fn connections_are_used_again() {
    let running = start(&[], Settings::default()).await;
    let mut client = running.connect().await;
    for _ in 0..10 {
        client
            .send(&(head("POST", "/api/things", "Content-Length: 2\r\n") + "{}"))
            .await;
        let answer = client.answer().await;
        assert!(
            answer.ends_with(r#"{"bytes":2}"#) && !answer.contains("connection: close"),
            "{answer}"
        );
    }
    client.send("GET /health HTTP/1.0\r\n\r\n").await;
    let last = client.rest().await;
    assert!(
        last.starts_with("HTTP/1.0 200 OK\r\n"),
        "it ends the connection: {last}"
    );
    assert_eq!(
        running.metric("monlight_http_connections_accepted_total"),
        1.0
    );
}
