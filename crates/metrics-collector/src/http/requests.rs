//! The part of the dashboard about requests.

use super::text::{self, Object};
use crate::domain::range::Resolution;
use crate::domain::rollup::Rollup;
use crate::store::dashboard::Scope;
use crate::store::requests::{Endpoint, Requests, Sums};

/// Writes the section `requests`.
pub(super) fn write(section: &mut Object<'_>, requests: &Requests, scope: &Scope) {
    let seconds = (scope.now_ms - scope.from_ms).max(1000) as f64 / 1000.0;
    section.object("now", |out| write_sums(out, &requests.now, seconds));
    write_before(section, requests.before.as_ref(), seconds);
    section.array("timeseries", &requests.over_time, |out, (bucket, sums)| {
        text::object(out, |row| {
            row.time("bucket", *bucket);
            write_sums(row, sums, seconds_of(*bucket, scope));
        });
    });
    section.count("endpoints", requests.endpoints as u64);
    let all = time_spent(&requests.now);
    let mut list = |key, endpoints: &[Endpoint]| {
        section.array(key, endpoints, |out, one| {
            text::object(out, |row| write_endpoint(row, one, all, seconds));
        });
    };
    list("slowest", &requests.slowest);
    list("failing", &requests.failing);
}

/// Seconds of a bucket that lie in the period and are over.
fn seconds_of(bucket: i64, scope: &Scope) -> f64 {
    let step: Resolution = scope.resolution;
    let end = (bucket + step.step_ms()).min(scope.now_ms);
    (end - bucket.max(scope.from_ms)).max(1000) as f64 / 1000.0
}

fn time_spent(sums: &Sums) -> f64 {
    sums.latency.as_ref().map_or(0.0, |latency| latency.sum)
}

fn write_before(out: &mut Object<'_>, before: Option<&Sums>, seconds: f64) {
    match before {
        Some(before) => out.object("before", |out| write_sums(out, before, seconds)),
        None => out.optional("before", None),
    };
}

fn write_sums(out: &mut Object<'_>, sums: &Sums, seconds: f64) {
    let latency = sums.latency.as_ref();
    let percentile = |percent| latency.map(|latency| latency.percentile(percent));
    let error_rate = (sums.requests > 0.0).then(|| sums.errors / sums.requests);
    out.number("count", sums.requests)
        .number("rate", sums.requests / seconds)
        .number("errors", sums.errors)
        .optional("error_rate", error_rate)
        .optional("avg", latency.map(Rollup::mean))
        .optional("p50", percentile(50))
        .optional("p95", percentile(95))
        .optional("p99", percentile(99));
}

fn write_endpoint(row: &mut Object<'_>, one: &Endpoint, all: f64, seconds: f64) {
    row.text("method", &one.method).text("endpoint", &one.route);
    let share = (all > 0.0).then(|| time_spent(&one.now) / all);
    row.optional("time_share", share);
    write_sums(row, &one.now, seconds);
    write_before(row, one.before.as_ref(), seconds);
}
