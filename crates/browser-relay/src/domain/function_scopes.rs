//! Which function encloses each place of a JavaScript or TypeScript source.
//!
//! A minified stack names functions `u` or `t.r`, and a map's `names` say what is *called* at a place, not what
//! encloses it. Where a map carries the original text, the enclosing function can be read off it. This is no parser:
//! a [`lexer`] tells code from strings, comments, templates and regular expressions, and [`Scopes`] follows brackets
//! and notices the shapes that open a function: `function f(…) {`, `f(…) {` in classes and object literals, `f = (…)
//! =>`. It reads each character once, keeps only the open brackets, and cannot fail: text it misreads costs a name,
//! never an event.
//!
//! The result is a list of breakpoints, "from here on the innermost named function is …", in the order of the text, so
//! a look-up is a search for the last breakpoint at or before a place. Anonymous functions take the name of the
//! function around them.

mod lexer;

use lexer::{Lexer, Token};

/// From this place on, the innermost function with a name is `function`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breakpoint {
    /// From 0.
    pub(crate) line: u32,
    /// From 0, in UTF-16 code units.
    pub(crate) column: u32,
    /// None outside of functions.
    pub(crate) function: Option<String>,
}

/// Brackets inside each other; a text that goes deeper has no names from there on.
const DEEPEST: usize = 512;

/// Reads a source character by character and reports breakpoints.
pub(crate) struct Scanner {
    lexer: Lexer,
    scopes: Scopes,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            lexer: Lexer::new(),
            scopes: Scopes::default(),
        }
    }

    /// Takes the next character; `report` hears the breakpoints it completes.
    pub(crate) fn push(&mut self, character: char, report: &mut impl FnMut(Breakpoint)) {
        let scopes = &mut self.scopes;
        self.lexer.push(character, &mut |token, place| {
            scopes.token(token, place, report);
        });
    }
}

/// Line and column from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    line: u32,
    column: u32,
}

/// An open bracket.
#[derive(Debug)]
enum Open {
    /// With the name of the class whose body it opens.
    Brace {
        class: Option<String>,
    },
    /// With what may begin after it closes.
    Paren(Head),
    Bracket,
    /// The body of `x => x + 1`, which ends where its surroundings go on.
    Expression,
}

/// The name of something that may have none.
struct Named(Option<String>);

/// What a pair of parentheses may be the parameters of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    /// `f (…) {` opens a function of this name.
    method: Option<String>,
    /// `(…) => …` opens a function of this name.
    arrow: Option<String>,
}

/// The three tokens before the current one, latest first, and whether the latest began a line.
#[derive(Default)]
struct Before {
    tokens: [Token; 3],
    line: u32,
    began_line: bool,
}

#[derive(Default)]
struct Scopes {
    open: Vec<Open>,
    /// The named functions we are in, each with the number of brackets open inside it, its own counted.
    functions: Vec<(usize, String)>,
    before: Before,
    /// Parentheses have just closed: `{` or `=>` decides what they were.
    head: Option<Head>,
    /// Between `head` and its `{`: the return type of TypeScript.
    in_return_type: bool,
    /// `=>` has just been read, of a function of this name.
    arrow: Option<Named>,
    /// `class` has been read, with its name if that came.
    class: Option<Named>,
    /// `const x`, until its `=`.
    declared: Option<String>,
    /// `x:`, until something else begins; in TypeScript `=` may follow after the type.
    property: Option<String>,
    /// What a function expression that begins here would be called.
    assigned: Option<String>,
    /// `f<T>`: what stood before the `<`.
    generic: Option<String>,
    reported: Option<String>,
    given_up: bool,
}

impl Scopes {
    fn token(&mut self, token: Token, place: Place, report: &mut impl FnMut(Breakpoint)) {
        if self.given_up {
            return;
        }
        self.end_expressions(&token, place);
        match self.arrow.take() {
            Some(Named(function)) if token == Token::Punctuation('{') => {
                self.push(Open::Brace { class: None }, function);
            }
            Some(Named(function)) => {
                self.push(Open::Expression, function);
                self.brackets(&token);
            }
            None => self.brackets(&token),
        }
        self.names(&token);
        self.report(place, report);
        self.before.follow(token, place);
    }

