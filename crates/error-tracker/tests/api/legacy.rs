//! A database that the original service has written, given as `DATABASE_PATH`.
//!
//! `tests/data/legacy.db` was written by the original (schema 4) from made-up reports: 18 groups in 3 projects, the groups
//! 2 and 9 resolved, 63 reports of which the newest five of each group are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use error_tracker::ErrorTracker;
use monlight_shared::testing::TestService;
use monlight_shared::testing::files::connection;
use rusqlite::Row;
use serde_json::{Value, json};

use super::{accepted, detail_of, listed};

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy.db")
}

fn moved() -> TestService {
    let dir = Arc::new(tempfile::tempdir().expect("temp dir"));
    std::fs::copy(recorded(), dir.path().join("test.db")).expect("copied");
    TestService::on::<ErrorTracker>(dir, &[])
}

/// What the original would have answered for each of its groups.
fn expected() -> Vec<Value> {
    let conn = connection(&recorded());
    let text = |row: &Row<'_>, column: &str| -> Value {
        row.get::<_, Option<String>>(column).expect("a text").into()
    };
    let parsed = |row: &Row<'_>, column: &str| -> Value {
        let json: Option<String> = row.get(column).expect("a text");
        json.map_or(Value::Null, |json| {
            serde_json::from_str(&json).expect("JSON")
        })
    };
    let mut groups = conn
        .prepare("SELECT * FROM errors ORDER BY id")
        .expect("a table");
    let mut reports = conn
        .prepare(
            "SELECT * FROM error_occurrences WHERE error_id = ?1 ORDER BY timestamp DESC, id DESC",
        )
        .expect("a table");
    let mut report = |row: &Row<'_>| {
        Ok(json!({
            "id": row.get::<_, i64>("id")?, "timestamp": text(row, "timestamp"), "request_url": text(row, "request_url"),
            "request_method": text(row, "request_method"), "request_headers": parsed(row, "request_headers"),
            "user_id": text(row, "user_id"), "extra": parsed(row, "extra"), "traceback": text(row, "traceback"),
        }))
    };
    let group = |row: &Row<'_>| {
        let id: i64 = row.get("id")?;
        let reports = reports.query_map([id], &mut report)?;
        let reports: Vec<Value> = reports.collect::<Result<_, _>>()?;
        Ok(json!({
            "id": id, "fingerprint": text(row, "fingerprint"), "project": text(row, "project"),
            "exception_type": text(row, "exception_type"), "message": text(row, "message"),
            "traceback": text(row, "traceback"), "count": row.get::<_, i64>("count")?,
            "first_seen": text(row, "first_seen"), "last_seen": text(row, "last_seen"),
            "resolved": row.get::<_, bool>("resolved")?, "resolved_at": text(row, "resolved_at"), "occurrences": reports,
        }))
    };
    let groups = groups.query_map([], group).expect("rows");
    groups.collect::<Result<_, _>>().expect("rows")
}

/// `found` without the keys that `wanted` does not have.
fn only_keys_of(wanted: &Value, found: &Value) -> Value {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted
            .iter()
            .map(|(key, value)| (key.clone(), only_keys_of(value, &found[key])))
            .collect(),
        _ => found.clone(),
    }
}

