//! Errors and batches of metrics, as JSON.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::batch::Batch;
use crate::domain::deobfuscate::{deobfuscate, queries};
use crate::domain::enrich;
use crate::domain::event::{BrowserError, INVALID_JSON};
use crate::domain::page_url;
use crate::domain::stack::Stack;
use crate::domain::user_agent::Client;

const PROJECT: &str = "shop \"web\"\n";

/// Reads the body as an error and as a batch, and builds what would be sent on.
pub fn check(data: &[u8]) {
    let document: Option<Value> = serde_json::from_slice(data).ok();
    match BrowserError::from_json(data) {
        Ok(event) => check_error(&event, document.as_ref()),
        // Ours refuses more than serde_json: keys given twice, very long numbers. What it does not take for JSON at all
        // must be one of these.
        Err(refusal) if refusal == INVALID_JSON => {}
        Err(_) => {
            if let Some(document) = &document {
                let complete = ["type", "message", "stack"]
                    .iter()
                    .all(|key| document[key].is_string());
                assert!(!complete, "a complete error is refused");
            }
        }
    }
    if let Ok(batch) = Batch::from_json(data) {
        check_batch(&batch);
    }
}

fn check_error(event: &BrowserError, document: Option<&Value>) {
    if let Some(document) = document {
        let text = |key: &str| document[key].as_str();
        assert_eq!(Some(event.error_type.as_str()), text("type"));
        assert_eq!(Some(event.message.as_str()), text("message"));
        assert_eq!(Some(event.stack.as_str()), text("stack"));
        assert_eq!(event.url.as_deref(), text("url"));
        assert_eq!(event.release.as_deref(), text("release"));
        assert_eq!(event.session_id.as_deref(), text("session_id"));
        assert_eq!(event.context.is_some(), document["context"].is_object());
        if let Some(context) = &event.context {
            let again: Value = serde_json::from_str(context).expect("a context that is JSON");
            assert_eq!(again, document["context"]);
        }
    }
    if let Some(url) = &event.url {
        let kept = page_url::scrubbed(url);
        assert_eq!(page_url::scrubbed(&kept), kept);
        assert!(page_url::pattern(page_url::path_of(url)).len() <= 500);
    }
    let stack = Stack::parse(&event.stack);
    let outcomes: Vec<_> = queries(&stack, &event.debug_ids)
        .into_iter()
        .map(|query| {
            Err(query
                .err()
                .unwrap_or(crate::domain::deobfuscate::Unmapped::NoRelease))
        })
        .collect();
    let (readable, symbolication) = deobfuscate(&stack, &outcomes);
    let client = Client::of(event.user_agent.as_deref().unwrap_or_default());
    let report = enrich::error_report(PROJECT, event, &client, &readable, Some(&symbolication));
    check_json(&report);
    // Numbers that no double can hold pass as they are; serde_json cannot read them.
    if let Ok(report) = serde_json::from_str::<Value>(&report) {
        assert_eq!(report["project"], PROJECT);
        assert_eq!(report["exception_type"], event.error_type);
        assert_eq!(report["message"], event.message);
        assert_eq!(report["traceback"], event.stack);
    }
}

fn check_batch(batch: &Batch) {
    assert!((1..=1000).contains(&batch.metrics.len()));
    let sent = enrich::metric_batch(PROJECT, batch);
    check_json(&sent);
    let sent: Value = serde_json::from_str(&sent).expect("numbers of metrics fit");
    for (metric, sent) in batch.metrics.iter().zip(sent.as_array().expect("an array")) {
        assert!((1..=200).contains(&metric.name.len()));
        assert_eq!(sent["name"], metric.name);
        assert_eq!(sent["project"], PROJECT);
        assert_eq!(sent["labels"]["project"], PROJECT);
        assert_eq!(sent["labels"]["source"], "browser");
    }
    let later = enrich::with_arrival(sent.to_string().as_bytes(), "2026-01-02T03:04:05Z")
        .expect("JSON of our own");
    let later: Value = serde_json::from_str(&later).expect("JSON");
    for (sent, later) in sent
        .as_array()
        .into_iter()
        .flatten()
        .zip(later.as_array().into_iter().flatten())
    {
        assert_eq!(later["name"], sent["name"]);
        assert!(later["timestamp"].is_string());
    }
}

/// JSON whose texts hold nothing that could end a line or a text early.
fn check_json(text: &str) {
    serde_json::from_str::<&RawValue>(text).expect("JSON");
    assert!(!text.contains(|character: char| character < ' '));
}
