//! A sliding window over the last minute, per client. Pure: the time is an argument.
//!
//! A request counts for exactly [`WINDOW`] and is forgotten then; a refused request does not count,
//! so hammering does not prolong a refusal. For limits up to [`EXACT`] every request has its own
//! time stamp. Above that, requests within a [`GRAIN`] of each other share one, the latest: the
//! window is then up to a grain longer than a minute, never shorter, and a client takes at most a
//! kilobyte whatever the limit. The number of clients is bounded too; when there are too many,
//! those that were quiet the longest are forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::ApiError;
use crate::clock::Clock;
use crate::metrics::{Counter, Registry};

/// How far back requests count.
pub const WINDOW: Duration = Duration::from_mins(1);
/// Limits up to this keep a time stamp for each request.
pub const EXACT: u32 = 64;
/// How near requests must be to share a time stamp, for limits above [`EXACT`].
pub const GRAIN: Duration = Duration::from_secs(1);
/// Clients that are remembered at the same time: at most 2 MiB of stamps in all.
pub const MAX_CLIENTS: usize = 2048;

/// When it is worth trying again: whole seconds, rounded up, 1 to 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub u64);

impl From<RetryAfter> for ApiError {
    fn from(RetryAfter(retry_after): RetryAfter) -> Self {
        Self::TooManyRequests { retry_after }
    }
}

/// Requests a minute for each client `K`.
#[derive(Debug)]
pub struct RateLimiter<K> {
    limit: u32,
    max_clients: usize,
    clients: HashMap<K, Log>,
}

/// The requests of one client within the window, oldest first.
#[derive(Debug, Default)]
struct Log {
    stamps: VecDeque<Stamp>,
    total: u32,
    /// When it last asked, in nanoseconds: who is refused is not quiet.
    asked: u64,
}

/// Requests that leave the window together.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// The first of them, in nanoseconds; what is near enough to it joins.
    first: u64,
    /// From the first to the last of them, in nanoseconds: less than a [`GRAIN`].
    span: u32,
    count: u32,
}

impl Stamp {
    fn at(now: Duration) -> Self {
        Self {
            first: now.as_nanos() as u64,
            span: 0,
            count: 1,
        }
    }

    /// When the last of them was.
    fn last(&self) -> Duration {
        Duration::from_nanos(self.first + u64::from(self.span))
    }

    /// Takes one more in, if it is near enough.
    fn join(&mut self, now: Duration) -> bool {
        let since = (now.as_nanos() as u64).saturating_sub(self.first);
        let joins = u128::from(since) < GRAIN.as_nanos();
        if joins {
            // A grain is a second, which fits.
            self.span = since as u32;
            self.count += 1;
        }
        joins
    }
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// A limiter that lets `limit` requests a minute through for each client.
    pub fn new(limit: u32) -> Self {
        Self::with_capacity(limit, MAX_CLIENTS)
    }

    /// A limiter that remembers at most `max_clients` clients.
    pub fn with_capacity(limit: u32, max_clients: usize) -> Self {
        Self {
            limit,
            max_clients: max_clients.max(1),
            clients: HashMap::new(),
        }
    }

    /// Counts one request at `now`, or says when to come back. `now` must not go backwards.
    pub fn check(&mut self, client: &K, now: Duration) -> Result<(), RetryAfter> {
        self.check_within(client, self.limit, now)
    }

    /// As [`RateLimiter::check`], for a client with a limit of its own.
    pub fn check_within(
        &mut self,
        client: &K,
        limit: u32,
        now: Duration,
    ) -> Result<(), RetryAfter> {
        let exact = limit <= EXACT;
        if let Some(log) = self.clients.get_mut(client) {
            return log.check(limit, exact, now);
        }
        if self.clients.len() >= self.max_clients {
            self.forget(now);
        }
        self.clients
            .entry(client.clone())
            .or_default()
            .check(limit, exact, now)
    }

