"""The command that was typed as a line to paste, made of what was parsed, so that no option of it can be forgotten."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

import typer

from assay.cli.options import typed_store
from assay.system.command_line import Value, command_line

_LEFT_OUT = ("DEFAULT", "DEFAULT_MAP")
"""Sources of values that were not typed; the command finds them again."""


def same_command(
    context: typer.Context, *, without: Collection[str] = (), changes: Mapping[str, Value] | None = None
) -> str:
    """The line that runs a command again with what was given to it.

    Args:
        context: That of the command that runs.
        without: Parameters to leave out, by the names that the command's function gives them.
        changes: Other values of parameters, by these names.

    Passwords in the URL of a store are left out.
    """
    words: list[str] = []
    options: dict[str, Value] = {}
    changes = changes or {}
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        typed = source is not None and source.name not in _LEFT_OUT
        if name in without or not (typed or name in changes):
            continue
        value = changes.get(name, context.params.get(name))
        if parameter.param_type_name == "argument":
            words += [str(word) for word in (value if isinstance(value, list | tuple) else [value])]  # pyright: ignore
        else:
            options |= _option(parameter, typed_store(value) if name == "store" else value)  # pyright: ignore
    return command_line(f"assay {context.command.name}", *words, **options)


def _option(parameter: Any, value: Any) -> dict[str, Value]:
    """An option by its long name; that of its opposite where it has one and the value is False."""
    names = parameter.secondary_opts if value is False else parameter.opts
    name = max(names, key=len, default="").removeprefix("--")
    return {name: True if value is False and name else _plain(value)}


def _plain(value: Any) -> Value:
    if isinstance(value, Enum):
        return str(value.value)
    return [str(_plain(entry)) for entry in value] if isinstance(value, list | tuple) else value  # pyright: ignore
