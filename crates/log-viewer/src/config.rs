//! The settings of this service, beside those that all services have.

use std::path::PathBuf;
use std::time::Duration;

use monlight_shared::config::{self, Reader, Var};
use monlight_shared::notify;
use monlight_shared::notify::service::AlertSettings;

use crate::domain::names::NameFilter;
use crate::tasks::ingest::{FirstStart, Keep};

static CONTAINERS: Var = Var::optional(
    "CONTAINERS",
    "comma-separated names; * stands for any characters, ! in front excludes",
    "Which containers to follow, by name. Not set or empty: all, except the log viewer's own.",
);
static LOG_SOURCES: Var = Var::with_default(
    "LOG_SOURCES",
    "/var/lib/docker/containers",
    "absolute path of a directory",
    "Docker's directory of containers, read only.",
);
static MAX_ENTRIES: Var = Var::with_default(
    "MAX_ENTRIES",
    "100000",
    "whole number, 1 to 100000000",
    "How many entries are kept; beyond that the oldest are dropped.",
);
static RETENTION_DAYS: Var = Var::with_default(
    "RETENTION_DAYS",
    "0",
    "whole number of days, 0 to 36500; 0: no limit",
    "How long entries are kept at most, by their own time.",
);
static MAX_DB_MB: Var = Var::with_default(
    "MAX_DB_MB",
    "0",
    "whole number, 10 to 1000000, in megabytes of 1,000,000 bytes, or 0: no limit",
    "How large the database may grow; beyond that the oldest tenth of the entries is dropped.",
);
static POLL_INTERVAL: Var = Var::with_default(
    "POLL_INTERVAL",
    "2",
    "whole number of seconds, 1 to 3600",
    "How often to look for new lines and containers when the system does not announce them.",
);
static TAIL_BUFFER: Var = Var::with_default(
    "TAIL_BUFFER",
    "65536",
    "whole number of bytes, 0 or more, or the word all",
    "How much of each log file is read on the very first start. Containers that come later are read from their beginning.",
);
static TAIL_CLIENTS: Var = Var::with_default(
    "TAIL_CLIENTS",
    "20",
    "whole number, 1 to 1000",
    "How many live tails can be open at the same time.",
);

static BASE_URL: Var = Var::with_default(
    "BASE_URL",
    "http://localhost:5011",
    "an http:// or https:// address",
    "Where people reach this service, for the links in alerts.",
);

static OWN_VARS: [&Var; 9] = [
    &CONTAINERS,
    &LOG_SOURCES,
    &MAX_ENTRIES,
    &RETENTION_DAYS,
    &MAX_DB_MB,
    &POLL_INTERVAL,
    &TAIL_BUFFER,
    &TAIL_CLIENTS,
    &BASE_URL,
];

/// All of them, in the order of the documentation.
pub static VARS: [&Var; 9 + notify::VARS.len()] = config::joined(&OWN_VARS, &notify::VARS);

/// The settings, understood.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which containers to follow.
    pub containers: NameFilter,
    /// Where their directories are.
    pub log_sources: PathBuf,
    /// How much is kept.
    pub keep: Keep,
    /// How often to look without being told.
    pub poll_interval: Duration,
    /// Where to start in files that were there before the first start.
    pub first_start: FirstStart,
    /// Live tails at the same time.
    pub tail_clients: usize,
    /// Telling people of what rules find.
    pub alerts: AlertSettings,
}

impl Config {
    /// Reads them; problems stay with the reader.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let log_sources = PathBuf::from(reader.text(&LOG_SOURCES).unwrap_or_default());
        if !log_sources.is_absolute() {
            reader.problem(
                &LOG_SOURCES,
                &log_sources.to_string_lossy(),
                "is not an absolute path",
            );
        }
        Self {
            containers: NameFilter::new(reader.list(&CONTAINERS)),
            log_sources,
            keep: keep(reader),
            poll_interval: Duration::from_secs(
                reader.integer(&POLL_INTERVAL, 1..=3600).unsigned_abs(),
            ),
            first_start: first_start(reader),
            tail_clients: usize::try_from(reader.integer(&TAIL_CLIENTS, 1..=1000)).unwrap_or(1),
            alerts: AlertSettings::read(reader, &BASE_URL),
        }
    }
}

