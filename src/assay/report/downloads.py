"""The data of a page: in it, compressed, up to 1 MB, and in files next to it beyond that."""

from __future__ import annotations

import base64
import gzip
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assay.errors import FileError
from assay.report.html import text
from assay.report.text import frame_csv
from assay.system.files import copy_atomically

Frame = Any
_ROWS = 50_000  # of a frame, as text at once
_CELLS = 200_000  # of a frame, as text at once: each is an object of about 60 bytes
_MANY_CELLS = 1_000_000  # above which a frame is compressed fast: it is written next to the page
MOST_EMBEDDED = 1_000_000  # bytes of all data of a page, compressed


class _Files(Mapping[str, bytes]):
    """Compressed files by name, each read when it is asked for: large ones are on the disk, not in memory."""

    def __init__(self) -> None:
        self.opened: dict[str, IO[bytes]] = {}
        self.sizes: dict[str, int] = {}
        weakref.finalize(self, _close, self.opened)

    def __getitem__(self, name: str) -> bytes:
        file = self.opened[name]
        file.seek(0)
        return file.read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.opened)

    def __len__(self) -> int:
        return len(self.opened)


@dataclass(frozen=True)
class Downloads:
    """The frames of a page as compressed CSV, by file name, with the number of rows of each."""

    files: _Files
    rows: Mapping[str, int]

    @classmethod
    def of(cls, frames: Mapping[str, Frame], *, folder: Path | None = None) -> Downloads:
        """The frames by name, such as "trials.csv".

        Args:
            frames: The frames.
            folder: For temporary files without a name, where the data are large. None: that of the system.

        Raises:
            FileError: The folder has no room for them.
        """
        files = _Files()
        for name, frame in frames.items():
            file = tempfile.SpooledTemporaryFile(max_size=MOST_EMBEDDED, dir=folder and str(folder))  # noqa: SIM115 (`files` closes it)
            try:
                _compress(frame, file)
                files.sizes[f"{name}.gz"] = file.tell()
            except OSError as error:
                where = folder or tempfile.gettempdir()
                raise FileError(f"{where}: {name}.gz cannot be written: {error.strerror or error}") from None
            files.opened[f"{name}.gz"] = file
        return cls(files, {f"{name}.gz": len(frame) for name, frame in frames.items()})

    @property
    def is_embedded(self) -> bool:
        """Whether the page holds the data itself."""
        return sum(self.files.sizes.values()) <= MOST_EMBEDDED

    def links(self, stem: str | None = None) -> str:
        """The links that save the data; `stem`: of the page's file, next to which large data are."""
        lines = "".join(self._link(name, stem) for name in self.files)
        if stem is None or self.is_embedded:
            return lines
        size = sum(self.files.sizes.values()) / 1e6
        return f'{lines}<p class="note">The data, {size:.1f} MB, are in these files next to this page.</p>'

    def write(self, page: Path) -> list[Path]:
        """Writes the data next to the page where they are too large for it; returns the files."""
        if self.is_embedded:
            return []
        paths = [page.with_name(_beside(page.stem, name)) for name in self.files]
        for path, file in zip(paths, self.files.opened.values(), strict=True):
            copy_atomically(file, path)
        return paths

    def _link(self, name: str, stem: str | None) -> str:
        target = text(_beside(stem, name)) if stem is not None and not self.is_embedded else self._data(name)
        return f'<p><a download="{text(name)}" href="{target}">{text(name)}</a>, {self.rows[name]:,} rows</p>'

    def _data(self, name: str) -> str:
        return f"data:application/gzip;base64,{base64.b64encode(self.files[name]).decode()}"


def _compress(frame: Frame, target: IO[bytes]) -> None:
    """Writes a frame as compressed CSV, some rows at a time: the text of millions of rows is never held as a whole."""
    is_large, columns = frame.size > _MANY_CELLS, max(1, frame.shape[1])
    portion = min(_ROWS, max(1, _CELLS // columns))
    with gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=1 if is_large else 6, mtime=0) as file:
        for start in range(0, max(1, len(frame)), portion):
            file.write(frame_csv(frame.iloc[start : start + portion], header=not start).encode())


def _close(files: Mapping[str, IO[bytes]]) -> None:
    for file in files.values():
        file.close()


def _beside(stem: str, name: str) -> str:
    return f"{stem}-{name}"


__all__ = ["MOST_EMBEDDED", "Downloads"]
