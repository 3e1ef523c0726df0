"""Who alerts are sent to: a mail server from PyPI and a small HTTP server, and the error tracker itself as a process."""

from __future__ import annotations

import datetime
import email.message
import email.parser
import email.policy
import http.client
import ipaddress
import json
import logging
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services import KEY, Service, free_port

USER, PASSWORD = "monlight", "correct horse"

# What the mail server says of clients that leave.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class Certificates:
    """An authority of our own and a certificate for 127.0.0.1 and localhost."""

    def __init__(self, directory: str) -> None:
        self.authority = trustme.CA()
        self.file = f"{directory}/ca.pem"
        self.authority.cert_pem.write_to_path(self.file)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.context)


class SelfSigned:
    """A certificate as `openssl req -x509` makes them: it vouches for itself and says that it is an authority."""

    def __init__(self, directory: str, name: str = "127.0.0.1") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        address = x509.IPAddress(ipaddress.ip_address(name))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        pem = serialization.Encoding.PEM
        self.file = f"{directory}/self-signed-{name}.pem"
        Path(self.file).write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
        key_file = Path(f"{directory}/self-signed-{name}.key")
        plain = serialization.NoEncryption()
        key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.file, key_file)


class MailServer:
    """A mail server that keeps what it gets. `sessions`: of each mail whether it came encrypted, and who had signed in."""

    def __init__(self, port: int | None = None, **settings: Any) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.sessions: list[tuple[bool, bytes | None]] = []
        self.logins: list[tuple[bool, bytes]] = []
        self.port = port or free_port()
        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.port, authenticator=self.authenticate, **settings
        )
        self.controller.start()

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        self.logins.append((server.transport.get_extra_info("sslcontext") is not None, data.login))
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good, auth_data=data.login)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        parser = email.parser.BytesParser(policy=email.policy.default)
        mail = parser.parsebytes(envelope.content)
        assert isinstance(mail, email.message.EmailMessage)
        self.sessions.append((server.transport.get_extra_info("sslcontext") is not None, session.auth_data))
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        self.mails.append(mail)
        return "250 kept"

    def stop(self) -> None:
        self.controller.stop()


class Receiver:
    """An HTTP server that keeps what it gets and answers with `status`."""

    def __init__(self, status: int = 200) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = status
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def documents(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(body) for where, _, body in list(self.requests) if where == path]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Tracker(Service):
    """The error tracker with a database of its own."""

    def __init__(self, **settings: str) -> None:
        super().__init__("error-tracker", 0, **{"BASE_URL": "https://errors.example/", **settings})

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method: str, path: str, body: Any = None, over: http.client.HTTPConnection | None = None) -> tuple[int, Any]:
        connection = over or self.connect()
        try:
            headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            if over is None:
                connection.close()

    def report(self, number: int, over: http.client.HTTPConnection | None = None, **fields: str) -> int:
        """Reports an error that makes a group of its own for each number; answers the number of the group."""
        report = {
            "project": "shop",
            "exception_type": "ValueError",
            "message": f"order {number}",
            "traceback": f'Traceback (most recent call last):\n  File "/srv/app/m.py", line {number}, in pay\nValueError: x\n',
            **fields,
        }
        status, answer = self.ask("POST", "/api/errors", report, over)
        assert status in (200, 201), (status, answer)
        group: int = answer["id"]
        return group

    def alerts(self, query: str = "") -> dict[str, Any]:
        status, answer = self.ask("GET", f"/api/alerts{query}")
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    def test_alert(self) -> list[dict[str, Any]]:
        status, answer = self.ask("POST", "/api/test-alert")
        assert status == 202, answer
        channels: list[dict[str, Any]] = answer["channels"]
        return channels
