use super::*;
use crate::config::{Env, Reader};
use crate::notify::message::Tone;
use crate::notify::settings::Settings;
use crate::notify::testing::MailServer;

fn smtp(port: u16, more: &[(&str, &str)]) -> Smtp {
    let port = port.to_string();
    let base = [
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", port.as_str()),
        ("SMTP_FROM", "Monlight <errors@m.example>"),
    ];
    let env = Env::of(base.into_iter().chain(more.iter().copied()));
    let mut reader = Reader::new(&env);
    let settings = Settings::read(&mut reader);
    reader.finish().expect("usable settings");
    Smtp::new(&settings.smtp.expect("a mail server"), "m.example")
}

fn message() -> Message {
    Message::new(
        "inst.7.1737367200000",
        "new",
        Tone::Alarm,
        1_737_367_200_000,
    )
    .title("[shop] E: it broke (#7)")
    .headline("New error in shop")
    .lead("it broke")
    .link("https://m.example/errors/7")
}

const HELLO: (&str, &str) = ("", "220 mail.example ESMTP\r\n");
const EHLO: (&str, &str) = ("EHLO m.example", "250-mail.example\r\n250 8BITMIME\r\n");
const EHLO_AUTH: (&str, &str) = ("EHLO", "250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n");
const MAIL: (&str, &str) = ("MAIL FROM:<errors@m.example>", "250 ok\r\n");
const RCPT: (&str, &str) = ("RCPT TO:<ops@x.example>", "250 ok\r\n");
const DATA: (&str, &str) = ("DATA", "354 go on\r\n");
const END: (&str, &str) = (".", "250 queued as 42\r\n");
const QUIT: (&str, &str) = ("QUIT", "221 bye\r\n");

async fn sent(
    script: &[(&'static str, &'static str)],
    more: &[(&str, &str)],
    message: &Message,
) -> (Result<String, Failure>, Vec<String>) {
    let server = MailServer::start(script);
    let result = smtp(server.port, more).send("ops@x.example", message).await;
    (result, server.lines())
}

/// The lines between DATA and the dot that ends them, dots undoubled.
fn mail_in(lines: &[String]) -> Vec<String> {
    let start = lines.iter().position(|line| line == "DATA").expect("DATA") + 1;
    let length = lines[start..].iter().position(|line| line == ".");
    lines[start..start + length.expect("an end")]
        .iter()
        .map(|line| line.strip_prefix('.').unwrap_or(line).to_owned())
        .collect()
}

#[tokio::test]
async fn a_mail_is_handed_over() {
    let script = [HELLO, EHLO, EHLO, MAIL, RCPT, DATA, END, QUIT];
    let (result, lines) = sent(&script, &[], &message()).await;
    assert_eq!(result, Ok("taken (250 queued as 42)".to_owned()));
    let mail = mail_in(&lines);
    for header in [
        "From: Monlight <errors@m.example>",
        "To: ops@x.example",
        "Subject: [shop] E: it broke (#7)",
        "Date: Mon, 20 Jan 2025 10:00:00 +0000",
        "Message-ID: <inst.7.1737367200000@m.example>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
    ] {
        assert!(
            mail.iter().any(|line| line == header),
            "{header} in {mail:#?}"
        );
    }
    let kind = mail.iter().find(|line| line.starts_with("Content-Type:"));
    assert!(
        kind.is_some_and(|kind| kind.contains("multipart/alternative")),
        "{mail:#?}"
    );
    let parts = [
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
    ];
    for part in parts {
        assert_eq!(
            mail.iter().filter(|line| *line == part).count(),
            1,
            "{mail:#?}"
        );
    }
}

