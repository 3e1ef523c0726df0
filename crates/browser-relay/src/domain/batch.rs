//! Reads a batch of browser metrics, `POST /api/browser/metrics`.

use super::event::{EventId, INVALID_JSON, Refusal, open, text};
use super::json::{Json, Kind};

/// Metrics of one request.
const MOST_METRICS: usize = 1000;
/// Bytes of a metric's name.
const LONGEST_NAME: usize = 200;

/// A batch that can be sent on.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) event_id: Option<EventId>,
    /// URL of the page, for the metrics that name no page of their own.
    pub(crate) url: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) kind: MetricKind,
    /// A number, digit for digit; it fits 64 bits or is a finite double.
    pub(crate) value: String,
    /// The page's own labels in their order.
    pub(crate) labels: Vec<(String, Label)>,
    pub(crate) timestamp: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Counter,
    Histogram,
    Gauge,
}

impl MetricKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Gauge => "gauge",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Label {
    Text(String),
    /// A number or a boolean as it was written.
    Literal(String),
    /// What else was given; labels do not nest.
    Null,
}

impl Batch {
    /// Reads a body; the first bad metric refuses the whole batch, so that a page sees its mistake.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let mut json = open(body)?;
        let mut batch = Self::default();
        let mut metrics = Err(Refusal("Missing required field: metrics"));
        let mut members = json.open_object().map_err(|_| INVALID_JSON)?;
        while let Some(key) = json.next_member(&mut members).map_err(|_| INVALID_JSON)? {
            match key.as_str() {
                "metrics" => metrics = read_metrics(&mut json)?,
                "url" => batch.url = text(&mut json)?,
                "event_id" => batch.event_id = EventId::read(&mut json)?,
                // The session is known to the tracker; as a label it would be a series per visitor.
                _ => json.skip().map_err(|_| INVALID_JSON)?,
            }
        }
        batch.metrics = metrics?;
        Ok(batch)
    }
}

/// The outer error ends reading, the inner one is what the batch as a whole deserves.
fn read_metrics(json: &mut Json<&[u8]>) -> Result<Result<Vec<Metric>, Refusal>, Refusal> {
    if json.kind().map_err(|_| INVALID_JSON)? != Kind::Array {
        json.skip().map_err(|_| INVALID_JSON)?;
        return Ok(Err(Refusal("Field 'metrics' must be an array")));
    }
    let mut metrics = Vec::new();
    let mut count = 0_usize;
    let mut fault = None;
    let mut items = json.open_array().map_err(|_| INVALID_JSON)?;
    while json.next_item(&mut items).map_err(|_| INVALID_JSON)? {
        count += 1;
        if count > MOST_METRICS || fault.is_some() {
            json.skip().map_err(|_| INVALID_JSON)?;
            continue;
        }
        match read_metric(json)? {
            Ok(metric) => metrics.push(metric),
            Err(refusal) => fault = Some(refusal),
        }
    }
    Ok(match fault {
        _ if count == 0 => Err(Refusal("Metrics array must not be empty")),
        _ if count > MOST_METRICS => Err(Refusal("Metrics batch exceeds maximum of 1000 items")),
        Some(refusal) => Err(refusal),
        None => Ok(metrics),
    })
}

#[derive(Default)]
struct RawMetric {
    name: Option<String>,
    kind: Option<String>,
    value: Option<String>,
    labels: Vec<(String, Label)>,
    timestamp: Option<String>,
}

fn read_metric(json: &mut Json<&[u8]>) -> Result<Result<Metric, Refusal>, Refusal> {
    if json.kind().map_err(|_| INVALID_JSON)? != Kind::Object {
        json.skip().map_err(|_| INVALID_JSON)?;
        return Ok(Err(Refusal("Each metric must be a JSON object")));
    }
    let mut raw = RawMetric::default();
    let mut members = json.open_object().map_err(|_| INVALID_JSON)?;
    while let Some(key) = json.next_member(&mut members).map_err(|_| INVALID_JSON)? {
        match key.as_str() {
            "name" => raw.name = text(json)?,
            "type" => raw.kind = text(json)?,
            "value" => raw.value = number(json)?,
            "labels" => raw.labels = labels(json)?,
            "timestamp" => raw.timestamp = text(json)?,
            _ => json.skip().map_err(|_| INVALID_JSON)?,
        }
    }
    Ok(raw.check())
}

impl RawMetric {
    fn check(self) -> Result<Metric, Refusal> {
        let name = self.name.ok_or(Refusal("Missing required field: name"))?;
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(Refusal("Field 'name' must be 1-200 characters"));
        }
        let kind = match self
            .kind
            .ok_or(Refusal("Missing required field: type"))?
            .as_str()
        {
            "counter" => MetricKind::Counter,
            "histogram" => MetricKind::Histogram,
            "gauge" => MetricKind::Gauge,
            _ => {
                return Err(Refusal(
                    "Field 'type' must be 'counter', 'histogram', or 'gauge'",
                ));
            }
        };
        let value = self.value.ok_or(Refusal("Missing required field: value"))?;
        Ok(Metric {
            name,
            kind,
            value,
            labels: self.labels,
            timestamp: self.timestamp,
        })
    }
}

