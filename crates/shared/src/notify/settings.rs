//! The settings of alerts. A service includes [`VARS`] in its own list.

use std::fmt;
use std::io::Read as _;

use lettre::message::Mailbox;
use reqwest::Url;
use rustls::pki_types::CertificateDer;

use super::{guard, tls};
use crate::config::{Reader, Var};
use crate::secret::Secret;

static ALERT_EMAILS: Var = Var::optional(
    "ALERT_EMAILS",
    "mail addresses, separated by commas, at most 50",
    "Who receives alerts by mail, through `SMTP_HOST`, Postmark, or both.",
);
static SMTP_HOST: Var = Var::optional(
    "SMTP_HOST",
    "a host name or address",
    "Mail server for alerts.",
);
static SMTP_PORT: Var = Var::with_default(
    "SMTP_PORT",
    "25",
    "whole number, 1 to 65535",
    "Port of the mail server; usually 587 with a user name, 465 for TLS from the first byte.",
);
static SMTP_TLS: Var = Var::with_default(
    "SMTP_TLS",
    "auto",
    "auto, starttls, implicit or none",
    "Encryption towards the mail server. `auto` is `implicit` on port 465 and else STARTTLS when the server offers it; `starttls` sends nothing without it.",
);
static SMTP_USERNAME: Var = Var::optional(
    "SMTP_USERNAME",
    "a text",
    "User name at the mail server; counts together with `SMTP_PASSWORD`.",
);
static SMTP_PASSWORD: Var =
    Var::optional("SMTP_PASSWORD", "a text", "Password at the mail server.").secret();
static SMTP_ALLOW_PLAIN_AUTH: Var = Var::with_default(
    "SMTP_ALLOW_PLAIN_AUTH",
    "false",
    "true or false",
    "Send the password also over a connection that is not encrypted.",
);
static SMTP_CA_FILE: Var = Var::optional(
    "SMTP_CA_FILE",
    "the path of a PEM file with at least one certificate",
    "Certificates that the mail server's may be signed by, besides the public ones.",
);
static SMTP_FROM: Var = Var::with_default(
    "SMTP_FROM",
    "errors@example.com",
    "a mail address, also as Name <address>",
    "Sender of mails through `SMTP_HOST`.",
);
static POSTMARK_API_TOKEN: Var = Var::optional(
    "POSTMARK_API_TOKEN",
    "the token of a Postmark server",
    "Sends alerts by mail through Postmark; needs `POSTMARK_FROM_EMAIL` and `ALERT_EMAILS`.",
)
.secret();
static POSTMARK_FROM_EMAIL: Var = Var::optional(
    "POSTMARK_FROM_EMAIL",
    "a mail address, also as Name <address>",
    "Sender of mails through Postmark: an address or domain that is confirmed there.",
);
static POSTMARK_API_URL: Var = Var::with_default(
    "POSTMARK_API_URL",
    "https://api.postmarkapp.com",
    "an http:// or https:// address",
    "Where Postmark's API is.",
);
static ALERT_WEBHOOK_URLS: Var = Var::optional(
    "ALERT_WEBHOOK_URLS",
    "http:// or https:// addresses, separated by commas, at most 20",
    "Addresses that get each alert as JSON.",
)
.secret();
static ALERT_WEBHOOK_SECRET: Var = Var::optional(
    "ALERT_WEBHOOK_SECRET",
    "a text",
    "Signs the JSON of `ALERT_WEBHOOK_URLS` with HMAC-SHA256.",
)
.secret();
static SLACK_WEBHOOK_URLS: Var = Var::optional(
    "SLACK_WEBHOOK_URLS",
    "http:// or https:// addresses, separated by commas, at most 20",
    "Incoming webhooks of Slack, or of what understands its messages, such as Mattermost.",
)
.secret();
static DISCORD_WEBHOOK_URLS: Var = Var::optional(
    "DISCORD_WEBHOOK_URLS",
    "http:// or https:// addresses, separated by commas, at most 20",
    "Webhooks of Discord channels.",
)
.secret();
static NTFY_URLS: Var = Var::optional(
    "NTFY_URLS",
    "addresses such as https://ntfy.sh/topic, separated by commas, at most 20",
    "Topics of ntfy servers.",
)
.secret();
static NTFY_TOKEN: Var = Var::optional(
    "NTFY_TOKEN",
    "an access token",
    "Access token for the topics in `NTFY_URLS`.",
)
.secret();
static ALERT_ALLOW_PRIVATE: Var = Var::with_default(
    "ALERT_ALLOW_PRIVATE",
    "false",
    "true or false",
    "Let webhooks, chats and ntfy lead to private addresses, such as another container. Mail servers always may.",
);
static ALERTS_PER_HOUR: Var = Var::with_default(
    "ALERTS_PER_HOUR",
    "30",
    "whole number, 1 to 10000",
    "Alerts that are sent one by one within an hour. What comes beyond is put together in one digest.",
);

