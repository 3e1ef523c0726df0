//! The database cannot be written for a while: what was read waits, and files go on being rotated.

use std::fs;

use log_viewer::tasks::ingest::Wake;
use monlight_shared::store::{Lane, StoreError};

use crate::rig::{Rig, record};

fn execute(rig: &Rig, sql: &'static str) {
    let job = rig.service.ctx.store.write(Lane::Upkeep, 0, move |conn| {
        conn.execute_batch(sql).map_err(StoreError::from)
    });
    rig.runtime.block_on(job).expect("executed");
}

/// As a full disk does, or another process that does not let go of the file.
fn break_down(rig: &Rig) {
    execute(
        rig,
        "CREATE TRIGGER outage BEFORE UPDATE ON ring BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
}

fn mend(rig: &Rig) {
    execute(rig, "DROP TRIGGER outage");
}

/// The original dropped each row that it could not store and moved its cursor on.
#[test]
fn what_cannot_be_stored_is_stored_later_once_and_in_order() {
    let mut rig = Rig::web();
    rig.write("abc", "stdout", 1, "m1");
    rig.settle();
    break_down(&rig);
    let mut expected = vec!["m1".to_owned()];
    for number in 2..40 {
        let line = format!("m{number}");
        rig.write("abc", "stdout", number, &line);
        expected.push(line);
        if number % 10 == 0 {
            fs::rename(rig.log("abc"), rig.rotated("abc", 40 - number)).expect("renamed");
        }
        // The last lines wait for others of their entry: not every step has something to store.
        let _ = rig.ingest.step(&Wake::All, &|| false);
        rig.pass(std::time::Duration::from_secs(1));
    }
    assert!(rig.ingest.step(&Wake::All, &|| false).is_err());
    assert_eq!(rig.all_messages(), ["m1"]);
    mend(&rig);
    rig.settle();
    assert_eq!(rig.all_messages(), expected);
    rig.check_integrity();
}

/// Nothing of a batch that failed is there, so a start in between begins where the last good one ended.
#[test]
fn a_kill_during_an_outage_loses_nothing() {
    let mut rig = Rig::web();
    let lines = |numbers: std::ops::Range<u32>| -> String {
        numbers
            .map(|number| record(&format!("m{number}"), "stdout", number))
            .collect()
    };
    rig.write_raw("abc", lines(0..3000));
    rig.settle();
    break_down(&rig);
    rig.write_raw("abc", lines(3000..6000));
    assert!(rig.ingest.step(&Wake::All, &|| false).is_err());
    let mut rig = rig.kill();
    assert!(rig.ingest.step(&Wake::All, &|| false).is_err());
    mend(&rig);
    rig.settle();
    let expected: Vec<String> = (0..6000).map(|number| format!("m{number}")).collect();
    assert_eq!(rig.all_messages(), expected);
    rig.check_integrity();
}
