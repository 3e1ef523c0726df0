//! `POST /api/import/prometheus`: an exposition, all of it or nothing; with `?partial=1` what is good of it.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use monlight_shared::http::{ApiBytes, ApiError, RawParams, json};
use monlight_shared::idempotency::RequestKey;
use serde::Serialize;

use crate::domain::change::JUST_BEGUN_MS;
use crate::domain::exposition::{Fault, Faults, Form};
use crate::import::{self, Exposition, Outcome, Report};
use crate::state::AppState;

/// What a parameter begins with that names a label.
const LABEL: &str = "labels/";

pub(super) async fn post(
    State(state): State<AppState>,
    RawParams(params): RawParams,
    RequestKey(key): RequestKey,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<Response, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let extra = extra(params.pairs())?;
    let exposed = Exposition {
        body: &body,
        form: Form::of(content_type, &body),
        project: params.last("project").unwrap_or_default(),
        extra: &extra,
        partial: matches!(params.last("partial"), Some("1" | "true")),
        key,
        new_ms: JUST_BEGUN_MS,
    };
    if body.trim_ascii().is_empty() {
        return Err(ApiError::invalid("Expected at least one line of metrics"));
    }
    Ok(match import::take(&state, exposed, &[]).await? {
        Outcome::Stored(report) => json(
            StatusCode::ACCEPTED,
            &Accepted::of(&report, exposed.partial),
        ),
        Outcome::Before => json(StatusCode::OK, &serde_json::json!({"status": "duplicate"})),
        Outcome::Refused(faults) => refusal(&faults, exposed.partial),
    })
}

/// The labels that the address names, as in `labels/instance=web-1`.
fn extra<'p>(
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<Vec<(String, String)>, ApiError> {
    let mut extra: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs {
        let Some(name) = name.strip_prefix(LABEL) else {
            continue;
        };
        if name.is_empty() || extra.iter().any(|(known, _)| known == name) {
            return Err(ApiError::invalid(
                "Parameters for labels must be labels/<name>=<value>, each name once",
            ));
        }
        extra.push((name.to_owned(), value.to_owned()));
    }
    Ok(extra)
}

/// A line that is wrong.
#[derive(Serialize)]
struct Wrong {
    detail: String,
    line: usize,
}

impl Wrong {
    fn of(fault: &Fault) -> Self {
        Self {
            detail: fault.to_string(),
            line: fault.line,
        }
    }
}

/// What was stored.
#[derive(Serialize)]
struct Accepted {
    status: &'static str,
    /// Values that were read.
    samples: u64,
    /// What was added for them.
    points: u64,
    /// Totals that were read for the first time.
    baselines: u64,
    resets: u64,
    /// Values that cannot be counted or were counted before.
    skipped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Wrong>>,
}

impl Accepted {
    fn of(report: &Report, partial: bool) -> Self {
        let (done, faults) = (&report.done, &report.faults);
        Self {
            status: "accepted",
            samples: report.samples,
            points: done.points,
            baselines: done.first,
            resets: done.resets,
            skipped: report.skipped + done.old + done.without_room,
            rejected: partial.then_some(faults.count),
            errors: partial.then(|| faults.first.iter().map(Wrong::of).collect()),
        }
    }
}

/// The first fault; with `partial` also the others.
fn refusal(faults: &Faults, partial: bool) -> Response {
    #[derive(Serialize)]
    struct Answer {
        #[serde(flatten)]
        first: Option<Wrong>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rejected: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        errors: Option<Vec<Wrong>>,
    }
    let answer = Answer {
        first: faults.first.first().map(Wrong::of),
        rejected: partial.then_some(faults.count),
        errors: partial.then(|| faults.first.iter().map(Wrong::of).collect()),
    };
    json(StatusCode::BAD_REQUEST, &answer).into_response()
}
