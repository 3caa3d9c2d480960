"""The folders and files that commands write into."""

from __future__ import annotations

import hashlib
import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import FileError
from assay.report.text import file_stem
from assay.system.command_line import command_line
from assay.system.file_kinds import is_database
from assay.system.files import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image


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


def file_named(stem: str, ending: str) -> Path:
    """A file by a stored name, as UTF-8 on disk even where the locale's encoding lacks its characters.

    A name that cannot be that of a file gets the beginning of its checksum, so that two names never share a file.

    >>> str(file_named("a/b", ".html")), str(file_named("a:b", ".html"))
    ('a-b-c14cddc0.html', 'a-b-6783a31e.html')
    """
    name = file_stem(stem)
    if name != stem:
        name += f"-{hashlib.sha256(stem.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return Path(os.fsdecode(f"{name}{ending}".encode()))


def check_file(file: Path, option: str) -> None:
    """Checks that a file can be written, so that a wrong name is reported before any work is done.

    Raises:
        FileError: Its folder does not exist or is not writable, or the name is that of a folder.
    """
    if file.is_dir():
        raise FileError(f"{option} {file}: a folder; expected the name of a file in it")
    folder = file.parent
    if not folder.is_dir():
        if folder.exists():
            raise FileError(f"{option} {file}: {folder} is a file; expected a folder")
        raise FileError(
            f"{option} {file}: the folder {folder} does not exist; create it: {command_line('mkdir -p', folder)}"
        )
    if file.is_file() and is_database(file):
        raise FileError(f"{option} {file}: a database, such as a store of Assay; expected the name of a new file")
    if not os.access(folder, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        raise FileError(f"{option} {file}: not writable")


def write_png(path: Path, picture: Image) -> None:
    """Writes a picture as PNG, atomically. Raises: FileError."""
    content = BytesIO()
    picture.save(content, format="PNG")
    write_atomically(path, content.getvalue())
