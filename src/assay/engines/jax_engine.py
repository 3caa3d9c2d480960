"""The jax engine: a whole cohort as one compiled program, on any device that jax sees.

Every program is compiled ahead of its call, by `JaxEngine._program`, so that a call never compiles. jax's 64-bit types
are enabled inside the engine's methods only: the process keeps its own setting. float32 is float32 on a GPU too:
TensorFloat-32 is a precision of its own.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import jax
import numpy as np
from numpy.typing import NDArray

from assay.engines.base import (
    Checkpoint,
    Cohort,
    Engine,
    Evaluation,
    Progress,
    Splits,
    no_tensorfloat32,
    not_this_optimizer,
    uncounted,
    wanted_outputs,
)
from assay.engines.jax_cache import cache_on_disk, one_at_a_time
from assay.engines.jax_layers import Tree
from assay.engines.jax_modules import ROWS, module_notes
from assay.engines.jax_programs import (
    Chunk,
    Examples,
    Form,
    Moving,
    evaluation,
    evaluation_block,
    outputs,
    shown,
    training,
)
from assay.engines.promises import kind_of
from assay.engines.seen import Device, Seen
from assay.errors import EngineError
from assay.parts.batches import Batches, iterations_per_epoch, make_batches
from assay.parts.groups import OF_THE_LAST_LAYER, WHERE, GroupedOptimizer
from assay.parts.jax_modules import FunctionalNetwork
from assay.parts.modules import ForeignModel
from assay.recipe.model import Recipe
from assay.system.gpu import facts, present
from assay.system.machine import instruction_level

_EVALUATION_ROWS = 4096  # a block's values stay small, whatever the size of the split
_EVALUATION_VALUES = 2**23  # of the widest layer of images in a block: 32 MB in float32
_PROGRAMS: dict[Hashable, Any] = {}  # compiled, shared by the engines of a process
_MAX_PROGRAMS = 256


@dataclass
class JaxState:
    """A cohort in training; `advance` donates its arrays to the device and stores the new ones here."""

    cohort: Cohort
    form: Form
    t: int
    w: Tree  # {name: (T, ...)}
    slots: Tree  # {name: ((T, ...), ...)}
    fixed: Tree  # {"h": {name: (T,)}, "key": (T, 2)}
    splits: dict[str, Examples]
    notes: tuple[str, ...] = ()  # on a user's module


class JaxEngine(Engine):
    """jax on a CPU, a GPU or a TPU."""

    name: ClassVar[str] = "jax"

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        """`threads` is the size of jax's thread pool, which a process fixes when it first uses jax: it takes effect
        only if the first training of this engine is that first use. Later, `threads` = 1 still keeps elementwise work
        on one thread, but matrix products use the whole pool."""
        super().__init__(device=device, threads=threads)
        self.compilations = 0
        """The number of programs that this engine has compiled."""
        cache_on_disk()

    @cached_property
    def _device(self) -> Any:
        """The device, or None. Asking for it starts jax, which takes memory of every GPU that it sees."""
        with _pool_of(self.threads):
            return _device(self.device)

    def instruction_level(self) -> str | None:
        limit = re.search(r"--xla_cpu_max_isa=(\w+)", os.environ.get("XLA_FLAGS", ""))
        if self.device != "cpu":
            return None
        return limit[1].lower() if limit else instruction_level()

    def why_not(self, recipe: Recipe) -> str | None:
        if reason := not_this_optimizer(recipe, self.name):
            return reason
        if self.device != "cpu" and (reason := (self.seen or seen_here()).missing(self.device, "jax")):
            return reason
        return no_tensorfloat32(recipe, self.device) or _not_with_a_module(recipe)

    def wake(self) -> None:
        _ = self._device

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> JaxState:
        if self._device is None:
            raise EngineError(seen_here().missing(self.device, "jax") or f"jax has no device {self.device!r}")
        if reason := no_tensorfloat32(cohort.first, self.device):
            raise EngineError(reason)
        form = Form.of(cohort, platform=self._device.platform)
        classes = cohort.network.classes
        with _x64(True):
            parts = {
                name: self._put(Examples(np.asarray(x, form.precision), wanted_outputs(y, classes, form.precision)))
                for name, (x, y) in splits.parts.items()
            }
            notes = _module_notes(cohort, parts)
            w, slots = self._put(_arrays(form, checkpoint, checkpoint.trained(cohort.first.optimizer)))
            return JaxState(cohort, form, checkpoint.t, w, slots, self._put(_fixed(cohort)), parts, notes)

    def advance(self, state: JaxState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[JaxState, Progress]:
        if not isinstance(state.form.network, FunctionalNetwork) or batches.rows is None:
            return self._advance(state, batches, alive)
        losses, broken = [np.empty((len(alive), 0))], np.zeros(len(alive), np.int64)
        for run in _of_equal_size(batches):  # a module may look at its whole batch, so that none has padding
            state, progress = self._advance(state, run, alive & (broken == 0))
            losses.append(progress.losses)
            broken = np.where(broken == 0, progress.broken, broken)
        return state, Progress(np.ascontiguousarray(np.concatenate(losses, axis=1)), broken)

    def _advance(self, state: JaxState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[JaxState, Progress]:
        form = state.form.with_batches(batches)
        trials, k = form.trials, batches.count
        chunks: list[tuple[Tree, int]] = []  # the losses of each chunk, and how many of its iterations count
        with _x64(True):
            alive_now: Tree = self._put(np.array(alive, np.bool_))
            for start in range(0, k, form.chunk):
                count = min(form.chunk, k - start)
                t = batches.first + start
                chunk = Chunk(_varying(form, state.cohort, batches, start, count), np.uint32(t), np.int32(count))
                arguments = (Moving(state.w, state.slots, alive_now), state.fixed, state.splits["train"], chunk)
                program = self._program(("train", form), lambda: training(form), arguments, donate=(0,))
                (state.w, state.slots, alive_now), losses = program(*arguments)
                state.t = t + count - 1
                chunks.append((losses, count))
            jax.block_until_ready((state.w, state.slots))
            each = [np.asarray(losses, np.float64)[:count].T for losses, count in chunks]
        losses = np.ascontiguousarray(np.concatenate([np.empty((trials, 0)), *each], axis=1))
        not_finite = ~np.isfinite(losses)
        first = batches.first + not_finite.argmax(1) if k else 0
        broken = np.where(alive & not_finite.any(1), first, 0).astype(np.int64)
        return state, Progress(losses, broken)

    def evaluate(self, state: JaxState, split: str) -> Evaluation:
        with _x64(True):
            sums = self._sums(state.form, self._shown(state), state.splits[split])
        loss, accuracy = sums / len(state.splits[split].y)
        return Evaluation(loss, accuracy)

    def _sums(self, form: Form, w: Tree, examples: Examples) -> NDArray[np.float64]:
        rows = self._rows(form)
        if form.loops:
            arguments = (w, examples)
            return np.array(self._program(("evaluate", form), lambda: evaluation(form, rows), arguments)(*arguments))
        blocks = [(w, examples, np.int32(i)) for i in range(-(-len(examples.y) // rows))]
        program = self._program(("evaluate", form), lambda: evaluation_block(form, rows), blocks[0])
        return sum((np.array(program(*block)) for block in blocks), np.zeros((2, form.trials)))

    def outputs(self, state: JaxState, x: NDArray[Any]) -> NDArray[Any]:
        rows = self._rows(state.form)
        result = np.empty((state.form.trials, len(x), state.form.network.classes), state.form.precision)
        with _x64(True):
            w = self._shown(state)
            for start in range(0, len(x), rows):
                block = np.asarray(x[start : start + rows], state.form.precision)
                padded = np.zeros((rows, x.shape[1]), block.dtype)
                padded[: len(block)] = block
                arguments = (w, padded)
                program = self._program(("outputs", state.form), lambda: outputs(state.form), arguments)
                result[:, start : start + rows] = np.asarray(program(*arguments))[:, : len(block)]
        return result

    def export(self, state: JaxState) -> Checkpoint:
        with _x64(True):
            weights = {name: np.array(a) for name, a in self._shown(state).items()}
        slots = {name: np.stack([np.array(a) for a in arrays]) for name, arrays in state.slots.items() if arrays}
        if state.form.own is not None:
            slots |= _trained(state)
        elif state.form.rule.averages():
            slots = {name: np.concatenate([each, np.array(state.w[name])[None]]) for name, each in slots.items()}
        return Checkpoint(state.t, weights, slots)

    def warnings(self, state: JaxState) -> tuple[str, ...]:
        return (*uncounted(state.cohort.first), *state.notes)

    def warm_up(self, state: JaxState, batches: Batches) -> None:
        """Compiles the programs that `advance` needs for such batches, in any number, and those of the evaluation of
        every split, and runs each once on weights of zeros."""
        with _x64(True):
            zeros = Checkpoint(0, {name: np.zeros(a.shape, a.dtype) for name, a in state.w.items()}, {})
            w, slots = self._put(_arrays(state.form, zeros, zeros.weights))
        spare = replace(state, w=w, slots=slots)
        for one in (_part(batches, 0, 1), *_last_of_an_epoch(state, batches)):
            spare, _ = self.advance(spare, one, np.ones(state.form.trials, np.bool_))
        for split in state.splits:
            self.evaluate(spare, split)

    def peak_device_memory(self) -> int | None:
        if self._device is None or self._device.platform == "cpu":
            return None
        return (self._device.memory_stats() or {}).get("peak_bytes_in_use")

    def activations(self, cohort: Cohort, batch: int) -> int:
        at_once = 1 if self.device == "cpu" else len(cohort.recipes)  # on a GPU, cohorts are made to fit its memory
        return at_once * super().activations(cohort, batch)

    def free_device_memory(self) -> int | None:
        if self.device == "cpu":
            return None  # a plan does not start jax
        if self._device is None or self._device.platform == "cpu":
            return None
        stats = self._device.memory_stats() or {}
        limit, used = stats.get("bytes_limit"), stats.get("bytes_in_use")
        return None if limit is None or used is None else int(limit - used)

    def device_facts(self) -> dict[str, str]:
        if self._device is None or self._device.platform == "cpu":
            return {}
        return facts(str(self._device.device_kind))

    def _shown(self, state: JaxState) -> Tree:
        """The weights to evaluate, which a schedule-free optimizer averages."""
        if state.form.own is not None:
            from assay.engines import jax_foreign

            return jax_foreign.shown(state.form.own, state.w, state.slots, tuple(state.form.network.shapes))
        if not state.form.rule.averages():
            return state.w
        arguments = (state.w, state.slots, state.fixed["h"])
        return self._program(("shown", state.form), lambda: shown(state.form), arguments)(*arguments)

    def _put(self, tree: Tree) -> Tree:
        return jax.device_put(tree, self._device)

    def _rows(self, form: Form) -> int:
        """The number of examples in a block of an evaluation: smaller for many trials, which are evaluated together,
        and for wide layers."""
        rows = max(256, _EVALUATION_ROWS // form.trials)
        if isinstance(form.network, FunctionalNetwork):
            return min(rows, ROWS)
        return rows if form.network.image is None else max(16, min(rows, _EVALUATION_VALUES // form.network.widest))

    def _program(
        self, form: Hashable, make: Callable[[], Callable[..., Tree]], arguments: Tree, donate: tuple[int, ...] = ()
    ) -> Any:
        """The compiled program of a form for arguments of these shapes; nothing is run.

        `donate`: the positions of the arguments whose memory the program may reuse.
        """
        shapes = tuple((a.shape, a.dtype.str) for a in jax.tree.leaves(arguments))
        single = self.threads == 1 and self.device == "cpu"
        key = (form, shapes, self._device, single)
        if key not in _PROGRAMS:
            while len(_PROGRAMS) >= _MAX_PROGRAMS:
                _PROGRAMS.pop(next(iter(_PROGRAMS)))
            lowered: Any = jax.jit(make(), donate_argnums=donate).lower(*arguments)
            options = {"xla_cpu_multi_thread_eigen": False} if single else None
            with one_at_a_time(lowered.as_text()):
                _PROGRAMS[key] = lowered.compile(compiler_options=options)
            self.compilations += 1
        return _PROGRAMS[key]


def _arrays(form: Form, checkpoint: Checkpoint, weights: Tree) -> tuple[Tree, Tree]:
    """The weights that are trained and the slots of a checkpoint, copied, because the device may use a NumPy array's
    memory as its own."""
    w = {name: _in_precision(weights[name], form.precision) for name in form.network.arrays}
    slots: Tree = {}
    if form.own is not None:
        from assay.engines import jax_foreign

        trained = {name: w[name] for name in form.network.shapes}
        if checkpoint.slots:
            trained, slots = jax_foreign.stored_state(form.own, trained, checkpoint.slots)
        else:
            slots = jax_foreign.initial_state(form.own, trained)
        return w | trained, slots
    for name in form.network.shapes:
        a = w[name]
        stored = checkpoint.slots.get(name, [np.zeros_like(a)] * form.rule.slots)
        slots[name] = tuple(np.array(slot, form.precision) for slot in stored[: form.rule.slots])
    return w, slots


def _in_precision(a: Any, precision: str) -> NDArray[Any]:
    """A copy of an array, real numbers in the precision; the whole numbers of a user's module stay as they are."""
    return np.array(a, precision) if np.asarray(a).dtype.kind == "f" else np.array(a)


