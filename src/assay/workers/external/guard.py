"""Guards an external program: kills it with all its descendants when it ends, or when its owner closes it or dies.

Run as `python -I guard.py FD FOLDER ARGUMENT...` with one end of a socket pair, over which it reports how the program
ended, and the folder to remove with the program. It is a separate process because nothing in the owner's process
survives `kill -9`.
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
_KILL_SECONDS = 5.0  # for killed processes to end


def adopt_orphans() -> None:
    """Makes this process the parent of orphaned descendants, so that none escapes. Only Linux supports it."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all(group: int) -> None:
    """Kills the program's process group and every descendant, until none is left."""
    guard, deadline = psutil.Process(), time.monotonic() + _KILL_SECONDS
    while True:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        left = [child for child in guard.children(recursive=True) if _alive(child)]
        for child in left:
            with suppress(psutil.Error):
                child.kill()
        if not left or time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def main(arguments: list[str]) -> None:
    """Runs the program until it has ended and the owner has closed the socket.

    Arguments: the descriptor of the owner's socket, the folder, and the program with its arguments.
    """
    owner = socket.socket(fileno=int(arguments[0]))
    owner.set_inheritable(False)
    adopt_orphans()

    def report(**values: object) -> None:
        with suppress(OSError):
            owner.sendall(json.dumps(values).encode() + b"\n")

    try:
        process = subprocess.Popen(arguments[2:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        report(error=error.strerror or str(error))
        return
    report(group=process.pid)
    for stream in (1, 2):  # open copies here would keep the program's pipes open
        os.close(stream)

    def watch() -> None:
        with suppress(OSError):
            owner.recv(1)  # the owner never sends: this returns when it closes its end or dies
        end_all(process.pid)
        shutil.rmtree(arguments[1], ignore_errors=True)

    watching = threading.Thread(target=watch)
    watching.start()
    code = process.wait()
    end_all(process.pid)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    report(code=code, peak=peak if sys.platform == "darwin" else peak * 1024)
    watching.join()


if __name__ == "__main__":
    main(sys.argv[1:])
