//! Rolls up minutes that have ended, hours whose minutes are done, and days whose hours are done. See [`rebuild`] for why it can be stopped anywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monlight_shared::store::{Lane, StoreError};

use crate::domain::metric::MetricType;
use crate::domain::range::Resolution;
use crate::domain::rollup::Rollup;
use crate::state::AppState;
use crate::store::coarse::{self, Coarse};
use crate::store::rebuild::{self, Census, NewRow, SeriesCount};
use crate::store::rows::RowKey;
use crate::store::snapshot;

/// A minute that keeps getting late points is rolled up at most this often; until then it is answered from its blocks.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
const MINUTES_AT_ONCE: usize = 512;
const BUCKETS_AT_ONCE: usize = 64;
/// Rows written in one job: about two milliseconds, which batches that come meanwhile wait.
const ROWS_A_SLICE: usize = 250;
/// Reading a minute of millions of points takes longer than a request may.
const READ_DEADLINE: Duration = Duration::from_mins(1);

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rolled {
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) days: u64,
    pub(crate) rows: u64,
}

/// The rollup task.
pub(crate) struct Aggregator {
    state: AppState,
    /// When minutes were last rolled up, on the monotonic clock.
    recent: Mutex<HashMap<i64, Duration>>,
}

impl Aggregator {
    pub(crate) fn new(state: &AppState) -> Self {
        Self {
            state: state.clone(),
            recent: Mutex::default(),
        }
    }

    /// Rolls up what ended by a time in milliseconds since 1970, as long as `go_on` says so.
    pub(crate) async fn step(
        &self,
        ended_by: i64,
        go_on: impl Fn() -> bool,
    ) -> anyhow::Result<Rolled> {
        let started = self.state.clock.monotonic();
        let mut rolled = Rolled::default();
        let result = self.run(ended_by, &go_on, &mut rolled).await;
        let told = &self.state.told;
        let took = self.state.clock.monotonic().saturating_sub(started);
        told.minutes_rolled.add(rolled.minutes);
        told.hours_rolled.add(rolled.hours);
        told.days_rolled.add(rolled.days);
        told.rows_written.add(rolled.rows);
        told.rollup_seconds.add(took.as_nanos() as u64);
        told.rollup_backlog.set(
            self.state
                .store
                .read(|conn| Ok(rebuild::backlog(conn)?))
                .await?,
        );
        if rolled.minutes > 0 {
            let Rolled {
                minutes,
                hours,
                days,
                rows,
            } = rolled;
            tracing::debug!(
                minutes,
                hours,
                days,
                rows,
                duration_ms = took.as_millis() as u64,
                "rolled up"
            );
        }
        result.map(|()| rolled)
    }

    async fn run(
        &self,
        ended_by: i64,
        go_on: &impl Fn() -> bool,
        rolled: &mut Rolled,
    ) -> anyhow::Result<()> {
        loop {
            let minutes = self.due_minutes(ended_by).await?;
            for &minute in &minutes {
                if !go_on() {
                    return Ok(());
                }
                rolled.rows += self.minute(minute).await?;
                rolled.minutes += 1;
            }
            if minutes.is_empty() {
                break;
            }
        }
        for tier in [Coarse::Hour, Coarse::Day] {
            let buckets = self
                .state
                .store
                .read(move |conn| Ok(coarse::dirty(conn, tier, ended_by, BUCKETS_AT_ONCE)?))
                .await?;
            for (bucket, version) in buckets {
                if !go_on() {
                    return Ok(());
                }
                rolled.rows += self.merge(tier, bucket, version).await?;
                match tier {
                    Coarse::Hour => rolled.hours += 1,
                    Coarse::Day => rolled.days += 1,
                }
            }
        }
        Ok(())
    }

