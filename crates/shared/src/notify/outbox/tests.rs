//! The outbox on a real database, with a clock that stands still and channels that do as they are told.

use jiff::Timestamp;

use super::plan::{BETWEEN_DIGESTS, GIVE_UP, HOUR, QUIET};
use super::*;
use crate::clock::ManualClock;
use crate::notify::channel::{Failure, Scope};
use crate::notify::message::Tone;
use crate::notify::testing::Fake;
use crate::store::{Migration, QueueLimits};

mod digests;
mod retries;

static MIGRATIONS: [Migration; 2] = [
    Migration {
        version: 100,
        name: "things",
        sql: "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT NOT NULL);",
    },
    Migration {
        version: 101,
        name: "alerts",
        sql: SCHEMA,
    },
];
const START: i64 = 1_737_367_200;
const MINUTE: i64 = 60_000;
const NEW: i64 = 1;

/// Tells of things by their names.
struct Things;

impl Source for Things {
    fn message(&self, conn: &Connection, alert: &Alert) -> Result<Option<Message>, StoreError> {
        let message = |kind| Message::new(&alert.key, kind, Tone::Alarm, alert.time_ms);
        if alert.kind == DIGEST {
            let detail = alert.detail.as_deref().unwrap_or_default();
            return Ok(Some(message("digest").title(detail)));
        }
        let mut statement = conn.prepare_cached("SELECT name FROM thing WHERE id = ?1")?;
        let name: Option<String> = statement
            .query_map([alert.subject], |row| row.get(0))?
            .next()
            .transpose()?;
        match name.as_deref() {
            Some("bad") => Err(StoreError::Job("no words for it".to_owned())),
            Some(name) => Ok(Some(message("new").title(name))),
            None => Ok(None),
        }
    }

    fn summary(&self, conn: &Connection, covered: Covered) -> Result<String, StoreError> {
        let count: i64 = conn.query_row(
            "SELECT count(*) FROM alerts WHERE id BETWEEN ?1 AND ?2 AND told_at IS NULL",
            (covered.first, covered.last),
            |row| row.get(0),
        )?;
        Ok(format!("and {count} more"))
    }

    /// A thing called `to a,b` is for those.
    fn channels(
        &self,
        conn: &Connection,
        _kind: i64,
        subject: i64,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT coalesce(max(name), '') FROM thing WHERE id = ?1";
        let name: String = conn.query_row(sql, [subject], |row| row.get(0))?;
        let wanted = name.strip_prefix("to ").map(|list| list.split(','));
        Ok(wanted.into_iter().flatten().map(str::to_owned).collect())
    }
}

struct Rig {
    outbox: Outbox,
    store: Store,
    clock: Clock,
    hand: ManualClock,
    metrics: Registry,
    life: Lifecycle,
    dir: Arc<tempfile::TempDir>,
}

impl Rig {
    fn new(per_hour: u32, channels: Channels) -> Self {
        let start = Timestamp::from_second(START).expect("in range");
        let (clock, hand) = Clock::manual(start);
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        Self::on(dir, (clock, hand), per_hour, channels)
    }

    fn on(
        dir: Arc<tempfile::TempDir>,
        (clock, hand): (Clock, ManualClock),
        per_hour: u32,
        channels: Channels,
    ) -> Self {
        let metrics = Registry::default();
        let limits = QueueLimits::default();
        let path = dir.path().join("test.db");
        let store =
            Store::open(&path, &MIGRATIONS, limits, clock.clone(), &metrics).expect("opens");
        let life = Lifecycle::new(clock.clone());
        let outbox = Outbox::with(
            store.clone(),
            clock.clone(),
            life.clone(),
            &metrics,
            channels,
            per_hour,
            Things,
        );
        Self {
            outbox,
            store,
            clock,
            hand,
            metrics,
            life,
            dir,
        }
    }

    /// Ends it without a farewell, and begins anew on what is in the file.
    fn restarted(self, per_hour: u32, channels: Channels) -> Self {
        self.store.close();
        Self::on(self.dir, (self.clock, self.hand), per_hour, channels)
    }

    fn pass(&self, ms: i64) {
        self.hand.advance(Duration::from_millis(ms as u64));
    }

    /// Stores so many things and notes an alert for each, in one transaction.
    async fn note(&self, names: &[&str]) {
        let (outbox, now) = (self.outbox.clone(), self.clock.now_ms());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let job = move |conn: &Connection| {
            for name in names {
                conn.prepare_cached("INSERT INTO thing (name) VALUES (?1)")?
                    .execute([name])?;
                outbox.note(conn, NEW, conn.last_insert_rowid(), now)?;
            }
            Ok(())
        };
        self.store
            .write(Lane::Ingest, 0, job)
            .await
            .expect("stored");
    }

    /// Dispatches and delivers all that can be by now. Answers when to dispatch again.
    async fn step(&self) -> Option<i64> {
        let next = self.outbox.dispatch().await.expect("dispatches");
        for lane in 0..self.outbox.channels().lanes() {
            self.outbox.serve_lane(lane).await.expect("delivers");
        }
        next.map(|at| at - self.clock.now_ms())
    }

