from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from monlight import MetricsClient
from monlight._metrics import MAX_BATCH_BYTES
from tests.support import Reply, Service, eventually


def test_attributes() -> None:
    client = MetricsClient("http://c//", "k")
    assert (client.base_url, client.api_key, client.project) == ("http://c", "k", None)
    assert (client.flush_interval, client.timeout) == (10.0, 5.0)


def test_nothing_is_sent_without_start(metrics: MetricsClient, service: Service) -> None:
    before = threading.enumerate()
    for _ in range(3_000):
        metrics.counter("c")
    assert threading.enumerate() == before
    assert metrics.stats()["queued"] == 3_000
    assert service.requests == []


def test_flush_of_nothing_sends_nothing(metrics: MetricsClient, service: Service) -> None:
    assert metrics.flush()
    assert asyncio.run(metrics.flush_async())
    assert metrics.shutdown()
    assert service.requests == []


def test_flush_async(metrics: MetricsClient, service: Service) -> None:
    metrics.counter("c")
    assert asyncio.run(metrics.flush_async())
    assert len(service.metrics()) == 1


def test_started_it_sends_by_itself(service: Service) -> None:
    client = MetricsClient("http://c", "k", flush_interval=0.01, transport=service)
    client.counter("before")
    client.start()
    client.start()
    eventually(lambda: len(service.metrics()) == 1)
    client.counter("after")
    eventually(lambda: len(service.metrics()) == 2)
    client.shutdown()


def test_shutdown_sends_the_rest_and_start_works_again(service: Service) -> None:
    client = MetricsClient("http://c", "k", transport=service)
    client.start()
    client.counter("1")
    assert client.shutdown()
    assert [metric["name"] for metric in service.metrics()] == ["1"]
    client.counter("2")
    assert len(service.metrics()) == 1
    client.start()
    client.counter("3")
    assert client.shutdown()
    assert [metric["name"] for metric in service.metrics()] == ["1", "2", "3"]


def test_shutdown_waits_for_a_flush_under_way(service: Service) -> None:
    client = MetricsClient("http://c", "k", flush_interval=0.01, transport=service)
    service.gate.clear()
    client.start()
    client.counter("c")
    assert service.entered.wait(10)
    assert not client.shutdown(0.05)
    threading.Timer(0.05, service.gate.set).start()
    assert client.shutdown()
    assert len(service.metrics()) == 1


def test_batches_of_a_thousand(metrics: MetricsClient, service: Service) -> None:
    for number in range(2_500):
        metrics.gauge("g", number)
    assert metrics.flush()
    assert [len(batch) for batch in service.json()] == [1_000, 1_000, 500]
    assert [metric["value"] for metric in service.metrics()] == list(range(2_500))


def test_batches_stay_below_the_size_the_collector_takes(
    metrics: MetricsClient, service: Service
) -> None:
    for number in range(40):
        metrics.gauge("g", number, {"l": "x" * 30_000})
    assert metrics.flush()
    sizes = [len(request.content) for request in service.requests]
    assert max(sizes) <= MAX_BATCH_BYTES
    assert min(sizes[:-1]) > MAX_BATCH_BYTES - 31_000
    assert len(service.metrics()) == 40


def test_a_full_batch_does_not_wait_for_the_interval(service: Service) -> None:
    client = MetricsClient("http://c", "k", flush_interval=3_600, transport=service)
    client.start()
    for _ in range(1_000):
        client.counter("c")
    eventually(lambda: client.stats()["sent"] == 1_000)
    client.shutdown()


def test_one_bad_value_harms_no_other(metrics: MetricsClient, service: Service) -> None:
    for bad in (float("nan"), float("inf"), "5", None, object()):
        metrics.gauge("bad", bad)  # type: ignore[arg-type]
    metrics.gauge("good", 1)
    metrics.gauge("decimal", Decimal("1.5"))  # type: ignore[arg-type]
    metrics.counter("flag", value=True)
    assert metrics.flush()
    assert [(m["name"], m["value"]) for m in service.metrics()] == [
        ("good", 1),
        ("decimal", 1.5),
        ("flag", 1),
    ]
    assert metrics.stats()["dropped_by_reason"] == {"invalid": 5}


