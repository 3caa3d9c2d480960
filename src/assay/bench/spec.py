"""The specification of a bench: its recipe, by file or by the name of a model, and the contenders that train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.bench.contenders import names
from assay.bench.rows import Contender
from assay.data.datasets import load
from assay.data.prepare import training_examples
from assay.engines import DEVICES
from assay.engines.promises import kind_of
from assay.errors import AssayError, DataError, RecipeError, unknown
from assay.parts.models import MODELS
from assay.recipe.aliases import canonical
from assay.recipe.model import PRECISIONS, Recipe
from assay.recipe.named import model_named, of_model
from assay.recipe.notes import refusals
from assay.recipe.patches import merged, with_data
from assay.recipe.toml import read_recipe
from assay.report.text import readable
from assay.system.machine import cores

DEFAULTS: dict[str, Any] = {
    "batches": {"kind": "shuffled", "size": 600},
    "optimizer": {"name": "adam", "learning_rate": 0.001},
}
"""The settings for a model that is given by its name: those of the published comparison of frameworks."""
BASELINE = "torch-eager"
FLOAT32_BASELINE = "torch-eager-float32"
"""Of float32 rows on CUDA devices, where PyTorch's default is TensorFloat-32 in convolutions."""


@dataclass(frozen=True)
class BenchSpec:
    """A bench to run: every contender trains `recipe` for `epochs` epochs, `repeats` times from a new process."""

    name: str
    recipe: Recipe
    contenders: tuple[Contender, ...]
    epochs: int
    repeats: int
    baseline: str = BASELINE
    quick: bool = False


def recipe_of(
    word: str | None, patches: Sequence[Mapping[str, Any]] = (), *, data: str | None = None, quick: bool = False
) -> tuple[str, Recipe]:
    """A short name and the recipe that a word specifies: a TOML file, or the name of a model with `DEFAULTS`.

    Without a word it is the model of the patches, or "mlp". A model is trained on MNIST if it has been fetched, else on
    the digits. `quick` always takes the digits, padded to the size of MNIST for a model of images. `data` overrides
    both. Data with fewer examples than a batch of `DEFAULTS` have a recipe's own batches. Raises: AssayError.
    """
    given = merged({}, [canonical(patch) for patch in patches])
    word = _model_of(given) if word is None else word
    path, is_fitted = Path(word), False
    if path.suffix == ".toml" or path.is_file():
        name, raw = readable(path.stem), read_recipe(path)
        data = data or ("digits" if quick else None)
    elif (name := model_named(word)) is not None:
        raw = DEFAULTS | {"model": name}
        small = of_model(name).get("data", "digits")
        data = data or (small if quick else _mnist_or(small))
        is_fitted = "batches" not in given
    else:
        raise AssayError(f"{unknown('model', word, MODELS)}; or give a recipe as a TOML file")
    data_patch = [with_data(raw, data)] if data else []
    recipe = Recipe.parse(merged(raw, [*data_patch, *patches]), source=word)
    if is_fitted and recipe.batches.settings()["size"] > _training_examples(recipe):
        del raw["batches"]
        recipe = Recipe.parse(merged(raw, [*data_patch, *patches]), source=word)
    if problems := refusals(recipe):
        raise RecipeError(problems, source=word)
    return name, recipe


def _model_of(patch: Mapping[str, Any]) -> str:
    """The name of the model that a patch sets, else of the default one."""
    model: Any = patch.get("model")
    name = model.get("name") if isinstance(model, Mapping) else model  # pyright: ignore[reportUnknownMemberType]
    return name if isinstance(name, str) else "mlp"


def _training_examples(recipe: Recipe) -> int:
    """How many a recipe trains on, without what it sets aside. Raises: AssayError."""
    how = recipe.data
    return training_examples(load(how.name, task=how.task), how.draw, train=how.train, validation=how.validation)


def _mnist_or(fallback: str) -> str:
    try:
        load("mnist")
    except DataError:
        return fallback
    return "mnist"


def combinations(
    engines: Sequence[str], devices: Sequence[str], threads: Sequence[int], precisions: Sequence[str], baseline: str
) -> tuple[Contender, ...]:
    """Every engine on every device with every number of threads and every precision; the baseline is added if missing.

    Where it is PyTorch's plain loop, float32 rows on a CUDA device also get the one without TensorFloat-32.

    Raises: RecipeError, with all unknown values.
    """
    known = names()
    problems = [unknown("engine", engine, known) for engine in engines if engine not in known]
    problems += [f"baseline: {unknown('engine', baseline, known)}"] if baseline not in known else []
    problems += [unknown("device", device, DEVICES) for device in devices if device.partition(":")[0] not in DEVICES]
    problems += [f"threads: got {count}; expected a number >= 1" for count in threads if count < 1]
    problems += [unknown("precision", precision, PRECISIONS) for precision in precisions if precision not in PRECISIONS]
    if problems:
        raise RecipeError(problems, source="bench")
    with_baseline = [*engines, *([baseline] if baseline not in engines else [])]
    contenders = [
        Contender(engine, device, count, precision)
        for engine in with_baseline
        for device in devices
        for count in (threads if device == "cpu" else [None])
        for precision in precisions
    ]
    if baseline == BASELINE and "float32" in precisions:
        contenders += [
            Contender(FLOAT32_BASELINE, each, None, "float32") for each in devices if kind_of(each) == "cuda"
        ]
    return tuple(dict.fromkeys(contenders))


def impossible(contender: Contender) -> str | None:
    """Why this machine cannot run a contender, as far as that is known without loading its engine; None if it can."""
    count, available = contender.threads, cores()
    if count is not None and count > available:
        return f"{count} threads need {count} cores; this process may use {available}"
    return None
