//! A real process, killed while it keeps events and while it delivers them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use monlight_shared::clock::Clock;
use monlight_shared::testing::{TEST_KEY, TestProcess};
use serde_json::{Value, json};

use crate::support::{BASE, Fake, PATIENCE, Received};

const PAGES: usize = 4;
/// Events that are acknowledged before it is killed.
const BEFORE_THE_KILL: usize = 300;

/// A relay with a database that outlives it.
pub(crate) fn start(database: &Path, tracker: &Fake, collector: &Fake) -> TestProcess {
    let (errors, metrics) = (tracker.url(), collector.url());
    let mut settings = vec![
        ("ADMIN_API_KEY", TEST_KEY),
        ("ERROR_TRACKER_URL", errors.as_str()),
        ("METRICS_COLLECTOR_URL", metrics.as_str()),
        ("DATABASE_PATH", database.to_str().unwrap()),
        ("RATE_LIMIT", "0"),
    ];
    settings.extend(BASE);
    TestProcess::start(Path::new(env!("CARGO_BIN_EXE_browser-relay")), &settings)
}

/// Sends events from several pages until the process is killed; those that were acknowledged, as page and number.
fn acknowledged(relay: TestProcess) -> Vec<String> {
    let (next, told) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for name in 0..PAGES {
            let mut page = relay.connect();
            let (next, told) = (&next, &told);
            scope.spawn(move || {
                loop {
                    let number = format!("{name}/{}", next.fetch_add(1, Ordering::Relaxed));
                    let event = json!({"type": "E", "message": number, "stack": ""}).to_string();
                    let path = "/api/browser/errors?key=dsn-web-1";
                    let Ok((status, body)) = page.post(path, event.as_bytes()) else {
                        return;
                    };
                    assert_eq!(
                        (status, body.as_slice()),
                        (202, &br#"{"status":"queued"}"#[..])
                    );
                    told.lock().unwrap().push(number);
                }
            });
        }
        while told.lock().unwrap().len() < BEFORE_THE_KILL {
            std::thread::yield_now();
        }
        relay.kill();
    });
    told.into_inner().unwrap()
}

/// The messages of all batches, each of a key once, in the order in which they came.
fn delivered(received: &[Received]) -> Vec<String> {
    let mut by_key = BTreeMap::new();
    let mut messages = Vec::new();
    for batch in received
        .iter()
        .filter(|request| request.line.contains("/batch "))
    {
        let items: Vec<Value> = serde_json::from_slice(&batch.body).unwrap();
        for item in items {
            let key = item["key"].as_str().unwrap().to_owned();
            let message = item["document"]["message"].as_str().unwrap().to_owned();
            match by_key.insert(key, message.clone()) {
                Some(before) => assert_eq!(before, message, "a key of two events"),
                None => messages.push(message),
            }
        }
    }
    messages
}

#[test]
fn killed_at_any_time_it_delivers_what_it_acknowledged_once() {
    let (tracker, collector) = (Fake::start(), Fake::start());
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("relay.db");
    tracker.break_down(true);
    let relay = start(&database, &tracker, &collector);
    // From the first failure on everything waits behind it.
    let acknowledged = acknowledged(relay);
    let broken = tracker.received().len();
    tracker.break_down(false);

    let relay = start(&database, &tracker, &collector);
    tracker.received_at_least_blocking(broken + 1);
    relay.kill();
    let relay = start(&database, &tracker, &collector);
    let clock = Clock::system();
    let latest = clock.monotonic() + PATIENCE;
    while relay.metric("monlight_relay_outbox_events{") > 0.0 {
        assert!(clock.monotonic() < latest, "not everything is delivered");
        std::thread::yield_now();
    }

    let messages = delivered(&tracker.received()[broken..]);
    for number in &acknowledged {
        let times = messages.iter().filter(|message| *message == number).count();
        assert_eq!(times, 1, "event {number}");
    }
    // At most one of each page had not heard the answer when it was killed.
    assert!(messages.len() <= acknowledged.len() + PAGES);
    // A page sends one after the other.
    for page in 0..PAGES {
        let of_page = |message: &String| {
            let (name, number) = message.split_once('/')?;
            (name == page.to_string()).then(|| number.parse::<u64>().unwrap())
        };
        assert!(
            messages.iter().filter_map(of_page).is_sorted(),
            "{messages:?}"
        );
    }
}
