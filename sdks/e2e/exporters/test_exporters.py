"""What applications expose, through the Prometheus client from PyPI, is what the collector has counted in the end."""

from __future__ import annotations

import bisect
import gzip
import math
import random
import signal
import unittest
from collections import defaultdict
from typing import Any

from processes import Collector, Exporter, nearest_rank
from prometheus_client import CONTENT_TYPE_LATEST as TEXT
from prometheus_client import Histogram
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS

from services import KEY, Service, free_port

LIMITS = list(Histogram.DEFAULT_BUCKETS)


class Truth:
    """What was counted, by hand."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.orders: defaultdict[str, float] = defaultdict(float)
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        self.payloads: list[float] = []
        self.stock = 0.0

    def some(self) -> list[list[Any]]:
        """Counts some, here and for the exporter."""
        what: list[list[Any]] = []
        for _ in range(self.random.randint(1, 8)):
            kind, number = self.random.choice(["new", "gift \"é\" \\ \n"]), self.random.choice([1.0, 2.0, 0.5])
            self.orders[kind] += number
            what.append([self.random.choice(["order", "fail"]), kind, number])
            path = self.random.choice(["/", "/cart"])
            values = [self.random.lognormvariate(-3, 1.5) for _ in range(self.random.randint(1, 50))]
            self.latencies[path] += values
            what.append(["latency", path, *values])
            self.payloads.append(self.random.randint(1, 10_000))
            what.append(["payload", self.payloads[-1]])
            self.stock = self.random.uniform(-5, 5)
            what.append(["stock", "tea", self.stock])
        return what

    def check(self, test: unittest.TestCase, collector: Collector, job: str) -> None:
        for kind, expected in self.orders.items():
            escaped = kind.replace("\\", "\\\\")
            test.assertAlmostEqual(collector.total("orders_total", f"job:{job},kind:{escaped}"), expected, 6)
        for path, values in self.latencies.items():
            labels = f"job:{job},path:{path}"
            found = collector.figures("latency_seconds", labels, "count", "sum", "p50", "p95", "p99")
            assert found is not None
            test.assertEqual(found["count"], len(values))
            test.assertAlmostEqual(found["sum"], math.fsum(values), 6)
            for percent in (50, 95, 99):
                test.assertTrue(
                    in_its_bucket(found[f"p{percent}"], nearest_rank(values, percent)),
                    (percent, found, nearest_rank(values, percent)),
                )
        test.assertAlmostEqual(collector.total("payload_bytes_sum", f"job:{job}"), math.fsum(self.payloads), 6)
        test.assertEqual(collector.total("payload_bytes_count", f"job:{job}"), len(self.payloads))
        stock = collector.figures("stock", f"job:{job},what:tea", "last")
        assert stock is not None
        test.assertAlmostEqual(stock["last"], self.stock, 9)


def in_its_bucket(found: float, exact: float) -> bool:
    place = bisect.bisect_left(LIMITS, exact)
    low, high = (LIMITS[place - 1] if place else 0.0), LIMITS[min(place, len(LIMITS) - 1)]
    if math.isinf(high):
        high = low
    return low * 0.9899 <= found <= high * 1.0101


class Scraped(unittest.TestCase):
    def test_totals_are_exact_whatever_is_restarted(self) -> None:
        exporter = Exporter()
        self.addCleanup(exporter.end)
        base = f"http://127.0.0.1:{exporter.port}"
        collector = Collector(SCRAPE_TARGETS=f"text={base}/text,open={base}/openmetrics", SCRAPE_INTERVAL="1")
        self.addCleanup(collector.remove)
        truth = Truth(1)
        for step in range(9):
            for _ in range(3):
                exporter.count(*truth.some())
            if step % 3 == 1:
                # In the middle of whatever it does.
                collector.kill_and_start()
            exporter.count(*truth.some())
            if step % 3 == 2:
                # What an exporter has counted since its last scrape ends with it.
                collector.wait_for_scrape("text", "open")
                exporter.restart()
                exporter.count(*truth.some())
            if step == 5:
                collector.end(signal.SIGTERM)
                exporter.count(*truth.some())
                collector.start()
        collector.wait_for_scrape("text", "open")
        for job in ("text", "open"):
            truth.check(self, collector, job)
            self.assertEqual(collector.target(job)["last_error"], None)
        # Times of creation are not metrics, and what describes is a level.
        names = [metric["name"] for metric in collector.ask("/api/metrics/names")["metrics"]]
        self.assertFalse([name for name in names if name.endswith("_created")], names)
        self.assertIn("build_info", names)

    def test_the_first_reading_without_a_time_of_creation_adds_nothing(self) -> None:
        exporter = Exporter("plain")
        self.addCleanup(exporter.end)
        before = Truth(2)
        exporter.count(*before.some(), ["order", "new", 100.0])
        collector = Collector(
            SCRAPE_TARGETS=f"plain=http://127.0.0.1:{exporter.port}/text", SCRAPE_INTERVAL="1", SCRAPE_PROJECT="shop"
        )
        self.addCleanup(collector.remove)
        collector.wait_for_scrape("plain")
        self.assertEqual(collector.total("orders_total", "job:plain"), 0.0)
        exporter.count(["order", "new", 2.5])
        collector.kill_and_start()
        exporter.count(["order", "new", 1.0])
        collector.wait_for_scrape("plain")
        self.assertEqual(collector.total("orders_total", "job:plain"), 3.5)
        self.assertEqual(collector.ask("/api/projects")["projects"], ["shop"])

    def test_a_target_that_goes_and_comes_back_goes_on(self) -> None:
        exporter = Exporter()
        self.addCleanup(exporter.end)
        collector = Collector(SCRAPE_TARGETS=f"shop=http://127.0.0.1:{exporter.port}/openmetrics", SCRAPE_INTERVAL="1")
        self.addCleanup(collector.remove)
        exporter.count(["order", "new", 5.0])
        collector.wait_for_scrape("shop")
        exporter.end()
        collector.wait_for_scrape("shop")
        down = collector.target("shop")
        self.assertEqual((down["up"], down["samples"]), (False, 0))
        self.assertIn("cannot be connected to", down["last_error"])
        up = collector.figures("up", "job:shop", "min", "max", "last")
        self.assertEqual(up and [up["min"], up["max"], up["last"]], [0, 1, 0])
        exporter.start()
        exporter.count(["order", "new", 2.0])
        collector.wait_for_scrape("shop")
        self.assertEqual(collector.total("orders_total", "job:shop"), 7.0)


class Pushed(unittest.TestCase):
    def test_both_forms_packed_or_not(self) -> None:
        collector = Collector()
        self.addCleanup(collector.remove)
        exporter = Exporter()
        self.addCleanup(exporter.end)
        truth = Truth(3)
        for step in range(6):
            exporter.count(*truth.some())
            collector.push(exporter.expose("/text"), TEXT, "labels/job=text")
            body = gzip.compress(exporter.expose("/openmetrics"))
            collector.push(body, OPENMETRICS, "labels/job=open", **{"Content-Encoding": "gzip"})
            if step % 2:
                collector.kill_and_start()
        # Again: nothing has changed, but for the levels, which are read once more.
        for _ in range(3):
            collector.push(exporter.expose("/text"), TEXT, "labels/job=text")
        for job in ("text", "open"):
            truth.check(self, collector, job)


class OurOwn(unittest.TestCase):
    def test_the_four_services_are_scraped(self) -> None:
        port = free_port()
        tracker = Service("error-tracker")
        self.addCleanup(tracker.remove)
        logs = Service("log-viewer")
        self.addCleanup(logs.remove)
        relay = Service(
            "browser-relay",
            ADMIN_API_KEY=KEY,
            ERROR_TRACKER_URL=f"http://127.0.0.1:{tracker.port}",
            ERROR_TRACKER_API_KEY=KEY,
            METRICS_COLLECTOR_URL=f"http://127.0.0.1:{port}",
            METRICS_COLLECTOR_API_KEY=KEY,
        )
        self.addCleanup(relay.remove)
        ports = {"errors": tracker.port, "logs": logs.port, "relay": relay.port, "metrics": port}
        targets = ",".join(f"{job}=http://{KEY}@127.0.0.1:{port}/metrics" for job, port in ports.items())
        collector = Collector(port, SCRAPE_TARGETS=targets, SCRAPE_INTERVAL="1")
        self.addCleanup(collector.remove)
        collector.wait_for_scrape(*ports)
        for job in ports:
            target = collector.target(job)
            self.assertEqual((target["up"], target["last_error"]), (True, None), job)
            self.assertGreater(target["samples"], 20, job)
            self.assertNotIn(KEY, str(target))
            memory = collector.figures("process_resident_memory_bytes", f"job:{job}", "last")
            assert memory is not None
            self.assertGreater(memory["last"], 1e6, job)
        # It counts its own scrapes, and sees that it does.
        self.assertGreater(collector.total("monlight_metrics_scrapes_total", "job:metrics,result:ok"), 0)


if __name__ == "__main__":
    unittest.main()
