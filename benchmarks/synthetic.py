"""Stores of many made-up trials, without a training: `synthetic_store("large.db", configurations=3240, seeds=3)`.

The study, its keys and its rows come from the store's own code. Only the curves are made up: each trial approaches an
accuracy that depends on its configuration, with noise from a fixed seed. The study is a grid, or what charts of effects
and of searches need: one with a baseline, or a search by random draws, whose decisions take 5 to 10 ms a trial.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from assay.engines.base import Checkpoint
from assay.execution.search import StudySearch
from assay.recipe.model import Recipe
from assay.store.endings import Put, put
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import Trial, plan
from assay.studies.study import Study
from assay.system.load import Load
from assay.system.machine import describe
from assay.training.history import History, Point
from assay.training.ledger import Ledger
from assay.training.outcome import Outcome

NAME = "synthetic"
ITERATIONS, BATCH = 500, 32
_AXES: dict[str, dict[str, Any]] = {  # the rest is a factor of the learning rate
    "optimizer": {name: {"optimizer": name} for name in ("adam", "momentum", "rmsprop", "descent", "nesterov")},
    "batch": {"key": "batches.size", "values": [16, 32, 64, 128, 256]},
    "hidden": {"key": "model.hidden", "values": [[16], [32], [64], [128], [256]]},
    "activation": {"key": "model.activation", "values": ["relu", "tanh", "sigmoid", "softplus"]},
    "l2": {"key": "regularisation.l2", "values": [0.0, 1e-5, 1e-4, 1e-3, 1e-2]},
}
_AT_ONCE = 2000  # trials in one transaction
_SEED = 2026


def synthetic_store(
    url: str, *, configurations: int, seeds: int, points: int = 20, name: str = NAME, design: str = "grid"
) -> Store:
    """A store with a study of so many configurations and seeds, all of them finished.

    A grid has up to six axes whose sizes multiply to `configurations`.

    Args:
        url: Of the store, which may exist.
        configurations: The number of configurations.
        seeds: The seeds of each.
        points: The log points of each curve.
        name: The name of the study.
        design: One of DESIGNS. A search has one seed.
    """
    store, study = Store(url), Study.parse(DESIGNS[design](name, configurations, seeds))
    draw = np.random.default_rng(_SEED)
    if design == "search":
        search, outcomes = StudySearch(study, store), dict[str, Outcome]()
        while plans := search.more(outcomes):
            outcomes = _finish(store, [trial for one in plans for trial in one.trials.values()], points, draw)
        search.end()
        return store
    planned = plan(study)
    store.register(planned)
    trials = list(planned.trials.values())
    for start in range(0, len(trials), _AT_ONCE):
        _finish(store, trials[start : start + _AT_ONCE], points, draw)
    return store


def _finish(store: Store, trials: list[Trial], points: int, draw: np.random.Generator) -> dict[str, Outcome]:
    """Stores the made-up ends of trials in one transaction; how each ended."""
    rows: list[Put] = [(trial.key, end, None) for trial, end in zip(trials, _ends(trials, points, draw), strict=True)]
    with store.database.write(durable=False) as connection:
        put(store.database, connection, rows)
    return {key: end.outcome for key, end, _ in rows}


def _grid(name: str, configurations: int, seeds: int) -> dict[str, Any]:
    """The definition of a grid of so many configurations."""
    axes: dict[str, Any] = {}
    rest = configurations
    for axis, table in _AXES.items():
        values = table["values"] if "key" in table else list(table)
        size = next(size for size in range(len(values), 0, -1) if rest % size == 0)
        rest //= size
        if size > 1:
            kept = values[:size]
            axes[axis] = table | {"values": kept} if "key" in table else {value: table[value] for value in kept}
    if rest > 1:
        axes["rate"] = _rates(rest)
    return _definition(name, "grid", axes, repeats=seeds)


def _one_at_a_time(name: str, configurations: int, seeds: int) -> dict[str, Any]:
    """The definition of a baseline with so many configurations, most of which change its learning rate."""
    axes = {axis: _AXES[axis] for axis in ("optimizer", "activation")}
    others = 1 + sum(len(table["values"]) - 1 if "key" in table else len(table) for table in axes.values())
    return _definition(name, "one-at-a-time", axes | {"rate": _rates(configurations - others)}, repeats=seeds)


def _search(name: str, configurations: int, seeds: int) -> dict[str, Any]:
    """The definition of a search by so many random draws."""
    axes = {axis: _AXES[axis] for axis in ("optimizer", "batch", "activation")}
    rate = {"key": "optimizer.learning_rate", "low": 1e-4, "high": 1.0, "scale": "log"}
    settings = {"method": "random", "trials": configurations, "parallel": min(configurations, 1000)}
    return _definition(name, "search", axes | {"rate": rate}, search=settings)


DESIGNS: dict[str, Callable[[str, int, int], dict[str, Any]]] = {
    "grid": _grid,
    "one-at-a-time": _one_at_a_time,
    "search": _search,
}


def _rates(count: int) -> dict[str, Any]:
    values = [float(f"{rate:.6g}") for rate in np.geomspace(1e-4, 1.0, count)]
    return {"key": "optimizer.learning_rate", "values": values}


def _definition(name: str, design: str, axes: dict[str, Any], **settings: Any) -> dict[str, Any]:
    baseline = {"data": "digits", "budget": {"iterations": ITERATIONS}, "batches": {"kind": "shuffled", "size": BATCH}}
    settings |= {"design": design, "engine": "numpy", "timing": "packed", "keep": "nothing"}
    return {"name": name, "about": "What do made-up trials show?", **settings, "axes": axes, "baseline": baseline}


def _ends(trials: list[Trial], points: int, draw: np.random.Generator) -> Iterator[Finished]:
    """The end of each trial: two of a hundred diverge, one of a thousand fails."""
    machine = describe()
    steps = np.unique(np.linspace(0, ITERATIONS, points).round().astype(int))
    for trial in trials:
        chance = draw.random()
        if chance < 0.001:
            yield Finished(Outcome.FAILED, "failed: made up", error="Traceback: made up")
            continue
        outcome = Outcome.DIVERGED if chance < 0.02 else Outcome.COMPLETED
        history = history_of(trial, steps, outcome, draw, machine)
        yield Finished(outcome, history.reason, history, confusion=_confusion(history, draw))


def history_of(
    trial: Trial, steps: np.ndarray, outcome: Outcome, draw: np.random.Generator, machine: dict[str, Any]
) -> History:
    """The history of a made-up trial with log points at the steps."""
    recipe = trial.recipe
    final, pace = (
        _accuracy(recipe) + draw.normal(0, 0.004),
        60 + 40 * draw.random() + 2 * recipe.batches.settings()["size"],
    )
    falling = np.exp(-steps / pace)
    accuracy = np.clip(final - (final - 0.1) * falling + draw.normal(0, 0.006, (2, len(steps))), 0, 1)
    correct = (accuracy * [[1437], [360]]).round() / [[1437], [360]]
    loss = (0.1 + 2.2 * falling + 2 * (1 - final)) * np.exp(draw.normal(0, 0.03, (2, len(steps))))
    seconds = steps * (1e-4 + 1e-6 * draw.random(len(steps)).cumsum())
    stop = len(steps) if outcome is Outcome.COMPLETED else max(1, len(steps) // 2)
    size = recipe.batches.settings()["size"]
    columns = (steps, steps * size, seconds, loss[0], correct[0], loss[1], correct[1])
    curve = [
        Point(i, n, s, train_loss=a, train_accuracy=b, test_loss=c, test_accuracy=d)
        for i, n, s, a, b, c, d in zip(*(column[:stop].tolist() for column in columns), strict=True)
    ]
    if outcome is Outcome.DIVERGED:
        curve[-1] = Point(curve[-1].iteration, curve[-1].examples, curve[-1].seconds, test_accuracy=0.1)
    total = curve[-1].seconds or 0.0
    return History(
        recipe=recipe,
        engine=trial.engine,
        engine_choice="asked for",
        device="cpu",
        points=tuple(curve),
        ledger=Ledger(data=0.002, train=total, evaluate=0.3 * total, wall=1.4 * total + 0.003),
        outcome=outcome,
        reason="500 iterations done" if outcome is Outcome.COMPLETED else "the loss is not finite",
        flops=trial.flops,
        peak_memory_bytes=10**8,
        peak_device_memory_bytes=None,
        checkpoint=Checkpoint(curve[-1].iteration, {}, {}),
        inputs=64,
        classes=tuple("0123456789"),
        shape=(8, 8),
        scaling=(0.0, 1.0),
        data_checksum=trial.data_checksum,
        machine=machine,
        load=Load.judged(processor=total, foreign=0.0, seconds=total),
        level="avx2",
    )


def _accuracy(recipe: Recipe) -> float:
    """The accuracy that a configuration approaches, with an optimum of learning rate and batch size."""
    rate = recipe.optimizer.learning_rate or 1.0
    offset = 0.01 * (sum(map(ord, recipe.optimizer.entry)) % 7)
    size = recipe.batches.settings()["size"]
    return 0.97 - offset - 0.03 * (np.log10(rate) + 2) ** 2 - 0.01 * abs(np.log2(size / 64))


def _confusion(history: History, draw: np.random.Generator) -> np.ndarray:
    """A matrix of 360 test examples whose accuracy is about that of the curve."""
    right = round(36 * (history.points[-1].test_accuracy or 0.0))
    matrix = draw.multinomial(36 - right, [1 / 9] * 9, size=10)
    rows = [np.insert(row, place, right) for place, row in enumerate(matrix)]
    return np.array(rows, np.int64)


def main() -> None:
    """Writes the store that the command line describes."""
    parser = argparse.ArgumentParser(description="Writes a store of made-up trials.")
    parser.add_argument("store")
    parser.add_argument("--configurations", type=int, default=3240)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--design", choices=list(DESIGNS), default="grid")
    chosen = parser.parse_args()
    sizes = {"configurations": chosen.configurations, "seeds": chosen.seeds, "points": chosen.points}
    synthetic_store(chosen.store, design=chosen.design, **sizes).close()


if __name__ == "__main__":
    main()
