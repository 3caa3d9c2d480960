"""What is no training: each function takes the context of the page, and returns a number, a table or a picture."""

from __future__ import annotations

from assay.articles.context import Context
from assay.data.datasets import load


def parameters(context: Context) -> float:
    """The number of weights and biases of the network of the study."""
    recipe = next(iter(context.plans["question"].trials.values())).recipe
    data = load(recipe.data.name)
    return recipe.model.network(data.shape, len(data.classes)).parameters
