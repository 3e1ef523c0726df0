//! Metrics that are removed by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::Method;
use monlight_shared::clock::Clock;
use monlight_shared::testing::TestResponse;
use serde_json::{Value, json};

use crate::process::{Process, ask};
use crate::{Collector, HOUR, MINUTE, START_MS, at, counter, with};

/// Rows of names that nobody sees any more.
const LEFT: &str =
    "SELECT (SELECT count(*) FROM roll_minute JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM roll_hour JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM roll_day JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM failed_minute JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM failed_hour JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM failed_day JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM total_minute JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM total_hour JOIN name ON id = name_id WHERE removed IS NOT NULL)
    + (SELECT count(*) FROM total_day JOIN name ON id = name_id WHERE removed IS NOT NULL)";
const NAMES_LEFT: &str = "SELECT count(*) FROM name WHERE removed IS NOT NULL";

impl Collector {
    async fn delete_metric(&self, query: &str) -> TestResponse {
        let path = format!("/api/metrics{query}");
        let request = self.service.request(Method::DELETE, &path);
        let request = request.body(Body::empty()).expect("a request");
        self.service.send(request).await
    }

    async fn remove_all(&self) {
        self.tasks.remove(usize::MAX).await.expect("removes");
    }

    /// The sum of a metric over all that is kept.
    async fn sum(&self, name: &str) -> f64 {
        let rows = self
            .get(&format!(
                "/api/metrics?name={name}&group_by=&agg=sum&step=1d&period=30d"
            ))
            .await;
        let rows = rows["data"].as_array().expect("rows");
        rows.iter().filter_map(|row| row["sum"].as_f64()).sum()
    }

    async fn import(&self, total: u32) {
        let text = format!("# TYPE doomed_total counter\ndoomed_total {total}\n");
        let request = self
            .service
            .request(Method::POST, "/api/import/prometheus?project=shop");
        let request = request.body(Body::from(text)).expect("a request");
        self.service.send(request).await.expect(202);
    }
}

fn of(name: &str, value: f64, ms: i64, project: &str, path: &str) -> Value {
    with(
        counter(name, value, ms),
        json!({"project": project, "labels": {"path": path, "status": "500"}}),
    )
}