fn keep(reader: &mut Reader<'_>) -> Keep {
    let entries = reader.integer(&MAX_ENTRIES, 1..=100_000_000);
    let days = reader.integer(&RETENTION_DAYS, 0..=36_500).unsigned_abs();
    let megabytes = reader.integer(&MAX_DB_MB, 0..=1_000_000).unsigned_abs();
    if (1..10).contains(&megabytes) {
        // The empty tables alone take most of that.
        reader.problem(&MAX_DB_MB, &megabytes.to_string(), "is too small");
    }
    Keep {
        entries,
        age: (days > 0).then(|| Duration::from_hours(24 * days)),
        bytes: (megabytes > 0).then_some(megabytes * 1_000_000),
    }
}

fn first_start(reader: &mut Reader<'_>) -> FirstStart {
    let text = reader.text(&TAIL_BUFFER).unwrap_or_default();
    if text.eq_ignore_ascii_case("all") {
        return FirstStart::Beginning;
    }
    let Ok(bytes) = text.parse() else {
        reader.problem(
            &TAIL_BUFFER,
            &text,
            "is neither a number of bytes nor the word all",
        );
        return FirstStart::Tail(0);
    };
    FirstStart::Tail(bytes)
}

#[cfg(test)]
mod tests {
    use monlight_shared::config::Env;

    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        let env = Env::of(settings.iter().copied());
        let mut reader = Reader::new(&env);
        let config = Config::read(&mut reader);
        reader
            .finish()
            .map(|()| config)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn defaults() {
        let config = read(&[("CONTAINERS", ""), ("TAIL_BUFFER", "")]).expect("usable");
        assert!(config.containers.wants("anything"));
        assert_eq!(
            config.log_sources,
            PathBuf::from("/var/lib/docker/containers")
        );
        assert_eq!((config.keep.entries, config.tail_clients), (100_000, 20));
        assert_eq!((config.keep.age, config.keep.bytes), (None, None));
        assert_eq!(config.poll_interval, Duration::from_secs(2));
        assert_eq!(config.first_start, FirstStart::Tail(65536));
    }

    #[test]
    fn values() {
        let config =
            read(&[("CONTAINERS", " web , api ,,!db"), ("TAIL_BUFFER", "all")]).expect("usable");
        assert!(config.containers.wants("api") && !config.containers.wants("db"));
        assert_eq!(config.first_start, FirstStart::Beginning);
        let config = read(&[("TAIL_BUFFER", "0"), ("MAX_ENTRIES", "3")]).expect("usable");
        assert_eq!(config.first_start, FirstStart::Tail(0));
        let config = read(&[("RETENTION_DAYS", "2"), ("MAX_DB_MB", "500")]).expect("usable");
        let keep = config.keep;
        assert_eq!(keep.age, Some(Duration::from_hours(48)));
        assert_eq!(keep.bytes, Some(500_000_000));
    }

    #[test]
    fn every_bad_value_is_named() {
        let fault = read(&[
            ("LOG_SOURCES", "logs"),
            ("MAX_ENTRIES", "0"),
            ("RETENTION_DAYS", "36501"),
            ("MAX_DB_MB", "9"),
            ("POLL_INTERVAL", "1.5"),
            ("TAIL_BUFFER", "-1"),
            ("TAIL_CLIENTS", "abc"),
        ])
        .expect_err("unusable");
        for name in [
            "LOG_SOURCES",
            "MAX_ENTRIES",
            "RETENTION_DAYS",
            "MAX_DB_MB",
            "POLL_INTERVAL",
            "TAIL_BUFFER",
            "TAIL_CLIENTS",
        ] {
            assert!(fault.contains(name), "{fault}");
        }
    }
}
