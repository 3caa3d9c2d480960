"""The rows of a study as columns: a hundred thousand trials take a third of the memory that a tuple for each takes.

Numbers are in arrays, texts that many rows have are one object each, and long texts that nearly every row has its own
of are compressed, many at a time.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import sqlalchemy as sa

from assay.store.curves import header_of

Column = Sequence[Any]
_BLOCK = 256  # texts that are compressed together


class Numbers(Sequence[Any]):
    """Numbers of one type, or None. Any other value makes it a plain list, as in a damaged store."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._values: array[Any] | list[Any] = array("q" if kind is int else "d")
        self._gaps = bytearray()  # 1 for each None; empty without any

    def extend(self, cells: Sequence[Any]) -> None:
        """Adds values."""
        if isinstance(self._values, array) and not self._has_added(self._values, cells):
            self._values, self._gaps = self.tolist(), bytearray()
        if isinstance(self._values, list):
            self._values.extend(cells)

    def _has_added(self, values: array[Any], cells: Sequence[Any]) -> bool:
        """Adds values to the array, or nothing where one of them is of another type or too large."""
        kinds, first = set(map(type, cells)), len(values)
        if not kinds <= {self._kind, type(None)}:
            return False
        has_gaps, zero = type(None) in kinds, self._kind(0)
        try:
            values.extend([zero if cell is None else cell for cell in cells] if has_gaps else cells)
        except OverflowError:
            del values[first:]
            return False
        if has_gaps and not self._gaps:
            self._gaps = bytearray(first)
        if self._gaps or has_gaps:
            self._gaps += bytes(cell is None for cell in cells)
        return True

    def are_within(self, low: float, high: float, *, chosen: Sequence[int], nullable: bool) -> bool:
        """Whether the chosen values are of the type and within the bounds, without a look at each alone."""
        if isinstance(self._values, list):
            return False
        sound = np.asarray(self._values) >= low
        sound &= np.asarray(self._values) <= high
        if self._gaps:
            gaps = np.frombuffer(self._gaps, dtype=np.bool_)
            sound = sound | gaps if nullable else sound & ~gaps
        return bool(sound.all()) or bool(sound[np.asarray(chosen, dtype=np.int64)].all())

    def tolist(self) -> list[Any]:
        """The values as a list, which is faster than reading one after the other."""
        values = self._values.tolist() if isinstance(self._values, array) else list(self._values)
        if not self._gaps:
            return values
        return [None if is_gap else value for value, is_gap in zip(values, self._gaps, strict=True)]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return self.tolist()[place]
        return None if self._gaps and self._gaps[place] else self._values[place]


class Texts(Sequence[Any]):
    """Texts, or None, of which the last ones are as they are and the others compressed in blocks."""

    def __init__(self) -> None:
        self._blocks: list[bytes | list[Any]] = []
        self._rest: list[Any] = []
        self._read: tuple[int, list[Any]] = (-1, [])  # the block that was read last

    def extend(self, cells: Sequence[Any]) -> None:
        """Adds texts."""
        self._rest.extend(cells)
        while len(self._rest) >= _BLOCK:
            self._blocks.append(_packed(self._rest[:_BLOCK]))
            del self._rest[:_BLOCK]

    def _block(self, number: int) -> list[Any]:
        if number == len(self._blocks):
            return self._rest
        if self._read[0] != number:
            block = self._blocks[number]
            self._read = (number, _unpacked(block) if isinstance(block, bytes) else block)
        return self._read[1]

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._rest)

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self._blocks) + 1):
            yield from self._block(number)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        number, at = divmod(place + len(self) if place < 0 else place, _BLOCK)
        return self._block(number)[at]


_NONE, _END = "\x01", "\x00"  # a text of JSON has neither


def _packed(cells: list[Any]) -> bytes | list[Any]:
    """Texts in little room; the list itself where a cell is neither a text nor None, or has a control character."""
    if not set(map(type, cells)) <= {str, type(None)}:
        return cells
    whole = _END.join([_NONE if cell is None else cell for cell in cells])
    if whole.count(_END) != len(cells) - 1 or whole.count(_NONE) != cells.count(None):
        return cells
    try:
        return zlib.compress(whole.encode(), 1)
    except UnicodeEncodeError:  # half of a character, in a damaged store
        return cells


