"""The middleware around real applications: Starlette, FastAPI and bare ASGI."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from monlight import ErrorClient, MetricsClient
from monlight.integrations import _endpoints
from monlight.integrations.asgi import (
    ASGIApp,
    ErrorsMiddleware,
    Message,
    MetricsMiddleware,
    Receive,
    Scope,
    Send,
    request_context,
)
from tests.support import Service


def http_scope(**changes: Any) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    return scope | changes


async def no_message() -> Message:
    return {"type": "http.disconnect"}


async def discard(_message: Message) -> None:
    pass


async def ok(_request: Request) -> Response:
    return PlainTextResponse("ok")


def labels_of(service: Service) -> list[tuple[str, str, str]]:
    """The labels of the requests counted, after checking that each was timed, too."""
    metrics = service.metrics()
    counters = [m for m in metrics if m["name"] == "http_requests_total"]
    timings = [m for m in metrics if m["name"] == "http_request_duration_seconds"]
    assert [m["labels"] for m in counters] == [m["labels"] for m in timings]
    assert all(m["type"] == "counter" and m["value"] == 1 for m in counters)
    assert all(m["type"] == "histogram" and m["value"] >= 0 for m in timings)
    assert all(list(m["labels"]) == ["method", "endpoint", "status"] for m in metrics)
    return [tuple(m["labels"].values()) for m in counters]


@pytest.fixture
def measure(metrics: MetricsClient, service: Service) -> Callable[..., list[tuple[str, str, str]]]:
    """Serve requests, each a path or a method and a path, and return their labels."""

    def run(app: ASGIApp, *requests: str, root_path: str = "") -> list[tuple[str, str, str]]:
        async def main() -> None:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, root_path=root_path)
            async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
                for request in requests:
                    method, _, path = request.rpartition(" ")
                    await client.request(method or "GET", path)

        asyncio.run(main())
        assert metrics.flush()
        return labels_of(service)

    return run


def starlette_app(metrics: MetricsClient, routes: list[Any]) -> Starlette:
    app = Starlette(routes=routes)
    app.add_middleware(MetricsMiddleware, metrics_client=metrics)
    return app


def test_endpoints_of_fastapi(metrics: MetricsClient, measure: Callable[..., Any]) -> None:
    app = FastAPI()
    inner, outer = APIRouter(prefix="/items"), APIRouter(prefix="/v1")

    @inner.get("/{item_id}")
    def item(item_id: int) -> int:
        return item_id

    @app.get("/users/{uid}")
    def user(uid: int) -> int:
        return uid

    sub = FastAPI()

    @sub.get("/things/{thing}")
    def thing(thing: int) -> int:
        return thing

    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    app.mount("/a", sub)
    app.mount("/{tenant}/b", sub)
    app.add_middleware(MetricsMiddleware, metrics_client=metrics)
    assert measure(
        app,
        *("/users/7?x=1", "/users/x", "POST /users/7", "/users/7/", "/nope/123", "/docs"),
        *("/api/v1/items/3", "POST /api/v1/items/3", "/api/v1/nope"),
        *("/a/things/1", "/acme/b/things/1", "/a/nope"),
    ) == [
        ("GET", "/users/{uid}", "200"),
        ("GET", "/users/{uid}", "422"),
        ("POST", "/users/{uid}", "405"),
        ("GET", "(unmatched)", "307"),
        ("GET", "(unmatched)", "404"),
        ("GET", "/docs", "200"),
        ("GET", "/api/v1/items/{item_id}", "200"),
        ("POST", "/api/v1/items/{item_id}", "405"),
        ("GET", "(unmatched)", "404"),
        ("GET", "/a/things/{thing}", "200"),
        ("GET", "/{tenant}/b/things/{thing}", "200"),
        ("GET", "/a/(unmatched)", "404"),
    ]


def test_endpoints_of_starlette(
    metrics: MetricsClient, measure: Callable[..., Any], tmp_path: Any
) -> None:
    (tmp_path / "file.css").write_text("")

    async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(_scope, _receive, send)

    class Endpoint:
        def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
            self.args = scope, receive, send

        def __await__(self) -> Any:
            return PlainTextResponse("class")(*self.args).__await__()

    async def socket(_socket: WebSocket) -> None:
        raise NotImplementedError

    app = starlette_app(
        metrics,
        [
            WebSocketRoute("/one/{name}", socket),
            Route("/one/{name}", ok),
            Route("/twice/a", ok),
            Route("/any/{name:path}", Endpoint),
            Mount("/sub", routes=[Route("/{x:int}", ok, methods=["POST"]), Mount("/raw", hello)]),
            Mount("/static", StaticFiles(directory=tmp_path)),
            Host("api.example", app=Starlette(routes=[Route("/hosted", ok)])),
        ],
    )
    assert measure(
        app,
        *("/one/x", "/twice/a", "DELETE /any/a/b", "POST /sub/1", "GET /sub/1", "/sub/raw/x/y"),
        *("/static/file.css", "/static/nope.css", "http://api.example/hosted", "/nope"),
    ) == [
        ("GET", "/one/{name}", "200"),
        ("GET", "/twice/a", "200"),
        ("DELETE", "/any/{name:path}", "200"),
        ("POST", "/sub/{x:int}", "200"),
        ("GET", "/sub/{x:int}", "405"),
        ("GET", "/sub/raw/*", "200"),
        ("GET", "/static/*", "200"),
        ("GET", "/static/*", "404"),
        ("GET", "/hosted", "200"),
        ("GET", "(unmatched)", "404"),
    ]


def test_routes_added_while_serving(metrics: MetricsClient, measure: Callable[..., Any]) -> None:
    async def late(_request: Request) -> Response:
        return PlainTextResponse("late")

    inner = Starlette()
    app = starlette_app(metrics, [Route("/a", ok), Mount("/sub", inner)])
    measure(app, "/a", "/sub/late")
    inner.router.routes.append(Route("/late", late))
    app.router.routes.append(Route("/later/{x}", late, methods=["PUT"]))
    assert measure(app, "/sub/late", "PUT /later/1")[2:] == [
        ("GET", "/sub/late", "200"),
        ("PUT", "/later/{x}", "200"),
    ]
    inner.router.routes.append(Route("/last", lambda _request: PlainTextResponse("last")))
    assert measure(app, "/sub/last")[4:] == [("GET", "/sub/last", "200")]


def test_root_path(metrics: MetricsClient, measure: Callable[..., Any]) -> None:
    app = starlette_app(metrics, [Route("/a/{x}", ok), Route("/b/{x}", ok)])
    assert measure(app, "/proxy/a/1", "/a/1", root_path="/proxy") == [
        ("GET", "/a/{x}", "200"),
        ("GET", "/a/{x}", "200"),
    ]
    assert _endpoints.route_path({"path": "/proxy", "root_path": "/proxy/"}) == ""
    assert _endpoints.route_path({"path": "/proxyed", "root_path": "/proxy"}) == "/proxyed"


def test_an_application_without_routes(metrics: MetricsClient, measure: Callable[..., Any]) -> None:
    app = MetricsMiddleware(PlainTextResponse("ok"), metrics)
    assert measure(app, "/secret/123", "get /", "BREW /") == [
        ("GET", "(unmatched)", "200"),
        ("GET", "(unmatched)", "200"),
        ("OTHER", "(unmatched)", "200"),
    ]


def test_routes_that_cannot_be_read(
    metrics: MetricsClient, measure: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Odd:
        methods = ["GET"]

    class App:
        routes = [Odd()]

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["app"] = self
            await inner(scope, receive, send)

    inner = MetricsMiddleware(PlainTextResponse("ok"), metrics)
    assert measure(App(), "/") == [("GET", "(unmatched)", "200")]
    assert caplog.messages == ["Failed to find the route of a request"]


def test_duration_covers_a_streamed_body(metrics: MetricsClient, service: Service) -> None:
    moments: list[float] = []

    async def body() -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() - start < 0.05:
            yield b"x"
            await asyncio.sleep(0)
        moments.append(loop.time() - start)

    app = starlette_app(metrics, [Route("/s", lambda _r: StreamingResponse(body()))])
    TestClient(app).get("/s")
    metrics.flush()
    timing = next(m for m in service.metrics() if m["type"] == "histogram")
    assert timing["value"] >= moments[0]


def test_status_of_failures(metrics: MetricsClient, measure: Callable[..., Any]) -> None:
    async def fail(_request: Request) -> Response:
        raise ValueError("x")

    async def fail_late(_request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            raise ValueError("late")

        return StreamingResponse(body())

    app = starlette_app(metrics, [Route("/a", fail), Route("/b", fail_late)])
    assert measure(app, "/a", "/b") == [("GET", "/a", "500"), ("GET", "/b", "500")]


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pass


async def cancelled(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise asyncio.CancelledError


async def cancelled_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 206, "headers": []})
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("app", "status"), [(silent, "500"), (cancelled, "499"), (cancelled_late, "206")]
)
def test_status_without_an_ordinary_end(
    metrics: MetricsClient, service: Service, app: ASGIApp, status: str
) -> None:
    async def main() -> None:
        try:
            await MetricsMiddleware(app, metrics)(http_scope(), no_message, discard)
        except asyncio.CancelledError:
            assert app is not silent

    asyncio.run(main())
    metrics.flush()
    assert labels_of(service) == [("GET", "(unmatched)", status)]


def test_websockets_are_not_counted(metrics: MetricsClient) -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = starlette_app(metrics, [WebSocketRoute("/ws", echo)])
    with TestClient(app).websocket_connect("/ws") as session:
        session.send_text("hello")
        assert session.receive_text() == "hello"
    assert metrics.stats()["queued"] == 0


def test_context_variables_pass_through(metrics: MetricsClient) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str] = []

    async def endpoint(_request: Request) -> Response:
        variable.set("set inside")
        return PlainTextResponse("ok")

    app = starlette_app(metrics, [Route("/", endpoint)])

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        seen.append(variable.get())

    async def main() -> None:
        transport = httpx.ASGITransport(outside)
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            await client.get("/")

    asyncio.run(main())
    assert seen == ["set inside"]


def test_shutdown_of_the_application_flushes(
    metrics: MetricsClient, errors: ErrorClient, service: Service
) -> None:
    app = Starlette(routes=[Route("/", ok)])
    app.add_middleware(MetricsMiddleware, metrics_client=metrics)
    app.add_middleware(ErrorsMiddleware, error_client=errors)
    with TestClient(app) as client:
        client.get("/")
        errors.capture(ValueError("x"))
    assert metrics.stats()["sent"] == 2
    assert errors.stats()["sent"] == 1
    assert len(service.requests) == 2


def raising_app(exc: BaseException) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise exc

    return app


def serve_raising(errors: ErrorClient, exc: BaseException, scope: dict[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(type(exc)):
            await ErrorsMiddleware(raising_app(exc), errors)(scope, no_message, discard)

    asyncio.run(main())
    errors.flush()


def test_an_error_is_reported_and_goes_on(errors: ErrorClient, service: Service) -> None:
    serve_raising(
        errors,
        ValueError("x"),
        http_scope(
            method="POST",
            path="/a",
            query_string=b"b=1&token=t",
            headers=[
                *((b"host", b"h:1"), (b"x-a", b"1"), (b"x-a", b"2")),
                *((b"cookie", b"c"), (b"proxy-authorization", b"p")),
            ],
        ),
    )
    report = service.json()[0]
    assert report["request_url"] == "http://h:1/a?b=1&token=[redacted]"
    assert report["request_method"] == "POST"
    assert report["request_headers"] == {"host": "h:1", "x-a": "1, 2"}


def test_cancellation_and_leaving_clients_are_no_errors(
    errors: ErrorClient, service: Service
) -> None:
    class WebSocketDisconnect(Exception):
        pass

    serve_raising(errors, asyncio.CancelledError(), http_scope())
    serve_raising(errors, WebSocketDisconnect(), {"type": "websocket", "path": "/"})
    assert service.requests == []


def test_errors_of_websockets_are_reported(errors: ErrorClient, service: Service) -> None:
    async def fail(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ValueError("in a socket")

    app = Starlette(routes=[WebSocketRoute("/ws/{name}", fail)])
    app.add_middleware(ErrorsMiddleware, error_client=errors)
    with (
        pytest.raises(ValueError, match="in a socket"),
        TestClient(app).websocket_connect("/ws/a") as session,
    ):
        session.receive_text()
    errors.flush()
    (report,) = service.json()
    assert report["request_url"] == "ws://testserver/ws/a"
    assert "request_method" not in report


def test_nested_middleware_reports_once_and_a_new_request_again(
    errors: ErrorClient, service: Service
) -> None:
    same = ValueError("one object, raised again and again")
    app = ErrorsMiddleware(ErrorsMiddleware(raising_app(same), errors), errors)

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="one object"):
                await app(http_scope(), no_message, discard)

    asyncio.run(main())
    errors.flush()
    assert len(service.requests) == 2


def test_errors_of_background_tasks_are_reported(errors: ErrorClient, service: Service) -> None:
    def fail() -> None:
        raise ValueError("in the background")

    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(fail))

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(ErrorsMiddleware, error_client=errors)
    assert TestClient(app, raise_server_exceptions=False).get("/").status_code == 200
    errors.flush()
    assert [report["message"] for report in service.json()] == ["in the background"]


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://127.0.0.1/"),
        ({"server": ("127.0.0.1", 81)}, "http://127.0.0.1:81/"),
        ({"server": ("/run/socket", None)}, "http:///run/socket/"),
        ({"server": None}, "/"),
        ({"scheme": "https", "server": ("h", 443), "path": "/é"}, "https://h/é"),
        ({"root_path": "/p", "path": "/a"}, "http://127.0.0.1/p/a"),
        ({"root_path": "/p", "path": "/p/a"}, "http://127.0.0.1/p/a"),
        ({"query_string": b"a=%20"}, "http://127.0.0.1/?a=%20"),
    ],
)
def test_urls(changes: dict[str, Any], url: str) -> None:
    assert request_context(http_scope(**changes))["request_url"] == url


def test_a_scope_that_is_none() -> None:
    assert request_context({"type": "http", "headers": [("not", "bytes")]}) == {}
    assert request_context({"type": "http"})["request_url"] == ""
