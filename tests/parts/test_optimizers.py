"""Optimizers against torch.optim, and optax where its formula is the same: 50 steps in float64."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest

from assay.engines.base import Cohort, hyperparameters
from assay.parts.optimizers import OPTIMIZERS
from assay.recipe.model import Recipe
from assay.rng import stream

torch = pytest.importorskip("torch")

STEPS, SIZE = 50, 40
RATE = 0.05

TORCH: dict[str, Callable[[Any], Any]] = {
    "descent": lambda p: torch.optim.SGD(p, lr=RATE),
    "momentum": lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, nesterov=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=RATE, eps=1e-10),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=RATE, alpha=0.99, eps=1e-8),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=RATE, rho=0.9, eps=1e-6),
    "adam": lambda p: torch.optim.Adam(p, lr=RATE, betas=(0.9, 0.999), eps=1e-8),
    "adamw": lambda p: torch.optim.AdamW(p, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=RATE, betas=(0.9, 0.999), eps=1e-8),
    "radam": lambda p: torch.optim.RAdam(p, lr=RATE, betas=(0.9, 0.999), eps=1e-8),
}


def gradient(w: Any, scale: Any) -> Any:
    """Of a bowl that is steeper in some directions than in others, with a ripple."""
    return scale * w + 0.3 * np.cos(3 * w)


def start() -> tuple[np.ndarray, np.ndarray]:
    return stream(5, "w").normal(SIZE), 0.1 + 3 * stream(5, "scale").uniform(SIZE)


def ours(name: str, **settings: Any) -> np.ndarray:
    recipe = Recipe.parse({"optimizer": {"name": name, "learning_rate": RATE, **settings}})
    cohort = Cohort((recipe,), recipe.model.network(3, 2))
    constants, course = cohort.constants()[0], cohort.step_values(1, STEPS)[0]
    w, scale = start()
    slots = tuple(np.zeros(SIZE) for _ in range(OPTIMIZERS[name].slots))
    for i in range(STEPS):
        h = hyperparameters(constants, course, i)
        g = gradient(w, scale)
        w = w * (1 - h.learning_rate * h.weight_decay)
        step, slots = OPTIMIZERS[name].rule(np, w, g, slots, h)
        w = w - step
    return w


OF_OPTAX = ("lion", "adan", "muon", "schedule-free-sgd", "schedule-free-adamw")
"""torch has none, or one that computes in bfloat16."""


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in OF_OPTAX])
def test_the_rule_is_that_of_torch(name: str) -> None:
    w, scale = start()
    parameter = torch.tensor(w, requires_grad=True)
    optimizer = TORCH[name]([parameter])
    torch.set_default_dtype(torch.float64)  # else torch keeps the product of NAdam's momenta in float32
    try:
        for _ in range(STEPS):
            parameter.grad = torch.tensor(gradient(parameter.detach().numpy(), scale))
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(ours(name), parameter.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_the_rules_are_those_of_optax_where_its_formulas_are_the_same() -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    pytest.importorskip("optax.contrib")
    same = {
        "descent": optax.sgd(RATE),
        "momentum": optax.sgd(RATE, momentum=0.9),
        "nesterov": optax.sgd(RATE, momentum=0.9, nesterov=True),
        "adam": optax.adam(RATE),
        "adamw": optax.adamw(RATE, weight_decay=0.01),
        "adadelta": optax.adadelta(RATE, rho=0.9, eps=1e-6),
        "lion": optax.lion(RATE, weight_decay=0.0),
        "adan": optax.adan(RATE, eps_root=0.0),
        "muon": optax.contrib.muon(RATE),  # of a vector: Adam that looks ahead
        "schedule-free-sgd": optax.contrib.schedule_free_sgd(RATE),
        "schedule-free-adamw": optax.contrib.schedule_free_adamw(RATE),
    }
    assert set(OF_OPTAX) <= set(same)
    with jax.enable_x64(True):
        for name, optimizer in same.items():
            w, scale = start()
            state = optimizer.init(jax.numpy.asarray(w))
            for _ in range(STEPS):
                updates, state = optimizer.update(jax.numpy.asarray(gradient(w, scale)), state, jax.numpy.asarray(w))
                w = np.asarray(optax.apply_updates(jax.numpy.asarray(w), updates))
            np.testing.assert_allclose(ours(name), w, rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("t", [1, 10, 1000, 2_000_000])
def test_the_bias_correction_of_adam_is_accurate(t: int) -> None:
    getcontext().prec = 60
    factors = OPTIMIZERS["adam"]().factors(np.array([float(t)]))
    for name, beta in (("correction1", 0.9), ("correction2", 0.999)):
        exact = 1 - Decimal(beta) ** t
        assert float(factors[name][0]) == pytest.approx(float(exact), rel=1e-14)


def test_beta_zero_is_no_average() -> None:
    factors = OPTIMIZERS["adam"](beta1=0.0).factors(np.array([1.0, 5.0]))
    assert factors["correction1"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("case", ["l2", "l1", "clip", "adamw"])
def test_penalties_clipping_and_decay_are_those_of_torch(engine: str, case: str) -> None:
    """A whole training step by step beside torch.nn, torch.optim and clip_grad_norm_, biases apart."""
    pytest.importorskip(engine)
    from assay.engines import load
    from assay.engines.base import Splits, fresh
    from assay.parts.batches import make_batches

    settings: dict[str, Any] = {
        "l2": {"regularisation": {"l2": 0.03}},
        "l1": {"regularisation": {"l1": 0.02}},
        "clip": {"clip_norm": 0.05},
        "adamw": {"optimizer": {"name": "adamw", "learning_rate": RATE, "weight_decay": 0.3}},
    }[case]
    recipe = Recipe.parse(
        {
            "model": {"hidden": [4], "activation": "tanh"},
            "optimizer": {"name": "descent", "learning_rate": RATE},
            "batches": "full",
            "precision": "float64",
            "budget": {"iterations": 30},
        }
        | settings
    )
    x, y = stream(1, "x").normal(60).reshape(20, 3), stream(1, "y").integers(3, 20)
    cohort = Cohort((recipe,), recipe.model.network(3, 3))
    found = load(engine)
    begin = fresh(cohort)
    state = found.start(cohort, begin, Splits({"train": (x, y)}))
    state, _ = found.advance(state, make_batches(recipe.batches, (1,), 1, 30, 20), np.array([True]))
    mine = found.export(state).weights

    names = list(begin.weights)
    parameters = {name: torch.tensor(w[0], requires_grad=True) for name, w in begin.weights.items()}
    groups = [
        {
            "params": [parameters[n] for n in names if n.endswith("weight")],
            "weight_decay": 0.03 if case == "l2" else 0.0,
        },
        {"params": [parameters[n] for n in names if n.endswith("bias")], "weight_decay": 0.0},
    ]
    if case == "adamw":
        groups[0]["weight_decay"] = 0.3
        optimizer = torch.optim.AdamW(groups, lr=RATE)
    else:
        optimizer = torch.optim.SGD(groups, lr=RATE)
    for _ in range(30):
        optimizer.zero_grad()
        a = torch.tanh(torch.tensor(x) @ parameters["0.weight"] + parameters["0.bias"])
        z = a @ parameters["1.weight"] + parameters["1.bias"]
        loss = torch.nn.functional.cross_entropy(z, torch.tensor(y))
        if case == "l1":
            loss = loss + 0.02 * sum(p.abs().sum() for n, p in parameters.items() if n.endswith("weight"))
        loss.backward()
        if case == "clip":
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), 0.05)
        optimizer.step()
    for name, weights in mine.items():
        np.testing.assert_allclose(weights[0], parameters[name].detach().numpy(), rtol=1e-11, atol=1e-12)
