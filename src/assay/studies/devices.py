"""The device of `device = "auto"`, and what is known to be faster than a device or an engine that was named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from assay.data.dataset import Dataset
from assay.engines import ENGINES, installed, kind_of_training
from assay.engines.devices import LIBRARIES, seen_by
from assay.engines.program import Command
from assay.engines.promises import kind_of
from assay.engines.speeds import StudyWork, faster_engine, gpu_is_faster, slower_device
from assay.errors import AssayError
from assay.parts.models import flops_training
from assay.recipe.model import Recipe
from assay.system.machine import cores

AUTO = "auto"
"""The name that leaves the choice between the CPU and a GPU to the measurements of `assay.engines.speeds`."""

Uses = Sequence[tuple[Recipe, str | Command, int]]
"""The configurations of a study: recipe, engine, and number of seeds."""


def auto_device(uses: Uses, *, timing: str, data: Callable[..., Dataset]) -> tuple[str, str]:
    """The device that `auto` takes for all configurations of a study, and a sentence: why.

    Args:
        uses: The configurations.
        timing: "isolated" or "packed", where all trials count that run side by side.
        data: Loads a data set by its name.
    """
    engines = {engine if isinstance(engine, str) else "command" for _, engine, _ in uses}
    only_cpu = sorted(engine for engine in engines if engine != AUTO and engine not in LIBRARIES)
    if only_cpu:
        return "cpu", f"device auto: 'cpu', because engine {only_cpu[0]!r} runs only there"
    blind = sorted(engine for engine in engines if not _sees_gpu(engine))
    if blind:
        asked = "neither jax nor torch sees a" if blind == [AUTO] else f"engine {blind[-1]!r} sees no"
        return "cpu", f"device auto: 'cpu', because {asked} CUDA device here"
    try:
        work = work_of(uses, timing=timing, data=data)
    except AssayError:  # of a configuration that cannot be trained, which its planning reports
        return "cpu", ""
    size = f"{work.operations / 1e6:,.3g} million operations an iteration"
    if not work.dense:
        return "cuda", "device auto: 'cuda', where layers other than dense ones, or mixed precision, measured faster"
    if gpu_is_faster(work, cores=_cores(timing)):
        return "cuda", f"device auto: 'cuda', which is faster by what was measured for {size}"
    return "cpu", f"device auto: 'cpu', which is faster by what was measured for {size}"


def device_notes(uses: Uses, device: str, *, timing: str, data: Callable[..., Dataset]) -> list[str]:
    """A sentence where the CPU, or another engine, is known to be faster than the GPU and engine that train."""
    if kind_of(device) != "cuda":
        return []
    work = work_of(uses, timing=timing, data=data)
    slower = slower_device(work, device, cores=_cores(timing))
    faster = {
        faster_engine(str(engine), device, kind=_kind(recipe), precision=recipe.precision) for recipe, engine, _ in uses
    }
    return [sentence for sentence in (slower, *sorted(filter(None, faster))) if sentence]


def work_of(uses: Uses, *, timing: str, data: Callable[..., Dataset]) -> StudyWork:
    """What a study computes at once: its largest iteration, or where trials are packed, one of each of its trials."""
    each = [
        (_operations(recipe, data(recipe.data.name, **({"task": task} if (task := recipe.data.task) else {}))), seeds)
        for recipe, seeds in _counted(uses)
    ]
    dense = all(_kind(recipe) == "dense" and recipe.precision in ("float32", "float64") for recipe, _, _ in uses)
    if timing == "packed":
        return StudyWork(sum(operations * seeds for operations, seeds in each), dense)
    return StudyWork(max((operations for operations, _ in each), default=0.0), dense)


def _counted(uses: Uses) -> Iterable[tuple[Recipe, int]]:
    """One recipe of each cost, with the number of trials that cost the same."""
    groups: dict[object, tuple[Recipe, int]] = {}
    for recipe, _, seeds in uses:
        cost = (recipe.model, recipe.loss, recipe.optimizer.entry, recipe.batches, recipe.data)
        first, count = groups.get(cost, (recipe, 0))
        groups[cost] = first, count + seeds
    return groups.values()


def _operations(recipe: Recipe, dataset: Dataset) -> float:
    network = recipe.model.network(dataset.shape, len(dataset.classes))
    batch = recipe.batches.width(len(dataset.y_train))
    return float(flops_training(network, recipe.loss, recipe.optimizer, iterations=1, examples=batch))


def _kind(recipe: Recipe) -> str:
    """The kind of network that was measured: a list of dense layers is a multilayer perceptron."""
    return "layers" if kind_of_training(recipe) == "layers" else "dense"


def _sees_gpu(engine: str) -> bool:
    names = [name for name in LIBRARIES if installed(name)] if engine == AUTO else [engine]
    return any(seen_by(name).of("cuda") for name in names if name in ENGINES and installed(name))


def _cores(timing: str) -> int:
    """The cores that train side by side on the CPU; an isolated trial of a small network hardly uses a second one."""
    return cores() if timing == "packed" else 1
