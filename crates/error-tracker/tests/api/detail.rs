//! One group.

use std::time::Duration;

use serde_json::json;

use super::{accepted, detail_of, report, report_with, service};

#[tokio::test]
async fn everything_reported_comes_back() {
    let service = service();
    let fields = json!({
        "request_url": "https://shop.example/?q=1", "request_method": "POST", "user_id": "u",
        "request_headers": {"Accept": "*/*"}, "extra": {"n": 3, "nested": [1, "two", null, true]},
        "level": "warning", "release": "1.2.3", "environment": "staging", "server_name": "web-1", "tags": {"a": "b"},
    });
    accepted(&service, &report_with(1, fields.clone())).await;
    let detail = detail_of(&service, 1).await;
    for name in ["project", "exception_type", "message", "traceback"] {
        assert_eq!(detail[name], report(1)[name]);
    }
    assert_eq!(detail["count"], 1);
    assert_eq!(detail["resolved"], false);
    assert_eq!(detail["resolved_at"], json!(null));
    assert_eq!(detail["source"], "server");
    assert_eq!(
        detail["hourly"],
        json!([{"hour": "2025-01-20T10:00:00Z", "count": 1}])
    );
    let occurrence = &detail["occurrences"][0];
    for (name, value) in fields.as_object().expect("fields") {
        assert_eq!(&occurrence[name], value, "{name}");
    }
    assert_eq!(occurrence["timestamp"], "2025-01-20T10:00:00Z");
    assert_eq!(occurrence["id"], 1);
}

#[tokio::test]
async fn the_keys_come_in_the_contract_s_order() {
    let service = service();
    accepted(&service, &report(1)).await;
    let text = service.get("/api/errors/1").await.expect(200).text();
    let order = [
        "{\"id\": 1",
        "fingerprint",
        "project",
        "exception_type",
        "message",
        "traceback",
        "count",
        "first_seen",
        "last_seen",
        "resolved",
        "resolved_at",
        "occurrences\": [{\"id\"",
        "timestamp",
        "request_url",
        "request_method",
        "request_headers",
        "user_id",
        "extra",
        "traceback",
    ];
    let mut rest = text.as_str();
    for name in order {
        let (_, after) = rest
            .split_once(name)
            .unwrap_or_else(|| panic!("{name} comes too late in {text}"));
        rest = after;
    }
}

#[tokio::test]
async fn the_newest_five_reports_keep_their_own_texts() {
    let service = service();
    for number in 1..=7 {
        let fields = json!({
            "message": format!("m{number}"), "user_id": format!("u{number}"),
            "traceback": format!("try {number}\n  File \"/srv/app/m.py\", line 1, in f\n"),
        });
        accepted(&service, &report_with(1, fields)).await;
        service.clock.advance(Duration::from_millis(400));
    }
    let detail = detail_of(&service, 1).await;
    assert_eq!(
        (&detail["count"], &detail["message"]),
        (&json!(7), &json!("m1"))
    );
    assert!(
        detail["traceback"]
            .as_str()
            .is_some_and(|text| text.starts_with("try 1\n"))
    );
    let occurrences = detail["occurrences"].as_array().expect("a list");
    assert_eq!(occurrences.len(), 5);
    for (occurrence, number) in occurrences.iter().zip([7, 6, 5, 4, 3]) {
        assert_eq!(occurrence["id"], number);
        assert_eq!(occurrence["user_id"], format!("u{number}"));
        assert_eq!(occurrence["message"], format!("m{number}"));
        let start = format!("try {number}\n");
        assert!(
            occurrence["traceback"]
                .as_str()
                .is_some_and(|text| text.starts_with(&start))
        );
    }
    assert_eq!(detail["first_seen"], "2025-01-20T10:00:00Z");
    assert_eq!(detail["last_seen"], "2025-01-20T10:00:02Z");
    assert_eq!(detail["last_seen_ms"], 1_737_367_202_400_i64);
}

