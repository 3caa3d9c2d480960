"""The loop: log points, stopping rules, the clock, divergence, cohorts, and going on."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import assay
from assay.data.dataset import from_arrays
from assay.data.prepare import Prepared
from assay.engines import installed, load
from assay.engines.base import Engine
from assay.errors import AssayError, RecipeError
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.training.ledger import Ledger
from assay.training.loop import Training, prepared, train
from assay.training.outcome import Outcome

SIZE = 97  # a prime, so that the last batch of an epoch is short


def data(recipe: Recipe) -> Prepared:
    labels = np.arange(SIZE) % 3
    x = stream(0, "test-data").uniform(SIZE * 8).reshape(SIZE, 8) + labels[:, None] * (np.arange(8) % 3 == 1)
    return prepared(recipe, from_arrays(x, labels, x[:30], labels[:30]))


def recipe(**patch: Any) -> Recipe:
    base = {"model": {"hidden": [6]}, "batches": {"size": 10}, "budget": {"iterations": 40}, "log": 10}
    return Recipe.parse(base | patch)


def run(*recipes: Recipe, engine: Engine | None = None) -> list[assay.History]:
    return train(list(recipes), engine or load("numpy"), data(recipes[0]))


def iterations(history: assay.History) -> list[int]:
    return [point.iteration for point in history.points]


@pytest.mark.parametrize(
    ("every", "budget", "expected"),
    [
        (7, {"iterations": 20}, [0, 7, 14, 20]),
        ("1 epoch", {"epochs": 3}, [0, 10, 20, 30]),
        ("0.5 epochs", {"epochs": 1}, [0, 5, 10]),
        ("geometric", {"iterations": 14}, [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 14]),
        (100, {"iterations": 0}, [0]),
    ],
)
def test_points_stand_where_the_log_says_and_at_the_end(every: Any, budget: Any, expected: list[int]) -> None:
    history = run(recipe(log=every, budget=budget))[0]
    assert iterations(history) == expected
    assert history.outcome is Outcome.COMPLETED


def test_examples_count_the_short_batches() -> None:
    history = run(recipe(log="1 epoch", budget={"epochs": 2}))[0]
    assert [point.examples for point in history.points] == [0, SIZE, 2 * SIZE]


def test_points_at_seconds_of_training() -> None:
    history = run(recipe(log="0.02 s", budget={"iterations": 10**9}, stop={"seconds": 0.1}))[0]
    assert history.outcome is Outcome.STOPPED
    assert 3 <= len(history.points) <= 9
    assert 0.1 <= history.final.seconds < 0.5
    assert history.final.iteration == history.iterations


@pytest.mark.parametrize(("kind", "same"), [("full", True), (SIZE, True), (20, False)])
def test_the_train_loss_is_of_the_full_set_or_of_a_fixed_subset(kind: Any, same: bool) -> None:
    full = run(recipe(log={"every": 10, "train_loss": "full"}))[0]
    other = run(recipe(log={"every": 10, "train_loss": kind}))[0]
    assert (full.final.train_loss == other.final.train_loss) is same
    assert full.final.test_loss == other.final.test_loss


def test_the_train_loss_of_the_batch_is_that_before_its_update() -> None:
    history = run(recipe(log={"every": 1, "train_loss": "batch"}, batches="full"))[0]
    full = run(recipe(log=1, batches="full"))[0]
    assert history.points[0].train_loss is None
    assert history.points[1].train_loss == pytest.approx(full.points[0].train_loss, rel=1e-12)
    assert history.points[1].train_accuracy is None


def test_stopping_at_an_accuracy() -> None:
    history = run(recipe(stop={"accuracy": 0.8}, budget={"iterations": 5000}))[0]
    assert history.outcome is Outcome.STOPPED
    assert "accuracy 0.8 reached" in history.reason
    assert [p.test_accuracy >= 0.8 for p in history.points if p.test_accuracy is not None][-2:] == [False, True]


def test_stopping_reads_the_validation_set_where_there_is_one() -> None:
    history = run(recipe(data={"validation": 20}, stop={"accuracy": 0.8}, budget={"iterations": 5000}))[0]
    assert history.final.validation_accuracy is not None
    assert history.final.validation_accuracy >= 0.8
    assert not any("selected on test" in warning for warning in history.warnings)


def test_patience_ends_a_training_that_no_longer_improves() -> None:
    history = run(recipe(optimizer={"name": "descent", "learning_rate": 20.0}, stop={"patience": 3}, log=1))[0]
    assert history.outcome is Outcome.STOPPED
    losses = [p.test_loss for p in history.points if p.test_loss is not None]
    lowest = losses.index(min(losses))
    assert history.iterations == max(lowest + 3, 12)  # the first epoch ends at iteration 10, which counts
    assert history.reason == f"no lower loss for 3 log points (lowest at iteration {lowest})"


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
def test_a_diverged_training_is_a_result_that_ends_where_its_data_end(engine: str) -> None:
    pytest.importorskip(engine)
    wild = recipe(
        model={"hidden": [6], "output": "identity"},
        loss="mse",
        optimizer={"name": "descent", "learning_rate": 1e6},
        log=1,
    )
    history = run(wild, engine=load(engine))[0]
    assert history.outcome is Outcome.DIVERGED
    assert "not finite" in history.reason
    assert 0 < len(history.points) < 40
    assert all(np.isfinite(p.train_loss or 0.0) for p in history.points)
    assert str(history.plain()["outcome"]) == "diverged"


def test_a_cohort_goes_on_without_those_that_diverged_or_stopped() -> None:
    rates = (0.1, 1e30, 0.3)
    model = {"hidden": [6], "output": "identity"}
    recipes = [recipe(model=model, loss="mse", optimizer={"name": "descent", "learning_rate": rate}) for rate in rates]
    histories = run(*recipes)
    assert [h.outcome for h in histories] == [Outcome.COMPLETED, Outcome.DIVERGED, Outcome.COMPLETED]
    alone = run(recipes[2])[0]
    assert [p.train_loss for p in histories[2].points] == [p.train_loss for p in alone.points]
    for name, weights in alone.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, histories[2].checkpoint.weights[name])


def test_recipes_of_different_form_are_no_cohort() -> None:
    with pytest.raises(AssayError, match="group them with cohorts"):
        run(recipe(), recipe(batches={"size": 11}))


def test_going_on_equals_one_run() -> None:
    whole = run(recipe(optimizer="adam", budget={"iterations": 60}))[0]
    half = run(recipe(optimizer="adam", budget={"iterations": 30}))[0]
    longer = half.recipe.with_budget(iterations=60)
    both = train([longer], load("numpy"), data(longer), start=[half])[0]
    assert iterations(both) == iterations(whole)
    for name, weights in whole.checkpoint.weights.items():
        np.testing.assert_array_equal(weights, both.checkpoint.weights[name])
    assert both.ledger.train > half.ledger.train
    assert both.flops == whole.flops


def test_going_on_with_another_training_is_refused() -> None:
    half = run(recipe())[0]
    other = recipe(optimizer="descent", seed=2, budget={"iterations": 80})
    with pytest.raises(RecipeError) as caught:
        train([other], load("numpy"), data(other), start=[half])
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["optimizer", "seed"]
    with pytest.raises(AssayError, match="iteration 40; the budget is 20"):
        train([recipe(budget={"iterations": 20})], load("numpy"), data(recipe()), start=[half])


def test_breaking_off_leaves_a_training_that_can_go_on() -> None:
    whole = run(recipe(budget={"iterations": 200}))[0]
    training = Training([recipe(budget={"iterations": 200})], load("numpy"), data(recipe()))
    for status in training:
        if status.iteration >= 50:
            break
    broken = training.histories()[0]
    assert broken.outcome is Outcome.INTERRUPTED
    assert 50 <= broken.iterations < 200
    rest = train([whole.recipe], load("numpy"), data(recipe()), start=[broken])[0]
    assert rest.final.train_loss == whole.final.train_loss
    assert iterations(rest) == iterations(whole)


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"batches": {"kind": "window", "size": 98}}, "batches.size: got 98; expected at most 97"),
        ({"batches": {"kind": "shuffled", "size": 98}}, "batches.size: got 98; expected at most 97"),
        ({"log": {"train_loss": 98}}, "log.train_loss: got 98; expected at most 97"),
        ({"model": {"hidden": [10**6, 10**6]}}, "1,000,013,000,003 weights need about"),
    ],
)
def test_what_does_not_fit_the_data_is_told(patch: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        run(recipe(**patch))


@pytest.mark.parametrize("hidden", [[10**6, 10**6], [10**12]])
def test_weights_beyond_the_memory_are_told_by_every_engine(hidden: list[int]) -> None:
    for name in ("native", "numpy"):
        if installed(name):
            with pytest.raises(RecipeError, match="weights need about .* GiB of memory to train"):
                run(recipe(model={"hidden": hidden}), engine=load(name))


def test_the_memory_is_that_of_all_trials_in_this_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        available = 2 * 2**30

    engine, both = load("numpy"), [recipe(seed=1), recipe(seed=2)]
    monkeypatch.setattr("psutil.virtual_memory", Free)
    monkeypatch.setattr(type(engine), "memory", lambda self, cohort, examples: len(cohort.recipes) * examples * 2**24)
    with pytest.raises(RecipeError) as caught:
        run(*both, engine=engine)
    assert str(caught.value).endswith(
        "model: 2 trials of 75 weights need about 3.0 GiB of memory to train; "
        "expected at most the 2.0 GiB that are free"
    )
    assert Training(both[:1], engine, data(both[0])).budget == 40


class Slow(Engine):
    """An engine whose every call takes a known time, around the real one."""

    name = "slow"
    numerics = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = load("numpy")
        self.calls: list[str] = []

    def _nap(self, what: str, seconds: float) -> None:
        self.calls.append(what)
        time.sleep(seconds)

    def why_not(self, recipe: Recipe) -> str | None:
        return None

    def start(self, cohort: Any, checkpoint: Any, splits: Any) -> Any:
        self._nap("start", 0.05)
        return self.inner.start(cohort, checkpoint, splits)

    def warm_up(self, state: Any, batches: Any) -> None:
        self._nap("warm_up", 0.11)

    def advance(self, state: Any, batches: Any, alive: Any) -> Any:
        self._nap("advance", 0.02)
        return self.inner.advance(state, batches, alive)

    def evaluate(self, state: Any, split: str) -> Any:
        self._nap("evaluate", 0.01)
        return self.inner.evaluate(state, split)

    def outputs(self, state: Any, x: Any) -> Any:
        return self.inner.outputs(state, x)

    def export(self, state: Any) -> Any:
        self._nap("export", 0.03)
        return self.inner.export(state)


def test_every_second_is_booked_where_it_was_spent() -> None:
    engine = Slow()
    history = run(recipe(), engine=engine)[0]
    ledger = history.ledger
    count = engine.calls.count
    assert ledger.train == pytest.approx(0.02 * count("advance"), rel=0.5)
    assert ledger.train == history.final.seconds
    assert ledger.evaluate == pytest.approx(0.01 * count("evaluate"), rel=0.7)
    assert ledger.compile == pytest.approx(0.11, rel=0.5)
    assert ledger.data >= 0.05
    assert ledger.checkpoint == pytest.approx(0.03, rel=0.7)
    assert ledger.wall == pytest.approx(sum(v for k, v in ledger.plain().items() if k not in ("wall",)), rel=1e-6)
    assert engine.calls.index("warm_up") < engine.calls.index("advance")


def test_ledgers_add_up() -> None:
    both = Ledger(data=1, train=2, wall=4).plus(Ledger(data=10, wall=10))
    assert both.plain() == {
        "data": 11,
        "compile": 0,
        "train": 2,
        "evaluate": 0,
        "checkpoint": 0,
        "wait": 0,
        "other": 1,
        "wall": 14,
    }


@pytest.mark.endurance
def test_other_stays_small_in_a_training_of_two_seconds() -> None:
    for _ in range(3):  # another process may take the core between two chunks
        history = run(recipe(budget={"iterations": 10**9}, stop={"seconds": 2.0}, log="geometric"))[0]
        if history.ledger.other < 0.02 * history.ledger.wall:
            return
    pytest.fail(f"{history.ledger.other:.3f} s of {history.ledger.wall:.3f} s are booked nowhere")


def test_a_chunk_that_was_broken_off_costs_no_training_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.data.datasets import load as load_data
    from assay.engines.base import Progress

    engine = load("numpy", threads=1)
    advance, calls = engine.advance, []

    def broken_off_once(state: Any, batches: Any, alive: Any) -> Any:
        calls.append(batches.first)
        if len(calls) == 2:
            time.sleep(0.2)
            return state, Progress(np.full((1, 0), np.nan), np.zeros(1, np.int64), cancelled=True)
        return advance(state, batches, alive)

    monkeypatch.setattr(engine, "advance", broken_off_once)
    mine = recipe(budget={"iterations": 30})
    whole = train([mine], engine, prepared(mine, load_data("digits")))[0]
    assert calls[1] == calls[2]  # the same iterations again
    assert whole.iterations == 30
    assert whole.ledger.train < 0.2
