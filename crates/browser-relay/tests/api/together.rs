//! Events that go to a service in one request, because they came together or while others were on their way.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Received, Reply, SHOP, WEB, World, batch, event};

const ERRORS: &str = "/api/browser/errors";
/// These tests look again and again.
const NO_LIMIT: (&str, &str) = ("RATE_LIMIT", "0");
const ALONE: &str = "POST /api/errors HTTP/1.1";
const TOGETHER: &str = "POST /api/errors/batch?live=1 HTTP/1.1";

fn numbered(number: usize) -> Value {
    let mut event = event();
    event["message"] = json!(number.to_string());
    event
}

/// Sends events at once, in this order; the statuses and bodies of the answers.
async fn at_once(world: &World, numbers: impl IntoIterator<Item = usize>) -> Vec<(u16, Value)> {
    let send = async |number: usize| {
        let key = if number.is_multiple_of(2) { WEB } else { SHOP };
        let answer = world.browse(ERRORS, key, &numbered(number)).await;
        (answer.status.as_u16(), answer.json())
    };
    join_all(numbers.into_iter().map(send)).await
}

/// Sends the events 0 and 1, of which each goes alone and takes a turn until the tracker is released; their answers.
async fn two_on_their_way(world: &World) -> Vec<(u16, Value)> {
    world.tracker.next(Reply::Wait);
    world.tracker.next(Reply::Wait);
    let second = async {
        world.tracker.received_at_least(1).await;
        at_once(world, [1]).await
    };
    let (first, second) = tokio::join!(at_once(world, [0]), second);
    [first, second].concat()
}

