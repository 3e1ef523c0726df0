//! What happens to files: rotation, truncation, removal, renaming, first start.

use std::fs;

use log_viewer::tasks::ingest::Wake;

use crate::rig::{Rig, record};

fn rotate(rig: &Rig, id: &str) {
    for number in (1..5).rev() {
        if rig.rotated(id, number).exists() {
            fs::rename(rig.rotated(id, number), rig.rotated(id, number + 1)).expect("renamed");
        }
    }
    fs::rename(rig.log(id), rig.rotated(id, 1)).expect("renamed");
}

#[test]
fn the_rest_of_a_rotated_file_is_read_before_the_new_one() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    rig.write("abc", "stdout", 3, "m3");
    rotate(&rig, "abc");
    rig.write("abc", "stdout", 4, "m4");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4"]);
}

#[test]
fn several_rotations_while_the_service_is_down_lose_nothing() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    let mut rig = {
        rig.write("abc", "stdout", 3, "m3");
        rotate(&rig, "abc");
        rig.write("abc", "stdout", 4, "m4");
        rotate(&rig, "abc");
        rig.write("abc", "stdout", 5, "m5");
        rotate(&rig, "abc");
        rig.write("abc", "stdout", 6, "m6");
        rig.restart()
    };
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4", "m5", "m6"]);
    rig.settle();
    let mut rig = rig.restart();
    rig.settle();
    assert_eq!(rig.all_messages().len(), 6);
}

#[test]
fn a_rotated_file_that_is_deleted_while_it_is_open_is_read_to_its_end() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    rig.write("abc", "stdout", 2, "m2");
    fs::remove_file(rig.log("abc")).expect("removed");
    rig.write("abc", "stdout", 3, "m3");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3"]);
}

#[test]
fn a_rotation_that_copies_and_truncates_loses_nothing() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    rig.write("abc", "stdout", 3, "m3");
    fs::copy(rig.log("abc"), rig.rotated("abc", 1)).expect("copied");
    // Seen half-way, the copy is not taken for a new file.
    rig.settle();
    rig.write("abc", "stdout", 4, "m4");
    fs::copy(rig.log("abc"), rig.rotated("abc", 1)).expect("copied");
    fs::write(rig.log("abc"), record("m5", "stdout", 5)).expect("written");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4", "m5"]);
}

#[test]
fn a_rotated_in_file_is_read_whole_whatever_the_tail_buffer() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "100")]);
    rig.container("abc", "web");
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m2"]);
    rotate(&rig, "abc");
    rig.write("abc", "stdout", 3, "m3\nm4\nm5");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m2", "m3", "m4", "m5"]);
}

#[test]
fn content_replaced_in_place_is_read_from_its_beginning() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 11, "m11\nm12");
    rig.settle();
    let same_length = record("m13", "stdout", 13) + &record("m14", "stdout", 14);
    fs::write(rig.log("abc"), same_length).expect("written");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m11", "m12", "m13", "m14"]);
}

#[test]
fn a_truncation_that_was_seen_empty_starts_from_zero() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    fs::File::options()
        .write(true)
        .open(rig.log("abc"))
        .expect("opens")
        .set_len(0)
        .expect("truncated");
    rig.settle();
    rig.write("abc", "stdout", 3, "m3\nm4\nm5");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4", "m5"]);
}

#[test]
fn a_truncation_does_not_read_rotated_files_again() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rotate(&rig, "abc");
    rig.write("abc", "stdout", 3, "m3");
    rig.settle();
    fs::write(rig.log("abc"), record("m4", "stdout", 4)).expect("written");
    rig.settle();
    let mut rig = rig.restart();
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4"]);
}

#[test]
fn a_file_that_is_missing_for_a_while_and_one_that_comes_empty() {
    let mut rig = Rig::web();
    rig.settle();
    rig.check("/api/logs", &[]);
    rig.write_raw("abc", "");
    rig.settle();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    fs::remove_file(rig.log("abc")).expect("removed");
    rig.settle();
    rig.write("abc", "stdout", 2, "m2");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2"]);
}

