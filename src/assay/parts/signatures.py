"""Plain data as the arguments of a user's function or class: which it has, of which type, and which are missing."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.errors import has_no

Plain = bool | int | float | str | tuple[Any, ...]

_UNKNOWN = object()
_WORDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Argument:
    """An argument that plain data can be given for: its type, `Any` if it has none, and its default."""

    name: str
    kind: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Signature:
    """The arguments of a function or class, those that are code, and whether it takes any other."""

    arguments: Mapping[str, Argument]
    code: Mapping[str, bool]
    """Arguments that are no plain data -> whether they are required."""
    takes_any: bool


def signature_of(make: Any) -> Signature:
    """The signature of a function or a class, without `self`. Raises: ValueError or TypeError where it has none."""
    try:
        hints = typing.get_type_hints(make.__init__ if isinstance(make, type) else make)
    except Exception:  # a name that exists for type checkers only, or whatever an annotation raises
        hints = {}
    arguments, code, takes_any = dict[str, Argument](), dict[str, bool](), False
    for parameter in _parameters_of(make):
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            kind = _kind(hints.get(parameter.name, _UNKNOWN), parameter.default)
            if kind is None:
                code[parameter.name] = parameter.default is parameter.empty
            else:
                arguments[parameter.name] = Argument(parameter.name, kind, parameter.default)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            code[parameter.name] = parameter.default is parameter.empty
    return Signature(arguments, code, takes_any)


def _parameters_of(make: Any) -> list[inspect.Parameter]:
    """The parameters of a function or a class, also of one whose metaclass hides them behind `*args, **kwargs`."""
    parameters = list(inspect.signature(make).parameters.values())
    of_any = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if isinstance(make, type) and parameters and all(parameter.kind in of_any for parameter in parameters):
        return list(inspect.signature(make.__init__).parameters.values())[1:]
    return parameters


def problems_of_arguments(
    owner: str, signature: Signature, given: Mapping[str, Any], *, handed_in: Collection[str]
) -> list[tuple[str, str]]:
    """What is wrong with the plain data given for a signature: the key and a sentence for each problem.

    `owner`: what has the signature, in messages. `handed_in`: the arguments that Assay gives where they are missing.
    """
    known, problems = signature.arguments, list[tuple[str, str]]()
    for key, value in given.items():
        if key in signature.code:
            problems.append((key, f"is code in {owner}, and not plain data; write a function that sets it"))
        elif key not in known:
            if not signature.takes_any:
                problems.append((key, has_no(owner, "argument", key, list(known))))
            elif (kind := _described_misfit(Any, value)) is not None:
                problems.append((key, kind))
        elif (sentence := _described_misfit(known[key].kind, value)) is not None:
            problems.append((key, sentence))
    problems += [
        (name, "is missing, and has no default")
        for name, argument in known.items()
        if argument.required and name not in given and name not in handed_in
    ]
    problems += [
        (name, f"is required by {owner} and is code, not plain data; write a function that sets it")
        for name, required in signature.code.items()
        if required
    ]
    return problems


def complete(signature: Signature, given: Mapping[str, Any], *, handed_in: Collection[str]) -> dict[str, Plain]:
    """The arguments given, with every default that is plain data, but for those that Assay hands in."""
    values = dict(given)
    for name, argument in signature.arguments.items():
        if name not in values and name not in handed_in and _fits(Any, argument.default):
            values[name] = argument.default
    return {name: plain(value) for name, value in sorted(values.items())}


def as_arguments(signature: Signature, values: Mapping[str, Plain]) -> dict[str, Any]:
    """Stored values as the function takes them: sequences as tuples where its types say so, else as lists."""
    known = signature.arguments
    return {name: _as(known[name].kind if name in known else Any, value) for name, value in values.items()}


def plain(value: Any) -> Plain:
    """A value with tuples in place of lists, so that it can be hashed."""
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value  # pyright: ignore


def _as(kind: Any, value: Any) -> Any:
    if not isinstance(value, tuple):
        return float(value) if kind is float and isinstance(value, int) and not isinstance(value, bool) else value
    entries: list[Any] = [_as(Any, entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return tuple(entries) if _is_tuple(kind) else entries


def _is_tuple(kind: Any) -> bool:
    if _origin(kind) in (typing.Union, types.UnionType):
        return any(_is_tuple(member) for member in typing.get_args(kind))
    return _origin(kind) is tuple or kind is tuple


# --- types -----------------------------------------------------------------------------------------------------------


def _kind(annotation: Any, default: Any) -> Any:
    """The type of an argument, `Any` where nothing is said about it; None if its values are no plain data."""
    if annotation is not _UNKNOWN and annotation is not Any:
        return annotation if _is_plain_type(annotation) else None
    if default is inspect.Parameter.empty or default is None:
        return Any
    if isinstance(default, bool | int | float | str):
        return type(default)
    if isinstance(default, list | tuple):
        values: Sequence[Any] = default  # pyright: ignore[reportUnknownVariableType]
        if not all(isinstance(value, bool | int | float | str) for value in values):
            return None
        inner = {type(value) for value in values}
        element = inner.pop() if len(inner) == 1 else Any
        return tuple[element, ...] if isinstance(default, tuple) else list[element]
    return None


def _is_plain_type(kind: Any) -> bool:
    origin = _origin(kind)
    if kind in (Any, type(None), Ellipsis) or kind in _WORDS or kind in (list, tuple):
        return True
    if origin is Literal:
        return all(isinstance(value, bool | int | float | str) for value in typing.get_args(kind))
    if origin in (list, tuple, Sequence, typing.Union, types.UnionType):
        members = [_is_plain_type(member) for member in typing.get_args(kind)]
        return any(members) if origin in (typing.Union, types.UnionType) else all(members)
    return False


def _described_misfit(kind: Any, value: Any) -> str | None:
    """The sentence on a value that is not of a type; None if it is."""
    if _fits(kind, value):
        return None
    hint = " (without quotes)" if isinstance(value, str) and _fits(kind, _number(value)) else ""
    return f"got {_shown(value)}; expected {_words(kind)}{hint}"


def _fits(kind: Any, value: Any) -> bool:
    origin = _origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(member, value) for member in typing.get_args(kind))
    if origin is Literal:
        return value in typing.get_args(kind) and not (isinstance(value, bool) and True not in typing.get_args(kind))
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    if kind is Any:
        return isinstance(value, bool | int | float | str) or (
            isinstance(value, list | tuple) and all(_fits(Any, entry) for entry in value)  # pyright: ignore
        )
    if kind in (list, tuple) or origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and _entries_fit(kind, value)  # pyright: ignore
    return False


def _entries_fit(kind: Any, values: Sequence[Any]) -> bool:
    members = [member for member in typing.get_args(kind) if member is not Ellipsis]
    if not members:
        return all(_fits(Any, value) for value in values)
    if _origin(kind) is tuple and Ellipsis not in typing.get_args(kind):
        return len(members) == len(values) and all(map(_fits, members, values))
    return all(_fits(members[0], value) for value in values)


def _words(kind: Any) -> str:
    origin, members = _origin(kind), typing.get_args(kind)
    if kind in _WORDS:
        return _WORDS[kind]
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(m) for m in members if m is not type(None) and _is_plain_type(m)))
    if origin is Literal:
        return " or ".join(map(repr, members))
    if origin is tuple and members and Ellipsis not in members:
        return f"a list of {len(members)} values"
    if kind in (list, tuple) or origin in (list, tuple, Sequence):
        plural = {bool: "true or false", int: "whole numbers", float: "numbers", str: "texts"}
        return f"a list of {plural.get(members[0], 'values')}" if members else "a list"
    return "a number, a text, true or false, or a list of them"


def _origin(kind: Any) -> Any:
    return typing.get_origin(kind)


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _shown(value: Any) -> str:
    text = repr(list(value)) if isinstance(value, tuple) else repr(value)  # pyright: ignore[reportUnknownArgumentType]
    return text if len(text) <= 60 else text[:57] + "..."
