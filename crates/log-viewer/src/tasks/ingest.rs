//! The one thread that reads: finds containers, follows them in turn, stores what they hold.
//!
//! Entries and the cursors behind them go into one transaction. A batch that could not be stored is kept and tried again
//! before anything else is read, so a full disk costs time, not lines.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use monlight_shared::service::Context;
use monlight_shared::store::{Lane, StoreError};

use super::discover::{Container, Discovery};
use super::follow::{Follower, Now, Sink};
use super::keeping::Keeper;
use super::listing::Start;
use super::meters::Meters;
use super::taken_over;
use super::watch::Watcher;
use crate::domain::names::NameFilter;
use crate::live::Hub;
use crate::rules::Rules;
use crate::state::Sources;
use crate::store::cursors::{self, FollowState};
use crate::store::legacy;
use crate::store::ring::{self, Batch};
use crate::store::rules;

const BLOCK_BYTES: usize = 64 * 1024;
/// Files that stay open while nothing is read from them, so that their rest can be read if they are deleted. Many systems
/// allow a process 1024 descriptors, half of which the connections may need.
const MOST_OPEN_FILES: usize = 256;
/// Blocks read from one container before the next one has its turn.
const BLOCKS_PER_TURN: usize = 2;
/// One turn of so many goes to who has waited longest.
const TURNS_BY_WAITING: u64 = 4;
/// Progress that yields no entries is stored at least this often.
const SAVE_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// How long is read before the directories are looked at again: a file that was rotated away has to be found before the
/// next rotations delete it.
const READ_AT_MOST: Duration = Duration::from_millis(250);
/// Bytes of unfinished lines and open entries that are held for all containers together.
const MOST_HELD: usize = 8 * 1024 * 1024;

/// Containers whose directory vanished are remembered for this long: disks come back.
const REMEMBER_ABSENT: Duration = Duration::from_hours(24);
/// And at most this many of them.
const MOST_ABSENT: usize = 1000;

/// What ingestion is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where the directories of containers are.
    pub root: PathBuf,
    /// Which of them to follow.
    pub wanted: NameFilter,
    /// Where to start in containers that were there before us.
    pub first_start: Start,
    /// How much is kept.
    pub keep: Keep,
    /// How often to look without being told.
    pub poll_interval: Duration,
    /// Where stored entries are announced.
    pub hub: Hub,
    /// Where the state of the directory of containers is shown.
    pub sources: Sources,
    /// What watches for entries.
    pub rules: Rules,
}

pub use super::keeping::Keep;
pub use super::listing::Start as FirstStart;

/// Why a step is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Look at everything.
    All,
    /// Look at what was heard of.
    Some {
        /// Look for containers.
        discover: bool,
        /// Containers whose files changed, by id.
        containers: HashSet<String>,
    },
}

struct Remembered {
    state: FollowState,
    /// Since when its directory is missing, as monotonic time.
    absent_since: Option<Duration>,
}

/// Follows all containers. Nothing in it waits; [`Ingest::step`] does what can be done now.
pub struct Ingest {
    ctx: Context,
    parts: Parts,
    watcher: Option<Watcher>,
    discovery: Discovery,
    followers: BTreeMap<String, Follower>,
    /// Not followed at the moment: remembered from an earlier run, not wanted, or gone from the disk.
    remembered: BTreeMap<String, Remembered>,
    /// When an earlier run looked for containers last, in milliseconds since 1970.
    last_run_ms: Option<i64>,
    /// Containers were looked for at least once in this run.
    has_scanned: bool,
    block: Vec<u8>,
    sink: Sink,
    gone: Vec<String>,
    /// Names of containers that go on where the original service stopped, and are not stored yet.
    resumed: Vec<String>,
    /// Could not be stored yet.
    pending: Option<Arc<Batch>>,
    saved: Duration,
    must_save: bool,
    /// What kept containers from being followed when they were looked for last.
    unstarted: Vec<String>,
    turns: u64,
    keeper: Keeper,
    meters: Meters,
}

impl Ingest {
    /// Goes on where an earlier run ended. `watcher` is told which directories matter.
    pub fn new(
        ctx: &Context,
        parts: Parts,
        watcher: impl Into<Option<Watcher>>,
    ) -> anyhow::Result<Self> {
        let remembered = ctx.store.read_blocking(cursors::load)?;
        parts.rules.load(ctx.store.read_blocking(rules::all)?);
        let meters = Meters::new(&ctx.metrics, &parts.sources);
        Ok(Self {
            discovery: Discovery::new(parts.root.clone(), parts.wanted.clone()),
            followers: BTreeMap::new(),
            remembered: remembered
                .states
                .into_iter()
                .map(|state| {
                    (
                        state.container_id.clone(),
                        Remembered {
                            state,
                            absent_since: None,
                        },
                    )
                })
                .collect(),
            last_run_ms: remembered.scanned_ms,
            has_scanned: false,
            block: vec![0; BLOCK_BYTES],
            sink: Sink::default(),
            gone: Vec::new(),
            resumed: Vec::new(),
            pending: None,
            saved: ctx.clock.monotonic(),
            must_save: false,
            unstarted: Vec::new(),
            turns: 0,
            keeper: Keeper::new(parts.keep, &ctx.metrics),
            meters,
            ctx: ctx.clone(),
            parts,
            watcher: watcher.into(),
        })
    }

