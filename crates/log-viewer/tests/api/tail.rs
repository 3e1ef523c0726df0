//! Live tails.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Method;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::rig::{Rig, record};

/// An open stream.
struct Tail {
    head: Response<()>,
    body: BodyDataStream,
    text: String,
}

/// An event: name, id, data.
type Event = (String, Option<i64>, Value);

impl Tail {
    fn open(rig: &Rig, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = rig
            .service
            .request(Method::GET, &format!("/api/logs/tail{query}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = rig
            .runtime
            .block_on(rig.service.router.clone().oneshot(request))
            .expect("the router never fails");
        let (parts, body) = response.into_parts();
        Self {
            head: Response::from_parts(parts, ()),
            body: body.into_data_stream(),
            text: String::new(),
        }
    }

    /// The events that are there, up to `count`; waits for them, but not for ever.
    fn events(&mut self, rig: &Rig, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                events.extend(parse(event));
                self.text = rest.to_owned();
            }
            if events.len() >= count {
                break;
            }
            let next = rig.runtime.block_on(async {
                tokio::time::timeout(Duration::from_secs(20), self.body.next()).await
            });
            match next.expect("an event in time") {
                Some(bytes) => self
                    .text
                    .push_str(&String::from_utf8_lossy(&bytes.expect("no fault"))),
                None => break,
            }
        }
        events
    }

    fn messages(&mut self, rig: &Rig, count: usize) -> Vec<String> {
        self.events(rig, count)
            .into_iter()
            .map(|(_, _, data)| data["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let data = serde_json::from_str(field("data")?).expect("JSON");
    Some((
        field("event")?.to_owned(),
        field("id").map(|id| id.parse().expect("a number")),
        data,
    ))
}

#[test]
fn new_entries_arrive_with_their_ids_and_old_ones_do_not() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "INFO: old");
    rig.settle();
    let mut tail = Tail::open(&rig, "", None);
    assert_eq!(tail.head.headers()["content-type"], "text/event-stream");
    assert_eq!(tail.head.headers()["cache-control"], "no-cache");
    rig.write("abc", "stderr", 2, "ERROR: new\n  more");
    rig.settle();
    let events = tail.events(&rig, 1);
    let (name, id, data) = events.first().expect("one");
    assert_eq!((name.as_str(), *id), ("log", Some(2)));
    assert_eq!(*data, rig.json("/api/logs?limit=1")["logs"][0]);
}

#[test]
fn filters() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all")]);
    rig.container("id1", "web");
    rig.container("id2", "api");
    rig.settle();
    let mut tails = [
        (
            "",
            vec![
                "INFO: w1 slow",
                "ERROR: w2",
                "ERROR: a1 slow",
                "INFO: n=7 a2",
            ],
        ),
        ("?container=api", vec!["ERROR: a1 slow", "INFO: n=7 a2"]),
        ("?level=error", vec!["ERROR: w2", "ERROR: a1 slow"]),
        ("?level=%3E%3DWARNING&container=web", vec!["ERROR: w2"]),
        ("?search=slow", vec!["INFO: w1 slow", "ERROR: a1 slow"]),
        ("?q=slow&level=error", vec!["ERROR: a1 slow"]),
        ("?search=*", vec![]),
        ("?mode=fts&search=slow+NOT+a1", vec!["INFO: w1 slow"]),
        ("?regex=(w%7Ca)2$", vec!["ERROR: w2", "INFO: n=7 a2"]),
        (
            "?regex=1&search=slow&min_level=error",
            vec!["ERROR: a1 slow"],
        ),
        ("?container=w*,!web2", vec!["INFO: w1 slow", "ERROR: w2"]),
        ("?stream=stderr", vec!["INFO: n=7 a2"]),
        ("?search=level:error+-slow", vec!["ERROR: w2"]),
        ("?field.n=7", vec!["INFO: n=7 a2"]),
    ]
    .map(|(query, expected)| (Tail::open(&rig, query, None), query, expected));
    rig.write("id1", "stdout", 1, "INFO: w1 slow\nERROR: w2");
    rig.write("id2", "stdout", 3, "ERROR: a1 slow");
    rig.write("id2", "stderr", 4, "INFO: n=7 a2");
    rig.settle();
    for (tail, query, expected) in &mut tails {
        // The order of ids is that of closing.
        let mut found = tail.messages(&rig, expected.len());
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, *expected, "{query}");
    }
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "INFO: one\nERROR: two\nINFO: three");
    rig.settle();
    let mut tail = Tail::open(&rig, "", Some("1"));
    assert_eq!(tail.messages(&rig, 2), ["ERROR: two", "INFO: three"]);
    rig.write("abc", "stdout", 4, "INFO: four");
    rig.settle();
    assert_eq!(tail.messages(&rig, 1), ["INFO: four"]);
    let mut tail = Tail::open(&rig, "?level=error", Some("0"));
    assert_eq!(tail.messages(&rig, 1), ["ERROR: two"]);
    // Ids that were never given, and garbage, start with what is new.
    for id in ["99", "-1", "x", ""] {
        let mut tail = Tail::open(&rig, "", Some(id));
        rig.write("abc", "stdout", 5, "INFO: five");
        rig.settle();
        assert_eq!(tail.messages(&rig, 1), ["INFO: five"], "{id:?}");
    }
}

