"""A user's own optimizer, named `module:Class`: imported where that is allowed, else only named.

Recipes, studies and stores come from strangers, so a name in them is imported inside `allowing_code` alone. A class
that the program has loaded by itself needs no permission: nothing is imported then.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from assay.errors import CodeError, unknown
from assay.parts.activations import Array
from assay.parts.optimizers import OPTIMIZERS, Optimizer, Slots
from assay.parts.part import Positive

_ALLOWED: ContextVar[bool] = ContextVar("allowed", default=False)  # a new thread begins without permission
_TAKEN = ("l1", "l2", "clip_norm")  # what the engines put beside the settings in `h`
_BASE = "assay.parts.optimizers.Optimizer"


@contextmanager
def allowing_code() -> Generator[None]:
    """Allows third-party code in a `with` block: user optimizers are imported and external programs run.

    Recipes and studies may come from strangers, so by default a name such as `my_rules:Mine` or a command is refused.
    This is the Python form of the option `--allow-code`. Stored trials never run code, inside the block or outside.

    Examples:
        >>> from assay import allowing_code, Recipe
        >>> with allowing_code():
        ...     Recipe.parse({"optimizer": "assay.parts.optimizers:Descent"}).optimizer.entry
        'descent'
    """
    token = _ALLOWED.set(True)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


@contextmanager
def refusing_code() -> Generator[None]:
    """For what a stranger may have written: nothing is imported inside, whatever was allowed outside."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def code_is_allowed() -> bool:
    """Whether a user's own code may be run here."""
    return _ALLOWED.get()


def refusal(name: str) -> str:
    """The sentence for a name that may not be imported."""
    return (
        f"{name!r} is somebody's own code, which is imported only where that is allowed: give --allow-code, "
        "or in Python read it inside `with assay.allowing_code():`"
    )


class NamedRule(Optimizer):
    """A stored user's own rule that is not loaded: its name and its numbers, to be shown. It cannot train."""

    name: str
    learning_rate: Positive
    numbers: tuple[tuple[str, float], ...] = ()
    code: str = ""

    @property
    def entry(self) -> str:
        return self.name

    def settings(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate, **dict(self.numbers)}


def named_rule(value: object, *, code: str = "") -> NamedRule | None:
    """The rule that a stored table names, without importing it; None where it names none. `code`: as `code_of`."""
    name, settings = _name_and_settings(value)
    if name is None:
        return None
    rate = settings.pop("learning_rate", None)
    try:
        return NamedRule(name=name, learning_rate=rate, numbers=tuple(settings.items()), code=code)
    except ValidationError:
        return None


def user_optimizer(value: object) -> Optimizer | None:
    """The user's own optimizer that a recipe's value is or names; None where it is one of the table.

    Raises: CodeError, or pydantic's error for its settings, under the name that the table's entries would have.
    """
    if isinstance(value, NamedRule):
        return value
    if isinstance(value, Optimizer):
        if not value.is_own():
            return None
        _check(type(value))
        return _with_numbers(value)
    name, settings = _name_and_settings(value)
    if name is None:
        return None
    rule = found(name)
    try:
        return _with_numbers(rule(**settings))
    except ValidationError as error:
        lines = [
            InitErrorDetails(
                type=PydanticCustomError(line["type"], line["msg"], line.get("ctx", {})),  # pyright: ignore[reportArgumentType]
                loc=(name, *line["loc"]),
                input=line["input"],
            )
            for line in error.errors()
        ]
        raise ValidationError.from_exception_data(name, lines) from None


def _name_and_settings(value: object) -> tuple[str | None, dict[str, Any]]:
    settings: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {"name": value}  # pyright: ignore
    name = settings.pop("name", None)
    return (name if isinstance(name, str) and ":" in name else None), settings


def loaded(name: str) -> type[Optimizer] | None:
    """The class of that name where the program has it already; nothing is imported."""
    place = _place(name)
    return place if isinstance(place, type) and issubclass(place, Optimizer) else None


def _place(name: str) -> object:
    module, _, path = name.partition(":")
    place: object = sys.modules.get(module)
    for step in path.split("."):
        place = getattr(place, "__dict__", {}).get(step)  # not getattr: a module may import what it is asked for
    return place


def found(name: str) -> type[Optimizer]:
    """The class of that name, imported if need be and allowed. Raises: CodeError."""
    module, _, path = name.partition(":")
    if not all(step.isidentifier() for step in (*module.split("."), *path.split("."))):
        raise CodeError(f"got {name!r}; expected the place of a class, such as 'my.module:Rule'")
    rule = loaded(name)
    if rule is None:
        if not code_is_allowed():
            raise CodeError(refusal(name))
        rule = _in_module(_imported(module), name, path)
    if rule.is_own():
        _check(rule)
    return rule


