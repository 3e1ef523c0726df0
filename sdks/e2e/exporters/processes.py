"""The collector as a process, and an exporter."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from services import KEY, Service, eventually

HERE = Path(__file__).resolve().parent


def request(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Collector(Service):
    def __init__(self, port: int = 0, **settings: str) -> None:
        super().__init__("metrics-collector", port, AGGREGATION_INTERVAL="1", **settings)

    def ask(self, path: str) -> Any:
        status, body = request(self.port, "GET", path, headers={"X-API-Key": KEY})
        assert status == 200, (status, body)
        return json.loads(body)

    def push(self, body: bytes, content_type: str, query: str = "", **headers: str) -> dict[str, Any]:
        all_headers = {"X-API-Key": KEY, "Content-Type": content_type, **headers}
        status, answer = request(self.port, "POST", f"/api/import/prometheus?{query}", body, all_headers)
        assert status == 202, (status, answer)
        accepted: dict[str, Any] = json.loads(answer)
        return accepted

    def figures(self, name: str, labels: str, *figures: str) -> dict[str, float] | None:
        """Of everything a name has with these labels, in one row."""
        query = urllib.parse.urlencode(
            {"name": name, "labels": labels, "group_by": "", "agg": ",".join(figures), "step": "366d", "start": "2020-01-01"}
        )
        rows: list[dict[str, float]] = self.ask(f"/api/metrics?{query}")["data"]
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    def total(self, name: str, labels: str) -> float:
        found = self.figures(name, labels, "sum")
        return found["sum"] if found else 0.0

    def target(self, job: str) -> dict[str, Any]:
        targets: list[dict[str, Any]] = self.ask("/api/scrape-targets")["targets"]
        return next(target for target in targets if target["job"] == job)

    def wait_for_scrape(self, *jobs: str) -> None:
        """Until each was scraped from beginning to end: the next scrape may have begun before."""
        for job in jobs:
            before = self.target(job)["scrapes"]
            eventually(f"{job} is scraped", lambda: self.target(job)["scrapes"] >= before + 2)


class Exporter:
    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, HERE / "exporter.py", str(self.port), *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def restart(self) -> None:
        """On the same port, as the same target."""
        self.end()
        self.start()

    def count(self, *what: list[Any]) -> None:
        status, _ = request(self.port, "POST", "/", json.dumps(what).encode())
        assert status == 200

    def expose(self, path: str) -> bytes:
        status, body = request(self.port, "GET", path)
        assert status == 200
        return body


def nearest_rank(values: list[float], percent: int) -> float:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
