//! The only place that reads the time, so that tests can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Where "now" comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual(Arc<ManualState>),
}

#[derive(Debug)]
struct ManualState {
    wall_nanos: AtomicI64,
    monotonic_nanos: AtomicI64,
    /// What each reading of the monotonic clock adds to it.
    between_readings: AtomicI64,
}

impl Clock {
    /// The clock of the machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the time"
    )]
    pub fn system() -> Self {
        Self(Source::System {
            started: Instant::now(),
        })
    }

    /// A clock that stands still until it is moved. For tests.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let state = Arc::new(ManualState {
            wall_nanos: AtomicI64::new(saturating_nanos(start)),
            monotonic_nanos: AtomicI64::new(0),
            between_readings: AtomicI64::new(0),
        });
        (Self(Source::Manual(Arc::clone(&state))), ManualClock(state))
    }

    /// The time of day. It can step, so durations come from [`Clock::monotonic`].
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the time"
    )]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => Timestamp::now(),
            Source::Manual(state) => {
                Timestamp::from_nanosecond(i128::from(state.wall_nanos.load(Ordering::SeqCst)))
                    .unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Time since this clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual(state) => {
                let step = state.between_readings.load(Ordering::SeqCst);
                let nanos = state.monotonic_nanos.fetch_add(step, Ordering::SeqCst);
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
            }
        }
    }
}

/// The hand that moves a [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualState>);

impl ManualClock {
    /// Sets the time of day; the monotonic clock stands still, as in a real clock step.
    pub fn set(&self, now: Timestamp) {
        self.0
            .wall_nanos
            .store(saturating_nanos(now), Ordering::SeqCst);
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        self.0.wall_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.0.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    /// From now on so much time passes between two readings of the monotonic clock, as on a machine that has little time
    /// for this process.
    pub fn between_readings(&self, time: Duration) {
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        self.0.between_readings.store(nanos, Ordering::SeqCst);
    }
}

fn saturating_nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

/// `YYYY-MM-DDTHH:MM:SSZ` of a time in milliseconds since 1970, rounded down.
pub fn iso_seconds(ms: i64) -> String {
    let at = Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_string()
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ` of a time in milliseconds since 1970.
pub fn iso_millis(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_round_down_and_keep_their_width() {
        assert_eq!(iso_seconds(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_seconds(1_737_367_200_999), "2025-01-20T10:00:00Z");
        assert_eq!(iso_seconds(-1), "1969-12-31T23:59:59Z");
        assert_eq!(iso_millis(1_737_367_200_120), "2025-01-20T10:00:00.120Z");
        assert_eq!(iso_millis(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_clock_step_leaves_the_monotonic_clock_alone() {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        hand.advance(Duration::from_secs(5));
        assert_eq!(
            (clock.now_ms(), clock.monotonic()),
            (5_000, Duration::from_secs(5))
        );
        hand.set(Timestamp::from_second(1).expect("in range"));
        assert_eq!(
            (clock.now_ms(), clock.monotonic()),
            (1_000, Duration::from_secs(5))
        );
        hand.between_readings(Duration::from_secs(2));
        clock.monotonic();
        assert_eq!(
            (clock.now_ms(), clock.monotonic()),
            (1_000, Duration::from_secs(7))
        );
    }
}