def _part(batches: Batches, start: int, stop: int, width: int | None = None) -> Batches:
    """The batches of some of the iterations; with `width`, of rows of that many examples."""
    return replace(
        batches,
        first=batches.first + start,
        sizes=batches.sizes[start:stop],
        rows=None if batches.rows is None else batches.rows[:, start:stop, :width],
        starts=None if batches.starts is None else batches.starts[:, start:stop],
    )


def _of_equal_size(batches: Batches) -> Generator[Batches]:
    """Batches of rows as runs of consecutive ones of the same size, without padding."""
    changes = np.flatnonzero(np.diff(batches.sizes)) + 1
    for start, stop in pairwise((0, *changes.tolist(), batches.count)):
        if stop > start:
            yield _part(batches, start, stop, int(batches.sizes[start]))


def _last_of_an_epoch(state: JaxState, batches: Batches) -> list[Batches]:
    """The smaller last batch of an epoch, for which a user's module has a program of its own."""
    recipe, n = state.cohort.first, len(state.splits["train"].y)
    last = int(iterations_per_epoch(recipe.batches, n))
    if not isinstance(state.form.network, FunctionalNetwork) or not 1 <= last <= recipe.iterations(n):
        return []
    found = make_batches(recipe.batches, state.cohort.seeds, last, 1, n)
    if found.rows is None or found.sizes[0] == batches.sizes[0]:
        return []
    return [replace(found, first=batches.first)]


