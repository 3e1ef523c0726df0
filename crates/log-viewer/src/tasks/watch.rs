//! Hears of changes of files through inotify, so that nobody has to look all the time. Polling goes on beside it: for
//! file systems without inotify, for symbolic links, and for when the kernel's queue overflows.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use monlight_shared::lifecycle::{Lifecycle, Stop};

use super::ingest::Wake;

const EVENT_BUFFER_BYTES: usize = 4096;

/// Watches directories and collects which of them changed. Cheap to clone.
#[derive(Clone)]
pub struct Watcher(Arc<Mutex<State>>);

struct State {
    /// `None` when the system offers no inotify.
    watches: Option<Watches>,
    /// A watch that sees nothing; taking it away wakes the listener.
    sentinel: Option<WatchDescriptor>,
    watched: HashMap<WatchDescriptor, Watched>,
    changed: Changed,
    notify: Option<Stop>,
    /// Nobody listens any more.
    ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Watched {
    Root,
    Container(String),
}

#[derive(Default)]
struct Changed {
    root: bool,
    containers: HashSet<String>,
    overflowed: bool,
}

impl State {
    /// Watches nothing any more; what is there is watched again when containers are looked for.
    fn forget_all(&mut self, root: WatchDescriptor) {
        let descriptors = self.watched.drain().map(|(descriptor, _)| descriptor);
        let descriptors: Vec<_> = descriptors.chain([root]).collect();
        if let Some(watches) = &mut self.watches {
            for descriptor in descriptors {
                // It may be gone already, which is what is wanted.
                let _ = watches.remove(descriptor);
            }
        }
    }
}

impl Watcher {
    /// Starts to listen, until the service is asked to end.
    pub fn start(lifecycle: &Lifecycle) -> io::Result<Self> {
        let inotify = Inotify::init();
        let mut state = State {
            watches: None,
            sentinel: None,
            watched: HashMap::new(),
            changed: Changed::default(),
            notify: None,
            ended: false,
        };
        let inotify = match inotify {
            Ok(inotify) => {
                let mut watches = inotify.watches();
                state.sentinel = watches.add("/", WatchMask::DELETE_SELF).ok();
                // Without it the listener could not be ended.
                state.watches = state.sentinel.is_some().then_some(watches);
                state.sentinel.is_some().then_some(inotify)
            }
            Err(fault) => {
                tracing::warn!(%fault, "no inotify: log files are only looked at every POLL_INTERVAL");
                None
            }
        };
        let watcher = Self(Arc::new(Mutex::new(state)));
        if let Some(inotify) = inotify {
            let (inside, mut inotify) = (watcher.clone(), inotify);
            lifecycle.thread("log-watch", move |_| {
                let mut buffer = [0; EVENT_BUFFER_BYTES];
                while !inside.state().ended {
                    inside.note(inotify.read_events_blocking(&mut buffer)?);
                }
                Ok(())
            })?;
            let (soft, ending) = (lifecycle.soft(), watcher.clone());
            lifecycle.spawn_once(async move {
                soft.cancelled().await;
                ending.end();
            });
        }
        Ok(watcher)
    }

    /// Whom to wake.
    pub(super) fn notifies(&self, stop: Stop) {
        let mut state = self.state();
        stop.notify();
        state.notify = Some(stop);
    }

    /// Watches the directory of containers.
    pub(super) fn watch_root(&self, root: &Path) {
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        self.watch(root, mask, Watched::Root);
    }

    /// Watches the directory of one container.
    pub(super) fn watch_container(&self, dir: &Path, id: &str) {
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MODIFY
            | WatchMask::MOVE
            | WatchMask::ONLYDIR;
        self.watch(dir, mask, Watched::Container(id.to_owned()));
    }

    /// Forgets containers that are not there any more. The kernel does the same by itself when a directory is deleted.
    pub(super) fn keep_only(&self, is_present: impl Fn(&str) -> bool) {
        let mut state = self.state();
        let State {
            watches, watched, ..
        } = &mut *state;
        watched.retain(|descriptor, target| match target {
            Watched::Container(id) if !is_present(id) => {
                if let Some(watches) = watches {
                    // It may be gone already, which is what is wanted.
                    let _ = watches.remove(descriptor.clone());
                }
                false
            }
            _ => true,
        });
    }

    fn watch(&self, dir: &Path, mask: WatchMask, target: Watched) {
        let mut state = self.state();
        let is_known = state.watched.values().any(|known| *known == target);
        let Some(watches) = state.watches.as_mut().filter(|_| !is_known) else {
            return;
        };
        match watches.add(dir, mask) {
            Ok(descriptor) => {
                state.watched.insert(descriptor, target);
            }
            // Polling covers it; a limit on watches must not fill the log at every poll.
            Err(fault) => tracing::debug!(%fault, dir = %dir.display(), "cannot watch a directory"),
        }
    }

    /// What changed since it was asked last.
    pub(super) fn take(&self) -> Wake {
        let changed = std::mem::take(&mut self.state().changed);
        if changed.overflowed {
            Wake::All
        } else {
            Wake::Some {
                discover: changed.root,
                containers: changed.containers,
            }
        }
    }

    /// Ends the listener: says so, then wakes it. It must not go by anything that is said later, or it would sleep on.
    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let sentinel = state.sentinel.take();
        if let (Some(watches), Some(sentinel)) = (state.watches.as_mut(), sentinel)
            && let Err(fault) = watches.remove(sentinel)
        {
            tracing::warn!(%fault, "cannot end the listener for changes");
        }
    }

    fn note<'e>(&self, events: impl Iterator<Item = inotify::Event<&'e OsStr>>) {
        let mut state = self.state();
        let was_quiet =
            !state.changed.root && !state.changed.overflowed && state.changed.containers.is_empty();
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                state.changed.overflowed = true;
            }
            let is_lost = event
                .mask
                .intersects(EventMask::IGNORED | EventMask::MOVE_SELF);
            let target = if is_lost {
                state.watched.remove(&event.wd)
            } else {
                state.watched.get(&event.wd).cloned()
            };
            match target {
                Some(Watched::Root) if is_lost => {
                    // Whatever comes under that name is another directory, with other ones in it.
                    state.forget_all(event.wd.clone());
                    state.changed.root = true;
                }
                Some(Watched::Root) => state.changed.root = true,
                Some(Watched::Container(id)) => {
                    // A configuration appears or changes: the container's name may be new.
                    let is_config = event.name.is_some_and(|name| name == "config.v2.json");
                    state.changed.root |= is_config;
                    state.changed.containers.insert(id);
                }
                None => {}
            }
        }
        let has_news =
            state.changed.root || state.changed.overflowed || !state.changed.containers.is_empty();
        if let Some(notify) = state.notify.as_ref().filter(|_| was_quiet && has_news) {
            notify.notify();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use monlight_shared::clock::Clock;

    use super::*;

    /// The listener was woken before it was told to end, looked, found nothing to end for, and slept for ever: one stop
    /// in fifty took four seconds and ended with status 1.
    #[tokio::test]
    async fn a_listener_that_is_woken_first_and_stopped_later_ends() {
        let lifecycle = Lifecycle::new(Clock::system());
        let watcher = Watcher::start(&lifecycle).expect("starts");
        watcher.end();
        assert!(lifecycle.finish(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_listener_ends_with_the_service() {
        let lifecycle = Lifecycle::new(Clock::system());
        let _watcher = Watcher::start(&lifecycle).expect("starts");
        assert!(lifecycle.finish(Duration::from_secs(5)).await);
    }
}
