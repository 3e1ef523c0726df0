//! The ways to people: which there are, what they are called, and what becomes of a message on its way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Url;
use sha2::{Digest as _, Sha256};

use super::chat::{self, NtfyTopic};
use super::http::Http;
use super::message::Message;
use super::postmark::Postmark;
use super::settings::Settings;
use super::smtp::Smtp;
use super::text::hex;
use super::webhook::Webhook;

/// What kind of channel it is. The names are stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A mail server.
    Smtp,
    /// The mail service of that name.
    Postmark,
    /// A URL that gets JSON.
    Webhook,
    /// A webhook of Slack, or of what understands its format.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// A topic of an ntfy server.
    Ntfy,
}

impl Kind {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Smtp,
        Self::Postmark,
        Self::Webhook,
        Self::Slack,
        Self::Discord,
        Self::Ntfy,
    ];

    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Postmark => "postmark",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Ntfy => "ntfy",
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This message will never be taken, whatever is mended. Says why.
    Refused(String),
    /// Somebody or something has to recover or be mended first.
    Later {
        /// What is the matter; holds no secret.
        detail: String,
        /// When the other side wants to be asked again.
        retry_after: Option<Duration>,
        /// What is concerned.
        scope: Scope,
    },
}

/// What a passing failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one channel, as one recipient of mail.
    Channel,
    /// The server behind several of them: the other recipients need not be tried now.
    Lane,
}

impl Failure {
    /// A passing failure of one channel.
    pub(super) fn later(detail: impl Into<String>) -> Self {
        Self::Later {
            detail: detail.into(),
            retry_after: None,
            scope: Scope::Channel,
        }
    }

    /// A passing failure of a whole server.
    pub(super) fn server(detail: impl Into<String>) -> Self {
        Self::Later {
            detail: detail.into(),
            retry_after: None,
            scope: Scope::Lane,
        }
    }

    /// What is the matter.
    pub fn detail(&self) -> &str {
        match self {
            Self::Refused(detail) | Self::Later { detail, .. } => detail,
        }
    }
}

/// One target of messages. Cheap to clone.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    kind: Kind,
    key: String,
    target: String,
    lane: usize,
    sender: Sender,
}

enum Sender {
    Smtp(Arc<Smtp>, String),
    Postmark(Arc<Postmark>, String),
    Webhook(Webhook),
    Slack(Url),
    Discord(Url),
    Ntfy(NtfyTopic),
    #[cfg(test)]
    Fake(super::testing::Fake),
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.kind.name(), self.0.target)
    }
}

impl Channel {
    /// See [`Kind`].
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What it is stored under: the same after a restart with the same settings. Holds an address of mail or a hash of
    /// a URL.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// What people know it by: an address of mail, or the host of a URL, whose rest is secret.
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// Channels with the same number share a server and wait for each other.
    pub fn lane(&self) -> usize {
        self.0.lane
    }

    /// Tries to hand a message over, once. `now_ms` is the time of the attempt. Answers what the other side said.
    async fn send(&self, http: &Http, message: &Message, now_ms: i64) -> Result<String, Failure> {
        match &self.0.sender {
            Sender::Smtp(smtp, to) => smtp.send(to, message).await,
            Sender::Postmark(postmark, to) => postmark.send(http, to, message).await,
            Sender::Webhook(webhook) => webhook.send(http, message, now_ms).await,
            Sender::Slack(url) => chat::post(http, url, chat::slack(message)).await,
            Sender::Discord(url) => chat::post(http, url, chat::discord(message)).await,
            Sender::Ntfy(topic) => topic.send(http, message).await,
            #[cfg(test)]
            Sender::Fake(fake) => fake.send(message),
        }
    }
}

/// All channels of a service. Cheap to clone.
#[derive(Clone)]
pub struct Channels(Arc<Set>);

struct Set {
    channels: Vec<Channel>,
    lanes: usize,
    http: Http,
}

