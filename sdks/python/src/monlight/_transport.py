"""One POST to a Monlight service, and what its answer means.

A `Transport` belongs to the thread that sends; its connection is kept between requests. It must
never be shared with a forked child, which makes its own.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx

from monlight._version import __version__

MAX_ANSWER_BYTES = 65_536
MAX_RETRY_AFTER_SECONDS = 300.0
KEEPALIVE_SECONDS = 30.0
_BACKOFF_FIRST_SECONDS = 1.0
_BACKOFF_LAST_SECONDS = 60.0
_RETRY_STATUSES = frozenset({408, 425, 429})


class Verdict(Enum):
    """What to do with a body after it was sent."""

    DELIVERED = "delivered"
    RETRY = "retry"
    TOO_LARGE = "too large"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Answer:
    """The answer of a service: its status, its text (control characters replaced), its patience."""

    status: int
    text: str
    retry_after_seconds: float | None

    @property
    def verdict(self) -> Verdict:
        """What the status means: 2xx is delivered, 408, 425, 429 and 5xx are worth a retry."""
        if 200 <= self.status < 300:
            return Verdict.DELIVERED
        if self.status == 413:
            return Verdict.TOO_LARGE
        if self.status in _RETRY_STATUSES or self.status >= 500:
            return Verdict.RETRY
        return Verdict.REJECTED


def parse_retry_after(header: str | None, text: str) -> float | None:
    """Return the seconds to wait, from `Retry-After` (seconds or a date) or the JSON body.

    The body's `retry_after` is asked too because not every service sends the header. The result
    lies between 0 and `MAX_RETRY_AFTER_SECONDS`; None means nothing usable was said.
    """
    seconds: float | None = None
    try:
        seconds = float(json.loads(text)["retry_after"] if header is None else header)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        try:
            seconds = parsedate_to_datetime(header or "").timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def backoff_seconds(failures: int) -> float:
    """Return how long to wait after `failures` failures in a row: exponential, with jitter.

    "Equal jitter" of Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
    half of the exponential delay is fixed, the other half random.
    """
    ceiling = min(_BACKOFF_LAST_SECONDS, _BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 16))
    return ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311 (not a secret)


def idempotency_key() -> str:
    """Return a new UUID of version 7 (RFC 9562): a time, by which services forget it, and chance.

    The chance is the system's, so that forked processes do not make the same keys.
    """
    time_ms = max(time.time_ns() // 1_000_000, 0) & 0xFFFF_FFFF_FFFF
    chance = int.from_bytes(os.urandom(10), "big")
    version, variant = 7 << 76, 2 << 62
    low = (chance >> 64 & 0xFFF) << 64 | chance & (1 << 62) - 1
    return str(uuid.UUID(int=time_ms << 80 | version | variant | low))


def _header_value(api_key: object) -> str:
    # A key read from a file often ends in a line break. Any other character that no header can
    # carry is refused here, because the HTTP library's message would put the key into the log.
    key = api_key.strip() if isinstance(api_key, str) else ""
    if not key.isascii() or not key.isprintable():
        raise ValueError("the API key holds characters that an HTTP header cannot carry")
    return key


class Transport:
    """Sends bodies over one kept connection. `transport` replaces the network in tests."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._injected = transport
        self._client: httpx.Client | None = None

    def post(self, url: str, api_key: str, body: bytes, key: str, timeout: float) -> Answer:
        """POST `body` as JSON; raises what httpx raises.

        A service that has carried out a request with this idempotency `key` does not do so again.
        `timeout` is per phase, in seconds.
        """
        if self._client is None:
            self._client = httpx.Client(
                transport=self._injected,
                limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEPALIVE_SECONDS),
            )
        headers = {
            "Accept-Encoding": "identity",
            "User-Agent": f"monlight-python/{__version__}",
            "X-API-Key": _header_value(api_key),
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        received = bytearray()
        with self._client.stream(
            "POST", url, content=body, headers=headers, timeout=timeout
        ) as response:
            deadline = time.monotonic() + timeout
            for chunk in response.iter_bytes():
                received += chunk
                if len(received) >= MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    # The status is all that counts; leaving early gives the connection up.
                    break
        text = bytes(received[:MAX_ANSWER_BYTES]).decode("utf-8", "replace")
        return Answer(
            status=response.status_code,
            text="".join(c if c.isprintable() else " " for c in text[:200]),
            retry_after_seconds=parse_retry_after(response.headers.get("retry-after"), text),
        )

    def close(self) -> None:
        """Close the connection. The next `post` opens a new one."""
        client, self._client = self._client, None
        if client is not None and self._injected is None:
            client.close()
