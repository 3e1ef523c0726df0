"""The worker's own rules, where the clients' tests do not reach them."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import httpx
import pytest

from monlight import ErrorClient, MetricsClient, _process, _worker
from monlight._tickets import Ticket
from tests.support import PATIENCE_SECONDS, Reply, Service, eventually


def worker_thread() -> threading.Thread | None:
    return next((t for t in threading.enumerate() if t.name == "monlight-sender"), None)


def test_an_idle_thread_ends_and_comes_back(
    errors: ErrorClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_worker, "IDLE_SECONDS", 0.02)
    for _ in range(2):
        errors.report_error_sync(ValueError("x"))
        eventually(lambda: worker_thread() is None)
    assert len(service.requests) == 2


def test_a_forgotten_client_is_collected(service: Service) -> None:
    client = MetricsClient("http://c", "k", transport=service)
    client.counter("c")
    client.shutdown()
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_what_the_service_cannot_digest_holds_up_nothing_else(
    errors: ErrorClient, service: Service, no_backoff: None
) -> None:
    service.gate.clear()
    service.replies = [Reply(500), Reply(), Reply(500), Reply()]
    for text in ("poison", "good"):
        errors.capture(ValueError(text))
    service.gate.set()
    eventually(lambda: errors.stats()["sent"] == 2)
    assert [r["message"] for r in service.json()] == ["poison", "good", "poison", "poison"]


def test_after_the_last_attempt_it_is_dropped(
    errors: ErrorClient, service: Service, no_backoff: None
) -> None:
    service.replies = [Reply(503)] * 100
    errors.capture(ValueError("x"))
    eventually(lambda: errors.stats()["dropped"] == 1)
    assert errors.stats()["dropped_by_reason"] == {"expired": 1}
    assert errors.stats()["queued"] == 0
    assert len(service.requests) == _worker.MAX_ATTEMPTS


def test_what_is_too_old_is_dropped(
    errors: ErrorClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.replies = [Reply(error=httpx.ConnectError("down"))]
    errors.report_error_sync(ValueError("x"))
    monkeypatch.setattr(_worker, "MAX_AGE_SECONDS", -1.0)
    assert not errors.flush()
    assert errors.stats()["dropped_by_reason"] == {"expired": 1}
    assert len(service.requests) == 1


def test_the_service_is_left_alone_for_as_long_as_it_asks(
    errors: ErrorClient, service: Service
) -> None:
    service.replies = [Reply(429, headers={"retry-after": "120"})]
    errors.report_error_sync(ValueError("1"))
    remaining = errors._worker._retry_at - time.monotonic()
    assert 110 < remaining <= 120
    errors.capture(ValueError("2"))
    assert errors.stats()["queued"] == 2
    assert len(service.requests) == 1
    # An explicit flush is one attempt all the same.
    assert errors.flush()
    assert len(service.requests) == 3


def test_a_flush_ends_with_the_first_failure(errors: ErrorClient, service: Service) -> None:
    service.gate.clear()
    service.replies = [Reply(503)]
    for _ in range(5):
        errors.capture(ValueError("x"))
    ticket = errors._worker.begin_flush()
    assert ticket is not None
    service.gate.set()
    assert not errors._worker.wait(ticket, PATIENCE_SECONDS)
    assert ticket.done
    assert errors.flush()
    assert errors.stats()["sent"] == 5


def test_a_report_someone_waits_for_goes_first(errors: ErrorClient, service: Service) -> None:
    service.gate.clear()
    errors.capture(ValueError("in flight"))
    assert service.entered.wait(PATIENCE_SECONDS)
    for number in range(3):
        errors.capture(ValueError(f"queued {number}"))
    done = threading.Thread(target=errors.report_error_sync, args=(ValueError("urgent"),))
    done.start()
    eventually(lambda: errors.stats()["queued"] == 5)
    service.gate.set()
    done.join()
    errors.flush()
    assert [report["message"] for report in service.json()][:2] == ["in flight", "urgent"]


def test_without_threads_whoever_waits_sends(
    errors: ErrorClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    errors.capture(ValueError("queued"))
    assert service.requests == []
    errors.report_error_sync(ValueError("urgent"))
    assert [report["message"] for report in service.json()] == ["urgent"]
    assert errors.flush()
    assert len(service.requests) == 2
    service.replies = [Reply(503)]
    errors.capture(ValueError("kept"))
    assert not errors.flush()
    assert errors.stats()["queued"] == 1
    assert not errors.flush(1e-9)
    errors.close()
    # What another thread is sending is not there to be sent.
    assert not errors._worker.wait(Ticket(), 0.01)


def test_an_interrupt_loses_nothing(
    errors: ErrorClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("no threads")

    def interrupt(_request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr(service, "handle_request", interrupt)
        errors.capture(ValueError("x"))
        with pytest.raises(KeyboardInterrupt):
            errors.flush()
    assert errors.flush()
    assert len(service.requests) == 1


def test_a_ticket_wakes_nobody_in_a_closed_loop() -> None:
    ticket = Ticket()

    async def main() -> None:
        assert not await ticket.wait_async(0.001)

    asyncio.run(main())
    ticket.resolve(True)
    assert ticket.wait(0)
    assert asyncio.run(ticket.wait_async(1))


def test_a_ticket_resolved_late_is_harmless() -> None:
    ticket = Ticket()

    async def main() -> None:
        waiter = asyncio.create_task(ticket.wait_async(PATIENCE_SECONDS))
        await asyncio.sleep(0)
        waiter.cancel()
        ticket.resolve(True)
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.sleep(0)

    asyncio.run(main())


def test_flush_all_waits_for_every_client(service: Service) -> None:
    clients = [ErrorClient("http://t", "k", transport=service) for _ in range(3)]
    service.gate.clear()
    for client in clients:
        client.capture(ValueError("x"))
    threading.Timer(0.02, service.gate.set).start()
    _process.flush_all()
    assert len(service.requests) == 3
    for client in clients:
        client.close()


def test_many_threads_lose_nothing(metrics: MetricsClient, service: Service) -> None:
    metrics.start()

    def count() -> None:
        for _ in range(2_000):
            metrics.counter("c")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.shutdown(PATIENCE_SECONDS)
    assert len(service.metrics()) == 8_000
    assert max(len(batch) for batch in service.json()) <= 1_000
    assert metrics.stats()["queued_bytes"] == 0


def test_recording_inside_the_lock_does_not_wait_for_itself(metrics: MetricsClient) -> None:
    # What a signal handler or a finaliser does that runs at an unlucky moment.
    with metrics._worker._changed:
        metrics.counter("c")
    assert metrics.stats()["queued"] == 1
