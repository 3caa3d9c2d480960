"""Optimizers of torch.optim, optax and packages like them, by dotted name: `torch.optim:NAdam`, `optax:lion`.

Each becomes a class of settings that is made from its signature; the engines torch and jax call the library itself.
What `torch.optim`, `optax` and `optax.contrib` export needs no permission, if the module is the installed package and
not a file of the same name in another folder. Everything else is third-party code (see `user_optimizers`).
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import site
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import create_model

from assay.errors import CodeError, has_no, to_install
from assay.parts.optimizers import Optimizer
from assay.parts.part import Positive

MODULES: dict[str, tuple[str, str]] = {  # module -> its package, and the engine that trains with it
    "torch.optim": ("torch", "torch"),
    "optax": ("optax", "jax"),
    "optax.contrib": ("optax", "jax"),
}
"""The modules whose optimizers need no permission."""

_RATES = ("learning_rate", "lr")
_NOT_SETTINGS = {"params", "maximize", "differentiable", "capturable"}
"""What an argument of torch's optimizers is called that is no setting: Assay hands over the parameters, minimises, and
does not differentiate through a step or record it."""
_RANDOM = {"seed", "key"}
_MISFITS = {
    "torch.optim:SparseAdam": "takes sparse gradients only, and those of these networks are dense; use torch.optim:Adam"
}


class ForeignOptimizer(Optimizer):
    """An optimizer of another library: its name and its arguments, checked against its signature.

    `slots` is 0, because the library keeps the state in its own form, which only its engine reads.
    """

    path: ClassVar[str] = ""
    engine: ClassVar[str] = ""
    """The engine that trains with it."""
    code: ClassVar[str] = ""
    """The package and its version, without a build tag; a hash of the source where it belongs to no package."""
    make: ClassVar[Any] = None
    """The class or function itself."""
    rate: ClassVar[str] = "learning_rate"
    """What the library calls the learning rate."""

    @classmethod
    def class_path(cls) -> str:
        return cls.path

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def settings(self) -> dict[str, Any]:
        """Every argument but those that are None."""
        return {key: value for key, value in super().settings().items() if value is not None}

    def arguments(self) -> dict[str, Any]:
        """The arguments other than the learning rate, as the library names them."""
        return {key: value for key, value in self.settings().items() if key != "learning_rate"}

    def built(self, *parameters: Any, learning_rate: Any = None) -> Any:
        """The library's own object, for torch's `parameters`, with this learning rate or its own."""
        rate = {type(self).rate: self.learning_rate if learning_rate is None else learning_rate}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the key names the version that has it
            return type(self).make(*parameters, **rate, **self.arguments())


def is_foreign(optimizer: Optimizer | type[Optimizer]) -> bool:
    """Whether an optimizer, or a class of them, is one of another library."""
    return issubclass(optimizer if isinstance(optimizer, type) else type(optimizer), ForeignOptimizer)


def engine_problem(optimizer: Optimizer, engine: str) -> str | None:
    """Why an engine cannot train with an optimizer: it is another library's. None if it can."""
    if not isinstance(optimizer, ForeignOptimizer) or optimizer.engine == engine:
        return None
    return f"optimizer {optimizer.entry!r} trains on engine {optimizer.engine!r} only; use engine {optimizer.engine!r}"


def check_arguments(optimizer: ForeignOptimizer) -> None:
    """Makes the optimizer once, because a library checks its numbers there. Raises: CodeError."""
    parameters = [[sys.modules["torch"].zeros(2, 2)]] if optimizer.engine == "torch" else []
    try:
        optimizer.built(*parameters)
    except Exception as error:
        message = (str(error).splitlines() or [""])[0]
        raise CodeError(f"optimizer {optimizer.entry!r} refuses its arguments: {message}") from error


_made: dict[str, type[ForeignOptimizer]] = {}


def made_class(name: str) -> type[ForeignOptimizer] | None:
    """The class of an optimizer that was looked up before; nothing is imported."""
    return _made.get(name)


def exempt_module(name: str) -> bool:
    """Whether a dotted name is in a module whose optimizers need no permission."""
    return all(part.partition(":")[0] in MODULES for part in name.split(" + "))  # of groups, all of them


def exported_class(name: str) -> type[ForeignOptimizer]:
    """The class of an optimizer that torch.optim, optax or optax.contrib exports.

    Raises: CodeError if the package is not installed, or is hidden by another file, has no such optimizer, or if it
    cannot train here.
    """
    if name in _made:
        return _made[name]
    module, _, path = name.partition(":")
    try:
        exported = exports(module)
    except CodeError as error:
        raise CodeError(f"{name!r} {error}") from None
    if path not in exported:
        raise CodeError(has_no(f"module {module!r}", "optimizer", path, list(exported)))
    return remember(name, foreign_class(name, exported[path]))


