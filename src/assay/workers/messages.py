"""What a driver and its workers say to each other: a JSON object and bytes, over a socket that only the two have."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def send(connection: Connection, kind: str, *, content: bytes = b"", **values: Any) -> None:
    """Sends a message of a kind. Raises: OSError where the other side is gone."""
    head = json.dumps({"kind": kind, **values}, allow_nan=False).encode()
    connection.send_bytes(len(head).to_bytes(8, "little") + head + content)


def receive(connection: Connection) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises: EOFError, OSError where the other side is gone."""
    raw = connection.recv_bytes()
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size]), raw[8 + size :]


def attend(connection: Connection, take: Callable[[dict[str, Any], bytes], None], serve: Callable[[], None]) -> None:
    """A worker's life: every message goes to `take`, on a thread of its own, while `serve` does what was asked. Ctrl-C
    reaches the whole group of processes and is ignored here, for the driver decides what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=listen, args=(connection, take), daemon=True).start()
    try:
        serve()
    except (BrokenPipeError, ConnectionResetError):
        os._exit(1)


def listen(connection: Connection, take: Callable[[dict[str, Any], bytes], None]) -> None:
    """Hands every message to `take`; when the other side is gone, ends this process at once."""
    try:
        while True:
            take(*receive(connection))
    except (EOFError, OSError):
        os._exit(1)
