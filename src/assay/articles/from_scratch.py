"""The network from scratch: seconds and allocated bytes per epoch of several forms, and its accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from assay.articles.allocations import allocated_bytes
from assay.articles.measurements import Measurements, trial_rows
from assay.articles.page import Figure, Finding, Page, Table
from assay.articles.published import article, sources
from assay.articles.scratch_network import InPlace, Layers, products, step
from assay.articles.spec import ReproductionSpec, plans, study
from assay.data.datasets import load
from assay.engines import ENGINES, installed
from assay.engines import load as load_engine
from assay.parts.initials import initial_weights
from assay.recipe.model import Recipe
from assay.report.charts.costs import costs_chart
from assay.report.charts.curves import CurveOptions, learning_curves
from assay.results.results import Results
from assay.studies.plan import Plan, plan
from assay.training.loop import Training, prepared

_COUNTED = 10  # batches whose allocations are counted
_TIMED = 300  # batches that are timed at most
_TIMING = "from-scratch-timing"


def from_scratch_plans(spec: ReproductionSpec) -> list[Plan]:
    """The seeds, and one timing study per installed engine."""
    engines = [name for name in ENGINES if installed(name)]
    changes = [{"engine": name, "name": f"{_TIMING}-{name}"} for name in engines]
    timings = [plan(study(_TIMING, spec, change)) for change in changes]
    return [*plans(["from-scratch"], spec), *timings]


def from_scratch_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The page of the network from scratch."""
    costs = _Costs(spec)
    engine_seconds = _engine_seconds(results)
    setting: Mapping[str, str] = article("from_scratch")["setting"]
    lead = [f"{setting['network']}; loss: {setting['loss']}; {setting['training']}. Data set {spec.data}."]
    title = "A network from scratch: what preallocation buys"
    parts = [
        _cost_table(costs, engine_seconds),
        *_pictures(costs, engine_seconds),
        _accuracy_table(Measurements([results["from-scratch"]]), costs.tests),
        _epochs(results["from-scratch"]),
    ]
    findings = _findings(costs, engine_seconds.get("engine numpy", math.nan))
    return Page(title, lead, parts, findings, sources("from_scratch"), spec.banner)


def _pictures(costs: _Costs, engine_seconds: dict[str, float]) -> list[Figure]:
    """Seconds and bytes per epoch of each form."""
    seconds = {_NEW: costs.fresh[0], _IN_PLACE: costs.in_place[0]} | engine_seconds
    held = {_NEW: costs.fresh[1], _IN_PLACE: costs.in_place[1], "engine numpy": costs.engine_bytes}
    heads = "Training seconds of an epoch", "Bytes allocated in an epoch"
    return [
        Figure("seconds", costs_chart(seconds, unit="s", title=heads[0]), heads[0], _FORMS),
        Figure("bytes", costs_chart(held, unit="B", title=heads[1]), heads[1]),
    ]


def _epochs(result: Results) -> Figure:
    """The accuracy after each epoch, over the seeds."""
    trials = result.frame()
    trials = trials[trials["configuration"] == "epoch 10"].assign(configuration="784-30-10, sigmoid")
    head = "Test accuracy of the network from scratch, by examples seen"
    chart = learning_curves(trials, result.curves(), CurveOptions(x="examples", start=1, title=head))
    return Figure("accuracy", chart, head, "Twenty seeds, or as many as specified; one point per epoch.")


_NEW, _IN_PLACE = "example by example, new arrays", "example by example, in place"
_FORMS = "The engines train a batch at a time; the first two an example at a time, as in the question and its answer."


