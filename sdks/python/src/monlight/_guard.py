"""Keeps the SDK from reporting itself.

While the SDK works on a thread (sending, logging, building a payload), everything that this
thread hands to the SDK is refused. Otherwise a logging handler, an instrumented HTTP library or a
`__str__` that reports errors would feed the SDK with its own failures for ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Local(threading.local):
    busy = False


_local = _Local()


def is_busy() -> bool:
    """Say whether the SDK is at work on this thread."""
    return _local.busy


@contextmanager
def busy() -> Iterator[None]:
    """Mark this thread as being at work for the SDK."""
    before, _local.busy = _local.busy, True
    try:
        yield
    finally:
        _local.busy = before


def log(
    logger: logging.Logger, level: int, message: str, *args: object, exc_info: Any = None
) -> None:
    """Log as the SDK: guarded, and without raising where a handler of the application fails."""
    with busy():
        try:
            logger.log(level, message, *args, exc_info=exc_info)
        except Exception:
            # The application's handler failed. There is no second way to say anything.
            pass
