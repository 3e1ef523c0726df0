//! Reads what exporters expose: the Prometheus text format 0.0.4 and OpenMetrics 1.0, both also with quoted names.
//!
//! After the [text format](https://prometheus.io/docs/instrumenting/exposition_formats/) and
//! [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/). Each line is read once, by itself; what a line
//! means depends on the TYPE lines before it, and on nothing else. Exemplars, HELP and UNIT are checked and not kept.

mod cursor;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use cursor::{Cursor, Expected, is_metric, is_metric_start};

/// Faults that are kept; more are counted.
pub(crate) const MOST_FAULTS: usize = 100;

/// Which of the two languages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Timestamps are milliseconds.
    Text,
    /// Timestamps are seconds; `# EOF` ends it.
    OpenMetrics,
}

impl Form {
    /// By the content type, or by the last line where a sender like curl names another type.
    pub(crate) fn of(content_type: Option<&str>, body: &[u8]) -> Self {
        let content_type = content_type.unwrap_or_default().trim_start();
        let is = |name: &str| {
            content_type
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if is("application/openmetrics-text")
            || !is("text/plain") && body.trim_ascii_end().ends_with(b"# EOF")
        {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// What a TYPE line declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    Unknown,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "unknown" | "untyped" => Self::Unknown,
            _ => return None,
        })
    }
}

/// What a sample is of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A level: a gauge, what has no type, a quantile, anything that may go down.
    Level,
    /// A running total: a counter, the sum or count of a summary.
    Total,
    /// Of a histogram.
    Bucket,
    Sum,
    Count,
    /// When the family's totals were zero, seconds since 1970.
    Created,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) name: Cow<'a, str>,
    pub(crate) role: Role,
    /// Bytes of `name` that are the family's.
    family: usize,
    /// In their order; no name comes twice.
    pub(crate) labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Any number, also one that is not finite.
    pub(crate) value: f64,
    /// Milliseconds since 1970.
    pub(crate) at_ms: Option<i64>,
}

impl Sample<'_> {
    /// The name of its family: without `_total`, `_bucket` and so on.
    pub(crate) fn family(&self) -> &str {
        self.name.get(..self.family).unwrap_or(&self.name)
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What was expected and what is there.
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(line: usize, reason: impl fmt::Display) -> Self {
        Self {
            line,
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line {}: {}", self.line, self.reason)
    }
}

/// Faults in their order: all are counted, the first are kept.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) first: Vec<Fault>,
    pub(crate) count: usize,
}

impl Faults {
    pub(crate) fn push(&mut self, fault: Fault) {
        self.count += 1;
        if self.first.len() < MOST_FAULTS {
            self.first.push(fault);
        }
    }
}

/// The samples of an exposition and what is wrong with it, line by line.
pub(crate) struct Samples<'a> {
    reader: Reader<'a>,
    lines: std::slice::Split<'a, u8, fn(&u8) -> bool>,
    /// The line that was read last.
    line: usize,
    /// Whether a missing end was told.
    told: bool,
    /// Histograms of which a line is wrong.
    incomplete: HashSet<String>,
}

impl<'a> Samples<'a> {
    /// Those of `body`.
    pub(crate) fn of(body: &'a [u8], form: Form) -> Self {
        Self {
            reader: Reader {
                form,
                types: HashMap::new(),
                ended: form == Form::Text,
            },
            lines: body.split(|&byte| byte == b'\n'),
            line: 0,
            told: false,
            incomplete: HashSet::new(),
        }
    }

    /// The families of histograms that had a wrong line so far: what is left of them says too little.
    pub(crate) fn incomplete(self) -> HashSet<String> {
        self.incomplete
    }
}

