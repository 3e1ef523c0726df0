//! Rates, sizes and crowds.

use std::io::Write;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Method;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use serde_json::{Value, json};

use crate::support::{ORIGIN, Reply, SHOP, WEB, World, batch, event};

const METRICS: &str = "/api/browser/metrics";

#[tokio::test]
async fn each_key_and_address_has_a_minute_of_its_own() {
    let world = World::with(&[("RATE_LIMIT", "3"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let send = async |key: &str, address: &str| {
        let headers = [("X-Forwarded-For", address)];
        world
            .browse_raw(METRICS, key, &headers, batch().to_string())
            .await
            .status
            .as_u16()
    };
    for _ in 0..3 {
        assert_eq!(send(WEB, "192.0.2.1").await, 202);
    }
    let limited = world
        .browse_raw(
            METRICS,
            WEB,
            &[("X-Forwarded-For", "192.0.2.1")],
            batch().to_string(),
        )
        .await;
    assert_eq!(
        limited.json(),
        json!({"detail": "Rate limit exceeded", "retry_after": 60})
    );
    assert_eq!(limited.headers["retry-after"], "60");
    assert_eq!(send(WEB, "192.0.2.2").await, 202, "another visitor");
    assert_eq!(send(SHOP, "192.0.2.1").await, 202, "another site");
    assert_eq!(
        world.relay.get("/api/dsn-keys").await.status.as_u16(),
        200,
        "the operator"
    );
    assert_eq!(world.relay.get("/health").await.status.as_u16(), 200);
    world.relay.clock.advance(Duration::from_mins(1));
    assert_eq!(send(WEB, "192.0.2.1").await, 202);
}

#[tokio::test]
async fn errors_and_metrics_have_budgets_apart() {
    let world = World::with(&[("RATE_LIMIT", "2")]);
    for _ in 0..2 {
        world.browse(METRICS, WEB, &batch()).await.expect(202);
    }
    world.browse(METRICS, WEB, &batch()).await.expect(429);
    for _ in 0..2 {
        world
            .browse("/api/browser/errors", WEB, &event())
            .await
            .expect(201);
    }
    world
        .browse("/api/browser/errors", WEB, &event())
        .await
        .expect(429);
}

#[tokio::test]
async fn a_key_can_have_limits_of_its_own() {
    let world = World::with(&[("RATE_LIMIT", "0"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let settings = json!({"project": "p", "rate_limit": 2, "total_limit": 3});
    let created = world
        .relay
        .post_json("/api/dsn-keys", &settings)
        .await
        .expect(201);
    let key = created.json()["public_key"].as_str().unwrap().to_owned();
    let send = async |key: &str, address: &str| {
        let headers = [("X-Forwarded-For", address)];
        let body = batch().to_string();
        world
            .browse_raw(METRICS, key, &headers, body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(send(&key, "192.0.2.1").await, 202);
    assert_eq!(send(&key, "192.0.2.1").await, 202);
    assert_eq!(send(&key, "192.0.2.1").await, 429, "of one address");
    assert_eq!(send(&key, "192.0.2.2").await, 202);
    assert_eq!(send(&key, "192.0.2.2").await, 429, "of all together");
    assert_eq!(send(WEB, "192.0.2.2").await, 202, "another key");
    world.relay.clock.advance(Duration::from_mins(1));
    assert_eq!(send(&key, "192.0.2.2").await, 202);
}

#[tokio::test]
async fn pages_of_foreign_origins_use_up_nothing_of_a_site() {
    let world = World::with(&[("RATE_LIMIT", "3"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let settings = json!({"project": "p", "origins": [ORIGIN], "total_limit": 4, "rate_limit": 3});
    let created = world.relay.post_json("/api/dsn-keys", &settings).await;
    let key = created.expect(201).json()["public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let send = async |origin: Option<&str>, address: &str| {
        let mut headers = vec![("X-Forwarded-For", address)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let body = batch().to_string();
        let answer = world.browse_raw(METRICS, &key, &headers, body).await;
        answer.status.as_u16()
    };
    // From one address, with and without an origin, and from many.
    for (origin, status) in [
        (Some("https://evil.example"), 403),
        (None, 403),
        (Some("null"), 403),
        (Some("https://evil.example"), 429),
        (None, 429),
    ] {
        assert_eq!(send(origin, "192.0.2.1").await, status, "{origin:?}");
    }
    for number in 2..50 {
        let address = format!("192.0.2.{number}");
        assert_eq!(send(Some("https://evil.example"), &address).await, 403);
    }
    // The visitor of that address still has all of his, and the site all of its.
    for (address, status) in [
        ("192.0.2.1", 202),
        ("192.0.2.1", 202),
        ("192.0.2.1", 202),
        ("192.0.2.1", 429),
        ("192.0.2.2", 202),
        ("192.0.2.2", 429),
    ] {
        assert_eq!(send(Some(ORIGIN), address).await, status, "{address}");
    }
}

#[tokio::test]
async fn unknown_keys_share_a_budget_and_touch_nobody() {
    let world = World::with(&[("RATE_LIMIT", "3")]);
    let statuses = async |key: &str| world.browse(METRICS, key, &batch()).await.status.as_u16();
    for key in ["a", "b", "c"] {
        assert_eq!(statuses(key).await, 401);
    }
    assert_eq!(statuses("d").await, 429);
    assert_eq!(statuses("").await, 429);
    assert_eq!(statuses(WEB).await, 202);
}

#[tokio::test]
async fn preflights_are_free() {
    let world = World::with(&[("RATE_LIMIT", "2")]);
    for _ in 0..10 {
        let answer = world
            .plain(Method::OPTIONS, METRICS, "", &[("Origin", ORIGIN)])
            .await;
        assert_eq!(answer.status.as_u16(), 204);
    }
    assert_eq!(
        world.browse(METRICS, WEB, &batch()).await.status.as_u16(),
        202
    );
}

#[tokio::test]
async fn the_admin_has_a_limit_too() {
    let world = World::with(&[("RATE_LIMIT", "2")]);
    let status = async || world.relay.get("/api/dsn-keys").await.status.as_u16();
    assert_eq!(
        (status().await, status().await, status().await),
        (200, 200, 429)
    );
    assert_eq!(
        world.browse(METRICS, WEB, &batch()).await.status.as_u16(),
        202
    );
}

fn padded(length: usize) -> String {
    let bare = r#"{"metrics":[{"name":"n","type":"gauge","value":1}],"pad":""}"#;
    bare.replace("\"\"", &format!("\"{}\"", "x".repeat(length - bare.len())))
}

#[tokio::test]
async fn bodies_of_events_have_64_kib() {
    let world = World::new();
    let send = async |body: Body| {
        world
            .browse_raw(METRICS, WEB, &[], body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(send(padded(65_536).into()).await, 202);
    assert_eq!(send(padded(65_537).into()).await, 413);
    let in_pieces = |length| {
        let pieces: Vec<_> = padded(length)
            .into_bytes()
            .chunks(10_000)
            .map(Bytes::copy_from_slice)
            .collect();
        Body::from_stream(stream::iter(
            pieces.into_iter().map(Ok::<_, std::io::Error>),
        ))
    };
    assert_eq!(send(in_pieces(65_536)).await, 202);
    assert_eq!(send(in_pieces(65_537)).await, 413);
    assert_eq!(
        world
            .relay
            .post("/api/dsn-keys", padded(65_537))
            .await
            .status
            .as_u16(),
        413
    );
}

#[tokio::test]
async fn the_declared_size_counts_before_the_key_and_on_every_path() {
    let world = World::new();
    for path in [METRICS, "/api/browser/unknown", "/api/dsn-keys", "/nope"] {
        let answer = world
            .browse_raw(path, "", &[("Content-Length", "65537")], "")
            .await;
        assert_eq!(
            answer.json(),
            json!({"detail": "Request body exceeds maximum size"}),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_limit_can_be_set_by_its_old_and_its_new_name() {
    for (settings, most) in [
        (&[("MAX_BODY_SIZE", "2000")][..], 2000),
        (&[("MAX_BODY_BYTES", "3000")][..], 3000),
        (
            &[("MAX_BODY_BYTES", "3000"), ("MAX_BODY_SIZE", "2000")][..],
            2000,
        ),
    ] {
        let world = World::with(settings);
        let send = async |length| {
            world
                .browse_raw(METRICS, WEB, &[], padded(length))
                .await
                .status
                .as_u16()
        };
        assert_eq!(
            (send(most).await, send(most + 1).await),
            (202, 413),
            "{settings:?}"
        );
    }
}

#[tokio::test]
async fn compressed_events_are_inflated_within_the_limit() {
    let world = World::new();
    let send = async |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let body = encoder.finish().unwrap();
        world
            .browse_raw(METRICS, WEB, &[("Content-Encoding", "gzip")], body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(send(&padded(65_536)).await, 202);
    assert_eq!(send(&padded(65_537)).await, 413);
    assert_eq!(send(&padded(10_000_000)).await, 413);
}

#[tokio::test]
async fn a_storm_at_one_site_leaves_room_for_the_others() {
    let world = World::with(&[("RATE_LIMIT", "0")]);
    let (held, body) = (96, event());
    for _ in 0..held {
        world.tracker.next(Reply::Wait);
    }
    let page = [("Origin", ORIGIN)];
    let mut storm: FuturesUnordered<_> = (0..=held)
        .map(|_| world.browse_raw("/api/browser/errors", WEB, &page, body.to_string()))
        .collect();
    let refused = storm.next().await.unwrap();
    assert_eq!(refused.status.as_u16(), 503);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["access-control-allow-origin"], ORIGIN);
    assert_eq!(
        world.browse(METRICS, SHOP, &batch()).await.status.as_u16(),
        202
    );
    world.tracker.release();
    let answers: Vec<u16> = storm.map(|answer| answer.status.as_u16()).collect().await;
    assert_eq!(answers, vec![201; held]);
}

/// The path of the page stands in every metric: 64 KiB became 26 MB.
#[tokio::test]
async fn a_batch_with_a_long_url_became_megabytes() {
    let world = World::new();
    let metric = json!({"name": "n", "type": "gauge", "value": 1});
    let page = format!("/{}", "\u{e9}".repeat(12_000));
    let url = format!("https://shop.example{page}?q");
    let body = json!({"metrics": vec![metric; 1000], "url": url});
    let answer = world.browse(METRICS, WEB, &body).await;
    assert_eq!(answer.json(), json!({"status": "accepted", "count": 1000}));
    let received = world.collector.received();
    assert!(
        received[0].body.len() < 1_000_000,
        "{}",
        received[0].body.len()
    );
    let sent: Value = serde_json::from_slice(&received[0].body).expect("JSON");
    let kept = sent[999]["labels"]["page"].as_str().expect("a page");
    assert!(kept.len() > 490 && kept.len() <= 500 && page.starts_with(kept));
}

/// While the tracker was silent, ninety-six events with readable stacks held 30 MB.
#[tokio::test]
async fn events_that_wait_for_a_slow_tracker_took_all_memory() {
    let world = World::with(&[("RATE_LIMIT", "0")]);
    let mut body = event();
    body["message"] = json!("m".repeat(60_000));
    let most = 4 * 1024 * 1024 / 60_000;
    for _ in 0..most {
        world.tracker.next(Reply::Wait);
    }
    let mut storm: FuturesUnordered<_> = (0..96)
        .map(|_| world.browse("/api/browser/errors", WEB, &body))
        .collect();
    for _ in most..96 {
        let refused = storm.next().await.unwrap();
        assert_eq!(refused.status.as_u16(), 503, "{}", refused.text());
        assert_eq!(refused.headers["retry-after"], "1");
    }
    let metrics = world.relay.get("/metrics").await.text();
    let held = metrics
        .lines()
        .find_map(|line| line.strip_prefix("monlight_relay_outgoing_bytes "))
        .expect("a gauge");
    assert!(held.parse::<f64>().expect("a number") <= 4_194_304.0);
    world.tracker.release();
    let answers: Vec<u16> = storm.map(|answer| answer.status.as_u16()).collect().await;
    assert!(answers.iter().all(|status| *status == 201), "{answers:?}");
    assert!(answers.len() >= 60, "{}", answers.len());
}

#[tokio::test]
async fn odd_events_harm_nobody() {
    let world = World::new();
    let deep = format!(
        "{{\"context\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let wide = format!(
        "{{\"context\":{{{}}}}}",
        (0..5000)
            .map(|n| format!("\"k{n}\":0"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let header = "x".repeat(10_000);
    for (body, headers) in [
        (deep, &[][..]),
        (wide, &[]),
        ("\u{0}".repeat(1000), &[]),
        (
            "{\"type\":\"\\ud800\",\"message\":\"\",\"stack\":\"at (((((@@@@::::\"}".to_owned(),
            &[],
        ),
        (event().to_string(), &[("X-Monlight-Key", header.as_str())]),
        (event().to_string(), &[("Origin", "\u{e9}")]),
        (event().to_string(), &[("Content-Encoding", "br")]),
    ] {
        let key = if headers.iter().any(|(name, _)| *name == "X-Monlight-Key") {
            ""
        } else {
            WEB
        };
        let answer = world
            .browse_raw("/api/browser/errors", key, headers, body)
            .await;
        assert!(
            answer.status.as_u16() < 500,
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(answer.status.is_success() || answer.json()["detail"].is_string());
    }
    let received = world.tracker.received();
    assert!(
        received
            .iter()
            .all(|received| serde_json::from_slice::<Value>(&received.body).is_ok())
    );
}

#[tokio::test]
async fn visitors_that_are_remembered_are_shown() {
    let world = World::with(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        let body = batch().to_string();
        let headers = [("X-Forwarded-For", address)];
        world
            .browse_raw(METRICS, WEB, &headers, body)
            .await
            .expect(202);
    }
    let metrics = world.relay.get("/metrics").await.text();
    for line in [
        "monlight_relay_visitors 2",
        "monlight_relay_visitors_max 2048",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{metrics}");
    }
}
