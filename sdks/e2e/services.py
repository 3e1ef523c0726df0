"""Real processes of the binaries under test, for the suites in the folders beside this file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("BIN_DIR") or ROOT / "target" / "release").resolve()
KEY = "e2e-api-key"


def eventually(what: str, probe: Callable[[], Any], seconds: float = 30) -> Any:
    """Asks until the answer is truthy."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {found!r})")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """A binary with a database of its own. `log`: the lines of all its starts."""

    def __init__(self, name: str, port: int = 0, **settings: str) -> None:
        self.name = name
        self.directory = tempfile.TemporaryDirectory(prefix=f"monlight-{name}-")
        self.settings = {
            "API_KEY": KEY,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "RATE_LIMIT": "0",
            "DATABASE_PATH": f"{self.directory.name}/service.db",
            **settings,
        }
        self.log: list[str] = []
        try:
            self.start()
        except BaseException:
            self.directory.cleanup()
            raise

    def start(self) -> None:
        """Returns when it listens, on `port`."""
        self.process = subprocess.Popen([BINARIES / self.name], env=self.settings, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if match := re.search(r"listening on \S*?:(\d+)\b", line):
                self.port = int(match[1])
                break
        else:
            self.process.stderr.close()
            raise AssertionError(f"{self.name} ended ({self.process.wait()}): {''.join(self.log)}")
        self.reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Answers its exit status."""
        self.process.send_signal(how)
        status = self.process.wait(30)
        self.reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def kill_and_start(self) -> None:
        self.end(signal.SIGKILL)
        self.start()

    def remove(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.directory.cleanup()
