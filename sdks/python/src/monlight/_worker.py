"""The background sender: a bounded queue and one thread, made when it is needed.

Rules it keeps:

- Handing something over never waits for the network and never raises. What does not fit is
  dropped and counted.
- The thread is a daemon, starts with the first work and ends when it has had none for a while. It
  belongs to one process: a forked child starts with an empty queue (the parent still has what was
  in it), new locks, a new connection and, when it has work, a thread of its own.
- Waiting for it always has a deadline. At the end of the interpreter what is left is sent, within
  that deadline; where no thread can be started any more, the thread that waits sends itself.
- What the service could not take for the moment goes to the end of the queue and is tried again
  with back-off, so that one report the service cannot digest does not hold up the others.
- What was sent once is sent again as the same request, with the same key: its answer may have been
  lost, and the service must be able to tell.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx

from monlight import _guard, _process
from monlight._tickets import FlushTicket, Ticket
from monlight._transport import Answer, Transport, Verdict, backoff_seconds, idempotency_key
from monlight._types import Stats

MAX_ATTEMPTS = 12
MAX_AGE_SECONDS = 600.0
IDLE_SECONDS = 30.0
_WARNING_INTERVAL_SECONDS = 60.0
# The interval is shortened by up to this share, so that many processes do not send in step.
_JITTER_SHARE = 0.1
_PERMANENT_FAILURES = (
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.DecodingError,
    httpx.InvalidURL,
)


class Destination(Protocol):
    """Where a worker sends to."""

    def join(self, bodies: Sequence[bytes]) -> bytes:
        """Make one request body of the items of a batch."""

    def post(self, transport: Transport, body: bytes, key: str, timeout: float) -> Answer:
        """Send one body with its idempotency key; raises what the transport raises."""

    def timeout_seconds(self) -> float:
        """How long one request, and the flush at the end of the process, may take."""

    def log_status(self, answer: Answer) -> None:
        """Say that the service answered with something else than success."""

    def log_failure(self, items: int) -> None:
        """Say that sending raised; called while the exception is handled."""


@dataclass(frozen=True)
class Limits:
    """The bounds of a queue, and how it is cut into requests.

    `interval_seconds` is how long an item may wait for company; 0 sends at once.
    """

    queue_items: int
    queue_bytes: int
    batch_items: int
    batch_bytes: int
    interval_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Request:
    """What items that were sent together share. They stay together, so that a repetition is one.

    `born` is the time of the youngest. The key is made by the first attempt.
    """

    born: float
    key: str = ""
    attempts: int = 0


_UNSENT = _Request(float("-inf"))


@dataclass(slots=True)
class _Item:
    body: bytes
    born: float
    number: int
    ticket: Ticket | None
    request: _Request = _UNSENT

    def is_expired(self, now: float) -> bool:
        """Whether it was tried for long enough; the same for all items of a request."""
        too_old = now - max(self.born, self.request.born) > MAX_AGE_SECONDS
        return too_old or self.request.attempts >= MAX_ATTEMPTS


class Worker:
    """A queue and its thread. `automatic` says whether it sends without being asked to flush."""

    def __init__(
        self,
        destination: Destination,
        limits: Limits,
        logger: logging.Logger,
        *,
        automatic: bool,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._destination = destination
        self._limits = limits
        self._logger = logger
        self._injected = transport
        self.automatic = automatic
        self.reset()
        _process.register(self)

    def reset(self) -> None:
        """Forget everything; called for a new worker, and in a forked child before its code."""
        # A Condition's lock is re-entrant: a signal handler or a finaliser that records something
        # while this thread holds the lock must not wait for itself.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._queue: deque[_Item] = deque()
        self._flushes: list[FlushTicket] = []
        self._held_items = self._held_bytes = 0
        self._batch_bytes = self._limits.batch_bytes
        self._number = self._cycle_left = self._failures = 0
        self._due = self._retry_at = 0.0
        self._sent = self._retries = 0
        self._dropped: Counter[str] = Counter()
        self._unwarned: Counter[str] = Counter()
        self._warned_at = float("-inf")

    # --- handing over -------------------------------------------------------------------------

    def put(self, body: bytes, ticket: Ticket | None = None) -> None:
        """Queue one item. One with a ticket goes first and is tried at once."""
        limits = self._limits
        with self._changed:
            fits = (
                self._held_items < limits.queue_items
                and self._held_bytes + len(body) <= limits.queue_bytes
            )
            if fits:
                self._enqueue(body, ticket)
        if not fits:
            self.drop("queue_full")
            if ticket is not None:
                ticket.resolve(False)

    def _enqueue(self, body: bytes, ticket: Ticket | None) -> None:
        now = time.monotonic()
        if not self._queue and self._cycle_left <= 0:
            self._due = now + self._jittered_interval()
        self._number += 1
        self._held_items += 1
        self._held_bytes += len(body)
        item = _Item(body, now, self._number, ticket)
        if ticket is None:
            self._queue.append(item)
        else:
            self._queue.appendleft(item)
        if self.automatic or ticket is not None:
            self._stopping = False
            self._ensure_thread()
            length = len(self._queue)
            if ticket is not None or length == 1 or length == self._limits.batch_items:
                self._changed.notify_all()

    def drop(self, reason: str, items: int = 1) -> None:
        """Count items that will never be sent, and say so in the log once in a while."""
        with self._changed:
            self._count_dropped(reason, items)
        self._warn_of_drops()

    def _count_dropped(self, reason: str, items: int) -> None:
        self._dropped[reason] += items
        self._unwarned[reason] += items

    def _warn_of_drops(self) -> None:
        with self._changed:
            now = time.monotonic()
            if not self._unwarned or now - self._warned_at < _WARNING_INTERVAL_SECONDS:
                return
            self._warned_at = now
            told = ", ".join(f"{count} {reason}" for reason, count in self._unwarned.items())
            self._unwarned.clear()
        _guard.log(self._logger, logging.WARNING, "dropped: %s", told)

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        with self._changed:
            return {
                "queued": self._held_items,
                "queued_bytes": self._held_bytes,
                "sent": self._sent,
                "retries": self._retries,
                "dropped": sum(self._dropped.values()),
                "dropped_by_reason": dict(self._dropped),
            }

    def start(self) -> None:
        """Send by itself from now on."""
        with self._changed:
            self.automatic = True
            self._stopping = False
            if self._queue:
                self._ensure_thread()
                self._changed.notify_all()

    # --- waiting ------------------------------------------------------------------------------

    def begin_flush(self) -> FlushTicket | None:
        """Ask for everything that is queued to be sent now; None if there is nothing."""
        with self._changed:
            if self._held_items == 0:
                return None
            ticket = FlushTicket(self._number, self._held_items)
            self._flushes.append(ticket)
            self._ensure_thread()
            self._changed.notify_all()
            return ticket

    def wait(self, ticket: Ticket, seconds: float) -> bool:
        """Wait for a ticket at most `seconds`; True means that all it stands for was delivered."""
        deadline = time.monotonic() + seconds
        with self._changed:
            has_thread = self._ensure_thread()
        if not has_thread:
            self._send_here(ticket, deadline)
        return ticket.wait(deadline - time.monotonic())

    def flush(self, seconds: float) -> bool:
        """Send what is queued, waiting at most `seconds`; True means that all was delivered."""
        ticket = self.begin_flush()
        return ticket is None or self.wait(ticket, seconds)

    async def flush_async(self, seconds: float) -> bool:
        """Do the same as `flush` without blocking the event loop."""
        ticket = self.begin_flush()
        return ticket is None or await ticket.wait_async(seconds)

    def exit_seconds(self) -> float:
        """How long the end of the process may be held up for this worker."""
        return self._destination.timeout_seconds()

    def close(self, seconds: float) -> bool:
        """Flush, then end the thread and its connection; later work starts them again."""
        deadline = time.monotonic() + seconds
        delivered = self.flush(seconds)
        with self._changed:
            thread = self._thread
            self._stopping = thread is not None
            self._changed.notify_all()
        if thread is not None:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return delivered

    # --- sending ------------------------------------------------------------------------------

    def _ensure_thread(self) -> bool:
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._run, name="monlight-sender", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            # The interpreter is shutting down, or the system gives no more threads. What is
            # queued stays; the next item, or whoever waits, tries again.
            self._thread = None
            return False
        self._thread = thread
        _process.flush_when_process_ends()
        return True

    def _run(self) -> None:
        transport = Transport(self._injected)
        with _guard.busy():
            try:
                while batch := self._next_batch():
                    self._deliver(transport, batch, self._destination.timeout_seconds())
            finally:
                transport.close()

    def _send_here(self, ticket: Ticket, deadline: float) -> None:
        transport = Transport(self._injected)
        with _guard.busy():
            try:
                while not ticket.done and (left := deadline - time.monotonic()) > 0:
                    with self._changed:
                        batch = self._take(time.monotonic()) if self._is_ready() else []
                    if not batch:
                        break
                    self._deliver(transport, batch, min(left, self._destination.timeout_seconds()))
            finally:
                transport.close()

    def _next_batch(self) -> list[_Item] | None:
        """Wait for the next batch; None tells the thread to end."""
        with self._changed:
            idle_until = time.monotonic() + IDLE_SECONDS
            while True:
                now = time.monotonic()
                if self._is_ready():
                    if batch := self._take(now):
                        return batch
                    continue
                waiting = self.automatic and bool(self._queue)
                if self._stopping or (not waiting and now >= idle_until):
                    self._stopping = False
                    self._thread = None
                    return None
                until = max(self._due, self._retry_at) if waiting else idle_until
                # Never exactly zero: at a full batch only the back-off counts.
                if waiting and len(self._queue) >= self._limits.batch_items:
                    until = self._retry_at
                self._changed.wait(max(until - now, 0.001))

    def _is_ready(self) -> bool:
        if not self._queue:
            return False
        if self._flushes or self._queue[0].ticket is not None:
            return True
        now = time.monotonic()
        if not self.automatic or now < self._retry_at:
            return False
        if self._cycle_left <= 0:
            if len(self._queue) < self._limits.batch_items and now < self._due:
                return False
            # One cycle sends what is there when it begins. Chasing what arrives meanwhile would
            # make ever smaller requests.
            self._cycle_left = len(self._queue)
        return True

    def _take(self, now: float) -> list[_Item]:
        batch: list[_Item] = []
        expired: list[_Item] = []
        size = 2
        while self._queue:
            item = self._queue[0]
            if item.is_expired(now):
                expired.append(self._queue.popleft())
                continue
            size += len(item.body) + 1
            if batch and not self._belongs(item, batch, size):
                break
            batch.append(self._queue.popleft())
        if batch and batch[0].request is _UNSENT:
            request = _Request(max(item.born for item in batch))
            for item in batch:
                item.request = request
        self._cycle_left -= len(batch) + len(expired)
        if expired:
            self._count_dropped("expired", len(expired))
            self._forget(expired, delivered=False)
        return batch

    def _belongs(self, item: _Item, batch: list[_Item], size: int) -> bool:
        request = batch[0].request
        if item.request is not request:
            return False
        fits = len(batch) < self._limits.batch_items and size <= self._batch_bytes
        return request is not _UNSENT or fits

    def _deliver(self, transport: Transport, batch: list[_Item], timeout: float) -> None:
        verdict, retry_after = Verdict.RETRY, None
        request = batch[0].request
        try:
            request.key = request.key or idempotency_key()
            body = self._destination.join([item.body for item in batch])
            answer = self._destination.post(transport, body, request.key, timeout)
            verdict, retry_after = answer.verdict, answer.retry_after_seconds
            if verdict is not Verdict.DELIVERED:
                self._destination.log_status(answer)
        except Exception as error:
            if isinstance(error, _PERMANENT_FAILURES) or not isinstance(
                error, (httpx.TransportError, OSError)
            ):
                # A URL or a key that cannot be put into a request will not get better.
                verdict = Verdict.REJECTED
            self._destination.log_failure(len(batch))
        finally:
            self._settle(batch, verdict, retry_after)
        self._warn_of_drops()

    def _settle(self, batch: list[_Item], verdict: Verdict, retry_after: float | None) -> None:
        with self._changed:
            if verdict is Verdict.RETRY:
                self._put_back(batch, retry_after)
            elif verdict is Verdict.TOO_LARGE and len(batch) > 1:
                self._batch_bytes = max(sum(len(item.body) + 1 for item in batch) // 2, 1)
                # It was refused, so what is cut anew are other requests.
                for item in batch:
                    item.request = _UNSENT
                self._queue.extendleft(reversed(batch))
                self._cycle_left += len(batch)
                return
            else:
                self._failures, self._retry_at = 0, 0.0
                if verdict is Verdict.DELIVERED:
                    self._sent += len(batch)
                else:
                    self._count_dropped("rejected", len(batch))
                self._forget(batch, delivered=verdict is Verdict.DELIVERED)
            if self._cycle_left <= 0:
                self._due = time.monotonic() + self._jittered_interval()
            tickets = [item.ticket for item in batch if item.ticket is not None]
            for item in batch:
                item.ticket = None
        for ticket in tickets:
            ticket.resolve(verdict is Verdict.DELIVERED)

    def _put_back(self, batch: list[_Item], retry_after: float | None) -> None:
        self._failures += 1
        self._retries += 1
        self._cycle_left = 0
        wait = max(backoff_seconds(self._failures), retry_after or 0.0)
        self._retry_at = time.monotonic() + wait
        batch[0].request.attempts += 1
        self._queue.extend(batch)
        # Who asked for a flush has had an attempt. The rest is the back-off's business.
        flushes, self._flushes = self._flushes, []
        for ticket in flushes:
            ticket.resolve(False)

    def _forget(self, items: list[_Item], *, delivered: bool) -> None:
        self._held_items -= len(items)
        self._held_bytes -= sum(len(item.body) for item in items)
        numbers = [item.number for item in items]
        for ticket in self._flushes:
            ticket.count_gone(numbers, delivered)
        self._flushes = [ticket for ticket in self._flushes if not ticket.done]

    def _jittered_interval(self) -> float:
        jitter = random.uniform(1 - _JITTER_SHARE, 1)  # noqa: S311 (not a secret)
        return self._limits.interval_seconds * jitter
