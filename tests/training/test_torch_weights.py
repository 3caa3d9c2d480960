"""Weights that leave for torch and ONNX, and come back from torch."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import assay
from assay.cli import app
from assay.engines import installed
from assay.errors import AssayError, FileError
from assay.training.torch_weights import from_state_dict, holds_foreign_weights, torch_code, write_state_dict

if not installed("torch"):
    pytest.skip("needs torch", allow_module_level=True)
import torch
from safetensors.torch import save_file

CONVOLUTIONS = [
    {"kind": "conv2d", "channels": 4, "kernel": 3, "padding": 1, "stride": 1},
    "batch_norm",
    {"kind": "activation", "function": "silu"},
    {"kind": "average_pool", "size": 2},
    {"kind": "conv2d", "channels": 3, "kernel": 2, "activation": "elu"},
    "flatten",
    "batch_norm",
    {"kind": "dropout", "rate": 0.25},
    {"kind": "dense", "units": 12, "activation": "leaky_relu"},
]
RECIPES: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"hidden": [16, 8], "activation": "gelu", "dropout": 0.2}},
    "linear": {"model": {"hidden": []}, "input": "standardise"},
    "convolutions": {"model": {"layers": CONVOLUTIONS}, "batches": {"size": 100}},
    "max-pool": {"model": {"layers": [{"kind": "conv2d", "channels": 2, "kernel": 3}, "max_pool", "flatten"]}},
    "3LS": {"model": "3LS", "input": "standardise-features"},
    "softmax": {"model": {"hidden": [5], "activation": "softplus", "output": "softmax"}, "input": "standardise-each"},
    "logits": {"model": {"hidden": [5], "activation": "tanh", "output": "identity"}, "loss": "logit_cross_entropy"},
}
DIGITS = assay.load_data("digits")


@functools.cache
def trained(name: str) -> assay.History:
    return assay.fit(RECIPES[name] | {"budget": "30 iterations"}, engine="numpy")


def inputs_of(history: assay.History, x: Any) -> Any:
    """Raw examples as the module takes them: scaled as its code says, channels first."""
    x = x.astype(np.float64) / history.scale
    if history.features is not None:
        x = history.features.apply(x)
    elif history.recipe.input == "standardise-each":
        x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    mean, deviation = history.scaling
    x = torch.tensor(((x - mean) / deviation).astype(np.float32))
    images = isinstance(history.recipe.model.network((8, 8), 10).image, tuple)
    return x.reshape(-1, 1, 8, 8) if images else x


@pytest.mark.parametrize("name", RECIPES)
def test_the_module_that_an_export_describes_predicts_the_same(name: str, tmp_path: Path) -> None:
    history = trained(name)
    path = write_state_dict(history, tmp_path / "net.safetensors")
    space: dict[str, Any] = {}
    exec("\n".join(torch_code(history, str(path))), space)
    with torch.no_grad():
        outputs = space["net"](inputs_of(history, DIGITS.x_test)).numpy().astype(np.float64)
    if name in ("mlp", "linear", "convolutions", "max-pool"):
        outputs = np.exp(outputs)
    elif name == "logits":
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    outputs /= outputs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs, history.predict(DIGITS.x_test, probabilities=True), atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_an_exported_state_dict_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    history = trained(name)
    back = from_state_dict(write_state_dict(history, tmp_path / "net.safetensors"), history.recipe, DIGITS)
    assert back.checkpoint.weights.keys() == history.checkpoint.weights.keys()
    for key, weights in history.checkpoint.weights.items():
        np.testing.assert_array_equal(back.checkpoint.weights[key], weights.astype(np.float32))
    assert (back.checkpoint.t, [point.iteration for point in back.points]) == (0, [0])


def test_colour_pictures_are_flattened_in_torchs_order(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3)).astype(np.uint8)
    data = assay.from_arrays(x, np.arange(40) % 4, x[:8], np.arange(8) % 4)
    layers = [{"kind": "conv2d", "channels": 4, "kernel": 2}, "flatten", "batch_norm", {"kind": "dense", "units": 7}]
    history = assay.fit({"model": {"layers": layers}, "budget": "9 iterations"}, data=data, engine="numpy")
    space: dict[str, Any] = {}
    exec("\n".join(torch_code(history, str(write_state_dict(history, tmp_path / "n.safetensors")))), space)
    with torch.no_grad():
        outputs = space["net"](torch.tensor(x / 255.0, dtype=torch.float32).permute(0, 3, 1, 2)).exp().numpy()
    np.testing.assert_allclose(outputs, history.predict(x, probabilities=True), atol=1e-5)


def test_weights_of_a_users_own_module_start_a_training(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(64, 16), torch.nn.Linear(16, 10)

    torch.manual_seed(3)
    net = Net()
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), path)
    assert holds_foreign_weights(path)
    recipe = assay.Recipe.parse({"model": {"hidden": [16]}, "budget": "1 epoch"})
    history = assay.fit(recipe, start=from_state_dict(path, recipe, DIGITS))
    x = torch.tensor(DIGITS.x_test / 16.0, dtype=torch.float32)
    with torch.no_grad():
        logits = net.fc2(torch.relu(net.fc1(x)))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(DIGITS.y_test.copy())).item()
    assert history.points[0].iteration == 0
    assert history.points[0].test_loss == pytest.approx(loss, rel=1e-5)
    assert history.iterations == 45


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("in.weight", "in.bias", "out.weight", "out.bias"), None),  # the shapes tell them apart
        (("0.weight", "0.bias", "1.weight"), "other arrays; the model has, in its order, 0.weight .8, 64."),
    ],
)
def test_arrays_are_matched_by_number_or_by_shape_alone(tmp_path: Path, names: Any, sentence: str | None) -> None:
    shapes = ((8, 64), (8,), (10, 8), (10,))
    path = tmp_path / "net.safetensors"
    save_file({name: torch.ones(shape) for name, shape in zip(names, shapes, strict=False)}, path)
    recipe = assay.Recipe.parse({"model": {"hidden": [8]}})
    if sentence is None:
        assert from_state_dict(path, recipe, DIGITS).checkpoint.weights["0.weight"].shape == (1, 64, 8)
        return
    with pytest.raises(FileError, match=sentence):
        from_state_dict(path, recipe, DIGITS)


def test_layers_of_one_shape_without_numbers_are_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    shapes = {"first": (8, 64), "up": (8, 8), "down": (8, 8), "last": (10, 8)}
    save_file(
        {f"{k}.{n}": torch.ones(s if n == "weight" else s[:1]) for k, s in shapes.items() for n in ("weight", "bias")},
        path,
    )
    with pytest.raises(FileError, match=r"the order of its layers is unclear: number them, such as 0.weight"):
        from_state_dict(path, assay.Recipe.parse({"model": {"hidden": [8, 8, 8]}}), DIGITS)


def test_arrays_without_finite_numbers_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"0.weight": torch.full((10, 64), torch.nan), "0.bias": torch.ones(10)}, path)
    recipe = assay.Recipe.parse({"model": {"hidden": []}})
    with pytest.raises(FileError, match="0.weight has values that are no finite numbers"):
        from_state_dict(path, recipe, DIGITS)
    save_file({"0.weight": torch.ones((10, 64), dtype=torch.bfloat16), "0.bias": torch.ones(10)}, path)
    with pytest.raises(FileError):
        from_state_dict(path, recipe, DIGITS)
    path.write_bytes(b"\xff" * 40)
    assert not holds_foreign_weights(path)
    with pytest.raises(FileError, match="not a safetensors file, or damaged"):
        from_state_dict(path, recipe, DIGITS)


def test_a_pickle_is_refused_with_the_lines_that_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(FileError, match="Assay reads no pickle") as caught:
        assay.load_history(path)
    lines = [line.strip() for line in str(caught.value).splitlines()[-2:]]
    exec("\n".join(lines))
    assert holds_foreign_weights(path.with_suffix(".safetensors"))
    path.write_bytes(pickle.dumps(1))
    with pytest.raises(FileError):
        assay.load_history(path)


@pytest.mark.parametrize("name", RECIPES)
def test_an_onnx_model_takes_raw_examples_and_predicts_the_same(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from assay.training.onnx_model import write_onnx

    history = trained(name)
    path = write_onnx(history, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = DIGITS.x_test.reshape(-1, 8, 8).astype(np.float32)
    probabilities, label = session.run(None, {"examples": x})
    expected = history.predict(DIGITS.x_test, probabilities=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(label, expected.argmax(axis=1))


def test_a_wrong_onnx_model_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    from assay.training import onnx_model

    monkeypatch.setitem(onnx_model._SIMPLE, "relu", "Tanh")
    with pytest.raises(AssayError, match="probabilities that differ by"):
        onnx_model.write_onnx(assay.fit({"budget": "9 iterations"}), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_and_refuses(tmp_path: Path) -> None:
    saved = trained("mlp").save(tmp_path / "w.safetensors")
    run = CliRunner().invoke(app, ["export", str(saved), str(tmp_path / "net.safetensors")])
    assert run.exit_code == 0, run.output
    assert "nn.Linear(64, 16)," in run.output
    assert holds_foreign_weights(tmp_path / "net.safetensors")
    assert not holds_foreign_weights(saved)
    for target, sentence in (("net.pt", "ends in .safetensors or .onnx"), ("w.safetensors", "the weights to export")):
        run = CliRunner().invoke(app, ["export", str(saved), str(tmp_path / target), "--force"])
        assert sentence in str(run.exception)
    run = CliRunner().invoke(app, ["export", str(saved), str(tmp_path / "net.safetensors")])
    assert "--force replaces it" in str(run.exception)


def test_the_printed_lines_say_how_colours_are_flattened_and_divided() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (40, 6, 6, 3)).astype(np.float32)
    data = assay.from_arrays(x, np.arange(40) % 2, x[:6], np.arange(6) % 2, scale=1.23456789)
    recipe = {"data": "arrays", "model": {"hidden": [4]}, "budget": "1 iteration"}
    last = torch_code(assay.fit(recipe, data=data), "a.safetensors")[-1]
    assert last.endswith("takes (N, 108) flattened from (6, 6, 3), channels last: values divided by 1.23456789")