#[tokio::test]
async fn a_removed_metric_is_gone_at_once_and_does_not_come_back() {
    let collector = Collector::new(&[]);
    let t = START_MS;
    collector
        .accept(json!([
            of("doomed", 5.0, t, "shop", "/doomed-a"),
            of("doomed", 6.0, t, "shop", "/doomed-b"),
            with(
                of("doomed", 7.0, t, "solo", "/doomed-c"),
                json!({"type": "gauge"})
            ),
            of("kept", 1.0, t, "shop", "/a"),
        ]))
        .await;
    collector.import(5).await;
    collector.import(8).await;
    collector.advance(25 * HOUR);
    collector.roll_up().await;
    let now = collector.now_ms();
    let open = json!([
        of("doomed", 8.0, now, "shop", "/doomed-a"),
        of("kept", 2.0, now, "shop", "/a"),
    ]);
    collector.accept(open.clone()).await;
    assert_eq!(collector.sum("doomed").await, 26.0);
    assert_eq!(collector.sum("doomed_total").await, 3.0);
    assert!(collector.number("SELECT count(*) FROM roll_day").await > 0);

    let answer = collector.delete_metric("?name=doomed").await;
    assert_eq!(
        answer.expect(202).json(),
        json!({"status": "accepted", "series": 3})
    );
    let answer = collector
        .delete_metric("?name=doomed_total&project=shop")
        .await;
    assert_eq!(answer.expect(202).json()["series"], 1);
    let check_hidden = async |collector: &Collector, sum: f64| {
        for path in [
            "/api/metrics/names",
            "/api/metrics/labels?name=doomed",
            "/api/metrics/label-values?label=path",
            "/api/metrics?name=doomed&resolution=minute&period=30d",
            "/api/metrics?name=doomed&resolution=hour&period=30d",
            "/api/metrics?name=doomed&resolution=day&period=30d",
            "/api/dashboard?period=30d",
            "/api/stats",
        ] {
            let answer = collector.service.get(path).await.expect(200).text();
            assert!(sum > 0.0 || !answer.contains("/doomed"), "{path}: {answer}");
        }
        assert_eq!(
            collector.get("/api/projects").await,
            json!({"projects": ["shop"]})
        );
        assert_eq!(collector.sum("doomed").await, sum);
        let in_view = "SELECT count(*) FROM metrics_aggregated WHERE labels LIKE '%doomed%'";
        assert_eq!(collector.number(in_view).await > 0, sum > 0.0);
    };
    check_hidden(&collector, 0.0).await;
    let names = collector.get("/api/metrics/names").await;
    assert_eq!(
        names,
        json!({"metrics": [{"name": "kept", "type": "counter"}]})
    );
    let dashboard = collector.get("/api/dashboard?period=30d").await;
    assert_eq!(
        dashboard["summary"],
        json!({"total_datapoints": 2, "distinct_metrics": 1})
    );
    collector.delete_metric("?name=doomed").await.expect(404);

    // A metric of that name begins anew, in a minute whose blocks hold the old one as well.
    collector.accept(open).await;
    assert_eq!(collector.sum("doomed").await, 8.0);
    collector.advance(2 * MINUTE);
    collector.roll_up().await;
    check_hidden(&collector, 8.0).await;
    // Totals do, too: the first reading adds nothing.
    collector.import(9).await;
    collector.import(12).await;
    assert_eq!(collector.sum("doomed_total").await, 3.0);

    let collector = collector.restart().await;
    check_hidden(&collector, 8.0).await;
    assert!(collector.number(LEFT).await > 0);
    collector.remove_all().await;
    assert_eq!(collector.number(LEFT).await, 0);
    let labels = "SELECT count(*) FROM series JOIN name ON name.id = name_id WHERE removed IS NOT NULL AND labels LIKE '%doomed%'";
    assert_eq!(collector.number(labels).await, 0);
    let baselines = "SELECT count(*) FROM baseline";
    assert_eq!(collector.number(baselines).await, 1);
    // A late point has the minute rolled up again, from blocks that hold what was removed.
    collector
        .accept(json!([of("kept", 4.0, now, "shop", "/a")]))
        .await;
    collector.advance(MINUTE);
    collector.roll_up().await;
    check_hidden(&collector, 8.0).await;
    collector.remove_all().await;
    assert_eq!(collector.number(LEFT).await, 0);
    assert_eq!(
        collector.number(NAMES_LEFT).await,
        3,
        "their points are in blocks"
    );
    assert_eq!(collector.get("/api/stats").await["removed"], 3);

    // When those are gone nothing is left.
    for _ in 0..3 {
        collector.advance(2 * HOUR);
        collector
            .accept(json!([of("kept", 1.0, collector.now_ms(), "shop", "/a")]))
            .await;
        collector.roll_up().await;
        collector.forget().await;
        collector.remove_all().await;
    }
    assert_eq!(collector.number(NAMES_LEFT).await, 0);
    let orphans = "SELECT count(*) FROM series WHERE name_id NOT IN (SELECT id FROM name)";
    assert_eq!(collector.number(orphans).await, 0);
    assert_eq!(collector.number("SELECT count(*) FROM project").await, 1);
    assert_eq!(collector.number("SELECT sum(series) FROM project").await, 3);
    assert_eq!(collector.sum("doomed").await, 8.0);
    assert_eq!(collector.sum("kept").await, 12.0);
}

#[tokio::test]
async fn many_rows_go_some_at_a_time_also_over_restarts() {
    let mut collector = Collector::new(&[]);
    for minute in 0..6 {
        let at_ms = START_MS + minute * MINUTE;
        let batch = (0..300).map(|n| of("big", 1.0, at_ms, "p", &n.to_string()));
        collector.accept(batch.collect()).await;
    }
    collector.advance(HOUR);
    collector.roll_up().await;
    collector
        .delete_metric("?name=big&project=p")
        .await
        .expect(202);
    let all = collector.number(LEFT).await;
    assert_eq!(all, 300 * 7 + 2 * 7, "minutes, the hour, and their sums");
    loop {
        let before = collector.number(LEFT).await;
        collector.tasks.remove(1).await.expect("removes");
        let left = collector.number(LEFT).await;
        assert_eq!(left, (before - 500).max(0));
        collector = collector.restart().await;
        if left == 0 {
            break;
        }
    }
    collector.remove_all().await;
    let labelled = "SELECT count(*) FROM series WHERE labels LIKE '{%'";
    assert_eq!(collector.number(labelled).await, 0);
}

