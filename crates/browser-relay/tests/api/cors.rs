//! What browsers let a page read.

use axum::body::Body;
use axum::http::Method;
use monlight_shared::testing::TestResponse;
use serde_json::json;

use crate::support::{ORIGIN, Reply, WEB, World, batch, event};

fn header<'r>(response: &'r TestResponse, name: &str) -> Option<&'r str> {
    response
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[track_caller]
fn check(response: &TestResponse, status: u16, origin: Option<&str>) {
    assert_eq!(response.status.as_u16(), status, "{}", response.text());
    assert_eq!(
        header(response, "access-control-allow-origin"),
        origin,
        "{status}"
    );
    assert_eq!(
        header(response, "access-control-allow-credentials"),
        origin.map(|_| "true")
    );
    let vary: Vec<_> = response
        .headers
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert!(
        vary.iter()
            .any(|value| value.eq_ignore_ascii_case("origin")),
        "{vary:?}"
    );
}

#[tokio::test]
async fn preflights_need_no_key() {
    let world = World::new();
    for origin in [ORIGIN, "https://app.b.example"] {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
        ];
        for path in [
            "/api/browser/errors",
            "/api/browser/metrics?key=x",
            "/api/browser/anything",
        ] {
            let answer = world.plain(Method::OPTIONS, path, "", &headers).await;
            check(&answer, 204, Some(origin));
            assert_eq!(
                header(&answer, "access-control-allow-methods"),
                Some("POST, OPTIONS")
            );
            let allowed = header(&answer, "access-control-allow-headers").unwrap();
            assert!(allowed.starts_with("X-Monlight-Key, Content-Type"));
            assert_eq!(header(&answer, "access-control-max-age"), Some("86400"));
            assert!(answer.body.is_empty());
        }
    }
}

#[tokio::test]
async fn foreign_preflights_are_told_nothing() {
    let world = World::new();
    for origin in [
        "https://evil.example",
        "https://A.example",
        "https://a.example:443",
        "null",
        "https://b.example",
    ] {
        let answer = world
            .plain(
                Method::OPTIONS,
                "/api/browser/errors",
                WEB,
                &[("Origin", origin)],
            )
            .await;
        check(&answer, 204, None);
        assert_eq!(header(&answer, "access-control-allow-methods"), None);
    }
    check(
        &world
            .plain(Method::OPTIONS, "/api/browser/errors", "", &[])
            .await,
        204,
        None,
    );
}

#[tokio::test]
async fn every_status_can_be_read() {
    let world = World::with(&[("RATE_LIMIT", "7"), ("OUTBOX_MAX_EVENTS", "0")]);
    let headers = [("Origin", ORIGIN)];
    let packed = [("Origin", ORIGIN), ("Content-Encoding", "br")];
    let answer = world
        .browse_raw("/api/browser/errors", WEB, &packed, "{}")
        .await;
    check(&answer, 415, Some(ORIGIN));
    let post = async |path, key, body: String| world.browse_raw(path, key, &headers, body).await;
    check(
        &post("/api/browser/metrics", WEB, batch().to_string()).await,
        202,
        Some(ORIGIN),
    );
    check(
        &post("/api/browser/errors", WEB, event().to_string()).await,
        201,
        Some(ORIGIN),
    );
    check(
        &post("/api/browser/errors", WEB, "{}".to_owned()).await,
        400,
        Some(ORIGIN),
    );
    check(
        &post("/api/browser/errors", "nope", "{}".to_owned()).await,
        401,
        Some(ORIGIN),
    );
    check(
        &post("/api/browser/unknown", WEB, "{}".to_owned()).await,
        404,
        Some(ORIGIN),
    );
    check(
        &world
            .plain(Method::GET, "/api/browser/errors", WEB, &headers)
            .await,
        405,
        Some(ORIGIN),
    );
    check(
        &post("/api/browser/errors", WEB, "x".repeat(65_537)).await,
        413,
        Some(ORIGIN),
    );
    world.tracker.next(Reply::HangUp);
    check(
        &post("/api/browser/errors", WEB, event().to_string()).await,
        502,
        Some(ORIGIN),
    );
    check(
        &post("/api/browser/errors", WEB, event().to_string()).await,
        201,
        Some(ORIGIN),
    );
    let limited = post("/api/browser/errors", WEB, event().to_string()).await;
    check(&limited, 429, Some(ORIGIN));
    assert_eq!(
        header(&limited, "access-control-expose-headers"),
        Some("Retry-After, X-Request-Id")
    );
}

#[tokio::test]
async fn events_of_foreign_pages_are_taken_but_not_answered_readably() {
    let world = World::new();
    for headers in [&[("Origin", "https://evil.example")][..], &[]] {
        let answer = world
            .browse_raw("/api/browser/metrics", WEB, headers, batch().to_string())
            .await;
        check(&answer, 202, None);
    }
}

#[tokio::test]
async fn a_star_allows_any_origin() {
    let world = World::with(&[("CORS_ORIGINS", "*")]);
    for origin in ["https://any.example", "null", "http://localhost:5173"] {
        let answer = world
            .plain(
                Method::OPTIONS,
                "/api/browser/errors",
                "",
                &[("Origin", origin)],
            )
            .await;
        check(&answer, 204, Some(origin));
    }
}