#[test]
fn an_unfinished_last_line_waits() {
    let mut rig = Rig::web();
    let line = record("partial", "stdout", 2);
    let (first, second) = line.split_at(20);
    rig.write("abc", "stdout", 1, "complete");
    rig.write_raw("abc", first);
    rig.settle();
    rig.check("/api/logs", &["complete"]);
    let mut rig = rig.restart();
    rig.write_raw("abc", second);
    rig.write("abc", "stdout", 3, "after");
    rig.settle();
    assert_eq!(rig.all_messages(), ["complete", "partial", "after"]);
}

#[test]
fn a_line_cut_by_a_rotation_is_counted_and_hurts_nobody() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.write_raw("abc", "{\"log\":\"cut off");
    rig.settle();
    rotate(&rig, "abc");
    rig.settle();
    rig.write("abc", "stdout", 2, "m2");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2"]);
    assert_eq!(
        rig.metric("monlight_log_lines_skipped_total{reason=\"no_json\"}"),
        1.0
    );
}

/// The part that was read of an unfinished line used to survive the truncation of its file.
#[test]
fn an_unfinished_line_that_was_truncated_is_not_glued_to_what_comes_next() {
    let mut rig = Rig::web();
    rig.write_raw("abc", "{\"log\":\"old and");
    rig.settle();
    fs::write(rig.log("abc"), record("m1", "stdout", 1)).expect("written");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1"]);
}

#[test]
fn first_start_reads_the_end_of_the_file_from_a_line_start() {
    let line = record("INFO: m1", "stdout", 1).len();
    let check = |tail_buffer: usize, expected: &[&str]| {
        let mut rig = Rig::new(&[("TAIL_BUFFER", &tail_buffer.to_string())]);
        rig.container("abc", "web");
        rig.write("abc", "stdout", 1, "INFO: m1\nINFO: m2\nINFO: m3");
        rig.settle();
        let mut rig = rig.restart();
        rig.settle();
        assert_eq!(rig.all_messages(), expected, "{tail_buffer}");
        rig.write("abc", "stdout", 4, "INFO: m4");
        rig.settle();
        assert_eq!(rig.messages("/api/logs?search=m4"), ["INFO: m4"]);
    };
    check(0, &[]);
    check(line - 1, &[]);
    check(line, &["INFO: m3"]);
    check(2 * line, &["INFO: m2", "INFO: m3"]);
    check(2 * line + 1, &["INFO: m2", "INFO: m3"]);
    check(9 * line, &["INFO: m1", "INFO: m2", "INFO: m3"]);
}

#[test]
fn first_start_leaves_rotated_files_alone_and_all_reads_them() {
    for (tail_buffer, expected) in [("1000000", vec!["m2"]), ("all", vec!["m1", "m2"])] {
        let mut rig = Rig::new(&[("TAIL_BUFFER", tail_buffer)]);
        rig.container("abc", "web");
        rig.write("abc", "stdout", 1, "m1");
        rotate(&rig, "abc");
        rig.write("abc", "stdout", 2, "m2");
        rig.settle();
        assert_eq!(rig.all_messages(), expected);
    }
}

#[test]
fn a_last_line_larger_than_the_tail_buffer_is_read_when_it_ends() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "10")]);
    rig.container("abc", "web");
    let line = record("slowly written", "stdout", 2);
    let (first, second) = line.split_at(40);
    rig.write("abc", "stdout", 1, "m1");
    rig.write_raw("abc", first);
    rig.settle();
    rig.write_raw("abc", second);
    rig.settle();
    assert_eq!(rig.all_messages(), ["slowly written"]);
}

