//! Groups that people made one of.

use std::time::Duration;

use error_tracker::ErrorTracker;
use monlight_shared::testing::TestService;
use serde_json::json;

use super::{accepted, detail_of, listed, report, report_with, service};

#[tokio::test]
async fn reports_of_merged_groups_are_reports_of_one() {
    let service = service();
    for line in [1, 2, 2, 3] {
        let message = json!({"message": format!("of {line}")});
        accepted(&service, &report_with(line, message)).await;
        service.clock.advance(Duration::from_mins(40));
    }
    let answer = service
        .post("/api/errors/2/merge", r#"{"ids":[1,3,2]}"#)
        .await
        .expect(200);
    assert_eq!(
        answer.text(),
        "{\"status\": \"merged\", \"id\": 2, \"merged\": 2}"
    );
    assert_eq!(listed(&service, "").await, (vec![2], 1));
    for gone in [1, 3] {
        service
            .get(&format!("/api/errors/{gone}"))
            .await
            .expect(404);
    }
    let detail = detail_of(&service, 2).await;
    assert_eq!(detail["count"], 4);
    assert_eq!(detail["message"], "of 2");
    assert_eq!(detail["first_seen"], "2025-01-20T10:00:00Z");
    assert_eq!(detail["last_seen"], "2025-01-20T12:00:00Z");
    let shown = |detail: &serde_json::Value| -> Vec<(String, String)> {
        let occurrences = detail["occurrences"].as_array().expect("a list");
        let text =
            |one: &serde_json::Value, key: &str| one[key].as_str().expect("a text").to_owned();
        occurrences
            .iter()
            .map(|one| (text(one, "message"), text(one, "traceback")))
            .collect()
    };
    let of = |line: u32| {
        (
            format!("of {line}"),
            report(line)["traceback"]
                .as_str()
                .expect("a text")
                .to_owned(),
        )
    };
    assert_eq!(shown(&detail), [of(3), of(2), of(2), of(1)]);

    for (line, count) in [(1, 5), (2, 6), (3, 7)] {
        let message = json!({"message": format!("of {line}")});
        let again = accepted(&service, &report_with(line, message)).await;
        assert_eq!(
            again,
            json!({"status": "incremented", "id": 2, "count": count})
        );
    }
    let service = TestService::on::<ErrorTracker>(service.stop().await, &[]);
    let detail = detail_of(&service, 2).await;
    assert_eq!(shown(&detail), [of(3), of(2), of(1), of(3), of(2)]);
    // A number that was merged away is not used again.
    assert_eq!(accepted(&service, &report(4)).await["id"], 4);
}

#[tokio::test]
async fn a_merged_group_that_is_deleted_takes_all_its_kinds_along() {
    let service = service();
    for line in [1, 2] {
        accepted(&service, &report(line)).await;
    }
    service
        .post("/api/errors/1/merge", r#"{"ids":[2]}"#)
        .await
        .expect(200);
    service.delete("/api/errors/1").await.expect(200);
    for (line, id) in [(2, 3), (1, 4)] {
        let new = accepted(&service, &report(line)).await;
        assert_eq!(
            (&new["status"], &new["id"]),
            (&json!("created"), &json!(id))
        );
    }
}

#[tokio::test]
async fn a_group_that_is_open_keeps_the_others_open() {
    let service = service();
    for line in [1, 2, 3] {
        accepted(&service, &report(line)).await;
    }
    for id in [1, 2] {
        let path = format!("/api/errors/{id}/resolve");
        service.post(&path, "").await.expect(200);
    }
    service
        .post("/api/errors/1/merge", r#"{"ids":[2]}"#)
        .await
        .expect(200);
    assert_eq!(listed(&service, "?resolved=true").await, (vec![1], 1));
    service
        .post("/api/errors/1/merge", r#"{"ids":[3]}"#)
        .await
        .expect(200);
    assert_eq!(listed(&service, "").await, (vec![1], 1));
    assert_eq!(listed(&service, "?resolved=all").await.1, 1);
}

#[tokio::test]
async fn what_cannot_be_merged_is_refused_and_stays() {
    let service = service();
    accepted(&service, &report(1)).await;
    accepted(&service, &report(2)).await;
    let other = report_with(3, json!({"project": "other"}));
    accepted(&service, &other).await;
    for (id, body, status, detail) in [
        (
            "1",
            r#"{"ids":[2,3]}"#,
            400,
            "Error 3 is of another project than error 1",
        ),
        ("1", r#"{"ids":[2,9]}"#, 404, "Error 9 not found"),
        ("9", r#"{"ids":[1]}"#, 404, "Error not found"),
        ("x", r#"{"ids":[1]}"#, 404, "Not found"),
        (
            "1",
            r#"{"ids":[]}"#,
            400,
            "Field 'ids' must be a list of 1 to 1000 numbers of errors",
        ),
        (
            "1",
            "",
            400,
            "Field 'ids' must be a list of 1 to 1000 numbers of errors",
        ),
        ("1", "[2]", 400, "Request body must be a JSON object"),
    ] {
        let answer = service.post(&format!("/api/errors/{id}/merge"), body).await;
        assert_eq!(
            answer.expect(status).json(),
            json!({"detail": detail}),
            "{id} {body}"
        );
    }
    assert_eq!(listed(&service, "").await.1, 3);
    let itself = service.post("/api/errors/1/merge", r#"{"ids":[1]}"#).await;
    assert_eq!(itself.expect(200).json()["merged"], 0);
}
