"""The weights of the best validation point of a training, which `save_best` keeps."""

from __future__ import annotations

from dataclasses import replace

from assay.engines.base import Checkpoint
from assay.errors import AssayError
from assay.parts.layers import Weights
from assay.parts.models import flops_training
from assay.recipe.model import Recipe
from assay.training.history import History
from assay.training.ledger import Ledger


def save_best_problem(recipe: Recipe, *, external: bool) -> str:
    """Why the weights of a recipe's best point cannot be kept; "" if they can."""
    if not recipe.data.validation:
        return (
            "save_best: needs a validation set, because weights that are selected on the test set look better there "
            "than they are; set data.validation, such as data.validation = 1000"
        )
    if external:
        return "save_best: an external program hands over its last weights only; leave save_best out"
    return ""


def weights_at(history: History, t: int) -> Weights | None:
    """The weights of a history after t iterations, if it has them."""
    if t == history.checkpoint.t and history.checkpoint.weights:
        return history.checkpoint.weights
    return history.snapshots.get(t)


def at_best(history: History) -> History:
    """The history up to its best validation point, with the weights of that point and no optimizer state.

    Raises: AssayError where these weights were not kept.
    """
    best = history.best
    point = next((p for p in history.points if best and p.iteration == best.iteration), None)
    weights = weights_at(history, point.iteration) if point is not None else None
    if best is None or best.set != "validation" or point is None or weights is None:
        raise AssayError(
            "the weights of the best validation point of this trial were not kept; train it again with `save_best`: "
            "`assay train ... --save-best FILE --again`, or `save_best = true` in the study and `assay run ... --again`"
        )
    assert point.examples is not None  # a trained recipe has both
    assert point.seconds is not None
    network = history.recipe.model.network(history.shape, len(history.classes))
    recipe, t = history.recipe, point.iteration
    return replace(
        history,
        points=tuple(p for p in history.points if p.iteration <= t),
        ledger=Ledger(train=point.seconds, wall=point.seconds),
        reason=f"weights of the best validation point, iteration {t:,} of {history.iterations:,}",
        flops=flops_training(network, recipe.loss, recipe.optimizer, iterations=t, examples=point.examples),
        checkpoint=Checkpoint(t, dict(weights), {}),
        snapshots={},
    )
