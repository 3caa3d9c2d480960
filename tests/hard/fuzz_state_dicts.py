"""Fuzzer of weights of torch: a state_dict whose header, names, shapes and bytes were changed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from . import fuzzing

_MODELS = (
    {"hidden": [8]},
    {"hidden": []},
    {"layers": [{"kind": "conv2d", "channels": 2, "kernel": 3}, "batch_norm", "flatten"]},
)


def case(draw: random.Random, place: Path) -> str:
    """One file, recognised, and read as the start of a training."""
    import assay
    from assay.training.torch_weights import from_state_dict, holds_foreign_weights, state_dict

    number = draw.randrange(len(_MODELS))
    other = draw.choice((number, number, number, 0))
    recipe = assay.Recipe.parse({"model": _MODELS[other], "budget": "1 iteration", "batches": {"size": 4}})
    path = place / "w.safetensors"
    path.write_bytes(_content(draw, state_dict(_HISTORIES[number])))
    holds_foreign_weights(path)
    from_state_dict(path, recipe, _DATA[0])
    return "taken"


def _content(draw: random.Random, arrays: dict[str, Any]) -> bytes:
    from safetensors.numpy import save

    kinds = draw.choice((("f4",), ("f4",), ("f4", "f8", "f2"), ("f4", "i8")))
    arrays = {name: array.astype(draw.choice(kinds)) for name, array in arrays.items()}
    if draw.random() < 0.3:
        name = draw.choice(list(arrays))
        arrays[draw.choice(("x", "9.weight", "0.bias", "", ".", name + ".9" * 20))] = arrays.pop(name)
    if draw.random() < 0.1:
        arrays[draw.choice(list(arrays))] = np.full((10,), draw.choice((np.nan, np.inf, 1e38)), np.float32)
    content = save(arrays, metadata=draw.choice((None, {"format": "pt"}, {"assay": "{}"})))
    if draw.random() < 0.3:
        return fuzzing.changed(draw, content)
    if draw.random() < 0.3:
        length = int.from_bytes(content[:8], "little")
        header: dict[str, Any] = json.loads(content[8 : 8 + length])
        name = draw.choice(list(header))
        header[name] = fuzzing.value(draw)
        text = json.dumps(header).encode("utf-8", "replace")
        return len(text).to_bytes(8, "little") + text + content[8 + length :]
    return content


_HISTORIES: list[Any] = []
_DATA: list[Any] = []


def warm() -> None:
    """Trains the networks whose files are changed."""
    import assay

    x, y = np.arange(12 * 25).reshape(12, 5, 5).astype(np.uint8), np.arange(12) % 3
    _DATA.append(assay.from_arrays(x, y, x[:3], y[:3]))
    for model in _MODELS:
        recipe = {"model": model, "budget": "1 iteration", "batches": {"size": 4}}
        _HISTORIES.append(assay.fit(recipe, data=_DATA[0], engine="numpy"))


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("state-dicts", case, seed, cases, warm=warm)
