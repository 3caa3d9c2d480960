"""What the article on the widened LeNet-5 asks that is no study: single iterations, denormal numbers, compilation."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from assay.articles.context import Context
from assay.articles.page import Table
from assay.articles.timed_runs import cold_start, small_recipe, timed_runs
from assay.data.datasets import load
from assay.engines import installed, missing
from assay.engines import load as load_engine
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.training.loop import Training, prepared

IMAGES, QUICK_IMAGES = 60, 10  # of a single iteration: a tenth of the article's batch
DENORMAL, NORMAL = 1e-40, 1e-3  # float32 is denormal below 1.18e-38
_REPEATS = 15
_STUDY, _EPOCHS = "lenet5-timing", 100


# --- single iterations ------------------------------------------------------------------------------------------------


def recipe_of(context: Context) -> Recipe:
    """The recipe of the timing study."""
    return Recipe.parse(context.written("lenet5-timing").baseline)


class Iteration:
    """One iteration of an engine on one thread, repeated at each call.

    Args:
        engine: Name of the engine.
        whole: The recipe whose iteration it is, on other images.
        images: Size of the batch.
        precision: Precision of the training.
        moments: Value that both Adam moments of every weight have before the iteration (engine torch only).
    """

    def __init__(
        self, engine: str, whole: Recipe, *, images: int, precision: str = "float32", moments: float | None = None
    ) -> None:
        recipe = small_recipe(whole, images=images, precision=precision)
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


# --- the tables -------------------------------------------------------------------------------------------------------


def denormals(context: Context) -> Mapping[str, DenormalCost]:
    """The cost of denormal numbers, by the work that is done on them; empty without torch."""
    if importlib.util.find_spec("torch") is None:
        return {}
    parameters, images = recipe_of(context).model.network(load("digits-28").shape, 10).parameters, _images(context)
    return {
        f"Adam's update of {parameters:,} weights": adam_on_denormals(parameters),
        f"backward pass of the second convolution, {images} images": convolution_on_denormals(images),
    }


def iteration_seconds(context: Context) -> Mapping[str, float]:
    """Seconds of one iteration on one thread: the engines, bfloat16, and torch with normal or denormal moments."""
    works: dict[str, Any] = {}
    whole, images = recipe_of(context), _images(context)
    if installed("torch"):
        works["torch"] = Iteration("torch", whole, images=images)
        works["torch, bfloat16"] = Iteration("torch", whole, images=images, precision="bfloat16")
        works["normal"] = Iteration("torch", whole, images=images, moments=NORMAL)
        works["denormal"] = Iteration("torch", whole, images=images, moments=DENORMAL)
    works["numpy"] = Iteration("numpy", whole, images=images)
    return least_seconds(works, repeats=1 if context.spec.quick else 3)


def _images(context: Context) -> int:
    return QUICK_IMAGES if context.spec.quick else IMAGES


def denormals_table(context: Context) -> Table:
    """The cost of denormal numbers, and the seconds of our epochs over the run."""
    costs: Mapping[str, DenormalCost] = context.experiment("denormals")
    seconds: Mapping[str, float] = context.experiment("iteration_seconds")
    rows = [
        [name, *(f"{1000 * value:.3g}" for value in (d.normal, d.denormal, d.flushed)), f"{d.slower:.2g}"]
        for name, d in costs.items()
    ]
    if "normal" in seconds:
        normal, denormal = seconds["normal"], seconds["denormal"]
        name = f"whole iteration of the engine torch, with all moments so, {_images(context)} images"
        rows.append([name, f"{1000 * normal:.3g}", "-", f"{1000 * denormal:.3g}", f"{denormal / normal:.2g}"])
    faded, kept = fading()
    note = (
        "Least of interleaved runs on one thread. A weight without gradient, such as those of a dead unit, keeps a "
        f"first moment that shrinks by 0.9 per iteration: from {NORMAL:g} it is denormal "
        f"(below 1.18e-38) after {faded} iterations and then stays at {kept:.2g} forever, because 0.9 of it is "
        "rounded back to it. The engine torch flushes denormal numbers to zero while it trains. "
    )
    runs = {f"engine {s.engine}, {s.device_text}": run.epochs for s, run in timed_runs(context, _STUDY).items()}
    courses = [f"{name}: {_sampled(epochs)}" for name, epochs in runs.items() if len(epochs) > 1]
    note += f"Seconds of our epochs, training alone, from first to last: {'; '.join(courses)}." if courses else ""
    head = ("work", "normal [ms]", "denormal [ms]", "denormal, taken for 0 [ms]", "times as long")
    return Table(head, rows, "Denormal numbers", note if rows else missing("torch"))


def iterations_table(context: Context) -> Table:
    """One iteration in each engine and in bfloat16, compared with torch in float32."""
    every: Mapping[str, float] = context.experiment("iteration_seconds")
    shown = {name: seconds for name, seconds in every.items() if name not in ("normal", "denormal")}
    of_torch = shown.get("torch", math.nan)
    rows = [
        [f"engine {name}", f"{1000 * seconds:.3g}", "-" if math.isnan(of_torch) else f"{seconds / of_torch:.2f}"]
        for name, seconds in shown.items()
    ]
    note = (
        f"{_images(context)} images, least of interleaved runs on one thread. bfloat16 halves the bytes; on a "
        "processor without instructions for it (AVX512-BF16, AMX) the products need conversions and are slower."
    )
    title = "Single iterations: the reference engine, and bfloat16"
    return Table(("one iteration", "[ms]", "times torch's"), rows, title, note)


def _sampled(seconds: Sequence[float]) -> str:
    """The first, a few in the middle and the last of the epochs' seconds."""
    few = seconds if len(seconds) <= 6 else [seconds[round(i * (len(seconds) - 1) / 5)] for i in range(6)]
    return ", ".join(f"{value:.3g}" for value in few)


# --- the values of the claims -----------------------------------------------------------------------------------------


def part_before_the_first_iteration(context: Context) -> list[float] | None:
    """Start and compilation / seconds of 100 epochs, of each setup of the engine that compiles; None without any."""
    fractions: list[float] = []
    for setup, run in timed_runs(context, _STUDY).items():
        if setup.engine == "jax":  # the only engine that compiles programs
            start = cold_start(context, setup)
            fractions.append((start.process + start.compile) / run.total(_EPOCHS, start))
    return [value for value in fractions if not math.isnan(value)] or None


def seconds_of_denormals(context: Context) -> float | None:
    """What denormal numbers add to an epoch of 100 iterations at most: in Adam's update, or the backward pass."""
    costs: Mapping[str, DenormalCost] = context.experiment("denormals")
    if not costs:
        return None
    adam, convolution = costs.values()
    updates = _ITERATIONS * (adam.denormal - adam.normal)
    passes = _ITERATIONS * (convolution.denormal - convolution.normal) * _BATCH / _images(context)
    return max(updates, passes)


_ITERATIONS, _BATCH = 100, 600  # of an epoch of the article

__all__ = [
    "DenormalCost",
    "Iteration",
    "denormals",
    "denormals_table",
    "fading",
    "iteration_seconds",
    "iterations_table",
    "least_seconds",
    "part_before_the_first_iteration",
    "seconds_of_denormals",
]