#[tokio::test]
async fn text_of_strangers_adds_no_header_and_no_command() {
    let hostile = message()
        .title("[a\r\nBcc: evil@x.example\r\n\r\nbody] \u{202E}E\u{0}: ü\u{2028}x (#7)")
        .lead(".\r\nQUIT\r\n.\n.\rMAIL FROM:<evil@x.example>\r\n..x")
        .block("Traceback", "a\r\n.\r\nRCPT TO:<evil@x.example>\r\n")
        .fact("Project\0", "\r\nX-Evil: 1");
    let script = [HELLO, EHLO, EHLO, MAIL, RCPT, DATA, END, QUIT];
    let (result, lines) = sent(&script, &[], &hostile).await;
    result.expect("taken");
    let commands = lines.iter().filter(|line| {
        ["MAIL", "RCPT", "QUIT", "DATA"]
            .iter()
            .any(|verb| line.starts_with(verb))
    });
    // Whatever of the body looks like a command stands before the end of the mail.
    let end = lines.iter().position(|line| line == ".").expect("an end");
    let start = lines.iter().position(|line| line == "DATA").expect("DATA");
    let outside = commands.filter(|line| {
        let at = lines
            .iter()
            .position(|other| std::ptr::eq(other, *line))
            .expect("itself");
        !(start + 1..end).contains(&at)
    });
    assert_eq!(outside.count(), 4, "{lines:#?}");
    let mail = mail_in(&lines);
    let headers: Vec<&String> = mail.iter().take_while(|line| !line.is_empty()).collect();
    for header in &headers {
        let name = header.split(':').next().expect("a name");
        let known = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
        ];
        let folded = header.starts_with(' ');
        assert!(folded || known.contains(&name), "{header} in {headers:#?}");
        assert!(header.is_ascii(), "{header}");
    }
}

#[tokio::test]
async fn a_long_subject_is_encoded_and_folded() {
    let long = message().title(&"grün 🌍 ".repeat(60));
    let script = [HELLO, EHLO, EHLO, MAIL, RCPT, DATA, END, QUIT];
    let (result, lines) = sent(&script, &[], &long).await;
    result.expect("taken");
    for line in mail_in(&lines) {
        assert!(line.len() <= 998 && line.is_ascii(), "{line}");
    }
}

#[tokio::test]
async fn no_password_goes_over_a_plain_line() {
    let credentials = [("SMTP_USERNAME", "u"), ("SMTP_PASSWORD", "hush")];
    let script = [HELLO, EHLO_AUTH, EHLO_AUTH, ("AUTH", "235 ok\r\n"), QUIT];
    let (result, lines) = sent(&script, &credentials, &message()).await;
    let failure = result.unwrap_err();
    assert!(
        failure.detail().contains("SMTP_ALLOW_PLAIN_AUTH"),
        "{failure:?}"
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("AUTH")),
        "{lines:?}"
    );

    let mut allowed = credentials.to_vec();
    allowed.push(("SMTP_ALLOW_PLAIN_AUTH", "true"));
    let auth = ("AUTH PLAIN AHUAaHVzaA==", "235 ok\r\n");
    let script = [
        HELLO, EHLO_AUTH, EHLO_AUTH, auth, MAIL, RCPT, DATA, END, QUIT,
    ];
    let (result, _) = sent(&script, &allowed, &message()).await;
    assert_eq!(result, Ok("taken (250 queued as 42)".to_owned()));
}

#[tokio::test]
async fn starttls_that_is_required_and_not_offered_sends_nothing() {
    let script = [HELLO, EHLO, MAIL];
    let (result, lines) = sent(&script, &[("SMTP_TLS", "starttls")], &message()).await;
    let failure = result.unwrap_err();
    assert!(
        failure.detail().contains("does not offer STARTTLS"),
        "{failure:?}"
    );
    assert_eq!(lines, ["EHLO m.example"]);
}

#[tokio::test]
async fn words_before_the_encryption_end_the_session() {
    let injected = ("STARTTLS", "220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n");
    let script = [
        HELLO,
        ("EHLO", "250-mail.example\r\n250 STARTTLS\r\n"),
        injected,
    ];
    let (result, _) = sent(&script, &[], &message()).await;
    let failure = result.unwrap_err();
    assert!(
        failure.detail().contains("before the encryption"),
        "{failure:?}"
    );
}

