"""What the article on the network from scratch asks that is no study: seconds and allocated bytes of its forms.

The network is trained one example at a time: as first written, where every value is a new array, as the operators of
NumPy make them, and with every array allocated at the start. Both compute the same numbers.

Bytes are counted by reading tracemalloc after every opcode. It knows the current and the peak size of traced memory,
not the total that was allocated. Read and reset after each opcode, the rise to the peak is what that opcode allocated;
the sum only misses what one opcode frees and allocates again. NumPy reports its arrays to tracemalloc; C++ and BLAS do
not.
"""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from assay.articles.context import Context
from assay.articles.measurements import trial_rows
from assay.articles.page import Figure, Table
from assay.data.datasets import load
from assay.engines import ENGINES
from assay.engines import load as load_engine
from assay.parts.initials import initial_weights
from assay.recipe.model import Recipe
from assay.report.charts.costs import costs_chart
from assay.store.records import places
from assay.training.loop import Training, prepared

_COUNTED = 10  # batches whose allocations are counted
_TIMED = 300  # batches that are timed at most
_TIMING = "from-scratch-timing"


# --- allocations ------------------------------------------------------------------------------------------------------


class _Counter:
    """Adds up what the opcodes of the traced frames allocate beyond `floor`, which tracing itself needs per opcode."""

    def __init__(self, floor: int = 0) -> None:
        self.floor, self.held = floor, 0
        self.rises: list[int] = []
        self.total = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> _Counter:
        rise = tracemalloc.get_traced_memory()[1] - self.held
        self.total += max(0, rise - self.floor)
        if not self.floor:
            self.rises.append(rise)
        frame.f_trace_opcodes = True
        tracemalloc.reset_peak()
        self.held = tracemalloc.get_traced_memory()[0]
        return self


