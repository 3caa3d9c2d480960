"""The stopping rules that depend on the points of the curve."""

from __future__ import annotations

from collections.abc import Sequence

from assay.analysis.quantities import LOSS, SCORE, name_of
from assay.recipe.settings import Stop
from assay.training.history import Point


def stopped(stop: Stop, points: Sequence[Point]) -> str:
    """The reason why a trial stops at the last point of its curve; "" if it does not stop."""
    if stop.accuracy is not None and _loss_and_accuracy(points[-1])[1] >= stop.accuracy:
        return f"accuracy {stop.accuracy:g} reached at iteration {points[-1].iteration:,}"
    if stop.patience is not None:
        losses = [_loss_and_accuracy(point)[0] for point in points]
        if len(losses) - 1 - losses.index(min(losses)) >= stop.patience:
            return f"no lower loss for {stop.patience} log points"
    return ""


def _loss_and_accuracy(point: Point) -> tuple[float, float]:
    """The loss and the accuracy that stopping rules read: on the validation set if any, else on the test set."""
    loss, score = _judged_on_validation(point, LOSS.name), _judged_on_validation(point, SCORE.name)
    assert loss is not None  # the test set is evaluated at every point
    assert score is not None
    return loss, score


def _judged_on_validation(point: Point, metric: str) -> float | None:
    validation: float | None = getattr(point, name_of("validation", metric))
    return getattr(point, name_of("test", metric)) if validation is None else validation
