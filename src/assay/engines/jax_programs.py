"""The programs of the jax engine: pure functions of arrays, compiled for a `Form`.

A `Form` holds shapes and choices but no number that a recipe may change: learning rates, seeds, schedules and the
number of iterations are arguments.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from assay.engines.base import Cohort
from assay.engines.jax_layers import BatchContext, Tree, forward, xp
from assay.parts.batches import Batches
from assay.parts.foreign import ForeignOptimizer
from assay.parts.jax_modules import FunctionalNetwork
from assay.parts.layers import Network
from assay.parts.losses import LOSSES, head
from assay.parts.optimizers import Optimizer
from assay.parts.pieces import is_matrix, without_decay
from assay.parts.user_optimizers import checked_step

_MAX_ITERATIONS = 1024  # in one call of a program: its dispatch is then far below 1 % of the time
_MAX_NUMBERS = 2**18  # of batch rows or of step values in one call: 1 to 2 MB


# --- arguments of the programs ---------------------------------------------------------------------------------------


class Moving(NamedTuple):
    """What iterations change, of one trial or of T: weights {name: (T, ...)}, slots {name: ((T, ...), ...)} and which
    trials are alive (T,)."""

    w: Tree
    slots: Tree
    alive: Tree


class Examples(NamedTuple):
    """Inputs (N, D) and one-hot labels (N, C)."""

    x: Tree
    y: Tree


class Position(NamedTuple):
    """An iteration: where its batch begins or which rows it has, how many examples these are, and its count from 1."""

    place: Tree
    size: Tree
    t: Tree


class Chunk(NamedTuple):
    """The iterations of one call: their step values, places and sizes, padded to the form's chunk, the count of the
    first one, and how many there are."""

    varying: Tree  # {"step_values": {name: (T, chunk)}, "places": ..., "sizes": (chunk,)}
    first: Tree
    count: Tree


# --- one iteration ---------------------------------------------------------------------------------------------------


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[[Scalar, Any], Any]:
    def method(self: Scalar, other: Any) -> Any:
        if isinstance(other, Scalar):
            return Scalar(operation(self.value, other.value))
        if isinstance(other, int | float):
            return Scalar(operation(self.value, other))
        return operation(self.value.astype(other.dtype), other)

    return method


class Scalar:
    """A hyperparameter: float64 with other scalars and Python's numbers, the array's type with an array.

    So `(1 - h.beta2) * g` subtracts in float64 and rounds once, as with Python's numbers in `h`; in float32
    `1 - 0.999` would be wrong in its fifth digit.
    """

    def __init__(self, value: Any) -> None:
        self.value = value  # a traced float64 of no dimensions

    __add__ = __radd__ = _binary(operator.add)
    __mul__ = __rmul__ = _binary(operator.mul)
    __sub__, __rsub__ = _binary(operator.sub), _binary(lambda a, b: b - a)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _binary(lambda a, b: b / a)
    __pow__, __rpow__ = _binary(operator.pow), _binary(lambda a, b: b**a)
    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)  # pyright: ignore[reportAssignmentType]
    __lt__, __le__, __gt__, __ge__ = map(_binary, (operator.lt, operator.le, operator.gt, operator.ge))
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __neg__(self) -> Scalar:
        return Scalar(-self.value)

    def __bool__(self) -> bool:  # without it every `if h.setting` would be true
        return bool(self.value)  # raises jax's error for a branch on a traced value


@dataclass(frozen=True)
class Form:
    """Everything that a program depends on, except the shapes of its arguments."""

    network: Network
    output: str
    loss: str
    rule: type[Optimizer]
    trials: int
    precision: str  # of everything but products
    products: str  # float64, float32, bfloat16 or tensorfloat32
    clip: str  # the gradient of the "loss", or of the "objective" with its penalties; "" for none
    biases: bool  # are penalised
    batches: str = ""  # rows, starts or full
    shared: bool = False  # the same batches for all trials
    width: int = 0  # B
    chunk: int = 0  # the maximum number of iterations in one call
    loops: bool = True  # False: one iteration, or one block of examples, per call
    own: ForeignOptimizer | None = None  # another library's optimizer in place of the rule

    @classmethod
    def of(cls, cohort: Cohort, *, platform: str) -> Form:
        """The form of a cohort, before its batches are known.

        Inside a loop, XLA's convolutions on a CPU take 40 times as long as outside.
        """
        recipe = cohort.first
        output, loss = head(cohort.network.output, recipe.loss)
        return cls(
            network=cohort.network.pooled_first(),
            output=output,
            loss=loss,
            rule=type(recipe.optimizer),
            trials=len(cohort.recipes),
            precision="float64" if recipe.precision == "float64" else "float32",
            products=recipe.precision,
            clip="" if recipe.clip_norm is None else "objective" if cohort.clips_objective else "loss",
            biases=recipe.regularisation.biases,
            loops=platform != "cpu" or not _has_images(cohort.network),
            own=_foreign(recipe.optimizer),
        )

    def with_batches(self, batches: Batches) -> Form:
        """This form for batches of that kind and width; a single row is a contiguous run of one."""
        places = batches.rows if batches.rows is not None else batches.starts
        if places is None:
            return replace(self, batches="full", shared=True, chunk=self._chunk(0))
        width = batches.rows.shape[-1] if batches.rows is not None else int(batches.sizes.max())
        kind = "rows" if batches.rows is not None and width > 1 else "starts"
        chunk = self._chunk(len(places) * (width if kind == "rows" else 1))
        return replace(self, batches=kind, shared=len(places) == 1, width=width, chunk=chunk)

    def _chunk(self, numbers: int) -> int:
        if not self.loops:
            return 1
        fit = _MAX_NUMBERS // max(numbers, 2 * self.trials)
        return max(16, min(_MAX_ITERATIONS, 2 ** (fit.bit_length() - 1) if fit else 0))

    def is_weight(self, name: str, a: Tree) -> bool:
        """Whether penalties and weight decay apply to an array of one trial."""
        return a.ndim >= 2 if isinstance(self.network, FunctionalNetwork) else name.endswith("weight")

    def is_matrix(self, name: str, a: Tree) -> bool:
        """Whether `matrix_rule` steps an array of one trial."""
        return a.ndim == 2 if isinstance(self.network, FunctionalNetwork) else is_matrix(name, a.shape)

    @property
    def outputs_first(self) -> bool:
        """Whether matrices are (outputs, inputs), not (inputs, outputs) as a `matrix_rule` takes them."""
        return isinstance(self.network, FunctionalNetwork) and self.network.library.outputs_first

    @property
    def epsilon(self) -> float:
        """The precision's epsilon, at which a loss clamps a probability."""
        return float(np.finfo(self.precision).eps)


