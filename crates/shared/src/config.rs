//! Settings from the environment: typed, all faults reported together, each variable declared once.
//!
//! A [`Var`] carries the doc text that `--help` prints and `docs/configuration.md` is generated from. A [`Reader`] reads
//! variables and collects every problem; [`Reader::finish`] reports them all, so that a person mends a `.env` in one go.
//! Set but empty counts as not set. `NAME_FILE` gives a secret by the path of a file (Docker secrets).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::ops::RangeInclusive;

use crate::secret::Secret;

mod admin;
mod common;

pub use admin::{ADMIN_VARS, AdminAddress};
pub use common::{
    ApiKeyName, COMMON_VARS, Common, LogFormat, LogLevel, Siblings, TrustedProxies, key_var,
};

/// A service's own variables and those of a part that it shares with others, in the order of the documentation. `ALL` is
/// the sum of both numbers.
pub const fn joined<const ALL: usize>(
    own: &[&'static Var],
    shared: &[&'static Var],
) -> [&'static Var; ALL] {
    assert!(own.len() + shared.len() == ALL, "all of them");
    let mut all = [own[0]; ALL];
    let mut next = 0;
    while next < ALL {
        all[next] = if next < own.len() {
            own[next]
        } else {
            shared[next - own.len()]
        };
        next += 1;
    }
    all
}

/// One environment variable, declared once.
#[derive(Debug, PartialEq, Eq)]
pub struct Var {
    /// Its name.
    pub name: &'static str,
    /// What counts when it is not set, as it would be written.
    pub default: Option<&'static str>,
    /// Whether the service refuses to start without it.
    pub required: bool,
    /// Whether its value must never be shown; such a variable can also be given as `NAME_FILE`.
    pub secret: bool,
    /// The expected form, such as `whole number, 1 to 65535`.
    pub form: &'static str,
    /// What it does, one or two sentences.
    pub doc: &'static str,
}

impl Var {
    /// A variable without which the service does not start.
    pub const fn required(name: &'static str, form: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default: None,
            required: true,
            secret: false,
            form,
            doc,
        }
    }

    /// A variable that may be left out.
    pub const fn optional(name: &'static str, form: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default: None,
            required: false,
            secret: false,
            form,
            doc,
        }
    }

    /// A variable with a default.
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        form: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            default: Some(default),
            required: false,
            secret: false,
            form,
            doc,
        }
    }

    /// Marks the value as secret.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// The most that is read of a `NAME_FILE`.
const SECRET_FILE_BYTES: u64 = 64 * 1024;

/// The environment as a value, so that tests never touch the real one. It holds secrets, so there is no `Debug`.
#[derive(Clone, Default)]
pub struct Env {
    values: BTreeMap<String, String>,
    /// Variables that are set to something that is no UTF-8.
    unreadable: BTreeSet<String>,
}

impl Env {
    /// The environment of the process.
    pub fn process() -> Self {
        Self::of_os(std::env::vars_os())
    }

    /// An environment as the system has it, where values need not be text.
    pub fn of_os(pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut env = Self::default();
        for (name, value) in pairs {
            // No variable of ours has a name that is no UTF-8.
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    env.values.insert(name, value);
                }
                Err(_) => {
                    env.unreadable.insert(name);
                }
            }
        }
        env
    }

    /// An environment of the given pairs.
    pub fn of<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self {
            values: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            unreadable: BTreeSet::new(),
        }
    }

    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads variables and collects what is wrong with them.
pub struct Reader<'e> {
    env: &'e Env,
    problems: Vec<String>,
}

impl<'e> Reader<'e> {
    /// A reader of `env` that has seen no problem yet.
    pub fn new(env: &'e Env) -> Self {
        Self {
            env,
            problems: Vec::new(),
        }
    }