/// In the order of the documentation.
pub static VARS: [&Var; 20] = [
    &ALERT_EMAILS,
    &SMTP_HOST,
    &SMTP_PORT,
    &SMTP_TLS,
    &SMTP_USERNAME,
    &SMTP_PASSWORD,
    &SMTP_ALLOW_PLAIN_AUTH,
    &SMTP_CA_FILE,
    &SMTP_FROM,
    &POSTMARK_API_TOKEN,
    &POSTMARK_FROM_EMAIL,
    &POSTMARK_API_URL,
    &ALERT_WEBHOOK_URLS,
    &ALERT_WEBHOOK_SECRET,
    &SLACK_WEBHOOK_URLS,
    &DISCORD_WEBHOOK_URLS,
    &NTFY_URLS,
    &NTFY_TOKEN,
    &ALERT_ALLOW_PRIVATE,
    &ALERTS_PER_HOUR,
];

const MOST_RECIPIENTS: usize = 50;
const MOST_URLS: usize = 20;
/// The most that is read of `SMTP_CA_FILE`.
const CA_FILE_BYTES: u64 = 1024 * 1024;

/// How alerts are to be sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mail server; `None` when none is named.
    pub smtp: Option<SmtpSettings>,
    /// The mail service; `None` without a token.
    pub postmark: Option<PostmarkSettings>,
    /// Who receives mail, each once.
    pub recipients: Vec<String>,
    /// Who gets JSON.
    pub webhooks: Vec<TargetUrl>,
    /// Signs that JSON.
    pub webhook_secret: Option<Secret>,
    /// Webhooks of Slack.
    pub slack: Vec<TargetUrl>,
    /// Webhooks of Discord.
    pub discord: Vec<TargetUrl>,
    /// Topics of ntfy servers.
    pub ntfy: Vec<TargetUrl>,
    /// Opens those topics.
    pub ntfy_token: Option<Secret>,
    /// Whether all but mail servers may be at private addresses.
    pub allow_private: bool,
    /// Alerts sent one by one within an hour.
    pub per_hour: u32,
}

/// How to reach a mail server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// Whether they may be sent without encryption.
    pub allow_plain_auth: bool,
    /// Trusted besides the public roots.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The sender.
    pub from: Mailbox,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// By STARTTLS if the server offers it.
    WhenOffered,
    /// By STARTTLS, or nothing is sent.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// How to send through Postmark.
#[derive(Clone, Debug)]
pub struct PostmarkSettings {
    /// Where mails are posted to.
    pub url: TargetUrl,
    /// Opens it.
    pub token: Secret,
    /// The sender.
    pub from: String,
}

/// A URL that holds a secret, as webhooks do. `Debug` shows its host.
#[derive(Clone)]
pub struct TargetUrl(pub(super) Url);

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.host_str().unwrap_or_default())
    }
}

