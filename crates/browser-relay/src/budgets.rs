//! Requests a minute: of an address with a key, and of a key. The budget of one site never touches another's.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use monlight_shared::clock::Clock;
use monlight_shared::http::rate_limit::MAX_CLIENTS;
use monlight_shared::http::{RateLimiter, RetryAfter};
use monlight_shared::metrics::{Counter, Gauge, Registry};

use crate::keys::Site;
use crate::store::dsn_keys::MOST_KEYS;
use crate::telemetry::EventKind;

/// The budgets of browsers.
pub(crate) struct Budgets {
    /// Of an address; 0: no limit.
    usual: u32,
    limiters: Mutex<Limiters>,
    clock: Clock,
    refused: Counter,
    refused_keys: Counter,
    remembered: Gauge,
}

struct Limiters {
    visitors: RateLimiter<Visitor>,
    keys: RateLimiter<i64>,
}

/// Errors and metrics count apart, so that a page full of metrics can still report what breaks it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Visitor {
    /// 0 for an unknown key, and for one that the request may not use: neither is free, and all that one address tries so
    /// shares one budget.
    key_id: i64,
    kind: Option<EventKind>,
    network: IpAddr,
}

impl Budgets {
    pub(crate) fn new(usual: u32, clock: &Clock, registry: &Registry) -> Self {
        let refused = |scope| {
            registry.counter(
                "monlight_http_rate_limited_total",
                "Requests refused by a rate limit.",
                &[("scope", scope)],
            )
        };
        let bound =
            "The most that are remembered; then those who were quiet the longest are forgotten.";
        registry
            .gauge("monlight_relay_visitors_max", bound, &[])
            .set(MAX_CLIENTS as i64);
        Self {
            usual,
            limiters: Mutex::new(Limiters {
                visitors: RateLimiter::new(usual),
                // Every key there can be, 10 MB at most: no storm at others may make one forgotten.
                keys: RateLimiter::with_capacity(0, MOST_KEYS as usize),
            }),
            clock: clock.clone(),
            refused: refused("browser"),
            refused_keys: refused("browser_key"),
            remembered: registry.gauge(
                "monlight_relay_visitors",
                "Visitors that the rate limit of browsers remembers: an address with a key, errors and metrics apart.",
                &[],
            ),
        }
    }

    /// Counts one request, or refuses it. `site`: of its key, if there is one and it may use it.
    pub(crate) fn check(
        &self,
        site: Option<&Site>,
        kind: Option<EventKind>,
        network: IpAddr,
    ) -> Result<(), RetryAfter> {
        let own = site.and_then(|site| site.rate_limit);
        let total = site.and_then(|site| Some((site.key_id, site.total_limit?)));
        let now = self.clock.monotonic();
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = own.unwrap_or(self.usual);
        if limit > 0 {
            let visitor = Visitor {
                key_id: site.map_or(0, |site| site.key_id),
                kind: kind.filter(|_| site.is_some()),
                network,
            };
            let checked = limiters.visitors.check_within(&visitor, limit, now);
            self.remembered.set(limiters.visitors.clients() as i64);
            checked.inspect_err(|_| self.refused.inc())?;
        }
        if let Some((key_id, limit)) = total {
            limiters
                .keys
                .check_within(&key_id, limit, now)
                .inspect_err(|_| self.refused_keys.inc())?;
        }
        Ok(())
    }
}
