"""What is special to the torch engine: mixed precision and threads."""

from __future__ import annotations

import numpy as np
import pytest

from assay.data.datasets import load as load_data
from assay.engines import choose, load
from assay.recipe import Recipe
from assay.train import prepared, train

torch = pytest.importorskip("torch")


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
    with engine._threads():  # pyright: ignore
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    recipe = Recipe.parse({"model": "3LS", "budget": {"iterations": 200}, "log": 20})
    data = prepared(recipe, load_data("digits"))
    cpu, cuda = (train([recipe], load("torch", device=device), data)[0] for device in ("cpu", "cuda"))
    for a, b in zip(cpu.points, cuda.points, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
    assert cuda.peak_device_memory_bytes is not None
