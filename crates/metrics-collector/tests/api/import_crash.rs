//! Totals that are pushed to a real process, which is killed again and again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use serde_json::Value;

use crate::process::{Process, ask};

const SENDERS: usize = 3;
const PATH: &str = "/api/import/prometheus?labels/instance=";

/// What an application exposes that has counted so much: a counter, and a histogram of as many values.
fn exposed(total: u64) -> String {
    format!(
        "# TYPE n_total counter\nn_total {total}\n# TYPE h histogram\nh_bucket{{le=\"1\"}} {total}\n\
         h_bucket{{le=\"+Inf\"}} {total}\nh_sum {}\nh_count {total}\n",
        total / 2
    )
}

/// Pushes growing totals until the process is gone.
fn push_until_killed(address: &str, sender: usize, total: &AtomicU64, tell: &mpsc::Sender<()>) {
    loop {
        let text = exposed(total.fetch_add(2, Ordering::SeqCst) + 2);
        match ask(address, "POST", &format!("{PATH}{sender}"), &[], &text) {
            // Nobody listens any more once there are enough.
            Some((202, _)) => drop(tell.send(())),
            Some((status, body)) => panic!("{status}: {body}"),
            None => return,
        }
    }
}

fn figure(process: &Process, name: &str, sender: usize, figure: &str) -> f64 {
    let path = format!(
        "/api/metrics?name={name}&labels=instance:{sender}&group_by=&agg={figure}&step=366d&start=2020-01-01"
    );
    let rows = process.get(&path)["data"].as_array().cloned();
    let figures = rows.unwrap_or_default();
    figures
        .iter()
        .filter_map(|row: &Value| row[figure].as_f64())
        .sum()
}

#[test]
fn a_kill_loses_no_difference_and_adds_none_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("metrics.db");
    let totals: Vec<Arc<AtomicU64>> = (0..SENDERS).map(|_| Arc::new(1000.into())).collect();
    let first = Process::start(&database, &[]);
    for sender in 0..SENDERS {
        let (status, _) = ask(
            &first.address,
            "POST",
            &format!("{PATH}{sender}"),
            &[],
            &exposed(1000),
        )
        .expect("answers");
        assert_eq!(status, 202);
    }
    first.kill();
    for round in 0..4 {
        let process = Process::start(&database, &[]);
        let (tell, told) = mpsc::channel();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (address, total) = (process.address.clone(), Arc::clone(&totals[sender]));
                let tell = tell.clone();
                std::thread::spawn(move || push_until_killed(&address, sender, &total, &tell))
            })
            .collect();
        for _ in 0..60 {
            told.recv().expect("the senders send");
        }
        process.kill();
        for sender in senders {
            sender.join().expect("no answer but 202");
        }
        // Whatever became of the last push, the next one brings exactly what is missing.
        let process = Process::start(&database, &[]);
        for (sender, total) in totals.iter().enumerate() {
            let total = total.load(Ordering::SeqCst);
            let answer = ask(
                &process.address,
                "POST",
                &format!("{PATH}{sender}"),
                &[],
                &exposed(total),
            );
            assert_eq!(answer.expect("answers").0, 202);
            let counted = (total - 1000) as f64;
            assert_eq!(
                figure(&process, "n_total", sender, "sum"),
                counted,
                "round {round}"
            );
            assert_eq!(
                figure(&process, "h", sender, "count"),
                counted,
                "round {round}"
            );
            assert_eq!(
                figure(&process, "h", sender, "sum"),
                counted / 2.0,
                "round {round}"
            );
        }
        process.kill();
    }
}
