//! The settings of this service besides those all services have.

use monlight_shared::config::{self, Reader, Var};
use monlight_shared::notify;
use monlight_shared::notify::service::AlertSettings;

use crate::domain::grouping::GroupingMode;
use crate::domain::scrub::Scrubber;
use crate::store::record::Intake;

static RETENTION_DAYS: Var = Var::with_default(
    "RETENTION_DAYS",
    "90",
    "whole number, 0 to 36500",
    "Resolved errors are deleted so many days after they were resolved.",
);
static RETENTION_DAYS_OPEN: Var = Var::optional(
    "RETENTION_DAYS_OPEN",
    "whole number, 1 to 36500",
    "Errors that nobody resolved are deleted when they were not seen for so many days. Without it they are kept.",
);
static MAX_DB_MB: Var = Var::with_default(
    "MAX_DB_MB",
    "4096",
    "whole number, 0 to 1000000, in megabytes of 1,000,000 bytes; 0: no limit",
    "A database that holds more loses the least useful errors: those resolved longest ago, then the ignored and at last the open ones that were not seen for longest.",
);
static GROUPING: Var = Var::with_default(
    "GROUPING",
    "original",
    "original or stable",
    "Which reports belong together: `original` compares the file and line of the traceback as the original service does, `stable` the functions of the app, so that a new release does not start all errors anew.",
);
static SCRUB_KEYS: Var = Var::optional(
    "SCRUB_KEYS",
    "names, separated by commas; a * at the beginning or end of one stands for anything",
    "Besides passwords, tokens and the like: values of these names in headers, query strings, `extra` and `tags` are not kept. `x-foo`, `X_Foo` and `xFoo` are one name.",
);
static BASE_URL: Var = Var::with_default(
    "BASE_URL",
    "http://localhost:5010",
    "an http:// or https:// address",
    "Where people reach this service, for the links in alerts.",
);

static OWN_VARS: [&Var; 6] = [
    &RETENTION_DAYS,
    &RETENTION_DAYS_OPEN,
    &MAX_DB_MB,
    &GROUPING,
    &SCRUB_KEYS,
    &BASE_URL,
];

/// In the order of the documentation.
pub static VARS: [&Var; 6 + notify::VARS.len()] = config::joined(&OWN_VARS, &notify::VARS);

const MODES: [(&str, GroupingMode); 2] = [
    ("original", GroupingMode::Original),
    ("stable", GroupingMode::Stable),
];

/// The settings as read.
#[derive(Debug)]
pub struct Config {
    /// What is kept for how long.
    pub retention: Retention,
    /// How reports are taken in.
    pub intake: Intake,
    /// Telling people of errors.
    pub alerts: AlertSettings,
}

/// What is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many days a resolved group is kept.
    pub resolved_days: i64,
    /// How many days any other group is kept after it was last seen; `None`: for ever.
    pub open_days: Option<i64>,
    /// How many megabytes the database may hold; 0: any number.
    pub max_mb: u64,
}

impl Retention {
    /// How many bytes the database may hold, if there is a limit.
    pub fn max_bytes(&self) -> Option<u64> {
        (self.max_mb > 0).then_some(self.max_mb * 1_000_000)
    }
}

impl Config {
    /// Reads them; problems stay with the reader.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            retention: Retention {
                resolved_days: reader.integer(&RETENTION_DAYS, 0..=36_500),
                open_days: reader.optional_integer(&RETENTION_DAYS_OPEN, 1..=36_500),
                max_mb: reader.integer(&MAX_DB_MB, 0..=1_000_000) as u64,
            },
            intake: Intake {
                grouping: reader.choice(&GROUPING, &MODES).unwrap_or_default(),
                scrubber: scrubber(reader),
            },
            alerts: AlertSettings::read(reader, &BASE_URL),
        }
    }
}

fn scrubber(reader: &mut Reader<'_>) -> Scrubber {
    let mut scrubber = Scrubber::default();
    for name in reader.list(&SCRUB_KEYS) {
        if let Err(why) = scrubber.add(&name) {
            reader.problem(&SCRUB_KEYS, &name, &why.to_string());
        }
    }
    scrubber
}

#[cfg(test)]
mod tests {
    use monlight_shared::config::Env;

    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let env = Env::of([
            ("RETENTION_DAYS", "soon"),
            ("SMTP_PORT", "many"),
            ("BASE_URL", "errors.example"),
        ]);
        let mut reader = Reader::new(&env);
        Config::read(&mut reader);
        let fault = reader.finish().expect_err("three faults").to_string();
        for name in ["RETENTION_DAYS", "SMTP_PORT", "BASE_URL"] {
            assert!(fault.contains(name), "{fault}");
        }
    }

    #[test]
    fn names_of_secrets_that_never_match_stop_the_start() {
        #[track_caller]
        fn check(names: &str, why: Option<&str>) {
            let env = Env::of([("SCRUB_KEYS", names)]);
            let mut reader = Reader::new(&env);
            Config::read(&mut reader);
            let fault = reader.finish().err().map(|fault| fault.to_string());
            assert_eq!(fault.is_some(), why.is_some(), "{names}: {fault:?}");
            for part in why.into_iter().chain(why.map(|_| "SCRUB_KEYS: ")) {
                let fault = fault.as_deref().unwrap_or_default();
                assert!(fault.contains(part), "{names}: {fault}");
            }
        }
        check("iban, customer_*, *_nr, *middle*", None);
        check("iban, pass*word*", Some("\"pass*word*\" has a *"));
        check(
            "a*b",
            Some("expected names, separated by commas; a * at the beginning or end"),
        );
        check("*", Some("take every value"));
        check("iban,**", Some("take every value"));
    }

    #[test]
    fn set_but_empty_is_not_set() {
        #[track_caller]
        fn check(settings: &[(&str, &str)], missing: Option<&str>) {
            let env = Env::of(settings.iter().copied());
            let mut reader = Reader::new(&env);
            let config = Config::read(&mut reader);
            reader.finish().expect("usable settings");
            assert_eq!(config.alerts.channels.missing(), missing);
            assert_eq!(config.retention.resolved_days, 90);
            assert_eq!(config.retention.open_days, None);
        }
        let host = Some("SMTP not configured: SMTP_HOST is not set");
        let emails = Some("SMTP not configured: ALERT_EMAILS is not set");
        check(&[], host);
        check(
            &[
                ("SMTP_HOST", ""),
                ("ALERT_EMAILS", ""),
                ("RETENTION_DAYS", ""),
            ],
            host,
        );
        check(&[("SMTP_HOST", "m"), ("ALERT_EMAILS", " , ")], emails);
        check(&[("SMTP_HOST", "m"), ("ALERT_EMAILS", "a@b")], None);
    }
}