def allocated_bytes(work: Callable[[], object]) -> int:
    """The bytes that `work` allocates in its second call; what is allocated once is there by then."""
    work()
    rises = _traced(_no_allocations, _Counter()).rises
    return _traced(work, _Counter(sorted(rises)[len(rises) // 2])).total


def _no_allocations() -> int:
    """Opcodes that allocate nothing."""
    x = 0
    for _ in range(200):
        x = x ^ 1
    return x


def _traced(work: Callable[[], object], counter: _Counter) -> _Counter:
    """The counter after `work` ran under it."""
    previous_trace, was_tracing = sys.gettrace(), tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start(1)
    try:
        tracemalloc.reset_peak()
        counter.held = tracemalloc.get_traced_memory()[0]
        sys.settrace(counter)
        try:
            work()
        finally:
            sys.settrace(previous_trace)
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return counter


# --- the network ------------------------------------------------------------------------------------------------------


Floats = NDArray[np.float64]
Layers = list[tuple[Floats, Floats]]  # w (inputs, units), b (units,)


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z))"""
    return 1.0 / (1.0 + np.exp(-z))


def example_gradients(layers: Layers, x: Floats, y: Floats) -> list[tuple[Floats, Floats]]:
    """The gradients of one example's loss, (dw, db) of each layer, in new arrays."""
    values = [x]
    for w, b in layers:
        values.append(sigmoid(values[-1] @ w + b))
    d = (values[-1] - y) * values[-1] * (1.0 - values[-1])
    gradients: list[tuple[Floats, Floats]] = []
    for i in reversed(range(len(layers))):
        gradients.append((np.outer(values[i], d), d))
        if i:
            d = (layers[i][0] @ d) * values[i] * (1.0 - values[i])
    return gradients[::-1]


def step(layers: Layers, xs: Floats, ys: Floats, rate: float) -> Layers:
    """The layers after one batch, as first written: sums of gradients and weights are new arrays."""
    sums = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    for x, y in zip(xs, ys, strict=True):
        gradients = example_gradients(layers, x, y)
        sums = [(sw + dw, sb + db) for (sw, sb), (dw, db) in zip(sums, gradients, strict=True)]
    factor = rate / len(xs)
    return [(w - factor * dw, b - factor * db) for (w, b), (dw, db) in zip(layers, sums, strict=True)]


class InPlace:
    """The same step with every array allocated at the start, and every operation in place."""

    def __init__(self, layers: Layers) -> None:
        self.layers = [(w.copy(), b.copy()) for w, b in layers]
        self._values = [np.empty(len(b)) for _, b in layers]
        self._d = [np.empty(len(b)) for _, b in layers]
        self._slopes = [np.empty(len(b)) for _, b in layers]
        self._dw = [np.empty_like(w) for w, _ in layers]
        self._sums = [(np.empty_like(w), np.empty_like(b)) for w, b in layers]

    def step(self, xs: Floats, ys: Floats, rate: float) -> None:
        """Changes the layers by one batch."""
        for sw, sb in self._sums:
            sw.fill(0.0)
            sb.fill(0.0)
        for x, y in zip(xs, ys, strict=True):
            self._add(x, y)
        factor = rate / len(xs)
        for (w, b), (sw, sb) in zip(self.layers, self._sums, strict=True):
            np.multiply(sw, factor, out=sw)
            np.multiply(sb, factor, out=sb)
            np.subtract(w, sw, out=w)
            np.subtract(b, sb, out=b)

    def _add(self, x: Floats, y: Floats) -> None:
        """Adds one example's gradients to the sums."""
        previous = x
        for (w, b), value in zip(self.layers, self._values, strict=True):
            np.dot(previous, w, out=value)
            np.add(value, b, out=value)
            np.negative(value, out=value)
            np.exp(value, out=value)
            np.add(value, 1.0, out=value)
            np.reciprocal(value, out=value)
            previous = value
        np.subtract(self._values[-1], y, out=self._d[-1])
        for i in reversed(range(len(self.layers))):
            d, value = self._d[i], self._values[i]
            np.subtract(1.0, value, out=self._slopes[i])
            np.multiply(self._slopes[i], value, out=self._slopes[i])
            np.multiply(d, self._slopes[i], out=d)
            below = self._values[i - 1] if i else x
            np.dot(below[:, None], d[None, :], out=self._dw[i])
            np.add(self._sums[i][0], self._dw[i], out=self._sums[i][0])
            np.add(self._sums[i][1], d, out=self._sums[i][1])
            if i:
                np.dot(self.layers[i][0], d, out=self._d[i - 1])


def products(widths: Sequence[int], batch: int) -> list[tuple[Floats, Floats, Floats]]:
    """The operands and results of one batch's matrix products, forward and backward: the work of the BLAS."""
    matrices: list[tuple[Floats, Floats, Floats]] = []
    for i, (inputs, units) in enumerate(itertools.pairwise(widths)):
        x, w, d = np.ones((batch, inputs)), np.ones((inputs, units)), np.ones((batch, units))
        matrices += [(x, w, d.copy()), (x.T, d, w.copy())]
        matrices += [(d, w.T, x.copy())] if i else []
    return matrices


# --- costs ------------------------------------------------------------------------------------------------------------


_NEW, _IN_PLACE = "example by example, new arrays", "example by example, in place"
_FORMS = "The engines train a batch at a time; the first two an example at a time, as in the question and its answer."


class Costs:
    """Seconds and allocated bytes per epoch, measured here: both forms by example, the engine numpy, its products."""

    def __init__(self, recipe: Recipe) -> None:
        self.data = prepared(recipe, load(recipe.data.name))
        self.count = len(self.data.y_train)
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


def costs(context: Context) -> Costs:
    """The costs of the forms, on the batches and the recipe of the timing study."""
    plan = next(plan for name, plan in context.plans.items() if name.startswith(_TIMING))
    recipe = next(iter(plan.trials.values())).recipe
    return Costs(Recipe.parse({**recipe.model_dump(), "budget": {"epochs": 1}}))


def engine_seconds(context: Context) -> dict[str, float]:
    """Seconds per epoch of each engine that was timed, over two epochs."""
    seconds: dict[str, float] = {}
    for name in ENGINES:
        timing = context.results.get(f"{_TIMING}-{name}")
        rows = trial_rows(timing) if timing is not None else []
        completed = [float(row["seconds"]) for row in rows if row["outcome"] == "completed"]
        if completed:
            seconds[f"engine {name}"] = median(completed) / 2
    return seconds


# --- the page ---------------------------------------------------------------------------------------------------------


def time_and_memory(context: Context) -> Table:
    """Seconds and bytes per epoch: those published, and those of each form here."""
    measured: Costs = context.experiment("costs")
    seconds_of: dict[str, float] = context.experiment("engine_seconds")
    runs = context.facts["runs"]
    published = [(r["code"], f"{r['epoch_s']:g}", r.get("allocated", "-"), "published") for r in runs]
    fresh, in_place = measured.fresh, measured.in_place
    rows: list[tuple[str, str, str, str]] = [
        ("NumPy, an example at a time, new arrays", f"{fresh[0]:.3f}", bytes_text(fresh[1]), "measured"),
        ("NumPy, an example at a time, in place", f"{in_place[0]:.3f}", bytes_text(in_place[1]), "measured"),
    ]
    for name in ENGINES:
        allocated = bytes_text(measured.engine_bytes) if name == "numpy" else "not counted: outside Python"
        seconds = f"{seconds_of[f'engine {name}']:.3f}" if f"engine {name}" in seconds_of else "-"
        rows.append((f"engine {name}, a batch at a time", seconds, allocated, "measured"))
    rows.append(("the matrix products of the batches alone", f"{measured.products:.3f}", "-", "measured"))
    note = (
        "Bytes are counted after every opcode (tracemalloc), NumPy's arrays included. The forms that take an example "
        "at a time and the products run on one thread over a few hundred batches; the engines choose their threads and "
        "run two epochs."
    )
    return Table(("code", "seconds an epoch", "allocated an epoch", ""), [*published, *rows], "Time and memory", note)


def pictures(context: Context) -> list[Figure]:
    """Seconds and bytes per epoch of each form."""
    measured: Costs = context.experiment("costs")
    seconds = {_NEW: measured.fresh[0], _IN_PLACE: measured.in_place[0]} | context.experiment("engine_seconds")
    held = {_NEW: measured.fresh[1], _IN_PLACE: measured.in_place[1], "engine numpy": measured.engine_bytes}
    heads = "Training seconds of an epoch", "Bytes allocated in an epoch"
    return [
        Figure("seconds", costs_chart(seconds, unit="s", title=heads[0]), heads[0], _FORMS),
        Figure("bytes", costs_chart(held, unit="B", title=heads[1]), heads[1]),
    ]


def bytes_text(count: float) -> str:
    """A number of bytes in the largest unit that it fills."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} B"


# --- the values of the claims -----------------------------------------------------------------------------------------


def bytes_of_new_arrays(context: Context) -> float:
    """Bytes per epoch of the form that makes new arrays."""
    return context.experiment("costs").fresh[1]


def bytes_in_place(context: Context) -> float:
    """Bytes per epoch of the form in place; 1 where it allocates nothing."""
    return max(context.experiment("costs").in_place[1], 1.0)


def seconds_of_new_arrays(context: Context) -> float:
    """Seconds per epoch of the form that makes new arrays."""
    return context.experiment("costs").fresh[0]


def seconds_in_place(context: Context) -> float:
    """Seconds per epoch of the form in place."""
    return context.experiment("costs").in_place[0]


def seconds_of_the_products(context: Context) -> float:
    """Seconds per epoch of the matrix products of the batches alone."""
    return context.experiment("costs").products


def seconds_of_the_engine_numpy(context: Context) -> float | None:
    """Seconds per epoch of the engine numpy; None where it is not timed on this machine, as the products are."""
    timing = context.results.get(f"{_TIMING}-numpy")
    rows = trial_rows(timing) if timing is not None else []
    if {str(row["machine"]) for row in rows if row["outcome"] == "completed"} - places():
        return None
    return context.experiment("engine_seconds").get("engine numpy")


__all__ = [
    "Costs",
    "InPlace",
    "allocated_bytes",
    "bytes_in_place",
    "bytes_of_new_arrays",
    "costs",
    "engine_seconds",
    "example_gradients",
    "pictures",
    "seconds_in_place",
    "seconds_of_new_arrays",
    "seconds_of_the_engine_numpy",
    "seconds_of_the_products",
    "step",
    "time_and_memory",
]
