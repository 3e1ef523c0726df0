#!/usr/bin/env python3
"""Holds the release binaries to what the README promises: static, small, light, quick to start.

Starts each on a free port with an empty database, takes the time to the first healthy answer and the resident memory
after it, stops it with SIGTERM and looks at the exit status. Prints a table and a closing line; exit status 1 when
anything is over its budget.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(os.environ.get("BIN_DIR", ROOT / "target" / "release"))
SERVICES = ["error-tracker", "log-viewer", "metrics-collector", "browser-relay"]

MOST_BINARY_MB = 12.0
# Most of it is mapped code: error tracker and log viewer have mail and TLS in them, the relay TLS. The promise is 30 MB for each at
# full load, and less than 50 MB for all four.
MOST_RSS_MB = 10.0
MOST_RSS_SUM_MB = 36.0
MOST_START_MS = 100.0
STARTS = 5

# A proxy of the environment is not asked for what runs on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)
    assert match is not None
    return int(match[1]) * 1024 / 1e6


def environment(service: str, directory: str) -> dict[str, str]:
    (Path(directory) / "containers").mkdir(exist_ok=True)
    return {
        "API_KEY": "budget",
        "ADMIN_API_KEY": "budget",
        "HOST": "127.0.0.1",
        "PORT": "0",
        "DATABASE_PATH": f"{directory}/{service}.db",
        "LOG_SOURCES": f"{directory}/containers",
        "ERROR_TRACKER_URL": "http://127.0.0.1:1",
        "ERROR_TRACKER_API_KEY": "k",
        "METRICS_COLLECTOR_URL": "http://127.0.0.1:1",
        "METRICS_COLLECTOR_API_KEY": "k",
    }


def start_once(service: str, directory: str) -> tuple[float, float]:
    """Milliseconds to the first healthy answer, and the memory in MB after it."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [BINARIES / service], env=environment(service, directory), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(r"listening on \S*?:(\d+)\b", line):
                break
        else:
            raise SystemExit(f"{service} ended without listening (status {process.wait()})")
        with OPENER.open(f"http://127.0.0.1:{match[1]}/health", timeout=5) as answer:
            assert answer.status == 200
        elapsed_ms = (time.perf_counter() - started) * 1000
        return elapsed_ms, rss_mb(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(15)
        if status != 0:
            raise SystemExit(f"{service}: status {status} after SIGTERM, expected 0")


def is_static(path: Path) -> bool:
    """No program interpreter, so no dynamic loader is asked for."""
    text = subprocess.run(["readelf", "-l", path], capture_output=True, text=True, check=True).stdout
    return "INTERP" not in text


def main() -> int:
    over: list[str] = []
    passed = 0
    rss_sum = 0.0

    def hold(name: str, value: float, most: float, unit: str) -> str:
        nonlocal passed
        if value <= most:
            passed += 1
        else:
            over.append(f"{name}: {value:.1f} {unit}, at most {most:.0f} {unit}")
        return f"{value:.1f} {unit}"

    print(f"{'service':<18} {'binary':>9} {'RSS':>8} {'start':>9}")
    for service in SERVICES:
        path = BINARIES / service
        if is_static(path):
            passed += 1
        else:
            over.append(f"{service} is not static")
        with tempfile.TemporaryDirectory() as directory:
            runs = [start_once(service, directory) for _ in range(STARTS)]
        # The quickest start: a busy machine only ever adds to it.
        start_ms, memory = min(ms for ms, _ in runs), max(mb for _, mb in runs)
        rss_sum += memory
        size = hold(f"{service} binary", path.stat().st_size / 1e6, MOST_BINARY_MB, "MB")
        rss = hold(f"{service} memory", memory, MOST_RSS_MB, "MB")
        quick = hold(f"{service} start", start_ms, MOST_START_MS, "ms")
        print(f"{service:<18} {size:>9} {rss:>8} {quick:>9}")
    print(f"{'all four':<18} {'':>9} {hold('memory of all four', rss_sum, MOST_RSS_SUM_MB, 'MB'):>8}")
    for line in over:
        print(f"over budget: {line}", file=sys.stderr)
    print(f"budgets: {passed} passed, {len(over)} failed")
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
