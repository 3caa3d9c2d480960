"""Starts the server of the live page: a port, a token, and uvicorn."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from assay.errors import AssayError
from assay.serve.app import LivePage
from assay.serve.guard import Guard
from assay.serve.watched import WatchedStore
from assay.store.urls import Place

PORT = 8421
LOOPBACK = "127.0.0.1"


class LiveServer:
    """A server of a store's live page that listens, and runs when it is told to.

    Args:
        url: Of the store; None: that of the environment.
        host: The name or address to listen on.
        port: The port; None takes 8421, or a free one where that is taken; 0 takes a free one.

    Raises:
        AssayError: The port or the host cannot be listened on.
        StoreError: The address of the store is none.
    """

    def __init__(self, url: Place | None, *, host: str = LOOPBACK, port: int | None = None) -> None:
        self.store = WatchedStore(url)
        self.socket = _listening(host, port)
        self.port: int = self.socket.getsockname()[1]
        self.token = secrets.token_urlsafe(32)
        is_any = host in ("0.0.0.0", "::")  # noqa: S104 (what the user asked for)
        names = [socket.gethostname(), socket.getfqdn()] if is_any else [_in_url(host)]
        page = LivePage(self.store, is_ending=lambda: self._server.should_exit)
        guarded = Guard(page.app(), token=self.token, port=self.port, hosts=names, any_address=is_any)
        self._server = uvicorn.Server(
            uvicorn.Config(
                guarded,
                log_level="error",
                access_log=False,  # it would hold the token
                server_header=False,
                timeout_graceful_shutdown=1,
                lifespan="off",
                ws="none",
            )
        )
        shown = LOOPBACK if host == "localhost" else socket.gethostname() if is_any else _in_url(host)
        self.address = f"http://{shown}:{self.port}/"
        self.first_address = f"{self.address}?token={self.token}"
        self.is_local = _is_local(host)

    def run(self, *, started: Callable[[], None] | None = None) -> None:
        """Answers requests until Ctrl-C, or until `stop` is called."""
        if started is not None:
            started()
        try:
            self._server.run(sockets=[self.socket])
        finally:
            self.store.close()
            self.socket.close()

    def stop(self) -> None:
        """Ends `run` in another thread."""
        self._server.should_exit = True


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens. Raises: AssayError."""
    wanted = [PORT, 0] if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in wanted:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host.strip("[]"), number))
            made.listen(128)
        except OSError as error:
            made.close()
            if number != wanted[-1]:
                continue
            advice = "; choose another with --port, or leave it out" if port else ""
            raise AssayError(
                f"{host}, port {number}: cannot be listened on: {error.strerror or error}{advice}"
            ) from None
        return made
    raise AssertionError("there is at least one port to try")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_local(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


__all__ = ["LOOPBACK", "PORT", "LiveServer"]
