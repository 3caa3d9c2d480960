"""Tables of measured trainings that stand for a space: a search asks for a point, and the table answers at once.

`python -m benchmarks.search_tables` trains them on the digits, about ten minutes of one core, and writes
`benchmarks/tables/NAME.npz`. The table of MNIST is the committed export of the study `parameter-grid`. Every range
has a fixed number of levels, the midpoints of equal parts of its scale, so that a point of the space is one of the
table: the one of the parts that it lies in.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import assay
from assay.data.datasets import load
from assay.data.prepare import Prepared
from assay.engines import choose
from assay.engines.base import Cohort, Engine, Splits, fresh
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.store.parquet import trial_rows
from assay.studies.candidates import Space
from assay.studies.designs import Configuration
from assay.studies.search.space import SearchSpace, at_fraction, fraction_of, key_of
from assay.studies.space import Axis, Value
from assay.system.machine import cores
from assay.training.loop import prepared, splits_of

SELECTING, JUDGING = 4, 4
"""Seeds of each point: a search sees the validation accuracy of one of the first, it is judged by the test accuracy of
the last."""
_FOLDER = Path(__file__).parent / "tables"
_GRID = Path(__file__).parents[1] / "docs" / "articles" / "data" / "parameter-grid"
_VALIDATION = 287  # of the 1,437 examples: a fifth
_RATE = {"key": "optimizer.learning_rate", "low": 1e-3, "high": 10.0, "scale": "log"}
_DIGITS = {
    "data": {"name": "digits", "validation": _VALIDATION},
    "batches": {"kind": "shuffled", "size": 32},
    "optimizer": {"name": "momentum", "learning_rate": 0.1, "momentum": 0.0},
    "budget": {"epochs": 5},
}


@dataclass(frozen=True)
class Spec:
    """What a table of the digits holds: its axes as in a study file, the levels of its ranges, and its rungs in epochs.

    Every trial is trained for the last of the rungs, and evaluated at each.
    """

    name: str
    about: str
    axes: Mapping[str, Mapping[str, Any]]
    levels: Mapping[str, int]
    rungs: Sequence[int] = (5,)
    baseline: Mapping[str, Any] | None = None


SPECS = (
    Spec(
        "continuous",
        "four ranges: learning rate, momentum, L2 and dropout; 32 hidden units, 5 epochs",
        {
            "rate": _RATE,
            "momentum": {"key": "optimizer.momentum", "low": 0.0, "high": 0.99},
            "l2": {"key": "regularisation.l2", "low": 1e-6, "high": 0.1, "scale": "log"},
            "dropout": {"key": "model.dropout", "low": 0.0, "high": 0.8},
        },
        {"rate": 16, "momentum": 8, "l2": 6, "dropout": 6},
        baseline={"model": {"name": "mlp", "hidden": [32]}},
    ),
    Spec(
        "conditional",
        "optimizer, each with ranges of its own, hidden layers and activation; 5 epochs",
        {
            "optimizer": {"key": "optimizer", "values": ["descent", "momentum", "adam"]},
            "rate": _RATE | {"low": 1e-4},
            "momentum": {
                "key": "optimizer.momentum",
                "low": 0.0,
                "high": 0.99,
                "when": {"optimizer": "momentum"},
            },
            "beta1": {"key": "optimizer.beta1", "low": 0.0, "high": 0.99, "when": {"optimizer": "adam"}},
            "beta2": {"key": "optimizer.beta2", "low": 0.5, "high": 0.999, "when": {"optimizer": "adam"}},
            "hidden": {"key": "model.hidden", "values": [[8], [32], [16, 16]]},
            "activation": {"key": "model.activation", "values": ["relu", "sigmoid"]},
        },
        {"rate": 20, "momentum": 8, "beta1": 5, "beta2": 3},
    ),
    Spec(
        "rungs",
        "learning rate, momentum, batch size, hidden units and activation; 27 epochs, seen after 1, 3, 9 and 27",
        {
            "rate": _RATE,
            "momentum": {"key": "optimizer.momentum", "low": 0.0, "high": 0.99},
            "batch": {"key": "batches.size", "values": [16, 64, 256]},
            "hidden": {"key": "model.hidden", "values": [[8], [16], [32], [64]]},
            "activation": {"key": "model.activation", "values": ["relu", "sigmoid"]},
        },
        {"rate": 16, "momentum": 6},
        rungs=(1, 3, 9, 27),
    ),
)
"""The tables of the digits."""


TABLES = ("mnist-grid", *(spec.name for spec in SPECS))
"""The names of all tables."""


class TableSpace(SearchSpace):
    """A space whose ranges have levels; `listed` are the points of the table."""

    def __init__(self, axes: tuple[Axis, ...], levels: Mapping[str, int]) -> None:
        super().__init__(axes)
        object.__setattr__(self, "_levels", dict(levels))

    @cached_property
    def listed(self) -> tuple[Configuration, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The points of the table, in order."""
        return tuple(islice(self._table({}, 0), 1_000_000))

    def _table(self, values: dict[str, Value], at: int) -> Iterator[Configuration]:
        if at == len(self.order):
            yield {axis.name: values[axis.name] for axis in self.axes if axis.name in values}
            return
        axis = self.order[at]
        if not self._is_active(axis, values):
            yield from self._table(values, at + 1)
            return
        for value in self._values(axis):
            yield from self._table({**values, axis.name: value}, at + 1)

    def _values(self, axis: Axis) -> list[Value]:
        if not axis.is_range:
            return list(axis.patches)
        count = vars(self)["_levels"][axis.name]
        return [at_fraction(axis, (place + 0.5) / count) for place in range(count)]

    def snapped(self, values: Configuration) -> Configuration:
        """The point of the table in whose part of the space a point lies."""
        return {name: self._snapped(self.by_name[name], value) for name, value in values.items()}

    def _snapped(self, axis: Axis, value: Value) -> Value:
        if not axis.is_range:
            return value
        values = self._values(axis)
        place = math.floor(fraction_of(axis, value) * len(values))
        return values[max(0, min(place, len(values) - 1))]


