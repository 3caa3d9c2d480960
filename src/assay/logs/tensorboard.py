"""TensorBoard's event files: framed records with checksums, of whose messages only scalars are read.

A record is its length (8 bytes), the masked CRC-32C of those, the message, the masked CRC-32C of it. A file that ends
within a record is what a run that was killed leaves behind.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from assay.errors import AssayError, FileError
from assay.logs.columns import chosen, plain, told
from assay.logs.lines import accuracy_unit, finite, fraction
from assay.logs.log import QUANTITIES, Options, Reading, Record

_FRAME = 16  # bytes of a record beside its message
_FLOAT, _DOUBLE = 1, 2  # TensorProto's DataType


class _Scalar(NamedTuple):
    number: int
    wall: float
    step: int
    tag: str
    value: float


class _Event(NamedTuple):
    wall: float
    scalars: list[_Scalar]


def crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli).

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, crc = _table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> int:
    """The checksum as TFRecord stores it: rotated by 15 bits, and moved by a constant."""
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> list[int]:
    found: list[int] = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)  # the polynomial, its bits reversed
        found.append(number)
    return found


def looks_tensorboard(content: bytes) -> int:
    """1 where the file begins with the sound head of a record."""
    return int(len(content) >= 12 and _u32(content, 8) == masked(content[:8]))


def read_tensorboard(content: bytes, options: Options) -> Reading:
    """The scalars of an event file by step. Raises: FileError, AssayError."""
    if not looks_tensorboard(content):
        raise FileError("not an event file of TensorBoard: the checksum of its first record's length does not match")
    reading = Reading(kind="event")
    events = list(_events(content, reading))
    scalars = [scalar for event in events for scalar in event.scalars]
    begin = next((event.wall for event in events if math.isfinite(event.wall)), 0.0)
    names = chosen((scalar.tag for scalar in scalars), options.columns, what="tag")
    if not set(QUANTITIES) & set(names):
        tags = ", ".join(dict.fromkeys(repr(scalar.tag) for scalar in scalars)) or "none"
        raise AssayError(f"its scalars are {tags[:500]}; expected one such as --column test_accuracy=TAG")
    epochs = options.steps == "epoch" or (
        not options.steps and all(plain(name).startswith("epoch") for name in names.values())
    )
    _records(reading, scalars, {name: target for target, name in names.items()}, options, begin=begin, epochs=epochs)
    reading.units["columns"] = told(names)
    reading.units["steps"] = f"the events' steps are taken as {'epochs' if epochs else 'iterations'}"
    if spare := list(dict.fromkeys(s.tag for s in scalars if s.tag not in names.values())):
        reading.units["not taken"] = ", ".join(spare)[:500]
    return reading


def _events(content: bytes, reading: Reading) -> Iterator[_Event]:
    """Every sound event; counts every event, and notes what is damaged or cut off."""
    at = number = 0
    while at < len(content):
        number += 1
        reading.lines = number
        left = len(content) - at
        if left < _FRAME:
            reading.wrong(
                number, f"the file ends within it: {left} bytes are left, as a run that was killed leaves them"
            )
            return
        size = int.from_bytes(content[at : at + 8], "little")
        if _u32(content, at + 8) != masked(content[at : at + 8]):
            reading.wrong(number, f"the checksum of its length does not match; the last {left:,} bytes are not read")
            return
        if size > left - _FRAME:
            reading.wrong(
                number,
                f"the file ends within it: {left - 12:,} bytes are left of {size + 4:,}, "
                "as a run that was killed leaves them",
            )
            return
        message = content[at + 12 : at + 12 + size]
        sound = _u32(content, at + 12 + size) == masked(message)
        at += _FRAME + size
        if not sound:
            reading.wrong(number, "its checksum does not match")
            continue
        try:
            event = _event(message, number)
        except ValueError:
            reading.wrong(number, "is no event")
            continue
        yield event
        if event.scalars:
            continue  # counted with its records
        if number == 1:
            reading.headings += 1  # the version
        else:
            reading.apart += 1


def _records(
    reading: Reading,
    scalars: list[_Scalar],
    targets: dict[str, str],
    options: Options,
    *,
    begin: float,
    epochs: bool,
) -> None:
    taken = [scalar for scalar in scalars if targets.get(scalar.tag) in QUANTITIES]
    accuracies = [scalar.value for scalar in taken if targets[scalar.tag].endswith("accuracy")]
    divisor, unit = accuracy_unit(accuracies, options.accuracy)
    shift = 1 if epochs and min((scalar.step for scalar in taken), default=1) == 0 else 0
    events: dict[int, list[_Scalar]] = {}
    for scalar in taken:
        events.setdefault(scalar.number, []).append(scalar)
    reading.apart += len({scalar.number for scalar in scalars} - set(events))
    for number, event in events.items():
        values = _values(event, targets, divisor)
        step, elapsed = event[0].step, finite(event[0].wall - begin)
        if isinstance(values, str):
            reading.wrong(number, values)
        elif not 0 <= step < 2**53:
            reading.wrong(number, f"its step is {step}")
        else:
            record = Record(values=values, seconds=elapsed if elapsed is None else max(0.0, elapsed))
            record.iteration, record.epoch = (None, step + shift) if epochs else (step, None)
            reading.add(number, record)
    if accuracies:
        reading.units["accuracy"] = unit
    if shift:
        reading.units["epoch"] = "epochs that are done: the log counts from 0"
    reading.clock = "elapsed, whatever the program did"
    reading.units["seconds"] = "the program's own: elapsed since the first event, whatever was done meanwhile"


def _values(event: list[_Scalar], targets: dict[str, str], divisor: float) -> dict[str, float | None] | str:
    """An event's numbers, or why it cannot be read."""
    found: dict[str, float | None] = {}
    for scalar in event:
        target = targets[scalar.tag]
        if target in found:
            return f"has {scalar.tag!r} twice"
        try:
            value = fraction(scalar.value, divisor) if target.endswith("accuracy") else finite(scalar.value)
        except ValueError as error:
            return str(error)
        found[target] = value
    return found


