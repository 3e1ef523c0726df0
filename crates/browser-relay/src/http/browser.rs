//! `POST /api/browser/errors` and `POST /api/browser/metrics`: what strangers can reach.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use monlight_shared::clock::iso_millis;
use monlight_shared::http::body::{check_declared, read};
use monlight_shared::http::{ApiError, Query, RequestContext, json, json_text};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cors;
use crate::domain::batch::Batch;
use crate::domain::deobfuscate::{Query as LookUp, Symbolication, Unmapped, deobfuscate, queries};
use crate::domain::enrich;
use crate::domain::event::{BrowserError, EventId, Refusal};
use crate::domain::stack::Stack;
use crate::domain::user_agent::Client;
use crate::keys::Site;
use crate::lookups::Question;
use crate::state::State;
use crate::telemetry::{EventKind, EventResult, Refused};
use crate::upstream::{Accepted, Rejected, USUAL_RETRY_AFTER};

const INVALID_KEY: &str = "Invalid DSN key";
const FOREIGN_ORIGIN: &str = "This key may only be used from the origins it is for";
const UPSTREAM_ERROR: &str = "Upstream error";
/// Bytes of a report with a readable stack, which may be much longer than the stack that came. The tracker takes
/// 256 KiB.
const LONGEST_READABLE: usize = 192 * 1024;
const KEY_HEADER: &str = "x-monlight-key";

/// Answers everything below `/api/browser/`.
pub(super) async fn answer(
    Shared(state): Shared<State>,
    context: RequestContext,
    request: Request,
) -> Response {
    let site = public_key(request.headers(), request.uri()).and_then(|key| state.keys.find(&key));
    let origin = cors::readable_origin(request.headers(), &state.keys, site.as_deref());
    if request.method() == Method::OPTIONS {
        let mut response = cors::preflight(origin.as_ref());
        cors::apply(&mut response, origin);
        return response;
    }
    let result = dispatch(&state, &context, site.as_deref(), request).await;
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    if let Some(site) = site {
        site.used(response.status().is_success(), state.clock.now_ms());
    }
    cors::apply(&mut response, origin);
    response
}

/// Checks in the contract's order, then the event itself.
async fn dispatch(
    state: &State,
    context: &RequestContext,
    site: Option<&Site>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let kind = match parts.uri.path() {
        "/api/browser/errors" => Some(EventKind::Error),
        "/api/browser/metrics" => Some(EventKind::Metrics),
        _ => None,
    };
    let refuse = |reason| move |error: ApiError| turned_away(state, reason, error);
    // Of the budgets of a site only those use something who may use its key.
    let admitted = site.filter(|site| cors::admitted(&parts.headers, site));
    state
        .budgets
        .check(admitted, kind, context.client.network())
        .map_err(|retry| turned_away(state, Refused::RateLimit, retry.into()))?;
    check_declared(&parts.headers, context.body.limit).map_err(refuse(Refused::TooLarge))?;
    let site =
        site.ok_or_else(|| turned_away(state, Refused::Key, ApiError::Unauthorized(INVALID_KEY)))?;
    if admitted.is_none() {
        let foreign = ApiError::Forbidden(FOREIGN_ORIGIN.to_owned());
        return Err(turned_away(state, Refused::Origin, foreign));
    }
    let kind = kind.ok_or_else(ApiError::no_route)?;
    if parts.method != Method::POST {
        return Err(ApiError::MethodNotAllowed {
            allow: "POST, OPTIONS",
        });
    }
    let room = state.in_flight.enter(site.key_id);
    let _room = room.ok_or_else(|| busy(state))?;
    let bytes = read_event(state, context, &parts.headers, body).await?;
    let result = match kind {
        EventKind::Error => error(state, site, &parts.headers, bytes).await,
        EventKind::Metrics => metrics(state, site, bytes).await,
    };
    state.telemetry.event(kind, outcome(&result));
    result.map(|(response, _)| response)
}

fn busy(state: &State) -> ApiError {
    turned_away(
        state,
        Refused::Busy,
        ApiError::busy("Too many events at the same time"),
    )
}

