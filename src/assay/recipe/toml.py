"""Reading TOML files, and writing plain data as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import FileError, nearest


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file. Raises: FileError if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        guess = nearest(path.name, names)
        raise FileError(f"{path}: no such file" + (f"; did you mean {guess!r}?" if guess else "")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as text: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FileError(f"{path}: not valid TOML: {error}") from None


def toml_text(table: Mapping[str, Any], path: str = "") -> str:
    """A table as TOML that `tomllib` reads back.

    >>> print(toml_text({"seed": 1, "batches": {"size": 64}}), end="")
    seed = 1
    <BLANKLINE>
    [batches]
    size = 64
    """
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if not isinstance(value, Mapping)]
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = f"{path}.{_key(key)}" if path else _key(key)
            lines.append(f"\n[{inner}]\n" + toml_text(value, inner))  # pyright: ignore[reportUnknownArgumentType]
    return "".join(lines)


def _key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType]
    return repr(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
