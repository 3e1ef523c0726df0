//! `/api/dsn-keys` and who may speak with which key.

use axum::http::Method;
use browser_relay::BrowserRelay;
use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use crate::support::{BASE, SHOP, WEB, World, batch};

const METRICS: &str = "/api/browser/metrics";

#[tokio::test]
async fn keys_open_by_header_and_by_query() {
    let world = World::new();
    let status =
        async |path: &str, key: &str| world.browse(path, key, &batch()).await.status.as_u16();
    assert_eq!(status(METRICS, WEB).await, 202);
    assert_eq!(status(METRICS, &format!(" {WEB} ")).await, 202);
    assert_eq!(status("/api/browser/metrics?key=dsn-web-1", "").await, 202);
    assert_eq!(
        status("/api/browser/metrics?x=1&key=&key=dsn%2Dweb%2D1", "").await,
        202
    );
    // A header that is there is final.
    assert_eq!(
        status("/api/browser/metrics?key=dsn-web-1", "nope").await,
        401
    );
    let empty = world
        .browse_raw(
            "/api/browser/metrics?key=dsn-web-1",
            "",
            &[("X-Monlight-Key", "")],
            batch().to_string(),
        )
        .await;
    assert_eq!(empty.status.as_u16(), 401);
}

#[tokio::test]
async fn every_wrong_key_gets_the_same_answer() {
    let world = World::new();
    world.relay.delete("/api/dsn-keys/2").await;
    let headers: [&[(&str, &str)]; 6] = [
        &[],
        &[("X-Monlight-Key", "nope")],
        &[("X-Monlight-Key", "DSN-WEB-1")],
        &[("X-Monlight-Key", SHOP)],
        &[("X-API-Key", "test-key")],
        &[("X-Monlight-Key", "test-key")],
    ];
    for headers in headers {
        let answer = world
            .browse_raw(METRICS, "", headers, batch().to_string())
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (401, r#"{"detail":"Invalid DSN key"}"#.into()),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_key_works_from_its_creation_to_its_deactivation() {
    let world = World::new();
    let created = world
        .relay
        .post_json("/api/dsn-keys", &json!({"project": "a\"b", "more": 1}))
        .await;
    assert_eq!(created.status.as_u16(), 201);
    let created = created.json();
    assert_eq!(created["project"], "a\"b");
    let key = created["public_key"].as_str().unwrap().to_owned();
    assert!(
        key.len() == 32
            && key
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    );
    assert_eq!(
        world.browse(METRICS, &key, &batch()).await.status.as_u16(),
        202
    );
    let sent: Value = serde_json::from_slice(&world.collector.received()[0].body).unwrap();
    assert_eq!(sent[0]["project"], "a\"b");
    for _ in 0..2 {
        let gone = world.relay.delete("/api/dsn-keys/3").await;
        assert_eq!(
            (gone.status.as_u16(), gone.json()),
            (200, json!({"status": "deactivated"}))
        );
    }
    assert_eq!(
        world.browse(METRICS, &key, &batch()).await.status.as_u16(),
        401
    );
    let list = world.relay.get("/api/dsn-keys").await.json();
    let created_at = "2025-01-20T10:00:00Z";
    let expected = |id, key: &str, project: &str, active, taken| {
        json!({"id": id, "public_key": key, "project": project, "active": active, "created_at": created_at, "name": "",
            "origins": null, "allow_no_origin": false, "rate_limit": null, "total_limit": null,
            "last_used": (taken > 0).then_some(created_at), "events_taken": taken, "events_refused": 0})
    };
    assert_eq!(
        list,
        json!({"keys": [
            expected(1, WEB, "web", true, 0),
            expected(2, SHOP, "shop", true, 0),
            expected(3, &key, "a\"b", false, 1),
        ]})
    );
}

#[tokio::test]
async fn projects_are_checked() {
    let world = World::new();
    for (body, detail) in [
        (String::new(), "Empty request body"),
        ("{".to_owned(), "Invalid JSON"),
        (
            r#"{"project":"a","project":"b"}"#.to_owned(),
            "Invalid JSON",
        ),
        ("[]".to_owned(), "Request body must be a JSON object"),
        ("{}".to_owned(), "Missing required field: project"),
        (
            r#"{"project":null}"#.to_owned(),
            "Missing required field: project",
        ),
        (
            r#"{"project":""}"#.to_owned(),
            "Field 'project' must be 1-100 characters",
        ),
        (
            json!({"project": "p".repeat(101)}).to_string(),
            "Field 'project' must be 1-100 characters",
        ),
    ] {
        let answer = world.relay.post("/api/dsn-keys", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (400, json!({"detail": detail})),
            "{body}"
        );
    }
    // A body that came in pieces, beyond what the original could read.
    let body = json!({"project": "p", "pad": "x".repeat(20_000)}).to_string();
    assert_eq!(
        world
            .relay
            .post("/api/dsn-keys", body)
            .await
            .status
            .as_u16(),
        201
    );
}

#[tokio::test]
async fn ids_are_checked() {
    let world = World::new();
    for (id, status, detail) in [
        ("abc", 400, "Invalid ID"),
        ("", 400, "Invalid ID"),
        ("1.5", 400, "Invalid ID"),
        ("99999999999999999999", 400, "Invalid ID"),
        ("%ff", 400, "Invalid ID"),
        ("%c0%ae%2e", 400, "Invalid ID"),
        ("99", 404, "DSN key not found"),
        ("0", 404, "DSN key not found"),
        ("-1", 404, "DSN key not found"),
    ] {
        let answer = world.relay.delete(&format!("/api/dsn-keys/{id}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, json!({"detail": detail})),
            "{id}"
        );
    }
    assert_eq!(
        world.relay.delete("/api/dsn-keys/+2").await.status.as_u16(),
        200
    );
}

#[tokio::test]
async fn a_restart_keeps_keys_and_uses_up_no_ids() {
    let world = World::new();
    world.relay.delete("/api/dsn-keys/1").await;
    let (errors, metrics) = (world.tracker.url(), world.collector.url());
    let mut settings = vec![
        ("ERROR_TRACKER_URL", errors.as_str()),
        ("METRICS_COLLECTOR_URL", metrics.as_str()),
    ];
    settings.extend(BASE);
    let directory = world.relay.stop().await;
    let relay = TestService::on::<BrowserRelay>(directory, &settings);
    relay
        .post_json("/api/dsn-keys", &json!({"project": "x"}))
        .await;
    let list = relay.get("/api/dsn-keys").await.json();
    let ids: Vec<_> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (&key["id"], &key["active"]))
        .collect();
    let (one, two, three, yes, no) = (json!(1), json!(2), json!(3), json!(true), json!(false));
    assert_eq!(ids, [(&one, &no), (&two, &yes), (&three, &yes)]);
    let request =
        |key| crate::support::request(Method::POST, METRICS, key, &[], batch().to_string().into());
    assert_eq!(relay.send(request(WEB)).await.status.as_u16(), 401);
    assert_eq!(relay.send(request(SHOP)).await.status.as_u16(), 202);
}

async fn patch(world: &World, id: &str, body: &Value) -> monlight_shared::testing::TestResponse {
    let request = world
        .relay
        .request(Method::PATCH, &format!("/api/dsn-keys/{id}"))
        .body(body.to_string().into())
        .unwrap();
    world.relay.send(request).await
}

#[tokio::test]
async fn a_key_can_be_changed_and_brought_back() {
    let world = World::new();
    let status = async |key: &str| world.browse(METRICS, key, &batch()).await.status.as_u16();
    world.relay.delete("/api/dsn-keys/1").await.expect(200);
    assert_eq!(status(WEB).await, 401);
    let changed = patch(&world, "1", &json!({"active": true, "name": "Shop, live"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed.json()["active"], &changed.json()["name"]),
        (&json!(true), &json!("Shop, live"))
    );
    assert_eq!(status(WEB).await, 202);
    let origins = json!({"origins": ["https://shop.example"]});
    patch(&world, "1", &origins).await.expect(200);
    assert_eq!(status(WEB).await, 403);
    // What is not named stays.
    let changed = patch(&world, "1", &json!({"total_limit": 9}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (
            &changed["origins"],
            &changed["name"],
            &changed["total_limit"]
        ),
        (
            &json!(["https://shop.example"]),
            &json!("Shop, live"),
            &json!(9)
        )
    );
    assert_eq!(
        (&changed["events_taken"], &changed["events_refused"]),
        (&json!(1), &json!(1))
    );
    patch(&world, "1", &json!({"origins": null}))
        .await
        .expect(200);
    assert_eq!(status(WEB).await, 202);
    patch(&world, "1", &json!({"active": false}))
        .await
        .expect(200);
    assert_eq!(status(WEB).await, 401);
    for (id, body, status, detail) in [
        ("9", json!({}), 404, "DSN key not found"),
        ("x", json!({}), 400, "Invalid ID"),
        ("2", json!([]), 400, "Request body must be a JSON object"),
        (
            "2",
            json!({"project": "other"}),
            400,
            "The project of a key cannot be changed; create another key",
        ),
        (
            "2",
            json!({"origins": ["shop.example"]}),
            400,
            "Field 'origins': \"shop.example\" has no scheme: write it as https://host",
        ),
    ] {
        let answer = patch(&world, id, &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, json!({"detail": detail})),
            "{id} {body}"
        );
    }
    assert_eq!(status(SHOP).await, 202, "a refused change changes nothing");
}

#[tokio::test]
async fn settings_and_counts_outlive_a_restart() {
    let world = World::new();
    let settings = json!({"project": "p", "name": "n", "origins": ["https://a.example", "https://*.b.example"],
        "allow_no_origin": true, "rate_limit": 5, "total_limit": 50});
    let created = world
        .relay
        .post_json("/api/dsn-keys", &settings)
        .await
        .expect(201)
        .json();
    assert_eq!(created["id"], 3);
    let key = created["public_key"].as_str().unwrap();
    for _ in 0..3 {
        world.browse(METRICS, key, &batch()).await.expect(202);
    }
    world.browse(METRICS, key, &json!({})).await.expect(400);
    let foreign = [("Origin", "https://evil.example")];
    world
        .browse_raw(METRICS, key, &foreign, "{}")
        .await
        .expect(403);
    let before = world.relay.get("/api/dsn-keys").await.json();
    let third = &before["keys"][2];
    assert_eq!(
        (
            &third["events_taken"],
            &third["events_refused"],
            &third["last_used"]
        ),
        (&json!(3), &json!(2), &json!("2025-01-20T10:00:00Z"))
    );
    for (field, value) in settings.as_object().unwrap() {
        assert_eq!(&third[field], value);
    }
    let (errors, metrics) = (world.tracker.url(), world.collector.url());
    let mut settings = vec![
        ("ERROR_TRACKER_URL", errors.as_str()),
        ("METRICS_COLLECTOR_URL", metrics.as_str()),
    ];
    settings.extend(BASE);
    let relay = TestService::on::<BrowserRelay>(world.relay.stop().await, &settings);
    assert_eq!(relay.get("/api/dsn-keys").await.json(), before);
    let request = crate::support::request(Method::POST, METRICS, key, &foreign, "{}".into());
    relay.send(request).await.expect(403);
}
