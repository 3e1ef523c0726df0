//! Listens, and keeps slow, silent and hostile peers from harming the others.
//!
//! `axum::serve` has no time-outs, so connections are driven here, on hyper's HTTP/1.1. Each one is
//! a task of its own with these bounds (see [`Settings`]): a head must come in time and fit into
//! 16 KiB; a body must keep coming; a peer must keep reading; an idle connection ends; there are so
//! many connections and no more. An answer that was given before its body was read goes out at once,
//! and some more of the body is read and dropped, because many clients only look for an answer when
//! they have sent everything.
//!
//! When there are too many connections, the one that has been idle the longest makes room. If none
//! is idle, the new one waits a moment and is then answered 503. One address (of IPv6: one /64) can
//! have three quarters of the connections, or fewer if it is a public one and the service says so:
//! a private one may be a gateway that stands for everybody. When it has them and none of them is
//! idle, its next is refused at once, so that others do not wait for it. The machine itself and
//! trusted proxies, who speak for many, can have all.
//!
//! On the soft token the listener closes, idle connections end, requests finish; what is left after
//! its share of the grace period, or on the hard token, is cut.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{is_public, network};
use crate::config::TrustedProxies;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Counter, Gauge, Registry};
use crate::service::Context;

mod connection;
mod incoming;
mod io;
mod watch;

#[cfg(test)]
mod tests;

use watch::Watch;

/// Connections that the kernel holds for us while we are busy.
const BACKLOG: u32 = 1024;
/// How long a new connection waits for room.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(1);
/// Of operators, where they have a listener of their own.
const MAX_ADMIN_CONNECTIONS: usize = 64;
/// Refused connections that are answered at the same time; more are just closed.
const MAX_REFUSALS: usize = 64;
/// After a fault of `accept` that is not one of the connection, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections at the same time.
    pub max_connections: usize,
    /// Connections of one public address; `None`: three quarters of all, as for the others.
    pub max_per_address: Option<usize>,
    /// From the first byte of a head, or from the start of a connection, to the end of the head.
    pub head_timeout: Duration,
    /// Between an answer and the next request.
    pub idle_timeout: Duration,
    /// Without a byte of a body that is being read.
    pub body_gap: Duration,
    /// A body may take this long, and a second more for each [`Settings::body_bytes_a_second`].
    pub body_grace: Duration,
    /// The least average speed of a long body.
    pub body_bytes_a_second: u64,
    /// Without the peer taking a byte of an answer.
    pub write_gap: Duration,
    /// How long a body that nobody wants is read and dropped.
    pub linger: Duration,
    /// How much of a body that nobody wants is read and dropped.
    pub linger_bytes: u64,
    /// How long requests may take to finish when the service stops.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_per_address: None,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_gap: Duration::from_secs(10),
            body_grace: Duration::from_secs(20),
            body_bytes_a_second: 8 * 1024,
            write_gap: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            linger_bytes: 1024 * 1024,
            grace: Duration::from_secs(6),
        }
    }
}

impl Settings {
    fn usual_share(&self) -> usize {
        (self.max_connections * 3 / 4).max(1)
    }

    fn share_of_public(&self) -> usize {
        let share = self.max_per_address.unwrap_or_else(|| self.usual_share());
        share.min(self.max_connections)
    }
}

/// Where a connection comes from that does not speak for many, and how many such connections there may be.
#[derive(Clone, Copy, Debug)]
struct Origin {
    network: IpAddr,
    share: usize,
}

/// Takes the port of `PORT`, without `SO_REUSEPORT`: a second copy of the service fails here.
pub async fn bind(host: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    bind_for("PORT", SocketAddr::new(host, port)).await
}

/// As [`bind`], for a port that the variable `var` gives.
#[expect(
    clippy::unused_async,
    reason = "registers with the runtime, which a caller must be inside of"
)]
pub async fn bind_for(var: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| {
        format!("{var}: cannot listen on {address}; expected a port that no other program uses")
    })
}

/// Serves until the service is asked to stop, then finishes what has begun. `max_per_address`: see [`Settings`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    ctx: &Context,
    max_per_address: Option<usize>,
) {
    let settings = Settings {
        max_per_address,
        ..settings(ctx, ctx.common.max_connections)
    };
    let counters = Counters::new(&ctx.metrics, &settings, None);
    let server = Server::new(
        router,
        settings,
        &ctx.common.trusted_proxies,
        &ctx.lifecycle,
        counters,
    );
    server.run(listener).await;
}

/// As [`serve`], beside it: on a port for operators, with connections of its own, so that strangers cannot use them up.
pub async fn serve_admin(listener: TcpListener, router: Router, ctx: &Context) {
    let max_connections = ctx.common.max_connections.min(MAX_ADMIN_CONNECTIONS);
    let settings = settings(ctx, max_connections);
    let counters = Counters::new(&ctx.metrics, &settings, Some(("listener", "admin")));
    let server = Server::new(
        router,
        settings,
        &ctx.common.trusted_proxies,
        &ctx.lifecycle,
        counters,
    );
    server.run(listener).await;
}

