"""The jax engine: a whole cohort as one compiled program, on whatever device jax sees.

A program is compiled for a `Form`, which holds shapes and choices but no number that a recipe may change: learning
rates, seeds, schedules and the count of iterations are arguments. Every program is compiled by `JaxEngine._program`,
ahead of its call, and cannot compile anything when it is called. jax's 64-bit types are switched on inside the
engine's methods alone: the process keeps its own setting. TF32 is off: float32 is float32 on a GPU too.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from assay.engines.base import Checkpoint, Cohort, Engine, Evaluation, Progress, Splits, no_bfloat16
from assay.errors import EngineError
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import Batches
from assay.parts.layers import Activate, Dense, Network
from assay.parts.losses import LOSSES, head
from assay.parts.optimizers import Optimizer
from assay.recipe import Recipe

Tree = Any  # jax arrays in dicts and tuples; jax's own types say little more
xp: Any = jnp
nn: Any = jax.nn

_EVALUATION_ROWS = 4096  # a block's values stay small, whatever the split's size
_ITERATIONS = 1024  # the most in one call of a program: its dispatch is then far below 1 % of the time
_NUMBERS = 2**18  # of batch rows or of courses in one call: 1 to 2 MB
_PROGRAMS: dict[Hashable, Any] = {}  # compiled, shared by the engines of a process
_MOST_PROGRAMS = 256


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


def _forward(network: Network, output: str, w: Tree, x: Tree, key: Tree = None) -> Tree:
    """The outputs (B, C); with dropout if there is a key."""
    a, number = x, 0
    for depth, layer in enumerate(network.layers):
        if isinstance(layer, Dense):
            a = xp.matmul(a, w[f"{number}.weight"], precision="highest") + w[f"{number}.bias"]
            number += 1
        elif isinstance(layer, Activate):
            a = _function(layer.function)(a)
        elif key is not None:
            # float32 in every precision, so that both have the same masks
            uniform = jax.random.uniform(jax.random.fold_in(key, depth), a.shape, xp.float32)
            a = xp.where(uniform >= layer.rate, a / (1.0 - layer.rate), 0.0)
    return _function(output)(a)


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


@dataclass(frozen=True)
class Form:
    """All that a program depends on, besides the shapes of what it is called with."""

    network: Network
    output: str
    loss: str
    rule: type[Optimizer]
    trials: int
    precision: str
    clip: bool
    biases: bool  # are penalised
    batches: str = ""  # rows, starts or full
    shared: bool = False  # the same batches for all trials
    width: int = 0  # B
    chunk: int = 0  # the most iterations in one call

    @classmethod
    def of(cls, cohort: Cohort) -> Form:
        """The form of a cohort, before its batches are known."""
        r = cohort.first
        output, loss = head(cohort.network.output, r.loss)
        rule, clip, biases = type(r.optimizer), r.clip_norm is not None, r.regularisation.biases
        return cls(cohort.network, output, loss, rule, len(cohort.recipes), r.precision, clip, biases)

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


def _batch_loss(form: Form, w: Tree, x: Tree, y: Tree, size: Tree, key: Tree) -> Tree:
    """The mean loss of the batch's first `size` examples."""
    a = _forward(form.network, form.output, w, x, key)
    values = LOSSES[form.loss].value(xp, a, y, form.epsilon)
    if form.batches == "rows":
        values = xp.where(xp.arange(form.width) < size, values, 0.0)
        return values.sum() / size.astype(values.dtype)
    return values.sum() / len(values)


def _penalised(form: Form, w: Tree, g: Tree, h: Any) -> Tree:
    """The gradient with the penalties' part, then scaled down to `clip_norm`."""

    def penalised(name: str) -> Tree:
        if name.endswith("bias") and not form.biases:
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
    loss, g = jax.value_and_grad(lambda w: _batch_loss(form, w, x, y, size, key))(w)
    g = _penalised(form, w, g, h)
    lives = alive & xp.isfinite(loss)
    new_w, new_slots = {}, {}
    for name, a in w.items():
        step, slots_of = form.rule.rule(xp, a, g[name], slots[name], h)
        if "weight_decay" in form.rule.model_fields and name.endswith("weight"):
            a = a * (1.0 - h.learning_rate * h.weight_decay)
        new_w[name] = xp.where(lives, a - step, w[name])
        new_slots[name] = tuple(xp.where(lives, n, o) for n, o in zip(slots_of, slots[name], strict=True))
    return (new_w, new_slots, lives), xp.where(alive, loss, xp.nan)


