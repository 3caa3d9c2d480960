"""The JSON texts of recipes that keys and cohorts are made of, made once for each component that recipes share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring_ascii
from math import isfinite
from operator import attrgetter
from typing import Any, TypeVar

from assay.parts.part import Part
from assay.recipe.cohorts import static_form, static_optimizer
from assay.recipe.model import Recipe

_Made = TypeVar("_Made")

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_MOST = 10_000  # texts of one kind that are kept
_VARIED = ("seed", "schedule", "optimizer", "clip_norm", "clip_of", "regularisation")  # within a cohort
_COMMON = attrgetter(*[field for field in Recipe.model_fields if field not in _VARIED])
_OWN = ("seed", "optimizer", "clip_norm", "clip_of", "regularisation")  # mostly of one recipe alone
_SHARED = tuple(field for field in Recipe.model_fields if field not in _OWN)
shared_parts = attrgetter(*_SHARED)
"""What a recipe has in the fields that many recipes share."""


class Texts:
    """Texts of the components of recipes. A text belongs to one object, not to equal ones: -0.0 equals 0.0."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[tuple[int, ...], tuple[tuple[Any, ...], Any]]] = {}

    def made(self, what: str, parts: tuple[Any, ...], make: Callable[[], _Made]) -> _Made:
        """What `make` returns, called once for these very objects."""
        kept = self._kept.get(what)
        if kept is None:
            kept = self._kept[what] = {}
        key = tuple(map(id, parts))
        entry = kept.get(key)
        if entry is None:
            if len(kept) >= _MOST:
                kept.clear()
            entry = kept[key] = (parts, make())  # with the objects: no other one can have the id of one of them
        return entry[1]

    def shared(self, recipe: Recipe) -> dict[str, str]:
        """The canonical form as text, field by field, of what recipes share (`shared_parts`)."""
        return self._fields(recipe, _SHARED)

    def own(self, recipe: Recipe) -> dict[str, str]:
        """The same of the other fields: the seed, and what holds the numbers that a search draws."""
        return self._fields(recipe, _OWN)

    def _fields(self, recipe: Recipe, fields: Iterable[str]) -> dict[str, str]:
        texts: dict[str, str] = {}
        for field in fields:
            value = getattr(recipe, field)
            if value is None:
                continue
            if isinstance(value, Part):
                text = self.made(field, (value,), lambda field=field: text_of(recipe.canonical_field(field)))
            else:
                text = text_of(recipe.canonical_field(field))
            if text != "null":
                texts[field] = text
        return texts

    def static_form(self, recipe: Recipe) -> str:
        """Everything that the recipes of one cohort have in common, as text."""
        parts = _COMMON(recipe)
        clips = (recipe.clip_norm is not None, recipe.canonical_field("clip_of"), recipe.regularisation.biases)
        what = f"form {static_optimizer(recipe)} {clips}"
        return self.made(what, parts, lambda: static_form(recipe))


def text_of(value: Any) -> str:
    """Plain data as the JSON text that is hashed.

    >>> text_of({"b": 1e-05, "a": [1, None, "x"]})
    '{"a":[1,null,"x"],"b":1e-05}'
    """
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is dict:  # mostly of a few numbers, for which the encoder of json takes much longer to be set up
        entries: dict[str, Any] = value
        return (
            "{" + ",".join([f"{encode_basestring_ascii(key)}:{text_of(entries[key])}" for key in sorted(entries)]) + "}"
        )
    return _ENCODE(value)


def table_text(texts: Mapping[str, str]) -> str:
    """The JSON text of a table from the texts of its values.

    >>> table_text({"b": "[1]", "a": '{"c":2}'})
    '{"a":{"c":2},"b":[1]}'
    """
    return "{" + ",".join([f'"{key}":{texts[key]}' for key in sorted(texts)]) + "}"
