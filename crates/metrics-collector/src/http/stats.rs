//! `GET /api/stats`: what came in since the start, what had to be mended or left out, and how full it is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, json_text};

use super::text::{self, Object};
use crate::state::AppState;
use crate::store::snapshot;
use crate::store::stats::{self, Stats};

pub(super) async fn get(State(state): State<AppState>) -> Result<Response, ApiError> {
    let stats = state
        .store
        .read(|conn| snapshot(conn, |conn| Ok(stats::read(conn)?)))
        .await?;
    let mut out = String::new();
    text::object(&mut out, |answer| {
        answer.time("since", state.started_ms);
        write_counters(answer, &state);
        write_series(answer, &state, &stats);
        answer
            .count("set_aside", stats.set_aside)
            .count("removed", stats.removed as u64);
        answer.object("rollup", |rollup| {
            rollup.count("backlog", stats.backlog);
            match stats.last_rolled {
                Some(minute) => rollup.time("last", minute),
                None => rollup.optional("last", None),
            };
        });
    });
    Ok(json_text(StatusCode::OK, out))
}

/// What came in since the start.
fn write_counters(answer: &mut Object<'_>, state: &AppState) {
    let told = &state.told;
    for (key, counter) in [
        ("batches", &told.batches),
        ("batches_refused", &told.batches_refused),
        ("points", &told.points),
        ("points_refused", &told.points_refused),
        ("late_points", &told.late_points),
        ("timestamps_replaced", &told.timestamps_replaced),
        ("overflow_points", &told.overflow_points),
    ] {
        answer.count(key, counter.get());
    }
}

fn write_series(answer: &mut Object<'_>, state: &AppState, stats: &Stats) {
    let bounds = state.config.series;
    answer
        .count(
            "series",
            stats.projects.iter().map(|(_, series)| series).sum(),
        )
        .count("series_max_per_project", bounds.per_project.unsigned_abs())
        .count("series_max_per_name", bounds.per_name.unsigned_abs())
        .array("projects", &stats.projects, |out, (project, series)| {
            text::object(out, |row| {
                row.text("project", project).count("series", *series);
            });
        })
        .array("overflowing", &stats.overflowing, |out, name| {
            text::object(out, |row| {
                row.text("project", &name.project)
                    .text("name", &name.name)
                    .text("type", name.kind.as_str())
                    .count("series", name.series);
            });
        });
}
