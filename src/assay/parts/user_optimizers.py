"""User optimizers, named `module:Class`: imported if third-party code is allowed, else only shown by name.

An optimizer that torch.optim or optax exports needs no permission (see `foreign`). Recipes, studies and stores may be
untrusted, so a class that they name is imported only inside `allowing_code`. A class that the program has already
loaded needs no permission, because nothing is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import is_dataclass
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from assay.errors import CodeError, has_no
from assay.parts.activations import Array
from assay.parts.foreign import (
    ForeignOptimizer,
    check_arguments,
    exempt_module,
    exported_class,
    foreign_class,
    is_foreign,
    kind_of_object,
    made_class,
    remember,
)
from assay.parts.groups import grouped, joint
from assay.parts.optimizers import OPTIMIZERS, Optimizer, Slots
from assay.parts.part import Positive

_ALLOWED: ContextVar[bool] = ContextVar("allowed", default=False)  # a new thread starts without permission
_STORED: ContextVar[bool] = ContextVar("stored_optimizers", default=False)  # nothing is imported, not even torch
_RESERVED = ("l1", "l2", "clip_norm")  # engines add these to the settings in `h`
_BASE = "assay.parts.optimizers.Optimizer"


# --- permission ------------------------------------------------------------------------------------------------------


@contextmanager
def allowing_code() -> Generator[None]:
    """Allows third-party code in a `with` block: user optimizers are imported and external programs run.

    Recipes and studies may come from strangers, so by default a name such as `my_rules:Mine` or a command is refused.
    This is the Python form of the option `--allow-code`. Stored trials are shown without running code, inside the block
    or outside; to predict with a stored module of a user, or to export it, imports it.

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
    """Imports nothing inside, whatever is allowed outside: for untrusted data."""
    token, stored = _ALLOWED.set(False), _STORED.set(True)
    try:
        yield
    finally:
        _STORED.reset(stored)
        _ALLOWED.reset(token)


def code_is_allowed() -> bool:
    """Whether third-party code may be run here."""
    return _ALLOWED.get()


def refusal(name: str) -> str:
    """The message for a class that may not be imported."""
    return (
        f"{name!r} is third-party code, which is imported only if allowed: give --allow-code, "
        "or in Python read it inside `with assay.allowing_code():`"
    )


# --- from a recipe's value to an optimizer ---------------------------------------------------------------------------


Plain = bool | int | float | str | tuple[float | None, ...]
"""What an argument of an optimizer of another library is; those of a user's class are numbers."""


class UnloadedOptimizer(Optimizer):
    """A stored user optimizer whose class is not loaded: its name and its numbers, to be shown. It cannot train."""

    name: str
    learning_rate: Positive
    numbers: tuple[tuple[str, Plain], ...] = ()
    groups: str = ""
    """Parameter groups as JSON."""
    code: str = ""

    @property
    def entry(self) -> str:
        return self.name

    def settings(self) -> dict[str, Any]:
        if self.groups:
            return {"groups": json.loads(self.groups)}
        return {"learning_rate": self.learning_rate, **dict(self.numbers)}


def unloaded_optimizer(value: object, *, code: str = "") -> UnloadedOptimizer | None:
    """The user optimizer that a stored table names, without importing it; None if it names none.

    `code`: the stored hash of its class.
    """
    name, settings = _name_and_settings(value)
    if "groups" in settings:
        return _unloaded_groups(settings["groups"], code=code)
    if name is None:
        return None
    rate = settings.pop("learning_rate", None)
    numbers = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in settings.items())  # pyright: ignore
    try:
        return UnloadedOptimizer(name=name, learning_rate=rate, numbers=numbers, code=code)
    except ValidationError:
        return None


def _unloaded_groups(groups: Any, *, code: str) -> UnloadedOptimizer | None:
    try:
        name, rate = joint([group["name"] for group in groups]), groups[0]["learning_rate"]
        return UnloadedOptimizer(name=name, learning_rate=rate, groups=json.dumps(groups), code=code)
    except (ValidationError, KeyError, TypeError, IndexError, ValueError):
        return None


