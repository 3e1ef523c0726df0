//! A message as a mail: a part for people who read text, a part for those who read HTML.

use std::fmt::Write as _;

use super::message::Message;
use super::text::html as escaped;

/// The Message-ID: the same for every attempt, so that a mail that is sent twice is shown once.
pub(super) fn message_id(message: &Message, domain: &str) -> String {
    format!("<{}@{domain}>", message.id)
}

/// The domain of a sender such as `Monlight <errors@example.com>`.
pub(super) fn domain(sender: &str) -> &str {
    let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
    let domain = domain.trim_end_matches('>').trim();
    if domain.is_empty() {
        "monlight.invalid"
    } else {
        domain
    }
}

/// The text part.
pub(super) fn plain(message: &Message) -> String {
    let mut out = String::with_capacity(1_024);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}\n", message.headline);
    if !message.lead.is_empty() {
        let _ = writeln!(out, "{}\n", message.lead);
    }
    let width = message.facts.iter().map(|fact| fact.name.len()).max();
    for fact in &message.facts {
        let name = format!("{}:", fact.name);
        let _ = writeln!(out, "{name:<0$} {1}", width.unwrap_or(0) + 1, fact.value);
    }
    if !message.facts.is_empty() {
        out.push('\n');
    }
    for item in &message.items {
        let _ = writeln!(out, "- {}", item.text);
        if let Some(link) = &item.link {
            let _ = writeln!(out, "  {link}");
        }
    }
    if !message.items.is_empty() {
        out.push('\n');
    }
    if let Some(block) = &message.block {
        let _ = writeln!(out, "{}:\n\n{}\n", block.name, block.text.trim_end());
    }
    if let Some(link) = &message.link {
        let _ = writeln!(out, "Open in Monlight: {link}");
    }
    out
}

const FONT: &str = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif";
const MONO: &str = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12px;white-space:pre-wrap;\
                    overflow-wrap:anywhere;background:#f4f4f5;border-radius:4px;padding:12px;margin:0 0 16px";

/// The HTML part: styles in place, as mail programs want them, and nothing that is loaded from anywhere.
pub(super) fn html(message: &Message) -> String {
    let mut out = String::with_capacity(4_096);
    let colour = format!("#{:06x}", message.tone.colour());
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body style=\"margin:0;padding:16px;background:#fff;color:#18181b;{FONT};font-size:14px;line-height:1.5\">\n\
         <div style=\"background:{colour};color:#fff;padding:12px 16px;border-radius:4px;font-size:16px;\
         font-weight:600;margin:0 0 16px\">{}</div>\n",
        escaped(&message.title),
        escaped(&message.headline)
    );
    if !message.lead.is_empty() {
        let _ = writeln!(
            out,
            "<div style=\"{MONO}\">{}</div>",
            escaped(&message.lead)
        );
    }
    if !message.facts.is_empty() {
        out.push_str("<table style=\"border-collapse:collapse;margin:0 0 16px\">\n");
        for fact in &message.facts {
            let _ = writeln!(
                out,
                "<tr><th style=\"text-align:left;vertical-align:top;padding:2px 16px 2px 0;font-weight:400;\
                 color:#52525b\">{}</th><td style=\"padding:2px 0;overflow-wrap:anywhere\">{}</td></tr>",
                escaped(fact.name),
                escaped(&fact.value)
            );
        }
        out.push_str("</table>\n");
    }
    if !message.items.is_empty() {
        out.push_str("<ul style=\"padding-left:20px;margin:0 0 16px\">\n");
        for item in &message.items {
            let text = escaped(&item.text);
            let _ = match &item.link {
                Some(link) => writeln!(out, "<li><a href=\"{}\">{text}</a></li>", escaped(link)),
                None => writeln!(out, "<li>{text}</li>"),
            };
        }
        out.push_str("</ul>\n");
    }
    if let Some(block) = &message.block {
        let _ = writeln!(
            out,
            "<div style=\"color:#52525b;margin:0 0 4px\">{}</div>\n<pre style=\"{MONO}\">{}</pre>",
            escaped(block.name),
            escaped(block.text.trim_end())
        );
    }
    if let Some(link) = &message.link {
        let link = escaped(link);
        let _ = writeln!(
            out,
            "<p><a href=\"{link}\" style=\"display:inline-block;background:{colour};color:#fff;padding:8px 16px;\
             border-radius:4px;text-decoration:none\">Open in Monlight</a></p>\n\
             <p style=\"color:#52525b;font-size:12px\">{link}</p>"
        );
    }
    out.push_str("</body></html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::Tone;

    fn message() -> Message {
        Message::new("x.1.2", "new", Tone::Alarm, 0)
            .title("[shop] E: <b> (#1)")
            .headline("New error in <i>shop</i>")
            .lead("it \"broke\"\r\n.\r\nQUIT")
            .fact("Project", "shop & co")
            .fact("Error", "#1")
            .item(
                "one <script>",
                Some("https://m.example/errors/2?a=1&b=\"".to_owned()),
            )
            .block("Traceback", "  File \"a.py\"\r\n.\r\n")
            .link("https://m.example/errors/1")
    }

    #[test]
    fn the_text_part_is_laid_out() {
        assert_eq!(
            plain(&message()),
            "New error in <i>shop</i>\n\nit \"broke\"\n.\nQUIT\n\nProject: shop & co\nError:   #1\n\n\
             - one <script>\n  https://m.example/errors/2?a=1&b=\"\n\n\
             Traceback:\n\n  File \"a.py\"\n.\n\nOpen in Monlight: https://m.example/errors/1\n"
        );
    }

    #[test]
    fn nothing_of_the_text_becomes_markup() {
        let page = html(&message());
        for markup in ["<b>", "<i>", "<script", "b=\"\""] {
            assert!(!page.contains(markup), "{markup} in {page}");
        }
        assert!(page.contains("href=\"https://m.example/errors/2?a=1&amp;b=&quot;\""));
        assert!(page.contains("one &lt;script&gt;"));
        assert!(!page.contains("<img") && !page.contains("src="));
    }

    #[test]
    fn the_domain_of_the_sender() {
        assert_eq!(domain("errors@example.com"), "example.com");
        assert_eq!(domain("Monlight <a@b.example>"), "b.example");
        assert_eq!(domain("nobody"), "monlight.invalid");
    }
}
