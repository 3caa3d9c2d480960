"""What is special to the torch engine: its own functions, mixed precision, threads and devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.data.datasets import load as load_data
from assay.engines import choose, load
from assay.engines.base import Cohort, Splits, fresh
from assay.engines.promises import promised
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.training.loop import prepared, train
from tests.engines.cases import EXAMPLES, Run, engine, same_bits

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", [*ACTIVATIONS, *OUTPUTS])
def test_a_formula_of_the_tables_is_the_function_that_torch_has(name: str) -> None:
    """Value and gradient through autograd; an entry that torch lacks would be trained by its formula."""
    from assay.engines import torch_layers as module

    table, own = (ACTIVATIONS, module.TORCH_ACTIVATIONS) if name in ACTIVATIONS else (OUTPUTS, module.TORCH_OUTPUTS)
    raw = torch.linspace(-30.0, 30.0, 48, dtype=torch.float64).reshape(6, 8)
    found = []
    for function in (own[name], lambda z: table[name].forward(module.xp, z)):
        z = raw.clone().requires_grad_()
        a = function(z)
        (a * torch.cos(raw)).sum().backward()
        found.append((a.detach(), z.grad))
    for mine, formula in zip(*found, strict=True):
        torch.testing.assert_close(mine, formula, rtol=1e-12, atol=1e-14)


def test_the_functions_that_torch_has_stand_in_the_tables() -> None:
    from assay.engines import torch_layers as module

    assert module.TORCH_ACTIVATIONS.keys() <= ACTIVATIONS.keys()
    assert module.TORCH_OUTPUTS.keys() <= OUTPUTS.keys()


def test_bfloat16_is_in_the_products_alone() -> None:
    """Weights, slots and what is exported stay float32; dropout's factor is not rounded to bfloat16."""
    from assay.engines import torch_layers as module

    mixed = Run.of("torch", Recipe.parse({"precision": "bfloat16", "model": {"hidden": [50], "dropout": 0.3}}))
    losses = mixed.go(1, 40)
    assert losses[0, 30:].mean() < losses[0, :10].mean()
    done = mixed.export()
    assert {a.dtype for a in (*done.weights.values(), *done.slots.values())} == {np.dtype(np.float32)}
    layer = mixed.cohort.network.layers[2]
    mask = module.dropout_mask(mixed.state.trials[0], layer, 2, torch.Size((20, 50)), 1, 0)
    assert mask.shape == (20, 50)
    other = module.dropout_mask(mixed.state.trials[0], layer, 2, torch.Size((20, 50)), 1, 1)
    assert not torch.equal(mask, other)  # another part of the same batch
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / 0.7]))


@pytest.mark.parametrize("count", [1, 7, 64])
def test_a_broken_iteration_is_found_and_undone_whatever_the_chunk(count: int) -> None:
    """The engine goes on through what is not finite and replays: no update of the broken iteration is left."""
    settings = {"name": "momentum", "learning_rate": 1e4}
    mine = Recipe.parse({"model": {"hidden": [], "output": "identity"}, "loss": "mse", "optimizer": settings})
    whole, parts = Run.of("torch", mine), Run.of("torch", mine)
    batches = make_batches(mine.batches, (mine.seed,), 1, 200, EXAMPLES)
    _, progress = whole.engine.advance(whole.state, batches, np.array([True]))
    broken, first, found = int(progress.broken[0]), 1, 0
    assert 2 < broken < 200
    while not found:
        batches = make_batches(mine.batches, (mine.seed,), first, count, EXAMPLES)
        _, progress = parts.engine.advance(parts.state, batches, np.array([True]))
        first, found = first + count, int(progress.broken[0])
    assert found == broken
    before = Run.of("torch", mine)
    before.go(1, broken - 1)
    for run in (whole, parts):
        run.state.t = broken - 1
        same_bits(run.export(), before.export())


