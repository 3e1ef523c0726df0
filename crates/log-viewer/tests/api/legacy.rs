//! A database that the original service has written, given as `DATABASE_PATH`.
//!
//! `tests/data/legacy.db` was written by the original (schema 4): 60 entries of the container `web`, read from a file of
//! 6591 bytes.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monlight_shared::testing::files::connection;
use serde_json::{Value, json};

use super::rig::{Logs, Rig};

/// From the time of the other tests to that of the file.
const TO_ITS_TIME: Duration = Duration::from_hours(24 * 680);

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy.db")
}

/// The entries as the original answered them, oldest first.
fn entries() -> Vec<Value> {
    let dir = tempfile::tempdir().expect("temp dir");
    let copy = dir.path().join("logs.db");
    fs::copy(recorded(), &copy).expect("copied");
    let conn = connection(&copy);
    let mut statement = conn
        .prepare(
            "SELECT id, timestamp, container, stream, level, message FROM log_entries ORDER BY id",
        )
        .expect("a table");
    let entries = statement.query_map([], |row| {
        Ok(json!({
            "id": row.get::<_, i64>(0)?, "timestamp": row.get::<_, String>(1)?, "container": row.get::<_, String>(2)?,
            "stream": row.get::<_, String>(3)?, "level": row.get::<_, String>(4)?, "message": row.get::<_, String>(5)?,
        }))
    });
    entries
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows")
}

/// A record as the file had it.
fn record(log: &str, stream: &str, time: &str) -> String {
    let log = Value::from(format!("{log}\n"));
    format!("{{\"log\": {log}, \"stream\": \"{stream}\", \"time\": \"{time}\"}}\n")
}

/// The file that the entries were read from.
fn file() -> String {
    let text = |entry: &Value, key: &str| entry[key].as_str().expect("a text").to_owned();
    let records = entries().into_iter().map(|entry| {
        let time = text(&entry, "timestamp").replace('Z', ".000000000Z");
        record(&text(&entry, "message"), &text(&entry, "stream"), &time)
    });
    let file: String = records.collect();
    assert_eq!(file.len(), 6591, "as long as the cursor says");
    file
}

/// A line that came later; `second` of 10:01.
fn later(text: &str, second: u32) -> String {
    let time = format!("2026-11-20T10:01:{second:02}.123456789Z");
    record(text, "stdout", &time)
}

/// Where the cursor of the original points, and what stands there.
struct Case {
    /// The directory of the container, whose name is `web`.
    id: &'static str,
    /// What is in the current file.
    content: String,
    /// What is in the one that was rotated away.
    rotated: Option<String>,
    /// The cursor has the inode of the current file, or of the rotated one; or of none of them.
    inode_of: Option<u32>,
    position: usize,
}

impl Case {
    fn new(content: String) -> Self {
        Self {
            id: "c1",
            content,
            rotated: None,
            inode_of: Some(0),
            position: 6591,
        }
    }

    fn start(&self) -> Rig {
        let rig = Rig::prepared(&[], |database, logs| self.prepare(database, logs));
        rig.pass(TO_ITS_TIME);
        rig
    }

    fn prepare(&self, database: &Path, logs: &Logs) {
        fs::copy(recorded(), database).expect("copied");
        logs.container(self.id, "web");
        if let Some(rotated) = &self.rotated {
            fs::write(logs.rotated(self.id, 1), rotated).expect("written");
        }
        fs::write(logs.log(self.id), &self.content).expect("written");
        let inode = self.inode_of.map(|number| {
            let path = match number {
                0 => logs.log(self.id),
                number => logs.rotated(self.id, number),
            };
            fs::metadata(path).expect("is there").ino()
        });
        let sql = "UPDATE cursors SET position = ?1, inode = coalesce(?2, inode)";
        let inode = inode.map(u64::cast_signed);
        connection(database)
            .execute(sql, (self.position as i64, inode))
            .expect("changed");
    }

    /// What is read of the files, beside the sixty entries.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let mut rig = self.start();
        rig.settle();
        rig.check_integrity();
        let all = rig.all_messages();
        assert_eq!(all[60..], *expected);
        for restart in [Rig::restart, Rig::kill] {
            rig = restart(rig);
            rig.pass(TO_ITS_TIME);
            rig.settle();
            assert_eq!(rig.all_messages(), all, "read again after a restart");
        }
        let mut file = File::options()
            .append(true)
            .open(rig.log(self.id))
            .expect("opens");
        file.write_all(later("the last one", 59).as_bytes())
            .expect("written");
        rig.settle();
        assert_eq!(rig.all_messages()[all.len()..], ["the last one"]);
    }
}

