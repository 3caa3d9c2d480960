"""A Sequential of torch in Assay's own layers: the same function with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.errors import AssayError
from assay.training.torch_weights import from_state_dict

torch = pytest.importorskip("torch")
nn = torch.nn

FLAT = nn.Sequential(
    nn.Flatten(),
    nn.Sequential(nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.25)),
    nn.Linear(12, 9),
    nn.GELU(approximate="tanh"),
    nn.Identity(),
    nn.Linear(9, 10),
    nn.LogSoftmax(dim=1),
)
IMAGES = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding="same"),
    nn.BatchNorm2d(4),
    nn.LeakyReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(4, 6, (2, 2), stride=1),
    nn.Tanh(),
    nn.AvgPool2d(2, stride=1),
    nn.Flatten(),
    nn.Linear(24, 10),
)


@pytest.mark.parametrize(("net", "flat"), [(FLAT, True), (IMAGES, False)])
def test_every_engine_computes_what_the_module_computes(net: Any, flat: bool, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    table = assay.layers_of(net)
    recipe = assay.Recipe.parse({"model": table, "precision": "float64", "seed": 2, "budget": "1 iteration"})
    assert recipe.model.initial == "kaiming_uniform"
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    data = assay.load_data("digits")
    start = from_state_dict(tmp_path / "net.safetensors", recipe, data)
    x = torch.tensor(data.x_test / data.scale, dtype=torch.float64)
    with torch.no_grad():
        scores = net.double().eval()(x if flat else x.view(-1, 1, 8, 8))
        expected = torch.nn.functional.nll_loss(scores.log_softmax(1), torch.tensor(data.y_test))
    net.float()
    assert start.points[0].test_loss == pytest.approx(float(expected), rel=1e-6)
    for engine in ("numpy", "torch"):
        assert assay.fit(recipe, engine=engine).outcome is assay.Outcome.COMPLETED


def test_layers_are_written_as_by_hand() -> None:
    assert assay.layers_of(FLAT) == {
        "name": "sequential",
        "initial": "kaiming_uniform",
        "output": "log_softmax",
        "layers": [
            {"kind": "flatten"},
            {"kind": "dense", "units": 12},
            {"kind": "batch_norm"},
            {"kind": "activation", "function": "relu"},
            {"kind": "dropout", "rate": 0.25},
            {"kind": "dense", "units": 9, "activation": "gelu"},
        ],
    }
    assert assay.layers_of(IMAGES)["layers"][0] == {"kind": "conv2d", "channels": 4, "kernel": 3, "padding": 1}
    assert np.isfinite(assay.fit({"budget": "2 iterations"}, model=assay.layers_of(FLAT)).final.test_loss or 0.0)


def test_what_does_not_convert_is_named_all_at_once() -> None:
    net = nn.Sequential(
        nn.Linear(64, 8, bias=False),
        nn.LayerNorm(8),
        nn.GELU(),
        nn.Sequential(nn.Conv2d(1, 2, (3, 5)), nn.MaxPool2d(2, padding=1)),
        nn.Softmax(dim=1),
        nn.BatchNorm1d(8, momentum=0.2),
        nn.ReLU(),
    )
    with pytest.raises(AssayError) as caught:
        assay.layers_of(net)
    text = str(caught.value)
    for part in (
        "its last layer is no Linear",
        "0: Linear(in_features=64, out_features=8, bias=False): expected bias=True",
        "1: LayerNorm",
        "2: GELU(approximate='none'): expected approximate='tanh'",
        "3.0: Conv2d",
        "expected the same kernel in both directions",
        "3.1: MaxPool2d",
        "4: Softmax(dim=1): is an output function",
        "5: BatchNorm1d",
    ):
        assert part in text
    with pytest.raises(AssayError, match="got a Linear; expected a torch.nn.Sequential"):
        assay.layers_of(nn.Linear(2, 2))
