"""What a user's module must do, tried on a few examples, with modules made for it, before a training begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.engines.module_sentences import backward_failed, not_finite, twice_softmax, without_gradient
from assay.engines.torch_layers import output, xp
from assay.engines.torch_modules import called, generators_kept, inputs_of, iteration_seed, load_arrays
from assay.errors import CodeError, listed
from assay.parts.losses import LOSSES, head
from assay.parts.module_networks import ModuleNetwork, as_array, parts_of
from assay.recipe.model import Recipe

_ROWS = 32  # of the first batch
_PASSES = 2  # before the state of a module goes into another one
_MOST_PASSED = 256

_passed: dict[object, tuple[str, ...]] = {}


def module_notes(network: ModuleNetwork, recipe: Recipe, x: Tensor, y: Tensor, *, size: int) -> tuple[str, ...]:
    """Tries a module with its own initial weights; returns sentences on what is unusual.

    Args:
        network: The module's network.
        recipe: What is trained.
        x: Examples (N, D), on the device and in the type of the training.
        y: Their labels, one-hot (N, C).
        size: The number of examples of a batch.

    Raises:
        CodeError: It fails, returns anything but finite values (B, C), does not depend on its parameters, draws random
            numbers that are not torch's, is random in evaluation, or keeps state that a checkpoint would lack.
    """
    rows = min(size, len(x), _ROWS)
    key = (network, recipe.loss, recipe.precision, rows, x.device, x.dtype)
    if key not in _passed:
        with generators_kept(recipe, x.device):
            notes = tuple(_Trial(network, recipe, x[:rows], y[:rows]).notes())
        if len(_passed) >= _MOST_PASSED:
            _passed.clear()
        _passed[key] = notes
    return _passed[key]


@dataclass(frozen=True, eq=False)
class _Trial:
    """A module and the first rows of its data."""

    network: ModuleNetwork
    recipe: Recipe
    x: Tensor
    y: Tensor

    @property
    def owner(self) -> str:
        return f"model {self.network.model.name!r}"

    def notes(self) -> Iterator[str]:
        first, second = self._made(), self._made()
        self._same_start(first, second)
        values = [self._pass(first, t) for t in range(1, _PASSES + 1)]
        arrays = {name: as_array(array) for parts in parts_of(first) for name, array in parts.items()}
        load_arrays(second, arrays, self.network.model.name)
        self._same_pass(first, second)
        self._evaluated(first)
        if note := self.network.model.factory().note:
            yield f"{self.owner}: {note}"
        unused = [name for name, parameter in parts_of(first)[0].items() if parameter.grad is None]
        if unused:
            yield f"{self.owner}: no gradient reaches {listed(unused)}, so that training leaves it as it is"
        if self.recipe.model.output in ("log_softmax", "softmax") and _are_probabilities(values[0]):
            yield twice_softmax(self.owner, self.recipe.model.output)

    def _made(self) -> Any:
        return self.network.built(self.recipe.seed).to(device=self.x.device, dtype=self.x.dtype)

    def _same_start(self, a: Any, b: Any) -> None:
        for ours, others in zip(parts_of(a), parts_of(b), strict=True):
            for name in ours:
                if name not in others or not _equal(ours[name], others[name]):
                    raise CodeError(
                        f"{self.owner} draws {name!r} from another source than torch's generator, so that a seed does "
                        "not give the same weights again; draw it by torch, without a seed of its own"
                    )

    def _pass(self, module: Any, t: int) -> Tensor:
        """The module's values of the batch in iteration t, after its gradients were computed."""
        module.train()
        module.zero_grad(set_to_none=True)
        torch.manual_seed(iteration_seed(self.recipe.seed, t))
        values = called(self.network, module, inputs_of(self.network, self.x), self.recipe, "")
        if not torch.isfinite(values).all():
            raise not_finite(self.owner, has_nan=bool(torch.isnan(values).any()))
        if not values.requires_grad:
            raise without_gradient(self.owner)
        function, name = head(self.network.output, self.recipe.loss)
        epsilon = torch.finfo(self.x.dtype).eps
        loss = LOSSES[name].value(xp, output(function, values), self.y, epsilon).sum() / len(self.y)
        try:
            loss.backward()
        except Exception as error:
            raise backward_failed(self.owner, error) from error
        return values.detach()

    def _same_pass(self, a: Any, b: Any) -> None:
        """Compares an iteration of a module with that of another one with its weights and buffers."""
        t = _PASSES + 1
        same = _equal(self._pass(a, t), self._pass(b, t))
        grads = [[p.grad for p in parts_of(module)[0].values()] for module in (a, b)]
        same = same and all(_equal(g, h) for g, h in zip(*grads, strict=True))
        buffers = [parts_of(module)[1] for module in (a, b)]
        same = same and all(_equal(array, buffers[1].get(name)) for name, array in buffers[0].items())
        if not same:
            raise CodeError(
                f"{self.owner} gives other results for the same batch, weights and buffers, so that its training could "
                "not be resumed: it keeps state in an attribute, not a buffer (register_buffer), or draws random "
                "numbers by another generator than torch's"
            )

    def _evaluated(self, module: Any) -> None:
        before = {name: array.clone() for name, array in parts_of(module)[1].items()}
        module.eval()
        with torch.no_grad():
            a, b = (called(self.network, module, inputs_of(self.network, self.x), self.recipe, "") for _ in range(2))
        if not _equal(a, b):
            raise CodeError(
                f"{self.owner} is random in evaluation: two passes in eval() differ; be random only where "
                "self.training is True"
            )
        changed = [name for name, array in parts_of(module)[1].items() if not _equal(array, before.get(name))]
        if changed:
            raise CodeError(
                f"{self.owner} changes {changed[0]!r} in evaluation, so that measuring it would change its training; "
                "change it only where self.training is True"
            )


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors are equal bit for bit; on a GPU, whose kernels may differ from pass to pass, nearly."""
    if a is None or b is None:
        return a is b
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.device.type == "cpu" or not a.is_floating_point():
        return torch.equal(a, b)
    return torch.allclose(a, b, rtol=1e-3, atol=1e-5)


def _are_probabilities(values: Tensor) -> bool:
    sums = values.double().sum(-1)
    return bool((values >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3))
