"""The engines by name, imported on first use, and the rule of `auto`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from assay.errors import CodeError, EngineError, to_install, unknown
from assay.parts.models import Sequential
from assay.parts.modules import ForeignModel
from assay.parts.user_optimizers import UnloadedOptimizer, code_is_allowed, refusal

if TYPE_CHECKING:
    from assay.engines.base import Engine
    from assay.engines.program import Command, Program
    from assay.recipe.model import Recipe

ENGINES: dict[str, tuple[str, str, str]] = {  # name -> module, class, the module it needs (or "")
    "numpy": ("assay.engines.numpy_engine", "NumpyEngine", ""),
    "native": ("assay.engines.native_engine", "NativeEngine", "assay._native"),
    "jax": ("assay.engines.jax_engine", "JaxEngine", "jax"),
    "torch": ("assay.engines.torch_engine", "TorchEngine", "torch"),
}

AUTO: dict[str, dict[str, tuple[str, ...]]] = {  # kind of training -> device kind -> engines, the fastest first
    "dense": {"cpu": ("native", "numpy", "jax", "torch"), "cuda": ("jax", "torch"), "mps": ("torch",)},
    "mixed": {"cpu": ("torch", "jax"), "cuda": ("jax", "torch"), "mps": ("torch",)},
    "dense layers": {
        "cpu": ("native", "numpy", "torch", "jax"),
        "cuda": ("jax", "torch"),
        "mps": ("torch",),
    },
    "layers": {"cpu": ("torch", "jax", "numpy"), "cuda": ("jax", "torch"), "mps": ("torch",)},
}
"""The rule of `auto`: the first engine of the list that is installed and can train the recipe. On "cuda" the order is
that of `assay.engines.speeds`, which were measured there."""


def kind_of_training(recipe: Recipe) -> str:
    """The kind of training, by which `auto` chooses."""
    if isinstance(recipe.model, ForeignModel):
        return "mixed"  # which torch and jax train, as they do modules
    if isinstance(recipe.model, Sequential):
        return "dense layers" if recipe.model.is_dense else "layers"
    return "dense" if recipe.precision in ("float32", "float64") else "mixed"


DEVICES = tuple(AUTO["dense"])
"""The kinds of devices."""


def installed(name: str) -> bool:
    """Whether an engine's dependencies are installed, without importing them."""
    needs = ENGINES[name][2]
    return not needs or importlib.util.find_spec(needs) is not None


def missing(name: str) -> str:
    """The message for an engine that is not installed, with how to install it."""
    needs = ENGINES[name][2]
    if needs.startswith("assay."):
        return (
            f"engine {name!r} was not built when assay was installed: it needs a C++20 compiler and Python's headers "
            "(Debian: apt install g++ python3-dev); then pip install --force-reinstall . in Assay's checkout"
        )
    return f"engine {name!r} needs {needs}: {to_install(needs)}"


def not_an_engine(name: str) -> str:
    """The message for a name that is not in the table."""
    if name == "command":
        return (
            'engine "command" needs a command line: --command "./train", '
            'or in a study engine = { command = ["./train"] }'
        )
    return unknown("engine", name, [*ENGINES, "auto"])


def load(name: str, *, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine of that name. Raises: EngineError if it is unknown or not installed."""
    if name not in ENGINES:
        raise EngineError(not_an_engine(name))
    module, class_name, _ = ENGINES[name]
    if not installed(name):
        raise EngineError(missing(name))
    engine: type[Engine] = getattr(importlib.import_module(module), class_name)
    return engine(device=device, threads=threads)


def choose(
    recipe: Recipe,
    name: str | Command = "auto",
    *,
    device: str = "cpu",
    threads: int | None = None,
    load: Callable[..., Engine] = load,
) -> Engine | Program:
    """The engine of that name, the engine that `auto` chooses for the recipe, or a user's program.

    `load` makes an engine from its name, device and threads; one that keeps engines must keep those of each `name`.

    Raises: EngineError, with the reason of each engine; CodeError for a stored recipe whose user optimizer is not
    loaded, and for a command that may not be run or does not exist.
    """
    if isinstance(recipe.optimizer, UnloadedOptimizer):
        raise CodeError(refusal(recipe.optimizer.entry))
    if isinstance(recipe.model, ForeignModel):
        recipe.model.factory()  # raises where it may not be imported
    if not isinstance(name, str):
        return _program(recipe, name, device=device, threads=threads)
    if name != "auto":
        engine = load(name, device=device, threads=threads)
        reason = engine.why_not(recipe)
        if reason:
            raise EngineError(reason)
        return engine
    kind, table = device.partition(":")[0], AUTO[kind_of_training(recipe)]
    if kind not in table:
        raise EngineError(unknown("device", device, table))
    candidates, reasons = table[kind], list[str]()
    if isinstance(recipe.model, ForeignModel) and (own := recipe.model.library).engine in candidates:
        candidates = (own.engine,)  # so that the libraries of the others are not imported
        reasons.append(f"model {recipe.model.name!r} is {own.of}, which trains on engine {own.engine!r} only")
    for candidate in candidates:
        if not installed(candidate):
            reasons.append(missing(candidate))
            continue
        engine = load(candidate, device=device, threads=threads)
        reason = engine.why_not(recipe)
        if reason is None:
            engine.choice = _choice(recipe, candidates)
            return engine
        reasons.append(reason)
    raise EngineError(f"no engine on device {device!r} can train this recipe:\n  - " + "\n  - ".join(reasons))


def _choice(recipe: Recipe, candidates: tuple[str, ...]) -> str:
    """Why `auto` took an engine, the last words of a line of the report."""
    if isinstance(recipe.model, ForeignModel) and len(candidates) == 1:
        return f"auto: the one for {recipe.model.library.of}"
    return f"auto: of {', '.join(candidates)}, the first that is installed and can train the recipe"


def _program(recipe: Recipe, command: Command, *, device: str, threads: int | None) -> Program:
    """The program of a command, if third-party code is allowed and the program can train the recipe."""
    from assay.engines.program import Program, refusal

    if not code_is_allowed():
        raise CodeError(refusal(command))
    program = Program(command, device=device, threads=threads)
    reason = program.why_not(recipe)
    if reason:
        raise EngineError(reason)
    return program