def test_bfloat16_is_mixed_and_learns() -> None:
    recipe = Recipe.parse(
        {
            "precision": "bfloat16",
            "model": {"hidden": [32]},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "budget": {"epochs": 4},
            "log": "1 epoch",
        }
    )
    mixed = train([recipe], load("torch"), prepared(recipe, load_data("digits")))[0]
    single = recipe.patched({"precision": "float32"})
    full = train([single], load("torch"), prepared(single, load_data("digits")))[0]
    assert {w.dtype for w in mixed.checkpoint.weights.values()} == {np.dtype(np.float32)}
    assert mixed.accuracy is not None
    assert mixed.accuracy > 0.9
    gap = abs((mixed.final.train_loss or 0) - (full.final.train_loss or 0))
    assert 0 < gap < 0.05  # another arithmetic, the same training


def test_auto_takes_torch_for_bfloat16() -> None:
    assert choose(Recipe.parse({"precision": "bfloat16"})).name == "torch"


def test_threads_are_set_while_it_works_and_put_back() -> None:
    before = torch.get_num_threads()
    engine = load("torch", threads=1)
    with engine._settings(Recipe()):  # pyright: ignore
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    recipe = Recipe.parse({"model": "3LS", "precision": "float64", "budget": {"iterations": 60}, "log": 20})
    data = prepared(recipe, load_data("digits"))
    cpu, cuda = (train([recipe], load("torch", device=device), data)[0] for device in ("cpu", "cuda"))
    limit = promised("torch", 1, device="cuda")
    assert limit is not None
    for a, b in zip(cpu.points, cuda.points, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=limit.by_precision["float64"])
    assert cuda.peak_device_memory_bytes is not None


def test_tensorfloat32_is_a_precision_of_its_own() -> None:
    """Where a GPU has it, float32 does not mean it: cuDNN's own default would, without a word."""
    products: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    found: Any = load("torch")
    before = [each.allow_tf32 for each in products]
    for precision in ("float32", "tensorfloat32"):
        with found._settings(Recipe(precision=precision)):
            assert [each.allow_tf32 for each in products] == [precision == "tensorfloat32"] * 2
        assert [each.allow_tf32 for each in products] == before
    for name in ("torch", "jax"):
        reason = engine(name).why_not(Recipe(precision="tensorfloat32"))
        assert reason is not None
        assert "NVIDIA" in reason


def test_numbers_too_small_to_be_normal_are_zero_while_it_works() -> None:
    tiny = torch.full((8,), 1e-40)
    found: Any = load("torch")
    with found._settings(Recipe()):
        flushed = (tiny * 0.5).tolist()
    assert flushed == [0.0] * 8
    assert (tiny * 0.5).tolist() != [0.0] * 8


@pytest.mark.parametrize(
    "model", [{"hidden": [20]}, {"layers": [{"kind": "conv2d", "channels": 4, "kernel": 3}, "flatten"]}]
)
def test_bfloat16_of_jax_agrees_with_that_of_torch(model: Any) -> None:
    """Two roundings of the same products: close to each other, and both off float32 by as much as eight bits allow."""
    y = stream(6, "y").integers(3, 40)
    x = stream(6, "x").normal(40 * 36).reshape(40, 36).astype(np.float32)
    losses: dict[str, Any] = {}
    for name, precision in (("torch", "bfloat16"), ("jax", "bfloat16"), ("jax", "float32")):
        mine = Recipe.parse({"model": model, "precision": precision, "batches": "full", "budget": {"iterations": 9}})
        cohort = Cohort((mine,), mine.model.network((6, 6), 3))
        found = engine(name)
        state = found.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
        state, progress = found.advance(state, make_batches(mine.batches, (1,), 1, 9, 40), np.array([True]))
        losses[f"{name} {precision}"] = progress.losses
        assert {w.dtype for w in found.export(state).weights.values()} == {np.dtype(np.float32)}
    assert 1e-6 < np.abs(losses["jax bfloat16"] - losses["jax float32"]).max() < 3e-2
    assert np.abs(losses["jax bfloat16"] - losses["torch bfloat16"]).max() < 3e-2