    /// `,` `;` and closing brackets end the body of `x => x + 1`, and so does a statement on a new line.
    fn end_expressions(&mut self, token: &Token, place: Place) {
        let ends = match token {
            Token::Punctuation(character) => matches!(character, ',' | ';' | ')' | ']' | '}'),
            Token::Word(word) => place.line > self.before.line && is_statement(word),
            _ => false,
        };
        while ends && matches!(self.open.last(), Some(Open::Expression)) {
            self.open.pop();
        }
        self.leave_functions();
    }

    fn brackets(&mut self, token: &Token) {
        let head = self.head.take();
        match token {
            Token::Punctuation('{') => self.open_brace(head),
            Token::Punctuation('(') => {
                let head = self.head_before();
                self.push(Open::Paren(head), None);
            }
            Token::Punctuation('[') => {
                self.keep_return_type(head);
                self.push(Open::Bracket, None);
            }
            Token::Punctuation('}') => drop(self.close(|open| matches!(open, Open::Brace { .. }))),
            Token::Punctuation(']') => {
                self.keep_return_type(head);
                self.close(|open| matches!(open, Open::Bracket));
            }
            Token::Punctuation(')') => {
                self.in_return_type = false;
                if let Some(Open::Paren(head)) = self.close(|open| matches!(open, Open::Paren(_))) {
                    self.head = Some(head);
                }
            }
            Token::Punctuation(':') if head.is_some() && !self.in_return_type => {
                self.head = head;
                self.in_return_type = true;
            }
            Token::Punctuation('.' | '|' | '&' | '<' | '>' | ',' | '?')
            | Token::Word(_)
            | Token::Literal => {
                self.keep_return_type(head);
            }
            Token::Arrow => self.arrow = Some(Named(self.arrow_name(head))),
            _ => {}
        }
    }

    fn keep_return_type(&mut self, head: Option<Head>) {
        if self.in_return_type {
            self.head = head;
        }
    }

    fn open_brace(&mut self, head: Option<Head>) {
        self.in_return_type = false;
        if let Some(Named(class)) = self.class.take() {
            self.push(Open::Brace { class }, None);
            return;
        }
        let mut function = head.and_then(|head| head.method);
        if function.as_deref() == Some("constructor") {
            let class = self.open.iter().rev().find_map(|open| match open {
                Open::Brace { class } => Some(class.clone()),
                _ => None,
            });
            function = class
                .flatten()
                .map(|class| format!("new {class}"))
                .or(function);
        }
        self.push(Open::Brace { class: None }, function);
    }

    /// What the parentheses that open now may be the parameters of.
    fn head_before(&mut self) -> Head {
        let assigned = self.assigned.take();
        let [previous, second, third] = &self.before.tokens;
        let is_function = |token: &Token| matches!(token, Token::Word(word) if word == "function");
        match previous {
            Token::Word(word) if word == "function" => Head {
                method: assigned,
                arrow: None,
            },
            Token::Word(word) if word == "async" => Head {
                method: None,
                arrow: assigned,
            },
            Token::Word(word) if is_reserved(word) => Head::default(),
            Token::Word(word) => {
                let declared = is_function(second)
                    || (*second == Token::Punctuation('*') && is_function(third));
                let method = declared || self.before.began_line || begins_member(second);
                Head {
                    method: method.then(|| word.clone()),
                    arrow: None,
                }
            }
            Token::Punctuation('*') if is_function(second) => Head {
                method: assigned,
                arrow: None,
            },
            Token::Punctuation('>') => {
                let generic = self.generic.take();
                Head {
                    method: generic.clone(),
                    arrow: generic,
                }
            }
            Token::Assign | Token::Punctuation(':') => Head {
                method: None,
                arrow: assigned,
            },
            _ => Head::default(),
        }
    }

    /// The name of the arrow function whose `=>` comes now: its parameters were `head` or a single word.
    fn arrow_name(&mut self, head: Option<Head>) -> Option<String> {
        self.in_return_type = false;
        match head {
            Some(head) => head.arrow,
            None => self.assigned.take(),
        }
    }

