"""What a row's process computes for its certificate: one gradient, one step of descent, a few steps of its optimizer.

They are read off the engine's own iterations: a step of descent at the rate `GRADIENT_RATE` moves the weights by that
many gradients, so that the weights themselves are lost in its rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.bench.rounding import nudged
from assay.engines.base import Checkpoint, Cohort, Engine, Splits, fresh
from assay.parts.batches import Batches, make_batches
from assay.parts.layers import Network
from assay.parts.models import flops_training
from assay.recipe.model import Recipe

GRADIENT_RATE = 2.0**20
STEPS = 3
"""Of the optimizer, of which each is recomputed: a bias correction has its largest effect in the first ones."""
_MOST_FLOPS, _LEAST_EXAMPLES = 1.2e8, 16  # of a batch: the reference computes it ten times

Arrays = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Probe:
    """The batches that a certificate looks at.

    Attributes:
        recipe: Of the training, resolved for its data.
        network: Of the recipe.
        weights: From which every computation starts; their biases are not 0.
        x: Inputs of the batches, one batch after the other.
        y: Their labels, or the targets of a regression.
        batches: One for each step, in the form that the recipe's batches have.
        whole: Whether they have all examples of the recipe's batches.
    """

    recipe: Recipe
    network: Network
    weights: Arrays
    x: NDArray[Any]
    y: NDArray[Any]
    batches: tuple[Batches, ...]
    whole: bool

    @property
    def first(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs of the first batch, and its labels or targets."""
        size = int(self.batches[0].sizes[0])
        return self.x[:size], self.y[:size]

    @classmethod
    def of(cls, recipe: Recipe, network: Network, x: NDArray[Any], y: NDArray[Any]) -> Probe:
        """The probe of a recipe on training examples x (N, D) with labels or targets y (N,).

        Where the reference would take long for a batch, its first examples stand for it.
        """
        recipe = recipe.resolved(len(y))
        made = make_batches(recipe.batches, (recipe.seed,), 1, STEPS, len(y))
        each = flops_training(network, recipe.loss, recipe.optimizer, iterations=1, examples=1)
        most = max(_LEAST_EXAMPLES, int(_MOST_FLOPS / each))
        rows = [_rows(made, i, len(y))[:most] for i in range(STEPS)]
        if made.rows is None and made.starts is None:
            batches = tuple(Batches(i + 1, np.array([len(rows[0])], np.int32)) for i in range(STEPS))
            taken = rows[0]
        else:
            begins = np.cumsum([0, *(len(r) for r in rows)])
            batches = tuple(_batch(i, int(begins[i]), len(rows[i]), made) for i in range(STEPS))
            taken = np.concatenate(rows)
        weights = {name: w[0] for name, w in fresh(Cohort((recipe,), network)).weights.items()}
        whole = all(len(r) == size for r, size in zip(rows, made.sizes.tolist(), strict=True))
        return cls(recipe, network, nudged(network, weights), x[taken], y[taken], batches, whole)


def _rows(batches: Batches, i: int, examples: int) -> NDArray[np.int64]:
    size = int(batches.sizes[i])
    if batches.starts is not None:
        return np.arange(size) + int(batches.starts[0, i])
    return np.arange(examples) if batches.rows is None else batches.rows[0, i, :size].astype(np.int64)


def _batch(i: int, begin: int, size: int, like: Batches) -> Batches:
    """The batch of iteration i + 1 from row `begin` on, in the form of other batches."""
    sizes = np.array([size], np.int32)
    if like.starts is not None:
        return Batches(i + 1, sizes, starts=np.array([[begin]], np.int32))
    return Batches(i + 1, sizes, rows=(begin + np.arange(size, dtype=np.int32)).reshape(1, 1, size))


def descent(recipe: Recipe, rate: float) -> Recipe:
    """Plain descent in place of the recipe's optimizer, without penalties and clipping."""
    return recipe.patched(
        {
            "optimizer": {"name": "descent", "learning_rate": rate},
            "schedule": {"name": "constant"},
            "regularisation": {"l1": 0.0, "l2": 0.0},
            "clip_norm": None,
        }
    )