def _of_group(table: Mapping[str, Any]) -> ForeignOptimizer:
    """The optimizer of a group. Raises: CodeError, with a line for each problem."""
    table = dict(table)
    name = table.get("name")
    if not isinstance(name, str) or ":" not in name:
        raise CodeError(f"name: got {name!r}; expected an optimizer of another library, such as 'torch.optim:AdamW'")
    problems: list[str] = []
    if "lr" in table and rate_is_lr(name):
        rate = table.pop("lr")
        if "learning_rate" in table:
            problems.append("lr: is another name of learning_rate, which is given too; leave one out")
        table.setdefault("learning_rate", rate)
    optimizer = None
    try:
        optimizer = user_optimizer(table)
    except ValidationError as error:
        problems += [_problem(name, line) for line in error.errors()]
    if problems:
        raise CodeError("\n".join(problems))
    if not isinstance(optimizer, ForeignOptimizer):
        raise CodeError(f"{name!r} is a class of Assay's own kind; groups take optimizers of torch, optax and alike")
    return optimizer


def _problem(name: str, line: Any) -> str:
    where = ".".join(str(step) for step in line["loc"][1:])
    if line["type"] == "extra_forbidden":
        known = loaded_class(name)
        return has_no(f"optimizer {name!r}", "key", where, list(known.model_fields) if known else [])
    return f"{where}: {line['msg']}"


def user_optimizer(value: object) -> Optimizer | None:
    """The user optimizer that a recipe's value is or names; None if it is one of the table.

    Raises: CodeError, or pydantic's error for its settings, with the same location as for an entry of the table.
    """
    if isinstance(value, UnloadedOptimizer):
        return value
    if isinstance(value, Optimizer):
        if not value.is_user_defined() or isinstance(value, ForeignOptimizer):
            return value if value.is_user_defined() else None
        _check_class(type(value))
        return _with_usable_settings(value)
    name, settings = _name_and_settings(value)
    if "groups" in settings:
        others = [key for key in settings if key != "groups"]
        if others:
            raise CodeError(f"{others[0]!r} is next to groups; write it in each group, because each has its own")
        return grouped(settings["groups"], _of_group)
    if name is None:
        return None
    optimizer_class = import_optimizer(name)
    try:
        optimizer = optimizer_class(**settings)
        if isinstance(optimizer, ForeignOptimizer):
            check_arguments(optimizer)
            return optimizer
        return _with_usable_settings(optimizer)
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
    """The `module:Class` that a recipe's value names, None if it names another, and its settings."""
    settings: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {"name": value}  # pyright: ignore
    name = settings.pop("name", None)
    return (name if isinstance(name, str) and ":" in name else None), settings


def _with_usable_settings(optimizer: Optimizer) -> Optimizer:
    """The optimizer itself.

    Raises: CodeError if a setting is not a number, which jax and cohorts need, or if the rule returns new weights.
    """
    for key, value in optimizer.settings().items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CodeError(f"{optimizer.entry!r}: setting {key!r} is {value!r}; expected a number")
    if _returns_weights(optimizer):
        raise CodeError(
            f"{optimizer.entry!r}: its rule returns the new weights; expected the step, which is subtracted from "
            "the weights: write `return step, slots`, not `return w - step, slots`"
        )
    return optimizer


def _returns_weights(optimizer: Optimizer) -> bool:
    """Whether the rule returns the new weights in place of the step, by its result for a gradient of zero.

    Such a rule would train to weights near zero, without an error.
    """
    w = np.array([1.0, -2.0], np.float32)
    with suppress(Exception), np.errstate(all="ignore"):  # what a rule raises is reported when it trains
        factors = {key: values[0] for key, values in optimizer.factors(np.ones(1)).items()}
        h = SimpleNamespace(**optimizer.settings(), **factors, **dict.fromkeys(_RESERVED, 0.0))
        slots = tuple(np.zeros_like(w) for _ in range(type(optimizer).slots))
        step, _ = type(optimizer).rule(np, w.copy(), np.zeros_like(w), slots, h)
        return bool(np.array_equal(step, w))
    return False


def rate_is_lr(name: str) -> bool:
    """Whether `lr` is the learning rate of an optimizer `module:Class`: it is, but for a user's class that has both."""
    if exempt_module(name):
        return True
    optimizer_class = loaded_class(name)
    if optimizer_class is None and code_is_allowed():
        with suppress(CodeError):  # the recipe reports the error
            optimizer_class = import_optimizer(name)
    return optimizer_class is not None and "lr" not in optimizer_class.model_fields


# --- importing classes -----------------------------------------------------------------------------------------------


