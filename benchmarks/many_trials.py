"""Ways to train many short trials: Assay's studies, Optuna, and plain loops.

`python -m benchmarks.many_trials WAY` runs one. All of them train the digits for the same number of iterations by
the same engine. Each runs in a process of its own, which is pinned to as many cores as it has workers and prints what
the run took as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa

import assay
from assay.data.datasets import load
from assay.engines import choose
from assay.engines.base import Cohort, Engine, Splits, fresh
from assay.errors import AssayError
from assay.parts.batches import make_batches
from assay.parts.layers import Network
from assay.recipe.model import Recipe
from assay.system.machine import usable_cores
from assay.training.loop import prepared, splits_of

_RATES = (1e-3, 1e-2)
_FORK = get_context("fork")  # as Python starts pools on Linux, so that the processes of a pool need no imports


@dataclass(frozen=True)
class Work:
    """What a run does.

    Attributes:
        trials: The number of trials, each with a learning rate of its own.
        iterations: Of each trial.
        workers: Processes that train, one per core.
        storage: The URL of an empty database, or the path of a file that does not exist; some ways store nothing.
    """

    trials: int
    iterations: int
    workers: int
    storage: str

    @property
    def rates(self) -> list[float]:
        """The learning rates, ascending."""
        return [float(f"{rate:.6g}") for rate in np.geomspace(*_RATES, self.trials)]


def recipe_of(iterations: int) -> dict[str, Any]:
    """The baseline: the default network on the digits, evaluated at the end alone."""
    return {"budget": {"iterations": iterations}, "log": {"every": f"{iterations} iterations"}}


# --- the training that every way but Assay's own calls ---------------------------------------------------------------


@dataclass(frozen=True)
class _Setup:
    recipe: Recipe
    engine: Engine
    splits: Splits
    network: Network
    examples: int


@cache
def _setup(iterations: int) -> _Setup:
    """The data and the engine, which a process loads once."""
    recipe = Recipe.parse(recipe_of(iterations))
    data = prepared(recipe, load(recipe.data.name))
    engine = choose(recipe, "auto", threads=1)
    assert isinstance(engine, Engine)
    network = recipe.model.network(data.shape, data.classes)
    return _Setup(recipe, engine, splits_of(recipe, data), network, len(data.y_train))


def train(rate: float, *, iterations: int) -> float:
    """Trains one trial directly on the engine, and evaluates it once; returns its test accuracy."""
    setup = _setup(iterations)
    recipe = setup.recipe.patched({"optimizer": {"learning_rate": rate}})
    cohort = Cohort((recipe,), setup.network)
    state = setup.engine.start(cohort, fresh(cohort), setup.splits)
    batches = make_batches(recipe.batches, cohort.seeds, 1, iterations, setup.examples)
    state, _ = setup.engine.advance(state, batches, np.ones(1, np.bool_))
    return float(setup.engine.evaluate(state, "test").accuracy[0])


def fit(rate: float, *, iterations: int) -> float:
    """Trains one trial by `assay.fit`; returns its test accuracy."""
    recipe = {**recipe_of(iterations), "optimizer": {"learning_rate": rate}}
    accuracy = assay.fit(recipe, threads=1).points[-1].test_accuracy
    assert accuracy is not None
    return accuracy


# --- the ways; each returns a function that reads the test accuracies, which is called after the clock has stopped ----

Reader = Callable[[], list[float]]


def loop(work: Work, *, function: Callable[..., float]) -> Reader:
    """A loop over a function; with several workers, a pool of processes."""
    call = partial(function, iterations=work.iterations)
    if work.workers == 1:
        accuracies = [call(rate) for rate in work.rates]
    else:
        with ProcessPoolExecutor(work.workers, mp_context=_FORK) as pool:
            accuracies = list(pool.map(call, work.rates, chunksize=max(1, work.trials // (8 * work.workers))))
    return lambda: accuracies


def study(work: Work) -> Reader:
    """A study of Assay. As in Optuna, no weights are kept; the curve, the ledger and the confusion matrix are."""
    definition = {
        "name": "scale",
        "timing": "packed",
        "keep": "nothing",
        "axes": {"rate": {"key": "optimizer.learning_rate", "values": work.rates}},
        "baseline": recipe_of(work.iterations),
    }
    results = assay.run(definition, store=work.storage)

    def accuracies() -> list[float]:
        frame = results.frame()
        by_rate = dict(zip(frame["rate"].astype(float), frame["accuracy"], strict=True))
        return [float(by_rate[rate]) for rate in work.rates]

    return accuracies


def optuna_study(work: Work, *, journal: bool = False) -> Reader:
    """A study of Optuna with random draws, so that no sampler's model is measured; only the accuracy is stored.

    With several workers, as its documentation does it: a pool whose processes optimize a study that they share.
    """
    created = _optuna_study(work, journal)
    if work.workers == 1:
        _optimize(created, work, work.trials)
    else:
        each, rest = divmod(work.trials, work.workers)
        with _FORK.Pool(work.workers) as pool:
            parts = [(work, journal, each + (number < rest)) for number in range(work.workers)]
            pool.starmap(_optimize_in_process, parts, chunksize=1)
    return lambda: [trial.value for trial in created.trials if trial.value is not None]


def _optuna_study(work: Work, journal: bool) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = work.storage if work.storage.startswith("postgresql") else f"sqlite:///{work.storage}"
    return optuna.create_study(
        study_name="scale",
        storage=JournalStorage(JournalFileBackend(work.storage)) if journal else url,
        sampler=optuna.samplers.RandomSampler(),
        direction="maximize",
        load_if_exists=True,
    )


def _optimize(study: Any, work: Work, trials: int) -> None:
    def objective(trial: Any) -> float:
        return train(trial.suggest_float("learning_rate", *_RATES, log=True), iterations=work.iterations)

    study.optimize(objective, n_trials=trials)


def _optimize_in_process(work: Work, journal: bool, trials: int) -> None:
    _optimize(_optuna_study(work, journal), work, trials)


@dataclass(frozen=True)
class Way:
    """A way to train many trials: its name in the table, its function, and its storage: file, postgresql or none."""

    name: str
    run: Callable[[Work], Reader]
    storage: str = "none"
    same_rates: bool = True  # as in `Work`, so that accuracies can be compared


WAYS = (
    Way("loop over the engine", partial(loop, function=train)),
    Way("loop over assay.fit", partial(loop, function=fit)),
    Way("assay run, SQLite", study, "file"),
    Way("assay run, PostgreSQL", study, "postgresql"),
    Way("Optuna, SQLite", optuna_study, "file", same_rates=False),
    Way("Optuna, journal", partial(optuna_study, journal=True), "file", same_rates=False),
    Way("Optuna, PostgreSQL", optuna_study, "postgresql", same_rates=False),
)


# --- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a run took: wall and processor seconds of all its processes, also PostgreSQL's, and the accuracies."""

    seconds: float
    processor: float
    accuracies: list[float]