def _module_notes(cohort: Cohort, parts: dict[str, Examples]) -> tuple[str, ...]:
    """What is unusual about a user's module; nothing for any other model. Raises: CodeError if it cannot train."""
    if not isinstance(cohort.network, FunctionalNetwork) or "train" not in parts:
        return ()
    x, y = parts["train"]
    return module_notes(cohort.network, cohort.first, x, y, size=cohort.first.batches.width(len(x)))


def _not_with_a_module(recipe: Recipe) -> str | None:
    """The reason of what a user's module of jax does not have, or None."""
    if not isinstance(recipe.model, ForeignModel):
        return None
    if recipe.precision == "bfloat16":
        return (
            f"model {recipe.model.name!r} is {recipe.model.library.of}, whose products jax cannot set to bfloat16 from "
            "outside; use precision 'float32' or 'float64'"
        )
    groups = recipe.optimizer.where if isinstance(recipe.optimizer, GroupedOptimizer) else ()
    if asked := [where for where in groups if where in OF_THE_LAST_LAYER]:
        known = ", ".join(repr(where) for where in WHERE if where not in OF_THE_LAST_LAYER)
        return (
            f"optimizer.groups: where = {asked[0]!r} asks for the output layer, which {recipe.model.library.of} does "
            f"not tell; use one of {known}, or a module of torch"
        )
    return None