def _has_images(network: Network) -> bool:
    return len(network.seen) == 3 if isinstance(network, FunctionalNetwork) else network.image is not None


def _batch(form: Form, examples: Examples, at: Position) -> Examples:
    if form.batches == "full":
        return examples
    if form.batches == "starts":
        return Examples(*(lax.dynamic_slice_in_dim(a, at.place, form.width) for a in examples))
    # the places after the last example repeat the first: their values are masked, and finite if the first one's are
    rows = xp.where(xp.arange(form.width) < at.size, at.place, at.place[0])
    return Examples(*(xp.take(a, rows, axis=0, mode="clip") for a in examples))


def _batch_loss(form: Form, batch: Examples, size: Tree, key: Tree, w: Tree, running: Tree) -> tuple[Tree, Tree]:
    """The mean loss of the batch's first `size` examples, and the running means and variances after it."""
    valid = xp.arange(form.width) < size if form.batches == "rows" else None
    a, updated = forward(
        form.network, form.output, w | running, batch.x, BatchContext(key, valid), products=form.products
    )
    values = LOSSES[form.loss].value(xp, a, batch.y, form.epsilon)
    if valid is None:
        return values.sum() / len(values), updated
    return xp.where(valid, values, 0.0).sum() / size.astype(values.dtype), updated


