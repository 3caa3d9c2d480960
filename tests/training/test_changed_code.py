"""Weights of a user's module whose file has changed since: they predict with the code as it is now, and say so, or are
refused with the array that differs."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.errors import CodeError, RecipeError
from assay.parts.user_optimizers import allowing_code
from assay.training.changed_code import ChangedCodeWarning
from assay.training.checkpoints import restore

NAME = "changing_models_of_a_test"

TORCH = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes, width: int = 6):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        return self.last(torch.relu(self.first(x.flatten(1))))
"""
EQUINOX = """
import equinox as eqx
import jax
from jax import numpy as jnp

class Net(eqx.Module):
    first: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, inputs, classes, width: int = 6, *, key):
        a, b = jax.random.split(key)
        self.first = eqx.nn.Linear(inputs, width, key=a)
        self.last = eqx.nn.Linear(width, classes, key=b)

    def __call__(self, x):
        return self.last(jax.nn.relu(self.first(jnp.ravel(x))))
"""
RELU = {TORCH: ("torch.relu", "torch.tanh"), EQUINOX: ("jax.nn.relu", "jnp.tanh")}


@pytest.fixture(params=[TORCH, EQUINOX], ids=["torch", "equinox"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The source of a module in a folder of its own, which the tests rewrite."""
    pytest.importorskip("torch" if request.param == TORCH else "equinox")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield request.param
    forget()


def forget() -> None:
    """Makes the next use read the file again, as a new process does."""
    from assay.parts import modules

    for name in [name for name in modules._factories if NAME in name]:
        del modules._factories[name]
    sys.modules.pop(NAME, None)
    importlib.invalidate_caches()


def saved(source: str, folder: Path, **changes: Any) -> Path:
    (folder / f"{NAME}.py").write_text(source)
    forget()
    with allowing_code():
        history = assay.fit({"model": f"{NAME}:Net", "seed": 3, "budget": "30 iterations", "input": "unit", **changes})
    return history.save(folder / "w.safetensors")


def reloaded(path: Path, source: str) -> Any:
    (path.parent / f"{NAME}.py").write_text(source)
    forget()
    return restore(path)


def test_the_same_computation_predicts_and_says_that_the_stored_loss_is_found(source: str, tmp_path: Path) -> None:
    path = saved(source, tmp_path)
    x = assay.load_data("digits").x_test[:20]
    with allowing_code():
        expected = reloaded(path, source).predict(x, probabilities=True)  # without a warning, which would be an error
        again = reloaded(path, source + "\n# a remark\n")
        with pytest.warns(ChangedCodeWarning, match="the loss on the test set is the stored one") as caught:
            values = again.predict(x, probabilities=True)
    np.testing.assert_array_equal(values, expected)
    sentence = str(caught[0].message)
    assert str(tmp_path / f"{NAME}.py") in sentence
    assert again.recipe.model.code[:8] in sentence
    assert again.parameters is None  # what is stored belongs to the code of then


def test_another_computation_predicts_as_it_is_now_and_names_both_losses(source: str, tmp_path: Path) -> None:
    path = saved(source, tmp_path, budget="300 iterations")
    data = assay.load_data("digits")
    again = reloaded(path, source.replace(*RELU[source]) + "\n# other\n")
    with allowing_code(), pytest.warns(ChangedCodeWarning) as caught:
        values = again.predict(data.x_test, probabilities=True)
    w = {name: array[0].astype(np.float64) for name, array in again.checkpoint.weights.items()}
    hidden = np.tanh(data.x_test / data.scale @ w["first.weight"].T + w["first.bias"])
    scores = hidden @ w["last.weight"].T + w["last.bias"]
    by_hand = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(values, by_hand, rtol=1e-4, atol=1e-6)
    loss = -np.log(by_hand[np.arange(len(by_hand)), data.y_test]).mean()
    stored = again.final.test_loss
    assert abs(loss - stored) > 0.01 * stored
    assert (
        f"the loss on the test set is {loss:.4g}, where {stored:.4g} was stored: the code computes something else"
    ) in str(caught[0].message)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"int = 6": "int = 6, more: bool = True"}, ""),  # an argument with a default changes no array
        (
            {"self.last": "self.final", "    last:": "    final:"},
            "it has no 'last.bias', which is in the weights, and 3 more;",
        ),
        (
            {"inputs, width": "inputs, width + 1"},
            r"'first.bias' is \(7,\) in it and \(6,\) in the weights, and 1 more;",
        ),
        ({"width": "wide"}, "cannot be made with .*TypeError"),
        ({"class Net": "class Mine"}, "has no model 'Net'"),
    ],
    ids=["argument", "name", "shape", "signature", "class"],
)
def test_other_arrays_are_refused_by_name(source: str, tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    path = saved(source, tmp_path)
    x, text = assay.load_data("digits").x_test[:3], source
    for old, new in changes.items():
        text = text.replace(old, new)
    again = reloaded(path, text)
    with allowing_code():
        if not sentence:
            with pytest.warns(ChangedCodeWarning):
                assert again.predict(x).shape == (3,)
            return
        with pytest.raises(CodeError, match=sentence) as error:
            again.predict(x)
    if "class Net" not in changes:
        assert f"{NAME}.py (or a package that it uses) changed since training" in str(error.value)


def test_training_exporting_and_the_key_still_need_the_source_of_then(source: str, tmp_path: Path) -> None:
    from assay.training.torch_weights import write_state_dict

    path = saved(source, tmp_path)
    again = reloaded(path, source + "\n# a remark\n")
    with allowing_code():
        assert assay.Recipe.parse({"model": f"{NAME}:Net"}).model.code != again.recipe.model.code  # pyright: ignore
        with pytest.raises(CodeError, match="is not the one that it was trained with"):
            assay.fit(again.recipe, start=again)
        with pytest.raises(RecipeError, match="because the source is another"):
            again.recipe.with_budget(iterations=40)
        with pytest.raises(CodeError, match="is not the one that it was trained with"):
            write_state_dict(again, tmp_path / "out.safetensors")
        with pytest.warns(ChangedCodeWarning):
            again.predict(assay.load_data("digits").x_test[:3])
        with pytest.raises(CodeError, match="is not the one that it was trained with"):  # also after that
            assay.fit(again.recipe, start=again)


def test_without_permission_nothing_is_imported(source: str, tmp_path: Path) -> None:
    path = saved(source, tmp_path)
    again = reloaded(path, source + "\n# a remark\n")
    with pytest.raises(CodeError, match="third-party code"):
        again.predict(assay.load_data("digits").x_test[:3])
    assert NAME not in sys.modules


def test_a_data_set_that_is_gone_is_said(source: str, tmp_path: Path) -> None:
    data = assay.load_data("digits")
    np.savez(tmp_path / "own.npz", x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    path = saved(source, tmp_path, data=str(tmp_path / "own.npz"))
    (tmp_path / "own.npz").unlink()
    again = reloaded(path, source + "\n# a remark\n")
    with allowing_code(), pytest.warns(ChangedCodeWarning, match=r"own.npz' is not here as it was, so that the loss"):
        again.predict(data.x_test[:3])


def test_a_regression_compares_its_loss_too(source: str, tmp_path: Path) -> None:
    regression: dict[str, Any] = {"data": {"name": "diabetes", "task": "regression"}, "loss": "mse"}
    path = saved(source, tmp_path, **regression)
    x = assay.load_data("diabetes").x_test[:3]
    with allowing_code(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reloaded(path, source + "\n# a remark\n").predict(x)
        reloaded(path, source.replace(*RELU[source]) + "\n# other\n").predict(x)
    assert "is the stored one" in str(caught[0].message)
    assert "the code computes something else" in str(caught[1].message)
