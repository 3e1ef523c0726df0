//! A question's answer as a file.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{Collector, MINUTE, START_MS, counter, histogram, with};

async fn text(collector: &Collector, query: &str) -> (String, String) {
    let answer = collector
        .service
        .get(&format!("/api/metrics/export?{query}"))
        .await
        .expect(200);
    let content_type = answer.header("content-type").to_owned();
    (content_type, answer.text())
}

#[tokio::test]
async fn rows_as_lines_of_json_and_as_csv() {
    let collector = Collector::new(&[]);
    let odd = json!({"labels": {"path": "a,\"b\"\n", "n": 1}});
    collector
        .accept(json!([
            counter("d", 2.0, START_MS),
            with(histogram("d", 0.25, START_MS), odd),
        ]))
        .await;
    let (content_type, lines) = text(&collector, "name=d").await;
    assert_eq!(content_type, "application/x-ndjson");
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("is JSON"))
        .collect();
    assert_eq!(
        rows,
        [
            json!({"bucket": "2025-01-20T10:00:00Z", "type": "counter", "labels": {}, "count": 1, "sum": 2.0, "min": 2.0,
                   "max": 2.0, "avg": 2.0, "p50": null, "p95": null, "p99": null, "last": 2.0}),
            json!({"bucket": "2025-01-20T10:00:00Z", "type": "histogram", "labels": {"n": "1", "path": "a,\"b\"\n"},
                   "count": 1, "sum": 0.25, "min": 0.25, "max": 0.25, "avg": 0.25, "p50": 0.25, "p95": 0.25, "p99": 0.25,
                   "last": 0.25}),
        ]
    );
    let (content_type, csv) = text(&collector, "name=d&format=csv").await;
    assert_eq!(content_type, "text/csv; charset=utf-8");
    assert_eq!(
        csv,
        "bucket,type,labels,count,sum,min,max,avg,p50,p95,p99,last\r\n\
         2025-01-20T10:00:00Z,counter,,1,2.000000,2.000000,2.000000,2.000000,,,,2.000000\r\n\
         2025-01-20T10:00:00Z,histogram,\"{\"\"n\"\":\"\"1\"\",\"\"path\"\":\"\"a,\\\"\"b\\\"\"\\n\"\"}\",1,0.250000,\
         0.250000,0.250000,0.250000,0.250000,0.250000,0.250000,0.250000\r\n"
    );
    let (_, csv) = text(
        &collector,
        "name=d&format=csv&group_by=n,path&agg=rate,p90&limit=1&rest=1",
    )
    .await;
    let mut lines = csv.split("\r\n");
    assert_eq!(lines.next(), Some("bucket,type,n,path,group,rate,p90"));
    let (_, none) = text(&collector, "name=none&format=csv&group_by=").await;
    assert_eq!(
        none,
        "bucket,type,group,count,sum,min,max,avg,p50,p95,p99,last\r\n"
    );
    for (query, detail) in [
        ("format=csv", "Missing required parameter: name"),
        ("name=d&format=xml", "format: expected csv or ndjson"),
    ] {
        let refused = collector
            .service
            .get(&format!("/api/metrics/export?{query}"))
            .await
            .expect(400);
        assert_eq!(refused.json(), json!({"detail": detail}));
    }
}

#[tokio::test]
async fn labels_are_never_formulas_in_a_spreadsheet() {
    let collector = Collector::new(&[]);
    let labels = json!({"labels": {"page": "=1+1", "@x": "-2"}});
    let point = with(counter("d", -1.0, START_MS), labels);
    collector.accept(json!([point])).await;
    let query = "name=d&format=csv&group_by=page,@x&agg=sum";
    let (_, csv) = text(&collector, query).await;
    assert_eq!(
        csv,
        "bucket,type,page,'@x,group,sum\r\n2025-01-20T10:00:00Z,counter,'=1+1,'-2,,-1.000000\r\n"
    );
    let (_, line) = text(&collector, "name=d&group_by=page").await;
    assert!(line.contains(r#"{"page": "=1+1"}"#), "{line}");
}

#[tokio::test]
async fn a_long_export_comes_in_small_pieces_and_is_whole() {
    let collector = Collector::new(&[]);
    collector.advance(12 * MINUTE);
    for minute in 0..10 {
        let batch: Vec<Value> = (0..2000)
            .map(|n| {
                let labels = json!({"labels": {"n": n, "text": "x".repeat(200)}});
                with(counter("d", 1.0, START_MS + minute * MINUTE), labels)
            })
            .collect();
        collector.accept(Value::from(batch)).await;
    }
    let request = collector
        .service
        .request(Method::GET, "/api/metrics/export?name=d")
        .body(Body::empty())
        .expect("a request");
    let answer = collector
        .service
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("answers");
    let mut stream = answer.into_body().into_data_stream();
    let (mut whole, mut largest) = (Vec::new(), 0);
    while let Some(piece) = futures_util::StreamExt::next(&mut stream).await {
        let piece = piece.expect("a piece");
        largest = largest.max(piece.len());
        whole.extend_from_slice(&piece);
    }
    assert!(largest < 200 * 1024, "{largest} bytes at once");
    let whole = String::from_utf8(whole).expect("is text");
    assert_eq!(whole.lines().count(), 20_000);
}