#[track_caller]
fn check(result: Result<String, Failure>, expected: &str) {
    let found = match &result {
        Ok(said) => said.clone(),
        Err(Failure::Refused(detail)) => format!("refused: {detail}"),
        Err(Failure::Later { detail, scope, .. }) => format!("later, {scope:?}: {detail}"),
    };
    assert!(found.starts_with(expected), "{found}");
}

#[tokio::test]
async fn failures_are_sorted() {
    let run = async |script: &[(&'static str, &'static str)]| sent(script, &[], &message()).await.0;
    check(
        run(&[("", "554 go away\r\n")]).await,
        "later, Lane: the mail server answered \"554 go away\"",
    );
    check(
        run(&[("", "HTTP/1.1 400 Bad Request\r\n")]).await,
        "later, Lane: the mail server answered",
    );
    check(
        run(&[HELLO, ("EHLO", "502 what\r\n")]).await,
        "later, Lane: the mail server answered \"502 what\"",
    );
    let sender = ("MAIL", "550 not you\r\n");
    check(
        run(&[HELLO, EHLO, EHLO, sender, QUIT]).await,
        "later, Lane: the sender is not accepted",
    );
    let grey = ("RCPT", "451 come back\r\n");
    check(
        run(&[HELLO, EHLO, EHLO, MAIL, grey, QUIT]).await,
        "later, Channel: the recipient",
    );
    let unknown = ("RCPT", "550 5.1.1 no such user\r\n");
    check(
        run(&[HELLO, EHLO, EHLO, MAIL, unknown, QUIT]).await,
        "refused: the recipient is not accepted",
    );
    let spam = (".", "554 spam\r\n");
    check(
        run(&[HELLO, EHLO, EHLO, MAIL, RCPT, DATA, spam]).await,
        "refused: the mail is not accepted",
    );
    let full = (".", "452 full\r\n");
    check(
        run(&[HELLO, EHLO, EHLO, MAIL, RCPT, DATA, full]).await,
        "later, Channel: the mail is not accepted",
    );
    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    check(
        smtp(port, &[]).send("a@b.example", &message()).await,
        "later, Lane: cannot connect",
    );
    let refused = ("AUTH", "535 wrong password\r\n");
    let server = MailServer::start(&[HELLO, EHLO_AUTH, EHLO_AUTH, refused]);
    let more = [
        ("SMTP_USERNAME", "u"),
        ("SMTP_PASSWORD", "hush"),
        ("SMTP_ALLOW_PLAIN_AUTH", "1"),
    ];
    let result = smtp(server.port, &more)
        .send("a@b.example", &message())
        .await;
    assert!(!result.as_ref().unwrap_err().detail().contains("hush"));
    check(result, "later, Lane: signing in to the mail server failed");
}

#[tokio::test]
async fn a_server_that_talks_without_end_is_left() {
    let endless: &'static str = Box::leak("250-x".repeat(200_000).into_boxed_str());
    let (result, _) = sent(&[("", endless)], &[], &message()).await;
    check(
        result,
        "later, Lane: the mail server hung up: the mail server talks without end",
    );
    let (result, _) = sent(&[HELLO, EHLO, ("EHLO", endless)], &[], &message()).await;
    let failure = result.unwrap_err();
    assert!(failure.detail().contains("without end"), "{failure:?}");
}

#[tokio::test]
async fn a_mail_that_was_taken_counts_whatever_comes_then() {
    let script = [HELLO, EHLO, EHLO, MAIL, RCPT, DATA, END];
    let (result, _) = sent(&script, &[], &message()).await;
    assert_eq!(result, Ok("taken (250 queued as 42)".to_owned()));
}
