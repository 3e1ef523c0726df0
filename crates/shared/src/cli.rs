//! The few words a service understands on its command line.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{Env, Var};
use crate::service::ServiceInfo;
use crate::store;

const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the service: no arguments, or `serve`.
    Serve,
    /// Ask the running copy: exit status 0 when it is well, 1 otherwise.
    Healthcheck,
    /// Print name and version.
    Version,
    /// Print usage and all variables.
    Help,
    /// Print the variables as a Markdown table, for the documentation.
    Env,
    /// Write a copy of the database, also while the service runs.
    Backup(PathBuf),
}

impl Command {
    /// Reads the arguments after the program's name; the error says what was wrong.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] | ["serve"] => Ok(Self::Serve),
            ["--healthcheck" | "healthcheck"] => Ok(Self::Healthcheck),
            ["--version" | "-V"] => Ok(Self::Version),
            ["--help" | "-h" | "help"] => Ok(Self::Help),
            ["env"] => Ok(Self::Env),
            ["backup", path] if !path.is_empty() => Ok(Self::Backup(PathBuf::from(path))),
            ["backup", ..] => Err("backup takes one argument, the path of the copy".to_owned()),
            [first, ..] => Err(format!("unknown argument {first:?}")),
        }
    }
}

/// The text of `--help`.
pub fn help(info: &ServiceInfo, vars: &[&Var]) -> String {
    let mut out = format!(
        "{name} {version}: {summary}\n\n\
         Usage: {name}                 serve\n       \
         {name} --healthcheck   ask the running copy: exit status 0 or 1\n       \
         {name} backup PATH     write a complete copy of the database, also while it is in use\n       \
         {name} env             the settings as a Markdown table\n       \
         {name} --version | --help\n\nSettings, from the environment:\n",
        name = info.name,
        version = info.version,
        summary = info.summary,
    );
    for var in vars {
        let default = default_text(var, info);
        let file = if var.secret {
            format!(" Also as {}_FILE.", var.name)
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "\n  {} ({}; {default})\n      {}{file}",
            var.name, var.form, var.doc
        );
    }
    out
}

/// The settings as a Markdown table.
pub fn env_table(vars: &[&Var], info: &ServiceInfo) -> String {
    let mut out = "| variable | default | form | meaning |\n|---|---|---|---|\n".to_owned();
    for var in vars {
        let default = match default_text(var, info) {
            text if text == "required" => "**required**".to_owned(),
            text if text == "not set" => "–".to_owned(),
            text => format!("`{}`", text.trim_start_matches("default ")),
        };
        let file = if var.secret {
            format!(" Also as `{}_FILE`, the path of a file.", var.name)
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "| `{}` | {default} | {} | {}{file} |",
            var.name,
            var.form.replace('|', "\\|"),
            var.doc.replace('|', "\\|")
        );
    }
    out
}

/// Some defaults of common variables differ between the services.
fn default_text(var: &Var, info: &ServiceInfo) -> String {
    let own = match var.name {
        "PORT" => Some(info.default_port.to_string()),
        "DATABASE_PATH" => Some(info.default_database.to_owned()),
        "RATE_LIMIT" => Some(info.default_rate_limit.to_string()),
        "MAX_BODY_BYTES" => Some(info.default_max_body.to_string()),
        _ => var.default.map(str::to_owned),
    };
    match own {
        Some(default) => format!("default {default}"),
        None if var.required => "required".to_owned(),
        None => "not set".to_owned(),
    }
}

/// Asks the copy that runs with the same settings. Needs no key. Says on stderr why it is not well.
pub fn healthcheck(env: &Env, info: &ServiceInfo) -> ExitCode {
    match health_address(env, info).and_then(ask_health) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&format!("{}: {why}\n", info.name));
            ExitCode::FAILURE
        }
    }
}

