"""Logs in every format, written here: a training of a few epochs with the same numbers in each."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from assay.logs.tensorboard import masked

LOSSES = (0.6, 0.4, 0.3, 0.25)
ACCURACIES = (0.9559, 0.9743, 0.9803, 0.9843)  # of a MATLAB run on a GPU that was published
TRAINING = (1.38, 0.93, 0.91, 0.94)
VALIDATION = (0.38, 0.34, 0.35, 0.38)


def pytorch(epochs: int = 4, *, total: bool = True) -> str:
    lines: list[str] = []
    for i in range(epochs):
        k = i % 4
        lines.append(f"--->Train epoch {i}, loss: {LOSSES[k]:.4f}, time: {TRAINING[k]:.2f}")
        lines.append(
            f"--->Valid epoch {i}, loss: {LOSSES[k]:.4f}, accuracy: {ACCURACIES[k]:.4f}, time: {VALIDATION[k]:.2f}"
        )
    end = "--->Total time: 5.70, training time: 4.16, validation time: 1.45"
    return "\n".join([*lines, *([end] if total else [])]) + "\n"


def flux(epochs: int = 4) -> str:
    lines: list[str] = []
    for i in range(epochs):
        k = i % 4
        lines.append(f"--->Train, epoch: {i + 1}, loss: {LOSSES[k]:.4f}, time: {TRAINING[k]:.2f}")
        lines.append(
            f"--->Valid, epoch: {i + 1}, loss: {LOSSES[k]:.4f}, accuracy: {100 * ACCURACIES[k]:.4f}, "
            f"time: {VALIDATION[k]:.2f}"
        )
    return "\n".join([*lines, "--->Total time: 5.70, training time: 4.16, validation time: 1.45"]) + "\n"


HEAD = """\
|  Epoch  |  Iteration  |  Time Elapsed  |  Mini-batch  |  Validation  |  Mini-batch  |  Validation  |  Base Learning  |
|         |             |   (hh:mm:ss)   |   Accuracy   |   Accuracy   |     Loss     |     Loss     |      Rate       |
"""
RULE = "|" + "=" * 118 + "|\n"


def matlab_rows(epochs: int = 4) -> str:
    return "".join(
        f"|       {i + 1} |         {100 * (i + 1)} |       00:{59 + i // 60:02}:{i % 60:02} |       97.50% |"
        f"       {100 * ACCURACIES[i % 4]:.2f}% |       0.0882 |   {LOSSES[i % 4]:.4e} |          0.0010 |\n"
        for i in range(epochs)
    )


def matlab(epochs: int = 4) -> str:
    opening = "Initializing input data normalization.\n"
    return opening + RULE + HEAD + RULE + matlab_rows(epochs) + RULE + '\n    "--->Total time: 3545.5"\n'


def csv(separator: str = ",") -> str:
    head = separator.join(["epoch", "loss", "val_accuracy", "time"])
    rows = [
        separator.join([str(i), f"{LOSSES[i]}", f"{ACCURACIES[i]}", f"{sum(TRAINING[: i + 1]):.2f}"]) for i in range(4)
    ]
    return "\n".join([head, *rows]) + "\n"


def keras() -> str:
    """As Keras 3 prints to a terminal: a bar that is drawn over itself."""
    bar = "\x1b[1m{0}/100\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m{1}s\x1b[0m 12ms/step"
    bar += " - loss: {2}"
    lines: list[str] = []
    for i in range(4):
        lines.append(f"Epoch {i + 1}/4\n" + bar.format(50, 1, 9.9))
        lines.append("\r" + bar.format(100, 0, LOSSES[i]))
        lines.append("\r" + bar.format(100, i + 1, LOSSES[i]) + f" - val_accuracy: {ACCURACIES[i]} - val_loss: 0.2\n")
    return "".join(lines)


def json_lines() -> str:
    rows = [f'{{"epoch": {i + 1}, "loss": {LOSSES[i]}, "val_accuracy": {ACCURACIES[i]}}}\n' for i in range(4)]
    return "".join(rows)


def text() -> str:
    return "".join(
        f"epoch {i + 1}: loss {LOSSES[i]}, val acc {100 * ACCURACIES[i]:.2f}%, {TRAINING[i]} s\n" for i in range(4)
    )


# --- TensorBoard: written by hand, field by field ---------------------------------------------------------------------


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def event(wall: float, step: int, *values: bytes) -> bytes:
    body = b"\x09" + struct.pack("<d", wall) + b"\x10" + varint(step)
    return body + (field(5, b"".join(field(1, value) for value in values)) if values else b"")


def simple(tag: str, value: float) -> bytes:
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, value: float) -> bytes:
    """As the newer TensorFlow writes a scalar: a tensor of one float, its shape empty."""
    return field(1, tag.encode()) + field(8, b"\x08\x01" + field(2, b"") + field(4, struct.pack("<f", value)))


def framed(events: Iterable[bytes]) -> bytes:
    found = b""
    for message in events:
        size = struct.pack("<Q", len(message))
        found += size + struct.pack("<I", masked(size)) + message + struct.pack("<I", masked(message))
    return found


def tensorboard(make: object = simple) -> bytes:
    scalar = tensor if make is tensor else simple
    events = [event(100.0, 0) + field(3, b"brain.Event:2")]
    for i in range(4):
        events.append(event(101.0 + i, 100 * (i + 1), scalar("Loss/train", LOSSES[i])))
        events.append(event(101.5 + i, 100 * (i + 1), scalar("Accuracy/val", ACCURACIES[i])))
        events.append(event(101.6 + i, 100 * (i + 1), scalar("weights/norm", 3.0)))
    return framed(events)


SAMPLES: dict[str, bytes] = {
    "matlab": matlab().encode(),
    "flux": flux().encode(),
    "pytorch": pytorch().encode(),
    "csv": csv().encode(),
    "keras": keras().encode(),
    "json": json_lines().encode(),
    "text": text().encode(),
    "tensorboard": tensorboard(),
}