fn settings(ctx: &Context, max_connections: usize) -> Settings {
    Settings {
        max_connections,
        // The tasks and the database need the rest.
        grace: ctx.common.shutdown_grace * 3 / 5,
        ..Settings::default()
    }
}

/// [`serve`] with bounds of one's own.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    trusted_proxies: TrustedProxies,
    lifecycle: &Lifecycle,
    metrics: &Registry,
) {
    let counters = Counters::new(metrics, &settings, None);
    let server = Server::new(router, settings, &trusted_proxies, lifecycle, counters);
    server.run(listener).await;
}

/// What there are too many connections of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Server,
    Address,
}

impl Full {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "all",
            Self::Address => "address",
        }
    }
}

/// What the server counts.
struct Counters {
    open: Gauge,
    accepted: Counter,
    refused: [(Full, Counter); 2],
    closed_for_room: Counter,
    cut: [(watch::Cut, Counter); 5],
}

impl Counters {
    /// `label` tells the figures of a second listener from those of the first.
    fn new(
        metrics: &Registry,
        settings: &Settings,
        label: Option<(&'static str, &'static str)>,
    ) -> Self {
        let labels = label.as_slice();
        for (name, help, bound) in [
            (
                "monlight_http_connections_max",
                "The most connections at the same time.",
                settings.max_connections,
            ),
            (
                "monlight_http_connections_per_address_max",
                "The most connections of one public address.",
                settings.share_of_public(),
            ),
        ] {
            metrics.gauge(name, help, labels).set(bound as i64);
        }
        let refused = |full: Full| {
            let help = "Connections refused because there were too many, of all or of one address.";
            let labels: Vec<_> = [("reason", full.name())].into_iter().chain(label).collect();
            let name = "monlight_http_connections_refused_total";
            (full, metrics.counter(name, help, &labels))
        };
        let cut = |cut: watch::Cut| {
            let help = "Connections closed because a time-out passed.";
            let labels: Vec<_> = [("reason", cut.name())].into_iter().chain(label).collect();
            (
                cut,
                metrics.counter("monlight_http_connections_cut_total", help, &labels),
            )
        };
        Self {
            open: metrics.gauge(
                "monlight_http_connections",
                "Connections that are open.",
                labels,
            ),
            accepted: metrics.counter(
                "monlight_http_connections_accepted_total",
                "Connections that were accepted.",
                labels,
            ),
            refused: [Full::Server, Full::Address].map(refused),
            closed_for_room: metrics.counter(
                "monlight_http_connections_closed_for_room_total",
                "Idle connections closed to make room for new ones.",
                labels,
            ),
            cut: watch::Cut::ALL.map(cut),
        }
    }

    fn refused(&self, full: Full) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == full) {
            counter.inc();
        }
    }

    fn cut(&self, reason: watch::Cut) {
        if let Some((_, counter)) = self.cut.iter().find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }
}

struct Server {
    router: Router,
    settings: Settings,
    trusted_proxies: TrustedProxies,
    lifecycle: Lifecycle,
    counters: Arc<Counters>,
    tasks: JoinSet<()>,
    /// With the network that the connection counts for.
    open: HashMap<Id, (Option<IpAddr>, Arc<Watch>)>,
    by_network: HashMap<IpAddr, usize>,
    refusals: JoinSet<()>,
    /// When there was first no room for somebody.
    full_since: Option<Instant>,
    /// Until when faults of `accept` are not logged again.
    quiet_until: Option<Instant>,
}

impl Server {
    fn new(
        router: Router,
        settings: Settings,
        trusted_proxies: &TrustedProxies,
        lifecycle: &Lifecycle,
        counters: Counters,
    ) -> Self {
        Self {
            router,
            settings,
            trusted_proxies: trusted_proxies.clone(),
            lifecycle: lifecycle.clone(),
            counters: Arc::new(counters),
            tasks: JoinSet::new(),
            open: HashMap::new(),
            by_network: HashMap::new(),
            refusals: JoinSet::new(),
            full_since: None,
            quiet_until: None,
        }
    }

    async fn run(mut self, listener: TcpListener) {
        self.accept(listener).await;
        self.finish().await;
    }