def telling(recipe: Recipe, gradient: Arrays, weights: Arrays) -> Recipe:
    """The recipe with every hyperparameter of its optimizer at a value where it matters for the first steps.

    At its usual 1e-8, nobody would see that an epsilon is missing, nor a decay of 0.999. The size of the gradient
    decides. A user's optimizer keeps its settings.
    """
    size = _power_of_two(math.sqrt(_mean_square(gradient)))
    of_weights = _power_of_two(math.sqrt(_mean_square(weights)))
    patches: dict[str, Any] = {}
    if not recipe.optimizer.is_user_defined():
        own = recipe.optimizer.settings()
        values = {
            "epsilon": size * size if recipe.optimizer.entry == "adadelta" else size,
            "beta1": 0.7,
            "beta2": 0.8,
            "adam_ratio": 0.5,
            "momentum": 0.6,
            "decay": 0.8,
            "weight_decay": 0.125 / own.get("learning_rate", 1.0),
        }
        patches["optimizer"] = {key: values[key] for key in own if key in values}
    penalties = recipe.regularisation
    patches["regularisation"] = {
        "l1": size if penalties.l1 else 0.0,
        "l2": size / of_weights if penalties.l2 else 0.0,
    }
    if recipe.clip_norm is not None:
        patches["clip_norm"] = 0.5 * math.sqrt(sum(float((g * g).sum()) for g in gradient.values()))
    return recipe.patched(patches)


def _mean_square(arrays: Arrays) -> float:
    return sum(float((a * a).sum()) for a in arrays.values()) / max(1, sum(a.size for a in arrays.values()))


def _power_of_two(value: float) -> float:
    return 2.0 ** round(math.log2(value)) if value > 0.0 and math.isfinite(value) else 1.0


class Prober:
    """An engine that runs the computations of a probe, each from weights that it is given."""

    def __init__(self, engine: Engine, probe: Probe) -> None:
        self.engine, self.probe = engine, probe
        self._splits = Splits({"train": (probe.x, probe.y)})

    def _start(self, recipe: Recipe, weights: Arrays) -> Any:
        cohort = Cohort((recipe,), self.probe.network)
        return self.engine.start(cohort, Checkpoint(0, {k: w[None] for k, w in weights.items()}, {}), self._splits)

    def _step(self, state: Any, i: int) -> tuple[Any, float, Arrays]:
        """One iteration on batch i: the state, the loss before it, and the weights after it."""
        state, progress = self.engine.advance(state, self.probe.batches[i], np.ones(1, np.bool_))
        weights = self.engine.export(state).trained(self.probe.recipe.optimizer)
        return state, float(progress.losses[0, 0]), {name: np.array(w[0], np.float64) for name, w in weights.items()}

    def gradient(self, weights: Arrays, i: int) -> tuple[float, Arrays]:
        """The loss and the gradient of batch i."""
        _, loss, after = self._step(self._start(descent(self.probe.recipe, GRADIENT_RATE), weights), i)
        return loss, {name: (weights[name] - after[name]) / GRADIENT_RATE for name in self.probe.network.shapes}

    def arrays(self) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
        """Numbers and arrays of all computations, which can be sent to another process.

        "g0/" is the gradient of the first batch, "d/" the weights after a step of descent on it at "rate". The
        optimizer goes from "w0/" to "w1/" by the gradient "g0/", and so on.
        """
        probe = self.probe
        w = probe.weights
        loss, g = self.gradient(w, 0)
        trained = {name: w[name] for name in probe.network.shapes}
        rate = _power_of_two(math.sqrt(_mean_square(trained) / max(_mean_square(g), 1e-60)) / 8)
        _, _, stepped = self._step(self._start(descent(probe.recipe, rate), w), 0)
        arrays = {f"d/{name}": stepped[name] for name in trained}
        state = self._start(telling(probe.recipe, g, trained), w)
        for i in range(STEPS):
            if i:
                _, g = self.gradient(w, i)
            arrays |= {f"g{i}/{name}": each for name, each in g.items()}
            arrays |= {f"w{i}/{name}": w[name] for name in trained}
            state, _, w = self._step(state, i)
        arrays |= {f"w{STEPS}/{name}": w[name] for name in trained}
        return {"loss": loss, "rate": rate}, {name: np.ascontiguousarray(a) for name, a in arrays.items()}
