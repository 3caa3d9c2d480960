"""The programs of the jax engine: pure functions of arrays, to be compiled for a `Form`.

A `Form` holds shapes and choices but no number that a recipe may change: learning rates, seeds, schedules and the
count of iterations are arguments.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from assay.engines.base import Cohort
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import Batches
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool
from assay.parts.losses import LOSSES, head
from assay.parts.optimizers import Optimizer
from assay.parts.user_optimizers import step_of

Tree = Any  # jax arrays in dicts and tuples; jax's own types say little more
xp: Any = jnp
nn: Any = jax.nn

_ITERATIONS = 1024  # the most in one call of a program: its dispatch is then far below 1 % of the time
_NUMBERS = 2**18  # of batch rows or of step_values in one call: 1 to 2 MB


# --- functions of the network --------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[Tree], Tree]] = {
    "relu": nn.relu,
    "leaky_relu": lambda z: xp.where(z > 0, z, 0.01 * z),  # jax's own has slope 1 at 0, torch's 0.01
    "sigmoid": nn.sigmoid,
    "tanh": xp.tanh,
    "elu": nn.elu,
    "softplus": nn.softplus,
    "silu": nn.silu,
    "gelu": lambda z: nn.gelu(z, approximate=True),
    "softmax": nn.softmax,
    "log_softmax": nn.log_softmax,
}
"""jax's own functions where it has them: a second witness of the formulas, which serve for all others."""


def _function(name: str) -> Callable[[Tree], Tree]:
    table: Any = ACTIVATIONS if name in ACTIVATIONS else OUTPUTS
    return FUNCTIONS.get(name) or (lambda z: table[name].forward(xp, z))


def _forward(form: Form, output: str, w: Tree, x: Tree) -> Tree:
    """The outputs (B, C) in evaluation."""
    return _passed(form, output, w, x, Batch())[0]


@dataclass(frozen=True)
class Batch:
    """What the layers know of a batch in training: the key of its dropout masks and, where it is padded, which of its
    rows are there. Without a key: evaluation."""

    key: Tree = None
    seen: Tree = None  # (B,) of 1 and 0, or None: all rows


def _passed(form: Form, output: str, w: Tree, x: Tree, batch: Batch) -> tuple[Tree, Tree]:
    """The outputs (B, C), and the running means and variances that follow from the batch."""
    network, a, running = form.network, x, {}
    if network.image is not None:
        a = a.reshape(len(a), *network.image)
    for depth, (number, layer) in enumerate(network.numbered()):
        match layer:
            case Dense():
                a = _product(form.products, xp.matmul, a, w[f"{number}.weight"]) + w[f"{number}.bias"]
            case Conv2d():
                a = _product(form.products, partial(_convolution, layer), a, w[f"{number}.weight"])
                a = a + w[f"{number}.bias"]
            case Activate():
                a = _function(layer.function)(a)
            case Pool():
                a = _pooled(layer, a)
            case Flatten():
                a = a.reshape(len(a), layer.values)
            case BatchNorm():
                a, follows = _normalised(layer, number, w, a, batch)
                running |= follows
            case Dropout():
                a = a if batch.key is None else _dropped(layer, jax.random.fold_in(batch.key, depth), a)
    return _function(output)(a), running


def _product(products: str, operation: Callable[..., Tree], a: Tree, weight: Tree) -> Tree:
    """A product in the precision of products, its result in that of the rest."""
    if products == "bfloat16":
        return operation(a.astype(xp.bfloat16), weight.astype(xp.bfloat16)).astype(a.dtype)
    precision = "tensorfloat32" if products == "tensorfloat32" else "highest"
    return operation(a, weight, precision=precision)


def _convolution(layer: Conv2d, a: Tree, weight: Tree, precision: Any = None) -> Tree:
    if layer.whole:
        z = xp.matmul(a.reshape(len(a), -1), weight.reshape(-1, layer.channels), precision=precision)
        return z.reshape(len(a), 1, 1, layer.channels)
    padding = [(layer.padding, layer.padding)] * 2
    numbers: Any = ("NHWC", "HWIO", "NHWC")
    strides = (layer.stride, layer.stride)
    return lax.conv_general_dilated(a, weight, strides, padding, dimension_numbers=numbers, precision=precision)


def _pooled(layer: Pool, a: Tree) -> Tree:
    """Place by place of the windows: reduce_window's gradient is slow on a CPU, and xp.maximum halves that of a tie."""
    parts = [a[place] for _, _, place in layer.places()]
    if layer.kind == "average":
        return sum(parts) / layer.size**2
    z = parts[0]
    for part in parts[1:]:
        z = xp.where((part > z) | xp.isnan(part), part, z)
    return z