#[test]
fn a_client_that_is_too_slow_reads_the_rest_from_the_database() {
    let mut rig = Rig::web();
    rig.settle();
    let mut tail = Tail::open(&rig, "", None);
    // More commits than the hub holds.
    for number in 0..100 {
        rig.write("abc", "stdout", number, &format!("m{number}"));
        rig.step();
    }
    rig.settle();
    let expected: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
    assert_eq!(tail.messages(&rig, 100), expected);
    assert!(rig.metric("monlight_log_tail_batches_skipped_total") > 0.0);
}

#[test]
fn a_client_far_behind_is_told_how_many_it_missed() {
    let mut rig = Rig::web();
    rig.settle();
    let mut slow = [
        Tail::open(&rig, "", None),
        Tail::open(&rig, "?search=common", None),
        Tail::open(&rig, "?regex=common", None),
    ];
    let lines: String = (0..30_000)
        .map(|number| record(&format!("common {number}"), "stdout", number / 10))
        .collect();
    rig.write_raw("abc", lines);
    rig.settle();
    for tail in &mut slow {
        let (mut seen, mut missed, mut last) = (0, 0, 0);
        while seen + missed < 30_000 {
            for (name, id, data) in tail.events(&rig, 1) {
                let id = id.expect("an id");
                assert!(id > last, "{id} after {last}");
                last = id;
                match name.as_str() {
                    "log" => seen += 1,
                    "missed" => missed += data["count"].as_i64().expect("a number"),
                    _ => panic!("{name}"),
                }
            }
        }
        assert_eq!((seen + missed, last), (30_000, 30_000));
        assert!(missed > 0 && seen >= 10_000, "{seen} seen, {missed} missed");
    }
}

/// A machine that was busy elsewhere for a moment once made a line go missing.
#[test]
fn a_pattern_that_had_no_time_has_a_second_look() {
    let mut rig = Rig::web();
    rig.settle();
    let mut tail = Tail::open(&rig, "?regex=m[0-9]", None);
    rig.service
        .clock
        .between_readings(Duration::from_millis(60));
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    assert_eq!(tail.messages(&rig, 1), ["m1"]);
    // That took longer than a batch may: the next is missed, unless there was time for one before.
    rig.write("abc", "stdout", 2, "m3");
    rig.settle();
    let (name, id, data) = tail.events(&rig, 1).remove(0);
    assert_eq!(
        (name.as_str(), id, data),
        ("missed", Some(2), serde_json::json!({"count": 1}))
    );
    rig.service.clock.between_readings(Duration::ZERO);
    rig.write("abc", "stdout", 3, "m4");
    rig.settle();
    assert_eq!(tail.messages(&rig, 1), ["m4"]);
    rig.service
        .clock
        .between_readings(Duration::from_millis(60));
    rig.write("abc", "stdout", 4, "m5");
    rig.settle();
    assert_eq!(tail.messages(&rig, 1), ["m5"]);
}