class _Costs:
    """Seconds and allocated bytes per epoch, measured here: both forms by example, the engine numpy, its products."""

    def __init__(self, spec: ReproductionSpec) -> None:
        table = study(_TIMING, spec).baseline
        recipe = Recipe.parse({**table, "budget": {"epochs": 1}})
        self.data = prepared(recipe, load(recipe.data.name))
        self.tests, self.count = len(self.data.y_test), len(self.data.y_train)
        self.batches = recipe.iterations(self.count)
        self.size = recipe.batches.width(self.count)
        self.rate = recipe.optimizer.learning_rate
        network = recipe.model.network(self.data.shape, self.data.classes)
        weights = initial_weights(network, recipe.model.initial, recipe.seed)
        self.layers: Layers = [(weights[f"{i}.weight"], weights[f"{i}.bias"]) for i in range(len(network.dense))]
        self.onehot = np.eye(self.data.classes)
        with threadpool_limits(1):
            self.fresh = self._measure(self._fresh_step())
            self.in_place = self._measure(InPlace(self.layers).step)
            self.engine_bytes = self._engine_bytes(recipe)
            self.products = self._products_seconds([network.inputs, *(layer.units for layer in network.dense)])

    def _batch(self, number: int) -> tuple[Any, Any]:
        start = number * self.size % (self.count - self.size)
        rows = slice(start, start + self.size)
        return self.data.x_train[rows], self.onehot[self.data.y_train[rows]]

    def _fresh_step(self) -> Callable[[Any, Any, float], None]:
        layers = self.layers

        def take_step(xs: Any, ys: Any, rate: float) -> None:
            nonlocal layers
            layers = step(layers, xs, ys, rate)

        return take_step

    def _measure(self, take_step: Callable[[Any, Any, float], None]) -> tuple[float, float]:
        """Seconds and bytes per epoch; making the batches is not included."""
        timed = min(_TIMED, self.batches)
        batches = [self._batch(number) for number in range(timed)]
        begin = perf_counter()
        for xs, ys in batches:
            take_step(xs, ys, self.rate)
        seconds = perf_counter() - begin

        def take_steps() -> None:
            for xs, ys in batches[:_COUNTED]:
                take_step(xs, ys, self.rate)

        counted = min(_COUNTED, timed)
        return seconds / timed * self.batches, allocated_bytes(take_steps) / counted * self.batches

    def _engine_bytes(self, recipe: Recipe) -> float:
        """Bytes per epoch of the numpy engine's iterations."""
        training = Training([recipe], load_engine("numpy", threads=1), self.data)
        batches = recipe.batches.make(recipe.seed, 1, _COUNTED, self.count)

        def advance() -> None:
            training.state, _ = training.engine.advance(training.state, batches, np.array([True]))

        return allocated_bytes(advance) / _COUNTED * self.batches

    def _products_seconds(self, widths: list[int]) -> float:
        """Seconds per epoch of the matrix products of the batches alone."""
        operands, repeats = products(widths, self.size), min(_TIMED, self.batches)
        begin = perf_counter()
        for _ in range(repeats):
            for a, b, c in operands:
                np.dot(a, b, out=c)
        return (perf_counter() - begin) / repeats * self.batches


def _cost_table(costs: _Costs, engine_seconds: dict[str, float]) -> Table:
    published = [(r["code"], f"{r['epoch_s']:g}", r.get("allocated", "-"), "published") for r in _runs()]
    fresh, in_place = costs.fresh, costs.in_place
    rows: list[tuple[str, str, str, str]] = [
        ("NumPy, an example at a time, new arrays", f"{fresh[0]:.3f}", _bytes(fresh[1]), "measured"),
        ("NumPy, an example at a time, in place", f"{in_place[0]:.3f}", _bytes(in_place[1]), "measured"),
    ]
    for name in ENGINES:
        allocated = _bytes(costs.engine_bytes) if name == "numpy" else "not counted: outside Python"
        seconds = f"{engine_seconds[f'engine {name}']:.3f}" if f"engine {name}" in engine_seconds else "-"
        rows.append((f"engine {name}, a batch at a time", seconds, allocated, "measured"))
    rows.append(("the matrix products of the batches alone", f"{costs.products:.3f}", "-", "measured"))
    note = (
        "Bytes are counted after every opcode (tracemalloc), NumPy's arrays included. The forms that take an example "
        "at a time and the products run on one thread over a few hundred batches; the engines choose their threads and "
        "run two epochs."
    )
    return Table(("code", "seconds an epoch", "allocated an epoch", ""), [*published, *rows], "Time and memory", note)


