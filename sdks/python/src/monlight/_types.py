"""Types of the public interface."""

from __future__ import annotations

from typing import TypedDict


class Stats(TypedDict):
    """What a client did since it was made, or since the process was forked.

    `queued` and `queued_bytes` are what waits now, including what is being sent; the others count
    up. `dropped` is the sum of `dropped_by_reason`, whose keys are `queue_full`, `invalid` (it has
    no JSON form, or is too large), `rejected` (the service refused it), `expired` (too old or too
    often tried) and `reentrant` (made by the SDK's own sending).
    """

    queued: int
    queued_bytes: int
    sent: int
    retries: int
    dropped: int
    dropped_by_reason: dict[str, int]
