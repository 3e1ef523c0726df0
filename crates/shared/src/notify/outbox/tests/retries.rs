//! What happens when the other side, or our own disk, does not do its part.

use super::*;

#[tokio::test]
async fn retries_back_off_and_end_after_a_day() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    fake.set_broken(Some(later()));
    rig.note(&["one"]).await;
    let mut waits = Vec::new();
    for _ in 0..200 {
        rig.step().await;
        let listed = rig.listed(Filter::All).await;
        let Some(next) = listed[0].deliveries[0].next_try else {
            break;
        };
        waits.push((next - rig.clock.now_ms()) / 1_000);
        rig.pass(next - rig.clock.now_ms());
    }
    assert_eq!(
        waits[..10],
        [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600]
    );
    assert!(waits.iter().sum::<i64>() * 1_000 <= GIVE_UP);
    assert_eq!(fake.attempts(), waits.len() + 1);
    let [alert] = rig
        .listed(Filter::Delivery(DeliveryState::GaveUp))
        .await
        .try_into()
        .expect("one");
    assert_eq!(alert.deliveries[0].said.as_deref(), Some("not now"));
    assert_eq!(alert.deliveries[0].tries, fake.attempts() as i64);
    let gave_up = "monlight_alert_deliveries_total{channel=\"webhook\",result=\"gave_up\"}";
    assert_eq!(rig.metric(gave_up) as i64, 1);
    rig.pass(GIVE_UP);
    rig.step().await;
    assert_eq!(fake.attempts(), waits.len() + 1, "given up for good");
}

#[tokio::test]
async fn a_server_that_is_asked_to_wait_for_is_waited_for() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    fake.fail_next(Failure::Later {
        detail: "slow down".to_owned(),
        retry_after: Some(Duration::from_mins(5)),
        scope: Scope::Channel,
    });
    rig.note(&["one"]).await;
    rig.step().await;
    // Neither this one nor another is tried before.
    rig.pass(5 * MINUTE - 1);
    rig.note(&["two"]).await;
    rig.step().await;
    assert_eq!(fake.attempts(), 1);
    rig.pass(1);
    rig.step().await;
    assert_eq!(titles(&fake), ["two", "one"]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_repeated() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    fake.fail_next(Failure::Refused("no such user".to_owned()));
    rig.note(&["one", "two"]).await;
    rig.step().await;
    rig.pass(2 * HOUR);
    rig.step().await;
    assert_eq!(
        (fake.attempts(), titles(&fake)),
        (2, vec!["two".to_owned()])
    );
    let failed = rig.listed(Filter::Delivery(DeliveryState::Failed)).await;
    assert_eq!(
        failed[0].deliveries[0].said.as_deref(),
        Some("no such user")
    );
}

#[tokio::test]
async fn a_dead_server_holds_up_nobody_else_and_gets_all_when_it_is_back() {
    let (a, b, slack) = (Fake::default(), Fake::default(), Fake::default());
    let channels = Channels::fake(vec![
        (Kind::Smtp, 0, "a@x", a.clone()),
        (Kind::Smtp, 0, "b@x", b.clone()),
        (Kind::Slack, 1, "s", slack.clone()),
    ]);
    let rig = Rig::new(30, channels);
    a.set_broken(Some(dead_server()));
    b.set_broken(Some(dead_server()));
    let names: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
    rig.note(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    rig.step().await;
    assert_eq!(slack.taken().len(), 20);
    // One attempt told that the server is dead; the other recipient and the other alerts were not tried.
    assert_eq!((a.attempts(), b.attempts()), (1, 0));
    for _ in 0..120 {
        rig.pass(MINUTE);
        rig.step().await;
    }
    let tried = a.attempts() + b.attempts();
    assert!((20..=140).contains(&tried), "{tried} attempts in two hours");
    a.set_broken(None);
    b.set_broken(None);
    rig.pass(MINUTE);
    for _ in 0..2 {
        rig.pass(HOUR);
        rig.step().await;
    }
    assert_eq!((a.taken().len(), b.taken().len()), (20, 20));
    assert_eq!(
        rig.count("SELECT count(*) FROM alert_deliveries WHERE state = 0")
            .await,
        0
    );
}

#[tokio::test]
async fn one_alert_that_is_never_taken_holds_up_no_other() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    rig.note(&["bad"]).await;
    rig.step().await;
    fake.set_broken(Some(later()));
    rig.note(&["one"]).await;
    rig.step().await;
    fake.set_broken(None);
    rig.note(&["two"]).await;
    rig.pass(10_000);
    rig.step().await;
    assert_eq!(titles(&fake), ["one", "two"]);
    let pending = rig.listed(Filter::Delivery(DeliveryState::Pending)).await;
    assert_eq!(pending.len(), 1);
    assert!(
        pending[0].deliveries[0]
            .said
            .as_deref()
            .is_some_and(|said| said.contains("no words for it"))
    );
}