    /// The clients that are remembered.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Makes room: drops every client without a request in the window and, if that is not enough,
    /// the eighth that was quiet the longest. Dropping many at once keeps this cheap on average.
    fn forget(&mut self, now: Duration) {
        self.clients
            .retain(|_, log| log.last().is_some_and(|last| now < last + WINDOW));
        let excess = self.clients.len() + 1 + self.max_clients / 8;
        let Some(surplus) = excess.checked_sub(self.max_clients).filter(|n| *n > 0) else {
            return;
        };
        if self.clients.len() < self.max_clients {
            return;
        }
        let mut ages: Vec<Duration> = self.clients.values().map(Log::asked).collect();
        let index = (surplus - 1).min(ages.len().saturating_sub(1));
        let (_, &mut newest_to_go, _) = ages.select_nth_unstable(index);
        let mut left = surplus;
        self.clients.retain(|_, log| {
            let goes = left > 0 && log.asked() <= newest_to_go;
            left -= usize::from(goes);
            !goes
        });
    }
}

impl Log {
    fn check(&mut self, limit: u32, exact: bool, now: Duration) -> Result<(), RetryAfter> {
        self.asked = now.as_nanos() as u64;
        while let Some(oldest) = self
            .stamps
            .front()
            .filter(|oldest| now >= oldest.last() + WINDOW)
        {
            self.total -= oldest.count;
            self.stamps.pop_front();
        }
        if self.total >= limit {
            let free = self
                .stamps
                .front()
                .map_or(now + WINDOW, |oldest| oldest.last() + WINDOW);
            let wait = rounded_up(free.saturating_sub(now));
            return Err(RetryAfter(wait.clamp(1, WINDOW.as_secs())));
        }
        self.total += 1;
        let joined = !exact
            && self
                .stamps
                .back_mut()
                .is_some_and(|newest| newest.join(now));
        if !joined {
            self.stamps.push_back(Stamp::at(now));
        }
        Ok(())
    }

    fn last(&self) -> Option<Duration> {
        self.stamps.back().map(Stamp::last)
    }

    fn asked(&self) -> Duration {
        Duration::from_nanos(self.asked)
    }
}

fn rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// A [`RateLimiter`] with the clock and the counters it needs in a service.
#[derive(Debug)]
pub struct RateLimit<K> {
    limiter: Option<Mutex<RateLimiter<K>>>,
    clock: Clock,
    refused: Counter,
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    /// Limits each client to `limit` requests a minute; 0 is no limit. Refusals are counted under
    /// `scope`.
    pub fn new(limit: u32, scope: &str, clock: &Clock, metrics: &Registry) -> Self {
        Self {
            limiter: (limit > 0).then(|| Mutex::new(RateLimiter::new(limit))),
            clock: clock.clone(),
            refused: metrics.counter(
                "monlight_http_rate_limited_total",
                "Requests refused by a rate limit.",
                &[("scope", scope)],
            ),
        }
    }

