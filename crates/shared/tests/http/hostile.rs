//! What a peer without a key can do, and that it harms nobody. Each of these killed or stopped the
//! product that this one takes after.

use std::time::Duration;

use monlight_shared::http::server::Settings;
use tokio::io::AsyncWriteExt;

use crate::socket::{head, start};

#[tokio::test]
async fn a_post_without_a_length() {
    let running = start(&[], Settings::default()).await;
    for (path, status) in [
        ("/", 401),
        ("/health", 200),
        ("/api/things", 401),
        ("/nowhere", 401),
        ("/api/session", 400),
    ] {
        let answer = running
            .ask(&format!("POST {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    let answer = running.ask(&head("POST", "/api/things", "")).await;
    assert!(
        answer.ends_with(r#"{"detail":"Empty request body"}"#),
        "{answer}"
    );
    running.is_well().await;
}

#[tokio::test]
async fn hanging_up_in_the_middle_of_a_body() {
    let running = start(&[], Settings::default()).await;
    let heads = [
        "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc".to_owned(),
        "POST /health HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc".to_owned(),
        head("POST", "/api/things", "Content-Length: 100\r\n") + "abc",
        head("POST", "/api/unread", "Content-Length: 100\r\n") + "abc",
        head("POST", "/api/things", "Transfer-Encoding: chunked\r\n") + "5\r\nab",
        head(
            "POST",
            "/api/things",
            "Content-Length: 100\r\nExpect: 100-continue\r\n",
        ),
    ];
    for text in heads {
        let mut client = running.connect().await;
        client.send(&text).await;
        drop(client);
        running.is_well().await;
    }
    running.until("monlight_http_connections", 0.0).await;
}

#[tokio::test]
async fn a_body_cut_short_is_a_fault_even_if_it_is_complete_json() {
    let running = start(&[], Settings::default()).await;
    let mut client = running.connect().await;
    client
        .send(&(head("POST", "/api/things", "Content-Length: 100\r\n") + "{}"))
        .await;
    client.stream.shutdown().await.expect("closes its side");
    let answer = client.rest().await;
    assert!(
        answer.ends_with(r#"{"detail":"Failed to read request body"}"#),
        "{answer}"
    );
}

#[tokio::test]
async fn peers_that_wait_do_not_keep_others_waiting() {
    let running = start(&[], Settings::default()).await;
    let mut waiting = Vec::new();
    for text in [
        "",
        "GET / HT",
        "POST /api/things HTTP/1.1\r\nContent-Length: 9999\r\n\r\n",
    ] {
        for _ in 0..20 {
            let mut client = running.connect().await;
            client.send(text).await;
            waiting.push(client);
        }
    }
    running.is_well().await;
    running.until("monlight_http_connections", 60.0).await;
}

#[tokio::test]
async fn half_a_head_is_not_waited_for() {
    let quick = Settings {
        head_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let running = start(&[], quick).await;
    let mut client = running.connect().await;
    client.send("GET / HTTP/1.1\r\nHo").await;
    assert_eq!(client.rest().await, "");
    running
        .until("monlight_http_connections_cut_total{reason=\"head\"}", 1.0)
        .await;
}

#[tokio::test]
async fn a_body_that_stops_is_answered() {
    let quick = Settings {
        body_gap: Duration::from_millis(50),
        ..Settings::default()
    };
    let running = start(&[], quick).await;
    let mut client = running.connect().await;
    client
        .send(&(head("POST", "/api/things", "Content-Length: 100\r\n") + "abc"))
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains(r#"{"detail":"Request body was not received in time"}"#),
        "{answer}"
    );
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut() {
    let quick = Settings {
        write_gap: Duration::from_millis(100),
        ..Settings::default()
    };
    let running = start(&[], quick).await;
    let mut client = running.connect().await;
    // More answers than the kernel holds for us.
    let request = head("GET", "/api/long", "");
    let many = request.repeat(50);
    for _ in 0..200 {
        if tokio::time::timeout(
            Duration::from_millis(200),
            client.stream.write_all(many.as_bytes()),
        )
        .await
        .is_err()
        {
            break;
        }
    }
    running
        .until("monlight_http_connections_cut_total{reason=\"write\"}", 1.0)
        .await;
    running.is_well().await;
}

/// A hundred of them held a hundred pieces, and as many packers.
#[tokio::test]
async fn many_slow_readers_of_large_answers_took_all_memory() {
    let running = start(&[], Settings::default()).await;
    let most = running.metric("monlight_http_answer_bytes_max");
    assert_eq!(most, 4_194_304.0);
    let mut slow = Vec::new();
    for _ in 0..50 {
        for more in ["", "Accept-Encoding: gzip\r\n"] {
            let mut client = running.connect().await;
            client.send(&head("GET", "/api/pieces", more)).await;
            slow.push(client);
        }
    }
    let refused = "monlight_http_answers_refused_total";
    let answered = "monlight_http_connections_accepted_total";
    running.until(answered, 100.0).await;
    while running.metric(refused) < 10.0 {
        tokio::task::yield_now().await;
        assert!(running.metric("monlight_http_answer_bytes") <= most);
    }
    running.is_well().await;
    let small = running.ask(&head("GET", "/api/things", "")).await;
    assert!(small.starts_with("HTTP/1.1 200 "), "{small}");
    drop(slow);
    running.until("monlight_http_answer_bytes", 0.0).await;
    let mut client = running.connect().await;
    let more = "Connection: close\r\n";
    client.send(&head("GET", "/api/pieces", more)).await;
    let whole = client.rest().await;
    assert!(whole.len() > 16 * 1024 * 1024, "{}", whole.len());
}

#[tokio::test]
async fn absurd_chunk_sizes() {
    let running = start(&[], Settings::default()).await;
    for size in [
        "ffffffffffffffff",
        "fffffffffffffffff",
        "7fffffffffffffff",
        "-1",
        "0x10",
        "",
    ] {
        let mut client = running.connect().await;
        client
            .send(
                &(head("POST", "/api/things", "Transfer-Encoding: chunked\r\n") + size + "\r\nabc"),
            )
            .await;
        client.stream.shutdown().await.expect("closes its side");
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{size}: {answer}");
        running.is_well().await;
    }
}

#[tokio::test]
async fn a_head_of_twenty_kilobytes_is_told_so() {
    let running = start(&[], Settings::default()).await;
    let long = "x".repeat(20_000);
    for head in [
        format!("GET / HTTP/1.1\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(3000)),
    ] {
        let mut client = running.connect().await;
        client.send(&head).await;
        let answer = client.answer().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(
            answer.contains("{\"detail\":\"Request head is too large"),
            "{answer}"
        );
    }
    let fits = "x".repeat(15_000);
    let answer = running
        .ask(&format!("GET /health HTTP/1.1\r\nX-Long: {fits}\r\n\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_told_so() {
    let running = start(&[], Settings::default()).await;
    for text in [
        "\u{16}\u{3}\u{1}\u{2}",
        "hello\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let mut client = running.connect().await;
        client.send(text).await;
        let answer = client.answer().await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("{\"detail\":\""),
            "{text:?}: {answer}"
        );
    }
    running.is_well().await;
}

#[tokio::test]
async fn a_thousand_requests_at_once() {
    let running = start(&[], Settings::default()).await;
    let mut client = running.connect().await;
    client
        .send(&head("GET", "/api/things", "").repeat(1000))
        .await;
    for number in 0..1000 {
        let answer = client.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{number}: {answer}");
    }
    assert_eq!(
        running.metric("monlight_http_connections_accepted_total"),
        1.0
    );
}

#[tokio::test]
async fn a_client_that_reads_only_when_it_has_sent_all_sees_its_refusal() {
    let running = start(&[], Settings::default()).await;
    for (path, length, status) in [("/api/things", 900_000, 413), ("/nowhere", 200_000, 404)] {
        let mut client = running.connect().await;
        let body = vec![b'x'; length];
        client
            .send(&head(
                "POST",
                path,
                &format!("Content-Length: {length}\r\n"),
            ))
            .await;
        client.send_bytes(&body).await;
        let answer = client.answer().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        // And its connection can be used again.
        client.send(&head("GET", "/api/things", "")).await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let running = start(&[], Settings::default()).await;
    for (request, status) in [
        (
            head("POST", "/api/things", "Content-Length: 999999999\r\n"),
            413,
        ),
        (
            "POST /api/things HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n".to_owned(),
            401,
        ),
        (
            "POST /health HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n".to_owned(),
            200,
        ),
        (
            head(
                "POST",
                "/api/things",
                "Content-Length: 999999999\r\nExpect: 100-continue\r\n",
            ),
            413,
        ),
    ] {
        let began = tokio::time::Instant::now();
        let answer = running.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn too_many_connections() {
    let few = Settings {
        max_connections: 4,
        ..Settings::default()
    };
    let running = start(&[], few).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut client = running.connect().await;
        client
            .send("POST /api/things HTTP/1.1\r\nX-API-Key: test-key\r\nContent-Length: 10\r\n\r\n")
            .await;
        busy.push(client);
    }
    running
        .until("monlight_http_body_bytes_in_flight", 40.0)
        .await;
    for _ in 0..2 {
        let answer = running.ask("GET /health HTTP/1.1\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"),
            "{answer}"
        );
        assert!(
            answer.ends_with(r#"{"detail":"Too many connections"}"#),
            "{answer}"
        );
    }
    assert_eq!(
        running.metric("monlight_http_connections_refused_total{reason=\"all\"}"),
        2.0
    );
    for client in &mut busy {
        client.send("0123456789").await;
        assert!(client.answer().await.starts_with("HTTP/1.1 201 "));
    }
    // Now they are idle, and one of them makes room.
    running.is_well().await;
    assert_eq!(
        running.metric("monlight_http_connections_closed_for_room_total"),
        1.0
    );
    let mut kept = 0;
    for client in &mut busy {
        if client
            .stream
            .write_all(head("GET", "/api/things", "").as_bytes())
            .await
            .is_ok()
        {
            kept += usize::from(client.try_answer().await.is_some());
        }
    }
    assert_eq!(kept, 3);
}

#[tokio::test]
async fn a_second_copy_on_the_same_port_does_not_start() {
    let running = start(&[], Settings::default()).await;
    let second = monlight_shared::http::server::bind(running.address.ip(), running.address.port());
    let fault = format!("{:#}", second.await.expect_err("the port is taken"));
    assert!(
        fault.starts_with("PORT: cannot listen on 127.0.0.1:"),
        "{fault}"
    );
}
