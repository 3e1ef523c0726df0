//! A database that the original service has written, given as `DATABASE_PATH`.

use std::path::Path;
use std::sync::Arc;

use axum::http::Method;
use browser_relay::BrowserRelay;
use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use crate::support::{BASE, World, batch, request};

/// Written by the original (schema 3): keys of `shop`, `blog` (deactivated) and `docs`, and a map of release 1.0.0.
fn recorded(directory: &Path) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy.db");
    std::fs::copy(recorded, directory.join("test.db")).unwrap();
}

fn start(world: &World, directory: Arc<tempfile::TempDir>) -> TestService {
    let (errors, metrics) = (world.tracker.url(), world.collector.url());
    let mut settings = vec![
        ("ERROR_TRACKER_URL", errors.as_str()),
        ("METRICS_COLLECTOR_URL", metrics.as_str()),
    ];
    settings.extend(BASE);
    TestService::on::<BrowserRelay>(directory, &settings)
}

#[tokio::test]
async fn keys_and_maps_of_the_original_work_on() {
    let world = World::new();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    recorded(directory.path());
    let mut relay = start(&world, directory);
    for _ in 0..2 {
        for (key, status) in [
            ("0123456789abcdef0123456789abcdef", 202),
            ("fedcba9876543210fedcba9876543210", 401),
            ("3c1b2a0cce39406743263eaf7d7837a8", 202),
            // Seeded here, behind those that were there.
            ("dsn-web-1", 202),
        ] {
            let body = batch().to_string().into();
            let request = request(Method::POST, "/api/browser/metrics", key, &[], body);
            assert_eq!(relay.send(request).await.status.as_u16(), status, "{key}");
        }
        let maps = relay.get("/api/source-maps").await.json();
        assert_eq!(
            maps,
            json!({"total": 1, "source_maps": [{"id": 1, "project": "shop", "release": "1.0.0",
                "file_url": "/assets/app.min.js", "uploaded_at": "2026-11-22T02:38:25Z"}]})
        );
        let keys = relay.get("/api/dsn-keys").await.json();
        let first = &keys["keys"][0];
        assert_eq!(
            (&first["id"], &first["project"], &first["created_at"]),
            (&json!(1), &json!("shop"), &json!("2026-11-22T02:38:23Z"))
        );
        relay = start(&world, relay.stop().await);
    }
    let event = json!({"type": "E", "message": "m", "release": "1.0.0",
        "stack": "E\n    at o (https://shop.example/assets/app.min.js:1:1)"});
    let body = event.to_string().into();
    let key = "0123456789abcdef0123456789abcdef";
    let request = request(Method::POST, "/api/browser/errors", key, &[], body);
    assert_eq!(relay.send(request).await.status.as_u16(), 201);
    let report: Value = serde_json::from_slice(&world.tracker.received()[0].body).unwrap();
    assert!(report["extra"]["symbolication"]["frames"][0]["file"].is_string());
}
