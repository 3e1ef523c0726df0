//! Slack, Discord and ntfy: what their messages look like.
//!
//! Each has its own markup, so each has its own way to keep the text of strangers from becoming a mention of everybody,
//! a link or a format.

use std::fmt::Write as _;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::channel::Failure;
use super::http::Http;
use super::message::{Item, Message, Tone};
use super::settings::TargetUrl;
use super::text::first_chars;
use crate::clock::iso_millis;
use crate::secret::Secret;

/// Posts a document to a webhook.
pub(super) async fn post(http: &Http, url: &Url, document: Value) -> Result<String, Failure> {
    let answer = http.post(url, json_headers(), document.to_string()).await?;
    answer.verdict()?;
    Ok(answer.told("taken"))
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

/// Entries of a digest that fit into a chat.
const MOST_ITEMS: usize = 10;
/// Of the longer text the end is shown: in a traceback the place that failed is there.
const BLOCK_CHARS: usize = 1_200;

/// The last characters of the longer text, from the start of a line.
fn end_of_block(message: &Message) -> Option<&str> {
    let text = message.block.as_ref()?.text.trim_end();
    let skipped = text.chars().count().saturating_sub(BLOCK_CHARS);
    if skipped == 0 {
        return Some(text).filter(|text| !text.is_empty());
    }
    let (start, _) = text.char_indices().nth(skipped)?;
    let end = text.get(start..)?;
    Some(
        end.split_once('\n')
            .map_or(end, |(_, whole_lines)| whole_lines),
    )
}

/// The JSON of a Slack message: blocks for people, `text` for notifications.
/// Limits: docs.slack.dev, reference of blocks (section 3,000 characters, 10 fields of 2,000).
pub(super) fn slack(message: &Message) -> Value {
    let title = slack_text(&message.title, 600);
    let headline = slack_text(&message.headline, 400);
    let linked = match &message.link {
        Some(link) => format!("*<{}|{title}>*", slack_url(link)),
        None => format!("*{title}*"),
    };
    let mut blocks = vec![slack_section(&format!("{headline}\n{linked}"))];
    if !message.lead.is_empty() {
        blocks.push(slack_section(&slack_quoted(&message.lead, 1_000)));
    }
    let fields: Vec<Value> = message
        .facts
        .iter()
        .take(10)
        .map(|fact| {
            let value = slack_text(&fact.value, 300);
            json!({"type": "mrkdwn", "text": format!("*{}*\n{value}", fact.name), "verbatim": true})
        })
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let items = within(2_900, &message.items, |item| {
        let text = slack_text(&item.text, 200);
        match &item.link {
            Some(link) => format!("• <{}|{text}>\n", slack_url(link)),
            None => format!("• {text}\n"),
        }
    });
    if !items.is_empty() {
        blocks.push(slack_section(&items));
    }
    if let Some(end) = end_of_block(message) {
        blocks.push(slack_section(&slack_quoted(end, 2_900)));
    }
    json!({
        "text": format!("{headline}: {title}"),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn slack_section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// `&`, `<` and `>` are all that Slack wants escaped: mentions, links and channel names need a `<`. At most `most`
/// characters, an escape counted whole.
fn slack_text(text: &str, most: usize) -> String {
    escaped(text, most, |character| match character {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        _ => "",
    })
}

/// A URL of ours between `<` and `|`.
fn slack_url(url: &str) -> String {
    slack_text(url, usize::MAX).replace('|', "%7C")
}

/// A block of code, which the text cannot end.
fn slack_quoted(text: &str, most: usize) -> String {
    format!(
        "```\n{}\n```",
        slack_text(&text.replace("```", "'''"), most)
    )
}

/// The JSON of a Discord message: one embed, in which nobody is mentioned.
/// Limits: docs.discord.com, embed limits (title 256, description 4,096, field value 1,024, 6,000 in all).
pub(super) fn discord(message: &Message) -> Value {
    let mut description = String::new();
    if !message.lead.is_empty() {
        description.push_str(&discord_quoted(first_chars(&message.lead, 600)));
    }
    description.push_str(&within(1_200, &message.items, |item| {
        let text = discord_text(&item.text, 120);
        match &item.link {
            Some(link) => format!("- [{text}](<{}>)\n", discord_url(link)),
            None => format!("- {text}\n"),
        }
    }));
    if let Some(end) = end_of_block(message) {
        description.push_str(&discord_quoted(end));
    }
    let fields: Vec<Value> = message
        .facts
        .iter()
        .take(12)
        .map(|fact| {
            let value = discord_text(&fact.value, 150);
            json!({"name": fact.name, "value": value, "inline": true})
        })
        .collect();
    let mut embed = json!({
        "title": discord_text(&message.title, 250),
        "description": description,
        "color": message.tone.colour(),
        "timestamp": iso_millis(message.time_ms),
        "author": {"name": first_chars(&message.headline, 200)},
        "fields": fields,
    });
    if let Some(link) = &message.link {
        embed["url"] = json!(link);
    }
    json!({"embeds": [embed], "allowed_mentions": {"parse": []}})
}

/// Each character of Discord's Markdown with a backslash before it: those of links, mentions and headings among them.
fn discord_text(text: &str, most: usize) -> String {
    const MARKS: [(char, &str); 17] = [
        ('\\', "\\\\"),
        ('*', "\\*"),
        ('_', "\\_"),
        ('~', "\\~"),
        ('`', "\\`"),
        ('|', "\\|"),
        ('>', "\\>"),
        ('<', "\\<"),
        ('[', "\\["),
        (']', "\\]"),
        ('(', "\\("),
        (')', "\\)"),
        ('#', "\\#"),
        ('@', "\\@"),
        (':', "\\:"),
        ('-', "\\-"),
        ('+', "\\+"),
    ];
    escaped(text, most, |character| {
        let mark = MARKS.iter().find(|(mark, _)| *mark == character);
        mark.map_or("", |(_, escape)| escape)
    })
}

/// A URL of ours between `(<` and `>)`.
fn discord_url(url: &str) -> String {
    url.replace('>', "%3E").replace(')', "%29")
}

fn discord_quoted(text: &str) -> String {
    format!("```\n{}\n```\n", text.replace("```", "'''"))
}

/// The beginning of `text` with some characters replaced, at most `most` characters long. `escape` answers an empty text
/// for a character that stays.
fn escaped(text: &str, most: usize, escape: impl Fn(char) -> &'static str) -> String {
    let mut safe = String::with_capacity(text.len().min(4_096));
    let mut room = most;
    for character in text.chars() {
        let replacement = escape(character);
        let Some(left) = room.checked_sub(replacement.len().max(1)) else {
            break;
        };
        room = left;
        if replacement.is_empty() {
            safe.push(character);
        } else {
            safe.push_str(replacement);
        }
    }
    safe
}

/// The lines of as many entries as `most` characters hold, at most [`MOST_ITEMS`].
fn within(most: usize, items: &[Item], line: impl Fn(&Item) -> String) -> String {
    let mut all = String::new();
    let mut room = most;
    for line in items.iter().take(MOST_ITEMS).map(line) {
        let Some(left) = room.checked_sub(line.chars().count()) else {
            break;
        };
        room = left;
        all.push_str(&line);
    }
    all
}

/// A topic of an ntfy server. The JSON form of publishing is used: titles in it may be any text, in headers not.
pub(super) struct NtfyTopic {
    server: Url,
    topic: String,
    token: Option<Secret>,
}

impl NtfyTopic {
    /// Of `https://server/topic`, where the server may be below a path.
    pub(super) fn new(url: &TargetUrl, token: Option<Secret>) -> Self {
        let mut server = url.0.clone();
        let path = url.0.path().trim_end_matches('/');
        let (base, topic) = path.rsplit_once('/').unwrap_or(("", path));
        server.set_path(&format!("{base}/"));
        Self {
            server,
            topic: topic.to_owned(),
            token,
        }
    }

    pub(super) async fn send(&self, http: &Http, message: &Message) -> Result<String, Failure> {
        let mut headers = json_headers();
        if let Some(token) = &self.token {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
                    Failure::later("NTFY_TOKEN holds characters that no header can carry")
                })?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let document = ntfy(&self.topic, message);
        let answer = http
            .post(&self.server, headers, document.to_string())
            .await?;
        answer.verdict()?;
        Ok(answer.told("taken"))
    }
}

/// ntfy makes an attachment of a longer message.
const NTFY_BYTES: usize = 3_500;

/// The JSON of an ntfy message. It is shown as plain text.
fn ntfy(topic: &str, message: &Message) -> Value {
    let mut text = String::new();
    if !message.lead.is_empty() {
        text.push_str(first_chars(&message.lead, 1_000));
        text.push('\n');
    }
    for item in message.items.iter().take(MOST_ITEMS) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- {}", first_chars(&item.text, 100));
    }
    for fact in &message.facts {
        let _ = writeln!(text, "{}: {}", fact.name, first_chars(&fact.value, 200));
    }
    let end = text.floor_char_boundary(NTFY_BYTES);
    text.truncate(end);
    let mut document = json!({
        "topic": topic,
        "title": first_chars(&message.title, 200),
        "message": text.trim_end(),
        "priority": if message.tone == Tone::Alarm { 4 } else { 3 },
        "tags": [if message.tone == Tone::Alarm { "rotating_light" } else { "information_source" }],
    });
    if let Some(link) = &message.link {
        document["click"] = json!(link);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Message {
        Message::new("a-1", "new", Tone::Alarm, 1_737_367_200_000)
            .title("[shop] E: <!channel> @everyone <https://evil.example|safe> **b** [x](https://evil.example) (#1)")
            .headline("New error in <!here>")
            .lead("``` <!channel>\n@everyone [a](http://b) &amp;")
            .link("https://monlight.example/errors/1")
            .fact("Release", "<!subteam^S1> `x`")
            .item("<@U1> @here", Some("https://monlight.example/errors/2".to_owned()))
            .block("Traceback", "a\n```\n<!channel>")
    }

    /// All texts of a JSON value.
    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(map) => map.values().for_each(|item| texts(item, found)),
            _ => {}
        }
    }

    #[test]
    fn slack_sees_no_mention_and_no_link_but_ours() {
        let document = slack(&hostile());
        let mut found = Vec::new();
        texts(&document, &mut found);
        for text in &found {
            for (at, _) in text.match_indices('<') {
                assert!(
                    text.get(at..)
                        .unwrap()
                        .starts_with("<https://monlight.example/errors/"),
                    "{text}"
                );
            }
            assert!(text.matches("```").count() % 2 == 0, "{text}");
        }
        assert_eq!(
            document["text"],
            "New error in &lt;!here&gt;: [shop] E: &lt;!channel&gt; @everyone &lt;https://evil.example|safe&gt; **b** \
             [x](https://evil.example) (#1)"
        );
    }

    #[test]
    fn discord_mentions_nobody_and_links_only_to_us() {
        let document = discord(&hostile());
        assert_eq!(document["allowed_mentions"], json!({"parse": []}));
        let embed = &document["embeds"][0];
        assert_eq!(embed["url"], "https://monlight.example/errors/1");
        assert!(
            embed["title"]
                .as_str()
                .unwrap()
                .contains("\\[x\\]\\(https\\://evil.example\\)")
        );
        let description = embed["description"].as_str().unwrap();
        assert!(
            description.contains("- [\\<\\@U1\\> \\@here](<https://monlight.example/errors/2>)")
        );
        assert_eq!(description.matches("```").count(), 4, "{description}");
    }

    #[test]
    fn ntfy_gets_plain_text() {
        let document = ntfy("topic", &hostile());
        assert_eq!(document["topic"], "topic");
        assert_eq!(document["click"], "https://monlight.example/errors/1");
        assert_eq!(document["priority"], 4);
        assert!(
            document["message"]
                .as_str()
                .unwrap()
                .contains("Release: <!subteam^S1> `x`")
        );
    }

    #[track_caller]
    fn check_topic(url: &str, server: &str, topic: &str) {
        let made = NtfyTopic::new(&TargetUrl(Url::parse(url).unwrap()), None);
        assert_eq!(
            (made.server.as_str(), made.topic.as_str()),
            (server, topic),
            "{url}"
        );
    }

    #[test]
    fn the_topic_is_the_last_part_of_the_path() {
        check_topic("https://ntfy.sh/alerts", "https://ntfy.sh/", "alerts");
        check_topic("https://ntfy.sh/alerts/", "https://ntfy.sh/", "alerts");
        check_topic(
            "http://n.example:8080/sub/a-b_c",
            "http://n.example:8080/sub/",
            "a-b_c",
        );
    }

    #[test]
    fn the_largest_message_stays_within_the_limits() {
        let long = "<é&".repeat(20_000);
        let mut message = Message::new("a-1", "digest", Tone::Alarm, 0)
            .title(&long)
            .headline(&long)
            .lead(&long)
            .link("https://monlight.example/errors/1")
            .block("Traceback", &"x<\n".repeat(10_000));
        for _ in 0..40 {
            message = message
                .fact("Fact", &long)
                .item(&long, Some("https://e.example".to_owned()));
        }
        for block in slack(&message)["blocks"].as_array().unwrap() {
            if let Some(text) = block["text"]["text"].as_str() {
                assert!(text.chars().count() <= 3_000, "{}", text.chars().count());
            }
            for field in block["fields"].as_array().into_iter().flatten() {
                assert!(field["text"].as_str().unwrap().chars().count() <= 2_000);
            }
        }
        let document = discord(&message);
        let embed = &document["embeds"][0];
        let count = |value: &Value| value.as_str().unwrap_or_default().chars().count();
        assert!(count(&embed["title"]) <= 256);
        assert!(count(&embed["description"]) <= 4_096);
        let mut all = Vec::new();
        texts(embed, &mut all);
        assert!(all.iter().map(|text| text.chars().count()).sum::<usize>() <= 6_000);
        assert!(ntfy("t", &message)["message"].as_str().unwrap().len() <= NTFY_BYTES);
    }

    #[test]
    fn the_end_of_a_traceback_is_shown() {
        let text = format!("{}\nlast line", "frame\n".repeat(1_000));
        let message = Message::new("a-1", "new", Tone::Alarm, 0).block("Traceback", &text);
        let end = end_of_block(&message).unwrap();
        assert!(
            end.starts_with("frame\n") && end.ends_with("last line"),
            "{end}"
        );
    }
}
