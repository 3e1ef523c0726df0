#!/usr/bin/env python3
"""Runs the four services natively, for `make run` and `make stop`.

Writes `.env` with random keys on first use, checks the ports, starts the release binaries with data under `./data`,
waits until all are healthy, prints where they are, passes their log lines on, and on Ctrl-C or SIGTERM stops all four
and waits for them. Exit status 0 when they ended as asked.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV_FILE = ROOT / ".env"
DATA = ROOT / "data"
PID_FILE = DATA / "run.pid"
BINARIES = Path(os.environ.get("BIN_DIR", ROOT / "target" / "release"))
HEALTH_DEADLINE = 15.0
STOP_DEADLINE = 15.0

# name, variable that moves its port, default port, what a person calls it
SERVICES = [
    ("error-tracker", "ERROR_TRACKER_PORT", 5010, "Errors"),
    ("log-viewer", "LOG_VIEWER_PORT", 5011, "Logs"),
    ("metrics-collector", "METRICS_COLLECTOR_PORT", 5012, "Metrics"),
    ("browser-relay", "BROWSER_RELAY_PORT", 5013, "Browser"),
]


def fail(message: str) -> None:
    print(f"make run: {message}", file=sys.stderr)
    raise SystemExit(1)


def write_env_file() -> None:
    """Writes `.env` with fresh keys, readable by its owner only."""
    subprocess.run([ROOT / "docker" / "new-env.sh", ENV_FILE], check=True)


def read_env_file() -> dict[str, str]:
    """NAME=value lines; blank lines and comments are skipped, one pair of quotes around a value is taken off."""
    values: dict[str, str] = {}
    for number, raw in enumerate(ENV_FILE.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            fail(f".env line {number} is not NAME=value: mend it or delete .env to get a new one")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[name.strip()] = value
    return values


def environment_of(service: str, settings: dict[str, str], ports: dict[str, int]) -> dict[str, str]:
    """What one service gets: the machine's environment, the settings of `.env`, and where the others are."""
    env = {name: value for name, value in os.environ.items() if name not in ("API_KEY", "DATABASE_PATH", "PORT")}
    env.update(settings)
    env["PORT"] = str(ports[service])
    env.setdefault("HOST", "127.0.0.1")
    for name, variable in (
        ("error-tracker", "PUBLIC_ERRORS_URL"),
        ("log-viewer", "PUBLIC_LOGS_URL"),
        ("metrics-collector", "PUBLIC_METRICS_URL"),
        ("browser-relay", "PUBLIC_BROWSER_URL"),
    ):
        env.setdefault(variable, f"http://localhost:{ports[name]}")
    files = {
        "error-tracker": "errors.db",
        "log-viewer": "logs.db",
        "metrics-collector": "metrics.db",
        "browser-relay": "browser-relay.db",
    }
    env["DATABASE_PATH"] = str(DATA / files[service])
    if service == "log-viewer":
        env["LOG_SOURCES"] = str((ROOT / env.get("LOG_SOURCES", "./data/containers")).resolve())
        env.setdefault("CONTAINERS", "")
    if service == "browser-relay":
        key = settings.get("INTERNAL_API_KEY") or settings.get("API_KEY", "")
        env["ERROR_TRACKER_URL"] = f"http://127.0.0.1:{ports['error-tracker']}"
        env["ERROR_TRACKER_API_KEY"] = key
        env["METRICS_COLLECTOR_URL"] = f"http://127.0.0.1:{ports['metrics-collector']}"
        env["METRICS_COLLECTOR_API_KEY"] = key
    return env


def check_ports(ports: dict[str, int], host: str) -> None:
    for service, variable, _, _ in SERVICES:
        port = ports[service]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as fault:
                fail(f"port {port} for {service} is taken ({fault.strerror}): stop what uses it, or set {variable} in .env")


