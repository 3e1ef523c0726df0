//! Rules that watch metrics: what is measured, what is too much, and when people are told.
//!
//! A rule measures a window that ends at a full minute. Its JSON is at the same time what it is made of, what is stored and
//! what is shown, so a change is the old JSON with some members replaced.

mod body;

use std::time::Duration;

use monlight_shared::notify::rules::{add_parameter, spoken};
use serde_json::{Map, Value, json};

use super::aggregate::Aggregate;
use super::label_filter::LabelFilter;
use super::quiet_hours::QuietHours;

/// The most rules.
pub(crate) const MOST_RULES: usize = 100;

/// What a rule says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// What people call it.
    pub(crate) name: String,
    /// The project it looks at; `None`: all of them together.
    pub(crate) project: Option<String>,
    pub(crate) kind: Kind,
    /// What is measured.
    pub(crate) query: Measure,
    /// Labels by whose values series are told apart; none: all together.
    pub(crate) group_by: Vec<String>,
    /// How far back it looks: whole minutes.
    pub(crate) window: Duration,
    /// What is too much.
    pub(crate) limit: Limit,
    /// For how long that must be so before it fires.
    pub(crate) wait: Duration,
    /// How often people are told again while it fires; zero: never.
    pub(crate) repeat: Duration,
    pub(crate) quiet: Option<QuietHours>,
    /// Kinds of channels, or mail addresses as in `smtp:ops@example.com`; none: all.
    pub(crate) channels: Vec<String>,
    pub(crate) enabled: bool,
}

/// How a value comes of what is measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// It is the figure itself.
    Threshold,
    /// How the figure changes.
    Rate(Change),
    /// The figure divided by another one, which must be at least so much.
    Ratio(Measure, f64),
    /// The number of points, of which there must be one.
    Absence,
}

/// In which unit a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A second: the increments of a counter, or how much another figure is above that of the window before.
    PerSecond,
    /// Per cent of the window before.
    Percent,
}

/// One figure of the series that a filter takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    /// Name of the metric.
    pub(crate) name: String,
    /// Conditions on labels, as in questions with groups; may be empty.
    pub(crate) labels: String,
    pub(crate) aggregate: Aggregate,
}

/// When a value is too much, and when it is fine again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) condition: Condition,
    pub(crate) value: f64,
    /// What it is compared with once it fires; `None`: the same value.
    pub(crate) resolve: Option<f64>,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Condition {
    const ALL: [Self; 4] = [Self::Above, Self::AtLeast, Self::Below, Self::AtMost];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether large values are the bad ones.
    pub(crate) const fn is_upper(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }

    fn holds(self, value: f64, than: f64) -> bool {
        match self {
            Self::Above => value > than,
            Self::AtLeast => value >= than,
            Self::Below => value < than,
            Self::AtMost => value <= than,
        }
    }
}

impl Limit {
    /// No point at all.
    const NOTHING: Self = Self {
        condition: Condition::AtMost,
        value: 0.0,
        resolve: None,
    };

    /// Whether a value is too much, for what fires already or not.
    pub(crate) fn is_broken(&self, value: f64, fires: bool) -> bool {
        let than = self.resolve.filter(|_| fires).unwrap_or(self.value);
        self.condition.holds(value, than)
    }

    /// Which of two values is the worse one.
    pub(crate) fn worse_first(&self, one: f64, other: f64) -> std::cmp::Ordering {
        if self.condition.is_upper() {
            other.total_cmp(&one)
        } else {
            one.total_cmp(&other)
        }
    }
}

