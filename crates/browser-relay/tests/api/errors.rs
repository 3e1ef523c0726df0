//! `POST /api/browser/errors`.

use serde_json::{Value, json};

use crate::support::{Reply, WEB, World, event};

const PATH: &str = "/api/browser/errors";

#[tokio::test]
async fn an_error_arrives_as_the_tracker_wants_it() {
    let world = World::new();
    let body = json!({
        "type": "TypeError", "message": "boom", "stack": "TypeError: boom", "url": "https://shop.example/cart?step=2#pay",
        "user_agent": "UA/1.0", "session_id": "sess-1", "release": "1.2.3", "timestamp": "2026-01-02T03:04:05.678Z",
        "context": {"user_id": "u-42", "environment": "prod", "deep": {"a": [1, null, true, "é"]}},
        "project": "spoofed", "request_method": "GET", "user_id": "spoofed",
    });
    let headers = [
        ("Cookie", "secret=1"),
        ("Origin", "https://a.example"),
        ("X-Forwarded-For", "1.2.3.4"),
    ];
    let answer = world
        .browse_raw(PATH, WEB, &headers, body.to_string())
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (201, r#"{"status":"created","id":1}"#.into())
    );
    let received = &world.tracker.received()[0];
    assert_eq!(received.line, "POST /api/errors HTTP/1.1");
    assert_eq!(received.header("x-api-key"), Some("tracker-key"));
    assert_eq!(received.header("content-type"), Some("application/json"));
    for name in ["cookie", "origin", "x-forwarded-for", "x-monlight-key"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert_eq!(
        String::from_utf8_lossy(&received.body),
        r#"{"project":"web","exception_type":"TypeError","message":"boom","traceback":"TypeError: boom","request_method":"BROWSER","request_url":"https://shop.example/cart?step=2#pay","user_id":"u-42","release":"1.2.3","environment":"prod","extra":{"user_agent":"UA/1.0","session_id":"sess-1","release":"1.2.3","timestamp":"2026-01-02T03:04:05.678Z","context":{"deep":{"a":[1,null,true,"é"]},"environment":"prod","user_id":"u-42"}}}"#
    );
}

#[tokio::test]
async fn the_tracker_is_told_what_browser_it_was_and_no_secret_of_the_address() {
    const FIREFOX: &str = "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0";
    let firefox = json!({"browser": "Firefox", "browser_version": "127", "os": "Android", "os_version": "14", "device": "mobile"});
    let world = World::new();
    let mut body = event();
    body["url"] = json!("https://bob:pw@shop.example/reset?token=t0p&x=1#access_token=t0p");
    // The event's own says more than that of the request.
    let headers = [("User-Agent", FIREFOX)];
    world
        .browse_raw(PATH, WEB, &headers, body.to_string())
        .await;
    body["user_agent"] = json!("curl/8.5.0");
    world
        .browse_raw(PATH, WEB, &headers, body.to_string())
        .await;
    let received = world.tracker.received();
    let reports: Vec<Value> = received
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert_eq!(reports[0]["tags"], firefox);
    assert_eq!(reports[0]["extra"].get("user_agent"), None);
    assert_eq!(reports[1].get("tags"), None);
    let url = "https://[redacted]@shop.example/reset?token=[redacted]&x=1#access_token=[redacted]";
    assert_eq!(reports[0]["request_url"], url);
}

#[tokio::test]
async fn the_answer_of_the_tracker_is_passed_on() {
    let world = World::new();
    for (status, body) in [
        (
            "200 OK",
            r#"{"status": "incremented", "id": 1, "count": 2}"#,
        ),
        (
            "201 Created",
            r#"{"status": "reopened", "id": 1, "count": 3}"#,
        ),
    ] {
        world.tracker.next(Reply::Answer(status, body.to_owned()));
        let answer = world.browse(PATH, WEB, &event()).await;
        assert!(status.starts_with(&answer.status.as_u16().to_string()));
        assert_eq!(answer.text(), body);
        assert_eq!(answer.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_object_stays_here() {
    let world = World::new();
    for body in ["", "<script>alert(1)</script>", "[1]"] {
        world.tracker.next(Reply::Answer("200 OK", body.to_owned()));
        let answer = world.browse(PATH, WEB, &event()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, r#"{"status":"accepted"}"#.into())
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_forwarded() {
    let world = World::new();
    for (body, detail) in [
        ("", "Empty request body"),
        ("{", "Invalid JSON"),
        ("[]", "Request body must be a JSON object"),
        ("{}", "Missing required field: type"),
        (
            r#"{"type":"t","message":"m","stack":1}"#,
            "Missing required field: stack",
        ),
    ] {
        let answer = world.browse_raw(PATH, WEB, &[], body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (400, json!({"detail": detail})),
            "{body}"
        );
    }
    assert!(world.tracker.received().is_empty());
}

#[tokio::test]
async fn a_real_stack_becomes_readable() {
    let world = World::new();
    let map = include_str!("../data/app.min.js.map");
    let mut upload = crate::support::upload(map);
    upload["file_url"] = json!("https://shop.example/assets/app.min.js");
    assert_eq!(
        world
            .relay
            .post_json("/api/source-maps", &upload)
            .await
            .status
            .as_u16(),
        201
    );
    let stacks: Vec<String> =
        serde_json::from_str(include_str!("../data/app.min.stacks.json")).unwrap();
    let body = json!({"type": "TypeError", "message": "m", "stack": stacks[0], "release": "1"});
    assert_eq!(world.browse(PATH, WEB, &body).await.status.as_u16(), 201);
    let report = world.report();
    assert_eq!(
        report["traceback"],
        "TypeError: Cannot read properties of undefined (reading 'cents')
    at l (../src/cart.ts:32:38)
    at lineTotal (../src/cart.ts:23:16)
    at a (../src/checkout.ts:8:15)
    at checkout (../src/main.ts:18:19)
    at handleClick (../src/main.ts:6:32)"
    );
    let frames = report["extra"]["symbolication"]["frames"]
        .as_array()
        .unwrap();
    let functions: Vec<&Value> = frames.iter().map(|frame| &frame["function"]).collect();
    assert_eq!(
        functions,
        [
            "lineTotal",
            "computeTotal",
            "checkout",
            "handleClick",
            "onClick"
        ]
    );
    assert_eq!(
        frames[0],
        json!({
            "file": "../src/cart.ts", "line": 32, "column": 38, "function": "lineTotal",
            "source": "  return item.quantity * item.price!.cents + label.length * 0;",
            "context_line": 30, "context": ["  // \"{\" in a comment, and in a text below, must not confuse anybody.", "  const label = `${item.sku}: {`;", "  return item.quantity * item.price!.cents + label.length * 0;", "}", ""],
            "minified": {"file": "https://shop.example/assets/app.min.js", "line": 1, "column": 416, "function": "l"},
        })
    );
}

#[tokio::test]
async fn why_a_stack_stays_is_said() {
    let world = World::new();
    for (release, expected) in [
        (json!("1"), json!("no map for release")),
        (Value::Null, json!("the event names no release")),
    ] {
        let mut body = event();
        body["release"] = release;
        world.browse(PATH, WEB, &body).await;
        let received = world.tracker.received();
        let report: Value = serde_json::from_slice(&received.last().unwrap().body).unwrap();
        assert_eq!(report["traceback"], event()["stack"]);
        let symbolication = &report["extra"]["symbolication"];
        let reason = symbolication["frames"]
            .get(0)
            .map_or(&symbolication["reason"], |frame| &frame["reason"]);
        assert_eq!(*reason, expected);
    }
}

#[tokio::test]
async fn maps_of_another_project_are_not_used() {
    let world = World::new();
    let mut upload = crate::support::upload(&crate::support::small_map("a.ts"));
    upload["project"] = json!("shop");
    assert_eq!(
        world
            .relay
            .post_json("/api/source-maps", &upload)
            .await
            .status
            .as_u16(),
        201
    );
    let body =
        json!({"type": "T", "message": "m", "stack": "at f (/assets/app.js:1:1)", "release": "1"});
    world.browse(PATH, WEB, &body).await;
    assert_eq!(world.report()["traceback"], "at f (/assets/app.js:1:1)");
}

#[tokio::test]
async fn a_stack_of_nothing_but_frames_is_bounded() {
    let world = World::new();
    let body = json!({"type": "T", "message": "m", "stack": "at f (/a.js:1:1)\n".repeat(3000), "release": "1"});
    assert_eq!(world.browse(PATH, WEB, &body).await.status.as_u16(), 201);
    let report = world.report();
    assert_eq!(
        report["extra"]["symbolication"]["frames"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
    assert!(world.tracker.received()[0].body.len() < 80_000);
}

#[tokio::test]
async fn a_readable_stack_that_would_be_too_long_stays_as_it_was() {
    let world = World::new();
    let map = crate::support::small_map(&"long/".repeat(500));
    assert_eq!(world.upload(&map).await.status.as_u16(), 201);
    let stack = "at f (/assets/app.js:1:1)\n".repeat(100);
    let body = json!({"type": "T", "message": "m", "stack": stack, "release": "1"});
    assert_eq!(world.browse(PATH, WEB, &body).await.status.as_u16(), 201);
    let report = world.report();
    assert_eq!(report["traceback"], stack);
    assert_eq!(
        report["extra"]["symbolication"],
        json!({"frames": [], "reason": "the readable stack is too long"})
    );
}
