"""Schedules of torch by name: their rates, keys and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.engines.base import Cohort
from assay.errors import RecipeError
from assay.parts import foreign_schedules
from assay.recipe.model import Recipe

torch = pytest.importorskip("torch")
MODULE = foreign_schedules.MODULE
COUNT = 60

ARGUMENTS: dict[str, dict[str, Any]] = {
    "ConstantLR": {"factor": 0.5, "total_iters": 7},
    "CosineAnnealingLR": {"T_max": 40, "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 10, "T_mult": 2},
    "CyclicLR": {"max_lr": 0.5, "step_size_up": 9},
    "ExponentialLR": {"gamma": 0.9},
    "LinearLR": {"start_factor": 0.2, "total_iters": 12},
    "MultiStepLR": {"milestones": [5, 20], "gamma": 0.3},
    "OneCycleLR": {"total_steps": 50},
    "PolynomialLR": {"total_iters": 30, "power": 2.0},
    "StepLR": {"step_size": 11},
}
WRITTEN_HERE = {
    "OneCycleLR": {"max_lr": 0.1, "cycle_momentum": False},
    "CyclicLR": {"base_lr": 0.1, "cycle_momentum": False},
}


def recipe_of(schedule: Any, **changes: Any) -> Recipe:
    optimizer = {"name": "descent", "learning_rate": 0.1}
    return Recipe.parse({"schedule": schedule, "optimizer": optimizer, "budget": {"iterations": COUNT}, **changes})


def test_every_exported_scheduler_is_tested_or_does_not_fit() -> None:
    assert set(foreign_schedules.exports()) == {*ARGUMENTS, *foreign_schedules.MISFITS}
    for name in foreign_schedules.MISFITS:
        with pytest.raises(RecipeError, match=f"schedule '{MODULE}:{name}' "):
            recipe_of(f"{MODULE}:{name}")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_rates_are_those_of_a_loop_in_torch_however_they_are_cut(name: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **ARGUMENTS[name], **WRITTEN_HERE.get(name, {}))
    expected: list[float] = []
    for i in range(COUNT):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if name != "OneCycleLR" or i < 49:
            scheduler.step()
    recipe = recipe_of({"name": f"{MODULE}:{name}", **ARGUMENTS[name]}).resolved(100)
    cohort = Cohort((recipe,), recipe.model.network(3, 2))
    rates = cohort.step_values(1, COUNT)[0]["learning_rate"]
    np.testing.assert_array_equal(rates, expected)
    assert len(set(expected)) > 1
    cut = [cohort.step_values(first, 7)[0]["learning_rate"] for first in range(1, COUNT - 6, 7)]
    np.testing.assert_array_equal(np.concatenate(cut), expected[: 7 * len(cut)])


def test_a_warm_up_comes_first_and_may_be_in_epochs() -> None:
    recipe = recipe_of(
        {"name": f"{MODULE}:StepLR", "step_size": 2, "gamma": 0.5, "warm_up": "1 epoch"}, batches={"size": 25}
    )
    rates = recipe.resolved(100).schedule.rates(0.1, 1, 8)
    np.testing.assert_allclose(rates, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05])


def test_the_key_is_the_same_after_a_round_trip_and_has_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of({"name": f"{MODULE}:MultiStepLR", "milestones": [5, 20]})
    assert recipe.canonical()["schedule"]["package"] == f"torch {torch.__version__.partition('+')[0]}"
    assert Recipe.parse(recipe.plain()).key() == recipe.key() == recipe.patched({"seed": recipe.seed}).key()
    assert recipe.key() != recipe_of({"name": f"{MODULE}:MultiStepLR", "milestones": [5, 21]}).key()

    def asked(name: str) -> Any:
        raise AssertionError(name)

    monkeypatch.setattr(foreign_schedules, "_class_of", asked)
    assert Recipe.stored(recipe.plain()).key() == recipe.key()


def test_mistakes_are_all_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of({"name": f"{MODULE}:StepLR", "stepsize": 3, "gamma": "x"})
    for part in ("has no key 'stepsize'; did you mean 'step_size'?", "step_size: is missing", "gamma: got 'x'"):
        assert part in str(caught.value)
    for schedule, sentence in [
        (f"{MODULE}:StepLRR", "did you mean 'StepLR'"),
        ("os:system", "'os:system' is no schedule"),
        ({"name": f"{MODULE}:OneCycleLR", "total_steps": -1}, "refuses its arguments"),
        ({"name": f"{MODULE}:StepLR", "step_size": 2, "package": "torch 0.1"}, "leave it out"),
    ]:
        with pytest.raises(RecipeError, match=sentence):
            recipe_of(schedule)
