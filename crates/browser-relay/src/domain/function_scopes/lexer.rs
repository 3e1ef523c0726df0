//! Tells code from what only looks like it: strings, comments, templates, regular expressions.

use super::Place;

/// What the code consists of, as far as brackets and names go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Token {
    #[default]
    Nothing,
    /// A name or a keyword.
    Word(String),
    /// A string, a number, a template, a regular expression.
    Literal,
    /// One character. The `${` and `}` of a template come as `[` and `]`.
    Punctuation(char),
    /// `=`
    Assign,
    /// `=>`
    Arrow,
    /// Comparisons and compound assignments.
    Operator,
}

/// Words after which `/` begins a regular expression, as an operand must follow.
const BEFORE_OPERAND: [&str; 14] = [
    "return",
    "typeof",
    "instanceof",
    "in",
    "of",
    "new",
    "delete",
    "void",
    "throw",
    "case",
    "do",
    "else",
    "yield",
    "await",
];

/// Templates inside templates.
const DEEPEST_TEMPLATE: usize = 64;
/// Bytes of a word that are kept.
const LONGEST_WORD: usize = 120;

enum State {
    Code,
    Word(String),
    Number,
    /// After `/`, which is division, a comment or a regular expression.
    Slash,
    LineComment,
    BlockComment {
        star: bool,
    },
    Text {
        quote: char,
        escaped: bool,
    },
    Template {
        escaped: bool,
        dollar: bool,
    },
    Regex {
        class: bool,
        escaped: bool,
    },
    /// After one or more `=`; `compound` when another operator stood before it.
    Equals {
        count: u32,
        compound: bool,
    },
}

