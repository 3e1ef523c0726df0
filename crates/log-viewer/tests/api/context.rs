//! One entry, its neighbours, and exports.

use serde_json::{Value, json};

use crate::rig::{Rig, number, record, text};

fn two() -> Rig {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all"), ("RATE_LIMIT", "0")]);
    rig.config(
        "id1",
        &json!({
            "ID": "id1", "Name": "/web",
            "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "front"}}
        })
        .to_string(),
    );
    rig.container("id2", "api");
    for second in 0..40 {
        let (id, name) = if second % 2 == 0 {
            ("id1", "web")
        } else {
            ("id2", "api")
        };
        rig.write(id, "stdout", second, &format!("INFO: {name} {second}"));
    }
    rig.settle();
    rig
}

fn id_of(rig: &Rig, search: &str) -> i64 {
    let list = rig.json(&format!(
        "/api/logs?search=%22{}%22",
        search.replace(' ', "+")
    ));
    number(&list["logs"][0], "id")
}

fn messages(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|entry| text(entry, "message")).collect()
}

#[test]
fn one_entry_with_its_fields_and_origin() {
    let mut rig = two();
    let line = r#"{"msg":"x","status":500,"tags":["a","b"]}"#;
    rig.write("id1", "stderr", 50, line);
    rig.settle();
    let id = number(&rig.json("/api/logs?limit=1")["logs"][0], "id");
    assert_eq!(
        rig.json(&format!("/api/logs/{id}")),
        json!({
            "id": id, "timestamp": "2025-01-20T10:00:50Z", "container": "web", "stream": "stderr", "level": "ERROR",
            "message": line, "time": "2025-01-20T10:00:50.123456789Z", "project": "shop", "service": "front",
            "fields": {"msg": "x", "status": "500", "tags": ["a", "b"]}
        })
    );
    let missing = rig.get("/api/logs/9999").expect(404).json();
    assert_eq!(missing, json!({"detail": "Log entry not found"}));
    for path in [
        "/api/logs/0",
        "/api/logs/-1",
        "/api/logs/x",
        "/api/logs/1/x",
        "/api/logs/x/context",
    ] {
        rig.get(path).expect(404);
    }
}

#[test]
fn neighbours_of_its_container_or_of_all() {
    let rig = two();
    let id = id_of(&rig, "web 20");
    let near = rig.json(&format!("/api/logs/{id}/context?before=2&after=1"));
    assert_eq!(messages(&near["before"]), ["INFO: web 16", "INFO: web 18"]);
    assert_eq!(text(&near["entry"], "message"), "INFO: web 20");
    assert_eq!(messages(&near["after"]), ["INFO: web 22"]);
    let all = rig.json(&format!(
        "/api/logs/{id}/context?before=2&after=1&container=all"
    ));
    assert_eq!(messages(&all["before"]), ["INFO: web 18", "INFO: api 19"]);
    assert_eq!(messages(&all["after"]), ["INFO: api 21"]);
    let other = rig.json(&format!(
        "/api/logs/{id}/context?before=1&after=0&container=a*"
    ));
    assert_eq!(
        (messages(&other["before"]), messages(&other["after"])),
        (vec!["INFO: api 19".to_owned()], vec![])
    );
    let usual = rig.json(&format!("/api/logs/{id}/context"));
    assert_eq!(
        (
            messages(&usual["before"]).len(),
            messages(&usual["after"]).len()
        ),
        (10, 9)
    );
    rig.get("/api/logs/9999/context").expect(404);
    for query in ["before=x", "after=501", "before=-1"] {
        rig.get(&format!("/api/logs/{id}/context?{query}"))
            .expect(400);
    }
}

#[test]
fn exports_in_both_forms_and_orders() {
    let rig = two();
    let export = |query: &str| {
        rig.get(&format!("/api/logs/export?{query}"))
            .expect(200)
            .text()
    };
    let lines = export("search=web");
    let entries: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let list = rig.json("/api/logs?search=web");
    assert_eq!(json!(entries), list["logs"]);
    assert_eq!(
        export("format=text&order=oldest&limit=2&container=api"),
        "2025-01-20T10:00:01.123456789Z INFO api INFO: api 1\n2025-01-20T10:00:03.123456789Z INFO api INFO: api 3\n"
    );
    assert_eq!(export("search=nothing"), "");
    assert_eq!(export("limit=0"), "");
    assert_eq!(export("regex=api+%5Cd$&format=text").lines().count(), 5);
    let answer = rig.get("/api/logs/export?format=text");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        answer
            .header("content-disposition")
            .starts_with("attachment; filename=\"logs-20")
    );
    let before = id_of(&rig, "web 20");
    let oldest = export(&format!("order=oldest&before={before}&format=text"));
    assert!(
        oldest.starts_with("2025-01-20T10:00:00") && oldest.lines().count() == 20,
        "{oldest}"
    );
    for query in ["format=csv", "limit=x", "since=x", "regex=("] {
        rig.get(&format!("/api/logs/export?{query}")).expect(400);
    }
}

#[test]
fn an_export_of_many_pages_is_whole() {
    let mut rig = Rig::web();
    let lines: String = (0..4000_u32)
        .map(|n| {
            record(
                &format!("n{n} {}", "x".repeat(300)),
                "stdout",
                n / 3 + (n * 7919) % 90,
            )
        })
        .collect();
    rig.write_raw("abc", lines);
    rig.settle();
    let newest = rig.get("/api/logs/export").expect(200).text();
    let ids = |text: &str| -> Vec<(String, i64)> {
        text.lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).expect("JSON");
                (crate::rig::text(&entry, "time"), number(&entry, "id"))
            })
            .collect()
    };
    let newest = ids(&newest);
    assert_eq!(newest.len(), 4000);
    assert!(newest.is_sorted_by(|a, b| a > b));
    let mut oldest = ids(&rig.get("/api/logs/export?order=oldest").expect(200).text());
    oldest.reverse();
    assert_eq!(oldest, newest);
}
