//! Builds what is sent to the error tracker and the metrics collector: the page's data, plus what the relay knows.
//!
//! The relay's own statements win: whatever a page sends, the project is that of its key and the source is `browser`.

use std::fmt::Write as _;

use super::batch::{Batch, Label};
use super::deobfuscate::Symbolication;
use super::event::BrowserError;
use super::json::{Duplicates, Fault, Json, LoneSurrogate, push_string};
use super::page_url;
use super::user_agent::Client;

/// The report for the error tracker's `POST /api/errors`.
///
/// `traceback` is the stack, readable or as it came. `user_id`, `release` and `environment` are the tracker's own fields and stay in
/// `extra` as well, where the original put them. What is known about the browser goes into `tags`.
pub(crate) fn error_report(
    project: &str,
    event: &BrowserError,
    client: &Client,
    traceback: &str,
    symbolication: Option<&Symbolication>,
) -> String {
    let described = symbolication.map(Symbolication::as_json);
    let context = event.context.as_deref().map_or(0, str::len);
    let length = event.message.len() + traceback.len() + context + described.map_or(0, str::len);
    // Some more for what stands beside, and for what becomes longer as JSON.
    let mut out = String::with_capacity(1024 + length + traceback.len() / 16);
    let mut report = Object::open(&mut out);
    report.text("project", project);
    report.text("exception_type", &event.error_type);
    report.text("message", &event.message);
    report.text("traceback", traceback);
    report.text("request_method", "BROWSER");
    let url = event.url.as_deref().map(page_url::scrubbed);
    report.optional("request_url", url.as_deref());
    report.optional("user_id", event.user_id.as_deref());
    report.optional("release", event.release.as_deref());
    report.optional("environment", event.environment.as_deref());
    if *client != Client::default() {
        let mut tags = report.object("tags");
        tags.optional("browser", client.browser);
        tags.optional("browser_version", client.browser_version.as_deref());
        tags.optional("os", client.os);
        tags.optional("os_version", client.os_version.as_deref());
        tags.optional("device", client.device);
        tags.close();
    }
    let mut extra = report.object("extra");
    extra.optional("user_agent", event.user_agent.as_deref());
    extra.optional("session_id", event.session_id.as_deref());
    extra.optional("release", event.release.as_deref());
    extra.optional("timestamp", event.timestamp.as_deref());
    if let Some(context) = &event.context {
        extra.raw("context", context);
    }
    if let Some(described) = described {
        extra.raw("symbolication", described);
    }
    extra.close();
    report.close();
    out
}

/// The batch for the metrics collector's `POST /api/metrics`.
///
/// Every metric gets the project, both as the collector's own field and as a label, `source`, and `page`, the
/// [pattern](page_url::pattern) of its own `page`, else of the path of the batch's URL. `session_id` is dropped from the labels: it made a series per
/// visitor. Secrets in addresses within other labels are taken out.
pub(crate) fn metric_batch(project: &str, batch: &Batch) -> String {
    let pattern = |page: &str| page_url::pattern(page_url::path_of(page));
    let page = batch.url.as_deref().map(pattern);
    let mut out = String::from("[");
    for (index, metric) in batch.metrics.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let mut item = Object::open(&mut out);
        item.text("name", &metric.name);
        item.text("type", metric.kind.as_str());
        item.raw("value", &metric.value);
        item.text("project", project);
        let mut labels = item.object("labels");
        labels.text("project", project);
        labels.text("source", "browser");
        if !metric.labels.iter().any(|(key, _)| key == "page") {
            labels.optional("page", page.as_deref());
        }
        for (key, label) in &metric.labels {
            match label {
                _ if matches!(key.as_str(), "project" | "source" | "session_id") => {}
                Label::Text(text) if key == "page" => labels.text(key, &pattern(text)),
                Label::Text(text) if text.contains(['?', '#', '@', '/', '=', '.']) => {
                    labels.text(key, &page_url::scrubbed(text));
                }
                Label::Text(text) => labels.text(key, text),
                Label::Literal(literal) => labels.raw(key, literal),
                Label::Null => labels.raw(key, "null"),
            }
        }
        labels.close();
        item.optional("timestamp", metric.timestamp.as_deref());
        item.close();
    }
    out.push(']');
    out
}

/// A batch of metrics that is sent later: those without a time get the one when they came.
pub(crate) fn with_arrival(batch: &[u8], arrived: &str) -> Result<String, Fault> {
    let mut json = Json::of(batch, Duplicates::Ignore, LoneSurrogate::Replace);
    let mut out = String::with_capacity(batch.len());
    let mut items = json.open_array()?;
    let mut separator = '[';
    while json.next_item(&mut items)? {
        out.push(separator);
        separator = ',';
        let mut members = json.open_object()?;
        let mut item = Object::open(&mut out);
        let mut has_time = false;
        while let Some(key) = json.next_member(&mut members)? {
            has_time |= key == "timestamp";
            item.key(&key);
            json.copy(item.out)?;
        }
        item.optional("timestamp", (!has_time).then_some(arrived));
        item.close();
    }
    out.push(']');
    Ok(out)
}

