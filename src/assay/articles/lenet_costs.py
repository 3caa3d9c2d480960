"""Small experiments on the widened LeNet-5: single iterations of each engine, and the cost of denormal numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from assay.data.datasets import load
from assay.engines import load as load_engine
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.recipe.toml import read_toml
from assay.studies.study import bundled
from assay.training.loop import Training, prepared

IMAGES = 60  # of a single iteration: a tenth of the article's batch
DENORMAL, NORMAL = 1e-40, 1e-3  # float32 is denormal below 1.18e-38
_REPEATS = 15


# --- single iterations ------------------------------------------------------------------------------------------------


def small_recipe(images: int, precision: str = "float32") -> Recipe:
    """The article's training on `images` of the embedded digits, all in one batch."""
    table = read_toml(bundled("lenet5-timing"))["baseline"]
    changes = {"data": {"name": "digits-28", "train": images}, "batches": "full", "precision": precision}
    return Recipe.parse({**table, **changes})


class Iteration:
    """One iteration of an engine on one thread, repeated at each call.

    Args:
        engine: Name of the engine.
        images: Size of the batch.
        precision: Precision of the training.
        moments: Value that both Adam moments of every weight have before the iteration (engine torch only).
    """

    def __init__(self, engine: str, *, images: int, precision: str = "float32", moments: float | None = None) -> None:
        recipe = small_recipe(images, precision)
        self.training = Training([recipe], load_engine(engine, threads=1), prepared(recipe, load(recipe.data.name)))
        self._batches = make_batches(recipe.batches, self.training.cohort.seeds, 1, 1, images)
        self._moments = moments

    def __call__(self) -> None:
        training = self.training
        if self._moments is not None:
            for trial in training.state.trials:
                trial.slots = tuple(slot.fill_(self._moments) for slot in trial.slots)
        training.state, _ = training.engine.advance(training.state, self._batches, np.array([True]))


def least_seconds(works: Mapping[str, Callable[[], object]], *, repeats: int = _REPEATS) -> dict[str, float]:
    """The least seconds of each work. They take turns, so that other load on the machine affects all of them alike."""
    least = dict.fromkeys(works, float("inf"))
    for repeat in range(repeats + 1):
        for name, work in works.items():
            begin = perf_counter()
            work()
            if repeat:  # in the first round, libraries load and kernels are chosen
                least[name] = min(least[name], perf_counter() - begin)
    return least


# --- denormal numbers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DenormalCost:
    """Seconds of a work on normal numbers, on denormal ones, and on denormal ones that are flushed to zero."""

    normal: float
    denormal: float
    flushed: float

    @property
    def slower(self) -> float:
        """How many times as long the work takes on denormal numbers."""
        return self.denormal / self.normal


def fading(beta: float = 0.9, start: float = NORMAL) -> tuple[int, float]:
    """The iteration in which a moment of Adam without gradient becomes denormal, and the value that it keeps.

    m <- beta m in float32 does not reach 0, because the product of beta and a few units in the last place is rounded
    back to them.
    """
    value, factor, iterations, denormal = np.float32(start), np.float32(beta), 0, 0
    smallest_normal = np.finfo(np.float32).tiny
    while (smaller := value * factor) != value:
        value = smaller
        iterations += 1
        denormal = denormal or (iterations if value < smallest_normal else 0)
    return denormal, float(value)


def adam_on_denormals(parameters: int) -> DenormalCost:
    """The cost of Adam's update of `parameters` weights, in torch on one thread."""
    import torch

    weights, gradient, m, v = (torch.zeros(parameters) for _ in range(4))

    def update(value: float) -> None:
        m.fill_(value)
        v.fill_(value)
        m.mul_(0.9).add_(gradient, alpha=0.1)
        v.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        weights.addcdiv_(m, v.sqrt().add_(1e-8), value=-0.001)

    return _on_denormals(update)


def convolution_on_denormals(images: int) -> DenormalCost:
    """The cost of the backward pass of the second convolution, 32 to 64 channels of 5 x 5, in torch on one thread."""
    import torch
    from torch.nn.functional import conv2d

    generator = torch.Generator().manual_seed(1)
    x = torch.randn(images, 32, 12, 12, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    w = (0.05 * torch.randn(64, 32, 5, 5, generator=generator)).requires_grad_()
    z = conv2d(x, w)

    def backward(value: float) -> None:
        torch.autograd.grad(z, (x, w), torch.full_like(z, value), retain_graph=True)

    return _on_denormals(backward)


def _on_denormals(work: Callable[[float], None]) -> DenormalCost:
    """The cost of a work that takes the value of its numbers."""
    import torch

    def flushed() -> None:
        torch.set_flush_denormal(True)
        try:
            work(DENORMAL)
        finally:
            torch.set_flush_denormal(False)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        works = {"normal": lambda: work(NORMAL), "denormal": lambda: work(DENORMAL), "flushed": flushed}
        return DenormalCost(**least_seconds(works))
    finally:
        torch.set_num_threads(threads)


__all__ = [
    "DENORMAL",
    "IMAGES",
    "NORMAL",
    "DenormalCost",
    "Iteration",
    "adam_on_denormals",
    "convolution_on_denormals",
    "fading",
    "least_seconds",
    "small_recipe",
]
