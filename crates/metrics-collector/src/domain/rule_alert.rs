//! What people are told of rules: that one fires, still fires, or does not any more.

use std::time::Duration;

use monlight_shared::clock::iso_seconds;
use monlight_shared::notify::rules::{Voice, decoded, page, spoken};
use monlight_shared::notify::{Message, Tone};
use serde_json::{Map, Value, json};

use super::rule::{Kind, Rule};
use super::rule_state::Reason;

/// How the metrics collector speaks of its rules. Beside all alerts of a digest it counts those that tell of an end.
pub(crate) const VOICE: Voice = Voice {
    service: "metrics",
    counts: ["resolved", "of them resolved", "of them resolved"],
    fact: "Resolved",
};

/// What happened to a group. The numbers are stored, in the history and in the outbox, where 0 is a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Fired = 1,
    Resolved = 2,
    StillFiring = 3,
}

impl Happened {
    /// From the number that is stored.
    pub(crate) const fn from_code(code: i64) -> Self {
        match code {
            2 => Self::Resolved,
            3 => Self::StillFiring,
            _ => Self::Fired,
        }
    }

    /// On the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fired => "firing",
            Self::Resolved => "resolved",
            Self::StillFiring => "still_firing",
        }
    }
}

/// How an alert is called.
pub(crate) fn kind_name(kind: i64) -> &'static str {
    Happened::from_code(kind).name()
}

/// Something that happened to a group of a rule. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The number of the rule, and the rule as it was.
    pub(crate) rule_id: i64,
    pub(crate) rule: Rule,
    pub(crate) happened: Happened,
    /// The values of the labels that the rule tells groups apart by.
    pub(crate) group: Vec<String>,
    /// What was read then; `None`: nothing.
    pub(crate) value: Option<f64>,
    /// When it happened, and when the group began to fire.
    pub(crate) time_ms: i64,
    pub(crate) since_ms: i64,
    /// Why it ended.
    pub(crate) reason: Reason,
}

/// The labels of a group with their names.
pub(crate) fn labels(rule: &Rule, group: &[String]) -> Map<String, Value> {
    let pairs = rule.group_by.iter().zip(group);
    pairs
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect()
}

/// The message about it. `id`: of the message.
pub(crate) fn message(base_url: &str, id: &str, event: &Event) -> Message {
    let rule = &event.rule;
    let of_group: Vec<String> = rule
        .group_by
        .iter()
        .zip(&event.group)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let of_group = of_group.join(", ");
    let value = event.value.map(short);
    let lasted = Duration::from_millis((event.time_ms - event.since_ms).max(0).unsigned_abs());
    let lasted = spoken(Duration::from_secs(lasted.as_secs()));
    let (state, tone, lead) = match event.happened {
        Happened::Fired => ("firing", Tone::Alarm, told(rule, value.as_deref())),
        Happened::StillFiring => (
            "still firing",
            Tone::Alarm,
            format!("For {lasted} now. {}", told(rule, value.as_deref())),
        ),
        Happened::Resolved => (
            "resolved",
            Tone::Calm,
            ended(event, value.as_deref(), &lasted),
        ),
    };
    let title = if of_group.is_empty() {
        state.to_owned()
    } else {
        format!("{state} for {of_group}")
    };
    let link = page(base_url, &rule.page_query(&event.group));
    Message::new(id, event.happened.name(), tone, event.time_ms)
        .title(&VOICE.title(&rule.name, &title))
        .headline(&format!("{} is {state}", rule.name))
        .lead(&lead)
        .link(link.as_str())
        .fact("Rule", &rule.name)
        .fact("Project", rule.project.as_deref().unwrap_or_default())
        .fact("Watches", &rule.sentence())
        .fact("Labels", &of_group)
        .fact("Value", value.as_deref().unwrap_or_default())
        .fact("Since", &iso_seconds(event.since_ms))
        .fact("Time", &iso_seconds(event.time_ms))
        .value("rule", for_programs(event, &link))
}

/// What is wrong.
fn told(rule: &Rule, value: Option<&str>) -> String {
    match (&rule.kind, value) {
        (Kind::Absence, _) => format!("There were {}.", rule.sentence()),
        (_, Some(value)) => format!("The value is {value}. The rule: {}.", rule.sentence()),
        (_, None) => format!("The rule: {}.", rule.sentence()),
    }
}

/// Why it ended.
fn ended(event: &Event, value: Option<&str>, lasted: &str) -> String {
    match (event.reason, &event.rule.kind, value) {
        (Reason::Changed, ..) => format!("The rule was changed after {lasted}."),
        (Reason::Disabled, ..) => format!("The rule was switched off after {lasted}."),
        (Reason::Deleted, ..) => format!("The rule was deleted after {lasted}."),
        (Reason::Nothing, Kind::Absence, _) => {
            format!("After {lasted} it is not expected any more: it had no points for a day.")
        }
        (Reason::Nothing, ..) => {
            format!("After {lasted} there is nothing to read any more: no points, or too few.")
        }
        (Reason::Fine, Kind::Absence, _) => format!("After {lasted} there are points again."),
        (Reason::Fine, _, Some(value)) => format!("After {lasted} the value is {value}."),
        (Reason::Fine, _, None) => format!("It lasted {lasted}."),
    }
}

