//! Deletes what removed metrics have left, in small jobs between those of requests. Runs in the task of the rollup, after it.

use monlight_shared::store::Lane;

use crate::state::AppState;
use crate::store::removal;

/// Deletes as much as there is time for.
pub(crate) async fn step(state: &AppState, go_on: impl Fn() -> bool) -> anyhow::Result<()> {
    let (store, told) = (&state.store, &state.told);
    let waiting = || store.read(|conn| Ok(removal::removed(conn)?));
    let names = waiting().await?;
    told.removed.set(names.len() as i64);
    for name_id in &names {
        let name_id = *name_id;
        // Most only wait; asking a reader keeps them from the writer.
        let has_work = move |conn: &_| Ok(removal::has_work(conn, name_id)?);
        while go_on() && store.read(has_work).await? {
            let slice = move |conn: &_| Ok(removal::slice(conn, name_id)?);
            let deleted = store.write(Lane::Upkeep, 0, slice).await?;
            told.deleted_rows.add(deleted.rows as u64);
            told.deleted_series.add(deleted.series as u64);
        }
    }
    if !names.is_empty() {
        told.removed.set(waiting().await?.len() as i64);
    }
    Ok(())
}