def test_bad_names_and_labels_are_dropped(
    metrics: MetricsClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Mapping[str, Any]):
        def __len__(self) -> int:
            raise RuntimeError("no")

        __iter__ = __getitem__ = __len__  # type: ignore[assignment]

    metrics.counter("")
    metrics.counter("é" * 101)
    metrics.counter(5)  # type: ignore[arg-type]
    metrics.counter("c", ["a"])  # type: ignore[arg-type]
    metrics.counter("c", Failing())
    metrics.counter("c", {"a": "x" * 60_000, **{str(n): "y" * 60_000 for n in range(10)}})
    assert metrics.stats()["dropped_by_reason"] == {"invalid": 6}
    assert caplog.messages == ["dropped: 1 invalid"]
    metrics.counter("é" * 100)
    assert metrics.flush()
    assert len(service.metrics()) == 1


def test_labels_are_copied_at_the_call(metrics: MetricsClient, service: Service) -> None:
    labels: dict[Any, Any] = {"a": "1", 2: float("nan"), "n": {"x": {1}}}
    metrics.counter("c", labels)
    labels["a"] = "changed"
    metrics.flush()
    assert service.metrics()[0]["labels"] == {"a": "1", "2": "nan", "n": {"x": [1]}}


def test_no_project_no_key(service: Service) -> None:
    client = MetricsClient("http://c", "k", transport=service)
    client.counter("c")
    client.shutdown()
    assert list(service.metrics()[0]) == ["name", "type", "value", "timestamp"]


def test_failures_are_kept_and_retried(
    service: Service, no_backoff: None, caplog: pytest.LogCaptureFixture
) -> None:
    service.replies = [
        Reply(error=httpx.ReadTimeout("slow")),
        Reply(500, b"oops"),
        Reply(429, b'{"retry_after":0}'),
        Reply(202),
    ]
    client = MetricsClient("http://c", "k", flush_interval=0.01, transport=service)
    client.start()
    client.counter("c")
    eventually(lambda: client.stats()["sent"] == 1)
    client.shutdown()
    assert client.stats()["retries"] == 3
    assert caplog.messages == [
        "Failed to flush 1 metrics to collector",
        "Metrics collector returned status 500: oops",
        'Metrics collector returned status 429: {"retry_after":0}',
    ]


def test_refused_batches_are_dropped(metrics: MetricsClient, service: Service) -> None:
    service.replies = [Reply(400, b'{"detail":"no"}')]
    metrics.counter("c")
    assert not metrics.flush()
    assert metrics.stats()["dropped_by_reason"] == {"rejected": 1}
    metrics.counter("c")
    assert metrics.flush()


def test_a_smaller_limit_is_learned(metrics: MetricsClient, service: Service) -> None:
    service.replies = [Reply(413), Reply(413)]
    for _ in range(100):
        metrics.counter("c")
    assert metrics.flush()
    lengths = [len(batch) for batch in service.json()]
    assert lengths[0] == 100
    assert 45 <= lengths[1] <= 50
    assert max(lengths[2:]) <= 25
    assert sum(lengths[2:]) == 100
    service.replies = [Reply(413)]
    metrics.counter("c")
    assert not metrics.flush()
    assert metrics.stats()["dropped_by_reason"] == {"rejected": 1}


def test_the_buffer_is_bounded(metrics: MetricsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(50_100):
        metrics.counter("c")
    assert metrics.stats()["queued"] == 50_000
    assert metrics.stats()["dropped_by_reason"] == {"queue_full": 100}
    small = MetricsClient("http://c", "k")
    for _ in range(40):
        small.counter("c", {str(number): "x" * 50_000 for number in range(10)})
    assert small.stats()["queued_bytes"] <= 16 * 1024 * 1024
    assert small.stats()["dropped_by_reason"]["queue_full"] > 0


def test_the_sdk_does_not_count_its_own_work(metrics: MetricsClient, service: Service) -> None:
    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            metrics.counter("log_lines_total")
            assert not metrics.flush()
            assert not metrics.shutdown()
            assert not asyncio.run(metrics.flush_async())

    handler = Counting()
    logger = logging.getLogger("monlight")
    logger.addHandler(handler)
    try:
        service.replies = [Reply(400)]
        metrics.counter("c")
        metrics.flush()
    finally:
        logger.removeHandler(handler)
    assert metrics.stats()["dropped_by_reason"]["reentrant"] >= 1
    assert metrics.stats()["queued"] == 0


def test_bad_options_do_not_raise(service: Service) -> None:
    client = MetricsClient(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        flush_interval="x",  # type: ignore[arg-type]
        timeout=-1,
        project=5,  # type: ignore[arg-type]
    )
    client.start()
    client.counter("c")
    client.shutdown()
    assert client.stats()["dropped_by_reason"] == {"rejected": 1}
