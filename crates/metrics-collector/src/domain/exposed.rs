//! From the lines of an exposition to what the collector counts: levels, totals, and histograms put together.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::buckets::Buckets;
use super::change::Totals;
use super::exposition::{Fault, Faults, Role, Sample, Samples, seconds_to_ms};
use super::labels;
use super::metric::{MAX_NAME_BYTES, MetricType};

/// Times further ahead cannot be meant.
const DAY_MS: i64 = 86_400_000;
/// Above this, doubles do not hold every whole number.
const MOST_COUNTED: f64 = 9_007_199_254_740_992.0;
/// The label that holds the limit of a bucket.
const LIMIT: &str = "le";
/// Goes before the name of a label that the importer sets itself.
const EXPORTED: &str = "exported_";

/// One series at one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exposed {
    /// The first line that it comes from.
    pub(crate) line: usize,
    pub(crate) name: String,
    /// Canonical.
    pub(crate) labels: String,
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Whether the time is the sender's.
    pub(crate) timed: bool,
    pub(crate) value: Value,
    /// When the totals were zero.
    pub(crate) created_ms: Option<i64>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Finite.
    Level(f64),
    Totals(Totals),
}

impl Exposed {
    /// The type of its series.
    pub(crate) fn kind(&self) -> MetricType {
        match self.value {
            Value::Level(_) => MetricType::Gauge,
            Value::Totals(Totals::Number(_)) => MetricType::Counter,
            Value::Totals(Totals::Buckets(_)) => MetricType::Histogram,
        }
    }
}

/// All readings of an exposition, those of a series together and by time.
#[derive(Debug, Default)]
pub(crate) struct AllExposed {
    pub(crate) all: Vec<Exposed>,
    /// Lines with a value.
    pub(crate) samples: u64,
    /// Values that are no number, infinite or, in a counter, below zero; histograms of which a line is wrong.
    pub(crate) skipped: u64,
    /// Times that cannot be meant; those are read as now.
    pub(crate) replaced: u64,
}

/// Labels that the importer adds; an exposed label of the same name is renamed, as Prometheus does.
pub(crate) type Extra = [(String, String)];

/// Puts samples together: what is good of them, and what is wrong. With more than `most` of them nothing is read.
///
/// # Errors
/// The sample that is too many.
pub(crate) fn read(
    mut samples: Samples<'_>,
    most: u64,
    extra: &Extra,
    now_ms: i64,
) -> Result<(AllExposed, Faults), Fault> {
    let mut reader = Reader {
        extra,
        now_ms,
        created: HashMap::new(),
        places: HashMap::new(),
        histograms: Vec::new(),
        incomplete: HashSet::new(),
        found: AllExposed::default(),
    };
    let mut faults = Faults::default();
    for sample in &mut samples {
        let line = match &sample {
            Ok(sample) => sample.line,
            Err(fault) => fault.line,
        };
        reader.found.samples += u64::from(sample.is_ok());
        if reader.found.samples > most {
            let reason = format!("expected at most {most} samples");
            return Err(Fault::new(line, reason));
        }
        if let Err(fault) = sample.and_then(|sample| reader.sample(sample)) {
            faults.push(fault);
        }
    }
    reader.incomplete.extend(samples.incomplete());
    let found = reader.finish(&mut faults);
    faults.first.sort_by_key(|fault| fault.line);
    Ok((found, faults))
}

/// Levels of the importer's own, read now.
pub(crate) fn levels(
    levels: &[(&str, f64)],
    extra: &Extra,
    now_ms: i64,
) -> impl Iterator<Item = Exposed> {
    let extra = extra.iter().filter(|(_, value)| !value.is_empty());
    let labels = labels::from_pairs(
        extra.map(|(name, value)| (name.as_str().into(), value.as_str().into())),
    );
    levels.iter().map(move |&(name, value)| Exposed {
        line: 0,
        name: name.to_owned(),
        labels: labels.clone(),
        at_ms: now_ms,
        timed: false,
        value: Value::Level(value),
        created_ms: None,
    })
}