#[tokio::test]
async fn extra_comes_back_digit_for_digit() {
    let service = service();
    let extra = r#"{"big": 123456789012345678901234567890, "float": 1.10, "huge": 1e400, "nul": "\u0000", "dup": 1, "dup": 2}"#;
    let body = format!(
        r#"{{"project":"p","exception_type":"E","message":"a\u0000b","traceback":"t","extra":{extra}}}"#
    );
    service.post("/api/errors", body).await.expect(201);
    let answer = service.get("/api/errors/1").await.expect(200);
    let kept = r#""extra": {"big":123456789012345678901234567890,"float":1.10,"huge":1e400,"nul":"\u0000","dup":2}"#;
    assert!(answer.text().contains(kept), "{}", answer.text());
    assert!(
        answer.text().contains(r#""message": "a\u0000b""#),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn absent_fields_are_null() {
    let service = service();
    accepted(
        &service,
        &report_with(1, json!({"request_url": null, "user_id": 5, "extra": null})),
    )
    .await;
    let detail = detail_of(&service, 1).await;
    let names = [
        "request_url",
        "request_method",
        "request_headers",
        "user_id",
        "extra",
        "level",
        "release",
        "environment",
        "server_name",
        "tags",
    ];
    for name in names {
        assert_eq!(detail["occurrences"][0][name], json!(null), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let service = service();
    accepted(&service, &report(1)).await;
    for (path, text) in [
        ("2", "Error not found"),
        ("9223372036854775807", "Error not found"),
        ("0", "Not found"),
        ("-1", "Not found"),
        ("abc", "Not found"),
        ("1.0", "Not found"),
        ("+1", "Not found"),
        ("", "Not found"),
        ("1/", "Not found"),
        ("1/resolve", "Not found"),
        ("99999999999999999999", "Not found"),
    ] {
        let answer = service
            .get(&format!("/api/errors/{path}"))
            .await
            .expect(404);
        assert_eq!(answer.json(), json!({"detail": text}), "{path}");
    }
}

#[tokio::test]
async fn the_first_report_is_kept_for_good() {
    let service = service();
    for number in 1..=8 {
        let fields = json!({"message": format!("m{number}"), "release": format!("1.{number}")});
        accepted(&service, &report_with(1, fields)).await;
        let detail = detail_of(&service, 1).await;
        assert_eq!(detail["first_occurrence"]["id"], 1, "after {number}");
        assert_eq!(detail["first_occurrence"]["message"], "m1");
        assert_eq!(detail["first_release"], "1.1");
        assert_eq!(detail["last_release"], format!("1.{number}"));
        let kept = detail["occurrences"].as_array().map(Vec::len);
        assert_eq!(kept, Some(number.min(5)));
        let occurrences = service
            .get("/api/errors/1/occurrences")
            .await
            .expect(200)
            .json();
        assert_eq!(occurrences["occurrences"], detail["occurrences"]);
        assert_eq!(occurrences["first_occurrence"], detail["first_occurrence"]);
        assert_eq!(occurrences["count"], number);
    }
    for id in ["2", "0", "x"] {
        let path = format!("/api/errors/{id}/occurrences");
        service.get(&path).await.expect(404);
    }
}

#[tokio::test]
async fn what_was_decided_and_what_happened_is_shown() {
    let service = service();
    let fields = json!({"release": "1.0", "level": "error", "user_id": "ann"});
    accepted(&service, &report_with(1, fields)).await;
    let new = detail_of(&service, 1).await;
    for (name, value) in [
        ("state", json!("open")),
        ("reopened", json!(false)),
        ("users", json!(1)),
        ("users_exact", json!(true)),
        ("note", json!(null)),
        ("resolved_in_release", json!(null)),
        ("ignored_until", json!(null)),
        ("ignored_until_count", json!(null)),
        ("history", json!([])),
    ] {
        assert_eq!(new[name], value, "{name}");
    }
    assert_eq!(new["facets"]["release"], json!(["1.0"]));
    assert_eq!(new["facets"]["tag"], json!([]));
    let own = json!({"kind": new["grouping"]["kind"], "fingerprint": new["fingerprint"]});
    let keys = new["grouping"]["keys"].as_array().expect("a list");
    assert!(keys.contains(&own), "{keys:?}");

    let body = json!({"in_release": "1.1"});
    service
        .post_json("/api/errors/1/resolve", &body)
        .await
        .expect(200);
    let note = json!({"note": "known to the vendor"});
    service
        .post_json("/api/errors/1/note", &note)
        .await
        .expect(200);
    let resolved = detail_of(&service, 1).await;
    assert_eq!(resolved["state"], "resolved");
    assert_eq!(resolved["resolved_in_release"], "1.1");
    assert_eq!(resolved["note"], "known to the vendor");
    service.clock.advance(Duration::from_secs(5));
    accepted(&service, &report_with(1, json!({"release": "1.2"}))).await;
    let back = detail_of(&service, 1).await;
    assert_eq!(
        (
            &back["state"],
            &back["reopened"],
            &back["resolved_in_release"]
        ),
        (&json!("open"), &json!(true), &json!(null))
    );
    let newest = &back["history"][0];
    assert_eq!(newest["action"], "reopened");
    assert_eq!(newest["time"], "2025-01-20T10:00:05Z");
    assert_eq!(newest["time_ms"], 1_737_367_205_000_i64);
    assert_eq!(newest["detail"]["release"], "1.2");

    let body = json!({"for": "24h", "count": 100});
    service
        .post_json("/api/errors/1/ignore", &body)
        .await
        .expect(200);
    let ignored = detail_of(&service, 1).await;
    assert_eq!(ignored["ignored_until"], "2025-01-21T10:00:05Z");
    assert_eq!(ignored["ignored_until_count"], 102);
}
