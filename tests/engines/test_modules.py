"""A user's module of torch: a loop by hand with the same bits, the laws, the key, and what is refused."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.engines import choose
from assay.engines.base import Checkpoint, Cohort, fresh
from assay.errors import AssayError, CodeError, EngineError, RecipeError
from assay.parts.batches import make_batches
from assay.parts.modules import ForeignModel
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
from assay.training.checkpoints import from_bytes, restore, to_bytes
from assay.training.loop import Training, prepared

torch = pytest.importorskip("torch")

NET = """
import torch
from torch import nn
from own_blocks_of_a_test import Block

class Net(nn.Module):
    def __init__(self, classes, width: int = 12, dropout: float = 0.3, names: list[str] = ["a"]):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.block = Block(4 * 64, width)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(width, classes)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.scale = nn.Parameter(torch.ones(width), requires_grad=False)

    def forward(self, x):
        if self.training:
            self.steps = self.steps + 1
        x = torch.relu(self.norm(self.conv(x))).flatten(1)
        return self.out(self.drop(torch.tanh(self.block(x))) * self.scale)

def linear(inputs, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, num_classes))

class Tied(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.inner = nn.Linear(inputs, inputs)
        self.again = self.inner
        self.out = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.out(torch.tanh(self.again(torch.tanh(self.inner(x.flatten(1))))))

made = nn.Linear(2, 2)
not_a_model = 3

def needs_code(block, inputs: torch.Tensor):
    return nn.Linear(2, 2)
"""
BLOCKS = """
from torch import nn

class Block(nn.Linear):
    pass
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The name of a module with models, in a folder of its own."""
    (tmp_path / "own_blocks_of_a_test.py").write_text(BLOCKS)
    (tmp_path / "own_models_of_a_test.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield "own_models_of_a_test"
    forget()


def forget() -> None:
    """Makes the next recipe read the files again, as a new process does."""
    from assay.parts import modules

    for name in [name for name in modules._factories if "models_of_a_test" in name]:
        del modules._factories[name]
    for name in ("own_models_of_a_test", "own_blocks_of_a_test", "bad_models_of_a_test"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def recipe_of(model: Any, **changes: Any) -> Recipe:
    with allowing_code():
        return Recipe.parse({"model": model, "seed": 3, "budget": "12 iterations", **changes})


def trained(recipe: Recipe, **options: Any) -> Any:
    return assay.fit(recipe, engine="torch", **options)


def bits(checkpoint: Checkpoint) -> dict[str, bytes]:
    arrays = {f"w {name}": a for name, a in checkpoint.weights.items()}
    arrays |= {f"s {name}": a for name, a in checkpoint.slots.items()}
    return {name: np.ascontiguousarray(a).tobytes() for name, a in arrays.items()}


# --- the same numbers by hand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_loop_by_hand_gives_the_same_weights(mine: str, precision: str) -> None:
    """The hand-written loop knows of Assay only the batches, the seeds of the iterations, and the scaled data."""
    from assay.engines.torch_modules import iteration_seed

    optimizer = {"name": "torch.optim:SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
    recipe = recipe_of({"name": f"{mine}:Net", "width": 9}, precision=precision, optimizer=optimizer)
    data = prepared(recipe, assay.load_data("digits"))
    torch.manual_seed(3)
    net = sys.modules[mine].Net(10, width=9).to(torch.float64 if precision == "float64" else torch.float32)
    sgd = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.05, momentum=0.9, weight_decay=1e-3)
    x, y = torch.tensor(data.x_train).view(-1, 1, 8, 8), torch.tensor(data.y_train)
    rows = make_batches(recipe.batches, (3,), 1, 12, len(y)).rows
    assert rows is not None
    net.train()
    for t in range(1, 13):
        batch = torch.tensor(rows[0, t - 1].astype(np.int64))
        torch.manual_seed(iteration_seed(3, t))
        loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    history = trained(recipe)
    limit = 1e-11 if precision == "float64" else 2e-6
    assert set(history.checkpoint.weights) == set(net.state_dict())
    for name, array in net.state_dict().items():
        np.testing.assert_allclose(history.checkpoint.weights[name][0], array.numpy(), rtol=limit, atol=limit)
    assert int(history.checkpoint.weights["steps"][0]) == 12
    net.eval()
    with torch.no_grad():
        scores = net(torch.tensor(data.x_test).view(-1, 1, 8, 8))
    assert history.accuracy == pytest.approx(float((scores.argmax(1) == torch.tensor(data.y_test)).float().mean()))


@pytest.mark.parametrize("optimizer", ["adam", "muon", {"name": "adamw", "weight_decay": 0.1}, "schedule-free-sgd"])
def test_a_linear_module_equals_our_linear_model_with_its_weights(mine: str, tmp_path: Path, optimizer: Any) -> None:
    module = trained(recipe_of(f"{mine}:linear", precision="float64", optimizer=optimizer))
    network = module.recipe.model.network((8, 8), 10)
    w = network.initial(3)
    from safetensors.numpy import save_file

    save_file({"0.weight": w["1.weight"], "0.bias": w["1.bias"]}, tmp_path / "w.safetensors")
    from assay.training.torch_weights import from_state_dict

    same = {"seed": 3, "budget": "12 iterations", "precision": "float64", "optimizer": optimizer}
    ours = Recipe.parse({"model": {"hidden": []}, **same})
    started = from_state_dict(tmp_path / "w.safetensors", ours, assay.load_data("digits"))
    numpy = assay.fit(ours, engine="numpy", start=started)
    np.testing.assert_allclose(
        module.checkpoint.weights["1.weight"][0].T, numpy.checkpoint.weights["0.weight"][0], rtol=1e-10, atol=1e-10
    )
    assert [p.test_loss for p in module.points] == pytest.approx([p.test_loss for p in numpy.points], rel=1e-10)


# --- the laws --------------------------------------------------------------------------------------------------------

OPTIMIZERS = [
    "adam",
    {"name": "adamw", "weight_decay": 0.1},
    "muon",
    "schedule-free-adamw",
    "torch.optim:NAdam",
    "torch.optim:Adagrad",
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_chunks_watching_and_resuming_from_a_file_give_the_same_bits(mine: str, optimizer: Any) -> None:
    recipe = recipe_of(f"{mine}:Net", optimizer=optimizer, clip_norm=1.0, regularisation={"l2": 1e-4})
    whole = trained(recipe.patched({"log": 12}))
    torch.manual_seed(77)  # another state of the generator outside changes nothing, and is left as it is
    before = torch.get_rng_state()
    watched = trained(recipe.patched({"log": 1}))
    assert torch.equal(torch.get_rng_state(), before)
    assert bits(watched.checkpoint) == bits(whole.checkpoint)
    half = trained(recipe.patched({"budget": "5 iterations"}))
    through_a_file = from_bytes(to_bytes(half), source="test")
    resumed = trained(recipe, start=through_a_file)
    assert bits(resumed.checkpoint) == bits(whole.checkpoint)
    assert bits(half.checkpoint) != bits(whole.checkpoint)


def test_a_trial_in_a_cohort_has_the_bits_of_a_trial_alone(mine: str) -> None:
    recipes = [recipe_of(f"{mine}:Net", seed=seed) for seed in (3, 4)]
    data = prepared(recipes[0], assay.load_data("digits"))
    together = Training(recipes, choose(recipes[0]), data)
    for _ in together:
        pass
    for recipe, history in zip(recipes, together.histories(), strict=True):
        assert bits(history.checkpoint) == bits(trained(recipe).checkpoint)


def test_seeds_draw_other_weights_and_the_same_seed_the_same(mine: str) -> None:
    network = recipe_of(f"{mine}:Net").model.network((8, 8), 10)
    a, b, c = (network.initial(seed)["out.weight"] for seed in (1, 1, 2))  # pyright: ignore
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_gradient_agrees_with_finite_differences(mine: str) -> None:
    recipe = recipe_of(
        {"name": f"{mine}:Tied"},
        precision="float64",
        batches="full",
        optimizer={"name": "descent", "learning_rate": 1e-3},
        budget="1 iteration",
    )
    data = prepared(recipe, assay.load_data("digits"))
    engine, network = choose(recipe), recipe.model.network(data.shape, data.classes)
    from assay.engines.base import Splits

    cohort, splits = Cohort((recipe,), network), Splits({"train": (data.x_train[:50], data.y_train[:50])})
    start = fresh(cohort)
    state = engine.start(cohort, start, splits)
    batches = make_batches(recipe.batches, (3,), 1, 1, 50)
    state, _ = engine.advance(state, batches, np.ones(1, np.bool_))
    after = engine.export(state).weights
    for name, place in [("inner.weight", (3, 5)), ("inner.bias", (2,)), ("out.weight", (1, 7))]:
        gradient = (start.weights[name][0][place] - after[name][0][place]) / 1e-3
        losses = []
        for h in (1e-5, -1e-5):
            weights = {n: w.copy() for n, w in start.weights.items()}
            weights[name][0][place] += h
            moved = engine.start(cohort, Checkpoint(0, weights, {}), splits)
            losses.append(engine.evaluate(moved, "train").loss[0])
        assert gradient == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-9)


# --- the key, and permission -----------------------------------------------------------------------------------------


def test_the_key_has_the_source_of_the_file_and_of_the_files_that_it_uses(mine: str, tmp_path: Path) -> None:
    plain = recipe_of(f"{mine}:Net")
    assert plain.key() == recipe_of({"name": f"{mine}:Net", "width": 12}).key()
    assert plain.key() != recipe_of({"name": f"{mine}:Net", "width": 13}).key()
    forget()
    assert recipe_of(f"{mine}:Net").key() == plain.key()
    (tmp_path / "own_blocks_of_a_test.py").write_text(BLOCKS + "\n# another\n")
    forget()
    changed = recipe_of(f"{mine}:Net")
    assert changed.key() != plain.key()
    with pytest.raises(CodeError, match="is not the one that it was trained with"):
        trained(plain)
    assert changed.patched({"seed": 4}).model == changed.model


def test_nothing_is_imported_without_permission(mine: str) -> None:
    with pytest.raises(RecipeError, match="is third-party code, which is imported only if allowed: give --allow-code"):
        Recipe.parse({"model": f"{mine}:Net"})
    assert mine not in sys.modules
    with pytest.raises(RecipeError, match="is third-party code"):  # a function that is loaded is not called either
        Recipe.parse({"model": {"name": "os:system", "command": "true"}})
    with allowing_code():
        plain = Recipe.parse({"model": f"{mine}:Net"}).plain()
    forget()
    stored = Recipe.stored(plain)
    assert mine not in sys.modules
    assert stored.plain() == plain
    assert isinstance(stored.model, ForeignModel)
    assert stored.key() == recipe_of(f"{mine}:Net", seed=1, budget="30 epochs").key()
    forget()
    with pytest.raises(CodeError, match="third-party code"):
        choose(stored)


def test_a_saved_module_is_shown_without_its_code_and_predicts_with_it(mine: str, tmp_path: Path) -> None:
    history = trained(recipe_of(f"{mine}:Net", budget="2 epochs"))
    path = history.save(tmp_path / "w.safetensors")
    x = assay.load_data("digits").x_test[:20]
    expected = history.predict(x, probabilities=True)
    forget()
    again = restore(path)
    assert mine not in sys.modules
    assert again.parameters is None
    assert again.points == history.points
    assert again.plain()["flops"] is None
    with pytest.raises(CodeError, match="third-party code"):
        again.predict(x)
    with allowing_code():
        np.testing.assert_array_equal(again.predict(x, probabilities=True), expected)
    assert history.parameters == sum(w[0].size for n, w in history.checkpoint.weights.items() if n in TRAINED)


TRAINED = (
    "conv.weight",
    "conv.bias",
    "norm.weight",
    "norm.bias",
    "block.weight",
    "block.bias",
    "out.weight",
    "out.bias",
)


def test_a_state_dict_goes_out_and_comes_back(mine: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from assay.training.torch_weights import from_state_dict, write_state_dict

    recipe = recipe_of(f"{mine}:Tied", budget="1 epoch")
    history = trained(recipe)
    net = sys.modules[mine].Tied(64, 10)
    net.load_state_dict(load_file(write_state_dict(history, tmp_path / "sd.safetensors")))
    data = prepared(recipe, assay.load_data("digits"))
    with torch.no_grad():
        scores = net(torch.tensor(data.x_test))
    assert float((scores.argmax(1).numpy() == data.y_test).mean()) == history.accuracy
    started = from_state_dict(tmp_path / "sd.safetensors", recipe, assay.load_data("digits"))
    assert started.points[0].test_accuracy == history.accuracy


def test_a_study_trains_modules_in_workers_and_once(mine: str, tmp_path: Path) -> None:
    study = {
        "timing": "packed",
        "repeats": 2,
        "baseline": {"model": {"name": f"{mine}:Net"}, "budget": "12 iterations", "optimizer": "torch.optim:NAdam"},
        "axes": {"width": {"key": "model.width", "values": [8, 12]}},
    }
    with allowing_code():
        results = assay.run(study, store=str(tmp_path / "assay.db"))
        again = assay.run(study, store=str(tmp_path / "assay.db"))
    frame = results.frame()
    assert list(frame["outcome"]) == ["completed"] * 4
    assert frame["flops"].isna().all()
    assert list(again.frame()["seconds"]) == list(frame["seconds"])  # not trained again
    recipe = recipe_of({"name": f"{mine}:Net", "width": 8}, optimizer="torch.optim:NAdam", seed=1)
    alone = trained(recipe)
    assert float(frame[(frame["width"] == 8) & (frame["seed"] == 1)]["accuracy"].iloc[0]) == alone.accuracy


def test_groups_of_optimizers_take_the_arrays_of_a_module(mine: str) -> None:
    groups = [
        {"where": "hidden matrices", "name": "torch.optim:SGD", "lr": 1e-30},
        {"where": "output weights", "name": "torch.optim:SGD", "lr": 0.1},
        {"where": "scales", "name": "torch.optim:SGD", "lr": 1e-30},
        {"where": "rest", "name": "torch.optim:SGD", "lr": 0.1},
    ]
    recipe = recipe_of(f"{mine}:Net", optimizer={"groups": groups})
    start = recipe.model.network((8, 8), 10).initial(3)  # pyright: ignore
    end = trained(recipe).checkpoint.weights
    moved = {name for name in TRAINED if not np.array_equal(end[name][0], start[name].astype(np.float32))}
    assert moved == {"conv.weight", "conv.bias", "norm.bias", "block.bias", "out.weight", "out.bias"}


# --- what is refused -------------------------------------------------------------------------------------------------


def test_all_wrong_arguments_are_named_at_once(mine: str) -> None:
    table = {"name": f"{mine}:Net", "widht": 3, "dropout": "0.5", "width": 2.5, "names": [1], "initial": "lecun"}
    with pytest.raises(RecipeError) as caught:
        recipe_of(table)
    text = str(caught.value)
    assert "model.widht: model 'own_models_of_a_test:Net' has no argument 'widht'; did you mean 'width'?" in text
    assert "model.dropout: got '0.5'; expected a number (without quotes)" in text
    assert "model.width: got 2.5; expected a whole number" in text
    assert "model.names: got [1]; expected a list of texts" in text
    assert "model.initial: a module draws its own initial weights" in text
    assert text.count("\n  - ") == 5


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Nett", "has no model 'Nett'; did you mean 'Net'"),
        ("unmade", "has no model .unmade."),
        ("not_a_model", "is a int; expected a class of torch.nn.Module, equinox.Module, flax.linen.Module or"),
        ("needs_code", "is required by model .* and is code, not plain data"),
    ],
)
def test_a_name_that_is_no_model_is_refused(mine: str, name: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        recipe_of(f"{mine}:{name}")


def test_other_engines_say_why_not(mine: str) -> None:
    recipe = recipe_of(f"{mine}:Net")
    for engine in ("numpy", "native", "jax"):
        with pytest.raises(EngineError, match="is a module of torch, which trains on engine 'torch' only"):
            choose(recipe, engine)
    assert choose(recipe).name == "torch"


BAD = """
import random
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.fc(x.flatten(1))

class Fails(Base):
    def forward(self, x):
        return self.fc(x)

class Raises(Base):
    def forward(self, x):
        raise KeyError("nothing")

class Shape(Base):
    def forward(self, x):
        return super().forward(x)[:, :3]

class Pair(Base):
    def forward(self, x):
        return super().forward(x), 1

class Nan(Base):
    def forward(self, x):
        return super().forward(x) * float("nan")

class Empty(nn.Module):
    def forward(self, x):
        return x

class Frozen(Base):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        self.requires_grad_(False)

class Detached(Base):
    def forward(self, x):
        return super().forward(x).detach()

class Random(Base):
    def forward(self, x):
        return super().forward(x) + torch.rand(())

class Python(Base):
    def forward(self, x):
        return super().forward(x) * (1 + random.random() if self.training else 1)

class Counts(Base):
    n = 0
    def forward(self, x):
        self.n += self.training
        return super().forward(x) * (1 + self.n)

class Evaluated(Base):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        self.register_buffer("seen", torch.zeros(()))
    def forward(self, x):
        self.seen += 1
        return super().forward(x)

class Numpy(Base):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        with torch.no_grad():
            self.fc.weight[0, 0] = random.random()

class Lazy(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.fc = nn.LazyLinear(classes)

class Breaks(Base):
    def __init__(self, inputs, classes):
        raise RuntimeError("no such size")

def nothing():
    return None

class Unused(Base):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        self.more = nn.Linear(2, 2)

class Softmax(Base):
    def forward(self, x):
        return super().forward(x).softmax(1)

class Late(Base):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        self.norm = nn.BatchNorm1d(classes)
    def forward(self, x):
        return self.norm(super().forward(x))
"""

REFUSED = [
    ("Fails", r"failed on a batch of shape \(32, 1, 8, 8\): RuntimeError: .*begin with torch.nn.Flatten\(\)"),
    ("Raises", "failed on a batch of shape .*: KeyError: 'nothing'"),
    ("Shape", r"returned values of shape \(32, 3\); expected \(32, 10\), a value for each class"),
    ("Pair", r"returned a tuple; expected \(32, 10\)"),
    ("Nan", "returned NaN for the first batch"),
    ("Empty", "cannot be trained: it has no parameters"),
    ("Frozen", "cannot be trained: all of its parameters are frozen"),
    ("Detached", "its values do not depend on its parameters"),
    ("Random", "is random in evaluation"),
    ("Python", "gives other results for the same batch, weights and buffers"),
    ("Counts", "it keeps state in an attribute, not a buffer"),
    ("Evaluated", "changes 'seen' in evaluation"),
    ("Numpy", "draws 'fc.weight' from another source than torch's generator"),
    ("Lazy", "'fc.weight' has no size before the first batch"),
    ("Breaks", r"cannot be made with \(inputs=64, classes=10\): RuntimeError: no such size"),
    ("nothing", r"returned nothing \(None\); expected a torch.nn.Module"),
]


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    (tmp_path / "bad_models_of_a_test.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield "bad_models_of_a_test"
    forget()


@pytest.mark.parametrize(("name", "sentence"), REFUSED)
def test_a_module_that_cannot_be_measured_honestly_is_refused(bad: str, name: str, sentence: str) -> None:
    recipe = recipe_of(f"{bad}:{name}")
    with pytest.raises(AssayError, match=sentence):
        trained(recipe)


def test_what_is_unusual_stands_with_the_result(bad: str) -> None:
    unused = trained(recipe_of(f"{bad}:Unused"))
    assert any("no gradient reaches more.weight, more.bias" in note for note in unused.notes)
    softmax = trained(recipe_of(f"{bad}:Softmax"))
    assert any("leave the softmax out of the module" in note for note in softmax.notes)


def test_a_batch_that_fails_later_names_its_iteration(bad: str) -> None:
    recipe = recipe_of(f"{bad}:Late", batches={"kind": "shuffled", "size": 4}, budget="1 epoch")
    with pytest.raises(CodeError, match=r"in iteration 360 on a batch of shape \(1, 1, 8, 8\)"):
        trained(recipe)  # 1,437 = 359 x 4 + 1


# --- objects from Python ---------------------------------------------------------------------------------------------


def small() -> Any:
    torch.manual_seed(5)
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 10))


def test_a_module_object_trains_from_its_weights_and_stays_as_it_is() -> None:
    from assay.engines.torch_modules import iteration_seed

    net, recipe = small(), {"budget": "12 iterations", "seed": 3, "precision": "float64"}
    history = assay.fit(recipe, model=net, optimizer=lambda p: torch.optim.NAdam(p, lr=0.01))
    for name, array in small().state_dict().items():
        assert torch.equal(net.state_dict()[name], array)
    parsed = Recipe.parse(recipe)
    data = prepared(parsed, assay.load_data("digits"))
    net = net.double().train()
    nadam = torch.optim.NAdam(net.parameters(), lr=0.01)
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)
    rows = make_batches(parsed.batches, (3,), 1, 12, len(y)).rows
    assert rows is not None
    for t in range(1, 13):
        batch = torch.tensor(rows[0, t - 1].astype(np.int64))
        torch.manual_seed(iteration_seed(3, t))
        nadam.zero_grad()
        torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        nadam.step()
    for name, array in net.state_dict().items():
        np.testing.assert_allclose(history.checkpoint.weights[name][0], array.numpy(), rtol=1e-11, atol=1e-11)
    said = [note for note in history.notes if "was given as an object" in note]
    assert [note.split()[1] for note in said] == ["model", "optimizer"]
    assert "starts from the weights of that module" in said[0]
    other = assay.fit(recipe, model=small())
    assert other.recipe.key() != assay.fit(recipe, model=small()).recipe.key()
    longer = assay.fit(history.recipe.with_budget(iterations=20), start=history)
    whole = assay.fit(recipe | {"budget": "20 iterations"}, model=small(), optimizer=history.recipe.optimizer)
    assert bits(longer.checkpoint) == bits(whole.checkpoint)


def test_a_class_is_initialised_by_the_seed(mine: str) -> None:
    with allowing_code():
        named = assay.fit({"budget": "3 iterations", "seed": 4, "model": f"{mine}:Net"})
    own = assay.fit({"budget": "3 iterations", "seed": 4}, model=sys.modules[mine].Net)
    assert own.recipe.key() == named.recipe.key()
    assert bits(own.checkpoint) == bits(named.checkpoint)

    def local(inputs: int, classes: int) -> Any:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(inputs, classes))

    a, b = (assay.fit({"budget": "3 iterations", "seed": seed}, model=local) for seed in (4, 5))
    assert bits(a.checkpoint) != bits(b.checkpoint)
    assert any("was given as an object" in note for note in a.notes)


def test_the_groups_of_a_function_keep_the_ratios_of_their_rates() -> None:
    def two(parameters: Any) -> Any:
        first, *rest = list(parameters)
        return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.01}], lr=1.0)

    one = assay.fit({"budget": "1 iteration"}, model=small(), optimizer={"name": "torch.optim:SGD", "lr": 0.1})
    both = assay.fit({"budget": "1 iteration"}, model=small(), optimizer=two)
    start = small().state_dict()
    for name, ratio in [("1.weight", 1.0), ("4.bias", 0.1), ("4.weight", 0.1)]:
        if name == "1.weight" and not np.array_equal(both.checkpoint.weights[name], one.checkpoint.weights[name]):
            ratio = 0.1  # the first array of the engine's order is another
        step = one.checkpoint.weights[name][0] - start[name].numpy()
        np.testing.assert_allclose(both.checkpoint.weights[name][0] - start[name].numpy(), ratio * step, atol=2e-7)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"optimizer": lambda p: 3}, "the function returned a int; expected a torch.optim.Optimizer"),
        ({"optimizer": lambda p: torch.optim.SGD(small().parameters(), lr=1)}, "does not use the parameters"),
        ({"optimizer": lambda p: torch.optim.SGD(list(p)[:1], lr=1)}, "did not change the parameter"),
        ({"model": lambda: 3}, "returned a int; expected a torch.nn.Module"),
        ({"model": lambda x: x, "optimizer": lambda p: 1 / 0}, "model.x: is missing(?s:.*)ZeroDivisionError"),
    ],
)
def test_wrong_objects_are_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AssayError, match=sentence):
        assay.fit({"budget": "2 iterations"}, **given)


def test_a_study_refuses_an_object(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="baseline.model: got an object, which no worker could import"):
        assay.run({"baseline": {"model": small()}, "repeats": 3}, store=str(tmp_path / "assay.db"))
