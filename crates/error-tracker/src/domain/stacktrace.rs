//! Stack traces of nine runtimes, read line by line.
//!
//! Python (chained exceptions, exception groups, syntax errors), JavaScript as V8, Firefox and
//! Safari write it (Node's causes, too), Java and Kotlin (causes, suppressed exceptions), Go
//! (panics and the stacks of error packages), Ruby, PHP, Rust (panics and backtraces) and C#
//! (inner exceptions, Mono). What a line is, is decided by what it looks like, so a text in which
//! several are mixed gives the frames of all of them. A line that looks like no frame is skipped;
//! no text is an error.
//!
//! One pass, linear in the length of the text, and few frames are kept however long it is: see
//! [`MOST_FRAMES`] and [`MOST_EXCEPTIONS`].

mod dotnet;
mod go;
mod identity;
mod javascript;
mod jvm;
mod path;
mod php;
mod place;
mod python;
mod ruby;
mod rust;
mod scanner;
mod window;

#[cfg(test)]
mod tests;

pub use identity::{Identities, Identity};
use scanner::Scanner;

/// How many different frames of an exception are kept, innermost ones first: so many of the app
/// and so many of libraries.
pub const MOST_FRAMES: usize = 30;

/// How many exceptions of a chain are kept, half of them from its beginning.
pub const MOST_EXCEPTIONS: usize = 8;

/// What wrote a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Of any version.
    Python,
    /// A browser or Node.
    JavaScript,
    /// Java, Kotlin and other languages of its machine.
    Java,
    /// Of any version.
    Go,
    /// Of any version.
    Ruby,
    /// Of any version.
    Php,
    /// Of any version.
    Rust,
    /// C# and other languages of .NET.
    CSharp,
}

/// A function that was running. The texts are parts of the trace, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'t> {
    /// What wrote it.
    pub language: Language,
    /// The function, with its class or module where the runtime names them; may be empty.
    pub function: &'t str,
    /// A path, a URL or whatever else the runtime calls a file; may be empty.
    pub file: &'t str,
    /// From 1.
    pub line: Option<u32>,
    /// From 1 in most runtimes.
    pub column: Option<u32>,
    /// False for the code of runtimes, frameworks and libraries, as far as names tell.
    pub in_app: bool,
}

/// One exception of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception<'t> {
    /// Its type, where the text sets it off as the cause of another or as one of a group.
    pub cause_type: Option<&'t str>,
    /// Whether it is one of a group, whose order is chance.
    pub is_member: bool,
    /// Innermost first, each function of each file once.
    pub frames: Vec<Frame<'t>>,
    /// Whether the innermost frame of the app was running before, with others in between: the
    /// place in the circle at which such a recursion ended is chance.
    pub is_recursive: bool,
}

/// What a text tells about the functions that were running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacktrace<'t> {
    /// That of most frames.
    pub language: Option<Language>,
    /// In the order of the text; at least one frame or a type in each.
    pub exceptions: Vec<Exception<'t>>,
    main: usize,
}

/// Reads `text`. It may hold anything, also no frame at all.
pub fn frames(text: &str) -> Stacktrace<'_> {
    let mut scanner = Scanner::default();
    for line in text.split('\n') {
        scanner.line(line);
    }
    scanner.finish()
}

impl<'t> Stacktrace<'t> {
    /// All frames, exception by exception.
    pub fn frames(&self) -> impl Iterator<Item = &Frame<'t>> {
        self.exceptions
            .iter()
            .flat_map(|exception| &exception.frames)
    }

    /// Takes the frames of these files, which must be sorted, for those of a library.
    pub fn set_libraries(&mut self, files: &[String]) {
        let frames = self.exceptions.iter_mut();
        for frame in frames.flat_map(|exception| &mut exception.frames) {
            let known = files.binary_search_by(|file| file.as_str().cmp(frame.file));
            frame.in_app &= known.is_err();
        }
    }

    /// Where to look first: the innermost frame of the app in the exception that was reported,
    /// else in its causes, else the innermost frame of all.
    pub fn location(&self) -> Option<&Frame<'t>> {
        let main = self.exceptions.get(self.main)?;
        let in_app = |frame: &&Frame<'t>| frame.in_app;
        main.frames
            .iter()
            .find(in_app)
            .or_else(|| self.frames().find(in_app))
            .or_else(|| main.frames.first())
            .or_else(|| self.frames().next())
    }
}
