from __future__ import annotations

from collections.abc import Iterator

import pytest

from monlight import ErrorClient, MetricsClient
from tests.support import HttpService, RawServer, Service


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def errors(service: Service) -> Iterator[ErrorClient]:
    client = ErrorClient("http://tracker/", "key-1", "shop", transport=service)
    yield client
    service.gate.set()
    client.close()


@pytest.fixture
def metrics(service: Service) -> Iterator[MetricsClient]:
    client = MetricsClient("http://collector/", "key-1", project="shop", transport=service)
    yield client
    service.gate.set()
    client.shutdown()


@pytest.fixture
def http_service() -> Iterator[HttpService]:
    server = HttpService()
    yield server
    server.close()


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monlight._worker.backoff_seconds", lambda _failures: 0.0)
