"""Iterations of a cohort on a GPU: one step function, run eagerly or as a CUDA graph.

Everything that changes with t lies in buffers that the engine owns: hyperparameters, rows of the batch, the number of
the iteration, losses. Dropout has generators that are seeded before each iteration. So a recorded step computes what an
eager one does. A graph is used only after `CHECKED` of its iterations have equalled the eager ones bit for bit.

Recording is off unless ASSAY_TORCH_GRAPHS=1, because no card has confirmed it yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.engines.torch_cohort import TorchCohort
from assay.engines.torch_scalar import float64, recording
from assay.parts.batches import Batches

SETTING = "ASSAY_TORCH_GRAPHS"
CHECKED = 16
_CAPACITY = 1024  # iterations whose hyperparameters and rows are on the device at once
_MAX_ROWS = 2**22


class Recorded(Protocol):
    """A step that was recorded."""

    def replay(self) -> None:
        """Runs it again, on the same buffers."""
        ...


Recorder = Callable[[Callable[[], None], list[torch.Generator]], Recorded]


def graphs_are_on() -> bool:
    """Whether the user has switched CUDA graphs on."""
    return os.environ.get(SETTING, "") == "1"


class CudaGraph:
    """A step as a CUDA graph."""

    def __init__(self, step: Callable[[], None], generators: list[torch.Generator]) -> None:
        """Runs the step a few times, which libraries need before they can be recorded, and records it."""
        stream: Any = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph: Any = torch.cuda.CUDAGraph()
        for generator in generators:
            self._graph.register_generator_state(generator)
        with torch.cuda.graph(self._graph):
            step()

    def replay(self) -> None:
        self._graph.replay()


def current_device(device: str) -> AbstractContextManager[Any]:
    """Makes a CUDA device that of the streams on which a step is recorded."""
    return torch.cuda.device(device) if torch.device(device).type == "cuda" else nullcontext()


@dataclass
class StepBuffers:
    """What changes with t, for up to `capacity` iterations."""

    position: Tensor  # (1,): which iteration is next
    varying: dict[str, Tensor]  # (capacity, T)
    rows: Tensor | None  # (capacity, S, B), or None where a batch has all examples
    losses: Tensor  # (capacity, T)


@dataclass
class Steps:
    """The iterations of one cohort in batches of one size."""

    cohort: TorchCohort
    data: tuple[Tensor, Tensor]
    buffers: StepBuffers
    recorded: Recorded | None = None
    refusal: str = ""
    """Why the step is not recorded although this was wanted."""

    @classmethod
    def of(
        cls, cohort: TorchCohort, data: tuple[Tensor, Tensor], names: tuple[str, ...], *, sets: int, size: int | None
    ) -> Steps:
        """Steps on batches of `size` rows, one set of them for all trials or one for each; None: all examples."""
        device, trials = cohort.w.device, cohort.size
        capacity = _CAPACITY if size is None else max(CHECKED, min(_CAPACITY, _MAX_ROWS // (sets * size)))
        buffers = StepBuffers(
            torch.zeros(1, dtype=torch.int64, device=device),
            {name: float64(np.zeros((capacity, trials)), device) for name in names},
            None if size is None else torch.zeros((capacity, sets, size), dtype=torch.int64, device=device),
            torch.zeros((capacity, trials), dtype=cohort.w.dtype, device=device),
        )
        return cls(cohort, data, buffers)

    @property
    def capacity(self) -> int:
        """How many iterations the buffers hold."""
        return len(self.buffers.losses)

    def step(self) -> None:
        """One iteration: that of the position, which moves on."""
        buffers, (x, y) = self.buffers, self.data
        if buffers.rows is not None:
            rows = buffers.rows.index_select(0, buffers.position)[0]  # (S, B)
            if len(rows) == 1:
                x, y = x.index_select(0, rows[0]), y.index_select(0, rows[0])
            else:
                flat = rows.reshape(-1)
                x, y = (a.index_select(0, flat).view(*rows.shape, -1) for a in (x, y))
        now = {name: values.index_select(0, buffers.position)[0] for name, values in buffers.varying.items()}
        losses = self.cohort.iterate(x, y, now)
        with torch.no_grad():
            buffers.losses.index_copy_(0, buffers.position, losses.view(1, -1))
            buffers.position.add_(1)

    def fill(self, varying: dict[str, NDArray[np.float64]], rows: NDArray[np.int64] | None) -> None:
        """Copies the values of some iterations into the buffers: (k, T) each, and rows (k, S, B)."""
        buffers = self.buffers
        for name, values in varying.items():
            buffers.varying[name][: len(values)].copy_(float64(values, buffers.losses.device))
        if buffers.rows is not None and rows is not None:
            buffers.rows[: len(rows)].copy_(torch.as_tensor(rows, device=buffers.rows.device))
        buffers.position.zero_()

    def run(self, first: int, count: int, *, recorded: bool) -> Tensor:
        """Runs `count` iterations of the buffers, of which the first has the count t = `first`; the losses (k, T)."""
        for i in range(count):
            self.cohort.seed(first + i)
            if recorded and self.recorded is not None:
                self.recorded.replay()
            else:
                self.step()
        return self.buffers.losses[:count]

    def record(self, recorder: Recorder, first: int, count: int) -> None:
        """Records the step if so many iterations of it equal the eager ones bit for bit; else `refusal` says why not.

        Nothing is changed: the weights are those before. The buffers hold the values of these iterations.
        """
        cohort, before = self.cohort, self.cohort.snapshot()
        try:
            with recording():
                eager = self._trajectory(first, count, recorded=False)
                cohort.restore(before)
                self.buffers.position.zero_()
                self.recorded = recorder(self.step, list(cohort.generators.values()))
                cohort.restore(before)
                replayed = self._trajectory(first, count, recorded=True)
        except Exception as error:
            self.recorded = None
            self.refusal = f"the step could not be recorded: {' '.join(str(error).split())[:300]}"
        else:
            if not all(torch.equal(_bits(a), _bits(b)) for a, b in zip(eager, replayed, strict=True)):
                self.recorded = None
                self.refusal = f"{count} iterations of the graph did not equal the eager ones bit for bit"
        cohort.restore(before)
        self.buffers.position.zero_()

    def _trajectory(self, first: int, count: int, *, recorded: bool) -> list[Tensor]:
        """Copies of what the iterations have made: every loss, and the state after them."""
        self.buffers.position.zero_()
        losses = self.run(first, count, recorded=recorded).clone()
        return [losses, *self.cohort.snapshot().arrays]


def _bits(a: Tensor) -> Tensor:
    """The bits of a tensor as whole numbers, so that equal NaN are equal."""
    kinds = {torch.float64: torch.int64, torch.float32: torch.int32}
    return a.contiguous().view(kinds[a.dtype]) if a.dtype in kinds else a


def buffer_values(
    cohort: TorchCohort, values: list[dict[str, NDArray[np.float64]]], batches: Batches, begin: int, count: int
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64] | None]:
    """What changes with t in some iterations: (count, T) each, and the rows."""
    part = slice(begin, begin + count)
    varying = {name: np.stack([values[n][name][part] for n in cohort.numbers], axis=1) for name in values[0]}
    return varying, rows_of(batches, cohort.numbers, begin, count)


def of_one_size(batches: Batches, size: int, count: int) -> Batches:
    """So many batches of one size, from batches that are at least as large: the first rows of each."""
    large = np.flatnonzero(batches.sizes >= size)
    chosen = large[np.arange(count) % len(large)]
    return Batches(
        batches.first,
        np.full(count, size, np.int32),
        rows=None if batches.rows is None else batches.rows[:, chosen, :size],
        starts=None if batches.starts is None else batches.starts[:, chosen],
    )


def rows_of(batches: Batches, numbers: list[int], begin: int, count: int) -> NDArray[np.int64] | None:
    """The rows (count, S, B) of iterations of equal size, for the trials of these numbers; None for all examples."""
    size = int(batches.sizes[begin])
    part = slice(begin, begin + count)
    if batches.starts is not None:
        starts = _of_trials(batches.starts, numbers)[:, part].T.astype(np.int64)
        return starts[:, :, None] + np.arange(size)
    if batches.rows is None:
        return None
    return _of_trials(batches.rows, numbers)[:, part, :size].swapaxes(0, 1).astype(np.int64)


def _of_trials(a: NDArray[Any], numbers: list[int]) -> NDArray[Any]:
    return a if len(a) == 1 else a[numbers]


def runs_of(sizes: NDArray[np.int32], most: int) -> list[tuple[int, int]]:
    """Runs of iterations of equal batch size, at most so many at once: where each begins, and how many it has.

    >>> runs_of(np.array([8, 8, 8, 5, 8]), 2)
    [(0, 2), (2, 1), (3, 1), (4, 1)]
    """
    runs: list[tuple[int, int]] = []
    for i, size in enumerate(sizes.tolist()):
        if runs and sizes[runs[-1][0]] == size and runs[-1][1] < most:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))
    return runs
