"""The data of a page: in it, compressed, up to 1 MB, and in files next to it beyond that."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.report.html import text
from assay.report.text import frame_csv
from assay.system.files import write_atomically

Frame = Any
_ROWS = 50_000  # of a frame, as text at once
_MANY_CELLS = 1_000_000  # above which a frame is compressed fast: it is written next to the page
MOST_EMBEDDED = 1_000_000  # bytes of all data of a page, compressed


@dataclass(frozen=True)
class Downloads:
    """The frames of a page as compressed CSV, by file name, with the number of rows of each."""

    files: Mapping[str, bytes]
    rows: Mapping[str, int]

    @classmethod
    def of(cls, frames: Mapping[str, Frame]) -> Downloads:
        """The frames by name, such as "trials.csv"."""
        packed = {f"{name}.gz": _compressed(frame) for name, frame in frames.items()}
        return cls(packed, {f"{name}.gz": len(frame) for name, frame in frames.items()})

    @property
    def is_embedded(self) -> bool:
        """Whether the page holds the data itself."""
        return sum(map(len, self.files.values())) <= MOST_EMBEDDED

    def links(self, stem: str | None = None) -> str:
        """The links that save the data; `stem`: of the page's file, next to which large data are."""
        lines = "".join(self._link(name, stem) for name in self.files)
        if stem is None or self.is_embedded:
            return lines
        size = sum(map(len, self.files.values())) / 1e6
        return f'{lines}<p class="note">The data, {size:.1f} MB, are in these files next to this page.</p>'

    def write(self, page: Path) -> list[Path]:
        """Writes the data next to the page where they are too large for it; returns the files."""
        if self.is_embedded:
            return []
        paths = [page.with_name(_beside(page.stem, name)) for name in self.files]
        for path, data in zip(paths, self.files.values(), strict=True):
            write_atomically(path, data)
        return paths

    def _link(self, name: str, stem: str | None) -> str:
        target = text(_beside(stem, name)) if stem is not None and not self.is_embedded else self._data(name)
        return f'<p><a download="{text(name)}" href="{target}">{text(name)}</a>, {self.rows[name]:,} rows</p>'

    def _data(self, name: str) -> str:
        return f"data:application/gzip;base64,{base64.b64encode(self.files[name]).decode()}"


def _compressed(frame: Frame) -> bytes:
    """A frame as compressed CSV, some rows at a time: the text of millions of rows is never held as a whole."""
    content = io.BytesIO()
    is_large = frame.size > _MANY_CELLS
    with gzip.GzipFile(fileobj=content, mode="wb", compresslevel=1 if is_large else 6, mtime=0) as file:
        for start in range(0, max(1, len(frame)), _ROWS):
            file.write(frame_csv(frame.iloc[start : start + _ROWS], header=not start).encode())
    return content.getvalue()


def _beside(stem: str, name: str) -> str:
    return f"{stem}-{name}"


__all__ = ["MOST_EMBEDDED", "Downloads"]
