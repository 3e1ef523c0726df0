from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import pytest

from monlight._transport import (
    MAX_ANSWER_BYTES,
    Answer,
    Transport,
    Verdict,
    backoff_seconds,
    parse_retry_after,
)
from tests.support import RawServer, Reply, Service


@pytest.mark.parametrize(
    ("header", "text", "expected"),
    [
        ("7", "", 7.0),
        ("0.5", "", 0.5),
        ("-3", "", 0.0),
        ("99999", "", 300.0),
        ("nan", "", None),
        ("soon", "", None),
        (None, '{"detail":"Rate limit exceeded","retry_after":12}', 12.0),
        (None, '{"detail":"x"}', None),
        (None, '["retry_after"]', None),
        (None, '{"retry_after":null}', None),
        (None, "not json", None),
        (None, "[" * 100_000, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "", 0.0),
    ],
)
def test_parse_retry_after(header: str | None, text: str, expected: float | None) -> None:
    assert parse_retry_after(header, text) == expected


def test_parse_retry_after_date_to_come() -> None:
    when = datetime.now(timezone.utc) + timedelta(seconds=100)
    seconds = parse_retry_after(format_datetime(when), "")
    assert seconds is not None
    assert 90 < seconds <= 100


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (202, Verdict.DELIVERED),
        (307, Verdict.REJECTED),
        (400, Verdict.REJECTED),
        (401, Verdict.REJECTED),
        (408, Verdict.RETRY),
        (413, Verdict.TOO_LARGE),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
    ],
)
def test_verdict(status: int, verdict: Verdict) -> None:
    assert Answer(status, "", None).verdict is verdict


def test_backoff_grows_to_a_bound() -> None:
    for failures in range(1, 200):
        ceiling = min(60.0, 2.0 ** (failures - 1))
        assert ceiling / 2 <= backoff_seconds(failures) <= ceiling


def test_answer_is_cut_and_made_printable() -> None:
    service = Service(Reply(400, b"a\nb\x1b[31m" + b"x" * MAX_ANSWER_BYTES * 3))
    answer = Transport(service).post("http://h/", "k", b"", "", 1.0)
    assert answer.status == 400
    assert answer.text.startswith("a b [31mxx")
    assert len(answer.text) == 200


def test_close_and_post_again(raw_server: RawServer) -> None:
    transport = Transport()
    transport.close()
    for _ in range(2):
        assert transport.post(raw_server.url + "/x", "k", b"{}", "", 5.0).status == 201
        transport.close()
    assert raw_server.connections == 2


def test_redirects_are_not_followed() -> None:
    service = Service(Reply(307, headers={"location": "http://elsewhere/"}))
    assert Transport(service).post("http://h/", "secret", b"", "", 1.0).status == 307
    assert [request.url for request in service.requests] == [httpx.URL("http://h/")]
