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
mod tests;