pub(super) struct Lexer {
    state: State,
    place: Place,
    /// Where the token being read began.
    start: Place,
    operand_may_follow: bool,
    /// The character before belongs to an operator that `=` would extend.
    after_operator: bool,
    after_less: bool,
    /// Braces open inside each `${` of the templates we are in.
    templates: Vec<u32>,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            state: State::Code,
            place: Place::default(),
            start: Place::default(),
            operand_may_follow: true,
            after_operator: false,
            after_less: false,
            templates: Vec::new(),
        }
    }

    /// Takes the next character and gives `emit` the tokens that it completes, at most two.
    pub(super) fn push(&mut self, character: char, emit: &mut impl FnMut(Token, Place)) {
        // A character may end one token and begin the next, so it is seen until a state keeps it.
        while !self.step(character, emit) {}
        if character == '\n' {
            self.place.line = self.place.line.saturating_add(1);
            self.place.column = 0;
        } else {
            self.place.column = self
                .place
                .column
                .saturating_add(character.len_utf16() as u32);
        }
    }

    /// True when the character was used up.
    fn step(&mut self, character: char, emit: &mut impl FnMut(Token, Place)) -> bool {
        match &mut self.state {
            State::Code => self.code(character, emit),
            State::Word(word) => {
                if is_word(character) {
                    if word.len() < LONGEST_WORD {
                        word.push(character);
                    }
                    return true;
                }
                let word = std::mem::take(word);
                let operand = BEFORE_OPERAND.contains(&word.as_str());
                self.emit(Token::Word(word), operand, emit);
                false
            }
            State::Number => {
                if is_word(character) || character == '.' {
                    return true;
                }
                self.emit(Token::Literal, false, emit);
                false
            }
            State::Slash => self.slash(character, emit),
            State::LineComment => {
                if character == '\n' {
                    self.state = State::Code;
                }
                true
            }
            State::BlockComment { star } => {
                if *star && character == '/' {
                    self.state = State::Code;
                } else {
                    *star = character == '*';
                }
                true
            }
            State::Text { quote, escaped } => {
                let ends = character == *quote || character == '\n';
                if *escaped {
                    *escaped = false;
                } else if ends {
                    // A line ends every string: what looks like one beyond it is an apostrophe in a text.
                    self.emit(Token::Literal, false, emit);
                } else {
                    *escaped = character == '\\';
                }
                true
            }
            State::Template { .. } => {
                self.template(character, emit);
                true
            }
            State::Regex { class, escaped } => {
                match character {
                    _ if *escaped => *escaped = false,
                    '\\' => *escaped = true,
                    '[' => *class = true,
                    ']' => *class = false,
                    '/' if !*class => self.emit(Token::Literal, false, emit),
                    '\n' => self.emit(Token::Operator, true, emit),
                    _ => {}
                }
                true
            }
            State::Equals { count, compound } => match (character, *count, *compound) {
                ('=', ..) => {
                    *count += 1;
                    true
                }
                ('>', 1, false) => {
                    self.emit(Token::Arrow, true, emit);
                    true
                }
                (_, 1, false) => {
                    self.emit(Token::Assign, true, emit);
                    false
                }
                _ => {
                    self.emit(Token::Operator, true, emit);
                    false
                }
            },
        }
    }

    fn code(&mut self, character: char, emit: &mut impl FnMut(Token, Place)) -> bool {
        let after_operator = std::mem::take(&mut self.after_operator);
        let after_less = std::mem::take(&mut self.after_less);
        self.start = self.place;
        match character {
            _ if character.is_whitespace() => {}
            '0'..='9' => self.state = State::Number,
            _ if is_word(character) => self.state = State::Word(character.to_string()),
            '"' | '\'' => {
                self.state = State::Text {
                    quote: character,
                    escaped: false,
                }
            }
            '`' => {
                self.state = State::Template {
                    escaped: false,
                    dollar: false,
                }
            }
            // The end of a JSX element, not a regular expression.
            '/' if after_less => {}
            '/' => self.state = State::Slash,
            '=' => {
                self.state = State::Equals {
                    count: 1,
                    compound: after_operator,
                }
            }
            '{' => {
                if let Some(braces) = self.templates.last_mut() {
                    *braces += 1;
                }
                self.emit(Token::Punctuation('{'), true, emit);
            }
            '}' => match self.templates.last_mut() {
                Some(0) => {
                    self.templates.pop();
                    self.emit(Token::Punctuation(']'), false, emit);
                    self.state = State::Template {
                        escaped: false,
                        dollar: false,
                    };
                }
                Some(braces) => {
                    *braces -= 1;
                    self.emit(Token::Punctuation('}'), false, emit);
                }
                None => self.emit(Token::Punctuation('}'), false, emit),
            },
            ')' | ']' => self.emit(Token::Punctuation(character), false, emit),
            _ => {
                self.emit(Token::Punctuation(character), true, emit);
                self.after_operator = "<>!+-*%&|^?".contains(character);
                self.after_less = character == '<';
            }
        }
        true
    }

    fn slash(&mut self, character: char, emit: &mut impl FnMut(Token, Place)) -> bool {
        match character {
            '/' => self.state = State::LineComment,
            '*' => self.state = State::BlockComment { star: false },
            _ if self.operand_may_follow => {
                self.state = State::Regex {
                    class: false,
                    escaped: false,
                };
                return false;
            }
            _ => {
                self.emit(Token::Operator, true, emit);
                self.after_operator = true;
                return false;
            }
        }
        true
    }

    fn template(&mut self, character: char, emit: &mut impl FnMut(Token, Place)) {
        let State::Template { escaped, dollar } = &mut self.state else {
            return;
        };
        match character {
            _ if *escaped => *escaped = false,
            '\\' => *escaped = true,
            '`' => self.emit(Token::Literal, false, emit),
            '{' if *dollar && self.templates.len() < DEEPEST_TEMPLATE => {
                self.templates.push(0);
                self.start = self.place;
                self.emit(Token::Punctuation('['), true, emit);
            }
            _ => *dollar = character == '$',
        }
    }

    fn emit(
        &mut self,
        token: Token,
        operand_may_follow: bool,
        emit: &mut impl FnMut(Token, Place),
    ) {
        self.state = State::Code;
        self.operand_may_follow = operand_may_follow;
        emit(token, self.start);
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '#' | '\u{200C}' | '\u{200D}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut tokens = Vec::new();
        let mut lexer = Lexer::new();
        for character in text.chars().chain(['\n']) {
            lexer.push(character, &mut |token, _| {
                tokens.push(match token {
                    Token::Nothing => "nothing".to_owned(),
                    Token::Word(word) => word,
                    Token::Literal => "L".to_owned(),
                    Token::Punctuation(character) => character.to_string(),
                    Token::Assign => "=".to_owned(),
                    Token::Arrow => "=>".to_owned(),
                    Token::Operator => "op".to_owned(),
                });
            });
        }
        assert_eq!(tokens.join(" "), expected, "{text}");
    }

    #[test]
    fn code() {
        check("const f = (a) => a+1;", "const f = ( a ) => a + L ;");
        check(
            "a==b; a===b; a<=b; a!==b; a+=b; a/=b",
            "a op b ; a op b ; a < op b ; a ! op b ; a + op b ; a op op b",
        );
        check("#priv(x) {}", "#priv ( x ) { }");
        check("0x1F.toString 1e5 1.5", "L L L");
    }

    #[test]
    fn what_only_looks_like_code() {
        check("a // { \nb /* { ** */ c", "a b c");
        check("'{\\'{' + \"}\"", "L + L");
        check("it's {x}\n{", "it L {");
        check(
            "x = /[/{]\\/{/g; y = a / b / c",
            "x = L g ; y = a op b op c",
        );
        check("return /{/.test(s)", "return L . test ( s )");
        check("<b>{x}</b>", "< b > { x } < b >");
        check("`a{${ {b: `${c}`} }d}` }", "[ { b : [ c ] L } ] L }");
        check("/unclosed {\n{", "op {");
    }
}
