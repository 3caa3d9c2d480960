"""Reading TOML files, and writing plain data as TOML."""

from __future__ import annotations

import json
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay.errors import FileError, nearest
from assay.recipe.bounds import problems_of, too_deep
from assay.recipe.toml_hints import cause, decoded
from assay.system.command_line import command_line
from assay.system.file_kinds import kind_of_file
from assay.system.limits import TOML_BYTES


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file. A byte-order mark of UTF-8, UTF-16 or UTF-32 is obeyed.

    Raises:
        FileError: It cannot be read, is another kind of file, or is not TOML; with the likely cause.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()) and path.resolve() != Path("/dev/stdin").resolve():
            raise FileError(f"{path}: a pipe or a device; expected a file")
        with path.open("rb") as file:
            content = file.read(TOML_BYTES.most + 1)
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        guess = nearest(path.name, names)
        raise FileError(f"{path}: no such file" + (f"; did you mean {guess!r}?" if guess else "")) from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read as text: {error}") from None
    if len(content) > TOML_BYTES.most:
        reason = _another_kind(path) or f"has more than {TOML_BYTES}; a study, a recipe or a file of claims is shorter"
        raise FileError(f"{path}: {reason}")
    try:
        text = decoded(content)
    except ValueError as error:
        raise FileError(f"{path}: {_another_kind(path) or f'cannot be read as text: {error}'}") from None
    if problem := too_deep(text):
        raise FileError(f"{path}: {problem}")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        kind = _another_kind(path)
        reason = kind or f"not valid TOML: {error}{cause(text, str(error))}"
        raise FileError(f"{path}: {reason}") from None
    except RecursionError:
        raise FileError(f"{path}: its lists or tables are nested too deeply") from None
    except ValueError as error:  # of a number, a date or a time
        raise FileError(f"{path}: not valid TOML: {number_problem(error)}") from None
    if problems := list(problems_of(table)):
        raise FileError("\n".join([f"{path}: {len(problems)} errors", *(f"  - {line}" for line in problems[:20])]))
    return table


def number_problem(error: ValueError) -> str:
    """Why a value that is written as TOML asks cannot be read, from Python's error."""
    return "a number of more than 4,300 digits" if "digits" in str(error) else str(error)


_OF_STUDIES = ("baseline", "axes", "trials")


def read_recipe(path: Path) -> dict[str, Any]:
    """The table in a recipe's TOML file. Raises: FileError as `read_toml` does, and for a study."""
    table = read_toml(path)
    keys = [key for key in _OF_STUDIES if isinstance(table.get(key), Mapping)]
    if keys:
        raise FileError(
            f"{path}: is a study, because it has {' and '.join(keys)}; expected a recipe; "
            f"run it: {command_line('assay run', path)}"
        )
    return table


def read_study(path: Path, *, recipe_keys: Iterable[str]) -> dict[str, Any]:
    """The table in a study's TOML file. Raises: FileError as `read_toml` does, and for a recipe.

    Args:
        path: The file.
        recipe_keys: The keys that a recipe has and a study has not.
    """
    table = read_toml(path)
    keys = [key for key in recipe_keys if key in table]
    if keys and not any(key in table for key in _OF_STUDIES):
        raise FileError(
            f"{path}: is a recipe, because it has {' and '.join(keys)} and no baseline or axes; expected a study; "
            f"train it: {command_line('assay train', path)}"
        )
    return table


_EXPECTED = "expected a recipe or a study in TOML"
_NOT_TOML = ("", "a TOML file")


def _another_kind(path: Path) -> str:
    """What a file is that is no TOML, with what to do about it; "" if that is unknown."""
    kind = kind_of_file(path)
    if kind in _NOT_TOML:
        return ""
    if kind.startswith("a safetensors"):
        return (
            f"is {kind}; {_EXPECTED}; weights that Assay saved are resumed by {command_line('assay train', start=path)}"
        )
    return f"is {kind}; {_EXPECTED}"


def toml_text(table: Mapping[str, Any], path: str = "") -> str:
    """A table as TOML that `tomllib` reads back; entries that are None are left out.

    >>> print(toml_text({"seed": 1, "batches": {"size": 64}}), end="")
    seed = 1
    <BLANKLINE>
    [batches]
    size = 64
    """
    plain = {key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {inline_text(value)}\n" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = f"{path}.{_key(key)}" if path else _key(key)
            lines.append(f"\n[{inner}]\n" + toml_text(value, inner))  # pyright: ignore[reportUnknownArgumentType]
    return "".join(lines)


def _key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else _text(key)


def inline_text(value: Any) -> str:
    """A value as TOML in one line.

    >>> inline_text([8, "flatten", {"kind": "dense", "units": 4}])
    '[8, "flatten", { kind = "dense", units = 4 }]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inline_text(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):  # in a list: a table of its own would need another form of header
        items: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        pairs = [f"{_key(key)} = {inline_text(item)}" for key, item in items.items() if item is not None]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return repr(value)


def _text(text: str) -> str:
    return "".join(_escaped(c) for c in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    """A character as TOML text: one that steers a terminal, or that nobody sees, by its number."""
    if unicodedata.category(character)[0] != "C" or "\ud800" <= character <= "\udfff":
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
