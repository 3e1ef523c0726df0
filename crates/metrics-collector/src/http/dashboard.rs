//! `GET /api/dashboard`: how much came in, the largest metrics, and the Web Vitals of browsers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monlight_shared::http::{ApiError, RawParams, json_text};
use monlight_shared::store::StoreError;
use rusqlite::Connection;

use super::text::{self, Object};
use super::{names, requests};
use crate::domain::range::Period;
use crate::domain::rollup::Rollup;
use crate::domain::vitals::Vital;
use crate::state::AppState;
use crate::store::dashboard::{self, Dashboard, Figures, Scope, Top, Vitals};
use crate::store::snapshot;

pub(super) async fn get(
    State(state): State<AppState>,
    RawParams(query): RawParams,
) -> Result<Response, ApiError> {
    let period = query
        .all("period")
        .find_map(Period::parse)
        .unwrap_or_default();
    let now_ms = state.clock.now_ms();
    let scope = Scope {
        project: names::project(&query),
        from_ms: period.start_ms(now_ms),
        now_ms,
        resolution: period.resolution(state.config.kept()),
    };
    // Either takes about half of the time, and there are two connections to read by.
    let (dashboard, vitals) = tokio::try_join!(
        read(&state, &scope, dashboard::read),
        read(&state, &scope, dashboard::vitals),
    )?;
    Ok(json_text(
        StatusCode::OK,
        written(&dashboard, vitals.as_ref(), &period, &scope),
    ))
}

async fn read<T: Send + 'static>(
    state: &AppState,
    scope: &Scope,
    part: fn(&Connection, &Scope) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let scope = scope.clone();
    let job = move |conn: &Connection| snapshot(conn, |conn| part(conn, &scope));
    state.store.read(job).await
}

fn written(
    dashboard: &Dashboard,
    vitals: Option<&Vitals>,
    period: &Period,
    scope: &Scope,
) -> String {
    let Dashboard {
        points,
        names,
        top,
        requests,
    } = dashboard;
    let mut out = String::new();
    text::object(&mut out, |answer| {
        answer
            .text("period", &period.text)
            .object("summary", |summary| {
                summary
                    .count("total_datapoints", *points)
                    .count("distinct_metrics", *names as u64);
            });
        answer.array("top_metrics", top, write_top);
        if let Some(found) = requests {
            answer.object("requests", |section| requests::write(section, found, scope));
        }
        if let Some(vitals) = vitals {
            answer.object("web_vitals", |section| write_vitals(section, vitals));
        }
    });
    out
}

fn write_top(out: &mut String, metric: &Top) {
    text::object(out, |row| {
        row.text("name", &metric.name)
            .text("type", metric.kind.as_str());
        row.count("count", metric.count)
            .number("total", metric.total);
    });
}

fn write_vitals(section: &mut Object<'_>, vitals: &Vitals) {
    section.object("summary", |summary| {
        for (vital, sum) in Vital::ALL.into_iter().zip(&vitals.summary) {
            summary.object(vital.key(), |out| write_summary(out, vital, sum.as_ref()));
        }
    });
    section.array(
        "timeseries",
        &vitals.over_time,
        |out, (bucket, of_bucket)| {
            let contract = Vital::ALL
                .iter()
                .zip(of_bucket)
                .filter(|(vital, _)| vital.opens_the_section());
            let count = contract
                .filter_map(|(_, measured)| measured.as_ref())
                .map(|measured| measured.count)
                .sum();
            text::object(out, |row| {
                row.time("bucket", *bucket);
                write_figures(row, of_bucket);
                row.count("count", count);
            });
        },
    );
    section.array("by_page", &vitals.pages, |out, (page, of_page)| {
        text::object(out, |row| {
            row.text("page", page);
            write_figures(row, &dashboard::figures(of_page));
            row.object("shares", |row| {
                for (vital, sum) in Vital::ALL.into_iter().zip(of_page) {
                    write_shares(row, vital.key(), vital, sum.as_ref());
                }
            });
            row.count("page_views", of_page[0].as_ref().map_or(0, |lcp| lcp.count));
        });
    });
}

/// Mean, count and the words of the contract, which are those of p75; beside them p75, how Google rates it, and the shares
/// of points that are good, in between and poor.
fn write_summary(out: &mut Object<'_>, vital: Vital, sum: Option<&Rollup>) {
    let p75 = sum.map(|sum| vital.p75(sum));
    out.optional("avg", sum.map(Rollup::mean))
        .count("count", sum.map_or(0, |sum| sum.count))
        .text(
            "rating",
            vital.strict_rating(sum.map(|sum| sum.percentile(75))),
        )
        .optional("p75", p75)
        .text("p75_rating", vital.rating(p75));
    write_shares(out, "shares", vital, sum);
}

/// Which part of the points is good, in between and poor.
fn write_shares(out: &mut Object<'_>, key: &str, vital: Vital, sum: Option<&Rollup>) {
    let Some(sum) = sum else {
        out.optional(key, None);
        return;
    };
    let [good, between, poor] = vital.shares(sum);
    out.object(key, |shares| {
        shares
            .number("good", good)
            .number("needs-improvement", between)
            .number("poor", poor);
    });
}

/// The mean of each vital, and beside them their p75.
fn write_figures(row: &mut Object<'_>, figures: &Figures) {
    let all = || Vital::ALL.iter().zip(figures);
    for (vital, measured) in all() {
        row.optional(vital.key(), measured.map(|measured| measured.mean));
    }
    row.object("p75", |row| {
        for (vital, measured) in all() {
            row.optional(vital.key(), measured.map(|measured| measured.p75));
        }
    });
}