    /// Counts one request, or refuses it.
    pub fn check(&self, client: &K) -> Result<(), RetryAfter> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let now = self.clock.monotonic();
        let checked = limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .check(client, now);
        if checked.is_err() {
            self.refused.inc();
        }
        checked
    }

    /// The clients that are remembered.
    pub fn clients(&self) -> usize {
        self.limiter.as_ref().map_or(0, |limiter| {
            limiter
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clients()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Requests of one client as (time in ms, expected refusal).
    #[track_caller]
    fn check(limit: u32, requests: &[(u64, Option<u64>)]) {
        let mut limiter = RateLimiter::new(limit);
        for (ms, expected) in requests {
            let refused = limiter
                .check(&"a", at(*ms))
                .err()
                .map(|RetryAfter(seconds)| seconds);
            assert_eq!(refused, *expected, "at {ms} ms with a limit of {limit}");
        }
    }

    #[test]
    fn a_window_slides() {
        check(
            1,
            &[
                (0, None),
                (1, Some(60)),
                (59_999, Some(1)),
                (60_000, None),
                (60_001, Some(60)),
            ],
        );
        check(
            2,
            &[
                (0, None),
                (30_000, None),
                (31_000, Some(29)),
                (60_000, None),
                (60_001, Some(30)),
            ],
        );
        check(
            3,
            &[
                (0, None),
                (0, None),
                (0, None),
                (31_500, Some(29)),
                (60_000, None),
            ],
        );
        // Half a second is a whole one, rounded up.
        check(1, &[(0, None), (59_500, Some(1)), (58_500, Some(2))]);
    }

    #[test]
    fn refused_requests_do_not_count() {
        let mut limiter = RateLimiter::new(1);
        assert!(limiter.check(&"a", at(0)).is_ok());
        for ms in (0..60_000).step_by(100) {
            assert!(limiter.check(&"a", at(ms)).is_err());
        }
        assert!(limiter.check(&"a", at(60_000)).is_ok());
    }

    #[test]
    fn who_goes_on_asking_is_not_forgotten_for_having_been_refused() {
        let mut limiter = RateLimiter::with_capacity(2, 16);
        assert!(limiter.check(&0, at(0)).is_ok());
        assert!(limiter.check(&0, at(0)).is_ok());
        for other in 1..200 {
            assert!(limiter.check(&other, at(other)).is_ok());
            assert!(limiter.check(&0, at(other)).is_err(), "after {other}");
        }
        assert!(limiter.clients() <= 16);
    }

    #[test]
    fn clients_have_windows_of_their_own() {
        let mut limiter = RateLimiter::new(1);
        assert!(limiter.check(&"a", at(0)).is_ok());
        assert!(limiter.check(&"b", at(0)).is_ok());
        assert!(limiter.check(&"a", at(1)).is_err());
    }

    #[test]
    fn a_large_limit_keeps_few_stamps() {
        let mut limiter = RateLimiter::new(6000);
        for ms in 0..60_000 {
            let _ = limiter.check(&"a", at(ms));
        }
        let log = &limiter.clients["a"];
        assert_eq!(log.total, 6000);
        assert!(
            log.stamps.len() <= EXACT as usize + 1,
            "{}",
            log.stamps.len()
        );
    }

    #[test]
    fn a_large_limit_after_a_burst_says_sixty_seconds() {
        let mut limiter = RateLimiter::new(100);
        for _ in 0..100 {
            assert!(limiter.check(&"a", at(5_000)).is_ok());
        }
        assert_eq!(limiter.check(&"a", at(5_000)), Err(RetryAfter(60)));
        assert_eq!(limiter.check(&"a", at(36_000)), Err(RetryAfter(29)));
        assert!(limiter.check(&"a", at(65_000)).is_ok());
    }

    #[test]
    fn the_quietest_clients_are_forgotten_first() {
        let mut limiter = RateLimiter::with_capacity(1, 16);
        for client in 0..16_u32 {
            assert!(limiter.check(&client, at(u64::from(client))).is_ok());
        }
        assert!(limiter.check(&100, at(20)).is_ok());
        assert!(limiter.clients() <= 16);
        assert!(
            limiter.check(&15, at(21)).is_err(),
            "the newest is remembered"
        );
        assert!(
            limiter.check(&0, at(21)).is_ok(),
            "the oldest was forgotten"
        );
    }

    #[test]
    fn many_clients_at_the_same_time_stay_bounded() {
        let mut limiter = RateLimiter::with_capacity(5, 64);
        for client in 0..10_000_u32 {
            assert!(limiter.check(&client, at(7)).is_ok());
            assert!(limiter.clients() <= 64);
        }
        // Everybody is long gone, so one newcomer finds an empty house.
        for client in 20_000..20_001_u32 {
            assert!(limiter.check(&client, at(100_000)).is_ok());
        }
    }

    proptest! {
        /// The law of the thing: never more than the limit within any minute, and a refusal means
        /// that the minute before (and at most a grain more) was full.
        #[test]
        fn no_minute_holds_more_than_the_limit(
            limit in 1_u32..200,
            gaps in prop::collection::vec(0_u64..2_000, 1..600),
        ) {
            let mut limiter = RateLimiter::new(limit);
            let (mut now, mut passed) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let within = |ms: u64| passed.iter().filter(|p| **p + ms > now).count();
                if limiter.check(&(), at(now)).is_ok() {
                    prop_assert!(within(60_000) < limit as usize);
                    passed.push(now);
                } else {
                    let grain = if limit <= EXACT { 0 } else { GRAIN.as_millis() as u64 };
                    prop_assert!(within(60_000 + grain) >= limit as usize);
                }
            }
        }
    }
}