struct Reader<'e> {
    extra: &'e Extra,
    now_ms: i64,
    /// By family and labels.
    created: HashMap<(String, String), i64>,
    /// Positions in `histograms`, by family, labels and time.
    places: HashMap<(String, String, i64), usize>,
    histograms: Vec<Histogram>,
    /// Families of histograms of which something is missing: what is left would be compared as if it were all.
    incomplete: HashSet<String>,
    found: AllExposed,
}

/// A histogram of which some lines were read.
struct Histogram {
    line: usize,
    at_ms: i64,
    timed: bool,
    below: Vec<(f64, u64)>,
    /// Of the bucket without a limit.
    all: Option<u64>,
    count: Option<u64>,
    sum: Option<f64>,
    /// One of its numbers is none.
    unreadable: bool,
}

impl Reader<'_> {
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), Fault> {
        let line = sample.line;
        if sample.name.len() > MAX_NAME_BYTES {
            let reason = format!("expected a name of at most {MAX_NAME_BYTES} bytes");
            return Err(Fault::new(line, reason));
        }
        let (at_ms, timed) = self.time(sample.at_ms);
        let family = sample.family().to_owned();
        let value = sample.value;
        match sample.role {
            Role::Level | Role::Total => {
                let total = sample.role == Role::Total;
                if !value.is_finite() || total && value < 0.0 {
                    self.found.skipped += 1;
                    return Ok(());
                }
                self.found.all.push(Exposed {
                    line,
                    labels: self.labels(sample.labels, None),
                    name: sample.name.into_owned(),
                    at_ms,
                    timed,
                    value: if total {
                        Value::Totals(Totals::Number(value))
                    } else {
                        Value::Level(value)
                    },
                    created_ms: None,
                });
            }
            Role::Created => {
                let labels = self.labels(sample.labels, None);
                let created = seconds_to_ms(value);
                self.created
                    .extend(created.map(|created| ((family, labels), created)));
            }
            Role::Bucket => {
                let Some(limit) = limit(&sample.labels) else {
                    self.incomplete.insert(family);
                    let reason = "expected the label le with the limit of a bucket";
                    return Err(Fault::new(line, reason));
                };
                let labels = self.labels(sample.labels, Some(LIMIT));
                let histogram = self.histogram(family, labels, line, (at_ms, timed));
                histogram.bucket(limit, value, line)?;
            }
            Role::Sum => {
                let labels = self.labels(sample.labels, None);
                let histogram = self.histogram(family, labels, line, (at_ms, timed));
                set_once(&mut histogram.sum, value, line)?;
            }
            Role::Count => {
                let labels = self.labels(sample.labels, None);
                let histogram = self.histogram(family, labels, line, (at_ms, timed));
                match whole(value) {
                    Some(count) => set_once(&mut histogram.count, count, line)?,
                    None => histogram.unreadable = true,
                }
            }
        }
        Ok(())
    }

    fn time(&mut self, given: Option<i64>) -> (i64, bool) {
        match given {
            Some(at_ms) if (0..=self.now_ms + DAY_MS).contains(&at_ms) => (at_ms, true),
            given => {
                self.found.replaced += u64::from(given.is_some());
                (self.now_ms, false)
            }
        }
    }

    /// The labels of a series: an empty value is the same as none.
    fn labels(&self, labels: Vec<(Cow<'_, str>, Cow<'_, str>)>, without: Option<&str>) -> String {
        let exposed = labels
            .into_iter()
            .filter(|(name, value)| !value.is_empty() && without != Some(name))
            .map(|(name, value)| {
                if self.extra.iter().any(|(extra, _)| *extra == name) {
                    (Cow::Owned(format!("{EXPORTED}{name}")), value)
                } else {
                    (name, value)
                }
            });
        let extra = self.extra.iter().filter(|(_, value)| !value.is_empty());
        let extra = extra.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        labels::from_pairs(exposed.chain(extra))
    }

    fn histogram(
        &mut self,
        family: String,
        labels: String,
        line: usize,
        (at_ms, timed): (i64, bool),
    ) -> &mut Histogram {
        let next = self.histograms.len();
        let place = *self.places.entry((family, labels, at_ms)).or_insert(next);
        if place == next {
            self.histograms.push(Histogram {
                line,
                at_ms,
                timed,
                below: Vec::new(),
                all: None,
                count: None,
                sum: None,
                unreadable: false,
            });
        }
        &mut self.histograms[place]
    }

    fn finish(self, faults: &mut Faults) -> AllExposed {
        let mut found = self.found;
        let mut histograms: Vec<Option<Histogram>> =
            self.histograms.into_iter().map(Some).collect();
        for ((name, labels, _), place) in self.places {
            let Some(histogram) = histograms[place].take() else {
                continue;
            };
            if self.incomplete.contains(&name) {
                found.skipped += 1;
                continue;
            }
            let (line, at_ms, timed) = (histogram.line, histogram.at_ms, histogram.timed);
            match histogram.buckets() {
                Ok(Some(buckets)) => found.all.push(Exposed {
                    line,
                    name,
                    labels,
                    at_ms,
                    timed,
                    value: Value::Totals(Totals::Buckets(buckets)),
                    created_ms: None,
                }),
                Ok(None) => found.skipped += 1,
                Err(fault) => faults.push(fault),
            }
        }
        found.all.sort_by(|a, b| {
            let key = |reading: &Exposed| (reading.kind(), reading.at_ms, reading.line);
            (&a.name, &a.labels)
                .cmp(&(&b.name, &b.labels))
                .then_with(|| key(a).cmp(&key(b)))
        });
        found.all.dedup_by(|later, first| {
            let again = (later.kind(), later.at_ms) == (first.kind(), first.at_ms)
                && (&later.name, &later.labels) == (&first.name, &first.labels);
            if again {
                let reason = format!(
                    "expected each series once, found that of line {}",
                    first.line
                );
                faults.push(Fault::new(later.line, reason));
            }
            again
        });
        if !self.created.is_empty() {
            for reading in &mut found.all {
                if let Value::Totals(_) = reading.value {
                    let family = family_of(&reading.name).to_owned();
                    let key = (family, reading.labels.clone());
                    reading.created_ms = self.created.get(&key).copied();
                }
            }
        }
        found
    }
}

