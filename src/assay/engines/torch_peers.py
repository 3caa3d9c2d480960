"""PyTorch's plain loop in other forms: without TensorFloat-32, and with a whole iteration as one CUDA graph."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.engines.base import Progress
from assay.engines.promises import kind_of
from assay.engines.torch_eager import EagerState, TorchEager, batch_rows
from assay.engines.torch_steps import CudaGraph, Recorded, Recorder, current_device
from assay.parts.batches import Batches, make_batches
from assay.parts.schedules import Constant
from assay.recipe.model import Recipe


class TorchEagerFloat32(TorchEager):
    """The plain loop with float32 products also where PyTorch's default is TensorFloat-32."""

    name: ClassVar[str] = "torch-eager-float32"

    def why_not(self, recipe: Recipe) -> str | None:
        if recipe.precision == "tensorfloat32":
            return "'torch-eager-float32' has no tensorfloat32; use 'torch-eager'"
        return super().why_not(recipe)

    def advance(self, state: EagerState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[EagerState, Progress]:
        with _without_tensorfloat32():
            return super().advance(state, batches, alive)

    def evaluate(self, state: EagerState, split: str) -> Any:
        with _without_tensorfloat32():
            return super().evaluate(state, split)


@contextmanager
def _without_tensorfloat32() -> Generator[None]:
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    allowed = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, before in zip(backends, allowed, strict=True):
            backend.allow_tf32 = before


@dataclass
class _Graph:
    """An iteration on batches of one size: its inputs, its loss, and what repeats it."""

    x: Tensor
    target: Tensor
    loss: Tensor
    recorded: Recorded | None = None


class TorchGraph(TorchEager):
    """The plain loop whose iteration, optimizer and all, is recorded once and replayed."""

    name: ClassVar[str] = "torch-graph"

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        super().__init__(device=device, threads=threads)
        self.capturable = True
        self.recorder: Recorder | None = CudaGraph if kind_of(device) == "cuda" else None

    def why_not(self, recipe: Recipe) -> str | None:
        if self.recorder is None:
            return f"'torch-graph' needs a CUDA device, not {self.device!r}; use 'torch-eager' there"
        if recipe.schedule != Constant():
            return "'torch-graph' has no schedules, whose rates a graph would freeze; use 'torch-eager'"
        if recipe.optimizer.entry == "adagrad":
            return "'torch-graph' has no adagrad, which PyTorch cannot record; use 'torch-eager'"
        return super().why_not(recipe)

    def warm_up(self, state: EagerState, batches: Batches) -> None:
        super().warm_up(state, batches)
        recipe, examples = state.cohort.first, len(state.splits["train"][0])
        epoch = max(1, -(-examples // recipe.batches.width(examples)))
        sizes = make_batches(recipe.batches, state.cohort.seeds, 1, min(epoch, 4096), examples).sizes
        for size in np.unique(sizes).tolist():
            state.graphs[size] = self._recorded(state, size)

    def advance(self, state: EagerState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[EagerState, Progress]:
        if any(size not in state.graphs for size in batches.sizes.tolist()):
            return super().advance(state, batches, alive)
        state.model.train()
        x, _, target = state.splits["train"]
        values: list[Tensor] = []
        for size, rows in zip(batches.sizes.tolist(), batch_rows(batches, x.device), strict=True):
            graph: _Graph = state.graphs[size]
            graph.x.copy_(x[rows])
            graph.target.copy_(target[rows])
            assert graph.recorded is not None
            graph.recorded.replay()
            values.append(graph.loss.clone())
        return self.finished(state, batches, values)

    def _recorded(self, state: EagerState, size: int) -> _Graph:
        """Records an iteration; the weights, and the optimizer's state, are then those before."""
        x, _, target = state.splits["train"]
        graph = _Graph(x[:size].clone(), target[:size].clone(), torch.zeros((), dtype=x.dtype, device=x.device))
        before = {name: a.clone() for name, a in state.model.state_dict().items()}
        moments = [a.clone() for a in _moments(state)]

        def step() -> None:
            state.optimizer.zero_grad(set_to_none=True)
            loss = state.forward(graph.x, graph.target)
            loss.backward()
            if state.cohort.first.clip_norm is not None:
                nn.utils.clip_grad_norm_(state.model.parameters(), state.cohort.first.clip_norm)
            state.optimizer.step()
            with torch.no_grad():
                graph.loss.copy_(loss)

        assert self.recorder is not None
        state.model.train()
        step()  # makes the optimizer's state
        with current_device(self.device):
            graph.recorded = self.recorder(step, [])
        with torch.no_grad():
            for name, a in state.model.state_dict().items():
                a.copy_(before[name])
            for i, a in enumerate(_moments(state)):
                a.copy_(moments[i]) if moments else a.zero_()  # all of torch's optimizers begin with zeros
        return graph


def _moments(state: EagerState) -> list[Tensor]:
    """The tensors of the optimizer's state."""
    values: list[Any] = [value for each in state.optimizer.state.values() for value in each.values()]
    return [value for value in values if isinstance(value, Tensor)]
