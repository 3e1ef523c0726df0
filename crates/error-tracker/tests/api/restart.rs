//! What a restart leaves.

use error_tracker::ErrorTracker;
use monlight_shared::testing::TestService;

use super::{accepted, detail_of, report, service};

#[tokio::test]
async fn everything_is_still_there_after_a_restart() {
    let service = service();
    for _ in 0..7 {
        accepted(&service, &report(1)).await;
    }
    service.post("/api/errors/1/resolve", "").await.expect(200);
    let before = detail_of(&service, 1).await;
    let service = TestService::on::<ErrorTracker>(service.stop().await, &[]);
    assert_eq!(detail_of(&service, 1).await, before);
    let again = accepted(&service, &report(1)).await;
    assert_eq!(
        (again["status"].as_str(), again["count"].as_i64()),
        (Some("reopened"), Some(8))
    );
    assert_eq!(detail_of(&service, 1).await["occurrences"][0]["id"], 8);
}