/// Writes a JSON object into a text.
pub(super) struct Object<'o> {
    out: &'o mut String,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        push_string(self.out, key);
        self.out.push(':');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_string(self.out, value);
    }

    pub(super) fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: u32) {
        self.key(key);
        // Writing to a text cannot fail.
        let _ = write!(self.out, "{value}");
    }

    /// An array of texts.
    pub(super) fn texts<'t>(&mut self, key: &str, texts: impl Iterator<Item = &'t str>) {
        self.key(key);
        let mut separator = '[';
        for text in texts {
            self.out.push(separator);
            push_string(self.out, text);
            separator = ',';
        }
        self.out.push_str(if separator == '[' { "[]" } else { "]" });
    }

    /// `value` must be JSON already.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }

    pub(super) fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::open(self.out)
    }

    pub(super) fn close(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check_labels(body: &Value, expected: &str) {
        let batch = Batch::from_json(body.to_string().as_bytes()).unwrap();
        let sent: Vec<Value> = serde_json::from_str(&metric_batch("web", &batch)).unwrap();
        assert_eq!(sent[0]["project"], "web");
        let text = metric_batch("web", &batch);
        assert!(text.contains(&format!("\"labels\":{expected}")), "{text}");
    }

    fn batch(labels: &Value, more: &Value) -> Value {
        let mut body = json!({"metrics": [{"name": "n", "type": "histogram", "value": 1.5, "labels": labels}]});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn metrics_that_wait_keep_their_time() {
        let batch = br#"[{"name":"a","value":1e300,"labels":{"timestamp":"x"}},{"name":"b","timestamp":"own"}]"#;
        assert_eq!(
            with_arrival(batch, "now").unwrap(),
            r#"[{"name":"a","value":1e300,"labels":{"timestamp":"x"},"timestamp":"now"},{"name":"b","timestamp":"own"}]"#
        );
        let twice = with_arrival(batch, "now").unwrap();
        assert_eq!(with_arrival(twice.as_bytes(), "later").unwrap(), twice);
        assert!(with_arrival(b"[{]", "now").is_err());
    }

    #[test]
    fn labels_of_the_relay_come_first_and_win() {
        check_labels(
            &batch(&json!({}), &json!({})),
            r#"{"project":"web","source":"browser"}"#,
        );
        check_labels(
            &batch(
                &json!({"plan": "pro", "n": 1}),
                &json!({"url": "https://shop.example/cart?x=1#y"}),
            ),
            r#"{"project":"web","source":"browser","page":"/cart","n":1,"plan":"pro"}"#,
        );
        check_labels(
            &batch(
                &json!({"to": "https://api.example/v1?token=abc&x=1"}),
                &json!({}),
            ),
            r#"{"project":"web","source":"browser","to":"https://api.example/v1?token=[redacted]&x=1"}"#,
        );
        check_labels(
            &batch(&json!({"project": "evil", "source": "x"}), &json!({})),
            r#"{"project":"web","source":"browser"}"#,
        );
    }

    #[test]
    fn a_page_label_of_the_metric_wins_over_the_url_and_sessions_are_no_labels() {
        check_labels(
            &batch(
                &json!({"page": "/own", "session_id": "s"}),
                &json!({"session_id": "uuid", "url": "https://example.com/dashboard"}),
            ),
            r#"{"project":"web","source":"browser","page":"/own"}"#,
        );
    }

    #[test]
    fn pages_of_a_kind_have_one_label() {
        let expected = r#"{"project":"web","source":"browser","page":"/orders/:id"}"#;
        let url = "https://shop.example/orders/1042?token=x#y";
        check_labels(&batch(&json!({}), &json!({"url": url})), expected);
        check_labels(&batch(&json!({"page": "/orders/7"}), &json!({})), expected);
        check_labels(
            &batch(&json!({"page": 7}), &json!({})),
            r#"{"project":"web","source":"browser","page":7}"#,
        );
    }

    #[test]
    fn a_report_has_the_keys_in_order() {
        let event = BrowserError::from_json(
            br#"{"type":"T","message":"a\"b","stack":"s","url":"u","session_id":"i","release":"1.2","context":{"user_id":7}}"#,
        )
        .unwrap();
        assert_eq!(
            error_report("web", &event, &Client::default(), "s", None),
            r#"{"project":"web","exception_type":"T","message":"a\"b","traceback":"s","request_method":"BROWSER","request_url":"u","user_id":"7","release":"1.2","extra":{"session_id":"i","release":"1.2","context":{"user_id":7}}}"#
        );
        let bare = BrowserError::default();
        assert_eq!(
            error_report("web", &bare, &Client::default(), "", None),
            r#"{"project":"web","exception_type":"","message":"","traceback":"","request_method":"BROWSER","extra":{}}"#
        );
        let client = Client {
            browser: Some("Firefox"),
            browser_version: Some("127".to_owned()),
            device: Some("mobile"),
            ..Client::default()
        };
        let secret = BrowserError {
            url: Some("https://a.example/r?token=abc".to_owned()),
            ..BrowserError::default()
        };
        let report = error_report("web", &secret, &client, "", None);
        assert!(
            report.contains(
                r#""request_url":"https://a.example/r?token=[redacted]","tags":{"browser":"Firefox","browser_version":"127","device":"mobile"},"extra":{}"#
            ),
            "{report}"
        );
    }
}
