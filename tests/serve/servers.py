"""A server of the live page in a thread of this process."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from assay.serve.server import LiveServer


@contextmanager
def serving(url: str | Path) -> Generator[LiveServer]:
    """A server that answers until the block ends."""
    server = LiveServer(str(url), port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(200):
        try:
            urllib.request.urlopen(server.address, timeout=5)
        except urllib.error.HTTPError as answer:  # without the token
            answer.close()
            break
        except OSError:
            time.sleep(0.02)
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
