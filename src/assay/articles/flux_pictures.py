"""The pictures of the two Flux.jl articles: whole curves, their beginnings, plateaus, and the cost of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from assay.analysis.curves import moving_average
from assay.articles.flux_findings import MODELS, VARIANTS
from assay.articles.page import Figure
from assay.articles.spec import ReproductionSpec
from assay.report.charts.curves import CurveOptions, learning_curves
from assay.report.charts.effort import effort_ranking
from assay.report.charts.sensitivity import sensitivity
from assay.results.results import Results

Frame = Any  # a pandas frame, whose stubs are too incomplete
LOSSES = {("mse", "mean squared error"): ("4LS", "3LS"), ("ce", "cross-entropy"): ("2LR",)}


def descent_pictures(
    spec: ReproductionSpec, results: Sequence[Results], first: Results, stretches: Results
) -> list[Figure]:
    """Descent's pictures: one panel per model, one line per variant."""
    trials, curves = longest(results, ["descent"])
    beginnings = _with_panel(first)
    beginnings = beginnings[beginnings["optimizer"] == "descent"]
    lines: dict[str, Any] = {"by": "variant", "facet": "model", "order": VARIANTS}
    accuracy = learning_curves(trials, curves, CurveOptions(log="x", title="Test accuracy with Descent", **lines))
    farthest = trials.groupby("cell")["iterations"].transform("max")
    ended = trials[trials["iterations"] == farthest]
    cost = effort_ranking(ended, by="cell", log=True, title="What the accuracy at the end of each curve cost")
    return [
        *_losses(trials, curves, "Training loss with Descent", **lines),
        Figure("accuracy", accuracy, "The test accuracy of the nine configurations"),
        *_beginnings(spec, beginnings, first.curves(), **lines),
        *_plateaus(spec, stretches),
        Figure("effort", cost, "What the accuracy at the end of each curve cost", _EFFORT),
    ]


def adam_pictures(
    spec: ReproductionSpec, results: Sequence[Results], first: Results, stretches: Results
) -> list[Figure]:
    """ADAM's pictures: one panel per configuration, one line per optimizer."""
    trials, curves = longest(results, ["descent", "adam"])
    lines: dict[str, Any] = {"by": "optimizer", "facet": "panel", "order": ("descent", "adam")}
    accuracy = learning_curves(
        trials, curves, CurveOptions(log="x", title="Test accuracy with ADAM and with Descent", **lines)
    )
    return [
        *_losses(trials, curves, "Training loss with ADAM and with Descent", **lines),
        Figure("accuracy", accuracy, "The test accuracy with ADAM and with Descent"),
        *_beginnings(spec, _with_panel(first), first.curves(), **lines),
        _averaged(stretches),
    ]


def calibration_picture(results: Results) -> Figure:
    """The accuracy of each model against ADAM's rate."""
    title = "Test accuracy of batch gradient descent against ADAM's rate"
    return Figure("rates", sensitivity(results.frame(), x="rate", by="model", title=title), title)


def _losses(trials: Frame, curves: Frame, title: str, **lines: Any) -> list[Figure]:
    """The whole curves, one picture per kind of loss."""
    pictures: list[Figure] = []
    for (name, loss), models in LOSSES.items():
        of_loss = trials[trials["model"].isin(models)]
        head = f"{title}, {loss}"
        chart = learning_curves(
            of_loss, curves, CurveOptions(measure="loss", split="train", log="xy", title=head, **lines)
        )
        pictures.append(Figure(f"loss-{name}", chart, head))
    return pictures


def _beginnings(spec: ReproductionSpec, trials: Frame, curves: Frame, **lines: Any) -> list[Figure]:
    pictures: list[Figure] = []
    for (name, loss), models in LOSSES.items():
        of_loss = trials[trials["model"].isin(models)]
        head = f"The first {spec.iterations(500)} iterations, training loss, {loss}"
        chart = learning_curves(
            of_loss, curves, CurveOptions(measure="loss", split="train", start=1, title=head, **lines)
        )
        pictures.append(Figure(f"first-{name}", chart, head, _FIRST))
    return pictures


