//! Postmark, a mail service: one JSON request for each mail.

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::channel::Failure;
use super::http::Http;
use super::mail;
use super::message::Message;
use super::settings::PostmarkSettings;
use crate::secret::Secret;

/// The mail service with its token.
pub(super) struct Postmark {
    url: Url,
    token: Secret,
    from: String,
}

/// The part of an answer that says what is wrong.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    error_code: i64,
}

/// Faults of this mail or its recipient, which nobody mends in a day: 300 a bad request, 406 a recipient that bounced or
/// complained. All other codes concern the account or the sender.
const OF_THIS_MAIL: [i64; 2] = [300, 406];

impl Postmark {
    pub(super) fn new(settings: &PostmarkSettings) -> Self {
        Self {
            url: settings.url.0.clone(),
            token: settings.token.clone(),
            from: settings.from.clone(),
        }
    }

    pub(super) async fn send(
        &self,
        http: &Http,
        to: &str,
        message: &Message,
    ) -> Result<String, Failure> {
        let json = HeaderValue::from_static("application/json");
        let mut token = HeaderValue::from_str(self.token.expose()).map_err(|_| {
            Failure::server("POSTMARK_API_TOKEN holds characters that no header can carry")
        })?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]);
        headers.insert("x-postmark-server-token", token);
        let answer = http
            .post(&self.url, headers, self.document(to, message))
            .await?;
        if answer.status.as_u16() == 422 {
            let code = serde_json::from_slice::<Refusal>(&answer.body).map(|it| it.error_code);
            return Err(match code {
                Ok(code) if OF_THIS_MAIL.contains(&code) => {
                    Failure::Refused(answer.told("the mail is refused"))
                }
                _ => answer.later("the account or the sender is not accepted"),
            });
        }
        answer.verdict()?;
        Ok(answer.told("taken"))
    }

    fn document(&self, to: &str, message: &Message) -> String {
        let domain = mail::domain(&self.from);
        json!({
            "From": self.from,
            "To": to,
            "Subject": message.title,
            "TextBody": mail::plain(message),
            "HtmlBody": mail::html(message),
            "MessageStream": "outbound",
            "TrackOpens": false,
            "TrackLinks": "None",
            "Headers": [
                {"Name": "Message-ID", "Value": mail::message_id(message, domain)},
                {"Name": "X-PM-KeepID", "Value": "true"},
                {"Name": "Auto-Submitted", "Value": "auto-generated"},
            ],
        })
        .to_string()
    }
}
