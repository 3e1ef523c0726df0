"""What is sent again because its answer was lost is stored once."""

from __future__ import annotations

import os
import random
import time
import uuid

import httpx
import pytest

from monlight import ErrorClient, MetricsClient, _worker
from monlight._transport import idempotency_key
from tests.support import HttpService, Reply, Service, eventually


def keys(service: Service) -> list[str]:
    return [request.headers["idempotency-key"] for request in service.requests]


def test_a_key_is_a_uuid_of_version_7(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(idempotency_key()) for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 1_000
    for key in made:
        assert (key.variant, key.version) == (uuid.RFC_4122, 7)
        assert before <= key.int >> 80 <= after
    # A clock that was never set, and one that is far ahead.
    for clock, time_ms in ((-5, 0), (2**100, (2**100 // 1_000_000) % 2**48)):
        monkeypatch.setattr(time, "time_ns", lambda clock=clock: clock)
        assert uuid.UUID(idempotency_key()).int >> 80 == time_ms


def test_every_bit_of_chance_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    for byte, key in ((0, "7000-8000-000000000000"), (255, "7fff-bfff-ffffffffffff")):
        monkeypatch.setattr(os, "urandom", lambda size, byte=byte: bytes([byte]) * size)
        assert idempotency_key() == f"00000000-0000-{key}"


def test_a_report_whose_answer_was_lost_is_stored_once(
    http_service: HttpService, no_backoff: None
) -> None:
    http_service.lose = 3
    client = ErrorClient(http_service.url, "k")
    client.capture(ValueError("once"))
    eventually(lambda: client.stats()["sent"] == 1)
    client.report_error_sync(ValueError("once"))
    client.close()
    assert len(http_service.errors()) == 5
    assert len(set(http_service.keys[:4])) == 1
    assert len(http_service.stored) == 2, "the same words twice are two reports"


def test_a_report_whose_answer_is_too_late_is_stored_once(
    errors: ErrorClient, service: Service
) -> None:
    service.replies = [Reply(error=httpx.ReadTimeout("slow"))]
    errors.report_error_sync(ValueError("x"))
    assert errors.flush()
    first, second = service.requests
    assert keys(service)[0] == keys(service)[1]
    assert first.content == second.content


def test_a_batch_whose_answer_was_lost_is_sent_again_as_it_was(
    http_service: HttpService,
) -> None:
    http_service.lose = 2
    client = MetricsClient(http_service.url, "k", flush_interval=3_600)
    for name in ("a", "b"):
        client.counter(name)
    assert not client.flush()
    client.counter("c")
    assert not client.flush()
    client.counter("d")
    assert client.shutdown()
    sent = [[metric["name"] for metric in body] for _, body in http_service.bodies]
    assert sent == [["a", "b"], ["a", "b"], ["c"], ["a", "b"], ["d"]]
    assert len({http_service.keys[number] for number in (0, 1, 3)}) == 1
    stored = [metric["name"] for body in http_service.stored.values() for metric in body]
    assert stored == ["a", "b", "c", "d"]
    assert client.stats()["sent"] == 4


def test_several_lost_batches_keep_their_keys(metrics: MetricsClient, service: Service) -> None:
    service.replies = [Reply(error=httpx.ReadError("reset"))] * 6
    for number in range(2_500):
        metrics.gauge("g", number)
    for _ in range(6):
        assert not metrics.flush()
    metrics.gauge("g", 2_500)
    assert metrics.flush()
    bodies: dict[str, set[bytes]] = {}
    for request in service.requests:
        bodies.setdefault(request.headers["idempotency-key"], set()).add(request.content)
    assert [len(contents) for contents in bodies.values()] == [1] * len(bodies)
    stored = [metric["value"] for metric in service.metrics()[-2_501:]]
    assert sorted(stored) == list(range(2_501))


def test_a_batch_that_was_sent_is_not_cut_by_a_limit_learned_later(
    metrics: MetricsClient, service: Service
) -> None:
    service.replies = [Reply(503), Reply(413)]
    for number in range(100):
        metrics.gauge("first", number)
    assert not metrics.flush()
    for number in range(60):
        metrics.gauge("second", number)
    # The first batch is refused this time, and halved; the limit then holds for the second too.
    assert metrics.flush()
    assert keys(service)[0] == keys(service)[1]
    assert len(set(keys(service))) == len(service.requests) - 1
    lengths = [len(batch) for batch in service.json()]
    assert lengths[:2] == [100, 100]
    assert max(lengths[2:]) <= 50
    assert sum(lengths[2:]) == 160
    service.replies = [Reply(503)]
    for number in range(40):
        metrics.gauge("third", number)
    assert not metrics.flush()
    metrics._worker._batch_bytes = 100
    assert metrics.flush()
    assert [len(batch) for batch in service.json()[-2:]] == [40, 40]
    assert keys(service)[-1] == keys(service)[-2]


def test_a_batch_expires_as_a_whole(
    metrics: MetricsClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.replies = [Reply(error=httpx.ReadError("reset"))] * 2
    metrics.counter("old")
    metrics.counter("young")
    assert not metrics.flush()
    metrics._worker._queue[0].born -= 2 * _worker.MAX_AGE_SECONDS
    assert not metrics.flush()
    assert [len(batch) for batch in service.json()] == [2, 2]
    monkeypatch.setattr(_worker, "MAX_AGE_SECONDS", -1.0)
    assert not metrics.flush()
    assert metrics.stats()["dropped_by_reason"] == {"expired": 2}


def test_what_is_cut_anew_has_new_keys(metrics: MetricsClient, service: Service) -> None:
    service.replies = [Reply(413)]
    for _ in range(10):
        metrics.counter("c")
    assert metrics.flush()
    assert len(set(keys(service))) == len(service.requests) > 2


def test_nothing_is_drawn_while_nothing_is_sent(
    metrics: MetricsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def draw(size: int) -> bytes:
        drawn.append(size)
        return b"x" * size

    monkeypatch.setattr(os, "urandom", draw)
    for _ in range(100):
        metrics.counter("c")
    assert drawn == []
    assert metrics.flush()
    assert len(drawn) == 1


def test_without_randomness_it_is_tried_later(
    errors: ErrorClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_size: int) -> bytes:
        raise OSError("no entropy")

    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", fail)
        errors.report_error_sync(ValueError("x"))
    assert service.requests == []
    assert errors.flush()
    assert len(service.requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_make_keys_of_their_own(http_service: HttpService) -> None:
    random.seed(1)
    client = ErrorClient(http_service.url, "k")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for number in range(5):
                    client.report_error_sync(ValueError(str(number)))
                status = 0 if client.stats()["sent"] == 5 else 1
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert len(http_service.errors()) == len(http_service.stored) == 20