def _trained(state: JaxState) -> dict[str, NDArray[Any]]:
    """The slots that hold the weights that are trained, where others are evaluated."""
    from assay.engines import jax_foreign

    assert state.form.own is not None
    return jax_foreign.trained_weights(state.form.own, {name: state.w[name] for name in state.form.network.shapes})


def _fixed(cohort: Cohort) -> Tree:
    """The trials' constants, and the keys of their dropout masks: the lowest 64 bits of the seeds."""
    constants = cohort.constants()
    h = {name: np.array([c[name] for c in constants], np.float64) for name in constants[0]}
    key = np.array([[seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF] for seed in cohort.seeds], np.uint32)
    return {"h": h, "key": key}


def _varying(form: Form, cohort: Cohort, batches: Batches, start: int, count: int) -> Tree:
    """What changes from iteration to iteration, padded to the form's chunk; the padding is never read."""
    step_values = cohort.step_values(batches.first + start, count)
    stacked = {name: np.stack([c[name] for c in step_values]) for name in step_values[0]}  # (T, count)
    places = batches.rows if batches.rows is not None else batches.starts
    if places is not None:
        places = places[:, start : start + count]
        places = places[..., 0] if form.batches == "starts" and batches.rows is not None else places
    return {
        "step_values": {name: _padded(a, form.chunk, axis=1) for name, a in stacked.items()},
        "places": None if places is None else _padded(places, form.chunk, axis=1),
        "sizes": _padded(batches.sizes[start : start + count], form.chunk, axis=0),
    }