    /// How often to look without being told.
    pub fn poll_interval(&self) -> Duration {
        self.parts.poll_interval
    }

    /// Reads and stores what there is. Ends early, at a whole batch, when `should_stop` says so or it has taken a while.
    ///
    /// Answers when it should be called again at the latest, as monotonic time: at once when there is more to read, else
    /// for entries that wait to be closed.
    ///
    /// # Errors
    /// The batch could not be stored; it is kept. Call again later.
    pub fn step(
        &mut self,
        wake: &Wake,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Option<Duration>, StoreError> {
        self.store_pending()?;
        self.look(wake);
        let clock = self.ctx.clock.clone();
        let until = clock.monotonic() + READ_AT_MOST;
        let mut has_more = self.read(&|| !should_stop() && clock.monotonic() <= until)?;
        let now = self.now();
        self.flush(now)?;
        self.drop_finished(now);
        let is_stale = now.monotonic.saturating_sub(self.saved) >= SAVE_AT_LEAST_EVERY;
        for follower in self.followers.values_mut() {
            self.must_save |= std::mem::take(&mut follower.lost_a_file);
        }
        let has_progress = self.followers.values().any(|follower| follower.is_changed);
        if !self.sink.entries.is_empty() || self.must_save || is_stale && has_progress {
            self.commit()?;
        }
        has_more |= self.keeper.run(&self.ctx, now.wall_ns)?;
        self.tell();
        let due = self.followers.values().filter_map(Follower::due).min();
        Ok(if has_more { Some(now.monotonic) } else { due })
    }

    /// Closes the entries that are due.
    fn flush(&mut self, now: Now) -> Result<(), StoreError> {
        let ids: Vec<String> = self
            .followers
            .iter()
            .filter(|(_, follower)| !follower.is_unread && follower.due().is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(follower) = self.followers.get_mut(&id) {
                follower.flush(now, &mut self.sink);
            }
            if self.sink.is_full() {
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Lets `/metrics` and `/health` know how far reading has come.
    fn tell(&self) {
        let mut lag: BTreeMap<&str, u64> = BTreeMap::new();
        for follower in self.followers.values() {
            let bytes = follower.lag();
            if bytes > 0 {
                *lag.entry(&follower.container.name.name).or_default() += bytes;
            }
        }
        self.meters.lag.set(lag.values().sum::<u64>().cast_signed());
        let lag = lag.into_iter();
        self.parts
            .sources
            .set_lag(lag.map(|(name, bytes)| (name.to_owned(), bytes)).collect());
    }

    /// Stores the state of all files, so that the next run goes on exactly here.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.store_pending()?;
        self.commit()
    }

    fn now(&self) -> Now {
        let wall_ns = i64::try_from(self.ctx.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
        Now {
            wall_ns,
            monotonic: self.ctx.clock.monotonic(),
        }
    }

    fn look(&mut self, wake: &Wake) {
        let (discover, heard_of) = match wake {
            Wake::All => (true, None),
            Wake::Some {
                discover,
                containers,
            } => (*discover || !self.has_scanned, Some(containers)),
        };
        if discover {
            self.discover();
        }
        let mut open: usize = self.followers.values().map(Follower::open_files).sum();
        for (id, follower) in &mut self.followers {
            if heard_of.is_some_and(|heard_of| !heard_of.contains(id) && !follower.is_unread) {
                continue;
            }
            open -= follower.open_files();
            if let Err(fault) = follower.refresh() {
                self.meters.read_errors.inc();
                follower.trouble = Some(cannot_look(&follower.container, &fault));
            }
            open += follower.open_files();
            if open > MOST_OPEN_FILES {
                open -= follower.release();
            }
        }
        let followed = self.followers.values();
        let troubles = followed.filter_map(|follower| follower.trouble.clone());
        self.parts
            .sources
            .set_troubles(self.unstarted.iter().cloned().chain(troubles).collect());
    }

    fn discover(&mut self) {
        let scan = match self.discovery.scan() {
            Ok(scan) => scan,
            Err(fault) => {
                self.parts.sources.set_fault(Some(format!(
                    "cannot read {}: {fault}",
                    self.parts.root.display()
                )));
                // What is open is read to its end; nothing is forgotten before the directory is back.
                return;
            }
        };
        self.parts.sources.set_fault(None);
        self.unstarted.clear();
        self.meters.unready.set(scan.unready.len() as i64);
        self.parts.sources.set_unusable(scan.unusable);
        if let Some(watcher) = &self.watcher {
            watcher.watch_root(&self.parts.root);
            for dir in &scan.unready {
                watcher
                    .watch_container(dir, &dir.file_name().unwrap_or_default().to_string_lossy());
            }
            for container in &scan.containers {
                watcher.watch_container(&container.dir, &container.id);
            }
            watcher.keep_only(|id| scan.present.iter().any(|present| present == id));
        }
        let wanted: HashSet<String> = scan
            .containers
            .iter()
            .map(|container| container.id.clone())
            .collect();
        for container in scan.containers {
            self.follow(container);
        }
        let present: HashSet<String> = scan.present.into_iter().collect();
        self.leave_unwanted(&wanted, &present);
        for (id, follower) in &mut self.followers {
            follower.is_deleted = !present.contains(id);
        }
        self.forget_absent(&present);
        if !std::mem::replace(&mut self.has_scanned, true) {
            self.must_save = true;
        }
        self.meters.containers.set(self.followers.len() as i64);
    }

    fn follow(&mut self, container: Container) {
        if let Some(known) = self.followers.get_mut(&container.id) {
            // The name may have changed; the files are the same.
            known.container = container;
            return;
        }
        let now = self.now();
        let follower = if let Some(known) = self.remembered.remove(&container.id) {
            Ok(Follower::restore(container, &known.state, now))
        } else {
            self.begin(container.clone(), now)
                .map_err(|fault| cannot_look(&container, &fault))
        };
        match follower {
            Ok(follower) => {
                self.must_save |= follower.is_changed;
                self.followers
                    .insert(follower.container.id.clone(), follower);
            }
            Err(trouble) => {
                self.meters.read_errors.inc();
                self.unstarted.push(trouble);
            }
        }
    }

    fn begin(&mut self, container: Container, now: Now) -> anyhow::Result<Follower> {
        let start = self.start(&container);
        if let Some(state) = self.resume(&container, start)? {
            self.resumed.push(container.name.name.clone());
            let mut follower = Follower::restore(container, &state, now);
            follower.is_changed = true;
            return Ok(follower);
        }
        Ok(Follower::begin(container, start)?)
    }

    /// Where to go on in a container that the original service followed.
    fn resume(&self, container: &Container, start: Start) -> anyhow::Result<Option<FollowState>> {
        let (store, name) = (&self.ctx.store, &container.name.name);
        let cursor = store.read_blocking(|conn| legacy::original_cursor(conn, name))?;
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        taken_over::resume(container, &cursor, start, &|| {
            Ok(store.read_blocking(|conn| legacy::newest_marks(conn, name))?)
        })
    }

    /// A container that came while we ran, or between two runs, is read whole; one that was there before us from near
    /// its end.
    fn start(&self, container: &Container) -> Start {
        let came_between_runs = matches!((container.created_ms, self.last_run_ms), (Some(created), Some(last)) if created > last);
        if self.has_scanned || came_between_runs {
            Start::Beginning
        } else {
            self.parts.first_start
        }
    }

    /// Containers whose directory is gone are read to their end; ones that are not wanted any more are left where they
    /// stand.
    fn leave_unwanted(&mut self, wanted: &HashSet<String>, present: &HashSet<String>) {
        let now = self.now();
        let unwanted: Vec<String> = self
            .followers
            .keys()
            .filter(|id| !wanted.contains(*id) && present.contains(*id))
            .cloned()
            .collect();
        for id in unwanted {
            let Some(mut follower) = self.followers.remove(&id) else {
                continue;
            };
            // Its configuration may only be unreadable for a moment, so its place is remembered.
            follower.close(now, &mut self.sink);
            self.remember(id, &follower);
        }
    }

    /// Keeps the place in the files of a container that is no longer followed.
    fn remember(&mut self, id: String, follower: &Follower) {
        match follower.state() {
            Ok(state) if follower.has_files() => {
                self.remembered.insert(
                    id,
                    Remembered {
                        state,
                        absent_since: None,
                    },
                );
            }
            Ok(_) => self.gone.push(id),
            Err(fault) => {
                tracing::error!(%fault, container_id = id, "cannot write down where a file was left");
            }
        }
        self.must_save = true;
    }

    fn forget_absent(&mut self, present: &HashSet<String>) {
        let now = self.ctx.clock.monotonic();
        let mut absent: Vec<(Duration, String)> = Vec::new();
        for (id, known) in &mut self.remembered {
            if present.contains(id) {
                known.absent_since = None;
            } else {
                absent.push((*known.absent_since.get_or_insert(now), id.clone()));
            }
        }
        absent.sort();
        let excess = absent.len().saturating_sub(MOST_ABSENT);
        for (index, (since, id)) in absent.into_iter().enumerate() {
            if index < excess || now.saturating_sub(since) >= REMEMBER_ABSENT {
                self.remembered.remove(&id);
                self.gone.push(id);
                self.must_save = true;
            }
        }
    }

    /// Reads the containers that have something, in turns, while `goes_on` says so. `true` when there may be more.
    fn read(&mut self, goes_on: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        let mut open: usize = self.followers.values().map(Follower::open_files).sum();
        let mut held: usize = self.followers.values().map(Follower::held_bytes).sum();
        while goes_on() {
            let now = self.now();
            let Some(follower) = next_turn(&mut self.followers, &mut self.turns) else {
                break;
            };
            open -= follower.open_files();
            held -= follower.held_bytes();
            follower.read(
                &mut self.block,
                BLOCKS_PER_TURN,
                now,
                &mut self.sink,
                &self.meters,
            );
            open += follower.open_files();
            if open > MOST_OPEN_FILES {
                open -= follower.release();
            }
            if held + follower.held_bytes() > MOST_HELD {
                follower.let_go(now, &mut self.sink);
            }
            held += follower.held_bytes();
            if self.sink.is_full() {
                self.commit()?;
            }
        }
        self.meters.held.set(held as i64);
        Ok(self.followers.values().any(|follower| follower.is_unread))
    }

    /// Leaves containers that were deleted and have been read to their end.
    fn drop_finished(&mut self, now: Now) {
        let finished: Vec<String> = self
            .followers
            .iter()
            .filter(|(_, follower)| follower.is_deleted && !follower.is_unread)
            .map(|(id, _)| id.clone())
            .collect();
        for id in finished {
            let Some(mut follower) = self.followers.remove(&id) else {
                continue;
            };
            follower.close(now, &mut self.sink);
            self.remember(id, &follower);
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let mut states = Vec::new();
        for follower in self
            .followers
            .values_mut()
            .filter(|follower| follower.is_changed)
        {
            let state = follower
                .state()
                .map_err(|fault| StoreError::Job(format!("{fault:#}")))?;
            states.push(state);
            follower.is_changed = false;
        }
        if self.must_save {
            states.extend(self.remembered.values().map(|known| known.state.clone()));
        }
        let mut sink = std::mem::take(&mut self.sink);
        let (oldest_ns, count) = (
            self.keeper.oldest_ns(self.now().wall_ns),
            sink.entries.len(),
        );
        sink.entries.retain(|(_, entry)| entry.time_ns >= oldest_ns);
        self.keeper.note_too_old(count - sink.entries.len());
        self.pending = Some(Arc::new(Batch {
            containers: sink.containers,
            entries: sink.entries,
            states,
            gone: std::mem::take(&mut self.gone),
            resumed: std::mem::take(&mut self.resumed),
            scanned_ms: self.ctx.clock.now_ms(),
        }));
        self.must_save = false;
        self.store_pending()
    }

    fn store_pending(&mut self) -> Result<(), StoreError> {
        let Some(batch) = self.pending.clone() else {
            return Ok(());
        };
        let (inside, limits) = (Arc::clone(&batch), self.keeper.limits());
        let rules = self.parts.rules.clone();
        let hits = Arc::new(rules.look(&batch));
        let found = Arc::clone(&hits);
        let (stored, fired) =
            self.ctx
                .store
                .write_blocking(Lane::Ingest, batch.bytes(), move |conn| {
                    let stored = ring::append(conn, &inside, limits)?;
                    let fired = rules.count(conn, &found, &stored)?;
                    Ok((stored, fired))
                })?;
        self.parts.rules.note(&hits, fired);
        self.pending = None;
        self.saved = self.ctx.clock.monotonic();
        self.meters.stored.add(batch.entries.len() as u64);
        self.keeper.note(&stored);
        self.parts.hub.publish(&batch, &stored);
        Ok(())
    }
}

/// Who reads next: mostly who is furthest behind by the times in its log, so that ids that are near each other are near in
/// time, too, and a page of a list looks at few of them. Sometimes who has waited longest, so that a log with a wrong clock
/// holds up nobody.
fn next_turn<'f>(
    followers: &'f mut BTreeMap<String, Follower>,
    turns: &mut u64,
) -> Option<&'f mut Follower> {
    *turns += 1;
    let by_time = !turns.is_multiple_of(TURNS_BY_WAITING);
    let next = followers
        .values_mut()
        .filter(|follower| follower.is_unread)
        .min_by_key(|follower| (by_time.then_some(follower.read_to_ns), follower.last_turn))?;
    next.last_turn = *turns;
    Some(next)
}

fn cannot_look(container: &Container, fault: &dyn Display) -> String {
    format!(
        "cannot look at the log files of {}: {fault}",
        container.name.name
    )
}