impl<'a> Iterator for Samples<'a> {
    type Item = Result<Sample<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        for bytes in self.lines.by_ref() {
            self.line += 1;
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            match self.reader.line(bytes) {
                Ok(None) => {}
                Ok(Some(sample)) => {
                    let line = self.line;
                    return Some(Ok(Sample { line, ..sample }));
                }
                Err(expected) => {
                    let fault = Fault::new(self.line, expected);
                    self.incomplete.extend(self.reader.histogram_of(bytes));
                    return Some(Err(fault));
                }
            }
        }
        let cut_off = !self.reader.ended && !std::mem::replace(&mut self.told, true);
        cut_off.then(|| {
            let reason = "expected # EOF at the end; what is behind this line may be lost";
            Err(Fault::new(self.line, reason))
        })
    }
}

struct Reader<'a> {
    form: Form,
    /// Of families that a TYPE line declared, and of names that came without one.
    types: HashMap<Cow<'a, str>, Kind>,
    /// Whether the end has come, or needs no line.
    ended: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, bytes: &'a [u8]) -> Result<Option<Sample<'a>>, Expected<'a>> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(Expected("UTF-8".into(), "other bytes"));
        };
        let mut rest = Cursor(text);
        rest.skip_blanks();
        if rest.0.is_empty() {
            return Ok(None);
        }
        if self.ended && self.form == Form::OpenMetrics {
            return Err(Expected("nothing behind # EOF".into(), rest.0));
        }
        if let Some(comment) = rest.0.strip_prefix('#') {
            self.comment(Cursor(comment))?;
            return Ok(None);
        }
        self.sample(rest).map(Some)
    }

    /// The histogram that a wrong line is about, as far as its name can be read.
    fn histogram_of(&self, bytes: &'a [u8]) -> Option<String> {
        let mut rest = Cursor(bytes.utf8_chunks().next()?.valid());
        rest.skip_blanks();
        let mut name = rest.word(is_metric_start, is_metric).map(Cow::Borrowed);
        if name.is_none() && rest.eat('{') {
            // The line is wrong anyway; the name stands first.
            drop(rest.labels(&mut name, &mut Vec::new()));
        }
        let name = name?;
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts.iter().find_map(|part| name.strip_suffix(part))?;
        (self.types.get(family) == Some(&Kind::Histogram)).then(|| family.to_owned())
    }

    fn comment(&mut self, mut rest: Cursor<'a>) -> Result<(), Expected<'a>> {
        rest.skip_blanks();
        match rest.token() {
            "TYPE" => {
                let name = rest.comment_name()?;
                rest.skip_blanks();
                let found = rest.0;
                let Some(kind) = Kind::parse(rest.token()) else {
                    let types = "counter, gauge, histogram, summary, untyped, gaugehistogram, info, stateset or unknown";
                    return Err(Expected(types.into(), found));
                };
                let known = *self.types.entry(name).or_insert(kind);
                if known != kind {
                    let why = "one TYPE line for each name, before its first sample";
                    return Err(Expected(why.into(), found));
                }
                rest.end("the end of the line")
            }
            "HELP" | "UNIT" => rest.comment_name().map(drop),
            "EOF" if self.form == Form::OpenMetrics => {
                self.ended = true;
                rest.end("the end of the line")
            }
            _ => Ok(()),
        }
    }

    fn sample(&mut self, mut rest: Cursor<'a>) -> Result<Sample<'a>, Expected<'a>> {
        let mut name = rest.word(is_metric_start, is_metric).map(Cow::Borrowed);
        if name.is_none() && !rest.0.starts_with('{') {
            return Err(Expected("the name of a metric".into(), rest.0));
        }
        rest.skip_blanks();
        let mut labels = Vec::new();
        if rest.eat('{') {
            rest.labels(&mut name, &mut labels)?;
        }
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(Expected(
                "the name of a metric in the braces".into(),
                rest.0,
            ));
        };
        let value = rest.number()?;
        let at_ms = self.timestamp(&mut rest)?;
        if self.form == Form::OpenMetrics && rest.eat('#') {
            self.exemplar(&mut rest)?;
        }
        rest.end("a timestamp or the end of the line")?;
        let (role, family) = self.role(&name, &labels)?;
        Ok(Sample {
            line: 0,
            name,
            role,
            family,
            labels,
            value,
            at_ms,
        })
    }

    fn timestamp(&self, rest: &mut Cursor<'a>) -> Result<Option<i64>, Expected<'a>> {
        rest.skip_blanks();
        let found = rest.0;
        if found.is_empty() || found.starts_with('#') {
            return Ok(None);
        }
        let token = rest.token();
        let ms = match self.form {
            Form::Text => token.parse().ok(),
            Form::OpenMetrics => token.parse().ok().and_then(seconds_to_ms),
        };
        let unit = match self.form {
            Form::Text => "a timestamp in whole milliseconds",
            Form::OpenMetrics => "a timestamp in seconds",
        };
        rest.skip_blanks();
        ms.map(Some).ok_or(Expected(unit.into(), found))
    }

    fn exemplar(&self, rest: &mut Cursor<'a>) -> Result<(), Expected<'a>> {
        rest.skip_blanks();
        if !rest.eat('{') {
            return Err(Expected(
                "the labels of an exemplar in braces".into(),
                rest.0,
            ));
        }
        let mut none = Some(Cow::Borrowed(""));
        rest.labels(&mut none, &mut Vec::new())?;
        rest.number()?;
        self.timestamp(rest).map(drop)
    }

    /// What a name is, and how many of its bytes are the family's.
    fn role(
        &mut self,
        name: &Cow<'a, str>,
        labels: &[(Cow<'a, str>, Cow<'a, str>)],
    ) -> Result<(Role, usize), Expected<'a>> {
        let whole = name.len();
        let without = |suffix: &str| name.strip_suffix(suffix).filter(|rest| !rest.is_empty());
        let kind = |family: &str| self.types.get(family).copied();
        let exact = kind(name);
        if matches!(exact, None | Some(Kind::Gauge | Kind::Unknown))
            && let Some(family) = without("_created")
        {
            // In the text format these have TYPE lines of their own, as gauges.
            let total = kind(&format!("{family}_total"));
            let of_family = kind(family);
            if total == Some(Kind::Counter)
                || matches!(
                    of_family,
                    Some(Kind::Counter | Kind::Histogram | Kind::Summary)
                )
            {
                return Ok((Role::Created, family.len()));
            }
        }
        match exact {
            Some(Kind::Counter) => {
                let family = without("_total").map_or(whole, str::len);
                return Ok((Role::Total, family));
            }
            Some(Kind::Histogram) => {
                let parts = "_bucket, _sum or _count at the end of a histogram's name";
                return Err(Expected(parts.into(), "none of them"));
            }
            Some(Kind::Summary) if !labels.iter().any(|(name, _)| name == "quantile") => {
                return Err(Expected("the label quantile of a summary".into(), "none"));
            }
            Some(_) => return Ok((Role::Level, whole)),
            None => {}
        }
        for (suffix, role) in [
            ("_total", Role::Total),
            ("_bucket", Role::Bucket),
            ("_sum", Role::Sum),
            ("_count", Role::Count),
        ] {
            let Some(family) = without(suffix) else {
                continue;
            };
            match (kind(family), role) {
                (Some(Kind::Counter), Role::Total)
                | (Some(Kind::Histogram), Role::Bucket | Role::Sum | Role::Count) => {
                    return Ok((role, family.len()));
                }
                (Some(Kind::Summary), Role::Sum | Role::Count) => {
                    return Ok((Role::Total, family.len()));
                }
                _ => {}
            }
        }
        // So that a TYPE line that comes too late is noticed.
        self.types.insert(name.clone(), Kind::Unknown);
        Ok((Role::Level, whole))
    }
}

/// Milliseconds, when they are a time that can be meant.
pub(super) fn seconds_to_ms(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    (ms.abs() < 1e18).then_some(ms as i64)
}

#[cfg(test)]
mod tests;
