"""Command lines that are printed: quoted, so that they work when they are pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

Value = str | int | float | Path | bool | None | Iterable[str]


def command_line(program: str, /, *arguments: str | Path, **options: Value) -> str:
    """A command with its arguments and options, quoted for a POSIX shell.

    Args:
        program: The program and its subcommand, such as "assay train".
        arguments: Positional arguments, in order. One that begins with "-" is given after "--".
        options: By name, with "_" for "-". True is a flag; False and None are left out; a list repeats the option.

    >>> command_line("assay train", "my recipe.toml", set=["model.hidden=[8, 4]"], threads=2, again=False)
    "assay train 'my recipe.toml' --set 'model.hidden=[8, 4]' --threads 2"
    """
    words = program.split()
    positional = [str(argument) for argument in arguments]
    dashed = any(argument.startswith("-") for argument in positional)
    named = [word for name, value in options.items() for word in _option("--" + name.replace("_", "-"), value)]
    ordered = [*named, "--", *positional] if dashed else [*positional, *named]
    return shlex.join([*words, *ordered])


def _option(name: str, value: Value) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    if isinstance(value, str | int | float | Path):
        return _pair(name, str(value))
    return [word for entry in value for word in _pair(name, entry)]


def _pair(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if value.startswith("-") else [name, value]
