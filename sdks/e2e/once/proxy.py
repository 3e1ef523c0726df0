"""A TCP proxy between an SDK and a service that loses answers."""

from __future__ import annotations

import socket
import threading
import unittest
from collections.abc import Callable

from services import Service

CHUNK = 65_536


class Proxy:
    """Passes connections on to a port. What the service answers to the next `lose` requests does not arrive.

    An answer is lost once it has come from the service, so what it was asked for is carried out. `keep` is how many of its
    bytes get through all the same; `lost` is called when it is lost, before the client can know. `hold` keeps the
    connection open, so that the client waits in vain until it gives up.
    """

    def __init__(self, port: Callable[[], int]) -> None:
        self.port = port
        self.lose = 0
        self.keep = 0
        self.hold = False
        self.lost: Callable[[], object] = lambda: None
        self.answers = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.acceptor = threading.Thread(target=self.accept)
        self.acceptor.start()

    def accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            if client.getpeername() == getattr(self, "closer", None):
                client.close()
                return
            try:
                service = socket.create_connection(("127.0.0.1", self.port()), timeout=30)
            except ConnectionRefusedError:
                client.close()
                continue
            threading.Thread(target=self.pass_on, args=(client, service), daemon=True).start()
            threading.Thread(target=self.answer, args=(client, service), daemon=True).start()

    def pass_on(self, client: socket.socket, service: socket.socket) -> None:
        try:
            while data := client.recv(CHUNK):
                service.sendall(data)
        except OSError:
            pass  # either side has gone, as the tests have it
        end(service)
        if self.hold:
            end(client)

    def answer(self, client: socket.socket, service: socket.socket) -> None:
        try:
            # The services write an answer at once, and these are small.
            while data := service.recv(CHUNK):
                self.answers += 1
                if self.lose == 0:
                    client.sendall(data)
                    continue
                self.lose -= 1
                client.sendall(data[: self.keep])
                self.lost()
                if not self.hold:
                    break
        except OSError:
            pass  # as above
        if not self.hold:
            end(client)
        end(service)

    def close(self) -> None:
        with socket.socket() as closer:
            closer.bind(("127.0.0.1", 0))
            self.closer = closer.getsockname()
            closer.connect(self.listener.getsockname())
            self.acceptor.join(30)
        self.listener.close()


def end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended
    connection.close()


class ProxyTest(unittest.TestCase):
    """A test with services behind proxies, which end with it."""

    def start(self, name: str) -> tuple[Service, Proxy]:
        service = Service(name)
        self.addCleanup(service.remove)
        proxy = Proxy(lambda: service.port)
        self.addCleanup(proxy.close)
        return service, proxy
