"""PyTorch as its users know it: autograd, any of its devices, mixed precision.

On a CPU the trials of a cohort run one after the other, eagerly. All weights of a trial lie in one vector, weights
before biases, and so do their gradients: an optimizer's rule is then a few calls per iteration, not a few calls per
array. On a GPU they run as one (`torch_cohort`), eagerly or as CUDA graphs (`torch_steps`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.data.targets import is_regression
from assay.engines.base import (
    Checkpoint,
    Cohort,
    Engine,
    Evaluation,
    Progress,
    Splits,
    hyperparameters,
    no_tensorfloat32,
    not_this_optimizer,
    uncounted,
)
from assay.engines.promises import kind_of
from assay.engines.seen import Device, Seen
from assay.engines.torch_cohort import TorchCohort, rows_together
from assay.engines.torch_foreign import ForeignTrial, trial_of
from assay.engines.torch_layers import forward, full_float32, output, rows_at_once, rows_evaluated, xp
from assay.engines.torch_module_checks import module_notes
from assay.engines.torch_modules import generators_kept
from assay.engines.torch_steps import (
    CHECKED,
    CudaGraph,
    Recorder,
    Steps,
    buffer_values,
    current_device,
    graphs_are_on,
    of_one_size,
    runs_of,
)
from assay.engines.torch_trial import TorchTrial, element_type
from assay.parts.batches import Batches, make_batches
from assay.parts.foreign import is_foreign
from assay.parts.layers import Network
from assay.parts.losses import LOSSES, head
from assay.parts.module_networks import ModuleNetwork
from assay.parts.modules import is_module
from assay.parts.user_optimizers import checked_step
from assay.recipe.model import Recipe
from assay.system.gpu import facts, present

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass
class TorchState:
    """A cohort in training: trials one after the other, data on the device."""

    cohort: Cohort
    network: Network  # that of the cohort, in the order that is computed
    trials: list[TorchTrial]
    t: int
    splits: dict[str, tuple[Tensor, Tensor]]  # inputs (N, D) and one-hot labels (N, C)
    together: list[TorchCohort] = field(default_factory=list[TorchCohort])  # on a GPU: what moves as one
    steps: dict[tuple[int, int | None], Steps] = field(default_factory=dict[tuple[int, "int | None"], Steps])
    """By the number of the cohort in `together` and the size of its batches."""
    notes: tuple[str, ...] = ()  # on a user's module


class TorchEngine(Engine):
    """PyTorch; float32, float64, and bfloat16 mixed with float32 weights."""

    name: ClassVar[str] = "torch"

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        super().__init__(device=device, threads=threads)
        kind = kind_of(device)
        self.moves_together = kind == "cuda"
        """Whether the trials of a cohort move as one, to a tolerance; on a CPU they keep the bits of a trial alone."""
        self.recorder: Recorder | None = CudaGraph if kind == "cuda" and graphs_are_on() else None
        """What records a step; None: every step is eager."""

    def instruction_level(self) -> str | None:
        return cpu_capability(self.device)

    def why_not(self, recipe: Recipe) -> str | None:
        reason = not_this_optimizer(recipe, self.name) or missing_device(self.device, self.seen)
        if reason := reason or no_tensorfloat32(recipe, self.device):
            return reason
        if self.device == "mps" and recipe.precision == "float64":
            return "device 'mps' has no float64; use device 'cpu', or precision 'float32'"
        return None

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> TorchState:
        device, element = torch.device(self.device), element_type(cohort.first)
        classes = torch.eye(cohort.network.classes, dtype=element, device=device)
        parts = {
            name: (
                _tensor(x, device, element),
                _tensor(y[:, None], device, element) if is_regression(y) else classes[_tensor(y, device)],
            )
            for name, (x, y) in splits.parts.items()
        }
        network = cohort.network.pooled_first()
        notes = self._module_notes(cohort, parts)
        if self.moves_together and not is_foreign(cohort.first.optimizer) and not is_module(cohort.first.model):
            each = [list(range(len(cohort.recipes)))]
            if cohort.first.optimizer.is_user_defined():  # its rule may read the weights of a trial as a whole
                each = [[number] for number in each[0]]
            together = [TorchCohort(cohort, numbers, network, checkpoint, device) for numbers in each]
            trials = [trial for one in together for trial in one.trials]
            return TorchState(cohort, network, trials, checkpoint.t, parts, together)
        trials = [trial_of(cohort, number, checkpoint, device) for number in range(len(cohort.recipes))]
        if device.type == "cpu" and cohort.network.image is not None:
            _keep_freed_memory()
        return TorchState(cohort, network, trials, checkpoint.t, parts, notes=notes)

    def _module_notes(self, cohort: Cohort, parts: dict[str, tuple[Tensor, Tensor]]) -> tuple[str, ...]:
        """What is unusual about a user's module; nothing for any other model. Raises: CodeError if it cannot train."""
        if not isinstance(cohort.network, ModuleNetwork) or "train" not in parts:
            return ()
        x, y = parts["train"]
        with self._settings(cohort.first):
            return module_notes(cohort.network, cohort.first, x, y, size=cohort.first.batches.width(len(x)))

    def advance(self, state: TorchState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[TorchState, Progress]:
        k = batches.count
        if state.together:
            return self._advance_together(state, batches, alive)
        constants, step_values = state.cohort.constants(), state.cohort.step_values(batches.first, k)
        losses = np.full((len(state.trials), k), np.nan)
        broken = np.zeros(len(state.trials), np.int64)
        with self._settings(state.cohort.first):
            for number in np.flatnonzero(alive):
                trial, h = state.trials[number], (constants[number], step_values[number])
                snapshot = trial.snapshot()
                losses[number] = _iterate(state, trial, batches, int(number), h, k)
                bad = np.flatnonzero(~np.isfinite(losses[number]))
                if len(bad):  # replayed up to there, so that no iteration has to wait for a loss from the device
                    trial.restore(snapshot)
                    _iterate(state, trial, batches, int(number), h, int(bad[0]))
                    losses[number, bad[0] + 1 :] = np.nan
                    broken[number] = batches.first + int(bad[0])
        state.t = batches.first + k - 1
        return state, Progress(losses, broken)

    def _advance_together(
        self, state: TorchState, batches: Batches, alive: NDArray[np.bool_]
    ) -> tuple[TorchState, Progress]:
        """The iterations of cohorts that move as one. The losses are read from the device once, at the end."""
        values = state.cohort.step_values(batches.first, batches.count)
        losses = np.full((len(alive), batches.count), np.nan)
        with self._settings(state.cohort.first):
            made: list[tuple[list[int], int, Tensor]] = []
            for index, cohort in enumerate(state.together):
                cohort.alive.copy_(torch.as_tensor(alive[cohort.numbers], device=cohort.w.device))
                size = int(batches.sizes.max()) if batches.count else 0
                most = steps_of(state, index, batches, size).capacity
                for begin, count in runs_of(batches.sizes, most):
                    steps = steps_of(state, index, batches, int(batches.sizes[begin]))
                    varying, rows = buffer_values(cohort, values, batches, begin, count)
                    steps.fill(varying, rows)
                    t = batches.first + begin
                    made.append((cohort.numbers, begin, steps.run(t, count, recorded=True).clone()))
        for numbers, begin, each in made:
            losses[numbers, begin : begin + len(each)] = each.T.double().cpu().numpy()
        state.t = batches.first + batches.count - 1
        not_finite = ~np.isfinite(losses)
        first = batches.first + not_finite.argmax(1) if batches.count else np.zeros(len(alive), np.int64)
        broken = np.where(alive & not_finite.any(1), first, 0).astype(np.int64)
        return state, Progress(losses, broken)

    def evaluate(self, state: TorchState, split: str) -> Evaluation:
        x, y = state.splits[split]
        network, recipe = state.network, state.cohort.first
        function, loss = head(network.output, recipe.loss)
        sums = np.zeros((2, len(state.trials)))
        block = rows_evaluated(network, self.device)
        if state.together:
            return self._evaluate_together(state, x, y)
        with self._settings(state.cohort.first), torch.no_grad():
            for number, trial in enumerate(state.trials):
                with trial.shown():
                    for rows, labels in zip(x.split(block), y.split(block), strict=True):
                        a = output(function, forward(network, trial, rows, None))
                        value = LOSSES[loss].value(xp, a, labels, _epsilon(recipe)).sum(dtype=_sum_type(x))
                        sums[0, number] += float(value)
                        sums[1, number] += float((a.argmax(-1) == labels.argmax(-1)).sum())
        return Evaluation(sums[0] / len(x), sums[1] / len(x))

    def _evaluate_together(self, state: TorchState, x: Tensor, y: Tensor) -> Evaluation:
        recipe = state.cohort.first
        function, loss = head(state.network.output, recipe.loss)
        sums = np.zeros((2, len(state.trials)))
        with self._settings(recipe), torch.no_grad():
            for cohort in state.together:
                block = rows_together(state.network, cohort.size)
                with cohort.shown():
                    for rows, labels in zip(x.split(block), y.split(block), strict=True):
                        a = cohort.outputs(function, rows)
                        each = LOSSES[loss].value(xp, a, labels.expand(cohort.size, *labels.shape), _epsilon(recipe))
                        sums[0, cohort.numbers] += each.sum(-1, dtype=_sum_type(x)).double().cpu().numpy()
                        correct = a.argmax(-1) == labels.argmax(-1)
                        sums[1, cohort.numbers] += correct.sum(-1).cpu().numpy()
        return Evaluation(sums[0] / len(x), sums[1] / len(x))

    def outputs(self, state: TorchState, x: NDArray[Any]) -> NDArray[Any]:
        network = state.network
        block = rows_evaluated(network, self.device)
        rows = _tensor(x, torch.device(self.device), element_type(state.cohort.first)).split(block)
        with self._settings(state.cohort.first), torch.no_grad():
            each: list[list[Tensor]] = []
            for trial in state.trials:
                with trial.shown():
                    each.append([output(network.output, forward(network, trial, r, None)).cpu() for r in rows])
        return np.stack([torch.cat(blocks).numpy() for blocks in each])

    def export(self, state: TorchState) -> Checkpoint:
        views: list[dict[str, NDArray[Any]]] = []
        for trial in state.trials:
            with trial.shown():
                arrays = (trial.views(trial.w) | trial.running).items()
                views.append({n: np.array(v.cpu().numpy(), order="C") for n, v in arrays})
        weights = {name: np.stack([view[name] for view in views]) for name in state.cohort.network.arrays}
        slots: dict[str, NDArray[Any]] = {}
        if isinstance(state.trials[0], ForeignTrial):
            own = [trial.slots_to_store() for trial in state.trials if isinstance(trial, ForeignTrial)]
            slots = {name: np.stack([arrays[name] for arrays in own])[None] for name in own[0]}
        elif state.trials[0].slots:
            for name in state.cohort.network.shapes:
                each = [[trial.views(slot)[name].cpu().numpy() for slot in trial.stored()] for trial in state.trials]
                slots[name] = np.stack([np.stack(arrays) for arrays in each], axis=1)
        return Checkpoint(state.t, weights, slots)

    def warm_up(self, state: TorchState, batches: Batches) -> None:
        """One iteration on throw-away state, so that libraries are loaded and kernels chosen before the clock runs.

        Where steps are recorded, it records one for each batch size.
        """
        spare = self.start(state.cohort, self.export(state), Splits({}))
        spare.splits = state.splits
        one = Batches(
            batches.first,
            batches.sizes[:1],
            rows=None if batches.rows is None else batches.rows[:, :1],
            starts=None if batches.starts is None else batches.starts[:, :1],
        )
        self.advance(spare, one, np.ones(len(state.trials), np.bool_))
        if self.recorder is not None and state.together:
            self._record(state, batches.first)

    def _record(self, state: TorchState, first: int) -> None:
        """Records the steps of all batch sizes of an epoch, each after `CHECKED` of its iterations were compared."""
        recipe, examples = state.cohort.first, len(state.splits["train"][0])
        epoch = min(max(1, -(-examples // recipe.batches.width(examples))), CHECKED * 64)
        batches = make_batches(recipe.batches, state.cohort.seeds, first, max(CHECKED, epoch), examples)
        values = state.cohort.step_values(first, CHECKED)
        assert self.recorder is not None
        with self._settings(recipe), current_device(self.device):
            for size in np.unique(batches.sizes).tolist():
                for index, cohort in enumerate(state.together):
                    steps = steps_of(state, index, batches, size)
                    cut = of_one_size(batches, size, CHECKED)
                    varying, rows = buffer_values(cohort, values, cut, 0, CHECKED)
                    steps.fill(varying, rows)
                    steps.record(self.recorder, first, CHECKED)

    def warnings(self, state: TorchState) -> tuple[str, ...]:
        refusals = {steps.refusal for steps in state.steps.values() if steps.refusal}
        graphs = (f"trained step by step, not as a CUDA graph: {refusal}" for refusal in sorted(refusals))
        return (*graphs, *state.notes, *uncounted(state.cohort.first))

    def peak_device_memory(self) -> int | None:
        if torch.device(self.device).type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self.device))

    def free_device_memory(self) -> int | None:
        if torch.device(self.device).type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(free + cached)

    def device_facts(self) -> dict[str, str]:
        if torch.device(self.device).type != "cuda":
            return {}
        return facts(torch.cuda.get_device_name(self.device))

    @contextmanager
    def _settings(self, recipe: Recipe) -> Generator[None]:
        """torch's settings while the engine works: threads, TensorFloat-32 if the recipe asks for it, deterministic
        kernels of cuDNN, and subnormals flushed to zero.

        Subnormals turn up in an optimizer's slots when a unit has died, and are many times slower on a CPU.
        """
        cudnn: Any = torch.backends.cudnn
        backends: list[Any] = [torch.backends.cuda.matmul, cudnn]
        threads, allowed = torch.get_num_threads(), [backend.allow_tf32 for backend in backends]
        chosen = cudnn.deterministic, cudnn.benchmark
        if self.threads:
            torch.set_num_threads(self.threads)
        for backend in backends:
            backend.allow_tf32 = recipe.precision == "tensorfloat32"
        cudnn.deterministic, cudnn.benchmark = True, False
        torch.set_flush_denormal(True)
        try:
            with generators_kept(recipe, torch.device(self.device)):
                yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)
            cudnn.deterministic, cudnn.benchmark = chosen
            for backend, before in zip(backends, allowed, strict=True):
                backend.allow_tf32 = before

    def activations(self, cohort: Cohort, batch: int) -> int:
        if self.moves_together:
            return super().activations(cohort, batch) * len(cohort.recipes)
        return super().activations(cohort, min(batch, rows_at_once(cohort.network, self.device) or batch))


def steps_of(state: TorchState, index: int, batches: Batches, size: int) -> Steps:
    """The steps of a cohort in batches of a size, made when they are first needed."""
    cohort = state.together[index]
    taken = batches.rows if batches.rows is not None else batches.starts
    key = (index, None if taken is None else size)
    if key not in state.steps:
        sets = 1 if taken is None or len(taken) == 1 else cohort.size
        names = tuple(state.cohort.step_values(1, 1)[0])
        state.steps[key] = Steps.of(cohort, state.splits["train"], names, sets=sets, size=key[1])
    return state.steps[key]


def missing_device(device: str, seen: Seen | None = None) -> str | None:
    """The error sentence for a device that torch does not see on this machine, else None.

    `seen`: what torch sees, asked in another process; None to ask here.
    """
    if device == "cpu":
        return None
    if device.partition(":")[0] == "gpu":  # a name of jax
        return f"device {device!r} is not a name that torch knows; use {device.replace('gpu', 'cuda', 1)!r}"
    return (seen or seen_here()).missing(device, "torch")


def seen_here() -> Seen:
    """The devices that torch sees in this process."""
    devices = [
        Device(f"cuda:{i}", torch.cuda.get_device_name(i), int(torch.cuda.get_device_properties(i).total_memory))
        for i in range(torch.cuda.device_count())
    ]
    devices += [Device("mps", "Apple GPU")] if torch.backends.mps.is_available() else []
    if not devices and present() and torch.version.cuda is None:
        return Seen(reason="an NVIDIA GPU is there, but this torch is the build for the CPU")
    return Seen(tuple(devices))


def cpu_capability(device: str) -> str | None:
    """The instruction level of torch on the processor; None on another device."""
    return torch.backends.cpu.get_cpu_capability().lower() if device == "cpu" else None


def _tensor(array: NDArray[Any], device: torch.device, element: torch.dtype | None = None) -> Tensor:
    """An array on the device; a read-only one is copied first, because torch has no read-only tensors and warns."""
    return torch.as_tensor(array if array.flags.writeable else array.copy(), dtype=element, device=device)


def _epsilon(recipe: Recipe) -> float:
    return torch.finfo(element_type(recipe)).eps


def _sum_type(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64


@cache
def _keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next part of a batch; does nothing with another C library.

    Otherwise arrays of megabytes come from the system page by page for every part, which takes a sixth of the time of
    lenet5-wide in batches of 600. The process keeps at most half a gigabyte that it does not use.
    """
    with suppress(OSError, AttributeError):  # no C library by that name, or one without this function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest value it accepts
        mallopt(_TRIM_THRESHOLD, 2**29)


def _iterate(
    state: TorchState,
    trial: TorchTrial,
    batches: Batches,
    number: int,
    h: tuple[dict[str, float], dict[str, NDArray[np.float64]]],
    count: int,
) -> NDArray[np.float64]:
    """Runs `count` iterations of one trial; returns the batch losses before each update, read from the device once.

    `number`: the trial's index in the cohort. `h`: its constants and its step values.
    """
    batch = _batches(state, batches, number)
    losses: list[Tensor] = []
    for i in range(count):
        trial.g.zero_()
        losses.append(_gradient(state.network, trial, *batch(i), batches.first + i))
        with torch.no_grad():
            _update(trial, hyperparameters(h[0], h[1], i), clips_objective=state.cohort.clips_objective)
    return torch.stack(losses).cpu().numpy().astype(np.float64) if losses else np.empty(0)


def _gradient(network: Network, trial: TorchTrial, x: Tensor, y: Tensor, t: int) -> Tensor:
    """Adds the gradient of the mean loss of the batch to `trial.g`, part by part; returns the loss."""
    function, name = head(network.output, trial.recipe.loss)
    loss, epsilon = LOSSES[name], _epsilon(trial.recipe)
    rows = rows_at_once(network, trial.w.device.type) or len(y)
    values: list[Tensor] = []
    for part, (inputs, labels) in enumerate(zip(x.split(rows), y.split(rows), strict=True)):
        z = forward(network, trial, inputs, t, part)
        value = loss.value(xp, output(function, z), labels, epsilon).sum() / len(y)
        value.backward()
        values.append(value.detach())
    return torch.stack(values).sum() if len(values) > 1 else values[0]


def _batches(state: TorchState, batches: Batches, number: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """A function from i to the inputs and one-hot labels of a trial's i-th batch.

    The row numbers of all batches go to the device in one transfer.
    """
    x, y = state.splits["train"]
    sizes = batches.sizes.tolist()
    if batches.starts is not None:
        starts = batches.starts[number % len(batches.starts)].tolist()
        return lambda i: (x[starts[i] : starts[i] + sizes[i]], y[starts[i] : starts[i] + sizes[i]])
    if batches.rows is None:
        return lambda i: (x, y)
    rows = torch.as_tensor(batches.rows[number % len(batches.rows)], device=x.device)
    return lambda i: (x.index_select(0, rows[i, : sizes[i]]), y.index_select(0, rows[i, : sizes[i]]))


def _clip(g: Tensor, h: Any) -> None:
    """Scales the gradient `g` down to `clip_norm` if its norm is larger."""
    if h.clip_norm < float("inf"):
        g.mul_(torch.clamp(h.clip_norm / (torch.linalg.vector_norm(g) + 1e-6), max=1.0))


def _update(trial: TorchTrial, h: Any, *, clips_objective: bool) -> None:
    """Moves the trial's weights and slots by one step."""
    w, g = trial.w, trial.g
    penalised = len(w) if trial.recipe.regularisation.biases else trial.weights
    if not clips_objective:
        _clip(g, h)
    if h.l1:
        g[:penalised].add_(w[:penalised].sign(), alpha=h.l1)
    if h.l2:
        g[:penalised].add_(w[:penalised], alpha=h.l2)
    if clips_objective:
        _clip(g, h)
    rule = type(trial.recipe.optimizer)
    if h.weight_decay and not rule.decays_weights:
        w[: trial.weights].mul_(1.0 - h.learning_rate * h.weight_decay)
    if isinstance(trial, ForeignTrial):
        trial.step(h.learning_rate)
        return
    if len(trial.pieces) > 1 or trial.pieces[0].matrix is not None:
        _update_by_pieces(trial, h)
        return
    step, slots = checked_step(rule, xp, w, g, trial.slots, h)
    # a slot of a user's rule may be the gradient or the weights themselves, which change in place
    trial.slots = tuple(slot.clone() for slot in slots) if rule.is_user_defined() else slots
    w.sub_(step)


def _update_by_pieces(trial: TorchTrial, h: Any) -> None:
    """Moves weights and slots piece by piece, where a rule does not treat all of them alike."""
    rule = type(trial.recipe.optimizer)
    for piece in trial.pieces:
        w, g, *own = (piece.of(array) for array in (trial.w, trial.g, *trial.slots))
        is_matrix = piece.matrix is not None
        with full_float32():
            step, slots = checked_step(rule, xp, w, g, tuple(own), piece.settings(h), is_matrix=is_matrix)
        slots = [slot.clone() for slot in slots] if rule.is_user_defined() else slots
        w.sub_(step)
        for slot, values in zip(own, slots, strict=True):
            slot.copy_(values)
