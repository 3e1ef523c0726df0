//! One server at a time: takes what is due, renders it, tries it, stores what became of it.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::plan::{self, GIVE_UP};
use super::rows::{self, About, DeliveryState, Due, Outcome};
use super::{Inner, Outbox};
use crate::notify::channel::{Channel, Failure, Scope};
use crate::notify::message::Message;
use crate::notify::text;
use crate::store::{Lane, StoreError};

/// What a channel said is kept up to here.
const SAID_CHARS: usize = 300;
/// How long an attempt may go on once the service is asked to end. What is cut is repeated after the start.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// A result that cannot be stored is tried again after this: repeating the delivery instead would tell people twice.
const STORE_PAUSE: Duration = Duration::from_secs(2);

impl Outbox {
    /// Delivers everything that is due over one server. Answers when there is more to do, in unix milliseconds.
    pub(super) async fn serve_lane(&self, lane: usize) -> Result<Option<i64>, StoreError> {
        let inner = &self.0;
        let keys = inner.lane_keys(lane);
        loop {
            if inner.lifecycle.soft().is_cancelled() {
                return Ok(None);
            }
            let (asked, now) = (keys.clone(), inner.clock.now_ms());
            let next = inner
                .store
                .read(move |conn| rows::next_due(conn, &asked, now))
                .await?;
            match next {
                Some(due) if due.at <= now => self.deliver(&due, &keys).await?,
                Some(due) => return Ok(Some(due.at)),
                None => return Ok(None),
            }
        }
    }

    async fn deliver(&self, due: &Due, lane: &[String]) -> Result<(), StoreError> {
        let inner = &self.0;
        let Some(channel) = inner.channel(&due.channel) else {
            return Ok(());
        };
        let Ok(_turn) = inner.turns.acquire().await else {
            return Ok(());
        };
        let outcome = match self.message(due.alert).await {
            Ok(Some(message)) => match self.attempt(channel, &message).await {
                Some(result) => inner.judge(due, channel, result, lane).await?,
                // The service ends; what was cut is tried again after the next start.
                None => return Ok(()),
            },
            Ok(None) => done(due, DeliveryState::Skipped, "what it was about is gone"),
            // The database will recover, or the service ends.
            Err(
                fault @ (StoreError::Full
                | StoreError::Busy
                | StoreError::Closed
                | StoreError::Unavailable { .. }),
            ) => return Err(fault),
            // Others must not wait for an alert that cannot be written.
            Err(fault) => {
                tracing::error!(alert = due.alert, %fault, "cannot write an alert");
                let said = format!("cannot be written: {fault}");
                inner.again(due, &said, None, About::Nothing)
            }
        };
        self.store_outcome(due, outcome).await;
        Ok(())
    }

    /// The message of an alert as it is now; `None` when there is nothing to tell any more.
    pub(super) async fn message(&self, alert: i64) -> Result<Option<Message>, StoreError> {
        let source = Arc::clone(&self.0.source);
        let read = move |conn: &Connection| match rows::alert(conn, alert)? {
            Some(alert) => source.message(conn, &alert),
            None => Ok(None),
        };
        self.0.store.read(read).await
    }

    /// Tries once; `None` when the service ends meanwhile.
    #[expect(
        clippy::disallowed_methods,
        reason = "the lifecycle's sleep ends at once when the service does"
    )]
    async fn attempt(
        &self,
        channel: &Channel,
        message: &Message,
    ) -> Option<Result<String, Failure>> {
        let inner = &self.0;
        inner.tell.attempted(channel.kind());
        let sending = inner.channels.send(channel, message, inner.clock.now_ms());
        let stop = async {
            inner.lifecycle.soft().cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            result = sending => Some(result),
            () = stop => None,
        }
    }

    /// Stores how a delivery ended, however long that takes.
    async fn store_outcome(&self, due: &Due, outcome: Outcome) {
        let inner = &self.0;
        loop {
            let (due, outcome, now) = (due.clone(), outcome.clone(), inner.clock.now_ms());
            let state = outcome.state;
            let key = due.channel.clone();
            let stored = inner
                .store
                .write(Lane::Upkeep, 0, move |conn| {
                    rows::record(conn, &due, &outcome, now)
                })
                .await;
            match stored {
                Ok(()) if state == DeliveryState::Pending => return,
                Ok(()) => {
                    inner.tell.ended(&key, state);
                    inner.recount.notify_one();
                    return;
                }
                Err(StoreError::Closed) => return,
                Err(fault) => {
                    tracing::warn!(%fault, "cannot store what became of an alert, trying again");
                }
            }
            if inner.lifecycle.sleep(STORE_PAUSE).await {
                return;
            }
        }
    }
}

impl Inner {
    fn channel(&self, key: &str) -> Option<&Channel> {
        self.channels
            .all()
            .iter()
            .find(|channel| channel.key() == key)
    }

    /// What an attempt means for the delivery and its channel.
    async fn judge(
        &self,
        due: &Due,
        channel: &Channel,
        result: Result<String, Failure>,
        lane: &[String],
    ) -> Result<Outcome, StoreError> {
        let alert = due.alert;
        let (retry_after, scope, detail) = match result {
            Ok(said) => {
                tracing::debug!(?channel, alert, said, "alert sent");
                let works = About::Works(lane.to_vec());
                return Ok(tried(done(due, DeliveryState::Sent, &said), works));
            }
            Err(Failure::Refused(detail)) => {
                tracing::warn!(?channel, alert, detail, "alert refused for good");
                let works = About::Works(lane.to_vec());
                return Ok(tried(done(due, DeliveryState::Failed, &detail), works));
            }
            Err(Failure::Later {
                detail,
                retry_after,
                scope,
            }) => (retry_after, scope, detail),
        };
        let key = due.channel.clone();
        let failures = self
            .store
            .read(move |conn| rows::failures(conn, &key))
            .await?;
        let about = About::Fails {
            resume_at: self.clock.now_ms() + plan::gate(failures + 1, retry_after),
            neighbours: match scope {
                Scope::Lane => lane.to_vec(),
                Scope::Channel => Vec::new(),
            },
        };
        let outcome = self.again(due, &detail, retry_after, about);
        if outcome.state == DeliveryState::GaveUp {
            tracing::error!(?channel, alert, detail, "alert given up");
        } else {
            tracing::warn!(
                ?channel,
                alert,
                tries = outcome.tries,
                detail,
                "alert not delivered yet"
            );
        }
        Ok(outcome)
    }

    /// A delivery that is tried again, unless it is too old then.
    fn again(
        &self,
        due: &Due,
        said: &str,
        retry_after: Option<Duration>,
        channel: About,
    ) -> Outcome {
        let next = self.clock.now_ms() + plan::pause(due.tries + 1, retry_after);
        let state = if next - due.told_at >= GIVE_UP {
            DeliveryState::GaveUp
        } else {
            DeliveryState::Pending
        };
        let outcome = Outcome {
            due: next,
            ..done(due, state, said)
        };
        tried(outcome, channel)
    }
}

fn done(due: &Due, state: DeliveryState, said: &str) -> Outcome {
    Outcome {
        state,
        said: text::one_line(said, SAID_CHARS),
        tries: due.tries,
        due: due.at,
        channel: About::Nothing,
    }
}

fn tried(outcome: Outcome, channel: About) -> Outcome {
    Outcome {
        tries: outcome.tries + 1,
        channel,
        ..outcome
    }
}
