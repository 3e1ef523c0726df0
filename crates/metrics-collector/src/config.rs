//! The settings of the metrics collector beside those that all services have.

use std::time::Duration;

use monlight_shared::config::{self, Reader, Var};
use monlight_shared::notify;
use monlight_shared::notify::service::AlertSettings;

use crate::domain::range::Kept;
use crate::store::series::Bounds;

mod scrape;

pub(crate) use scrape::{Login, Scraping, Target};

static RETENTION_RAW: Var = Var::with_default(
    "RETENTION_RAW",
    "1",
    "whole number of hours, 1 to 87600",
    "How long single points are kept. Later points of that time are merged into rollups.",
);
static RETENTION_MINUTE: Var = Var::with_default(
    "RETENTION_MINUTE",
    "24",
    "whole number of hours, 1 to 87600",
    "How long rollups by the minute are kept; never shorter than single points.",
);
static RETENTION_HOURLY: Var = Var::with_default(
    "RETENTION_HOURLY",
    "30",
    "whole number of days, 1 to 36500",
    "How long rollups by the hour are kept; never shorter than those by the minute.",
);
static RETENTION_DAILY: Var = Var::with_default(
    "RETENTION_DAILY",
    "400",
    "whole number of days, 1 to 36500",
    "How long rollups by the day are kept; never shorter than those by the hour. A series without new points is forgotten \
     three days later.",
);
static AGGREGATION_INTERVAL: Var = Var::with_default(
    "AGGREGATION_INTERVAL",
    "60",
    "whole number of seconds, 1 to 3600",
    "Pause between two runs of the rollup. Answers are complete whatever it is.",
);
static MAX_BATCH: Var = Var::with_default(
    "MAX_BATCH",
    "10000",
    "whole number, 1 to 100000",
    "The most metrics that one request may carry.",
);
static MAX_SERIES_PER_PROJECT: Var = Var::with_default(
    "MAX_SERIES_PER_PROJECT",
    "10000",
    "whole number, 1 to 1000000",
    "The most series (name, type and label set) of a project. Points of further series are counted in the series \
     `__overflow__` of their name.",
);
static MAX_SERIES_PER_NAME: Var = Var::with_default(
    "MAX_SERIES_PER_NAME",
    "2000",
    "whole number, 1 to 1000000",
    "The most series (label sets) of one name and type in a project; further ones are counted in its series \
     `__overflow__`, so that one metric cannot take the place of all others.",
);

static ALERT_INTERVAL: Var = Var::with_default(
    "ALERT_INTERVAL",
    "1",
    "whole number of minutes, 1 to 60",
    "How often alert rules look at their metrics.",
);
static ALERT_DELAY: Var = Var::with_default(
    "ALERT_DELAY",
    "30",
    "whole number of seconds, 0 to 3600",
    "How long after its end a minute is looked at by alert rules, so that the last points of clients that collect have come in.",
);
static BASE_URL: Var = Var::with_default(
    "BASE_URL",
    "http://localhost:5012",
    "an http:// or https:// address",
    "Where people reach this service, for the links in alerts.",
);

static OWN_VARS: [&Var; 16] = [
    &RETENTION_RAW,
    &RETENTION_MINUTE,
    &RETENTION_HOURLY,
    &RETENTION_DAILY,
    &AGGREGATION_INTERVAL,
    &MAX_BATCH,
    &MAX_SERIES_PER_PROJECT,
    &MAX_SERIES_PER_NAME,
    &scrape::SCRAPE_TARGETS,
    &scrape::SCRAPE_INTERVAL,
    &scrape::SCRAPE_TIMEOUT,
    &scrape::MAX_SCRAPE_BYTES,
    &scrape::SCRAPE_PROJECT,
    &ALERT_INTERVAL,
    &ALERT_DELAY,
    &BASE_URL,
];

/// All of them, in the order of the documentation.
pub(crate) static VARS: [&Var; 16 + notify::VARS.len()] = config::joined(&OWN_VARS, &notify::VARS);

const HOUR_MS: i64 = 3_600_000;