    /// Dirty minutes that were not rolled up just now.
    async fn due_minutes(&self, ended_by: i64) -> anyhow::Result<Vec<i64>> {
        let mut minutes = self
            .state
            .store
            .read(move |conn| Ok(rebuild::dirty_minutes(conn, ended_by, MINUTES_AT_ONCE)?))
            .await?;
        let now = self.state.clock.monotonic();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, at| now.saturating_sub(*at) < AGAIN_AFTER);
        minutes.retain(|minute| !recent.contains_key(minute));
        recent.extend(minutes.iter().map(|&minute| (minute, now)));
        Ok(minutes)
    }

    /// Rolls up one minute; how many rows that made.
    async fn minute(&self, minute: i64) -> anyhow::Result<u64> {
        let store = &self.state.store;
        let census = store
            .read_within(READ_DEADLINE, move |conn| {
                snapshot(conn, |conn| rebuild::census(conn, minute))
            })
            .await?;
        let last_block = census.as_ref().map(|census| census.last_block);
        let Census {
            last_block: last,
            points,
            series,
        } = census.unwrap_or_default();
        let mut writer = Slices::new(&self.state, Resolution::Minute, minute);
        for pass in rebuild::passes(&series) {
            let pass: Arc<[SeriesCount]> = pass.into();
            let counts = Arc::clone(&pass);
            let rollups = store
                .read_within(READ_DEADLINE, move |conn| {
                    rebuild::minute_pass(conn, minute, last, &counts)
                })
                .await?;
            for (count, rollup) in pass.iter().zip(rollups) {
                writer
                    .add(count.name_id, count.series, count.kind, rollup)
                    .await?;
            }
            self.see(&pass, minute).await?;
        }
        let rows = writer.finish().await?;
        store
            .write(Lane::Upkeep, 0, move |conn| {
                Ok(rebuild::finish_minute(conn, minute, last_block, points)?)
            })
            .await?;
        Ok(rows)
    }

    /// Notes that series had points in a minute, some at a time.
    async fn see(&self, series: &[SeriesCount], minute: i64) -> Result<(), StoreError> {
        let unseen = rebuild::unseen(series, minute);
        for some in unseen.chunks(ROWS_A_SLICE) {
            let some = some.to_vec();
            self.state
                .store
                .write(Lane::Upkeep, 0, move |conn| {
                    Ok(rebuild::see(conn, &some, minute)?)
                })
                .await?;
        }
        Ok(())
    }

    /// Rolls up one hour or day; how many rows that made.
    async fn merge(&self, tier: Coarse, bucket: i64, version: i64) -> anyhow::Result<u64> {
        let store = &self.state.store;
        let names = store
            .read_within(READ_DEADLINE, move |conn| {
                Ok(coarse::names_of(conn, tier, bucket)?)
            })
            .await?;
        let mut written = 0;
        for name in names {
            let mut after = Some(0);
            while let Some(from) = after {
                let (rows, last) = store
                    .read_within(READ_DEADLINE, move |conn| {
                        snapshot(conn, |conn| coarse::pass(conn, tier, bucket, name, from))
                    })
                    .await?;
                written += write(&self.state, tier.resolution(), rows).await?;
                after = last;
            }
            let total = store
                .read(move |conn| coarse::total(conn, tier, bucket, name))
                .await?;
            written += write(&self.state, tier.resolution(), total.into_iter().collect()).await?;
        }
        store
            .write(Lane::Upkeep, 0, move |conn| {
                Ok(coarse::finish(conn, tier, bucket, version)?)
            })
            .await?;
        Ok(written)
    }
}

/// Collects the rows of a minute and those over all series of each name, and writes them some at a time.
struct Slices<'a> {
    state: &'a AppState,
    tier: Resolution,
    bucket: i64,
    rows: Vec<NewRow>,
    total: Option<NewRow>,
    written: u64,
}

impl<'a> Slices<'a> {
    fn new(state: &'a AppState, tier: Resolution, bucket: i64) -> Self {
        Self {
            state,
            tier,
            bucket,
            rows: Vec::new(),
            total: None,
            written: 0,
        }
    }

    /// Adds the row of a series. Those of a name come one after the other.
    async fn add(
        &mut self,
        name_id: i64,
        series: i64,
        kind: MetricType,
        rollup: Rollup,
    ) -> Result<(), StoreError> {
        match &mut self.total {
            Some(total) if total.key.name_id == name_id => total.rollup.merge(&rollup),
            _ => {
                self.end_name();
                let key = RowKey {
                    name_id,
                    bucket: self.bucket,
                    series: None,
                };
                self.total = Some(NewRow {
                    key,
                    kind,
                    rollup: rollup.clone(),
                });
            }
        }
        let key = RowKey {
            name_id,
            bucket: self.bucket,
            series: Some(series),
        };
        self.rows.push(NewRow { key, kind, rollup });
        if self.rows.len() >= ROWS_A_SLICE {
            self.written += write(self.state, self.tier, std::mem::take(&mut self.rows)).await?;
        }
        Ok(())
    }

    fn end_name(&mut self) {
        self.rows.extend(self.total.take());
    }

    async fn finish(mut self) -> Result<u64, StoreError> {
        self.end_name();
        Ok(self.written + write(self.state, self.tier, self.rows).await?)
    }
}

/// Writes rows, at most a slice in one job; how many.
async fn write(
    state: &AppState,
    tier: Resolution,
    mut rows: Vec<NewRow>,
) -> Result<u64, StoreError> {
    let count = rows.len() as u64;
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS_A_SLICE));
        let slice = std::mem::replace(&mut rows, rest);
        state
            .store
            .write(Lane::Upkeep, 0, move |conn| {
                Ok(rebuild::write_rows(conn, tier, &slice)?)
            })
            .await?;
    }
    Ok(count)
}
