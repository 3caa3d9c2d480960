"""Messages between a driver and its workers: a JSON object and bytes, over a private socket pair."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def send(connection: Connection, kind: str, *, content: bytes = b"", **values: Any) -> None:
    """Sends a message of a kind. Raises: OSError if the other side is gone."""
    connection.send_bytes(packed(kind, content=content, **values))


def receive(connection: Connection) -> tuple[dict[str, Any], bytes]:
    """Receives the next message. Raises: EOFError, OSError if the other side is gone."""
    return unpacked(connection.recv_bytes())


def packed(kind: str, *, content: bytes = b"", **values: Any) -> bytes:
    """A message as bytes: the size of its header, the header in JSON, and the content.

    >>> unpacked(packed("idle", content=b"abc", seconds=0.5))
    ({'kind': 'idle', 'seconds': 0.5}, b'abc')
    """
    header = json.dumps({"kind": kind, **values}, allow_nan=False).encode()
    return len(header).to_bytes(8, "little") + header + content


def unpacked(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the content of a message."""
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size]), raw[8 + size :]


def attend(connection: Connection, take: Callable[[dict[str, Any], bytes], None], serve: Callable[[], None]) -> None:
    """Runs a worker: `serve` does the work, while a second thread passes every message to `take`.

    Ctrl-C reaches the whole process group; it is ignored here, because the driver handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=listen, args=(connection, take), daemon=True).start()
    try:
        serve()
    except (BrokenPipeError, ConnectionResetError):
        os._exit(1)


def listen(connection: Connection, take: Callable[[dict[str, Any], bytes], None]) -> None:
    """Passes every message to `take`; when the other side is gone, ends this process at once."""
    try:
        while True:
            take(*receive(connection))
    except (EOFError, OSError):
        os._exit(1)
