"""Recipes by a word: a TOML file, or the name of a model, which is trained with the defaults of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import FileError, nearest
from assay.parts.models import MLP, MODELS
from assay.recipe.aliases import canonical_value
from assay.recipe.toml import read_recipe
from assay.system.files import home_expanded


def model_named(word: str) -> str | None:
    """The model that a word names, in any case and with any hyphens; None if it names none.

    >>> model_named("3ls"), model_named("lenet-5"), model_named("recipe.toml")
    ('3LS', 'lenet5', None)
    """
    name = canonical_value("model.name", word) if word and "." not in word else None
    return name if name in MODELS else None


def of_model(name: str) -> dict[str, Any]:
    """The recipe of a model that is given by its name; a model of images is trained on pictures of MNIST's size.

    >>> of_model("3LS"), of_model("lenet5")
    ({'model': '3LS'}, {'model': 'lenet5', 'data': 'digits-28'})
    """
    return {"model": name} if issubclass(MODELS[name], MLP) else {"model": name, "data": "digits-28"}


def recipe_table(word: str | Path) -> Mapping[str, Any]:
    """The plain data of the recipe that a word names: a TOML file, or a model. A file of that name comes first.

    Raises: FileError, with the nearest model for a word that names neither.
    """
    path = home_expanded(word)
    name = model_named(str(word)) if not path.exists() else None
    if name is not None:
        return of_model(name)
    if path.suffix or path.exists():
        return read_recipe(path)
    guess = nearest(str(word), MODELS)
    hint = f"; did you mean {guess!r}?" if guess else "."
    raise FileError(f"{word}: neither the file of a recipe nor a model{hint} Models: {', '.join(MODELS)}")