def _dropped(layer: Dropout, key: Tree, a: Tree) -> Tree:
    # float32 in every precision, so that both have the same masks
    uniform = jax.random.uniform(key, a.shape, xp.float32)
    return xp.where(uniform >= layer.rate, a / (1.0 - layer.rate), 0.0)


def _normalised(layer: BatchNorm, number: int, w: Tree, a: Tree, batch: Batch) -> tuple[Tree, Tree]:
    """The layer's outputs, and in training the running mean and variance after this batch."""
    mean, variance = w[f"{number}.mean"], w[f"{number}.variance"]
    follows: Tree = {}
    if batch.key is not None:
        axes = tuple(range(a.ndim - 1))
        there = xp.ones(len(a), a.dtype) if batch.seen is None else batch.seen.astype(a.dtype)
        there = there.reshape(-1, *[1] * (a.ndim - 1))
        count = there.sum() * layer.places
        old = mean, variance
        mean = (a * there).sum(axes) / count
        variance = ((a - mean) ** 2 * there).sum(axes) / count
        bessel = count / xp.maximum(count - 1, 1)
        for name, was, value in (("mean", old[0], mean), ("variance", old[1], bessel * variance)):
            follows[f"{number}.{name}"] = was + layer.momentum * (value - was)
    y = (a - mean) / xp.sqrt(variance + layer.epsilon)
    return y * w[f"{number}.scale"] + w[f"{number}.bias"], follows


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
    """A hyperparameter: float64 among its like and Python's numbers, of the array's type where it meets an array.

    So `(1 - h.beta2) * g` subtracts in float64 and rounds once, as it does where h holds Python's numbers; in float32
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
        return bool(self.value)  # jax says that a traced value cannot be branched on


@dataclass(frozen=True)
class Form:
    """All that a program depends on, besides the shapes of what it is called with."""

    network: Network
    output: str
    loss: str
    rule: type[Optimizer]
    trials: int
    precision: str  # of weights, sums and all that is no product
    products: str  # float64, float32, bfloat16 or tensorfloat32
    clip: bool
    biases: bool  # are penalised
    batches: str = ""  # rows, starts or full
    shared: bool = False  # the same batches for all trials
    width: int = 0  # B
    chunk: int = 0  # the most iterations in one call
    loops: bool = True  # or one iteration, one block of examples a call

    @classmethod
    def of(cls, cohort: Cohort, *, platform: str) -> Form:
        """The form of a cohort, before its batches are known.

        Inside a loop, XLA's convolutions on a CPU take 40 times as long as outside.
        """
        r = cohort.first
        output, loss = head(cohort.network.output, r.loss)
        loops = platform != "cpu" or cohort.network.image is None
        rule, clip, biases = type(r.optimizer), r.clip_norm is not None, r.regularisation.biases
        return cls(
            cohort.network.pooled_first(),
            output,
            loss,
            rule,
            len(cohort.recipes),
            "float64" if r.precision == "float64" else "float32",
            r.precision,
            clip,
            biases,
            loops=loops,
        )

    def with_batches(self, batches: Batches) -> Form:
        """This form for batches of that kind and width; a row alone is a run of one."""
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
        fit = _NUMBERS // max(numbers, 2 * self.trials)
        return max(16, min(_ITERATIONS, 2 ** (fit.bit_length() - 1) if fit else 0))

    @property
    def epsilon(self) -> float:
        """The precision's epsilon, where a loss clamps a probability."""
        return float(np.finfo(self.precision).eps)


def _batch(form: Form, x: Tree, y: Tree, place: Tree, size: Tree) -> tuple[Tree, Tree]:
    if form.batches == "full":
        return x, y
    if form.batches == "starts":
        return tuple(lax.dynamic_slice_in_dim(a, place, form.width) for a in (x, y))  # pyright: ignore
    # the places after the last example repeat the first: their values are masked, and finite if that one's are
    rows = xp.where(xp.arange(form.width) < size, place, place[0])
    return tuple(xp.take(a, rows, axis=0, mode="clip") for a in (x, y))  # pyright: ignore


def _batch_loss(form: Form, w: Tree, running: Tree, x: Tree, y: Tree, size: Tree, key: Tree) -> tuple[Tree, Tree]:
    """The mean loss of the batch's first `size` examples, and the running means that follow."""
    seen = xp.arange(form.width) < size if form.batches == "rows" else None
    a, follows = _passed(form, form.output, w | running, x, Batch(key, seen))
    values = LOSSES[form.loss].value(xp, a, y, form.epsilon)
    if seen is None:
        return values.sum() / len(values), follows
    return xp.where(seen, values, 0.0).sum() / size.astype(values.dtype), follows


