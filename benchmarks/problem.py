"""The input of every candidate: the same recipe, data, weights and batches."""

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
    """A workload on a data set; one call of a candidate does `iterations` and, if `evaluates`, a test evaluation."""

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
        """The training and the test set in the form that engines take."""
        return Splits({"train": (self.x, self.y), "test": (self.data.x_test, self.data.y_test)})

    def batches(self, first: int, count: int) -> Batches:
        """The batches of `count` iterations from `first`."""
        return make_batches(self.recipe.batches, self.cohort.seeds, first, count, len(self.y))

    def indices(self, first: int, count: int) -> list[Any]:
        """Each batch in the form that a user of a library would index with: a slice, or an array of rows."""
        batches = self.batches(first, count)
        if batches.starts is not None:
            return [slice(int(s), int(s) + int(n)) for s, n in zip(batches.starts[0], batches.sizes, strict=True)]
        if batches.rows is None:
            return [slice(None)] * count
        if batches.rows.shape[2] == 1:
            return [slice(int(r), int(r) + 1) for r in batches.rows[0, :, 0]]
        return [rows[:n].astype(np.int64) for rows, n in zip(batches.rows[0], batches.sizes, strict=True)]