    async fn accept(&mut self, listener: TcpListener) {
        let soft = self.lifecycle.soft();
        loop {
            tokio::select! {
                biased;
                () = soft.cancelled() => return,
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
                Some(_) = self.refusals.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer).await,
                    Err(fault) if is_of_the_connection(&fault) => {}
                    Err(fault) => {
                        self.complain(&fault);
                        if self.lifecycle.sleep(ACCEPT_PAUSE).await {
                            return;
                        }
                    }
                },
            }
        }
    }

    /// Once in a while: a fault that stays, such as too many open files, comes back at once.
    fn complain(&mut self, fault: &std::io::Error) {
        let now = Instant::now();
        if self.quiet_until.is_none_or(|until| now >= until) {
            tracing::error!(%fault, "cannot accept connections");
            self.quiet_until = Some(now + COMPLAIN_EVERY);
        }
    }

    async fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let origin = self.origin_of(peer.ip().to_canonical());
        if self.full_for(origin).is_some()
            && let Some(full) = self.make_room(origin).await
        {
            self.refuse(stream, full);
            return;
        }
        self.counters.accepted.inc();
        self.counters.open.add(1);
        // Without it small answers wait for an acknowledgement. A fault means that the peer is gone.
        let _ = stream.set_nodelay(true);
        let watch = Arc::new(Watch::new(self.settings));
        let drive = connection::drive(
            stream,
            peer,
            self.router.clone(),
            Arc::clone(&watch),
            self.lifecycle.soft(),
        );
        let counters = Arc::clone(&self.counters);
        let task = self.tasks.spawn(async move {
            if let Some(reason) = drive.await {
                counters.cut(reason);
            }
        });
        let network = origin.map(|origin| origin.network);
        self.open.insert(task.id(), (network, watch));
        if let Some(network) = network {
            *self.by_network.entry(network).or_default() += 1;
        }
    }

    /// What a connection from this address counts for.
    fn origin_of(&self, address: IpAddr) -> Option<Origin> {
        let speaks_for_many = address.is_loopback() || self.trusted_proxies.contains(address);
        (!speaks_for_many).then(|| Origin {
            network: network(address),
            share: if is_public(address) {
                self.settings.share_of_public()
            } else {
                self.settings.usual_share()
            },
        })
    }

    /// Why there is no room for one more, if there is none.
    fn full_for(&self, origin: Option<Origin>) -> Option<Full> {
        let has_its_share = origin.is_some_and(|origin| {
            let held = self.by_network.get(&origin.network);
            held.is_some_and(|held| *held >= origin.share)
        });
        if has_its_share {
            Some(Full::Address)
        } else {
            (self.open.len() >= self.settings.max_connections).then_some(Full::Server)
        }
    }

    /// Closes the connection that has been idle the longest, one of the address if that has too many; without one, waits
    /// for some connection to end, but not for one of an address that has too many. The wait is shared: once it was in
    /// vain, the next ones do not wait again until there was room. Answers why there is still none, if so.
    async fn make_room(&mut self, origin: Option<Origin>) -> Option<Full> {
        let own = origin
            .filter(|_| self.full_for(origin) == Some(Full::Address))
            .map(|origin| origin.network);
        let idle = self
            .open
            .values()
            .filter(|(network, _)| own.is_none() || *network == own)
            .filter_map(|(_, watch)| watch.idle_until().map(|until| (until, watch)))
            .min_by_key(|(until, _)| *until);
        let now = Instant::now();
        let deadline = match idle {
            Some((_, watch)) => {
                self.counters.closed_for_room.inc();
                watch.close();
                now + WAIT_FOR_ROOM
            }
            None if own.is_some() => return Some(Full::Address),
            None => *self.full_since.get_or_insert(now) + WAIT_FOR_ROOM,
        };
        while let Some(full) = self.full_for(origin) {
            match timeout_at(deadline, self.tasks.join_next_with_id()).await {
                Ok(Some(ended)) => self.reap(ended),
                Ok(None) | Err(_) => return Some(full),
            }
        }
        None
    }

    fn refuse(&mut self, stream: TcpStream, full: Full) {
        self.counters.refused(full);
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.spawn(refuse(stream));
        }
    }

    fn reap(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        self.full_since = None;
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(fault) => fault.id(),
        };
        if let Err(fault) = ended
            && fault.is_panic()
        {
            tracing::error!(%fault, "a connection panicked");
        }
        let Some((network, _)) = self.open.remove(&id) else {
            return;
        };
        self.counters.open.add(-1);
        if let Some(network) = network
            && let Some(count) = self.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
    }

    async fn finish(&mut self) {
        let hard = self.lifecycle.hard();
        let deadline = Instant::now() + self.settings.grace;
        loop {
            tokio::select! {
                biased;
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.reap(ended),
                    None => return,
                },
                () = hard.cancelled() => break,
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        tracing::warn!(
            connections = self.tasks.len(),
            "cutting connections that did not end in time"
        );
        self.tasks.shutdown().await;
        self.open.clear();
        self.counters.open.set(0);
    }
}

/// Whether a fault of `accept` is about a peer that left early; then the next one may be fine.
fn is_of_the_connection(fault: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        fault.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

/// Says why, and then reads a little, so that closing does not destroy the answer on its way.
async fn refuse(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
        content-type: application/json\r\ncontent-length: 33\r\n\r\n{\"detail\":\"Too many connections\"}";
    let _ = timeout(Duration::from_secs(1), async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        let mut dropped = [0; 4096];
        for _ in 0..16 {
            if stream.read(&mut dropped).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    })
    .await;
}
