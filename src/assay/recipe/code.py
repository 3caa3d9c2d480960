"""A recipe's code of a user: which it has, and by what it is known."""

from __future__ import annotations

import hashlib

from assay.parts.modules import ForeignModel
from assay.parts.user_optimizers import code_hash
from assay.recipe.model import Recipe


def recipe_code(recipe: Recipe) -> str:
    """By what the code of a recipe's user optimizer and model is known, in at most 32 characters; "" for none."""
    optimizer = code_hash(recipe.optimizer)
    if not isinstance(recipe.model, ForeignModel):
        return optimizer
    text = f"{optimizer}\n{recipe.model.name}\n{recipe.model.code}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def code_entries(recipe: Recipe) -> list[str]:
    """The names of a recipe's user code: its model, its optimizer."""
    model = [recipe.model.name] if isinstance(recipe.model, ForeignModel) else []
    return [*model, *([recipe.optimizer.entry] if recipe.optimizer.is_user_defined() else [])]