def healthy(port: int) -> str | None:
    """None when well, else why not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return None if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as fault:
        return f"status {fault.code}: {fault.read(300).decode('utf-8', 'replace')}"
    except (OSError, ValueError) as fault:
        return str(fault)


class Stack:
    """The four processes."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = threading.Event()

    def start(self, service: str, env: dict[str, str]) -> None:
        # A session of its own: Ctrl-C in the terminal reaches this script only, which then stops each once.
        process = subprocess.Popen(
            [BINARIES / service], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.processes[service] = process
        threading.Thread(target=self.pass_on, args=(service, process), daemon=True).start()

    @staticmethod
    def pass_on(service: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(f"{service:<18} {line.decode('utf-8', 'replace')}")
            sys.stdout.flush()

    def dead(self) -> str | None:
        return next((name for name, process in self.processes.items() if process.poll() is not None), None)

    def stop(self) -> bool:
        """Asks all to end and waits; True when each ended with status 0."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_DEADLINE
        clean = True
        for name, process in self.processes.items():
            try:
                status = process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            if status != 0:
                print(f"{name} ended with status {status}")
                clean = False
        return clean


def wait_for_health(stack: Stack, ports: dict[str, int]) -> None:
    deadline = time.monotonic() + HEALTH_DEADLINE
    waiting = list(ports)
    why = ""
    while waiting and not stack.stopping.is_set():
        if dead := stack.dead():
            stack.stop()
            fail(f"{dead} did not start: its last lines above say why")
        why = healthy(ports[waiting[0]]) or ""
        if not why:
            waiting.pop(0)
        elif time.monotonic() > deadline:
            stack.stop()
            fail(f"{waiting[0]} is not healthy after {HEALTH_DEADLINE:.0f} s: {why}")
        else:
            stack.stopping.wait(0.05)


def announce(ports: dict[str, int], settings: dict[str, str]) -> None:
    width = max(len(title) for *_, title in SERVICES)
    print("\nMonlight is running.\n")
    for service, _, _, title in SERVICES:
        note = "  (takes in browser telemetry; operators use its API)" if service == "browser-relay" else ""
        print(f"  {title:<{width}}  http://localhost:{ports[service]}{note}")
    project, _, dsn = settings.get("DSN_KEYS", "").split(",")[0].partition(":")
    print(f"\n  Keys     {ENV_FILE}: API_KEY signs in to the pages, ADMIN_API_KEY to the relay's API")
    if dsn:
        print(f"  Browser  DSN key of project {project}: {dsn}")
    print("  Traffic  `make demo` in a second terminal sends a minute of it\n\nCtrl-C stops all four.\n", flush=True)


def run() -> int:
    missing = [service for service, *_ in SERVICES if not (BINARIES / service).is_file()]
    if missing:
        fail(f"{BINARIES / missing[0]} is not built: run `make release`")
    if not ENV_FILE.exists():
        write_env_file()
    settings = read_env_file()
    ports = {}
    for service, variable, default, _ in SERVICES:
        text = os.environ.get(variable) or settings.get(variable) or str(default)
        if not text.isdigit() or not 0 < int(text) < 65536:
            fail(f"{variable} is {text!r}; expected a port, 1 to 65535")
        ports[service] = int(text)
    check_ports(ports, settings.get("HOST", "127.0.0.1"))
    (DATA / "containers").mkdir(parents=True, exist_ok=True)
    (DATA / "stack.json").write_text(json.dumps({"ports": ports}) + "\n", encoding="utf-8")

    stack = Stack()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stack.stopping.set())
    PID_FILE.write_text(f"{os.getpid()}\n", encoding="utf-8")
    try:
        for service, *_ in SERVICES:
            stack.start(service, environment_of(service, settings, ports))
        wait_for_health(stack, ports)
        if not stack.stopping.is_set():
            announce(ports, settings)
        dead = None
        while not stack.stopping.wait(0.5) and not dead:
            dead = stack.dead()
        if dead:
            print(f"{dead} ended by itself, stopping the others", flush=True)
        clean = stack.stop()
        print("stopped" if clean and not dead else "stopped, not cleanly", flush=True)
        return 0 if clean and not dead else 1
    finally:
        PID_FILE.unlink(missing_ok=True)


def stop() -> int:
    try:
        pid = int(PID_FILE.read_text(encoding="utf-8"))
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        print("make stop: nothing is running here")
        return 0
    deadline = time.monotonic() + STOP_DEADLINE + 5
    while PID_FILE.exists():
        if time.monotonic() > deadline:
            print(f"make stop: process {pid} does not end", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("stopped")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["stop"]:
        raise SystemExit(stop())
    if sys.argv[1:] == ["env"]:
        if not ENV_FILE.exists():
            write_env_file()
        raise SystemExit(0)
    raise SystemExit(run())
