"""The reference engine: hand-written backpropagation in float64, optimised for readability, every operation in place.

It computes in float64 for every precision, because it is the reference for the other engines. Buffers are allocated in
the first iteration and reused in later ones (see `arena`).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from assay.engines.arena import Arena, xp
from assay.engines.base import (
    Checkpoint,
    Cohort,
    Engine,
    Evaluation,
    Numbers,
    Progress,
    Splits,
    hyperparameters,
    no_mixed_precision,
    not_the_cpu,
    not_this_optimizer,
    wanted_outputs,
)
from assay.engines.numpy_layers import LayerPass, Values, as_images, evaluated
from assay.parts.activations import OUTPUTS
from assay.parts.batches import Batches
from assay.parts.layers import Dropout, Network, Weighted
from assay.parts.losses import LOSSES, head
from assay.parts.pieces import pieces
from assay.parts.user_optimizers import checked_step
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.system.machine import blas_kernel

_EVALUATION_ROWS = 4096  # few enough that the values of a layer stay in the cache
_EVALUATION_VALUES = 2**23  # 64 MB for the widest layer, which can be very wide for images


class Parameters:
    """All weights and biases of one trial in one vector, weights first, with a view for each array.

    With one vector, an optimizer's rule runs once per iteration and not once per array.
    """

    def __init__(self, network: Network) -> None:
        self.vector: Numbers = np.zeros(network.parameters)
        self.weights = network.penalised  # how many numbers come before the biases
        self.views: dict[str, Numbers] = {}
        start = 0
        for name in network.order:
            shape = network.shapes[name]
            self.views[name] = self.vector[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)


class NumpyTrial:
    """One trial's weights, gradient, slots and running means; `next_running`: the running means after the last batch.

    They become current with the update, which is skipped if the batch's loss is not finite.
    """

    def __init__(self, cohort: Cohort, number: int, checkpoint: Checkpoint) -> None:
        self.recipe = cohort.recipes[number]
        self.w = Parameters(cohort.network)
        self.g = Parameters(cohort.network)
        rule = type(self.recipe.optimizer)
        self.slots = tuple(Parameters(cohort.network) for _ in range(rule.slots))
        self.pieces = pieces(rule, cohort.network.order, cohort.network.shapes)
        self.constants = cohort.constants()[number]
        self.running = {name: np.array(checkpoint.weights[name][number], np.float64) for name in cohort.network.buffers}
        self.next_running = {name: array.copy() for name, array in self.running.items()}
        trained = checkpoint.trained(self.recipe.optimizer)
        for name, view in self.w.views.items():
            view[...] = trained[name][number]
            for i, slot in enumerate(self.slots):
                if checkpoint.slots:
                    slot.views[name][...] = checkpoint.slots[name][i, number]

    @contextmanager
    def shown(self) -> Generator[None]:
        """Inside, the weights are those to evaluate; afterwards everything has the bits that it had before."""
        rule = type(self.recipe.optimizer)
        if not rule.averages():
            yield
            return
        trained = self.w.vector.copy()
        slots = tuple(slot.vector for slot in self.slots)
        self.w.vector[...] = rule.shown(trained, slots, SimpleNamespace(**self.constants))
        try:
            yield
        finally:
            self.w.vector[...] = trained


@dataclass
class NumpyState:
    """A cohort in training; its trials run one after the other and share data and buffers."""

    cohort: Cohort
    trials: list[NumpyTrial]
    t: int
    splits: dict[str, tuple[Numbers, Numbers]]  # inputs (N, D) and one-hot labels or targets (N, C)
    arena: Arena
    evaluation_arena: Arena


class NumpyEngine(Engine):
    """NumPy on the CPU, float64."""

    name: ClassVar[str] = "numpy"

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        super().__init__(device=device, threads=threads)
        self._blas = ThreadpoolController() if threads else None  # once, because finding the BLAS takes milliseconds

    @contextmanager
    def _quiet(self) -> Generator[None]:
        """Limits BLAS to the engine's threads, and silences warnings of diverging trials, which are valid results."""
        with self._blas.limit(limits=self.threads) if self._blas else nullcontext(), np.errstate(all="ignore"):
            yield

    def skipped(self, state: NumpyState) -> float:
        return 0.0

    def instruction_level(self) -> str | None:
        return blas_kernel()

    def why_not(self, recipe: Recipe) -> str | None:
        return (
            not_this_optimizer(recipe, self.name)
            or no_mixed_precision(recipe, self.name)
            or not_the_cpu(self.device, self.name)
        )

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> NumpyState:
        classes = cohort.network.classes
        parts = {
            name: (np.asarray(x, np.float64), wanted_outputs(y, classes, np.float64))
            for name, (x, y) in splits.parts.items()
        }
        trials = [NumpyTrial(cohort, number, checkpoint) for number in range(len(cohort.recipes))]
        return NumpyState(cohort, trials, checkpoint.t, parts, Arena(), Arena())

    def advance(self, state: NumpyState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[NumpyState, Progress]:
        trials, k = state.trials, batches.count
        losses = np.full((len(trials), k), np.nan)
        broken = np.zeros(len(trials), np.int64)
        step_values = state.cohort.step_values(batches.first, k)
        with self._quiet():
            for number, trial in enumerate(trials):
                if not alive[number]:
                    continue
                for i in range(k):
                    t = batches.first + i
                    state.arena.reset()
                    x, y = _batch(state, batches, number, i)
                    loss = _gradient(state, trial, x, y, t)
                    losses[number, i] = loss
                    if not np.isfinite(loss):
                        broken[number] = t
                        break
                    h = hyperparameters(trial.constants, step_values[number], i)
                    _update(state, trial, h, clips_objective=state.cohort.clips_objective)
        state.t = batches.first + k - 1
        return state, Progress(losses, broken)

    def evaluate(self, state: NumpyState, split: str) -> Evaluation:
        x, y = state.splits[split]
        recipe = state.cohort.first
        output, loss_name = head(state.cohort.network.output, recipe.loss)
        loss, epsilon = LOSSES[loss_name], _epsilon(recipe)
        sums = np.zeros((2, len(state.trials)))
        with self._quiet():
            for number, trial in enumerate(state.trials):
                with trial.shown():
                    for rows in _blocks(len(x), state.cohort.network):
                        state.evaluation_arena.reset()
                        arena = state.evaluation_arena
                        a = _outputs(arena, state.cohort.network, trial, arena.wrap(x[rows]), output)
                        sums[0, number] += loss.value(xp, a, arena.wrap(y[rows]), epsilon).sum()
                        sums[1, number] += np.count_nonzero(a.argmax(-1) == y[rows].argmax(-1))
        return Evaluation(sums[0] / len(x), sums[1] / len(x))

    def outputs(self, state: NumpyState, x: NDArray[Any]) -> Numbers:
        network, arena = state.cohort.network, state.evaluation_arena
        result = np.empty((len(state.trials), len(x), network.classes))
        with self._quiet():
            for number, trial in enumerate(state.trials):
                with trial.shown():
                    for rows in _blocks(len(x), network):
                        arena.reset()
                        block = arena.wrap(np.asarray(x[rows], np.float64))
                        result[number, rows] = _outputs(arena, network, trial, block, network.output)
        return result

    def export(self, state: NumpyState) -> Checkpoint:
        names = state.cohort.network.shapes
        shown: list[dict[str, Numbers]] = []
        for trial in state.trials:
            with self._quiet(), trial.shown():
                shown.append({name: array.copy() for name, array in (trial.w.views | trial.running).items()})
        weights = {name: np.stack([arrays[name] for arrays in shown]) for name in state.cohort.network.arrays}
        slots: dict[str, NDArray[Any]] = {}
        if state.trials[0].slots:
            averages = type(state.cohort.first.optimizer).averages()
            stored = [[*trial.slots, *([trial.w] if averages else [])] for trial in state.trials]
            for name in names:
                each = [np.stack([array.views[name] for array in arrays]) for arrays in stored]
                slots[name] = np.stack(each, axis=1)
        return Checkpoint(state.t, weights, slots)


def _blocks(examples: int, network: Network) -> list[slice]:
    rows = max(1, min(_EVALUATION_ROWS, _EVALUATION_VALUES // network.widest))
    return [slice(start, start + rows) for start in range(0, examples, rows)]


def _epsilon(recipe: Recipe) -> float:
    return float(np.finfo(np.float64 if recipe.precision == "float64" else np.float32).eps)


def _batch(state: NumpyState, batches: Batches, number: int, i: int) -> tuple[Values, Values]:
    """Inputs (B, D) and one-hot labels (B, C) of a trial's i-th batch, copied into buffers if not contiguous."""
    x, y = state.splits["train"]
    arena, size = state.arena, int(batches.sizes[i])
    if batches.starts is not None:
        start = int(batches.starts[number % len(batches.starts), i])
        return arena.wrap(x[start : start + size]), arena.wrap(y[start : start + size])
    if batches.rows is None:
        return arena.wrap(x), arena.wrap(y)
    rows = batches.rows[number % len(batches.rows), i, :size]
    buffers = arena.take((size, x.shape[1])), arena.take((size, y.shape[1]))
    for source, target in zip((x, y), buffers, strict=True):
        # mode="clip" writes directly into `out`; the default mode uses a buffer of its own
        np.take(source, rows, axis=0, out=target.view(np.ndarray), mode="clip")
    return buffers


def _gradient(state: NumpyState, trial: NumpyTrial, x: Values, y: Values, t: int) -> float:
    """Writes the gradient of the mean loss of the batch into `trial.g`, and the running means after the batch into
    `trial.next_running`; returns the loss before the update."""
    arena, network = state.arena, state.cohort.network
    output, loss_name = head(network.output, trial.recipe.loss)
    loss, epsilon = LOSSES[loss_name], _epsilon(trial.recipe)

    passes = [LayerPass(layer, number, arena) for number, layer in network.numbered()]
    a = as_images(x, network)
    for depth, layer_pass in enumerate(passes):
        if isinstance(layer_pass.layer, Dropout):
            layer_pass.cache = _dropout_mask(arena, trial.recipe.seed, t, depth, layer_pass.layer, a.shape)
        a = layer_pass.forward(trial.w.views, a, trial.next_running)

    a = OUTPUTS[output].forward(xp, a)
    value = float(loss.value(xp, a, y, epsilon).sum()) / len(y)
    d = OUTPUTS[output].backward(xp, a, loss.gradient(xp, a, y, epsilon)) * (1.0 / len(y))
    first = next(i for i, p in enumerate(passes) if isinstance(p.layer, Weighted))  # nothing is trained before it
    for layer_pass in reversed(passes[first:]):
        d = layer_pass.backward(trial.w.views, trial.g.views, d)
    return value


def _outputs(arena: Arena, network: Network, trial: NumpyTrial, x: Values, output: str) -> Values:
    """The outputs (B, C) in evaluation."""
    a = as_images(x, network)
    for number, layer in network.numbered():
        if not isinstance(layer, Dropout):
            a = evaluated(layer, number, arena, trial.w.views, trial.running, a)
    return OUTPUTS[output].forward(xp, a)


def _dropout_mask(arena: Arena, seed: int, t: int, depth: int, layer: Dropout, shape: tuple[int, ...]) -> Values:
    """0 with probability `rate`, else 1 / (1 - rate), of the shape of a batch; keyed by seed, iteration and layer."""
    mask = arena.take(shape)
    uniform = stream(seed, f"dropout/{depth}", t).uniform(mask.size).reshape(shape)
    np.multiply(uniform >= layer.rate, 1.0 / (1.0 - layer.rate), out=mask.view(np.ndarray))
    return mask


def _clip(g: Numbers, h: Any) -> None:
    """Scales the gradient `g` down to `clip_norm` if its norm is larger."""
    if h.clip_norm < np.inf:
        norm = float(np.sqrt(np.dot(g, g)))
        g *= min(1.0, h.clip_norm / (norm + 1e-6))  # 1e-6 as in torch's clip_grad_norm_


def _update(state: NumpyState, trial: NumpyTrial, h: Any, *, clips_objective: bool) -> None:
    """Moves the trial's weights and slots by one step."""
    arena, w, g = state.arena, trial.w, trial.g
    penalised = len(w.vector) if trial.recipe.regularisation.biases else w.weights
    w_all, g_all = arena.wrap(w.vector), arena.wrap(g.vector)
    if not clips_objective:
        _clip(g.vector, h)
    if h.l1:
        g_all[:penalised] += h.l1 * np.sign(w_all[:penalised])
    if h.l2:
        g_all[:penalised] += h.l2 * w_all[:penalised]
    if clips_objective:
        _clip(g.vector, h)
    rule = type(trial.recipe.optimizer)
    if h.weight_decay and not rule.decays_weights:
        w_all[: w.weights] *= 1.0 - h.learning_rate * h.weight_decay
    is_user = rule.is_user_defined()  # it may use operations that the arena does not support
    space, wrapped = (np, np.asarray) if is_user else (xp, arena.wrap)
    for piece in trial.pieces:
        own_w, own_g, *own = (piece.of(array.vector) for array in (w, g, *trial.slots))
        before, settings = tuple(map(wrapped, own)), piece.settings(h)
        is_matrix = piece.matrix is not None
        step, slots = checked_step(rule, space, wrapped(own_w), wrapped(own_g), before, settings, is_matrix=is_matrix)
        if is_user:
            slots = tuple(values.copy() for values in slots)  # one of them may be another slot, or the gradient
        np.subtract(own_w, step, out=own_w)
        for slot, values in zip(own, slots, strict=True):
            slot[...] = values
    for name, array in trial.running.items():
        array[...] = trial.next_running[name]