def _padded(a: NDArray[Any], length: int, *, axis: int) -> NDArray[Any]:
    shape = list(a.shape)
    shape[axis] = length
    result = np.empty(shape, a.dtype)  # not filled: pages that are never written take no memory
    result[(slice(None),) * axis + (slice(a.shape[axis]),)] = a
    return result


# --- the process -----------------------------------------------------------------------------------------------------


def _x64(on: bool) -> Any:
    """A context manager that enables or disables jax's 64-bit types."""
    untyped: Any = jax
    if hasattr(untyped, "enable_x64"):
        return untyped.enable_x64(on)
    import jax.experimental as older

    return getattr(older, "enable_x64")(on)  # noqa: B009 (a type checker knows only the newer one)


def _device(name: str) -> Any:
    """The device of a name such as "cpu", "gpu" or "cuda:1", or None."""
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError):
        return None


def seen_here() -> Seen:
    """The devices that jax sees in this process."""
    devices = [
        Device(f"{kind_of(d.platform)}:{number}", str(d.device_kind), (d.memory_stats() or {}).get("bytes_limit"))
        for number, d in enumerate(jax.devices())
        if d.platform != "cpu"
    ]
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    if not devices and present() and not any(importlib.util.find_spec(name) for name in plugins):
        return Seen(reason="an NVIDIA GPU is there, but this jax has no CUDA: pip install 'jax[cuda12]'")
    return Seen(tuple(devices))


@contextmanager
def _pool_of(threads: int | None) -> Generator[None]:
    """Sets the size of jax's thread pool, if jax starts inside: XLA reads it from the environment variable NPROC."""
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
