"""The native engine: a C++ kernel for dense networks, whole iterations in compiled code on all cores.

The first layer skips inputs that are zero, or equal to the value that most inputs of an example have; it computes the
same function. Trials of a cohort run one per core; a single trial with large batches splits them over the cores.
"""

from __future__ import annotations

import importlib
import os
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.data.targets import is_regression
from assay.engines.base import (
    Checkpoint,
    Cohort,
    Engine,
    Evaluation,
    Progress,
    Splits,
    no_mixed_precision,
    not_the_cpu,
    not_this_optimizer,
)
from assay.errors import EngineError
from assay.parts.activations import OUTPUTS
from assay.parts.batches import Batches
from assay.parts.layers import Activate, Dense, Dropout, Flatten, Layer, Network
from assay.parts.losses import head
from assay.parts.models import MLP, Sequential
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.system.machine import cores

kernel: Any = importlib.import_module("assay._native")

_TABLES: dict[str, Any] = {
    "activation": kernel.activations,
    "output": kernel.outputs,
    "loss": kernel.losses,
    "optimizer": kernel.optimizers,
}


@dataclass
class NativeState:
    """A cohort in training: the kernel's own cohort, and views of each trial's weights and slots by name."""

    cohort: Cohort
    native: Any
    t: int
    constants: NDArray[np.float64]  # (T, settings + 4)
    splits: dict[str, Any]
    views: list[dict[str, NDArray[Any]]]  # for each trial {name: (1 + slots, ...)}: weights, then slots