def _imported(name: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            where = "Python looks in the current folder (on the command line), PYTHONPATH and the installed packages"
            raise CodeError(f"module {error.name!r} was not found; {where}") from None
        said = " ".join(str(error).split())
        raise CodeError(f"module {name!r} cannot be imported: {type(error).__name__}: {said}") from error


def _in_module(module: ModuleType, name: str, path: str) -> type[Optimizer]:
    rule = loaded(name)
    if rule is not None:
        return rule
    if _place(name) is not None:
        raise CodeError(f"{name!r} is not an optimizer; expected a class with the base {_BASE}")
    rules = [key for key, value in vars(module).items() if isinstance(value, type) and _is_rule(value)]
    if not rules:
        raise CodeError(f"module {module.__name__!r} has no {path!r}, and no class with the base {_BASE}")
    raise CodeError(unknown(f"optimizer of module {module.__name__!r}", path, rules))


def _is_rule(value: type) -> bool:
    return issubclass(value, Optimizer) and value is not Optimizer and value.is_own()


def _check(rule: type[Optimizer]) -> None:
    """Raises CodeError where a class cannot be found again by its name, or is not all that an optimizer must be."""
    name, slots = rule.place(), getattr(rule, "slots", None)
    if rule.__module__ == "__main__" or "<locals>" in rule.__qualname__:
        where = "in a script or notebook" if rule.__module__ == "__main__" else "inside a function"
        raise CodeError(
            f"{rule.__qualname__!r} is defined {where}, where workers and later runs cannot find it; "
            "put it at the top level of a module, such as my_rules.py, and import it from there"
        )
    if loaded(name) is not rule:
        raise CodeError(f"{name!r} is another class by now; make the optimizer anew from the class under that name")
    if rule.rule is Optimizer.rule:
        raise CodeError(f"{name!r} has no rule; expected a static method rule(xp, w, g, slots, h) -> (step, slots)")
    if not isinstance(slots, int) or isinstance(slots, bool) or slots < 0:
        raise CodeError(f"{name!r}: slots is {slots!r}; expected a number, written `slots: ClassVar[int] = 1`")
    taken = [key for key in _TAKEN if key in rule.model_fields]
    if taken:
        raise CodeError(f"{name!r}: a setting cannot be called {taken[0]!r}, which the recipe has by itself")
    code_of(rule)


def _with_numbers(rule: Optimizer) -> Optimizer:
    """The optimizer itself. Raises: CodeError where a setting is no number, as jax and cohorts need it."""
    for key, value in rule.settings().items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CodeError(f"{rule.entry!r}: setting {key!r} is {value!r}; expected a number")
    return rule


@cache
def code_of(rule: type[Optimizer]) -> str:
    """A hash of the source of a user's own class and of those that it is built on, up to Assay's; "" for Assay's.

    It is taken once, when the class is first used. What the class calls elsewhere is not in it.

    Raises: CodeError where there is no source.
    """
    if not rule.is_own():
        return ""
    classes = [c for c in rule.__mro__ if c not in Optimizer.__mro__ and c not in OPTIMIZERS.values()]
    try:
        text = "\n".join(inspect.getsource(c) for c in classes)
    except (OSError, TypeError):
        raise CodeError(f"{rule.place()!r}: its source cannot be read; put the class in a .py file") from None
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def code_in(optimizer: Optimizer) -> str:
    """`code_of` an optimizer's class; of one that is only named, what was stored of it."""
    return optimizer.code if isinstance(optimizer, NamedRule) else code_of(type(optimizer))


# --- at work ---------------------------------------------------------------------------------------------------------


def step_of(rule: type[Optimizer], xp: Any, w: Array, g: Array, slots: Slots, h: Any) -> tuple[Array, Slots]:
    """The step and the new slots of a rule. Raises: CodeError where a user's own raises, or gives anything else."""
    if not rule.is_own():
        return rule.rule(xp, w, g, slots, h)
    with _told(rule, "rule"):
        result: Any = rule.rule(xp, w, g, slots, h)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], tuple | list):
        raise CodeError(f"optimizer {rule.place()!r}: its rule gave {_shown(result)}; expected (step, slots)")
    step, new = result
    if len(new) != rule.slots:
        raise CodeError(f"optimizer {rule.place()!r}: its rule gave {len(new)} slots; expected {rule.slots}")
    for what, array in [("step", step), *((f"slot {i}", slot) for i, slot in enumerate(new))]:
        if getattr(array, "shape", None) != w.shape or getattr(array, "dtype", None) != w.dtype:
            raise CodeError(
                f"optimizer {rule.place()!r}: its rule gave as {what} {_shown(array)}; "
                f"expected {_shown(w)}, like the weights"
            )
    return step, tuple(new)


def factors_of(optimizer: Optimizer, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """An optimizer's factors at the counts t (k,). Raises: CodeError where a user's own are something else."""
    if not optimizer.is_own():
        return optimizer.factors(t)
    with _told(type(optimizer), "factors"):
        given = {str(key): np.asarray(values, np.float64) for key, values in optimizer.factors(t).items()}
    for key, values in given.items():
        if values.shape != t.shape:
            raise CodeError(
                f"optimizer {optimizer.entry!r}: its factor {key!r} has shape {values.shape}; expected {t.shape}"
            )
    return given


@contextmanager
def _told(rule: type[Optimizer], what: str) -> Generator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise CodeError(f"optimizer {rule.place()!r}: its {what} raised {type(error).__name__}: {said}") from error


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