def loaded_class(name: str) -> type[Optimizer] | None:
    """The optimizer class of that name if it is already loaded; nothing is imported."""
    if made := made_class(name):
        return made
    value = loaded_object(name)
    return value if isinstance(value, type) and issubclass(value, Optimizer) else None


def loaded_classes() -> dict[str, type[Optimizer]]:
    """The user optimizers that are loaded, by the names that a recipe gives them."""
    classes: dict[str, type[Optimizer]] = {}
    waiting: list[type[Optimizer]] = [Optimizer]
    while waiting:
        for optimizer_class in waiting.pop().__subclasses__():
            waiting.append(optimizer_class)
            name = optimizer_class.class_path()
            own = optimizer_class in (*OPTIMIZERS.values(), UnloadedOptimizer, ForeignOptimizer)
            if not own and loaded_class(name) is optimizer_class:
                classes[name] = optimizer_class
    return classes


def loaded_object(name: str) -> object:
    """What a name `module:path` stands for if its module is already loaded, else None; nothing is imported."""
    module, _, path = name.partition(":")
    value: object = sys.modules.get(module)
    for step in path.split("."):
        value = getattr(value, "__dict__", {}).get(step)  # not getattr: a module may import attributes on access
    return value


def import_optimizer(name: str) -> type[Optimizer]:
    """The optimizer class of that name, imported if it is not loaded and code is allowed. Raises: CodeError."""
    module, _, path = name.partition(":")
    if not all(step.isidentifier() for step in (*module.split("."), *path.split("."))):
        raise CodeError(f"got {name!r}; expected the path of a class, such as 'my.module:Rule'")
    optimizer_class = loaded_class(name)
    if optimizer_class is None:
        if exempt_module(name) and not _STORED.get():
            return exported_class(name)
        if not code_is_allowed():
            raise CodeError(refusal(name))
        optimizer_class = _class_in(import_user_module(module), name, path)
    if optimizer_class.is_user_defined() and not is_foreign(optimizer_class):
        _check_class(optimizer_class)
    return optimizer_class


def import_user_module(name: str) -> ModuleType:
    """A user's module, imported where it is not yet. Raises: CodeError."""
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            where = "Python looks in the current folder (on the command line), PYTHONPATH and the installed packages"
            hint = f"; write 'MODULE:CLASS' without .py: {name.removesuffix('.py')!r}" if name.endswith(".py") else ""
            raise CodeError(f"module {error.name!r} was not found; {where}{hint}") from None
        message = " ".join(str(error).split())
        raise CodeError(f"module {name!r} cannot be imported: {type(error).__name__}: {message}") from error


def _class_in(module: ModuleType, name: str, path: str) -> type[Optimizer]:
    optimizer_class = loaded_class(name)
    if optimizer_class is not None:
        return optimizer_class
    value = loaded_object(name)
    if kind_of_object(value):
        return remember(name, foreign_class(name, value))
    if value is not None:
        raise CodeError(
            f"{name!r} is not an optimizer; expected a class with the base {_BASE}, as in CONTRIBUTING.md, a subclass "
            "of torch.optim.Optimizer, or a function annotated as returning optax.GradientTransformation"
        )
    optimizers = [key for key, value in vars(module).items() if _is_optimizer(value)]
    if not optimizers:
        raise CodeError(f"module {module.__name__!r} has no {path!r}, and no class with the base {_BASE}")
    raise CodeError(has_no(f"module {module.__name__!r}", "optimizer", path, optimizers))


def _is_optimizer(value: object) -> bool:
    own = isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    return (own and value.is_user_defined()) or bool(kind_of_object(value))  # pyright: ignore


def _check_class(optimizer_class: type[Optimizer]) -> None:
    """Raises CodeError if a class cannot be imported again by its name, or violates the contract of an optimizer."""
    name, slots = optimizer_class.class_path(), getattr(optimizer_class, "slots", None)
    if optimizer_class.__module__ == "__main__" or "<locals>" in optimizer_class.__qualname__:
        where = "in a script or notebook" if optimizer_class.__module__ == "__main__" else "inside a function"
        raise CodeError(
            f"{optimizer_class.__qualname__!r} is defined {where}, where workers and later runs cannot import it; "
            "put it at the top level of a module, such as my_rules.py, and import it from there"
        )
    if loaded_class(name) is not optimizer_class:
        raise CodeError(f"{name!r} is now another class; create the optimizer again from the current one")
    if is_dataclass(optimizer_class):
        raise CodeError(f"{name!r} is a dataclass; expected a plain class with the base {_BASE}: delete `@dataclass`")
    if optimizer_class.rule is Optimizer.rule:
        raise CodeError(f"{name!r} has no rule; expected a static method rule(xp, w, g, slots, h) -> (step, slots)")
    if not isinstance(slots, int) or isinstance(slots, bool) or slots < 0:
        raise CodeError(f"{name!r}: slots is {slots!r}; expected a number, written `slots: ClassVar[int] = 1`")
    reserved = [key for key in _RESERVED if key in optimizer_class.model_fields]
    if reserved:
        raise CodeError(f"{name!r}: a setting cannot be called {reserved[0]!r}, which is a key of the recipe itself")
    class_hash(optimizer_class)


