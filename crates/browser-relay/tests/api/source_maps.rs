//! `/api/source-maps`.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use browser_relay::BrowserRelay;
use flate2::Compression;
use flate2::write::GzEncoder;
use monlight_shared::clock::Clock;
use monlight_shared::testing::{TEST_START_SECONDS, TestService};
use serde_json::{Value, json};

use crate::support::{BASE, WEB, World, small_map, upload};

const PATH: &str = "/api/source-maps";

async fn traceback(world: &World, stack: &str) -> String {
    let body = json!({"type": "T", "message": "m", "stack": stack, "release": "1"});
    assert_eq!(
        world
            .browse("/api/browser/errors", WEB, &body)
            .await
            .status
            .as_u16(),
        201
    );
    let received = world.tracker.received();
    let report: Value = serde_json::from_slice(&received.last().unwrap().body).unwrap();
    report["traceback"].as_str().unwrap().to_owned()
}

/// Waits until upkeep has removed the rows of all maps but `sets`.
async fn swept(relay: &TestService, sets: i64) {
    for _ in 0..1_000_000 {
        let count = relay.ctx.store.read(|conn| {
            Ok(conn.query_row("SELECT COUNT(*) FROM map_sets", [], |row| {
                row.get::<_, i64>(0)
            })?)
        });
        if count.await.unwrap() == sets {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("upkeep never got there");
}

#[tokio::test]
async fn upload_list_filter_delete() {
    let world = World::new();
    assert_eq!(
        world.relay.get(PATH).await.json(),
        json!({"source_maps": [], "total": 0})
    );
    let answer = world.upload(&small_map("a.ts")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (
            201,
            json!({"status": "uploaded", "project": "web", "release": "1", "file_url": "/assets/app.js"})
        )
    );
    let other = json!({"project": "two words", "release": "1", "file_url": "a\"b.js", "map_content": small_map("a.ts")});
    world.relay.post_json(PATH, &other).await;
    let at = "2025-01-20T10:00:00Z";
    let first = json!({"id": 1, "project": "web", "release": "1", "file_url": "/assets/app.js", "uploaded_at": at});
    let second = json!({"id": 2, "project": "two words", "release": "1", "file_url": "a\"b.js", "uploaded_at": at});
    let list = async |query: &str| world.relay.get(&format!("{PATH}{query}")).await.json();
    assert_eq!(
        list("").await,
        json!({"source_maps": [first, second], "total": 2})
    );
    assert_eq!(
        list("?project=two%20words").await,
        json!({"source_maps": [second], "total": 1})
    );
    assert_eq!(
        list("?project=none").await,
        json!({"source_maps": [], "total": 0})
    );
    assert_eq!(
        list("?project=").await,
        json!({"source_maps": [], "total": 0})
    );
    assert_eq!(
        list("?limit=1&offset=1").await,
        json!({"source_maps": [second], "total": 2})
    );
    for (id, status, answer) in [
        ("1", 200, json!({"status": "deleted"})),
        ("1", 404, json!({"detail": "Source map not found"})),
        ("0", 404, json!({"detail": "Source map not found"})),
        ("x", 400, json!({"detail": "Invalid ID"})),
        ("", 400, json!({"detail": "Invalid ID"})),
    ] {
        let deleted = world.relay.delete(&format!("{PATH}/{id}")).await;
        assert_eq!(
            (deleted.status.as_u16(), deleted.json()),
            (status, answer),
            "{id}"
        );
    }
    swept(&world.relay, 1).await;
}

#[tokio::test]
async fn a_replaced_map_is_used_at_once_and_keeps_its_id() {
    let world = World::new();
    let frame = "at u (https://shop.example/assets/app.js:1:1)";
    world.upload(&small_map("old.ts")).await;
    assert_eq!(traceback(&world, frame).await, "at u (old.ts:1:1)");
    world.upload(&small_map("new.ts")).await;
    assert_eq!(traceback(&world, frame).await, "at u (new.ts:1:1)");
    assert_eq!(
        world.relay.get(PATH).await.json()["source_maps"][0]["id"],
        1
    );
    swept(&world.relay, 1).await;
    assert_eq!(traceback(&world, frame).await, "at u (new.ts:1:1)");
    world.relay.delete("/api/source-maps/1").await;
    assert_eq!(traceback(&world, frame).await, frame);
}

#[tokio::test]
async fn a_map_is_found_by_path_whatever_it_was_uploaded_under() {
    let world = World::new();
    let mut full = upload(&small_map("full.ts"));
    full["file_url"] = json!("https://shop.example/assets/full.js?v=3");
    world.relay.post_json(PATH, &full).await;
    assert_eq!(
        traceback(
            &world,
            "at u (http://cdn.example:8080/assets/full.js?v=3:1:1)"
        )
        .await,
        "at u (full.ts:1:1)"
    );
    assert_eq!(
        traceback(&world, "u@/assets/full.js?v=3:1:1").await,
        "u@full.ts:1:1"
    );
    let elsewhere = "at u (http://cdn.example/assets/full.js:1:1)";
    assert_eq!(traceback(&world, elsewhere).await, elsewhere);
}

#[tokio::test]
async fn refusals() {
    let world = World::new();
    let map = small_map("a.ts");
    let mut broken =
        upload("{\"version\":3,\"sources\":[\"a.ts\"],\"names\":[],\"mappings\":\"AAAA,!!!\"}");
    for (body, detail) in [
        (String::new(), "Empty request body"),
        ("{".to_owned(), "Invalid JSON"),
        ("[]".to_owned(), "Request body must be a JSON object"),
        (
            json!({"map_content": map}).to_string(),
            "Missing required field: project",
        ),
        (upload("not json").to_string(), "Invalid source map format"),
        (upload("").to_string(), "Invalid source map format"),
        (
            upload("{\"version\":4,\"sources\":[],\"mappings\":\"\"}").to_string(),
            "Invalid source map format: version 4, expected 3",
        ),
        (
            broken.to_string(),
            "Invalid source map format: mappings have a character that is no base64 digit at character 5",
        ),
    ] {
        let answer = world.relay.post(PATH, body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (400, json!({"detail": detail})),
            "{body}"
        );
    }
    let not_text = world.relay.post(PATH, &b"{\"project\":\"\xff\"}"[..]).await;
    assert_eq!(not_text.json(), json!({"detail": "Invalid JSON"}));
    assert_eq!(world.relay.get(PATH).await.json()["total"], 0);
    // Half a map is never used, and what was stored of it goes.
    broken["map_content"] = json!(json!({
        "version": 3, "sources": ["a.ts"], "names": [], "mappings": format!("{}!", "AAAA;".repeat(100_000)),
    }).to_string());
    assert_eq!(
        world.relay.post_json(PATH, &broken).await.status.as_u16(),
        400
    );
    swept(&world.relay, 0).await;
}

/// A map of about 5 MiB: one long line of tokens, many names, and sources with their text.
fn large_map() -> String {
    let mappings = "AAAAA,CAACC,IAAI,CAAC,".repeat(110_000);
    let names: Vec<String> = (0..110_001).map(|n| format!("name{n}")).collect();
    let text = "function handler() {\n  return compute(\"a\");\n}\n".repeat(15_000);
    json!({
        "version": 3, "sources": ["a.ts"], "sourcesContent": [text], "names": names,
        "mappings": mappings.trim_end_matches(','),
    })
    .to_string()
}

#[tokio::test]
async fn a_map_of_5_mib_is_taken_and_used() {
    let world = World::new();
    let map = large_map();
    assert!((3_500_000..5_242_880).contains(&map.len()), "{}", map.len());
    let answer = world.upload(&map).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    // Five numbers, so far along the line that the block is deep inside the map.
    assert_eq!(
        traceback(&world, "at u (/assets/app.js:1:330002)")
            .await
            .split(':')
            .next(),
        Some("at name55001 (a.ts")
    );
    world.relay.delete("/api/source-maps/1").await;
    swept(&world.relay, 0).await;
}

#[tokio::test]
async fn the_file_shrinks_when_maps_go() {
    let world = World::new();
    let mut second = upload(&large_map());
    second["release"] = json!("2");
    for body in [upload(&large_map()), second] {
        world.relay.post_json(PATH, &body).await.expect(201);
    }
    let pages = async || {
        let count = world.relay.ctx.store.read(|conn| {
            let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
            Ok((
                number("PRAGMA page_count")?,
                number("PRAGMA freelist_count")?,
            ))
        });
        count.await.unwrap()
    };
    let (before, _) = pages().await;
    assert!(before > 2000, "{before}");
    for id in 1..=2 {
        world
            .relay
            .delete(&format!("{PATH}/{id}"))
            .await
            .expect(200);
    }
    for _ in 0..1_000_000 {
        let (all, free) = pages().await;
        if all < before && free <= 1024 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the file keeps its size: {:?} of {before}", pages().await);
}

#[tokio::test]
async fn a_map_that_is_too_large_is_refused() {
    let world = World::with(&[("MAX_SOURCE_MAP_BYTES", "2000")]);
    let map = |length: usize| {
        let bare = small_map("a.ts");
        format!("{bare}{}", " ".repeat(length - bare.len()))
    };
    assert_eq!(world.upload(&map(2000)).await.status.as_u16(), 201);
    let refused = world.upload(&map(2001)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()),
        (413, json!({"detail": "Request body exceeds maximum size"}))
    );
    let declared = world
        .relay
        .request(Method::POST, PATH)
        .header("Content-Length", "1000000");
    let refused = world
        .relay
        .send(declared.body(Body::empty()).unwrap())
        .await;
    assert_eq!(refused.status.as_u16(), 413);
    assert_eq!(
        world
            .relay
            .post(PATH, "x".repeat(100_000))
            .await
            .status
            .as_u16(),
        413
    );
}

#[tokio::test]
async fn an_upload_may_be_compressed() {
    let world = World::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(upload(&small_map("packed.ts")).to_string().as_bytes())
        .unwrap();
    let request = world
        .relay
        .request(Method::POST, PATH)
        .header("Content-Encoding", "gzip");
    let answer = world
        .relay
        .send(request.body(Body::from(encoder.finish().unwrap())).unwrap())
        .await;
    assert_eq!(answer.status.as_u16(), 201);
    assert_eq!(
        traceback(&world, "at u (/assets/app.js:1:1)").await,
        "at u (packed.ts:1:1)"
    );
}

#[tokio::test]
async fn many_uploads_at_once_all_arrive() {
    let world = World::new();
    let uploads = (0..12).map(|n| {
        let mut body = upload(&small_map(&format!("{n}.ts")));
        body["file_url"] = json!(format!("/{n}.js"));
        let relay = &world.relay;
        async move { relay.post_json(PATH, &body).await.status.as_u16() }
    });
    assert_eq!(futures_util::future::join_all(uploads).await, vec![201; 12]);
    for n in 0..12 {
        assert_eq!(
            traceback(&world, &format!("at u (/{n}.js:1:1)")).await,
            format!("at u ({n}.ts:1:1)")
        );
    }
}

#[tokio::test]
async fn index_maps_and_source_roots_count() {
    let world = World::new();
    let map = json!({"version": 3, "sections": [{"offset": {"line": 1, "column": 5}, "map": {
        "version": 3, "sources": ["../src/a.ts"], "sourceRoot": "https://src.example/lib", "names": [], "mappings": "AAAA",
    }}]});
    assert_eq!(world.upload(&map.to_string()).await.status.as_u16(), 201);
    assert_eq!(
        traceback(
            &world,
            "at u (/assets/app.js:2:6)\nat v (/assets/app.js:2:5)"
        )
        .await,
        "at u (https://src.example/src/a.ts:1:1)\nat v (/assets/app.js:2:5)"
    );
}

#[tokio::test]
async fn maps_go_when_they_are_old() {
    let world = World::with(&[("RETENTION_DAYS", "30")]);
    world.upload(&small_map("a.ts")).await;
    let (errors, metrics) = (world.tracker.url(), world.collector.url());
    let mut settings = vec![
        ("ERROR_TRACKER_URL", errors.as_str()),
        ("METRICS_COLLECTOR_URL", metrics.as_str()),
    ];
    settings.extend(BASE);
    settings.push(("RETENTION_DAYS", "30"));
    let mut directory = world.relay.stop().await;
    for (days, left) in [(29, 1), (31, 0)] {
        let start = jiff_start() + Duration::from_hours(24 * days);
        let (clock, hand) = Clock::manual(start);
        let relay = TestService::with_clock::<BrowserRelay>(directory, &settings, clock, hand);
        swept(&relay, left).await;
        assert_eq!(
            relay.get(PATH).await.json()["total"],
            left,
            "after {days} days"
        );
        directory = relay.stop().await;
    }
}

fn jiff_start() -> jiff::Timestamp {
    jiff::Timestamp::from_second(TEST_START_SECONDS).unwrap()
}

#[tokio::test]
async fn the_oldest_maps_make_room() {
    let world = World::with(&[("MAX_SOURCE_MAP_STORAGE_BYTES", "1048576")]);
    for n in 0..3 {
        let text = format!("{}{}", small_map("a.ts"), " ".repeat(500_000));
        let mut body = upload(&text);
        body["file_url"] = json!(format!("/{n}.js"));
        assert_eq!(
            world.relay.post_json(PATH, &body).await.status.as_u16(),
            201
        );
        world.relay.clock.advance(Duration::from_secs(1));
    }
    swept(&world.relay, 2).await;
    let list = world.relay.get(PATH).await.json();
    let urls: Vec<_> = list["source_maps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|map| &map["file_url"])
        .collect();
    assert_eq!(urls, ["/1.js", "/2.js"]);
}

#[tokio::test]
async fn a_place_can_be_looked_up() {
    let world = World::new();
    let map = include_str!("../data/app.min.js.map");
    world.upload(map).await.expect(201);
    let look_up = async |path: &str| {
        let path = format!("/api/source-maps/{path}");
        let answer = world.relay.get(&path).await;
        (answer.status.as_u16(), answer.json())
    };
    let (status, found) = look_up("1/lookup?line=1&column=416").await;
    assert_eq!(status, 200);
    assert_eq!(
        (
            &found["file"],
            &found["line"],
            &found["column"],
            &found["function"]
        ),
        (
            &json!("../src/cart.ts"),
            &json!(32),
            &json!(38),
            &json!("lineTotal")
        )
    );
    assert_eq!(found["context"].as_array().unwrap().len(), 5);
    assert_eq!(found["context"][2], found["source"]);
    for (path, status, answer) in [
        (
            "1/lookup?line=9&column=1",
            200,
            json!({"reason": "line outside the map"}),
        ),
        (
            "2/lookup?line=1&column=1",
            404,
            json!({"detail": "Source map not found"}),
        ),
        (
            "x/lookup?line=1&column=1",
            400,
            json!({"detail": "Invalid ID"}),
        ),
        (
            "1/lookup?line=0&column=1",
            400,
            json!({"detail": "Parameter 'line' must be a whole number from 1 on"}),
        ),
        (
            "1/lookup?line=1",
            400,
            json!({"detail": "Parameter 'column' must be a whole number from 1 on"}),
        ),
    ] {
        assert_eq!(look_up(path).await, (status, answer), "{path}");
    }
}

const ID: &str = "85314830-023f-4cf1-a267-535f4e37bb17";

/// The readable stack of an event without a release, and what is said about its first frame.
async fn by_debug_ids(world: &World, stack: &str, ids: &Value) -> (String, Value) {
    let body = json!({"type": "T", "message": "m", "stack": stack, "debug_ids": ids});
    let answer = world.browse("/api/browser/errors", WEB, &body).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.json());
    let received = world.tracker.received();
    let report: Value = serde_json::from_slice(&received.last().unwrap().body).unwrap();
    let symbolication = report["extra"]["symbolication"].clone();
    (
        report["traceback"].as_str().unwrap().to_owned(),
        symbolication,
    )
}

#[tokio::test]
async fn a_debug_id_needs_neither_release_nor_file() {
    let world = World::new();
    let mut map: Value = serde_json::from_str(&small_map("cart.ts")).unwrap();
    map["debugId"] = json!(ID.to_uppercase());
    let body = json!({"project": "web", "map_content": map.to_string()});
    let answer = world.relay.post_json(PATH, &body).await;
    let uploaded = json!({"status": "uploaded", "project": "web", "release": null, "file_url": null, "debug_id": ID});
    assert_eq!((answer.status.as_u16(), answer.json()), (201, uploaded));
    let listed = world.relay.get(PATH).await.json();
    assert_eq!(listed["source_maps"][0]["debug_id"], ID);
    assert_eq!(listed["source_maps"][0]["release"], Value::Null);

    let script = "https://shop.example/a.1f.js";
    let stack = format!("E: m\n    at u ({script}:1:1)");
    let (text, said) = by_debug_ids(&world, &stack, &json!({script: ID.replace('-', "")})).await;
    assert_eq!(text, "E: m\n    at u (cart.ts:1:1)");
    assert_eq!(said["frames"][0]["file"], "cart.ts");
    let (text, said) = by_debug_ids(&world, &stack, &json!({"https://other/x.js": ID})).await;
    assert_eq!(
        (text, said),
        (
            stack.clone(),
            json!({"frames": [], "reason": "the event names no release"})
        )
    );
    let unknown = json!({script: ID.replace('8', "9"), "y": [1], "z": "no id"});
    let (_, said) = by_debug_ids(&world, &stack, &unknown).await;
    assert_eq!(said["frames"][0]["reason"], "no map for debug id");
    for malformed in [
        json!(null),
        json!(5),
        json!([ID]),
        json!({script: {"a": 1}}),
        json!({script: "x"}),
    ] {
        let (text, _) = by_debug_ids(&world, &stack, &malformed).await;
        assert_eq!(text, stack);
    }
}

#[tokio::test]
async fn the_debug_id_of_the_field_wins_over_that_of_the_map() {
    let world = World::new();
    let mut map: Value = serde_json::from_str(&small_map("a.ts")).unwrap();
    map["debug_id"] = json!(ID);
    let mut body = upload(&map.to_string());
    let other = "00000000-0000-4000-8000-000000000001";
    body["debug_id"] = json!(other);
    let answer = world.relay.post_json(PATH, &body).await.json();
    assert_eq!(
        (&answer["debug_id"], &answer["release"]),
        (&json!(other), &json!("1"))
    );
    // The same release and file again, without any id: the one before keeps only its own.
    let answer = world.upload(&small_map("b.ts")).await.json();
    assert_eq!(answer["debug_id"], Value::Null);
    let listed = world.relay.get(PATH).await.json();
    assert_eq!(listed["total"], 2);
    let [before, after] = [0, 1].map(|index| &listed["source_maps"][index]);
    assert_eq!(
        (&before["debug_id"], &before["release"], &before["file_url"]),
        (&json!(other), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (after.get("debug_id"), &after["release"]),
        (None, &json!("1"))
    );
}

#[tokio::test]
async fn without_a_debug_id_release_and_file_are_required() {
    let world = World::new();
    for (body, detail) in [
        (
            json!({"project": "web", "map_content": small_map("a.ts")}),
            "Missing required field: release",
        ),
        (
            json!({"project": "web", "map_content": "no map"}),
            "Missing required field: release",
        ),
        (
            json!({"project": "web", "release": "1", "map_content": small_map("a.ts")}),
            "Missing required field: file_url",
        ),
        (
            json!({"project": "web", "debug_id": "x", "map_content": small_map("a.ts")}),
            "Field 'debug_id' must be a UUID: 32 hexadecimal digits, with or without hyphens",
        ),
        (
            json!({"project": "web", "debug_id": ID, "map_content": "no map"}),
            "Invalid source map format",
        ),
    ] {
        let answer = world.relay.post_json(PATH, &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (400, json!({"detail": detail}))
        );
    }
}
