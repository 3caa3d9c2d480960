"""Atomic writes of files: a crash leaves either the old file or the new one."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from assay.errors import FileError
from assay.system.limits import Limit


def home_expanded(path: str | Path) -> Path:
    """A path with its leading `~` replaced by the home folder.

    Raises: FileError where there is none, and for a path that cannot be reached: in a folder that may not be entered,
    or with a name that the file system cannot have.
    """
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        raise FileError(f"{path}: there is no home folder of {Path(path).parts[0]!r} on this machine") from None
    check_reachable(expanded)
    return expanded


def check_reachable(path: Path) -> None:
    """Checks that a path may be looked at, whether it exists or not. Raises: FileError."""
    try:
        path.stat()
    except ValueError:
        raise FileError(f"{str(path)!r}: a path cannot hold a null character") from None
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP):
            raise FileError(f"{path}: cannot be reached: {error.strerror or error}") from None


def read_limited(path: Path, limit: Limit) -> bytes:
    """The content of a regular file of at most that many bytes. Raises: FileError.

    A named pipe or a device is refused: reading it may never end.
    """
    try:
        if path.exists() and not path.is_file():
            raise FileError(f"{path}: {'a folder' if path.is_dir() else 'a pipe or a device'}; expected a file")
        size = path.stat().st_size
        with path.open("rb") as file:
            content = file.read(size + 1) if size <= limit.most else None  # a read of the limit would allocate it
            if content is not None and len(content) > size:  # it grows, or says nothing of its size
                content += file.read(limit.most + 1 - len(content))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if content is None or len(content) > limit.most:
        raise FileError(f"{path}: has more than {limit}")
    return content


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Writes to a temporary file in the same folder, flushes it to disk, and renames it. Raises: FileError.

    The folder is flushed as well: before that, a power cut can undo the rename. A device or a pipe, such as
    `/dev/stdout`, is written to and never replaced.
    """
    _written(path, lambda file: file.write(content))


def copy_atomically(source: IO[bytes], path: Path) -> None:
    """Writes what an open file holds as `write_atomically` does, a portion at a time. Raises: FileError."""
    source.seek(0)
    _written(path, lambda file: shutil.copyfileobj(source, file))


def _written(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            with path.open("wb") as device:
                write(device)
            return
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                write(file)
                file.flush()
                flush(file.fileno())
                Path(file.name).chmod(0o666 & ~umask())  # only the owner can read a temporary file
                Path(file.name).replace(path)
                sync_folder(path.parent)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None


def umask() -> int:
    """The permissions that new files of this process do not get."""
    try:  # to ask the system is to change it, for every thread
        status = Path("/proc/self/status").read_text("ascii", "replace")
        return int(status.partition("\nUmask:")[2].split(maxsplit=1)[0], 8)
    except (OSError, ValueError, IndexError):
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


def sync_folder(folder: Path) -> None:
    """Flushes the names of a folder to disk, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            flush(handle)
        finally:
            os.close(handle)


def flush(handle: int) -> None:
    """Flushes a file to its disk. Raises: OSError.

    A plain fsync of macOS leaves the data in the cache of the drive.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(handle, full)
        except OSError:  # not every file system has it
            pass
        else:
            return
    os.fsync(handle)
