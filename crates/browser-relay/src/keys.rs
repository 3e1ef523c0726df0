//! The DSN keys, in memory: every request of a browser asks for one, and says afterwards what became of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use monlight_shared::metrics::{Gauge, Registry};
use monlight_shared::store::{Lane, Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};

use crate::domain::origin::Origins;
use crate::store::dsn_keys::{self, DsnKey, Used};

/// Keys whose use one job writes.
const USED_SLICE: usize = 500;

/// A site, as its key names it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) key_id: i64,
    pub(crate) public_key: Box<str>,
    pub(crate) project: Arc<str>,
    active: bool,
    /// Only pages of these may use the key.
    origins: Option<Origins>,
    allow_no_origin: bool,
    /// Requests a minute of one address, in place of the usual.
    pub(crate) rate_limit: Option<u32>,
    /// Requests a minute of all addresses together.
    pub(crate) total_limit: Option<u32>,
    usage: Arc<Usage>,
}

/// What was done with a key since that was last stored.
#[derive(Debug, Default)]
struct Usage {
    taken: AtomicI64,
    refused: AtomicI64,
    /// Unix milliseconds; 0: not at all.
    last: AtomicI64,
}

impl Usage {
    fn pending(&self) -> Used {
        let last = self.last.load(Ordering::Relaxed);
        Used {
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            last: (last != 0).then_some(last),
        }
    }

    /// Takes off what has been stored. The time stays: storing it again changes nothing.
    fn stored(&self, used: Used) {
        self.taken.fetch_sub(used.taken, Ordering::Relaxed);
        self.refused.fetch_sub(used.refused, Ordering::Relaxed);
    }
}

impl Site {
    fn new(key: &DsnKey, usage: Arc<Usage>) -> Self {
        let settings = &key.settings;
        // They were checked when they were set; one that a later version could not read would allow nobody.
        let origins = settings.origins.as_ref().map(|origins| {
            Origins::parse(origins.iter().map(String::as_str)).unwrap_or_else(|why| {
                tracing::error!(
                    key = key.id,
                    "the origins of a DSN key cannot be used: {why}"
                );
                Origins::default()
            })
        });
        Self {
            key_id: key.id,
            public_key: Box::from(key.public_key.as_str()),
            project: Arc::from(key.project.as_str()),
            active: key.active,
            origins,
            allow_no_origin: settings.allow_no_origin,
            rate_limit: settings.rate_limit,
            total_limit: settings.total_limit,
            usage,
        }
    }

    /// Whether a request from a page of `origin` may use the key; `None`: the request names none.
    pub(crate) fn admits(&self, origin: Option<&str>) -> bool {
        match (&self.origins, origin) {
            (None, _) => true,
            (Some(origins), Some(origin)) => origins.allow(origin),
            (Some(_), None) => self.allow_no_origin,
        }
    }

    /// Notes what became of a request.
    pub(crate) fn used(&self, taken: bool, now_ms: i64) {
        let count = if taken {
            &self.usage.taken
        } else {
            &self.usage.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.usage.last.fetch_max(now_ms, Ordering::Relaxed);
    }
}

/// The keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    known: RwLock<Known>,
    /// `CORS_ORIGINS`.
    common: Origins,
    /// Held from reading the table to changing what is in memory, so that the two never part.
    changing: Mutex<()>,
    count: Gauge,
}

#[derive(Default)]
struct Known {
    sites: HashMap<String, Arc<Site>>,
    /// Whom an answer may be readable for when there is no key to ask: what any active key or `CORS_ORIGINS` allows.
    anybodys: Origins,
}

impl Keys {
    pub(crate) fn new(keys: &[DsnKey], common: Origins, registry: &Registry) -> Self {
        let this = Self(Arc::new(Inner {
            known: RwLock::default(),
            common,
            changing: Mutex::default(),
            count: registry.gauge("monlight_relay_dsn_keys", "Active DSN keys.", &[]),
        }));
        this.put(keys);
        this
    }

