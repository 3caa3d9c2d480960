"""The pictures of the two Flux.jl articles: whole curves, their beginnings, plateaus, and what accuracy cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from assay.analysis.curves import moving_average
from assay.articles.flux_findings import MODELS, VARIANTS
from assay.articles.page import Picture
from assay.articles.spec import ReproductionSpec
from assay.report.charts.curves import CurveOptions, learning_curves
from assay.report.charts.effort import effort_ranking
from assay.report.charts.sensitivity import sensitivity
from assay.results.results import Results

Frame = Any  # a pandas frame, whose stubs know too little of it
LOSSES = {("mse", "mean squared error"): ("4LS", "3LS"), ("ce", "cross-entropy"): ("2LR",)}


def descent_pictures(
    asked: ReproductionSpec, results: Sequence[Results], first: Results, stretches: Results
) -> list[Picture]:
    """Descent's pictures: a panel for each model, a line for each variant."""
    trials, curves = longest(results, ["descent"])
    begun = _of(first)
    begun = begun[begun["optimizer"] == "descent"]
    lines: dict[str, Any] = {"by": "variant", "facet": "model", "order": VARIANTS}
    accuracy = learning_curves(trials, curves, CurveOptions(log="x", title="Test accuracy with Descent", **lines))
    farthest = trials.groupby("cell")["iterations"].transform("max")
    ended = trials[trials["iterations"] == farthest]
    cost = effort_ranking(ended, by="cell", log=True, title="What the accuracy at the end of each curve cost")
    return [
        *_losses(trials, curves, "Training loss with Descent", **lines),
        Picture("accuracy", accuracy, "The test accuracy of the nine configurations"),
        *_beginnings(asked, begun, first.curves(), **lines),
        *_plateaus(asked, stretches),
        Picture("effort", cost, "What the accuracy at the end of each curve cost", _EFFORT),
    ]


def adam_pictures(
    asked: ReproductionSpec, results: Sequence[Results], first: Results, stretches: Results
) -> list[Picture]:
    """ADAM's pictures: a panel for each configuration, a line for each optimizer."""
    trials, curves = longest(results, ["descent", "adam"])
    lines: dict[str, Any] = {"by": "optimizer", "facet": "panel", "order": ("descent", "adam")}
    accuracy = learning_curves(
        trials, curves, CurveOptions(log="x", title="Test accuracy with ADAM and with Descent", **lines)
    )
    return [
        *_losses(trials, curves, "Training loss with ADAM and with Descent", **lines),
        Picture("accuracy", accuracy, "The test accuracy with ADAM and with Descent"),
        *_beginnings(asked, _of(first), first.curves(), **lines),
        _averaged(stretches),
    ]


def calibration_picture(results: Results) -> Picture:
    """The accuracies of each model over the rates of ADAM."""
    title = "Test accuracy of batch gradient descent against ADAM's rate"
    return Picture("rates", sensitivity(results.frame(), x="rate", by="model", title=title), title)


def _losses(trials: Frame, curves: Frame, title: str, **lines: Any) -> list[Picture]:
    """The whole curves, each kind of loss in a picture of its own."""
    found: list[Picture] = []
    for (name, loss), models in LOSSES.items():
        some = trials[trials["model"].isin(models)]
        head = f"{title}, {loss}"
        chart = learning_curves(
            some, curves, CurveOptions(measure="loss", split="train", log="xy", title=head, **lines)
        )
        found.append(Picture(f"loss-{name}", chart, head))
    return found


def _beginnings(asked: ReproductionSpec, trials: Frame, curves: Frame, **lines: Any) -> list[Picture]:
    found: list[Picture] = []
    for (name, loss), models in LOSSES.items():
        some = trials[trials["model"].isin(models)]
        head = f"The first {asked.iterations(500)} iterations, training loss, {loss}"
        chart = learning_curves(some, curves, CurveOptions(measure="loss", split="train", start=1, title=head, **lines))
        found.append(Picture(f"first-{name}", chart, head, _FIRST))
    return found


