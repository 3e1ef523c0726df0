use super::*;
use crate::config::Env;

fn read(settings: &[(&str, &str)]) -> Result<Settings, String> {
    let env = Env::of(settings.iter().copied());
    let mut reader = Reader::new(&env);
    let settings = Settings::read(&mut reader);
    let read = reader.finish().map(|()| settings);
    read.map_err(|fault| fault.to_string())
}

#[test]
fn nothing_is_set() {
    let settings = read(&[("SMTP_HOST", ""), ("ALERT_EMAILS", " , ")]).unwrap();
    assert!(settings.smtp.is_none() && settings.postmark.is_none());
    assert!(settings.recipients.is_empty() && settings.webhooks.is_empty());
    assert_eq!((settings.per_hour, settings.allow_private), (30, false));
    assert!(settings.warnings().is_empty());
}

#[track_caller]
fn check_missing(settings: &[(&str, &str)], missing: Option<&str>, warnings: usize) {
    let settings = read(settings).unwrap();
    assert_eq!(settings.missing(), missing);
    assert_eq!(settings.warnings().len(), warnings);
}

#[test]
fn what_is_missing_for_any_channel() {
    let host = Some("SMTP not configured: SMTP_HOST is not set");
    let emails = Some("SMTP not configured: ALERT_EMAILS is not set");
    let postmark = [
        ("POSTMARK_API_TOKEN", "t"),
        ("POSTMARK_FROM_EMAIL", "a@b.example"),
    ];
    check_missing(&[], host, 0);
    check_missing(&[("ALERT_EMAILS", "a@b.example")], host, 1);
    check_missing(&[("SMTP_HOST", "m")], emails, 1);
    check_missing(&postmark, emails, 1);
    check_missing(&[("SMTP_HOST", "m"), ("ALERT_EMAILS", "a@b")], None, 0);
    check_missing(
        &[postmark[0], postmark[1], ("ALERT_EMAILS", "a@b")],
        None,
        0,
    );
    check_missing(
        &[("SLACK_WEBHOOK_URLS", "https://hooks.example/x")],
        None,
        0,
    );
    check_missing(
        &[("NTFY_URLS", "https://ntfy.sh/x"), ("SMTP_HOST", "m")],
        None,
        1,
    );
}

