//! Input that is meant to break things.

use proptest::prelude::*;
use serde_json::json;

use super::{accepted, detail_of, listed, report_with, service};
use error_tracker::domain::report::ErrorReport;

#[tokio::test]
async fn deep_nesting_is_kept_as_far_as_it_is_readable() {
    let service = service();
    for (line, depth) in [(1, 256), (2, 257), (3, 40_000)] {
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        let body = format!(
            r#"{{"project":"p","exception_type":"E{line}","message":"m","traceback":"t","extra":{deep},"request_headers":{{"context":{deep}}},"unknown":{deep}}}"#
        );
        service.post("/api/errors", body).await.expect(201);
        let text = service
            .get(&format!("/api/errors/{line}"))
            .await
            .expect(200)
            .text();
        let kept = "[".repeat(256);
        assert!(text.contains(&kept), "depth {depth}");
        assert!(!text.contains(&(kept + "[")), "depth {depth}");
    }
    let only_brackets = "[".repeat(250_000);
    service.post("/api/errors", only_brackets).await.expect(400);
}

/// Such a path was refused as plain text, without a `detail`.
#[tokio::test]
async fn an_id_that_is_no_utf_8_got_plain_text() {
    let service = service();
    for path in ["/api/errors/%ff", "/api/errors/%c0%ae", "/api/errors/%00"] {
        let refused = service.get(path).await.expect(404).json();
        assert_eq!(refused, json!({"detail": "Not found"}), "{path}");
        let resolve = format!("{path}/resolve");
        let refused = service.post(&resolve, "").await.expect(404).json();
        assert_eq!(refused, json!({"detail": "Not found"}), "{resolve}");
    }
}

#[tokio::test]
async fn lone_surrogates_do_not_cost_the_report() {
    let service = service();
    let body = r#"{"project":"p","exception_type":"E","message":"cut \ud83d","traceback":"t","extra":{"\udc00":"\ud800"}}"#;
    service.post("/api/errors", body).await.expect(201);
    let detail = detail_of(&service, 1).await;
    assert_eq!(detail["message"], "cut \u{fffd}");
    assert_eq!(
        detail["occurrences"][0]["extra"],
        json!({"\u{fffd}": "\u{fffd}"})
    );
    let body = r#"{"project":"p\ud83d","exception_type":"E","message":"m","traceback":"t"}"#;
    let refused = service.post("/api/errors", body).await.expect(400);
    assert_eq!(refused.json(), json!({"detail": "Invalid JSON"}));
}

#[tokio::test]
async fn text_is_never_taken_for_anything_else() {
    let service = service();
    let nasty = [
        "'; DROP TABLE error_groups; --",
        "%' OR 1=1 --",
        "</script><script>alert(1)</script>",
        "line\r\nBcc: all@example.com\r\n.\r\n",
        "\u{0}\u{1}\u{7f}\u{feff}\u{202e}\u{10ffff}",
        "{{constructor}}${7*7}",
    ];
    for (line, text) in nasty.iter().enumerate() {
        let fields = json!({
            "project": text, "exception_type": text, "message": text, "user_id": text, "request_url": text,
            "request_method": text, "extra": {(*text): [text]}, "request_headers": text,
        });
        accepted(&service, &report_with(line as u32, fields)).await;
        let detail = detail_of(&service, line as i64 + 1).await;
        let one = &detail["occurrences"][0];
        for found in [
            &detail["project"],
            &detail["message"],
            &one["user_id"],
            &one["request_headers"],
        ] {
            assert_eq!(found, text);
        }
        assert_eq!(one["extra"], json!({(*text): [text]}));
        let escaped: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(
            listed(&service, &format!("?project={}", escaped.concat()))
                .await
                .1,
            1,
            "{text:?}"
        );
    }
    let projects = service.get("/api/projects").await.json();
    let mut sorted = nasty.to_vec();
    sorted.sort_unstable();
    assert_eq!(projects["projects"], json!(sorted));
}

#[tokio::test]
async fn a_report_full_of_keys_or_lines_is_quick() {
    let service = service();
    let keys: Vec<String> = (0..20_000)
        .map(|number| format!("\"k{number}\":0"))
        .collect();
    let same: Vec<&str> = vec!["\"k\":0"; 40_000];
    let bodies = [
        format!(
            r#"{{"project":"p","exception_type":"1","message":"","traceback":"t",{}}}"#,
            keys.join(",")
        ),
        format!(
            r#"{{"project":"p","exception_type":"2","message":"","traceback":"t","extra":{{{}}}}}"#,
            keys.join(",")
        ),
        format!(
            r#"{{"project":"p","exception_type":"3","message":"","traceback":"t","extra":{{{}}}}}"#,
            same.join(",")
        ),
        format!(
            r#"{{"project":"p","exception_type":"4","message":"","traceback":"{}"}}"#,
            "\\n".repeat(125_000)
        ),
        format!(
            r#"{{"project":"p","exception_type":"5","message":"","traceback":"{}"}}"#,
            "\\u0001".repeat(40_000)
        ),
    ];
    let clock = monlight_shared::clock::Clock::system();
    let started = clock.monotonic();
    for body in bodies {
        service.post("/api/errors", body).await.expect(201);
    }
    // A quadratic step would take minutes here; the bound leaves room for a busy machine.
    let taken = clock.monotonic().saturating_sub(started);
    assert!(taken < std::time::Duration::from_secs(5), "took {taken:?}");
    assert_eq!(
        detail_of(&service, 3).await["occurrences"][0]["extra"],
        json!({"k": 0})
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ErrorReport::from_json(&body);
    }

    #[test]
    fn no_text_full_of_json_s_own_letters_panics(body in "[\\[\\]{}\":,\\\\ud8c0nt1e. é]{0,80}") {
        let _ = ErrorReport::from_json(body.as_bytes());
        let inside = format!(r#"{{"project":"p","exception_type":"E","message":"","traceback":"","extra":{body}}}"#);
        let report = ErrorReport::from_json(inside.as_bytes());
        if let Some(extra) = report.ok().and_then(|report| report.extra) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&extra).is_ok() || extra.contains('e'), "{}", extra);
        }
    }
}
