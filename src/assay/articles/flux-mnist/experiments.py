"""What the article on plain Descent asks that is no study: cross-entropy at p = 0, and iterations added to iterations.

Assay trains softmax with cross-entropy by p - y, which is right for every p. A library that divides by p must avoid
p = 0: it adds a small number to p, or clamps it, and the gradient then vanishes for exactly the examples that are
most wrong. This is plain NumPy, because recipes only know the right form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.articles.context import Context
from assay.articles.measurements import range_cell
from assay.articles.page import Table
from assay.data.datasets import load
from assay.execution.fit import fit
from assay.parts.initials import initial_weights
from assay.recipe.model import Recipe
from assay.training.loop import prepared

Floats = NDArray[np.float32]
Gradient = Callable[[Floats, int], Floats]
EPSILON = np.finfo(np.float32).eps
_ITERATIONS = 16_000
_FAILS = 0.5  # an accuracy below which a form has not learnt the task


def exact(p: Floats, label: int) -> Floats:
    """p - y"""
    d = p.copy()
    d[label] -= 1.0
    return d


def added(p: Floats, label: int) -> Floats:
    """-log(p + eps) through softmax: (p - y) p_label / (p_label + eps)"""
    return exact(p, label) * (p[label] / (p[label] + EPSILON))


def clamped(p: Floats, label: int) -> Floats:
    """-log(max(p, eps)) through softmax: p - y, and 0 below eps"""
    return exact(p, label) * np.float32(p[label] >= EPSILON)


FORMS: dict[str, tuple[Gradient, str]] = {
    "through log-softmax (Assay)": (exact, "p - y"),
    "log(p + eps) (Flux)": (added, "(p - y) p / (p + eps)"),
    "log(max(p, eps))": (clamped, "p - y, 0 where p < eps"),
}


def train_with(recipe: Recipe, data: Any, form: Gradient, iterations: int) -> tuple[float, float, float]:
    """The accuracy after training, the fraction of iterations with p_label < eps, and that of dead hidden units."""
    weights = initial_weights(recipe.model.network(data.shape, data.classes), recipe.model.initial, recipe.seed)
    w1, b1, w2, b2 = (weights[key].astype(np.float32) for key in ("0.weight", "0.bias", "1.weight", "1.bias"))
    rate = np.float32(recipe.optimizer.learning_rate)
    batches = recipe.batches.make(recipe.seed, 1, iterations, len(data.y_train))
    assert batches.rows is not None  # single examples
    vanished = 0
    for row in batches.rows.ravel():
        x, label = data.x_train[row], int(data.y_train[row])
        h = np.maximum(x @ w1 + b1, 0)
        p = _softmax(h @ w2 + b2)
        vanished += bool(p[label] < EPSILON)
        d = form(p, label)
        dh = (w2 @ d) * (h > 0)
        w2 -= rate * np.outer(h, d)
        b2 -= rate * d
        w1 -= rate * np.outer(x, dh)
        b1 -= rate * dh
    hidden = np.maximum(data.x_test @ w1 + b1, 0)
    correct = (hidden @ w2 + b2).argmax(-1) == data.y_test
    return float(correct.mean()), vanished / iterations, float((hidden.max(0) <= 0).mean())


def _softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max())
    return e / e.sum()


def cross_entropy(context: Context) -> Table:
    """The three forms on the same initial weights and batches, over seeds."""
    spec = context.spec
    iterations = spec.iterations(_ITERATIONS)
    seeds = spec.repeats or 3
    rows: list[list[str]] = []
    best_accuracy = 0.0
    for name, (form, formula) in FORMS.items():
        results: list[tuple[float, float, float]] = []
        for seed in range(1, min(seeds, 3) + 1):
            raw = {"data": spec.data, "model": "2LR", "loss": "cross_entropy", "batches": "single", "seed": seed}
            recipe = Recipe.parse({**raw, "optimizer": {"name": "descent", "learning_rate": 0.2}})
            results.append(train_with(recipe, prepared(recipe, load(spec.data)), form, iterations))
        accuracies, vanished, dead = zip(*results, strict=True)
        best_accuracy = max(best_accuracy, *accuracies)
        fractions = [f"{100 * sum(values) / len(values):.1f}" for values in (vanished, dead)]
        rows.append([name, formula, range_cell(accuracies), *fractions, str(len(results))])
    head = ("cross-entropy", "dL/dz", "test accuracy [%]", "p of the label < eps [%]", "hidden units dead [%]", "seeds")
    note = f"{iterations:,} iterations, eps {EPSILON:.3g} (float32), same initial weights and examples for all three."
    if best_accuracy < _FAILS:
        note += " It fails with every form, so p = 0 is not the cause: most hidden units die, and stay dead."
    return Table(head, rows, "2LR, stochastic Descent at 0.2: what cross-entropy does at p = 0", note)


def loss_resumed(context: Context) -> float | None:
    """The training loss of 4LS after 1,000 stochastic iterations and 1,000 more on the same parameters."""
    recipe = _stochastic(context)
    first = fit({**recipe, "budget": {"iterations": 1000}})
    return fit({**recipe, "budget": {"iterations": 2000}}, start=first).final.train_loss


def loss_at_once(context: Context) -> float | None:
    """The training loss of the same training of 2,000 iterations at once."""
    return fit({**_stochastic(context), "budget": {"iterations": 2000}}).final.train_loss


def _stochastic(context: Context) -> dict[str, Any]:
    optimizer = {"name": "descent", "learning_rate": 0.2}
    data, kept = context.spec.data, {"batches": "single", "log": 1000}
    return {"data": data, "model": "4LS", "loss": "mse", "optimizer": optimizer, **kept}


__all__ = ["FORMS", "added", "clamped", "cross_entropy", "exact", "loss_at_once", "loss_resumed", "train_with"]