    /// The settings are fine, or all that is wrong with them.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError {
                problems: self.problems,
            })
        }
    }

    /// Notes that `value` of `var` cannot be used, and `why`. A secret's value is not shown.
    pub fn problem(&mut self, var: &Var, value: &str, why: &str) {
        let shown = if var.secret {
            "the given value".to_owned()
        } else {
            format!("{value:?}")
        };
        self.problems.push(format!(
            "{}: {shown} {why}; expected {}",
            var.name, var.form
        ));
    }

    /// The value or the default; `None` when there is neither.
    pub fn text(&mut self, var: &'static Var) -> Option<String> {
        let value = if var.secret {
            self.secret_text(var)
        } else {
            self.given(var.name).map(str::to_owned)
        };
        value.or_else(|| var.default.map(str::to_owned))
    }

    fn given(&mut self, name: &str) -> Option<&'e str> {
        if self.env.unreadable.contains(name) {
            let problem = format!("{name}: the value is no UTF-8 text; expected UTF-8");
            // Some variables are asked for more than once.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        self.env.non_empty(name)
    }

    fn secret_text(&mut self, var: &'static Var) -> Option<String> {
        let file_name = format!("{}_FILE", var.name);
        let direct = self.given(var.name);
        let Some(path) = self.given(&file_name) else {
            return direct.map(str::to_owned);
        };
        if direct.is_some() {
            self.problems.push(format!(
                "{} and {file_name} are both set; expected one of them",
                var.name
            ));
            return None;
        }
        match read_secret_file(path) {
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                if text.is_empty() {
                    self.problems.push(format!(
                        "{file_name}: the file {path:?} is empty; expected {}",
                        var.form
                    ));
                    return None;
                }
                Some(text)
            }
            Err(fault) => {
                self.problems.push(format!("{file_name}: cannot read {path:?} ({fault}); expected the path of a readable file"));
                None
            }
        }
    }

    /// The value; notes a problem and answers an empty text when there is none.
    pub fn required_text(&mut self, var: &'static Var) -> String {
        let before = self.problems.len();
        self.text(var).unwrap_or_else(|| {
            // A file that could not be read was reported already.
            if self.problems.len() == before {
                let or_file = if var.secret {
                    format!(" (or {}_FILE)", var.name)
                } else {
                    String::new()
                };
                self.problems.push(format!(
                    "{}{or_file} is not set or empty; expected {}",
                    var.name, var.form
                ));
            }
            String::new()
        })
    }

    /// A secret that may be missing.
    pub fn secret(&mut self, var: &'static Var) -> Option<Secret> {
        self.text(var).map(Secret::new)
    }

    /// A secret that must be there.
    pub fn required_secret(&mut self, var: &'static Var) -> Secret {
        Secret::new(self.required_text(var))
    }

    /// A whole number within `range`. The variable must have a default.
    pub fn integer(&mut self, var: &'static Var, range: RangeInclusive<i64>) -> i64 {
        let text = self.text(var).unwrap_or_default();
        self.number(var, &text, range)
    }

    /// A whole number within `range`, if the variable is set.
    pub fn optional_integer(
        &mut self,
        var: &'static Var,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let text = self.text(var)?;
        Some(self.number(var, &text, range))
    }

    fn number(&mut self, var: &'static Var, text: &str, range: RangeInclusive<i64>) -> i64 {
        match text.parse::<i64>() {
            Ok(number) if range.contains(&number) => number,
            Ok(_) => {
                self.problem(var, text, "is out of range");
                *range.start()
            }
            Err(_) => {
                self.problem(var, text, "is no whole number");
                *range.start()
            }
        }
    }

    /// `true`, `1`, `yes`, `on` or `false`, `0`, `no`, `off`, in any case. Without a default: false.
    pub fn boolean(&mut self, var: &'static Var) -> bool {
        let Some(text) = self.text(var) else {
            return false;
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.problem(var, &text, "is neither true nor false");
                false
            }
        }
    }

    /// Comma-separated items, blanks around them cut, empty ones skipped.
    pub fn list(&mut self, var: &'static Var) -> Vec<String> {
        let text = self.text(var).unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// An `http://` or `https://` address without trailing slashes.
    pub fn url(&mut self, var: &'static Var) -> Option<String> {
        let text = self.text(var)?;
        if let Some(why) = url_fault(&text) {
            self.problem(var, &without_user(&text), why);
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    /// As [`Reader::url`], but it must be there.
    pub fn required_url(&mut self, var: &'static Var) -> String {
        let text = self.required_text(var);
        if let Some(why) = url_fault(&text).filter(|_| !text.is_empty()) {
            self.problem(var, &without_user(&text), why);
        }
        text.trim_end_matches('/').to_owned()
    }

    /// One of the named values, in any case. The variable must have a default that is among them.
    pub fn choice<T: Clone>(&mut self, var: &'static Var, values: &[(&str, T)]) -> Option<T> {
        let text = self.text(var).unwrap_or_default();
        let found = values
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&text))
            .map(|(_, value)| value.clone());
        if found.is_none() {
            self.problem(var, &text, "is not known");
        }
        found
    }
}

fn read_secret_file(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(SECRET_FILE_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// An address as it may be shown: a user name and password before its host are left out.
fn without_user(text: &str) -> Cow<'_, str> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    // A password may hold a slash that should have been escaped, so the last @ counts.
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}[hidden]@{rest}").into(),
        None => text.into(),
    }
}

fn url_fault(text: &str) -> Option<&'static str> {
    let Some(rest) = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
    else {
        return Some("does not begin with http:// or https://");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() {
        return Some("has no host");
    }
    if authority.contains('@') {
        return Some("holds a user name or password");
    }
    if rest.contains(['?', '#']) || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("holds a query, a fragment or a blank");
    }
    let port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'))
        .map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_err())
        .then_some("has an unusable port")
}

#[cfg(test)]
mod tests;
