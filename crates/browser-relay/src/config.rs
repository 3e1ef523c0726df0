//! The relay's settings.

use std::time::Duration;

use monlight_shared::config::{ADMIN_VARS, AdminAddress, Reader, Var, joined};
use monlight_shared::secret::Secret;

use crate::domain::dsn::{Seed, parse_seeds};
use crate::domain::origin::Origins;

static ERROR_TRACKER_URL: Var = Var::required(
    "ERROR_TRACKER_URL",
    "an http:// or https:// address, such as http://error-tracker:5010",
    "Where browser errors go.",
);
static ERROR_TRACKER_API_KEY: Var = Var::required(
    "ERROR_TRACKER_API_KEY",
    "the tracker's INTERNAL_API_KEY, or its API_KEY",
    "Opens the error tracker. Its `INTERNAL_API_KEY` has no rate limit.",
)
.secret();
static METRICS_COLLECTOR_URL: Var = Var::required(
    "METRICS_COLLECTOR_URL",
    "an http:// or https:// address, such as http://metrics-collector:5012",
    "Where browser metrics go.",
);
static METRICS_COLLECTOR_API_KEY: Var = Var::required(
    "METRICS_COLLECTOR_API_KEY",
    "the collector's INTERNAL_API_KEY, or its API_KEY",
    "Opens the metrics collector. Its `INTERNAL_API_KEY` has no rate limit.",
)
.secret();
static DSN_KEYS: Var = Var::optional(
    "DSN_KEYS",
    "project:key, several separated by commas",
    "DSN keys to create at start. Keys that exist keep their project, and stay deactivated if they were.",
);
static CORS_ORIGINS: Var = Var::optional(
    "CORS_ORIGINS",
    "origins such as https://shop.example, separated by commas; one * in each stands for a part of the host or the port, * alone for any origin",
    "Pages that may read the relay's answers. A page of another origin cannot send anything that needs a preflight, which is all that the SDK sends while the page is shown.",
);
static RETENTION_DAYS: Var = Var::with_default(
    "RETENTION_DAYS",
    "90",
    "whole number, 1 to 36500",
    "Days after which an uploaded source map is deleted.",
);
static MAX_BODY_SIZE: Var = Var::optional(
    "MAX_BODY_SIZE",
    "whole number, 1024 to 8388608",
    "The name of `MAX_BODY_BYTES` in the original; wins over it. Neither limits uploads of source maps.",
);
static MAX_SOURCE_MAP_BYTES: Var = Var::with_default(
    "MAX_SOURCE_MAP_BYTES",
    "5242880",
    "whole number, 1024 to 33554432",
    "The largest source map, in bytes of its own text.",
);
static MAX_SOURCE_MAP_STORAGE_BYTES: Var = Var::with_default(
    "MAX_SOURCE_MAP_STORAGE_BYTES",
    "2147483648",
    "whole number, 1048576 to 1099511627776",
    "All source maps together, in bytes of their texts; beyond that the oldest are deleted.",
);
static MAX_CONNECTIONS_PER_ADDRESS: Var = Var::with_default(
    "MAX_CONNECTIONS_PER_ADDRESS",
    "128",
    "whole number, 1 to 65536",
    "Connections that one public address (of IPv6: one /64) can have at the same time. A private address, which may be a gateway for everybody, can have three quarters of `MAX_CONNECTIONS`; this machine and `TRUSTED_PROXIES` can have all.",
);
static OUTBOX_MAX_EVENTS: Var = Var::with_default(
    "OUTBOX_MAX_EVENTS",
    "250000",
    "whole number, 0 to 10000000",
    "The most events that are kept while another service cannot take them; 0: none, pages hear 502. One DSN key gets at most three quarters.",
);
static OUTBOX_MAX_MB: Var = Var::with_default(
    "OUTBOX_MAX_MB",
    "1024",
    "whole number, 1 to 1048576",
    "The most that such events take, in millions of bytes.",
);
static OUTBOX_MAX_HOURS: Var = Var::with_default(
    "OUTBOX_MAX_HOURS",
    "24",
    "whole number, 1 to 48",
    "Hours after which such an event is given up.",
);

pub(crate) static VARS: [&Var; 16] = joined(&OWN_VARS, &ADMIN_VARS);

static OWN_VARS: [&Var; 14] = [
    &ERROR_TRACKER_URL,
    &ERROR_TRACKER_API_KEY,
    &METRICS_COLLECTOR_URL,
    &METRICS_COLLECTOR_API_KEY,
    &DSN_KEYS,
    &CORS_ORIGINS,
    &RETENTION_DAYS,
    &MAX_BODY_SIZE,
    &MAX_SOURCE_MAP_BYTES,
    &MAX_SOURCE_MAP_STORAGE_BYTES,
    &MAX_CONNECTIONS_PER_ADDRESS,
    &OUTBOX_MAX_EVENTS,
    &OUTBOX_MAX_MB,
    &OUTBOX_MAX_HOURS,
];

/// What the relay is told by its environment.
#[derive(Debug)]
pub struct Config {
    pub(crate) error_tracker: Target,
    pub(crate) metrics_collector: Target,
    pub(crate) seeds: Vec<Seed>,
    pub(crate) origins: Origins,
    pub(crate) map_retention: Duration,
    /// Limit of bodies other than source maps, if it differs from the common setting.
    pub(crate) max_body_bytes: Option<usize>,
    pub(crate) max_map_bytes: u64,
    pub(crate) max_map_storage_bytes: i64,
    pub(crate) max_connections_per_address: usize,
    pub(crate) outbox: OutboxLimits,
    pub(crate) admin: AdminAddress,
}

