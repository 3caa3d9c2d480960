"""Winograd's convolutions beside torch's own, and where the torch engine takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.engines.base import Cohort, Splits, fresh
from assay.parts.batches import make_batches
from assay.parts.layers import Conv2d
from assay.parts.models import MODELS
from assay.recipe.model import Recipe
from assay.rng import stream

torch = pytest.importorskip("torch")
winograd = pytest.importorskip("assay.engines.winograd")


def arrays(layer: Conv2d, images: int, element: Any) -> list[Any]:
    """Images as the engine has them, weights, bias, and a slope for each output; leaves of autograd but the last."""
    height, width, channels = layer.image
    shapes = [(images, height, width, channels), *layer.shapes.values(), (images, *layer.out)]
    found = [torch.tensor(stream(3, str(i)).normal(int(np.prod(shape))).reshape(shape), dtype=element)
             for i, shape in enumerate(shapes)]  # fmt: skip
    x, weight, bias, slope = found
    leaves = [x.permute(0, 3, 1, 2), weight, bias]
    return [leaf.requires_grad_() for leaf in leaves] + [slope.permute(0, 3, 1, 2)]


def both(layer: Conv2d, images: int, element: Any, plain_element: Any) -> list[tuple[Any, Any]]:
    """(Winograd's, torch's) outputs and gradients by images, weights and bias."""
    results = []
    for kind, own in ((element, True), (plain_element, False)):
        x, weight, bias, slope = arrays(layer, images, kind)
        if own:
            y = winograd.convolution(layer, x, weight, bias)
        else:
            y = torch.nn.functional.conv2d(
                x, weight.permute(3, 2, 0, 1).contiguous(), bias, layer.stride, layer.padding
            )
        y.backward(slope)
        results.append([y.detach(), x.grad, weight.grad, bias.grad])
    return list(zip(*results, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(5, 22),
    width=st.integers(5, 22),
    padding=st.integers(0, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    images=st.integers(1, 3),
)
def test_any_shape_gives_what_a_convolution_gives(
    height: int, width: int, padding: int, channels: tuple[int, int], images: int
) -> None:
    layer = Conv2d((height, width, channels[0]), channels[1], winograd.KERNEL, 1, padding)
    for mine, plain in both(layer, images, torch.float64, torch.float64):
        assert mine.shape == plain.shape
        torch.testing.assert_close(mine, plain, rtol=1e-10, atol=1e-10)


def test_its_gradients_are_those_of_finite_differences() -> None:
    layer = Conv2d((6, 9, 2), 3, winograd.KERNEL, 1, 1)
    *leaves, _ = arrays(layer, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda *each: winograd.convolution(layer, *each), leaves)


def test_no_gradient_by_images_that_need_none() -> None:
    layer = Conv2d((12, 12, 32), 32, winograd.KERNEL)
    x, weight, bias, slope = arrays(layer, 2, torch.float32)
    winograd.convolution(layer, x.detach(), weight, bias).backward(slope)
    assert weight.grad is not None
    assert x.grad is None


def test_single_precision_rounds_to_a_few_parts_in_a_million() -> None:
    for mine, exact in both(Conv2d((12, 12, 32), 64, winograd.KERNEL), 20, torch.float32, torch.float64):
        assert float((mine.double() - exact).norm() / exact.norm()) < 1e-5


@pytest.mark.parametrize(
    ("layer", "fits"),
    [
        (Conv2d((12, 12, 32), 64, 5), True),  # the second of lenet5-wide
        (Conv2d((14, 14, 32), 32, 5, 1, 2), True),
        (Conv2d((14, 14, 6), 16, 5), False),  # the second of lenet5: channels too few
        (Conv2d((12, 12, 32), 64, 3), False),
        (Conv2d((12, 12, 32), 64, 5, 2), False),
        (Conv2d((9, 9, 32), 64, 5), False),  # 64 outputs in whole tiles for 25
    ],
)
def test_it_is_taken_where_it_was_measured_to_be_faster(layer: Conv2d, fits: bool) -> None:
    assert winograd.fits(layer) is fits


@pytest.mark.parametrize(("precision", "taken"), [("float32", True), ("float64", False), ("bfloat16", False)])
def test_the_engine_takes_it_in_single_precision_alone(
    precision: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.engines.torch_engine import TorchEngine

    seen, own = [], winograd.convolution
    monkeypatch.setattr(winograd, "convolution", lambda layer, *rest: seen.append(layer) or own(layer, *rest))
    mine = Recipe.parse({"model": "lenet5-wide", "batches": {"size": 5}, "precision": precision})
    network = MODELS["lenet5-wide"]().network((28, 28), 10)
    cohort, engine = Cohort((mine,), network), TorchEngine(device="cpu", threads=1)
    x = stream(2, "inputs").uniform(12 * 784).reshape(12, 784).astype(np.float32)
    state = engine.start(cohort, fresh(cohort), Splits({"train": (x, np.arange(12) % 10)}))
    engine.advance(state, make_batches(mine.batches, (1,), 1, 1, 12), np.array([True]))
    assert bool(seen) is taken
    assert {layer.image for layer in seen} <= {(12, 12, 32)}
