"""Keeps a program that trains: ends it with all that it has started when its owner asks or dies, or it is done itself.

Run as `python -I guard.py FD FOLDER WORD...` with one end of a socket pair, over which it tells how the program ended,
and the folder that goes with the program. It is a process of its own because nothing in the owner's would outlive
`kill -9`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SECONDS = 5.0  # for what was killed to be gone


def adopt_orphans() -> None:
    """Makes this process the parent of what its descendants leave behind, so that none escapes; Linux alone has it."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all(group: int) -> None:
    """Kills the program's process group and every descendant, until none is left."""
    me, until = psutil.Process(), time.monotonic() + _SECONDS
    while True:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        left = [child for child in me.children(recursive=True) if _alive(child)]
        for child in left:
            with suppress(psutil.Error):
                child.kill()
        if not left or time.monotonic() > until:
            return
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def main(arguments: list[str]) -> None:
    """Starts the words after the owner's descriptor and the folder, and stays until the owner lets go of them."""
    owner = socket.socket(fileno=int(arguments[0]))
    owner.set_inheritable(False)
    adopt_orphans()

    def tell(**values: object) -> None:
        with suppress(OSError):
            owner.sendall(json.dumps(values).encode() + b"\n")

    try:
        process = subprocess.Popen(arguments[2:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        tell(error=error.strerror or str(error))
        return
    tell(group=process.pid)
    for stream in (1, 2):  # the program has them now; here they would keep its pipes open
        os.close(stream)

    def watch() -> None:
        with suppress(OSError):
            owner.recv(1)  # the owner never sends: this ends when it closes its end, or is gone
        end_all(process.pid)
        shutil.rmtree(arguments[1], ignore_errors=True)

    watching = threading.Thread(target=watch)
    watching.start()
    code = process.wait()
    end_all(process.pid)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    tell(code=code, peak=peak if sys.platform == "darwin" else peak * 1024)
    watching.join()


if __name__ == "__main__":
    main(sys.argv[1:])
