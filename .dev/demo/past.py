"""A day of measurements from before the demo, so that the charts have a past.

They go to the collector's API as the SDKs would have sent them, each point with the time it stands for. A collector that
knows the shop's metrics already gets nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx

Point = dict[str, Any]

HOURS = 24
BATCH = 1000
# method, endpoint, share of the requests, median duration in seconds
ENDPOINTS = [
    ("GET", "/", 0.2, 0.004),
    ("GET", "/products/{product_id}", 0.44, 0.006),
    ("GET", "/search", 0.22, 0.019),
    ("POST", "/orders/{order_id}/pay", 0.14, 0.042),
]
PAGES = [("/", 0.4, 1.0), ("/products", 0.3, 1.0), ("/cart", 0.2, 1.0), ("/checkout", 0.1, 1.7)]
# name, median on a page of usual speed, spread
VITALS = [("lcp", 1900, 0.4), ("fcp", 1100, 0.3), ("ttfb", 240, 0.35), ("inp", 130, 0.45), ("cls", 0.05, 0.7)]


def send_past(collector: str, api_key: str, project: str, web_project: str) -> int:
    """Sends the day before now and returns its number of points; 0 when there is a past already."""
    with httpx.Client(base_url=collector, headers={"X-API-Key": api_key}, timeout=30, trust_env=False) as client:
        known = client.get("/api/metrics/names").raise_for_status().json()["metrics"]
        if any(metric["name"] == "http_requests_total" for metric in known):
            return 0
        batch: list[Point] = []
        sent = 0
        for point in a_day(project, web_project):
            batch.append(point)
            if len(batch) == BATCH:
                client.post("/api/metrics", json=batch).raise_for_status()
                sent, batch = sent + BATCH, []
        if batch:
            client.post("/api/metrics", json=batch).raise_for_status()
        return sent + len(batch)


def a_day(project: str, web_project: str) -> Iterator[Point]:
    """Minute by minute up to the one before this: busiest now, quiet half a day ago, a bad half hour in between."""
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    queue, open_orders = 5.0, 24.0
    for ago in range(HOURS * 60, 0, -1):
        minute = now - timedelta(minutes=ago)
        busy = 0.05 + 0.5 * (1 + math.cos(2 * math.pi * ago / (HOURS * 60))) / 2
        bad = 300 < ago <= 330
        for method, endpoint, share, seconds in ENDPOINTS:
            for _ in range(round(random.gauss(60 * busy * share, 2))):
                failed = endpoint.endswith("/pay") and random.random() < (0.4 if bad else 0.02)
                labels = {"method": method, "endpoint": endpoint, "status": "500" if failed else "200"}
                duration = seconds * random.lognormvariate(0, 0.5) * (4 if bad else 1)
                yield point(minute, project, "http_requests_total", "counter", 1, labels)
                yield point(minute, project, "http_request_duration_seconds", "histogram", duration, labels)
                if endpoint.endswith("/pay") and not failed:
                    paid_by = {"method": random.choice(["card", "card", "paypal"])}
                    yield point(minute, project, "orders_paid_total", "counter", 1, paid_by)
                    yield point(minute, project, "order_value_eur", "histogram", random.lognormvariate(3.3, 0.8), {})
        for page, share, slow in PAGES:
            for _ in range(round(random.gauss(5 * busy * share, 0.5))):
                labels = {"project": web_project, "source": "browser", "page": page}
                for name, median, spread in VITALS:
                    value = median * slow * random.lognormvariate(0, spread)
                    yield point(minute, web_project, f"web_vitals_{name}", "histogram", value, labels)
        queue = max(0.0, queue + random.gauss(0.3 * (20 * busy - queue), 1.2))
        open_orders = max(5.0, open_orders + random.gauss(0.1 * (60 * busy - open_orders), 1.5))
        yield point(minute, project, "queue_depth", "gauge", round(queue), {"queue": "mail"})
        yield point(minute, project, "orders_open", "gauge", round(open_orders), {})


def point(minute: datetime, project: str, name: str, kind: str, value: float, labels: dict[str, str]) -> Point:
    """One measurement somewhere in that minute."""
    time = minute + timedelta(seconds=random.uniform(0, 59))
    return {
        "name": name,
        "type": kind,
        "value": round(value, 6),
        "labels": labels,
        "project": project,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
