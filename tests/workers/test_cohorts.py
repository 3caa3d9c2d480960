"""Trajectories trained as one cohort: each member ends as it ends alone, with its part of the seconds."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter, sleep
from typing import Any

import numpy as np
import pytest

from assay.data.datasets import load as load_data
from assay.data.prepare import Prepared
from assay.engines import installed
from assay.engines import load as load_engine
from assay.engines.base import Cohort, Engine
from assay.engines.promises import promised
from assay.parts.optimizers import OPTIMIZERS
from assay.recipe.model import Recipe
from assay.training.history import History
from assay.training.loop import prepared
from assay.training.outcome import Outcome
from assay.workers.batch import EndedEvent, Limits, Member, SavedEvent, train_cohort
from assay.workers.cohort_sizes import CohortSizes
from assay.workers.worker import Worker

ENGINES = [name for name in ("native", "numpy") if installed(name)]
SLOW = [pytest.param(name, marks=pytest.mark.endurance) for name in ("torch",) if installed(name)]
SMALL = {"model": {"hidden": [6]}, "budget": {"iterations": 30}, "log": 10, "data": {"train": 200, "validation": 40}}


def recipe(**patch: Any) -> Recipe:
    return Recipe.parse({**SMALL, **patch})


def data(of: Recipe) -> Prepared:
    return prepared(of, load_data("digits"))


Ends = dict[tuple[int, int], tuple[History, Any]]


def ends(members: Sequence[Member], engine: str | Engine, limits: Limits | None = None) -> Ends:
    loaded = load_engine(engine, threads=1) if isinstance(engine, str) else engine
    events = train_cohort(members, loaded, data(members[0].recipes[0]), limits=limits)
    return {(e.member, e.number): (e.history, e.confusion) for e in events if isinstance(e, EndedEvent)}


def bits(history: History) -> tuple[Any, ...]:
    """Everything of a history but its seconds, as bits."""
    points = [tuple(value for name, value in vars(p).items() if name != "seconds") for p in history.points]
    arrays = {
        name: np.asarray(a).tobytes()
        for kind in (history.checkpoint.weights, history.checkpoint.slots)
        for name, a in kind.items()
    }
    best = {t: {name: w.tobytes() for name, w in weights.items()} for t, weights in history.snapshots.items()}
    fixed = (history.outcome, history.reason, history.iterations, history.flops, history.warnings, history.recipe)
    return (*fixed, points, arrays, best)


def assert_as_alone(members: Sequence[Member], engine: str) -> Ends:
    """Checks that each trial of a cohort ends as in its trajectory alone; returns the ends in the cohort."""
    together = ends(members, engine)
    for number, member in enumerate(members):
        for (_, trial), (history, confusion) in ends([member], engine).items():
            both = together[number, trial]
            assert bits(both[0]) == bits(history)
            assert np.array_equal(both[1], confusion)
            assert (both[0].cohort, history.cohort) == (len(members), 1)
    return together


@pytest.mark.parametrize("engine", [*ENGINES, *SLOW])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_members_have_the_bits_of_single_trainings(engine: str, optimizer: str) -> None:
    assert promised(engine, 3) is not None
    rates = [
        {"optimizer": {"name": optimizer, "learning_rate": rate}, "seed": n} for n, rate in enumerate((0.01, 0.1), 1)
    ]
    if load_engine(engine).why_not(recipe(**rates[0])):
        pytest.skip(f"{engine} has no {optimizer}")
    assert_as_alone([Member([recipe(**patch)]) for patch in rates], engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_members_that_stop_diverge_or_share_a_trajectory_end_as_alone(engine: str) -> None:
    def trials(rate: float, seed: int) -> Member:
        changes = {"optimizer": {"name": "descent", "learning_rate": rate}, "seed": seed, "log": 1}
        changes["model"] = {"hidden": [6], "output": "identity"}
        short = recipe(**changes, loss="mse", budget={"iterations": 9}, stop={"accuracy": 0.4})
        return Member([short, recipe(**changes, loss="mse", stop={"patience": 2})], save_best=[0, 1])

    members = [trials(rate, seed) for seed, rate in enumerate((1.0, 1e30, 0.9, 0.2, 1.5, 1e-9), 1)]
    together = assert_as_alone(members, engine)
    outcomes = {key: history.outcome for key, (history, _) in together.items()}
    assert {Outcome.COMPLETED, Outcome.STOPPED, Outcome.DIVERGED} <= set(outcomes.values())
    assert len({history.iterations for history, _ in together.values()}) > 4  # the cohort shrank on its way


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cancelled_cohort_resumes_as_one_with_the_same_bits(engine: str) -> None:
    recipes = [recipe(seed=seed, log=5, optimizer="adam") for seed in (1, 2, 3)]
    looks = iter([False] * 4 + [True] * 90)
    limits = Limits(cancelled=lambda: next(looks))
    events = list(
        train_cohort([Member([r]) for r in recipes], load_engine(engine, threads=1), data(recipes[0]), limits=limits)
    )
    saved = {event.member: event.history for event in events if isinstance(event, SavedEvent)}
    assert sorted(saved) == [0, 1, 2]
    assert {history.iterations for history in saved.values()} not in ({0}, {30})
    resumed = ends([Member([r], start=saved[n]) for n, r in enumerate(recipes)], engine)
    whole = ends([Member([r]) for r in recipes], engine)
    for key, (history, _) in whole.items():
        assert bits(resumed[key][0]) == bits(history)
        assert resumed[key][0].ledger.train > saved[key[0]].ledger.train


def test_the_seconds_of_the_members_are_those_of_the_cohort_shared_out() -> None:
    recipes = [recipe(seed=seed, budget={"iterations": 300}) for seed in range(4)]
    begin = perf_counter()
    histories = [history for history, _ in ends([Member([r]) for r in recipes], "numpy").values()]
    elapsed = perf_counter() - begin
    assert sum(history.ledger.wall for history in histories) <= elapsed
    assert sum(history.ledger.wall for history in histories) > 0.5 * elapsed
    for history in histories:
        assert history.ledger.train == pytest.approx(history.final.seconds)
        assert history.ledger.train > 0
        assert history.ledger.other < history.ledger.wall


class Slow(type(load_engine("numpy"))):  # type: ignore[misc]
    """An engine that takes 20 ms for an iteration of each trial."""

    def advance(self, state: Any, batches: Any, alive: Any) -> Any:
        sleep(0.02 * int(alive.sum()) * batches.count)
        return super().advance(state, batches, alive)


def test_a_member_times_out_by_its_part_of_the_seconds() -> None:
    members = [Member([recipe(seed=seed, budget={"iterations": 8})]) for seed in range(4)]
    histories = ends(members, Slow(), Limits(time_limit=0.4))  # 0.64 s in all, 0.16 s for each
    assert {history.outcome for history, _ in histories.values()} == {Outcome.COMPLETED}
    histories = ends(members, Slow(), Limits(time_limit=0.07))
    assert {(h.outcome, h.reason) for h, _ in histories.values()} == {(Outcome.TIMED_OUT, "timed out after 0.07 s")}


def test_a_cohort_takes_no_more_memory_than_its_worker_may() -> None:
    wide = recipe(model={"hidden": [1000]})
    members, engine = [Member([wide])] * 10, load_engine("numpy", threads=1)
    assert CohortSizes().size(members, engine, data(wide)) == 10
    size = CohortSizes().size(members, engine, data(wide), limit=40 * 2**20)
    assert 1 <= size < 10
    assert CohortSizes().size(members[:size], engine, data(wide), limit=40 * 2**20) == size


class Card(type(load_engine("numpy"))):  # type: ignore[misc]
    """An engine on a GPU of 100 MB, where the data and each trial take what its last peak says."""

    def __init__(self) -> None:
        super().__init__(device="cuda")
        self.peak = 0

    def activations(self, cohort: Cohort, batch: int) -> int:
        return len(cohort.recipes) * super().activations(cohort, batch)

    def free_device_memory(self) -> int:
        return 10**8

    def peak_device_memory(self) -> int:
        return self.peak


def test_a_cohort_on_a_gpu_fits_its_memory_by_the_estimate_then_by_the_first_peak() -> None:
    one = recipe(model={"hidden": [1000]})
    members, engine, sizes, digits = [Member([one])] * 1000, Card(), CohortSizes(), data(one)
    network = one.model.network(digits.shape, digits.classes)
    shared = sum(x.nbytes for x in (digits.x_train, digits.x_test))
    shared += 10 * digits.x_train.itemsize * (len(digits.x_train) + len(digits.x_test))
    each = engine.memory(Cohort((one,), network), len(digits.y_train))  # with the values between its layers
    first = sizes.size(members, engine, digits)
    assert first == int((0.9e8 - shared) / each)
    engine.peak = shared + first * 2 * each  # each took twice of that
    sizes.learn(members[:first], engine, digits)
    assert sizes.size(members, engine, digits) == int((0.9e8 - shared) / (2 * each))
    engine.peak = shared + 3 * 10 * each  # a lower one is that of an earlier cohort
    assert engine.peak < shared + first * 2 * each
    sizes.learn(members[:10], engine, digits)
    assert sizes.size(members, engine, digits) == int((0.9e8 - shared) / (2 * each))


def test_a_cohort_that_ran_out_of_memory_is_halved_down_to_one_trial() -> None:
    one = recipe(model={"hidden": [8]})
    members, engine, sizes = [Member([one])] * 12, Card(), CohortSizes()
    seen = [sizes.size(members, engine, data(one))]
    while seen[-1] > 1:
        sizes.ran_out(members[: seen[-1]], engine)
        seen.append(sizes.size(members, engine, data(one)))
    assert seen == [12, 6, 3, 1]


def test_a_stop_that_comes_before_its_job_has_begun_cancels_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def send(connection: object, kind: str, **values: object) -> None:
        sent.append(kind)
        if kind == "idle":
            raise BrokenPipeError  # ends the worker

    monkeypatch.setattr("assay.workers.worker.send", send)
    worker = Worker(None)  # type: ignore[arg-type]
    trial = {"key": "a", "recipe": recipe(budget={"epochs": 10**6}).plain(), "save_best": False, "keep": False}
    job = {"code": "", "timing": "packed", "time_limit": None, "memory_limit": None, "jobs": [[trial]], "starts": [0]}
    worker.take({"kind": "train", **job}, b"")
    worker.take({"kind": "stop"}, b"")
    with pytest.raises(BrokenPipeError):
        worker.serve()
    assert sent == ["ready", "idle"]
