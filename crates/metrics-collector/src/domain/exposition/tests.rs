use super::*;
use proptest::prelude::*;

fn parse(body: &[u8], form: Form) -> (Vec<Sample<'_>>, Faults) {
    let (mut samples, mut faults) = (Vec::new(), Faults::default());
    for sample in Samples::of(body, form) {
        match sample {
            Ok(sample) => samples.push(sample),
            Err(fault) => faults.push(fault),
        }
    }
    (samples, faults)
}

/// What was read of one line, or what is wrong with it.
#[track_caller]
fn check(form: Form, text: &str, expected: &str) {
    let (samples, faults) = parse(text.as_bytes(), form);
    let mut got: Vec<String> = samples
        .iter()
        .map(|sample| {
            let labels: Vec<String> = sample
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            let at = sample.at_ms.map(|ms| format!(" @{ms}"));
            format!(
                "{}{{{}}} {:?} {}{}",
                sample.name,
                labels.join(","),
                sample.role,
                sample.value,
                at.unwrap_or_default()
            )
        })
        .collect();
    got.extend(faults.first.iter().map(ToString::to_string));
    assert_eq!(got.join("; "), expected, "{text}");
}

#[track_caller]
fn text(text: &str, expected: &str) {
    check(Form::Text, text, expected);
}

#[track_caller]
fn open_metrics(text: &str, expected: &str) {
    check(Form::OpenMetrics, &format!("{text}\n# EOF\n"), expected);
}

#[test]
fn samples_are_read() {
    text("", "");
    text("\n \t\r\n", "");
    text("a 1", "a{} Level 1");
    text(" a\t{ } \t 1 \t ", "a{} Level 1");
    text("a:b_9{x=\"1\"}2.5", "a:b_9{x=\"1\"} Level 2.5");
    text(
        "a{x = \"1\" , y=\"2\",} 3\r\n",
        "a{x=\"1\",y=\"2\"} Level 3",
    );
    text("a 1 1700000000000", "a{} Level 1 @1700000000000");
    text("a 1 -5", "a{} Level 1 @-5");
    text(
        "a{x=\"é{}=,# \\\\ \\\" \\n \\t\"} 1",
        r#"a{x="é{}=,# \\ \" \n \\t"} Level 1"#,
    );
    for (value, read) in [
        ("NaN", "NaN"),
        ("+Inf", "inf"),
        ("-Inf", "-inf"),
        ("+1e3", "1000"),
        (".5", "0.5"),
        ("1e999", "inf"),
        ("0x10", ""),
        ("1_0", ""),
    ] {
        let fault = format!("Line 1: expected a number, found {value:?}");
        let expected = if read.is_empty() {
            fault
        } else {
            format!("a{{}} Level {read}")
        };
        text(&format!("a {value}"), &expected);
    }
}

