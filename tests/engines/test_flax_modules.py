"""What only modules of flax have: streams of random numbers, arguments for training, definitions without weights."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
from tests.engines.test_jax_modules import bits, forget

jax = pytest.importorskip("jax", reason="needs jax")
flax = pytest.importorskip("flax", reason="needs flax: pip install '.[flax]'")

MODELS = """
from typing import Any
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx


class Linen(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, FLAG):
        x = nn.Dense(self.classes)(x.reshape(len(x), -1))
        return nn.Dropout(0.5, deterministic=(FLAG) in (VALUES))(x)


class Typed(nn.Module):
    classes: int
    dtype: Any = jnp.float32
    param_dtype: "jnp.dtype | str" = jnp.float32
    norm: Any = nn.LayerNorm
    init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x):
        x = self.norm(dtype=self.dtype)(x.reshape(len(x), -1))
        return nn.Dense(self.classes, param_dtype=self.param_dtype, kernel_init=self.init)(x)


class Streams(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(self.classes)(x.reshape(len(x), -1))
        if train:
            for name in ("dropout", "noise"):
                x = x + jax.random.normal(self.make_rng(name), x.shape)
        return x


class Twice(nnx.Module):
    def __init__(self, classes, rngs):
        self.fc = nnx.Linear(64, classes, rngs=rngs)
        self.one, self.two = (nnx.Dropout(0.5, rngs=rngs) for _ in range(2))

    def __call__(self, x):
        x = jnp.ones_like(self.fc(x.reshape(len(x), -1)))
        return jnp.concatenate([self.one(x), self.two(x)], 1)[:, :10] - self.two(x)


class Once(nnx.Module):
    def __init__(self, classes, rngs):
        self.fc = nnx.Linear(64, classes, rngs=rngs)
        self.one = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.one(self.fc(x.reshape(len(x), -1)))


class Given(nnx.Module):
    def __init__(self, classes, rngs):
        self.fc = nnx.Linear(64, classes, rngs=rngs)

    def __call__(self, x, training, rngs):
        x = self.fc(x.reshape(len(x), -1))
        return x + training * jax.random.normal(rngs.noise(), x.shape)


made = nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(10)])
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The name of a module with models, in a folder of its own."""
    (tmp_path / "own_flax_models_of_a_test.py").write_text(
        MODELS.replace("FLAG", "deterministic", 1).replace("FLAG", "deterministic").replace("VALUES", "True,")
    )
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield "own_flax_models_of_a_test"
    forget()


def network_of(name: str, **arguments: Any) -> Any:
    with allowing_code():
        return Recipe.parse({"model": {"name": name, **arguments}}).model.network((8, 8), 10)


def values(network: Any, *, training: bool, seed: int = 3) -> Any:
    from assay.engines.jax_modules import called, iteration_key

    w = {name: a.astype("float32") if a.dtype.kind == "f" else a for name, a in network.initial(3).items()}
    x = jax.numpy.ones((4, 64), "float32")
    return np.asarray(called(network, w, x, iteration_key(seed, 1), training, products="float32")[0]), w, x


@pytest.mark.parametrize(
    "flag", ["train", "training", "is_training", "deterministic", "use_running_average", "inference"]
)
def test_linen_is_told_that_it_is_in_training_by_an_argument_of_any_known_name(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = "True," if flag in ("deterministic", "use_running_average", "inference") else "False,"
    (tmp_path / f"{flag}_flax_models_of_a_test.py").write_text(MODELS.replace("FLAG", flag).replace("VALUES", off))
    monkeypatch.syspath_prepend(tmp_path)
    network = network_of(f"{flag}_flax_models_of_a_test:Linen")
    assert (values(network, training=True)[0] == 0).any()
    assert (values(network, training=False)[0] != 0).all()
    forget()


def test_defaults_that_are_no_plain_data_stay_with_the_class(mine: str) -> None:
    network = network_of(f"{mine}:Typed")
    assert network.model.arguments == ()
    w = network.initial(1)
    assert (w["params.Dense_0.kernel"] == 0).all()
    assert (
        network_of(f"{mine}:Typed", param_dtype="float16").built(1).trained["params.Dense_0.kernel"].dtype == "float16"
    )


def test_streams_of_linen_have_keys_of_their_own(mine: str) -> None:
    from assay.engines.jax_modules import iteration_key

    network = network_of(f"{mine}:Streams")
    got, w, x = values(network, training=True)
    key = iteration_key(3, 1)
    variables = {"params": {"Dense_0": {n: w[f"params.Dense_0.{n}"] for n in ("kernel", "bias")}}}
    rngs = {"dropout": key, "params": jax.random.fold_in(key, 1)}
    module = sys.modules[mine].Streams(10)
    expected = module.apply(variables, x.reshape(-1, 8, 8, 1), True, rngs=rngs)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    same = module.apply(variables, x.reshape(-1, 8, 8, 1), True, rngs={"dropout": key, "noise": key})
    assert not np.allclose(got, same)


def test_dropout_layers_of_nnx_have_masks_of_their_own(mine: str) -> None:
    got, _, _ = values(network_of(f"{mine}:Twice"), training=True)
    assert set(np.unique(got)) == {-2.0, 0.0, 2.0}  # 0 alone, were the masks the same


def test_nnx_gets_the_arguments_for_training_and_for_random_numbers(mine: str) -> None:
    network = network_of(f"{mine}:Given")
    one, again, other = (values(network, training=True, seed=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    evaluated = [values(network, training=False, seed=seed)[0] for seed in (3, 4)]
    np.testing.assert_array_equal(*evaluated)


def test_a_module_of_nnx_that_a_program_gives_stays_as_it_is(mine: str) -> None:
    network_of(f"{mine}:Once")
    from flax import nnx

    net = sys.modules[mine].Once(10, nnx.Rngs(0))
    net.eval()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net, nnx.Param)))
    history = assay.fit({"budget": "5 iterations", "optimizer": "descent"}, model=net)
    assert net.one.deterministic
    after = nnx.to_pure_dict(nnx.state(net, nnx.Param))
    np.testing.assert_array_equal(before["fc"]["kernel"], after["fc"]["kernel"])
    assert set(history.checkpoint.weights) == {"fc.kernel", "fc.bias"}  # no key and no count of a stream


def test_a_definition_of_linen_by_its_place_is_initialised_by_every_seed(mine: str, tmp_path: Path) -> None:
    study = {
        "timing": "packed",
        "repeats": 2,
        "design": "one-at-a-time",
        "baseline": {"model": {"name": f"{mine}:made"}, "budget": "5 iterations"},
    }
    with allowing_code():
        frame = assay.run(study, store=str(tmp_path / "assay.db")).frame()
        one, two = (Recipe.parse({"model": f"{mine}:made", "budget": "5 iterations", "seed": seed}) for seed in (1, 2))
    assert list(frame["outcome"]) == ["completed"] * 2
    assert bits(assay.fit(one).checkpoint) != bits(assay.fit(two).checkpoint)
    assert assay.fit(one).accuracy == float(frame[frame["seed"] == 1]["accuracy"].iloc[0])
    from assay.training.torch_weights import torch_code

    assert "net = made" in torch_code(assay.fit(one), "w.safetensors")