#[test]
fn a_first_connection_can_name_the_entry_it_knows() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "INFO: one\nERROR: two\nINFO: three");
    rig.settle();
    let mut tail = Tail::open(&rig, "?after=1", None);
    assert_eq!(tail.messages(&rig, 2), ["ERROR: two", "INFO: three"]);
    // What the browser says on its own comes first.
    let mut tail = Tail::open(&rig, "?after=1", Some("2"));
    assert_eq!(tail.messages(&rig, 1), ["INFO: three"]);
}

#[test]
fn bad_filters_are_refused() {
    let rig = Rig::web();
    for query in ["regex=(", "mode=fts&search=a+AND", "stream=x", "field.=1"] {
        rig.get(&format!("/api/logs/tail?{query}")).expect(400);
    }
    assert_eq!(rig.metric("monlight_http_streams"), 0.0);
}

#[test]
fn entries_that_are_gone_are_reported_as_missed() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all"), ("MAX_ENTRIES", "10")]);
    rig.container("abc", "web");
    for number in 0..30 {
        rig.write("abc", "stdout", number, &format!("m{number}"));
    }
    rig.settle();
    let mut tail = Tail::open(&rig, "", Some("5"));
    let events = tail.events(&rig, 11);
    let (name, id, data) = events.first().expect("the first");
    assert_eq!(
        (name.as_str(), *id, data.clone()),
        ("missed", Some(20), serde_json::json!({"count": 15}))
    );
    assert_eq!(events.last().and_then(|(_, id, _)| *id), Some(30));
}

#[test]
fn a_place_is_free_as_soon_as_its_client_is_gone() {
    let rig = Rig::new(&[("TAIL_CLIENTS", "2")]);
    let first = Tail::open(&rig, "", None);
    let _second = Tail::open(&rig, "", None);
    let refused = rig.get("/api/logs/tail").expect(503);
    assert_eq!(
        refused.json(),
        serde_json::json!({"detail": "Too many SSE connections"})
    );
    assert!(!refused.header("retry-after").is_empty());
    drop(first);
    assert_eq!(Tail::open(&rig, "", None).head.status(), 200);
    assert_eq!(rig.metric("monlight_http_streams"), 1.0);
}

#[test]
fn heartbeats_and_the_end_after_half_an_hour() {
    let rig = Rig::new(&[]);
    let mut tail = Tail::open(&rig, "", None);
    rig.runtime.block_on(async { tokio::time::pause() });
    let events = tail.events(&rig, 500);
    let names: Vec<&str> = events.iter().map(|(name, _, _)| name.as_str()).collect();
    assert!(
        names.iter().filter(|name| **name == "heartbeat").count() >= 118,
        "{}",
        names.len()
    );
    let (name, _, data) = events.last().expect("the last");
    assert_eq!(
        (name.as_str(), data.clone()),
        ("close", serde_json::json!({"reason": "max_duration"}))
    );
}

/// The original tried again without a pause.
#[test]
fn a_database_that_cannot_be_read_ends_the_stream() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    let mut tail = Tail::open(&rig, "", Some("0"));
    rig.service.ctx.store.close();
    let events = tail.events(&rig, 2);
    assert_eq!(
        events,
        [(
            "close".to_owned(),
            None,
            serde_json::json!({"reason": "error"})
        )]
    );
}

#[test]
fn the_end_of_the_service_ends_the_stream() {
    let rig = Rig::new(&[]);
    let mut tail = Tail::open(&rig, "", None);
    rig.service.ctx.lifecycle.stop();
    let events = tail.events(&rig, 2);
    assert_eq!(
        events,
        [(
            "close".to_owned(),
            None,
            serde_json::json!({"reason": "shutdown"})
        )]
    );
}