#[test]
fn containers_that_come_later_are_read_whole() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "0")]);
    rig.container("abc", "web");
    rig.write("abc", "stdout", 1, "old");
    rig.settle();
    rig.container("def", "api");
    rig.write("def", "stdout", 2, "new");
    rig.settle();
    assert_eq!(rig.all_messages(), ["new"]);
    // Created while we were down: its configuration says so.
    let mut rig = {
        rig.pass(std::time::Duration::from_mins(1));
        rig.config(
            "ghi",
            r#"{"Name":"/late","Created":"2025-01-20T10:05:00Z"}"#,
        );
        rig.write("ghi", "stdout", 3, "between runs");
        rig.config(
            "jkl",
            r#"{"Name":"/older","Created":"2025-01-19T10:00:00Z"}"#,
        );
        rig.write("jkl", "stdout", 4, "not wanted before");
        rig.restart()
    };
    rig.settle();
    assert_eq!(rig.all_messages(), ["new", "between runs"]);
}

/// Every log file stayed open for good: a thousand containers and no connection was accepted any more.
#[test]
fn many_containers_took_all_file_descriptors() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all")]);
    for n in 0..600 {
        let id = format!("c{n}");
        rig.container(&id, &id);
        rig.write(&id, "stdout", 1, "first");
    }
    let open = |rig: &Rig| {
        let handles = fs::read_dir("/proc/self/fd").expect("Linux");
        let targets = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        targets.filter(|file| file.starts_with(rig.root())).count()
    };
    rig.settle();
    assert_eq!(rig.json("/api/logs")["total"], 600);
    assert!(open(&rig) <= 256, "{}", open(&rig));
    // Those that are closed are followed like the others, and so are their successors.
    for n in 0..600 {
        let id = format!("c{n}");
        rig.write(&id, "stdout", 2, "second");
        if n % 3 == 0 {
            rotate(&rig, &id);
            rig.write(&id, "stdout", 3, "third");
        }
    }
    rig.settle();
    assert_eq!(rig.json("/api/logs")["total"], 600 + 600 + 200);
    assert!(open(&rig) <= 256, "{}", open(&rig));
}

#[test]
fn two_containers_of_one_name_are_both_read() {
    let mut rig = Rig::new(&[("CONTAINERS", "dup")]);
    rig.container("id1", "dup");
    rig.container("id2", "dup");
    rig.write("id1", "stdout", 1, "m1");
    rig.write("id2", "stdout", 2, "m2");
    rig.settle();
    assert_eq!(
        rig.json("/api/containers"),
        serde_json::json!({"containers": [{"name": "dup", "log_count": 2, "project": "", "service": ""}]})
    );
    rig.check("/api/logs?container=dup", &["m2", "m1"]);
}

#[test]
fn a_recreated_container_and_a_renamed_one() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    rig.write("abc", "stdout", 2, "last words");
    fs::remove_dir_all(rig.root().join("abc")).expect("removed");
    rig.container("def", "web");
    rig.write("def", "stdout", 3, "m3");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "last words", "m3"]);
    rig.container("def", "renamed");
    rig.write("def", "stdout", 4, "m4");
    rig.settle();
    rig.check("/api/logs?container=renamed", &["m4"]);
    rig.check("/api/logs?container=web", &["m3", "last words", "m1"]);
    assert_eq!(rig.metric("monlight_log_containers"), 1.0);
}

#[test]
fn a_directory_that_disappears_and_comes_back_is_not_read_twice() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    let away = rig.root().with_extension("away");
    fs::rename(rig.root(), &away).expect("renamed");
    rig.settle();
    assert!(rig.json("/health")["log_sources_error"].is_string());
    fs::create_dir(rig.root()).expect("an empty directory");
    rig.settle();
    assert!(rig.json("/health")["log_sources_error"].is_null());
    assert_eq!(rig.metric("monlight_log_containers"), 0.0);
    let mut rig = rig.restart();
    rig.settle();
    fs::remove_dir(rig.root()).expect("removed");
    fs::rename(&away, rig.root()).expect("renamed");
    rig.write("abc", "stdout", 3, "m3");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3"]);
}

