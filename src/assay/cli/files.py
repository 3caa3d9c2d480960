"""The folders and files that commands write into."""

from __future__ import annotations

import os
from pathlib import Path

from assay.errors import FileError


def prepare_folder(folder: Path) -> None:
    """Makes a folder for output, so that a wrong one is reported before any work is done.

    Raises:
        FileError: The folder cannot be made or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot create this output folder: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK):
        raise FileError(f"{folder}: not writable")


def file_stem(study: str) -> str:
    """A study's name as the stem of a file name: no path, no control characters."""
    return "".join(c if c.isalnum() or c in "-_. " else "-" for c in study).strip(". ") or "study"
