//! Pages that hold while errors arrive, and the orders of lists.

use std::time::Duration;

use error_tracker::tasks::ranks::{self, UpTo};
use monlight_shared::testing::TestService;
use serde_json::{Value, json};

use super::resolve::state_of;
use super::{accepted, listed, report, report_with, service};

async fn page(service: &TestService, query: &str) -> (Vec<i64>, Option<String>) {
    let list = service
        .get(&format!("/api/errors?{query}"))
        .await
        .expect(200)
        .json();
    let ids = list["errors"].as_array().expect("a list").iter();
    let ids = ids.filter_map(|entry| entry["id"].as_i64()).collect();
    let next = list.get("next_cursor").expect("is named");
    (ids, next.as_str().map(str::to_owned))
}

/// Errors 1 to 7, a second apart.
async fn with_errors() -> TestService {
    let service = service();
    for line in 1..=7 {
        accepted(&service, &report(line)).await;
        service.clock.advance(Duration::from_secs(1));
    }
    service
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_page_ended() {
    let service = with_errors().await;
    let (ids, next) = page(&service, "limit=3").await;
    assert_eq!(ids, [7, 6, 5]);
    // What arrives now stands before that place, and so does what is seen again.
    accepted(&service, &report(8)).await;
    accepted(&service, &report(6)).await;
    accepted(&service, &report(3)).await;
    let next = next.expect("there is more");
    assert!(
        next.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    );
    let (ids, next) = page(&service, &format!("limit=2&cursor={next}")).await;
    assert_eq!(ids, [4, 2]);
    let (ids, last) = page(
        &service,
        &format!("limit=3&cursor={}", next.expect("there is more")),
    )
    .await;
    assert_eq!((ids, last), (vec![1], None));
}

#[tokio::test]
async fn the_last_page_says_that_it_is() {
    let service = with_errors().await;
    assert_eq!(page(&service, "limit=7").await.1, None);
    assert_eq!(page(&service, "limit=200").await.1, None);
    assert!(page(&service, "limit=6").await.1.is_some());
    assert_eq!(page(&service, "project=other").await, (vec![], None));
    let (_, next) = page(&service, "limit=6").await;
    let next = next.expect("there is more");
    service.delete("/api/errors/1").await.expect(200);
    assert_eq!(
        page(&service, &format!("cursor={next}")).await,
        (vec![], None)
    );
    let (ids, _) = page(&service, &format!("limit=2&offset=1&cursor={next}")).await;
    assert_eq!(ids, [0_i64; 0]);
}

#[tokio::test]
async fn a_total_does_not_depend_on_the_page() {
    let service = with_errors().await;
    let (_, next) = page(&service, "limit=3").await;
    let next = next.expect("there is more");
    assert_eq!(
        listed(&service, &format!("?limit=3&cursor={next}")).await,
        (vec![4, 3, 2], 7)
    );
    assert_eq!(
        listed(&service, &format!("?limit=3&offset=2&cursor={next}")).await,
        (vec![2, 1], 7)
    );
}

/// Reports and users of the errors 1 to 4.
const NUMBERS: [(u32, usize, usize); 4] = [(1, 3, 1), (2, 1, 1), (3, 4, 4), (4, 1, 0)];

async fn with_numbers() -> TestService {
    let service = service();
    for (line, reports, users) in NUMBERS {
        for number in 0..reports {
            let user = (users > 0).then(|| format!("u{}", number % users));
            accepted(&service, &report_with(line, json!({"user_id": user}))).await;
        }
        service.clock.advance(Duration::from_secs(1));
    }
    accepted(&service, &report_with(2, json!({"user_id": "u0"}))).await;
    ranks::step(&state_of(&service), UpTo::default())
        .await
        .expect("ranks");
    service
}

#[tokio::test]
async fn lists_have_four_orders() {
    let service = with_numbers().await;
    for (sort, expected) in [
        ("last_seen", [2, 4, 3, 1]),
        ("first_seen", [4, 3, 2, 1]),
        ("count", [3, 1, 2, 4]),
        ("users", [3, 2, 1, 4]),
    ] {
        for filter in [
            "",
            "&project=shop",
            "&source=server",
            "&search=ValueError",
            "&state=all",
            "&since=1h",
        ] {
            let query = format!("sort={sort}{filter}");
            assert_eq!(page(&service, &query).await.0, expected, "{query}");
            let (mut ids, mut next) = page(&service, &format!("{query}&limit=1")).await;
            while let Some(cursor) = next {
                let (more, after) =
                    page(&service, &format!("{query}&limit=1&cursor={cursor}")).await;
                ids.extend(more);
                next = after;
            }
            assert_eq!(ids, expected, "{query}, one by one");
        }
    }
}

#[tokio::test]
async fn a_new_error_is_in_every_order_at_once() {
    let service = with_numbers().await;
    accepted(&service, &report(5)).await;
    for sort in ["last_seen", "first_seen", "count", "users"] {
        let (mut ids, _) = page(&service, &format!("sort={sort}")).await;
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 5], "{sort}");
    }
}

#[tokio::test]
async fn orders_by_numbers_follow_the_reports() {
    let service = with_numbers().await;
    let state = state_of(&service);
    service.clock.advance(Duration::from_mins(1));
    for number in 0..6 {
        accepted(
            &service,
            &report_with(4, json!({"user_id": format!("v{number}")})),
        )
        .await;
    }
    let up_to = ranks::step(&state, UpTo::default()).await.expect("ranks");
    assert_eq!(up_to, UpTo(None));
    assert_eq!(page(&service, "sort=count").await.0, [4, 3, 1, 2]);
    assert_eq!(page(&service, "sort=users").await.0, [4, 3, 2, 1]);
    let entry = &service.get("/api/errors?sort=users").await.json()["errors"][0];
    assert_eq!((&entry["count"], &entry["users"]), (&json!(7), &json!(6)));
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let service = with_numbers().await;
    let (_, next) = page(&service, "limit=1&sort=count").await;
    let next = next.expect("there is more");
    for query in [
        format!("cursor={next}"),
        format!("sort=users&cursor={next}"),
        format!("sort=count&cursor={next}x"),
        format!("sort=count&cursor={}", &next.to_uppercase()),
    ] {
        let answer: Value = service
            .get(&format!("/api/errors?{query}"))
            .await
            .expect(400)
            .json();
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("the next_cursor of a list"), "{answer}");
    }
}