/// The family of a total: histograms have its name.
fn family_of(name: &str) -> &str {
    ["_total", "_sum", "_count"]
        .into_iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

impl Histogram {
    fn bucket(&mut self, limit: f64, value: f64, line: usize) -> Result<(), Fault> {
        let Some(number) = whole(value) else {
            self.unreadable = true;
            return Ok(());
        };
        if limit == f64::INFINITY {
            return set_once(&mut self.all, number, line);
        }
        self.below.push((limit, number));
        Ok(())
    }

    /// `None` when one of its numbers is none.
    fn buckets(self) -> Result<Option<Buckets>, Fault> {
        if self.unreadable {
            return Ok(None);
        }
        let Some(count) = self.count.or(self.all) else {
            let reason = "expected the bucket le=\"+Inf\" or _count of this histogram";
            return Err(Fault::new(self.line, reason));
        };
        let mut below = self.below;
        below.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        if below.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            let reason = "expected each limit of this histogram once";
            return Err(Fault::new(self.line, reason));
        }
        Ok(Some(Buckets::new(count, self.sum, below)))
    }
}

fn set_once<T>(place: &mut Option<T>, value: T, line: usize) -> Result<(), Fault> {
    if place.is_some() {
        return Err(Fault::new(line, "expected each part of a histogram once"));
    }
    *place = Some(value);
    Ok(())
}

/// A number of values.
fn whole(value: f64) -> Option<u64> {
    (0.0..=MOST_COUNTED)
        .contains(&value)
        .then(|| value.round() as u64)
}

fn limit(labels: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<f64> {
    let (_, text) = labels.iter().find(|(name, _)| name == LIMIT)?;
    let limit: f64 = text.parse().ok()?;
    (limit > f64::NEG_INFINITY).then_some(limit)
}

#[cfg(test)]
mod tests {
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
}
