"""Activations, outputs and losses against torch.nn.functional, values and gradients, and at the edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.losses import LOSSES, head
from assay.rng import stream

torch = pytest.importorskip("torch")
F = torch.nn.functional

EPSILON = float(np.finfo(np.float64).eps)

TORCH: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": F.elu,
    "softplus": lambda z: F.softplus(z, threshold=1e6),
    "silu": F.silu,
    "gelu": lambda z: F.gelu(z, approximate="tanh"),
    "softmax": lambda z: F.softmax(z, -1),
    "log_softmax": lambda z: F.log_softmax(z, -1),
}


def values() -> np.ndarray:
    return np.concatenate([4 * stream(2, "z").normal(200), [0.0, -1e-9, 1e-9, 30.0, -30.0]])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_derivatives_are_those_of_torch(name: str) -> None:
    z = torch.tensor(values(), requires_grad=True)
    expected = TORCH[name](z)
    expected.sum().backward()
    entry = ACTIVATIONS[name]
    a = entry.forward(np, values())
    np.testing.assert_allclose(a, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(entry.derivative(np, values(), a), z.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_and_their_gradients_are_those_of_torch(name: str) -> None:
    raw = 3 * stream(2, "z").normal(60).reshape(12, 5)
    d = stream(2, "d").normal(60).reshape(12, 5)
    z = torch.tensor(raw, requires_grad=True)
    expected = TORCH[name](z)
    expected.backward(torch.tensor(d))
    a = OUTPUTS[name].forward(np, raw)
    np.testing.assert_allclose(a, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(OUTPUTS[name].backward(np, a, d), z.grad.numpy(), rtol=1e-10, atol=1e-13)


REFERENCE: dict[str, Callable[[Any, Any], Any]] = {
    "mse": lambda a, y: F.mse_loss(a, F.one_hot(y, 5).double()),
    "quadratic": lambda a, y: 0.5 * F.mse_loss(a, F.one_hot(y, 5).double(), reduction="sum") / len(y),
    "cross_entropy": lambda a, y: F.nll_loss(torch.log(a), y),
    "logit_cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "binary_cross_entropy": lambda a, y: F.binary_cross_entropy(a, F.one_hot(y, 5).double(), reduction="sum") / len(y),
    "binary_cross_entropy_with_logits": lambda a, y: (
        F.binary_cross_entropy_with_logits(a, F.one_hot(y, 5).double(), reduction="sum") / len(y)
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_gradients_are_those_of_torch(name: str) -> None:
    raw = 0.9 * stream(3, "a").uniform(60).reshape(12, 5) + 0.05
    labels = stream(3, "y").integers(5, 12)
    a = torch.tensor(raw, requires_grad=True)
    expected = REFERENCE[name](a, torch.tensor(labels))
    expected.backward()
    y = np.eye(5)[labels]
    assert LOSSES[name].value(np, raw, y, EPSILON).mean() == pytest.approx(float(expected.detach()), rel=1e-13)
    gradient = LOSSES[name].gradient(np, raw, y, EPSILON) / 12
    np.testing.assert_allclose(gradient, a.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_quadratic_is_five_times_mse_for_ten_classes() -> None:
    a, y = stream(3, "a").uniform(30).reshape(3, 10), np.eye(10)[[1, 5, 9]]
    np.testing.assert_allclose(LOSSES["quadratic"].value(np, a, y, 0), 5 * LOSSES["mse"].value(np, a, y, 0))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("size", [1e4, -1e4, 0.0])
def test_large_logits_give_finite_numbers(output: str, loss: str, size: float) -> None:
    z = np.array([[size, 0.0, -size], [0.0, size, 0.0], [-size, size, size]])
    y = np.eye(3)
    computed, entry = head(output, loss)
    with np.errstate(over="ignore"):
        a = OUTPUTS[computed].forward(np, z)
        value = LOSSES[entry].value(np, a, y, EPSILON)
        d = OUTPUTS[computed].backward(np, a, LOSSES[entry].gradient(np, a, y, EPSILON))
    assert np.isfinite(value).all()
    assert np.isfinite(d).all()


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_the_gradients_of_binary_cross_entropy_are_right_at_any_size(scale: float) -> None:
    """sigmoid(z) - y to the last digit, also where the sigmoid is 0 or 1; torch clamps its logarithms instead."""
    raw = scale * stream(4, "z").normal(60).reshape(12, 5)
    y = np.eye(5)[stream(4, "y").integers(5, 12)]
    z = torch.tensor(raw, requires_grad=True)
    expected = F.binary_cross_entropy_with_logits(z, torch.tensor(y), reduction="none").sum(-1)
    expected.sum().backward()
    for pair in (("sigmoid", "binary_cross_entropy"), ("identity", "binary_cross_entropy_with_logits")):
        computed, entry = head(*pair)
        with np.errstate(over="ignore"):
            a = OUTPUTS[computed].forward(np, raw)
            d = OUTPUTS[computed].backward(np, a, LOSSES[entry].gradient(np, a, y, EPSILON))
        np.testing.assert_allclose(LOSSES[entry].value(np, a, y, EPSILON), expected.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(d, z.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_binary_cross_entropy_of_probabilities_is_that_of_their_logits() -> None:
    z = 3 * stream(4, "z").normal(60).reshape(12, 5)
    y, p = np.eye(5)[stream(4, "y").integers(5, 12)], OUTPUTS["sigmoid"].forward(np, z)
    np.testing.assert_allclose(
        LOSSES["binary_cross_entropy"].value(np, p, y, EPSILON),
        LOSSES["binary_cross_entropy_with_logits"].value(np, z, y, EPSILON),
        rtol=1e-12,
    )


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("identity", "logit_cross_entropy")])
def test_the_gradients_of_cross_entropy_are_right_at_any_size(output: str, loss: str, scale: float) -> None:
    """p - y to the last digit, against torch, also where p has underflowed or every logit is huge."""
    raw = scale * stream(4, "z").normal(60).reshape(12, 5)
    labels = stream(4, "y").integers(5, 12)
    z = torch.tensor(raw, requires_grad=True)
    expected = F.cross_entropy(z, torch.tensor(labels), reduction="none")
    expected.sum().backward()
    y, (computed, entry) = np.eye(5)[labels], head(output, loss)
    a = OUTPUTS[computed].forward(np, raw)
    d = OUTPUTS[computed].backward(np, a, LOSSES[entry].gradient(np, a, y, EPSILON))
    np.testing.assert_allclose(LOSSES[entry].value(np, a, y, EPSILON), expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(d, z.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_a_probability_of_zero_costs_the_clamp_and_moves_nothing() -> None:
    a, y = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    assert LOSSES["cross_entropy"].value(np, a, y, EPSILON)[0] == pytest.approx(-np.log(EPSILON))
    assert LOSSES["cross_entropy"].gradient(np, a, y, EPSILON).tolist() == [[0.0, 0.0]]


def test_softmax_under_cross_entropy_still_learns_at_p_zero() -> None:
    """Through log-softmax the gradient is p - y, where the two functions one after the other would give 0."""
    z, y = np.array([[-2000.0, 0.0]]), np.array([[1.0, 0.0]])
    output, loss = head("softmax", "cross_entropy")
    a = OUTPUTS[output].forward(np, z)
    d = OUTPUTS[output].backward(np, a, LOSSES[loss].gradient(np, a, y, EPSILON))
    np.testing.assert_allclose(d, [[-1.0, 1.0]])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_do_not_overflow(name: str) -> None:
    with np.errstate(over="ignore"):
        z = np.array([-1e4, 1e4, -800.0, 800.0])
        a = ACTIVATIONS[name].forward(np, z)
        assert np.isfinite(a).all()
        assert np.isfinite(ACTIVATIONS[name].derivative(np, z, a)).all()
