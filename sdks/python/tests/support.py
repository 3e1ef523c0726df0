"""What several test modules need: servers that record, and waiting on conditions."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

PATIENCE_SECONDS = 20.0


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Poll until `condition()` is true and return its value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        threading.Event().wait(0.005)
    raise AssertionError(f"{what} did not come true within {PATIENCE_SECONDS} s")


@dataclass
class Reply:
    """A scripted answer."""

    status: int = 201
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


class Service(httpx.BaseTransport):
    """A service without a network. Answers with `replies` in order, then with `Reply()`."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[httpx.Request] = []
        self.replies = list(replies)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.entered.set()
        assert self.gate.wait(PATIENCE_SECONDS)
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else Reply()
        if reply.error is not None:
            raise reply.error
        return httpx.Response(reply.status, content=reply.body, headers=reply.headers)

    def json(self) -> list[Any]:
        """All bodies received."""
        return [json.loads(request.content) for request in self.requests]

    def metrics(self) -> list[Any]:
        """All metrics received."""
        return [metric for batch in self.json() for metric in batch]


class HttpService:
    """A real HTTP server on loopback that records requests.

    Like the services it stores one with a known key no second time. `lose` is how many answers,
    from now on, are lost: the body is taken, then the connection ends.
    """

    def __init__(self, status: int = 201) -> None:
        self.bodies: list[tuple[str, Any]] = []
        self.keys: list[str] = []
        self.stored: dict[str, Any] = {}
        self.lose = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                key = self.headers["idempotency-key"]
                service.bodies.append((self.path, json.loads(body)))
                service.keys.append(key)
                service.stored.setdefault(key, json.loads(body))
                if service.lose > 0:
                    service.lose -= 1
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def metrics(self) -> list[Any]:
        return [m for path, body in list(self.bodies) if path == "/api/metrics" for m in body]

    def errors(self) -> list[Any]:
        return [body for path, body in list(self.bodies) if path == "/api/errors"]


class RawServer:
    """A socket that takes one request after the other and keeps their bytes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rb") as stream:
                self.connections += 1
                while self._take(connection, stream):
                    pass
                if self.received and self.received[-1] == b"stop":
                    return

    def _take(self, connection: socket.socket, stream: Any) -> bool:
        head = b""
        while line := stream.readline():
            head += line
            if line == b"\r\n":
                break
        if not head:
            return False
        if head.startswith(b"STOP"):
            self.received.append(b"stop")
            return False
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        self.received.append(head + stream.read(length))
        connection.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}")
        return True

    def close(self) -> None:
        with socket.create_connection(self._socket.getsockname()) as connection:
            connection.sendall(b"STOP / HTTP/1.1\r\n\r\n")
        self._thread.join(PATIENCE_SECONDS)
        self._socket.close()


def run_python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