@dataclass(frozen=True)
class Table:
    """Measured trainings: the points, what each scored on each seed at each rung, and what it cost.

    Attributes:
        name: Of the table.
        about: What its space is.
        space: The space.
        rungs: The budgets, in epochs; one for a table without rungs.
        selecting: (P, R, S) what a search sees, a fraction.
        judging: (P, R) what a point is judged by at each rung: the mean of seeds that no search sees.
        seconds: (P, R) processor seconds of a training up to a rung.
        trials: (P,) which points are one trial.
        study: Of which it is the table.
        is_judged_apart: False where a table has one seed, so that the search sees what it is judged by.
    """

    name: str
    about: str
    space: TableSpace
    rungs: tuple[int, ...]
    selecting: NDArray[np.float64]
    judging: NDArray[np.float64]
    seconds: NDArray[np.float64]
    trials: NDArray[np.int64]
    study: assay.Study
    is_judged_apart: bool = True

    @cached_property
    def places(self) -> dict[Any, int]:
        """The row of each point."""
        return {key_of(point): row for row, point in enumerate(self.space.listed)}


def study_of(spec: Spec) -> assay.Study:
    """The study of a table, from which its recipes are made."""
    baseline = {**_DIGITS, "budget": {"epochs": spec.rungs[-1]}, **(spec.baseline or {})}
    settings = {"method": "random", "trials": 1}
    raw = {"name": spec.name, "design": "search", "search": settings, "baseline": baseline, "axes": dict(spec.axes)}
    return assay.Study.parse(raw)


def space_of(spec: Spec) -> TableSpace:
    """The space of a table."""
    return TableSpace(study_of(spec).axes, spec.levels)


@cache
def load_table(name: str) -> Table:
    """A committed table by its name; "mnist-grid" is the export of the study `parameter-grid`."""
    if name == "mnist-grid":
        return _mnist_grid()
    spec = next(spec for spec in SPECS if spec.name == name)
    space = space_of(spec)
    with np.load(_FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        assert about["axes"] == json.loads(json.dumps(spec.axes)), f"{name}: made for another space"
        validation, test, micro = stored["validation"], stored["test"], stored["microseconds"]
    return Table(
        name,
        spec.about,
        space,
        tuple(spec.rungs),
        validation[:, :, :SELECTING] / about["validation"],
        test[:, :, SELECTING:].mean(axis=2) / about["test"],
        micro / 1e6,
        np.arange(len(space.listed)),
        study_of(spec),
    )


def _mnist_grid() -> Table:
    """The 2,187 runs of the study, which are 1,458 trials of one seed."""
    (stored,) = json.loads((_GRID / "studies.json").read_text())["studies"]
    raw: dict[str, Any] = json.loads(stored["definition"])
    study = assay.Study.parse({**raw, "design": "search", "search": {"trials": 1, "method": "random"}})
    axes = study.axes
    space = TableSpace(axes, {})
    results = {row["key"]: row for row in trial_rows(_GRID / "trials.parquet")}
    keys = {key_of(json.loads(member["axis_values"])): member["trial"] for member in stored["members"]}
    first = {axis.name: {value: _first(axis, value) for value in axis.patches} for axis in axes}
    of_point = [results[keys[key_of({n: first[n][v] for n, v in point.items()})]] for point in space.listed]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(row["key"] for row in of_point))}
    scores = np.array([row["result_accuracy"] for row in of_point], np.float64)
    return Table(
        "mnist-grid",
        "seven factors of three values on MNIST, one seed",
        space,
        (25,),
        scores[:, None, None],
        scores[:, None],
        np.array([[row["result_processor_seconds"]] for row in of_point], np.float64),
        np.array([numbers[row["key"]] for row in of_point]),
        study,
        is_judged_apart=False,
    )


