"""What an iteration, a log point and the rest of a training cost, measured by training for a twentieth of a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from assay.data.prepare import Prepared
from assay.engines.base import Engine
from assay.recipe.model import Recipe
from assay.training.loop import Training

SECONDS = 0.05
"""Of training per calibration."""


class Cost(NamedTuple):
    """Seconds per iteration, per log point, and per training for all that is neither (weights, batches, checkpoint).

    Of a cohort they are those of one member.
    """

    iteration: float
    point: float
    training: float = 0.0


def calibrated(recipes: Sequence[Recipe], engine: Engine, data: Prepared) -> Cost:
    """The cost of a trial, or of each of a cohort. Raises: AssayError where it cannot be trained.

    If others follow, the first iteration and the first log point are left out, because they run on cold caches and
    allocate what later ones reuse.
    """
    training = Training(recipes, engine, data, log_points=(1,))
    ledger, first = training.ledger, (0.0, 0.0)  # first: seconds of the first iteration and the first log point
    for status in training:
        if status.iteration == 0:
            first = (0.0, ledger.evaluate)
        elif status.iteration == 1:
            first = (ledger.train, first[1])
        if ledger.train - first[0] > SECONDS:
            break
    points, members = len(training.histories()[0].points), len(recipes)
    iteration = (ledger.train - first[0]) / (training.t - 1) if training.t > 1 else ledger.train
    point = (ledger.evaluate - first[1]) / (points - 1) if points > 1 else ledger.evaluate
    return Cost(iteration / members, point / members, (ledger.data + ledger.compile) / members)
