"""The JSON texts of recipes that keys and cohorts are made of, made once for each component that recipes share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from assay.parts.part import Part
from assay.parts.user_optimizers import code_hash
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe

_Made = TypeVar("_Made")

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_MOST = 20_000  # objects whose texts are kept
_COMMON = tuple(
    field
    for field in Recipe.model_fields
    if field not in ("seed", "schedule", "optimizer", "clip_norm", "clip_of", "regularisation")
)


class Texts:
    """Texts of the components of recipes. A text belongs to one object, not to equal ones: -0.0 equals 0.0."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = {}

    def made(self, what: str, parts: tuple[Any, ...], make: Callable[[], _Made]) -> _Made:
        """What `make` returns, called once for these very objects."""
        key = (what, *map(id, parts))
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            kept = self._kept[key] = (parts, make())  # with the objects: no other one can have the id of one of them
        return kept[1]

    def canonical(self, recipe: Recipe) -> dict[str, str]:
        """The canonical form of a recipe as a text for each field, without those that it leaves out."""
        texts: dict[str, str] = {}
        for field, value in recipe.__dict__.items():
            if isinstance(value, Part):
                text = self.made(field, (value,), lambda field=field: text_of(recipe.canonical_field(field)))
            else:
                text = text_of(recipe.canonical_field(field))
            if text != "null":
                texts[field] = text
        return texts

    def static_form(self, recipe: Recipe) -> str:
        """Everything that the recipes of one cohort have in common, as text."""
        parts = tuple([getattr(recipe, field) for field in _COMMON])
        clips = (recipe.clip_norm is not None, recipe.canonical_field("clip_of"), recipe.regularisation.biases)
        what = f"form {recipe.optimizer.entry} {code_hash(recipe.optimizer)} {clips}"
        return self.made(what, parts, lambda: static_form(recipe))


def text_of(value: Any) -> str:
    """Plain data as the JSON text that is hashed."""
    return _ENCODE(value)


def table_text(texts: Mapping[str, str]) -> str:
    """The JSON text of a table from the texts of its values.

    >>> table_text({"b": "[1]", "a": '{"c":2}'})
    '{"a":{"c":2},"b":[1]}'
    """
    return "{" + ",".join([f'"{key}":{texts[key]}' for key in sorted(texts)]) + "}"
