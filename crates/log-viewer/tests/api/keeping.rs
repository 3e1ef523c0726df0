//! The limits of age and size, beside that of the number of entries.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::rig::{Rig, record};

fn keeping(settings: &[(&str, &str)]) -> Rig {
    let settings: Vec<_> = settings
        .iter()
        .copied()
        .chain([("TAIL_BUFFER", "all")])
        .collect();
    let rig = Rig::new(&settings);
    rig.container("abc", "web");
    rig
}

fn hours(count: u64) -> Duration {
    Duration::from_hours(count)
}

/// Rows that are still in the file, whether they count or not.
fn rows(rig: &Rig) -> i64 {
    let count = rig.service.ctx.store.read(|conn| {
        let mut rows = 0;
        for n in 0..10 {
            rows += conn.query_row(&format!("SELECT count(*) FROM e{n}"), [], |row| {
                row.get::<_, i64>(0)
            })?;
        }
        Ok(rows)
    });
    rig.runtime.block_on(count).expect("readable")
}

#[test]
fn entries_go_when_they_are_too_old() {
    let mut rig = keeping(&[("RETENTION_DAYS", "1")]);
    for (second, text) in [(1, "m1\nm2"), (3600, "m3"), (7200, "m4\nm5")] {
        rig.write("abc", "stdout", second, text);
    }
    rig.settle();
    rig.pass(Duration::from_secs(24 * 3600 - 10));
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4", "m5"]);
    // Looked for once a minute.
    rig.pass(hours(1));
    rig.settle();
    assert_eq!(rig.all_messages(), ["m3", "m4", "m5"]);
    rig.check("/api/logs?search=m1", &[]);
    rig.check_integrity();
    assert!((rig.metric("monlight_log_entries") - 3.0).abs() < 0.1);
    assert!((rig.metric("monlight_log_entries_dropped_total{reason=\"age\"}") - 2.0).abs() < 0.1);
    rig.pass(hours(24));
    rig.settle();
    assert_eq!(rig.all_messages(), [""; 0]);
    assert_eq!(rows(&rig), 0, "they are not only hidden");
    rig.check_integrity();
    // What comes afterwards is kept, in the slot that was emptied.
    rig.write("abc", "stdout", 49 * 3600 + 60, "m6");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m6"]);
    rig.check_integrity();
}

#[test]
fn many_old_entries_go_in_slices_and_only_the_old_ones() {
    let mut rig = keeping(&[("RETENTION_DAYS", "1"), ("MAX_ENTRIES", "60000")]);
    let mut text = String::new();
    for second in 0..30_000 {
        text.push_str(&record(&format!("word{second}"), "stdout", second / 10));
    }
    rig.write_raw("abc", text);
    rig.settle();
    assert_eq!(rig.json("/api/stats")["total_logs"], 30_000);
    // Settling took 2.2 s of it.
    rig.pass(hours(24) + Duration::from_millis(2_500_000 - 2200));
    rig.step();
    let left = rig.json("/api/stats")["total_logs"].as_i64();
    // Nanoseconds make the entries of that very second younger.
    assert_eq!(left, Some(5000));
    rig.check_integrity();
}

#[test]
fn what_is_too_old_when_it_comes_is_counted_and_not_stored() {
    let mut rig = keeping(&[("RETENTION_DAYS", "7")]);
    for (text, day) in [("ancient", 10), ("recent", 15)] {
        rig.write_raw(
            "abc",
            format!("{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2025-01-{day}T10:00:00Z\"}}\n"),
        );
    }
    rig.settle();
    assert_eq!(rig.all_messages(), ["recent"]);
    assert!((rig.metric("monlight_log_entries_dropped_total{reason=\"age\"}") - 1.0).abs() < 0.1);
}

/// Lines of about 300 bytes, read in portions; `check` is called after each.
fn fill(rig: &mut Rig, first: u32, count: u32, check: impl Fn(&Rig)) {
    for start in (first..first + count).step_by(2000) {
        let mut text = String::new();
        for number in start..start + 2000 {
            let mut line = format!("INFO: word{number} common");
            for word in 0..60 {
                // Writing to a String cannot fail.
                let _ = write!(line, " w{}", number * 31 % (word + 700));
            }
            text.push_str(&record(&line, "stdout", number / 10));
        }
        rig.write_raw("abc", text);
        rig.settle();
        check(rig);
        fs::write(rig.log("abc"), "").expect("emptied");
    }
}

/// The size of the file, once the log beside it is folded in.
fn file_bytes(rig: &Rig) -> i64 {
    let size = rig.service.ctx.store.read(|conn| {
        let pages = conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?;
        Ok(4096 * pages)
    });
    rig.runtime.block_on(size).expect("readable")
}

#[test]
fn the_database_does_not_outgrow_its_limit() {
    let mut rig = keeping(&[("MAX_DB_MB", "10"), ("MAX_ENTRIES", "1000000")]);
    fill(&mut rig, 1, 24_000, |rig| {
        assert!(file_bytes(rig) <= 10_500_000, "{}", file_bytes(rig));
    });
    rig.check_integrity();
    let kept = rig.json("/api/stats")["total_logs"]
        .as_i64()
        .expect("a number");
    assert!((5000..22_000).contains(&kept), "{kept}");
    // The newest are there, the oldest are not.
    assert_eq!(rig.messages("/api/logs?search=word24000").len(), 1);
    assert_eq!(
        rig.messages(&format!("/api/logs?search=word{}", 24_001 - kept))
            .len(),
        1
    );
    rig.check("/api/logs?search=word1", &[]);
    let dropped = rig.metric("monlight_log_entries_dropped_total{reason=\"bytes\"}");
    assert!((dropped - (24_000 - kept) as f64).abs() < 0.1, "{dropped}");
    assert!((rig.metric("monlight_log_keep_limit{limit=\"bytes\"}") - 10e6).abs() < 0.1);
}

#[test]
fn a_lower_limit_gives_the_space_back() {
    let mut rig = keeping(&[("MAX_ENTRIES", "24000")]);
    fill(&mut rig, 1, 24_000, |_| {});
    assert!(file_bytes(&rig) > 13_000_000, "{}", file_bytes(&rig));
    let mut rig = rig.restart_with(true, &[("MAX_DB_MB", "10")]);
    rig.settle();
    rig.check_integrity();
    let used = rig
        .service
        .ctx
        .store
        .read(log_viewer::store::keep::used_bytes);
    let used = rig.runtime.block_on(used).expect("readable");
    assert!((6_000_000..10_000_000).contains(&used), "{used}");
    assert_eq!(rig.messages("/api/logs?search=word24000").len(), 1);
    assert!(file_bytes(&rig) <= 10_000_000, "{}", file_bytes(&rig));
    let rig = rig.restart();
    let on_disk = rig.metric("monlight_store_file_bytes");
    assert!(on_disk <= 10e6, "{on_disk}");
}