impl Channels {
    /// The channels that the settings make possible. `base_url`: where people reach the service.
    pub fn new(settings: &Settings, service: &'static str, base_url: &str) -> Self {
        let mut set = Builder::default();
        if let Some(smtp) = &settings.smtp {
            let host = own_name(base_url, smtp.from.email.domain());
            let smtp = Arc::new(Smtp::new(smtp, &host));
            set.mail(Kind::Smtp, &settings.recipients, |to| {
                Sender::Smtp(Arc::clone(&smtp), to)
            });
        }
        if let Some(postmark) = &settings.postmark {
            let postmark = Arc::new(Postmark::new(postmark));
            set.mail(Kind::Postmark, &settings.recipients, |to| {
                Sender::Postmark(Arc::clone(&postmark), to)
            });
        }
        for url in &settings.webhooks {
            let secret = settings.webhook_secret.clone();
            let webhook = Webhook::new(url.0.clone(), secret, service);
            set.url(Kind::Webhook, &url.0, Sender::Webhook(webhook));
        }
        for url in &settings.slack {
            set.url(Kind::Slack, &url.0, Sender::Slack(url.0.clone()));
        }
        for url in &settings.discord {
            set.url(Kind::Discord, &url.0, Sender::Discord(url.0.clone()));
        }
        for topic in &settings.ntfy {
            let sender = Sender::Ntfy(NtfyTopic::new(topic, settings.ntfy_token.clone()));
            set.url(Kind::Ntfy, &topic.0, sender);
        }
        Self(Arc::new(Set {
            channels: set.channels,
            lanes: set.lanes,
            http: Http::new(settings.allow_private),
        }))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.channels.is_empty()
    }

    /// All of them, in the order of the settings.
    pub fn all(&self) -> &[Channel] {
        &self.0.channels
    }

    /// How many servers there are; lanes count from 0.
    pub fn lanes(&self) -> usize {
        self.0.lanes
    }

    /// The channels of one server.
    pub fn of_lane(&self, lane: usize) -> impl Iterator<Item = &Channel> {
        self.all()
            .iter()
            .filter(move |channel| channel.lane() == lane)
    }

    /// Tries to hand a message over to one of them, once. Boxed: a conversation is some kilobytes of state and much code,
    /// which is not wanted in every caller.
    pub fn send<'a>(
        &'a self,
        channel: &'a Channel,
        message: &'a Message,
        now_ms: i64,
    ) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(channel.send(&self.0.http, message, now_ms))
    }

    /// A set of channels that a test has made.
    #[cfg(test)]
    pub(super) fn fake(fakes: Vec<(Kind, usize, &str, super::testing::Fake)>) -> Self {
        let lanes = fakes.iter().map(|(_, lane, ..)| lane + 1).max();
        let channels = fakes.into_iter().map(|(kind, lane, target, fake)| {
            Channel(Arc::new(Inner {
                kind,
                key: format!("{}:{target}", kind.name()),
                target: target.to_owned(),
                lane,
                sender: Sender::Fake(fake),
            }))
        });
        Self(Arc::new(Set {
            channels: channels.collect(),
            lanes: lanes.unwrap_or(0),
            http: Http::new(false),
        }))
    }
}

/// What this machine calls itself towards mail servers: they want a full name, and a container's own is none.
pub(super) fn own_name(base_url: &str, domain_of_sender: &str) -> String {
    let url = Url::parse(base_url).ok();
    let host = url.as_ref().and_then(Url::domain).unwrap_or_default();
    let usable = |name: &&str| name.contains('.') && name.is_ascii();
    let name = [host, domain_of_sender].into_iter().find(usable);
    name.unwrap_or("localhost").to_owned()
}

#[derive(Default)]
struct Builder {
    channels: Vec<Channel>,
    lanes: usize,
}

impl Builder {
    /// One channel for each recipient, so that one address that is refused, or that was told already, is its own matter.
    fn mail(&mut self, kind: Kind, recipients: &[String], sender: impl Fn(String) -> Sender) {
        let lane = self.lanes;
        for to in recipients {
            let key = format!("{}:{to}", kind.name());
            self.add(kind, key, to.clone(), lane, sender(to.clone()));
        }
    }

    fn url(&mut self, kind: Kind, url: &Url, sender: Sender) {
        let hash = Sha256::digest(url.as_str().as_bytes());
        let short = hex(hash.get(..8).unwrap_or_default());
        let target = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let key = format!("{}:{short}", kind.name());
        self.add(kind, key, target, self.lanes, sender);
    }

    /// The same target twice is one channel; two that would be shown alike are numbered.
    fn add(&mut self, kind: Kind, key: String, mut target: String, lane: usize, sender: Sender) {
        if self.channels.iter().any(|known| known.key() == key) {
            return;
        }
        let shown = format!("{target} (");
        let alike = self.channels.iter().filter(|known| {
            let named = known.target() == target || known.target().starts_with(&shown);
            known.kind() == kind && named
        });
        let alike = alike.count();
        if alike > 0 {
            target = format!("{target} ({})", alike + 1);
        }
        self.lanes = lane + 1;
        self.channels.push(Channel(Arc::new(Inner {
            kind,
            key,
            target,
            lane,
            sender,
        })));
    }
}
