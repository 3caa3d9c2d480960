"""Writing files so that a crash leaves either the old one or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from assay.errors import FileError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the file, flushes to the disk, and renames. Raises: FileError."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)  # a temporary file is its owner's alone
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
