//! What a connection is doing and until when: shared by its socket, its bodies and its task.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::Settings;

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The head did not come in time.
    Head,
    /// No further request came in time.
    Idle,
    /// The peer did not take its answer.
    Write,
    /// Somebody else needs the room.
    Room,
    /// It had been refused, and the peer did not close its side.
    Linger,
}

impl Cut {
    pub(super) const ALL: [Self; 5] = [
        Self::Head,
        Self::Idle,
        Self::Write,
        Self::Room,
        Self::Linger,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Write => "write",
            Self::Room => "room",
            Self::Linger => "linger",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Connected, and nothing came yet.
    Fresh = 0,
    /// Something came that may become a head.
    Head = 1,
    /// A request is being answered.
    Busy = 2,
    /// The last request has been answered.
    Idle = 3,
    /// Nothing more is answered; the rest is read and dropped.
    Closing = 4,
}

impl Phase {
    fn of(number: u8) -> Self {
        [
            Self::Fresh,
            Self::Head,
            Self::Busy,
            Self::Idle,
            Self::Closing,
        ]
        .into_iter()
        .find(|phase| *phase as u8 == number)
        .unwrap_or(Self::Closing)
    }
}

const NEVER: u64 = u64::MAX;

/// Times are milliseconds since the connection began; [`NEVER`] is none. Everything here is touched
/// by one task in practice, and atomic because handlers may carry a body elsewhere.
pub(super) struct Watch {
    pub(super) settings: Settings,
    began: Instant,
    phase: AtomicU8,
    deadline: AtomicU64,
    write_deadline: AtomicU64,
    /// The answer is a stream, which is ended when the peer is gone.
    streaming: AtomicBool,
    peer_gone: AtomicBool,
    close: AtomicBool,
    /// A body that its handler did not want, being read and dropped.
    unwanted: Mutex<Option<Unwanted>>,
    drops_body: AtomicBool,
    waker: AtomicWaker,
}

struct Unwanted {
    body: Incoming,
    bytes_left: u64,
    deadline: u64,
}

impl Watch {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            began: Instant::now(),
            phase: AtomicU8::new(Phase::Fresh as u8),
            deadline: AtomicU64::new(millis(settings.head_timeout)),
            write_deadline: AtomicU64::new(NEVER),
            streaming: AtomicBool::new(false),
            peer_gone: AtomicBool::new(false),
            close: AtomicBool::new(false),
            unwanted: Mutex::new(None),
            drops_body: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Relaxed))
    }

    fn enter(&self, phase: Phase, deadline: u64) {
        self.deadline.store(deadline, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn after(&self, duration: Duration) -> u64 {
        millis(self.began.elapsed() + duration)
    }

    /// Something came from the peer. It is no new head while the last body is still coming.
    pub(super) fn received(&self) {
        if !self.drops_body.load(Ordering::Relaxed)
            && matches!(self.phase(), Phase::Fresh | Phase::Idle)
        {
            self.enter(Phase::Head, self.after(self.settings.head_timeout));
        }
    }

    /// A head was complete. Handlers and bodies have time-outs of their own.
    pub(super) fn request_began(&self) {
        self.enter(Phase::Busy, NEVER);
    }

    /// The head of the answer is there.
    pub(super) fn answer_began(&self, is_stream: bool) {
        self.streaming.store(is_stream, Ordering::Relaxed);
    }

    /// The answer is complete, though maybe not sent yet.
    pub(super) fn answer_ended(&self) {
        self.streaming.store(false, Ordering::Relaxed);
        self.enter(Phase::Idle, self.after(self.settings.idle_timeout));
    }

    /// No more requests: what comes is dropped for a moment.
    pub(super) fn closing(&self) {
        self.enter(Phase::Closing, self.after(self.settings.linger));
    }

    pub(super) fn write_is_stuck(&self) {
        if self.write_deadline.load(Ordering::Relaxed) == NEVER {
            self.write_deadline
                .store(self.after(self.settings.write_gap), Ordering::Relaxed);
        }
    }

    pub(super) fn write_goes_on(&self) {
        self.write_deadline.store(NEVER, Ordering::Relaxed);
    }

    /// Whether somebody should look if the peer is still there.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Relaxed) && !self.peer_gone.load(Ordering::Relaxed)
    }

    pub(super) fn peer_is_gone(&self) {
        self.peer_gone.store(true, Ordering::Relaxed);
    }

    /// Whether the answer is a stream to nobody.
    pub(super) fn streams_to_nobody(&self) -> bool {
        self.streaming.load(Ordering::Relaxed) && self.peer_gone.load(Ordering::Relaxed)
    }

    /// Until when the connection would be idle, if it is.
    pub(super) fn idle_until(&self) -> Option<Instant> {
        let idle = self.has_nothing_to_do() && !self.close.load(Ordering::Relaxed);
        idle.then(|| self.began + Duration::from_millis(self.deadline.load(Ordering::Relaxed)))
    }

    /// Idle, its last answer sent, and the body that belonged to it read.
    fn has_nothing_to_do(&self) -> bool {
        self.phase() == Phase::Idle
            && self.write_deadline.load(Ordering::Relaxed) == NEVER
            && !self.drops_body.load(Ordering::Relaxed)
    }

    /// Asks the connection to end at once.
    pub(super) fn close(&self) {
        self.close.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Takes over a body that its handler dropped before its end.
    pub(super) fn take_unwanted(&self, body: Incoming) {
        let unwanted = Unwanted {
            body,
            bytes_left: self.settings.linger_bytes,
            deadline: self.after(self.settings.linger),
        };
        *self.unwanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(unwanted);
        self.drops_body.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Reads and drops what nobody wants. Giving up makes hyper close the connection, so
    /// `drops_body` then stays: what still comes is no new head.
    pub(super) fn poll_unwanted(&self, cx: &mut Context<'_>) {
        self.waker.register(cx.waker());
        let mut slot = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(unwanted) = &mut *slot {
            match Pin::new(&mut unwanted.body).poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    if length <= unwanted.bytes_left {
                        unwanted.bytes_left -= length;
                        continue;
                    }
                }
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) => self.drops_body.store(false, Ordering::Relaxed),
            }
            *slot = None;
            // Hyper notices a dropped body when it is polled.
            cx.waker().wake_by_ref();
        }
    }

    /// When to look at [`Watch::overdue`] next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self
            .deadline
            .load(Ordering::Relaxed)
            .min(self.write_deadline.load(Ordering::Relaxed))
            .min(
                unwanted
                    .as_ref()
                    .map_or(NEVER, |unwanted| unwanted.deadline),
            );
        (next != NEVER).then(|| self.began + Duration::from_millis(next))
    }

    /// Gives up what is overdue; a reason means that the connection is to be cut.
    pub(super) fn overdue(&self) -> Option<Cut> {
        if self.close.load(Ordering::Relaxed) && self.has_nothing_to_do() {
            return Some(Cut::Room);
        }
        let now = millis(self.began.elapsed());
        let mut unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        if unwanted
            .as_ref()
            .is_some_and(|unwanted| unwanted.deadline <= now)
        {
            *unwanted = None;
            // Hyper notices a dropped body when it is polled.
            self.waker.wake();
        }
        if self.write_deadline.load(Ordering::Relaxed) <= now {
            return Some(Cut::Write);
        }
        (self.deadline.load(Ordering::Relaxed) <= now).then(|| match self.phase() {
            Phase::Idle => Cut::Idle,
            Phase::Closing => Cut::Linger,
            _ => Cut::Head,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
