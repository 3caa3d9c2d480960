"""Many curves from JSON to bytes and back at once: what `curves.packed_text` and `curves.text_of` make of each."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.store import curves
from assay.store.curves import (
    COUNT,
    DELTA,
    FIXED,
    MAGIC,
    MULTIPLE,
    NAMES,
    OFFSET,
    PLAIN,
    SINGLE,
    WHOLE,
    Cell,
    CurveError,
    Curves,
    load,
    names_of,
    packed_text,
    text_of,
)
from assay.training.history import Point

Array = NDArray[Any]
Encoded = tuple[int, int, bytes]
"""The encoding of a column, the bytes of each value, and its bytes."""
_MOST = 1 << 20  # values of a group that are encoded at once
_NEVER = 1 << 40  # the size of an encoding that does not hold the values


def packed_texts(texts: Sequence[str]) -> list[bytes | CurveError]:
    """The bytes of curves from their JSON, or the error of each that is damaged.

    >>> packed_texts(["[]"])
    [CurveError('is JSON of type list; expected an object of lists')]
    """
    made: list[bytes | CurveError] = [b""] * len(texts)
    groups: dict[tuple[tuple[str, ...], int], tuple[list[int], list[dict[str, list[Any]]]]] = {}
    for number, text in enumerate(texts):
        columns = _regular(text)
        if columns is None:
            made[number] = _alone(text)
            continue
        key = tuple(columns), len(columns[NAMES[0]])
        numbers, members = groups.setdefault(key, ([], []))
        numbers.append(number)
        members.append(columns)
    for (names, count), (numbers, members) in groups.items():
        portion = max(1, _MOST // count)
        for start in range(0, len(numbers), portion):
            some = members[start : start + portion]
            arrays = {name: np.array([one[name] for one in some], "<i8" if name in WHOLE else "<f8") for name in names}
            for number, content in zip(numbers[start : start + portion], _packed(arrays, count), strict=True):
                made[number] = content
    return made


def _regular(text: str) -> dict[str, list[Any]] | None:
    """The columns of a curve without a missing value, in their order; None for any other, also a damaged one."""
    try:
        columns = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if type(columns) is not dict or not columns.keys() <= curves.KNOWN or not columns.keys() >= curves.REQUIRED:
        return None
    if any(type(values) is not list for values in columns.values()):
        return None
    (count, *others) = {len(values) for values in columns.values()}
    if others or not 0 < count <= curves.CURVE_POINTS.most:
        return None
    for name, values in columns.items():
        if name in WHOLE:
            if set(map(type, values)) != {int} or min(values) < -(2**63) or max(values) >= 2**63:
                return None
        elif set(map(type, values)) != {float}:
            return None
    return {name: columns[name] for name in NAMES if name in columns}


def _alone(text: str) -> bytes | CurveError:
    try:
        return packed_text(text)
    except ValueError as error:
        return error if isinstance(error, CurveError) else CurveError(str(error))


def _packed(arrays: Mapping[str, Array], count: int) -> list[bytes]:
    """The bytes of curves of one length from their columns (curves, points)."""
    columns = [(NAMES.index(name), _encoded(name, values, arrays[NAMES[0]])) for name, values in arrays.items()]
    start = MAGIC + bytes([len(columns)]) + struct.pack("<I", count)
    made: list[bytes] = []
    for row in range(len(arrays[NAMES[0]])):
        chosen = [(number, encoded[row]) for number, encoded in columns]
        heads = b"".join(bytes((number, encoding, width)) for number, (encoding, width, _) in chosen)
        content = b"".join((start, heads, *(body for _, (_, _, body) in chosen)))
        made.append(content + struct.pack("<I", zlib.crc32(content)))
    return made


def _encoded(name: str, values: Array, iterations: Array) -> list[Encoded]:
    """The shortest encoding of each row of a column; of equally short ones the first, as `curves.packed` takes it."""
    choices = [_offsets(values)]
    if name in WHOLE:
        choices.append(_deltas(values))
        if name == "examples":
            choices.append(_multiples(values, iterations))
    else:
        choices.append(_singles(values))
        if name.endswith("_accuracy"):
            choices.append(_counts(values))
        if name == "seconds":
            choices.append(_fixed(values))
    choices.append((PLAIN, np.full(len(values), 8 * values.shape[1]), values, None, 8))
    best = np.argmin([sizes for _, sizes, *_ in choices], axis=0)
    rows: list[Encoded] = [(0, 0, b"")] * len(values)
    for place, (encoding, _, content, bases, width) in enumerate(choices):
        chosen = np.flatnonzero(best == place)
        if not chosen.size:
            continue
        widths = np.full(chosen.size, width) if width is not None else _widths(content[chosen])
        for each in np.unique(widths):
            some = chosen[widths == each]
            cells = _cells(content[some], int(each))
            heads = [b""] * some.size if bases is None else [bases[row] for row in some.tolist()]
            size = len(cells) // some.size
            for at, row in enumerate(some.tolist()):
                rows[row] = (encoding, int(each), heads[at] + cells[at * size : (at + 1) * size])
    return rows


Choice = tuple[int, Array, Array, Sequence[bytes] | None, int | None]
"""An encoding, the bytes that it takes for each row, what is written of the values, what precedes it, and the bytes of
each value where they do not depend on the row."""


def _widths(bits: Array) -> Array:
    """The bytes that the largest whole number of each row needs, at least 1."""
    if not bits.shape[1]:
        return np.ones(len(bits), np.int64)
    largest = bits.max(axis=1)
    widths = np.ones(len(bits), np.int64)
    for shift in range(8, 64, 8):
        widths += largest >= np.uint64(1 << shift)
    return widths


def _cells(values: Array, width: int) -> bytes:
    """The values with so many of their bytes each."""
    if not width:
        return b""
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, values.dtype.itemsize)
    return np.ascontiguousarray(raw[..., :width]).tobytes()


def _sizes(valid: Array, bits: Array, base: int) -> Array:
    return np.where(valid, base + bits.shape[1] * _widths(bits), _NEVER)


def _offsets(values: Array) -> Choice:
    bits = values.view("<u8")
    least = bits.min(axis=1)
    above = bits - least[:, None]
    return OFFSET, _sizes(np.ones(len(bits), np.bool_), above, 8), above, _words(least), None


def _deltas(values: Array) -> Choice:
    valid = (values[:, 0] >= 0) & (values[:, 1:] >= values[:, :-1]).all(axis=1)
    steps = np.diff(values, axis=1).view("<u8")
    return DELTA, _sizes(valid, steps, 8), steps, _words(values[:, 0]), None


def _multiples(values: Array, iterations: Array) -> Choice:
    last, reached = values[:, -1], iterations[:, -1]
    valid = (last > 0) & (reached > 0)
    factor = np.where(valid, last // np.where(valid, reached, 1), 1)
    valid &= factor * np.where(valid, reached, 1) == np.where(valid, last, factor)
    highest = zip(iterations.max(axis=1).tolist(), factor.tolist(), strict=True)
    valid &= np.array([most * times < 2**63 for most, times in highest], np.bool_)
    with np.errstate(over="ignore"):
        valid &= (iterations * factor[:, None] == values).all(axis=1)
    return MULTIPLE, np.where(valid, 8, _NEVER), values, _words(factor), 0


def _singles(values: Array) -> Choice:
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype("<f4")
        valid = (single.astype("<f8").view("<u8") == values.view("<u8")).all(axis=1)
    return SINGLE, np.where(valid, 4 * values.shape[1], _NEVER), single, None, 4


def _counts(values: Array) -> Choice:
    with np.errstate(invalid="ignore"):
        open_rows = np.asarray(((values >= 0) & (values <= 1)).all(axis=1) & ~np.signbit(values).any(axis=1))
    totals, counts = np.zeros(len(values), np.int64), np.zeros(values.shape, "<u8")
    while (left := np.flatnonzero(open_rows & (totals == 0))).size:
        for total in curves.recent_counts():
            whole = np.rint(values[left] * total)
            same = (whole / total == values[left]).all(axis=1)
            totals[left[same]], counts[left[same]] = total, whole[same].astype("<u8")
            left = left[~same]
        if left.size and curves.denominator_of(values[left[0]]) == 0:  # else it is a recent count now
            open_rows[left[0]] = False
    valid = totals > 0
    common = np.gcd(np.where(valid, totals, 1).astype("<u8"), np.gcd.reduce(counts, axis=1))
    common = np.maximum(common, 1).astype("<u8")
    small = counts // common[:, None]
    bases = [struct.pack("<I", total) for total in (totals // common.astype(np.int64)).tolist()]
    return COUNT, _sizes(valid, small, 4), small, bases, None


def _fixed(values: Array) -> Choice:
    valid = np.asarray(np.isfinite(values).all(axis=1) & ~np.signbit(values).any(axis=1))
    safe = np.where(valid[:, None], values, 0.0)
    mantissas, exponents = np.frexp(safe)
    whole = (mantissas * 2.0**53).astype(np.int64)
    used = whole != 0
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    scale = np.where(used, exponents - 53 + zeros, 10**6).min(axis=1)
    valid &= used.any(axis=1) & (scale > -1000) & (scale < 900)
    valid &= np.frexp(safe.max(axis=1))[1] - scale <= 63
    scale = np.where(valid, scale, 0)
    bits = np.ldexp(np.where(valid[:, None], safe, 0.0), -scale[:, None]).astype("<u8")
    return FIXED, _sizes(valid, bits, 2), bits, [struct.pack("<h", one) for one in scale.tolist()], None


def _words(values: Array) -> list[bytes]:
    """Each value in eight bytes."""
    content = np.ascontiguousarray(values).tobytes()
    return [content[at : at + 8] for at in range(0, len(content), 8)]


def texts(cells: Sequence[Cell], read: Curves) -> list[str | None]:
    """The curves that `load(cells)` has read as JSON, as `text_of` writes each; None for one that cannot be written."""
    columns: dict[str, list[Any]] = {}
    for name, values in read.columns.items():
        columns[name] = values.tolist()
        for at in np.flatnonzero(read.missing.get(name, ())).tolist():
            columns[name][at] = None
    made: list[str | None] = []
    end = 0
    for number, cell in enumerate(cells):
        start, end = end, end + int(read.counts[number])
        if number in read.errors:
            made.append(None)
            continue
        try:
            if isinstance(cell, bytes):
                one = {name: columns[name][start:end] for name in names_of(cell)}
                made.append(json.dumps(one, separators=(",", ":"), allow_nan=False))
            else:
                made.append(text_of(cell))
        except ValueError:
            made.append(None)
    return made


def last_points(cells: Sequence[Cell]) -> list[Point | None]:
    """The last point of each curve; None for one without a point, and for one that cannot be read."""
    read = load(cells)
    ends = np.cumsum(read.counts) - 1
    at = ends[read.counts > 0]
    columns: dict[str, list[Any]] = {}
    for name, values in read.columns.items():
        gaps = read.missing[name][at] if name in read.missing else np.zeros(at.size, np.bool_)
        columns[name] = [None if gap else value for gap, value in zip(gaps, values[at].tolist(), strict=True)]
    points = (Point(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
    return [next(points) if count else None for count in read.counts.tolist()]


__all__ = ["last_points", "packed_texts", "texts"]