#[test]
fn everything_is_set() {
    let settings = read(&[
        ("SMTP_HOST", "mail.example"),
        ("SMTP_PORT", "465"),
        ("SMTP_USERNAME", "u"),
        ("SMTP_PASSWORD", "p"),
        ("SMTP_FROM", "Monlight <errors@b.example>"),
        ("ALERT_EMAILS", "a@b.example, c@d.example,a@b.example"),
        (
            "ALERT_WEBHOOK_URLS",
            "https://x.example/1?k=2,https://y.example\nhttps://z.example",
        ),
        ("ALERT_WEBHOOK_SECRET", "s"),
        ("NTFY_URLS", "https://ntfy.sh/topic"),
        ("ALERTS_PER_HOUR", "5"),
    ])
    .unwrap();
    let smtp = settings.smtp.as_ref().unwrap();
    assert_eq!(smtp.tls, TlsMode::Implicit);
    assert_eq!(smtp.from.email.to_string(), "errors@b.example");
    assert_eq!(settings.recipients, ["a@b.example", "c@d.example"]);
    assert_eq!(settings.webhooks.len(), 3);
    assert_eq!(settings.per_hour, 5);
    let shown = format!("{settings:?}");
    for secret in ["k=2", "\"p\"", "\"s\"", "topic"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn encryption_follows_the_port() {
    let mode = |port, tls| {
        let settings = [("SMTP_HOST", "m"), ("SMTP_PORT", port), ("SMTP_TLS", tls)];
        read(&settings).unwrap().smtp.unwrap().tls
    };
    assert_eq!(mode("25", "auto"), TlsMode::WhenOffered);
    assert_eq!(mode("465", ""), TlsMode::Implicit);
    assert_eq!(mode("587", "STARTTLS"), TlsMode::StartTls);
    assert_eq!(mode("2465", "implicit"), TlsMode::Implicit);
    assert_eq!(mode("465", "none"), TlsMode::None);
}

#[track_caller]
fn check_fault(settings: &[(&str, &str)], name: &str, why: &str) {
    let fault = read(settings).expect_err("a fault");
    let line = fault
        .lines()
        .find(|line| line.trim_start().starts_with(name));
    assert!(line.is_some_and(|line| line.contains(why)), "{fault}");
    for (_, value) in settings {
        let secret = value.contains("hush");
        assert!(!secret || !fault.contains("hush"), "{fault}");
    }
}

#[test]
fn faults_name_the_variable() {
    check_fault(&[("SMTP_PORT", "many")], "SMTP_PORT", "no whole number");
    check_fault(&[("SMTP_PORT", "0")], "SMTP_PORT", "out of range");
    check_fault(&[("SMTP_TLS", "ssl")], "SMTP_TLS", "is not known");
    check_fault(&[("SMTP_HOST", "a b")], "SMTP_HOST", "is no host");
    check_fault(&[("SMTP_HOST", "http://m")], "SMTP_HOST", "is no host");
    check_fault(&[("SMTP_FROM", "me")], "SMTP_FROM", "is no mail address");
    check_fault(
        &[("SMTP_ALLOW_PLAIN_AUTH", "maybe")],
        "SMTP_ALLOW_PLAIN_AUTH",
        "neither",
    );
    check_fault(
        &[("SMTP_CA_FILE", "/nowhere.pem")],
        "SMTP_CA_FILE",
        "cannot be read",
    );
    check_fault(
        &[("ALERT_EMAILS", "a@b.example,nobody")],
        "ALERT_EMAILS",
        "\"nobody\"",
    );
    check_fault(
        &[("ALERT_EMAILS", "a@b\r\nBcc: x@y")],
        "ALERT_EMAILS",
        "no mail address",
    );
    check_fault(
        &[("POSTMARK_API_TOKEN", "hush")],
        "POSTMARK_FROM_EMAIL",
        "together",
    );
    check_fault(
        &[("POSTMARK_API_TOKEN", "hush\u{e9}")],
        "POSTMARK_API_TOKEN",
        "no header",
    );
    check_fault(&[("NTFY_TOKEN", "hush hush")], "NTFY_TOKEN", "no header");
    check_fault(
        &[("NTFY_URLS", "https://hush.example/")],
        "NTFY_URLS",
        "no topic",
    );
    check_fault(
        &[(
            "ALERT_WEBHOOK_URLS",
            "https://ok.example,ftp://hush.example",
        )],
        "ALERT_WEBHOOK_URLS",
        "(entry 2)",
    );
    check_fault(
        &[("SLACK_WEBHOOK_URLS", "hush")],
        "SLACK_WEBHOOK_URLS",
        "is no address",
    );
    check_fault(
        &[("DISCORD_WEBHOOK_URLS", "http://2130706433/hush")],
        "DISCORD_WEBHOOK_URLS",
        "ALERT_ALLOW_PRIVATE",
    );
    check_fault(
        &[("ALERTS_PER_HOUR", "0")],
        "ALERTS_PER_HOUR",
        "out of range",
    );
    let many = vec!["https://h.example"; 21].join(",");
    check_fault(&[("NTFY_URLS", &many)], "NTFY_URLS", "too many");
}

#[test]
fn a_password_needs_encryption_or_leave() {
    let plain = [
        ("SMTP_HOST", "m"),
        ("SMTP_TLS", "none"),
        ("SMTP_USERNAME", "u"),
        ("SMTP_PASSWORD", "hush"),
    ];
    check_fault(&plain, "SMTP_TLS", "SMTP_ALLOW_PLAIN_AUTH=true");
    let mut allowed = plain.to_vec();
    allowed.push(("SMTP_ALLOW_PLAIN_AUTH", "yes"));
    assert!(read(&allowed).unwrap().smtp.unwrap().allow_plain_auth);
    // One without the other is no sign-in at all, as in the original.
    assert!(
        read(&plain[..3])
            .unwrap()
            .smtp
            .unwrap()
            .credentials
            .is_none()
    );
}

#[test]
fn private_addresses_with_leave() {
    let settings = read(&[
        ("ALERT_ALLOW_PRIVATE", "true"),
        (
            "ALERT_WEBHOOK_URLS",
            "http://127.0.0.1:9/x,http://localhost/y",
        ),
        ("POSTMARK_API_URL", "http://[::1]:8080/api/"),
        ("POSTMARK_API_TOKEN", "t"),
        ("POSTMARK_FROM_EMAIL", "a@b.example"),
    ])
    .unwrap();
    assert_eq!(settings.webhooks.len(), 2);
    let postmark = settings.postmark.unwrap();
    assert_eq!(postmark.url.0.as_str(), "http://[::1]:8080/api/email");
}
