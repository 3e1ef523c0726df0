from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from monlight import ErrorClient, MetricsClient
from monlight.integrations.fastapi import (
    MonlightExceptionHandler,
    setup_monlight,
)
from tests.support import HttpService


class Connected:
    """An application with both services behind it."""

    def __init__(self, app: Any, service: HttpService, **options: Any) -> None:
        self.service = service
        self.clients = setup_monlight(
            app,
            error_tracker_url=service.url,
            metrics_collector_url=service.url,
            api_key="k",
            **{"project": "shop", "flush_interval": 3_600, **options},
        )
        self.http = TestClient(app, raise_server_exceptions=False)

    def errors(self) -> list[Any]:
        assert self.clients["error_client"].flush()
        return self.service.errors()

    def close(self) -> None:
        self.clients["error_client"].close()
        self.clients["metrics_client"].shutdown()


@pytest.fixture
def connect(http_service: HttpService) -> Iterator[Any]:
    made: list[Connected] = []

    def make(app: Any, **options: Any) -> Connected:
        made.append(Connected(app, http_service, **options))
        return made[-1]

    yield make
    for connected in made:
        connected.close()


def failing_app(**options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/boom/{name}")
    def boom(name: str) -> None:
        raise ValueError(f"boom {name}")

    @app.get("/refused")
    def refused() -> None:
        raise HTTPException(503)

    return app


def test_an_unhandled_exception(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = failing_app()
    connected = connect(app)
    answer = connected.http.get(
        "/boom/a?token=s&page=2", headers={"x-custom": "v", "cookie": "c=1", "x-auth-token": "t"}
    )
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal server error"})
    (report,) = connected.errors()
    assert list(report) == [
        *("project", "exception_type", "message", "traceback"),
        *("request_url", "request_method", "request_headers"),
    ]
    assert report["project"] == "shop"
    assert report["exception_type"] == "ValueError"
    assert report["message"] == "boom a"
    assert 'raise ValueError(f"boom {name}")' in report["traceback"]
    assert report["request_url"] == "http://testserver/boom/a?token=[redacted]&page=2"
    assert report["request_method"] == "GET"
    assert report["request_headers"]["x-custom"] == "v"
    assert not {"cookie", "x-auth-token"} & set(report["request_headers"])
    (record,) = [r for r in caplog.records if r.name == "monlight.integrations.fastapi"]
    assert record.getMessage() == "Unhandled exception: boom a"
    assert record.exc_info


def test_what_is_handled_is_not_reported(connect: Any) -> None:
    app = failing_app()

    @app.exception_handler(ValueError)
    def handle(_request: Request, _exc: Exception) -> PlainTextResponse:
        return PlainTextResponse("handled", 418)

    connected = connect(app)
    assert connected.http.get("/boom/a").status_code == 418
    assert connected.http.get("/refused").status_code == 503
    assert connected.http.get("/nope").status_code == 404
    assert connected.errors() == []


def test_debug_mode_is_reported(connect: Any) -> None:
    connected = connect(failing_app(debug=True))
    assert "Traceback" in connected.http.get("/boom/a").text
    assert [report["message"] for report in connected.errors()] == ["boom a"]


def test_mounted_applications_are_reported_once(connect: Any) -> None:
    app = FastAPI()
    app.mount("/sub", failing_app())
    connected = connect(app)
    assert connected.http.get("/sub/boom/a").status_code == 500
    (report,) = connected.errors()
    assert report["request_url"] == "http://testserver/sub/boom/a"


@pytest.mark.parametrize("key", [Exception, 500])
def test_a_handler_of_the_application_stays(connect: Any, key: Any) -> None:
    app = failing_app()

    @app.exception_handler(key)
    def handle(_request: Request, _exc: Exception) -> PlainTextResponse:
        return PlainTextResponse("mine", 500)

    connected = connect(app)
    assert connected.http.get("/boom/a").text == "mine"
    assert len(connected.errors()) == 1


def test_an_exception_outside_the_middleware_is_reported_by_the_handler(connect: Any) -> None:
    app = failing_app()
    connected = connect(app)

    class Failing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise ValueError("outside")

    app.add_middleware(Failing)
    assert connected.http.get("/").json() == {"detail": "Internal server error"}
    assert [report["message"] for report in connected.errors()] == ["outside"]


def test_starlette(connect: Any) -> None:
    async def boom(_request: Request) -> None:
        raise ValueError("boom")

    connected = connect(Starlette(routes=[Route("/boom/{name}", boom)]))
    assert connected.http.get("/boom/a").json() == {"detail": "Internal server error"}
    assert len(connected.errors()) == 1
    assert connected.clients["metrics_client"].flush()
    assert [metric["labels"] for metric in connected.service.metrics()] == [
        {"method": "GET", "endpoint": "/boom/{name}", "status": "500"}
    ] * 2
    assert {metric["project"] for metric in connected.service.metrics()} == {"shop"}


def test_options_reach_the_clients(connect: Any) -> None:
    connected = connect(
        failing_app(),
        timeout=2.0,
        excluded_headers=["X-Mine"],
        release="1.2",
        environment="staging",
        flush_interval=60,
    )
    errors, metrics = connected.clients["error_client"], connected.clients["metrics_client"]
    assert (errors.timeout, metrics.timeout, metrics.flush_interval) == (2.0, 2.0, 60)
    connected.http.get("/boom/a", headers={"x-mine": "secret"})
    (report,) = connected.errors()
    assert "x-mine" not in report["request_headers"]
    assert (report["release"], report["environment"]) == ("1.2", "staging")


def test_set_up_twice_installs_once(connect: Any) -> None:
    app = failing_app()
    first, second = connect(app), connect(app, project="other")
    assert second.clients == first.clients
    assert len(app.user_middleware) == 2
    first.http.get("/boom/a")
    assert len(first.errors()) == 1


def test_each_service_alone(http_service: HttpService) -> None:
    app = failing_app()
    assert setup_monlight(app, api_key="k") == {"error_client": None, "metrics_client": None}
    assert app.user_middleware == []
    only_errors = setup_monlight(app, api_key="k", error_tracker_url=http_service.url)
    assert isinstance(only_errors["error_client"], ErrorClient)
    assert only_errors["metrics_client"] is None
    assert only_errors["error_client"] is app.state.monlight_error_client
    both = setup_monlight(app, api_key="k", metrics_collector_url=http_service.url)
    assert both["error_client"] is only_errors["error_client"]
    assert isinstance(both["metrics_client"], MetricsClient)
    assert [repr(m).count("MonlightMiddleware") for m in app.user_middleware] == [1, 0]
    both["metrics_client"].shutdown()


def test_set_up_never_keeps_the_application_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = failing_app()
    TestClient(app).get("/refused")
    clients = setup_monlight(app, api_key="k", error_tracker_url="http://127.0.0.1:9")
    assert isinstance(clients["error_client"], ErrorClient)
    clients = setup_monlight(object(), api_key="k", metrics_collector_url="http://127.0.0.1:9")
    assert isinstance(clients["metrics_client"], MetricsClient)
    assert caplog.messages == ["Failed to set up Monlight"] * 2
    assert all(record.levelno == logging.ERROR for record in caplog.records)


def test_the_handler_without_a_client() -> None:
    app = failing_app()
    app.add_exception_handler(Exception, MonlightExceptionHandler)
    answer = TestClient(app, raise_server_exceptions=False).get("/boom/a")
    assert answer.content == b'{"detail":"Internal server error"}'


def test_a_tracker_that_is_down_does_not_slow_the_answer(http_service: HttpService) -> None:
    app = failing_app()
    clients = setup_monlight(app, api_key="k", error_tracker_url="http://127.0.0.1:9")
    answer = TestClient(app, raise_server_exceptions=False).get("/boom/a")
    assert json.loads(answer.content) == {"detail": "Internal server error"}
    assert clients["error_client"].close() is False
    assert clients["error_client"].stats()["queued"] == 1