/// The next value if it is a number that fits.
fn number(json: &mut Json<&[u8]>) -> Result<Option<String>, Refusal> {
    if json.kind().map_err(|_| INVALID_JSON)? != Kind::Number {
        json.skip().map_err(|_| INVALID_JSON)?;
        return Ok(None);
    }
    let digits = json.number().map_err(|_| INVALID_JSON)?;
    let fits = if digits.contains(['.', 'e', 'E']) {
        digits.parse::<f64>().is_ok_and(f64::is_finite)
    } else {
        digits.parse::<i64>().is_ok()
    };
    Ok(fits.then_some(digits))
}

fn labels(json: &mut Json<&[u8]>) -> Result<Vec<(String, Label)>, Refusal> {
    let mut labels = Vec::new();
    if json.kind().map_err(|_| INVALID_JSON)? != Kind::Object {
        json.skip().map_err(|_| INVALID_JSON)?;
        return Ok(labels);
    }
    let mut members = json.open_object().map_err(|_| INVALID_JSON)?;
    while let Some(key) = json.next_member(&mut members).map_err(|_| INVALID_JSON)? {
        let mut literal = String::new();
        let label = match json.kind().map_err(|_| INVALID_JSON)? {
            Kind::String => Label::Text(json.string().map_err(|_| INVALID_JSON)?),
            Kind::Number | Kind::Bool => {
                json.copy(&mut literal).map_err(|_| INVALID_JSON)?;
                Label::Literal(literal)
            }
            Kind::Object | Kind::Array | Kind::Null => {
                json.skip().map_err(|_| INVALID_JSON)?;
                Label::Null
            }
        };
        labels.push((key, label));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(body: &str, detail: &'static str) {
        assert_eq!(
            Batch::from_json(body.as_bytes()),
            Err(Refusal(detail)),
            "{body}"
        );
    }

    #[test]
    fn refusals_in_order() {
        check_refused("", "Empty request body");
        check_refused("[1", "Invalid JSON");
        check_refused("[]", "Request body must be a JSON object");
        check_refused("{}", "Missing required field: metrics");
        check_refused(r#"{"metrics":null}"#, "Field 'metrics' must be an array");
        check_refused(r#"{"metrics":[]}"#, "Metrics array must not be empty");
        check_refused(r#"{"metrics":[1]}"#, "Each metric must be a JSON object");
        check_refused(
            r#"{"metrics":[{"name":1}]}"#,
            "Missing required field: name",
        );
        check_refused(
            r#"{"metrics":[{"name":""}]}"#,
            "Field 'name' must be 1-200 characters",
        );
        check_refused(
            r#"{"metrics":[{"name":"n","value":1}]}"#,
            "Missing required field: type",
        );
        check_refused(
            r#"{"metrics":[{"name":"n","type":"Counter"}]}"#,
            "Field 'type' must be 'counter', 'histogram', or 'gauge'",
        );
        for value in [
            "\"1\"",
            "true",
            "null",
            "[]",
            "1e999",
            "9223372036854775808",
            "123456789012345678901234567890",
        ] {
            let body = format!(
                "{{\"metrics\":[{{\"name\":\"n\",\"type\":\"gauge\",\"value\":{value}}}]}}"
            );
            check_refused(&body, "Missing required field: value");
        }
        check_refused(
            r#"{"metrics":[{"name":"n","type":"gauge","value":1,"value":2}]}"#,
            "Invalid JSON",
        );
    }

    #[test]
    fn the_size_of_a_batch_counts_before_its_items() {
        let metric = r#"{"name":"n","type":"gauge","value":1}"#;
        let batch = |count: usize| format!("{{\"metrics\":[{}]}}", vec![metric; count].join(","));
        assert_eq!(
            Batch::from_json(batch(1000).as_bytes()).map(|batch| batch.metrics.len()),
            Ok(1000)
        );
        check_refused(&batch(1001), "Metrics batch exceeds maximum of 1000 items");
        check_refused(
            &format!("{{\"metrics\":[0{}]}}", format!(",{metric}").repeat(1000)),
            "Metrics batch exceeds maximum of 1000 items",
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        for value in ["1", "-1.50", "1e300", "0.1E-7", "-9223372036854775808"] {
            let body = format!(
                "{{\"metrics\":[{{\"name\":\"n\",\"type\":\"gauge\",\"value\":{value}}}]}}"
            );
            let batch = Batch::from_json(body.as_bytes()).unwrap();
            assert_eq!(batch.metrics[0].value, value);
        }
    }

    #[test]
    fn labels_and_other_fields() {
        let body = r#"{"url":"https://a/b","session_id":"s","metrics":[{"name":"n","type":"gauge","value":1,"extra":{},
            "labels":{"a":"b","n":1.0,"t":true,"z":null,"o":{"x":1},"l":[1]},"timestamp":"now"},
            {"name":"n","type":"counter","value":1,"labels":["x"],"timestamp":5}]}"#;
        let batch = Batch::from_json(body.as_bytes()).unwrap();
        assert_eq!(batch.url.as_deref(), Some("https://a/b"));
        let labels: Vec<_> = batch.metrics[0]
            .labels
            .iter()
            .map(|(key, label)| (key.as_str(), label.clone()))
            .collect();
        let literal = |text: &str| Label::Literal(text.to_owned());
        assert_eq!(
            labels,
            [
                ("a", Label::Text("b".to_owned())),
                ("n", literal("1.0")),
                ("t", literal("true")),
                ("z", Label::Null),
                ("o", Label::Null),
                ("l", Label::Null),
            ]
        );
        assert_eq!(batch.metrics[0].timestamp.as_deref(), Some("now"));
        assert_eq!(
            (batch.metrics[1].labels.len(), &batch.metrics[1].timestamp),
            (0, &None)
        );
    }
}
