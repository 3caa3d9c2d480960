"""Learning-rate schedules of torch and optax by name: `torch.optim.lr_scheduler:StepLR`, `optax:linear_schedule`.

A scheduler of torch is stepped once per iteration with an optimizer of no weights, a function of optax is called with
every count, outside the engines, so that every engine trains with its rates. Absolute rates, such as `eta_min` and
`end_value`, are those of the library.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from typing import Any

import numpy as np
from pydantic import SerializerFunctionWrapHandler, model_serializer

from assay.errors import CodeError, has_no
from assay.parts.durations import LengthOrNone, iterations
from assay.parts.foreign import check_installed, code_of, kind_of_argument
from assay.parts.schedules import Numbers, Schedule

MODULE = "torch.optim.lr_scheduler"
OPTAX = "optax"
_NOT_ARGUMENTS = {"optimizer", "last_epoch", "cycle_momentum", "base_momentum", "max_momentum"}
_IS_RATE = ("base_lr", "max_lr", "peak_value", "init_value", "value")
"""Arguments that are the optimizer's learning rate, the first that a scheduler has, so that it is written once."""
_BLOCK = 1024
MISFITS = {
    "join_schedules": "needs schedules, which are code and not plain data",
    "sgdr_schedule": "takes a list of tables of arguments; use torch.optim.lr_scheduler:CosineAnnealingWarmRestarts",
    "piecewise_constant_schedule": "takes a table of boundaries; use torch.optim.lr_scheduler:MultiStepLR",
    "piecewise_interpolate_schedule": "takes a table of boundaries; use Assay's schedules or another of optax",
    "ChainedScheduler": "needs schedulers, which are code and not plain data",
    "SequentialLR": "needs schedulers, which are code and not plain data",
    "LambdaLR": "needs a function, which is code and not plain data",
    "MultiplicativeLR": "needs a function, which is code and not plain data",
    "ReduceLROnPlateau": "reads a measure, and rates here depend on the iteration alone; use stop.patience",
}


class ForeignSchedule(Schedule):
    """A schedule of torch or optax: its name, its arguments, and the package's version, which is part of the key."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()
    package: str
    warm_up: LengthOrNone = 0

    @model_serializer(mode="wrap")
    def _plain(self, listed: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **self.settings()}

    def settings(self) -> dict[str, Any]:
        arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in self.arguments}
        return {"warm_up": self.warm_up, **arguments, "package": self.package}

    def resolved(self, per_epoch: float) -> ForeignSchedule:
        from assay.parts.durations import in_iterations

        if not isinstance(self.warm_up, str):
            return self
        return self.model_copy(update={"warm_up": in_iterations(self.warm_up, per_epoch, least=0)})

    def with_horizon(self, budget: int) -> ForeignSchedule:
        return self

    def decay(self, s: Numbers) -> Numbers:
        return self._values(1.0, s)

    def rates(self, learning_rate: float, first: int, count: int) -> Numbers:
        t, warm_up = np.arange(first, first + count, dtype=np.float64), iterations(self.warm_up)
        rates = self._values(learning_rate, np.maximum(t - 1 - warm_up, 0.0))
        return np.minimum(t / warm_up, 1.0) * rates if warm_up else rates

    def _values(self, learning_rate: float, s: Numbers) -> Numbers:
        """The rates s iterations after the warm-up. Raises: CodeError if the package is another version."""
        made, package = _class_of(self.name)
        if package != self.package:
            raise CodeError(f"schedule {self.name!r} is of {self.package}, and this is {package}; leave `package` out")
        last = int(s.max(initial=0.0)) + 1
        count = 1 << (last - 1).bit_length()
        table = (_table if isinstance(made, type) else _table_of_optax)(made, self.arguments, learning_rate, count)
        return table[s.astype(np.int64)]


def foreign_schedule(value: Any, *, stored: bool) -> ForeignSchedule | None:
    """The schedule of torch or optax that a recipe's value is or names; None if it names another.

    `stored`: the value is that of a stored trial, for which nothing is imported. Raises: CodeError.
    """
    if isinstance(value, ForeignSchedule):
        return value
    settings: dict[str, Any] = {"name": value} if isinstance(value, str) else dict(value)
    name = settings.pop("name", None)
    if not isinstance(name, str) or ":" not in name:
        return None
    warm_up, package = settings.pop("warm_up", 0), settings.pop("package", None)
    if not stored:
        made, installed = _class_of(name)
        if package not in (None, installed):
            raise CodeError(f"package: got {package!r}; this is {installed!r}: leave it out")
        package = installed
        settings = _checked(name, made, settings)
    arguments = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in sorted(settings.items()))
    return ForeignSchedule(name=name, arguments=arguments, package=str(package), warm_up=warm_up)


@functools.cache
def exports_of_optax() -> dict[str, Any]:
    """The functions that optax exports and that return a schedule, by name. Raises: CodeError."""
    check_installed("optax")
    optax: Any = importlib.import_module(OPTAX)
    functions = {name: value for name, value in sorted(vars(optax).items()) if inspect.isfunction(value)}
    return {name: f for name, f in functions.items() if f.__annotations__.get("return") in (optax.Schedule, "Schedule")}


@functools.cache
def exports() -> dict[str, Any]:
    """The schedulers that torch.optim.lr_scheduler exports, by name. Raises: CodeError."""
    check_installed("torch")
    module: Any = importlib.import_module(MODULE)
    classes = {name: value for name, value in vars(module).items() if isinstance(value, type) and name[0] != "_"}
    base = module.LRScheduler
    return {name: value for name, value in sorted(classes.items()) if issubclass(value, base) and value is not base}


@functools.cache
def _class_of(name: str) -> tuple[Any, str]:
    """The class of a scheduler, or the function that makes a schedule, and its package; kept, because rates are asked
    for in every chunk of a training.

    Raises: CodeError.
    """
    module, _, path = name.partition(":")
    if module not in (MODULE, OPTAX):
        raise CodeError(
            f"{name!r} is no schedule; expected one of Assay's, one of torch, such as '{MODULE}:StepLR', or one of "
            f"optax, such as '{OPTAX}:cosine_decay_schedule'"
        )
    exported = exports() if module == MODULE else exports_of_optax()
    if path not in exported:
        raise CodeError(has_no(f"module {module!r}", "schedule", path, list(exported)))
    if path in MISFITS:
        raise CodeError(f"schedule {name!r} {MISFITS[path]}")
    return exported[path], code_of(exported[path])


def _rate_argument(made: Any) -> str:
    """The argument of a scheduler that is the optimizer's learning rate; "" if it has none."""
    names = inspect.signature(made).parameters
    return next((key for key in _IS_RATE if key in names), "")


