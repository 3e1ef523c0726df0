//! The settings that all services share.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{Reader, Var};
use crate::secret::Secret;
use crate::service::ServiceInfo;

/// How a service calls the key that opens its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeyName {
    /// `API_KEY`.
    ApiKey,
    /// `ADMIN_API_KEY`: the relay, whose public routes take DSN keys instead.
    AdminApiKey,
}

static API_KEY: Var = Var::required(
    "API_KEY",
    "a text of 1 to 512 characters",
    "Opens the API, as header `X-API-Key`, and signs in to the pages.",
)
.secret();
static ADMIN_API_KEY: Var = Var::required(
    "ADMIN_API_KEY",
    "a text of 1 to 512 characters",
    "Opens the routes for operators, as header `X-API-Key`. Browsers use DSN keys instead.",
)
.secret();
static INTERNAL_API_KEY: Var = Var::optional(
    "INTERNAL_API_KEY",
    "a text of 1 to 512 characters, other than the first key",
    "A second key without a rate limit, for the other services of the stack.",
)
.secret();
static DATABASE_PATH: Var = Var::optional(
    "DATABASE_PATH",
    "the path of a file; its directory is created",
    "The SQLite database. Default: `./data/` and the service's own file name.",
);
static HOST: Var = Var::with_default(
    "HOST",
    "0.0.0.0",
    "an IP address",
    "The address to listen on; `::` is all of IPv6 and IPv4.",
);
static PORT: Var = Var::optional(
    "PORT",
    "whole number, 0 to 65535",
    "The port to listen on; 0 takes a free one and logs it. Default: the service's own.",
);
static RATE_LIMIT: Var = Var::optional(
    "RATE_LIMIT",
    "whole number, 0 to 10000000",
    "Requests a minute for each client (key and address); 0 switches the limit off. Default: the service's own.",
);
static MAX_BODY_BYTES: Var = Var::optional(
    "MAX_BODY_BYTES",
    "whole number, 1024 to 8388608",
    "The largest request body in bytes, compressed or not. Default: the service's own.",
);
static MAX_CONNECTIONS: Var = Var::with_default(
    "MAX_CONNECTIONS",
    "512",
    "whole number, 8 to 65536",
    "Connections served at the same time.",
);
static TRUSTED_PROXIES: Var = Var::optional(
    "TRUSTED_PROXIES",
    "IP addresses or networks such as 10.0.0.0/8, separated by commas",
    "Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
);
static LOG_LEVEL: Var = Var::with_default(
    "LOG_LEVEL",
    "info",
    "error, warn, info, debug or trace",
    "How much the service logs to stderr.",
);
static LOG_FORMAT: Var = Var::with_default(
    "LOG_FORMAT",
    "text",
    "text or json",
    "The form of log lines.",
);
static PUBLIC_ERRORS_URL: Var = Var::optional(
    "PUBLIC_ERRORS_URL",
    "an http:// or https:// address",
    "Where people reach the error tracker, for the links between the pages.",
);
static PUBLIC_LOGS_URL: Var = Var::optional(
    "PUBLIC_LOGS_URL",
    "an http:// or https:// address",
    "Where people reach the log viewer.",
);
static PUBLIC_METRICS_URL: Var = Var::optional(
    "PUBLIC_METRICS_URL",
    "an http:// or https:// address",
    "Where people reach the metrics collector.",
);
static PUBLIC_BROWSER_URL: Var = Var::optional(
    "PUBLIC_BROWSER_URL",
    "an http:// or https:// address",
    "Where people reach the pages of the browser relay. It has none yet, so leave this unset.",
);
static UI_DIR: Var = Var::optional(
    "UI_DIR",
    "the path of a directory",
    "Debug builds only: serve the pages from this directory instead of the embedded ones.",
);

/// The variables that every service reads, besides its API key; see [`key_var`].
pub static COMMON_VARS: [&Var; 16] = [
    &INTERNAL_API_KEY,
    &DATABASE_PATH,
    &HOST,
    &PORT,
    &RATE_LIMIT,
    &MAX_BODY_BYTES,
    &MAX_CONNECTIONS,
    &TRUSTED_PROXIES,
    &LOG_LEVEL,
    &LOG_FORMAT,
    &PUBLIC_ERRORS_URL,
    &PUBLIC_LOGS_URL,
    &PUBLIC_METRICS_URL,
    &PUBLIC_BROWSER_URL,
    &UI_DIR,
    &SHUTDOWN_SECONDS,
];
static SHUTDOWN_SECONDS: Var = Var::with_default(
    "SHUTDOWN_SECONDS",
    "10",
    "whole number, 1 to 300",
    "How long requests and tasks may take to finish after SIGTERM before they are cut.",
);

/// The variable that holds the API key of a service.
pub fn key_var(name: ApiKeyName) -> &'static Var {
    match name {
        ApiKeyName::ApiKey => &API_KEY,
        ApiKeyName::AdminApiKey => &ADMIN_API_KEY,
    }
}

/// How much is logged.
pub type LogLevel = tracing::Level;

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, text, fields.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where people reach each service; `None` where that was not said.
#[derive(Clone, Debug, Default)]
pub struct Siblings {
    /// The error tracker.
    pub errors: Option<String>,
    /// The log viewer.
    pub logs: Option<String>,
    /// The metrics collector.
    pub metrics: Option<String>,
    /// The browser relay.
    pub browser: Option<String>,
}

