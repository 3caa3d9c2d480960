"""Fuzzer of studies: TOML files whose tables, values and bytes were changed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from . import fuzzing

_STUDIES: tuple[dict[str, Any], ...] = (
    {
        "name": "rates", "repeats": 3, "timing": "packed", "engine": "numpy", "baseline": {"budget": "5 iterations"},
        "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.1, 0.2]}},
    },
    {
        "design": "random", "draws": 5, "seed": 2, "baseline": {"model": "3LS", "optimizer": {"name": "adam"}},
        "axes": {
            "rate": {"key": "optimizer.learning_rate", "low": 0.001, "high": 0.1, "scale": "log"},
            "size": {"key": "batches.size", "low": 1, "high": 64},
        },
    },
    {
        "design": "list", "time_limit": 5.0, "memory_limit": 2**30,
        "trials": {"a": {"optimizer": "adam"}, "b": {"optimizer": "descent", "batches": {"size": 64}}},
    },
    {
        "design": "one-at-a-time", "baseline": {"log": "1 epochs", "stop": {"patience": "3 epochs"}},
        "axes": {"optimizer": {"adam": {"optimizer": "adam"}, "descent": {"optimizer": "descent"}}},
    },
)  # fmt: skip


def case(draw: random.Random, place: Path) -> str:
    """One study file, read, expanded, and planned where it has few configurations."""
    from assay.studies.plan import plan
    from assay.studies.study import Study

    raw = json.loads(json.dumps(draw.choice(_STUDIES)))
    for _ in range(draw.randrange(4)):
        _change(draw, raw)
    content = _toml(raw).encode("utf-8", "surrogatepass")
    if draw.random() < 0.5:
        content = fuzzing.changed(draw, content)
    path = place / "study.toml"
    path.write_bytes(content)
    study = Study.load(path)
    if len(study.candidates()) <= 20 and study.settings.repeats <= 20 and study.settings.engine in ("numpy", "auto"):
        made = plan(study)
        _ = made.jobs, made.shared, study.digest
    return "taken"


def _change(draw: random.Random, table: dict[str, Any]) -> None:
    """Changes, adds or removes one entry somewhere in a table."""
    key = draw.choice(list(table)) if table and draw.random() < 0.8 else _key(draw)
    if isinstance(table.get(key), dict) and draw.random() < 0.8:
        _change(draw, table[key])
    elif draw.random() < 0.15 and key in table:
        del table[key]
    else:
        table[key] = fuzzing.value(draw)


def _key(draw: random.Random) -> str:
    return draw.choice(
        ("name", "about", "repeats", "draws", "seed", "design", "timing", "engine", "threads", "keep", "baseline",
         "axes",
         "trials", "device", "low", "high", "scale", "key", "values", "whole", fuzzing.word(draw))
    )  # fmt: skip


def _toml(value: object, *, nested: bool = False) -> str:
    """A value as TOML, unchecked; tables within tables are inline."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(str(k))} = {_toml(v, nested=True)}" for k, v in value.items()]
        return "{" + ", ".join(pairs) + "}" if nested else "\n".join(pairs) + "\n"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item, nested=True) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def warm() -> None:
    """Imports what the cases need."""
    from . import fuzz_set

    fuzz_set.warm()


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("studies", case, seed, cases, warm=warm)
