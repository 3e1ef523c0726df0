//! Targets that are asked for what they expose.

use std::net::TcpListener;

use monlight_shared::testing::receiver::Receiver;
use serde_json::{Value, json};

use crate::{Collector, MINUTE};

const TEXT: &str = "# TYPE c_total counter\nc_total{job=\"inner\"} 5\ng 2\n";

async fn last(collector: &Collector, name: &str, labels: &str) -> Value {
    let path =
        format!("/api/metrics?name={name}&labels={labels}&group_by=job,instance&agg=last&step=1d");
    collector.get(&path).await["data"][0]["last"].clone()
}

fn instance(url: &str) -> &str {
    let rest = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    rest.trim_start_matches("http://")
        .split('/')
        .next()
        .expect("a host")
}

#[tokio::test]
async fn targets_are_asked_and_labelled() {
    let first = Receiver::start(
        "200 OK",
        "content-type: text/plain; version=0.0.4\r\n",
        TEXT,
    );
    let second = Receiver::start(
        "200 OK",
        "content-type: application/openmetrics-text; version=1.0.0\r\n",
        "# TYPE o counter\no_total 1 # {trace=\"x\"} 1\n# EOF\n",
    );
    let basic = first
        .url("/metrics?x=1")
        .replace("http://", "http://us%20er:p%2Cw@");
    let bearer = second.url("/m").replace("http://", "http://to%6Ben@");
    let collector = Collector::new(&[
        ("SCRAPE_TARGETS", &format!("shop={basic}, other={bearer}")),
        ("SCRAPE_PROJECT", "infra"),
    ]);
    let before = collector.get("/api/scrape-targets").await;
    assert_eq!(before["targets"][0]["up"], Value::Null);
    collector.tasks.scrape().await.expect("scrapes");
    collector.advance(MINUTE);
    collector.tasks.scrape().await.expect("scrapes");

    let request = &first.received()[1];
    assert_eq!(request.line, "GET /metrics?x=1 HTTP/1.1");
    assert_eq!(request.header("authorization"), "Basic dXMgZXI6cCx3");
    assert!(
        request
            .header("accept")
            .starts_with("application/openmetrics-text")
    );
    assert_eq!(second.received()[0].header("authorization"), "Bearer token");

    let labels = format!("exported_job:inner,instance:{},job:shop", instance(&basic));
    let listed = collector
        .get("/api/metrics/labels?name=c_total&project=infra")
        .await;
    assert_eq!(listed["series"], 1);
    let series = collector
        .get("/api/metrics/label-values?label=exported_job&project=infra")
        .await;
    assert_eq!(
        series["values"],
        json!([{"value": "inner", "series": 1}]),
        "{labels}"
    );
    assert_eq!(last(&collector, "g", "job:shop").await, 2.0);
    assert_eq!(last(&collector, "up", "job:shop").await, 1.0);
    assert_eq!(last(&collector, "up", "job:other").await, 1.0);
    assert_eq!(
        last(&collector, "scrape_duration_seconds", "job:other").await,
        0.0
    );

    let answer = collector.get("/api/scrape-targets").await;
    assert_eq!(
        answer,
        json!({"interval_seconds": 30, "timeout_seconds": 10, "targets": [
            {"job": "shop", "instance": instance(&basic), "url": first.url("/metrics?x=1"), "up": true,
             "last_scrape": "2025-01-20T10:01:00.000Z", "duration_seconds": 0.0, "samples": 2,
             "last_error": null, "scrapes": 2, "failures": 0},
            {"job": "other", "instance": instance(&bearer), "url": second.url("/m"), "up": true,
             "last_scrape": "2025-01-20T10:01:00.000Z", "duration_seconds": 0.0, "samples": 1,
             "last_error": null, "scrapes": 2, "failures": 0}]})
    );
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    for line in [
        "monlight_metrics_scrapes_total{result=\"ok\"} 4",
        "monlight_metrics_scrape_targets 2",
        "monlight_metrics_scrape_targets_down 0",
    ] {
        assert!(
            metrics.contains(&format!("\n{line}\n")),
            "{line}: {metrics}"
        );
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said_and_is_down() {
    let missing = Receiver::start("404 Not Found", "", "");
    let moved = Receiver::start("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    let long = Receiver::start("200 OK", "", &format!("# {}\n", "x".repeat(2000)));
    let bad = Receiver::start("200 OK", "", "a 1\nb{ 2\n");
    let cut = Receiver::start(
        "200 OK",
        "content-type: application/openmetrics-text\r\n",
        "a 1\n",
    );
    let short = Receiver::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na 1\n".to_vec());
    let packed = Receiver::start("200 OK", "content-encoding: gzip\r\n", "a 1\n");
    // Takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mute_url = format!("http://{}/", mute.local_addr().expect("an address"));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed_url = format!(
        "http://u:geheim@{}/",
        closed.local_addr().expect("an address")
    );
    drop(closed);
    let expected = [
        (missing.url("/"), "it answered 404 Not Found"),
        (moved.url("/"), "it answered 302 Found"),
        (long.url("/"), "its answer is longer than 1024 bytes"),
        (
            bad.url("/"),
            "Line 2: expected the name of a label or }, found \"2\"",
        ),
        (cut.url("/"), "Line 2: expected # EOF at the end"),
        (short.url("/"), "the connection broke"),
        (packed.url("/"), "its answer is compressed, which was not"),
        (mute_url, "it did not answer in time"),
        (closed_url, "it cannot be connected to"),
    ];
    let targets: Vec<String> = expected
        .iter()
        .enumerate()
        .map(|(n, (url, _))| format!("t{n}={url}"))
        .collect();
    let collector = Collector::new(&[
        ("SCRAPE_TARGETS", &targets.join(",")),
        ("SCRAPE_TIMEOUT", "1"),
        ("MAX_SCRAPE_BYTES", "1024"),
    ]);
    collector.tasks.scrape().await.expect("goes on");
    let answer = collector.get("/api/scrape-targets").await;
    for (n, (_, fault)) in expected.iter().enumerate() {
        let target = &answer["targets"][n];
        assert_eq!(target["up"], false);
        let said = target["last_error"].as_str().expect("a reason");
        assert!(said.starts_with(fault), "{said}");
        assert_eq!(last(&collector, "up", &format!("job:t{n}")).await, 0.0);
    }
    assert!(!answer.to_string().contains("geheim"), "{answer}");
    // Nothing of an answer that is wrong is stored.
    assert_eq!(
        collector.get("/api/metrics?name=a").await["data"],
        json!([])
    );
    let metrics = collector.service.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains("\nmonlight_metrics_scrape_targets_down 9\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_began_since_the_scrape_before_counts_whole() {
    let created = monlight_shared::testing::TEST_START_SECONDS - 6_000;
    let target = Receiver::start(
        "200 OK",
        "",
        &format!("# TYPE c counter\nc_total 5\nc_created {created}\n# EOF\n"),
    );
    for (interval, expected) in [("30", 0.0), ("3600", 5.0)] {
        let collector = Collector::new(&[
            ("SCRAPE_TARGETS", &format!("a={}", target.url("/"))),
            ("SCRAPE_INTERVAL", interval),
        ]);
        collector.tasks.scrape().await.expect("scrapes");
        let answer = collector.get("/api/metrics?name=c_total").await;
        let found = answer["data"][0]["sum"].as_f64().unwrap_or_default();
        assert_eq!(found, expected, "{answer}");
    }
}