def measured(way: Way, work: Work) -> Run:
    """Runs one way and measures it, from the call to the end of the last process."""
    before, begin = _processor_seconds(work.storage), perf_counter()
    accuracies = way.run(work)
    seconds = perf_counter() - begin
    return Run(seconds, _processor_seconds(work.storage) - before, accuracies())


def _processor_seconds(storage: str) -> float:
    """Processor seconds of this process, of its children that have ended, and of the server of `storage`."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    if not storage.startswith("postgresql"):
        return seconds
    database = sa.create_engine(storage)
    with database.connect() as connection:
        backend = psutil.Process(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
        server = backend.parent()
        assert server is not None
        times = server.cpu_times()
        seconds += times.user + times.system + times.children_user + times.children_system
        for process in server.children():
            seconds += sum(process.cpu_times()[:2])
    database.dispose()
    return seconds


def main() -> None:
    """Runs one way and prints the run as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.many_trials", description=__doc__)
    parser.add_argument("way", choices=[way.name for way in WAYS])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--storage", default="")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable_cores()[: options.workers])
    way = next(way for way in WAYS if way.name == options.way)
    try:
        run = measured(way, Work(options.trials, options.iterations, options.workers, options.storage))
    except AssayError as error:
        parser.exit(2, f"error: {error}\n")
    print(json.dumps(asdict(run)))


if __name__ == "__main__":
    main()