def _penalised(form: Form, w: Tree, g: Tree, h: Any) -> Tree:
    """The gradient with the penalties' part, then scaled down to `clip_norm`."""

    def penalised(name: str) -> Tree:
        if not name.endswith("weight") and not form.biases:
            return g[name]
        return g[name] + (h.l1 * xp.sign(w[name]) + h.l2 * w[name])

    g = {name: penalised(name) for name in g}
    if form.clip:
        norm = xp.sqrt(sum(xp.vdot(a, a) for a in g.values()))
        scale = xp.minimum(h.clip_norm / (norm + 1e-6), 1.0)  # 1e-6 as in torch's clip_grad_norm_
        g = {name: a * scale for name, a in g.items()}
    return g


def _iteration(form: Form, moving: Tree, numbers: Tree, x: Tree, y: Tree, place: Tree, size: Tree, t: Tree) -> Tree:
    """One trial's weights, slots and life after iteration t, and its loss; a trial that is not alive stays as it is."""
    w, slots, alive = moving
    h = SimpleNamespace(**{name: Scalar(value) for name, value in numbers["h"].items()})
    key = jax.random.fold_in(jax.random.wrap_key_data(numbers["key"], impl="threefry2x32"), t)
    x, y = _batch(form, x, y, place, size)
    trained = {name: w[name] for name in form.network.shapes}
    running = {name: w[name] for name in form.network.buffers}
    gradient = jax.value_and_grad(partial(_batch_loss, form), has_aux=True)
    (loss, follows), g = gradient(trained, running, x, y, size, key)
    g = _penalised(form, trained, g, h)
    lives = alive & xp.isfinite(loss)
    new_w, new_slots = {name: xp.where(lives, follows[name], a) for name, a in running.items()}, {}
    for name, a in trained.items():
        step, slots_of = step_of(form.rule, xp, a, g[name], slots[name], h)
        if "weight_decay" in form.rule.model_fields and name.endswith("weight"):
            a = a * (1.0 - h.learning_rate * h.weight_decay)
        new_w[name] = xp.where(lives, a - step, w[name])
        new_slots[name] = tuple(xp.where(lives, n, o) for n, o in zip(slots_of, slots[name], strict=True))
    return (new_w, new_slots, lives), xp.where(alive, loss, xp.nan)


# --- programs --------------------------------------------------------------------------------------------------------


def training(form: Form) -> Callable[..., Tree]:
    """`count` iterations of all trials, count <= form.chunk being an argument."""
    place_axis = None if form.shared else 0
    trials = jax.vmap(partial(_iteration, form), in_axes=(0, 0, None, None, place_axis, None, None))

    def run(w: Tree, slots: Tree, alive: Tree, fixed: Tree, x: Tree, y: Tree, varying: Tree, first: Tree, count: Tree):
        def goes_on(carry: Tree) -> Tree:
            i, (_, _, alive), _ = carry
            return (i < count) & alive.any()

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
            moving, loss = trials(moving, numbers, x, y, place, varying["sizes"][i], first + i)
            return i + 1, moving, lax.dynamic_update_index_in_dim(losses, loss, i, 0)

        start = xp.int32(0), (w, slots, alive), xp.full((form.chunk, form.trials), xp.nan, form.precision)
        _, (w, slots, alive), losses = lax.while_loop(goes_on, body, start) if form.loops else body(start)
        return w, slots, alive, losses

    return run


def evaluation(form: Form, rows: int) -> Callable[..., Tree]:
    """The sums of losses and of right answers (2, T) of all trials over a split, block by block, in float64."""
    of_block = evaluation_block(form, rows)

    def run(w: Tree, x: Tree, y: Tree) -> Tree:
        def body(i: Tree, sums: Tree) -> Tree:
            return sums + of_block(w, x, y, i)

        return lax.fori_loop(0, -(-len(x) // rows), body, xp.zeros((2, form.trials), xp.float64))

    return run


def evaluation_block(form: Form, rows: int) -> Callable[..., Tree]:
    """The part of block i in those sums."""

    def run(w: Tree, x: Tree, y: Tree, i: Tree) -> Tree:
        block = min(rows, len(x))
        start = xp.minimum(i * block, len(x) - block)
        seen = xp.arange(block) + start < i * block  # the last block begins early, to be as long as the others
        bx, by = (lax.dynamic_slice_in_dim(a, start, block) for a in (x, y))
        a = jax.vmap(partial(_forward, form, form.output), in_axes=(0, None))(w, bx)  # (T, block, C)
        value = LOSSES[form.loss].value(xp, a, by, form.epsilon).astype(xp.float64)
        right = a.argmax(-1) == by.argmax(-1)
        return xp.stack([xp.where(seen, 0.0, v).sum(-1) for v in (value, right)])

    return run


def outputs(form: Form) -> Callable[..., Tree]:
    """The model's own outputs (T, B, C), whatever the loss is computed through."""
    return jax.vmap(partial(_forward, form, form.network.output), in_axes=(0, None))
