"""The engines by name, loaded when asked for, and the rule of `auto`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from assay.errors import CodeError, EngineError, to_install, unknown
from assay.parts.models import MLP
from assay.parts.user_optimizers import NamedRule, code_is_allowed, refusal

if TYPE_CHECKING:
    from assay.engines.base import Engine
    from assay.engines.program import Command, Program
    from assay.recipe.model import Recipe

ENGINES: dict[str, tuple[str, str, str]] = {  # name -> module, class, what must be installed (or "")
    "numpy": ("assay.engines.numpy_engine", "NumpyEngine", ""),
    "native": ("assay.engines.native_engine", "NativeEngine", "assay._native"),
    "jax": ("assay.engines.jax_engine", "JaxEngine", "jax"),
    "torch": ("assay.engines.torch_engine", "TorchEngine", "torch"),
}

AUTO: dict[str, dict[str, tuple[str, ...]]] = {  # kind of training -> device kind -> engines, the fastest first
    "dense": {"cpu": ("native", "numpy", "jax", "torch"), "cuda": ("jax", "torch"), "mps": ("torch",)},
    "mixed": {"cpu": ("torch", "jax"), "cuda": ("jax", "torch"), "mps": ("torch",)},
    "layers": {"cpu": ("torch", "jax", "numpy"), "cuda": ("torch", "jax"), "mps": ("torch",)},
}
"""The rule of `auto`: the first engine for the training and the device that is installed and can train the recipe."""


def _training(recipe: Recipe) -> str:
    if not isinstance(recipe.model, MLP):
        return "layers"
    return "dense" if recipe.precision in ("float32", "float64") else "mixed"


DEVICES = tuple(AUTO["dense"])
"""The kinds of devices."""


def installed(name: str) -> bool:
    """Whether what an engine needs is there, without loading it."""
    needs = ENGINES[name][2]
    return not needs or importlib.util.find_spec(needs) is not None


def missing(name: str) -> str:
    """The sentence for an engine that is not installed, with the way to get it."""
    needs = ENGINES[name][2]
    if needs.startswith("assay."):
        return (
            f"engine {name!r} was not built when assay was installed: it needs a C++20 compiler and Python's headers "
            "(Debian: apt install g++ python3-dev); then pip install --force-reinstall . in Assay's checkout"
        )
    return f"engine {name!r} needs {needs}: {to_install(needs)}"


def not_an_engine(name: str) -> str:
    """The sentence for a name that is not in the table."""
    if name == "command":
        return 'engine "command" needs its words: --command "./train", or in a study engine = { command = ["./train"] }'
    return unknown("engine", name, [*ENGINES, "auto"])


def load(name: str, *, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine of that name. Raises: EngineError where it is unknown or not installed."""
    if name not in ENGINES:
        raise EngineError(not_an_engine(name))
    module, class_name, _ = ENGINES[name]
    if not installed(name):
        raise EngineError(missing(name))
    engine: type[Engine] = getattr(importlib.import_module(module), class_name)
    return engine(device=device, threads=threads)


def choose(
    recipe: Recipe, name: str | Command = "auto", *, device: str = "cpu", threads: int | None = None
) -> Engine | Program:
    """What trains a recipe: the engine named, the one that the rule of `auto` picks, or a program of the user's.

    Raises: EngineError, saying which engines could do it; CodeError for a stored recipe whose own rule is not loaded,
    and for a command that may not be run or is not there.
    """
    if isinstance(recipe.optimizer, NamedRule):
        raise CodeError(refusal(recipe.optimizer.entry))
    if not isinstance(name, str):
        return _program(recipe, name, device=device, threads=threads)
    if name != "auto":
        engine = load(name, device=device, threads=threads)
        reason = engine.why_not(recipe)
        if reason:
            raise EngineError(reason)
        return engine
    kind, table = device.partition(":")[0], AUTO[_training(recipe)]
    if kind not in table:
        raise EngineError(unknown("device", device, table))
    reasons: list[str] = []
    for candidate in table[kind]:
        if not installed(candidate):
            reasons.append(missing(candidate))
            continue
        engine = load(candidate, device=device, threads=threads)
        reason = engine.why_not(recipe)
        if reason is None:
            engine.choice = f"auto: of {', '.join(table[kind])}, the first that is installed and can train the recipe"
            return engine
        reasons.append(reason)
    raise EngineError(f"no engine on device {device!r} can train this recipe:\n  - " + "\n  - ".join(reasons))


def _program(recipe: Recipe, command: Command, *, device: str, threads: int | None) -> Program:
    """The program of a command, which only here turns from words into something to run."""
    from assay.engines.program import Program, refusal

    if not code_is_allowed():
        raise CodeError(refusal(command))
    program = Program(command, device=device, threads=threads)
    reason = program.why_not(recipe)
    if reason:
        raise EngineError(reason)
    return program
