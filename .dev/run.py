#!/usr/bin/env python3
"""Runs the four services natively, for `make run` and `make stop`.

Writes `.env` with random keys on first use, checks the ports, starts the release binaries with data under `./data`,
waits until all are healthy, prints where they are, passes their log lines on, and on Ctrl-C or SIGTERM stops all four
and waits for them. Exit status 0 when they ended as asked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn, TextIO

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

# What stands before the settings in `.env` that each service has for itself, as in docker-compose.yml.
PREFIXES = {"error-tracker": "ERROR_", "log-viewer": "LOG_", "metrics-collector": "METRICS_", "browser-relay": "RELAY_"}
OWN_SETTINGS = [
    "RETENTION_DAYS", "RETENTION_DAYS_OPEN", "MAX_DB_MB", "RATE_LIMIT", "MAX_BODY_BYTES", "MAX_CONNECTIONS", "ADMIN_HOST", "ADMIN_PORT",
]  # fmt: skip


def fail(message: str) -> NoReturn:
    print(f"make run: {message}", file=sys.stderr)
    raise SystemExit(1)


# A proxy of the environment is not asked for what runs on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


SAYING = threading.Lock()


def say(text: str) -> None:
    """Prints a whole line; a terminal or pipe that has gone away is no reason to leave four processes behind."""
    try:
        with SAYING:
            print(text, flush=True)
    except OSError:
        # What Python still holds would fail again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_env_file() -> None:
    """Writes `.env` with fresh keys, readable by its owner only."""
    if subprocess.run([ROOT / "docker" / "new-env.sh", ENV_FILE], check=False).returncode != 0:
        fail(f"cannot write {ENV_FILE}")


def read_env_file() -> dict[str, str]:
    """NAME=value lines; blank lines and comments are skipped, one pair of quotes around a value is taken off.

    A comment may follow a value after a blank, as `docker compose` reads it.
    """
    try:
        text = ENV_FILE.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        fail(f"cannot read .env ({fault}): mend it or delete it to get a new one")
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            fail(f".env line {number} is not NAME=value: mend it or delete .env to get a new one")
        value = value.strip()
        if quoted := re.fullmatch(r"""(['"])(.*?)\1(\s+#.*)?""", value):
            value = quoted[2]
        else:
            value = re.sub(r"(^|\s+)#.*", "", value)
        values[name.strip()] = value
    return values


def host_of(settings: dict[str, str]) -> str:
    return settings.get("HOST") or "127.0.0.1"


def reachable(host: str) -> str:
    """The host part of a URL for services that listen on `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def environment_of(service: str, settings: dict[str, str], ports: dict[str, int]) -> dict[str, str]:
    """What one service gets: the machine's environment, the settings of `.env`, and where the others are."""
    # Some shells export HOST, the name of the machine; here it counts only in .env.
    env = {name: value for name, value in os.environ.items() if name not in ("API_KEY", "DATABASE_PATH", "HOST", "PORT")}
    env.update(settings)
    env["PORT"] = str(ports[service])
    env["HOST"] = host_of(settings)
    for name in OWN_SETTINGS:
        if value := env.get(PREFIXES[service] + name):
            env[name] = value
    # As in the images: one heap for all threads keeps memory low under load.
    env.setdefault("MALLOC_ARENA_MAX", "1")
    env.setdefault("MALLOC_MMAP_THRESHOLD_", "131072")
    for name, variable in (
        ("error-tracker", "PUBLIC_ERRORS_URL"),
        ("log-viewer", "PUBLIC_LOGS_URL"),
        ("metrics-collector", "PUBLIC_METRICS_URL"),
    ):
        env[variable] = env.get(variable) or f"http://localhost:{ports[name]}"
        if service == name:
            env["BASE_URL"] = env[variable]
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
        host = reachable(host_of(settings))
        env["ERROR_TRACKER_URL"] = f"http://{host}:{ports['error-tracker']}"
        env["ERROR_TRACKER_API_KEY"] = key
        env["METRICS_COLLECTOR_URL"] = f"http://{host}:{ports['metrics-collector']}"
        env["METRICS_COLLECTOR_API_KEY"] = key
    return env


def check_ports(ports: dict[str, int], host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for service, variable, _, _ in SERVICES:
        port = ports[service]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as fault:
                if fault.errno == errno.EADDRINUSE:
                    fail(f"port {port} for {service} is taken ({fault.strerror}): stop what uses it, or set {variable} in .env")
                fail(f"{service} cannot listen on {host} port {port} ({fault.strerror}): set HOST or {variable} in .env")


def healthy(host: str, port: int) -> str | None:
    """None when well, else why not."""
    try:
        with OPENER.open(f"http://{reachable(host)}:{port}/health", timeout=2) as answer:
            return None if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as fault:
        return f"status {fault.code}: {fault.read(300).decode('utf-8', 'replace')}"
    except (OSError, ValueError) as fault:
        return str(fault)


class Stack:
    """The four processes."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.was_healthy: set[str] = set()
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
        # To the end, whatever becomes of our own output: a service whose pipe is full would stand still.
        for line in process.stdout:
            say(f"{service:<18} {line.decode('utf-8', 'replace').rstrip()}")

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
            # Before it listens for signals, SIGTERM simply ends a process.
            if status == -signal.SIGTERM and name not in self.was_healthy:
                continue
            if status != 0:
                say(f"{name} ended with status {status}")
                clean = False
        return clean


def wait_for_health(stack: Stack, ports: dict[str, int], host: str) -> None:
    deadline = time.monotonic() + HEALTH_DEADLINE
    waiting = list(ports)
    why = ""
    while waiting and not stack.stopping.is_set():
        if dead := stack.dead():
            fail(f"{dead} did not start: its last lines above say why")
        why = healthy(host, ports[waiting[0]]) or ""
        if not why:
            stack.was_healthy.add(waiting.pop(0))
        elif time.monotonic() > deadline:
            fail(f"{waiting[0]} is not healthy after {HEALTH_DEADLINE:.0f} s: {why}")
        else:
            stack.stopping.wait(0.05)


def announce(ports: dict[str, int], settings: dict[str, str]) -> None:
    host = host_of(settings)
    base = "http://localhost" if host in ("0.0.0.0", "127.0.0.1", "::", "::1") else f"http://{reachable(host)}"
    width = max(len(title) for *_, title in SERVICES)
    lines = ["", "Monlight is running.", ""]
    for service, _, _, title in SERVICES:
        note = "  (takes in browser telemetry; operators use its API)" if service == "browser-relay" else ""
        lines.append(f"  {title:<{width}}  {base}:{ports[service]}{note}")
    project, _, dsn = settings.get("DSN_KEYS", "").split(",")[0].partition(":")
    lines.append(f"\n  Keys     {ENV_FILE}: API_KEY signs in to the pages, ADMIN_API_KEY to the relay's API")
    if dsn:
        lines.append(f"  Browser  DSN key of project {project}: {dsn}")
    lines.append("  Traffic  `make demo` in a second terminal sends a minute of it\n\nCtrl-C stops all four.\n")
    say("\n".join(lines))


def take_pid_file() -> TextIO:
    """Locked for as long as this process lives, so that what a killed one has left is known for what it is."""
    file = PID_FILE.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail("it runs already: `make stop` ends it")
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def run() -> int:
    stack = Stack()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stack.stopping.set())
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
    host = host_of(settings)
    (DATA / "containers").mkdir(parents=True, exist_ok=True)
    pid_file = take_pid_file()
    try:
        check_ports(ports, host)
        (DATA / "stack.json").write_text(json.dumps({"ports": ports}) + "\n", encoding="utf-8")
        for service, *_ in SERVICES:
            if not stack.stopping.is_set():
                stack.start(service, environment_of(service, settings, ports))
        wait_for_health(stack, ports, host)
        if not stack.stopping.is_set():
            announce(ports, settings)
        dead = None
        while not stack.stopping.wait(0.5) and not dead:
            dead = stack.dead()
        if dead:
            say(f"{dead} ended by itself, stopping the others")
        clean = stack.stop()
        say("stopped" if clean and not dead else "stopped, not cleanly")
        return 0 if clean and not dead else 1
    finally:
        # Whatever went wrong above, nothing is left running.
        stack.stop()
        PID_FILE.unlink(missing_ok=True)
        pid_file.close()


def is_running(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def stop() -> int:
    try:
        file = PID_FILE.open(encoding="utf-8")
    except FileNotFoundError:
        print("make stop: nothing is running here")
        return 0
    with file:
        # The number alone proves nothing: it may belong to somebody else by now.
        if not is_running(file):
            PID_FILE.unlink(missing_ok=True)
            print("make stop: nothing is running here")
            return 0
        try:
            pid = int(file.read())
            os.kill(pid, signal.SIGTERM)
        except (ValueError, OSError) as fault:
            print(f"make stop: cannot end what runs here ({fault})", file=sys.stderr)
            return 1
        deadline = time.monotonic() + STOP_DEADLINE + 5
        while is_running(file):
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
    try:
        raise SystemExit(run())
    except OSError as fault:
        fail(str(fault))
