"""What a bench trains, by the words that ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from assay.bench.spec import recipe_of
from assay.recipe.patches import assignments


@pytest.mark.parametrize(
    ("word", "sets", "data", "expected"),
    [
        ("", [], "digits", ("mlp", "mlp", 600)),
        ("", ["model=3LS"], "digits", ("3LS", "3LS", 600)),
        ("2LR", [], "iris", ("2LR", "2LR", 32)),  # 120 training examples
        ("", ["data.train=600"], "digits", ("mlp", "mlp", 600)),
        ("", ["data.train=599"], "digits", ("mlp", "mlp", 32)),
        ("mlp", ["batch_size=200"], "iris", ("mlp", "mlp", 200)),  # as it is asked for: it is refused when it trains
    ],
)
def test_a_model_by_name_has_batches_that_its_data_have(
    word: str, sets: list[str], data: str, expected: tuple[Any, ...]
) -> None:
    name, recipe = recipe_of(word, assignments(sets), data=data)
    assert (name, recipe.plain()["model"]["name"], recipe.batches.settings()["size"]) == expected