def _clipped(g: Tree, h: Any) -> Tree:
    """A gradient, scaled down to `clip_norm` if its norm is larger."""
    norm = xp.sqrt(sum(xp.vdot(a, a) for a in g.values()))
    scale = xp.minimum(h.clip_norm / (norm + 1e-6), 1.0)  # 1e-6 as in torch's clip_grad_norm_
    return {name: a * scale for name, a in g.items()}


def _penalised(form: Form, w: Tree, g: Tree, h: Any) -> Tree:
    """The gradient of the loss, clipped, with the penalties; or the gradient of both, clipped."""

    def penalised(name: str) -> Tree:
        if not form.is_weight(name, w[name]) and not form.biases:
            return g[name]
        return g[name] + (h.l1 * xp.sign(w[name]) + h.l2 * w[name])

    if form.clip == "loss":
        g = _clipped(g, h)
    g = {name: penalised(name) for name in g}
    return _clipped(g, h) if form.clip == "objective" else g


def _iteration(form: Form, moving: Moving, numbers: Tree, examples: Examples, at: Position) -> tuple[Moving, Tree]:
    """One trial after an iteration, and its loss; a trial that is not alive, or whose loss is not finite, is unchanged.

    `numbers`: its hyperparameters "h" at this iteration, and the "key" of its dropout masks.
    """
    w, slots, alive = moving
    h = SimpleNamespace(**{name: Scalar(value) for name, value in numbers["h"].items()})
    key = jax.random.fold_in(jax.random.wrap_key_data(numbers["key"], impl="threefry2x32"), at.t)
    trained = {name: w[name] for name in form.network.shapes}
    running = {name: w[name] for name in form.network.buffers}
    loss_of = partial(_batch_loss, form, _batch(form, examples, at), at.size, key)
    (loss, updated), g = jax.value_and_grad(loss_of, has_aux=True)(trained, running)
    g = _penalised(form, trained, g, h)
    survives = alive & xp.isfinite(loss)
    new_w, new_slots = {name: xp.where(survives, updated[name], a) for name, a in running.items()}, {}
    if form.own is not None:
        from assay.engines import jax_foreign

        rate = numbers["h"]["learning_rate"]
        after = jax_foreign.step(form.own, trained, g, slots, learning_rate=rate, loss=loss)
        new_w |= {name: xp.where(survives, a, w[name]) for name, a in after[0].items()}
        new_slots = {name: (xp.where(survives, a, slots[name][0]),) for name, (a,) in after[1].items()}
        return Moving(new_w, new_slots, survives), xp.where(alive, loss, xp.nan)
    for name, a in trained.items():
        step, next_slots = _step(form, name, a, g[name], slots[name], h)
        if "weight_decay" in form.rule.model_fields and form.is_weight(name, a) and not form.rule.decays_weights:
            a = a * (1.0 - h.learning_rate * h.weight_decay)
        new_w[name] = xp.where(survives, a - step, w[name])
        new_slots[name] = tuple(xp.where(survives, n, o) for n, o in zip(next_slots, slots[name], strict=True))
    return Moving(new_w, new_slots, survives), xp.where(alive, loss, xp.nan)


def _step(form: Form, name: str, w: Tree, g: Tree, slots: Tree, h: Any) -> tuple[Tree, Tree]:
    """The step of an array of weights and its new slots."""
    is_own_matrix = form.rule.has_matrix_rule() and form.is_matrix(name, w)
    settings = h if form.is_weight(name, w) or not form.rule.decays_weights else without_decay(h)
    if not is_own_matrix:
        return checked_step(form.rule, xp, w, g, slots, settings)
    turn: Any = xp.transpose if form.outputs_first else xp.asarray
    with jax.default_matmul_precision("highest"):  # else products of float32 are TensorFloat-32 on some GPUs
        turned = turn(w), turn(g), tuple(map(turn, slots))
        step, after = checked_step(form.rule, xp, *turned, settings, is_matrix=True)
    return turn(step), tuple(map(turn, after))


def _foreign(optimizer: Optimizer) -> ForeignOptimizer | None:
    """Another library's optimizer without its learning rate, which programs take as an argument."""
    if not isinstance(optimizer, ForeignOptimizer):
        return None
    from assay.engines.jax_foreign import without_rate

    return without_rate(optimizer)


