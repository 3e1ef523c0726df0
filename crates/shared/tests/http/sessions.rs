//! Signing in with a browser.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use monlight_shared::testing::{TestResponse, TestService};
use serde_json::json;

use crate::demo::Demo;

async fn sign_in(service: &TestService) -> String {
    let request = Request::post("/api/session")
        .body(Body::from(r#"{"key":"test-key"}"#))
        .expect("well formed");
    let answer = service.send(request).await.expect(200);
    assert_eq!(answer.json(), json!({"status": "signed in"}));
    cookie(&answer)
}

fn cookie(answer: &TestResponse) -> String {
    answer
        .header("set-cookie")
        .split(';')
        .next()
        .expect("well formed")
        .to_owned()
}

async fn send(service: &TestService, request: Builder) -> TestResponse {
    service
        .send(request.body(Body::empty()).expect("well formed"))
        .await
}

#[tokio::test]
async fn a_session_opens_the_api() {
    let service = TestService::new::<Demo>(&[("PUBLIC_LOGS_URL", "https://logs.example/")]);
    let cookie = sign_in(&service).await;
    assert!(cookie.starts_with("monlight_demo="), "{cookie}");
    let answer = send(
        &service,
        Request::get("/api/things").header("cookie", &cookie),
    )
    .await
    .expect(200);
    assert_eq!(answer.json()["caller"], "session");
    let answer = send(
        &service,
        Request::get("/api/session").header("cookie", &cookie),
    )
    .await
    .expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "signed_in": true,
            "service": "demo",
            "version": "1.2.3",
            "siblings": {"errors": null, "logs": "https://logs.example", "metrics": null, "browser": null},
        })
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.header("set-cookie"),
        "",
        "a young session is not renewed"
    );
}

#[tokio::test]
async fn a_session_survives_a_restart_and_not_a_new_key() {
    let service = TestService::new::<Demo>(&[]);
    let cookie = sign_in(&service).await;
    let dir = service.stop().await;
    let again = TestService::on::<Demo>(dir, &[]);
    send(
        &again,
        Request::get("/api/things").header("cookie", &cookie),
    )
    .await
    .expect(200);
    let dir = again.stop().await;
    let rekeyed = TestService::on::<Demo>(dir, &[("API_KEY", "another")]);
    send(
        &rekeyed,
        Request::get("/api/things").header("cookie", &cookie),
    )
    .await
    .expect(401);
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_unless_it_is_used() {
    let service = TestService::new::<Demo>(&[]);
    let first = sign_in(&service).await;
    service.clock.advance(Duration::from_hours(29 * 24));
    let answer = send(
        &service,
        Request::get("/api/session").header("cookie", &first),
    )
    .await
    .expect(200);
    let renewed = cookie(&answer);
    assert!(renewed.starts_with("monlight_demo=") && renewed != first);
    service.clock.advance(Duration::from_hours(2 * 24));
    send(
        &service,
        Request::get("/api/session").header("cookie", &first),
    )
    .await
    .expect(401);
    send(
        &service,
        Request::get("/api/session").header("cookie", &renewed),
    )
    .await
    .expect(200);
}

#[tokio::test]
async fn only_the_key_signs_in() {
    let service = TestService::new::<Demo>(&[("INTERNAL_API_KEY", "between-us")]);
    let expected = r#"{"detail":"Expected a JSON object with the API key: {\"key\": \"...\"}"}"#;
    for (body, status, text) in [
        (r#"{"key":"guess"}"#, 401, r#"{"detail":"Invalid API key"}"#),
        (
            r#"{"key":"between-us"}"#,
            401,
            r#"{"detail":"Invalid API key"}"#,
        ),
        (r#"{"key":""}"#, 401, r#"{"detail":"Invalid API key"}"#),
        (r#"{"key":1}"#, 400, expected),
        (r#"["test-key"]"#, 400, expected),
        ("test-key", 400, expected),
        ("", 400, expected),
    ] {
        let request = Request::post("/api/session")
            .body(Body::from(body))
            .unwrap();
        let answer = service.send(request).await.expect(status);
        assert_eq!(answer.text(), text, "{body}");
        assert_eq!(answer.header("set-cookie"), "");
    }
    let long = format!(r#"{{"key":"{}"}}"#, "x".repeat(5000));
    service
        .send(
            Request::post("/api/session")
                .body(Body::from(long))
                .unwrap(),
        )
        .await
        .expect(413);
    send(&service, Request::get("/api/session"))
        .await
        .expect(401);
    send(&service, Request::put("/api/session"))
        .await
        .expect(404);
}

#[tokio::test]
async fn writes_by_cookie_need_proof_of_their_origin() {
    let service = TestService::new::<Demo>(&[]);
    let cookie = sign_in(&service).await;
    let post = async |headers: &[(&str, &str)]| {
        let mut request = Request::post("/api/things")
            .header("cookie", &cookie)
            .header("host", "m.example:5010");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = service.send(request.body(Body::from("{}")).unwrap()).await;
        answer.status.as_u16()
    };
    let proof = ("x-requested-with", "monlight");
    assert_eq!(post(&[]).await, 403);
    assert_eq!(post(&[proof]).await, 201);
    assert_eq!(post(&[proof, ("sec-fetch-site", "same-origin")]).await, 201);
    assert_eq!(
        post(&[proof, ("sec-fetch-site", "same-site")]).await,
        403,
        "another port is another origin"
    );
    assert_eq!(
        post(&[proof, ("origin", "http://m.example:5010")]).await,
        201
    );
    assert_eq!(
        post(&[proof, ("origin", "http://m.example:5012")]).await,
        403
    );
    // A key needs no proof: no page of another origin has it.
    let request = Request::post("/api/things")
        .header("x-api-key", "test-key")
        .header("sec-fetch-site", "cross-site");
    service
        .send(request.body(Body::from("{}")).unwrap())
        .await
        .expect(201);
    // Nobody is signed in or out from elsewhere.
    for method in ["POST", "DELETE"] {
        let request = Request::builder()
            .method(method)
            .uri("/api/session")
            .header("sec-fetch-site", "cross-site");
        service
            .send(request.body(Body::from(r#"{"key":"test-key"}"#)).unwrap())
            .await
            .expect(403);
    }
}

#[tokio::test]
async fn signing_out_clears_the_cookie() {
    let service = TestService::new::<Demo>(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    let answer = send(&service, Request::delete("/api/session"))
        .await
        .expect(200);
    assert_eq!(
        answer.header("set-cookie"),
        "monlight_demo=; Max-Age=0; HttpOnly; SameSite=Strict"
    );
    let answer = send(
        &service,
        Request::delete("/api/session").header("x-forwarded-proto", "https"),
    )
    .await
    .expect(200);
    assert_eq!(
        answer.header("set-cookie"),
        "monlight_demo=; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
    );
}