#[tokio::test]
async fn a_result_that_cannot_be_stored_is_not_sent_again() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    rig.note(&["one"]).await;
    rig.outbox.dispatch().await.expect("dispatches");
    rig.execute("CREATE TRIGGER full BEFORE UPDATE ON alert_deliveries BEGIN SELECT RAISE(ABORT, 'full'); END")
        .await;
    let serve = async { rig.outbox.serve_lane(0).await.expect("delivers") };
    let mend = async {
        while rig.metric("monlight_store_failed_jobs_total") < 2.0 {
            tokio::task::yield_now().await;
        }
        rig.execute("DROP TRIGGER full").await;
    };
    let (next, ()) = tokio::join!(serve, mend);
    assert_eq!((next, fake.attempts()), (None, 1));
    let sent = rig.listed(Filter::Delivery(DeliveryState::Sent)).await;
    assert_eq!(sent.len(), 1);
}

#[tokio::test]
async fn a_channel_that_was_taken_away_is_given_up_after_a_day() {
    let (old, new) = (Fake::default(), Fake::default());
    let rig = Rig::new(30, one(&old));
    old.set_broken(Some(later()));
    rig.note(&["one"]).await;
    rig.step().await;
    let other = Channels::fake(vec![(Kind::Ntfy, 0, "t", new.clone())]);
    let rig = rig.restarted(30, other);
    rig.note(&["two"]).await;
    rig.step().await;
    assert_eq!(titles(&new), ["two"]);
    rig.outbox.upkeep().await.expect("upkeep");
    assert_eq!(
        rig.listed(Filter::Delivery(DeliveryState::Pending))
            .await
            .len(),
        1
    );
    rig.pass(GIVE_UP);
    rig.outbox.upkeep().await.expect("upkeep");
    assert_eq!(
        rig.listed(Filter::Delivery(DeliveryState::GaveUp))
            .await
            .len(),
        1
    );
    assert_eq!(rig.count("SELECT count(*) FROM alert_channels").await, 1);
}

#[tokio::test]
async fn what_waits_for_a_channel_that_was_mended_goes_to_the_new_one() {
    let (wrong, right, mail) = (Fake::default(), Fake::default(), Fake::default());
    let mails = || (Kind::Smtp, 1, "ops@x", mail.clone());
    let hook = (Kind::Webhook, 0, "wrong", wrong.clone());
    let rig = Rig::new(30, Channels::fake(vec![hook, mails()]));
    wrong.set_broken(Some(later()));
    rig.note(&["one", "two"]).await;
    rig.step().await;
    assert_eq!(titles(&mail), ["one", "two"]);
    let hook = (Kind::Webhook, 0, "right", right.clone());
    let rig = rig.restarted(30, Channels::fake(vec![hook, mails()]));
    rig.outbox.adopt().await.expect("adopts");
    rig.step().await;
    assert_eq!(titles(&right), ["one", "two"]);
    // Whoever has it does not get it again.
    assert_eq!(titles(&mail), ["one", "two"]);
    let pending = rig.listed(Filter::Delivery(DeliveryState::Pending)).await;
    assert!(pending.is_empty(), "{pending:?}");

    // Where no channel is of the kind, all others are asked.
    right.set_broken(Some(later()));
    rig.note(&["three"]).await;
    rig.step().await;
    let topic = Fake::default();
    let ntfy = (Kind::Ntfy, 0, "t", topic.clone());
    let rig = rig.restarted(30, Channels::fake(vec![ntfy, mails()]));
    rig.outbox.adopt().await.expect("adopts");
    rig.step().await;
    assert_eq!(titles(&topic), ["three"]);
    assert_eq!(titles(&mail), ["one", "two", "three"]);
}

#[tokio::test]
async fn alerts_of_a_time_without_channels_are_told_within_a_day_only() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    rig.note(&["old"]).await;
    rig.pass(GIVE_UP);
    rig.note(&["young"]).await;
    rig.step().await;
    assert_eq!(titles(&fake), ["young"]);
    let listed = rig.listed(Filter::All).await;
    assert_eq!(listed[1].state, AlertState::Dropped);
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_nothing_up() {
    let fake = Fake::default();
    let rig = Rig::new(1, one(&fake));
    fake.set_broken(Some(later()));
    rig.note(&["a", "b"]).await;
    rig.step().await;
    rig.hand
        .set(Timestamp::from_second(START - 86_400).expect("in range"));
    fake.set_broken(None);
    rig.step().await;
    // What was not tried yet comes first.
    assert_eq!(titles(&fake), ["and 1 more", "a"]);
}
