//! Which reports come together, by setting and by what their clients say.

use error_tracker::ErrorTracker;
use monlight_shared::store::Lane;
use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use super::{accepted, detail_of, service};

fn stable() -> TestService {
    TestService::new::<ErrorTracker>(&[("GROUPING", "stable")])
}

/// A report of one bug in a release that moved its lines.
fn in_release(offset: u32, function: &str) -> Value {
    let traceback = format!(
        "Traceback (most recent call last):\n  File \"/srv/shop/app/cart.py\", line {}, in {function}\n    total(cart)\nValueError: order {offset} has no items\n",
        10 + offset
    );
    json!({
        "project": "shop", "exception_type": "ValueError", "message": format!("order {offset} has no items"),
        "traceback": traceback,
    })
}

fn with_fingerprint(mut report: Value, fingerprint: Value) -> Value {
    report["fingerprint"] = fingerprint;
    report
}

async fn ids(service: &TestService, reports: &[Value]) -> Vec<i64> {
    let mut ids = Vec::new();
    for report in reports {
        ids.push(
            accepted(service, report).await["id"]
                .as_i64()
                .expect("an id"),
        );
    }
    ids
}

#[tokio::test]
async fn the_setting_says_what_a_moved_line_is() {
    let reports = [
        in_release(1, "pay"),
        in_release(7, "pay"),
        in_release(7, "refund"),
    ];
    assert_eq!(ids(&service(), &reports).await, [1, 2, 2], "file and line");
    assert_eq!(ids(&stable(), &reports).await, [1, 1, 2], "functions");
}

#[tokio::test]
async fn a_client_s_fingerprint_wins_in_its_project() {
    for service in [service(), stable()] {
        let own = |offset, fingerprint| with_fingerprint(in_release(offset, "pay"), fingerprint);
        let mut elsewhere = own(1, json!("payments"));
        elsewhere["project"] = json!("blog");
        let reports = [
            own(1, json!("payments")),
            own(50, json!(["payments"])),
            elsewhere,
            own(1, json!(["{{ default }}", "eu"])),
            own(1, json!(["{{ default }}", "us"])),
            // What says nothing is no fingerprint.
            own(1, json!([])),
            own(1, json!(5)),
        ];
        assert_eq!(ids(&service, &reports).await, [1, 1, 2, 3, 4, 5, 5]);
    }
}

#[tokio::test]
async fn what_is_answered_is_the_key_of_the_group() {
    let contract = accepted(&service(), &in_release(1, "pay")).await["fingerprint"].clone();
    let service = stable();
    let answered = accepted(&service, &in_release(1, "pay")).await["fingerprint"].clone();
    assert_ne!(answered, contract);
    assert_eq!(detail_of(&service, 1).await["fingerprint"], answered);
}

#[tokio::test]
async fn changing_the_setting_starts_no_group_anew() {
    let first = service();
    assert_eq!(ids(&first, &[in_release(1, "pay")]).await, [1]);
    let dir = first.stop().await;
    let second = TestService::on::<ErrorTracker>(dir, &[("GROUPING", "stable")]);
    assert_eq!(
        ids(&second, &[in_release(30, "pay"), in_release(30, "refund")]).await,
        [1, 2]
    );
    let dir = second.stop().await;
    let third = TestService::on::<ErrorTracker>(dir, &[]);
    assert_eq!(
        ids(&third, &[in_release(1, "pay"), in_release(30, "refund")]).await,
        [1, 2]
    );
}

#[tokio::test]
async fn groups_of_an_older_database_get_their_stable_key_from_the_first_report() {
    let first = service();
    assert_eq!(ids(&first, &[in_release(1, "pay")]).await, [1]);
    let forget = |conn: &rusqlite::Connection| {
        Ok(conn.execute("DELETE FROM group_keys WHERE substr(key, 1, 1) = x'73'", [])?)
    };
    let forgotten = first.ctx.store.write(Lane::Upkeep, 0, forget).await;
    assert_eq!(forgotten.expect("is written"), 1);
    let dir = first.stop().await;
    let second = TestService::on::<ErrorTracker>(dir, &[("GROUPING", "stable")]);
    let reports = [
        in_release(1, "pay"),
        in_release(30, "pay"),
        // The same file and line, but the group has its stable key now.
        in_release(1, "refund"),
    ];
    assert_eq!(ids(&second, &reports).await, [1, 1, 2]);
}