/// A value for people: six digits are more than anybody compares.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..=15).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let decimals = usize::try_from(5 - magnitude).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn for_programs(event: &Event, link: &str) -> Value {
    let rule = &event.rule;
    json!({
        "id": event.rule_id,
        "name": rule.name,
        "state": event.happened.name(),
        "labels": labels(rule, &event.group),
        "value": event.value,
        "since": iso_seconds(event.since_ms),
        "reason": (event.happened == Happened::Resolved).then(|| event.reason.name()),
        "sentence": rule.sentence(),
        "link": link,
        "settings": rule.to_json(),
    })
}

/// The message that shows whether alerts arrive; `rule`: of which one.
pub(crate) fn test(base_url: &str, id: &str, time_ms: i64, rule: Option<&Rule>) -> Message {
    let query = rule.map(|rule| rule.page_query(&[])).unwrap_or_default();
    let watches = rule.map(Rule::sentence).unwrap_or_default();
    VOICE
        .test(id, time_ms, rule.map(|rule| rule.name.as_str()))
        .link(page(base_url, &query))
        .fact("Watches", &watches)
        .fact("Shown", &decoded(&query))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://m.example";

    fn event(happened: Happened) -> Event {
        let rule = json!({
            "name": "Slow", "project": "shop", "value": 1.5,
            "query": {"name": "seconds", "group_by": "path", "agg": "p95"},
        });
        let rule = Rule::read(rule.to_string().as_bytes()).expect("a rule");
        Event {
            rule_id: 3,
            rule: Rule {
                name: "Slow\r\nBcc: x".to_owned(),
                ..rule
            },
            happened,
            group: vec!["/cart".to_owned()],
            value: Some(2.123_456_789),
            time_ms: 1_737_367_200_000,
            since_ms: 1_737_366_600_000,
            reason: Reason::Fine,
        }
    }

    #[test]
    fn an_alert_says_what_and_where() {
        let message = message(BASE, "i.1", &event(Happened::Fired));
        assert_eq!(
            message.title,
            "[metrics] Slow Bcc: x: firing for path=/cart"
        );
        assert_eq!(
            message.lead,
            "The value is 2.12346. The rule: p95 of seconds over 5 min > 1.5."
        );
        assert_eq!(message.tone, Tone::Alarm);
        let link = message.link.as_deref().expect("a link");
        assert!(
            link.starts_with("https://m.example/?view=explore&metric=seconds"),
            "{link}"
        );
        let rule = &message.document["rule"];
        assert_eq!(
            (&rule["id"], &rule["labels"]),
            (&json!(3), &json!({"path": "/cart"}))
        );
        assert_eq!(
            (&rule["state"], &rule["reason"]),
            (&json!("firing"), &Value::Null)
        );
    }

    #[test]
    fn ends_are_calm_and_say_why() {
        let of = |reason, value| {
            let event = Event {
                value,
                reason,
                ..event(Happened::Resolved)
            };
            message(BASE, "i.1", &event)
        };
        assert_eq!(
            of(Reason::Fine, Some(0.5)).lead,
            "After 10 min the value is 0.5."
        );
        let gone = of(Reason::Nothing, None);
        assert!(
            gone.lead.contains("nothing to read any more"),
            "{}",
            gone.lead
        );
        assert_eq!((gone.tone, gone.kind), (Tone::Calm, "resolved"));
        assert_eq!(gone.document["rule"]["reason"], "no_data");
        let leads = [Reason::Changed, Reason::Disabled, Reason::Deleted]
            .map(|reason| of(reason, None).lead);
        assert_eq!(
            leads,
            [
                "The rule was changed after 10 min.",
                "The rule was switched off after 10 min.",
                "The rule was deleted after 10 min."
            ]
        );
        let again = message(BASE, "i.1", &event(Happened::StillFiring));
        assert!(
            again.lead.starts_with("For 10 min now. The value"),
            "{}",
            again.lead
        );
    }

    #[test]
    fn values_are_short() {
        let shown = [
            0.0,
            1.5,
            -2.123_456_789,
            1_234.567_89,
            1e6,
            123_456_789.0,
            0.000_123_456_789,
            1e-9,
            1e300,
        ]
        .map(short);
        assert_eq!(
            shown,
            [
                "0",
                "1.5",
                "-2.12346",
                "1234.57",
                "1000000",
                "123456789",
                "0.000123457",
                "1.00000e-9",
                "1.00000e300"
            ]
        );
    }
}
