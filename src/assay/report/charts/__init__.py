"""Charts in Altair: one function each, returning a chart that a notebook shows and that is saved as PNG or SVG.

`trials` and `curves` are tidy frames: a row for each trial, and a row for each point of its learning curve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from assay.report.charts.benches import epoch_times, time_and_accuracy
from assay.report.charts.comparisons import effort_ranking, ledger, verdicts
from assay.report.charts.curves import learning_curves
from assay.report.charts.factors import effects, heat_map, parallel_coordinates
from assay.report.charts.images import activations, confused, confusion, weights
from assay.report.charts.pareto import accuracy_against_time
from assay.report.charts.sensitivities import importance, sensitivity
from assay.report.charts.theme import PALETTE
from assay.report.charts.training import learning_curve
from assay.report.charts.writing import write


class Entry(NamedTuple):
    """A function that draws a chart, one line about it, and what it is drawn from: `Results.picture` makes that.

    "history", "trials", "own trials" (none imported), "trials and curves", "effects", "importance", "verdicts": frames
    of the analysis; "confusion", "confused", "weights": of one trial; "epochs": of a bench; "nothing".
    """

    draw: Callable[..., Any]
    about: str
    needs: str


CHARTS: dict[str, Entry] = {
    "curve": Entry(learning_curve, "loss and accuracy of one training", "history"),
    "curves": Entry(learning_curves, "the curves of a study, bands over the seeds", "trials and curves"),
    "pareto": Entry(accuracy_against_time, "test accuracy against training time, with the Pareto front", "trials"),
    "effort": Entry(effort_ranking, "training seconds / accuracy, lowest first", "trials"),
    "factors": Entry(effects, "what one change at a time does, with intervals", "effects"),
    "grid": Entry(heat_map, "the mean accuracy for each pair of values of two axes", "own trials"),
    "parallel": Entry(parallel_coordinates, "every axis and the accuracy, a line for each configuration", "own trials"),
    "sensitivity": Entry(sensitivity, "accuracy against the learning rate, for each optimizer", "own trials"),
    "importance": Entry(importance, "how much of the differences each axis explains", "importance"),
    "verdicts": Entry(verdicts, "differences between configurations, decided or not", "verdicts"),
    "ledger": Entry(ledger, "where the seconds of a trial went", "own trials"),
    "confusion": Entry(confusion, "which class is taken for which", "confusion"),
    "confused": Entry(confused, "images that were taken for another class", "confused"),
    "weights": Entry(weights, "the weights of the first layer as images", "weights"),
    "bench": Entry(epoch_times, "the seconds of every epoch of a bench, with the machine's limit", "epochs"),
    "bench-totals": Entry(time_and_accuracy, "accuracy by time from the start of the process, of a bench", "epochs"),
    "activations": Entry(activations, "activation functions and their derivatives", "nothing"),
}

__all__ = [
    "CHARTS",
    "PALETTE",
    "Entry",
    "accuracy_against_time",
    "activations",
    "confused",
    "confusion",
    "effects",
    "effort_ranking",
    "epoch_times",
    "heat_map",
    "importance",
    "learning_curve",
    "learning_curves",
    "ledger",
    "parallel_coordinates",
    "sensitivity",
    "time_and_accuracy",
    "verdicts",
    "weights",
    "write",
]
