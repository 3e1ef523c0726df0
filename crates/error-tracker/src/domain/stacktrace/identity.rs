//! What of a frame stays the same from release to release.

use super::window::ends;
use super::{Frame, Language, dotnet, go, javascript, jvm, path, php, ruby, rust};

/// Minifiers give the shortest names they have.
const LONGEST_MADE_UP: usize = 3;

/// A frame without what changes when code around it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// First, because it tells most names apart without a look at them.
    ends: u64,
    /// The file, where the function alone does not tell it; else empty.
    pub file: String,
    /// The function; empty where it has no name, or one that a bundler made up.
    pub function: String,
}

impl Identity {
    /// Whether the function has a name that tells it from others of the file.
    pub fn is_named(&self) -> bool {
        !matches!(
            self.function.as_str(),
            "" | "<module>"
                | "<lambda>"
                | "<genexpr>"
                | "<main>"
                | "<top (required)>"
                | "{main}"
                | "{closure}"
        )
    }
}

/// Makes identities. Neighbours are often in the same file, so the last one is remembered.
#[derive(Debug, Default)]
pub struct Identities<'t> {
    of: &'t str,
    file: String,
    hashed: bool,
}

impl<'t> Identities<'t> {
    /// Of a frame; `None` for one that versions of the runtime show or not, though nothing else
    /// differs.
    pub fn of(&mut self, frame: &Frame<'t>) -> Option<Identity> {
        let name = frame.function;
        let mut function = String::new();
        let in_file = match frame.language {
            // Python 3.12 runs comprehensions in the function they are in.
            Language::Python if is_comprehension(name) => return None,
            Language::Python => {
                function.push_str(name);
                true
            }
            Language::JavaScript => {
                let receiver = javascript::receiver(name, frame.file);
                let name = javascript::stable_function(name);
                let made_up = name.len() <= LONGEST_MADE_UP;
                self.read(frame.file, frame.language);
                if !made_up || !javascript::is_bundle(frame.file, self.hashed) {
                    if !name.is_empty() && receiver.len() > LONGEST_MADE_UP {
                        function.push_str(receiver);
                        function.push('.');
                    }
                    function.push_str(name);
                }
                true
            }
            Language::Ruby => {
                function.push_str(ruby::stable_function(name));
                true
            }
            Language::Php => {
                php::stable_function(name, &mut function);
                true
            }
            // The names of these begin with a module or package.
            Language::Java => {
                jvm::stable_function(name, &mut function);
                false
            }
            Language::Go => {
                go::stable_function(name, &mut function);
                false
            }
            Language::CSharp => {
                dotnet::stable_function(name, &mut function);
                false
            }
            Language::Rust => {
                rust::stable_function(name, &mut function);
                name.is_empty()
            }
        };
        let file = if in_file {
            self.read(frame.file, frame.language);
            self.file.clone()
        } else {
            String::new()
        };
        Some(Identity {
            ends: ends(&file, &function),
            file,
            function,
        })
    }

    fn read(&mut self, file: &'t str, language: Language) {
        if self.of == file && !self.file.is_empty() {
            return;
        }
        self.of = file;
        self.file.clear();
        let source = match language {
            Language::Php => php::source(file),
            _ => file,
        };
        self.hashed = path::push_stable(source, language, &mut self.file);
    }
}

fn is_comprehension(function: &str) -> bool {
    matches!(function, "<listcomp>" | "<dictcomp>" | "<setcomp>")
}