    /// The site of an active key.
    pub(crate) fn find(&self, public_key: &str) -> Option<Arc<Site>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let site = known.sites.get(public_key)?;
        site.active.then(|| Arc::clone(site))
    }

    /// Whether a page of `origin` may read the answer to a request with the key of `site`; without a key (a preflight has
    /// none) whether any key would let it.
    pub(crate) fn readable(&self, site: Option<&Site>, origin: &str) -> bool {
        match site {
            Some(Site {
                origins: Some(origins),
                ..
            }) => origins.allow(origin),
            Some(_) => self.0.common.allow(origin),
            None => {
                let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
                known.anybodys.allow(origin)
            }
        }
    }

    /// Waits until nobody else changes keys.
    pub(crate) async fn change(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// Takes new or changed keys in.
    pub(crate) fn put(&self, keys: &[DsnKey]) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let usage = known.sites.get(&key.public_key);
            let usage = usage
                .map(|site| Arc::clone(&site.usage))
                .unwrap_or_default();
            let site = Arc::new(Site::new(key, usage));
            known.sites.insert(key.public_key.clone(), site);
        }
        let mut anybodys = self.0.common.clone();
        let active = known.sites.values().filter(|site| site.active);
        let mut count = 0;
        for site in active {
            count += 1;
            if let Some(origins) = &site.origins {
                anybodys.add(origins);
            }
        }
        known.anybodys = anybodys;
        self.0.count.set(count);
    }

    /// All keys by id, with what was done with them up to now.
    pub(crate) async fn list(&self, store: &Store) -> Result<Vec<DsnKey>, StoreError> {
        let _guard = self.change().await;
        let mut keys = store.read(dsn_keys::list).await?;
        for key in &mut keys {
            self.add_pending(key);
        }
        Ok(keys)
    }

    /// Adds what was done with a key since that was last stored. Only for the holder of [`Keys::change`].
    pub(crate) fn add_pending(&self, key: &mut DsnKey) {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = known.sites.get(&key.public_key) {
            let pending = site.usage.pending();
            key.used.taken += pending.taken;
            key.used.refused += pending.refused;
            key.used.last = key.used.last.max(pending.last);
        }
    }

    /// Stores what was done with the keys.
    pub(crate) async fn store_used(&self, store: &Store) -> Result<(), StoreError> {
        let _guard = self.change().await;
        let used: Vec<(Arc<Site>, Used)> = {
            let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
            let used = known
                .sites
                .values()
                .map(|site| (Arc::clone(site), site.usage.pending()));
            used.filter(|(_, used)| used.taken + used.refused > 0)
                .collect()
        };
        for slice in used.chunks(USED_SLICE) {
            let rows: Vec<_> = slice
                .iter()
                .map(|(site, used)| (site.key_id, *used))
                .collect();
            store
                .write(Lane::Upkeep, 0, move |conn| dsn_keys::add_used(conn, &rows))
                .await?;
            for (site, used) in slice {
                site.usage.stored(*used);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key_settings::KeySettings;

    fn key(public_key: &str, active: bool, origins: Option<&[&str]>) -> DsnKey {
        DsnKey {
            id: 1,
            public_key: public_key.to_owned(),
            project: "web".to_owned(),
            active,
            created_at: 0,
            settings: KeySettings {
                origins: origins.map(|list| list.iter().map(|&origin| origin.to_owned()).collect()),
                ..KeySettings::default()
            },
            used: Used::default(),
        }
    }

    const A: &str = "https://a.example";
    const B: &str = "https://b.example";
    const C: &str = "https://c.example";

    #[test]
    fn who_may_use_a_key_and_who_may_read_its_answers() {
        let common = Origins::parse([A]).unwrap();
        let keys = [
            key("plain", true, None),
            key("own", true, Some(&[B])),
            key("gone", false, Some(&[C])),
        ];
        let keys = Keys::new(&keys, common, &Registry::default());
        assert!(keys.find("gone").is_none() && keys.find("Own").is_none());
        let (plain, own) = (keys.find("plain").unwrap(), keys.find("own").unwrap());
        for (origin, plain_admits, own_admits) in [
            (None, true, false),
            (Some(A), true, false),
            (Some(B), true, true),
            (Some("null"), true, false),
        ] {
            assert_eq!(plain.admits(origin), plain_admits, "{origin:?}");
            assert_eq!(own.admits(origin), own_admits, "{origin:?}");
        }
        let readable =
            |origin| [Some(&*plain), Some(&*own), None].map(|site| keys.readable(site, origin));
        assert_eq!(readable(A), [true, false, true]);
        assert_eq!(readable(B), [false, true, true]);
        assert_eq!(readable(C), [false, false, false]);
        keys.put(&[key("gone", true, Some(&[C]))]);
        assert!(keys.find("gone").is_some() && keys.readable(None, C));
    }

    #[test]
    fn a_change_keeps_what_was_counted() {
        let keys = Keys::new(
            &[key("k", true, None)],
            Origins::default(),
            &Registry::default(),
        );
        let before = keys.find("k").unwrap();
        keys.put(&[key("k", true, Some(&[A]))]);
        // A request that began before the change ends after it.
        before.used(true, 7);
        keys.find("k").unwrap().used(false, 5);
        let pending = keys.find("k").unwrap().usage.pending();
        assert_eq!(
            pending,
            Used {
                taken: 1,
                refused: 1,
                last: Some(7)
            }
        );
        before.usage.stored(pending);
        assert_eq!(before.usage.pending().taken, 0);
    }
}
