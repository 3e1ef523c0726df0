"""FastAPI and Starlette: `setup_monlight` connects an application to Monlight.

app = FastAPI()
setup_monlight(
    app,
    error_tracker_url="http://localhost:5010",
    metrics_collector_url="http://localhost:5012",
    api_key="...",
    project="shop",
)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from monlight import _guard
from monlight._encode import safe_str
from monlight._errors import DEFAULT_TIMEOUT_SECONDS, ErrorClient
from monlight._metrics import DEFAULT_FLUSH_INTERVAL_SECONDS, MetricsClient
from monlight.integrations.asgi import ErrorsMiddleware, MetricsMiddleware, report_once

__all__ = ["MonlightExceptionHandler", "MonlightMiddleware", "setup_monlight"]

logger = logging.getLogger("monlight.integrations.fastapi")


class MonlightMiddleware(MetricsMiddleware):
    """Request metrics; see `MetricsMiddleware`. For `app.add_middleware`."""


async def MonlightExceptionHandler(request: Request, exc: Exception) -> JSONResponse:
    """Log and report an exception that nobody handled, and answer 500.

    Uses the client in `app.state.monlight_error_client`, if there is one.
    """
    client = _installed(request.app, "monlight_error_client")
    if client is not None:
        report_once(client, exc, request.scope)
    _guard.log(logger, logging.ERROR, "Unhandled exception: %s", safe_str(exc), exc_info=exc)
    return JSONResponse(status_code=500, content={"detail": "Internal server error"})


def setup_monlight(
    app: Any,
    *,
    error_tracker_url: str | None = None,
    metrics_collector_url: str | None = None,
    api_key: str,
    project: str = "default",
    flush_interval: float = DEFAULT_FLUSH_INTERVAL_SECONDS,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    excluded_headers: Iterable[str] | None = None,
    release: str | None = None,
    environment: str | None = None,
    server_name: str | None = None,
) -> dict[str, Any]:
    """Connect a FastAPI or Starlette application; call it before the application serves.

    With `error_tracker_url`, exceptions that nobody handles are reported. With
    `metrics_collector_url`, requests are counted and timed. Returns
    `{"error_client": ErrorClient | None, "metrics_client": MetricsClient | None}`. A second call
    adds what the first left out and changes nothing else. An `Exception` handler that the
    application already has stays in place; the reports do not depend on it. An application that
    cannot be connected, because it serves already, is an error in the log and no exception; the
    clients are returned all the same.
    """
    error_client: ErrorClient | None = None
    metrics_client: MetricsClient | None = None
    try:
        error_client = _installed(app, "monlight_error_client")
        if error_client is None and error_tracker_url:
            error_client = ErrorClient(
                error_tracker_url,
                api_key,
                project,
                timeout,
                excluded_headers,
                release=release,
                environment=environment,
                server_name=server_name,
            )
            app.add_middleware(ErrorsMiddleware, error_client=error_client)
            app.state.monlight_error_client = error_client
            if not {500, Exception} & set(app.exception_handlers):
                app.add_exception_handler(Exception, MonlightExceptionHandler)
        metrics_client = _installed(app, "monlight_metrics_client")
        if metrics_client is None and metrics_collector_url:
            metrics_client = MetricsClient(
                metrics_collector_url, api_key, flush_interval, timeout, project
            )
            app.add_middleware(MonlightMiddleware, metrics_client=metrics_client)
            app.state.monlight_metrics_client = metrics_client
            metrics_client.start()
    except Exception:
        # Monitoring that cannot be installed must not keep the application from starting.
        _guard.log(logger, logging.ERROR, "Failed to set up Monlight", exc_info=True)
    return {"error_client": error_client, "metrics_client": metrics_client}


def _installed(app: Any, name: str) -> Any:
    return getattr(getattr(app, "state", None), name, None)