fn turned_away(state: &State, reason: Refused, error: ApiError) -> ApiError {
    state.telemetry.refused(reason);
    error
}

async fn read_event(
    state: &State,
    context: &RequestContext,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, ApiError> {
    read(headers, body, &context.body)
        .await
        .map_err(|error| match error {
            ApiError::TooLarge => turned_away(state, Refused::TooLarge, error),
            ApiError::Unavailable { .. } => turned_away(state, Refused::Busy, error),
            error => error,
        })
}

fn outcome(result: &Result<(Response, EventResult), ApiError>) -> EventResult {
    match result {
        Ok((_, result)) => *result,
        Err(error) if error.status().is_client_error() => EventResult::Invalid,
        Err(_) => EventResult::Failed,
    }
}

/// The DSN key of a request: the header, or without one `?key=`, since a beacon has no headers.
fn public_key(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(value) = headers.get(KEY_HEADER) {
        return Some(value.to_str().ok()?.trim().to_owned());
    }
    Query::parse(uri.query()?)
        .first_nonempty("key")
        .map(str::to_owned)
}

async fn error(
    state: &State,
    site: &Site,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Response, EventResult), ApiError> {
    let (report, id) = report(state, site, headers, body).await?;
    let room = state.outgoing.room_for(&report);
    let _room = room.ok_or_else(|| busy(state))?;
    let Accepted { status, body } = match forward(state, site, EventKind::Error, report, id).await?
    {
        Ok(accepted) => accepted,
        Err(answer) => return Ok(answer),
    };
    // The tracker answers with an object; anything else is not passed on to strangers.
    let is_object = body.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(&body).is_ok();
    let answer = match status {
        StatusCode::OK | StatusCode::CREATED if is_object => json_text(status, body),
        StatusCode::OK | StatusCode::CREATED => json(status, &json!({"status": "accepted"})),
        _ => json(StatusCode::CREATED, &json!({"status": "accepted"})),
    };
    Ok((answer, EventResult::Forwarded))
}

/// Sends a document, or keeps it for later when the service cannot take it now or others wait for it already. The inner
/// error is what the page hears when the service did not take it.
async fn forward(
    state: &State,
    site: &Site,
    kind: EventKind,
    document: String,
    id: Option<EventId>,
) -> Result<Result<Accepted, (Response, EventResult)>, ApiError> {
    let name = id.map(|id| id.name(kind.upstream(), &site.project, &site.public_key));
    let key = state.outbox.key(name);
    let document = Bytes::from(document);
    let arrival = state.outbox.arrive(kind);
    let mut retry_after = Some(USUAL_RETRY_AFTER);
    if !state.outbox.holds(kind) {
        match state.upstream(kind).send(document.clone(), key).await {
            Ok(accepted) => {
                if is_repetition(kind, &accepted) {
                    state.telemetry.repeated();
                }
                return Ok(Ok(accepted));
            }
            Err(Rejected::Event { detail }) => return Err(ApiError::Invalid(detail)),
            Err(Rejected::Upstream {
                failure,
                retry_after: asked,
            }) => retry_after = asked.or(failure.usual_retry_after()),
        }
    }
    let document = match kind {
        EventKind::Error => document,
        EventKind::Metrics => {
            let arrived = iso_millis(state.clock.now_ms());
            let later = enrich::with_arrival(&document, &arrived).map_err(ApiError::internal)?;
            Bytes::from(later)
        }
    };
    Ok(Err(
        if state
            .outbox
            .put(arrival, site.key_id, key, document)
            .await?
        {
            let queued = json(StatusCode::ACCEPTED, &json!({"status": "queued"}));
            (queued, EventResult::Queued)
        } else {
            (upstream_error(retry_after), EventResult::Failed)
        },
    ))
}

/// Whether a service says that it has an event already.
fn is_repetition(kind: EventKind, accepted: &Accepted) -> bool {
    #[derive(Deserialize)]
    struct Told {
        status: String,
    }
    let tells = || serde_json::from_slice::<Told>(&accepted.body).ok();
    accepted.status == StatusCode::OK
        && match kind {
            EventKind::Error => tells().is_some_and(|told| told.status == "duplicate"),
            // What the collector takes for the first time is 202.
            EventKind::Metrics => true,
        }
}

/// What the tracker is sent, and the event's id. Nothing else is left of the event afterwards.
async fn report(
    state: &State,
    site: &Site,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(String, Option<EventId>), ApiError> {
    let turn = state.outgoing.turn(body.len()).await;
    let _turn = turn.ok_or_else(|| busy(state))?;
    let event = BrowserError::from_json(&body).map_err(invalid)?;
    let (stack, symbolication) = symbolicate(state, site, &event).await;
    let traceback = stack.as_deref().unwrap_or(&event.stack);
    let client = client(&event, headers);
    let write = |traceback: &str, symbolication: Option<&Symbolication>| {
        enrich::error_report(&site.project, &event, &client, traceback, symbolication)
    };
    let mut report = write(traceback, symbolication.as_ref());
    if report.len() > LONGEST_READABLE && stack.is_some() {
        let why = Symbolication::none("the readable stack is too long");
        report = write(&event.stack, Some(&why));
    }
    // It was made for the worst case, and may wait.
    report.shrink_to_fit();
    Ok((report, event.event_id))
}

/// The browser, as the event says it, else as the request does.
fn client(event: &BrowserError, headers: &HeaderMap) -> Client {
    let of_request = || headers.get(header::USER_AGENT)?.to_str().ok();
    let user_agent = event.user_agent.as_deref().or_else(of_request);
    Client::of(user_agent.unwrap_or_default())
}

/// The readable stack, if there is one, and what became of the frames. A database that cannot be read costs the
/// readable stack, not the event.
async fn symbolicate(
    state: &State,
    site: &Site,
    event: &BrowserError,
) -> (Option<String>, Option<Symbolication>) {
    let stack = Stack::parse(&event.stack);
    let wanted = queries(&stack, &event.debug_ids);
    if wanted.is_empty() {
        return (None, None);
    }
    let release = event.release.clone();
    let has_id = |query: &Result<LookUp, Unmapped>| {
        query.as_ref().is_ok_and(|query| query.debug_id.is_some())
    };
    if release.is_none() && !wanted.iter().any(has_id) {
        let why = Unmapped::NoRelease.reason();
        return (None, Some(Symbolication::none(why)));
    }
    let count = wanted.len();
    let question = Question {
        project: site.project.clone(),
        release,
        queries: wanted,
    };
    let found = state.look_ups.look_up(question).await;
    let outcomes = found.unwrap_or_else(|fault| {
        tracing::warn!(%fault, "cannot look up a stack in the source maps");
        vec![Err(Unmapped::Unavailable); count]
    });
    state.telemetry.frames(&outcomes);
    let (text, symbolication) = deobfuscate(&stack, &outcomes);
    (Some(text), Some(symbolication))
}

async fn metrics(
    state: &State,
    site: &Site,
    body: Bytes,
) -> Result<(Response, EventResult), ApiError> {
    let batch = Batch::from_json(&body).map_err(invalid)?;
    let (count, id) = (batch.metrics.len(), batch.event_id);
    let mut document = enrich::metric_batch(&site.project, &batch);
    document.shrink_to_fit();
    drop((batch, body));
    let room = state.outgoing.room_for(&document);
    let _room = room.ok_or_else(|| busy(state))?;
    if let Err(answer) = forward(state, site, EventKind::Metrics, document, id).await? {
        return Ok(answer);
    }
    state.telemetry.metrics_forwarded(count);
    let status = "accepted";
    let answer = json(StatusCode::ACCEPTED, &Taken { status, count });
    Ok((answer, EventResult::Forwarded))
}

/// The answer to a batch.
#[derive(Serialize)]
struct Taken {
    status: &'static str,
    count: usize,
}

fn invalid(refusal: Refusal) -> ApiError {
    ApiError::invalid(refusal.0)
}

/// What the page is told when the event could neither be forwarded nor kept. The reason is none of its business.
fn upstream_error(retry_after: Option<u64>) -> Response {
    let mut response = ApiError::BadGateway(UPSTREAM_ERROR.to_owned()).into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