/// How much is kept for services that cannot take it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutboxLimits {
    pub(crate) events: i64,
    pub(crate) bytes: i64,
    pub(crate) age: Duration,
}

/// Another service.
#[derive(Debug)]
pub(crate) struct Target {
    /// Without a slash at the end.
    pub(crate) url: String,
    pub(crate) key: Secret,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            error_tracker: target(reader, &ERROR_TRACKER_URL, &ERROR_TRACKER_API_KEY),
            metrics_collector: target(reader, &METRICS_COLLECTOR_URL, &METRICS_COLLECTOR_API_KEY),
            seeds: seeds(reader),
            origins: origins(reader),
            map_retention: Duration::from_hours(
                reader.integer(&RETENTION_DAYS, 1..=36_500) as u64 * 24,
            ),
            max_body_bytes: reader
                .text(&MAX_BODY_SIZE)
                .map(|_| reader.integer(&MAX_BODY_SIZE, 1024..=8_388_608) as usize),
            max_map_bytes: reader.integer(&MAX_SOURCE_MAP_BYTES, 1024..=33_554_432) as u64,
            max_map_storage_bytes: reader
                .integer(&MAX_SOURCE_MAP_STORAGE_BYTES, 1_048_576..=1_099_511_627_776),
            max_connections_per_address: reader.integer(&MAX_CONNECTIONS_PER_ADDRESS, 1..=65_536)
                as usize,
            outbox: OutboxLimits {
                events: reader.integer(&OUTBOX_MAX_EVENTS, 0..=10_000_000),
                bytes: reader.integer(&OUTBOX_MAX_MB, 1..=1_048_576) * 1_000_000,
                age: Duration::from_hours(reader.integer(&OUTBOX_MAX_HOURS, 1..=48) as u64),
            },
            admin: AdminAddress::read(reader),
        }
    }
}

fn target(reader: &mut Reader<'_>, url: &'static Var, key: &'static Var) -> Target {
    let target = Target {
        url: reader.required_url(url),
        key: reader.required_secret(key),
    };
    if !target
        .key
        .expose()
        .bytes()
        .all(|byte| (0x20..0x7F).contains(&byte))
    {
        reader.problem(key, "", "holds characters that no header can carry");
    }
    target
}

fn seeds(reader: &mut Reader<'_>) -> Vec<Seed> {
    let text = reader.text(&DSN_KEYS).unwrap_or_default();
    parse_seeds(&text).unwrap_or_else(|why| {
        reader.problem(&DSN_KEYS, &text, &why);
        Vec::new()
    })
}

fn origins(reader: &mut Reader<'_>) -> Origins {
    let entries = reader.list(&CORS_ORIGINS);
    Origins::parse(entries.iter().map(String::as_str)).unwrap_or_else(|why| {
        reader.problem(&CORS_ORIGINS, &entries.join(","), &why);
        Origins::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use monlight_shared::config::Env;

    const REQUIRED: [(&str, &str); 4] = [
        ("ERROR_TRACKER_URL", "http://tracker:5010//"),
        ("ERROR_TRACKER_API_KEY", "k1"),
        ("METRICS_COLLECTOR_URL", "https://collector.example/base/"),
        ("METRICS_COLLECTOR_API_KEY", "k2"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Config, String> {
        let env = Env::of(REQUIRED.iter().chain(more).copied());
        let mut reader = Reader::new(&env);
        let config = Config::read(&mut reader);
        reader
            .finish()
            .map(|()| config)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(config.error_tracker.url, "http://tracker:5010");
        assert_eq!(
            config.metrics_collector.url,
            "https://collector.example/base"
        );
        assert_eq!(config.map_retention, Duration::from_hours(24 * 90));
        assert_eq!(
            (config.max_body_bytes, config.max_map_bytes),
            (None, 5 * 1024 * 1024)
        );
        assert!(config.seeds.is_empty() && !config.origins.allow("https://a.example"));
    }

    #[test]
    fn faults_name_the_variable_and_the_entry() {
        for (name, value, why) in [
            (
                "DSN_KEYS",
                "web:k,nocolon",
                "entry 2 (\"nocolon\") has no colon",
            ),
            (
                "CORS_ORIGINS",
                "https://a.example,shop.example",
                "\"shop.example\" has no scheme",
            ),
            (
                "ERROR_TRACKER_URL",
                "tracker:5010",
                "does not begin with http://",
            ),
            ("METRICS_COLLECTOR_URL", "", "is not set or empty"),
            ("RETENTION_DAYS", "0", "out of range"),
            ("MAX_BODY_SIZE", "-1", "out of range"),
            ("MAX_SOURCE_MAP_BYTES", "5MB", "no whole number"),
            (
                "ERROR_TRACKER_API_KEY",
                "gehe\u{ef}m",
                "no header can carry",
            ),
        ] {
            let fault = read(&[(name, value)]).unwrap_err();
            assert!(fault.contains(name) && fault.contains(why), "{fault}");
            assert!(!fault.contains("gehe"), "{fault}");
        }
    }
}
