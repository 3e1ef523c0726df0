"""Nothing is lost or doubled between the Python SDK and the services, whatever becomes of the answers."""

from __future__ import annotations

import http.client
import json
import logging
import random
import unittest
from collections.abc import Iterator
from typing import Any

from monlight import ErrorClient, MetricsClient
from proxy import Proxy, ProxyTest

from services import KEY, Service, eventually

# The SDK says of each failed request that it failed; here they all should.
logging.getLogger("monlight").setLevel(logging.CRITICAL)


def ask(service: Service, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        connection.request("GET", path, headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body)
        return json.loads(body)
    finally:
        connection.close()


class OnceTest(ProxyTest):
    def ways(self, service: Service, proxy: Proxy) -> Iterator[str]:
        """Ways to lose the next answer."""

        def nothing() -> None:
            pass

        for name, keep, hold, lost in (
            ("the connection ends before the answer", 0, False, nothing),
            ("the connection ends in the head of the answer", 20, False, nothing),
            ("the answer is too late", 0, True, nothing),
            ("the service is killed after its commit", 0, False, service.kill_and_start),
        ):
            proxy.keep, proxy.hold, proxy.lost, proxy.lose = keep, hold, lost, 1
            yield name

    def lose(self, client: ErrorClient | MetricsClient, proxy: Proxy) -> None:
        """Makes the attempt whose answer is lost."""
        answers = proxy.answers
        client.timeout = 0.5 if proxy.hold else 30
        eventually("the service answers", lambda: client.flush() or proxy.answers > answers)
        self.assertEqual(proxy.lose, 0)
        proxy.hold, client.timeout = False, 30

    def test_reports(self) -> None:
        tracker, proxy = self.start("error-tracker")
        client = ErrorClient(proxy.url, KEY, "shop")
        self.addCleanup(client.close)
        for number, way in enumerate(self.ways(tracker, proxy), 1):
            with self.subTest(way):
                client._worker.automatic = False  # the attempts are made by flushes
                client.capture(ValueError("boom"))
                self.lose(client, proxy)
                client.capture(ValueError("boom"))
                eventually("delivered", lambda: client.flush())
                groups = ask(tracker, "/api/errors?project=shop")["errors"]
                self.assertEqual([group["count"] for group in groups], [2 * number])
                self.assertEqual(client.stats()["sent"], 2 * number)

    def test_metrics(self) -> None:
        collector, proxy = self.start("metrics-collector")
        client = MetricsClient(proxy.url, KEY, project="shop")
        self.addCleanup(client.shutdown)

        def total(name: str) -> tuple[float, float]:
            rows = ask(collector, f"/api/metrics?name={name}&group_by=&agg=sum,count&step=1d")["data"]
            return sum(row["sum"] for row in rows), sum(row["count"] for row in rows)

        for number, way in enumerate(self.ways(collector, proxy), 1):
            with self.subTest(way):
                for value in range(1, 4):
                    client.counter("orders_total", {"n": value}, value)
                    client.histogram("order_seconds", value)
                self.lose(client, proxy)
                # What comes before the repetition must not go with it.
                client.counter("orders_total", {"n": 1}, 10)
                eventually("delivered", lambda: client.flush())
                self.assertEqual(client.stats()["sent"], 7 * number)
                eventually("all is there", lambda: total("orders_total")[1] >= 4 * number)
                self.assertEqual(total("orders_total"), (16 * number, 4 * number))
                self.assertEqual(total("order_seconds"), (6 * number, 3 * number))

    def test_kills_and_lost_answers_at_any_time(self) -> None:
        tracker, proxy = self.start("error-tracker")
        client = ErrorClient(proxy.url, KEY, "shop", timeout=30)
        self.addCleanup(client.close)
        chance = random.Random(7)
        sent = 0
        for _ in range(30):
            wave = chance.randrange(1, 20)
            # Some answers into the wave; with the kill the connection goes too.
            proxy.lost = tracker.kill_and_start if chance.random() < 0.3 else lambda: None
            proxy.keep = chance.randrange(40)
            for _ in range(wave):
                client.capture(ValueError("boom"))
                if chance.random() < 0.2:
                    proxy.lose = 1
            sent += wave
            eventually("the wave is delivered", lambda: client.flush())
            proxy.lose = 0
        groups = ask(tracker, "/api/errors?project=shop")["errors"]
        self.assertEqual([group["count"] for group in groups], [sent])
        stats = client.stats()
        self.assertEqual((stats["sent"], stats["dropped"]), (sent, 0))
        self.assertGreater(stats["retries"], 20)
        self.assertEqual(proxy.answers, sent + stats["retries"], "every answer that was lost was one")


if __name__ == "__main__":
    unittest.main()
