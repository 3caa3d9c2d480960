"""Fuzzer of weights: safetensors files whose header, metadata and bytes were changed."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

from . import fuzzing

_CONTENT: list[bytes] = []


def case(draw: random.Random, place: Path) -> str:
    """One file, restored, shown as plain data, written again, and used to predict."""
    import numpy as np

    from assay.errors import AssayError
    from assay.training.checkpoints import restore, to_bytes

    path = place / "w.safetensors"
    path.write_bytes(_changed(draw, draw.choice(_CONTENT)))
    history = restore(path)
    _ = history.plain(), history.effort
    to_bytes(history)
    to_bytes(history, complete=True)
    with contextlib.suppress(AssayError), np.errstate(all="ignore"):
        history.predict(np.zeros((2, history.inputs)))
    return "taken"


def _changed(draw: random.Random, content: bytes) -> bytes:
    if draw.random() < 0.25:
        return fuzzing.changed(draw, content)
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    about: dict[str, Any] = json.loads(header["__metadata__"]["assay"])
    how = draw.random()
    if how < 0.7:
        for _ in range(draw.randint(1, 3)):
            _change(draw, about)
        header["__metadata__"]["assay"] = json.dumps(about)
        if draw.random() < 0.05:
            header["__metadata__"]["assay"] = draw.choice(("[" * 100_000, "1", "null", "[]", '"x"', "9" * 5000, "{}"))
    elif how < 0.8:
        header["__metadata__"]["assay.pictures"] = json.dumps(
            {"border": fuzzing.value(draw), "centre": fuzzing.value(draw), "by_mass": [True, True], "low": [0.0],
             "high": fuzzing.value(draw)}
        )  # fmt: skip
    elif how < 0.9:
        _change(draw, header)
    else:
        name = draw.choice([name for name in header if name != "__metadata__"])
        header[draw.choice(("best/x/weights", "best/-1/" + name, "best/9", "slots/x", name + "\u2028"))] = header.pop(
            name
        )
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _change(draw: random.Random, value: Any) -> None:
    """Changes one entry somewhere in plain data."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    if not keys:
        return
    key = draw.choice(keys)
    inner = value[key]
    if isinstance(inner, dict | list) and inner and draw.random() < 0.7:
        _change(draw, inner)
    elif draw.random() < 0.2:
        del value[key]
    else:
        value[key] = fuzzing.value(draw)


def warm() -> None:
    """Makes the files that are changed."""
    import assay
    from assay.training.checkpoints import to_bytes
    from tests.store.makers import made_history, made_plan

    for baseline in ({"model": {"hidden": [4]}}, {"model": {"hidden": []}, "optimizer": "descent"}):
        trial = next(iter(made_plan(1, **baseline).trials.values()))
        _CONTENT.append(to_bytes(made_history(trial)))
        _CONTENT.append(to_bytes(made_history(trial), complete=True))
    small = {"model": {"hidden": []}, "input": "standardise-features", "budget": {"iterations": 2}}
    _CONTENT.append(to_bytes(assay.fit(small), complete=True))


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("safetensors", case, seed, cases, warm=warm)