#[tokio::test]
async fn details_and_lists_say_what_the_original_said() {
    let service = moved();
    let expected = expected();
    assert_eq!(expected.len(), 18);
    for mut group in expected.clone() {
        let mut found = detail_of(&service, group["id"].as_i64().expect("a number")).await;
        for (wanted, found) in each_report(&mut group).iter().zip(each_report(&mut found)) {
            assert_eq!(only_keys_of(wanted, &found), *wanted);
        }
        assert_eq!(only_keys_of(&group, &found), group);
    }
    for (query, resolved) in [("", false), ("?resolved=true", true)] {
        let list = service
            .get(&format!("/api/errors{query}"))
            .await
            .expect(200)
            .json();
        let wanted: Vec<&Value> = expected
            .iter()
            .filter(|group| group["resolved"] == resolved)
            .collect();
        assert_eq!(list["total"], wanted.len());
        for entry in list["errors"].as_array().expect("a list") {
            let group = wanted
                .iter()
                .find(|group| group["id"] == entry["id"])
                .expect("is wanted");
            let mut listed = (*group).clone();
            for key in ["traceback", "resolved_at", "occurrences"] {
                listed.as_object_mut().expect("an object").remove(key);
            }
            assert_eq!(only_keys_of(&listed, entry), listed);
            assert_eq!(entry["source"], "server");
        }
    }
    let projects = service.get("/api/projects").await.expect(200).json();
    assert_eq!(
        projects,
        json!({"projects": ["blog", "größe & co", "shop"]})
    );
}

/// Takes the reports out of a group: they are compared one by one, because ours have further keys.
fn each_report(group: &mut Value) -> Vec<Value> {
    let reports = group["occurrences"].take();
    let reports = reports.as_array().expect("a list").clone();
    group["occurrences"] = json!(reports.len());
    reports
}

#[tokio::test]
async fn filters_find_them() {
    let service = moved();
    let with = |query: &'static str| listed(&service, query);
    assert_eq!(with("?project=gr%C3%B6%C3%9Fe+%26+co").await.1, 6);
    assert_eq!(with("?project=shop").await.1, 5);
    assert_eq!(with("?project=shop&resolved=true").await, (vec![2], 1));
    assert_eq!(with("?session_id=s-1").await.1, 16);
    assert_eq!(
        with("?session_id=s-1&project=blog&resolved=1").await,
        (vec![9], 1)
    );
    assert_eq!(with("?session_id=s-2").await.1, 0);
    assert_eq!(with("?source=server&resolved=all").await.1, 18);
    assert_eq!(
        with("?sort=users&limit=2&project=shop").await,
        (vec![6, 5], 5)
    );
    assert_eq!(
        with("?sort=count&limit=2&project=shop").await,
        (vec![6, 5], 5)
    );
    assert_eq!(with("?user=u-5").await.0.len(), 3);
    assert_eq!(with("?since=2026-11-22T02:38:26Z").await.1, 0);
}

#[tokio::test]
async fn reports_go_on_in_their_groups_and_numbers_behind_the_highest() {
    let service = moved();
    let groups = expected();
    let again = |id: usize| {
        let group = &groups[id - 1];
        json!({
            "project": group["project"], "exception_type": group["exception_type"], "message": "again",
            "traceback": group["traceback"],
        })
    };
    assert_eq!(
        accepted(&service, &again(18)).await,
        json!({"status": "incremented", "id": 18, "count": 7})
    );
    assert_eq!(
        accepted(&service, &again(2)).await,
        json!({"status": "reopened", "id": 2, "count": 3})
    );
    let new = accepted(&service, &super::report(1)).await;
    assert_eq!(
        (&new["status"], &new["id"]),
        (&json!("created"), &json!(19))
    );
    let group = detail_of(&service, 18).await;
    let numbers: Vec<_> = group["occurrences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(numbers, [64, 63, 62, 61, 60]);
    assert_eq!(group["occurrences"][0]["message"], "again");
    assert_eq!(detail_of(&service, 19).await["occurrences"][0]["id"], 66);
}

#[tokio::test]
async fn a_second_start_answers_the_same() {
    let service = moved();
    let before = (
        detail_of(&service, 18).await,
        service.get("/api/errors?resolved=all").await.json()["errors"].clone(),
    );
    let service = TestService::on::<ErrorTracker>(service.stop().await, &[]);
    let after = (
        detail_of(&service, 18).await,
        service.get("/api/errors?resolved=all").await.json()["errors"].clone(),
    );
    assert_eq!(before, after);
    let mut files: Vec<_> = std::fs::read_dir(service.dir.path())
        .expect("readable")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    files.sort();
    assert_eq!(files, ["test.db", "test.db.original"]);
}
