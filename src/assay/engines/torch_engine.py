"""PyTorch as its users know it: eager, autograd, any of its devices, mixed precision.

The trials of a cohort run one after the other. All weights of a trial lie in one vector, weights before biases, and so
do their gradients: an optimizer's rule is then a few calls per iteration, not a few calls per array.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.engines import winograd
from assay.engines.base import (
    Checkpoint,
    Cohort,
    Engine,
    Evaluation,
    Progress,
    Splits,
    hyperparameters,
    no_tensorfloat32,
)
from assay.engines.torch_layers import forward, output, rows_at_once, winograd_layers, xp
from assay.engines.torch_trial import TorchTrial, element_type
from assay.parts.batches import Batches
from assay.parts.layers import Network
from assay.parts.losses import LOSSES, head
from assay.parts.user_optimizers import checked_step
from assay.recipe.model import Recipe

_EVALUATION_ROWS = 10_000

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass
class TorchState:
    """A cohort in training: trials one after the other, data on the device."""

    cohort: Cohort
    network: Network  # that of the cohort, in the order that is computed
    trials: list[TorchTrial]
    t: int
    splits: dict[str, tuple[Tensor, Tensor]]  # inputs (N, D) and one-hot labels (N, C)


class TorchEngine(Engine):
    """Eager PyTorch; float32, float64, and bfloat16 mixed with float32 weights."""

    name: ClassVar[str] = "torch"
    numerics: ClassVar[int] = 3

    def instruction_level(self) -> str | None:
        return cpu_capability(self.device)

    def why_not(self, recipe: Recipe) -> str | None:
        if reason := missing_device(self.device) or no_tensorfloat32(recipe, self.device):
            return reason
        if self.device == "mps" and recipe.precision == "float64":
            return "device 'mps' has no float64; use device 'cpu', or precision 'float32'"
        return None

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> TorchState:
        device, element = torch.device(self.device), element_type(cohort.first)
        classes = torch.eye(cohort.network.classes, dtype=element, device=device)
        parts = {
            name: (_tensor(x, device, element), classes[_tensor(y, device)]) for name, (x, y) in splits.parts.items()
        }
        trials = [TorchTrial(cohort, number, checkpoint, device) for number in range(len(cohort.recipes))]
        if device.type == "cpu" and cohort.network.image is not None:
            _keep_freed_memory()
        return TorchState(cohort, cohort.network.pooled_first(), trials, checkpoint.t, parts)

    def advance(self, state: TorchState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[TorchState, Progress]:
        k = batches.count
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

    def evaluate(self, state: TorchState, split: str) -> Evaluation:
        x, y = state.splits[split]
        network, recipe = state.network, state.cohort.first
        function, loss = head(network.output, recipe.loss)
        sums = np.zeros((2, len(state.trials)))
        block = rows_at_once(network, self.device) or _EVALUATION_ROWS
        with self._settings(state.cohort.first), torch.no_grad():
            for number, trial in enumerate(state.trials):
                for rows, labels in zip(x.split(block), y.split(block), strict=True):
                    a = output(function, forward(network, trial, rows, None))
                    value = LOSSES[loss].value(xp, a, labels, _epsilon(recipe)).sum(dtype=_sum_type(x))
                    sums[0, number] += float(value)
                    sums[1, number] += float((a.argmax(-1) == labels.argmax(-1)).sum())
        return Evaluation(sums[0] / len(x), sums[1] / len(x))

    def outputs(self, state: TorchState, x: NDArray[Any]) -> NDArray[Any]:
        network = state.network
        block = rows_at_once(network, self.device) or _EVALUATION_ROWS
        rows = _tensor(x, torch.device(self.device), element_type(state.cohort.first)).split(block)
        with self._settings(state.cohort.first), torch.no_grad():
            each = [
                [output(network.output, forward(network, trial, r, None)).cpu() for r in rows] for trial in state.trials
            ]
        return np.stack([torch.cat(blocks).numpy() for blocks in each])

    def export(self, state: TorchState) -> Checkpoint:
        views = [
            {n: v.cpu().numpy() for n, v in (trial.views(trial.w) | trial.running).items()} for trial in state.trials
        ]
        weights = {name: np.stack([view[name] for view in views]) for name in state.cohort.network.arrays}
        slots: dict[str, NDArray[Any]] = {}
        if state.trials[0].slots:
            for name in state.cohort.network.shapes:
                each = [[trial.views(slot)[name].cpu().numpy() for slot in trial.slots] for trial in state.trials]
                slots[name] = np.stack([np.stack(arrays) for arrays in each], axis=1)
        return Checkpoint(state.t, weights, slots)

    def warm_up(self, state: TorchState, batches: Batches) -> None:
        """One iteration on throw-away state, so that libraries are loaded and kernels chosen before the clock runs."""
        spare = self.start(state.cohort, self.export(state), Splits({}))
        spare.splits = state.splits
        one = Batches(
            batches.first,
            batches.sizes[:1],
            rows=None if batches.rows is None else batches.rows[:, :1],
            starts=None if batches.starts is None else batches.starts[:, :1],
        )
        self.advance(spare, one, np.ones(len(state.trials), np.bool_))

    def peak_device_memory(self) -> int | None:
        if torch.device(self.device).type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self.device))

    @contextmanager
    def _settings(self, recipe: Recipe) -> Generator[None]:
        """torch's settings while the engine works: threads, TensorFloat-32 if the recipe asks for it, and subnormals
        flushed to zero.

        Subnormals turn up in an optimizer's slots when a unit has died, and are many times slower on a CPU.
        """
        backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
        threads, allowed = torch.get_num_threads(), [backend.allow_tf32 for backend in backends]
        if self.threads:
            torch.set_num_threads(self.threads)
        for backend in backends:
            backend.allow_tf32 = recipe.precision == "tensorfloat32"
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)
            for backend, before in zip(backends, allowed, strict=True):
                backend.allow_tf32 = before

    def allowed_outliers(self, cohort: Cohort) -> float:
        float32 = self.device == "cpu" and cohort.first.precision == "float32"
        return winograd.OUTLIER_FRACTION if float32 and winograd_layers(cohort.network) else 0.0

    def activations(self, cohort: Cohort, batch: int) -> int:
        return super().activations(cohort, min(batch, rows_at_once(cohort.network, self.device) or batch))


def missing_device(device: str) -> str | None:
    """The error sentence for a device that torch does not see on this machine, else None."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    if device in devices:
        return None
    return f"device {device!r} is not one that torch sees on this machine; use {' or '.join(map(repr, devices))}"


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
    if h.weight_decay:
        w[: trial.weights].mul_(1.0 - h.learning_rate * h.weight_decay)
    rule = type(trial.recipe.optimizer)
    step, slots = checked_step(rule, xp, w, g, trial.slots, h)
    # a slot of a user's rule may be the gradient or the weights themselves, which change in place
    trial.slots = tuple(slot.clone() for slot in slots) if rule.is_user_defined() else slots
    w.sub_(step)