/// What every service needs to know.
#[derive(Clone, Debug)]
pub struct Common {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 for a free one.
    pub port: u16,
    /// Opens the API.
    pub api_key: Secret,
    /// Opens the API without a rate limit.
    pub internal_api_key: Option<Secret>,
    /// The database file.
    pub database_path: PathBuf,
    /// Requests a minute and client; 0 is no limit.
    pub rate_limit: u32,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// How much is logged.
    pub log_level: LogLevel,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// Links to the other services.
    pub siblings: Siblings,
    /// Pages from this directory (debug builds).
    pub ui_dir: Option<PathBuf>,
    /// The time for a graceful end.
    pub shutdown_grace: std::time::Duration,
}

impl Common {
    /// Reads the common settings with the defaults of one service.
    pub fn read(reader: &mut Reader<'_>, info: &ServiceInfo) -> Self {
        use tracing::Level;
        let levels = [
            ("error", Level::ERROR),
            ("err", Level::ERROR),
            ("warn", Level::WARN),
            ("warning", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ];
        let api_key = Self::read_key(reader, key_var(info.api_key));
        let internal_api_key = Self::read_internal_key(reader, &api_key);
        Self {
            host: Self::read_host(reader),
            port: Self::integer_or(reader, &PORT, 0..=65_535, i64::from(info.default_port)) as u16,
            api_key,
            internal_api_key,
            database_path: reader
                .text(&DATABASE_PATH)
                .unwrap_or_else(|| info.default_database.to_owned())
                .into(),
            rate_limit: Self::integer_or(
                reader,
                &RATE_LIMIT,
                0..=10_000_000,
                info.default_rate_limit,
            ) as u32,
            max_body_bytes: Self::integer_or(
                reader,
                &MAX_BODY_BYTES,
                1024..=8_388_608,
                info.default_max_body,
            ) as usize,
            max_connections: reader.integer(&MAX_CONNECTIONS, 8..=65_536) as usize,
            trusted_proxies: Self::read_proxies(reader),
            log_level: reader.choice(&LOG_LEVEL, &levels).unwrap_or(Level::INFO),
            log_format: reader
                .choice(
                    &LOG_FORMAT,
                    &[("text", LogFormat::Text), ("json", LogFormat::Json)],
                )
                .unwrap_or(LogFormat::Text),
            siblings: Siblings {
                errors: reader.url(&PUBLIC_ERRORS_URL),
                logs: reader.url(&PUBLIC_LOGS_URL),
                metrics: reader.url(&PUBLIC_METRICS_URL),
                browser: reader.url(&PUBLIC_BROWSER_URL),
            },
            ui_dir: reader.text(&UI_DIR).map(PathBuf::from),
            shutdown_grace: std::time::Duration::from_secs(
                reader.integer(&SHUTDOWN_SECONDS, 1..=300) as u64,
            ),
        }
    }

    fn read_key(reader: &mut Reader<'_>, var: &'static Var) -> Secret {
        let key = reader.required_secret(var);
        if let Some(why) = key_fault(key.expose()) {
            reader.problem(var, "", why);
        }
        key
    }

    fn read_internal_key(reader: &mut Reader<'_>, api_key: &Secret) -> Option<Secret> {
        let key = reader.secret(&INTERNAL_API_KEY)?;
        if let Some(why) = key_fault(key.expose()) {
            reader.problem(&INTERNAL_API_KEY, "", why);
        } else if key.expose() == api_key.expose() {
            reader.problem(&INTERNAL_API_KEY, "", "is the same as the first key");
        }
        Some(key)
    }

    fn read_host(reader: &mut Reader<'_>) -> IpAddr {
        let text = reader.text(&HOST).unwrap_or_default();
        text.parse().unwrap_or_else(|_| {
            reader.problem(&HOST, &text, "is no IP address");
            IpAddr::from([0, 0, 0, 0])
        })
    }

    fn read_proxies(reader: &mut Reader<'_>) -> TrustedProxies {
        let mut networks = Vec::new();
        for item in reader.list(&TRUSTED_PROXIES) {
            match Network::parse(&item) {
                Some(network) => networks.push(network),
                None => reader.problem(&TRUSTED_PROXIES, &item, "is no address or network"),
            }
        }
        TrustedProxies(networks)
    }

    /// A whole number whose default differs between the services.
    fn integer_or(
        reader: &mut Reader<'_>,
        var: &'static Var,
        range: std::ops::RangeInclusive<i64>,
        default: i64,
    ) -> i64 {
        if reader.text(var).is_none() {
            default
        } else {
            reader.integer(var, range)
        }
    }
}

/// A key travels in a header, so it must survive there: visible ASCII, not too long, no blanks at its ends.
fn key_fault(key: &str) -> Option<&'static str> {
    if key.len() > 512 {
        return Some("is longer than 512 characters");
    }
    let sendable = key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && key.trim() == key;
    (!sendable).then_some(
        "holds characters that no header can carry (only printable ASCII, no blanks at the ends)",
    )
}

/// The reverse proxies whose forwarding headers are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.map_or(Some(width), |prefix| prefix.parse().ok())?;
        if prefix > width {
            return None;
        }
        // An IPv4 network written as IPv6, such as ::ffff:10.0.0.0/104: its prefix counts from the IPv4 part.
        let (address, prefix) = match address.to_canonical() {
            IpAddr::V4(inner) if width == 128 => (IpAddr::V4(inner), prefix.checked_sub(96)?),
            _ => (address, prefix),
        };
        Some(Self { address, prefix })
    }

    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - self.prefix.min(32);
                u64::from(ours.to_bits()) >> shift == u64::from(theirs.to_bits()) >> shift
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - self.prefix.min(128);
                ours.to_bits().checked_shr(shift) == theirs.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}
