"""What a search cost, and how its best score improved with its trials and its seconds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import numbers

Frame = Any  # a pandas frame, whose stubs know too little of it
JOB_COLUMNS = (
    "n",
    "kind",  # suggestion, promotion, screening, race or fresh
    "rung",  # missing: the full budget
    "budget",  # iterations of the rung
    "parent",  # the job that a promotion goes on from
    "origin",
    "trial",
    "configuration",
    "repeat",
    "outcome",
    "score",
    "second_score",
    "feasible",
    "seconds",
    "flops",
    "deciding",  # seconds of deciding the job
    "reused",
)
"""The columns of the frame of a search's jobs, which also has one for each axis."""


@dataclass(frozen=True)
class SearchCost:
    """What the told jobs of a search cost. The seconds of its suggestions are no part of those of its trials.

    Attributes:
        trials: How many jobs were told.
        seconds: Of training, summed; a job that the store had before counts with its stored seconds.
        reused: How many jobs the store had before.
        reused_seconds: Of these.
        flops: Operations of training, summed.
        deciding: Seconds of all suggestions.
    """

    trials: int
    seconds: float
    reused: int
    reused_seconds: float
    flops: float
    deciding: float

    @property
    def fraction(self) -> float:
        """The seconds of the suggestions / all seconds that were spent; NaN where none were."""
        spent = self.seconds - self.reused_seconds + self.deciding
        return self.deciding / spent if spent > 0 else math.nan

    def plain(self) -> dict[str, Any]:
        """As plain data, with what was spent here, and the fraction of it that deciding took."""
        own = {"trained_seconds": self.seconds - self.reused_seconds}
        return asdict(self) | own | {"deciding_fraction": None if math.isnan(self.fraction) else self.fraction}


def search_cost(jobs: Frame) -> SearchCost:
    """The costs of a frame of jobs (`JOB_COLUMNS`), of those that were told."""
    told = jobs[jobs["outcome"].notna()]
    seconds, reused = np.nan_to_num(numbers(told, "seconds")), told["reused"].to_numpy(dtype=bool)
    return SearchCost(
        len(told),
        math.fsum(seconds),
        int(reused.sum()),
        math.fsum(seconds[reused]),
        math.fsum(np.nan_to_num(numbers(told, "flops"))),
        math.fsum(np.nan_to_num(numbers(jobs, "deciding"))),
    )


def incumbents(jobs: Frame, *, maximize: bool) -> Frame:
    """The best score so far after each told job, of feasible trials at the full budget: the score that selects.

    Where points are screened on several seeds, it is the mean of these. Trials of lower rungs, of a race and on fresh
    seeds cost their seconds and improve nothing: their scores are of less training, or of seeds that did not select.

    Returns:
        The columns n, trials (told jobs so far), seconds (of training so far, also reused ones as stored), score (of
        the job; missing where it does not count), best (missing before the first score) and improved.
    """
    told = jobs[jobs["outcome"].notna()].sort_values("n", kind="stable")
    selects = told["rung"].isna().to_numpy() & told["kind"].isin(_SELECTING).to_numpy()
    counts = told["feasible"].to_numpy(dtype=bool) & selects
    score: NDArray[np.float64] = np.where(counts, numbers(told, "score"), np.nan)
    score = np.where(selects, _screened(told, score), np.nan)
    best = _best(score, maximize=maximize)
    previous = np.append(np.nan, best[:-1])
    return pd.DataFrame(
        {
            "n": told["n"].to_numpy(),
            "trials": np.arange(1, len(told) + 1),
            "seconds": np.cumsum(np.nan_to_num(numbers(told, "seconds"))),
            "score": score,
            "best": best,
            "improved": ~np.isnan(best) & (np.isnan(previous) | (best != previous)),
        }
    )


_SELECTING = ("suggestion", "promotion", "screening")


def _whole_mean(values: Any) -> float:
    """The mean; NaN if one is missing."""
    return float(values.mean(skipna=False))


def _screened(told: Frame, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the seeds of each point, at the last of its screening jobs; none at the others."""
    first = np.where(told["kind"] == "screening", told["parent"], told["n"]).astype(np.int64)
    means = pd.Series(score).groupby(first).agg(_whole_mean)
    is_last = ~pd.Series(first).duplicated(keep="last").to_numpy()
    return np.where(is_last, means.reindex(first).to_numpy(), np.nan)


def _best(score: NDArray[np.float64], *, maximize: bool) -> NDArray[np.float64]:
    filled = np.where(np.isnan(score), -np.inf if maximize else np.inf, score)
    best = np.maximum.accumulate(filled) if maximize else np.minimum.accumulate(filled)
    return np.where(np.isinf(best), np.nan, best)


__all__ = ["JOB_COLUMNS", "SearchCost", "incumbents", "search_cost"]
