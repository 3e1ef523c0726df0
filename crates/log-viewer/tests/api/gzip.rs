//! Rotated files that are compressed: before we come, while we look away, under our eyes.

use std::fs;

use crate::rig::{Rig, gzip, record};

/// As Docker does with `compress=true`: what is compressed stays so, one number up; the current file becomes number 1.
fn rotate(rig: &Rig, id: &str) {
    for number in (1..5).rev() {
        for (from, to) in [
            (rig.rotated(id, number), rig.rotated(id, number + 1)),
            (rig.compressed(id, number), rig.compressed(id, number + 1)),
        ] {
            if from.exists() {
                fs::rename(from, to).expect("renamed");
            }
        }
    }
    fs::rename(rig.log(id), rig.rotated(id, 1)).expect("renamed");
}

#[test]
fn a_file_compressed_between_two_looks_goes_on_at_the_same_offset() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    rig.write("abc", "stdout", 3, "m3\nm4");
    rotate(&rig, "abc");
    rig.compress("abc", 1);
    rig.write("abc", "stdout", 5, "m5");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4", "m5"]);
    let read = rig.metric("monlight_log_lines_read_total");
    assert!((read - 5.0).abs() < 0.1, "nothing is read twice: {read}");
    // One that was read to its end before it was compressed is not even inflated.
    rotate(&rig, "abc");
    rig.compress("abc", 1);
    rig.write("abc", "stdout", 6, "m6");
    rig.settle();
    let mut rig = rig.restart();
    rig.settle();
    assert_eq!(rig.all_messages().len(), 6);
    assert!(rig.metric("monlight_log_read_bytes_total") < 1.0);
}

#[test]
fn several_compressed_rotations_while_the_service_is_down_lose_nothing() {
    for in_order in [true, false] {
        let mut rig = Rig::web();
        rig.write("abc", "stdout", 1, "m1\nm2");
        rig.settle();
        let mut rig = {
            for n in 3..6 {
                rig.write("abc", "stdout", n, &format!("m{n}"));
                rotate(&rig, "abc");
                rig.compress("abc", 1);
            }
            rig.write("abc", "stdout", 6, "m6");
            rotate(&rig, "abc");
            rig.write("abc", "stdout", 7, "m7");
            rig.restart_with(in_order, &[])
        };
        rig.settle();
        let expected: Vec<String> = (1..8).map(|n| format!("m{n}")).collect();
        assert_eq!(rig.all_messages(), expected);
        let mut rig = rig.restart();
        rig.settle();
        assert_eq!(rig.all_messages(), expected);
    }
}

#[test]
fn a_file_that_is_being_compressed_is_read_once() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rig.settle();
    rig.write("abc", "stdout", 3, "m3");
    rotate(&rig, "abc");
    rig.write("abc", "stdout", 4, "m4");
    let whole = gzip(&fs::read(rig.rotated("abc", 1)).expect("readable"));
    for length in [0, 5, whole.len() / 2, whole.len() - 3, whole.len()] {
        fs::write(rig.compressed("abc", 1), &whole[..length]).expect("written");
        rig.settle();
    }
    // Nobody knew the original before: it is told by its content.
    let mut rig = rig.restart();
    rig.settle();
    fs::remove_file(rig.rotated("abc", 1)).expect("removed");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4"]);
}

#[test]
fn a_file_that_is_being_compressed_when_we_come_is_read_once() {
    for (tail_buffer, expected) in [("all", vec!["m1", "m2"]), ("1000", vec!["m2"])] {
        let mut rig = Rig::new(&[("TAIL_BUFFER", tail_buffer)]);
        rig.container("abc", "web");
        rig.write("abc", "stdout", 1, "m1");
        rotate(&rig, "abc");
        rig.write("abc", "stdout", 2, "m2");
        let whole = gzip(&fs::read(rig.rotated("abc", 1)).expect("readable"));
        for length in [whole.len() - 3, whole.len()] {
            fs::write(rig.compressed("abc", 1), &whole[..length]).expect("written");
            rig.settle();
        }
        fs::remove_file(rig.rotated("abc", 1)).expect("removed");
        rig.settle();
        assert_eq!(rig.all_messages(), expected, "{tail_buffer}");
    }
}

