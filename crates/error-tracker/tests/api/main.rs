//! The service from outside: requests through its real router, on a real database.

mod alerts;
mod auth;
mod bulk;
mod cursor;
mod detail;
mod export;
mod facets;
mod filters;
mod fingerprint;
mod grouping;
mod hostile;
mod json;
mod legacy;
mod lifecycle;
mod limits;
mod list;
mod merge;
mod move_in;
mod once;
mod pages;
mod resolve;
mod restart;
mod scrub;
mod search;
mod stats;
mod submit;

use error_tracker::ErrorTracker;
use monlight_shared::testing::{TestResponse, TestService};
use serde_json::{Value, json};

fn service() -> TestService {
    TestService::new::<ErrorTracker>(&[])
}

/// A report that makes a group of its own for each `line`.
fn report(line: u32) -> Value {
    json!({
        "project": "shop", "exception_type": "ValueError", "message": "invalid input",
        "traceback": format!("  File \"/srv/app/m.py\", line {line}, in f\nValueError: x\n"),
    })
}

/// `report(line)` with some fields replaced.
fn report_with(line: u32, fields: Value) -> Value {
    let mut report = report(line);
    for (name, value) in fields.as_object().expect("fields") {
        report[name] = value.clone();
    }
    report
}

async fn send(service: &TestService, report: &Value) -> TestResponse {
    service.post_json("/api/errors", report).await
}

/// Sends a report that must be taken in.
async fn accepted(service: &TestService, report: &Value) -> Value {
    let answer = send(service, report).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    answer.json()
}

/// The ids of a list, in order, and its total.
async fn listed(service: &TestService, query: &str) -> (Vec<i64>, i64) {
    let list = service
        .get(&format!("/api/errors{query}"))
        .await
        .expect(200)
        .json();
    let ids = list["errors"].as_array().expect("a list").iter();
    let ids = ids.map(|entry| entry["id"].as_i64().expect("a number"));
    (ids.collect(), list["total"].as_i64().expect("a number"))
}

async fn detail_of(service: &TestService, id: i64) -> Value {
    service
        .get(&format!("/api/errors/{id}"))
        .await
        .expect(200)
        .json()
}

/// The value of one line of `/metrics`.
async fn metric(service: &TestService, name: &str) -> f64 {
    let text = service.get("/metrics").await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}
