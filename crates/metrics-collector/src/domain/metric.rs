//! A request body becomes a list of items, or the one reason why not.
//!
//! The hot path borrows everything from the body and leaves labels as raw text: most label sets were seen before and are
//! recognised by their bytes. Only a refused batch is looked at a second time, to find the reason the contract names:
//! a body that is not JSON is refused as that, whatever else is wrong in front of the fault.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::raw_batch::{Items, RawItem, Wrapped};
use super::strict_json;

/// Longest metric name, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 200;

/// What a metric's values mean. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum MetricType {
    /// Increments; they are summed.
    Counter = 0,
    /// A level that goes up and down; the last value counts.
    Gauge = 1,
    /// Single measurements whose distribution counts.
    Histogram = 2,
}

impl MetricType {
    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// The stored number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The type of a stored number.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }

    /// The type of a name on the wire.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "counter" => Some(Self::Counter),
            "gauge" => Some(Self::Gauge),
            "histogram" => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// One item of a batch whose required fields are right. Labels are still as they came.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// 1 to [`MAX_NAME_BYTES`] bytes.
    pub(crate) name: Cow<'a, str>,
    pub(crate) kind: MetricType,
    /// Finite.
    pub(crate) value: f64,
    /// Well-formed JSON of any kind but null, not yet checked by [`strict_json::check`].
    pub(crate) labels: Option<&'a str>,
    /// JSON of any kind.
    pub(crate) timestamp: Option<&'a str>,
    /// `None` when absent, empty or not a string.
    pub(crate) project: Option<Cow<'a, str>>,
}

/// Why a batch is refused. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// The contract's text.
    pub(crate) detail: String,
    /// The item at fault, counted from 0.
    pub(crate) index: Option<usize>,
    /// The field at fault.
    pub(crate) field: Option<&'static str>,
    /// What the contract's text leaves out.
    pub(crate) reason: Option<String>,
}

impl Rejected {
    fn whole(detail: &str) -> Self {
        Self {
            detail: detail.to_owned(),
            index: None,
            field: None,
            reason: None,
        }
    }

    fn item(index: usize, field: Option<&'static str>, detail: &str) -> Self {
        Self {
            detail: detail.to_owned(),
            index: Some(index),
            field,
            reason: None,
        }
    }

    /// The body is not the strict JSON that the contract asks for.
    pub(crate) fn not_json(reason: impl fmt::Display) -> Self {
        Self {
            reason: Some(reason.to_string()),
            ..Self::whole("Invalid JSON")
        }
    }
}

/// Reads a batch: an array of items, or `{"metrics": [...]}` around one.
pub(crate) fn parse_batch(body: &[u8], max_items: usize) -> Result<Vec<Item<'_>>, Rejected> {
    let text = std::str::from_utf8(body).map_err(Rejected::not_json)?;
    let Ok(raw) = read_items(text) else {
        return Err(explain(text, max_items));
    };
    if raw.is_empty() || raw.len() > max_items {
        return Err(explain(text, max_items));
    }
    let items: Result<Vec<_>, _> = raw
        .iter()
        .enumerate()
        .map(|(index, item)| item.checked(index))
        .collect();
    items.map_err(|rejected| strictly(text).err().unwrap_or(rejected))
}

/// Reads the items of a batch one by one: each is right, or at fault by itself. Refused is only what is no batch at all.
pub(crate) fn parse_each(
    body: &[u8],
    max_items: usize,
) -> Result<Vec<Result<Item<'_>, Rejected>>, Rejected> {
    let text = std::str::from_utf8(body).map_err(Rejected::not_json)?;
    let members = members(text, max_items)?;
    let mut items = Vec::with_capacity(members.len());
    for (index, member) in members.into_iter().enumerate() {
        items.push(member_item(index, member).map_err(|rejected| Rejected {
            index: Some(index),
            ..rejected
        }));
    }
    Ok(items)
}

/// One member of a batch, looked at by itself.
fn member_item(index: usize, member: &RawValue) -> Result<Item<'_>, Rejected> {
    strict_json::check(member.get()).map_err(Rejected::not_json)?;
    if !member.get().starts_with('{') {
        return Err(Rejected::item(
            index,
            None,
            "Each metric must be a JSON object",
        ));
    }
    serde_json::from_str::<RawItem<'_>>(member.get())
        .map_err(Rejected::not_json)?
        .checked(index)
}

