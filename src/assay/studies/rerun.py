"""The definition of a stored study as a file that runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import AssayError, listed
from assay.parts.foreign import exempt_module
from assay.recipe.toml import toml_text
from assay.studies.study import Study, bundled_names
from assay.system.command_line import command_line


@dataclass(frozen=True)
class Rerun:
    """How a stored study is run again.

    Attributes:
        text: Its definition as TOML.
        problem: Why the text cannot be run; "" if it can.
        needs_code: Whether it names third-party code, so that --allow-code is needed.
        name: Its name, if `assay run` finds the stored study by it; "" if a bundled study or a file has that name.
        ignored: A sentence for each key of an axis that single configurations do not have.
    """

    text: str
    problem: str
    needs_code: bool
    name: str = ""
    ignored: tuple[str, ...] = ()

    def command(self, study: str) -> str:
        """The command that runs a study, by its name or its file, again."""
        return command_line("assay run", study, allow_code=self.needs_code)


def rerun(about: Mapping[str, Any]) -> Rerun:
    """How the study of a stored definition is run again. The text is read back, and what it says is compared.

    >>> rerun({"name": "rates", "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.1]}}}).problem
    ''
    """
    text, needs_code = toml_text(about), any(_code_in(about))
    if _has_none(about):
        return Rerun(text, "it sets a key to None, which TOML does not have", needs_code)
    name, ignored = str(about.get("name", "")), tuple[str, ...]()
    try:
        if tomllib.loads(text) != about:
            return Rerun(text, "it has a value that TOML does not have", needs_code)
        if not needs_code:
            ignored = _ignored(Study.parse(tomllib.loads(text)))
    except (AssayError, tomllib.TOMLDecodeError) as error:
        return Rerun(text, str(error), needs_code)
    found_by_name = name not in bundled_names() and not name.endswith(".toml")
    return Rerun(text, "", needs_code, name if found_by_name else "", ignored)


def _ignored(study: Study) -> tuple[str, ...]:
    labels: dict[str, dict[str, None]] = {}
    for candidate in study.candidates():
        for key in candidate.dropped:
            labels.setdefault(key, {})[candidate.label] = None
    return tuple(
        f"{key} is ignored by {listed(list(names))}, because the component has no such key"
        for key, names in labels.items()
    )


def _code_in(value: object, key: str = "") -> Iterator[bool]:
    """Whether each value that may name third-party code does: an optimizer's place, or a program's command."""
    if isinstance(value, Mapping):
        for inner, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield inner == "command" and key == "engine"
            inner_key = value.get("key", key) if inner == "values" else key if inner == "name" else inner  # pyright: ignore
            yield from _code_in(item, str(inner_key))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield isinstance(item, Mapping) and "command" in item
            yield from _code_in(item, key)
    else:
        is_place = isinstance(value, str) and key in ("optimizer", "optimizer.name") and ":" in value
        yield is_place and not exempt_module(str(value))


def _has_none(value: object) -> bool:
    """Whether plain data have a None anywhere."""
    if isinstance(value, Mapping):
        return any(map(_has_none, value.values()))  # pyright: ignore[reportUnknownArgumentType]
    return any(map(_has_none, value)) if isinstance(value, list | tuple) else value is None  # pyright: ignore
