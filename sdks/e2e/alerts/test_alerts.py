"""Alerts from the report to a real mail server and a real HTTP server."""

from __future__ import annotations

import email.utils
import functools
import hashlib
import hmac
import http.client
import json
import signal
import socket
import tempfile
import threading
import time
import unittest
import warnings
from collections import Counter
from typing import Any

from servers import PASSWORD, USER, Certificates, MailServer, Receiver, SelfSigned, Tracker

import services
from services import KEY, free_port

STORM = 10_000
eventually = functools.partial(services.eventually, seconds=20)


class Storm:
    """Ten thousand distinct errors at once. Their digest takes a minute, so the other tests run meanwhile."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.tracker = Tracker(ALERT_WEBHOOK_URLS=self.receiver.url("/storm"), ALERT_ALLOW_PRIVATE="true")
        self.slowest_list = 0.0
        self.over = threading.Event()
        senders = [threading.Thread(target=self.send, args=(n,)) for n in range(4)]
        watcher = threading.Thread(target=self.watch)
        for thread in [*senders, watcher]:
            thread.start()
        for thread in senders:
            thread.join()
        self.over.set()
        watcher.join()

    def send(self, sender: int) -> None:
        connection = self.tracker.connect()
        for number in range(sender, STORM, 4):
            self.tracker.report(number + 1, connection, project=f"shop-{number % 3}")
        connection.close()

    def watch(self) -> None:
        connection = self.tracker.connect()
        while not self.over.wait(0.05):
            began = time.monotonic()
            status, _ = self.tracker.ask("GET", "/api/errors?limit=50", over=connection)
            assert status == 200
            self.slowest_list = max(self.slowest_list, time.monotonic() - began)
        connection.close()

    def remove(self) -> None:
        self.tracker.remove()
        self.receiver.stop()


storm: Storm


def setUpModule() -> None:
    global storm
    # The mail server warns of settings that are unwise and wanted here.
    warnings.filterwarnings("ignore", category=UserWarning, module="aiosmtpd")
    storm = Storm()
    unittest.addModuleCleanup(storm.remove)


class AlertTest(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="monlight-alerts-")
        self.addCleanup(self.directory.cleanup)

    def tracker(self, **settings: str) -> Tracker:
        tracker = Tracker(**settings)
        self.addCleanup(tracker.remove)
        return tracker

    def mail_server(self, **settings: Any) -> MailServer:
        server = MailServer(**settings)
        self.addCleanup(server.stop)
        return server

    def receiver(self, status: int = 200) -> Receiver:
        receiver = Receiver(status)
        self.addCleanup(receiver.stop)
        return receiver

    def mail_settings(self, server: MailServer, **more: str) -> dict[str, str]:
        return {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(server.port),
            "SMTP_FROM": "Monlight <errors@errors.example>",
            "ALERT_EMAILS": "ops@team.example",
            **more,
        }


class Mail(AlertTest):
    def test_an_error_becomes_a_mail(self) -> None:
        server = self.mail_server()
        tracker = self.tracker(**self.mail_settings(server, ALERT_EMAILS="ops@team.example, dev@team.example"))
        group = tracker.report(7, message="grün ✓", request_method="POST", request_url="https://shop.example/pay")
        eventually("two mails", lambda: len(server.mails) == 2)
        self.assertEqual(
            sorted(server.envelopes),
            [("errors@errors.example", ["dev@team.example"]), ("errors@errors.example", ["ops@team.example"])],
        )
        mail = server.mails[0]
        self.assertEqual(mail["Subject"], f"[shop] ValueError: grün ✓ (#{group})")
        self.assertEqual(mail["From"], "Monlight <errors@errors.example>")
        sent = email.utils.parsedate_to_datetime(mail["Date"]).timestamp()
        self.assertLess(abs(time.time() - sent), 60)
        self.assertRegex(mail["Message-ID"], r"^<[0-9a-f]{16}\.1\.\d+@errors\.example>$")
        self.assertEqual(mail["Message-ID"], server.mails[1]["Message-ID"])
        self.assertEqual(mail.get_content_type(), "multipart/alternative")
        text, page = (part.get_content() for part in mail.iter_parts())
        link = f"https://errors.example/errors/{group}"
        for part in (text, page):
            for expected in ("grün ✓", "shop", "POST https://shop.example/pay", link, 'line 7, in pay'):
                self.assertIn(expected, part)
        self.assertIn("<!doctype html>", page)
        eventually("both stored as sent", lambda: [alert["state"] for alert in tracker.alerts()["alerts"]] == ["sent"])

    def test_no_text_becomes_a_header_or_a_command(self) -> None:
        server = self.mail_server()
        tracker = self.tracker(**self.mail_settings(server))
        hostile = ".\r\nQUIT\r\n.\r\nMAIL FROM:<evil@evil.example>\r\n..\r\n.hidden\r\n\n.\n"
        tracker.report(
            1,
            project="a\r\nBcc: evil@evil.example\r\n\r\nowned",
            exception_type="E\r\nX-Evil: 1",
            message="m\r\nX-Evil: 2\r\n.\r\n",
            traceback=hostile,
        )
        tracker.report(2)
        eventually("both mails", lambda: len(server.mails) == 2)
        # Both may be under way at once, and either be the first to arrive.
        [mail] = [mail for mail in server.mails if mail["Subject"].endswith("(#1)")]
        self.assertEqual(
            set(mail.keys()),
            {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"},
        )
        self.assertEqual(mail["Subject"], "[a Bcc: evil@evil.example owned] E X-Evil: 1: m X-Evil: 2 . (#1)")
        self.assertEqual({tuple(to) for _, to in server.envelopes}, {("ops@team.example",)})
        text = next(iter(mail.iter_parts())).get_content().replace("\r\n", "\n")
        self.assertIn(".\nQUIT\n.\nMAIL FROM:<evil@evil.example>\n..\n.hidden\n\n.", text)
        self.assertTrue(text.rstrip().endswith("Open in Monlight: https://errors.example/errors/1"))

    def test_starttls_with_a_certificate_of_ones_own_and_a_password(self) -> None:
        certificates = Certificates(self.directory.name)
        server = self.mail_server(tls_context=certificates.context, require_starttls=True, auth_required=True)
        settings = self.mail_settings(server, SMTP_USERNAME=USER, SMTP_PASSWORD=PASSWORD, SMTP_CA_FILE=certificates.file)
        tracker = self.tracker(**settings)
        tracker.report(1)
        eventually("the mail", lambda: server.mails)
        [(encrypted, login)] = server.sessions
        self.assertTrue(encrypted)
        self.assertEqual(server.logins, [(True, USER.encode())])
        self.assertIsNotNone(login)

    def test_a_certificate_that_nobody_vouches_for_gets_nothing(self) -> None:
        certificates = Certificates(self.directory.name)
        server = self.mail_server(tls_context=certificates.context, auth_require_tls=False)
        tracker = self.tracker(**self.mail_settings(server, SMTP_USERNAME=USER, SMTP_PASSWORD=PASSWORD))
        [tested] = tracker.test_alert()
        self.assertFalse(tested["ok"])
        self.assertIn("SMTP_CA_FILE", tested["detail"])
        self.assertEqual((server.mails, server.logins), ([], []))

    def test_a_certificate_that_is_its_own_authority(self) -> None:
        certificate, other = SelfSigned(self.directory.name), SelfSigned(self.directory.name, "127.0.0.2")
        # Nobody vouches for it; it is another one; it is of another server; it is the one that is named.
        for served, named, ok in [
            (certificate, None, False),
            (certificate, other, False),
            (other, other, False),
            (certificate, certificate, True),
        ]:
            server = self.mail_server(tls_context=served.context, require_starttls=True)
            trusted = {"SMTP_CA_FILE": named.file} if named else {}
            [tested] = self.tracker(**self.mail_settings(server, **trusted)).test_alert()
            self.assertEqual(tested["ok"], ok, tested)
            self.assertEqual([session[0] for session in server.sessions], [True] if ok else [])

    def test_tls_from_the_first_byte(self) -> None:
        certificates = Certificates(self.directory.name)
        server = self.mail_server(ssl_context=certificates.context)
        tracker = self.tracker(**self.mail_settings(server, SMTP_TLS="implicit", SMTP_CA_FILE=certificates.file))
        [tested] = tracker.test_alert()
        self.assertEqual((tested["channel"], tested["target"], tested["ok"]), ("smtp", "ops@team.example", True))
        self.assertEqual(server.mails[0]["Subject"], "[error-tracker] SMTP test alert")
        self.assertTrue(server.sessions[0][0])

    def test_no_password_over_a_plain_line_unless_told_so(self) -> None:
        server = self.mail_server(auth_require_tls=False, auth_required=True)
        settings = self.mail_settings(server, SMTP_USERNAME=USER, SMTP_PASSWORD=PASSWORD)
        [tested] = self.tracker(**settings).test_alert()
        self.assertFalse(tested["ok"])
        self.assertIn("SMTP_ALLOW_PLAIN_AUTH", tested["detail"])
        self.assertEqual(server.logins, [])
        [tested] = self.tracker(**settings, SMTP_ALLOW_PLAIN_AUTH="true").test_alert()
        self.assertTrue(tested["ok"], tested)
        self.assertEqual(server.logins, [(False, USER.encode())])

    def test_a_wrong_password_is_shown_and_tried_again(self) -> None:
        certificates = Certificates(self.directory.name)
        server = self.mail_server(tls_context=certificates.context, require_starttls=True, auth_required=True)
        settings = self.mail_settings(server, SMTP_USERNAME=USER, SMTP_PASSWORD="hush", SMTP_CA_FILE=certificates.file)
        tracker = self.tracker(**settings)
        tracker.report(1)
        tried = lambda: [alert for alert in tracker.alerts("?state=pending")["alerts"] if alert["deliveries"][0]["tries"]]
        [alert] = eventually("an attempt", tried)
        [delivery] = alert["deliveries"]
        self.assertIn("signing in to the mail server failed", delivery["last_error"])
        self.assertIsNotNone(delivery["next_try"])
        self.assertEqual(tracker.end(), 0)
        self.assertNotIn("hush", "".join(tracker.log))


class Silence(AlertTest):
    """A mail server that takes connections and never says a word."""

    def setUp(self) -> None:
        super().setUp()
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.slack = self.receiver()
        self.silent = self.tracker(
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(silent.getsockname()[1]),
            ALERT_EMAILS="ops@team.example",
            SLACK_WEBHOOK_URLS=self.slack.url("/slack"),
            ALERT_ALLOW_PRIVATE="true",
        )

    def test_a_test_alert_waits_ten_seconds_for_it(self) -> None:
        began = time.monotonic()
        mail, slack = self.silent.test_alert()
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual((mail["ok"], mail["detail"]), (False, "no answer within 10 s"))
        self.assertTrue(slack["ok"])

    def test_it_holds_up_neither_others_nor_the_end(self) -> None:
        for number in range(1, 4):
            self.silent.report(number)
        eventually("all in Slack", lambda: len(self.slack.requests) == 3)
        began = time.monotonic()
        self.assertEqual(self.silent.end(), 0)
        self.assertLess(time.monotonic() - began, 10, "it waited for the mail server")


class Loss(AlertTest):
    def test_a_dead_mail_server_and_a_kill_lose_nothing(self) -> None:
        port = free_port()
        slack = self.receiver()
        tracker = self.tracker(
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(port),
            ALERT_EMAILS="ops@team.example",
            SLACK_WEBHOOK_URLS=slack.url("/slack"),
            ALERT_ALLOW_PRIVATE="true",
        )
        for number in range(1, 6):
            tracker.report(number)
        # The dead one holds up nobody else.
        eventually("all in Slack", lambda: len(slack.requests) == 5)
        stored = lambda: all(
            {delivery["channel"]: delivery["state"] for delivery in alert["deliveries"]}["slack"] == "sent"
            for alert in tracker.alerts()["alerts"]
        )
        eventually("the results stored", stored)
        self.assertEqual(tracker.end(signal.SIGKILL), -signal.SIGKILL)
        server = self.mail_server(port=port)
        tracker.start()
        eventually("all mails", lambda: len(server.mails) == 5, seconds=30)
        self.assertEqual(len({mail["Message-ID"] for mail in server.mails}), 5)
        self.assertEqual(len(slack.requests), 5, "told once")

    def test_a_kill_in_a_storm_loses_no_alert_of_an_acknowledged_report(self) -> None:
        receiver = self.receiver()
        tracker = self.tracker(
            ALERT_WEBHOOK_URLS=receiver.url("/hook"), ALERT_ALLOW_PRIVATE="true", ALERTS_PER_HOUR="10000"
        )
        acknowledged: list[int] = []

        def send(sender: int) -> None:
            connection = tracker.connect()
            try:
                for number in range(sender, 4_000, 4):
                    acknowledged.append(tracker.report(number + 1, connection))
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                """The process is gone."""
            finally:
                connection.close()

        senders = [threading.Thread(target=send, args=(n,)) for n in range(4)]
        for thread in senders:
            thread.start()
        eventually("some delivered", lambda: len(receiver.requests) > 100)
        self.assertEqual(tracker.end(signal.SIGKILL), -signal.SIGKILL)
        for thread in senders:
            thread.join()
        self.assertGreater(len(acknowledged), 100)
        tracker.start()

        def missing() -> set[int]:
            return set(acknowledged) - {document["error"]["id"] for document in receiver.documents("/hook")}

        eventually("all told", lambda: not missing(), seconds=60)
        repeated = Counter(headers["x-monlight-delivery"] for _, headers, _ in receiver.requests)
        # What was under way at the kill may come twice, under the same id.
        self.assertLessEqual(sum(repeated.values()) - len(repeated), 8)


class Chats(AlertTest):
    def test_every_channel_gets_what_it_understands(self) -> None:
        receiver = self.receiver()
        tracker = self.tracker(
            ALERT_WEBHOOK_URLS=receiver.url("/hook?key=1"),
            ALERT_WEBHOOK_SECRET="s3cret",
            SLACK_WEBHOOK_URLS=receiver.url("/slack"),
            DISCORD_WEBHOOK_URLS=receiver.url("/discord"),
            NTFY_URLS=receiver.url("/topic"),
            NTFY_TOKEN="tk_1",
            POSTMARK_API_URL=receiver.url("/postmark"),
            POSTMARK_API_TOKEN="pm",
            POSTMARK_FROM_EMAIL="errors@errors.example",
            ALERT_EMAILS="ops@team.example",
            ALERT_ALLOW_PRIVATE="true",
        )
        group = tracker.report(1, message="<!channel> @everyone")
        eventually("five requests", lambda: len(receiver.requests) == 5)
        requests = {path: (headers, body) for path, headers, body in receiver.requests}
        self.assertEqual(set(requests), {"/hook?key=1", "/slack", "/discord", "/", "/postmark/email"})

        headers, body = requests["/hook?key=1"]
        signed = headers["x-monlight-timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
        self.assertTrue(hmac.compare_digest(headers["x-monlight-signature"], expected))
        document = json.loads(body)
        self.assertEqual((document["kind"], document["error"]["id"]), ("new", group))
        self.assertEqual(document["error"]["message"], "<!channel> @everyone")
        self.assertEqual(document["id"], headers["x-monlight-delivery"])

        self.assertNotIn(b"<!channel>", requests["/slack"][1])
        self.assertEqual(json.loads(requests["/discord"][1])["allowed_mentions"], {"parse": []})
        self.assertEqual(requests["/"][0]["authorization"], "Bearer tk_1")
        self.assertEqual(json.loads(requests["/"][1])["click"], f"https://errors.example/errors/{group}")
        self.assertEqual(requests["/postmark/email"][0]["x-postmark-server-token"], "pm")

        self.assertEqual(tracker.end(), 0)
        log = "".join(tracker.log)
        for secret in (KEY, "s3cret", "tk_1", "key=1", "/topic", "/slack"):
            self.assertNotIn(secret, log)

    def test_what_resolves_to_this_machine_is_refused(self) -> None:
        receiver = self.receiver()
        with self.assertRaisesRegex(AssertionError, "ALERT_WEBHOOK_URLS.*ALERT_ALLOW_PRIVATE"):
            self.tracker(ALERT_WEBHOOK_URLS=receiver.url("/x"))
        with self.assertRaisesRegex(AssertionError, "SLACK_WEBHOOK_URLS.*ALERT_ALLOW_PRIVATE"):
            self.tracker(SLACK_WEBHOOK_URLS="http://0x7f000001/x")
        self.assertEqual(receiver.requests, [])


class ZStorm(AlertTest):
    """Last, since its digest takes a minute."""

    def test_a_storm_ends_with_exact_counts_one_digest_and_a_responsive_list(self) -> None:
        self.assertLess(storm.slowest_list, 2)
        status, listed = storm.tracker.ask("GET", "/api/errors?limit=1")
        self.assertEqual((status, listed["total"]), (200, STORM))
        digests = lambda: [one for one in storm.receiver.documents("/storm") if one["kind"] == "digest"]
        [digest] = eventually("the digest", digests, seconds=90)
        told = [one["error"]["id"] for one in storm.receiver.documents("/storm") if one["kind"] == "new"]
        self.assertEqual((len(told), len(set(told))), (30, 30))
        self.assertEqual(digest["title"], f"[error-tracker] and {STORM - 30} more in {STORM - 30} groups")
        counted = digest["digest"]
        self.assertEqual((counted["alerts"], counted["groups"], counted["reports"]), (STORM - 30,) * 3)
        self.assertEqual(sum(project["groups"] for project in counted["projects"]), STORM - 30)
        self.assertEqual(len(counted["top"]), 20)
        outbox = eventually("the digest stored", lambda: storm.tracker.alerts("?state=sent&limit=1"))
        self.assertIsNone(outbox["collecting"])


if __name__ == "__main__":
    unittest.main()