def _findings(costs: _Costs, engine_seconds: float) -> list[Finding]:
    sentences: Mapping[str, str] = article("from_scratch")["findings"]
    fewer = costs.fresh[1] / max(costs.in_place[1], 1.0)
    faster = costs.fresh[0] / costs.in_place[0]
    fraction = costs.products / engine_seconds
    allocated = f"{_bytes(costs.fresh[1])} against {_bytes(costs.in_place[1])} per epoch: {fewer:,.0f} times less"
    bound = f"{costs.products:.3f} of {engine_seconds:.3f} s: {100 * fraction:.0f} %"
    return [
        Finding(
            sentences["allocation"],
            "at least 400 times less, a third of the published ratio",
            fewer >= 400,
            allocated,
        ),
        Finding(
            sentences["speed"],
            "in place at least 1.5 times as fast, an example at a time, on the same machine",
            faster >= 1.5,
            f"{costs.fresh[0]:.3f} against {costs.in_place[0]:.3f} s per epoch: {faster:.2f} times as fast",
        ),
        Finding(
            sentences["bound"],
            "the products of the batches alone take at least half of an epoch of the engine numpy",
            None if math.isnan(fraction) else fraction >= 0.5,
            "the engine numpy is not measured" if math.isnan(fraction) else bound,
        ),
    ]


def _engine_seconds(results: Mapping[str, Results]) -> dict[str, float]:
    """Seconds per epoch of each engine that was timed, over two epochs."""
    seconds: dict[str, float] = {}
    for name in ENGINES:
        timing = results.get(f"{_TIMING}-{name}")
        rows = trial_rows(timing) if timing is not None else []
        completed = [float(row["seconds"]) for row in rows if row["outcome"] == "completed"]
        if completed:
            seconds[f"engine {name}"] = median(completed) / 2
    return seconds


def _accuracy_table(measured: Measurements, tests: int) -> Table:
    published: dict[str, list[str]] = {}
    for run in _runs():
        for epoch in ("epoch 1", "epoch 2"):
            if run["code"].endswith(epoch) and "correct" in run:
                published.setdefault(epoch, []).append(f"{run['correct']:,}")
    rows: list[list[str]] = []
    for label in ("epoch 1", "epoch 2", "epoch 10"):
        correct = sorted(round(value * tests) for value in measured.column(label, "accuracy").values())
        spread = [f"{median(correct):,.0f}", f"{correct[0]:,} .. {correct[-1]:,}"] if correct else ["-", "-"]
        rows.append([label, " and ".join(published.get(label, ["-"])), *spread, str(len(correct))])
    head = ("after", "published, of 10,000", f"median, of {tests:,}", "min .. max", "seeds")
    note = "The published counts are two programs' runs, one each; they differ by no more than the seeds do."
    if not _within_seeds(measured, tests):
        note = "The published counts are two programs' runs, one each; not both lie within the measured seeds."
    return Table(head, rows, "How many test images are right", note)


def _within_seeds(measured: Measurements, tests: int) -> bool:
    for run in _runs():
        label = run["code"].rpartition(", ")[2]
        correct = [round(value * tests) for value in measured.column(label, "accuracy").values()]
        if "correct" in run and (not correct or not min(correct) <= run["correct"] <= max(correct)):
            return False
    return True


def _runs() -> list[dict[str, Any]]:
    return list(article("from_scratch")["runs"])


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} B"


__all__ = ["from_scratch_page", "from_scratch_plans"]
