//! Taking in reports.

use serde_json::json;

use super::{accepted, detail_of, metric, report, report_with, send, service};

#[tokio::test]
async fn a_group_is_created_incremented_and_reopened() {
    let service = service();
    let created = send(&service, &report(1)).await.expect(201);
    let fingerprint = created.json()["fingerprint"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert_eq!(fingerprint.len(), 32);
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(
        created.text(),
        format!("{{\"status\": \"created\", \"id\": 1, \"fingerprint\": \"{fingerprint}\"}}")
    );
    let again = send(&service, &report(1)).await.expect(200);
    assert_eq!(
        again.text(),
        "{\"status\": \"incremented\", \"id\": 1, \"count\": 2}"
    );
    service.post("/api/errors/1/resolve", "").await.expect(200);
    let reopened = send(&service, &report(1)).await.expect(201);
    assert_eq!(
        reopened.text(),
        "{\"status\": \"reopened\", \"id\": 1, \"count\": 3}"
    );
    let again = send(&service, &report(1)).await.expect(200);
    assert_eq!(again.json()["count"], 4);
    assert_eq!(detail_of(&service, 1).await["resolved_at"], json!(null));
    for (result, count) in [("created", 1.0), ("incremented", 2.0), ("reopened", 1.0)] {
        let name = format!("monlight_error_reports_total{{result=\"{result}\"}}");
        assert_eq!(metric(&service, &name).await, count, "{result}");
    }
}

#[tokio::test]
async fn refusals_say_what_was_wrong() {
    let service = service();
    let too_long = report_with(1, json!({"project": "a".repeat(101)}));
    let cases = [
        ("{".to_owned(), "Invalid JSON"),
        ("[]".to_owned(), "Request body must be a JSON object"),
        ("{}".to_owned(), "Missing required field: project"),
        (
            too_long.to_string(),
            "Field 'project' exceeds maximum length of 100 characters",
        ),
        (String::new(), "Invalid JSON"),
    ];
    for (body, detail) in cases {
        let answer = service.post("/api/errors", body).await.expect(400);
        assert_eq!(answer.json(), json!({"detail": detail}));
    }
    assert_eq!(
        metric(&service, "monlight_error_reports_total{result=\"invalid\"}").await,
        5.0
    );
}

#[tokio::test]
async fn two_projects_never_share_a_group() {
    let service = service();
    let first =
        json!({"project": "a:b", "exception_type": "c", "message": "first", "traceback": "t"});
    let second =
        json!({"project": "a", "exception_type": "b:c", "message": "second", "traceback": "t"});
    let (first, second) = (
        accepted(&service, &first).await,
        accepted(&service, &second).await,
    );
    assert_eq!(first["fingerprint"], second["fingerprint"]);
    assert_eq!((&first["id"], &second["id"]), (&json!(1), &json!(2)));
    let projects = service.get("/api/projects").await.expect(200);
    assert_eq!(projects.text(), "{\"projects\": [\"a\",\"a:b\"]}");
}

#[tokio::test]
async fn the_content_type_does_not_matter_and_a_query_string_does_no_harm() {
    let service = service();
    let request = service.request(axum::http::Method::POST, "/api/errors?from=cron");
    let request = request
        .header("content-type", "text/plain")
        .body(report(1).to_string().into());
    service.send(request.expect("a request")).await.expect(201);
}

#[tokio::test]
async fn a_compressed_report_is_taken_in() {
    let service = service();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, report(1).to_string().as_bytes()).expect("is packed");
    let body = gzip.finish().expect("is packed");
    let request = service.request(axum::http::Method::POST, "/api/errors");
    let request = request.header("content-encoding", "gzip").body(body.into());
    service.send(request.expect("a request")).await.expect(201);
}

#[tokio::test]
async fn reports_at_the_same_time_are_counted_exactly() {
    let service = service();
    let reports: Vec<_> = (0..200_u32).map(|number| report(number % 10)).collect();
    let answers = reports.iter().map(|report| send(&service, report));
    for answer in futures_util::future::join_all(answers).await {
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    let list = service.get("/api/errors").await.expect(200).json();
    assert_eq!(list["total"], 10);
    for group in list["errors"].as_array().expect("a list") {
        assert_eq!(group["count"], 20);
    }
}
