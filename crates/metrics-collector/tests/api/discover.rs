//! Labels and their values.

use serde_json::{Value, json};

use crate::{Collector, START_MS, counter, with};

async fn filled() -> Collector {
    let collector = Collector::new(&[]);
    let mut batch = Vec::new();
    for (project, paths) in [("a", 150), ("b", 2)] {
        for n in 0..paths {
            for status in ["200", "500"] {
                let more = json!({"project": project, "labels": {"path": format!("/{n:03}"), "status": status}});
                batch.push(with(counter("r", 1.0, START_MS), more));
            }
        }
    }
    batch.push(with(
        counter("other", 1.0, START_MS),
        json!({"project": "b", "labels": {"status": "418"}}),
    ));
    batch.push(counter("bare", 1.0, START_MS));
    collector.accept(Value::from(batch)).await;
    collector
}

#[tokio::test]
async fn labels_of_a_metric() {
    let collector = filled().await;
    for (query, expected) in [
        (
            "name=r",
            json!({"name": "r", "series": 304, "labels": [
                {"name": "path", "values": 150, "series": 304}, {"name": "status", "values": 2, "series": 304}]}),
        ),
        (
            "name=r&project=b&labels=status:200",
            json!({"name": "r", "series": 2, "labels": [
                {"name": "path", "values": 2, "series": 2}, {"name": "status", "values": 1, "series": 2}]}),
        ),
        (
            "name=bare",
            json!({"name": "bare", "series": 1, "labels": []}),
        ),
        (
            "name=none",
            json!({"name": "none", "series": 0, "labels": []}),
        ),
    ] {
        let answer = collector.get(&format!("/api/metrics/labels?{query}")).await;
        assert_eq!(answer, expected, "{query}");
    }
    let refused = collector
        .service
        .get("/api/metrics/labels")
        .await
        .expect(400);
    assert_eq!(
        refused.json(),
        json!({"detail": "Missing required parameter: name"})
    );
}

#[tokio::test]
async fn values_of_a_label() {
    let collector = filled().await;
    let answer = collector
        .get("/api/metrics/label-values?name=r&label=path&limit=3")
        .await;
    assert_eq!(
        answer,
        json!({"name": "r", "label": "path", "total": 150, "left_out": 147, "values": [
            {"value": "/000", "series": 4}, {"value": "/001", "series": 4}, {"value": "/002", "series": 2}]})
    );
    for (query, total, shown) in [
        ("name=r&label=path", 150, 100),
        ("name=r&label=path&search=14", 12, 12),
        ("name=r&label=path&project=b", 2, 2),
        ("label=status&project=b", 3, 3),
        ("label=status&labels=status:5*", 1, 1),
        ("name=r&label=none", 0, 0),
    ] {
        let answer = collector
            .get(&format!("/api/metrics/label-values?{query}"))
            .await;
        assert_eq!(answer["total"], total, "{query}");
        assert_eq!(
            answer["values"].as_array().map(Vec::len),
            Some(shown),
            "{query}"
        );
    }
    let refused = collector
        .service
        .get("/api/metrics/label-values?name=r")
        .await
        .expect(400);
    assert_eq!(
        refused.json(),
        json!({"detail": "Missing required parameter: label"})
    );
}