/// The original answered with bytes of the body in place of the origin.
#[tokio::test]
async fn a_long_body_in_pieces_does_not_reach_the_origin_of_the_answer() {
    let world = World::with(&[("CORS_ORIGINS", "*")]);
    let mut event = event();
    event["message"] = json!("x".repeat(40_000));
    let pieces: Vec<_> = event
        .to_string()
        .into_bytes()
        .chunks(5000)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let headers = [("Origin", "https://any.example")];
    let answer = world
        .browse_raw("/api/browser/errors", WEB, &headers, body)
        .await;
    check(&answer, 201, Some("https://any.example"));
}

#[tokio::test]
async fn without_a_list_no_origin_is_allowed() {
    let world = World::with(&[("CORS_ORIGINS", "")]);
    check(
        &world
            .plain(
                Method::OPTIONS,
                "/api/browser/errors",
                "",
                &[("Origin", ORIGIN)],
            )
            .await,
        204,
        None,
    );
}

#[tokio::test]
async fn routes_of_operators_have_no_cors() {
    let world = World::new();
    for path in ["/api/dsn-keys", "/api/source-maps", "/health", "/nope"] {
        let request = world
            .relay
            .request(Method::GET, path)
            .header("Origin", ORIGIN);
        let answer = world.relay.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            header(&answer, "access-control-allow-origin"),
            None,
            "{path}"
        );
    }
    assert_eq!(
        world.relay.get("/health").await.json(),
        json!({"status": "ok"})
    );
}

/// A relay with a key for pages of `https://shop.example` only, and that key.
async fn with_own_origins(more: serde_json::Value) -> (World, String) {
    let world = World::new();
    let mut key = json!({"project": "shop", "origins": ["https://shop.example"]});
    key.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let created = world
        .relay
        .post_json("/api/dsn-keys", &key)
        .await
        .expect(201);
    let key = created.json()["public_key"].as_str().unwrap().to_owned();
    (world, key)
}

#[tokio::test]
async fn a_key_with_origins_is_for_their_pages_only() {
    let (world, key) = with_own_origins(json!({})).await;
    let post = async |headers: &[(&str, &str)], path: &str| {
        let body = batch().to_string();
        world.browse_raw(path, &key, headers, body).await
    };
    let path = "/api/browser/metrics";
    let shop = [("Origin", "https://shop.example")];
    check(&post(&shop, path).await, 202, Some("https://shop.example"));
    // Not even those of CORS_ORIGINS, and whatever the path.
    for origin in [
        ORIGIN,
        "https://evil.example",
        "null",
        "https://shop.example:8443",
    ] {
        for path in [path, "/api/browser/errors", "/api/browser/unknown"] {
            let answer = post(&[("Origin", origin)], path).await;
            check(&answer, 403, None);
            assert_eq!(
                answer.json(),
                json!({"detail": "This key may only be used from the origins it is for"})
            );
        }
    }
    check(&post(&[], path).await, 403, None);
    assert_eq!(world.collector.received().len(), 1);
    assert!(world.tracker.received().is_empty());
    let metrics = world.relay.get("/metrics").await.text();
    assert!(
        metrics.contains("monlight_relay_refused_total{reason=\"origin\"} 13"),
        "{metrics}"
    );
}

#[tokio::test]
async fn requests_without_an_origin_are_taken_where_the_key_allows_it() {
    let (world, key) = with_own_origins(json!({"allow_no_origin": true})).await;
    let path = "/api/browser/metrics";
    let body = || batch().to_string();
    check(&world.browse_raw(path, &key, &[], body()).await, 202, None);
    let foreign = [("Origin", ORIGIN)];
    check(
        &world.browse_raw(path, &key, &foreign, body()).await,
        403,
        None,
    );
}

/// A preflight has no headers of the page, so it is answered for whatever key may follow; that of a beacon has the key in
/// its URL.
#[tokio::test]
async fn preflights_know_the_origins_of_all_keys() {
    let (world, key) = with_own_origins(json!({})).await;
    let ask = async |path: &str, origin: &str| {
        let headers = [("Origin", origin)];
        world.plain(Method::OPTIONS, path, "", &headers).await
    };
    let shop = "https://shop.example";
    check(&ask("/api/browser/errors", shop).await, 204, Some(shop));
    check(&ask("/api/browser/errors", ORIGIN).await, 204, Some(ORIGIN));
    check(
        &ask("/api/browser/errors", "https://evil.example").await,
        204,
        None,
    );
    let with_key = format!("/api/browser/errors?key={key}");
    check(&ask(&with_key, shop).await, 204, Some(shop));
    check(&ask(&with_key, ORIGIN).await, 204, None);
    check(
        &ask("/api/browser/errors?key=dsn-web-1", shop).await,
        204,
        None,
    );
    // A page that has only a wrong key can read that it is wrong.
    let headers = [("Origin", shop)];
    let wrong = world
        .browse_raw("/api/browser/errors", "nope", &headers, "{}")
        .await;
    check(&wrong, 401, Some(shop));
    world.relay.delete("/api/dsn-keys/3").await.expect(200);
    check(&ask("/api/browser/errors", shop).await, 204, None);
}
