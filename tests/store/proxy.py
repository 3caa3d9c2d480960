"""A proxy in front of PostgreSQL that cuts a connection where a test says: before, within or after a statement."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

BUFFER = 65536


class Proxy:
    """Passes everything on, until a statement with the bytes `cut_at` comes while `cuts` are left.

    That statement reaches the server, whose answer never reaches the client.

    Attributes:
        port: where it listens, on loopback.
        cut_at: the bytes of a statement, such as b"COMMIT".
        cuts: how many more times it cuts there.
        done: how many times it has cut.
    """

    def __init__(self, server: int) -> None:
        self.cut_at = b"COMMIT"
        self.cuts = 0
        self.done = 0
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                silent = threading.Event()
                threading.Thread(target=self._questions, args=(client, server, silent), daemon=True).start()
                threading.Thread(target=self._answers, args=(client, server, silent), daemon=True).start()

    def _questions(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while content := client.recv(BUFFER):
                if self.cuts and self.cut_at in content:
                    self.cuts -= 1
                    silent.set()
                server.sendall(content)
        _close(server)

    def _answers(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while content := server.recv(BUFFER):
                if silent.is_set():  # the server has done it
                    self.done += 1
                    break
                client.sendall(content)
        _close(client)
        _close(server)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def proxy(server: int) -> Generator[Proxy]:
    """A proxy in front of the server at a port of loopback."""
    made = Proxy(server)
    try:
        yield made
    finally:
        made.close()
