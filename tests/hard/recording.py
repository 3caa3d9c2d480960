"""The system calls of a program on one folder, recorded with strace, as operations of `disk.Disk`.

    ("create" | "mkdir" | "unlink" | "flush", path)
    ("rename", path, new path)
    ("write", path, offset, content), ("append", path, content), ("resize", path, size)
    ("note", "", text): a line that the program has written to the file `notes`

Paths are relative to the folder; the folder itself is "". The index of SQLite's log (`-shm`) is not on the disk.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CALLS = "openat,creat,write,pwrite64,pwritev,writev,fsync,fdatasync,sync_file_range,ftruncate,fallocate,rename,renameat"
MORE_CALLS = "renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,copy_file_range,sendfile,link,linkat,symlink,symlinkat"
Operation = tuple[Any, ...]
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)", re.DOTALL)
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_OPEN_FILE = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")


def can_record() -> bool:
    """Whether strace is there and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


def record(command: Sequence[str], folder: Path, trace: Path, **options: Any) -> list[Operation]:
    """Runs a command and returns its operations on a folder, which must be empty before."""
    words = ["strace", "-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS},{MORE_CALLS}", "-o", str(trace)]
    subprocess.run([*words, *command], check=True, **options)
    return list(operations(trace, folder))


def operations(trace: Path, folder: Path) -> Iterator[Operation]:
    """The successful operations of a trace on a folder, in their order."""
    for call, arguments, result in _calls(trace):
        if result >= 0:
            yield from _operation(call, arguments, result, str(folder))


def _calls(trace: Path) -> Iterator[tuple[str, str, int]]:
    """The calls of a trace with their arguments and results; one that others interrupt counts from its end."""
    begun: dict[str, str] = {}
    with trace.open(encoding="latin-1") as lines:
        for line in lines:
            if match := _UNFINISHED.match(line):
                begun[match[1]] = match[3]
                continue
            if match := _RESUMED.match(line):
                line = f"{match[1]} {match[2]}({begun.pop(match[1], '')}{match[3]}"
            if match := _LINE.match(line):
                yield match[2], match[3], int(match[4])


def _operation(call: str, arguments: str, result: int, folder: str) -> Iterator[Operation]:
    strings = [_decoded(text) for text in _QUOTED.findall(arguments)]
    opened = _OPEN_FILE.match(arguments)
    named = _decoded(opened[1]) if opened and call != "openat" else strings[0]
    if opened and not named.startswith(b"/") and call != "openat":  # a pipe or a socket
        return
    path = _inside(named.decode(), folder)
    if path is None or path.endswith("-shm"):
        return
    last = arguments.rpartition(", ")[2]
    if path == "notes":
        if call == "write":
            yield from (("note", "", line) for line in strings[0].decode().splitlines())
    elif call == "openat":
        if "O_CREAT" in arguments:
            yield ("create", path)
        if "O_TRUNC" in arguments:
            yield ("resize", path, 0)
    elif call == "write":
        yield ("append", path, strings[0][:result])
    elif call == "pwrite64":
        yield ("write", path, int(last), strings[0][:result])
    elif call in ("fsync", "fdatasync"):
        yield ("flush", path)
    elif call == "ftruncate":
        yield ("resize", path, int(last))
    elif call == "rename":
        yield ("rename", path, _inside(strings[1].decode(), folder))
    elif call in ("unlink", "mkdir"):
        yield (call, path)
    else:
        raise NotImplementedError(f"{call}({arguments[:200]})")


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _inside(path: str, folder: str) -> str | None:
    """A path relative to the folder; None if it is elsewhere. The program runs in the folder."""
    full = os.path.normpath(os.path.join(folder, path.removesuffix(" (deleted)")))  # noqa: PTH118
    if full == folder:
        return ""
    return full[len(folder) + 1 :] if full.startswith(folder + "/") else None
