//! The end of a service, and streams.

use std::time::Duration;

use monlight_shared::http::server::Settings;

use crate::socket::{head, start};

#[tokio::test]
async fn a_stream_that_is_open_does_not_hold_up_the_end() {
    let mut running = start(&[], Settings::default()).await;
    let mut client = running.connect().await;
    client
        .send(&head("GET", "/api/events", "Accept-Encoding: gzip\r\n"))
        .await;
    let seen = client.answer_with("data: hello\n\n").await;
    assert!(seen.contains("content-type: text/event-stream"), "{seen}");
    assert!(
        !seen.contains("content-encoding"),
        "events are sent as they come: {seen}"
    );
    assert!(running.stop().await < Duration::from_secs(1));
    assert!(
        client.rest().await.ends_with("0\r\n\r\n"),
        "it ended in order"
    );
}

#[tokio::test]
async fn a_stream_without_a_reader_gives_its_place_back_at_once() {
    let running = start(&[], Settings::default()).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = running.connect().await;
        client.send(&head("GET", "/api/events", "")).await;
        client.answer_with("hello").await;
        clients.push(client);
    }
    let full = running.ask(&head("GET", "/api/events", "")).await;
    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    assert_eq!(running.metric("monlight_http_streams"), 2.0);
    // The heartbeat is 15 seconds away: the server sees it by itself.
    drop(clients.pop());
    running.until("monlight_http_streams", 1.0).await;
}

#[tokio::test]
async fn requests_that_have_begun_are_finished() {
    let mut running = start(&[], Settings::default()).await;
    let mut idle = running.connect().await;
    idle.send(&head("GET", "/api/things", "")).await;
    idle.answer().await;
    let mut busy = running.connect().await;
    busy.send(&(head("POST", "/api/things", "Content-Length: 4\r\n") + "01"))
        .await;
    running
        .until("monlight_http_body_bytes_in_flight", 4.0)
        .await;
    running.service.ctx.lifecycle.stop();
    assert_eq!(idle.rest().await, "");
    busy.send("23").await;
    let answer = busy.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 201 ") && answer.contains("connection: close"),
        "{answer}"
    );
    assert!(running.stop().await < Duration::from_secs(1));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let impatient = Settings {
        grace: Duration::from_millis(100),
        ..Settings::default()
    };
    let mut running = start(&[], impatient).await;
    let mut busy = running.connect().await;
    busy.send(&head("POST", "/api/things", "Content-Length: 4\r\n"))
        .await;
    running
        .until("monlight_http_body_bytes_in_flight", 4.0)
        .await;
    assert!(running.stop().await < Duration::from_secs(5));
    assert_eq!(running.metric("monlight_http_connections"), 0.0);
}

#[tokio::test]
async fn the_hard_token_cuts_at_once() {
    let mut running = start(&[], Settings::default()).await;
    let mut busy = running.connect().await;
    busy.send(&head("POST", "/api/things", "Content-Length: 4\r\n"))
        .await;
    running
        .until("monlight_http_body_bytes_in_flight", 4.0)
        .await;
    running.service.ctx.lifecycle.hard().cancel();
    assert!(running.stop().await < Duration::from_secs(1));
}