def _unpacked(block: bytes) -> list[Any]:
    return [None if text == _NONE else text for text in zlib.decompress(block).decode().split(_END)]


class _Shared(list[Any]):
    """Values of which equal texts are one object."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def extend(self, cells: Any) -> None:
        """Adds values."""
        texts = self._texts
        super().extend([texts.setdefault(cell, cell) if type(cell) is str else cell for cell in cells])


class StudyRow(Mapping[str, Any]):
    """A row of a study: its number in the columns."""

    __slots__ = ("_columns", "_number")

    def __init__(self, columns: Mapping[str, Column], number: int) -> None:
        self._columns, self._number = columns, number

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][self._number]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class StudyRows(Sequence[Mapping[str, Any]]):
    """The rows of a study, and after them any others, such as those of imported curves."""

    def __init__(self, columns: dict[str, Column], count: int, others: Sequence[Mapping[str, Any]] = ()) -> None:
        self.columns, self.own, self.others = columns, count, others

    @classmethod
    def of(
        cls,
        answer: sa.CursorResult[Any],
        columns: Mapping[str, sa.Column[Any]],
        own: Mapping[str, Any] | None = None,
    ) -> StudyRows:
        """The rows that a query answers with, a portion at a time.

        Args:
            answer: Of the query.
            columns: The column of the table that each name is of.
            own: Empty columns that take the place of those that hold the cells as they are.
        """
        made: dict[str, Any] = {name: _column(columns[name]) for name in answer.keys()} | dict(own or {})  # noqa: SIM118
        count = 0
        for rows in answer.partitions(2000):
            count += len(rows)
            for column, cells in zip(made.values(), zip(*rows, strict=True), strict=True):
                column.extend(cells)
        return cls(made, count)

    def chosen(self, numbers: Sequence[int], labels: Mapping[int, str]) -> StudyRows:
        """Some of the rows, by their numbers, with other labels for those that have one."""
        columns: dict[str, Column] = {name: [column[i] for i in numbers] for name, column in self.columns.items()}
        columns["label"] = [labels.get(number, label) for number, label in zip(numbers, columns["label"], strict=True)]
        return StudyRows(columns, len(numbers), self.others)

    def with_others(self, others: Sequence[Mapping[str, Any]]) -> StudyRows:
        """The same rows with others after them."""
        return StudyRows(self.columns, self.own, others)

    def keep_curve_headers(self) -> None:
        """Leaves of each curve its header, which says what was measured: the points were read."""
        headers: dict[Any, Any] = {}
        kept = [header_of(cell) for cell in self.columns["curve"]]
        self.columns["curve"] = [headers.setdefault(header, header) for header in kept]

    def cells(self, name: str) -> list[Any]:
        """A column as a list; None for another row without it. Raises: KeyError if no row of the study has it."""
        return [*self.columns[name], *(row.get(name) for row in self.others)]

    def __len__(self) -> int:
        return self.own + len(self.others)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for number in range(self.own):
            yield StudyRow(self.columns, number)
        yield from self.others

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if place < self.own:
            return StudyRow(self.columns, place)
        return self.others[place - self.own]


_LONG = ("recipe", "confusion", "ledger")  # texts that nearly every trial has its own of
_OWN = ("trial", "curve")  # short ones, and bytes that are compressed


def _column(column: sa.Column[Any]) -> Numbers | Texts | list[Any]:
    """An empty column for the values of one of a table."""
    if column.name in _LONG:
        return Texts()
    if column.name in _OWN:
        return []
    if isinstance(column.type, sa.Double):
        return Numbers(float)
    if isinstance(column.type, sa.Integer) and not isinstance(column.type, sa.Boolean):
        return Numbers(int)
    return _Shared()


__all__ = ["StudyRow", "StudyRows"]
