"""The footer of a Parquet file, read before pyarrow sees it: what each column claims to hold, and how it is compressed.

pyarrow ends the process when it describes a column whose statistics are damaged, so that its own description cannot be
asked of a stranger's file. The format: the Thrift compact protocol, and parquet.thrift of the Apache Parquet project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from assay.errors import FileError
from assay.system.limits import PARQUET_FOOTER_BYTES, Limit

_MAGIC = b"PAR1"
_CODECS = ("uncompressed", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw")
_ROW_GROUPS, _COLUMNS, _ABOUT, _CODEC, _BYTES = 4, 1, 3, 4, 6  # the fields, from the outside in
_DEPTH = 16
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_INTEGERS = (_I16, _I32, _I64)


class Column(NamedTuple):
    """A column of a row group, as the footer claims: its codec, and its bytes without compression."""

    codec: str
    size: int


def columns(path: Path) -> Iterator[Column]:
    """The columns of each row group of a Parquet file. Raises: FileError where its footer is damaged or too large."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 8))
        tail = file.read(8)
        size = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or size > end - 12:
            raise FileError(f"{path}: not a Parquet file, or its end is missing")
        if size > PARQUET_FOOTER_BYTES.most:
            raise FileError(f"{path}: claims a footer of {size:,} bytes; expected at most {PARQUET_FOOTER_BYTES}")
        file.seek(end - 8 - size)
        reader = _Reader(file.read(size))
    try:
        reader.fields({_ROW_GROUPS: reader.row_groups})
    except (IndexError, ValueError, RecursionError):
        raise FileError(f"{path}: not a Parquet file, or its footer is damaged") from None
    for codec, claimed in reader.found:
        yield Column(_CODECS[codec] if 0 <= codec < len(_CODECS) else f"codec {codec}", claimed)


def check_claims(path: Path, *, codecs: Sequence[str], largest: Limit) -> None:
    """Checks the compression and the size that a footer claims. Raises: FileError."""
    total = 0
    for column in columns(path):
        total += column.size
        if column.codec not in codecs:
            expected = " or ".join(part for part in (", ".join(codecs[:-1]), codecs[-1]) if part)
            raise FileError(f"{path}: compressed by {column.codec}; expected {expected}")
    if total > largest.most:
        raise FileError(f"{path}: claims {total:,} bytes without compression; expected at most {largest}")


class _Reader:
    """Reads a footer from its beginning; what is not asked for is passed over. Raises: IndexError, ValueError."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0
        self.found: list[tuple[int, int]] = []

    def row_groups(self, kind: int) -> None:
        self._each(kind, lambda: self.fields({_COLUMNS: self._columns}))

    def _columns(self, kind: int) -> None:
        self._each(kind, lambda: self.fields({_ABOUT: self._column}))

    def _column(self, kind: int) -> None:
        claims: dict[int, int] = {}

        def noted(field: int) -> Callable[[int], None]:
            def note(kind: int) -> None:
                claims[field] = self._integer(kind)

            return note

        if kind != _STRUCT:
            raise ValueError("expected a struct")
        self.fields({field: noted(field) for field in (_CODEC, _BYTES)})
        if len(claims) < 2 or claims[_BYTES] < 0:
            raise ValueError("a column lacks its codec or its size")
        self.found.append((claims[_CODEC], claims[_BYTES]))

    def _each(self, kind: int, read: Callable[[], None]) -> None:
        """Reads the structs of a list."""
        if kind != _LIST:
            raise ValueError("expected a list")
        count, item = self._list()
        if item != _STRUCT:
            raise ValueError("expected structs")
        for _ in range(count):
            read()

    def fields(self, read: dict[int, Callable[[int], None]], depth: int = 0) -> None:
        """Reads the fields of a struct: those that are asked for by what is given for them."""
        field = 0
        while (head := self._byte()) != 0:
            delta, kind = head >> 4, head & 15
            field = field + delta if delta else self._signed()
            if field in read:
                read[field](kind)
            else:
                self._skip(kind, depth + 1)

    def _integer(self, kind: int) -> int:
        if kind not in _INTEGERS:
            raise ValueError("expected an integer")
        return self._signed()

    def _skip(self, kind: int, depth: int, *, is_item: bool = False) -> None:
        if depth > _DEPTH:
            raise ValueError("nested too deep")
        if kind in (_TRUE, _FALSE):
            self._move(int(is_item))
        elif kind == _BYTE:
            self._move(1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _DOUBLE:
            self._move(8)
        elif kind == _BINARY:
            self._move(self._varint())
        elif kind in (_LIST, _SET):
            count, item = self._list()
            for _ in range(count):
                self._skip(item, depth + 1, is_item=True)
        elif kind == _MAP:
            if count := self._varint():
                kinds = self._byte()
                for _ in range(self._counted(count)):
                    self._skip(kinds >> 4, depth + 1, is_item=True)
                    self._skip(kinds & 15, depth + 1, is_item=True)
        elif kind == _STRUCT:
            self.fields({}, depth + 1)
        else:
            raise ValueError(f"no type {kind}")

    def _list(self) -> tuple[int, int]:
        """The number and the type of the items of a list."""
        head = self._byte()
        return self._counted(head >> 4 if head >> 4 < 15 else self._varint()), head & 15

    def _counted(self, count: int) -> int:
        """A number of items, each of which takes a byte at least."""
        if count > len(self._content) - self._at:
            raise ValueError("more items than bytes")
        return count

    def _move(self, count: int) -> None:
        self._at += count
        if self._at > len(self._content):
            raise ValueError("it ends early")

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise ValueError("a number has more than 64 bits")

    def _signed(self) -> int:
        number = self._varint()
        return number >> 1 if number % 2 == 0 else -(number >> 1) - 1


__all__ = ["Column", "check_claims", "columns"]
