#!/usr/bin/env python3
"""Runs the examples of reverse proxies in docs/, as they stand there, in front of a relay.

Only addresses, ports and certificates are replaced. A proxy that is not installed is left out and named; with none at all
the exit status is 1. Visitors come from 127.0.0.2 and up, the proxy from 127.0.0.1, which the relay trusts.
Needs the debug binaries (BIN_DIR), openssl and curl; Traefik's example are labels for Docker and is not run here.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(os.environ.get("BIN_DIR", ROOT / "target" / "debug"))
RELAY_PAGE = "services/browser-relay.md"
DEPLOYMENT_PAGE = "deployment.md"
NAME = "telemetry.example"
ORIGIN = "https://shop.example"
LIMIT = 8
EVENT = json.dumps({"type": "TypeError", "message": "boom", "stack": "TypeError: boom\n    at f (https://shop.example/x.js:1:2)"})
METRICS = json.dumps({"metrics": [{"name": "web_vitals_lcp", "type": "histogram", "value": 1.5}]})


def example(page: str, language: str) -> str:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", text, re.S)
    assert found is not None, f"{page}: no example for {language}"
    return found[1]


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"the example has no {old!r} any more"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_open(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.02)


class Stack:
    """Tracker, collector and relay, and what is stopped at the end."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ports = {name: free_port() for name in ("error-tracker", "metrics-collector", "browser-relay")}
        for service in self.ports:
            self.start([BINARIES / service], self.environment(service), service)
            until_open(self.ports[service])

    def environment(self, service: str) -> dict[str, str]:
        return {
            "API_KEY": "proxies",
            "ADMIN_API_KEY": "proxies",
            "HOST": "127.0.0.1",
            "PORT": str(self.ports[service]),
            "DATABASE_PATH": f"{self.directory}/{service}.db",
            "ERROR_TRACKER_URL": f"http://127.0.0.1:{self.ports['error-tracker']}",
            "ERROR_TRACKER_API_KEY": "proxies",
            "METRICS_COLLECTOR_URL": f"http://127.0.0.1:{self.ports['metrics-collector']}",
            "METRICS_COLLECTOR_API_KEY": "proxies",
            "DSN_KEYS": "web:dsn-web",
            "CORS_ORIGINS": ORIGIN,
            "TRUSTED_PROXIES": "127.0.0.1",
        } | ({"RATE_LIMIT": str(LIMIT)} if service == "browser-relay" else {})

    def start(self, command: list[str | Path], environment: dict[str, str], name: str) -> None:
        with open(f"{self.directory}/{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    def stop_last(self) -> None:
        process = self.processes.pop()
        process.terminate()
        process.wait(30)


class Answer:
    def __init__(self, text: str) -> None:
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        lines = head.split("\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}


def ask(port: int, visitor: str, path: str, *more: str, body: bytes | None = None) -> Answer:
    command = ["curl", "-sSik", "--noproxy", "*", "--path-as-is", "--interface", visitor, "-H", "Expect:"]
    command += ["--resolve", f"{NAME}:{port}:127.0.0.1", *more]
    if body is not None:
        command += ["--data-binary", "@-"]
    ran = subprocess.run([*command, f"https://{NAME}:{port}{path}"], input=body, capture_output=True, timeout=60, check=True)
    return Answer(ran.stdout.decode())


def key_and(*headers: str) -> list[str]:
    wanted = ["X-Monlight-Key: dsn-web", f"Origin: {ORIGIN}", "Content-Type: application/json", *headers]
    return [part for header in wanted for part in ("-H", header)]


def readable(answer: Answer) -> bool:
    return answer.headers.get("access-control-allow-origin") == ORIGIN and answer.headers.get("vary") is not None


def check(port: int, prefix: str) -> int:
    """How many things were as they should be. Before all paths stands `prefix`."""
    count = 0

    def expect(what: str, is_so: bool, answer: Answer) -> None:
        nonlocal count
        assert is_so, f"{what}: {answer.status} {answer.headers} {answer.body}"
        count += 1

    preflight = ["-X", "OPTIONS", "-H", f"Origin: {ORIGIN}", "-H", "Access-Control-Request-Method: POST"]
    answer = ask(port, "127.0.0.2", prefix + "/api/browser/errors", *preflight)
    allowed = "X-Monlight-Key" in answer.headers.get("access-control-allow-headers", "")
    expect("preflight", answer.status == 204 and readable(answer) and allowed, answer)

    answer = ask(port, "127.0.0.2", prefix + "/api/browser/errors", *key_and(), body=EVENT.encode())
    expect("event", answer.status in (200, 201) and readable(answer) and "id" in json.loads(answer.body), answer)
    squeezed = key_and("Content-Encoding: gzip")
    answer = ask(port, "127.0.0.2", prefix + "/api/browser/errors", *squeezed, body=gzip.compress(EVENT.encode()))
    expect("gzip", answer.status == 200 and readable(answer), answer)
    beacon = ["-H", f"Origin: {ORIGIN}", "-H", "Content-Type: text/plain"]
    answer = ask(port, "127.0.0.2", prefix + "/api/browser/metrics?key=dsn-web", *beacon, body=METRICS.encode())
    expect("beacon", answer.status == 202 and readable(answer), answer)

    answer = ask(port, "127.0.0.2", prefix + "/api/browser/errors", *key_and(), body=b"x" * 70_000)
    expect("over the relay's limit", answer.status == 413 and readable(answer) and "detail" in answer.body, answer)
    answer = ask(port, "127.0.0.2", prefix + "/api/browser/errors", "-H", f"Origin: {ORIGIN}", body=EVENT.encode())
    expect("no key", answer.status == 401 and readable(answer), answer)

    # Whatever a visitor says of its address, and whoever else asks.
    for number in range(LIMIT + 1):
        pretence = key_and(f"X-Forwarded-For: 198.51.100.{number}", f"Forwarded: for=198.51.100.{number}")
        answer = ask(port, "127.0.0.3", prefix + "/api/browser/metrics", *pretence, body=METRICS.encode())
        status = 429 if number == LIMIT else 202
        expect(f"request {number} of one visitor", answer.status == status and readable(answer), answer)
    answer = ask(port, "127.0.0.4", prefix + "/api/browser/metrics", *key_and(), body=METRICS.encode())
    expect("another visitor", answer.status == 202, answer)

    for path in (
        "/api/dsn-keys",
        "/api/source-maps",
        "/api/outbox",
        "/api/session",
        "/metrics",
        "/health",
        "/",
        "//api/dsn-keys",
        "/api/browser/../dsn-keys",
        "/api/browser/..%2fdsn-keys",
        "/api/browser/%2e%2e/dsn-keys",
        "/api/browser/..;/dsn-keys",
        "/api/browser//../dsn-keys",
        "/api/browser/../../metrics",
    ):
        answer = ask(port, "127.0.0.5", prefix + path, "-H", "X-API-Key: proxies")
        expect(path, answer.status in (400, 401, 404) and "keys" not in answer.body, answer)
    return count


def certificate(directory: str) -> tuple[str, str]:
    key, pem = f"{directory}/telemetry.key", f"{directory}/telemetry.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-keyout", key, "-out", pem]
    subprocess.run(command, check=True, capture_output=True)
    return key, pem


def nginx(stack: Stack, port: int) -> list[str]:
    key, pem = certificate(stack.directory)
    server = replaced(
        example(RELAY_PAGE, "nginx"),
        {"listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "/etc/ssl/telemetry.pem": pem, "/etc/ssl/telemetry.key": key},
    )
    return run_nginx(stack, server)


def nginx_below_a_path(stack: Stack, port: int) -> list[str]:
    key, pem = certificate(stack.directory)
    listen = f"listen 127.0.0.1:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {key};"
    return run_nginx(stack, f"server {{ {listen}\n{example(DEPLOYMENT_PAGE, 'nginx')} }}\n")


def run_nginx(stack: Stack, server: str) -> list[str]:
    server = replaced(server, {"127.0.0.1:5013": f"127.0.0.1:{stack.ports['browser-relay']}"})
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {stack.directory}/{kind};\n" for kind in kinds)
    config = f"daemon off; pid {stack.directory}/nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\n{temporary}access_log off;\n{server}}}\n"
    path = Path(stack.directory) / "nginx.conf"
    path.write_text(config, encoding="utf-8")
    return ["nginx", "-c", str(path), "-e", "stderr", "-p", stack.directory]


def caddy(stack: Stack, port: int) -> list[str]:
    site = replaced(
        example(RELAY_PAGE, "caddy"),
        {f"{NAME} {{": f"{NAME}:{port} {{\n  bind 127.0.0.1\n  tls internal", "127.0.0.1:5013": f"127.0.0.1:{stack.ports['browser-relay']}"},
    )
    path = Path(stack.directory) / "Caddyfile"
    path.write_text(f"{{\n  admin off\n  auto_https disable_redirects\n  skip_install_trust\n}}\n{site}", encoding="utf-8")
    return ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


RUNS = [("nginx", "", nginx), ("nginx", "/relay", nginx_below_a_path), ("caddy", "", caddy)]


def main() -> int:
    checked = 0
    for name, prefix, command in RUNS:
        if shutil.which(name) is None:
            print(f"{name}: not installed, left out")
            continue
        with tempfile.TemporaryDirectory() as directory:
            # For nginx's workers, which are somebody else when it is started by root.
            os.chmod(directory, 0o755)
            stack = Stack(directory)
            try:
                port = free_port()
                home = {"PATH": os.environ["PATH"], "HOME": directory, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory}
                stack.start(list(command(stack, port)), home, name)
                until_open(port)
                print(f"{name}{prefix}: {check(port, prefix)} passed, 0 failed")
                checked += 1
            except BaseException:
                for log in sorted(Path(directory).glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
                raise
            finally:
                while stack.processes:
                    stack.stop_last()
    return 0 if checked else 1


if __name__ == "__main__":
    raise SystemExit(main())