/// The array, with or without its wrapper, when all its members are objects.
fn read_items(text: &str) -> serde_json::Result<Vec<RawItem<'_>>> {
    if text.trim_start().starts_with('{') {
        Ok(serde_json::from_str::<Wrapped<'_>>(text)?.0)
    } else {
        Ok(serde_json::from_str::<Items<'_>>(text)?.0)
    }
}

/// The reason why a body that [`read_items`] did not take, or took with a wrong number of items, is refused.
fn explain(text: &str, max_items: usize) -> Rejected {
    match reason(text, max_items) {
        Err(rejected) => rejected,
        // Unreachable as long as both readings agree; the answer would still be a refusal.
        Ok(()) => Rejected::not_json("the body could not be read"),
    }
}

fn reason(text: &str, max_items: usize) -> Result<(), Rejected> {
    strictly(text)?;
    for (index, member) in members(text, max_items)?.into_iter().enumerate() {
        member_item(index, member)?;
    }
    Ok(())
}

/// The members of a batch that has as many as it may have.
fn members(text: &str, max_items: usize) -> Result<Vec<&RawValue>, Rejected> {
    serde_json::from_str::<&RawValue>(text).map_err(Rejected::not_json)?;
    let not_an_array = || Rejected::whole("Request body must be a JSON array");
    let array = match text.trim_start().as_bytes().first() {
        Some(b'[') => text,
        Some(b'{') => wrapped_array(text).ok_or_else(not_an_array)?,
        _ => return Err(not_an_array()),
    };
    let members: Vec<&RawValue> = serde_json::from_str(array).map_err(Rejected::not_json)?;
    if members.is_empty() {
        return Err(Rejected::whole("Metrics array must not be empty"));
    }
    if members.len() > max_items {
        return Err(Rejected::whole(&format!(
            "Metrics batch exceeds maximum of {max_items} items"
        )));
    }
    Ok(members)
}

/// Whether the text is the strict JSON that the contract asks for.
fn strictly(text: &str) -> Result<(), Rejected> {
    let whole: &RawValue = serde_json::from_str(text).map_err(Rejected::not_json)?;
    strict_json::check(whole.get()).map_err(Rejected::not_json)
}

fn wrapped_array(text: &str) -> Option<&str> {
    #[derive(serde::Deserialize)]
    struct Wrapper<'a> {
        #[serde(borrow)]
        metrics: &'a RawValue,
    }
    let array = serde_json::from_str::<Wrapper<'_>>(text)
        .ok()?
        .metrics
        .get();
    array.starts_with('[').then_some(array)
}

impl<'a> RawItem<'a> {
    fn checked(&self, index: usize) -> Result<Item<'a>, Rejected> {
        let missing = |field, detail| Rejected::item(index, Some(field), detail);
        let name =
            text(self.name)?.ok_or_else(|| missing("name", "Missing required field: name"))?;
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(missing("name", "Field 'name' must be 1-200 characters"));
        }
        let kind =
            text(self.kind)?.ok_or_else(|| missing("type", "Missing required field: type"))?;
        let kind = MetricType::parse(&kind).ok_or_else(|| {
            missing(
                "type",
                "Field 'type' must be 'counter', 'histogram', or 'gauge'",
            )
        })?;
        let value =
            number(self.value)?.ok_or_else(|| missing("value", "Missing required field: value"))?;
        if let Some(timestamp) = self.timestamp {
            checked_if_nested(timestamp)?;
        }
        Ok(Item {
            name,
            kind,
            value,
            labels: self
                .labels
                .map(RawValue::get)
                .filter(|&labels| labels != "null"),
            timestamp: self.timestamp.map(RawValue::get),
            project: text(self.project)?.filter(|project| !project.is_empty()),
        })
    }
}

/// A string field; `None` when it is absent or something else.
fn text(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, Rejected> {
    let Some(raw) = raw else { return Ok(None) };
    if !raw.get().starts_with('"') {
        checked_if_nested(raw)?;
        return Ok(None);
    }
    let text = strict_json::string(raw.get())
        .ok_or_else(|| Rejected::not_json(strict_json::NotStrict::LoneSurrogate))?;
    Ok(Some(text))
}

/// A finite number; `None` when it is absent, something else, or too large for a double.
fn number(raw: Option<&RawValue>) -> Result<Option<f64>, Rejected> {
    let Some(raw) = raw else { return Ok(None) };
    checked_if_nested(raw)?;
    if !raw
        .get()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    {
        return Ok(None);
    }
    Ok(raw
        .get()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite()))
}

