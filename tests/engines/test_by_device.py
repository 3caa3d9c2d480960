"""The contract by kind of device: laws, checkpoints, precision, cohorts, recorded steps and the bench.

The same tests run on a CPU every day and, marked `gpu`, on a card; they read their limits from the table of promises.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.bench import parity
from assay.bench import runner as running
from assay.bench.calibration import Calibration
from assay.bench.contenders import load
from assay.bench.probes import Probe, Prober
from assay.bench.rounding import ARITHMETIC, bounds
from assay.bench.runner import BenchRunner
from assay.bench.spec import BenchSpec, combinations
from assay.engines import installed
from assay.engines.base import Checkpoint, Cohort
from assay.engines.promises import Tolerance, promised
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.workers.environment import environment_for
from tests.engines.cases import gradient_error, nudged, one, same_bits
from tests.engines.tape import Tape
from tests.engines.test_torch_together import CLASSES, EXAMPLES, Run, recipes_of

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = {"cpu": ("float32", "bfloat16"), "cuda": ("float32", "tensorfloat32", "bfloat16")}

# jax compiles each program for seconds: on a CPU its everyday tests are those of `test_laws`
PLACES = [
    pytest.param("torch", "cpu", id="torch-cpu"),
    pytest.param("jax", "cpu", id="jax-cpu", marks=pytest.mark.endurance),
    pytest.param("torch", "cuda", id="torch-cuda", marks=pytest.mark.gpu),
    pytest.param("jax", "cuda", id="jax-cuda", marks=pytest.mark.gpu),
]
by_device = pytest.mark.parametrize(("name", "device"), PLACES)


@cache
def engine(name: str, device: str) -> Any:
    """An engine on a device, or a skip with its own reason. The variables are those that a worker starts with."""
    if not installed(name):
        pytest.skip(f"engine {name} is not installed")
    if device != "cpu":
        os.environ.update(environment_for(device))
    made = load(name, device=device, threads=1)
    if reason := made.why_not(Recipe()):
        pytest.skip(reason)
    return made


def limit_of(name: str, law: int, device: str) -> Tolerance:
    limit = promised(name, law, device=device)
    if limit is None:
        pytest.skip(f"{name} promises nothing of law {law} on {device}")
    return limit


def close(a: Any, b: Any, limit: float) -> bool:
    return bool((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max() <= limit)


def agree(a: Checkpoint, b: Checkpoint, limit: Tolerance, precision: str) -> None:
    """Asserts that two checkpoints agree as a law promises."""
    if limit.exact:
        same_bits(a, b)
        return
    for name, w in a.weights.items():
        assert close(w, b.weights[name], limit.by_precision[precision]), name


# --- the laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["dense", "one window", "normalised"])
@by_device
def test_law_1_the_algorithm_agrees_with_the_reference_in_float64(name: str, device: str, model: str) -> None:
    limit = limit_of(name, 1, device)
    (recipe, *_) = recipes_of(model, "float64", optimizer="momentum" if model == "normalised" else "adam")
    mine, reference = (Run(e, recipe) for e in (engine(name, device), load("numpy", device="cpu", threads=1)))
    count = limit.kinked if model == "normalised" else limit.iterations["float64"]
    losses = [run.go(1, count).losses for run in (mine, reference)]
    assert close(*losses, limit.by_precision["float64"])
    agree(mine.export(), reference.export(), Tolerance(limit.by_precision), "float64")


@pytest.mark.parametrize("model", ["dense", "images"])
@by_device
def test_law_1_gradients_and_steps_are_within_the_rounding_bound(name: str, device: str, model: str) -> None:
    made = engine(name, device)
    for precision in PRECISIONS[device]:
        recipe = parity.without_dropout(recipes_of(model, precision)[0])
        checks = checks_of(made, recipe, precision)
        assert [check.sentence() for check in checks if not check.holds] == [], precision


def checks_of(made: Any, recipe: Recipe, arithmetic: str) -> Any:
    run = Run(load("numpy", device="cpu", threads=1), recipe.patched({"precision": "float32"}))
    x = run.x
    y = (np.abs(x).sum(1) * 10).astype(np.int64) % CLASSES
    probe = Probe.of(recipe, run.cohort.network, x, y)
    limits = bounds(probe.recipe, probe.network, probe.weights, probe.first, arithmetic=ARITHMETIC[arithmetic])
    numbers, arrays = Prober(made, probe).arrays()
    return parity.checks(probe.recipe, probe.network, arrays, numbers, limits)


@pytest.mark.parametrize("model", ["dropout", "images"])
@by_device
def test_laws_2_and_4_chunks_and_watching_change_no_bit(name: str, device: str, model: str) -> None:
    assert limit_of(name, 2, device).exact and limit_of(name, 4, device).exact
    recipe, made = recipes_of(model, "float32")[0], engine(name, device)
    whole, parts = Run(made, recipe), Run(made, recipe)
    losses, pieces = whole.go(1, 21).losses, []
    for first, count in ((1, 1), (2, 12), (14, 8)):
        pieces.append(parts.go(first, count).losses)
        made.evaluate(parts.state, "train")
        made.outputs(parts.state, parts.x)
        parts.export()
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), losses)
    same_bits(whole.export(), parts.export())


@pytest.mark.parametrize("model", ["dropout", "one window"])
@by_device
def test_the_same_training_twice_gives_the_same_bits(name: str, device: str, model: str) -> None:
    for precision in PRECISIONS[device]:
        runs = [Run(engine(name, device), recipes_of(model, precision)[0]) for _ in range(2)]
        losses = [run.go(1, 30).losses for run in runs]
        np.testing.assert_array_equal(*losses)
        same_bits(*[run.export() for run in runs])


@pytest.mark.parametrize("seeds", [(0, 1, 2), (5, 5, 5)], ids=["own batches", "shared batches"])
@pytest.mark.parametrize("model", ["dense", "dropout", "one window"])
@by_device
def test_law_3_a_trial_in_a_cohort_equals_the_trial_alone(
    name: str, device: str, model: str, seeds: tuple[int, ...]
) -> None:
    limit, made = limit_of(name, 3, device), engine(name, device)
    for precision in limit.by_precision:
        recipes = recipes_of(model, precision, seeds=seeds)
        if made.why_not(recipes[0]):
            continue
        count = limit.iterations.get(precision, 25)
        together = Run(made, *recipes)
        losses = together.go(1, count).losses
        for number, recipe in enumerate(recipes):
            alone = Run(made, recipe)
            assert close(alone.go(1, count).losses[0], losses[number], limit.by_precision[precision])
            agree(alone.export(), one(together.export(), number), limit, precision)


@by_device
def test_law_5_a_resumed_training_equals_the_whole_as_the_table_says(name: str, device: str) -> None:
    limit, made = limit_of(name, 5, device), engine(name, device)
    for model in ("dropout", "one window"):
        recipe = recipes_of(model, "float32")[0]
        whole = Run(made, recipe)
        whole.go(1, 12)
        resumed = Run(made, recipe, checkpoint=whole.export())
        same_bits(resumed.export(), whole.export())  # a checkpoint loses nothing
        whole.go(13, 10)
        resumed.go(13, 10)
        agree(resumed.export(), whole.export(), limit, "float32")


@by_device
def test_a_checkpoint_goes_from_one_device_to_another(name: str, device: str) -> None:
    recipe = recipes_of("one window", "float64")[0]
    here, there = load("torch", device="cpu", threads=1), engine(name, device)
    first = Run(here, recipe)
    first.go(1, 10)
    moved = Run(there, recipe, checkpoint=first.export())
    same_bits(moved.export(), first.export())
    first.go(11, 10)
    moved.go(11, 10)
    agree(moved.export(), first.export(), Tolerance({"float64": 1e-10}), "float64")


@by_device
def test_law_6_gradients_agree_with_finite_differences(name: str, device: str) -> None:
    limit, made, rate = limit_of(name, 6, device), engine(name, device), 1e-3
    plain = {"optimizer": {"name": "descent", "learning_rate": rate}, "batches": "full"}
    recipe = recipes_of("one window", "float64", **plain)[0].patched({"optimizer": {"learning_rate": rate}})
    start = nudged(Run(made, recipe).export()).weights

    class Begun(Run):
        def go(self, first: int, count: int, alive: Any = None) -> Any:
            return super().go(first, count, alive).losses

    found = gradient_error(
        lambda checkpoint: Begun(made, recipe, checkpoint=checkpoint),  # pyright: ignore
        start,
        rate=rate,
        step=1e-5,
        least=1e-3,
    )
    assert found < limit.by_precision["float64"]


# --- precision -------------------------------------------------------------------------------------------------------


@by_device
def test_float32_is_float32_and_lower_precisions_are_what_they_say(name: str, device: str) -> None:
    """Each passes under its own bound; TensorFloat-32 and bfloat16 round more than float32 allows."""
    made = engine(name, device)
    for precision in PRECISIONS[device]:
        recipe = recipes_of("dense", precision)[0]
        assert all(check.holds for check in checks_of(made, recipe, precision)), precision
        if precision != "float32":
            assert not all(check.holds for check in checks_of(made, recipe, "float32")), precision


# --- recorded steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_recorded_step_gives_the_bits_of_the_eager_one(device: str) -> None:
    """As a CUDA graph on a card, and on a CPU by its stand-in."""
    from assay.engines.torch_engine import TorchEngine
    from assay.engines.torch_steps import CudaGraph

    engine("torch", device)
    recorded, eager = (TorchEngine(device=device, threads=1) for _ in range(2))
    recorded.recorder, eager.recorder = (Tape if device == "cpu" else CudaGraph), None
    recorded.moves_together = eager.moves_together = True
    for model in ("dropout",) if device == "cpu" else ("dense", "dropout", "images"):
        for trials in (3,) if device == "cpu" else (1, 3):
            runs = [Run(e, *recipes_of(model, "float32", schedule="cosine")[:trials]) for e in (recorded, eager)]
            for run in runs:
                batches = make_batches(run.cohort.first.batches, run.cohort.seeds, 1, 4, EXAMPLES)
                run.engine.warm_up(run.state, batches)
            losses = [run.go(1, 20).losses for run in runs]
            assert recorded.warnings(runs[0].state) == ()
            np.testing.assert_array_equal(*losses)
            same_bits(*[run.export() for run in runs])


# --- cohorts and the bench -------------------------------------------------------------------------------------------


@by_device
def test_the_estimate_of_memory_grows_with_the_cohort(name: str, device: str) -> None:
    made = engine(name, device)
    sizes = []
    for seeds in ((0,), tuple(range(8))):
        recipes = recipes_of("dense", "float32", seeds=seeds)
        cohort = Cohort(tuple(recipes), recipes[0].model.network(36, CLASSES))
        sizes.append(made.memory(cohort, EXAMPLES))
    assert 2 * sizes[0] < sizes[1] <= 8 * sizes[0]
    if device != "cpu":
        assert (made.peak_device_memory() or 0) > 0


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.endurance), pytest.param("cuda", marks=pytest.mark.gpu)]
)
def test_the_bench_certifies_and_measures_every_row(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine("torch", device)
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    x = (rng.random((60, 16)) * (np.arange(16) % 3 == y[:, None])).astype(np.float32)
    np.savez(tmp_path / "made.npz", x_train=x[:48], y_train=y[:48], x_test=x[48:], y_test=y[48:])
    monkeypatch.setattr(running, "calibrate", lambda threads: Calibration(dict.fromkeys(threads, 50.0), 10.0))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    recipe = Recipe.parse(
        {"data": str(tmp_path / "made.npz"), "model": {"hidden": [5]}, "batches": {"kind": "shuffled", "size": 16}}
    )
    engines = ["torch"] if device == "cpu" else ["torch", "jax", "torch-graph"]
    precisions = ["float32"] if device == "cpu" else ["float32", "tensorfloat32", "bfloat16"]
    made = combinations(engines, [device], [1], precisions, "torch-eager")
    runner = BenchRunner(BenchSpec("made", recipe, made, epochs=2, repeats=1))
    for _ in runner:
        pass
    rows = [row for row in runner.bench.plain()["rows"] if row["state"] != "impossible"]
    assert [(row["label"], row["reason"]) for row in rows if row["state"] != "measured"] == []
    assert len(rows) >= 2 * len(precisions)
    for row in rows:
        assert row["summary"]["limit"] > 0 and row["summary"]["ratio"]["median"] > 0
