"""One trial's arrays in the torch engine: weights, gradient and slots as vectors, and the views that layers use."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.engines.base import Checkpoint, Cohort
from assay.engines.torch_modules import bind, live_buffers, module_at
from assay.parts.module_networks import ModuleNetwork
from assay.parts.pieces import pieces
from assay.recipe.model import Recipe


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies of a trial's weights, slots and running means and variances."""

    w: Tensor
    slots: tuple[Tensor, ...]
    running: dict[str, Tensor]


class TorchTrial:
    """One trial's weights, gradient and slots: one vector each, with views of weights and gradient for each array."""

    def __init__(self, cohort: Cohort, number: int, checkpoint: Checkpoint, device: torch.device) -> None:
        self.recipe = cohort.recipes[number]
        self.order, self.shapes = cohort.network.order, cohort.network.shapes
        self.weights = cohort.network.penalised  # how many numbers come before the biases in each vector
        element = element_type(self.recipe)

        def vector(arrays: dict[str, NDArray[Any]]) -> Tensor:
            return torch.tensor(self.flat(arrays), dtype=element, device=device)

        rule = type(self.recipe.optimizer)
        self.pieces = pieces(rule, self.order, self.shapes, of_module=isinstance(cohort.network, ModuleNetwork))
        self.constants = cohort.constants()[number]
        self.w = vector({name: w[number] for name, w in checkpoint.trained(self.recipe.optimizer).items()})
        slots = range(rule.slots)
        if checkpoint.slots:
            self.slots = tuple(vector({n: s[i, number] for n, s in checkpoint.slots.items()}) for i in slots)
        else:
            self.slots = tuple(torch.zeros_like(self.w) for _ in slots)
        self.g = torch.zeros_like(self.w)
        self.leaves = {name: view.requires_grad_() for name, view in self.views(self.w).items()}
        for name, view in self.views(self.g).items():
            self.leaves[name].grad = view  # autograd accumulates, so the gradient lands in `g`
        self.module: Any = None
        """The user's module, whose parameters are views of `w`."""
        if isinstance(cohort.network, ModuleNetwork):
            arrays = {name: w[number] for name, w in checkpoint.weights.items()}
            self.module = module_at(cohort.network, self.recipe, arrays, self.w)
            bind(self.module, self.views(self.w), self.views(self.g))
            self.running = live_buffers(self.module)
            return
        self.running = {
            name: torch.tensor(checkpoint.weights[name][number], dtype=element, device=device)
            for name in cohort.network.buffers
        }

    def flat(self, arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """The arrays in one vector."""
        return np.concatenate([arrays[name].ravel() for name in self.order])

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """The arrays in a vector, as views that share its memory."""
        views: dict[str, Tensor] = {}
        start = 0
        for name in self.order:
            shape = self.shapes[name]
            views[name] = vector.detach()[start : start + math.prod(shape)].view(shape)
            start += math.prod(shape)
        return views

    def take(self, w: Tensor, slots: tuple[Tensor, ...], running: dict[str, Tensor]) -> None:
        """Takes over arrays that are views of a cohort's; it is then only evaluated and exported."""
        self.w, self.slots, self.running = w, slots, running
        self.leaves = self.views(w)

    def shown(self) -> AbstractContextManager[None]:
        """Inside, the weights are those to evaluate; afterwards everything has the bits that it had before."""
        return evaluated(self.recipe, self.w, self.slots, self.constants)

    def stored(self) -> tuple[Tensor, ...]:
        """What a checkpoint holds besides the weights to evaluate: the slots, and the weights that are trained where
        these are others."""
        return (*self.slots, self.w) if type(self.recipe.optimizer).averages() else self.slots

    def snapshot(self) -> Snapshot:
        """A copy of everything that an iteration changes."""
        running = {name: array.clone() for name, array in self.running.items()}
        return Snapshot(self.w.clone(), tuple(slot.clone() for slot in self.slots), running)

    def restore(self, snapshot: Snapshot) -> None:
        """Undoes what was done since the snapshot."""
        self.w.copy_(snapshot.w)
        self.slots = tuple(slot.clone() for slot in snapshot.slots)
        for name, array in snapshot.running.items():
            self.running[name].copy_(array)


def element_type(recipe: Recipe) -> torch.dtype:
    """The element type of weights, sums and everything but products."""
    return torch.float64 if recipe.precision == "float64" else torch.float32


@contextmanager
def evaluated(recipe: Recipe, w: Tensor, slots: tuple[Tensor, ...], constants: dict[str, Any]) -> Generator[None]:
    """Inside, `w` has the weights to evaluate; afterwards it has the bits that it had before."""
    rule = type(recipe.optimizer)
    if not rule.averages():
        yield
        return
    with torch.no_grad():
        trained = w.clone()
        w.copy_(rule.shown(trained, slots, SimpleNamespace(**constants)))
    try:
        yield
    finally:
        with torch.no_grad():
            w.copy_(trained)