impl Settings {
    /// Reads them; problems stay with the reader.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let allow_private = reader.boolean(&ALERT_ALLOW_PRIVATE);
        let mut urls = |var| urls(reader, var, allow_private);
        let webhooks = urls(&ALERT_WEBHOOK_URLS);
        let slack = urls(&SLACK_WEBHOOK_URLS);
        let discord = urls(&DISCORD_WEBHOOK_URLS);
        let ntfy = urls(&NTFY_URLS);
        for (number, topic) in ntfy.iter().enumerate() {
            if topic.0.path().trim_matches('/').is_empty() {
                let why = format!("has no topic (entry {})", number + 1);
                reader.problem(&NTFY_URLS, "", &why);
            }
        }
        Self {
            recipients: recipients(reader),
            smtp: smtp(reader),
            postmark: postmark(reader, allow_private),
            webhooks,
            webhook_secret: reader.secret(&ALERT_WEBHOOK_SECRET),
            slack,
            discord,
            ntfy,
            ntfy_token: header_secret(reader, &NTFY_TOKEN),
            allow_private,
            per_hour: reader.integer(&ALERTS_PER_HOUR, 1..=10_000) as u32,
        }
    }

    /// What keeps all alerts from being sent: there is no channel. The texts are those of the original.
    pub fn missing(&self) -> Option<&'static str> {
        let by_mail = self.smtp.is_some() || self.postmark.is_some();
        let lists = [&self.webhooks, &self.slack, &self.discord, &self.ntfy];
        if (by_mail && !self.recipients.is_empty()) || lists.iter().any(|list| !list.is_empty()) {
            None
        } else if by_mail {
            Some("SMTP not configured: ALERT_EMAILS is not set")
        } else {
            Some("SMTP not configured: SMTP_HOST is not set")
        }
    }

    /// What is set and has no effect, for the log at start.
    pub fn warnings(&self) -> Vec<&'static str> {
        let by_mail = self.smtp.is_some() || self.postmark.is_some();
        let mut warnings = Vec::new();
        if by_mail && self.recipients.is_empty() {
            warnings.push("a mail server is set but not ALERT_EMAILS, so no alert is sent by mail");
        }
        if !by_mail && !self.recipients.is_empty() {
            warnings.push(
                "ALERT_EMAILS is set but neither SMTP_HOST nor POSTMARK_API_TOKEN, so no alert is sent by mail",
            );
        }
        warnings
    }
}

fn recipients(reader: &mut Reader<'_>) -> Vec<String> {
    let mut recipients: Vec<String> = Vec::new();
    for item in reader.list(&ALERT_EMAILS) {
        match item.parse::<lettre::Address>() {
            Ok(_) if recipients.contains(&item) => {}
            Ok(_) => recipients.push(item),
            Err(_) => reader.problem(&ALERT_EMAILS, &item, "is no mail address"),
        }
    }
    if recipients.len() > MOST_RECIPIENTS {
        let given = recipients.len().to_string();
        reader.problem(&ALERT_EMAILS, &given, "are too many addresses");
    }
    recipients
}

fn smtp(reader: &mut Reader<'_>) -> Option<SmtpSettings> {
    // Everything is read, so that every fault is found, also without a host.
    let host = reader.text(&SMTP_HOST);
    let port = reader.integer(&SMTP_PORT, 1..=65_535) as u16;
    let tls = tls_mode(reader, port);
    let username = reader.text(&SMTP_USERNAME);
    let password = reader.secret(&SMTP_PASSWORD);
    let allow_plain_auth = reader.boolean(&SMTP_ALLOW_PLAIN_AUTH);
    let certificates = certificates(reader);
    let from = mailbox(reader, &SMTP_FROM);
    let host = host?;
    if !is_host(&host) {
        reader.problem(&SMTP_HOST, &host, "is no host");
    }
    let credentials = username.zip(password);
    if credentials.is_some() && tls == TlsMode::None && !allow_plain_auth {
        let why =
            "would send SMTP_PASSWORD without encryption, which needs SMTP_ALLOW_PLAIN_AUTH=true";
        reader.problem(&SMTP_TLS, "none", why);
    }
    Some(SmtpSettings {
        host,
        port,
        tls,
        credentials,
        allow_plain_auth,
        certificates,
        from: from?,
    })
}