class NativeEngine(Engine):
    """The C++ kernel on a CPU, float32 and float64."""

    name: ClassVar[str] = "native"

    def __init__(self, *, device: str = "cpu", threads: int | None = None, level: str | None = None) -> None:
        """`level` is one of `levels()`: by default ASSAY_NATIVE_LEVEL from the environment, or else the best."""
        super().__init__(device=device, threads=threads)
        self.level = level or os.environ.get("ASSAY_NATIVE_LEVEL") or levels()[0]
        if self.level not in levels():
            raise EngineError(
                f"engine 'native': level {self.level!r} is not supported on this machine, only {', '.join(levels())}"
            )
        self._pool: Any = None
        self._sparse: dict[tuple[int, int, str], Any] = {}
        self._prepared: dict[tuple[int, int, str], float] = {}  # seconds of the first training with these examples
        self._native: Any = None  # the cohort that is training

    def skipped(self, state: NativeState) -> float:
        train = state.splits["train"]
        return 1.0 - train.density if train.sparse else 0.0

    def preparation(self, state: NativeState, seconds: float) -> float:
        train = state.splits["train"]
        key = next((key for key, examples in self._sparse.items() if examples is train), None)
        if key is None:
            return seconds
        return self._prepared.setdefault(key, seconds)  # the first training of these examples converted them

    def instruction_level(self) -> str:
        return self.level

    def why_not(self, recipe: Recipe) -> str | None:
        return (
            not_this_optimizer(recipe, self.name)
            or no_mixed_precision(recipe, self.name)
            or not_the_cpu(self.device, self.name)
            or _unknown(recipe)
        )

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> NativeState:
        recipe, network = cohort.first, cohort.network
        reason = self.why_not(recipe)
        if reason:
            raise EngineError(reason)
        if self._pool is None:
            self._pool = kernel.Pool(self._cores())
        element = np.float64 if recipe.precision == "float64" else np.float32
        examples = {
            name: self._examples_of(np.ascontiguousarray(x, element), y) for name, (x, y) in splits.parts.items()
        }
        output, loss = head(network.output, recipe.loss)
        layers = _layers(network)
        assert layers is not None  # why_not has seen their order
        make = kernel.Cohort64 if element is np.float64 else kernel.Cohort32
        native = make(
            [layer for layer, _ in layers],
            output,
            loss,
            recipe.optimizer.entry,
            float(np.finfo(element).eps),
            recipe.regularisation.biases,
            cohort.clips_objective,
            np.array([[_dropout_key(seed, depth) for _, depth in layers] for seed in cohort.seeds], np.uint64),
            recipe.batches.width(splits.examples),
            examples["train"],
            self._pool,
            self.level,
        )
        views = [_views(network, native.layout, native.state(n)) for n in range(len(cohort.recipes))]
        for number, trial in enumerate(views):
            for name, view in trial.items():
                view[0] = checkpoint.weights[name][number]
                if checkpoint.slots:
                    view[1:] = checkpoint.slots[name][:, number]
        return NativeState(cohort, native, checkpoint.t, _constants(cohort), examples, views)

    def advance(self, state: NativeState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[NativeState, Progress]:
        step_values = state.cohort.step_values(batches.first, batches.count)
        names = ["learning_rate", *kernel.optimizers[state.cohort.first.optimizer.entry][2]]
        packed = np.array([[course[name] for name in names] for course in step_values]).transpose(0, 2, 1)
        self._native = state.native
        try:
            result = state.native.advance(
                batches.first,
                np.ascontiguousarray(batches.sizes, np.int32),
                None if batches.rows is None else np.ascontiguousarray(batches.rows, np.int32),
                None if batches.starts is None else np.ascontiguousarray(batches.starts, np.int32),
                np.ascontiguousarray(alive, np.bool_),
                state.constants,
                np.ascontiguousarray(packed),
            )
        finally:
            self._native = None
        if result is None:
            trials = len(state.views)
            return state, Progress(np.full((trials, 0), np.nan), np.zeros(trials, np.int64), cancelled=True)
        state.t = batches.first + batches.count - 1
        return state, Progress(*result)

    def cancel(self) -> None:
        if self._native is not None:
            self._native.cancel()

    def evaluate(self, state: NativeState, split: str) -> Evaluation:
        examples = state.splits[split]
        loss, correct = state.native.evaluate(examples)
        return Evaluation(loss / examples.count, correct / examples.count)

    def outputs(self, state: NativeState, x: NDArray[Any]) -> NDArray[Any]:
        element = np.float64 if state.cohort.first.precision == "float64" else np.float32
        x = np.ascontiguousarray(x, element)
        make = kernel.Examples64 if element is np.float64 else kernel.Examples32
        outputs = state.native.outputs(make(x, np.zeros(len(x), np.int32), self._pool))
        output = state.cohort.network.output
        if head(output, state.cohort.first.loss)[0] == output:
            return outputs
        with np.errstate(over="ignore"):  # the kernel has computed log-softmax or logits: softmax or sigmoid of these
            return OUTPUTS[output].forward(np, outputs)

    def export(self, state: NativeState) -> Checkpoint:
        names = state.cohort.network.shapes
        weights = {name: np.stack([trial[name][0] for trial in state.views]) for name in names}
        slots: dict[str, NDArray[Any]] = {}
        if kernel.optimizers[state.cohort.first.optimizer.entry][0]:
            slots = {name: np.stack([trial[name][1:] for trial in state.views], axis=1) for name in names}
        return Checkpoint(state.t, weights, slots)

    def memory(self, cohort: Cohort, examples: int) -> int:
        recipe, layers, trials, threads = cohort.first, cohort.network.dense, len(cohort.recipes), self._cores()
        element = 8 if recipe.precision == "float64" else 4
        strides = [_padded(layer.units, element) for layer in layers]
        size = sum((layer.inputs + 1) * stride for layer, stride in zip(layers, strides, strict=True))
        vectors = 1 + type(recipe.optimizer).slots
        parts = kernel.part_count(min(size, 2**62), min(recipe.batches.width(examples), examples))
        gradients = parts * (1 if trials < threads and parts > 1 else min(trials, threads))
        # a thread's workspace: an update's gradient, a layer's weights transposed, and for the examples of a block
        # z, a and, with dropout, mask and output of each layer; d twice; the inputs, or their pairs and packed rows
        transposed = max((layer.units * _padded(layer.inputs, element) for layer in layers[1:]), default=0)
        dropout = any(isinstance(layer, Dropout) for layer in cohort.network.layers)
        pairs = 3 * (layers[0].inputs + 1) // 2 + strides[0]
        values = (4 if dropout else 2) * sum(strides) + 2 * max(strides) + max(layers[0].inputs, pairs)
        space = size + transposed + kernel.block * values
        # weights and slots, and their backup in case an advance is cancelled
        buffers = element * (2 * trials * vectors * size + gradients * size + threads * space)
        # float64 to start from, or the copy that `export` makes
        return buffers + max(8, vectors * element) * trials * cohort.network.parameters

    def _cores(self) -> int:
        return min(self.threads or cores(), kernel.usable_cores())

    def _examples_of(self, x: NDArray[Any], y: NDArray[Any]) -> Any:
        """A split in the kernel's form; sparse ones are cached while their arrays live, for all trials to share."""
        key = (id(x), id(y), x.dtype.str)
        if key in self._sparse:
            return self._sparse[key]
        make = kernel.Examples64 if x.dtype == np.float64 else kernel.Examples32
        if is_regression(y):
            examples = make(x, None, self._pool, np.ascontiguousarray(y, x.dtype))
        else:
            examples = make(x, np.ascontiguousarray(y, np.int32), self._pool)
        if examples.sparse:
            self._sparse[key] = examples
            for array in (x, y):  # an address may be used again once its array is gone
                weakref.finalize(array, self._sparse.pop, key, None)
                weakref.finalize(array, self._prepared.pop, key, None)
        return examples


def levels() -> list[str]:
    """The instruction levels that this machine supports, the best first. If the kernel was built with
    ASSAY_EMULATE_WIDE, the last one is `wide`: vectors of AVX-512's size in AVX2 instructions."""
    return kernel.levels()


def _unknown(recipe: Recipe) -> str | None:
    """Why the kernel cannot train the recipe, or None."""
    model = recipe.model
    if not (isinstance(model, MLP) or (isinstance(model, Sequential) and model.is_dense)):
        return f"engine 'native' trains only multilayer perceptrons, not {model.entry!r}; use 'torch' or 'jax'"
    layers = _layers(model.network(1, 1))  # of any data: only the order of the layers counts
    if layers is None:
        return (
            "engine 'native' takes an activation, and a dropout after it, only right after a dense layer, one of each; "
            "use engine 'numpy', 'torch' or 'jax'"
        )
    if len(layers) > _MOST_LAYERS:
        return f"engine 'native' has at most {_MOST_LAYERS} dense layers; use engine 'numpy', 'torch' or 'jax'"
    output, loss = head(model.output, recipe.loss)
    required = [("activation", activation) for (_, _, activation, _), _ in layers]
    required += [("output", output), ("loss", loss), ("optimizer", recipe.optimizer.entry)]
    for kind, name in required:
        if name not in _TABLES[kind]:
            return f"engine 'native' has no {kind} {name!r}; use engine 'numpy', 'jax' or 'torch'"
    return None


_MOST_LAYERS = 65  # MAX_LAYERS of the kernel

_Layer = tuple[tuple[int, int, str, float], int]
"""A dense layer's inputs, units, activation and dropout after it; and the dropout's depth in the network."""


def _layers(network: Network) -> list[_Layer] | None:
    """The dense layers, each with the activation and the dropout after it; None if others are between them."""
    layers: list[_Layer] = []
    previous: Layer | None = None
    for depth, layer in enumerate(network.layers):
        if isinstance(layer, Flatten):  # examples are flat here
            continue
        if isinstance(layer, Dense):
            layers.append(((layer.inputs, layer.units, "identity", 0.0), depth))
        elif isinstance(layer, Activate) and isinstance(previous, Dense):
            (inputs, units, _, rate), _ = layers[-1]
            layers[-1] = ((inputs, units, layer.function, rate), depth)
        elif isinstance(layer, Dropout) and isinstance(previous, Dense | Activate):
            (inputs, units, activation, _), _ = layers[-1]
            layers[-1] = ((inputs, units, activation, layer.rate), depth)
        else:
            return None
        previous = layer
    return layers


def _padded(units: int, element: int) -> int:
    """How many values of `element` bytes a row of the kernel's memory takes: whole cache lines."""
    line = kernel.alignment // element
    return -(-units // line) * line


def _dropout_key(seed: int, depth: int) -> int:
    return int(stream(seed, f"dropout/{depth}").words(1)[0])


def _constants(cohort: Cohort) -> NDArray[np.float64]:
    """The hyperparameters that are the same in every iteration of a trial, in the kernel's order, (T, settings + 4)."""
    settings = kernel.optimizers[cohort.first.optimizer.entry][1]
    names = [*settings, "l1", "l2", "weight_decay", "clip_norm"]
    return np.array([[constants[name] for name in names] for constants in cohort.constants()], np.float64)


def _views(network: Network, layout: list[tuple[int, int, int]], memory: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The arrays of a trial inside the kernel's memory (1 + slots, size), whose rows are padded."""
    views: dict[str, NDArray[Any]] = {}
    for number, (layer, (weight, bias, stride)) in enumerate(zip(network.dense, layout, strict=True)):
        rows = memory[:, weight : weight + layer.inputs * stride].reshape(-1, layer.inputs, stride)
        views[f"{number}.weight"] = rows[:, :, : layer.units]
        views[f"{number}.bias"] = memory[:, bias : bias + layer.units]
    return views
