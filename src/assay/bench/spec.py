"""What a bench is asked to do: the recipe by file or by a model's name, and the combinations that train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.bench.contenders import names
from assay.bench.rows import Contender
from assay.data.datasets import load
from assay.engines import DEVICES
from assay.errors import AssayError, DataError, RecipeError, unknown
from assay.parts.models import MLP, MODELS
from assay.recipe.model import PRECISIONS, Recipe
from assay.recipe.patches import merged, with_data
from assay.recipe.toml import read_toml
from assay.system.machine import cores

DEFAULTS: dict[str, Any] = {
    "batches": {"kind": "shuffled", "size": 600},
    "optimizer": {"name": "adam", "learning_rate": 0.001},
}
"""What a model that is named alone is trained with: the setting of the published comparison of frameworks."""
BASELINE = "torch-eager"


@dataclass(frozen=True)
class BenchSpec:
    """A bench to be run: every row trains `recipe` for `epochs` epochs, `repeats` times from a new process."""

    name: str
    recipe: Recipe
    combinations: tuple[Contender, ...]
    epochs: int
    repeats: int
    baseline: str = BASELINE
    quick: bool = False


def recipe_of(
    word: str, patches: Sequence[Mapping[str, Any]] = (), *, data: str | None = None, quick: bool = False
) -> tuple[str, Recipe]:
    """A short name and the recipe that a word asks for: a TOML file, or a model of the table with bench defaults.

    A model's data are MNIST where it is fetched, else the digits; `quick` always takes the digits, in MNIST's frame for
    a model of images. `data` comes before both. Raises: AssayError.
    """
    path = Path(word)
    if path.suffix == ".toml" or path.is_file():
        name, raw = path.stem, read_toml(path)
        data = data or ("digits" if quick else None)
    elif word in MODELS:
        name, raw = word, DEFAULTS | {"model": word}
        small = "digits" if issubclass(MODELS[word], MLP) else "digits-28"
        data = data or (small if quick else _at_hand(small))
    else:
        raise AssayError(f"{unknown('model', word, MODELS)}; or give a recipe as a TOML file")
    chosen = [with_data(raw, data)] if data else []
    return name, Recipe.parse(merged(raw, [*chosen, *patches]), source=word)


def _at_hand(otherwise: str) -> str:
    try:
        load("mnist")
    except DataError:
        return otherwise
    return "mnist"


def combinations(
    engines: Sequence[str], devices: Sequence[str], threads: Sequence[int], precisions: Sequence[str], baseline: str
) -> tuple[Contender, ...]:
    """Every engine on every device with every number of threads and in every precision; the baseline's engine is
    added where it is not among them. Raises: RecipeError, with every word that is wrong."""
    known = names()
    problems = [unknown("engine", engine, known) for engine in engines if engine not in known]
    problems += [f"baseline: {unknown('engine', baseline, known)}"] if baseline not in known else []
    problems += [unknown("device", device, DEVICES) for device in devices if device.partition(":")[0] not in DEVICES]
    problems += [f"threads: got {count}; expected a number >= 1" for count in threads if count < 1]
    problems += [unknown("precision", precision, PRECISIONS) for precision in precisions if precision not in PRECISIONS]
    if problems:
        raise RecipeError(problems, source="bench")
    asked = [*engines, *([baseline] if baseline not in engines else [])]
    found = [
        Contender(engine, device, count, precision)
        for engine in asked
        for device in devices
        for count in (threads if device == "cpu" else [None])
        for precision in precisions
    ]
    return tuple(dict.fromkeys(found))


def impossible(combination: Contender) -> str | None:
    """Why this machine cannot run a combination, as far as no engine need be loaded to know it."""
    count, there = combination.threads, cores()
    if count is not None and count > there:
        return f"{count} threads need {count} cores; this process may use {there}"
    return None