/// How the collector was told to behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long single points are kept, milliseconds.
    pub(crate) keep_raw_ms: i64,
    /// How long minute rows are kept, milliseconds; at least as long as points.
    pub(crate) keep_minute_ms: i64,
    /// How long hour rows are kept, milliseconds; at least as long as minute rows.
    pub(crate) keep_hour_ms: i64,
    /// How long day rows are kept, milliseconds; at least as long as hour rows.
    pub(crate) keep_day_ms: i64,
    pub(crate) aggregation_interval: Duration,
    pub(crate) max_batch: usize,
    pub(crate) series: Bounds,
    pub(crate) scraping: Scraping,
    /// How often rules look.
    pub(crate) alert_interval: Duration,
    /// How long after the end of a window.
    pub(crate) alert_delay: Duration,
    /// Telling people of what rules find.
    pub(crate) alerts: AlertSettings,
}

impl Config {
    /// How long rows that come in several resolutions are kept.
    pub(crate) const fn kept(&self) -> Kept {
        Kept {
            minute_ms: self.keep_minute_ms,
            hour_ms: self.keep_hour_ms,
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let keep_raw_ms = reader.integer(&RETENTION_RAW, 1..=87_600) * HOUR_MS;
        let keep_minute_ms =
            (reader.integer(&RETENTION_MINUTE, 1..=87_600) * HOUR_MS).max(keep_raw_ms);
        let keep_hour_ms =
            (reader.integer(&RETENTION_HOURLY, 1..=36_500) * 24 * HOUR_MS).max(keep_minute_ms);
        let keep_day_ms =
            (reader.integer(&RETENTION_DAILY, 1..=36_500) * 24 * HOUR_MS).max(keep_hour_ms);
        let interval = reader.integer(&AGGREGATION_INTERVAL, 1..=3600);
        Self {
            keep_raw_ms,
            keep_minute_ms,
            keep_hour_ms,
            keep_day_ms,
            aggregation_interval: Duration::from_secs(interval.cast_unsigned()),
            max_batch: reader.integer(&MAX_BATCH, 1..=100_000) as usize,
            series: Bounds {
                per_project: reader.integer(&MAX_SERIES_PER_PROJECT, 1..=1_000_000),
                per_name: reader.integer(&MAX_SERIES_PER_NAME, 1..=1_000_000),
            },
            scraping: Scraping::read(reader),
            alert_interval: Duration::from_mins(
                reader.integer(&ALERT_INTERVAL, 1..=60).unsigned_abs(),
            ),
            alert_delay: Duration::from_secs(reader.integer(&ALERT_DELAY, 0..=3600).unsigned_abs()),
            alerts: AlertSettings::read(reader, &BASE_URL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monlight_shared::config::Env;

    #[track_caller]
    fn check(settings: &[(&str, &str)], expected: Result<[i64; 4], &str>) {
        let env = Env::of(settings.iter().copied());
        let mut reader = Reader::new(&env);
        let config = Config::read(&mut reader);
        let hours = [
            config.keep_raw_ms,
            config.keep_minute_ms,
            config.keep_hour_ms,
            config.keep_day_ms,
        ]
        .map(|ms| ms / HOUR_MS);
        match (reader.finish(), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(hours, expected),
            (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{fault}"),
            (result, _) => panic!("{result:?}"),
        }
    }

    #[test]
    fn a_coarser_tier_is_never_kept_shorter() {
        check(&[], Ok([1, 24, 720, 9600]));
        check(&[("RETENTION_RAW", "48")], Ok([48, 48, 720, 9600]));
        check(
            &[("RETENTION_MINUTE", "48"), ("RETENTION_HOURLY", "1")],
            Ok([1, 48, 48, 9600]),
        );
        check(&[("RETENTION_DAILY", "2")], Ok([1, 24, 720, 720]));
    }

    #[test]
    fn faults_name_the_variable() {
        check(&[("RETENTION_RAW", "0")], Err("RETENTION_RAW"));
        check(
            &[("AGGREGATION_INTERVAL", "60s")],
            Err("AGGREGATION_INTERVAL"),
        );
        check(&[("MAX_BATCH", "-1")], Err("MAX_BATCH"));
        check(&[("ALERT_INTERVAL", "0")], Err("ALERT_INTERVAL"));
        check(&[("ALERT_DELAY", "1m")], Err("ALERT_DELAY"));
    }
}
