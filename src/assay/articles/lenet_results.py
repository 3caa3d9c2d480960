"""What the studies and the small experiments on the widened LeNet-5 measured, for its tables and findings."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from assay.analysis.verdicts import Verdict
from assay.articles.lenet_costs import (
    DENORMAL,
    IMAGES,
    NORMAL,
    DenormalCost,
    Iteration,
    adam_on_denormals,
    convolution_on_denormals,
    least_seconds,
)
from assay.articles.measurements import Measurements
from assay.data.datasets import load
from assay.engines import installed
from assay.recipe.model import Recipe
from assay.recipe.toml import read_toml
from assay.results.results import Results
from assay.studies.study import bundled

ONE, TWO, TOGETHER = "one softmax", "two softmaxes", "standardised together"
"""The configurations of the study over seeds."""
_QUICK_IMAGES = 10


class LenetResults:
    """The measured trials and the small experiments.

    Args:
        seeds: Results of the study over seeds: every configuration for a few epochs.
        hundred: Results of one softmax for as many epochs as the article's.
        quick: Whether the run is scaled down.
    """

    def __init__(self, seeds: Results, hundred: Results, *, quick: bool) -> None:
        self._seeds, self.quick = seeds, quick
        self.measured, self.long = Measurements([seeds]), Measurements([hundred])
        self.images = _QUICK_IMAGES if quick else IMAGES
        recipe = Recipe.parse(read_toml(bundled("lenet5-timing"))["baseline"])
        self.network = recipe.model.network(load("digits-28").shape, 10)

    @cached_property
    def epochs(self) -> int:
        """The epochs of the longest curve over seeds."""
        return epochs_of(self.measured)

    def summary(self) -> str:
        """A sentence on what is measured over seeds."""
        return (
            f"Over seeds: {len(self.measured.trials)} of {self.measured.planned} trials are measured, "
            f"{len(self.measured.of(ONE))} seeds of one softmax, {self.epochs} epochs."
        )

    def verdict(self, a: str, b: str) -> Verdict:
        """The verdict on two configurations over paired seeds."""
        return self._seeds.verdict(a, b)

    def classes_never_predicted(self, label: str) -> list[int]:
        """How many classes are predicted for no test image, per seed."""
        confusions = self._seeds.confusions()
        keys = [str(row["trial"]) for row in self.measured.of(label)]
        counts = [confusions[key] for key in keys if key in confusions]
        return [sum(not any(column) for column in zip(*count, strict=True)) for count in counts]

    @cached_property
    def denormals(self) -> Mapping[str, DenormalCost]:
        """The cost of denormal numbers, by the work that is done on them; empty without torch."""
        if importlib.util.find_spec("torch") is None:
            return {}
        return {
            f"Adam's update of {self.network.parameters:,} weights": adam_on_denormals(self.network.parameters),
            f"backward pass of the second convolution, {self.images} images": convolution_on_denormals(self.images),
        }

    @cached_property
    def iteration_seconds(self) -> Mapping[str, float]:
        """Seconds of one iteration on one thread: the engines, bfloat16, and torch with normal or denormal moments."""
        works: dict[str, Any] = {}
        if installed("torch"):
            works["torch"] = Iteration("torch", images=self.images)
            works["torch, bfloat16"] = Iteration("torch", images=self.images, precision="bfloat16")
            works["normal"] = Iteration("torch", images=self.images, moments=NORMAL)
            works["denormal"] = Iteration("torch", images=self.images, moments=DENORMAL)
        works["numpy"] = Iteration("numpy", images=self.images)
        return least_seconds(works, repeats=1 if self.quick else 3)


def epochs_of(measured: Measurements) -> int:
    """The epochs of the longest curve."""
    return max((len(curve.iterations) - 1 for curve in measured.curves.values()), default=0)


def accuracies_of(measured: Measurements, label: str) -> list[list[float]]:
    """The test accuracies of a configuration after each epoch, per seed."""
    curves = [measured.curves[str(row["trial"])] for row in measured.of(label)]
    return [curve.values("test_accuracy")[1:] for curve in curves]


__all__ = ["ONE", "TOGETHER", "TWO", "LenetResults", "accuracies_of", "epochs_of"]
