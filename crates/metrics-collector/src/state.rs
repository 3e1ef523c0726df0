//! What handlers and tasks share.

use std::sync::Arc;

use monlight_shared::clock::Clock;
use monlight_shared::lifecycle::Lifecycle;
use monlight_shared::metrics::{Counter, Gauge, Registry};
use monlight_shared::service::Context;
use monlight_shared::store::Store;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::import;
use crate::rules::Rules;
use crate::scraper::Scraper;
use crate::store::dictionary::Dictionary;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) config: Arc<Config>,
    /// When the service started, milliseconds since 1970.
    pub(crate) started_ms: i64,
    pub(crate) told: Arc<Told>,
    pub(crate) rules: Rules,
    pub(crate) scraper: Scraper,
    /// Each answer on its way knows the series it is about.
    pub(crate) series_room: Arc<Semaphore>,
}

/// Series of all answers on their way together.
pub(crate) const MOST_SERIES_ON_THE_WAY: usize = 40_000;

impl AppState {
    pub(crate) fn new(ctx: &Context, config: Config) -> Self {
        let dictionary = Arc::new(Dictionary::default());
        let remembered = Arc::clone(&dictionary);
        ctx.metrics.gauge_fn(
            "monlight_metrics_dictionary_entries",
            "Label sets whose series is known without asking the database; at most 32768.",
            &[],
            move || remembered.len() as f64,
        );
        let told = Told::new(&ctx.metrics);
        told.series_max.set(config.series.per_project);
        told.name_series_max.set(config.series.per_name);
        let series_room = Arc::new(Semaphore::new(MOST_SERIES_ON_THE_WAY));
        let seen = Arc::clone(&series_room);
        ctx.metrics.gauge_fn(
            "monlight_metrics_answered_series",
            "Series of all answers that clients have not taken yet; at most 40000.",
            &[],
            move || (MOST_SERIES_ON_THE_WAY - seen.available_permits()) as f64,
        );
        Self {
            store: ctx.store.clone(),
            clock: ctx.clock.clone(),
            lifecycle: ctx.lifecycle.clone(),
            dictionary,
            rules: Rules::new(ctx, config.alerts.clone()),
            scraper: Scraper::new(&config.scraping, &ctx.metrics),
            config: Arc::new(config),
            started_ms: ctx.clock.now_ms(),
            told: Arc::new(told),
            series_room,
        }
    }
}

/// What the collector says about itself at `GET /metrics`.
pub(crate) struct Told {
    pub(crate) imports: import::Told,
    pub(crate) batches: Counter,
    pub(crate) batches_refused: Counter,
    pub(crate) points: Counter,
    pub(crate) late_points: Counter,
    pub(crate) overflow_points: Counter,
    pub(crate) timestamps_replaced: Counter,
    pub(crate) series: Gauge,
    series_max: Gauge,
    name_series_max: Gauge,
    pub(crate) points_refused: Counter,
    pub(crate) minutes_rolled: Counter,
    pub(crate) hours_rolled: Counter,
    pub(crate) days_rolled: Counter,
    pub(crate) rows_written: Counter,
    pub(crate) rollup_seconds: Counter,
    pub(crate) rollup_backlog: Gauge,
    pub(crate) removed: Gauge,
    pub(crate) deleted_blocks: Counter,
    pub(crate) deleted_rows: Counter,
    pub(crate) deleted_series: Counter,
}

impl Told {
    fn new(metrics: &Registry) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]);
        let rolled = |tier| {
            metrics.counter(
                "monlight_metrics_buckets_rolled_total",
                "Buckets rolled up, again ones included.",
                &[("tier", tier)],
            )
        };
        let deleted = |what| {
            metrics.counter(
                "monlight_metrics_deleted_total",
                "What retention has deleted, and what removed metrics had left.",
                &[("what", what)],
            )
        };
        Self {
            imports: import::Told::new(metrics),
            batches: counter("monlight_metrics_batches_total", "Batches stored."),
            batches_refused: counter(
                "monlight_metrics_batches_refused_total",
                "Batches refused as invalid.",
            ),
            points: counter("monlight_metrics_points_total", "Points stored."),
            late_points: counter(
                "monlight_metrics_late_points_total",
                "Points older than the raw points that are kept, merged into rollups.",
            ),
            overflow_points: counter(
                "monlight_metrics_overflow_points_total",
                "Points counted in an __overflow__ series because their project or name has too many series.",
            ),
            timestamps_replaced: counter(
                "monlight_metrics_timestamps_replaced_total",
                "Timestamps that were unreadable or more than a day ahead and became the time of arrival.",
            ),
            series: metrics.gauge("monlight_metrics_series", "Series of all projects.", &[]),
            series_max: metrics.gauge(
                "monlight_metrics_series_max_per_project",
                "The most series of a project.",
                &[],
            ),
            name_series_max: metrics.gauge(
                "monlight_metrics_series_max_per_name",
                "The most series of a name.",
                &[],
            ),
            points_refused: counter(
                "monlight_metrics_points_refused_total",
                "Points refused as invalid while others of their batch were stored.",
            ),
            minutes_rolled: rolled("minute"),
            hours_rolled: rolled("hour"),
            days_rolled: rolled("day"),
            rows_written: counter("monlight_metrics_rollup_rows_total", "Rollup rows written."),
            rollup_seconds: metrics.seconds(
                "monlight_metrics_rollup_seconds_total",
                "Time the rollup took, waiting for the writer included.",
                &[],
            ),
            rollup_backlog: metrics.gauge(
                "monlight_metrics_rollup_backlog",
                "Minutes, hours and days that are open or wait for the rollup.",
                &[],
            ),
            removed: metrics.gauge(
                "monlight_metrics_names_removed",
                "Names that were removed by hand and wait for their last rows and raw points to be deleted; at most 10000.",
                &[],
            ),
            deleted_blocks: deleted("blocks"),
            deleted_rows: deleted("rows"),
            deleted_series: deleted("series"),
        }
    }
}