# --- the hash of the code --------------------------------------------------------------------------------------------


@cache
def class_hash(optimizer_class: type[Optimizer]) -> str:
    """A hash of the source of a user's class and of its bases, up to Assay's; "" for a class of Assay.

    For an optimizer of another library it is the package with its version.

    It is computed once, when the class is first used. Functions that the class calls elsewhere are not included.

    Raises: CodeError if there is no source.
    """
    if not optimizer_class.is_user_defined():
        return ""
    if issubclass(optimizer_class, ForeignOptimizer):
        return optimizer_class.code
    classes = [c for c in optimizer_class.__mro__ if c not in Optimizer.__mro__ and c not in OPTIMIZERS.values()]
    try:
        text = "\n".join(inspect.getsource(c) for c in classes)
    except (OSError, TypeError):
        name = optimizer_class.class_path()
        raise CodeError(f"{name!r}: its source cannot be read; put the class in a .py file") from None
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def code_hash(optimizer: Optimizer) -> str:
    """`class_hash` of an optimizer's class; the stored hash if the class is not loaded."""
    return optimizer.code if isinstance(optimizer, UnloadedOptimizer) else class_hash(type(optimizer))


# --- while training --------------------------------------------------------------------------------------------------


def checked_step(
    optimizer_class: type[Optimizer], xp: Any, w: Array, g: Array, slots: Slots, h: Any, *, is_matrix: bool = False
) -> tuple[Array, Slots]:
    """The step and the new slots of an optimizer's rule, or of its rule of matrices.

    Raises: CodeError if a user's rule raises, or returns anything else.
    """
    rule = optimizer_class.matrix_rule if is_matrix else optimizer_class.rule
    if not optimizer_class.is_user_defined():
        return rule(xp, w, g, slots, h)
    name = f"optimizer {optimizer_class.class_path()!r}"
    with _errors_of(optimizer_class, "matrix_rule" if is_matrix else "rule"):
        result: Any = rule(xp, w, g, slots, h)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], tuple | list):
        raise CodeError(f"{name}: its rule returned {_described(result)}; expected (step, slots)")
    step, new_slots = result
    if len(new_slots) != optimizer_class.slots:
        raise CodeError(f"{name}: its rule returned {len(new_slots)} slots; expected {optimizer_class.slots}")
    for what, array in [("step", step), *((f"slot {i}", slot) for i, slot in enumerate(new_slots))]:
        if getattr(array, "shape", None) != w.shape or getattr(array, "dtype", None) != w.dtype:
            raise CodeError(
                f"{name}: its rule returned as {what} {_described(array)}; expected {_described(w)}, like the weights"
            )
    return step, tuple(new_slots)


def checked_factors(optimizer: Optimizer, t: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """An optimizer's factors at the iteration counts t (k,). Raises: CodeError if a user's are invalid."""
    if not optimizer.is_user_defined() or is_foreign(optimizer):
        return optimizer.factors(t)
    with _errors_of(type(optimizer), "factors"):
        factors = {str(key): np.asarray(values, np.float64) for key, values in optimizer.factors(t).items()}
    for key, values in factors.items():
        if values.shape != t.shape:
            raise CodeError(
                f"optimizer {optimizer.entry!r}: its factor {key!r} has shape {values.shape}; expected {t.shape}"
            )
    return factors


@contextmanager
def _errors_of(optimizer_class: type[Optimizer], method: str) -> Generator[None]:
    """Turns what a user's method raises into a CodeError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        message = (str(error).splitlines() or [""])[0]
        name = optimizer_class.class_path()
        raise CodeError(f"optimizer {name!r}: its {method} raised {type(error).__name__}: {message}") from error


def _described(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
