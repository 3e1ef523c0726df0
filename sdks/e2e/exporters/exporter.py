"""An exporter as applications have them: the Prometheus client from PyPI, in a process of its own.

POST / with a list of [what, values...] counts; GET /text and /openmetrics expose. With `plain` as argument the times of
creation are left out, as older clients do.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import prometheus_client as prometheus
from prometheus_client.openmetrics import exposition as openmetrics

registry = prometheus.CollectorRegistry()
orders = prometheus.Counter("orders", "Orders.", ["kind"], registry=registry)
stock = prometheus.Gauge("stock", "In store, \\ and \"more\"\nin two lines.", ["what"], registry=registry)
latency = prometheus.Histogram("latency_seconds", "Latency.", ["path"], registry=registry)
payload = prometheus.Summary("payload_bytes", "Payloads.", registry=registry)
prometheus.Info("build", "Build.", registry=registry).info({"version": "1.2.3"})

if "plain" in sys.argv:
    prometheus.disable_created_metrics()


def count(what: str, *values: float | str) -> None:
    match what:
        case "order":
            orders.labels(str(values[0])).inc(float(values[1]))
        case "fail":
            orders.labels(str(values[0])).inc(float(values[1]), {"trace_id": "abc"})
        case "stock":
            stock.labels(str(values[0])).set(float(values[1]))
        case "latency":
            for value in values[1:]:
                latency.labels(str(values[0])).observe(float(value))
        case "payload":
            payload.observe(float(values[0]))
        case _:
            raise ValueError(what)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/openmetrics":
            self.answer(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(registry))
        else:
            self.answer(prometheus.CONTENT_TYPE_LATEST, prometheus.generate_latest(registry))

    def do_POST(self) -> None:
        for what in json.loads(self.rfile.read(int(self.headers["content-length"]))):
            count(*what)
        self.answer("text/plain", b"")

    def answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
