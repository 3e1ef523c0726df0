//! `GET /health`: open, cheap, truthful.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::error::json;
use crate::lifecycle::Lifecycle;

/// How long the check may take before that alone makes the service sick.
const DEADLINE: Duration = Duration::from_secs(5);

type Verdict = Result<Map<String, Value>, String>;
type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Verdict> + Send>> + Send + Sync>;

/// The check of a service. Requests that come while one runs share the next one, so a crowd at this
/// open door costs no more than one check at a time.
pub(super) struct Health {
    check: Check,
    asked: AtomicU64,
    last: Mutex<Last>,
}

struct Last {
    /// Every request up to this one came before the check began.
    covers: u64,
    verdict: Verdict,
}

impl Health {
    pub(super) fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        Self {
            check: Box::new(move || Box::pin(check())),
            asked: AtomicU64::new(0),
            last: Mutex::new(Last {
                covers: 0,
                verdict: Ok(Map::new()),
            }),
        }
    }

    /// A service whose process being there is all there is to say.
    pub(super) fn plain() -> Self {
        Self::new(async || Ok(Map::new()))
    }

    pub(super) async fn answer(&self, lifecycle: &Lifecycle) -> Response {
        let verdict = match lifecycle.degraded() {
            Some(reason) => Err(reason),
            None => self.verdict().await,
        };
        match verdict {
            Ok(more) => {
                let mut body = Map::from_iter([("status".to_owned(), Value::from("ok"))]);
                body.extend(more);
                json(StatusCode::OK, &body)
            }
            Err(detail) => {
                let body = serde_json::json!({"status": "error", "detail": detail});
                json(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
        }
    }

    async fn verdict(&self) -> Verdict {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.covers < mine {
            last.covers = self.asked.load(Ordering::SeqCst);
            last.verdict = tokio::time::timeout(DEADLINE, (self.check)())
                .await
                .unwrap_or_else(|_| Err("the database does not answer in time".to_owned()));
        }
        last.verdict.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;

    fn lifecycle() -> Lifecycle {
        Lifecycle::new(Clock::system())
    }

    async fn text(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 4096)
            .await
            .unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn says_how_the_service_is() {
        let plain = Health::plain().answer(&lifecycle()).await;
        assert_eq!(text(plain).await, (200, r#"{"status":"ok"}"#.to_owned()));
        let more = Health::new(async || Ok(Map::from_iter([("lines".to_owned(), 3.into())])));
        let more = more.answer(&lifecycle()).await;
        assert_eq!(
            text(more).await,
            (200, r#"{"lines":3,"status":"ok"}"#.to_owned())
        );
        let sick = Health::new(async || Err("the disk is full".to_owned()));
        let sick = text(sick.answer(&lifecycle()).await).await;
        assert_eq!(
            sick,
            (
                503,
                r#"{"detail":"the disk is full","status":"error"}"#.to_owned()
            )
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_bad_news_too() {
        let hanging = Health::new(std::future::pending);
        let (status, body) = text(hanging.answer(&lifecycle()).await).await;
        assert_eq!(status, 503, "{body}");
    }

    #[tokio::test]
    async fn a_crowd_shares_checks_that_began_after_it_came() {
        let runs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&runs);
        let health = Health::new(move || {
            let runs = Arc::clone(&counted);
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(Map::new())
            }
        });
        let life = lifecycle();
        let crowd = (0..50).map(|_| health.answer(&life));
        futures_util::future::join_all(crowd).await;
        // The first is alone with its check; all others came while it ran and share the second.
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        health.answer(&life).await;
        assert_eq!(
            runs.load(Ordering::SeqCst),
            3,
            "a later request is not told old news"
        );
    }
}