/// Waits until so many events wait for their turn.
async fn waiting(world: &World, count: usize) {
    let line = format!("upstream_waiting{{upstream=\"error-tracker\"}} {count}\n");
    let becomes_so = async {
        while !world.relay.get("/metrics").await.text().contains(&line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes_so)
        .await
        .expect("another number of events wait");
}

/// The keys and messages of what a request brought.
fn items(received: &Received) -> Vec<(String, String)> {
    let message = |report: &Value| report["message"].as_str().expect("a message").to_owned();
    let body: Value = serde_json::from_slice(&received.body).expect("JSON");
    if let Some(key) = received.header("idempotency-key") {
        return vec![(key.to_owned(), message(&body))];
    }
    let item = |item: &Value| {
        let key = item["key"].as_str().expect("a key").to_owned();
        (key, message(&item["document"]))
    };
    let items = body.as_array().expect("a batch");
    items.iter().map(item).collect()
}

fn messages(received: &Received) -> Vec<String> {
    items(received)
        .into_iter()
        .map(|(_, message)| message)
        .collect()
}

fn lines(received: &[Received]) -> Vec<&str> {
    received.iter().map(|one| one.line.as_str()).collect()
}

fn queued() -> (u16, Value) {
    (202, json!({"status": "queued"}))
}

#[tokio::test]
async fn each_event_gets_its_own_answer() {
    let world = World::with(&[NO_LIMIT]);
    let created = json!({"status": "created", "id": 7, "fingerprint": "f"});
    let known = json!({"status": "incremented", "id": 7, "count": 2});
    let results = json!({"results": [
        {"status": 201, "answer": created},
        {"status": 400, "detail": "Field 'project' is odd"},
        {"status": 503},
        {"status": 200, "answer": known},
        {"status": 422},
        {"status": 404},
        {"status": 200},
    ]});
    world
        .tracker
        .next(Reply::Answer("200 OK", results.to_string()));
    let answers = at_once(&world, 0..7).await;
    let without_reason = "The event was refused without a reason";
    assert_eq!(
        answers,
        [
            (201, created),
            (400, json!({"detail": "Field 'project' is odd"})),
            queued(),
            (200, known),
            (400, json!({"detail": without_reason})),
            queued(),
            (200, json!({"status": "accepted"})),
        ]
    );
    world.outbox_empty().await;
    let received = world.tracker.received();
    assert_eq!(received[0].line, TOGETHER);
    let sent = items(&received[0]);
    assert_eq!(messages(&received[0]), ["0", "1", "2", "3", "4", "5", "6"]);
    let later: Vec<_> = received[1..].iter().flat_map(items).collect();
    assert_eq!(later, [sent[2].clone(), sent[5].clone()], "with their keys");
    let metrics = world.relay.get("/metrics").await.text();
    for line in [
        "monlight_relay_events_total{kind=\"error\",result=\"forwarded\"} 3",
        "monlight_relay_events_total{kind=\"error\",result=\"queued\"} 2",
        "monlight_relay_events_total{kind=\"error\",result=\"invalid\"} 2",
        "monlight_relay_upstream_failures_total{upstream=\"error-tracker\",reason=\"overloaded\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn what_comes_while_others_are_on_their_way_goes_with_the_next_request() {
    let world = World::with(&[NO_LIMIT]);
    let first = two_on_their_way(&world);
    let others = async {
        world.tracker.received_at_least(2).await;
        at_once(&world, 2..8).await
    };
    let release = async {
        world.tracker.received_at_least(2).await;
        waiting(&world, 6).await;
        world.tracker.release();
    };
    let (first, others, ()) = tokio::join!(first, others, release);
    let answers: Vec<_> = [first, others].concat();
    assert_eq!(answers.len(), 8);
    assert!(
        answers.iter().all(|(status, _)| *status == 201),
        "{answers:?}"
    );
    let received = world.tracker.received();
    assert_eq!(lines(&received), [ALONE, ALONE, TOGETHER]);
    assert_eq!(messages(&received[2]), ["2", "3", "4", "5", "6", "7"]);
    waiting(&world, 0).await;
}

#[tokio::test]
async fn a_service_that_dies_over_a_batch_gets_each_event_once() {
    let world = World::with(&[NO_LIMIT]);
    world.tracker.next(Reply::HangUp);
    let answers = at_once(&world, 0..5).await;
    assert_eq!(answers, vec![queued(); 5]);
    world.outbox_empty().await;
    let received = world.tracker.received();
    let sent = items(&received[0]);
    let later: Vec<_> = received[1..].iter().flat_map(items).collect();
    assert_eq!(
        later, sent,
        "in their order, with the keys of the first attempt"
    );
    let metrics = world.relay.get("/metrics").await.text();
    let line = "monlight_relay_outbox_total{upstream=\"error-tracker\",result=\"queued\"} 5";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_batch_that_fails_as_one_fails_for_all_of_its_events() {
    for (reply, outcome) in [
        (
            Reply::Answer("503 Busy\r\nRetry-After: 0", String::new()),
            queued(),
        ),
        (Reply::Answer("500 Oops", String::new()), queued()),
        (Reply::Answer("401 No", String::new()), queued()),
    ] {
        let world = World::with(&[NO_LIMIT]);
        world.tracker.next(reply.clone());
        let answers = at_once(&world, 0..3).await;
        assert_eq!(answers, vec![outcome; 3], "{reply:?}");
        world.outbox_empty().await;
        let received = world.tracker.received();
        assert_eq!(received[0].line, TOGETHER);
        assert!(!received[1..].iter().any(|one| one.line == ALONE));
    }
}

#[tokio::test]
async fn a_service_without_batches_gets_events_one_by_one() {
    for reply in [
        Reply::Answer("404 Not Found", r#"{"detail":"Not found"}"#.to_owned()),
        Reply::Answer("405 Method Not Allowed", String::new()),
        Reply::Answer("413 Too Large", String::new()),
        // Not for each event.
        Reply::Answer("201 Created", r#"{"status":"created","id":1}"#.to_owned()),
        Reply::Answer("200 OK", r#"{"results":[{"status":201}]}"#.to_owned()),
    ] {
        let world = World::with(&[NO_LIMIT]);
        world.tracker.next(reply.clone());
        let created = (201, json!({"status": "created", "id": 1}));
        assert_eq!(
            at_once(&world, 0..3).await,
            vec![created.clone(); 3],
            "{reply:?}"
        );
        let received = world.tracker.received();
        assert_eq!(
            lines(&received),
            [TOGETHER, ALONE, ALONE, ALONE],
            "{reply:?}"
        );
        let mut alone: Vec<_> = received[1..].iter().flat_map(items).collect();
        alone.sort();
        assert_eq!(alone, items(&received[0]), "with the keys of the batch");
        let health = world.relay.get("/health").await.json();
        assert_eq!(health, json!({"status": "ok"}), "no trouble");
        // For a while nobody asks again.
        assert_eq!(at_once(&world, 0..3).await, vec![created; 3]);
        assert_eq!(lines(&world.tracker.received()[4..]), [ALONE; 3]);
        world.relay.clock.advance(Duration::from_mins(1));
        at_once(&world, 0..3).await;
        assert_eq!(lines(&world.tracker.received()[7..]), [TOGETHER]);
    }
}

#[tokio::test]
async fn somebody_who_goes_away_before_his_turn_is_not_sent() {
    let world = World::with(&[NO_LIMIT]);
    let first = two_on_their_way(&world);
    let others = async {
        world.tracker.received_at_least(2).await;
        at_once(&world, 2..4).await
    };
    let leaving = async {
        world.tracker.received_at_least(2).await;
        tokio::select! {
            answers = at_once(&world, [9]) => panic!("{answers:?}"),
            () = waiting(&world, 3) => {}
        }
        waiting(&world, 2).await;
        world.tracker.release();
    };
    let (_, others, ()) = tokio::join!(first, others, leaving);
    assert!(
        others.iter().all(|(status, _)| *status == 201),
        "{others:?}"
    );
    let received = world.tracker.received();
    assert_eq!(messages(&received[2]), ["2", "3"]);
}

#[tokio::test]
async fn somebody_who_goes_away_on_the_way_takes_nobody_with_him() {
    let world = World::with(&[NO_LIMIT]);
    world.tracker.next(Reply::Wait);
    let leaving = async {
        tokio::select! {
            answers = at_once(&world, [9]) => panic!("{answers:?}"),
            _ = world.tracker.received_at_least(1) => {}
        }
        world.tracker.release();
    };
    let others = at_once(&world, 0..3);
    let ((), others) = tokio::join!(leaving, others);
    assert!(
        others.iter().all(|(status, _)| *status == 201),
        "{others:?}"
    );
    let received = world.tracker.received();
    assert_eq!(received.len(), 1);
    assert_eq!(messages(&received[0]), ["9", "0", "1", "2"]);
    // Nobody holds a turn any more.
    assert_eq!(at_once(&world, [5]).await[0].0, 201);
}

#[tokio::test]
async fn nobody_waits_long_for_his_turn() {
    let world = World::with(&[NO_LIMIT]);
    let first = two_on_their_way(&world);
    let third = async {
        world.tracker.received_at_least(2).await;
        tokio::time::pause();
        at_once(&world, [2]).await
    };
    let (first, third) = tokio::join!(first, third);
    tokio::time::resume();
    assert_eq!([first, third].concat(), vec![queued(); 3]);
    let metrics = world.relay.get("/metrics").await.text();
    let failures = |reason: &str, count: usize| {
        let line =
            format!("failures_total{{upstream=\"error-tracker\",reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    };
    failures("busy", 1);
    world.tracker.release();
}

#[tokio::test]
async fn batches_of_metrics_go_together_as_well() {
    let world = World::with(&[NO_LIMIT]);
    let results =
        json!({"results": [{"status": 202}, {"status": 400, "detail": "no"}, {"status": 202}]});
    world
        .collector
        .next(Reply::Answer("200 OK", results.to_string()));
    let one = batch();
    let send = |_| world.browse("/api/browser/metrics", WEB, &one);
    let answers = join_all((0..3).map(send)).await;
    let statuses: Vec<_> = answers.iter().map(|one| one.status.as_u16()).collect();
    assert_eq!(statuses, [202, 400, 202]);
    let received = world.collector.received();
    assert_eq!(
        lines(&received),
        ["POST /api/metrics/batch?live=1 HTTP/1.1"]
    );
    let items: Value = serde_json::from_slice(&received[0].body).expect("JSON");
    let timestamp = &items[0]["document"][0]["timestamp"];
    assert!(timestamp.is_null(), "they come just now: {timestamp}");
}
