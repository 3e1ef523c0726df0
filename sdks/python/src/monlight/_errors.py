"""`ErrorClient`: reports exceptions to the error tracker."""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from monlight import _guard
from monlight._encode import clean_text, cut_middle, dumps, keep_end, safe_str, seconds_or
from monlight._scrub import lower_names, scrub_extra, scrub_headers, scrub_text
from monlight._tickets import Ticket
from monlight._transport import Answer, Transport
from monlight._types import Stats
from monlight._worker import Limits, Worker

logger = logging.getLogger("monlight.error_client")

DEFAULT_TIMEOUT_SECONDS = 5.0
# The tracker reads bodies of less than 256 KiB.
MAX_REPORT_BYTES = 262_143
_MAX_PROJECT_BYTES = 100
_MAX_TYPE_BYTES = 200
# Field by field, tried in turn until a report fits.
_SHRINK_TO_BYTES = (65_536, 16_384, 4_096, 1_024)
_LIMITS = Limits(queue_items=100, queue_bytes=8 * 1024 * 1024, batch_items=1, batch_bytes=1)


class ErrorClient:
    """Reports exceptions to the error tracker at `base_url`.

    `timeout` is the longest time in seconds that `report_error` and `report_error_sync` may take,
    all in all. `excluded_headers` are names of request headers that are not sent, in addition to
    those that carry secrets (authorization, cookies, API keys, tokens). `release`, `environment`
    and `server_name` are sent with every report if given. `transport` replaces the network in
    tests.

    No method raises. What could not be delivered for the moment is tried again in the background
    for up to ten minutes; the queue holds 100 reports or 8 MiB. `stats()` tells what was dropped.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        project: str = "default",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        excluded_headers: Iterable[str] | None = None,
        *,
        release: str | None = None,
        environment: str | None = None,
        server_name: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = safe_str(base_url).rstrip("/")
        self.api_key = api_key
        self.project = project
        self.timeout = timeout
        self.release = release
        self.environment = environment
        self.server_name = server_name
        self._excluded_headers = lower_names(excluded_headers)
        self._worker = Worker(_Tracker(self), _LIMITS, logger, automatic=True, transport=transport)

    async def report_error(
        self, exception: BaseException, request_context: Mapping[str, Any] | None = None
    ) -> None:
        """Report an exception and wait, at most `timeout` seconds, until it was tried.

        `request_context` may hold `request_url`, `request_method`, `request_headers` (a mapping),
        `user_id`, `extra` (anything), `level`, `tags` (a mapping) and `fingerprint` (a text or a
        list of texts that say which reports belong together); other keys are ignored. A
        cancellation passes through and leaves the report in the queue.
        """
        ticket = Ticket()
        if self._submit(exception, request_context, ticket):
            try:
                await ticket.wait_async(self._timeout_seconds())
            except Exception:
                _log_failure()

    def report_error_sync(
        self, exception: BaseException, request_context: Mapping[str, Any] | None = None
    ) -> None:
        """Do the same as `report_error` for code that is not asynchronous."""
        ticket = Ticket()
        if self._submit(exception, request_context, ticket):
            self._worker.wait(ticket, self._timeout_seconds())

    def capture(
        self, exception: BaseException, request_context: Mapping[str, Any] | None = None
    ) -> None:
        """Queue a report and return at once; it is sent in the background."""
        self._submit(exception, request_context, None)

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is queued, waiting at most `timeout` seconds (default: the client's).

        True means that everything was delivered. After a failed attempt it returns without
        waiting for the next one.
        """
        return not _guard.is_busy() and self._worker.flush(self._timeout_seconds(timeout))

    async def flush_async(self, timeout: float | None = None) -> bool:
        """Do the same as `flush` without blocking the event loop."""
        return not _guard.is_busy() and await self._worker.flush_async(
            self._timeout_seconds(timeout)
        )

    def close(self, timeout: float | None = None) -> bool:
        """Flush, then end the background thread and its connection.

        The client stays usable: the next report starts them again.
        """
        return not _guard.is_busy() and self._worker.close(self._timeout_seconds(timeout))

    def stats(self) -> Stats:
        """Return how many reports are queued, were sent and were dropped, and why."""
        return self._worker.stats()

    def _timeout_seconds(self, override: float | None = None) -> float:
        return seconds_or(override, seconds_or(self.timeout, DEFAULT_TIMEOUT_SECONDS))

    def _submit(self, exception: object, context: object, ticket: Ticket | None) -> bool:
        if _guard.is_busy():
            self._worker.drop("reentrant")
            return False
        try:
            with _guard.busy():
                body = self._encode(exception, context)
            self._worker.put(body, ticket)
        except Exception:
            self._worker.drop("invalid")
            _log_failure()
            return False
        return True

    def _encode(self, exception: object, context: object) -> bytes:
        payload: dict[str, Any] = {
            "project": _keep_start(safe_str(self.project), _MAX_PROJECT_BYTES),
            "exception_type": keep_end(clean_text(type(exception).__qualname__), _MAX_TYPE_BYTES),
            "message": scrub_text(safe_str(exception)),
            "traceback": scrub_text(_traceback(exception)),
        }
        if isinstance(context, Mapping):
            self._add_context(payload, context)
        for name in ("release", "environment", "server_name"):
            value = getattr(self, name)
            if value is not None:
                payload[name] = safe_str(value)
        return _fit(payload)

    def _add_context(self, payload: dict[str, Any], context: Mapping[str, Any]) -> None:
        given = {name: context[name] for name in _CONTEXT_KEYS if context.get(name) is not None}
        for name in ("request_url", "request_method"):
            if name in given:
                payload[name] = scrub_text(safe_str(given[name]))
        if "request_headers" in given:
            headers = scrub_headers(given["request_headers"], self._excluded_headers)
            if headers is not None:
                payload["request_headers"] = headers
        for name in ("user_id", "level"):
            if name in given:
                payload[name] = safe_str(given[name])
        if "extra" in given:
            payload["extra"] = scrub_extra(given["extra"])
        if isinstance(given.get("tags"), Mapping):
            payload["tags"] = scrub_extra(given["tags"])
        if "fingerprint" in given:
            payload["fingerprint"] = _fingerprint(given["fingerprint"])