    /// Follows what a function that begins here would be called.
    fn names(&mut self, token: &Token) {
        let previous = &self.before.tokens[0];
        let after = |words: &[&str]| matches!(previous, Token::Word(word) if words.contains(&word.as_str()));
        match token {
            Token::Word(word) if word == "class" => {
                self.class = Some(Named(self.assigned.take()));
            }
            Token::Word(word)
                if after(&["class"]) && !matches!(word.as_str(), "extends" | "implements") =>
            {
                self.class = Some(Named(Some(word.clone())));
            }
            Token::Word(word) if after(&["const", "let", "var"]) => {
                self.declared = Some(word.clone());
                self.assigned = None;
            }
            Token::Word(word) if matches!(word.as_str(), "async" | "function") => {}
            // Perhaps the only parameter of an arrow function.
            Token::Word(_)
                if matches!(previous, Token::Assign | Token::Punctuation(':'))
                    || after(&["async"]) => {}
            Token::Punctuation('*') if after(&["function"]) => {}
            Token::Punctuation(':') => {
                self.assigned = match previous {
                    Token::Word(word) if self.declared.is_none() => Some(word.clone()),
                    _ => None,
                };
                self.property.clone_from(&self.assigned);
            }
            Token::Assign => {
                let property = self.property.take();
                self.assigned = self
                    .declared
                    .take()
                    .or(property)
                    .or_else(|| match previous {
                        Token::Word(word) => Some(word.clone()),
                        _ => None,
                    });
            }
            Token::Punctuation('<') => {
                self.generic = match previous {
                    Token::Word(word) if word != "async" => Some(word.clone()),
                    _ => self.assigned.take(),
                };
                self.assigned = None;
            }
            Token::Punctuation(',' | ';' | '{' | '}') => {
                self.assigned = None;
                self.declared = None;
                self.property = None;
                if *token == Token::Punctuation(';') {
                    self.class = None;
                }
            }
            Token::Punctuation('(') => {
                self.assigned = None;
                self.property = None;
            }
            _ => self.assigned = None,
        }
    }

    fn push(&mut self, open: Open, function: Option<String>) {
        self.open.push(open);
        self.functions
            .extend(function.map(|function| (self.open.len(), function)));
        self.given_up = self.open.len() > DEEPEST;
    }

    /// Closes the innermost bracket of a kind, and what was left open inside it; nothing when none is open.
    fn close(&mut self, kind: impl Fn(&Open) -> bool) -> Option<Open> {
        let place = self.open.iter().rposition(kind)?;
        self.open.truncate(place + 1);
        let closed = self.open.pop();
        self.leave_functions();
        closed
    }

    fn leave_functions(&mut self) {
        while self
            .functions
            .last()
            .is_some_and(|(depth, _)| *depth > self.open.len())
        {
            self.functions.pop();
        }
    }

    fn report(&mut self, place: Place, report: &mut impl FnMut(Breakpoint)) {
        let innermost = self
            .functions
            .last()
            .map(|(_, function)| function)
            .filter(|_| !self.given_up);
        if innermost != self.reported.as_ref() {
            self.reported = innermost.cloned();
            report(Breakpoint {
                line: place.line,
                column: place.column,
                function: self.reported.clone(),
            });
        }
    }
}

impl Before {
    fn follow(&mut self, token: Token, place: Place) {
        let [previous, second, _] = std::mem::take(&mut self.tokens);
        self.tokens = [token, previous, second];
        self.began_line = place.line > self.line || self.tokens[1] == Token::Nothing;
        self.line = place.line;
    }
}

/// Words that may stand before `(` without being called or declared.
fn is_reserved(word: &str) -> bool {
    matches!(
        word,
        "if" | "for"
            | "while"
            | "switch"
            | "catch"
            | "with"
            | "return"
            | "typeof"
            | "await"
            | "in"
            | "of"
            | "new"
            | "delete"
            | "void"
            | "throw"
            | "case"
            | "do"
            | "else"
            | "yield"
            | "default"
            | "export"
            | "extends"
            | "super"
            | "import"
            | "instanceof"
            | "as"
            | "satisfies"
    )
}

/// Words that begin a statement, so that an expression before them has ended.
fn is_statement(word: &str) -> bool {
    matches!(
        word,
        "const"
            | "let"
            | "var"
            | "function"
            | "class"
            | "export"
            | "import"
            | "return"
            | "if"
            | "for"
            | "while"
            | "switch"
            | "throw"
            | "try"
            | "async"
            | "interface"
            | "type"
            | "enum"
    )
}

/// True when a member of a class or an object may begin after this token.
fn begins_member(token: &Token) -> bool {
    match token {
        Token::Nothing | Token::Punctuation('{' | '}' | ';' | ',' | '*') => true,
        Token::Word(word) => matches!(
            word.as_str(),
            "static"
                | "async"
                | "get"
                | "set"
                | "public"
                | "private"
                | "protected"
                | "override"
                | "abstract"
                | "readonly"
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