#[tokio::test]
async fn only_the_project_that_is_meant_and_its_room_is_free_again() {
    let collector = Collector::new(&[("MAX_SERIES_PER_PROJECT", "2")]);
    let batch = |name: &str, project: &str| {
        let of = |path| of(name, 1.0, START_MS, project, path);
        json!([of("/a"), of("/b"), of("/c")])
    };
    collector.accept(batch("doomed", "shop")).await;
    collector.accept(batch("doomed", "other")).await;
    let overflowing = async || {
        let stats = collector.get("/api/stats").await;
        stats["overflowing"].as_array().expect("a list").len()
    };
    assert_eq!(overflowing().await, 2);
    let answer = collector.delete_metric("?name=doomed&project=shop").await;
    assert_eq!(answer.expect(202).json()["series"], 3);
    assert_eq!(overflowing().await, 1);
    assert_eq!(collector.sum("doomed").await, 3.0);
    collector
        .accept(json!([of("new", 1.0, START_MS, "shop", "/a")]))
        .await;
    let stats = collector.get("/api/stats").await;
    assert_eq!(
        stats["projects"],
        json!([{"project": "other", "series": 3}, {"project": "shop", "series": 1}])
    );
    // One whose points nobody has rolled up yet leaves no rows, and one without any block goes at once.
    collector.delete_metric("?name=doomed").await.expect(202);
    collector.advance(HOUR);
    collector.roll_up().await;
    assert_eq!(collector.sum("doomed").await, 0.0);
}

#[tokio::test]
async fn a_typing_error_removes_nothing() {
    let collector = Collector::new(&[]);
    collector.accept(json!([counter("c", 1.0, START_MS)])).await;
    for (query, detail) in [
        ("?project=p", "Missing required parameter: name"),
        ("?name=", "Missing required parameter: name"),
        (
            "?name=c&projet=x",
            "\"projet\" is not understood; expected name and project",
        ),
        (
            "?name=c&project=",
            "project: it is empty; leave it out to remove the metric in all projects",
        ),
        ("?name=c&name=d", "name: it is given twice"),
    ] {
        let refused = collector.delete_metric(query).await.expect(400).json();
        assert_eq!(refused, json!({"detail": detail}), "{query}");
    }
    for query in ["?name=C", "?name=c&project=x", "?name=%25"] {
        let refused = collector.delete_metric(query).await.expect(404).json();
        assert_eq!(refused, json!({"detail": "Metric not found"}), "{query}");
    }
    assert_eq!(collector.sum("c").await, 1.0);
}

#[tokio::test]
async fn an_alert_rule_on_a_removed_metric_ends() {
    let collector = Collector::new(&[]);
    collector.advance(30_000);
    let rule = json!({"name": "r", "query": "name=c&agg=max&group_by=path", "window_seconds": 600, "value": 5});
    let made = collector.service.post_json("/api/alert-rules", &rule).await;
    made.expect(201);
    collector
        .accept(json!([of("c", 9.0, collector.now_ms(), "p", "/a")]))
        .await;
    let state = async || {
        collector.advance(MINUTE);
        collector.tasks.look().await.expect("looks");
        collector.get("/api/alert-rules/1").await["state"].clone()
    };
    assert_eq!(state().await, "firing");
    collector.delete_metric("?name=c").await.expect(202);
    assert_eq!(state().await, "unknown");
    let history = collector.get("/api/alert-rules/1/history").await;
    assert_eq!(history["events"][0]["reason"], "no_data");
}

