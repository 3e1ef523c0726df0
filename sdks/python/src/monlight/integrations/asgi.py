"""Pure ASGI middleware: request metrics and error reports for any ASGI application.

Both classes pass every message through as it is, add no task of their own, and let every
exception go on. When the application shuts down (`lifespan`) they wait for their client's last
flush, because a server that is stopped by a signal may end without running exit handlers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from monlight import _guard
from monlight._encode import clean_text
from monlight._errors import ErrorClient
from monlight._metrics import MetricsClient
from monlight.integrations._endpoints import UNMATCHED, EndpointLabels, route_path

logger = logging.getLogger("monlight.integrations.asgi")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)
_REPORTED_KEY = "monlight.reported"
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class _Flushable(Protocol):
    async def flush_async(self) -> bool:
        """Send what is queued."""


class MetricsMiddleware:
    """Counts and times HTTP requests.

    Each request gives `http_requests_total` (a counter) and `http_request_duration_seconds` (a
    histogram over the whole response, streamed bodies included) with the labels `method`,
    `endpoint` and `status`. `endpoint` is the template of the route with the prefixes of mounts
    and routers; all paths without a route share the label `(unmatched)`. `status` is `500` where
    the application raised, and `499` where the request was cancelled before it was answered.
    """

    def __init__(self, app: ASGIApp, metrics_client: MetricsClient) -> None:
        self.app = app
        self._client = metrics_client
        self._labels = EndpointLabels()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _flush_at_shutdown(send, self._client))
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        app, path = scope.get("app"), route_path(scope)
        method = str(scope.get("method", "")).upper()
        answered: int | None = None

        async def send_and_note(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message.get("status")
            await send(message)

        status = "499"
        started = time.perf_counter()
        try:
            await self.app(scope, receive, send_and_note)
            # A server answers 500 in place of an application that did not answer.
            status = "500" if answered is None else str(answered)
        except Exception:
            status = "500"
            raise
        except BaseException:
            # Cancelled, mostly because the client went away.
            status = status if answered is None else str(answered)
            raise
        finally:
            duration = time.perf_counter() - started
            self._record(app, scope, path, method, status, duration)

    def _record(
        self, app: object, scope: Scope, path: str, method: str, status: str, duration: float
    ) -> None:
        try:
            endpoint = self._labels.label(app, scope, path, method)
        except Exception:
            message = "Failed to find the route of a request"
            _guard.log(logger, logging.WARNING, message, exc_info=True)
            endpoint = UNMATCHED
        labels = {
            "method": method if method in _METHODS else "OTHER",
            "endpoint": endpoint,
            "status": status,
        }
        self._client.counter("http_requests_total", labels=labels)
        self._client.histogram("http_request_duration_seconds", duration, labels=labels)


class ErrorsMiddleware:
    """Reports exceptions that leave the application, each once, and lets them go on.

    It also sees what an `Exception` handler of the framework does not: exceptions of mounted
    applications, of WebSocket endpoints and in debug mode.
    """

    def __init__(self, app: ASGIApp, error_client: ErrorClient) -> None:
        self.app = app
        self._client = error_client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _flush_at_shutdown(send, self._client))
            return
        # The application may change its scope, so the context is what came in.
        context_scope = dict(scope)
        scope.setdefault(_REPORTED_KEY, [])
        try:
            await self.app(scope, receive, send)
        except Exception as exc:
            # A WebSocket client that leaves is no error, though Starlette raises it as one.
            if type(exc).__name__ != "WebSocketDisconnect":
                report_once(self._client, exc, scope, context_scope)
            raise


def report_once(
    client: ErrorClient, exc: Exception, scope: Scope, context_scope: Scope | None = None
) -> None:
    """Queue a report of `exc`, unless the same exception was reported for this request."""
    reported = scope.setdefault(_REPORTED_KEY, [])
    if any(known is exc for known in reported):
        return
    reported.append(exc)
    client.capture(exc, request_context(scope if context_scope is None else context_scope))


def request_context(scope: Scope) -> dict[str, Any]:
    """Return the context of a report: `request_url`, `request_method`, `request_headers`."""
    context: dict[str, Any] = {}
    try:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope.get("headers") or ():
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            # One field in several lines is one list (RFC 9110, section 5.2).
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        context["request_url"] = _url(scope, headers.get("host"))
        if "method" in scope:
            context["request_method"] = scope["method"]
        context["request_headers"] = headers
    except Exception:
        # A scope that does not keep to ASGI: the report goes without what could not be read.
        message = "Failed to read the request of an error"
        _guard.log(logger, logging.DEBUG, message, exc_info=True)
    return context


def _url(scope: Scope, host: str | None) -> str:
    scheme = scope.get("scheme", "http")
    if host is None and scope.get("server"):
        name, port = scope["server"]
        is_default = port is None or port == _DEFAULT_PORTS.get(scheme)
        host = name if is_default else f"{name}:{port}"
    root, path = scope.get("root_path") or "", scope.get("path", "")
    # Servers differ in whether the path contains the root path.
    if root and not path.startswith(root):
        path = root + path
    query = scope.get("query_string", b"").decode("latin-1")
    start = "" if host is None else f"{scheme}://{host}"
    return clean_text(f"{start}{path}{'?' if query else ''}{query}")


def _flush_at_shutdown(send: Send, client: _Flushable) -> Send:
    async def flush_and_send(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await client.flush_async()
        await send(message)

    return flush_and_send
