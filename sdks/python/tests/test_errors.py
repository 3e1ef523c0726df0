from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import trio

from monlight import ErrorClient
from monlight._errors import MAX_REPORT_BYTES
from tests.support import PATIENCE_SECONDS, Reply, Service, eventually


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def check_context(context: Any, **expected: Any) -> None:
    service = Service()
    client = ErrorClient("http://tracker", "k", excluded_headers=["X-Mine"], transport=service)
    client.report_error_sync(ValueError("x"), context)
    client.close()
    report = service.json()[0]
    for name in ("project", "exception_type", "message", "traceback"):
        del report[name]
    assert report == expected


def test_attributes() -> None:
    client = ErrorClient("http://tracker//", "k")
    assert (client.base_url, client.api_key) == ("http://tracker", "k")
    assert (client.project, client.timeout) == ("default", 5.0)


def test_sync_report_is_sent_when_it_returns(errors: ErrorClient, service: Service) -> None:
    errors.report_error_sync(ValueError("x"))
    assert service.json()[0]["message"] == "x"
    assert service.requests[0].url == "http://tracker/api/errors"
    assert errors.stats() == {
        "queued": 0,
        "queued_bytes": 0,
        "sent": 1,
        "retries": 0,
        "dropped": 0,
        "dropped_by_reason": {},
    }


def test_async_report_is_sent_when_awaited(errors: ErrorClient, service: Service) -> None:
    asyncio.run(errors.report_error(ValueError("x")))
    assert len(service.requests) == 1


def test_async_report_works_without_asyncio(errors: ErrorClient, service: Service) -> None:
    trio.run(errors.report_error, ValueError("x"))
    assert len(service.requests) == 1


def test_capture_returns_before_sending(errors: ErrorClient, service: Service) -> None:
    service.gate.clear()
    errors.capture(ValueError("x"))
    assert service.requests == []
    service.gate.set()
    assert errors.flush()
    assert len(service.requests) == 1
    assert errors.flush()


def test_a_slow_tracker_holds_up_nobody_beyond_the_timeout(service: Service) -> None:
    client = ErrorClient("http://tracker", "k", timeout=0.05, transport=service)
    service.gate.clear()
    started = time.monotonic()
    client.report_error_sync(ValueError("1"))
    asyncio.run(client.report_error(ValueError("2")))
    trio.run(client.report_error, ValueError("3"))
    assert not client.flush(0.01)
    assert not client.close(0.01)
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    service.gate.set()
    assert client.flush(PATIENCE_SECONDS)
    assert len(service.requests) == 3
    client.close()


