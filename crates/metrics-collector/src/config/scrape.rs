//! Which targets are scraped, and how.

use std::time::Duration;

use monlight_shared::config::{Reader, Var};
use monlight_shared::secret::Secret;
use reqwest::Url;

/// Each has a task and a state.
const MOST_TARGETS: usize = 200;
const LONGEST_NAME: usize = 100;

pub(super) static SCRAPE_TARGETS: Var = Var::optional(
    "SCRAPE_TARGETS",
    "name=url, several separated by commas, such as shop=http://shop:8000/metrics; the url may hold user:password@, or token@ \
     for a bearer token, percent-encoded",
    "Exporters to scrape. The name becomes the label `job`, host and port become `instance`.",
)
.secret();
pub(super) static SCRAPE_INTERVAL: Var = Var::with_default(
    "SCRAPE_INTERVAL",
    "30",
    "whole number of seconds, 1 to 3600",
    "How often each target is scraped.",
);
pub(super) static SCRAPE_TIMEOUT: Var = Var::with_default(
    "SCRAPE_TIMEOUT",
    "10",
    "whole number of seconds, 1 to 300",
    "How long a scrape may take; never longer than `SCRAPE_INTERVAL`.",
);
pub(super) static MAX_SCRAPE_BYTES: Var = Var::with_default(
    "MAX_SCRAPE_BYTES",
    "4194304",
    "whole number, 1024 to 16777216",
    "The largest answer of a target. It has at most `MAX_BATCH` samples.",
);
pub(super) static SCRAPE_PROJECT: Var = Var::optional(
    "SCRAPE_PROJECT",
    "a text of 1 to 100 bytes",
    "The project of what is scraped; none when it is not set.",
);

/// How a target is asked.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

/// One exporter.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) job: String,
    /// Host and port.
    pub(crate) instance: String,
    /// Without user and password.
    pub(crate) url: Url,
    pub(crate) login: Option<Login>,
}

/// How targets are scraped.
#[derive(Clone, Debug)]
pub(crate) struct Scraping {
    pub(crate) targets: Vec<Target>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
    /// Empty for none.
    pub(crate) project: String,
}

impl Scraping {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let seconds = |number: i64| Duration::from_secs(number.unsigned_abs());
        let interval = seconds(reader.integer(&SCRAPE_INTERVAL, 1..=3600));
        let timeout = seconds(reader.integer(&SCRAPE_TIMEOUT, 1..=300));
        let project = reader.text(&SCRAPE_PROJECT).unwrap_or_default();
        if project.len() > 100 {
            reader.problem(&SCRAPE_PROJECT, &project, "is too long");
        }
        Self {
            targets: targets(reader),
            interval,
            timeout: timeout.min(interval),
            max_bytes: reader.integer(&MAX_SCRAPE_BYTES, 1024..=16_777_216) as usize,
            project,
        }
    }
}

fn targets(reader: &mut Reader<'_>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for (place, text) in reader.list(&SCRAPE_TARGETS).iter().enumerate() {
        // The value may hold a password, so only the place and the name are told.
        let number = place + 1;
        let mut problem = |name: &str, why: &str| {
            let why = format!("at target {number} {name:?}: {why}");
            reader.problem(&SCRAPE_TARGETS, "", &why);
        };
        let target = match target(text) {
            Ok(target) => target,
            Err((name, why)) => {
                problem(name, why);
                continue;
            }
        };
        if targets
            .iter()
            .any(|known| known.url == target.url && known.job == target.job)
        {
            problem(&target.job, "is there twice");
        } else if targets.len() == MOST_TARGETS {
            problem(&target.job, "is one of too many; expected at most 200");
            break;
        } else {
            targets.push(target);
        }
    }
    targets
}

/// Reads `name=url`; the name and what is wrong, when something is.
fn target(text: &str) -> Result<Target, (&str, &'static str)> {
    let (name, url) = text.split_once('=').ok_or(("", "has no name before ="))?;
    let name = name.trim();
    // Without a name it may be an address with a password.
    if name.contains("://") {
        return Err(("", "has no name before ="));
    }
    let fault = |why| Err((name, why));
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return fault("needs a name of 1 to 100 bytes");
    }
    let Ok(mut url) = Url::parse(url.trim()) else {
        return fault("has no address that can be read");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return fault("has an address that does not begin with http:// or https://");
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return fault("has an address without a host");
    };
    let instance = format!("{host}:{port}");
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (token, None) => Some(Login::Bearer(Secret::new(decoded(token)))),
        (user, Some(password)) => Some(Login::Basic {
            user: decoded(user),
            password: Secret::new(decoded(password)),
        }),
    };
    if let Some(Login::Bearer(token)) = &login
        && token.expose().chars().any(|c| !c.is_ascii_graphic())
    {
        return fault("has a token that no header can carry");
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return fault("has an address without a host");
    }
    url.set_fragment(None);
    Ok(Target {
        job: name.to_owned(),
        instance,
        url,
        login,
    })
}