    async fn listed(&self, filter: Filter) -> Vec<ListedAlert> {
        let now = self.clock.now_ms();
        let read = move |conn: &Connection| list(conn, filter, 100_000, now);
        self.store.read(read).await.expect("a list")
    }

    async fn execute(&self, sql: &'static str) {
        let job = move |conn: &Connection| Ok(conn.execute_batch(sql)?);
        self.store.write(Lane::Ingest, 0, job).await.expect("done");
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let read = move |conn: &Connection| Ok(conn.query_row(sql, [], |row| row.get(0))?);
        self.store.read(read).await.expect("a number")
    }

    #[track_caller]
    fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|known| known.strip_prefix(line));
        let value = found.and_then(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {line} in {text}"))
    }
}

fn one(fake: &Fake) -> Channels {
    Channels::fake(vec![(Kind::Webhook, 0, "a", fake.clone())])
}

fn titles(fake: &Fake) -> Vec<String> {
    fake.taken()
        .into_iter()
        .map(|message| message.title)
        .collect()
}

fn later() -> Failure {
    Failure::later("not now")
}

fn dead_server() -> Failure {
    Failure::server("no route")
}

#[tokio::test]
async fn an_alert_is_told_once_on_every_channel() {
    let (mail, hook) = (Fake::default(), Fake::default());
    let channels = Channels::fake(vec![
        (Kind::Smtp, 0, "ops@x", mail.clone()),
        (Kind::Webhook, 1, "h", hook.clone()),
    ]);
    let rig = Rig::new(30, channels);
    rig.note(&["one"]).await;
    assert_eq!(rig.step().await, None);
    rig.step().await;
    assert_eq!(
        (titles(&mail), titles(&hook)),
        (vec!["one".to_owned()], vec!["one".to_owned()])
    );
    let [alert] = rig.listed(Filter::All).await.try_into().expect("one");
    assert_eq!(alert.state, AlertState::Told(DeliveryState::Sent));
    assert_eq!(alert.deliveries.len(), 2);
    assert!(
        alert
            .deliveries
            .iter()
            .all(|one| one.tries == 1 && one.next_try.is_none())
    );
    let sent = "monlight_alert_deliveries_total{channel=\"smtp\",result=\"sent\"}";
    assert_eq!(rig.metric(sent) as i64, 1);
}

#[tokio::test]
async fn an_alert_can_be_for_some_channels() {
    let (ops, dev, chat) = (Fake::default(), Fake::default(), Fake::default());
    let channels = Channels::fake(vec![
        (Kind::Smtp, 0, "ops@x", ops.clone()),
        (Kind::Smtp, 0, "dev@x", dev.clone()),
        (Kind::Slack, 1, "h", chat.clone()),
    ]);
    let rig = Rig::new(30, channels);
    // What is for none that is there is for all.
    let all = ["to slack", "to smtp:dev@x", "to smtp,slack", "to ntfy"];
    rig.note(&all).await;
    rig.step().await;
    assert_eq!(titles(&chat), [all[0], all[2], all[3]]);
    assert_eq!(titles(&dev), [all[1], all[2], all[3]]);
    assert_eq!(titles(&ops), [all[2], all[3]]);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    let (outbox, now) = (rig.outbox.clone(), rig.clock.now_ms());
    let undone = rig.store.write(Lane::Ingest, 0, move |conn| {
        outbox.note(conn, NEW, 1, now)?;
        Err::<(), _>(StoreError::Job("no".to_owned()))
    });
    assert!(undone.await.is_err());
    rig.step().await;
    assert!(rig.listed(Filter::All).await.is_empty() && fake.attempts() == 0);
}

#[tokio::test]
async fn without_a_channel_nothing_is_noted() {
    let rig = Rig::new(30, Channels::fake(Vec::new()));
    rig.note(&["one"]).await;
    assert!(rig.listed(Filter::All).await.is_empty());
}

#[tokio::test]
async fn a_subject_that_is_gone_is_skipped_and_shown_so() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    rig.note(&["one", "two"]).await;
    rig.execute("DELETE FROM thing WHERE id = 1").await;
    rig.step().await;
    assert_eq!(titles(&fake), ["two"]);
    let skipped = rig.listed(Filter::Delivery(DeliveryState::Skipped)).await;
    let [skipped] = skipped.as_slice() else {
        panic!("one: {skipped:?}");
    };
    assert_eq!(skipped.state.name(), "skipped");
    assert_eq!(
        skipped.deliveries[0].said.as_deref(),
        Some("what it was about is gone")
    );
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let fake = Fake::default();
    let rig = Rig::new(2, one(&fake));
    fake.set_broken(Some(later()));
    rig.note(&["a", "b", "c", "d"]).await;
    rig.step().await;
    let rig = rig.restarted(2, one(&fake));
    fake.set_broken(None);
    // The back-off and the hour's limit are remembered, and so is since when alerts are collected.
    rig.pass(9_999);
    assert_eq!(rig.step().await, Some(QUIET - 9_999));
    assert!(fake.taken().is_empty());
    rig.pass(1);
    rig.step().await;
    // What was tried least comes first, so that no alert holds up others.
    assert_eq!(titles(&fake), ["b", "a"]);
    let rig = rig.restarted(2, one(&fake));
    rig.pass(QUIET);
    rig.step().await;
    assert_eq!(titles(&fake), ["b", "a", "and 2 more"]);
}

