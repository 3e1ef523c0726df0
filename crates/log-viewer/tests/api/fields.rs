//! Fields of structured lines: found once, stored as words of the index.

use log_viewer::domain::fields;
use monlight_shared::store::Lane;

use crate::rig::Rig;

/// The messages that the index has for these words of the filter column, oldest first.
fn with_fields(rig: &Rig, pairs: &[(&str, &str)]) -> Vec<String> {
    let words: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("k : \"{}\"", fields::token(key, value)))
        .collect();
    let expression = words.join(" AND ");
    let find = rig.service.ctx.store.read(move |conn| {
        let mut statement = conn.prepare(
            "SELECT e0.message FROM f0 JOIN e0 ON e0.id = f0.rowid WHERE f0 MATCH ?1 ORDER BY e0.id",
        )?;
        let rows = statement.query_map([expression], |row| row.get(0))?;
        Ok(rows.collect::<Result<Vec<String>, _>>()?)
    });
    rig.runtime.block_on(find).expect("readable")
}

#[test]
fn fields_are_words_of_the_index() {
    let mut rig = Rig::web();
    let lines = [
        r#"{"level":"error","http":{"status":500},"user":"Ann"}"#,
        r#"{"level":"info","http":{"status":200},"user":"ann"}"#,
        "level=info status=500 user=\"ann b\"",
        "INFO app: status=500 in the text",
        "status 500 without a sign",
        "\u{1b}[31mERROR\u{1b}[0m \u{1b}[36mstatus=\u{1b}[0m404",
    ];
    rig.write("abc", "stdout", 1, &lines.join("\n"));
    rig.settle();
    assert_eq!(with_fields(&rig, &[("http.status", "500")]), lines[..1]);
    assert_eq!(with_fields(&rig, &[("user", "ANN")]), lines[..2]);
    assert_eq!(
        with_fields(&rig, &[("user", "ann"), ("http.status", "200")]),
        lines[1..2]
    );
    assert_eq!(with_fields(&rig, &[("status", "500")]), lines[2..4]);
    assert_eq!(with_fields(&rig, &[("user", "ann b")]), lines[2..3]);
    assert_eq!(with_fields(&rig, &[("status", "404")]), lines[5..]);
    assert_eq!(with_fields(&rig, &[("status", "50")]), [""; 0]);
    // The index agrees with the rows, the new column included.
    let check = rig.service.ctx.store.write(Lane::Upkeep, 0, |conn| {
        Ok(conn.execute_batch("INSERT INTO f0(f0, rank) VALUES ('integrity-check', 1)")?)
    });
    rig.runtime.block_on(check).expect("in agreement");
    // No text of a message reaches these words.
    let word = fields::token("status", "404");
    rig.check(&format!("/api/logs?search={word}"), &[]);
}