#[test]
fn first_start_leaves_compressed_files_alone_and_all_reads_them() {
    for (tail_buffer, expected) in [("1000000", vec!["m3"]), ("all", vec!["m1", "m2", "m3"])] {
        let mut rig = Rig::new(&[("TAIL_BUFFER", tail_buffer)]);
        rig.container("abc", "web");
        for n in 1..3 {
            rig.write("abc", "stdout", n, &format!("m{n}"));
            rotate(&rig, "abc");
            rig.compress("abc", 1);
        }
        rig.write("abc", "stdout", 3, "m3");
        rig.settle();
        let mut rig = rig.restart();
        rig.settle();
        assert_eq!(rig.all_messages(), expected, "{tail_buffer}");
    }
}

#[test]
fn a_large_compressed_file_is_read_in_pieces_over_a_kill() {
    let mut rig = Rig::web();
    let mut text = String::new();
    for n in 0..30_000_u32 {
        text.push_str(&record(&format!("m{n}"), "stdout", n));
    }
    rig.write_raw("abc", text);
    rotate(&rig, "abc");
    rig.compress("abc", 1);
    rig.write("abc", "stdout", 30_000, "m30000");
    // Ends after the first batch, and again a little later.
    for _ in 0..3 {
        rig.ingest
            .step(&log_viewer::tasks::ingest::Wake::All, &|| true)
            .expect("stored");
        rig = rig.kill();
    }
    rig.settle();
    let expected: Vec<String> = (0..=30_000).map(|n| format!("m{n}")).collect();
    assert_eq!(rig.all_messages(), expected);
    assert!((rig.metric("monlight_log_lag_bytes")).abs() < 0.1);
}

#[test]
fn a_damaged_file_is_counted_and_the_ones_behind_it_are_read() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    fs::write(rig.compressed("abc", 3), "no gzip file").expect("written");
    let mut damaged = gzip(record("m2", "stdout", 2).as_bytes());
    let sum = damaged.len() - 8;
    damaged[sum] ^= 0xff;
    fs::write(rig.compressed("abc", 2), damaged).expect("written");
    // One that stays unfinished, because its writer died.
    let whole = gzip(record("unfinished", "stdout", 3).as_bytes());
    fs::write(rig.compressed("abc", 1), &whole[..whole.len() - 4]).expect("written");
    rig.write("abc", "stdout", 4, "m4");
    rig.settle();
    // What can be read of them is.
    let expected = ["m1", "m2", "unfinished", "m4"];
    assert_eq!(rig.all_messages(), expected);
    assert!((rig.metric("monlight_log_read_errors_total") - 2.0).abs() < 0.1);
    let mut rig = rig.restart();
    rig.settle();
    assert_eq!(rig.all_messages(), expected);
    assert!((rig.metric("monlight_log_read_errors_total")).abs() < 0.1);
}

/// What stood in an open file without a name was read, and then its compressed copy as a new file.
#[test]
fn a_file_of_which_nothing_was_read_before_it_was_compressed_is_read_once() {
    let mut rig = Rig::web();
    rig.write_raw("abc", "");
    rig.settle();
    rig.write("abc", "stdout", 1, "m1\nm2");
    rotate(&rig, "abc");
    rig.compress("abc", 1);
    rig.write("abc", "stdout", 3, "m3");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3"]);
}

/// The old offset was used in the new content.
#[test]
fn a_file_truncated_and_written_again_before_it_lost_its_name_is_read_from_its_beginning() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    let again: String = (2..5)
        .map(|n| record(&format!("m{n}"), "stdout", n))
        .collect();
    fs::write(rig.log("abc"), again).expect("written");
    rotate(&rig, "abc");
    rig.compress("abc", 1);
    rig.write("abc", "stdout", 5, "m5");
    rig.settle();
    assert_eq!(rig.all_messages(), ["m1", "m2", "m3", "m4", "m5"]);
}
