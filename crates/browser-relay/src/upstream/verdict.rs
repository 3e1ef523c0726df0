//! What the answers of another service mean: who is at fault, and whether trying again may help.

use axum::http::StatusCode;
use monlight_shared::idempotency::ItemAnswer;

use super::{Accepted, Failure, LONGEST_DETAIL, Rejected};

/// What the answer to an event of a batch means for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// It is at fault itself.
    Refused,
    /// Not now.
    Later(Failure),
    /// Never, though it is not at fault.
    Dead,
}

impl Verdict {
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=202 => Self::Taken,
            400 | 413 | 422 => Self::Refused,
            _ => passing(status).map_or(Self::Dead, Self::Later),
        }
    }
}

/// The failure that a status stands for that may be another one next time.
fn passing(status: u16) -> Option<Failure> {
    match status {
        408 | 425 | 429 | 503 => Some(Failure::Overloaded),
        500.. => Some(Failure::ServerError),
        _ => None,
    }
}

/// The failure among what became of the events of a batch: too much work rather than a fault, because it says to wait.
pub(super) fn worst(answers: &[ItemAnswer]) -> Option<Failure> {
    let mut failures = answers
        .iter()
        .filter_map(|answer| match Verdict::of(answer.status) {
            Verdict::Later(failure) => Some(failure),
            Verdict::Taken | Verdict::Refused | Verdict::Dead => None,
        });
    let first = failures.next()?;
    let overloaded = failures.find(|failure| *failure == Failure::Overloaded);
    Some(overloaded.unwrap_or(first))
}

/// Sorts the answers of the other service.
pub(super) fn judge(
    status: StatusCode,
    retry_after: Option<u64>,
    body: Vec<u8>,
) -> Result<Accepted, Rejected> {
    let upstream = |failure, retry_after| {
        Err(Rejected::Upstream {
            failure,
            retry_after,
        })
    };
    match Verdict::of(status.as_u16()) {
        Verdict::Taken => Ok(Accepted { status, body }),
        Verdict::Refused => Err(Rejected::Event {
            detail: detail(&body),
        }),
        Verdict::Later(failure) => upstream(failure, retry_after),
        Verdict::Dead if matches!(status.as_u16(), 401 | 403) => {
            upstream(Failure::KeyRefused, None)
        }
        Verdict::Dead => upstream(Failure::Unexpected, None),
    }
}

/// The same of the answer to one event of several.
pub(super) fn judge_item(answer: ItemAnswer) -> Result<Accepted, Rejected> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
    let body = answer.answer.map(|answer| answer.get().into());
    judge(status, None, body.unwrap_or_default()).map_err(|rejected| match rejected {
        Rejected::Event { .. } => Rejected::Event {
            detail: cut_detail(answer.detail),
        },
        upstream @ Rejected::Upstream { .. } => upstream,
    })
}

/// The `detail` of a refusal, or a text that says there is none.
fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        detail: String,
    }
    let refusal = serde_json::from_slice::<Refusal>(body);
    cut_detail(refusal.ok().map(|refusal| refusal.detail))
}

fn cut_detail(detail: Option<String>) -> String {
    match detail {
        Some(detail) => detail.chars().take(LONGEST_DETAIL).collect(),
        None => "The event was refused without a reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let found = match judge(
            StatusCode::from_u16(status).unwrap(),
            None,
            body.as_bytes().to_vec(),
        ) {
            Ok(accepted) => format!("accepted {}", accepted.status.as_u16()),
            Err(Rejected::Event { detail }) => format!("event: {detail}"),
            Err(Rejected::Upstream {
                failure,
                retry_after,
            }) => format!("{failure:?} {retry_after:?}"),
        };
        assert_eq!(found, expected, "{status} {body}");
    }

    #[test]
    fn answers_are_sorted_by_who_is_at_fault() {
        check(200, "{}", "accepted 200");
        check(201, "{}", "accepted 201");
        check(202, "", "accepted 202");
        check(204, "", "Unexpected None");
        check(302, "", "Unexpected None");
        check(400, "{\"detail\":\"too long\"}", "event: too long");
        check(
            413,
            "{\"detail\":\"too large\",\"x\":1}",
            "event: too large",
        );
        check(
            400,
            "<html>",
            "event: The event was refused without a reason",
        );
        check(401, "{\"detail\":\"Invalid API key\"}", "KeyRefused None");
        check(404, "{\"detail\":\"Not found\"}", "Unexpected None");
        check(429, "", "Overloaded None");
        check(500, "", "ServerError None");
        check(503, "", "Overloaded None");
        check(425, "", "Overloaded None");
        check(599, "", "ServerError None");
    }

    #[test]
    fn a_batch_is_as_bad_as_its_worst_event() {
        for (statuses, expected) in [
            (&[201, 200, 400, 404][..], None),
            (&[], None),
            (&[201, 429], Some(Failure::Overloaded)),
            (&[201, 500, 200], Some(Failure::ServerError)),
            (&[500, 503], Some(Failure::Overloaded)),
            (&[503, 500], Some(Failure::Overloaded)),
            (&[999], Some(Failure::ServerError)),
        ] {
            let answer = |status: &u16| ItemAnswer {
                status: *status,
                detail: None,
                answer: None,
            };
            let answers: Vec<_> = statuses.iter().map(answer).collect();
            assert_eq!(worst(&answers), expected, "{statuses:?}");
        }
    }

    #[test]
    fn a_detail_is_cut() {
        let body = serde_json::json!({"detail": "é".repeat(2000)}).to_string();
        assert_eq!(detail(body.as_bytes()).chars().count(), LONGEST_DETAIL);
    }
}
