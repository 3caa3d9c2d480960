"""Curves as bytes, as a store keeps them: exact, checked before memory is taken, read many at once.

A curve is a header, its columns and a checksum; numbers are little-endian. `docs/studies.md` describes the form.

- header: `AC`, the version (1 byte), the number of columns (1), the number of points (4), then three bytes a column:
  its number in `NAMES`, its encoding (128 is added where values are missing), and the bytes of each value.
- column: a bitmap of the missing points where the encoding says so, then what its encoding needs.
- checksum: CRC-32 of all that precedes it (4 bytes).

The header gives the size of everything, so that curves with one header are decoded together as arrays.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.system.limits import CURVE_POINTS
from assay.training.history import Point

Cell = bytes | str
"""A stored curve: bytes, or JSON text in a store of schema 0005 and before."""
Columns = Mapping[str, Sequence[Any]]

POINT = tuple(field.name for field in fields(Point))
ALWAYS = POINT[:3]
"""The columns that every curve has: iteration, examples and seconds."""

_VERSION = 1
MAGIC = b"AC" + bytes([_VERSION])
NAMES = (
    "iteration",
    "examples",
    "seconds",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "train_r2",
    "train_rmse",
    "validation_r2",
    "validation_rmse",
    "test_r2",
    "test_rmse",
)
"""The columns by their number in the header. New ones are added at the end; none is ever renamed or removed."""
WHOLE = ("iteration", "examples")
KNOWN, REQUIRED = frozenset(NAMES), frozenset(ALWAYS)
_START = 8  # bytes of the header before its columns
_RESIDUE = 0x2144DF1C  # CRC-32 of anything followed by its own CRC-32
_MISSING = 0x80

PLAIN, OFFSET, DELTA, MULTIPLE, COUNT, FIXED, SINGLE = range(7)
"""Encodings: the 64 bits themselves; a least pattern of bits and what is added to it; a first value and the steps from
each to the next; a multiple of the iteration; a count over a whole number; a whole number times a power of two; a float
of 32 bits."""
_BASES = {PLAIN: 0, OFFSET: 8, DELTA: 8, MULTIPLE: 8, COUNT: 4, FIXED: 2, SINGLE: 0}  # bytes before the values


class CurveError(ValueError):
    """A stored curve that is damaged, or values that no curve can have."""


# --- writing ---------------------------------------------------------------------------------------------------------


def packed(columns: Columns) -> bytes:
    """The bytes of a curve from its columns; None marks a missing value. Columns without a value are left out.

    Raises: CurveError for an unknown column, for columns that differ in length, and for values that are no numbers.

    >>> unpacked(packed({"iteration": [0, 10], "examples": [0, 320], "seconds": [0.0, 0.5], "test_loss": [2.3, None]}))
    {'iteration': [0, 10], 'examples': [0, 320], 'seconds': [0.0, 0.5], 'test_loss': [2.3, None]}
    """
    if unknown := [str(name)[:60] for name in columns if name not in NAMES]:
        raise CurveError(f"has an unknown column {unknown[0]!r}")
    if len({len(values) for values in columns.values()}) > 1:
        raise CurveError("its lists differ in length")
    count = len(next(iter(columns.values()), ()))
    if count > CURVE_POINTS.most:
        raise CurveError(f"has {count:,} points; expected at most {CURVE_POINTS}")
    heads, bodies = b"", [b""]
    iterations: NDArray[np.int64] | None = None
    for number, name in enumerate(NAMES):
        given = columns.get(name)
        if not count or given is None:
            continue
        gaps = [value is None for value in given]
        if all(gaps) and name not in ALWAYS:
            continue
        values = _array(name, given, gaps)
        if name == "iteration":
            iterations = values
        encoding, width, body = _encoded(name, values, iterations)
        if any(gaps):
            encoding, body = encoding | _MISSING, np.packbits(np.array(gaps), bitorder="little").tobytes() + body
        heads += bytes((number, encoding, width))
        bodies.append(body)
    content = MAGIC + bytes([len(heads) // 3]) + struct.pack("<I", count if heads else 0) + heads + b"".join(bodies)
    return content + struct.pack("<I", zlib.crc32(content))


def packed_points(points: Sequence[Point]) -> bytes:
    """The bytes of a curve from its points."""
    return packed({name: [getattr(point, name) for point in points] for name in POINT})


def packed_text(text: str) -> bytes:
    """The bytes of a curve from its JSON, as exports and schemas before 0006 have it. Raises: ValueError."""
    try:
        columns = json.loads(text)
    except RecursionError:
        raise CurveError("is nested too deeply") from None
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise CurveError(f"is JSON of type {type(columns).__name__}; expected an object of lists")
    return packed(columns)


EMPTY = packed({})
"""The curve of a trial without a point."""


def _array(name: str, given: Sequence[Any], gaps: Sequence[bool]) -> NDArray[Any]:
    """A column as 64-bit numbers, with a present value in the place of each missing one. Raises: CurveError."""
    whole = name in WHOLE
    kinds = set(map(type, given)) - {type(None)}
    if not kinds <= ({int} if whole else {int, float}):
        raise CurveError(f"{name}: expected {'whole numbers' if whole else 'numbers'}")
    if any(gaps):
        filler = next((value for value in given if value is not None), 0)
        given = [filler if value is None else value for value in given]
    try:
        return np.array(given, dtype="<i8" if whole else "<f8")
    except OverflowError:
        raise CurveError(f"{name}: holds a whole number of more than 64 bits") from None


def _encoded(name: str, values: NDArray[Any], iterations: NDArray[np.int64] | None) -> tuple[int, int, bytes]:
    """The shortest encoding of a column, the bytes of each value, and its bytes."""
    found = [_offsets(values)]
    if name in WHOLE:
        found += [_deltas(values)]
        if name == "examples" and iterations is not None:
            found += [_multiples(values, iterations)]
    else:
        found += [_singles(values)]
        if name.endswith("_accuracy"):
            found += [_counts(values)]
        if name == "seconds":
            found += [_fixed(values)]
    choices = [choice for choice in found if choice is not None]
    return min([*choices, (PLAIN, 8, values.tobytes())], key=lambda choice: len(choice[2]))


def _narrow(values: NDArray[np.uint64]) -> tuple[int, bytes]:
    """Whole numbers in as few bytes each as the largest needs, but at least one: the size bounds what is decoded."""
    width = (max(int(values.max()), 1).bit_length() + 7) // 8 if len(values) else 1
    bits = values.astype("<u8").view(np.uint8).reshape(len(values), 8)
    return width, np.ascontiguousarray(bits[:, :width]).tobytes()


def _offsets(values: NDArray[Any]) -> tuple[int, int, bytes]:
    bits = values.view("<u8")
    least = bits.min()
    width, body = _narrow(bits - least)
    return OFFSET, width, struct.pack("<Q", int(least)) + body


def _deltas(values: NDArray[np.int64]) -> tuple[int, int, bytes] | None:
    if values[0] < 0 or (values[1:] < values[:-1]).any():
        return None
    width, body = _narrow(np.diff(values).view("<u8"))
    return DELTA, width, struct.pack("<Q", int(values[0])) + body


def _multiples(values: NDArray[np.int64], iterations: NDArray[np.int64]) -> tuple[int, int, bytes] | None:
    last, reached = int(values[-1]), int(iterations[-1])
    if last <= 0 or reached <= 0 or last % reached or int(iterations.max()) * (last // reached) >= 2**63:
        return None
    factor = last // reached
    return (MULTIPLE, 0, struct.pack("<Q", factor)) if (iterations * factor == values).all() else None


def _singles(values: NDArray[np.float64]) -> tuple[int, int, bytes] | None:
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype("<f4")
        same = (single.astype("<f8").view("<u8") == values.view("<u8")).all()
    return (SINGLE, 4, single.tobytes()) if same else None


_recent_counts: list[int] = []  # numbers of examples that were found last: most curves have one of them


def _counts(values: NDArray[np.float64]) -> tuple[int, int, bytes] | None:
    if not ((values >= 0) & (values <= 1)).all() or np.signbit(values).any():
        return None
    for total in _recent_counts:
        counts = np.rint(values * total)
        if (counts / total == values).all():
            break
    else:
        total = _denominator(tuple(set(values.tolist())))
        if not total:
            return None
        counts = np.rint(values * total)
        if not (counts / total == values).all():
            return None
        _recent_counts.insert(0, total)
        del _recent_counts[8:]
    whole = counts.astype("<u8")
    common = math.gcd(total, int(np.gcd.reduce(whole)))  # the least one, so that equal curves have equal bytes
    width, body = _narrow(whole // np.uint64(common))
    return COUNT, width, struct.pack("<I", total // common) + body


def recent_counts() -> list[int]:
    """The numbers of examples of which accuracies were fractions last."""
    return list(_recent_counts)


def denominator_of(values: NDArray[np.float64]) -> int:
    """A number of examples of which accuracies are fractions, which is then a recent one; 0 if there is none."""
    found = _counts(values)
    return 0 if found is None else _recent_counts[0]


@lru_cache(maxsize=64)
def _denominator(values: tuple[float, ...]) -> int:
    """A number of examples of which all the values are fractions; 0 if none below 2**32 is found."""
    total = 1
    for value in values:
        part = Fraction(value).limit_denominator(10_000_000)
        if float(part) != value:
            return 0
        total = math.lcm(total, part.denominator)
        if total >= 2**32:
            return 0
    return total


def _fixed(values: NDArray[np.float64]) -> tuple[int, int, bytes] | None:
    """Whole multiples of a power of two, which sums of differences of a clock are."""
    if not np.isfinite(values).all() or np.signbit(values).any():
        return None
    mantissas, exponents = np.frexp(values)
    whole = (mantissas * 2.0**53).astype(np.int64)
    used = whole != 0
    if not used.any():
        return None
    zeros = np.frexp((whole & -whole)[used].astype(np.float64))[1] - 1
    scale = int((exponents[used] - 53 + zeros).min())
    if not -1000 < scale < 900 or math.frexp(float(values.max()))[1] - scale > 63:
        return None
    width, body = _narrow(np.ldexp(values, -scale).astype("<u8"))
    return FIXED, width, struct.pack("<h", scale) + body


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curves:
    """Many curves as arrays, the points of one after those of another, in the order in which they were given.

    Attributes:
        counts: the number of points of each curve; 0 for one that cannot be read.
        columns: the values by column, (points,): int64 for iteration and examples, else float64, NaN where missing. A
            column that no curve has is absent.
        missing: where a whole number is missing, (points,), by column; absent where none is.
        errors: why a curve cannot be read, by its number.
    """

    counts: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    missing: dict[str, NDArray[np.bool_]]
    errors: dict[int, str]


@dataclass(frozen=True)
class _Column:
    name: str
    encoding: int
    width: int
    has_gaps: bool
    start: int  # within a curve
    size: int


@dataclass(frozen=True)
class _Header:
    count: int
    columns: tuple[_Column, ...]


@lru_cache(maxsize=4096)
def _header(head: bytes, size: int) -> _Header | str:
    """The header of curves of a size, or why it is none."""
    if head[:2] != MAGIC[:2] or len(head) < _START:
        return "is no stored curve"
    if head[2] != _VERSION:
        return f"has version {head[2]}; this Assay reads version {_VERSION}"
    number, (count,) = head[3], struct.unpack_from("<I", head, 4)
    if count > CURVE_POINTS.most:
        return f"claims {count:,} points; expected at most {CURVE_POINTS}"
    if len(head) != _START + 3 * number or (count > 0) != (number > 0):
        return "is cut short"
    columns: list[_Column] = []
    start, last = len(head), -1
    for index, encoding, width in struct.iter_unpack("<BBB", head[_START:]):
        has_gaps, encoding = bool(encoding & _MISSING), encoding & ~_MISSING
        if index >= len(NAMES) or index <= last or not _is_encoding(NAMES[index], encoding, width):
            return "has a damaged header"
        values = count - 1 if encoding == DELTA else count
        size_of = (-(-count // 8) if has_gaps else 0) + _BASES[encoding] + values * width
        columns.append(_Column(NAMES[index], encoding, width, has_gaps, start, size_of))
        start, last = start + size_of, index
    if start + 4 != size:
        return f"has {size:,} bytes; its header says {start + 4:,}"
    if columns and (missing := [name for name in ALWAYS if name not in {column.name for column in columns}]):
        return f"has no {', '.join(missing)}"
    return _Header(count, tuple(columns))


def _is_encoding(name: str, encoding: int, width: int) -> bool:
    if encoding in (PLAIN, SINGLE, MULTIPLE):
        fits = width == {PLAIN: 8, SINGLE: 4, MULTIPLE: 0}[encoding]
    else:
        fits = 1 <= width <= 8
    if name == "iteration":
        return fits and encoding in (PLAIN, OFFSET, DELTA)
    kinds = (PLAIN, OFFSET, DELTA, MULTIPLE) if name in WHOLE else (PLAIN, OFFSET, COUNT, FIXED, SINGLE)
    return fits and encoding in kinds


def unpacked(cell: Cell) -> dict[str, list[Any]]:
    """The columns of a stored curve, None where a value is missing; exact. Raises: CurveError where it is damaged."""
    curves = load([cell])
    if curves.errors:
        raise CurveError(curves.errors[0])
    columns: dict[str, list[Any]] = {}
    for name, values in curves.columns.items():
        gaps = curves.missing.get(name)
        columns[name] = values.tolist()
        if gaps is not None:
            columns[name] = [None if gap else value for gap, value in zip(gaps, columns[name], strict=True)]
    return columns


def points_of(cell: Cell) -> list[Point]:
    """The points of a stored curve. Raises: CurveError where it is damaged."""
    columns = unpacked(cell)
    names = list(columns)
    return [Point(**dict(zip(names, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def count_of(cell: Any) -> int:
    """The number of points of a stored curve; 0 where it is damaged."""
    return int(load([cell]).counts[0])


def names_of(cell: bytes) -> list[str]:
    """The columns of a stored curve that can be read, from its header."""
    return [NAMES[number] for number in cell[_START : _START + 3 * cell[3] : 3]]


def has_column(cell: Any, name: str) -> bool:
    """Whether a stored curve has a column, without reading it; False where it is damaged."""
    if isinstance(cell, str):
        return f'"{name}"' in cell
    if not isinstance(cell, bytes):
        return False
    return NAMES.index(name) in cell[_START : _START + 3 * cell[3] : 3] if len(cell) >= _START else False


def header_of(cell: Any) -> Any:
    """The header of a stored curve, which `has_column` reads; anything else, such as JSON text, as it is."""
    return cell[: _START + 3 * cell[3]] if isinstance(cell, bytes) and len(cell) >= _START else cell


def load(cells: Iterable[Any], *, check: bool = False, imported: Collection[int] = ()) -> Curves:
    """Many stored curves as arrays; those that cannot be read are left out and named in `errors`.

    Args:
        cells: The stored curves.
        check: Whether the values must be those of a curve: counts from 0, fractions, finite, ascending iterations.
        imported: The numbers of those that were imported, which may lack examples and seconds.
    """
    errors: dict[int, str] = {}
    groups: dict[tuple[bytes, int], tuple[list[int], list[bytes]]] = {}
    total = 0
    for number, cell in enumerate(cells):
        total += 1
        if isinstance(cell, str):
            try:
                cell = packed_text(cell)
            except ValueError as error:
                errors[number] = str(error)
                continue
        if not isinstance(cell, bytes):
            errors[number] = f"is of type {type(cell).__name__}; expected bytes"
            continue
        key = (cell[: _START + 3 * cell[3]] if len(cell) > 3 else cell, len(cell))
        numbers, members = groups.setdefault(key, ([], []))
        numbers.append(number)
        members.append(cell)
    counts = np.zeros(total, np.int64)
    decoded: list[tuple[NDArray[np.int64], dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]]]] = []
    for (head, size), (numbers, members) in groups.items():
        header = _header(head, size)
        if isinstance(header, str):
            errors |= dict.fromkeys(numbers, header)
            continue
        if damaged := [i for i, cell in enumerate(members) if zlib.crc32(cell) != _RESIDUE]:
            errors |= {numbers[i]: "is damaged: its checksum does not match" for i in damaged}
            kept = set(range(len(members))) - set(damaged)
            numbers, members = [numbers[i] for i in sorted(kept)], [members[i] for i in sorted(kept)]
        if not members or not header.count:
            continue
        columns = _decoded(header, members)
        rows = np.array(numbers)
        wrong = _wrong(columns, [number not in imported for number in numbers]) if check else {}
        if wrong:
            errors |= {int(rows[i]): reason for i, reason in wrong.items()}
            sound = np.array([i for i in range(len(rows)) if i not in wrong], np.int64)
            rows = rows[sound]
            columns = {
                name: (values[sound], gaps[sound] if gaps is not None else None)
                for name, (values, gaps) in columns.items()
            }
        counts[rows] = header.count
        decoded.append((rows, columns))
    return _joined(counts, decoded, errors)


def _joined(counts: NDArray[np.int64], decoded: list[Any], errors: dict[int, str]) -> Curves:
    """The curves of all groups in the order in which they were given; empties `decoded`."""
    starts = np.cumsum(counts) - counts
    places = [
        (starts[rows][:, None] + np.arange(int(counts[rows][0]))).ravel() if len(rows) else rows for rows, _ in decoded
    ]
    points = int(counts.sum())
    columns: dict[str, NDArray[Any]] = {}
    missing: dict[str, NDArray[np.bool_]] = {}
    for name in NAMES:
        if not any(name in group for _, group in decoded):
            continue
        if len(decoded) == 1 and len(decoded[0][0]) == len(counts):
            values, gaps = decoded[0][1].pop(name)
            columns[name] = values.ravel()
            if gaps is not None:
                missing[name] = gaps.ravel()
            continue
        whole = np.zeros(points, np.int64) if name in WHOLE else np.full(points, np.nan)
        mask = np.ones(points, np.bool_)
        for place, (_, group) in zip(places, decoded, strict=True):
            if name in group:
                values, gaps = group.pop(name)
                whole[place] = values.ravel()
                mask[place] = False if gaps is None else gaps.ravel()
        columns[name] = whole
        if mask.any():
            missing[name] = mask
    for name, gaps in missing.items():
        if name not in WHOLE:
            columns[name][gaps] = np.nan
        else:
            columns[name][gaps] = 0
    return Curves(counts, columns, missing, errors)


def _decoded(header: _Header, members: Sequence[bytes]) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]]:
    """The columns of curves with one header, each (curves, points), and where a value is missing."""
    content = np.frombuffer(b"".join(members), np.uint8).reshape(len(members), -1)
    columns: dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]] = {}
    for column in header.columns:
        body, gaps = content[:, column.start : column.start + column.size], None
        if column.has_gaps:
            length = -(-header.count // 8)
            gaps = np.unpackbits(body[:, :length], axis=1, count=header.count, bitorder="little").astype(np.bool_)
            body = body[:, length:]
        iterations = columns["iteration"][0] if column.encoding == MULTIPLE else None
        columns[column.name] = _values(column, header.count, body, iterations), gaps
    return columns


def _values(column: _Column, count: int, body: NDArray[np.uint8], iterations: NDArray[Any] | None) -> NDArray[Any]:
    """The values of a column of curves with one header, (curves, points)."""
    base, rest = _BASES[column.encoding], body[:, _BASES[column.encoding] :]
    kind = "<i8" if column.name in WHOLE else "<f8"
    if column.encoding == MULTIPLE:
        assert iterations is not None
        return iterations * _wide(body, 1, 8).view("<i8")
    if column.encoding == SINGLE:
        with np.errstate(invalid="ignore"):
            return np.ascontiguousarray(rest).view("<f4").astype("<f8")
    numbers = _wide(rest, count - 1 if column.encoding == DELTA else count, column.width)
    if column.encoding == OFFSET:
        numbers += _wide(body[:, :base], 1, base)
    elif column.encoding == DELTA:
        numbers = np.concatenate([_wide(body[:, :base], 1, base), numbers], axis=1)
        np.cumsum(numbers, axis=1, out=numbers)
    elif column.encoding == COUNT:
        totals = _wide(body[:, :base], 1, base)
        with np.errstate(divide="ignore", invalid="ignore"):
            return numbers / totals
    elif column.encoding == FIXED:
        scales = np.ascontiguousarray(body[:, :base]).view("<i2").astype(np.int32)
        with np.errstate(over="ignore"):
            return np.ldexp(numbers.astype(np.float64), scales)
    return numbers.view(kind)


def _wide(body: NDArray[np.uint8], count: int, width: int) -> NDArray[np.uint64]:
    """Whole numbers of so many bytes each as 64-bit ones, (curves, count)."""
    wide = np.zeros((len(body), count, 8), np.uint8)
    wide[:, :, :width] = body.reshape(len(body), count, width)
    return wide.view("<u8")[:, :, 0]


def _wrong(
    columns: Mapping[str, tuple[NDArray[Any], NDArray[np.bool_] | None]], trained: Sequence[bool]
) -> dict[int, str]:
    """Which curves have values that none can have, and why. (Each array is (curves, points).)"""
    wrong: dict[int, str] = {}

    def note(bad: NDArray[np.bool_], reason: str) -> None:
        if bad.any():
            for i in np.flatnonzero(bad.any(axis=1) if bad.ndim > 1 else bad).tolist():
                wrong.setdefault(i, reason)

    for name, (values, gaps) in columns.items():
        if name in WHOLE:
            bad, reason = values < 0, f"{name}: expected whole numbers from 0 on"
        elif name.endswith("_accuracy"):
            bad, reason = ~((values >= 0) & (values <= 1)), f"{name}: expected fractions from 0 to 1"
        elif name == "seconds":
            bad, reason = ~((values >= 0) & np.isfinite(values)), "seconds: expected numbers from 0 on"
        else:
            bad, reason = ~np.isfinite(values), f"{name}: holds NaN or infinity"
        note(bad if gaps is None else bad & ~gaps, reason)
    steps, gaps = columns["iteration"]
    if gaps is not None:
        note(gaps, "a point lacks its iteration")
    note(steps[:, 1:] <= steps[:, :-1], "its iterations do not ascend")
    for name in ALWAYS[1:]:
        gaps = columns[name][1]
        if gaps is not None:
            note(gaps & np.array(trained)[:, None], "a point lacks its examples or seconds")
    return wrong


def check(cell: Any, *, trained: bool) -> None:
    """Checks a stored curve. Raises: CurveError that says what is wrong."""
    if errors := load([cell], check=True, imported=() if trained else (0,)).errors:
        raise CurveError(errors[0])


def text_of(cell: Cell) -> str:
    """A stored curve as JSON, one list a column: the form that exports have. Raises: CurveError, ValueError."""
    columns = unpacked(cell)
    return json.dumps(columns, separators=(",", ":"), allow_nan=False)
