"""What the widened LeNet-5 costs in small: single iterations of each engine, and numbers too small to be normal."""

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
SMALL, NORMAL = 1e-40, 1e-3  # float32 is denormal below 1.18e-38
_REPEATS = 15


# --- single iterations ------------------------------------------------------------------------------------------------


def small_recipe(images: int, precision: str = "float32") -> Recipe:
    """The article's training on so many of the embedded digits, all of them in one batch."""
    table = read_toml(bundled("lenet5-timing"))["baseline"]
    changes = {"data": {"name": "digits-28", "train": images}, "batches": "full", "precision": precision}
    return Recipe.parse({**table, **changes})


class Iteration:
    """One iteration of an engine on one thread, done again at each call; `moments`: what the engine torch's Adam has
    for both moments of every weight before it."""

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
    """The least seconds of each work, done in turn, so that what else the machine does meets all of them alike."""
    found = dict.fromkeys(works, float("inf"))
    for repeat in range(repeats + 1):
        for name, work in works.items():
            begin = perf_counter()
            work()
            if repeat:  # the first time libraries load and kernels are chosen
                found[name] = min(found[name], perf_counter() - begin)
    return found


# --- numbers too small to be normal -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Denormals:
    """Seconds of a work on normal numbers, on denormal ones, and on denormal ones that are taken for 0."""

    normal: float
    denormal: float
    flushed: float

    @property
    def slower(self) -> float:
        """How many times as long denormal numbers take."""
        return self.denormal / self.normal


def fading(beta: float = 0.9, start: float = NORMAL) -> tuple[int, float]:
    """The iteration in which a moment of Adam without any gradient becomes denormal, and the value that it keeps.

    m <- beta m in float32: it does not reach 0, for the product of beta and a few units of the last place is rounded
    back to them.
    """
    value, rate, iterations, denormal = np.float32(start), np.float32(beta), 0, 0
    smallest = np.finfo(np.float32).tiny
    while (smaller := value * rate) != value:
        value = smaller
        iterations += 1
        denormal = denormal or (iterations if value < smallest else 0)
    return denormal, float(value)


def adam_on_denormals(numbers: int) -> Denormals:
    """Adam's update of so many weights, in torch on one thread."""
    import torch

    weights, gradient, m, v = (torch.zeros(numbers) for _ in range(4))

    def update(value: float) -> None:
        m.fill_(value)
        v.fill_(value)
        m.mul_(0.9).add_(gradient, alpha=0.1)
        v.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        weights.addcdiv_(m, v.sqrt().add_(1e-8), value=-0.001)

    return _on_denormals(update)


def convolution_on_denormals(images: int) -> Denormals:
    """The backward pass of the second convolution, 32 to 64 channels of 5 x 5, in torch on one thread."""
    import torch
    from torch.nn.functional import conv2d

    generator = torch.Generator().manual_seed(1)
    x = torch.randn(images, 32, 12, 12, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    w = (0.05 * torch.randn(64, 32, 5, 5, generator=generator)).requires_grad_()
    z = conv2d(x, w)

    def backward(value: float) -> None:
        torch.autograd.grad(z, (x, w), torch.full_like(z, value), retain_graph=True)

    return _on_denormals(backward)


def _on_denormals(work: Callable[[float], None]) -> Denormals:
    import torch

    def flushed() -> None:
        torch.set_flush_denormal(True)
        try:
            work(SMALL)
        finally:
            torch.set_flush_denormal(False)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        works = {"normal": lambda: work(NORMAL), "denormal": lambda: work(SMALL), "flushed": flushed}
        return Denormals(**least_seconds(works))
    finally:
        torch.set_num_threads(before)


__all__ = [
    "IMAGES",
    "NORMAL",
    "SMALL",
    "Denormals",
    "Iteration",
    "adam_on_denormals",
    "convolution_on_denormals",
    "fading",
    "least_seconds",
    "small_recipe",
]