impl Rule {
    /// As it is read, stored and shown.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let mut add = |name: &str, value: Value| out.insert(name.to_owned(), value);
        add("name", self.name.as_str().into());
        add("project", self.project.as_deref().into());
        add("kind", self.kind.name().into());
        let mut query = self.query.to_json();
        query.insert("group_by".to_owned(), self.group_by.clone().into());
        add("query", query.into());
        match &self.kind {
            Kind::Ratio(denominator, least) => {
                add("denominator", denominator.to_json().into());
                add("min_denominator", (*least).into());
            }
            Kind::Rate(change) => {
                add("change", change.name().into());
            }
            Kind::Threshold | Kind::Absence => {}
        }
        if self.kind != Kind::Absence {
            add("condition", self.limit.condition.as_str().into());
            add("value", self.limit.value.into());
            add("resolve", self.limit.resolve.into());
        }
        add("window_seconds", self.window.as_secs().into());
        add("for_seconds", self.wait.as_secs().into());
        add("repeat_seconds", self.repeat.as_secs().into());
        add(
            "quiet_hours",
            self.quiet.map_or(Value::Null, QuietHours::to_json),
        );
        let channels = Some(self.channels.clone()).filter(|list| !list.is_empty());
        add("channels", json!(channels));
        add("enabled", self.enabled.into());
        out
    }

    /// Whether both find the same in the same points, so that what fires for one fires for the other.
    pub(crate) fn finds_like(&self, other: &Self) -> bool {
        let told_alike = Self {
            name: other.name.clone(),
            wait: other.wait,
            repeat: other.repeat,
            quiet: other.quiet,
            channels: other.channels.clone(),
            ..self.clone()
        };
        told_alike == *other
    }

    /// Milliseconds of its window.
    pub(crate) fn window_ms(&self) -> i64 {
        self.window.as_millis() as i64
    }

    /// Whether it looks at the window before as well.
    pub(crate) fn compares(&self) -> bool {
        match self.kind {
            Kind::Rate(Change::Percent) => true,
            Kind::Rate(Change::PerSecond) => self.query.aggregate != Aggregate::Rate,
            Kind::Threshold | Kind::Ratio(..) | Kind::Absence => false,
        }
    }

    /// The metrics it measures: the one of its query, and what that is divided by.
    pub(crate) fn measures(&self) -> impl Iterator<Item = &Measure> {
        let denominator = match &self.kind {
            Kind::Ratio(denominator, _) => Some(denominator),
            _ => None,
        };
        std::iter::once(&self.query).chain(denominator)
    }

    /// What it says, for people: `p95 of request_seconds{endpoint:/cart} over 5 min > 1.5`.
    pub(crate) fn sentence(&self) -> String {
        let window = spoken(self.window);
        let limit = format!("{} {}", self.limit.condition.as_str(), self.limit.value);
        match &self.kind {
            Kind::Threshold => format!("{} over {window} {limit}", self.query.words()),
            Kind::Rate(Change::PerSecond) if !self.compares() => {
                format!("{} over {window} {limit}", self.query.words())
            }
            Kind::Rate(Change::PerSecond) => {
                format!(
                    "change of {} a second over {window} {limit}",
                    self.query.words()
                )
            }
            Kind::Rate(Change::Percent) => {
                format!("change of {} over {window} {limit} %", self.query.words())
            }
            Kind::Ratio(denominator, _) => format!(
                "{} / {} over {window} {limit}",
                self.query.words(),
                denominator.words()
            ),
            Kind::Absence => format!("no points of {} for {window}", self.query.subject()),
        }
    }

    /// The query of the page that shows what it measures; `group`: of these values of its labels.
    pub(crate) fn page_query(&self, group: &[String]) -> String {
        let mut query = String::new();
        add_parameter(&mut query, "view", "explore");
        add_parameter(&mut query, "metric", &self.query.name);
        if let Some(project) = &self.project {
            add_parameter(&mut query, "project", project);
        }
        let mut labels = self.query.labels.clone();
        for (name, value) in self.group_by.iter().zip(group) {
            if !labels.is_empty() {
                labels.push(',');
            }
            for (text, end) in [(name, ":"), (value, "")] {
                for character in text.chars() {
                    if matches!(character, ',' | ':' | '*' | '!' | '\\') {
                        labels.push('\\');
                    }
                    labels.push(character);
                }
                labels.push_str(end);
            }
        }
        for (name, text) in [("labels", &labels), ("by", &self.group_by.join(","))] {
            if !text.is_empty() {
                add_parameter(&mut query, name, text);
            }
        }
        query
    }
}

impl Kind {
    /// On the wire.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Rate(_) => "rate",
            Self::Ratio(..) => "ratio",
            Self::Absence => "absence",
        }
    }
}

impl Change {
    const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per_second",
            Self::Percent => "percent",
        }
    }
}

impl Measure {
    /// Its conditions on labels.
    ///
    /// # Errors
    /// What is wrong with them; those that were stored have been checked.
    pub(crate) fn filter(&self) -> Result<LabelFilter, String> {
        LabelFilter::parse(&self.labels).map_err(|fault| format!("labels: {fault}"))
    }

    fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("name".to_owned(), self.name.as_str().into());
        out.insert("labels".to_owned(), self.labels.as_str().into());
        out.insert("agg".to_owned(), self.aggregate.as_str().into());
        out
    }

    /// The metric with its conditions.
    pub(crate) fn subject(&self) -> String {
        if self.labels.is_empty() {
            self.name.clone()
        } else {
            format!("{}{{{}}}", self.name, self.labels)
        }
    }

    fn words(&self) -> String {
        format!("{} of {}", self.aggregate.as_str(), self.subject())
    }
}

#[cfg(test)]
mod tests;
