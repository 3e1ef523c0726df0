//! Mail over SMTP: one connection for each mail, since alerts are rare.
//!
//! The connection and its encryption are made here, so that what is read is bounded and the decision whether a password
//! may be sent is made on the connection as it is. The mail itself and the conversation are lettre's.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::channel::Failure;
use super::message::Message;
use super::settings::{SmtpSettings, TlsMode};
use super::{mail, text, tls};

mod stream;

use stream::{Prelude, Stream};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte to the answer that the mail was taken. Servers that are wary of strangers let them wait.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// For saying good-bye once the mail was taken.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Characters of a server's answer that are shown.
const LONGEST_EXCERPT: usize = 200;

/// A mail server.
pub(super) struct Smtp {
    settings: SmtpSettings,
    hello: ClientId,
    tls: OnceLock<TlsConnector>,
}

/// A connection that is ready for the conversation.
struct Session {
    connection: AsyncSmtpConnection,
    encrypted: bool,
}

impl Smtp {
    /// `host`: what this machine calls itself.
    pub(super) fn new(settings: &SmtpSettings, host: &str) -> Self {
        Self {
            settings: settings.clone(),
            hello: ClientId::Domain(host.to_owned()),
            tls: OnceLock::new(),
        }
    }

    /// Sends a mail to one recipient.
    pub(super) async fn send(&self, to: &str, message: &Message) -> Result<String, Failure> {
        let bytes = self.mail(to, message)?;
        let session = async {
            let mut session = self.connect().await?;
            self.sign_in(&mut session).await?;
            let said = self.converse(&mut session.connection, to, &bytes).await?;
            // The mail was taken, whatever becomes of the good-bye.
            drop(timeout(QUIT_TIMEOUT, session.connection.quit()).await);
            Ok(said)
        };
        timeout(SESSION_TIMEOUT, session).await.unwrap_or_else(|_| {
            let seconds = SESSION_TIMEOUT.as_secs();
            Err(Failure::server(format!(
                "the mail server was not done within {seconds} s"
            )))
        })
    }

    /// The mail as it goes over the line, before dots are doubled.
    fn mail(&self, to: &str, message: &Message) -> Result<Vec<u8>, Failure> {
        let refused = |fault: &dyn std::fmt::Display| {
            Failure::Refused(format!("cannot write the mail: {fault}"))
        };
        let to: Mailbox = to.parse().map_err(|fault| refused(&fault))?;
        let since_epoch = Duration::from_millis(u64::try_from(message.time_ms).unwrap_or(0));
        let domain = self.settings.from.email.domain();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let written = lettre::Message::builder()
            .from(self.settings.from.clone())
            .to(to)
            .subject(message.title.clone())
            .date(SystemTime::UNIX_EPOCH + since_epoch)
            .message_id(Some(mail::message_id(message, domain)))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(
                MultiPart::alternative()
                    .singlepart(part(ContentType::TEXT_PLAIN, mail::plain(message)))
                    .singlepart(part(ContentType::TEXT_HTML, mail::html(message))),
            )
            .map_err(|fault| refused(&fault))?;
        Ok(written.formatted())
    }

