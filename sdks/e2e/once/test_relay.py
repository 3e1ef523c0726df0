"""An event of a page counts once, though the relay is killed after a service took it and before the page heard so."""

from __future__ import annotations

import http.client
import json
import threading
import unittest
import uuid
from typing import Any

from proxy import Proxy, ProxyTest
from test_once import ask

from services import KEY, Service, eventually


class RelayTest(ProxyTest):
    def setUp(self) -> None:
        self.tracker, self.before_tracker = self.start("error-tracker")
        self.collector, self.before_collector = self.start("metrics-collector")
        self.relay = Service(
            "browser-relay",
            ADMIN_API_KEY=KEY,
            ERROR_TRACKER_URL=self.before_tracker.url,
            ERROR_TRACKER_API_KEY=KEY,
            METRICS_COLLECTOR_URL=self.before_collector.url,
            METRICS_COLLECTOR_API_KEY=KEY,
            DSN_KEYS="shop:dsn-shop",
            CORS_ORIGINS="https://shop.example",
        )
        self.addCleanup(self.relay.remove)

    def send(self, kind: str, event: Any) -> tuple[int, Any] | None:
        """Status and body of the answer, if there is one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.relay.port, timeout=30)
        try:
            connection.request("POST", f"/api/browser/{kind}?key=dsn-shop", json.dumps(event))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def send_to_two(self, kind: str, event: Any, proxy: Proxy) -> tuple[int, Any]:
        """The first relay is killed when the service has taken the event; what the second answers."""
        restarted = threading.Event()

        def lost() -> None:
            self.relay.kill_and_start()
            restarted.set()

        proxy.lost, proxy.lose = lost, 1
        self.assertIsNone(self.send(kind, event))
        self.assertTrue(restarted.wait(30))
        self.assertEqual(proxy.lose, 0)
        answer = self.send(kind, event)
        assert answer is not None
        return answer

    def test_an_error(self) -> None:
        for number in range(1, 4):
            event = {"event_id": str(uuid.uuid4()), "type": "E", "message": "boom", "stack": ""}
            answer = self.send_to_two("errors", event, self.before_tracker)
            self.assertEqual(answer, (200, {"status": "duplicate"}))
            groups = ask(self.tracker, "/api/errors?project=shop")["errors"]
            self.assertEqual([group["count"] for group in groups], [number])

    def test_a_batch_of_metrics(self) -> None:
        for number in range(1, 4):
            metric = {"name": "clicks", "type": "counter", "value": 5}
            event = {"event_id": str(uuid.uuid4()), "metrics": [metric]}
            answer = self.send_to_two("metrics", event, self.before_collector)
            self.assertEqual(answer, (202, {"status": "accepted", "count": 1}))

            def total() -> float:
                rows = ask(self.collector, "/api/metrics?name=clicks&group_by=&agg=sum&step=1d")["data"]
                return sum(row["sum"] for row in rows)

            eventually("it is there", lambda: total() >= 5 * number)
            self.assertEqual(total(), 5 * number)

    def test_an_error_that_was_kept(self) -> None:
        event = {"event_id": str(uuid.uuid4()), "type": "E", "message": "kept", "stack": ""}
        self.tracker.end()
        for _ in range(3):
            self.assertEqual(self.send("errors", event), (202, {"status": "queued"}))
            self.relay.kill_and_start()
        self.tracker.start()

        def waiting() -> int:
            count: int = ask(self.relay, "/api/outbox")["upstreams"][0]["events"]
            return count

        eventually("all of it is delivered", lambda: waiting() == 0, 60)
        groups = ask(self.tracker, "/api/errors?project=shop")["errors"]
        self.assertEqual([group["count"] for group in groups], [1])


if __name__ == "__main__":
    unittest.main()
