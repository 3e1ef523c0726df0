//! What there is to tell, before it is known to whom.

use serde_json::{Map, Value};

use super::text;

/// How urgent a message is: its colour in mails and chats, its priority in ntfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something is wrong.
    Alarm,
    /// Nothing is wrong, as in a test.
    Calm,
}

impl Tone {
    /// As red, green and blue.
    pub(super) fn colour(self) -> u32 {
        match self {
            Self::Alarm => 0x00C6_2828,
            Self::Calm => 0x0028_6C9A,
        }
    }
}

/// One thing known of it, as in `Release: 2.4.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is, one or two words of ours.
    pub name: &'static str,
    /// Its value; cleaned by [`Message::fact`].
    pub value: String,
}

/// A longer text in its own layout, as a traceback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it is.
    pub name: &'static str,
    /// The text; cleaned by [`Message::block`].
    pub text: String,
}

/// One entry of a list, as in a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// One line.
    pub text: String,
    /// Where to read more.
    pub link: Option<String>,
}

/// A message to people, independent of the channel. Texts given to its methods may be anything; they are cleaned and cut
/// here, and escaped by each channel in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same for every attempt to deliver it, different for every other message; ASCII letters, digits, `.` and `-`.
    pub id: String,
    /// What kind it is, for programs: `new`, `digest`, ...
    pub kind: &'static str,
    /// How urgent it is.
    pub tone: Tone,
    /// When it happened, unix milliseconds.
    pub time_ms: i64,
    /// The subject; cleaned and cut by [`Message::new`].
    pub title: String,
    /// A line above everything, of ours, as in `New error in shop`.
    pub headline: String,
    /// The main text.
    pub lead: String,
    /// The page that shows more.
    pub link: Option<String>,
    /// What is known of it.
    pub facts: Vec<Fact>,
    /// Entries of a digest.
    pub items: Vec<Item>,
    /// Longer text.
    pub block: Option<Block>,
    /// What programs are told besides the above; the values stay as they are.
    pub document: Map<String, Value>,
}

/// Characters of a title: a mail subject has no limit of its own, but nobody reads more.
const TITLE_CHARS: usize = 500;
const HEADLINE_CHARS: usize = 200;
const FACT_CHARS: usize = 500;
const LEAD_BYTES: usize = 4 * 1024;
/// Bytes of a traceback in a mail; the original's limit.
pub const BLOCK_BYTES: usize = 12_288;

impl Message {
    /// A message with a title and a headline.
    pub fn new(id: &str, kind: &'static str, tone: Tone, time_ms: i64) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            tone,
            time_ms,
            title: String::new(),
            headline: String::new(),
            lead: String::new(),
            link: None,
            facts: Vec::new(),
            items: Vec::new(),
            block: None,
            document: Map::new(),
        }
    }

    /// Sets the subject.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        self.title = text::one_line(title, TITLE_CHARS);
        self
    }

    /// Sets the line above everything.
    #[must_use]
    pub fn headline(mut self, headline: &str) -> Self {
        self.headline = text::one_line(headline, HEADLINE_CHARS);
        self
    }

    /// Sets the main text.
    #[must_use]
    pub fn lead(mut self, lead: &str) -> Self {
        self.lead = text::lines(lead, LEAD_BYTES);
        self
    }

    /// Sets the page that shows more.
    #[must_use]
    pub fn link(mut self, link: impl Into<String>) -> Self {
        self.link = Some(link.into());
        self
    }

    /// Adds a fact, unless its value is empty.
    #[must_use]
    pub fn fact(self, name: &'static str, value: &str) -> Self {
        self.facts([(name, value)])
    }

    /// Adds facts, those with an empty value left out.
    #[must_use]
    pub fn facts<'v>(mut self, facts: impl IntoIterator<Item = (&'static str, &'v str)>) -> Self {
        for (name, value) in facts {
            let value = text::one_line(value, FACT_CHARS);
            if !value.is_empty() {
                self.facts.push(Fact { name, value });
            }
        }
        self
    }

    /// Adds an entry of a digest.
    #[must_use]
    pub fn item(mut self, item: &str, link: Option<String>) -> Self {
        self.items.push(Item {
            text: text::one_line(item, FACT_CHARS),
            link,
        });
        self
    }

    /// Sets the longer text, of which [`BLOCK_BYTES`] are kept.
    #[must_use]
    pub fn block(mut self, name: &'static str, block: &str) -> Self {
        self.block = Some(Block {
            name,
            text: text::lines(block, BLOCK_BYTES),
        });
        self
    }

    /// Adds a value for programs.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.document.insert(name.to_owned(), value.into());
        self
    }
}