#[test]
fn quoted_names_are_read() {
    text(r#"{"a.b"} 1"#, "a.b{} Level 1");
    text(
        r#"{"a.b", "x y"="1", z="2"} 1"#,
        "a.b{x y=\"1\",z=\"2\"} Level 1",
    );
    text(
        "# TYPE \"a.b_total\" counter\n{\"a.b_total\"} 1",
        "a.b_total{} Total 1",
    );
    text(
        r#"{x="1"} 1"#,
        "Line 1: expected the name of a metric in the braces, found \" 1\"",
    );
    text(
        r#"{""} 1"#,
        "Line 1: expected the name of a metric in the braces, found \" 1\"",
    );
    text(
        r#"a{"b"} 1"#,
        "Line 1: expected = behind the name of a label, found \"} 1\"",
    );
}

#[test]
fn a_type_says_what_a_sample_is() {
    text(
        "# TYPE a counter\na 1\na_total 2\na_created 3",
        "a{} Total 1; a_total{} Total 2; a_created{} Created 3",
    );
    text(
        "# TYPE a_total counter\na_total 1\na_created 3",
        "a_total{} Total 1; a_created{} Created 3",
    );
    text(
        "a_total 1\na_created 3",
        "a_total{} Level 1; a_created{} Level 3",
    );
    text(
        "#TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\nh_created 4\nh_total 5",
        "h_bucket{le=\"1\"} Bucket 1; h_sum{} Sum 2; h_count{} Count 3; h_created{} Created 4; h_total{} Level 5",
    );
    text(
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\ns_bucket 4",
        "s{quantile=\"0.5\"} Level 1; s_sum{} Total 2; s_count{} Total 3; s_bucket{} Level 4",
    );
    // A family of its own goes before the part of another.
    text(
        "# TYPE h histogram\n# TYPE h_count gauge\nh_count 1",
        "h_count{} Level 1",
    );
    text(
        "# TYPE a untyped\na 1\n# HELP a  anything \\x\n# UNIT a s\n# whatever",
        "a{} Level 1",
    );
    text("# TYPE a gauge\n# TYPE a gauge\na 1", "a{} Level 1");
}

#[test]
fn open_metrics_has_seconds_exemplars_and_an_end() {
    open_metrics("a 1 1700000000.5", "a{} Level 1 @1700000000500");
    open_metrics(
        "a 1 1.7e9 # {t=\"x\"} 0.5 1.7e9",
        "a{} Level 1 @1700000000000",
    );
    open_metrics("a 1 # {} 0.5", "a{} Level 1");
    open_metrics(
        "a 1 # 0.5",
        "Line 1: expected the labels of an exemplar in braces, found \"0.5\"",
    );
    open_metrics("a 1 # {} x", "Line 1: expected a number, found \"x\"");
    open_metrics(
        "a 1 # {} 1 x",
        "Line 1: expected a timestamp in seconds, found \"x\"",
    );
    open_metrics(
        "a 1 1e300",
        "Line 1: expected a timestamp in seconds, found \"1e300\"",
    );
    check(
        Form::OpenMetrics,
        "a 1\n",
        "a{} Level 1; Line 2: expected # EOF at the end; what is behind this line may be lost",
    );
    check(
        Form::OpenMetrics,
        "# EOF\n\na 1",
        "Line 3: expected nothing behind # EOF, found \"a 1\"",
    );
    text("# EOF\na 1", "a{} Level 1");
}

#[test]
fn faults_name_the_line_and_what_was_expected() {
    for (line, expected) in [
        ("1", "the name of a metric, found \"1\""),
        ("é 1", "the name of a metric, found \"é 1\""),
        ("a", "a number, found the end of the line"),
        ("a b", "a number, found \"b\""),
        ("a{x} 1", "= behind the name of a label, found \"} 1\""),
        ("a{x=1} 1", "the value of a label in quotes, found \"1} 1\""),
        ("a{x=\"1} 1", "a closing quote, found the end of the line"),
        ("a{x=\"1\\", "a closing quote, found the end of the line"),
        (
            "a{x=\"1\" y=\"2\"} 1",
            ", or } behind a label, found \"y=\\\"2\\\"} 1\"",
        ),
        (
            "a{x=\"1\",x=\"2\"} 1",
            "each label once, found \"x=\\\"2\\\"} 1\"",
        ),
        (
            "a{9=\"1\"} 1",
            "the name of a label or }, found \"9=\\\"1\\\"} 1\"",
        ),
        ("a{", "the name of a label or }, found the end of the line"),
        (
            "a 1 1.5",
            "a timestamp in whole milliseconds, found \"1.5\"",
        ),
        ("a 1 1 2", "a timestamp or the end of the line, found \"2\""),
        (
            "a 1 # {} 1",
            "a timestamp or the end of the line, found \"# {} 1\"",
        ),
        (
            "# TYPE a count",
            "counter, gauge, histogram, summary, untyped, gaugehistogram, info, stateset or unknown, found \"count\"",
        ),
        ("# TYPE 9 gauge", "the name of a metric, found \"9 gauge\""),
        ("# TYPE a gauge x", "the end of the line, found \"x\""),
        ("# HELP é x", "the name of a metric, found \"é x\""),
        (
            "# TYPE ok counter",
            "one TYPE line for each name, before its first sample, found \"counter\"",
        ),
    ] {
        let body = format!("ok 1\n{line}");
        text(
            &body,
            &format!("ok{{}} Level 1; Line 2: expected {expected}"),
        );
    }
    text(
        "# TYPE h histogram\nh 1\n# TYPE s summary\ns 1",
        "Line 2: expected _bucket, _sum or _count at the end of a histogram's name, found \"none of them\"; \
         Line 4: expected the label quantile of a summary, found \"none\"",
    );
    let many: Vec<String> = (0..65).map(|n| format!("l{n}=\"\"")).collect();
    text(
        &format!("a{{{}}} 1", many.join(",")),
        "Line 1: expected at most 64 labels, found \"l64=\\\"\\\"} 1\"",
    );
    let (samples, faults) = parse(b"a 1\n\xff 2\nb 3", Form::Text);
    assert_eq!((samples.len(), samples[1].line), (2, 3));
    assert_eq!(
        faults.first[0].to_string(),
        "Line 2: expected UTF-8, found \"other bytes\""
    );
    let shown = format!(
        "Line 1: expected the name of a metric, found {:?}…",
        "é".repeat(40)
    );
    text(&"é".repeat(50), &shown);
}

#[test]
fn faults_are_counted_and_the_first_are_kept() {
    let body = "!\n".repeat(500);
    let (_, faults) = parse(body.as_bytes(), Form::Text);
    assert_eq!((faults.count, faults.first.len()), (500, MOST_FAULTS));
}

#[test]
fn the_form_is_known_by_the_content_type_or_the_end() {
    for (content_type, body, expected) in [
        (None, "a 1", Form::Text),
        (None, "a 1\n# EOF\r\n", Form::OpenMetrics),
        (
            Some("application/x-www-form-urlencoded"),
            "# EOF",
            Form::OpenMetrics,
        ),
        (Some("text/plain; version=0.0.4"), "# EOF", Form::Text),
        (
            Some("Application/OpenMetrics-Text; version=1.0.0"),
            "",
            Form::OpenMetrics,
        ),
        (Some("é"), "", Form::Text),
    ] {
        assert_eq!(
            Form::of(content_type, body.as_bytes()),
            expected,
            "{content_type:?}"
        );
    }
}

fn any_exposition() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("a".to_owned()),
        Just("h_bucket{le=\"".to_owned()),
        Just("# TYPE h histogram\n".to_owned()),
        Just("# EOF".to_owned()),
        Just("\n".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("} 1 ".to_owned()),
        Just(" NaN 17".to_owned()),
        "[ -~é\n]{0,12}",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(body in any_exposition()) {
        for form in [Form::Text, Form::OpenMetrics] {
            let (samples, faults) = parse(&body, form);
            let lines = body.split(|&byte| byte == b'\n').count();
            prop_assert!(samples.len() + faults.count <= lines + 1);
            let all = crate::domain::exposed::read(Samples::of(&body, form), 1000, &[], 1_700_000_000_000);
            let (readings, _) = all.expect("few");
            for reading in readings.all {
                prop_assert!((0..=1_700_086_400_000).contains(&reading.at_ms));
            }
        }
    }

    /// What is written with every character escaped that has to be is read back.
    #[test]
    fn labels_are_read_back(value in "\\PC{0,20}|[\"\\\\\n]{0,6}", number in any::<f64>()) {
        prop_assume!(!number.is_nan());
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = format!("a{{x=\"{escaped}\"}} {number:?}");
        let (samples, faults) = parse(text.as_bytes(), Form::Text);
        prop_assert_eq!(faults.count, 0);
        prop_assert_eq!(&*samples[0].labels[0].1, value.as_str());
        prop_assert_eq!(samples[0].value, number);
    }
}
