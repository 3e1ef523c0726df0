//! Which reports belong together.
//!
//! A report has up to three keys. The *original* one wraps the contract's [`Fingerprint`], which
//! changes with every line number. The *stable* one is made here from what stays the same from
//! release to release: the functions of the app that were running, or else the message without its
//! variable parts. The *client's* is what the report itself asks for. `docs/grouping.md` describes
//! them with their sources and a table of cases.

mod client;

#[cfg(test)]
mod tests;

use md5::{Digest, Md5};

use super::fingerprint::Fingerprint;
use super::stacktrace::{self, Exception, Identities, Identity, Stacktrace};
use super::variable_parts;

pub use client::{ClientFingerprint, client_key};

/// How much of a message counts, in bytes without its variable parts.
const MESSAGE_BYTES: usize = 1_000;

/// As [`MESSAGE_BYTES`], of a traceback in which no frame was found.
const TRACEBACK_BYTES: usize = 4_000;

/// Which key a report without a fingerprint of its own is looked up by; the setting `GROUPING`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupingMode {
    /// The contract's fingerprint.
    #[default]
    Original,
    /// [`stable_key`].
    Stable,
}

impl GroupingMode {
    /// Reads the setting: `original` or `stable`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "original" => Some(Self::Original),
            "stable" => Some(Self::Stable),
            _ => None,
        }
    }

    /// As in the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Stable => "stable",
        }
    }
}

/// How a key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The contract's fingerprint.
    Original,
    /// [`stable_key`].
    Stable,
    /// [`client_key`].
    Client,
}

impl KeyKind {
    /// For people and programs: `original`, `stable`, `client`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Stable => "stable",
            Self::Client => "client",
        }
    }

    fn letter(self) -> u8 {
        match self {
            Self::Original => b'o',
            Self::Stable => b's',
            Self::Client => b'c',
        }
    }

    fn of_letter(letter: u8) -> Option<Self> {
        [Self::Original, Self::Stable, Self::Client]
            .into_iter()
            .find(|kind| kind.letter() == letter)
    }
}

/// What a group is found by within its project: a letter for the kind and 16 bytes of MD5. MD5 as
/// in the contract's fingerprint: a key names a group and protects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupingKey([u8; 17]);

impl GroupingKey {
    /// Of the contract's fingerprint.
    pub fn original(fingerprint: Fingerprint) -> Self {
        Self::new(KeyKind::Original, *fingerprint.as_bytes())
    }

    /// As stored; `None` for bytes that are no key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key: [u8; 17] = bytes.try_into().ok()?;
        KeyKind::of_letter(key[0]).map(|_| Self(key))
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8; 17] {
        &self.0
    }

    /// How it was made.
    pub fn kind(&self) -> KeyKind {
        // The letter was checked, or written by `new`.
        KeyKind::of_letter(self.0[0]).unwrap_or(KeyKind::Original)
    }

    /// The 16 bytes, which are shown as the group's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.0[1..]);
        Fingerprint::from_bytes(digest)
    }

    fn new(kind: KeyKind, digest: [u8; 16]) -> Self {
        let mut key = [kind.letter(); 17];
        key[1..].copy_from_slice(&digest);
        Self(key)
    }
}

/// The key that stays the same while line numbers, columns, hashes in file names, releases and
/// values in messages change. In time linear in the length of the texts.
pub fn stable_key(
    project: &str,
    exception_type: &str,
    message: &str,
    traceback: &str,
) -> GroupingKey {
    stable_key_without(project, exception_type, message, traceback, &[])
}

/// [`stable_key`] where it is known of some files that they are a library's; they must be sorted.
pub fn stable_key_without(
    project: &str,
    exception_type: &str,
    message: &str,
    traceback: &str,
    library_files: &[String],
) -> GroupingKey {
    let mut key = Encoder::new("monlight stable 1");
    key.part(b'p', project.as_bytes());
    key.part(b't', type_name(exception_type).as_bytes());
    let mut trace = stacktrace::frames(traceback);
    trace.set_libraries(library_files);
    if !add_frames(&mut key, &trace) {
        let message = variable_parts::replace_up_to(message, MESSAGE_BYTES);
        let wordless = message.is_empty() && trace.exceptions.is_empty();
        key.part(b'm', message.as_bytes());
        if wordless {
            let text = variable_parts::replace_up_to(traceback, TRACEBACK_BYTES);
            key.part(b'x', text.as_bytes());
        }
    }
    GroupingKey::new(KeyKind::Stable, key.digest())
}

/// Adds the frames of the app, or all when there is none of it. Gives whether they are enough to
/// tell errors apart: most have a name, the innermost ones among them, and they are the app's.
fn add_frames(key: &mut Encoder, trace: &Stacktrace<'_>) -> bool {
    let in_app = trace.frames().any(|frame| frame.in_app);
    let mut names = Names::default();
    let mut members = Vec::new();
    for exception in &trace.exceptions {
        let digest = exception_digest(exception, in_app, &mut names);
        if exception.is_member {
            members.push(digest);
        } else {
            key.part(b'e', &digest);
        }
    }
    // How many tasks of a group failed, and which one first, is chance.
    members.sort_unstable();
    members.dedup();
    for digest in members {
        key.part(b'e', &digest);
    }
    in_app && names.innermost && names.known * 2 >= names.all
}

/// How many frames have names.
struct Names {
    known: usize,
    all: usize,
    innermost: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            known: 0,
            all: 0,
            innermost: true,
        }
    }
}

fn exception_digest(exception: &Exception<'_>, in_app: bool, names: &mut Names) -> [u8; 16] {
    let mut identities = Identities::default();
    let mut frames = Vec::with_capacity(exception.frames.len());
    for frame in &exception.frames {
        if frame.in_app == in_app
            && let Some(identity) = identities.of(frame)
            && !frames.contains(&identity)
        {
            frames.push(identity);
        }
    }
    names.innermost &= frames.first().is_none_or(Identity::is_named);
    names.known += frames.iter().filter(|frame| frame.is_named()).count();
    names.all += frames.len();
    if exception.is_recursive {
        frames.sort_unstable();
    }
    let mut digest = Encoder::new("exception");
    if let Some(cause_type) = exception.cause_type {
        digest.part(b't', type_name(cause_type).as_bytes());
    }
    for frame in frames {
        digest.part(b'f', frame.file.as_bytes());
        digest.part(b'n', frame.function.as_bytes());
    }
    digest.digest()
}

/// A type without the numbers and addresses that runtimes give to types without a name.
fn type_name(name: &str) -> String {
    let end = ["@anonymous", "$$"]
        .into_iter()
        .filter_map(|mark| name.find(mark))
        .min();
    let name = end.and_then(|end| name.get(..end)).unwrap_or(name).trim();
    if name.contains("0x") {
        return variable_parts::replace(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut numbering = false;
    for letter in name.chars() {
        numbering = letter == '$' || numbering && letter.is_ascii_digit();
        if letter == '$' || !numbering {
            out.push(letter);
        }
    }
    out
}

/// A hash over parts, each with its kind and length before it, so that no two lists of parts read
/// as the same bytes.
struct Encoder(Md5);

impl Encoder {
    fn new(purpose: &str) -> Self {
        let mut encoder = Self(Md5::new());
        encoder.part(b'v', purpose.as_bytes());
        encoder
    }

    fn part(&mut self, kind: u8, bytes: &[u8]) {
        let mut heading = [kind; 9];
        heading[1..].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.update(heading);
        self.0.update(bytes);
    }

    fn digest(self) -> [u8; 16] {
        self.0.finalize().into()
    }
}
