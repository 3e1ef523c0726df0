"""What goes over the wire, byte for byte."""

from __future__ import annotations

import json
import re

import monlight
from monlight import ErrorClient, MetricsClient
from tests.support import RawServer


def test_error_report_on_the_socket(raw_server: RawServer) -> None:
    client = ErrorClient(raw_server.url + "/", "key-1", project="shop")
    client.report_error_sync(
        ValueError("bad é"),
        {
            "extra": {"a": [1, None]},
            "user_id": 42,
            "request_headers": {"Accept": "*/*", "Cookie": "c", "X-Api-Key": "k"},
            "ignored": 1,
            "request_method": "POST",
            "request_url": "/u?x=1",
        },
    )
    client.close()
    head, body = raw_server.received[0].split(b"\r\n\r\n", 1)
    assert body.decode() == (
        '{"project":"shop","exception_type":"ValueError","message":"bad é",'
        '"traceback":"ValueError: bad é\\n","request_url":"/u?x=1","request_method":"POST",'
        '"request_headers":{"Accept":"*/*"},"user_id":"42","extra":{"a":[1,null]}}'
    )
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /api/errors HTTP/1.1"
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert headers["x-api-key"] == "key-1"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(body))
    assert headers["user-agent"] == f"monlight-python/{monlight.__version__}"


def test_release_and_environment_follow_the_contract_keys(raw_server: RawServer) -> None:
    client = ErrorClient(raw_server.url, "k", release="1.2", environment="prod")
    client.report_error_sync(KeyError("k"), {"user_id": ""})
    client.close()
    assert raw_server.received[0].endswith(
        b'{"project":"default","exception_type":"KeyError","message":"\'k\'",'
        b'"traceback":"KeyError: \'k\'\\n","user_id":"","release":"1.2","environment":"prod"}'
    )


def test_metrics_on_the_socket(raw_server: RawServer) -> None:
    client = MetricsClient(raw_server.url + "/", "key-1", project="shop")
    client.counter("c")
    client.counter("c2", {"a": "b"}, 5)
    client.gauge("g", -2, {"n": 1})
    client.histogram("h", 0.25, {})
    assert client.shutdown()
    head, body = raw_server.received[0].split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /api/metrics HTTP/1.1\r\n")
    text, times = re.subn(
        r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', '"timestamp":T', body.decode()
    )
    assert times == 4
    assert text == (
        '[{"name":"c","type":"counter","value":1,"timestamp":T,"project":"shop"},'
        '{"name":"c2","type":"counter","value":5,"timestamp":T,"labels":{"a":"b"},"project":"shop"},'
        '{"name":"g","type":"gauge","value":-2,"timestamp":T,"labels":{"n":1},"project":"shop"},'
        '{"name":"h","type":"histogram","value":0.25,"timestamp":T,"project":"shop"}]'
    )


def test_one_connection_serves_many_requests(raw_server: RawServer) -> None:
    client = ErrorClient(raw_server.url, "k")
    for number in range(5):
        client.report_error_sync(ValueError(str(number)))
    client.close()
    assert len(raw_server.received) == 5
    assert raw_server.connections == 1


def test_traceback_holds_the_whole_chain(raw_server: RawServer) -> None:
    class Local(Exception):
        pass

    client = ErrorClient(raw_server.url, "k")
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise Local("outer") from inner
    except Local as exc:
        client.report_error_sync(exc)
    client.close()
    report = json.loads(raw_server.received[0].split(b"\r\n\r\n", 1)[1])
    assert report["exception_type"].endswith(".<locals>.Local")
    assert report["traceback"].startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'inner'" in report["traceback"]
    assert "The above exception was the direct cause" in report["traceback"]
    assert report["traceback"].rstrip().endswith("Local: outer")


def test_public_names() -> None:
    assert monlight.__all__ == ["ErrorClient", "MetricsClient"]
    assert monlight.__version__ == "1.0.0"
