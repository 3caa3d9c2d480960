"""Schedules of torch and optax by name: their rates, keys and mistakes."""

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
    misfits = foreign_schedules.exports().keys() & foreign_schedules.MISFITS.keys()
    assert set(foreign_schedules.exports()) == {*ARGUMENTS, *misfits}
    for name in misfits:
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


OF_OPTAX: dict[str, dict[str, Any]] = {
    "constant_schedule": {},
    "cosine_decay_schedule": {"decay_steps": 40, "alpha": 0.1, "exponent": 2.0},
    "cosine_onecycle_schedule": {"transition_steps": 50},
    "exponential_decay": {"transition_steps": 10, "decay_rate": 0.5, "staircase": True, "end_value": 0.01},
    "linear_onecycle_schedule": {"transition_steps": 50, "pct_start": 0.2},
    "linear_schedule": {"end_value": 0.0, "transition_steps": 40, "transition_begin": 5},
    "polynomial_schedule": {"end_value": 0.01, "power": 2.0, "transition_steps": 40},
    "warmup_constant_schedule": {"init_value": 0.0, "warmup_steps": 12},
    "warmup_cosine_decay_schedule": {"init_value": 0.01, "warmup_steps": 12, "decay_steps": 50, "end_value": 0.001},
    "warmup_exponential_decay_schedule": {
        "init_value": 0.01,
        "warmup_steps": 12,
        "transition_steps": 20,
        "decay_rate": 0.5,
    },
}
RATE_OF = {"constant_schedule": "value"}


def test_every_exported_schedule_of_optax_is_tested_or_does_not_fit() -> None:
    pytest.importorskip("optax")
    exported = set(foreign_schedules.exports_of_optax())
    assert exported - foreign_schedules.MISFITS.keys() == OF_OPTAX.keys()
    for name in exported & foreign_schedules.MISFITS.keys():
        with pytest.raises(RecipeError, match=f"schedule 'optax:{name}' "):
            recipe_of(f"optax:{name}")


@pytest.mark.parametrize("name", OF_OPTAX)
def test_the_rates_are_those_of_a_loop_with_optax_however_they_are_cut(name: str) -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    rate = RATE_OF.get(name, "peak_value" if name.startswith("warmup") or "onecycle" in name else "init_value")
    with jax.enable_x64(True):
        schedule = getattr(optax, name)(**{rate: 0.1}, **OF_OPTAX[name])
        expected = [float(schedule(jax.numpy.asarray(count))) for count in range(COUNT)]
    recipe = recipe_of({"name": f"optax:{name}", **OF_OPTAX[name]}).resolved(100)
    cohort = Cohort((recipe,), recipe.model.network(3, 2))
    rates = cohort.step_values(1, COUNT)[0]["learning_rate"]
    np.testing.assert_allclose(rates, expected, rtol=1e-14, atol=1e-17)
    assert max(expected) == pytest.approx(0.1)
    assert len(set(expected)) > 1 or name == "constant_schedule"
    cut = [cohort.step_values(first, 7)[0]["learning_rate"] for first in range(1, COUNT - 6, 7)]
    np.testing.assert_array_equal(np.concatenate(cut), rates[: 7 * len(cut)])
    assert Recipe.parse(recipe.plain()).key() == recipe.key()
    assert recipe.plain()["schedule"]["package"] == f"optax {optax.__version__}"


def test_mistakes_in_a_schedule_of_optax_are_all_named_at_once() -> None:
    pytest.importorskip("optax")
    with pytest.raises(RecipeError) as error:
        recipe_of({"name": "optax:cosine_decay_schedule", "init_value": 0.1, "decay_steps": 5.5, "alfa": 0.0})
    for text in ("init_value: is the optimizer's learning_rate", "did you mean 'alpha'", "decay_steps: got 5.5"):
        assert text in str(error.value)
    for value, text in {
        "optax:cosine": "module 'optax' has no schedule 'cosine'",
        "optux:cosine_decay_schedule": "such as 'optax:cosine_decay_schedule'",
        "optax:linear_schedule": "end_value: is missing, and has no default",
    }.items():
        with pytest.raises(RecipeError, match=text):
            recipe_of(value)
    with pytest.raises(RecipeError, match=r"refuses its arguments: .*positive decay_steps"):
        recipe_of({"name": "optax:cosine_decay_schedule", "decay_steps": -1})


@pytest.mark.parametrize("engine", ["numpy", "native", "torch", "jax"])
def test_a_schedule_of_optax_trains_on_every_engine(engine: str) -> None:
    pytest.importorskip("optax")
    from tests.engines.cases import Run

    schedule = {"name": "optax:cosine_decay_schedule", "decay_steps": 30, "alpha": 0.1}
    ours = {"name": "cosine", "horizon": 30, "final": 0.1}
    runs = [Run.of(engine, recipe_of(s, model={"hidden": [5]}, precision="float64")) for s in (schedule, ours)]
    np.testing.assert_allclose(*[run.go(1, 40) for run in runs], rtol=1e-11)


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