#[test]
fn a_container_that_is_not_wanted_any_more_keeps_its_place() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    let mut rig = rig.restart_with(true, &[("CONTAINERS", "!web")]);
    rig.write("abc", "stdout", 2, "m2");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1"]);
    let mut rig = rig.restart_with(true, &[("CONTAINERS", "web")]);
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2"]);
}

#[test]
fn lines_of_several_containers_are_in_the_order_of_their_time() {
    let mut rig = Rig::new(&[("TAIL_BUFFER", "all")]);
    for (id, first) in [("id1", 1), ("id2", 2)] {
        rig.container(id, id);
        for second in (first..20).step_by(2) {
            rig.write(id, "stdout", second, &format!("m{second}"));
        }
    }
    rig.settle();
    let expected: Vec<String> = (1..20).map(|second| format!("m{second}")).collect();
    assert_eq!(
        rig.all_messages(),
        expected,
        "ids follow time within a batch"
    );
}

#[test]
fn who_is_behind_is_named_until_it_has_caught_up() {
    let mut rig = Rig::web();
    rig.container("def", "quick");
    rig.write("def", "stdout", 1, "m1");
    let file = fs::File::create(rig.log("abc")).expect("created");
    file.set_len(20 * 1024 * 1024).expect("a hole");
    rig.write("abc", "stdout", 2, "m2");
    // Asked to end before it has read anything.
    rig.ingest.step(&Wake::All, &|| true).expect("stored");
    let notes = |rig: &Rig| rig.json("/health")["log_sources_notes"].clone();
    let lag = |rig: &Rig| {
        let text = rig.get("/metrics").expect(200).text();
        let lines = text.lines().map(ToOwned::to_owned);
        lines
            .filter(|line| line.starts_with("monlight_log_container_lag_bytes{"))
            .collect::<Vec<_>>()
    };
    let bytes = |id: &str| fs::metadata(rig.log(id)).expect("there").len();
    assert_eq!(
        lag(&rig),
        [
            format!(
                "monlight_log_container_lag_bytes{{container=\"web\"}} {}",
                bytes("abc")
            ),
            format!(
                "monlight_log_container_lag_bytes{{container=\"quick\"}} {}",
                bytes("def")
            ),
        ]
    );
    assert_eq!(
        notes(&rig),
        serde_json::json!(["not read yet: web (20 MB)"])
    );
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2"]);
    assert_eq!(lag(&rig), [""; 0]);
    assert_eq!(notes(&rig), serde_json::json!([]));
}

/// One of two files was read ten times as fast as the other, so each block of ids spanned hours and a page had to look at
/// most of them.
#[test]
fn backlogs_of_several_containers_are_read_side_by_side() {
    const LINES: u32 = 6000;
    let mut rig = Rig::web();
    rig.container("def", "worker");
    for (id, seconds, length) in [("abc", 0, 200), ("def", 1, 40)] {
        let lines: String = (0..LINES)
            .map(|n| {
                record(
                    &format!("{n} {}", "x".repeat(length)),
                    "stdout",
                    2 * n + seconds,
                )
            })
            .collect();
        rig.write_raw(id, lines);
    }
    rig.settle();
    let times = rig.service.ctx.store.read(|conn| {
        let mut statement = conn.prepare("SELECT time_ns FROM log_entries ORDER BY id")?;
        let times = statement.query_map([], |row| row.get::<_, i64>(0))?;
        Ok(times.collect::<Result<Vec<_>, _>>()?)
    });
    let times = rig.runtime.block_on(times).expect("readable");
    let mut in_order = times.clone();
    in_order.sort_unstable();
    assert_eq!(times.len(), 2 * LINES as usize);
    let farthest = times
        .iter()
        .enumerate()
        .map(|(place, time)| {
            in_order
                .partition_point(|other| other < time)
                .abs_diff(place)
        })
        .max();
    assert!(farthest < Some(2500), "{farthest:?}");
}