def _parameters(made: Any) -> dict[str, inspect.Parameter]:
    parameters = list(inspect.signature(made).parameters.values())
    hidden = {*_NOT_ARGUMENTS, _rate_argument(made)}
    return {p.name: p for p in parameters if p.name not in hidden and not p.name.endswith("_fn")}


def _checked(name: str, made: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """All arguments with their defaults. Raises: CodeError, with all problems at once."""
    from pydantic import TypeAdapter, ValidationError

    known, problems, result = _parameters(made), list[str](), dict[str, Any]()
    rate = _rate_argument(made)
    for key in settings:
        if key == rate:
            problems.append(f"{key}: is the optimizer's learning_rate, which is written there; leave it out")
        elif key not in known:
            problems.append(has_no(f"schedule {name!r}", "key", key, ["warm_up", *known]))
    for key, parameter in known.items():
        kind: Any = tuple[int, ...] if key == "milestones" else _kind(made, parameter)
        if key not in settings:
            if parameter.default is parameter.empty:
                problems.append(f"{key}: is missing, and has no default")
            elif parameter.default is not None:
                result[key] = float(parameter.default) if kind is float else parameter.default
            continue
        value = tuple(settings[key]) if isinstance(settings[key], list) else settings[key]
        try:
            result[key] = TypeAdapter(kind).validate_python(value, strict=True)
        except ValidationError as error:
            problems.append(f"{key}: got {value!r}; {error.errors()[0]['msg'].replace('Input should be', 'expected')}")
    if not problems:
        try:
            (_table if isinstance(made, type) else _table_of_optax)(made, tuple(sorted(result.items())), 0.1, 2)
        except Exception as error:
            problems.append(f"refuses its arguments: {(str(error).splitlines() or [''])[0]}")
    if problems:
        raise CodeError("; ".join(problems))
    return result


def _kind(made: Any, parameter: inspect.Parameter) -> Any:
    """The type of an argument's values."""
    if isinstance(made, type):
        return kind_of_argument(parameter)
    if isinstance(parameter.default, bool) or parameter.annotation in (int, "int"):  # counts stay whole
        return bool if isinstance(parameter.default, bool) else int
    return float | None if parameter.default is None else float


@functools.lru_cache(maxsize=64)
def _table_of_optax(made: Any, arguments: tuple[tuple[str, Any], ...], learning_rate: float, count: int) -> Numbers:
    """The rates of the first `count` iterations by a function of optax, in float64 on the processor.

    Block by block, so that a rate has the same bits in every table.
    """
    jax: Any = importlib.import_module("jax")
    settings = dict(arguments) | {_rate_argument(made): learning_rate}
    with _float64(jax), jax.default_device(jax.devices("cpu")[0]):
        of_block = jax.jit(jax.vmap(made(**settings)))
        starts = range(0, count, _BLOCK)
        blocks = [np.asarray(of_block(jax.numpy.arange(i, i + _BLOCK)), np.float64) for i in starts]
        return np.concatenate(blocks)[:count]


def _float64(jax: Any) -> Any:
    """A context manager that enables jax's 64-bit types."""
    return (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64(True)


@functools.lru_cache(maxsize=64)
def _table(made: Any, arguments: tuple[tuple[str, Any], ...], learning_rate: float, count: int) -> Numbers:
    """The rates of the first `count` iterations, in float64."""
    torch: Any = importlib.import_module("torch")
    optimizer: Any = torch.optim.SGD([torch.zeros(1)], lr=learning_rate)
    settings = dict(arguments)
    names = inspect.signature(made.__init__).parameters
    if "cycle_momentum" in names:
        settings["cycle_momentum"] = False
    if rate := _rate_argument(made):
        settings[rate] = learning_rate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that optimizer.step() comes before: there is nothing to optimise
        scheduler: Any = made(optimizer, **{k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()})
        total = getattr(scheduler, "total_steps", None)
        rates = np.empty(count)
        for i in range(count):
            rates[i] = optimizer.param_groups[0]["lr"]
            if total is None or i + 1 < total:
                scheduler.step()  # after its last step, OneCycleLR raises; its rate then stays
    return rates
