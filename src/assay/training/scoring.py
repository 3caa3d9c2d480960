"""What an evaluation on a part of the data gives for a point of a curve: an accuracy, or R2 and RMSE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.analysis.quantities import CLASSIFICATION, REGRESSION, Task
from assay.data.targets import TargetScaling
from assay.engines.base import Splits
from assay.parts.losses import REGRESSION_LOSSES


@dataclass(frozen=True)
class Scoring:
    """The scores of a task, from the mean loss and the accuracy that an engine measures.

    R2 = 1 - mse / var(y), RMSE = deviation sqrt(mse): the loss is of standardised targets, and a factor makes the mean
    squared error of it. All engines share this, so that their scores agree where their losses do.

    Attributes:
        task: The task.
        factor: What makes the mean squared error of the loss.
        deviation: That of the training targets, in their units.
        variances: var(y) of the standardised targets of each part of the data.
    """

    task: Task = CLASSIFICATION
    factor: float = 1.0
    deviation: float = 1.0
    variances: Mapping[str, float] | None = None

    @classmethod
    def of(cls, loss: str, targets: TargetScaling | None, splits: Splits) -> Scoring:
        """The scores of trainings with a loss on the parts of their data; `targets`: those of a regression."""
        if targets is None:
            return cls()
        variances = {name: float(np.var(y)) for name, (_, y) in splits.parts.items()}
        return cls(REGRESSION, REGRESSION_LOSSES[loss], targets.deviation, variances)

    def scores(self, part: str, *, loss: float, accuracy: float) -> dict[str, float | None]:
        """The scores by metric. R2 is None where all targets of the part are equal.

        >>> Scoring(REGRESSION, 1.0, 10.0, {"test": 2.0}).scores("test", loss=0.25, accuracy=1.0)
        {'r2': 0.875, 'rmse': 5.0}
        """
        if self.variances is None:
            return {"accuracy": accuracy}
        mse, variance = self.factor * loss, self.variances[part]
        return {"r2": 1.0 - mse / variance if variance > 0 else None, "rmse": self.deviation * math.sqrt(mse)}
