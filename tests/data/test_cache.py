"""A data set is loaded once and prepared once for each way of preparing it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.data.cache import DataCache
from assay.data.dataset import Dataset, from_arrays
from assay.data.prepare import Preparation, prepare
from assay.errors import DataError
from assay.recipe.model import Recipe

UNIT = Preparation("unit", "float32")


class Loader:
    """Makes a small data set of any name but "missing", and notes which were asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> Dataset:
        self.names.append(name)
        if name == "missing":
            raise DataError("no such data set")
        x, y = np.arange(12.0).reshape(4, 3) + len(self.names), np.array([0, 1, 0, 1])
        return from_arrays(x, y, x, y, name=name)


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_a_data_set_is_loaded_once(loader: Loader) -> None:
    cache = DataCache(load=loader)
    assert cache.dataset("a") is cache.dataset("a")
    assert cache.prepared("a", UNIT).checksum == cache.dataset("a").checksum
    cache.dataset("b")
    cache.dataset("a")
    assert loader.names == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [
        {"name": "b"},
        {"scaling": "standardise"},
        {"dtype": "float64"},
        {"train": 3},
        {"validation": 1},
    ],
)
def test_what_is_prepared_in_another_way_is_prepared_by_itself(loader: Loader, other: dict[str, Any]) -> None:
    cache = DataCache(load=loader)
    first = cache.prepared("a", UNIT)
    settings = {"name": "a", "scaling": "unit", "dtype": "float32"} | other
    name, how = settings.pop("name"), Preparation(**settings)
    second = cache.prepared(name, how)
    assert second is not first
    np.testing.assert_array_equal(second.x_train, prepare(cache.dataset(name), how).x_train)
    assert cache.prepared("a", UNIT) is first
    assert cache.prepared(name, Preparation(**settings)) is second


def test_the_latest_data_set_alone_is_kept_on_demand(loader: Loader) -> None:
    cache = DataCache(load=loader, latest_only=True)
    first = cache.prepared("a", UNIT)
    assert cache.prepared("a", UNIT) is first
    assert cache.prepared("a", Preparation("unit", "float64")) is not first
    assert loader.names == ["a"]  # another form of the same data set is not loaded again
    assert cache.prepared("a", UNIT) is not first
    cache.prepared("b", UNIT)
    cache.dataset("a")
    assert loader.names == ["a", "b", "a"]


def test_clear_frees_what_was_prepared_and_keeps_the_data_sets(loader: Loader) -> None:
    cache = DataCache(load=loader)
    first = cache.prepared("a", UNIT)
    cache.clear()
    again = cache.prepared("a", UNIT)
    assert again is not first
    np.testing.assert_array_equal(again.x_train, first.x_train)
    assert loader.names == ["a"]


def test_an_error_is_not_kept(loader: Loader) -> None:
    cache = DataCache(load=loader, latest_only=True)
    kept = cache.dataset("a")
    for _ in range(2):
        with pytest.raises(DataError, match="no such data set"):
            cache.prepared("missing", UNIT)
    assert cache.dataset("a") is kept
    assert loader.names == ["a", "missing", "missing"]


def test_a_recipe_says_how_its_data_are_prepared() -> None:
    recipe = Recipe.parse({"data": {"name": "digits", "train": 100, "validation": 10}, "input": "standardise"})
    assert recipe.preparation == Preparation("standardise", "float32", train=100, validation=10)
    assert recipe.patched({"precision": "float64"}).preparation.dtype == "float64"
    assert recipe.patched({"precision": "bfloat16"}).preparation == recipe.preparation
    data = DataCache().prepared(recipe.data.name, recipe.preparation)
    assert (len(data.y_train), data.x_train.dtype) == (100, np.float32)
