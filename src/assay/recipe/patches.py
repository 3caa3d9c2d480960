"""Patches of a recipe: dotted assignments, merging, components as tables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from assay.errors import RecipeError
from assay.parts.models import model_of
from assay.parts.part import Part
from assay.recipe.aliases import SHORT_FORMS, canonical
from assay.recipe.bounds import problems_of, too_deep
from assay.recipe.toml import number_problem
from assay.system.limits import TOML_DEPTH


def assignment(text: str) -> dict[str, Any]:
    """Parses `key.key=value` into a patch; the value is TOML, or a plain word.

    >>> assignment("optimizer.learning_rate=0.1"), assignment("model=3LS"), assignment("clip_norm=.5")
    ({'optimizer': {'learning_rate': 0.1}}, {'model': '3LS'}, {'clip_norm': 0.5})
    """
    path, equals, word = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise RecipeError([f"got {text!r}; expected KEY=VALUE, such as optimizer.learning_rate=0.1"], source="--set")
    if len(keys) > TOML_DEPTH.most:
        raise RecipeError([f"got a key of {len(keys):,} parts; expected at most {TOML_DEPTH.most}"], source="--set")
    try:
        patch = _word(word.strip())
    except RecursionError:
        raise RecipeError([f"{path[:80]}: its lists or tables are nested too deeply"], source="--set") from None
    except ValueError as error:
        raise RecipeError([f"{path[:80]}: {number_problem(error)}"], source="--set") from None
    for key in reversed(keys):
        patch = {key: patch}
    if problems := list(problems_of(patch)):
        raise RecipeError(problems, source="--set")
    return patch


def assignments(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Parses the assignments of one command into one patch, in which their order does not matter; none if none.

    >>> assignments(["optimizer.learning_rate=0.02", "optimizer=adamw"])
    [{'optimizer': {'learning_rate': 0.02, 'name': 'adamw'}}]

    Raises: RecipeError, with every wrong one, and for a key that is given twice with different values.
    """
    together: dict[str, Any] = {}
    problems: list[str] = []
    for text in texts:
        try:
            _join(together, assignment(text), problems)
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems, source="--set")
    return [together] if together else []


def _join(together: dict[str, Any], patch: Mapping[str, Any], problems: list[str], path: str = "") -> None:
    """Adds a patch to `together`, or the keys that both set differently to `problems`."""
    for key, value in patch.items():
        old, where = together.get(key), f"{path}.{key}" if path else key
        if not path and key in SHORT_FORMS:
            old, value = (
                {SHORT_FORMS[key]: side} if isinstance(side, str) and isinstance(other, Mapping) else side
                for side, other in ((old, value), (value, old))
            )
        if key not in together or old == value:
            together[key] = value
        elif isinstance(old, Mapping) and isinstance(value, Mapping):
            together[key] = dict(old)  # pyright: ignore[reportUnknownArgumentType]
            _join(together[key], value, problems, where)  # pyright: ignore[reportUnknownArgumentType]
        else:
            problems.append(f"{where}: is given twice, as {old!r} and as {value!r}; leave one of them out")


_PYTHON = {"True": True, "False": False, "None": None}


def _word(word: str) -> Any:
    """A value as TOML, as Python writes numbers and constants (.001, 1., True), or the word itself.

    Raises: ValueError, RecursionError where a number has too many digits, or lists are nested too deeply.
    """
    if problem := too_deep(word):
        raise ValueError(problem.partition(": ")[2])
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    if word in _PYTHON:
        return _PYTHON[word]
    return float(word) if _NUMBER.fullmatch(word) else word


_NUMBER = re.compile(r"[+-]?(\d+\.|\.\d+)([eE][+-]?\d+)?")


def merged(table: Mapping[str, Any], patches: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A recipe's plain data with patches applied in order.

    A table that names a component replaces it, and its other settings take their defaults (Adam never inherits
    Descent's learning rate). A table without a name is merged key by key. A patch that replaces the model but names no
    loss takes the new model's default loss. Layers make another model `sequential`. Aliases are rewritten first.
    """
    result = canonical(table)
    for raw_patch in patches:
        patch = canonical(raw_patch, base=result)
        if "model" in patch:
            patch["model"] = with_model_of_layers(result.get("model"), patch["model"])
        if "model" in patch and "loss" not in patch and names_component(patch["model"]):
            result.pop("loss", None)
        for key, value in patch.items():
            result[key] = _merged_value(key, result.get(key), value)
    return result


def with_data(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The patch that replaces a recipe's data set by another, with the same split."""
    data: Any = table.get("data")
    return {"data": {**data, "name": name} if isinstance(data, Mapping) else name}


def with_model_of_layers(old: object, new: Any) -> Any:
    """The value of a patch's model, named "sequential" if it has layers and the model that it changes has none.

    >>> with_model_of_layers("3LS", {"layers": ["flatten"]})
    {'name': 'sequential', 'layers': ['flatten']}
    """
    if not isinstance(new, Mapping) or "layers" not in new or names_component(new):  # pyright: ignore
        return new
    table = tables(old)
    name = table.get("name", model_of(table)) if isinstance(table, Mapping) and table else table  # pyright: ignore
    own = name == "sequential" or ":" in str(name)  # a user's module may have an argument `layers`
    return new if not name or own else {"name": "sequential", **new}


def _merged_value(key: str, old: object, new: object) -> object:
    if not isinstance(new, Mapping) or names_component(new):  # pyright: ignore[reportUnknownArgumentType]
        return new
    if key in SHORT_FORMS and isinstance(old, str):
        old = {SHORT_FORMS[key]: old}
    if key == "budget":  # iterations or epochs: the new key replaces the old one
        old = None
    old = tables(old)
    base: dict[str, Any] = dict(old) if isinstance(old, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    return {**base, **new}


def tables(value: Any) -> Any:
    """Plain data with every component made in Python replaced by its table, and with lists for tuples."""
    if isinstance(value, Part):
        return value.written()
    if isinstance(value, Mapping):
        return {key: tables(item) for key, item in value.items()}  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [tables(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def names_component(value: object) -> bool:
    """Whether a patch's value names a component and so replaces it."""
    tags = ("name", "kind", "groups")  # groups are an optimizer of their own
    return isinstance(value, str) or (isinstance(value, Mapping) and any(tag in value for tag in tags))
