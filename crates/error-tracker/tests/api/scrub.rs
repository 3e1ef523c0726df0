//! Secrets do not reach the database.

use error_tracker::ErrorTracker;
use monlight_shared::testing::TestService;
use serde_json::json;

use super::{accepted, detail_of, report_with};

#[tokio::test]
async fn secrets_are_gone_from_what_is_kept_and_the_rest_stays() {
    let service = TestService::new::<ErrorTracker>(&[("SCRUB_KEYS", "x-tenant, iban*")]);
    let report = report_with(
        1,
        json!({
            "request_url": "https://shop.example/pay?order=7&token=s3cret-1",
            "request_headers": {"Authorization": "Bearer s3cret-2", "Cookie": "sid=s3cret-3", "Accept": "*/*", "X-Tenant": "s3cret-4"},
            "extra": {"session_id": "s-1", "author": "Ann", "login": {"password": "s3cret-5"}, "iban_of_customer": "s3cret-6"},
            "tags": {"region": "eu", "api_key": "s3cret-7"},
        }),
    );
    accepted(&service, &report).await;
    let detail = detail_of(&service, 1).await;
    assert!(!detail.to_string().contains("s3cret"), "{detail}");
    let shown = &detail["occurrences"][0];
    assert_eq!(shown["request_headers"]["Accept"], "*/*");
    assert_eq!(shown["extra"]["session_id"], "s-1");
    assert_eq!(shown["extra"]["author"], "Ann");
    assert_eq!(shown["tags"]["region"], "eu");
    let dump = |conn: &rusqlite::Connection| {
        let mut rows = conn.prepare("SELECT value FROM facets")?;
        let values = rows.query_map([], |row| row.get::<_, String>(0))?;
        Ok(values.collect::<Result<Vec<_>, _>>()?.join(" "))
    };
    let facets = service.ctx.store.read(dump).await.expect("is read");
    assert!(
        facets.contains("region:eu") && !facets.contains("s3cret"),
        "{facets}"
    );
}
