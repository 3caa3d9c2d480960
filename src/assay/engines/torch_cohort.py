"""The trials of a cohort as one: their weights in one array, their products in one call. Used on GPUs.

Values between layers are (T, B, units), or (B, T channels, height, width) for images, whose channels are grouped by
trial. Sums may be in another order than those of a trial alone.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from assay.engines.base import Checkpoint, Cohort
from assay.engines.torch_layers import activation, dropout_key, full_float32, mask_of, mixed, output, xp
from assay.engines.torch_scalar import Varying
from assay.engines.torch_trial import TorchTrial, evaluated
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool
from assay.parts.losses import LOSSES, head
from assay.parts.pieces import Piece
from assay.parts.user_optimizers import checked_step


@dataclass
class CohortSnapshot:
    """Copies of everything that an iteration changes."""

    arrays: list[Tensor]


class TorchCohort:
    """T trials: `w`, `g` and each of `slots` are (T, P), and every trial of `trials` has its row of them as its own."""

    def __init__(
        self, cohort: Cohort, numbers: list[int], network: Network, checkpoint: Checkpoint, device: torch.device
    ) -> None:
        """`numbers`: of the trials in the cohort. `network`: in the order that is computed."""
        self.network, self.numbers = network, numbers
        self.trials = [TorchTrial(cohort, number, checkpoint, device) for number in numbers]
        first = self.trials[0]
        self.recipe, self.order, self.shapes, self.weights = first.recipe, first.order, first.shapes, first.weights
        self.pieces = first.pieces
        self.clips_objective = cohort.clips_objective
        self.w = torch.stack([trial.w for trial in self.trials])
        self.g = torch.zeros_like(self.w)
        self.slots = tuple(torch.stack([trial.slots[i] for trial in self.trials]) for i in range(len(first.slots)))
        self.running = {name: torch.stack([trial.running[name] for trial in self.trials]) for name in first.running}
        self.alive = torch.ones(len(numbers), dtype=torch.bool, device=device)
        self.leaves = {name: view.requires_grad_() for name, view in self._views(self.w).items()}
        self.gradients = self._views(self.g)
        self.generators = {
            (depth, trial): torch.Generator(device)
            for depth, layer in enumerate(network.layers)
            if isinstance(layer, Dropout)
            for trial in range(len(numbers))
        }
        self.constants = self._constants(cohort)
        for row, trial in enumerate(self.trials):
            trial.take(
                self.w[row], tuple(slot[row] for slot in self.slots), {n: a[row] for n, a in self.running.items()}
            )

    @property
    def size(self) -> int:
        """T."""
        return len(self.numbers)

    def _views(self, array: Tensor) -> dict[str, Tensor]:
        views: dict[str, Tensor] = {}
        start = 0
        for name in self.order:
            count = math.prod(self.shapes[name])
            views[name] = array.detach()[:, start : start + count].view(len(array), *self.shapes[name])
            start += count
        return views

    def _constants(self, cohort: Cohort) -> dict[str, Any]:
        """Numbers that do not change with t: Python's where all trials have the same, else (T, 1)."""
        each = [cohort.constants()[number] for number in self.numbers]
        constants: dict[str, Any] = {}
        for name in each[0]:
            values = [c[name] for c in each]
            same = len(set(values)) == 1
            element = torch.float32 if self.w.device.type == "mps" else torch.float64
            column = torch.tensor(values, dtype=element, device=self.w.device).view(-1, 1)
            constants[name] = values[0] if same else Varying(column)
        self.clips = any(c["clip_norm"] < math.inf for c in each)
        self.penalties = {name: any(c[name] for c in each) for name in ("l1", "l2", "weight_decay")}
        return constants

    def snapshot(self) -> CohortSnapshot:
        """A copy of everything that an iteration changes."""
        return CohortSnapshot([array.clone() for array in self._state()])

    def restore(self, snapshot: CohortSnapshot) -> None:
        """Undoes what was done since the snapshot."""
        for array, before in zip(self._state(), snapshot.arrays, strict=True):
            array.copy_(before)

    def _state(self) -> list[Tensor]:
        return [self.w, *self.slots, *self.running.values(), self.alive]

    def seed(self, t: int) -> None:
        """Sets the generators of the dropout masks for iteration t."""
        for (depth, row), generator in self.generators.items():
            generator.manual_seed(dropout_key(self.trials[row].recipe.seed, depth, t, 0))

    # --- one iteration ---

    def iterate(self, x: Tensor, y: Tensor, varying: dict[str, Tensor]) -> Tensor:
        """One iteration; returns the losses before it (T,), NaN where a trial is not alive.

        Args:
            x: Inputs, (B, D) for all trials or (T, B, D).
            y: One-hot labels, likewise.
            varying: Hyperparameters that change with t, (T,) each.
        """
        before = self.alive.clone()
        kept = {name: array.clone() for name, array in self.running.items()}
        losses = self._gradient(x, y)
        with torch.no_grad():
            self.alive.logical_and_(torch.isfinite(losses))  # a broken trial stops before its update
            for name, array in self.running.items():
                array.copy_(torch.where(self.alive.view(-1, 1), array, kept[name]))
            self._update(varying)
            return torch.where(before, losses, torch.nan)

    def _gradient(self, x: Tensor, y: Tensor) -> Tensor:
        function, name = head(self.network.output, self.recipe.loss)
        epsilon = torch.finfo(self.w.dtype).eps
        z = self.forward(x, training=True)
        labels = y if y.ndim == 3 else y.expand(self.size, *y.shape)
        losses = LOSSES[name].value(xp, output(function, z), labels, epsilon).sum(-1) / y.shape[-2]
        # into `g` by hand: autograd adds to a gradient whose rows are apart in memory only with a warning
        each = torch.autograd.grad(losses.sum(), list(self.leaves.values()))
        for view, g in zip(self.gradients.values(), each, strict=True):
            view.copy_(g)
        return losses.detach()

    def _update(self, varying: dict[str, Tensor]) -> None:
        alone = self.size == 1
        shape = () if alone else (-1, 1)
        now = {name: Varying(value.reshape(shape)) for name, value in varying.items()}
        h = SimpleNamespace(**{**self.constants, **now})
        w, g = self.w, self.g
        count = w.shape[1] if self.recipe.regularisation.biases else self.weights
        if not self.clips_objective:
            self._clip(h)
        if self.penalties["l1"]:
            g[:, :count].add_(h.l1 * w[:, :count].sign())
        if self.penalties["l2"]:
            g[:, :count].add_(h.l2 * w[:, :count])
        if self.clips_objective:
            self._clip(h)
        alive = self.alive.view(-1, 1)
        rule = type(self.recipe.optimizer)
        if self.penalties["weight_decay"] and not rule.decays_weights:
            decayed = w[:, : self.weights] * (1.0 - h.learning_rate * h.weight_decay)
            w[:, : self.weights] = torch.where(alive, decayed, w[:, : self.weights])
        for piece in self.pieces:
            self._step(piece, h)

    def _step(self, piece: Piece, h: Any) -> None:
        """Moves a piece of the weights and of the slots of the trials that are alive."""
        rule = type(self.recipe.optimizer)
        w, g, *own = (piece.of(a) for a in (self.w, self.g, *self.slots))
        arrays = [a[0] if self.size == 1 else a for a in (w, g, *own)]  # a user's rule sees one trial as on a CPU
        settings, is_matrix = piece.settings(h), piece.matrix is not None
        if is_matrix:
            settings = _of_matrices(settings)
        with full_float32():
            step, slots = checked_step(rule, xp, arrays[0], arrays[1], tuple(arrays[2:]), settings, is_matrix=is_matrix)
        # a slot of a user's rule may be the gradient, the weights or another slot, which change in place
        new = [slot.clone() for slot in slots] if rule.is_user_defined() else list(slots)
        alive = self.alive.view(-1, *[1] * (w.ndim - 1))
        w.sub_(torch.where(alive, step.reshape(w.shape), 0.0))
        for slot, values in zip(own, new, strict=True):
            slot.copy_(torch.where(alive, values.reshape(slot.shape), slot))

    def _clip(self, h: Any) -> None:
        if not self.clips:
            return
        norms = torch.linalg.vector_norm(self.g, dim=1, keepdim=True)
        self.g.mul_(torch.clamp(h.clip_norm / (norms + 1e-6), max=1.0))

    def shown(self) -> AbstractContextManager[None]:
        """Inside, the weights are those to evaluate; afterwards everything has the bits that it had before."""
        return evaluated(self.recipe, self.w, self.slots, self.constants)

    # --- the network ---

    def forward(self, x: Tensor, *, training: bool) -> Tensor:
        """The values before the output function, (T, B, C), of inputs (B, D) or (T, B, D)."""
        a = x if x.ndim == 3 else x.expand(self.size, *x.shape)
        image = self.network.image
        if image is not None:
            a = self._as_images(a, image)
        with mixed(self.recipe, self.w.device.type):
            for depth, (number, layer) in enumerate(self.network.numbered()):
                match layer:
                    case Dense():
                        bias = self.leaves[f"{number}.bias"].unsqueeze(1)
                        a = torch.baddbmm(bias, a, self.leaves[f"{number}.weight"])
                    case Conv2d():
                        a = self._convolution(layer, number, a)
                    case Activate():
                        a = activation(layer.function, a)
                    case Pool():
                        a = (F.max_pool2d if layer.kind == "max" else F.avg_pool2d)(a, layer.size, layer.stride)
                    case Flatten():
                        a = self._flattened(layer, a)
                    case BatchNorm():
                        a = self._normalised(layer, number, a, training=training)
                    case Dropout():
                        a = a * self._masks(layer, depth, a) if training else a
        return a.to(self.w.dtype)

    def _as_images(self, a: Tensor, image: tuple[int, int, int]) -> Tensor:
        trials, rows, _ = a.shape
        images = a.reshape(trials, rows, *image).permute(1, 0, 4, 2, 3)
        return self._laid_out(images.reshape(rows, trials * image[2], *image[:2]))

    def _laid_out(self, a: Tensor) -> Tensor:
        """Channels last in memory for matrix units, which read them so."""
        last = self.recipe.precision in ("bfloat16", "tensorfloat32")
        return a.contiguous(memory_format=torch.channels_last) if last else a.contiguous()

    def _convolution(self, layer: Conv2d, number: int, a: Tensor) -> Tensor:
        weight, bias = self.leaves[f"{number}.weight"], self.leaves[f"{number}.bias"]  # (T, k, k, in, out), (T, out)
        kernels = weight.permute(0, 4, 3, 1, 2).reshape(-1, layer.image[2], layer.kernel, layer.kernel)
        return F.conv2d(a, self._laid_out(kernels), bias.reshape(-1), layer.stride, layer.padding, groups=self.size)

    def _flattened(self, layer: Flatten, a: Tensor) -> Tensor:
        if a.ndim == 3:
            return a.reshape(self.size, -1, layer.values)
        rows, channels, height, width = a.shape
        each = a.reshape(rows, self.size, channels // self.size, height, width).permute(1, 0, 3, 4, 2)
        return each.reshape(self.size, rows, layer.values)

    def _normalised(self, layer: BatchNorm, number: int, a: Tensor, *, training: bool) -> Tensor:
        mean, variance = (self.running[f"{number}.{name}"].view(-1) for name in layer.buffers)
        scale, bias = (self.leaves[f"{number}.{name}"].reshape(-1) for name in layer.shapes)
        flat = a.ndim == 3
        values = a.permute(1, 0, 2).reshape(a.shape[1], -1) if flat else a  # (B, T channels)
        if training and values.numel() == values.shape[1]:  # a single value of a channel is its own mean
            shape = (1, -1, *[1] * (values.ndim - 2))
            result = (values - values.detach()) * scale.view(shape) + bias.view(shape)
        else:
            result = F.batch_norm(values, mean, variance, scale, bias, training, layer.momentum, layer.epsilon)
        return result.view(a.shape[1], self.size, -1).permute(1, 0, 2) if flat else result

    def _masks(self, layer: Dropout, depth: int, a: Tensor) -> Tensor:
        """The masks of all trials, each from its own generator, in the shape of `a`."""
        flat = a.ndim == 3
        one = a.shape[1:] if flat else torch.Size((a.shape[0], a.shape[1] // self.size, *a.shape[2:]))
        each = [mask_of(layer, one, self.generators[depth, row], self.w) for row in range(self.size)]
        return torch.stack(each) if flat else torch.cat(each, dim=1)

    def outputs(self, function: str, x: Tensor) -> Tensor:
        """The outputs (T, B, C) in evaluation."""
        return output(function, self.forward(x, training=False))


def _of_matrices(h: Any) -> Any:
    """Hyperparameters of T trials, (T, 1) each, as (T, 1, 1)."""
    each = vars(h).items()
    wide = {name: Varying(value.value.unsqueeze(-1)) for name, value in each if _has_trials(value)}
    return SimpleNamespace(**{**vars(h), **wide})


def _has_trials(value: Any) -> bool:
    return isinstance(value, Varying) and value.value.ndim == 2


def rows_together(network: Network, trials: int) -> int:
    """How many examples a cohort is evaluated on at once, so that its values stay below half a gigabyte."""
    return int(np.clip(2**27 // (trials * network.widest), 16, 10_000))
