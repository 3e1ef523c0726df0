#!/usr/bin/env python3
"""Tests of run.py: each in a copy of its own, with small stand-ins for the four services, on free ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ["error-tracker", "log-viewer", "metrics-collector", "browser-relay"]
PATIENCE = 40.0

# Answers /health; says much when asked for /health?loud, so that a pipe nobody reads would be full.
STAND_IN = f"""#!{sys.executable}
import http.server, ipaddress, os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ipaddress.ip_address(os.environ["HOST"])
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "loud" in self.path:
            for _ in range(3000):
                os.write(2, b"x" * 99 + b"\\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in os.environ["HOST"] else socket.AF_INET
server = Server((os.environ["HOST"], int(os.environ["PORT"])), Health)
open(os.environ["DATABASE_PATH"] + ".pid", "w").write(str(os.getpid()))
print("listening", flush=True)
server.serve_forever()
"""


def free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in SERVICES]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


class RunTest(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        for part in (".dev", "docker"):
            shutil.copytree(ROOT / part, self.directory / part)
        binaries = self.directory / "bin"
        binaries.mkdir()
        for service in SERVICES:
            (binaries / service).write_text(STAND_IN)
            (binaries / service).chmod(0o755)
        self.ports = free_ports()
        names = ["ERROR_TRACKER_PORT", "LOG_VIEWER_PORT", "METRICS_COLLECTOR_PORT", "BROWSER_RELAY_PORT"]
        self.env = {"PATH": os.environ["PATH"], "BIN_DIR": str(binaries)}
        self.env |= {name: str(port) for name, port in zip(names, self.ports, strict=True)}

    def start(self, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, self.directory / ".dev/run.py"],
            env=self.env | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.terminate)
        return process

    def until_running(self, process: subprocess.Popen[str]) -> None:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C stops" in line:
                return
        self.fail("it does not run: " + "".join(said))

    def stop(self) -> str:
        command = [sys.executable, self.directory / ".dev/run.py", "stop"]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout

    def pids(self) -> list[int]:
        return [int(path.read_text()) for path in (self.directory / "data").glob("*.pid") if path.name != "run.pid"]

    def settings(self, more: str | bytes) -> None:
        subprocess.run([self.directory / "docker/new-env.sh", self.directory / ".env"], check=True, capture_output=True)
        with (self.directory / ".env").open("ab") as file:
            file.write(more if isinstance(more, bytes) else more.encode())

    def test_stop_ends_all_four(self) -> None:
        process = self.start()
        self.until_running(process)
        self.assertEqual(self.stop(), "stopped\n")
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual([pid for pid in self.pids() if alive(pid)], [])
        self.assertEqual(self.stop(), "make stop: nothing is running here\n")

    def test_a_closed_pipe_leaves_nobody_behind_and_nobody_stuck(self) -> None:
        process = self.start()
        self.until_running(process)
        process.stdout.close()
        with socket.create_connection(("127.0.0.1", self.ports[0]), timeout=PATIENCE) as client:
            client.sendall(b"GET /health?loud HTTP/1.0\r\n\r\n")
            self.assertIn(b" 200 ", client.recv(1000))
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        self.assertEqual([pid for pid in self.pids() if alive(pid)], [])

    def test_a_stale_pid_file_ends_no_bystander(self) -> None:
        bystander = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        (self.directory / "data").mkdir()
        (self.directory / "data/run.pid").write_text(f"{bystander.pid}\n")
        self.assertEqual(self.stop(), "make stop: nothing is running here\n")
        self.assertIsNone(bystander.poll())

    def test_the_host_and_proxy_of_the_shell_do_not_count(self) -> None:
        self.until_running(self.start(HOST="mybox", http_proxy="http://127.0.0.1:9"))

    def test_it_is_asked_where_it_listens(self) -> None:
        self.settings("HOST=127.0.0.2\n")
        self.until_running(self.start())

    def test_faults_are_one_clear_line(self) -> None:
        with socket.create_server(("127.0.0.1", self.ports[2])):
            said = self.start().communicate(timeout=PATIENCE)[0]
        self.assertIn(f"make run: port {self.ports[2]} for metrics-collector is taken", said)
        self.settings(b"A=\xff\n")
        process = self.start()
        said = process.communicate(timeout=PATIENCE)[0]
        self.assertIn("make run: cannot read .env", said)
        self.assertNotIn("Traceback", said)
        self.assertEqual(process.returncode, 1)

    def test_a_key_that_cannot_be_made_is_not_written(self) -> None:
        bare = self.directory / "few-tools"
        bare.mkdir()
        for tool in ("cat", "mv", "tr"):
            (bare / tool).symlink_to(shutil.which(tool))
        target = self.directory / "new.env"
        made = subprocess.run(["/bin/sh", self.directory / "docker/new-env.sh", target], env={"PATH": str(bare)}, capture_output=True, check=False)
        self.assertNotEqual(made.returncode, 0)
        self.assertFalse(target.exists())

    def test_env_values_are_read_as_docker_compose_reads_them(self) -> None:
        self.settings("A=x # said\nB='y # z' # said\nC=# nothing\nexport D=\"q\"\nE=a#b\n")
        code = "import sys; sys.path.insert(0, sys.argv[1]); import run; v = run.read_env_file(); print([v[n] for n in 'ABCDE'])"
        said = subprocess.run([sys.executable, "-c", code, self.directory / ".dev"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(said.strip(), "['x', 'y # z', '', 'q', 'a#b']")

    def test_each_service_gets_its_own(self) -> None:
        settings = {
            "LOG_RETENTION_DAYS": "14", "RELAY_ADMIN_PORT": "5023", "RATE_LIMIT": "7", "ERROR_RATE_LIMIT": "8", "LOG_RATE_LIMIT": "",
            "BASE_URL": "http://nobody.example", "PUBLIC_LOGS_URL": "https://logs.example", "PUBLIC_METRICS_URL": "",
        }  # fmt: skip
        ports = dict(zip(SERVICES, self.ports, strict=True))
        names = ["RETENTION_DAYS", "ADMIN_PORT", "RATE_LIMIT", "BASE_URL"]
        code = f"import run; print([[run.environment_of(s, {settings}, {ports}).get(n) for n in {names}] for s in run.PREFIXES])"
        said = subprocess.run(
            [sys.executable, "-c", code], cwd=self.directory / ".dev", env=self.env, capture_output=True, text=True, check=True
        ).stdout
        expected = [
            [None, None, "8", f"http://localhost:{self.ports[0]}"],
            ["14", None, "7", "https://logs.example"],
            [None, None, "7", f"http://localhost:{self.ports[2]}"],
            [None, "5023", "7", "http://nobody.example"],
        ]
        self.assertEqual(said.strip(), str(expected))


if __name__ == "__main__":
    unittest.main()
