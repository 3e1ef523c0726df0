//! From JSON to a rule: what is taken, and what is said of what is not.

use std::time::Duration;

use monlight_shared::notify::Kind as ChannelKind;
use monlight_shared::notify::rules::{self, LONGEST_PAUSE, LONGEST_WINDOW, shown};
use serde_json::{Map, Value};

use super::{Change, Condition, Kind, Limit, Measure, Rule};
use crate::domain::aggregate::Aggregate;
use crate::domain::labels;
use crate::domain::quiet_hours::QuietHours;

/// The most channels of a rule.
const MOST_CHANNELS: usize = 20;
/// The longest filter, in bytes.
const FILTER_BYTES: usize = 4096;
/// The longest name of a metric, in bytes.
const METRIC_BYTES: usize = 200;
/// What a ratio must be of, unless the rule says otherwise.
const USUAL_DENOMINATOR: f64 = 10.0;
/// How often people are reminded, unless the rule says otherwise.
const USUAL_REPEAT: i64 = 4 * 3600;
const MINUTE: i64 = 60;
/// Members that only some kinds have.
const OF_KINDS: [&str; 6] = [
    "denominator",
    "min_denominator",
    "change",
    "condition",
    "value",
    "resolve",
];
const MEMBERS: [&str; 16] = [
    "name",
    "project",
    "kind",
    "query",
    "denominator",
    "min_denominator",
    "change",
    "condition",
    "value",
    "resolve",
    "window_seconds",
    "for_seconds",
    "repeat_seconds",
    "quiet_hours",
    "channels",
    "enabled",
];

impl Rule {
    /// Reads a new rule.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        Self::of(&object(body)?)
    }

    /// The rule with what a body gives. A change of its kind forgets what the new one does not have.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub(crate) fn changed(&self, body: &[u8]) -> Result<Self, String> {
        let mut given = object(body)?;
        let mut members = self.to_json();
        if given
            .get("kind")
            .is_some_and(|kind| Some(kind) != members.get("kind"))
        {
            members.retain(|name, _| !OF_KINDS.contains(&name.as_str()));
        }
        members.append(&mut given);
        Self::of(&members)
    }

    fn of(body: &Map<String, Value>) -> Result<Self, String> {
        let members = Members(body);
        let kind = kind_of(&members)?;
        let query = members.required("query")?;
        let (query, group_by) = query_of("query", query, kind.usual_aggregate())?;
        Ok(Self {
            name: rules::name(members.required("name")?)?,
            project: members
                .get("project")
                .map(project_of)
                .transpose()?
                .flatten(),
            limit: match kind {
                Kind::Absence => Limit::NOTHING,
                _ => limit_of(&members)?,
            },
            kind,
            query,
            group_by,
            window: members.minutes("window_seconds", 300, (MINUTE, LONGEST_WINDOW))?,
            wait: members.seconds("for_seconds", 0, (0, LONGEST_WINDOW))?,
            repeat: members.repeat()?,
            quiet: members
                .get("quiet_hours")
                .map(QuietHours::read)
                .transpose()?,
            channels: members
                .get("channels")
                .map_or(Ok(Vec::new()), channels_of)?,
            enabled: members.get("enabled").map_or(Ok(true), rules::enabled)?,
        })
    }
}

impl Kind {
    /// What is measured when a query does not say it.
    const fn usual_aggregate(&self) -> Aggregate {
        match self {
            Self::Threshold | Self::Rate(_) => Aggregate::Rate,
            Self::Ratio(..) => Aggregate::Sum,
            Self::Absence => Aggregate::Count,
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    let expected = "expected a JSON object with name, kind, query, condition, value, window_seconds and others";
    let members: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|fault| format!("The body is no rule ({fault}); {expected}"))?;
    if members.contains_key("group_by") {
        return Err("group_by: it is part of the query".to_owned());
    }
    match members
        .keys()
        .find(|name| !MEMBERS.contains(&name.as_str()))
    {
        None => Ok(members),
        Some(unknown) => {
            let unknown: String = unknown.chars().take(64).collect();
            Err(format!(
                "The body is no rule (unknown field `{unknown}`); {expected}"
            ))
        }
    }
}

/// The members of a body; null is as good as absent.
struct Members<'b>(&'b Map<String, Value>);

impl<'b> Members<'b> {
    fn get(&self, name: &str) -> Option<&'b Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &str) -> Result<&'b Value, String> {
        self.get(name).ok_or_else(|| format!("{name} is missing"))
    }