/// Where the copy with these settings can be asked. Settings with which none can run are a fault: behind the default port
/// there may be another service, which is well.
fn health_address(env: &Env, info: &ServiceInfo) -> Result<SocketAddr, String> {
    let port = match env.non_empty("PORT") {
        None => info.default_port,
        Some(text) => match text.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(format!("PORT: {text:?}; expected whole number, 1 to 65535")),
        },
    };
    let host = match env.non_empty("HOST") {
        None => IpAddr::from([0, 0, 0, 0]),
        Some(text) => text
            .parse::<IpAddr>()
            .map_err(|_| format!("HOST: {text:?}; expected an IP address"))?,
    };
    let host = if host.is_unspecified() {
        IpAddr::from([127, 0, 0, 1])
    } else {
        host
    };
    Ok(SocketAddr::new(host, port))
}

fn ask_health(address: SocketAddr) -> Result<(), String> {
    let fault = |fault: std::io::Error| format!("{address} does not answer ({fault})");
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT).map_err(fault)?;
    stream
        .set_read_timeout(Some(HEALTH_TIMEOUT))
        .map_err(fault)?;
    stream
        .set_write_timeout(Some(HEALTH_TIMEOUT))
        .map_err(fault)?;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(fault)?;
    let mut answer = Vec::new();
    stream
        .take(16 * 1024)
        .read_to_end(&mut answer)
        .map_err(fault)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body = answer
        .split_once("\r\n\r\n")
        .map_or("", |(_, body)| body)
        .trim();
    Err(format!("{address} is not well: status {status} {body}"))
}

/// Copies the database of these settings to `target`.
pub fn backup(env: &Env, info: &ServiceInfo, target: &std::path::Path) -> anyhow::Result<()> {
    let source = PathBuf::from(
        env.non_empty("DATABASE_PATH")
            .unwrap_or(info.default_database),
    );
    store::backup_file(&source, target)
}

/// Writes to stdout; a closed pipe is not our fault.
pub fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes to stderr before, or without, a logger.
pub fn complain(text: &str) {
    // There is nobody left to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: Result<Command, &str>) {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        assert_eq!(Command::parse(&arguments), expected.map_err(str::to_owned));
    }

    #[test]
    fn arguments() {
        check(&[], Ok(Command::Serve));
        check(&["serve"], Ok(Command::Serve));
        check(&["--healthcheck"], Ok(Command::Healthcheck));
        check(&["--help"], Ok(Command::Help));
        check(
            &["backup", "/b/copy.db"],
            Ok(Command::Backup("/b/copy.db".into())),
        );
        check(
            &["backup"],
            Err("backup takes one argument, the path of the copy"),
        );
        check(&["--foo"], Err("unknown argument \"--foo\""));
        check(&["--version", "x"], Err("unknown argument \"--version\""));
    }

    #[track_caller]
    fn check_asks(host: &str, port: &str, expected: Result<&str, &str>) {
        let info = ServiceInfo {
            name: "demo",
            version: "1",
            summary: "",
            default_port: 5010,
            default_database: "demo.db",
            default_rate_limit: 0,
            default_max_body: 1024,
            api_key: crate::config::ApiKeyName::ApiKey,
        };
        let env = Env::of([("HOST", host), ("PORT", port)]);
        let asked = health_address(&env, &info).map(|address| address.to_string());
        assert_eq!(
            asked.as_deref().map_err(String::as_str),
            expected,
            "{host} {port}"
        );
    }

    #[test]
    fn a_healthcheck_asks_the_copy_of_these_settings_and_no_other() {
        check_asks("", "", Ok("127.0.0.1:5010"));
        check_asks("0.0.0.0", "80", Ok("127.0.0.1:80"));
        check_asks("::", "80", Ok("127.0.0.1:80"));
        check_asks("::1", "80", Ok("[::1]:80"));
        check_asks("10.0.0.7", "80", Ok("10.0.0.7:80"));
        for port in ["abc", "0", "99999", "-1"] {
            let expected = format!("PORT: {port:?}; expected whole number, 1 to 65535");
            check_asks("", port, Err(&expected));
        }
        check_asks("box", "", Err("HOST: \"box\"; expected an IP address"));
    }

    #[test]
    fn a_healthcheck_without_a_server_fails() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        drop(listener);
        let why = ask_health(address).expect_err("nobody listens");
        assert!(why.contains("does not answer"), "{why}");
    }
}