def remember(name: str, made: type[ForeignOptimizer]) -> type[ForeignOptimizer]:
    """Keeps the class of a name, so that it is made once; returns it."""
    return _made.setdefault(name, made)


@functools.cache
def exports(module: str) -> dict[str, Any]:
    """The optimizers that one of `MODULES` exports, by name, from the installed package. Raises: CodeError."""
    package = MODULES[module][0]
    check_installed(package)
    library = importlib.import_module(module)
    return {name: value for name, value in sorted(vars(library).items()) if kind_of_object(value) and name[0] != "_"}


def kind_of_object(value: object) -> str:
    """The engine of an optimizer's class or function: "torch", "jax", or "" if it is neither.

    A function is one of optax's if its return annotation says so.
    """
    torch_base = getattr(sys.modules.get("torch.optim"), "Optimizer", None)
    if isinstance(value, type):
        return "torch" if torch_base and issubclass(value, torch_base) and value is not torch_base else ""
    if not inspect.isfunction(value):
        return ""
    returned = str(value.__annotations__.get("return", ""))
    return "jax" if re.fullmatch(r"(<class ')?([\w.]*\.)?GradientTransformation(ExtraArgs)?('>)?", returned) else ""


def check_installed(package: str) -> None:
    """Raises CodeError unless the package that would be imported, or is, is the installed one."""
    installed = _installed_origin(package)
    if installed is None:
        raise CodeError(f"needs {package}: {to_install('jax' if package == 'optax' else package)}")
    loaded = sys.modules.get(package)
    spec = getattr(loaded, "__spec__", None) if loaded is not None else importlib.util.find_spec(package)
    origin = getattr(spec, "origin", None)
    if origin is None or Path(origin).resolve() != installed:
        raise CodeError(
            f"{package!r} is here {origin}, not the installed package ({installed}); rename that file or folder"
        )


def _installed_origin(package: str) -> Path | None:
    """The `__init__.py` of a package in the folders that pip installs to; None if there is none."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    for folder in sorted(folders):
        origin = Path(folder, package, "__init__.py")
        if origin.is_file() and any(importlib.metadata.distributions(name=package, path=[folder])):
            return origin.resolve()
    return None


# --- from a signature to a class of settings --------------------------------------------------------------------------


def foreign_class(name: str, make: Any) -> type[ForeignOptimizer]:
    """The class of settings of a library's optimizer, whose fields are the arguments of its signature.

    Raises: CodeError if it has no learning rate, or needs an argument that is code.
    """
    engine = kind_of_object(make)
    parameters = list(_parameters(make, engine))
    rate = next((known for known in _RATES if known in {p.name for p in parameters}), None)
    if problem := _MISFITS.get(name) or _misfit(make, engine, parameters, rate):
        raise CodeError(f"optimizer {name!r} {problem}")
    assert rate is not None  # else it is a misfit
    fields: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name == rate:
            given = parameter.default if isinstance(parameter.default, int | float) else None
            fields["learning_rate"] = (Positive, ... if given is None else float(given))
        elif (kind := kind_of_argument(parameter)) is not None:
            default = ... if parameter.default is parameter.empty else _plain_default(kind, parameter.default)
            fields[parameter.name] = (kind, default)
    about = (inspect.getdoc(make) or "").strip().partition("\n")[0]
    created: Any = create_model(make.__name__, __base__=ForeignOptimizer, __doc__=about, **fields)
    made = cast("type[ForeignOptimizer]", created)
    made.path, made.engine, made.code, made.make, made.rate = name, engine, code_of(make), staticmethod(make), rate
    return made


def _parameters(make: Any, engine: str) -> Iterator[inspect.Parameter]:
    signature = inspect.signature(make.__init__ if engine == "torch" else make)
    for number, parameter in enumerate(signature.parameters.values()):
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        first = engine == "torch" and number < 2  # self and the parameters
        if not (variable or first or parameter.name in _NOT_SETTINGS):
            yield parameter


def _misfit(make: Any, engine: str, parameters: list[inspect.Parameter], rate: str | None) -> str:
    """Why it cannot train here, as the end of a sentence; "" if nothing speaks against it."""
    if rate is None or make.__name__.startswith("scale_by_"):
        return f"{_PART}, not one: it has no learning rate of its own"
    if engine == "torch":
        step = inspect.signature(make.step).parameters
        closure = step.get("closure")
        if closure is not None and closure.default is closure.empty:
            return "needs a closure, a function that computes the loss again; Assay calls step() with the gradient"
    if random := [p.name for p in parameters if p.name in _RANDOM]:
        return f"draws random numbers from its own {random[0]!r}, which would be the same for every seed of a recipe"
    if inner := [p.name for p in parameters if type(p.default).__name__.startswith("GradientTransformation")]:
        return f"computes the loss again, by its {inner[0]!r}; Assay hands over the gradient and the loss of the batch"
    code = [p.name for p in parameters if p.default is p.empty and p.name != rate and kind_of_argument(p) is None]
    return f"needs {code[0]!r}, which is code and not plain data" if code else ""


def kind_of_argument(parameter: inspect.Parameter) -> Any:
    """The type of an argument's values, from its annotation and its default; None if they are not plain data."""
    default = parameter.default
    words = set(re.findall(r"[A-Za-z_]\w*", _annotation(parameter)))
    if parameter.name.endswith(("dtype", "mask", "numbers", "_learning_rate")):
        return None  # code, or a second learning rate, which would not follow the schedule
    if isinstance(default, tuple):
        values = cast("tuple[Any, ...]", default)
        element = float | None if None in values else float
        plain = bool(values) and all(value is None or isinstance(value, int | float) for value in values)
        return tuple[(element,) * len(values)] if plain else None
    if isinstance(default, bool):
        return bool
    if isinstance(default, float) or (isinstance(default, int) and "float" in words and "Array" not in words):
        return float
    if isinstance(default, int):  # a number of steps must stay whole, and arrays' annotations do not say what it is
        return int if words == {"int"} else int | float
    if isinstance(default, str) or (default is None and words & {"str", "Literal"}):
        names = tuple(a or b for a, b in re.findall(r"'([^']*)'|\"([^\"]*)\"", _annotation(parameter)))
        kind: Any = Literal[names] if "Literal" in words and names else str
        return kind if default is not None else kind | None
    if default not in (None, parameter.empty):
        return None
    known = {"bool": bool, "float": float, "int": int, "ArrayLike": float, "Numeric": float, "ScalarOrSchedule": float}
    kind = next((kind for word, kind in known.items() if word in words), None)
    return kind if kind is None or default is parameter.empty else kind | None


