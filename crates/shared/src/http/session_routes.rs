//! `/api/session`: a browser signs in with the key, asks whether it is signed in, signs out.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::auth::session::require_same_origin;
use super::auth::{Doors, Presented};
use super::body::{self, BodyRules, check_declared};
use super::error::{ApiError, json as json_answer};
use super::front::{Front, RequestContext};

/// A key has at most 512 characters.
const LIMIT_BYTES: usize = 4096;

pub(super) async fn answer(front: &Front, request: Request, context: &RequestContext) -> Response {
    let method = request.method().clone();
    let answered = match method {
        Method::POST => sign_in(front, request, context).await,
        Method::GET | Method::HEAD => status(front, &request, context),
        Method::DELETE => sign_out(front, &request, context),
        _ => Err(front.wrong_method("GET, HEAD, POST, DELETE")),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// `POST {"key": "..."}`: 200 and the cookie, or 401.
async fn sign_in(
    front: &Front,
    request: Request,
    context: &RequestContext,
) -> Result<Response, ApiError> {
    require_same_origin(&Presented::by(&request, context.client))?;
    check_declared(request.headers(), LIMIT_BYTES)?;
    let (parts, body) = request.into_parts();
    let rules = BodyRules {
        limit: LIMIT_BYTES,
        budget: context.body.budget.clone(),
    };
    let bytes = body::read(&parts.headers, body, &rules).await?;
    let key = key_of(&bytes).ok_or_else(|| {
        ApiError::invalid(r#"Expected a JSON object with the API key: {"key": "..."}"#)
    })?;
    front.auth.sign_in(&key, context.client)?;
    let response = json_answer(StatusCode::OK, &json!({"status": "signed in"}));
    Ok(with_cookie(
        response,
        front.auth.sessions().start(context.client.secure),
    ))
}

fn key_of(bytes: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(bytes)
        .ok()?
        .get_mut("key")?
        .take()
    {
        Value::String(key) => Some(key),
        _ => None,
    }
}

/// `GET`: who serves here and where the other services are, or 401. Renews a session that has aged.
fn status(
    front: &Front,
    request: &Request,
    context: &RequestContext,
) -> Result<Response, ApiError> {
    front
        .auth
        .check(&Presented::by(request, context.client), Doors::Usual)?;
    let siblings = &front.siblings;
    let response = json_answer(
        StatusCode::OK,
        &json!({
            "signed_in": true,
            "service": front.info.name,
            "version": front.info.version,
            "siblings": {
                "errors": siblings.errors,
                "logs": siblings.logs,
                "metrics": siblings.metrics,
                "browser": siblings.browser,
            },
        }),
    );
    let sessions = front.auth.sessions();
    if sessions.is_worth_renewing(request.headers()) {
        return Ok(with_cookie(response, sessions.start(context.client.secure)));
    }
    Ok(response)
}

/// `DELETE`: 200 and the cookie is gone. It is no fault to sign out twice.
fn sign_out(
    front: &Front,
    request: &Request,
    context: &RequestContext,
) -> Result<Response, ApiError> {
    require_same_origin(&Presented::by(request, context.client))?;
    let response = json_answer(StatusCode::OK, &json!({"status": "signed out"}));
    Ok(with_cookie(
        response,
        front.auth.sessions().end(context.client.secure),
    ))
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
