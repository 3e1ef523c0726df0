//! Deletes old points, rollups and series, in small jobs between those of requests.

use std::sync::Arc;

use monlight_shared::store::Lane;

use crate::domain::range::Resolution;
use crate::state::AppState;
use crate::store::retention::{self, Cutoffs};
use crate::store::{HOUR_MS, baseline, series};

/// `GET /health` counts 24 hours.
const KEEP_RECEIVED_MS: i64 = 25 * HOUR_MS;
/// A series is forgotten so long after its last row: points may lie a day ahead, the rollup notes its time hourly, and
/// a day row goes up to a day later than its points.
const SERIES_MARGIN_MS: i64 = 72 * HOUR_MS;

/// Deletes everything that is too old at a time in milliseconds since 1970.
pub(crate) async fn step(state: &AppState, now_ms: i64) -> anyhow::Result<()> {
    let (store, told, config) = (&state.store, &state.told, &state.config);
    let cutoffs = Cutoffs {
        raw: now_ms - config.keep_raw_ms,
        minute: now_ms - config.keep_minute_ms,
        hour: now_ms - config.keep_hour_ms,
        day: now_ms - config.keep_day_ms,
        received: now_ms - KEEP_RECEIVED_MS,
        series: now_ms - config.keep_day_ms - SERIES_MARGIN_MS,
    };
    store
        .write(Lane::Upkeep, 0, move |conn| {
            Ok(retention::raise_floors(conn, cutoffs)?)
        })
        .await?;
    loop {
        let deleted = store
            .write(Lane::Upkeep, 0, |conn| Ok(retention::delete_blocks(conn)?))
            .await?;
        told.deleted_blocks.add(deleted as u64);
        if deleted == 0 {
            break;
        }
    }
    for name_id in store.read(|conn| Ok(retention::name_ids(conn)?)).await? {
        for tier in [Resolution::Minute, Resolution::Hour, Resolution::Day] {
            // Most names have nothing to delete; asking a reader keeps them from the writer.
            while store
                .read(move |conn| Ok(retention::old_bucket(conn, tier, name_id, cutoffs)?))
                .await?
                .is_some()
            {
                let delete =
                    move |conn: &_| Ok(retention::delete_rows(conn, tier, name_id, cutoffs)?);
                told.deleted_rows
                    .add(store.write(Lane::Upkeep, 0, delete).await? as u64);
            }
        }
    }
    store
        .write(Lane::Upkeep, 0, move |conn| {
            Ok(retention::delete_received(conn, cutoffs.received)?)
        })
        .await?;
    while store
        .read(move |conn| Ok(retention::has_old_series(conn, cutoffs.series)?))
        .await?
    {
        let dictionary = Arc::clone(&state.dictionary);
        let delete = move |conn: &_| {
            // Before the first is gone: no batch that comes after this job may still name it.
            dictionary.forget_all();
            Ok(retention::delete_series(conn, cutoffs.series)?)
        };
        told.deleted_series
            .add(store.write(Lane::Upkeep, 0, delete).await? as u64);
    }
    let shared_before = now_ms - baseline::KEEP_SHARED_MS;
    while store
        .write(Lane::Upkeep, 0, move |conn| {
            Ok(baseline::forget_shared(conn, shared_before)?)
        })
        .await?
        > 0
    {}
    store.in_slices(retention::shrink).await?;
    told.series
        .set(store.read(|conn| Ok(series::count(conn)?)).await?);
    Ok(())
}
