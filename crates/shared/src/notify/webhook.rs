//! Webhooks: the message as JSON, signed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::channel::Failure;
use super::http::Http;
use super::message::Message;
use super::text::hex;
use crate::clock::iso_millis;
use crate::secret::Secret;

/// A URL that gets every message as a JSON document.
pub(super) struct Webhook {
    url: Url,
    secret: Option<Secret>,
    service: &'static str,
}

impl Webhook {
    pub(super) fn new(url: Url, secret: Option<Secret>, service: &'static str) -> Self {
        Self {
            url,
            secret,
            service,
        }
    }

    /// Sends it. The id is the same for every attempt, so that a receiver can tell a repetition; the time and with it
    /// the signature are those of the attempt.
    pub(super) async fn send(
        &self,
        http: &Http,
        message: &Message,
        now_ms: i64,
    ) -> Result<String, Failure> {
        let body = document(self.service, message);
        let timestamp = now_ms.div_euclid(1_000).to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let visible = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| {
                Failure::Refused("the message has an id that no header can carry".to_owned())
            })
        };
        headers.insert("x-monlight-delivery", visible(&message.id)?);
        headers.insert("x-monlight-event", visible(message.kind)?);
        headers.insert("x-monlight-timestamp", visible(&timestamp)?);
        if let Some(secret) = &self.secret {
            let signature = format!("sha256={}", signature(secret, &timestamp, &body));
            headers.insert("x-monlight-signature", visible(&signature)?);
        }
        let answer = http.post(&self.url, headers, body).await?;
        answer.verdict()?;
        Ok(answer.told("taken"))
    }
}

/// HMAC-SHA256 over the timestamp, a dot and the body, in hexadecimal.
fn signature(secret: &Secret, timestamp: &str, body: &str) -> String {
    #[expect(clippy::expect_used, reason = "an HMAC takes keys of any length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length will do");
    for part in [timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    hex(&mac.finalize().into_bytes())
}

/// The body: what every message has, then what its service adds.
fn document(service: &str, message: &Message) -> String {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("version", json!(1));
    put("id", json!(message.id));
    put("service", json!(service));
    put("kind", json!(message.kind));
    put("time", json!(iso_millis(message.time_ms)));
    put("title", json!(message.title));
    put("headline", json!(message.headline));
    put("link", json!(message.link));
    for (name, value) in &message.document {
        put(name, value.clone());
    }
    Value::Object(body).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::Tone;

    #[test]
    fn the_signature_covers_time_and_body() {
        // Computed with Python: hmac.new(b"secret", b'1737367200.{"a":1}', "sha256").hexdigest()
        let found = signature(&Secret::new("secret"), "1737367200", "{\"a\":1}");
        assert_eq!(
            found,
            "344180d62ea1aba291f45123f4485834bb4e3c0878832358187acddc953af228"
        );
        for (timestamp, body) in [("1737367201", "{\"a\":1}"), ("1737367200", "{\"a\":2}")] {
            assert_ne!(signature(&Secret::new("secret"), timestamp, body), found);
        }
        assert_ne!(
            signature(&Secret::new("other"), "1737367200", "{\"a\":1}"),
            found
        );
    }

    #[test]
    fn the_document_keeps_values_as_they_are() {
        let message = Message::new("a-1", "new", Tone::Alarm, 1_737_367_200_120)
            .title("t")
            .link("https://e.example/errors/1")
            .value("error", json!({"message": "<b>\r\n\u{202E}"}));
        let parsed: Value = serde_json::from_str(&document("error-tracker", &message)).unwrap();
        assert_eq!(
            parsed,
            json!({
                "version": 1, "id": "a-1", "service": "error-tracker", "kind": "new",
                "time": "2025-01-20T10:00:00.120Z", "title": "t", "headline": "",
                "link": "https://e.example/errors/1", "error": {"message": "<b>\r\n\u{202E}"},
            })
        );
    }
}
