"""Forks and the end of the interpreter, with real processes and a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from monlight import ErrorClient, MetricsClient
from tests.support import PATIENCE_SECONDS, HttpService, eventually, run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def fork(child: Callable[[], bool]) -> int:
    """Run `child` in a forked process and return its exit status."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forking beside threads; that is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            status = 0 if child() else 1
        except BaseException:
            status = 2
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_sends_its_own_and_not_its_parents(http_service: HttpService) -> None:
    client = MetricsClient(http_service.url, "k", flush_interval=3_600)
    client.start()
    client.counter("parent")

    def child() -> bool:
        empty = client.stats()["queued"] == 0
        client.counter("child")
        return client.flush() and empty

    assert fork(child) == 0
    assert client.shutdown()
    assert sorted(metric["name"] for metric in http_service.metrics()) == ["child", "parent"]


def test_a_lock_held_while_forking_does_not_stop_the_child(http_service: HttpService) -> None:
    client = ErrorClient(http_service.url, "k")
    client.report_error_sync(ValueError("parent"))

    def child() -> bool:
        client.report_error_sync(ValueError("child"))
        return client.stats()["sent"] == 1

    with client._worker._changed:
        assert fork(child) == 0
    client.close()
    assert [report["message"] for report in http_service.errors()] == ["parent", "child"]


def test_start_in_a_child(http_service: HttpService) -> None:
    client = MetricsClient(http_service.url, "k", flush_interval=0.01)
    client.start()

    def child() -> bool:
        client.start()
        client.counter("child")
        eventually(lambda: client.stats()["sent"] == 1)
        return client.shutdown()

    assert fork(child) == 0
    client.shutdown()
    assert len(http_service.metrics()) == 1


def test_prefork_workers_each_send(http_service: HttpService) -> None:
    """A server that loads the application, with its set-up, before it forks."""
    metrics = MetricsClient(http_service.url, "k", flush_interval=0.01)
    metrics.start()
    errors = ErrorClient(http_service.url, "k")
    pids = []
    for worker in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                metrics.counter("requests", {"worker": worker})
                errors.capture(ValueError(str(worker)))
                eventually(lambda: metrics.stats()["sent"] and errors.stats()["sent"])
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert statuses == [0, 0, 0]
    assert sorted(m["labels"]["worker"] for m in http_service.metrics()) == [0, 1, 2]
    assert sorted(report["message"] for report in http_service.errors()) == ["0", "1", "2"]


def test_the_end_of_the_interpreter_flushes(http_service: HttpService) -> None:
    done = run_python(
        """
import sys
from monlight import ErrorClient, MetricsClient
metrics = MetricsClient(sys.argv[1], "k", flush_interval=3600)
metrics.start()
metrics.counter("last")
ErrorClient(sys.argv[1], "k").capture(ValueError("last"))
never_started = MetricsClient(sys.argv[1], "k")
never_started.counter("unsent")
""",
        http_service.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [metric["name"] for metric in http_service.metrics()] == ["last"]
    assert [report["message"] for report in http_service.errors()] == ["last"]


def test_reports_made_while_the_interpreter_ends(http_service: HttpService) -> None:
    done = run_python(
        """
import atexit, sys
from monlight import ErrorClient
client = ErrorClient(sys.argv[1], "k")
atexit.register(lambda: client.capture(ValueError("queued")))
atexit.register(lambda: client.report_error_sync(ValueError("waited for")))
""",
        http_service.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {report["message"] for report in http_service.errors()} == {"queued", "waited for"}


def test_an_uncaught_exception_after_a_report(http_service: HttpService) -> None:
    done = run_python(
        """
import sys
from monlight import ErrorClient
client = ErrorClient(sys.argv[1], "k")
try:
    1 / 0
except ZeroDivisionError as exc:
    client.capture(exc)
    raise
""",
        http_service.url,
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert len(http_service.errors()) == 1


def test_a_service_that_does_not_answer_does_not_hold_up_the_end() -> None:
    done = run_python(
        """
import socket, sys, time, atexit
began = time.monotonic()
atexit.register(lambda: print(time.monotonic() - began))
from monlight import ErrorClient, MetricsClient
silent = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{silent.getsockname()[1]}"
metrics = MetricsClient(url, "k", timeout=0.3)
metrics.start()
metrics.counter("c")
ErrorClient(url, "k", timeout=0.3).capture(ValueError("x"))
atexit.register(silent.close)
"""
    )
    assert done.returncode == 0
    assert float(done.stdout) < PATIENCE_SECONDS / 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_flush(
    http_service: HttpService, tmp_path: Path, method: str
) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        """
import multiprocessing, sys
from monlight import MetricsClient

def work(url):
    client = MetricsClient(url, "k", flush_interval=3600)
    client.start()
    client.counter("child")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    child = context.Process(target=work, args=(sys.argv[1],))
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
    )
    subprocess.run([sys.executable, str(script), http_service.url, method], check=True, timeout=60)
    assert [metric["name"] for metric in http_service.metrics()] == ["child"]


def test_uvicorn_stopped_by_sigterm_loses_nothing(
    http_service: HttpService, tmp_path: Path
) -> None:
    """uvicorn ends by the signal itself, so exit handlers do not run: the lifespan flushes."""
    (tmp_path / "served.py").write_text(
        """
import os
from fastapi import FastAPI
from monlight.integrations.fastapi import setup_monlight
app = FastAPI()
url = os.environ["MONLIGHT_TEST_URL"]
setup_monlight(app, error_tracker_url=url, metrics_collector_url=url, api_key="k",
               flush_interval=3600)

@app.get("/boom/{name}")
def boom(name: str):
    raise ValueError(name)
"""
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "served:app", "--port", "0", "--app-dir", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MONLIGHT_TEST_URL": http_service.url},
    )
    assert process.stderr is not None
    with process, process.stderr:
        line = next(line for line in process.stderr if "running on" in line)
        address = line.split("http://")[1].split()[0]
        code = "import sys, httpx; print(httpx.get(sys.argv[1]).text)"
        answer = run_python(code, f"http://{address}/boom/a?token=s")
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    assert answer.stdout.strip() == '{"detail":"Internal server error"}'
    assert [metric["labels"] for metric in http_service.metrics()] == [
        {"method": "GET", "endpoint": "/boom/{name}", "status": "500"}
    ] * 2
    (report,) = http_service.errors()
    assert list(report) == [
        *("project", "exception_type", "message", "traceback"),
        *("request_url", "request_method", "request_headers"),
    ]
    assert report["request_url"] == f"http://{address}/boom/a?token=[redacted]"
