"""PyTorch's plain loop in its other forms, and the rates of a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.bench import device_rates as device_rates_module
from assay.bench.contenders import load
from assay.bench.device_rates import device_rates
from assay.engines.base import Cohort, Splits, fresh
from assay.errors import EngineError
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.rng import stream
from tests.engines.tape import Tape

torch = pytest.importorskip("torch")
EXAMPLES = 43
IMAGES = {"layers": [{"kind": "conv2d", "channels": 3, "kernel": 3, "activation": "relu"}, "batch_norm", "flatten"]}


def losses_of(engine: Any, recipe: Recipe) -> tuple[Any, Any, Any]:
    """The losses and weights after a warm-up and two epochs, and an evaluation."""
    shape = (6, 6) if hasattr(recipe.model, "layers") else 36
    cohort = Cohort((recipe,), recipe.model.network(shape, 3))
    x = stream(1, "x").normal(EXAMPLES * 36).reshape(EXAMPLES, 36).astype(np.float32)
    state = engine.start(cohort, fresh(cohort), Splits({"train": (x, stream(1, "y").integers(3, EXAMPLES))}))
    batches = make_batches(recipe.batches, (recipe.seed,), 1, 10, EXAMPLES)
    engine.warm_up(state, batches)
    state, progress = engine.advance(state, batches, np.array([True]))
    return progress.losses, engine.export(state).weights, engine.evaluate(state, "train").loss


def graph_engine() -> Any:
    engine: Any = load("torch-graph", device="cpu", threads=1)
    assert "needs a CUDA device" in engine.why_not(Recipe())
    engine.recorder = Tape
    return engine


@pytest.mark.parametrize("optimizer", ["descent", "momentum", "nesterov", "rmsprop", "adadelta", "adam", "adamw"])
@pytest.mark.parametrize("model", [{"hidden": [7]}, IMAGES], ids=["dense", "images"])
def test_the_loop_that_replays_its_iterations_is_the_plain_loop(model: Any, optimizer: str) -> None:
    """Batches of 10 and the last one of 3; recording leaves weights, running means and moments as they were."""
    recipe = Recipe.parse({"model": model, "optimizer": optimizer, "batches": {"size": 10}, "clip_norm": 0.7})
    Tape.made = []
    graph, plain = (losses_of(e, recipe) for e in (graph_engine(), load("torch-eager", device="cpu", threads=1)))
    assert sum(tape.replays for tape in Tape.made) == 10
    np.testing.assert_array_equal(graph[0], plain[0])
    np.testing.assert_array_equal(graph[2], plain[2])
    for name, w in plain[1].items():
        np.testing.assert_array_equal(graph[1][name], w)


@pytest.mark.parametrize(
    ("changes", "reason"), [({"schedule": "cosine"}, "has no schedules"), ({"optimizer": "adagrad"}, "has no adagrad")]
)
def test_what_a_graph_would_freeze_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason in str(graph_engine().why_not(Recipe.parse(changes)))


def test_the_plain_loop_without_tensorfloat32_says_so_and_puts_the_setting_back() -> None:
    engine: Any = load("torch-eager-float32", device="cpu", threads=1)
    recipe = Recipe.parse({"model": {"hidden": [7]}, "batches": {"size": 10}})
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    seen: list[list[bool]] = []
    own = torch.optim.Adam.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.optim.Adam,
            "step",
            lambda self, *a: (seen.append([backend.allow_tf32 for backend in backends]), own(self, *a))[1],
        )
        mine = losses_of(engine, recipe)
    assert seen and all(each == [False, False] for each in seen)
    assert [backend.allow_tf32 for backend in backends] == before
    np.testing.assert_array_equal(mine[0], losses_of(load("torch-eager", device="cpu", threads=1), recipe)[0])
    wanted = Recipe(precision="tensorfloat32")
    assert "has no tensorfloat32; use 'torch-eager'" in str(engine.why_not(wanted))
    assert "NVIDIA" in str(load("torch-eager", device="cpu", threads=1).why_not(wanted))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_rates_of_a_device_are_measured_on_it(precision: str) -> None:
    rates = device_rates("cpu", precision, size=64, block=2**20)
    assert rates.name == "cpu"
    assert 1e-3 < rates.product < 1e6
    assert 1e-2 < rates.memory < 1e5
    of_jax: Any = device_rates_module._of_jax
    assert of_jax("cpu", "float64", 8, 2**10) is None  # its float64 would be float32
    with pytest.raises(EngineError, match="'cuda:77' cannot be measured"):
        device_rates("cuda:77", precision)


def test_the_process_of_a_row_sends_the_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.bench import worker
    from assay.bench.device_rates import DeviceRates

    sent: list[tuple[str, Any]] = []
    measured = DeviceRates("a card", 2.0, 1.0)
    monkeypatch.setattr(worker, "device_rates", lambda *asked: measured if asked == ("cuda", "bfloat16") else None)
    monkeypatch.setattr(worker.os, "environ", {"JAX_PLATFORMS": "cpu"})
    monkeypatch.setattr(worker, "send", lambda connection, kind, **values: sent.append((kind, values)))
    made: Any = worker.RowWorker
    made(None)._rates({"device": "cuda", "precision": "bfloat16"})
    assert sent == [("measured", {"rates": {"name": "a card", "product": 2.0, "memory": 1.0}})]
    assert worker.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "JAX_PLATFORMS" not in worker.os.environ  # jax must see the card