def _outputs(form: Form, output: str, w: Tree, x: Tree) -> Tree:
    """The outputs (B, C) of one trial in evaluation."""
    return forward(form.network, output, w, x, products=form.products)[0]


# --- programs --------------------------------------------------------------------------------------------------------


def training(form: Form) -> Callable[[Moving, Tree, Examples, Chunk], tuple[Moving, Tree]]:
    """The iterations of a chunk, of all trials: what they changed, and the losses (chunk, T)."""
    place_axis = None if form.shared else 0
    axes = (0, 0, None, Position(place=place_axis, size=None, t=None))
    all_trials = jax.vmap(partial(_iteration, form), in_axes=axes)

    def run(moving: Moving, fixed: Tree, examples: Examples, chunk: Chunk) -> tuple[Moving, Tree]:
        varying = chunk.varying

        def unfinished(carry: Tree) -> Tree:
            i, moving, _ = carry
            return (i < chunk.count) & moving.alive.any()

        def body(carry: Tree) -> Tree:
            i, moving, losses = carry
            now = {
                name: lax.dynamic_index_in_dim(a, i, a.ndim - 1, False) for name, a in varying["step_values"].items()
            }
            numbers = {"key": fixed["key"], "h": fixed["h"] | now}
            place = varying["places"]
            if place is not None:
                place = lax.dynamic_index_in_dim(place, i, 1, False)
                place = place[0] if form.shared else place
            at = Position(place, varying["sizes"][i], chunk.first + i)
            moving, loss = all_trials(moving, numbers, examples, at)
            return i + 1, moving, lax.dynamic_update_index_in_dim(losses, loss, i, 0)

        start = xp.int32(0), moving, xp.full((form.chunk, form.trials), xp.nan, form.precision)
        _, moving, losses = lax.while_loop(unfinished, body, start) if form.loops else body(start)
        return moving, losses

    return run


def evaluation(form: Form, rows: int) -> Callable[[Tree, Examples], Tree]:
    """The sums of losses and of correct predictions (2, T) of all trials over a split, block by block, in float64."""
    block_sums = evaluation_block(form, rows)

    def run(w: Tree, examples: Examples) -> Tree:
        def body(i: Tree, sums: Tree) -> Tree:
            return sums + block_sums(w, examples, i)

        return lax.fori_loop(0, -(-len(examples.x) // rows), body, xp.zeros((2, form.trials), xp.float64))

    return run


def evaluation_block(form: Form, rows: int) -> Callable[[Tree, Examples, Tree], Tree]:
    """What block i adds to those sums."""

    def run(w: Tree, examples: Examples, i: Tree) -> Tree:
        block = min(rows, len(examples.x))
        start = xp.minimum(i * block, len(examples.x) - block)
        counted = xp.arange(block) + start < i * block  # the last block begins early, to be as long as the others
        x, y = (lax.dynamic_slice_in_dim(a, start, block) for a in examples)
        a = jax.vmap(partial(_outputs, form, form.output), in_axes=(0, None))(w, x)  # (T, block, C)
        losses = LOSSES[form.loss].value(xp, a, y, form.epsilon).astype(xp.float64)
        correct = a.argmax(-1) == y.argmax(-1)
        return xp.stack([xp.where(counted, 0.0, values).sum(-1) for values in (losses, correct)])

    return run


def shown(form: Form) -> Callable[[Tree, Tree, Tree], Tree]:
    """The weights to evaluate of all trials, from weights, slots and constants {name: (T,)}."""

    def of_one(w: Tree, slots: Tree, constants: Tree) -> Tree:
        h = SimpleNamespace(**{name: Scalar(value) for name, value in constants.items()})
        return w | {name: form.rule.shown(w[name], slots[name], h) for name in form.network.shapes}

    return jax.vmap(of_one)


def outputs(form: Form) -> Callable[[Tree, Tree], Tree]:
    """The model's own outputs (T, B, C), whatever function the loss is computed from."""
    return jax.vmap(partial(_outputs, form, form.network.output), in_axes=(0, None))