# --- programs --------------------------------------------------------------------------------------------------------


def _training(form: Form) -> Callable[..., Tree]:
    """`count` iterations of all trials, count <= form.chunk being an argument."""
    place_axis = None if form.shared else 0
    trials = jax.vmap(
        lambda moving, numbers, x, y, place, size, t: _iteration(form, moving, numbers, x, y, place, size, t),
        in_axes=(0, 0, None, None, place_axis, None, None),
    )

    def run(w: Tree, slots: Tree, alive: Tree, fixed: Tree, x: Tree, y: Tree, varying: Tree, first: Tree, count: Tree):
        def goes_on(carry: Tree) -> Tree:
            i, (_, _, alive), _ = carry
            return (i < count) & alive.any()

        def body(carry: Tree) -> Tree:
            i, moving, losses = carry
            now = {name: lax.dynamic_index_in_dim(a, i, a.ndim - 1, False) for name, a in varying["courses"].items()}
            numbers = {"key": fixed["key"], "h": fixed["h"] | now}
            place = varying["places"]
            if place is not None:
                place = lax.dynamic_index_in_dim(place, i, 1, False)
                place = place[0] if form.shared else place
            moving, loss = trials(moving, numbers, x, y, place, varying["sizes"][i], first + i)
            return i + 1, moving, lax.dynamic_update_index_in_dim(losses, loss, i, 0)

        losses = xp.full((form.chunk, form.trials), xp.nan, form.precision)
        _, (w, slots, alive), losses = lax.while_loop(goes_on, body, (xp.int32(0), (w, slots, alive), losses))
        return w, slots, alive, losses

    return run