_EFFORT = (
    "Packed seconds: trainings ran side by side, one per core. A curve ends where the article ended it, so a long "
    "training is ranked by all of its seconds, even if a tenth of them would have been enough."
)
_FIRST = "After every iteration, one seed, on the first 10,000 training images."
_EVERY = (
    "One seed; training loss on the first 10,000 training images at every tenth iteration (with ADAM at every "
    "hundredth), and the mean of the last 10 (with ADAM 100) of these values."
)


def longest(results: Sequence[Results], optimizers: Sequence[str]) -> tuple[Frame, Frame]:
    """The longest trial of each configuration and seed, and the curves of all trials."""
    trials: Frame = pd.concat([result.frame() for result in results], ignore_index=True)
    cells = trials["configuration"].str.rsplit(n=1).str[0]
    parts = cells.str.split()
    trials = trials.assign(cell=cells, variant=parts.str[-1], panel=parts.str[0] + " " + parts.str[-1])
    trials = trials[trials["optimizer"].isin(optimizers)]
    measured = trials[trials["iterations"].notna()].sort_values("iterations", kind="stable")
    kept = measured.drop_duplicates(["cell", "seed"], keep="last")
    order = {f"{model} {variant}": place for place, (model, variant) in enumerate(_cells())}
    kept = kept.assign(place=kept["panel"].map(order)).sort_values("place", kind="stable")
    return kept, pd.concat([result.curves() for result in results], ignore_index=True)


def _cells() -> list[tuple[str, str]]:
    return [(model, variant) for model in MODELS for variant in VARIANTS]


def _with_panel(results: Results) -> Frame:
    trials = results.frame()
    return trials.assign(panel=trials["model"] + " " + trials["variant"])


def _plateaus(spec: ReproductionSpec, stretches: Results) -> list[Figure]:
    """4LS and 3LS with Descent on two ranges of iterations: the loss and its moving average."""
    trials, curves = with_averages(stretches, ["4LS descent stochastic", "3LS descent stochastic"], 10)
    pictures: list[Figure] = []
    for start, stop in ((2_000, 4_000), (8_000, 16_000)):
        head = f"Stochastic Descent, iterations {spec.iterations(start):,} to {spec.iterations(stop):,}"
        chart = learning_curves(
            trials,
            curves,
            CurveOptions(
                measure="loss",
                split="train",
                start=spec.iterations(start),
                stop=spec.iterations(stop),
                order=list(dict.fromkeys(trials["configuration"])),
                title=head,
            ),
        )
        pictures.append(Figure(f"from-{start}", chart, head, _EVERY))
    return pictures


def _averaged(stretches: Results) -> Figure:
    """2LR with ADAM on single examples, whose loss is only readable as an average."""
    trials, curves = with_averages(stretches, ["2LR adam stochastic"], 100)
    head = "2LR, stochastic, ADAM: the loss and its moving average"
    order = list(dict.fromkeys(trials["configuration"]))
    chart = learning_curves(
        trials, curves, CurveOptions(measure="loss", split="train", log="y", order=order, title=head)
    )
    return Figure("average", chart, head, _EVERY)


def with_averages(results: Results, labels: Sequence[str], window: int) -> tuple[Frame, Frame]:
    """The trials with those labels, each with a copy whose loss is the moving average."""
    trials: Frame = results.frame()
    curves: Frame = results.curves()
    trials = trials[trials["configuration"].isin(labels)]
    curves = curves[curves["trial"].isin(trials["trial"])]
    averages = curves.assign(
        train_loss=curves.groupby("trial", sort=False)["train_loss"].transform(moving_average, window, partial=True),
        trial=curves["trial"].astype(str) + " averaged",  # a frame without rows has no text to add to
    )
    copies = trials.assign(
        trial=trials["trial"] + " averaged", configuration=trials["configuration"] + f", mean of {window}"
    )
    return pd.concat([trials, copies], ignore_index=True), pd.concat([curves, averages], ignore_index=True)


__all__ = ["adam_pictures", "calibration_picture", "descent_pictures", "longest", "with_averages"]
