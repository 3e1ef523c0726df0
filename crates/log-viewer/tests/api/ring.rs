//! The ring of entries: bounds, slots, counters, the index.

use serde_json::json;

use crate::rig::Rig;

/// Writes `count` lines from second `first` on and reads them in batches.
fn fill(rig: &mut Rig, first: u32, count: u32) {
    for number in first..first + count {
        let level = if number.is_multiple_of(10) {
            "ERROR"
        } else {
            "INFO"
        };
        rig.write(
            "abc",
            "stdout",
            number,
            &format!("{level}: word{number} common"),
        );
    }
    rig.settle();
}

fn keeping(max_entries: &str) -> Rig {
    let rig = Rig::new(&[("MAX_ENTRIES", max_entries), ("TAIL_BUFFER", "all")]);
    rig.container("abc", "web");
    rig
}

#[test]
fn exactly_max_entries_are_kept() {
    let mut rig = keeping("3");
    fill(&mut rig, 1, 8);
    assert_eq!(rig.all_messages().len(), 3);
    rig.check("/api/logs?search=word5", &[]);
    assert_eq!(rig.messages("/api/logs?search=common").len(), 3);
    let stats = rig.json("/api/stats");
    assert_eq!(
        (&stats["total_logs"], &stats["oldest_log"]),
        (&json!(3), &json!("2025-01-20T10:00:06Z"))
    );
    assert_eq!(
        rig.json("/api/containers"),
        json!({"containers": [{"name": "web", "log_count": 3, "project": "", "service": ""}]})
    );
    fill(&mut rig, 9, 1);
    let ids: Vec<i64> = rig.json("/api/logs")["logs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["id"].as_i64().expect("an id"))
        .collect();
    assert_eq!(ids, [9, 8, 7]);
    rig.check_integrity();
}

#[test]
fn slots_are_emptied_and_filled_again() {
    let mut rig = keeping("900");
    let mut written = 0;
    for round in 1..=5 {
        fill(&mut rig, written + 1, 2600);
        written += 2600;
        let list = rig.json("/api/logs?search=common&limit=500");
        assert_eq!(list["total"], 900, "round {round}");
        assert_eq!(rig.json("/api/logs?level=error&limit=1")["total"], 90);
        assert_eq!(
            rig.messages(&format!("/api/logs?search=word{written}"))
                .len(),
            1
        );
        rig.check(&format!("/api/logs?search=word{}", written - 900), &[]);
        assert_eq!(
            rig.messages(&format!("/api/logs?search=word{}", written - 899))
                .len(),
            1
        );
        rig.check_integrity();
    }
    let mut rig = rig.restart();
    rig.settle();
    assert_eq!(rig.json("/api/stats")["total_logs"], 900);
}

#[test]
fn a_smaller_ring_forgets_at_once_and_a_larger_one_fills_up() {
    let mut rig = keeping("5000");
    fill(&mut rig, 1, 3000);
    let mut rig = rig.restart_with(true, &[("MAX_ENTRIES", "100")]);
    rig.settle();
    assert_eq!(rig.json("/api/stats")["total_logs"], 100);
    rig.check_integrity();
    let mut rig = rig.restart_with(true, &[("MAX_ENTRIES", "2000")]);
    fill(&mut rig, 3001, 1500);
    assert_eq!(rig.json("/api/stats")["total_logs"], 1600);
    fill(&mut rig, 4501, 1500);
    assert_eq!(rig.json("/api/stats")["total_logs"], 2000);
    rig.check_integrity();
}

#[test]
fn beyond_ten_thousand_hits_the_total_says_that_it_is_not_exact() {
    let mut rig = keeping("20000");
    let mut text = String::new();
    for number in 0..10_001_u32 {
        text.push_str(&crate::rig::record(
            &format!("INFO: n{number} common"),
            "stdout",
            number % 3600,
        ));
    }
    rig.write_raw("abc", text);
    rig.settle();
    let list = rig.json("/api/logs?search=common&limit=1");
    assert_eq!(
        (&list["total"], &list["total_exact"]),
        (&json!(10_000), &json!(false))
    );
    let list = rig.json("/api/logs?search=common+-n7&limit=1");
    assert_eq!(
        (&list["total"], &list["total_exact"]),
        (&json!(10_000), &json!(true))
    );
    let list = rig.json("/api/logs?limit=1");
    assert_eq!(
        (&list["total"], &list["total_exact"]),
        (&json!(10_001), &json!(true))
    );
    assert_eq!(
        rig.messages("/api/logs?search=common&offset=10000").len(),
        1
    );
}

#[test]
fn containers_without_entries_are_forgotten() {
    let mut rig = Rig::new(&[("MAX_ENTRIES", "10"), ("TAIL_BUFFER", "all")]);
    rig.container("old", "old");
    rig.write("old", "stdout", 1, "first");
    rig.settle();
    rig.container("abc", "web");
    fill(&mut rig, 2, 11_000);
    let names = rig.service.ctx.store.read(|conn| {
        let mut names = conn.prepare("SELECT name FROM containers")?;
        let names = names.query_map([], |row| row.get::<_, String>(0))?;
        Ok(names.collect::<Result<Vec<_>, _>>()?)
    });
    assert_eq!(rig.runtime.block_on(names).expect("readable"), ["web"]);
}
