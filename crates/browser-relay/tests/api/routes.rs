//! Which paths and methods there are, and what the relay says about itself.

use axum::http::Method;
use serde_json::json;

use crate::support::{Reply, WEB, World, batch, event, small_map};

#[tokio::test]
async fn unknown_paths() {
    let world = World::new();
    for (path, key, status, detail) in [
        ("/nope", "", 404, "Not found"),
        ("/", "", 404, "Not found"),
        ("/api/browser", "", 404, "Not found"),
        ("/api/errors", "", 404, "Not found"),
        ("/api/browser/unknown", WEB, 404, "Not found"),
        ("/api/browser/unknown", "", 401, "Invalid DSN key"),
        ("/api/browser/errors/", WEB, 404, "Not found"),
        ("/api/dsn-keys", "", 401, "Invalid API key"),
        ("/api/source-maps/1/x", "", 401, "Invalid API key"),
    ] {
        let answer = world.plain(Method::GET, path, key, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, json!({"detail": detail})),
            "{path}"
        );
    }
    assert_eq!(
        world
            .relay
            .get("/api/source-maps/1/x")
            .await
            .status
            .as_u16(),
        404
    );
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let world = World::new();
    for (method, path, allow) in [
        (Method::PUT, "/api/dsn-keys", "GET,HEAD,POST"),
        (Method::DELETE, "/api/dsn-keys", "GET,HEAD,POST"),
        (Method::GET, "/api/dsn-keys/1", "DELETE,PATCH"),
        (Method::PUT, "/api/source-maps", "GET,HEAD,POST"),
        (Method::PATCH, "/api/source-maps/1", "DELETE"),
    ] {
        let request = world
            .relay
            .request(method, path)
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = world.relay.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (405, json!({"detail": "Method not allowed"})),
            "{path}"
        );
        assert_eq!(answer.headers["allow"], allow, "{path}");
    }
    // With a valid key, which is public, each of these ended the original.
    for method in [
        Method::GET,
        Method::HEAD,
        Method::DELETE,
        Method::PUT,
        Method::PATCH,
    ] {
        for path in ["/api/browser/errors", "/api/browser/metrics"] {
            let answer = world.plain(method.clone(), path, WEB, &[]).await;
            assert_eq!(answer.status.as_u16(), 405, "{method} {path}");
            assert_eq!(answer.headers["allow"], "POST, OPTIONS");
        }
    }
}

#[tokio::test]
async fn the_admin_key_opens_by_header_and_by_query() {
    let world = World::new();
    let status = async |path: &str, headers: &[(&str, &str)]| {
        world
            .plain(Method::GET, path, "", headers)
            .await
            .status
            .as_u16()
    };
    assert_eq!(
        status("/api/dsn-keys", &[("X-API-Key", "test-key")]).await,
        200
    );
    assert_eq!(status("/api/dsn-keys?api_key=test-key", &[]).await, 200);
    assert_eq!(
        status("/api/dsn-keys?api_key=test-key", &[("X-API-Key", "wrong")]).await,
        401
    );
    assert_eq!(status("/api/dsn-keys", &[("X-API-Key", "")]).await, 401);
    assert_eq!(
        status("/api/dsn-keys", &[("X-Monlight-Key", WEB)]).await,
        401
    );
}

#[tokio::test]
async fn health_is_open_and_says_what_is_wrong_behind_the_relay() {
    let world = World::with(&[("OUTBOX_MAX_EVENTS", "0")]);
    let health = async || world.plain(Method::GET, "/health", "", &[]).await;
    assert_eq!(health().await.json(), json!({"status": "ok"}));
    world.tracker.next(Reply::Answer(
        "401 Unauthorized",
        r#"{"detail":"Invalid API key"}"#.to_owned(),
    ));
    assert_eq!(
        world
            .browse("/api/browser/errors", WEB, &event())
            .await
            .status
            .as_u16(),
        502
    );
    let sick = health().await;
    assert_eq!(
        (sick.status.as_u16(), sick.json()),
        (
            200,
            json!({"status": "ok", "upstreams": {"error-tracker": "refuses the relay's key"}})
        )
    );
    world.browse("/api/browser/errors", WEB, &event()).await;
    assert_eq!(health().await.json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn it_counts() {
    let world = World::with(&[("OUTBOX_MAX_EVENTS", "0")]);
    world.browse("/api/browser/metrics", WEB, &batch()).await;
    world.browse("/api/browser/metrics", WEB, &json!({})).await;
    world.browse("/api/browser/metrics", "nope", &batch()).await;
    world.upload(&small_map("a.ts")).await;
    let stack = "at f (/assets/app.js:1:1)\nat g (/other.js:1:1)";
    let mapped = json!({"type": "T", "message": "m", "stack": stack, "release": "1"});
    world.browse("/api/browser/errors", WEB, &mapped).await;
    world.tracker.next(Reply::Answer("500 Oops", String::new()));
    world.browse("/api/browser/errors", WEB, &event()).await;
    let text = world.relay.get("/metrics").await.text();
    for line in [
        r#"monlight_relay_events_total{kind="metrics",result="forwarded"} 1"#,
        r#"monlight_relay_events_total{kind="metrics",result="invalid"} 1"#,
        r#"monlight_relay_events_total{kind="error",result="forwarded"} 1"#,
        r#"monlight_relay_events_total{kind="error",result="failed"} 1"#,
        r#"monlight_relay_refused_total{reason="key"} 1"#,
        r#"monlight_relay_upstream_requests_total{upstream="error-tracker"} 2"#,
        r#"monlight_relay_upstream_failures_total{upstream="error-tracker",reason="server_error"} 1"#,
        r#"monlight_relay_frames_total{result="mapped"} 1"#,
        r#"monlight_relay_frames_total{result="no_map_for_file"} 1"#,
        "monlight_relay_metrics_forwarded_total 1",
        "monlight_relay_dsn_keys 2",
        "monlight_relay_source_maps 1",
        "monlight_relay_source_map_uploads_total 1",
        "monlight_relay_events_in_flight 0",
        "monlight_relay_events_in_flight_max 256",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
    assert_eq!(
        world
            .plain(Method::GET, "/metrics", "", &[])
            .await
            .status
            .as_u16(),
        401
    );
}
