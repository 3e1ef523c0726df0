//! A storm of new errors against the real process, killed in the middle of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use monlight_shared::testing::TestProcess;
use serde_json::json;

const SENDERS: usize = 8;

fn start(dir: &Path, settings: &[(&str, &str)]) -> TestProcess {
    let database = dir.join("errors.db").to_string_lossy().into_owned();
    let mut all = vec![("DATABASE_PATH", database.as_str()), ("RATE_LIMIT", "0")];
    all.extend_from_slice(settings);
    TestProcess::start(Path::new(env!("CARGO_BIN_EXE_error-tracker")), &all)
}

fn report(number: usize) -> Vec<u8> {
    let report = json!({
        "project": format!("shop-{}", number % 3), "exception_type": "ValueError", "message": format!("order {number}"),
        "traceback": format!("  File \"/srv/app/m.py\", line {number}, in pay\nValueError: order {number}\n"),
        "user_id": number % 100, "release": "2.4.1",
    });
    report.to_string().into_bytes()
}

/// Sends the reports of `numbers` from several connections until all are answered or the process is gone. Answers which
/// numbers were acknowledged, each with the group's id. `after` is called with every acknowledgement's number.
fn storm(
    process: &TestProcess,
    numbers: &[usize],
    after: impl Fn(usize) + Sync,
) -> BTreeMap<usize, i64> {
    let done = AtomicUsize::new(0);
    let (done, after) = (&done, &after);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    let mut connection = process.connect();
                    for number in numbers.iter().skip(sender).step_by(SENDERS) {
                        let Ok((status, body)) = connection.post("/api/errors", &report(*number))
                        else {
                            break;
                        };
                        assert!(status < 300, "{}", String::from_utf8_lossy(&body));
                        let answer: serde_json::Value =
                            serde_json::from_slice(&body).expect("JSON");
                        acknowledged.push((*number, answer["id"].as_i64().expect("an id")));
                        after(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                    acknowledged
                })
            })
            .collect();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().expect("a sender"))
            .collect()
    })
}

/// Kills the process once `number` acknowledgements have been seen.
fn kill_at(process: &TestProcess, number: usize) -> impl Fn(usize) + Sync {
    let pid = process.pid().to_string();
    move |done| {
        if done == number {
            let killed = std::process::Command::new("kill")
                .args(["-9", &pid])
                .status();
            assert!(killed.expect("kill runs").success());
        }
    }
}

#[test]
fn killed_in_a_storm_of_new_errors_every_acknowledged_one_is_there_once() {
    const ERRORS: usize = 2_000;
    let dir = tempfile::tempdir().expect("a directory");
    let process = start(dir.path(), &[]);
    let numbers: Vec<usize> = (1..=ERRORS).collect();
    let first = storm(&process, &numbers, kill_at(&process, ERRORS / 2));
    assert!(
        first.len() >= ERRORS / 2 && first.len() < ERRORS,
        "{}",
        first.len()
    );
    process.kill();

    let process = start(dir.path(), &[]);
    let rest: Vec<usize> = numbers
        .iter()
        .copied()
        .filter(|number| !first.contains_key(number))
        .collect();
    let second = storm(&process, &rest, |_| {});
    assert_eq!(second.len(), rest.len());
    assert_eq!(process.get("/api/errors?limit=1")["total"], ERRORS);
    for (number, id) in &first {
        let group = process.get(&format!("/api/errors/{id}"));
        assert_eq!(group["message"], format!("order {number}"));
        assert_eq!(group["count"], 1, "acknowledged once, counted once");
    }
    // What was under way when the process ended may have been stored without anybody hearing of it.
    let mut unheard = 0;
    for (number, id) in &second {
        let group = process.get(&format!("/api/errors/{id}"));
        assert_eq!(group["message"], format!("order {number}"));
        unheard += group["count"].as_i64().expect("a count") - 1;
    }
    assert!((0..=SENDERS as i64).contains(&unheard), "{unheard}");
}