def _first(axis: Axis, value: Value) -> Value:
    """The first value of an axis with the patch of a value: the study has stored equal ones once."""
    return next(other for other in axis.patches if axis.patch(other) == axis.patch(value))


# --- making them -----------------------------------------------------------------------------------------------------


def make(spec: Spec) -> dict[str, Any]:
    """Trains every point of a table on every seed."""
    study, space = study_of(spec), space_of(spec)
    candidates = Space(study.settings, study.baseline, study.axes)
    seeds, rungs = SELECTING + JUDGING, len(spec.rungs)
    shape = (len(space.listed), rungs, seeds)
    counts = {split: np.zeros(shape, np.uint16) for split in ("validation", "test")}
    micro = np.zeros(shape[:2], np.uint32)
    sizes: dict[str, int] = {}
    for row, point in enumerate(space.listed):
        recipe = candidates.candidate(point).recipe
        right, seconds, sizes = train(recipe, spec.rungs, seeds)
        for split, values in right.items():
            counts[split][row] = values
        micro[row] = np.round(1e6 * seconds)
    engine = choose(Recipe.parse(study.baseline), "native", threads=1)
    about = {"axes": spec.axes, "levels": spec.levels, "rungs": spec.rungs, **sizes, "seeds": seeds}
    about |= {
        "engine": "native",
        "numerics": engine.numerics,
        "cores": cores(),
        "command": "python -m benchmarks.search_tables",
    }
    return {"about": json.dumps(about), "microseconds": micro, **counts}


_DATA: dict[str, tuple[Prepared, Splits]] = {}


def _data(recipe: Recipe) -> tuple[Prepared, Splits]:
    """The examples, prepared once: no axis changes what they depend on."""
    key = recipe.data.model_dump_json() + str(recipe.input)
    if key not in _DATA:
        data = prepared(recipe, load("digits"))
        _DATA[key] = data, splits_of(recipe, data)
    return _DATA[key]


def train(
    recipe: Recipe, rungs: Sequence[int], seeds: int
) -> tuple[dict[str, Any], NDArray[np.float64], dict[str, int]]:
    """Right answers (R, S) of each set, processor seconds of one training up to each rung (R,), and the sets' sizes."""
    data, splits = _data(recipe)
    network = recipe.model.network(data.shape, data.classes)
    engine = choose(recipe, "native", threads=1)
    assert isinstance(engine, Engine)
    cohort = Cohort(tuple(recipe.patched({"seed": seed}) for seed in range(1, seeds + 1)), network)
    state, alive = engine.start(cohort, fresh(cohort), splits), np.ones(seeds, np.bool_)
    sizes = {split: len(splits.parts[split][1]) for split in ("validation", "test")}
    right = {split: np.zeros((len(rungs), seeds)) for split in sizes}
    spent, done = np.zeros(len(rungs)), 0
    for rung, epochs in enumerate(rungs):
        last = recipe.with_budget(epochs=epochs).iterations(splits.examples)
        begin = process_time()
        batches = make_batches(recipe.batches, cohort.seeds, done + 1, last - done, splits.examples)
        state, progress = engine.advance(state, batches, alive)
        spent[rung] = (process_time() - begin) / seeds + (spent[rung - 1] if rung else 0.0)
        alive, done = alive & (progress.broken == 0), last
        for split, size in sizes.items():
            accuracy = np.nan_to_num(engine.evaluate(state, split).accuracy)
            right[split][rung] = np.round(accuracy * size)
    return right, spent, sizes


def main() -> None:
    """Makes the tables that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[spec.name for spec in SPECS])
    for name in parser.parse_args().names:
        spec = next(spec for spec in SPECS if spec.name == name)
        path = _FOLDER / f"{name}.npz"
        with path.open("wb") as file:
            np.savez_compressed(file, **make(spec))
        print(f"{path}: {len(space_of(spec).listed):,} points, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
