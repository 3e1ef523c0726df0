"""`MetricsClient`: collects counters, gauges and histograms for the metrics collector."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from monlight import _guard
from monlight._encode import Encoder, clean_text, dumps, number, safe_str, seconds_or
from monlight._transport import Answer, Transport
from monlight._types import Stats
from monlight._worker import Limits, Worker

logger = logging.getLogger("monlight.metrics_client")

DEFAULT_FLUSH_INTERVAL_SECONDS = 10.0
DEFAULT_TIMEOUT_SECONDS = 5.0
# What the collector takes in one request; a body must stay below 512 KiB.
MAX_BATCH_ITEMS = 1_000
MAX_BATCH_BYTES = 512 * 1024 - 1
MAX_NAME_BYTES = 200
_QUEUE_ITEMS = 50_000
_QUEUE_BYTES = 16 * 1024 * 1024


class MetricsClient:
    """Collects metrics and sends them every `flush_interval` seconds once `start()` was called.

    `timeout` is the longest time in seconds that a request, `flush` and `shutdown` may take.
    `project` is sent with every metric if given. `transport` replaces the network in tests.

    No method raises. A value without an honest form as a finite number, and a name that is not 1 to
    200 bytes of text, are dropped and counted. Batches that could not be delivered for the moment
    are tried again for up to ten minutes; the buffer holds 50,000 metrics or 16 MiB.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        flush_interval: float = DEFAULT_FLUSH_INTERVAL_SECONDS,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        project: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = safe_str(base_url).rstrip("/")
        self.api_key = api_key
        self.flush_interval = flush_interval
        self.timeout = timeout
        self.project = project
        limits = Limits(
            queue_items=_QUEUE_ITEMS,
            queue_bytes=_QUEUE_BYTES,
            batch_items=MAX_BATCH_ITEMS,
            batch_bytes=MAX_BATCH_BYTES,
            interval_seconds=seconds_or(flush_interval, DEFAULT_FLUSH_INTERVAL_SECONDS),
        )
        self._worker = Worker(
            _Collector(self), limits, logger, automatic=False, transport=transport
        )

    def counter(self, name: str, labels: Mapping[str, Any] | None = None, value: float = 1) -> None:
        """Add `value` to a counter."""
        self._record(name, "counter", value, labels)

    def histogram(self, name: str, value: float, labels: Mapping[str, Any] | None = None) -> None:
        """Record one observation, such as a duration in seconds."""
        self._record(name, "histogram", value, labels)

    def gauge(self, name: str, value: float, labels: Mapping[str, Any] | None = None) -> None:
        """Record the present value of something that goes up and down."""
        self._record(name, "gauge", value, labels)

    def start(self) -> None:
        """Send by itself from now on; again after `shutdown`, and in forked children."""
        self._worker.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is buffered, waiting at most `timeout` seconds (default: the client's).

        True means that everything was delivered. After a failed attempt it returns without
        waiting for the next one.
        """
        return not _guard.is_busy() and self._worker.flush(self._timeout_seconds(timeout))

    async def flush_async(self, timeout: float | None = None) -> bool:
        """Do the same as `flush` without blocking the event loop."""
        return not _guard.is_busy() and await self._worker.flush_async(
            self._timeout_seconds(timeout)
        )

    def shutdown(self, timeout: float | None = None) -> bool:
        """Stop sending by itself, flush, and end the background thread and its connection.

        Waits at most `timeout` seconds (default: the client's). What could not be sent stays in
        the buffer, for a later `flush` or `start`.
        """
        self._worker.automatic = False
        return not _guard.is_busy() and self._worker.close(self._timeout_seconds(timeout))

    def stats(self) -> Stats:
        """Return how many metrics are buffered, were sent and were dropped, and why."""
        return self._worker.stats()

    def _timeout_seconds(self, override: float | None = None) -> float:
        return seconds_or(override, seconds_or(self.timeout, DEFAULT_TIMEOUT_SECONDS))

    def _record(self, name: object, kind: str, value: object, labels: object) -> None:
        if _guard.is_busy():
            self._worker.drop("reentrant")
            return
        try:
            with _guard.busy():
                body = self._encode(name, kind, value, labels)
            # Encoded now: what the caller changes in `labels` later is not sent.
            if body is None or len(body) + 2 > MAX_BATCH_BYTES:
                self._worker.drop("invalid")
            else:
                self._worker.put(body)
        except Exception:
            # A label mapping that fails when it is read.
            self._worker.drop("invalid")

    def _encode(self, name: object, kind: str, value: object, labels: object) -> bytes | None:
        converted = number(value)
        if not isinstance(name, str) or converted is None:
            return None
        plain_name = clean_text(name)
        if not 1 <= len(plain_name.encode()) <= MAX_NAME_BYTES:
            return None
        item: dict[str, Any] = {
            "name": plain_name,
            "type": kind,
            "value": converted,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if labels:
            if not isinstance(labels, Mapping):
                return None
            item["labels"] = Encoder().encode(labels)
        if self.project:
            item["project"] = safe_str(self.project)
        return dumps(item)


class _Collector:
    """The metrics collector as a destination: an array of metrics in a request."""

    def __init__(self, client: MetricsClient) -> None:
        self._client = client

    def join(self, bodies: Sequence[bytes]) -> bytes:
        return b"[" + b",".join(bodies) + b"]"

    def post(self, transport: Transport, body: bytes, key: str, timeout: float) -> Answer:
        client = self._client
        url = f"{client.base_url}/api/metrics"
        return transport.post(url, client.api_key, body, key, timeout)

    def timeout_seconds(self) -> float:
        return self._client._timeout_seconds()

    def log_status(self, answer: Answer) -> None:
        message = "Metrics collector returned status %d: %s"
        _guard.log(logger, logging.WARNING, message, answer.status, answer.text)

    def log_failure(self, items: int) -> None:
        message = "Failed to flush %d metrics to collector"
        _guard.log(logger, logging.WARNING, message, items, exc_info=True)
