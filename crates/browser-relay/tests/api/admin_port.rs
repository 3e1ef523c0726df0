//! The relay with a port of its own for operators, as a process.

use std::path::Path;
use std::process::Command;

use monlight_shared::testing::{TEST_KEY, TestProcess};
use serde_json::json;

use crate::support::{BASE, Fake, event};

const BINARY: &str = env!("CARGO_BIN_EXE_browser-relay");

#[test]
fn strangers_reach_the_browser_routes_and_health_only() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("relay.db");
    let (tracker, collector) = (Fake::start(), Fake::start());
    let (errors, metrics) = (tracker.url(), collector.url());
    let mut settings = vec![
        ("ADMIN_API_KEY", TEST_KEY),
        ("ADMIN_PORT", "0"),
        ("ERROR_TRACKER_URL", errors.as_str()),
        ("METRICS_COLLECTOR_URL", metrics.as_str()),
        ("DATABASE_PATH", database.to_str().unwrap()),
    ];
    settings.extend(BASE);
    let relay = TestProcess::start(Path::new(BINARY), &settings);
    let (mut public, mut admin) = (relay.connect(), relay.connect_admin());

    // Both carry the admin key.
    for path in [
        "/api/dsn-keys",
        "/api/source-maps",
        "/api/outbox",
        "/metrics",
        "/api/session",
    ] {
        assert_eq!(public.get(path).unwrap().0, 404, "{path}");
        assert_eq!(admin.get(path).unwrap().0, 200, "{path}");
    }
    let key = json!({"project": "web"}).to_string();
    assert_eq!(public.post("/api/dsn-keys", key.as_bytes()).unwrap().0, 404);
    assert_eq!(admin.post("/api/dsn-keys", key.as_bytes()).unwrap().0, 201);
    let event = event().to_string();
    let path = "/api/browser/errors?key=dsn-web-1";
    for door in [&mut public, &mut admin] {
        assert_eq!(door.get("/health").unwrap().0, 200);
        assert_eq!(door.post(path, event.as_bytes()).unwrap().0, 201);
    }
    // The health check asks the port for strangers.
    let check = Command::new(BINARY)
        .arg("--healthcheck")
        .env_clear()
        .env("HOST", "127.0.0.1")
        .env("PORT", relay.port().to_string())
        .env("ADMIN_PORT", "1")
        .output()
        .unwrap();
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let (_, figures) = admin.get("/metrics").unwrap();
    let figures = String::from_utf8(figures).unwrap();
    for line in [
        "monlight_http_connections_max 512",
        "monlight_http_connections_max{listener=\"admin\"} 64",
        "monlight_http_connections 1",
        "monlight_http_connections{listener=\"admin\"} 1",
    ] {
        assert!(
            figures.lines().any(|known| known == line),
            "{line}\n{figures}"
        );
    }
}

#[test]
fn settings_for_operators_are_checked() {
    let fails = |settings: &[(&str, &str)]| {
        let output = Command::new(BINARY)
            .env_clear()
            .envs(BASE)
            .env("ADMIN_API_KEY", TEST_KEY)
            .env("ERROR_TRACKER_URL", "http://127.0.0.1:1")
            .env("METRICS_COLLECTOR_URL", "http://127.0.0.1:1")
            .envs(settings.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let fault = fails(&[("ADMIN_HOST", "10.0.0.1")]);
    assert!(
        fault.contains("ADMIN_HOST") && fault.contains("does nothing without ADMIN_PORT"),
        "{fault}"
    );
    let fault = fails(&[("ADMIN_PORT", "admin")]);
    assert!(
        fault.contains("ADMIN_PORT") && fault.contains("whole number, 0 to 65535"),
        "{fault}"
    );
}