_EFFORT = (
    "Packed seconds: trainings ran side by side, one on a core. A curve ends where the article ended it, so a long "
    "training is ranked by all of its seconds, also where a tenth of them would have done."
)
_FIRST = "After every iteration, one seed, on the first 10,000 training images."
_EVERY = (
    "One seed; training loss on the first 10,000 training images at every tenth iteration (with ADAM at every "
    "hundredth), and the mean of the last 10 (with ADAM 100) of these values."
)


def longest(results: Sequence[Results], optimizers: Sequence[str]) -> tuple[Frame, Frame]:
    """The trial that goes farthest of each configuration and seed, and the curves of all."""
    trials: Frame = pd.concat([result.frame() for result in results], ignore_index=True)
    words = trials["configuration"].str.rsplit(n=1).str[0]
    parts = words.str.split()
    trials = trials.assign(cell=words, variant=parts.str[-1], panel=parts.str[0] + " " + parts.str[-1])
    trials = trials[trials["optimizer"].isin(optimizers)]
    measured = trials[trials["iterations"].notna()].sort_values("iterations", kind="stable")
    kept = measured.drop_duplicates(["cell", "seed"], keep="last")
    order = {f"{model} {variant}": place for place, (model, variant) in enumerate(_cells())}
    kept = kept.assign(place=kept["panel"].map(order)).sort_values("place", kind="stable")
    return kept, pd.concat([result.curves() for result in results], ignore_index=True)


def _cells() -> list[tuple[str, str]]:
    return [(model, variant) for model in MODELS for variant in VARIANTS]


def _of(first: Results) -> Frame:
    trials = first.frame()
    return trials.assign(panel=trials["model"] + " " + trials["variant"])


def _plateaus(asked: ReproductionSpec, stretches: Results) -> list[Picture]:
    """4LS and 3LS with Descent on two stretches, as they are and averaged."""
    trials, curves = with_averages(stretches, ["4LS descent stochastic", "3LS descent stochastic"], 10)
    found: list[Picture] = []
    for start, stop in ((2_000, 4_000), (8_000, 16_000)):
        head = f"Stochastic Descent, iterations {asked.iterations(start):,} to {asked.iterations(stop):,}"
        chart = learning_curves(
            trials,
            curves,
            CurveOptions(
                measure="loss",
                split="train",
                start=asked.iterations(start),
                stop=asked.iterations(stop),
                order=list(dict.fromkeys(trials["configuration"])),
                title=head,
            ),
        )
        found.append(Picture(f"from-{start}", chart, head, _EVERY))
    return found


def _averaged(stretches: Results) -> Picture:
    """2LR with ADAM on single examples, whose loss only an average makes readable."""
    trials, curves = with_averages(stretches, ["2LR adam stochastic"], 100)
    head = "2LR, stochastic, ADAM: the loss and its moving average"
    order = list(dict.fromkeys(trials["configuration"]))
    chart = learning_curves(
        trials, curves, CurveOptions(measure="loss", split="train", log="y", order=order, title=head)
    )
    return Picture("average", chart, head, _EVERY)


def with_averages(results: Results, labels: Sequence[str], window: int) -> tuple[Frame, Frame]:
    """The trials of those labels, each with a second one whose loss is the moving average of the first one's."""
    trials: Frame = results.frame()
    curves: Frame = results.curves()
    trials = trials[trials["configuration"].isin(labels)]
    curves = curves[curves["trial"].isin(trials["trial"])]
    averages = curves.assign(
        train_loss=curves.groupby("trial", sort=False)["train_loss"].transform(moving_average, window, partial=True),
        trial=curves["trial"].astype(str) + " averaged",  # a frame without rows has no text to add to
    )
    extra = trials.assign(
        trial=trials["trial"] + " averaged", configuration=trials["configuration"] + f", mean of {window}"
    )
    return pd.concat([trials, extra], ignore_index=True), pd.concat([curves, averages], ignore_index=True)


__all__ = ["adam_pictures", "calibration_picture", "descent_pictures", "longest", "with_averages"]
