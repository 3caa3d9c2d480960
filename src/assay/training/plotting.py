"""The learning curve of a training as a chart: its points as a frame, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.training.history import History, Source

if TYPE_CHECKING:
    import altair
    import pandas

    from assay.report.charts.curve import CurveText


def plot(history: History, *, x: str = "iteration") -> altair.TopLevelMixin:
    """The learning curve as an Altair chart, against "iteration", "examples" or "seconds"."""
    from assay.report.charts.curve import learning_curve

    return learning_curve(*drawn_from(history), x=x)


def drawn_from(history: History) -> tuple[pandas.DataFrame, CurveText]:
    """What the chart of a learning curve is drawn from."""
    from assay.report.charts.curve import CurveText

    source = history.source
    if source is not None:
        text = CurveText(source.label, _imported_subtitle(history, source), loss="", steps=source.steps)
        return history.frame(), text
    recipe = history.recipe
    geometric = recipe.log.interval()[1] == "geometric"
    return history.frame(), CurveText(recipe.label(), _subtitle(history), recipe.loss, geometric=geometric)


def _imported_subtitle(history: History, source: Source) -> str:
    scores = [("test", history.accuracy), ("validation", history.last("validation_accuracy"))]
    accuracy = next((f"{split} accuracy {value:.2%}, " for split, value in scores if value is not None), "")
    seconds = "" if history.final.seconds is None else f", {history.final.seconds:.2f} s ({source.clock})"
    return f"{accuracy}{history.final.iteration:,} {source.steps}{seconds}, from {source.file}"


def _subtitle(history: History) -> str:
    accuracy = f"test accuracy {history.accuracy:.2%}" if history.accuracy is not None else "no log point"
    cost = f"after {history.iterations:,} iterations, {history.final.seconds:.2f} s of training"
    ending = "" if history.outcome == "completed" else f" - {history.outcome}: {history.reason}"
    return f"{accuracy} {cost}, engine {history.engine}, seed {history.recipe.seed}{ending}"


__all__ = ["drawn_from", "plot"]
