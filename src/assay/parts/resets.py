"""Modules of torch that are made already, drawn anew by the `reset_parameters` of their submodules."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from typing import Any

from assay.errors import CodeError, listed

_FIX = "give its class, or a function that returns it, or write a reset_parameters()"


def reinitialised(module: Any, owner: str) -> Any:
    """A copy of a module whose parameters and running statistics are drawn anew by torch's generator.

    `reset_parameters` of every submodule is called, children first, as constructors do. What a `reset_parameters`
    leaves as it was is found by filling the parameters with NaN before.

    Args:
        module: A torch.nn.Module; it is not changed.
        owner: The model in a sentence, such as "model 'net'".

    Raises:
        CodeError: A submodule with parameters or buffers of its own has no `reset_parameters`, which fails, or leaves
            a parameter out; or a parameter is frozen, so that it would lose the values that it was given.
    """
    torch: Any = importlib.import_module("torch")
    parts = list(_children_first(module, "", set()))
    _check(module, parts, owner)
    module = copy.deepcopy(module).cpu()  # where every machine draws the same numbers
    with torch.no_grad():
        for _, parameter in module.named_parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.fill_(float("nan"))
        for name, part in _children_first(module, "", set()):
            if reset := _reset_of(part):
                _call(reset, f"{owner}: reset_parameters of {_shown(name, part)}")
        left = [name for name, parameter in module.named_parameters() if bool(torch.isnan(parameter).any())]
    if left:
        raise CodeError(
            f"{owner} cannot be re-initialised: reset_parameters does not set {listed(left)} from nothing; {_FIX} that "
            "sets all of it"
        )
    return module


def _check(module: Any, parts: list[tuple[str, Any]], owner: str) -> None:
    """Raises: CodeError where a module cannot be drawn anew, naming all of its parts that stand against it."""
    lacking = [
        _shown(name, part)
        for name, part in parts
        if _reset_of(part) is None and (_own(part.named_parameters) or _own(part.named_buffers))
    ]
    if lacking:
        raise CodeError(
            f"{owner} cannot be re-initialised for another seed: {listed(lacking)} {_has(lacking)} parameters or "
            f"buffers and no reset_parameters; {_FIX} there"
        )
    if frozen := [name for name, parameter in module.named_parameters() if not parameter.requires_grad]:
        raise CodeError(
            f"{owner} cannot be re-initialised for another seed: {listed(frozen)} {_is(frozen)} frozen, and would lose "
            "the values that training should keep; give its class, or a function that returns it"
        )


def _children_first(module: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Every submodule once, with its name, those inside before those around them."""
    if id(module) in seen:
        return
    seen.add(id(module))
    for key, child in module.named_children():
        yield from _children_first(child, f"{name}.{key}".lstrip("."), seen)
    yield name, module


def _reset_of(part: Any) -> Any:
    """What resets a submodule, or None; attention and transformers of torch have it under a name of their own."""
    if callable(reset := getattr(part, "reset_parameters", None)):
        return reset
    own = getattr(part, "_reset_parameters", None)
    return own if callable(own) and type(part).__module__.startswith("torch.nn.") else None


def _call(reset: Any, what: str) -> None:
    try:
        reset()
    except MemoryError:
        raise
    except Exception as error:
        message = (str(error).splitlines() or [""])[0]
        raise CodeError(f"{what} failed: {type(error).__name__}: {message}") from error


def _own(named: Any) -> bool:
    return next(iter(named(recurse=False)), None) is not None


def _shown(name: str, part: Any) -> str:
    kind = type(part).__name__
    return f"{name!r} ({kind})" if name else f"the module itself ({kind})"


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
