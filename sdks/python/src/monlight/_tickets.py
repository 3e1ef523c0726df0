"""A promise that something was tried, which threads and coroutines can wait for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.01


class Ticket:
    """Resolved once, by the thread that sends; `ok` says whether everything was delivered."""

    def __init__(self) -> None:
        self.ok = False
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    @property
    def done(self) -> bool:
        """Whether it is resolved."""
        return self._done.is_set()

    def resolve(self, ok: bool) -> None:
        """Wake up whoever waits."""
        with self._lock:
            self.ok = ok
            self._done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except RuntimeError:
                # The event loop that waited is closed: nobody is left to be told.
                pass

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; True means delivered in that time."""
        return self._done.wait(max(seconds, 0.0)) and self.ok

    async def wait_async(self, seconds: float) -> bool:
        """Do the same as `wait` without blocking the event loop; a cancellation passes through."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return await self._poll(seconds)
        future: asyncio.Future[None] = loop.create_future()

        with self._lock:
            if self._done.is_set():
                return self.ok
            self._callbacks.append(lambda: loop.call_soon_threadsafe(future.set_result, None))
        await asyncio.wait([future], timeout=seconds)
        return self.ok

    async def _poll(self, seconds: float) -> bool:
        # Another event loop than asyncio's (trio). anyio comes with httpx.
        import anyio

        deadline = time.monotonic() + seconds
        while not self._done.is_set() and time.monotonic() < deadline:  # noqa: ASYNC110
            await anyio.sleep(_POLL_SECONDS)
        return self.ok


class FlushTicket(Ticket):
    """Resolved when every item numbered up to `last_number` is gone, or one could not be sent."""

    def __init__(self, last_number: int, items: int) -> None:
        super().__init__()
        self._last_number = last_number
        self._remaining = items
        self._all_delivered = True

    def count_gone(self, numbers: list[int], delivered: bool) -> None:
        """Take note that the items with these numbers left the queue."""
        covered = sum(number <= self._last_number for number in numbers)
        self._remaining -= covered
        self._all_delivered = self._all_delivered and (delivered or covered == 0)
        if self._remaining <= 0:
            self.resolve(self._all_delivered)