# --- the few messages that are read ----------------------------------------------------------------------------------

_SIZES = {1: 8, 5: 4}  # bytes of the wire types of fixed size


def _event(message: bytes, number: int) -> _Event:
    """The time and the scalars of an Event: wall_time 1, step 2, summary 5. Raises: ValueError where it is none."""
    wall, step = math.nan, 0
    summaries: list[bytes] = []
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes) and len(value) == 8:
            (wall,) = struct.unpack("<d", value)
        elif field == 2 and isinstance(value, int):
            step = value - 2**64 if value >= 2**63 else value
        elif field == 5 and isinstance(value, bytes):
            summaries.append(value)
    values = [value for summary in summaries for field, value in _fields(summary) if field == 1]
    named = [_summary_value(value) for value in values if isinstance(value, bytes)]
    return _Event(wall, [_Scalar(number, wall, step, tag, scalar) for tag, scalar in named if scalar is not None])


def _summary_value(message: bytes) -> tuple[str, float | None]:
    """A Summary.Value's tag 1 and its number: simple_value 2, or a tensor 8 of one element; None for an image."""
    tag, number = "", None
    for field, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if field == 1:
            tag = value.decode("utf-8", errors="replace")
        elif field == 2 and len(value) == 4:
            (number,) = struct.unpack("<f", value)
        elif field == 8:
            number = _tensor(value)
    return tag, number


def _tensor(message: bytes) -> float | None:
    """The one number of a TensorProto: dtype 1, tensor_content 4, float_val 5, double_val 6; None for any other."""
    kind, content = 0, b""
    for field, value in _fields(message):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field in (4, 5, 6) and isinstance(value, bytes):
            content += value
    if kind == _FLOAT and len(content) == 4:
        return float(struct.unpack("<f", content)[0])
    if kind == _DOUBLE and len(content) == 8:
        return float(struct.unpack("<d", content)[0])
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers as they are, all else as bytes. Raises: ValueError."""
    at = 0
    while at < len(message):
        head, at = _varint(message, at)
        field, wire = head >> 3, head & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield field, value
            continue
        size = _SIZES.get(wire)
        if size is None:
            if wire != 2:
                raise ValueError(f"wire type {wire}")
            size, at = _varint(message, at)
        if size > len(message) - at:
            raise ValueError("a field is longer than its message")
        yield field, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise ValueError("a number that does not end")


def _u32(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")