#[tokio::test]
async fn a_message_that_is_repeated_has_the_same_id() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    rig.note(&["one", "two"]).await;
    rig.outbox.dispatch().await.expect("dispatches");
    // Sent, and killed before that was stored.
    let message = rig.outbox.message(1).await.expect("read").expect("there");
    let channel = &rig.outbox.channels().all()[0];
    rig.outbox
        .channels()
        .send(channel, &message, 0)
        .await
        .expect("taken");
    let rig = rig.restarted(30, one(&fake));
    rig.step().await;
    let ids: Vec<String> = fake.taken().into_iter().map(|message| message.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert!(
        ids[0].ends_with(&format!(".1.{}", START * 1_000)),
        "{}",
        ids[0]
    );
}

#[tokio::test]
async fn a_test_tries_every_channel_and_goes_nowhere_else() {
    let (good, bad) = (Fake::default(), Fake::default());
    let channels = Channels::fake(vec![
        (Kind::Slack, 0, "good", good.clone()),
        (Kind::Ntfy, 1, "bad", bad.clone()),
    ]);
    let rig = Rig::new(30, channels);
    bad.set_broken(Some(later()));
    rig.note(&["one"]).await;
    rig.step().await;
    let message = Message::new("t", "test", Tone::Calm, 0).title("a test");
    let tested = rig
        .outbox
        .test(&message)
        .await
        .expect("stored")
        .expect("the only one");
    let shown: Vec<_> = tested
        .iter()
        .map(|one| (one.kind.name(), one.target.as_str(), one.result.is_ok()))
        .collect();
    assert_eq!(shown, [("slack", "good", true), ("ntfy", "bad", false)]);
    assert_eq!(titles(&good), ["one", "a test"]);
    assert_eq!(rig.listed(Filter::All).await.len(), 1);
    let standings = rig.store.read(channels_by_key).await.expect("standings");
    assert_eq!(standings["ntfy:bad"].fault.as_deref(), Some("not now"));
    assert_eq!(standings["ntfy:bad"].failures, 1);
    assert_eq!(standings["slack:good"].ok_at, Some(rig.clock.now_ms()));
    // A test that works lets what waits go on at once.
    bad.set_broken(None);
    rig.outbox
        .test(&message)
        .await
        .expect("stored")
        .expect("the only one");
    rig.step().await;
    assert_eq!(titles(&bad), ["a test", "one"]);
}

fn channels_by_key(
    conn: &Connection,
) -> Result<std::collections::HashMap<String, ChannelStanding>, StoreError> {
    channels(conn)
}

#[tokio::test]
async fn the_tasks_deliver_what_is_noted_and_end_when_asked() {
    let fake = Fake::default();
    let rig = Rig::new(30, one(&fake));
    rig.outbox.start();
    rig.note(&["one"]).await;
    let told = async {
        while fake.taken().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told)
        .await
        .expect("told");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while rig.metric("monlight_alert_deliveries_pending{channel=\"webhook\"}") != 0.0
        || rig
            .listed(Filter::Delivery(DeliveryState::Sent))
            .await
            .is_empty()
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the result is stored"
        );
        tokio::task::yield_now().await;
    }
    assert!(rig.life.finish(Duration::from_secs(5)).await);
}

#[test]
fn filters_have_the_names_that_are_shown() {
    for name in [
        "all",
        "waiting",
        "in_digest",
        "pending",
        "sent",
        "failed",
        "gave_up",
        "skipped",
    ] {
        assert!(Filter::parse(name).is_some(), "{name}");
    }
    assert_eq!(Filter::parse("other"), None);
}

#[tokio::test]
async fn no_look_reads_more_than_it_needs() {
    #[track_caller]
    fn check(plan: &[String], expected: &str) {
        let found = plan.iter().any(|step| step.contains(expected));
        let sorted = plan.iter().any(|step| step.contains("TEMP B-TREE"));
        assert!(found && !sorted, "{plan:#?}");
    }
    let rig = Rig::new(30, one(&Fake::default()));
    for (sql, expected) in [
        (
            rows::NEXT_DUE,
            "USING INDEX alert_deliveries_due (channel=?)",
        ),
        (
            rows::TOLD,
            "USING INDEX alerts_told (told_at>? AND told_at<?)",
        ),
        (rows::PENDING, "USING COVERING INDEX alert_deliveries_due"),
    ] {
        let read = move |conn: &Connection| {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3));
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        };
        check(&rig.store.read(read).await.expect("a plan"), expected);
    }
}
