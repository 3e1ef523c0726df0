//! Bodies and rates.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use flate2::Compression;
use flate2::write::GzEncoder;
use monlight_shared::http::server::Settings;
use monlight_shared::testing::TestService;

use crate::demo::Demo;
use crate::socket::{head, start};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

#[tokio::test]
async fn bodies_up_to_the_limit_of_their_path() {
    let service = TestService::new::<Demo>(&[("MAX_BODY_BYTES", "2000")]);
    for (path, length, status) in [
        ("/api/things", 2000, 201),
        ("/api/things", 2001, 413),
        ("/api/large", 1_000_000, 201),
        ("/api/large", 1_000_001, 413),
    ] {
        service.post(path, vec![b'x'; length]).await.expect(status);
    }
}

#[tokio::test]
async fn a_declared_size_is_refused_on_any_path_and_method() {
    let service = TestService::new::<Demo>(&[]);
    for (method, path) in [
        (Method::GET, "/api/things"),
        (Method::PUT, "/nowhere"),
        (Method::DELETE, "/metrics"),
    ] {
        let request = service
            .request(method, path)
            .header("content-length", "262145");
        let answer = service
            .send(request.body(Body::empty()).unwrap())
            .await
            .expect(413);
        assert_eq!(
            answer.text(),
            r#"{"detail":"Request body exceeds maximum size"}"#
        );
    }
}

#[tokio::test]
async fn chunked_bodies_have_the_same_limit() {
    let running = start(&[("MAX_BODY_BYTES", "2000")], Settings::default()).await;
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    for (count, status) in [(2, 201), (3, 413)] {
        let body = chunk.repeat(count) + "0\r\n\r\n";
        let request = head("POST", "/api/things", "Transfer-Encoding: chunked\r\n") + &body;
        let answer = running.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn compressed_bodies_are_inflated_and_bombs_are_not() {
    let service = TestService::new::<Demo>(&[]);
    for (bytes, status, text) in [
        (gzip(&vec![b'x'; 100_000]), 201, r#"{"bytes":100000}"#),
        (
            gzip(&vec![b'x'; 50_000_000]),
            413,
            r#"{"detail":"Request body exceeds maximum size"}"#,
        ),
        (
            b"plain".to_vec(),
            400,
            r#"{"detail":"Request body is not valid gzip data"}"#,
        ),
    ] {
        let request = service
            .request(Method::POST, "/api/things")
            .header("content-encoding", "gzip");
        let answer = service
            .send(request.body(Body::from(bytes)).unwrap())
            .await
            .expect(status);
        assert_eq!(answer.text(), text);
    }
    let request = service
        .request(Method::POST, "/api/things")
        .header("content-encoding", "br");
    let answer = service
        .send(request.body(Body::from("x")).unwrap())
        .await
        .expect(415);
    assert_eq!(answer.header("accept-encoding"), "gzip, deflate");
}

#[tokio::test]
async fn without_room_for_its_body_a_request_is_put_off() {
    let running = start(&[("MAX_BODY_BYTES", "8388608")], Settings::default()).await;
    let mut greedy = running.connect().await;
    greedy
        .send(&head("POST", "/api/things", "Content-Length: 8388608\r\n"))
        .await;
    running
        .until("monlight_http_body_bytes_in_flight", 8_388_608.0)
        .await;
    let answer = running
        .ask(&(head("POST", "/api/things", "Content-Length: 2\r\n") + "{}"))
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"),
        "{answer}"
    );
    assert_eq!(
        running.metric("monlight_http_body_budget_refused_total"),
        1.0
    );
    // What needs no body is not touched by that.
    assert!(
        running
            .ask(&head("GET", "/api/things", ""))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    drop(greedy);
    running
        .until("monlight_http_body_bytes_in_flight", 0.0)
        .await;
    let answer = running
        .ask(&(head("POST", "/api/things", "Content-Length: 2\r\n") + "{}"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[tokio::test]
async fn requests_above_the_rate_are_refused_until_the_window_has_moved() {
    let service = TestService::new::<Demo>(&[("RATE_LIMIT", "3")]);
    service.get("/api/things").await.expect(200);
    service.clock.advance(Duration::from_millis(30_500));
    service.get("/nowhere").await.expect(404);
    service.post("/api/things", "").await.expect(400);
    for _ in 0..3 {
        let answer = service.get("/api/things").await.expect(429);
        assert_eq!(
            answer.text(),
            r#"{"detail":"Rate limit exceeded","retry_after":30}"#
        );
        assert_eq!(answer.header("retry-after"), "30");
    }
    service.clock.advance(Duration::from_millis(29_500));
    service.get("/api/things").await.expect(200);
    service.get("/api/things").await.expect(429);
    let metrics = service.ctx.metrics.render();
    assert!(
        metrics.contains("monlight_http_rate_limited_total{scope=\"api\"} 4"),
        "{metrics}"
    );
    assert!(
        metrics.contains("monlight_http_refusals_total{reason=\"rate_limit\"} 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_is_open_and_what_is_refused_does_not_count() {
    let service = TestService::new::<Demo>(&[("RATE_LIMIT", "1")]);
    for path in ["/health", "/", "/app.js", "/api/things"] {
        for _ in 0..3 {
            service
                .send(Request::get(path).body(Body::empty()).unwrap())
                .await;
        }
    }
    service.get("/api/things").await.expect(200);
    service.get("/health").await.expect(200);
    service.get("/").await.expect(200);
}

#[tokio::test]
async fn clients_keys_and_sessions_have_budgets_of_their_own() {
    let service = TestService::new::<Demo>(&[
        ("RATE_LIMIT", "1"),
        ("INTERNAL_API_KEY", "between-us"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = Request::get("/api/things");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = service.send(request.body(Body::empty()).unwrap()).await;
        answer.status.as_u16()
    };
    let signed_in = service
        .send(
            Request::post("/api/session")
                .body(Body::from(r#"{"key":"test-key"}"#))
                .unwrap(),
        )
        .await
        .expect(200);
    let cookie = signed_in
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(ask(&[("x-api-key", "test-key")]).await, 200);
    assert_eq!(ask(&[("x-api-key", "test-key")]).await, 429);
    assert_eq!(
        ask(&[("x-api-key", "test-key"), ("x-forwarded-for", "192.0.2.1")]).await,
        200
    );
    assert_eq!(
        ask(&[("x-api-key", "test-key"), ("x-forwarded-for", "192.0.2.1")]).await,
        429
    );
    assert_eq!(
        ask(&[("cookie", &cookie)]).await,
        200,
        "an error storm does not lock the operator out"
    );
    assert_eq!(ask(&[("cookie", &cookie)]).await, 429);
    for _ in 0..5 {
        assert_eq!(ask(&[("x-api-key", "between-us")]).await, 200);
    }
}

#[tokio::test]
async fn guessing_keys_is_slowed_down_for_the_guesser_only() {
    let service = TestService::new::<Demo>(&[]);
    let guess = || {
        Request::get("/api/things")
            .header("x-api-key", "guess")
            .body(Body::empty())
            .unwrap()
    };
    for _ in 0..600 {
        service.send(guess()).await.expect(401);
    }
    let refused = service.send(guess()).await.expect(429);
    assert!(!refused.header("retry-after").is_empty());
    service.get("/api/things").await.expect(200);
    let metrics = service.ctx.metrics.render();
    assert!(
        metrics.contains("monlight_http_rate_limited_total{scope=\"wrong_keys\"} 1"),
        "{metrics}"
    );
}
