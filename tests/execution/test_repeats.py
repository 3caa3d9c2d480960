"""`fit` at several seeds, and modules of torch that are made already, re-initialised by `reset_parameters`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.errors import AssayError
from assay.parts.batches import make_batches
from assay.parts.resets import reinitialised
from assay.recipe.model import Recipe
from assay.training.loop import prepared

torch = pytest.importorskip("torch")
nn: Any = torch.nn

SHORT: dict[str, Any] = {"budget": "12 iterations", "seed": 3, "precision": "float64"}


def net() -> Any:
    """Weights of another kind than any seed draws, and running statistics that training has moved."""
    torch.manual_seed(5)
    made = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 10)
    )
    with torch.no_grad():
        made[1].weight.fill_(0.25)
        made[2].running_mean.fill_(7.0)
    return made


def by_hand(seed: int) -> Any:
    """The weights after 12 iterations of Adam in a loop that takes from Assay the batches and the seeds alone."""
    from assay.engines.torch_modules import iteration_seed

    recipe = Recipe.parse(SHORT | {"seed": seed})
    data = prepared(recipe, assay.load_data("digits"))
    torch.manual_seed(seed)
    again = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 10)
    )
    again = again.double().train()
    adam = torch.optim.Adam(again.parameters(), lr=0.01)
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)
    rows = make_batches(recipe.batches, (seed,), 1, 12, len(y)).rows
    assert rows is not None
    for t in range(1, 13):
        batch = torch.tensor(rows[0, t - 1].astype(np.int64))
        torch.manual_seed(iteration_seed(seed, t))
        adam.zero_grad()
        nn.functional.cross_entropy(again(x[batch]), y[batch]).backward()
        adam.step()
    return again.state_dict()


def test_repeats_of_a_module_equal_loops_by_hand_from_new_weights() -> None:
    made = net()
    before = {name: array.clone() for name, array in made.state_dict().items()}
    generator = torch.get_rng_state()
    adam = {"name": "torch.optim:Adam", "lr": 0.01}
    fits = assay.fit(SHORT, model=made, optimizer=adam, repeats=2)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(made.state_dict()[name], array) for name, array in before.items())  # the user's is untouched
    for history, seed in zip(fits, (3, 4), strict=True):
        assert history.recipe.seed == seed
        for name, array in by_hand(seed).items():
            np.testing.assert_allclose(history.checkpoint.weights[name][0], array.numpy(), rtol=1e-11, atol=1e-11)
        assert any("reset_parameters draws the first weights by the seed" in note for note in history.notes)
        assert not any("starts from the weights of that module" in note for note in history.notes)
    one = assay.fit(SHORT, model=made, optimizer=adam)  # a single training starts from the module's own weights
    (same,) = assay.fit(SHORT, model=made, optimizer=adam, repeats=1)
    np.testing.assert_array_equal(one.checkpoint.weights["1.weight"], same.checkpoint.weights["1.weight"])
    assert (
        abs(one.checkpoint.weights["1.weight"].mean() - 0.25)
        < 0.05
        < 0.2
        < abs(0.25 - fits[0].checkpoint.weights["1.weight"].mean())
    )
    longer = assay.fit(fits[1].recipe.with_budget(iterations=20), start=fits[1])
    whole = assay.fit(fits[1].recipe.with_budget(iterations=20))
    np.testing.assert_array_equal(longer.checkpoint.weights["5.weight"], whole.checkpoint.weights["5.weight"])


LAYERS = [
    lambda: nn.Conv2d(2, 3, 3),
    lambda: nn.LSTM(3, 4, num_layers=2),
    lambda: nn.Embedding(5, 3),
    lambda: nn.LayerNorm(4),
    lambda: nn.GroupNorm(2, 4),
    lambda: nn.PReLU(),
    lambda: nn.Bilinear(2, 3, 4),
    lambda: nn.MultiheadAttention(8, 2),
    lambda: nn.TransformerEncoderLayer(8, 2, 16),
    lambda: nn.BatchNorm2d(3),
]


@pytest.mark.parametrize("make", LAYERS)
def test_layers_of_torch_are_drawn_as_their_constructors_draw_them(make: Any) -> None:
    made = make()
    torch.manual_seed(11)
    new = make().state_dict()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(9.0)
    torch.manual_seed(11)
    again = reinitialised(made, "model 'x'").state_dict()
    assert again.keys() == new.keys()
    for name, array in new.items():
        assert torch.equal(again[name], array), name


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64))
        self.out = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.out(x.flatten(1) * self.scale)


class Resets(Scaled):
    def reset_parameters(self) -> None:
        nn.init.uniform_(self.scale)


class Forgets(Scaled):
    def reset_parameters(self) -> None:
        pass


class Breaks(Scaled):
    def reset_parameters(self) -> None:
        raise KeyError("nothing")


def frozen() -> Any:
    made = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 10))
    made[1].requires_grad_(False)
    return made


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: nn.Sequential(Scaled()),
            r"'0' \(Scaled\) has parameters or buffers and no reset_parameters; give its class",
        ),
        (Scaled, r"the module itself \(Scaled\) has parameters"),
        (Forgets, "reset_parameters does not set scale from nothing"),
        (Breaks, r"reset_parameters of the module itself \(Breaks\) failed: KeyError: 'nothing'"),
        (frozen, "1.weight, 1.bias are frozen, and would lose the values"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(64, 10)), r"ParametrizationList\) has parameters"),
    ],
)
def test_a_module_that_cannot_be_drawn_anew_is_refused_and_trains_once(make: Any, sentence: str) -> None:
    with pytest.raises(AssayError, match=sentence):
        assay.fit({"budget": "2 iterations"}, model=make(), repeats=2)
    if "parametrizations" not in sentence and "ParametrizationList" not in sentence:
        assert assay.fit({"budget": "2 iterations"}, model=make(), repeats=1)[0].iterations == 2


def test_own_layers_with_reset_parameters_are_drawn_anew() -> None:
    a, b = assay.fit({"budget": "1 iteration"}, model=Resets(), repeats=2)
    assert not np.allclose(a.checkpoint.weights["scale"], b.checkpoint.weights["scale"], atol=0.05)


# --- a module by its place -------------------------------------------------------------------------------------------

FILE = """
from torch import nn
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    from assay.parts import modules

    (tmp_path / "made_models_of_a_test.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "made_models_of_a_test"
    sys.modules.pop("made_models_of_a_test", None)
    for name in [name for name in modules._factories if "made_models_of_a_test" in name]:
        del modules._factories[name]


def test_a_study_trains_a_module_by_its_place_at_every_seed(place: str, tmp_path: Path) -> None:
    study = {
        "timing": "packed",
        "repeats": 2,
        "baseline": {"model": f"{place}:net", "budget": "12 iterations"},
        "axes": {"model": {"key": "model", "values": [f"{place}:net", f"{place}:make"]}},
    }
    with assay.allowing_code():
        frame = assay.run(study, store=str(tmp_path / "assay.db")).frame()
    assert list(frame["outcome"]) == ["completed"] * 4
    of = {model: group.sort_values("seed") for model, group in frame.groupby("model")}
    one, other = of[f"{place}:net"], of[f"{place}:make"]
    assert list(one["test_loss"]) == list(other["test_loss"])  # drawn as the function draws them
    assert one["test_loss"].nunique() == 2


def test_an_exported_module_by_its_place_is_not_called(place: str) -> None:
    with assay.allowing_code():
        recipe = Recipe.parse({"model": f"{place}:net"})
    assert "net = net" in recipe.model.network((8, 8), 10).code("w.safetensors")  # pyright: ignore


# --- repeats of any recipe -------------------------------------------------------------------------------------------


def test_repeats_are_fits_at_the_next_seeds() -> None:
    fits = assay.fit({"budget": "30 iterations", "seed": 7}, repeats=3)
    alone = assay.fit({"budget": "30 iterations", "seed": 9})
    assert fits[2].points[-1].test_loss == alone.points[-1].test_loss
    assert len(fits) == 3
    assert [h.recipe.seed for h in fits[1:]] == [8, 9]
    frame = fits.frame()
    assert list(frame["seed"]) == [7, 8, 9]
    assert frame["accuracy"].tolist() == [h.accuracy for h in fits]
    mean, deviation = 100 * frame["accuracy"].mean(), 100 * frame["accuracy"].std()
    assert f"3 seeds, test accuracy {mean:.2f} % (standard deviation {deviation:.2f} %), completed" in repr(fits)
    assert "seed 8" in fits._repr_html_()
    curves = fits.curves()
    assert len(curves) == sum(len(h.points) for h in fits)
    assert set(curves["seed"]) == {7, 8, 9}


@pytest.mark.parametrize("repeats", [0, -1, 2.5, True, "3"])
def test_repeats_are_a_number(repeats: Any) -> None:
    with pytest.raises(AssayError, match=r"repeats: got .*; expected a whole number from 1"):
        assay.fit({"budget": "1 iteration"}, repeats=repeats)


def test_a_start_has_no_repeats() -> None:
    history = assay.fit({"budget": "1 iteration"})
    with pytest.raises(AssayError, match="start: resumes one training"):
        assay.fit({"budget": "2 iterations"}, start=history, repeats=2)  # pyright: ignore


@pytest.mark.parametrize("at", [20, 40])
def test_ctrl_c_gives_back_the_seeds_before(at: int) -> None:
    """Also where it comes at the last point of a seed, which then has ended."""

    def of_the_second(point: Any) -> None:
        if point.iteration == at:
            seen.append(point)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    seen: list[Any] = []
    with pytest.raises(assay.Interrupted) as caught:
        assay.fit({"budget": "40 iterations", "log": 20}, on_point=of_the_second, repeats=3)
    assert [history.recipe.seed for history in caught.value.finished] == [1]
    assert caught.value.history.recipe.seed == 2