#[test]
fn lists_and_counts_say_what_the_original_said() {
    let rig = Case::new(file()).start();
    let mut found = rig.json("/api/logs?limit=500&order=oldest")["logs"].take();
    let found = found.as_array_mut().expect("a list");
    for (found, wanted) in found.iter_mut().zip(entries()) {
        let time = wanted["timestamp"]
            .as_str()
            .expect("a text")
            .replace('Z', ".000000000Z");
        let keys = found.as_object_mut().expect("an object");
        assert_eq!(keys.remove("time"), Some(Value::from(time)));
        assert_eq!(*found, wanted);
    }
    assert_eq!(found.len(), 60);
    assert_eq!(
        rig.json("/api/stats"),
        json!({
            "total_logs": 60, "oldest_log": "2026-11-20T10:00:00Z", "newest_log": "2026-11-20T10:00:59Z",
            "by_level": {"ERROR": 9, "INFO": 51}, "by_container": {"web": 60},
        })
    );
    let total = |query: &str| rig.json(&format!("/api/logs?{query}"))["total"].clone();
    assert_eq!(total("search=payment%20failed"), 9);
    assert_eq!(
        total("search=%22order%20231%22&level=ERROR&stream=stderr"),
        1
    );
    assert_eq!(total("container=web&until=2026-11-20T10:00:29Z"), 30);
    assert_eq!(total("container=db"), 0);
    let histogram =
        rig.json("/api/logs/histogram?since=2026-11-20T10:00:00Z&until=2026-11-20T10:00:59Z");
    assert_eq!(histogram["total"], 60);
    rig.check_integrity();
}

#[test]
fn a_second_start_changes_nothing_and_a_copy_is_kept() {
    let mut rig = Case::new(file()).start();
    rig.settle();
    let before = rig.json("/api/logs?limit=500")["logs"].take();
    let mut rig = rig.restart();
    rig.settle();
    assert_eq!(rig.json("/api/logs?limit=500")["logs"], before);
    let database = rig.service.dir.path().join("test.db");
    let copy = database.with_extension("db.original");
    let count = |sql: &str| connection(&copy).query_row(sql, [], |row| row.get::<_, i64>(0));
    assert_eq!(count("SELECT count(*) FROM log_entries"), Ok(60));
    assert_eq!(count("SELECT position FROM cursors"), Ok(6591));
    assert!(!database.with_extension("db.original-2").exists());
}

#[test]
fn following_goes_on_behind_the_cursor() {
    Case::new(file()).check(&[]);
    Case::new(file() + &later("new", 0)).check(&["new"]);
    let two = Case::new(file() + &later("one", 0) + &later("  of two lines", 0));
    two.check(&["one\n  of two lines"]);
}

/// It notes the size from before it reads, and nothing at all when it is killed meanwhile.
#[test]
fn what_is_stored_behind_the_cursor_is_not_read_again() {
    let content = file() + &later("new", 0);
    let lines: Vec<usize> = file().match_indices('\n').map(|(at, _)| at + 1).collect();
    for position in [0, lines[0], lines[30], lines[57], lines[58]] {
        let mut case = Case::new(content.clone());
        case.position = position;
        case.check(&["new"]);
        // Within a line that it read whole.
        case.position = position + 20;
        case.check(&["new"]);
    }
}

/// It drops a line that is not finished, and its rest later.
#[test]
fn a_line_that_was_being_written_is_read_whole() {
    let mut case = Case::new(file() + &later("was being written", 0) + &later("next", 1));
    case.position = 6591 + 30;
    case.check(&["was being written", "next"]);
}

#[test]
fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
    let mut case = Case::new(later("in the new file", 2));
    case.rotated = Some(file() + &later("at the end of the old one", 1));
    case.inode_of = Some(1);
    case.check(&["at the end of the old one", "in the new file"]);
}

#[test]
fn a_new_file_with_the_old_inode_is_read_whole() {
    // Written after the cursor was: 2026-11-22T02:38:23Z.
    let new = |text: &str, second: u32| {
        record(text, "stdout", &format!("2026-11-22T02:39:{second:02}.5Z"))
    };
    let content: String = (0..60)
        .map(|second| new("a line of a new file", second))
        .collect();
    let many = ["a line of a new file"; 60];
    let mut case = Case::new(content.clone());
    case.position = 100;
    case.check(&many);
    // And one with an inode of its own, while the old one is gone.
    case.inode_of = None;
    case.check(&many);
    // Truncated in place.
    let short = Case::new(new("after the truncation", 1));
    short.check(&["after the truncation"]);
}

#[test]
fn a_container_that_was_made_anew_around_the_same_file_goes_on() {
    let mut case = Case::new(file() + &later("new", 0));
    case.id = "c2";
    case.check(&["new"]);
}

#[test]
fn files_that_were_moved_to_another_disk_go_on() {
    let mut case = Case::new(file() + &later("new", 0));
    case.inode_of = None;
    case.check(&["new"]);
    let mut rotated = Case::new(later("in the new file", 2));
    rotated.rotated = Some(file() + &later("at the end of the old one", 1));
    rotated.inode_of = None;
    rotated.check(&["at the end of the old one", "in the new file"]);
}

/// A second container of that name, which the original never followed, starts as on a first start.
#[test]
fn another_container_of_the_same_name_does_not_take_the_cursor() {
    let case = Case::new(file() + &later("of the first", 0));
    let mut rig = Rig::prepared(&[("TAIL_BUFFER", "0")], |database, logs| {
        case.prepare(database, logs);
        logs.container("b0", "web");
        fs::write(logs.log("b0"), later("of the second", 0)).expect("written");
    });
    rig.pass(TO_ITS_TIME);
    rig.settle();
    assert_eq!(rig.all_messages()[60..], ["of the first"]);
}

#[test]
fn new_entries_have_the_next_ids() {
    let mut rig = Case::new(file() + &later("new", 0)).start();
    rig.settle();
    let newest = &rig.json("/api/logs?limit=1")["logs"][0];
    assert_eq!(
        (&newest["id"], &newest["message"]),
        (&json!(61), &json!("new"))
    );
}
