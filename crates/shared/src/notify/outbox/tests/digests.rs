//! How many are told one by one, what a digest stands for, what is kept.

use super::*;

#[tokio::test]
async fn a_storm_ends_in_one_digest_with_exact_counts() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    let names: Vec<String> = (0..10_000).map(|n| format!("e{n}")).collect();
    for (second, hundred) in names.chunks(1_000).enumerate() {
        let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
        rig.note(&hundred).await;
        let next = rig.step().await;
        assert_eq!(next, Some(QUIET), "second {second}");
        rig.pass(1_000);
    }
    assert_eq!(fake.taken().len(), 30);
    let standing = {
        let now = rig.clock.now_ms();
        rig.store
            .read(move |conn| standing(conn, now))
            .await
            .expect("a standing")
    };
    let collecting = standing.collecting.expect("collects");
    assert_eq!((standing.told_last_hour, collecting.alerts), (30, 9_970));
    assert_eq!(rig.listed(Filter::Waiting).await.len(), 9_970);
    assert_eq!(rig.metric("monlight_alerts_waiting") as i64, 9_970);

    rig.pass(QUIET - 1_001);
    assert_eq!(rig.step().await, Some(1));
    assert_eq!(fake.taken().len(), 30);
    rig.pass(1);
    assert_eq!(rig.step().await, None);
    let taken = titles(&fake);
    assert_eq!(taken.len(), 31);
    assert_eq!(taken.last().map(String::as_str), Some("and 9970 more"));
    // Nothing comes after it.
    for _ in 0..30 {
        rig.pass(10 * MINUTE);
        assert_eq!(rig.step().await, None);
    }
    assert_eq!(fake.taken().len(), 31);
    let digest = &rig.listed(Filter::All).await[0];
    assert!(is_digest(digest.kind) && digest.subject == 9_970);
    let covered = rig.listed(Filter::InDigest).await;
    assert_eq!(covered.len(), 9_970);
    assert!(
        covered
            .iter()
            .all(|alert| alert.state == AlertState::InDigest(digest.id))
    );
}

#[tokio::test]
async fn a_long_storm_is_told_of_before_it_ends_and_then_once_an_hour() {
    let fake = Fake::default();
    let rig = Rig::new(2, one(&fake));
    let digests = || {
        let taken = fake.taken();
        taken
            .into_iter()
            .filter(|message| message.kind == "digest")
            .map(|it| it.title)
            .collect::<Vec<_>>()
    };
    // An alert every 30 seconds for two and a half hours.
    for _ in 0..300 {
        rig.note(&["x"]).await;
        rig.step().await;
        rig.pass(30_000);
    }
    // 2 alone, 21 until the first digest ten minutes on, then one each hour; when one is made, there is room again for 2.
    assert_eq!(digests(), ["and 21 more", "and 120 more", "and 118 more"]);
    rig.pass(BETWEEN_DIGESTS);
    rig.step().await;
    assert_eq!(digests().last().map(String::as_str), Some("and 35 more"));
    assert_eq!(fake.taken().len(), 3 * 2 + 4);
    // Now that all is told, the next one is told alone again.
    rig.note(&["late"]).await;
    rig.step().await;
    assert_eq!(titles(&fake).last().map(String::as_str), Some("late"));
}

#[tokio::test]
async fn the_limit_holds_for_any_hour() {
    let fake = Fake::default();
    let rig = Rig::new(3, one(&fake));
    rig.note(&["a"]).await;
    rig.step().await;
    rig.pass(50 * MINUTE);
    rig.note(&["b", "c"]).await;
    rig.step().await;
    rig.pass(5 * MINUTE);
    rig.note(&["d"]).await;
    assert_eq!(rig.step().await, Some(QUIET));
    rig.pass(6 * MINUTE);
    rig.step().await;
    assert_eq!(titles(&fake), ["a", "b", "c", "and 1 more"]);
    // An hour after "a" there is room for one.
    rig.note(&["e", "f"]).await;
    rig.step().await;
    assert_eq!(titles(&fake).last().map(String::as_str), Some("e"));
}

#[tokio::test]
async fn old_alerts_go_and_those_on_their_way_stay() {
    let fake = Fake::default();
    let rig = Rig::new(2, one(&fake));
    fake.set_broken(Some(later()));
    rig.note(&["pending", "x"]).await;
    rig.step().await;
    fake.set_broken(None);
    let names = vec!["n"; 12_000];
    rig.note(&names).await;
    rig.outbox.dispatch().await.expect("dispatches");
    rig.pass(QUIET);
    rig.outbox.dispatch().await.expect("dispatches");
    rig.outbox.upkeep().await.expect("upkeep");
    assert_eq!(
        rig.count("SELECT count(*) FROM alerts").await,
        rows::MOST_KEPT
    );
    assert_eq!(rig.metric("monlight_alerts_deleted_total") as i64, 2_003);
    assert_eq!(
        rig.listed(Filter::Delivery(DeliveryState::Pending))
            .await
            .len(),
        3
    );
    // The digest still says what it stood for.
    rig.step().await;
    assert_eq!(
        titles(&fake).last().map(String::as_str),
        Some("and 12000 more")
    );
    rig.pass(rows::KEPT + 1);
    rig.note(&["last"]).await;
    rig.step().await;
    rig.outbox.upkeep().await.expect("upkeep");
    assert_eq!(rig.count("SELECT count(*) FROM alerts").await, 1);
    assert_eq!(rig.count("SELECT count(*) FROM alert_deliveries").await, 1);
    // Numbers are never used again, or new alerts would count as told.
    assert_eq!(rig.count("SELECT id FROM alerts").await, 12_004);
}