_CONTEXT_KEYS = (
    "request_url",
    "request_method",
    "request_headers",
    "user_id",
    "extra",
    "level",
    "tags",
    "fingerprint",
)


def _fingerprint(value: object) -> str | list[str]:
    """Return what the service takes: a text, or at most twenty."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [safe_str(part) for part in itertools.islice(value, 20)]
    return safe_str(value)


def _traceback(exception: object) -> str:
    try:
        return clean_text("".join(traceback.format_exception(exception)))  # type: ignore[call-overload]
    except Exception:
        # Not an exception, or one whose causes or notes cannot be walked.
        return f"{type(exception).__qualname__}: {safe_str(exception)}\n"


def _keep_start(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _shrink(value: Any, max_bytes: int) -> Any:
    if isinstance(value, str):
        return cut_middle(value, max_bytes)
    size = len(dumps(value))
    return value if size <= max_bytes else {"…": f"{size} bytes cut"}


def _fit(payload: dict[str, Any]) -> bytes:
    body = dumps(payload)
    limits = iter(_SHRINK_TO_BYTES)
    # The last limit makes every report fit: fifteen fields, six bytes per character at worst.
    while len(body) > MAX_REPORT_BYTES:
        max_bytes = next(limits)
        payload = {name: _shrink(value, max_bytes) for name, value in payload.items()}
        body = dumps(payload)
    return body


def _log_failure() -> None:
    _guard.log(logger, logging.WARNING, "Failed to report error to error tracker", exc_info=True)


class _Tracker:
    """The error tracker as a destination: one report in a request."""

    def __init__(self, client: ErrorClient) -> None:
        self._client = client

    def join(self, bodies: Sequence[bytes]) -> bytes:
        return bodies[0]

    def post(self, transport: Transport, body: bytes, key: str, timeout: float) -> Answer:
        client = self._client
        url = f"{client.base_url}/api/errors"
        return transport.post(url, client.api_key, body, key, timeout)

    def timeout_seconds(self) -> float:
        return self._client._timeout_seconds()

    def log_status(self, answer: Answer) -> None:
        message = "Error tracker returned status %d: %s"
        _guard.log(logger, logging.WARNING, message, answer.status, answer.text)

    def log_failure(self, items: int) -> None:
        _log_failure()