#[test]
fn a_kill_after_the_answer_brings_nothing_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("metrics.db");
    let now_ms = Clock::system().now_ms();
    let batch = |name: &str| {
        let items = (0..1200).map(|n| {
            let at = at(now_ms - 120_000 - n % 3 * MINUTE);
            format!(r#"{{"name":"{name}","type":"counter","value":1,"timestamp":"{at}","labels":{{"n":{n}}}}}"#)
        });
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    };
    let mut server = Process::start(&database, &[]);
    for name in ["doomed", "kept"] {
        let answer = ask(&server.address, "POST", "/api/metrics", &[], &batch(name));
        assert_eq!(answer.expect("answers").0, 202);
    }
    let path = "/api/metrics?name=doomed";
    let answer = ask(&server.address, "DELETE", path, &[], "");
    assert_eq!(answer.expect("answers").0, 202);
    for _ in 0..3 {
        server.kill();
        server = Process::start(&database, &[]);
        let count = |name: &str| {
            let path = format!("/api/metrics?name={name}&group_by=&agg=count&step=1d");
            let answer = server.get(&path);
            let rows = answer["data"].as_array().expect("rows");
            rows.iter()
                .filter_map(|row| row["count"].as_u64())
                .sum::<u64>()
        };
        assert_eq!((count("doomed"), count("kept")), (0, 1200));
        let names = server.get("/api/metrics/names");
        assert_eq!(
            names["metrics"].as_array().map(Vec::len),
            Some(1),
            "{names}"
        );
    }
    server.kill();
}

/// Sends batches that touch the open minute, closed ones and one whose points may be gone, until it is told to stop: how many
/// were taken.
fn send(address: &str, worker: usize, stop: &AtomicBool) -> u64 {
    let mut taken = 0;
    for number in 0_i64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let now_ms = Clock::system().now_ms();
        let items = [0, MINUTE, 3 * MINUTE, 5 * HOUR].map(|age| {
            let at = at(now_ms - age);
            let labels = format!(r#"{{"n":{},"w":{worker}}}"#, number % 5);
            ["doomed", "kept"].map(|name| format!(r#"{{"name":"{name}","type":"counter","value":1,"timestamp":"{at}","labels":{labels}}}"#)).join(",")
        });
        let batch = format!("[{}]", items.join(","));
        // Only where its series were removed three times while it was under way it has to come again.
        match ask(address, "POST", "/api/metrics", &[], &batch) {
            Some((202, _)) => taken += 1,
            Some((503, _)) => {}
            answer => panic!("{answer:?}"),
        }
    }
    taken
}

#[test]
fn what_is_sent_and_rolled_up_meanwhile_is_not_disturbed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Process::start(&dir.path().join("metrics.db"), &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            let (address, stop) = (server.address.clone(), Arc::clone(&stop));
            std::thread::spawn(move || send(&address, worker, &stop))
        })
        .collect();
    let count = |name: &str| {
        let path = format!("/api/metrics?name={name}&group_by=&agg=count&step=1d&period=2d");
        let rows = server.get(&path);
        let rows = rows["data"].as_array().expect("rows").clone();
        rows.iter()
            .filter_map(|row| row["count"].as_u64())
            .sum::<u64>()
    };
    let mut removed = 0;
    while removed < 40 {
        match ask(
            &server.address,
            "DELETE",
            "/api/metrics?name=doomed",
            &[],
            "",
        ) {
            Some((202, _)) => removed += 1,
            // None has come since the one before.
            Some((404, _)) => {}
            answer => panic!("{answer:?}"),
        }
        count("doomed");
    }
    stop.store(true, Ordering::SeqCst);
    let taken = workers
        .into_iter()
        .map(|worker| worker.join().expect("sends"));
    let taken: u64 = taken.sum();
    assert_eq!(count("kept"), taken * 4);
    // Perhaps none has come since the last one.
    ask(
        &server.address,
        "DELETE",
        "/api/metrics?name=doomed",
        &[],
        "",
    )
    .expect("answers");
    assert_eq!(count("doomed"), 0);
    assert_eq!(server.get("/health")["status"], "ok");
    let stats = server.get("/api/stats");
    assert!(stats["removed"].as_u64() >= Some(40), "{stats}");
}