def test_cancellation_passes_and_the_report_stays(errors: ErrorClient, service: Service) -> None:
    async def main() -> None:
        service.gate.clear()
        task = asyncio.create_task(errors.report_error(ValueError("x")))
        await asyncio.to_thread(service.entered.wait, PATIENCE_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    service.gate.set()
    assert errors.flush()
    assert len(service.requests) == 1


def test_a_failed_report_returns_after_one_attempt_and_is_retried(
    errors: ErrorClient,
    service: Service,
    no_backoff: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service.replies = [Reply(error=httpx.ConnectError("refused")), Reply(503, b"busy")]
    errors.report_error_sync(ValueError("x"))
    eventually(lambda: errors.stats()["sent"] == 1)
    assert len(service.requests) == 3
    assert errors.stats()["retries"] == 2
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "Failed to report error to error tracker",
        "Error tracker returned status 503: busy",
    ]
    assert caplog.records[0].exc_info
    assert {record.name for record in caplog.records} == {"monlight.error_client"}


def test_flush_async(errors: ErrorClient, service: Service) -> None:
    async def main() -> None:
        assert await errors.flush_async()
        errors.capture(ValueError("x"))
        assert await errors.flush_async()

    asyncio.run(main())
    assert len(service.requests) == 1


def test_usable_after_close(errors: ErrorClient, service: Service) -> None:
    errors.capture(ValueError("1"))
    assert errors.close()
    errors.capture(ValueError("2"))
    assert errors.close()
    assert [report["message"] for report in service.json()] == ["1", "2"]


def test_context_keys_only_if_given() -> None:
    check_context(None)
    check_context({})
    check_context({"user_id": None, "extra": None, "request_url": None, "request_headers": None})
    check_context({"user_id": 0, "extra": {}}, user_id="0", extra={})
    check_context({"request_url": "", "request_headers": {}}, request_url="", request_headers={})


def test_context_is_scrubbed() -> None:
    check_context(
        {
            "request_url": "http://h/?token=t&a=1",
            "request_headers": {"X-MINE": "1", "X-Auth-Token": "q", "A": "b"},
            "extra": {"password": "p", "n": 1},
        },
        request_url="http://h/?token=[redacted]&a=1",
        request_headers={"A": "b"},
        extra={"password": "[redacted]", "n": 1},
    )


def test_level_tags_and_fingerprint_of_the_context() -> None:
    check_context({"level": "warning"}, level="warning")
    check_context(
        {"tags": {"region": "eu", "password": "x"}},
        tags={"region": "eu", "password": "[redacted]"},
    )
    check_context({"tags": "eu", "fingerprint": None})
    check_context({"fingerprint": "payments"}, fingerprint="payments")
    check_context({"fingerprint": ("payments", 5)}, fingerprint=["payments", "5"])
    check_context({"fingerprint": range(1_000)}, fingerprint=[str(part) for part in range(20)])
    check_context({"fingerprint": b"x"}, fingerprint="b'x'")


def test_server_name_is_sent_with_every_report(service: Service) -> None:
    client = ErrorClient("http://tracker", "k", server_name="web-1", transport=service)
    client.report_error_sync(ValueError("x"))
    client.close()
    assert service.json()[0]["server_name"] == "web-1"


def test_context_that_is_not_what_it_should_be() -> None:
    check_context("nonsense")
    check_context({"request_headers": "Authorization: Bearer x"})
    check_context(
        {"request_url": 5, "request_method": b"GET"}, request_url="5", request_method="b'GET'"
    )
    check_context({"extra": float("nan")}, extra="nan")
    check_context({"user_id": Unprintable()}, user_id="<unprintable Unprintable object>")


def test_exceptions_that_cannot_be_printed(errors: ErrorClient, service: Service) -> None:
    errors.report_error_sync(Unprintable())
    report = service.json()[0]
    assert report["message"] == "<unprintable Unprintable object>"
    assert "Unprintable" in report["traceback"]


def test_what_is_no_exception(errors: ErrorClient, service: Service) -> None:
    errors.report_error_sync("text")  # type: ignore[arg-type]
    assert service.json()[0]["traceback"] == "str: text\n"


def test_a_context_that_raises_is_dropped_and_counted(
    errors: ErrorClient, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(dict[str, Any]):
        def get(self, *_args: Any) -> Any:
            raise RuntimeError("no")

    errors.report_error_sync(ValueError("x"), Failing())
    asyncio.run(errors.report_error(ValueError("x"), Failing()))
    assert errors.stats()["dropped_by_reason"] == {"invalid": 2}
    assert "Failed to report error to error tracker" in caplog.messages


def test_a_failing_wait_does_not_raise(
    errors: ErrorClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_args: Any) -> bool:
        raise RuntimeError("no loop")

    monkeypatch.setattr("monlight._tickets.Ticket.wait_async", fail)
    asyncio.run(errors.report_error(ValueError("x")))
    assert caplog.messages == ["Failed to report error to error tracker"]


def test_surrogates_and_control_characters_are_sent(errors: ErrorClient, service: Service) -> None:
    errors.report_error_sync(ValueError("a\ud800\x00b"), {"extra": {"\udc80": "\ud800"}})
    report = service.json()[0]
    assert report["message"] == "a\\ud800\x00b"
    assert report["extra"] == {"\\udc80": "\\ud800"}


@pytest.mark.parametrize("character", ["x", "é", "\x01", '"', "😀"])
def test_reports_are_cut_to_what_the_tracker_reads(
    errors: ErrorClient, service: Service, character: str
) -> None:
    errors.report_error_sync(
        ValueError(character * 300_000 + "END"),
        {
            "request_url": character * 100_000,
            "request_headers": {f"h{number}": character * 9_000 for number in range(50)},
            "user_id": character * 100_000,
            "extra": {str(number): character * 1_000 for number in range(1_000)},
        },
    )
    content = service.requests[0].content
    assert len(content) <= MAX_REPORT_BYTES
    report = json.loads(content)
    assert report["message"].endswith("END")
    assert "bytes cut" in json.dumps(report["extra"])


def test_only_what_is_large_is_cut(errors: ErrorClient, service: Service) -> None:
    errors.report_error_sync(ValueError("x"), {"request_url": "/u", "user_id": "u" * 400_000})
    report = service.json()[0]
    assert (report["message"], report["request_url"]) == ("x", "/u")
    assert len(report["user_id"]) < 70_000


def test_names_are_cut_to_the_contract() -> None:
    service = Service()
    client = ErrorClient("http://tracker", "k", project="é" * 100, transport=service)
    client.report_error_sync(type("T" * 300, (Exception,), {})())
    client.close()
    report = service.json()[0]
    assert len(report["project"].encode()) == 100
    assert len(report["exception_type"].encode()) == 200


def test_queue_is_bounded(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    client = ErrorClient("http://tracker", "k", timeout=PATIENCE_SECONDS, transport=service)
    service.gate.clear()
    for number in range(150):
        client.capture(ValueError(str(number)))
    stats = client.stats()
    assert stats["queued"] == 100
    assert stats["dropped_by_reason"] == {"queue_full": 50}
    client.report_error_sync(ValueError("does not wait when there is no room"))
    asyncio.run(client.report_error(ValueError("nor does this")))
    assert caplog.messages == ["dropped: 1 queue_full"]
    service.gate.set()
    client.close()
    assert client.stats()["sent"] == 100


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://h", "http://h:port", "http://h/\n", None])
def test_bad_urls_do_not_raise(url: Any) -> None:
    client = ErrorClient(url, "k")
    client.report_error_sync(ValueError("x"))
    client.close()
    assert client.stats()["dropped_by_reason"] == {"rejected": 1}


@pytest.mark.parametrize("key", ["s3cret\nx", "s3cret\u2603", "s3cret\x00"])
def test_a_bad_key_neither_raises_nor_reaches_the_log(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = ErrorClient("http://127.0.0.1:9", key)
    client.report_error_sync(ValueError("x"))
    client.close()
    assert client.stats()["dropped_by_reason"] == {"rejected": 1}
    assert "the API key holds characters" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(("key", "sent"), [(" k\n", "k"), ("", ""), (None, "")])
def test_the_key_is_sent_without_blanks_around_it(service: Service, key: Any, sent: str) -> None:
    client = ErrorClient("http://tracker", key, transport=service)
    client.report_error_sync(ValueError("x"))
    client.close()
    assert service.requests[0].headers["x-api-key"] == sent


def test_bad_options_do_not_raise(service: Service) -> None:
    client = ErrorClient(
        "http://tracker",
        "k",
        project=Unprintable(),  # type: ignore[arg-type]
        timeout="soon",  # type: ignore[arg-type]
        excluded_headers=5,  # type: ignore[arg-type]
        transport=service,
    )
    client.report_error_sync(ValueError("x"))
    client.close()
    assert len(service.requests) == 1


class ReportingHandler(logging.Handler):
    """A log handler as applications have it: it reports what is logged."""

    def __init__(self, client: ErrorClient) -> None:
        super().__init__()
        self.client = client
        self.calls = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.calls += 1
        self.client.capture(RuntimeError(record.getMessage()))
        self.client.report_error_sync(RuntimeError(record.getMessage()))
        assert not self.client.flush()
        assert not self.client.close()
        assert not asyncio.run(self.client.flush_async())


@pytest.fixture
def reporting_handler(errors: ErrorClient) -> Iterator[ReportingHandler]:
    handler = ReportingHandler(errors)
    logger = logging.getLogger("monlight")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_the_sdk_does_not_report_its_own_failures(
    errors: ErrorClient, service: Service, reporting_handler: ReportingHandler
) -> None:
    service.replies = [Reply(400, b"no")]
    errors.report_error_sync(ValueError("x"))
    assert errors.close()
    assert len(service.requests) == 1
    assert reporting_handler.calls >= 1
    assert errors.stats()["dropped_by_reason"]["reentrant"] == 2 * reporting_handler.calls


def test_an_exception_that_reports_itself(errors: ErrorClient, service: Service) -> None:
    class Recursive(Exception):
        def __str__(self) -> str:
            errors.report_error_sync(self)
            return "text"

    errors.report_error_sync(Recursive())
    assert [report["message"] for report in service.json()] == ["text"]


def test_a_log_handler_that_raises_harms_nobody(
    errors: ErrorClient, service: Service, no_backoff: None
) -> None:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("disk full")

    handler = Raising()
    logger = logging.getLogger("monlight")
    logger.addHandler(handler)
    try:
        service.replies = [Reply(503), Reply(error=httpx.ConnectError("down"))]
        errors.report_error_sync(ValueError("kept"))
        eventually(lambda: errors.stats()["sent"] == 1)
        service.gate.clear()
        for _ in range(120):
            errors.capture(ValueError("x"))
    finally:
        logger.removeHandler(handler)
    assert errors.stats()["dropped_by_reason"] == {"queue_full": 20}
