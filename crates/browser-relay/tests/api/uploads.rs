//! Source maps as forms, compressed or not.

use std::io::Write;

use axum::body::Body;
use axum::http::{Method, Request};
use flate2::Compression;
use flate2::write::GzEncoder;
use monlight_shared::testing::TestResponse;
use serde_json::{Value, json};

use crate::support::{WEB, World, small_map, upload};

const PATH: &str = "/api/source-maps";
const ID: &str = "85314830-023f-4cf1-a267-535f4e37bb17";
const BOUNDARY: &str = "----form-17";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A form as `curl -F` and `fetch` write it; a part named `file` has a file name.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let file = if *name == "file" {
            "; filename=\"app.js.map\"\r\nContent-Type: application/json"
        } else {
            ""
        };
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn send(world: &World, body: Vec<u8>, encoding: Option<&str>) -> TestResponse {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header("X-API-Key", world.relay.ctx.common.api_key.expose())
        .header(
            "Content-Type",
            format!("multipart/form-data; boundary={BOUNDARY}"),
        );
    if let Some(encoding) = encoding {
        request = request.header("Content-Encoding", encoding);
    }
    world
        .relay
        .send(request.body(Body::from(body)).unwrap())
        .await
}

/// What becomes of the first place in `/assets/app.js` of release 1.
async fn source(world: &World) -> String {
    let stack = "at u (https://shop.example/assets/app.js:1:1)";
    let body = json!({"type": "T", "message": "m", "stack": stack, "release": "1"});
    world.browse("/api/browser/errors", WEB, &body).await;
    let received = world.tracker.received();
    let report: Value = serde_json::from_slice(&received.last().unwrap().body).unwrap();
    report["traceback"].as_str().unwrap().to_owned()
}

const NAMES: [(&str, &[u8]); 3] = [
    ("project", b"web"),
    ("release", b"1"),
    ("file_url", b"/assets/app.js"),
];

fn named<'p>(more: &[(&'p str, &'p [u8])]) -> Vec<u8> {
    let parts: Vec<_> = NAMES.iter().chain(more).copied().collect();
    form(&parts)
}

#[tokio::test]
async fn a_form_is_as_good_as_json_however_it_is_packed() {
    let world = World::new();
    let uploaded = json!({"status": "uploaded", "project": "web", "release": "1", "file_url": "/assets/app.js"});
    for (n, (pack_map, pack_body)) in [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .enumerate()
    {
        let map = small_map(&format!("{n}.ts")).into_bytes();
        let map = if pack_map { gzip(&map) } else { map };
        let field = if n % 2 == 0 { "file" } else { "map_content" };
        let body = named(&[("ignored", b"x"), (field, &map)]);
        let answer = if pack_body {
            send(&world, gzip(&body), Some("gzip")).await
        } else {
            send(&world, body, None).await
        };
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (201, uploaded.clone()),
            "{n}"
        );
        assert_eq!(source(&world).await, format!("at u ({n}.ts:1:1)"));
    }
    // The map may come before its names, and its own id may take their place.
    let mut map: Value = serde_json::from_str(&small_map("a.ts")).unwrap();
    map["debugId"] = json!(ID);
    let map = map.to_string();
    let body = form(&[("file", map.as_bytes()), ("project", b"web")]);
    let answer = send(&world, body, None).await;
    assert_eq!(
        answer.json(),
        json!({"status": "uploaded", "project": "web", "release": null, "file_url": null, "debug_id": ID})
    );
}

#[tokio::test]
async fn json_may_be_packed() {
    let world = World::new();
    let body = gzip(upload(&small_map("packed.ts")).to_string().as_bytes());
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header("X-API-Key", world.relay.ctx.common.api_key.expose())
        .header("Content-Encoding", "gzip")
        .body(Body::from(body))
        .unwrap();
    assert_eq!(world.relay.send(request).await.status.as_u16(), 201);
    assert_eq!(source(&world).await, "at u (packed.ts:1:1)");
}

#[tokio::test]
async fn forms_that_are_refused() {
    let world = World::new();
    let map = small_map("a.ts").into_bytes();
    let broken = gzip(&map);
    let mut cut = named(&[("file", &map)]);
    cut.truncate(cut.len() - 10);
    for (body, detail) in [
        (form(&[]), "Missing required field: project"),
        (form(&NAMES), "Missing required field: file"),
        (
            form(&[("project", b"web"), ("file", &map)]),
            "Missing required field: release",
        ),
        (
            named(&[("debug_id", b"x"), ("file", &map)]),
            "Field 'debug_id' must be a UUID: 32 hexadecimal digits, with or without hyphens",
        ),
        (
            form(&[("project", "\u{e9}".repeat(300).as_bytes()), ("file", &map)]),
            "Field 'project' must be 1-100 characters",
        ),
        (
            named(&[("release", b"2"), ("file", &map)]),
            "Field 'release' is given twice",
        ),
        (
            named(&[("file", &map), ("map_content", &map)]),
            "Field 'map_content' is given twice",
        ),
        (named(&[("file", b"")]), "Invalid source map format"),
        (named(&[("file", b"{")]), "Invalid source map format"),
        (named(&[("file", b"{}\xff")]), "Invalid source map format"),
        (
            named(&[("file", &broken[..broken.len() - 5])]),
            "The file begins as gzip but is none",
        ),
        (
            named(&[("file", b"\x1f\x8bxxxxxxxxxxxxxxx")]),
            "The file begins as gzip but is none",
        ),
        (
            cut,
            "Invalid multipart body: it ends before its last boundary",
        ),
        (
            Vec::new(),
            "Invalid multipart body: it ends before its last boundary",
        ),
        (
            b"------form-17 and more\r\n".to_vec(),
            "Invalid multipart body: a boundary is followed by something else",
        ),
    ] {
        let answer = send(&world, body, None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (400, json!({"detail": detail}))
        );
    }
    let answer = send(&world, b"no gzip".to_vec(), Some("gzip")).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert_eq!(world.relay.get(PATH).await.json()["total"], 0);
}

#[tokio::test]
async fn limits_hold_for_what_is_inflated() {
    let world = World::with(&[("MAX_SOURCE_MAP_BYTES", "2000")]);
    let of = |length: usize| {
        let map = small_map("a.ts");
        format!("{map}{}", " ".repeat(length - map.len())).into_bytes()
    };
    let (fits, long, bomb) = (of(2000), of(2001), of(5_000_000));
    for (map, status) in [
        (fits.clone(), 201),
        (gzip(&fits), 201),
        (long.clone(), 413),
        (gzip(&long), 413),
        (gzip(&bomb), 413),
    ] {
        let answer = send(&world, named(&[("file", &map)]), None).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    // What nobody asked for counts, too.
    let body = gzip(&named(&[("other", &bomb), ("file", &fits)]));
    assert_eq!(send(&world, body, Some("gzip")).await.status.as_u16(), 413);
}
