"""What happens to the workers when their process forks or ends."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monlight._worker import Worker

_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_finalizer_pid: int | None = None


def register(worker: Worker) -> None:
    """Include a worker in the clean-up after a fork and in the flush at the end."""
    _workers.add(worker)


def flush_all() -> None:
    """Send what the workers hold, all at the same time, within the longest of their time-outs."""
    started = time.monotonic()
    pending = [
        (worker, ticket)
        for worker in list(_workers)
        if worker.automatic and (ticket := worker.begin_flush()) is not None
    ]
    for worker, ticket in pending:
        worker.wait(ticket, started + worker.exit_seconds() - time.monotonic())


def flush_when_process_ends() -> None:
    """Have `flush_all` run at the end of a child of `multiprocessing`, which skips atexit."""
    global _finalizer_pid
    process = sys.modules.get("multiprocessing.process")
    if _finalizer_pid == os.getpid() or process is None or process.parent_process() is None:
        return
    _finalizer_pid = os.getpid()
    from multiprocessing.util import Finalize

    Finalize(None, flush_all, exitpriority=0)


def _reset_in_child() -> None:
    for worker in list(_workers):
        worker.reset()


atexit.register(flush_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch (not on Windows)
    os.register_at_fork(after_in_child=_reset_in_child)
