//! Channels towards a receiver on loopback.

use reqwest::Url;
use serde_json::json;

use super::testing::WebServer;
use super::*;
use crate::config::{Env, Reader};

fn channels(settings: &[(&str, &str)]) -> Channels {
    let env = Env::of(settings.iter().copied());
    let mut reader = Reader::new(&env);
    let settings = Settings::read(&mut reader);
    reader.finish().expect("usable settings");
    Channels::new(&settings, "error-tracker", "m.example")
}

fn message() -> Message {
    Message::new("inst.7.1", "new", Tone::Alarm, 1_737_367_200_000)
        .title("[shop] E: it broke (#7)")
        .headline("New error in shop")
        .lead("it broke")
        .link("https://m.example/errors/7")
        .value("error", json!({"id": 7}))
}

/// Sends a message over the only channel.
async fn sent(settings: &[(&str, &str)]) -> Result<String, Failure> {
    let mut all = vec![("ALERT_ALLOW_PRIVATE", "true")];
    all.extend(settings);
    let channels = channels(&all);
    let [channel] = channels.all() else {
        panic!("one channel: {:?}", channels.all());
    };
    channels.send(channel, &message(), 1_737_367_260_000).await
}

#[tokio::test]
async fn a_webhook_gets_signed_json() {
    let server = WebServer::start("200 OK", "", "thanks");
    let url = server.url("/hook?k=1");
    let said = sent(&[("ALERT_WEBHOOK_URLS", &url), ("ALERT_WEBHOOK_SECRET", "s3")]).await;
    assert_eq!(said, Ok("taken (status 200: thanks)".to_owned()));
    let received = server.received();
    let [request] = received.as_slice() else {
        panic!("one request");
    };
    assert_eq!(request.line, "POST /hook?k=1 HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("x-monlight-delivery"), "inst.7.1");
    assert_eq!(request.header("x-monlight-event"), "new");
    assert_eq!(request.header("x-monlight-timestamp"), "1737367260");
    let signature = request.header("x-monlight-signature");
    assert_eq!(signature.len(), "sha256=".len() + 64);
    assert_eq!(request.json()["error"], json!({"id": 7}));
    assert_eq!(request.json()["link"], "https://m.example/errors/7");
}

#[tokio::test]
async fn without_a_secret_there_is_no_signature() {
    let server = WebServer::start("204 No Content", "", "");
    sent(&[("ALERT_WEBHOOK_URLS", &server.url("/"))])
        .await
        .expect("taken");
    assert_eq!(server.received()[0].header("x-monlight-signature"), "");
}

#[tokio::test]
async fn slack_discord_and_ntfy_get_their_json() {
    let server = WebServer::start("200 OK", "", "ok");
    sent(&[("SLACK_WEBHOOK_URLS", &server.url("/slack"))])
        .await
        .expect("taken");
    sent(&[("DISCORD_WEBHOOK_URLS", &server.url("/discord"))])
        .await
        .expect("taken");
    sent(&[
        ("NTFY_URLS", &server.url("/sub/topic")),
        ("NTFY_TOKEN", "tk_1"),
    ])
    .await
    .expect("taken");
    let received = server.received();
    assert_eq!(received[0].line, "POST /slack HTTP/1.1");
    assert!(received[0].json()["blocks"].is_array());
    assert_eq!(received[1].line, "POST /discord HTTP/1.1");
    assert_eq!(received[1].json()["allowed_mentions"], json!({"parse": []}));
    assert_eq!(received[2].line, "POST /sub/ HTTP/1.1");
    assert_eq!(received[2].header("authorization"), "Bearer tk_1");
    assert_eq!(received[2].json()["topic"], "topic");
}

#[tokio::test]
async fn postmark_gets_a_mail_with_both_parts() {
    let server = WebServer::start("200 OK", "", "{\"ErrorCode\":0}");
    let settings = [
        ("POSTMARK_API_URL", server.url("")),
        ("POSTMARK_API_TOKEN", "token-1".to_owned()),
        ("POSTMARK_FROM_EMAIL", "errors@m.example".to_owned()),
        ("ALERT_EMAILS", "ops@x.example".to_owned()),
    ];
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    sent(&settings).await.expect("taken");
    let received = server.received();
    assert_eq!(received[0].line, "POST /email HTTP/1.1");
    assert_eq!(received[0].header("x-postmark-server-token"), "token-1");
    let mail = received[0].json();
    assert_eq!(
        (&mail["From"], &mail["To"]),
        (&json!("errors@m.example"), &json!("ops@x.example"))
    );
    assert_eq!(mail["Subject"], "[shop] E: it broke (#7)");
    assert!(mail["TextBody"].as_str().unwrap().contains("it broke"));
    assert!(
        mail["HtmlBody"]
            .as_str()
            .unwrap()
            .starts_with("<!doctype html>")
    );
    assert_eq!(
        mail["Headers"][0],
        json!({"Name": "Message-ID", "Value": "<inst.7.1@m.example>"})
    );
}

async fn verdict(status: &str, headers: &str, body: &str) -> String {
    let server = WebServer::start(status, headers, body);
    let result = sent(&[("ALERT_WEBHOOK_URLS", &server.url("/x"))]).await;
    assert_eq!(server.received().len(), 1, "a redirect was followed");
    shown(result)
}

fn shown(result: Result<String, Failure>) -> String {
    match result {
        Ok(said) => said,
        Err(Failure::Refused(detail)) => format!("refused: {detail}"),
        Err(Failure::Later {
            detail,
            retry_after,
            ..
        }) => format!("later {retry_after:?}: {detail}"),
    }
}

#[tokio::test]
async fn answers_are_sorted_by_what_helps() {
    assert_eq!(verdict("201 Created", "", "").await, "taken (status 201)");
    assert_eq!(
        verdict("302 Found", "location: http://127.0.0.1:1/\r\n", "").await,
        "later None: a redirect, which is not followed (status 302)"
    );
    assert_eq!(
        verdict("400 Bad Request", "", "invalid_payload\r\nx").await,
        "refused: the message is refused (status 400: invalid_payload x)"
    );
    assert_eq!(
        verdict("404 Not Found", "", "no_service").await,
        "later None: the URL or its secret is not accepted (status 404: no_service)"
    );
    assert_eq!(
        verdict("429 Too Many Requests", "retry-after: 1.2\r\n", "").await,
        "later Some(2s): not now (status 429)"
    );
    assert_eq!(
        verdict("503 Service Unavailable", "retry-after: 999999\r\n", "").await,
        "later Some(3600s): the server fails (status 503)"
    );
}

#[tokio::test]
async fn postmark_says_whose_fault_it_is() {
    let run = async |status: &str, body: &str| {
        let server = WebServer::start(status, "", body);
        let url = server.url("");
        let settings = [
            ("POSTMARK_API_URL", url.as_str()),
            ("POSTMARK_API_TOKEN", "t"),
            ("POSTMARK_FROM_EMAIL", "errors@m.example"),
            ("ALERT_EMAILS", "ops@x.example"),
        ];
        shown(sent(&settings).await)
    };
    let inactive = run(
        "422 Unprocessable Entity",
        "{\"ErrorCode\":406,\"Message\":\"inactive\"}",
    )
    .await;
    assert!(
        inactive.starts_with("refused: the mail is refused (status 422"),
        "{inactive}"
    );
    let unconfirmed = run(
        "422 Unprocessable Entity",
        "{\"ErrorCode\":400,\"Message\":\"sender\"}",
    )
    .await;
    assert!(
        unconfirmed.starts_with("later None: the account or the sender"),
        "{unconfirmed}"
    );
    let token = run("401 Unauthorized", "{\"ErrorCode\":10}").await;
    assert!(
        token.starts_with("later None: the URL or its secret"),
        "{token}"
    );
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_read() {
    let long = format!("{}<end>", "x".repeat(500_000));
    let said = verdict("500 Internal Server Error", "", &long).await;
    assert!(said.len() < 400 && said.contains("xxx"), "{said}");
}

#[tokio::test]
async fn what_is_no_http_and_what_is_not_there_can_be_tried_again() {
    let server = WebServer::raw(b"SSH-2.0-OpenSSH\r\n".to_vec());
    let said = shown(sent(&[("ALERT_WEBHOOK_URLS", &server.url("/secret-path"))]).await);
    assert!(
        said.starts_with("later None: the connection broke"),
        "{said}"
    );
    assert!(!said.contains("secret-path"), "{said}");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let said = shown(sent(&[("ALERT_WEBHOOK_URLS", &format!("http://{free}/secret-path"))]).await);
    assert!(said.starts_with("later None: cannot connect"), "{said}");
    assert!(!said.contains("secret-path"), "{said}");
}

#[tokio::test]
async fn a_name_of_a_private_address_is_refused_when_it_is_connected_to() {
    let server = WebServer::start("200 OK", "", "");
    // The settings refuse `localhost`; a name that resolves to the same addresses only shows at the look-up.
    let url = Url::parse(&server.url("/").replace("127.0.0.1", "localhost")).expect("a URL");
    let client = http::Http::new(false);
    let headers = || reqwest::header::HeaderMap::new();
    let refused = client.post(&url, headers(), String::new()).await;
    assert!(
        refused
            .err()
            .expect("refused")
            .detail()
            .contains("ALERT_ALLOW_PRIVATE")
    );
    let looked_up = client.post_unchecked(&url, headers(), String::new()).await;
    let looked_up = looked_up.err().expect("refused");
    assert!(
        looked_up.detail().contains("ALERT_ALLOW_PRIVATE"),
        "{looked_up:?}"
    );
    assert!(server.received().is_empty());
    let allowed = http::Http::new(true)
        .post(&url, headers(), String::new())
        .await;
    assert_eq!(allowed.map(|answer| answer.status.as_u16()), Ok(200));
}

#[test]
fn channels_are_known_by_what_is_no_secret() {
    let channels = channels(&[
        ("SMTP_HOST", "m"),
        ("POSTMARK_API_TOKEN", "hush"),
        ("POSTMARK_FROM_EMAIL", "errors@m.example"),
        ("ALERT_EMAILS", "a@x.example,b@x.example"),
        (
            "ALERT_WEBHOOK_URLS",
            "https://w.example:8443/hush,https://w.example:8443/hush2,https://w.example:8443/hush",
        ),
        ("NTFY_URLS", "https://ntfy.sh/hush"),
    ]);
    let shown: Vec<String> = channels
        .all()
        .iter()
        .map(|channel| format!("{channel:?}"))
        .collect();
    assert_eq!(
        shown,
        [
            "smtp a@x.example",
            "smtp b@x.example",
            "postmark a@x.example",
            "postmark b@x.example",
            "webhook w.example:8443",
            "webhook w.example:8443 (2)",
            "ntfy ntfy.sh",
        ]
    );
    let lanes: Vec<usize> = channels.all().iter().map(Channel::lane).collect();
    assert_eq!(lanes, [0, 0, 1, 1, 2, 3, 4]);
    assert_eq!(channels.lanes(), 5);
    assert!(
        channels
            .all()
            .iter()
            .all(|channel| !channel.key().contains("hush"))
    );
}