def _annotation(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return ""
    return (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )


def _plain_default(kind: Any, default: Any) -> Any:
    """A default as it is after a round trip through a file, so that a recipe that repeats it has the same key."""
    if isinstance(default, tuple):
        return tuple(value if value is None else float(value) for value in cast("tuple[Any, ...]", default))
    return float(default) if kind is float and default is not None else default


# --- versions ---------------------------------------------------------------------------------------------------------


def code_of(make: Any) -> str:
    """What a key holds of a library's code: "torch 2.13.0", or a hash of the source where it belongs to no package.

    Raises: CodeError if there is neither.
    """
    package = make.__module__.partition(".")[0]
    names = [package] if package in {p for p, _ in MODULES.values()} else _distributions().get(package, [])
    if names:
        text = f"{names[0]} {importlib.metadata.version(names[0]).partition('+')[0]}"
        return text if len(text) <= 32 else hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        source = inspect.getsource(sys.modules[make.__module__])
    except (OSError, TypeError, KeyError):
        raise CodeError(f"{make.__name__!r}: its source cannot be read; put it in a .py file") from None
    return hashlib.sha256(source.encode()).hexdigest()[:32]


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


# --- the table of the documentation -----------------------------------------------------------------------------------


def fitting(module: str) -> dict[str, type[ForeignOptimizer] | str]:
    """Every optimizer of one of `MODULES`, with its class of settings, or the sentence why it cannot train."""
    return {name: _class_or_reason(f"{module}:{name}") for name in exports(module)}


def _class_or_reason(name: str) -> type[ForeignOptimizer] | str:
    try:
        return exported_class(name)
    except CodeError as error:
        return str(error)


def table() -> str:
    """The optimizers of `MODULES` as a table in Markdown: with their arguments, or why they do not fit."""
    rows = [["optimizer", "engine", "arguments, or why it does not fit"], ["---"] * 3]
    parts: dict[str, list[str]] = {}
    for module in MODULES:
        for name, fits in fitting(module).items():
            if isinstance(fits, str):
                reason = fits.partition("' ")[2]
                if _PART in reason:
                    parts.setdefault(module, []).append(name)
                else:
                    rows.append([f"`{module}:{name}`", "none", f"**does not fit**: {reason}"])
            else:
                rows.append([f"`{module}:{name}`", fits.engine, ", ".join(_argument(fits, key) for key in _keys(fits))])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for module, names in parts.items():
        lines += ["", f"Parts of optimizers in `{module}`, without a learning rate of their own: {', '.join(names)}."]
    return "\n".join(lines) + "\n"


_PART = "is a part of an optimizer"


def _keys(made: type[ForeignOptimizer]) -> list[str]:
    return ["learning_rate", *(key for key in made.model_fields if key != "learning_rate")]


def _argument(made: type[ForeignOptimizer], key: str) -> str:
    field = made.model_fields[key]
    if field.is_required():
        return f"{key} (required)"
    default: Any = list(field.default) if isinstance(field.default, tuple) else field.default
    return key if default is None else f"{key} = {str(default).lower() if isinstance(default, bool) else default}"
