use super::*;
use crate::domain::exposition::Form;

const NOW: i64 = 1_700_000_000_000;

fn read_text(text: &str, extra: &[(&str, &str)]) -> (AllExposed, Faults) {
    let extra: Vec<(String, String)> = extra
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let form = Form::of(None, text.as_bytes());
    read(Samples::of(text.as_bytes(), form), 1000, &extra, NOW).expect("few")
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (readings, faults) = read_text(text, &[]);
    let mut got: Vec<String> = readings
        .all
        .iter()
        .map(|reading| {
            let value = match &reading.value {
                Value::Level(value) => format!("level {value}"),
                Value::Totals(Totals::Number(total)) => format!("total {total}"),
                Value::Totals(Totals::Buckets(Buckets { count, sum, below })) => {
                    format!("{count} values of {sum:?} in {below:?}")
                }
            };
            let created = reading.created_ms.map(|ms| format!(" since {ms}"));
            format!(
                "{}{} {value}{}",
                reading.name,
                reading.labels,
                created.unwrap_or_default()
            )
        })
        .collect();
    got.extend(faults.first.iter().map(ToString::to_string));
    if readings.skipped > 0 {
        got.push(format!("{} skipped", readings.skipped));
    }
    assert_eq!(got, expected, "{text}");
}

#[test]
fn each_type_becomes_what_the_collector_counts() {
    check(
        "# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 1.5\n# TYPE b gauge\nb -1\n# EOF",
        &["a_total{\"x\":\"1\"} total 5 since 1500", "b level -1"],
    );
    check(
        "# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created 2\nuntyped 3",
        &["a_total total 5 since 2000", "untyped level 3"],
    );
    check(
        "# TYPE s summary\ns{quantile=\"0.5\"} 2\ns{quantile=\"0.9\"} NaN\ns_sum 8\ns_count 4\ns_created 3",
        &[
            "s{\"quantile\":\"0.5\"} level 2",
            "s_count total 4 since 3000",
            "s_sum total 8 since 3000",
            "1 skipped",
        ],
    );
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\nh_created 1\n\
         h_bucket{le=\"1\",a=\"b\"} 0\nh_count{a=\"b\"} 0",
        &[
            "h 3 values of Some(4.5) in [(1.0, 2)] since 1000",
            "h{\"a\":\"b\"} 0 values of None in [(1.0, 0)]",
        ],
    );
    check(
        "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 2\ng_gsum 1\n# EOF",
        &[
            "g_bucket{\"le\":\"1\"} level 2",
            "g_gsum level 1",
            "i_info{\"v\":\"1\"} level 1",
        ],
    );
}

#[test]
fn what_cannot_be_counted_is_said_or_skipped() {
    check("a NaN\nb +Inf\n# TYPE c counter\nc -1", &["3 skipped"]);
    check(
        "a 1\na{} 2",
        &[
            "a level 1",
            "Line 2: expected each series once, found that of line 1",
        ],
    );
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2",
        &["Line 2: expected the bucket le=\"+Inf\" or _count of this histogram"],
    );
    for (line, reason) in [
        (
            "h_bucket 2",
            "expected the label le with the limit of a bucket",
        ),
        (
            "h_bucket{le=\"x\"} 2",
            "expected the label le with the limit of a bucket",
        ),
        (
            "h_bucket{le=\"NaN\"} 2",
            "expected the label le with the limit of a bucket",
        ),
    ] {
        check(
            &format!("# TYPE h histogram\nh_count 3\n{line}"),
            &[&format!("Line 3: {reason}"), "1 skipped"],
        );
    }
    check(
        "# TYPE h histogram\nh_count 3\nh_count 4",
        &[
            "h 3 values of None in []",
            "Line 3: expected each part of a histogram once",
        ],
    );
    check(
        "# TYPE h histogram\nh_count 3\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1",
        &["Line 2: expected each limit of this histogram once"],
    );
    check("# TYPE h histogram\nh_count NaN", &["1 skipped"]);
    check("# TYPE h histogram\nh_count 1e300", &["1 skipped"]);
    let long = "x".repeat(201);
    check(
        &format!("{long} 1"),
        &["Line 1: expected a name of at most 200 bytes"],
    );
}

#[test]
fn a_histogram_with_a_wrong_line_is_left_out_whole() {
    for (line, reason) in [
        ("h_bucket{le=\"2\"} x", "expected a number, found \"x\""),
        (
            "{\"h_bucket\",le=\"2\" 1",
            "expected , or } behind a label, found \"1\"",
        ),
        ("h_sum ", "expected a number, found the end of the line"),
    ] {
        check(
            &format!(
                "# TYPE h histogram\n# TYPE i histogram\nh_bucket{{le=\"1\"}} 1\n{line}\nh_count 3\ni_count 2"
            ),
            &[
                "i 2 values of None in []",
                &format!("Line 4: {reason}"),
                "1 skipped",
            ],
        );
    }
    // What is no part of a histogram does it no harm.
    check(
        "# TYPE h histogram\nh_count 3\nh_other x\nx_sum x",
        &[
            "h 3 values of None in []",
            "Line 3: expected a number, found \"x\"",
            "Line 4: expected a number, found \"x\"",
        ],
    );
}

#[test]
fn samples_are_bounded() {
    let read = |most| {
        let samples = Samples::of(b"a 1\n!\nb NaN\n\nc 3", Form::Text);
        read(samples, most, &[], NOW)
    };
    assert_eq!(
        read(2).expect_err("is refused").to_string(),
        "Line 5: expected at most 2 samples"
    );
    let (found, faults) = read(3).expect("few");
    assert_eq!((found.samples, found.all.len(), faults.count), (3, 2, 1));
}

#[test]
fn labels_that_the_importer_sets_go_before() {
    let (readings, _) = read_text(
        "a{job=\"x\",instance=\"\",b=\"1\"} 1",
        &[("job", "shop"), ("instance", "i"), ("none", "")],
    );
    assert_eq!(
        readings.all[0].labels,
        r#"{"b":"1","exported_job":"x","instance":"i","job":"shop"}"#
    );
}

#[test]
fn times_are_the_senders_when_they_can_be_meant() {
    let text = format!("a 1 {}\na 2\na 3 {}\na 4 -5", NOW - 10, NOW - 5);
    let (readings, faults) = read_text(&text, &[]);
    let times: Vec<(i64, bool)> = readings
        .all
        .iter()
        .map(|reading| (reading.at_ms, reading.timed))
        .collect();
    assert_eq!(times, [(NOW - 10, true), (NOW - 5, true), (NOW, false)]);
    // The last two are both read as now.
    assert_eq!((readings.replaced, faults.count), (1, 1));
    let ahead = format!("a 1 {}", NOW + DAY_MS + 1);
    assert_eq!(read_text(&ahead, &[]).0.replaced, 1);
}
