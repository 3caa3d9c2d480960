"""Fuzzer of training logs: the samples of every format, changed, mixed, and made of long runs of one character."""

from __future__ import annotations

import random
from pathlib import Path

from tests.logs.samples import SAMPLES

from . import fuzzing

_CHARACTERS = " \t-=|+:.,;/%([{<>)]}\"'#_0123456789aefnxEN\\\u2028\x1b"


def case(draw: random.Random, place: Path) -> str:
    """One file, read as `assay import` reads it."""
    from assay.logs import FORMATS, read_all

    path = place / draw.choice(("run.log", "run.csv", "run_tag-loss.json", "events.out.tfevents.1"))
    path.write_bytes(_content(draw))
    format = draw.choice((None, None, *(name for name in FORMATS if name != "pattern")))
    for history in read_all(path, format):
        _ = history.plain(), history.effort
    return "taken"


def _content(draw: random.Random) -> bytes:
    name = draw.choice(list(SAMPLES))
    content = SAMPLES[name]
    how = draw.randrange(4)
    if how == 0 and name != "tensorboard":
        lines = [line for other in SAMPLES if other != "tensorboard" for line in SAMPLES[other].split(b"\n")]
        draw.shuffle(lines)
        content = b"\n".join(lines[: draw.randrange(1, 60)])
    elif how == 1:
        return _long(draw, content)
    return fuzzing.changed(draw, content)


def _long(draw: random.Random, content: bytes) -> bytes:
    """A sample with a line of up to 20,000 characters that are one character, or a short text again and again."""
    if draw.random() < 0.5:
        unit = draw.choice(_CHARACTERS)
    else:
        unit = "".join(draw.choice(_CHARACTERS) for _ in range(draw.randint(2, 5)))
    before = draw.choice(("", "epoch 1 ", "--->Train epoch 1", "|", "Epoch 1/2\n", "loss: ", "[", "{", "1/2 ["))
    line = (before + unit * (20_000 // len(unit)) + draw.choice(("", "x", "1", "]"))).encode()
    parts = content.split(b"\n")
    at = draw.randrange(len(parts) + 1)
    return b"\n".join([*parts[:at], line, *parts[at:]])


def warm() -> None:
    """Imports what the cases need."""
    import assay.logs  # noqa: F401


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("logs", case, seed, cases, warm=warm)
