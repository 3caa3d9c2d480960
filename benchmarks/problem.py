"""What every candidate is given: recipe, data, weights and batches; the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.prepare import Prepared
from assay.engines.base import Cohort, Splits, fresh
from assay.parts.batches import Batches, make_batches
from assay.recipe.model import Recipe

CHECKED = 20  # batches whose losses are compared


@dataclass
class Problem:
    """A workload on given data; one call of a candidate does `iterations` and, where asked, evaluates the test set."""

    name: str
    recipes: tuple[Recipe, ...]
    data: Prepared
    iterations: int
    evaluates: bool = False

    @property
    def x(self) -> NDArray[Any]:
        """Training inputs (N, D)."""
        return self.data.x_train

    @property
    def y(self) -> NDArray[np.int64]:
        """Training labels (N,)."""
        return self.data.y_train

    @property
    def recipe(self) -> Recipe:
        """The recipe of a single trial."""
        return self.recipes[0]

    @cached_property
    def cohort(self) -> Cohort:
        """The trials with their network."""
        return Cohort(self.recipes, self.recipe.model.network(self.data.shape, self.data.classes))

    @cached_property
    def weights(self) -> dict[str, NDArray[np.float64]]:
        """The first trial's initial weights."""
        return {name: w[0] for name, w in fresh(self.cohort).weights.items()}

    @cached_property
    def splits(self) -> Splits:
        """Training and test set in the engines' form."""
        return Splits({"train": (self.x, self.y), "test": (self.data.x_test, self.data.y_test)})

    def batches(self, first: int, count: int) -> Batches:
        """The batches of some iterations."""
        return make_batches(self.recipe.batches, self.cohort.seeds, first, count, len(self.y))

    def indices(self, first: int, count: int) -> list[Any]:
        """Each batch as what a library's user would index with: a slice, or an array of rows."""
        made = self.batches(first, count)
        if made.starts is not None:
            return [slice(int(s), int(s) + int(n)) for s, n in zip(made.starts[0], made.sizes, strict=True)]
        if made.rows is None:
            return [slice(None)] * count
        if made.rows.shape[2] == 1:
            return [slice(int(r), int(r) + 1) for r in made.rows[0, :, 0]]
        return [rows[:n].astype(np.int64) for rows, n in zip(made.rows[0], made.sizes, strict=True)]