    /// Connects, and encrypts as the settings say and the server can.
    async fn connect(&self) -> Result<Session, Failure> {
        let SmtpSettings { host, port, .. } = &self.settings;
        let address = (host.trim_matches(['[', ']']), *port);
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let socket = match connected {
            Ok(Ok(socket)) => socket,
            Ok(Err(fault)) => {
                return Err(Failure::server(format!(
                    "cannot connect to {host}:{port}: {fault}"
                )));
            }
            Err(_) => {
                return Err(Failure::server(format!(
                    "cannot connect to {host}:{port} in time"
                )));
            }
        };
        let plain = Stream::new(socket);
        let (stream, encrypted) = match self.settings.tls {
            TlsMode::None => (plain, false),
            TlsMode::Implicit => (self.encrypt(plain).await?, true),
            TlsMode::StartTls | TlsMode::WhenOffered => self.start_tls(plain).await?,
        };
        let connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello)
            .await
            .map_err(|fault| Failure::server(told(&fault)))?;
        Ok(Session {
            connection,
            encrypted,
        })
    }

    /// Asks for STARTTLS. Without it the connection stays as it is, if that is good enough.
    async fn start_tls(&self, plain: Stream) -> Result<(Stream, bool), Failure> {
        let mut prelude = Prelude::new(plain);
        let offered = prelude.hello(&self.hello.to_string()).await;
        if offered.map_err(Failure::server)? {
            let plain = prelude.start_tls().await.map_err(Failure::server)?;
            let encrypted = self.encrypt(plain).await?;
            return Ok((encrypted.greeting_seen(), true));
        }
        if self.settings.tls == TlsMode::StartTls {
            return Err(Failure::server(
                "the mail server does not offer STARTTLS, which SMTP_TLS=starttls requires",
            ));
        }
        Ok((prelude.into_stream().greeting_seen(), false))
    }

    async fn encrypt(&self, plain: Stream) -> Result<Stream, Failure> {
        let host = self.settings.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| Failure::server("SMTP_HOST is no name that a certificate could have"))?;
        let connected = self.connector()?.connect(name, plain).await;
        connected.map(Stream::encrypted).map_err(|fault| {
            Failure::server(format!(
                "TLS with the mail server failed: {fault}; SMTP_CA_FILE names certificates to trust besides the public ones"
            ))
        })
    }

    fn connector(&self) -> Result<TlsConnector, Failure> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector.clone());
        }
        let config = tls::client(&self.settings.certificates).map_err(|fault| {
            Failure::server(format!("cannot use the root certificates: {fault}"))
        })?;
        Ok(self
            .tls
            .get_or_init(|| TlsConnector::from(Arc::new(config)))
            .clone())
    }

    /// Signs in, when there are a name and a password and the line is fit for them.
    async fn sign_in(&self, session: &mut Session) -> Result<(), Failure> {
        let Some((name, password)) = &self.settings.credentials else {
            return Ok(());
        };
        if !session.encrypted && !self.settings.allow_plain_auth {
            return Err(Failure::server(
                "the connection is not encrypted, so the password is not sent; SMTP_ALLOW_PLAIN_AUTH=true would send it",
            ));
        }
        let credentials = Credentials::new(name.clone(), password.expose().to_owned());
        let signed_in = session.connection.auth(DEFAULT_MECHANISMS, &credentials);
        signed_in.await.map(drop).map_err(|fault| {
            Failure::server(format!(
                "signing in to the mail server failed: {}",
                told(&fault)
            ))
        })
    }

    /// Hands the mail over. Answers the server's words.
    async fn converse(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &str,
        mail: &[u8],
    ) -> Result<String, Failure> {
        let to: Mailbox = to
            .parse()
            .map_err(|fault| Failure::Refused(format!("cannot write to {to}: {fault}")))?;
        let (from, to) = (self.settings.from.email.clone(), to.email);
        let mut options = Vec::new();
        let international = |address: &lettre::Address| !AsRef::<str>::as_ref(address).is_ascii();
        if international(&from) || international(&to) {
            if !connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight)
            {
                return Err(Failure::later(
                    "the mail server cannot take addresses that are not ASCII",
                ));
            }
            options.push(MailParameter::SmtpUtfEight);
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let sender = connection.command(Mail::new(Some(from), options)).await;
        sender.map_err(|fault| {
            Failure::server(format!("the sender is not accepted: {}", told(&fault)))
        })?;
        let recipient = connection.command(Rcpt::new(to, Vec::new())).await;
        recipient.map_err(|fault| judged("the recipient is not accepted", &fault))?;
        let data = connection.command(Data).await;
        data.map_err(|fault| judged("the mail is not accepted", &fault))?;
        let taken = connection.message(mail).await;
        let taken = taken.map_err(|fault| judged("the mail is not accepted", &fault))?;
        let words: Vec<&str> = taken.message().collect();
        let words = text::one_line(&words.join(" "), LONGEST_EXCERPT);
        Ok(format!("taken ({} {words})", taken.code()))
    }
}

/// A part whose text is quoted-printable or base64 where it has to be.
fn part(kind: ContentType, text: String) -> SinglePart {
    SinglePart::builder().header(kind).body(text)
}

/// A refusal of this recipient or this mail: for good when the server says so (5xx).
fn judged(what: &str, fault: &SmtpError) -> Failure {
    let detail = format!("{what}: {}", told(fault));
    if fault.is_permanent() {
        Failure::Refused(detail)
    } else {
        Failure::later(detail)
    }
}

/// What went wrong, with the server's words.
fn told(fault: &SmtpError) -> String {
    text::one_line(&fault.to_string(), LONGEST_EXCERPT)
}

#[cfg(test)]
mod tests;