def _evaluation(form: Form, rows: int) -> Callable[..., Tree]:
    """The mean loss and the accuracy of all trials over a split, block by block, summed in float64."""

    def run(w: Tree, x: Tree, y: Tree) -> Tree:
        block = min(rows, len(x))

        def body(i: Tree, sums: Tree) -> Tree:
            start = xp.minimum(i * block, len(x) - block)
            seen = xp.arange(block) + start < i * block  # the last block begins early, to be as long as the others
            bx, by = (lax.dynamic_slice_in_dim(a, start, block) for a in (x, y))
            a = jax.vmap(lambda w: _forward(form.network, form.output, w, bx))(w)  # (T, block, C)
            value = LOSSES[form.loss].value(xp, a, by, form.epsilon).astype(xp.float64)
            right = a.argmax(-1) == by.argmax(-1)
            return sums + xp.stack([xp.where(seen, 0.0, v).sum(-1) for v in (value, right)])

        sums = lax.fori_loop(0, -(-len(x) // block), body, xp.zeros((2, form.trials), xp.float64))
        return sums / len(x)

    return run


def _outputs(form: Form) -> Callable[..., Tree]:
    return lambda w, x: jax.vmap(lambda w: _forward(form.network, form.network.output, w, x))(w)


# --- the engine ------------------------------------------------------------------------------------------------------


@dataclass
class JaxState:
    """A cohort in training; its arrays are given to the device's next call, and `advance` puts the new ones here."""

    cohort: Cohort
    form: Form
    t: int
    w: Tree  # {name: (T, ...)}
    slots: Tree  # {name: ((T, ...), ...)}
    fixed: Tree  # {"h": {name: (T,)}, "key": (T, 2)}
    splits: dict[str, tuple[Tree, Tree]]  # inputs (N, D) and one-hot labels (N, C)


class JaxEngine(Engine):
    """jax on a CPU, a GPU or a TPU."""

    name: ClassVar[str] = "jax"
    numerics: ClassVar[int] = 1

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        """`threads` = 1 holds the engine's own programs to one thread. Any other number is the size of the thread pool,
        which a process fixes when it first uses jax: it is heeded only if this engine is that first use."""
        super().__init__(device=device, threads=threads)
        self.compilations = 0
        """How many programs this engine has compiled."""
        _cache_on_disk()
        with _pool_of(threads):
            self._device = _device(device)

    def why_not(self, recipe: Recipe) -> str | None:
        if self._device is None:
            seen = ", ".join(_seen())
            return f"engine 'jax' finds no device {self.device!r}; jax sees {seen}: use one of these"
        return no_bfloat16(recipe, self.name)

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> JaxState:
        reason = self.why_not(cohort.first)
        if reason:
            raise EngineError(reason)
        form = Form.of(cohort)
        classes = np.eye(cohort.network.classes, dtype=form.precision)
        with _x64(True):
            parts = {
                name: self._put((np.asarray(x, form.precision), classes[y])) for name, (x, y) in splits.parts.items()
            }
            w, slots = self._put(_arrays(form, checkpoint))
            return JaxState(cohort, form, checkpoint.t, w, slots, self._put(_fixed(cohort)), parts)

    def advance(self, state: JaxState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[JaxState, Progress]:
        form = state.form.with_batches(batches)
        trials, k = form.trials, batches.count
        kept: list[tuple[Tree, int]] = []
        with _x64(True):
            lives: Tree = self._put(np.array(alive, np.bool_))
            for start in range(0, k, form.chunk):
                count = min(form.chunk, k - start)
                varying = _varying(form, state.cohort, batches, start, count)
                t = batches.first + start
                numbers = (state.fixed, *state.splits["train"], varying, np.uint32(t), np.int32(count))
                arguments = (state.w, state.slots, lives, *numbers)
                program = self._program(("train", form), lambda: _training(form), arguments, donate=(0, 1, 2))
                state.w, state.slots, lives, losses = program(*arguments)
                state.t = t + count - 1
                kept.append((losses, count))
            jax.block_until_ready((state.w, state.slots))
            each = [np.asarray(losses, np.float64)[:count].T for losses, count in kept]
        losses = np.ascontiguousarray(np.concatenate([np.empty((trials, 0)), *each], axis=1))
        wrong = ~np.isfinite(losses)
        first = batches.first + wrong.argmax(1) if k else 0
        broken = np.where(alive & wrong.any(1), first, 0).astype(np.int64)
        return state, Progress(losses, broken)

    def evaluate(self, state: JaxState, split: str) -> Evaluation:
        with _x64(True):
            arguments = (state.w, *state.splits[split])
            rows = self._rows(state.form)
            program = self._program(("evaluate", state.form), lambda: _evaluation(state.form, rows), arguments)
            loss, accuracy = np.array(program(*arguments))
        return Evaluation(loss, accuracy)

    def outputs(self, state: JaxState, x: NDArray[Any]) -> NDArray[Any]:
        rows = self._rows(state.form)
        found = np.empty((state.form.trials, len(x), state.form.network.classes), state.form.precision)
        with _x64(True):
            for start in range(0, len(x), rows):
                block = np.asarray(x[start : start + rows], state.form.precision)
                padded = np.zeros((rows, x.shape[1]), block.dtype)
                padded[: len(block)] = block
                arguments = (state.w, padded)
                program = self._program(("outputs", state.form), lambda: _outputs(state.form), arguments)
                found[:, start : start + rows] = np.asarray(program(*arguments))[:, : len(block)]
        return found

    def export(self, state: JaxState) -> Checkpoint:
        weights = {name: np.array(a) for name, a in state.w.items()}
        slots = {name: np.stack([np.array(a) for a in arrays]) for name, arrays in state.slots.items() if arrays}
        return Checkpoint(state.t, weights, slots)

    def warm_up(self, state: JaxState, batches: Batches) -> None:
        """Compiles and runs once, on weights of zeros, what `advance` needs for such batches and any number of them,
        and the evaluation of every split."""
        with _x64(True):
            nothing = Checkpoint(0, {name: np.zeros(a.shape, a.dtype) for name, a in state.w.items()}, {})
            w, slots = self._put(_arrays(state.form, nothing))
        one = replace(
            batches,
            sizes=batches.sizes[:1],
            rows=None if batches.rows is None else batches.rows[:, :1],
            starts=None if batches.starts is None else batches.starts[:, :1],
        )
        away, _ = self.advance(replace(state, w=w, slots=slots), one, np.ones(state.form.trials, np.bool_))
        for split in state.splits:
            self.evaluate(away, split)

    def peak_device_memory(self) -> int | None:
        if self._device is None or self._device.platform == "cpu":
            return None
        return (self._device.memory_stats() or {}).get("peak_bytes_in_use")

    def _put(self, tree: Tree) -> Tree:
        return jax.device_put(tree, self._device)

    def _rows(self, form: Form) -> int:
        """The examples in a block of an evaluation: fewer for many trials, which are evaluated together."""
        return max(256, _EVALUATION_ROWS // form.trials)

    def _program(
        self, form: Hashable, make: Callable[[], Callable[..., Tree]], arguments: Tree, donate: tuple[int, ...] = ()
    ) -> Any:
        """The compiled program of a form for arguments of these shapes; nothing is run."""
        shapes = tuple((a.shape, a.dtype.str) for a in jax.tree.leaves(arguments))
        single = self.threads == 1 and self.device == "cpu"
        key = (form, shapes, self._device, single)
        if key not in _PROGRAMS:
            while len(_PROGRAMS) >= _MOST_PROGRAMS:
                _PROGRAMS.pop(next(iter(_PROGRAMS)))
            lowered: Any = jax.jit(make(), donate_argnums=donate).lower(*arguments)
            options = {"xla_cpu_multi_thread_eigen": False} if single else None
            _PROGRAMS[key] = lowered.compile(compiler_options=options)
            self.compilations += 1
        return _PROGRAMS[key]


def _arrays(form: Form, checkpoint: Checkpoint) -> tuple[Tree, Tree]:
    """Weights and slots of a checkpoint, copied: the device may take a NumPy array's memory for its own."""
    w = {name: np.array(checkpoint.weights[name], form.precision) for name in form.network.shapes}
    slots: Tree = {}
    for name, a in w.items():
        given = checkpoint.slots.get(name, [np.zeros_like(a)] * form.rule.slots)
        slots[name] = tuple(np.array(slot, form.precision) for slot in given)
    return w, slots


def _fixed(cohort: Cohort) -> Tree:
    """The trials' constants, and the keys of their dropout masks: the seeds' lowest 64 bits."""
    constants = cohort.constants()
    h = {name: np.array([c[name] for c in constants], np.float64) for name in constants[0]}
    key = np.array([[seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF] for seed in cohort.seeds], np.uint32)
    return {"h": h, "key": key}


def _varying(form: Form, cohort: Cohort, batches: Batches, start: int, count: int) -> Tree:
    """What changes from iteration to iteration, padded to the form's chunk; what is padded is never read."""
    courses = cohort.courses(batches.first + start, count)
    stacked = {name: np.stack([c[name] for c in courses]) for name in courses[0]}  # (T, count)
    places = batches.rows if batches.rows is not None else batches.starts
    if places is not None:
        places = places[:, start : start + count]
        places = places[..., 0] if form.batches == "starts" and batches.rows is not None else places
    return {
        "courses": {name: _padded(a, form.chunk, axis=1) for name, a in stacked.items()},
        "places": None if places is None else _padded(places, form.chunk, axis=1),
        "sizes": _padded(batches.sizes[start : start + count], form.chunk, axis=0),
    }


def _padded(a: NDArray[Any], length: int, *, axis: int) -> NDArray[Any]:
    shape = list(a.shape)
    shape[axis] = length
    result = np.empty(shape, a.dtype)  # not filled: pages that are never written cost nothing
    result[(slice(None),) * axis + (slice(a.shape[axis]),)] = a
    return result


# --- the process -----------------------------------------------------------------------------------------------------


def _x64(on: bool) -> Any:
    """jax's 64-bit types, inside a `with`."""
    anything: Any = jax
    if hasattr(anything, "enable_x64"):
        return anything.enable_x64(on)
    from jax.experimental import enable_x64  # where jax is older

    return enable_x64(on)


def _device(name: str) -> Any:
    """The device of a name such as "cpu", "gpu" or "cuda:1", or None."""
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError):
        return None


def _seen() -> list[str]:
    """The names of the devices that jax sees."""
    devices = {str(d.id) + d.platform: d for d in [*jax.devices(), *jax.devices("cpu")]}
    return [f"'{d.platform}:{d.id}'" for d in devices.values()]


def _cache_on_disk() -> None:
    """Lets jax keep what it compiles in a folder, unless the user has named one or the folder cannot be written."""
    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None:
        return
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("ASSAY_CACHE") or Path(home) / "assay") / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        config.update("jax_compilation_cache_dir", str(folder))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextmanager
def _pool_of(threads: int | None) -> Iterator[None]:
    """Makes jax's thread pool that large, if jax starts inside: XLA reads the number from the variable NPROC."""
    before = os.environ.get("NPROC")
    if threads:
        os.environ["NPROC"] = str(threads)
    try:
        yield
    finally:
        if threads:
            os.environ.pop("NPROC")
            if before is not None:
                os.environ["NPROC"] = before
