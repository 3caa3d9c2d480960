"""The curves of a large study as columns of numbers, decoded and checked while their rows are read.

Numbers take four bytes where those are exact: of two million points, columns of eight bytes take twice the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from assay.store.curves import Curves, header_of, load

Array = NDArray[Any]


class CurveColumn(Sequence[Any]):
    """The cells of a column of curves, of which the headers are kept as cells, and the points as numbers.

    Attributes:
        errors: Why a curve cannot be read, by the number of its row.
    """

    def __init__(self, *, imported: bool = False) -> None:
        self.errors: dict[int, str] = {}
        self._imported = imported
        self._headers: list[Any] = []
        self._shared: dict[Any, Any] = {}
        self._portions: list[Curves] = []

    def extend(self, cells: Sequence[Any]) -> None:
        """Adds curves; None for a trial without one."""
        first = len(self._headers)
        stored = [number for number, cell in enumerate(cells) if cell]
        curves = load([cells[i] for i in stored], check=True, imported=range(len(stored)) if self._imported else ())
        counts = np.zeros(len(cells), np.int64)
        counts[stored] = curves.counts
        self.errors |= {first + stored[number]: reason for number, reason in curves.errors.items()}
        shared = self._shared
        self._headers += [shared.setdefault(header, header) for header in map(header_of, cells)]
        columns = {name: _short(values) for name, values in _floats_of_gaps(curves).items()}
        self._portions.append(Curves(counts, columns, {}, {}))

    def joined(self, others: CurveColumn | None = None) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """The number of points of each row, (rows,), and the columns, (points,): NaN where a value is missing.

        The column is empty afterwards, as there is room for one copy. `others`: rows that follow.
        """
        portions = [*self._portions, *(others._portions if others is not None else [])]
        self._portions = []
        names = dict.fromkeys(name for curves in portions for name in curves.columns)
        made: dict[str, Array] = {}
        for name in names:
            parts = [curves.columns.pop(name, None) for curves in portions]
            counts = [int(curves.counts.sum()) for curves in portions]
            pieces = [
                np.full(count, np.nan, np.float32) if part is None else part
                for part, count in zip(parts, counts, strict=True)
            ]
            made[name] = np.concatenate(pieces)
        every = [curves.counts for curves in portions]
        return np.concatenate(every) if every else np.zeros(0, np.int64), made

    def __len__(self) -> int:
        return len(self._headers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._headers)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self._headers[place]


def imported_column(cells: Iterable[Any]) -> CurveColumn:
    """The column of imported curves, whose points may lack examples and seconds."""
    made = CurveColumn(imported=True)
    made.extend(list(cells))
    return made


def _floats_of_gaps(curves: Curves) -> Mapping[str, Array]:
    """The columns, those of whole numbers as floats where some are missing."""
    return {
        name: np.where(curves.missing[name], np.nan, values) if name in curves.missing else values
        for name, values in curves.columns.items()
    }


def _short(values: Array) -> Array:
    """The numbers in four bytes each where that is exact."""
    if values.dtype.kind == "i":
        fits = not values.size or (values.min() >= -(2**31) and values.max() < 2**31)
        return values.astype(np.int32) if fits else values
    with np.errstate(over="ignore", invalid="ignore"):
        short = values.astype(np.float32)
    return short if np.array_equal(short.astype(np.float64), values, equal_nan=True) else values


__all__ = ["CurveColumn", "imported_column"]
