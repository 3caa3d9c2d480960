"""The torch engine as it is on a GPU, on a CPU: cohorts that move as one, and steps that are recorded and replayed."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from assay.data.datasets import load as load_data
from assay.engines.base import Checkpoint, Cohort, Splits, fresh
from assay.engines.promises import promised
from assay.parts.batches import make_batches
from assay.parts.optimizers import OPTIMIZERS, Optimizer
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.training.loop import prepared, train
from tests.engines.cases import RATES, same_bits
from tests.engines.tape import Stale, Tape

torch = pytest.importorskip("torch")
EXAMPLES, CLASSES = 43, 3  # every epoch of batches of 10 ends with one of 3

IMAGES = {
    "layers": [
        {"kind": "conv2d", "channels": 4, "kernel": 3, "padding": 1, "activation": "relu"},
        "max_pool",
        {"kind": "conv2d", "channels": 3, "kernel": 2},
        "batch_norm",
        {"kind": "activation", "function": "tanh"},
        "flatten",
        {"kind": "dropout", "rate": 0.2},
        {"kind": "dense", "units": 5, "activation": "sigmoid"},
    ]
}
WHOLE = {"layers": [{"kind": "conv2d", "channels": 4, "kernel": 6, "activation": "tanh"}, "flatten"]}
DENSE_NORM = {
    "layers": ["flatten", {"kind": "dense", "units": 6}, "batch_norm", {"kind": "activation", "function": "relu"}]
}
MODELS: dict[str, Any] = {
    "dense": {"hidden": [7, 5], "activation": "tanh"},
    "dropout": {"hidden": [7], "dropout": 0.3},
    "images": IMAGES,
    "one window": WHOLE,
    "normalised": DENSE_NORM,
    "none": {"hidden": []},
}


def engine_as(*, together: bool, recorder: Any = None) -> Any:
    from assay.engines.torch_engine import TorchEngine

    engine = TorchEngine(threads=1)
    engine.moves_together, engine.recorder = together, recorder
    return engine


class Run:
    """A cohort on such an engine."""

    def __init__(self, engine: Any, *recipes: Recipe, checkpoint: Checkpoint | None = None) -> None:
        shape = (6, 6) if hasattr(recipes[0].model, "layers") else 36
        self.engine, self.cohort = engine, Cohort(recipes, recipes[0].model.network(shape, CLASSES))
        element = "float64" if recipes[0].precision == "float64" else "float32"
        x = stream(1, "x").normal(EXAMPLES * 36).reshape(EXAMPLES, 36).astype(element)
        y = stream(1, "y").integers(CLASSES, EXAMPLES)
        self.x = x
        start = checkpoint or fresh(self.cohort)
        self.state = engine.start(self.cohort, start, Splits({"train": (x, y), "test": (x[:17], y[:17])}))

    def batches(self, first: int, count: int) -> Any:
        return make_batches(self.cohort.first.batches, self.cohort.seeds, first, count, EXAMPLES)

    def go(self, first: int, count: int, alive: Any = None) -> Any:
        alive = np.ones(len(self.cohort.recipes), np.bool_) if alive is None else np.array(alive)
        self.state, progress = self.engine.advance(self.state, self.batches(first, count), alive)
        return progress

    def export(self) -> Checkpoint:
        return self.engine.export(self.state)


def recipes_of(model: str, precision: str, *, seeds: tuple[int, ...] = (0, 1, 2), **changes: Any) -> list[Recipe]:
    raw = {"model": MODELS[model], "optimizer": "adam", "batches": {"kind": "shuffled", "size": 10}}
    raw |= {"precision": precision, "budget": {"iterations": 50}} | changes
    made = []
    for number, seed in enumerate(seeds):
        own = {"seed": seed, "optimizer": {"learning_rate": RATES[Recipe.parse(raw).optimizer.name] * (number + 1)}}
        made.append(Recipe.parse(raw).patched(own).resolved(EXAMPLES))
    return made


def apart(a: Checkpoint, b: Checkpoint) -> float:
    """The largest difference of weights and slots, relative above 1."""
    pairs = [(w, b.weights[name]) for name, w in a.weights.items()] + [(s, b.slots[n]) for n, s in a.slots.items()]
    return max(float((np.abs(x - y) / np.maximum(1.0, np.abs(y))).max()) for x, y in pairs)


# --- cohorts that move as one ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("seeds", [(0, 1, 2), (5, 5, 5)], ids=["own batches", "shared batches"])
@pytest.mark.parametrize("model", MODELS)
def test_a_cohort_that_moves_as_one_agrees_with_its_trials_one_after_the_other(
    model: str, seeds: tuple[int, ...], precision: str
) -> None:
    limit = promised("torch", 3, device="cuda")
    assert limit is not None
    # a bias before a normalisation has the gradient 0, and Adam makes whole steps of its rounding
    normalises = model in ("images", "normalised")
    recipes = recipes_of(model, precision, seeds=seeds, optimizer="momentum" if normalises else "adam")
    one, other = (Run(engine_as(together=each), *recipes) for each in (True, False))
    losses = [run.go(1, limit.iterations[precision]).losses for run in (one, other)]
    np.testing.assert_allclose(*losses, rtol=limit.by_precision[precision])
    assert apart(one.export(), other.export()) < limit.by_precision[precision]
    for split in ("train", "test"):
        a, b = (run.engine.evaluate(run.state, split) for run in (one, other))
        np.testing.assert_allclose(a.loss, b.loss, rtol=limit.by_precision[precision])
        np.testing.assert_array_equal(a.accuracy, b.accuracy)
    a, b = (run.engine.outputs(run.state, run.x) for run in (one, other))
    np.testing.assert_allclose(a, b, atol=limit.by_precision[precision])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_penalties_and_clipping_moves_as_one(optimizer: str) -> None:
    for order, batches in (("loss", {"kind": "window", "size": 9}), ("objective", "full")):
        own = {"clip_norm": 0.3, "clip_of": order, "batches": batches}
        recipes = [
            r.patched({"regularisation": {"l1": 1e-3 * i, "l2": 2e-3 * i}, "schedule": {"name": "cosine"}})
            for i, r in enumerate(recipes_of("dense", "float64", optimizer=optimizer, **own))
        ]
        recipes = [r.resolved(EXAMPLES) for r in recipes]
        one, other = (Run(engine_as(together=each), *recipes) for each in (True, False))
        np.testing.assert_allclose(one.go(1, 20).losses, other.go(1, 20).losses, rtol=1e-11)
        assert apart(one.export(), other.export()) < 1e-11


def test_chunks_watching_and_a_resume_change_no_bit_of_a_cohort_that_moves_as_one() -> None:
    for model in ("images", "dropout"):
        recipes = recipes_of(model, "float32")
        whole, parts = (Run(engine_as(together=True), *recipes) for _ in range(2))
        losses = whole.go(1, 22).losses
        pieces = []
        for first, count in ((1, 1), (2, 9), (11, 5)):
            pieces.append(parts.go(first, count).losses)
            parts.engine.evaluate(parts.state, "test")
            parts.engine.outputs(parts.state, parts.x)
        again = Run(engine_as(together=True), *recipes, checkpoint=parts.export())
        pieces.append(again.go(16, 7).losses)
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), losses)
        same_bits(again.export(), whole.export())


def test_a_trial_that_is_not_alive_or_breaks_stays_as_it_is_and_the_others_go_on() -> None:
    base = {"model": {"hidden": [], "output": "identity"}, "loss": "mse", "batches": "full", "precision": "float64"}
    rates = (1e-3, 1e3, 1e-3)
    wild = [Recipe.parse(base | {"optimizer": {"name": "momentum", "learning_rate": rate}}) for rate in rates]
    run = Run(engine_as(together=True), *wild)
    start = run.export()
    progress = run.go(1, 400, [True, True, False])
    broken = int(progress.broken[1])
    assert (progress.broken[0], progress.broken[2]) == (0, 0)
    assert 1 < broken < 400
    assert np.isfinite(progress.losses[1, : broken - 1]).all()
    assert not np.isfinite(progress.losses[1, broken - 1 :]).any()
    assert np.isnan(progress.losses[2]).all()
    done = run.export()
    for name, w in start.weights.items():
        np.testing.assert_array_equal(done.weights[name][2], w[2])
        assert np.isfinite(done.weights[name]).all()
    alone = Run(engine_as(together=False), wild[1])
    alone.go(1, broken - 1)
    for name, w in alone.export().weights.items():
        np.testing.assert_allclose(done.weights[name][1], w[0], rtol=1e-9)


def test_a_cohort_that_moves_as_one_needs_the_memory_of_all_its_trials() -> None:
    recipes = recipes_of("dense", "float32")
    cohort = Cohort(tuple(recipes), recipes[0].model.network(36, CLASSES))
    assert engine_as(together=True).activations(cohort, 10) == 3 * engine_as(together=False).activations(cohort, 10)


# --- recorded steps --------------------------------------------------------------------------------------------------


def compared(model: str, recorder: Any, *recipes: Recipe, count: int = 23) -> tuple[Run, Run]:
    """A recorded run after its warm-up, and an eager one, after the same iterations; their losses are the same bits."""
    Tape.made = []
    runs = Run(engine_as(together=True, recorder=recorder), *recipes), Run(engine_as(together=True), *recipes)
    before = runs[0].export()
    for run in runs:
        run.engine.warm_up(run.state, run.batches(1, 4))
    same_bits(runs[0].export(), before)  # recording changes nothing
    losses = [run.go(1, count).losses for run in runs]
    np.testing.assert_array_equal(*losses)
    same_bits(runs[0].export(), runs[1].export())
    return runs


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_a_recorded_step_repeats_the_eager_one_bit_for_bit(model: str, trials: int) -> None:
    changes = {"schedule": {"name": "cosine"}, "clip_norm": 0.5}
    recorded, _ = compared(model, Tape, *recipes_of(model, "float32", **changes)[:trials])
    assert recorded.engine.warnings(recorded.state) == ()
    assert len(Tape.made) == 2  # batches of 10, and the last one of 3
    assert sum(tape.replays for tape in Tape.made) == 2 * 16 + 23


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_step_of_every_optimizer_is_recorded(optimizer: str) -> None:
    for batches in ({"kind": "window", "size": 9}, "full", "single"):
        recipes = recipes_of("dense", "float64", optimizer=optimizer, batches=batches)
        recorded, _ = compared("dense", Tape, *recipes)
        assert recorded.engine.warnings(recorded.state) == ()
        assert sum(tape.replays for tape in Tape.made) == 16 + 23


def test_a_recording_whose_hyperparameters_stay_behind_is_not_used() -> None:
    recorded, _ = compared("dense", Stale, *recipes_of("dense", "float32", schedule={"name": "cosine"}))
    why = "16 iterations of the graph did not equal the eager ones bit for bit"
    assert recorded.engine.warnings(recorded.state) == (f"trained step by step, not as a CUDA graph: {why}",)
    assert sum(tape.replays for tape in Tape.made) == 2 * 16


class Branching(Optimizer):
    """A step that is halved once the rate has fallen below 0.005."""

    learning_rate: float = 0.01

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        rate = h.learning_rate if h.learning_rate > 0.005 else 0.5 * h.learning_rate
        return rate * g, ()


class Counting(Optimizer):
    """A step whose size is a number that Python counts."""

    learning_rate: float = 0.01
    calls: ClassVar[int] = 0

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        Counting.calls += 1
        return h.learning_rate * (1.0 + 1e-3 * Counting.calls) * g, ()


class Remembering(Optimizer):
    """Plain descent that keeps the gradient itself."""

    learning_rate: float = 0.01
    slots: ClassVar[int] = 1

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        return h.learning_rate * (g + 0.5 * slots[0]), (g,)


def with_rule(optimizer: Optimizer, **changes: Any) -> Recipe:
    made = Recipe.parse({"model": MODELS["dense"], "batches": {"size": 10}, "budget": {"iterations": 40}} | changes)
    return made.model_copy(update={"optimizer": optimizer}).resolved(EXAMPLES)


def test_a_rule_that_branches_on_a_hyperparameter_is_never_frozen_at_its_first_value() -> None:
    recipe = with_rule(Branching(), schedule={"name": "cosine"})
    recorded, eager = compared("dense", Tape, recipe, count=40)
    (warning,) = recorded.engine.warnings(recorded.state)
    assert "not as a CUDA graph: the step could not be recorded" in warning
    assert "reads the value of a hyperparameter, as in a branch on it" in warning
    assert Tape.made == []
    plain = Run(engine_as(together=False), recipe)
    plain.go(1, 40)
    assert apart(eager.export(), plain.export()) < 1e-6  # the branch was taken at the same iteration


def test_a_rule_that_counts_in_python_is_found_by_comparing_iterations() -> None:
    Tape.made, Counting.calls = [], 0
    run = Run(engine_as(together=True, recorder=Tape), with_rule(Counting()))
    run.engine.warm_up(run.state, run.batches(1, 4))
    assert all("did not equal the eager ones" in warning for warning in run.engine.warnings(run.state))
    assert len(run.engine.warnings(run.state)) == 1


def test_a_users_rule_without_branches_is_recorded_also_where_it_keeps_the_gradient() -> None:
    recorded, _ = compared("dense", Tape, with_rule(Remembering(), schedule={"name": "cosine"}))
    assert recorded.engine.warnings(recorded.state) == ()
    assert sum(tape.replays for tape in Tape.made) == 2 * 16 + 23


def test_why_a_trial_was_not_recorded_is_among_its_warnings() -> None:
    recipe = Recipe.parse({"model": {"hidden": [4]}, "budget": {"iterations": 5}, "log": 5})
    data = prepared(recipe, load_data("digits"))
    (honest,) = train([recipe], engine_as(together=True, recorder=Tape), data)
    assert not any("CUDA graph" in warning for warning in honest.warnings)
    (stale,) = train([recipe.patched({"schedule": "cosine"})], engine_as(together=True, recorder=Stale), data)
    assert any("trained step by step, not as a CUDA graph" in warning for warning in stale.warnings)
    assert stale.ledger.compile > 0


def test_graphs_are_off_until_they_are_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.engines import torch_engine, torch_steps

    monkeypatch.delenv(torch_steps.SETTING, raising=False)
    assert torch_engine.TorchEngine(device="cuda").recorder is None
    assert torch_engine.TorchEngine(device="cuda").moves_together
    monkeypatch.setenv(torch_steps.SETTING, "1")
    assert torch_engine.TorchEngine(device="cuda:1").recorder is torch_steps.CudaGraph
    assert torch_engine.TorchEngine(device="cpu").recorder is None
    assert not torch_engine.TorchEngine(device="cpu").moves_together


def test_a_hyperparameter_is_float64_until_it_meets_an_array() -> None:
    from assay.engines.torch_scalar import Varying, recording

    h, g = Varying(torch.tensor(0.999, dtype=torch.float64)), torch.tensor([3.0, 0.1])
    assert torch.equal((1 - h) * g, (1 - 0.999) * g)
    assert torch.equal(torch.sqrt(h) * g, 0.999**0.5 * g)
    assert torch.equal(torch.maximum(g, h), torch.tensor([3.0, 0.999]))
    assert (float(h), bool(h > 0.5), int(-h * 3)) == (0.999, True, -2)
    with recording(), pytest.raises(Exception, match="reads the value of a hyperparameter"):
        bool(h > 0.5)