/// A value nobody reads must still be strict JSON.
fn checked_if_nested(raw: &RawValue) -> Result<(), Rejected> {
    if raw.get().starts_with(['{', '[', '"']) {
        strict_json::check(raw.get()).map_err(Rejected::not_json)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let got = match parse_batch(body.as_bytes(), 3) {
            Ok(items) => format!("{}", items.len()),
            Err(Rejected {
                detail,
                index,
                field,
                ..
            }) => match (index, field) {
                (Some(index), Some(field)) => format!("{detail} @{index}.{field}"),
                (Some(index), None) => format!("{detail} @{index}"),
                _ => detail,
            },
        };
        assert_eq!(got, expected, "{body}");
    }

    fn item(fields: &str) -> String {
        format!("[{{\"name\":\"a\",\"type\":\"counter\",\"value\":1{fields}}}]")
    }

    #[test]
    fn the_first_failure_decides() {
        const TYPE: &str = "Field 'type' must be 'counter', 'histogram', or 'gauge'";
        let good = r#"{"name":"a","type":"counter","value":1}"#;
        check(&format!("[{good}]"), "1");
        check(&format!("[{good},{good},{good}]"), "3");
        check(
            &format!("[{good},{good},{good},5]"),
            "Metrics batch exceeds maximum of 3 items",
        );
        check("[]", "Metrics array must not be empty");
        for not_an_array in [
            "5",
            "null",
            "\"abc\"",
            "true",
            "{}",
            "{\"metrics\":5}",
            "{\"metric\":[]}",
            " 1e999 ",
        ] {
            check(not_an_array, "Request body must be a JSON array");
        }
        check("[null]", "Each metric must be a JSON object @0");
        check(
            &format!("[{good},[1e999]]"),
            "Each metric must be a JSON object @1",
        );
        check("[{}]", "Missing required field: name @0.name");
        check(r#"[{"name":null}]"#, "Missing required field: name @0.name");
        check(r#"[{"name":5}]"#, "Missing required field: name @0.name");
        check(
            r#"[{"name":"","type":"nope"},5]"#,
            "Field 'name' must be 1-200 characters @0.name",
        );
        check(
            &format!(r#"[{{"name":"{}"}}]"#, "é".repeat(101)),
            "Field 'name' must be 1-200 characters @0.name",
        );
        check(
            &format!(r#"[{{"name":"{}"}}]"#, "x".repeat(200)),
            "Missing required field: type @0.type",
        );
        check(
            r#"[{"name":"a","type":"Counter"}]"#,
            &format!("{TYPE} @0.type"),
        );
        check(
            &format!(r#"[{good},{{"name":"a","type":"nope"}}]"#),
            &format!("{TYPE} @1.type"),
        );
        check(
            r#"[{"name":"a","type":"gauge"}]"#,
            "Missing required field: value @0.value",
        );
        for value in ["null", "\"1\"", "true", "[1]", "1e999", "-1e999"] {
            check(
                &format!(r#"[{{"name":"a","type":"gauge","value":{value}}}]"#),
                "Missing required field: value @0.value",
            );
        }
    }

    #[test]
    fn a_fault_in_the_json_goes_before_any_other() {
        for body in [
            "",
            "   ",
            "not json",
            "[{\"name\":",
            "[] x",
            "[][]",
            "{'name':'a'}",
            "/*c*/[]",
            "[[[[",
            "\u{feff}[]",
            r#"[{"name":"a","type":"counter","value":1},]"#,
            r#"[{"name":"a","type":"counter","value":01}]"#,
            r#"[{"name":"a","type":"counter","value":1.}]"#,
            r#"[{"name":"a","type":"counter","value":NaN}]"#,
            "[{\"name\":\"a\nb\",\"type\":\"counter\",\"value\":1}]",
            r#"[{"name":"\ud800","type":"counter","value":1}]"#,
            r#"[{"type":"nope"},{"name":"\ud800"}]"#,
            r#"[5,{"name":"a","name":"b"}]"#,
            r#"[{"type":5,"x":{"k":1,"k":2}}]"#,
            r#"{"metrics":[],"metrics":[]}"#,
            r#"{"x":1,"x":2}"#,
        ] {
            check(body, "Invalid JSON");
        }
        for fields in [
            r#","name":"b""#,
            r#","na\u006de":"b""#,
            r#","x":1,"x":2"#,
            r#","x":{"k":1,"k":2}"#,
            r#","timestamp":{"k":1,"k":2}"#,
            r#","timestamp":"\udc00""#,
            r#","project":"\udc00""#,
            r#","project":{"k":1,"k":2}"#,
        ] {
            check(&item(fields), "Invalid JSON");
        }
        assert_eq!(
            parse_batch(b"[\"\xff\"]", 3)
                .expect_err("is refused")
                .detail,
            "Invalid JSON"
        );
    }

    #[test]
    fn deep_nesting_is_refused_and_harmless() {
        for depth in [129, 300, 200_000] {
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            check(&nested, "Invalid JSON");
            check(&item(&format!(",\"x\":{nested}")), "Invalid JSON");
        }
    }

    #[test]
    fn items_are_at_fault_by_themselves() {
        let good = r#"{"name":"a","type":"counter","value":1}"#;
        let body = format!(
            r#"[{good},5,{{"name":"a","x":1,"x":2}},{{"name":"a","type":"gauge"}},{good}]"#
        );
        let items = parse_each(body.as_bytes(), 5).expect("is a batch");
        let faults: Vec<(Option<usize>, &str)> = items
            .iter()
            .filter_map(|item| item.as_ref().err())
            .map(|rejected| (rejected.index, rejected.detail.as_str()))
            .collect();
        assert_eq!(
            faults,
            [
                (Some(1), "Each metric must be a JSON object"),
                (Some(2), "Invalid JSON"),
                (Some(3), "Missing required field: value"),
            ]
        );
        for (body, detail) in [
            ("[", "Invalid JSON"),
            ("[]", "Metrics array must not be empty"),
            ("{}", "Request body must be a JSON array"),
            ("[1,2,3,4,5,6]", "Metrics batch exceeds maximum of 5 items"),
        ] {
            let refused = parse_each(body.as_bytes(), 5).expect_err("is refused");
            assert_eq!(refused.detail, detail);
        }
    }

    #[test]
    fn a_wrapped_batch_is_taken() {
        check(
            r#"{"metrics":[{"name":"a","type":"counter","value":1}],"sent_by":{"x":1}}"#,
            "1",
        );
        check(r#" {"metrics":[]}"#, "Metrics array must not be empty");
        check(r#"{"metrics":[5]}"#, "Each metric must be a JSON object @0");
    }

    #[test]
    fn values_are_any_finite_number() {
        for (text, value) in [
            ("1", 1.0),
            ("-0", 0.0),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
            ("1e308", 1e308),
            ("-2.5E-3", -0.0025),
            ("4.9e-324", 5e-324),
            ("1e-999", 0.0),
        ] {
            let body = format!(r#"[{{"name":"a","type":"gauge","value":{text}}}]"#);
            let items = parse_batch(body.as_bytes(), 1).expect("is a number");
            assert_eq!(items[0].value, value, "{text}");
        }
    }

    #[test]
    fn optional_fields_of_a_wrong_type_count_as_absent() {
        let body = item(r#","project":7,"labels":null,"timestamp":{"a":1},"extra":[1,{"b":null}]"#);
        let items = parse_batch(body.as_bytes(), 1).expect("is taken");
        let Item {
            project,
            labels,
            timestamp,
            ..
        } = &items[0];
        assert_eq!(
            (project, labels, *timestamp),
            (&None, &None, Some(r#"{"a":1}"#))
        );
        let body = item(r#","project":"","labels":{"a":1},"timestamp":"x""#);
        let items = parse_batch(body.as_bytes(), 1).expect("is taken");
        let Item {
            project,
            labels,
            timestamp,
            ..
        } = &items[0];
        assert_eq!(
            (project, *labels, *timestamp),
            (&None, Some(r#"{"a":1}"#), Some("\"x\""))
        );
    }

    #[test]
    fn escapes_are_decoded() {
        let body = r#"[{"name":"\u0061\"\u0000","type":"count\u0065r","value":1,"project":"p\ud83d\ude00"}]"#;
        let items = parse_batch(body.as_bytes(), 1).expect("is taken");
        assert_eq!(
            (&*items[0].name, items[0].kind),
            ("a\"\0", MetricType::Counter)
        );
        assert_eq!(items[0].project.as_deref(), Some("p😀"));
    }
}