/// Percent-encoded text; an escape that is none stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = behind
            .first_chunk::<2>()
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = match escaped {
            Some(_) => behind.get(2..).unwrap_or_default(),
            None => behind,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use monlight_shared::config::Env;

    fn read(settings: &[(&str, &str)]) -> Result<Scraping, String> {
        let env = Env::of(settings.iter().copied());
        let mut reader = Reader::new(&env);
        let scraping = Scraping::read(&mut reader);
        reader.finish().map_err(|fault| fault.to_string())?;
        Ok(scraping)
    }

    #[track_caller]
    fn check(targets: &str, expected: &[&str]) {
        let scraping = read(&[("SCRAPE_TARGETS", targets)]).expect("is usable");
        let found: Vec<String> = scraping
            .targets
            .iter()
            .map(|target| {
                let login = match &target.login {
                    None => String::new(),
                    Some(Login::Bearer(token)) => format!(" bearer {}", token.expose()),
                    Some(Login::Basic { user, password }) => {
                        format!(" basic {user}:{}", password.expose())
                    }
                };
                format!("{} {} {}{login}", target.job, target.instance, target.url)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn targets_are_read() {
        check("", &[]);
        check(
            "a=http://a:8000/metrics, b = https://b/x?y=1&z=2 ,",
            &[
                "a a:8000 http://a:8000/metrics",
                "b b:443 https://b/x?y=1&z=2",
            ],
        );
        check(
            "a=http://u%40x:p%2Cq%zz@[::1]:1/,b=http://t%2Fk+=@h",
            &[
                "a [::1]:1 http://[::1]:1/ basic u@x:p,q%zz",
                "b h:80 http://h/ bearer t/k+=",
            ],
        );
    }

    #[test]
    fn faults_name_the_variable_and_the_form_but_no_secret() {
        let double = "a=http://h/,a=http://h/";
        for (targets, why) in [
            ("http://u:geheim@h/", "target 1 \"\": has no name"),
            ("http://u:geheim@h/?a=1", "target 1 \"\": has no name"),
            ("=http://u:geheim@h/", "needs a name"),
            ("ok=http://h/,b=ftp://u:geheim@h/", "target 2 \"b\""),
            ("b=geheim", "no address that can be read"),
            ("b=http://ge%0Aheim@h/", "no header can carry"),
            (double, "target 2 \"a\": is there twice"),
        ] {
            let fault = read(&[("SCRAPE_TARGETS", targets)]).expect_err("is refused");
            assert!(fault.contains("SCRAPE_TARGETS: the given value"), "{fault}");
            assert!(fault.contains(why) && fault.contains("name=url"), "{fault}");
            assert!(!fault.contains("geheim"), "{fault}");
        }
        let many: Vec<String> = (0..201).map(|n| format!("a=http://h{n}/")).collect();
        let fault = read(&[("SCRAPE_TARGETS", &many.join(","))]).expect_err("is refused");
        assert!(fault.contains("at most 200"), "{fault}");
        for (name, value) in [
            ("SCRAPE_INTERVAL", "0"),
            ("SCRAPE_TIMEOUT", "x"),
            ("MAX_SCRAPE_BYTES", "1"),
        ] {
            let fault = read(&[(name, value)]).expect_err("is refused");
            assert!(fault.contains(name), "{fault}");
        }
    }

    #[test]
    fn a_scrape_ends_before_the_next_begins() {
        let scraping = read(&[("SCRAPE_INTERVAL", "5")]).expect("is usable");
        assert_eq!(scraping.timeout, Duration::from_secs(5));
        let debug = format!("{:?}", read(&[("SCRAPE_TARGETS", "a=http://u:geheim@h/")]));
        assert!(!debug.contains("geheim"), "{debug}");
    }
}