    fn seconds(
        &self,
        name: &str,
        usual: i64,
        (least, most): (i64, i64),
    ) -> Result<Duration, String> {
        let usual = Duration::from_secs(usual.unsigned_abs());
        self.get(name)
            .map_or(Ok(usual), |value| rules::seconds(name, value, least, most))
    }

    fn minutes(&self, name: &str, usual: i64, range: (i64, i64)) -> Result<Duration, String> {
        let time = self.seconds(name, usual, range)?;
        if time.as_secs().is_multiple_of(MINUTE.unsigned_abs()) {
            return Ok(time);
        }
        Err(format!(
            "{name}: {}; expected whole minutes, as in 300",
            time.as_secs()
        ))
    }

    fn repeat(&self) -> Result<Duration, String> {
        let repeat = self.seconds("repeat_seconds", USUAL_REPEAT, (0, LONGEST_PAUSE))?;
        if repeat.is_zero() || repeat.as_secs() >= MINUTE.unsigned_abs() {
            return Ok(repeat);
        }
        Err(format!(
            "repeat_seconds: {}; expected 0 for never, or {MINUTE} to {LONGEST_PAUSE}",
            repeat.as_secs()
        ))
    }

    /// A member that has no place in a rule of a kind.
    fn none_of(&self, kind: &str, names: &[&str]) -> Result<(), String> {
        match names.iter().find(|name| self.get(name).is_some()) {
            None => Ok(()),
            Some(name) => Err(format!("{name}: it has no place in a rule of kind {kind}")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| number.is_finite());
        number
            .map(Some)
            .ok_or_else(|| format!("{name}: {}; expected a number", shown(value)))
    }
}

fn kind_of(members: &Members<'_>) -> Result<Kind, String> {
    let kind = members.get("kind");
    let [denominator, least, change, ..] = OF_KINDS;
    match kind.map_or(Some("threshold"), Value::as_str) {
        Some("threshold") => {
            members.none_of("threshold", &[denominator, least, change])?;
            Ok(Kind::Threshold)
        }
        Some("rate") => {
            members.none_of("rate", &[denominator, least])?;
            let change = members.get(change);
            match change.map_or(Some("per_second"), Value::as_str) {
                Some("per_second") => Ok(Kind::Rate(Change::PerSecond)),
                Some("percent") => Ok(Kind::Rate(Change::Percent)),
                _ => Err(format!(
                    "change: {}; expected per_second or percent",
                    change.map(shown).unwrap_or_default()
                )),
            }
        }
        Some("ratio") => {
            members.none_of("ratio", &[change])?;
            let (below, group_by) =
                query_of(denominator, members.required(denominator)?, Aggregate::Sum)?;
            if !group_by.is_empty() {
                return Err("denominator: group_by is that of the query".to_owned());
            }
            let least = members.number(least)?.unwrap_or(USUAL_DENOMINATOR);
            if least < 0.0 {
                return Err(format!("min_denominator: {least}; expected 0 or more"));
            }
            Ok(Kind::Ratio(below, least))
        }
        Some("absence") => {
            members.none_of("absence", &OF_KINDS)?;
            Ok(Kind::Absence)
        }
        _ => Err(format!(
            "kind: {}; expected threshold, rate, ratio or absence",
            kind.map(shown).unwrap_or_default()
        )),
    }
}

fn limit_of(members: &Members<'_>) -> Result<Limit, String> {
    let condition = members.get("condition");
    let asked = condition.map_or(Some(">"), Value::as_str);
    let known = Condition::ALL
        .into_iter()
        .find(|one| Some(one.as_str()) == asked);
    let condition = known.ok_or_else(|| {
        format!(
            "condition: {}; expected >, >=, < or <=",
            condition.map(shown).unwrap_or_default()
        )
    })?;
    members.required("value")?;
    let value = members.number("value")?.unwrap_or_default();
    let resolve = members.number("resolve")?;
    let is_beyond = |resolve: f64| {
        if condition.is_upper() {
            resolve > value
        } else {
            resolve < value
        }
    };
    if let Some(resolve) = resolve.filter(|resolve| is_beyond(*resolve)) {
        let side = if condition.is_upper() {
            "most"
        } else {
            "least"
        };
        return Err(format!(
            "resolve: {resolve}; expected at {side} the value, {value}"
        ));
    }
    Ok(Limit {
        condition,
        value,
        resolve,
    })
}

fn project_of(value: &Value) -> Result<Option<String>, String> {
    let name = value
        .as_str()
        .ok_or_else(|| format!("project: {}; expected a text", shown(value)))?;
    Ok((!name.is_empty()).then(|| labels::project(name).into_owned()))
}

fn channels_of(value: &Value) -> Result<Vec<String>, String> {
    let expected = || {
        let kinds = ChannelKind::ALL.map(ChannelKind::name).join(", ");
        format!(
            "channels: {}; expected a list of up to {MOST_CHANNELS} of {kinds}, or a mail address as in smtp:ops@example.com",
            shown(value)
        )
    };
    let list = value.as_array().ok_or_else(expected)?;
    let mut channels: Vec<String> = Vec::new();
    for one in list {
        let name = one.as_str().ok_or_else(expected)?;
        let (kind, target) = name.split_once(':').unwrap_or((name, ""));
        let is_known = ChannelKind::ALL.iter().any(|known| known.name() == kind);
        // What people know of other channels than mail is a host, which may be that of several.
        let is_mail = matches!(kind, "smtp" | "postmark") && target.contains('@');
        if !is_known || !(name == kind || is_mail) || name.len() > 300 {
            return Err(expected());
        }
        if !channels.iter().any(|known| known == name) {
            channels.push(name.to_owned());
        }
    }
    if channels.len() > MOST_CHANNELS {
        return Err(expected());
    }
    Ok(channels)
}

/// What is measured, given in the words of `GET /api/metrics`: an object of parameters, or a query string.
fn query_of(
    member: &str,
    value: &Value,
    usual: Aggregate,
) -> Result<(Measure, Vec<String>), String> {
    let pairs: Vec<(String, String)> = match value {
        Value::String(text) => rules::pairs(text),
        Value::Object(parameters) => parameters
            .iter()
            .map(|(name, value)| Ok((name.clone(), text_of(member, name, value)?)))
            .collect::<Result<_, String>>()?,
        _ => {
            return Err(format!(
                "{member}: expected an object such as {{\"name\": \"http_requests_total\", \"labels\": \"status:5*\", \
                 \"group_by\": [\"endpoint\"], \"agg\": \"rate\"}}, or a query string"
            ));
        }
    };
    let (mut measure, mut group_by) = (
        Measure {
            name: String::new(),
            labels: String::new(),
            aggregate: usual,
        },
        Vec::new(),
    );
    for (name, value) in pairs {
        match name.as_str() {
            "name" => measure.name = value,
            "labels" => measure.labels = value,
            "group_by" => {
                group_by = labels::names(&value).map_err(|fault| format!("{member}: {fault}"))?;
            }
            "agg" => measure.aggregate = aggregate_of(member, &value)?,
            _ => return Err(unknown(member, &name)),
        }
    }
    if !(1..=METRIC_BYTES).contains(&measure.name.len()) {
        return Err(format!(
            "{member}: name: expected the name of a metric, 1 to {METRIC_BYTES} bytes"
        ));
    }
    if measure.labels.len() > FILTER_BYTES {
        return Err(format!(
            "{member}: labels: expected at most {FILTER_BYTES} bytes"
        ));
    }
    measure
        .filter()
        .map_err(|fault| format!("{member}: {fault}"))?;
    Ok((measure, group_by))
}

/// The text of a parameter; a list is separated by commas.
fn text_of(member: &str, name: &str, value: &Value) -> Result<String, String> {
    let expected = || format!("{member}: {name}: expected a text or a list of texts");
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(list) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Ok(texts.ok_or_else(expected)?.join(","))
        }
        _ => Err(expected()),
    }
}

fn aggregate_of(member: &str, text: &str) -> Result<Aggregate, String> {
    let known = Aggregate::parse_list(text).filter(|list| list.len() == 1);
    let known = known.and_then(|list| list.first().copied());
    known.ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        format!(
            "{member}: agg: {shown:?} is not understood; expected one of count, sum, rate, avg, min, max, last, p50, p90, p95 and p99"
        )
    })
}

fn unknown(member: &str, name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    match name {
        "project" => format!("{member}: project stands beside the query"),
        "period" | "resolution" | "start" | "end" | "step" => {
            format!(
                "{member}: {shown} has no place in a rule; window_seconds says how far back it looks"
            )
        }
        "limit" | "rest" => format!("{member}: {shown} has no place in a rule"),
        _ => format!("{member}: {shown:?} is unknown; expected name, labels, group_by and agg"),
    }
}
