"""TensorBoard's event files: framed records with checksums; only scalars are read.

A record consists of its length (8 bytes), the masked CRC-32C of the length, the message, and the masked CRC-32C of the
message. The file of a killed run may end within a record.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from assay.errors import AssayError, FileError
from assay.logs.columns import column_mapping, mapping_sentence, normalised, placed
from assay.logs.log import QUANTITIES, Cell, Options, Reading, Row
from assay.logs.rows import finish

_FRAME = 16  # bytes of a record in addition to its message
_FLOAT, _DOUBLE = 1, 2  # TensorProto's DataType


class ScalarEvent(NamedTuple):
    """A number in an event: of the event its number, its wall time and its step; the tag and the value."""

    number: int
    wall: float
    step: int
    tag: str
    value: float


class Timed(NamedTuple):
    """A scalar with the seconds since the start, and the number of its training where several files tell it."""

    scalar: ScalarEvent
    elapsed: float
    training: int = 0


class _Event(NamedTuple):
    wall: float
    scalars: list[ScalarEvent]


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
    """The checksum as TFRecord stores it: rotated by 15 bits, plus a constant."""
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> list[int]:
    table: list[int] = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)  # the polynomial with reversed bits
        table.append(number)
    return table


def looks_tensorboard(content: bytes) -> int:
    """1 if the file begins with a valid record header, else 0."""
    return int(len(content) >= 12 and _u32(content, 8) == masked(content[:8]))


def read_tensorboard(content: bytes, options: Options) -> Reading:
    """Reads the scalars of an event file. Raises: FileError, AssayError."""
    if not looks_tensorboard(content):
        raise FileError("not an event file of TensorBoard: the checksum of its first record's length does not match")
    reading = Reading(kind="event")
    scalars, begin = scalars_of(content, reading)
    read_scalars(reading, [Timed(scalar, scalar.wall - begin) for scalar in scalars], options)
    return reading


def scalars_of(content: bytes, reading: Reading) -> tuple[list[ScalarEvent], float]:
    """The scalars of an event file and the time of its first event. Counts every event in `reading`."""
    events = list(_events(content, reading))
    begin = next((event.wall for event in events if math.isfinite(event.wall)), 0.0)
    return [scalar for event in events for scalar in event.scalars], begin


def read_scalars(reading: Reading, scalars: list[Timed], options: Options) -> None:
    """Adds the records of scalars, each with the seconds since the start, to the reading. Raises: AssayError."""
    tags = [entry.scalar.tag for entry in scalars]
    counts: dict[str, int] = {}
    for tag in tags:
        counts[tag] = counts.get(tag, 0) + 1
    names = column_mapping(tags, options.columns, what="tag", counts=counts, split=options.split)
    names = {target: name for target, name in names.items() if target in QUANTITIES}
    if not names:
        listed = ", ".join(map(repr, counts)) or "none"
        raise AssayError(f"its scalars are {listed[:500]}; specify one, such as --column test_accuracy=TAG")
    names, note = placed(names, options.columns)
    if note:
        reading.notes.append(note)
    epochs = options.steps == "epoch" or (
        not options.steps and all(normalised(name.rpartition("/")[2]).startswith("epoch") for name in names.values())
    )
    _records(reading, scalars, {name: target for target, name in names.items()}, options, epochs=epochs)
    reading.units["columns"] = mapping_sentence(names)
    reading.units["steps"] = f"the steps of the events are read as {'epochs' if epochs else 'iterations'}"
    if not options.steps:
        why = "its tags begin with 'epoch'" if epochs else "no tag says otherwise; --steps epoch reads them as epochs"
        reading.notes.append(f"{reading.units['steps']}: {why}")
    if unused := [tag for tag in counts if tag not in names.values()]:
        reading.units["not taken"] = ", ".join(unused)[:500]


def _events(content: bytes, reading: Reading) -> Iterator[_Event]:
    """Yields the valid events; counts every event, and rejects those that are damaged or cut off."""
    position = number = 0
    while position < len(content):
        number += 1
        reading.lines = number
        left = len(content) - position
        if left < _FRAME:
            reading.reject(number, f"the file ends within it: {left} bytes are left, as after a run that was killed")
            return
        size = int.from_bytes(content[position : position + 8], "little")
        if _u32(content, position + 8) != masked(content[position : position + 8]):
            reading.reject(number, f"the checksum of its length does not match; the last {left:,} bytes are not read")
            return
        if size > left - _FRAME:
            remaining = f"{left - 12:,} bytes are left of {size + 4:,}"
            reading.reject(number, f"the file ends within it: {remaining}, as after a run that was killed")
            return
        message = content[position + 12 : position + 12 + size]
        valid = _u32(content, position + 12 + size) == masked(message)
        position += _FRAME + size
        if not valid:
            reading.reject(number, "its checksum does not match")
            continue
        try:
            event = _event(message, number)
        except ValueError:
            reading.reject(number, "is not an event")
            continue
        yield event
        if event.scalars:
            continue  # counted with its records
        if number == 1:
            reading.headings += 1  # the version
        else:
            reading.ignored += 1


def _records(
    reading: Reading, scalars: list[Timed], targets: dict[str, str], options: Options, *, epochs: bool
) -> None:
    events: dict[int, list[Timed]] = {}
    for entry in scalars:
        if entry.scalar.tag in targets:
            events.setdefault(entry.scalar.number, []).append(entry)
    reading.ignored += len({entry.scalar.number for entry in scalars} - set(events))
    rows: list[Row] = []
    for number, event in events.items():
        row = Row(number, training=event[0].training)
        step, elapsed = event[0].scalar.step, event[0].elapsed
        repeated = ""
        for scalar, *_ in event:
            target = targets[scalar.tag]
            repeated = repeated or (scalar.tag if target in row.values else "")
            row.values[target] = Cell(scalar.value)
        if repeated:
            reading.reject(number, f"has {repeated!r} twice")
        elif not 0 <= step < 2**53:
            reading.reject(number, f"its step is {step}")
        else:
            row.seconds = max(0.0, elapsed) if math.isfinite(elapsed) else None
            row.iteration, row.epoch = (None, step) if epochs else (step, None)
            rows.append(row)
    reading.clocked = True
    reading.clock = "elapsed, whatever the program did"  # stored: only equal clocks are ranked together
    reading.units["seconds"] = "by the program: elapsed since the first event, all of its work included"
    finish(reading, rows, options if options.steps != "epoch" else replace(options, steps=""), source="an event file")


# --- protobuf messages -----------------------------------------------------------------------------------------------

_SIZES = {1: 8, 5: 4}  # bytes of the wire types of fixed size


def _event(message: bytes, number: int) -> _Event:
    """The time and the scalars of an Event: wall_time 1, step 2, summary 5. Raises: ValueError for another message."""
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
    return _Event(wall, [ScalarEvent(number, wall, step, tag, scalar) for tag, scalar in named if scalar is not None])


def _summary_value(message: bytes) -> tuple[str, float | None]:
    """The tag 1 of a Summary.Value and its number: simple_value 2, or a tensor 8 of one element; None for an image."""
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
    """The number in a TensorProto of one element: dtype 1, tensor_content 4, float_val 5, double_val 6; else None."""
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
    """The fields of a protobuf message: varints as numbers, all others as bytes. Raises: ValueError."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield field, value
            continue
        size = _SIZES.get(wire)
        if size is None:
            if wire != 2:
                raise ValueError(f"wire type {wire}")
            size, position = _varint(message, position)
        if size > len(message) - position:
            raise ValueError("a field is longer than its message")
        yield field, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """The number that begins at a position, and the position after it. Raises: ValueError."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), position
    raise ValueError("a varint without an end")


def _u32(content: bytes, position: int) -> int:
    return int.from_bytes(content[position : position + 4], "little")