fn tls_mode(reader: &mut Reader<'_>, port: u16) -> TlsMode {
    let automatic = if port == 465 {
        TlsMode::Implicit
    } else {
        TlsMode::WhenOffered
    };
    let modes = [
        ("auto", automatic),
        ("starttls", TlsMode::StartTls),
        ("implicit", TlsMode::Implicit),
        ("none", TlsMode::None),
    ];
    reader.choice(&SMTP_TLS, &modes).unwrap_or(automatic)
}

fn certificates(reader: &mut Reader<'_>) -> Vec<CertificateDer<'static>> {
    let Some(path) = reader.text(&SMTP_CA_FILE) else {
        return Vec::new();
    };
    let mut pem = Vec::new();
    let read = std::fs::File::open(&path)
        .and_then(|file| file.take(CA_FILE_BYTES).read_to_end(&mut pem))
        .map_err(|fault| format!("cannot be read ({fault})"));
    read.and_then(|_| tls::certificates(&pem))
        .unwrap_or_else(|why| {
            reader.problem(&SMTP_CA_FILE, &path, &why);
            Vec::new()
        })
}

fn mailbox(reader: &mut Reader<'_>, var: &'static Var) -> Option<Mailbox> {
    let text = reader.text(var)?;
    let mailbox = text.parse().ok();
    if mailbox.is_none() {
        reader.problem(var, &text, "is no mail address");
    }
    mailbox
}

fn postmark(reader: &mut Reader<'_>, allow_private: bool) -> Option<PostmarkSettings> {
    let from = mailbox(reader, &POSTMARK_FROM_EMAIL);
    let url = reader.url(&POSTMARK_API_URL);
    let token = header_secret(reader, &POSTMARK_API_TOKEN)?;
    let Some(from) = from else {
        reader.problem(
            &POSTMARK_FROM_EMAIL,
            "",
            "must be set together with POSTMARK_API_TOKEN",
        );
        return None;
    };
    let url = url?;
    let parsed = target(&format!("{url}/email"), allow_private);
    let parsed = parsed.map_err(|why| reader.problem(&POSTMARK_API_URL, &url, &why));
    Some(PostmarkSettings {
        url: parsed.ok()?,
        token,
        from: from.to_string(),
    })
}

/// A secret that travels in a header.
fn header_secret(reader: &mut Reader<'_>, var: &'static Var) -> Option<Secret> {
    let secret = reader.secret(var)?;
    let visible = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !visible {
        reader.problem(var, "", "holds characters that no header can carry");
    }
    Some(secret)
}

/// The URLs of a variable, separated by commas or line breaks. They are secrets, so a fault names them by number.
fn urls(reader: &mut Reader<'_>, var: &'static Var, allow_private: bool) -> Vec<TargetUrl> {
    let list = reader.list(var);
    let entries: Vec<&str> = list
        .iter()
        .flat_map(|item| item.split_whitespace())
        .collect();
    if entries.len() > MOST_URLS {
        reader.problem(
            var,
            "",
            &format!("has {} addresses, too many", entries.len()),
        );
    }
    let mut urls = Vec::new();
    for (number, entry) in entries.iter().enumerate().take(MOST_URLS) {
        match target(entry, allow_private) {
            Ok(url) => urls.push(url),
            Err(why) => reader.problem(var, "", &format!("{why} (entry {})", number + 1)),
        }
    }
    urls
}

fn target(text: &str, allow_private: bool) -> Result<TargetUrl, String> {
    let Ok(url) = Url::parse(text) else {
        return Err("is no address".to_owned());
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err("does not begin with http:// or https://".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("has no host".to_owned());
    }
    match guard::url_fault(&url) {
        Some(why) if !allow_private => Err(why.to_owned()),
        _ => Ok(TargetUrl(url)),
    }
}

/// A name of letters, digits, dots, hyphens and underscores, or an address, an IPv6 one also in brackets.
fn is_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok()
        || (host.len() <= 253
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)))
}

#[cfg(test)]
mod tests;
