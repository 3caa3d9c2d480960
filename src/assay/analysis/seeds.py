"""The one rule for what the trial of a seed counts as, by how it ended; every analysis reads its numbers here.

- completed, or stopped by a stopping rule: its number.
- diverged or timed out: its last score (if there is none chance, 1 / classes, or 0 for precision, F1 and scores of one
  class, and for R2 the lower of 0 and the worst finished trial of the study), its last finite loss (none: worse than
  any finished trial), and a miss of each target that it had not reached. Its costs (seconds, effort, iterations, ...)
  are worse than those of any finished trial, because it did not get to the end for them.
- anything else (failed, lost, out of memory, not trained yet): no result. It is left out, and reported.

Seconds that a busy machine took (the column `busy`) are left out while enough others remain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import FINISHED, factorized, have, numbers, rows
from assay.analysis.quantities import MEASURES, Quantity
from assay.errors import AssayError, unknown
from assay.system.load import BUSY

Floats = NDArray[np.float64]

ENDED = ("diverged", "timed out")
"""The outcomes of trials that did not finish and count nevertheless."""

UNFLAGGED = 3  # seeds without foreign load from which the others leave a ranking by seconds
_ENDLESS = ("parameters",)  # costs that do not depend on how a training ended


def counted(trials: pd.DataFrame, measure: str) -> Floats:
    """What each trial counts as in a measure (N,): its number by the rule of this module.

    NaN is no result; infinity is worse than any finished trial. The column `classes` gives chance.

    >>> frame = pd.DataFrame({"outcome": ["completed", "diverged", "timed out", "failed"], "classes": 10})
    >>> counted(frame.assign(accuracy=[0.9, None, 0.3, None]), "accuracy").tolist()
    [0.9, 0.1, 0.3, nan]

    Raises AssayError for an unknown measure, and where chance is needed and the number of classes is unknown.
    """
    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    quantity, values, outcomes = MEASURES[measure], numbers(trials, measure), outcomes_of(trials)
    values = np.where(np.isfinite(values), values, np.nan)
    ended = np.isin(outcomes, ENDED)
    if is_worse_when_ended(quantity):
        values = np.where(ended, np.inf, values)
    missing = ended & np.isnan(values)
    if missing.any() and quantity.kind == "score":
        values[missing] = (_chance(trials) if quantity.chance_by_classes else _floor(trials, measure))[missing]
    elif missing.any() and quantity.kind == "loss":
        values[missing] = np.inf
    return np.where(ended | np.isin(outcomes, FINISHED), values, np.nan)


def is_worse_when_ended(quantity: Quantity) -> bool:
    """Whether a trial that diverged or timed out is worse in this quantity than any that finished."""
    return quantity.kind == "cost" and quantity.name not in _ENDLESS


def outcomes_of(trials: pd.DataFrame) -> NDArray[np.object_]:
    """How each trial ended (N,), as words."""
    have(trials, "outcome")
    return np.asarray([str(outcome) for outcome in trials["outcome"].tolist()], dtype=object)


def with_counted(trials: pd.DataFrame, *measures: str) -> pd.DataFrame:
    """The trials with what they count as in place of the measures; those without a result in one are left out."""
    keep = np.ones(len(trials), dtype=np.bool_)
    values = {measure: counted(trials, measure) for measure in measures}
    for column in values.values():
        keep &= ~np.isnan(column)
    return rows(trials.assign(**values), keep)


FLOOR = "floor_"
"""Before the name of a score: the column with what a trial counts as that did not finish and has none of that score."""


def with_floors(trials: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """The trials of a whole study, with the column of what those without a score count as where there is one.

    Parts of the study then count them as the whole does. R2 has no lower bound, so that 0, always answering the mean,
    could be better than a trial that finished: it is the lower of 0 and the worst finished trial of the study.

    >>> frame = pd.DataFrame({"outcome": ["completed", "diverged"], "r2": [-3.0, None]})
    >>> with_floors(frame, ["r2"])["floor_r2"].tolist()
    [-3.0, -3.0]
    """
    for measure in measures:
        if (np.isin(outcomes_of(trials), ENDED) & ~np.isfinite(numbers(trials, measure))).any():
            trials = trials.assign(**{FLOOR + measure: _floor(trials, measure)})
    return trials


def _floor(trials: pd.DataFrame, measure: str) -> Floats:
    """The lower of 0 and the worst finished trial (N,); that of the study where `with_floors` has put it down."""
    if FLOOR + measure in trials.columns:
        return numbers(trials, FLOOR + measure)
    values = numbers(trials, measure)
    finished = values[np.isin(outcomes_of(trials), FINISHED) & np.isfinite(values)]
    return np.full(len(trials), min(0.0, *finished.tolist()) if finished.size else 0.0)


def _chance(trials: pd.DataFrame) -> Floats:
    """1 / classes of each trial (N,); where its classes are unknown, those of other trials on the same data set."""
    n = len(trials)
    classes = numbers(trials, "classes") if "classes" in trials.columns else np.full(n, np.nan)
    data = trials["data"].tolist() if "data" in trials.columns else [""] * n
    codes, _ = factorized([str(name) for name in data])
    for code in set(codes[np.isnan(classes)].tolist()):
        known = np.unique(classes[(codes == code) & ~np.isnan(classes)])
        if known.size == 1:
            classes[(codes == code) & np.isnan(classes)] = known[0]
    unfinished = np.isin(outcomes_of(trials), ENDED)
    if np.isnan(classes[unfinished]).any() or (classes[unfinished] < 1).any():
        raise AssayError(
            "a trial that diverged or timed out has no score, so it counts as chance, 1 / classes, and the number of "
            "classes is unknown; expected it in the column 'classes'"
        )
    return 1.0 / classes


@dataclass(frozen=True)
class Endings:
    """How many trials ended in which way: all trials of a configuration, by their outcome."""

    outcomes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, outcomes: Sequence[str]) -> Endings:
        """The counts of these outcomes."""
        return cls(tuple(Counter(outcomes).items()))

    @property
    def trials(self) -> int:
        """The number of trials."""
        return sum(count for _, count in self.outcomes)

    def count(self, *words: str) -> int:
        """The number of trials with one of these outcomes."""
        return sum(count for word, count in self.outcomes if word in words)

    @property
    def ended(self) -> int:
        """The number of trials that diverged or timed out."""
        return self.count(*ENDED)

    @property
    def without(self) -> int:
        """The number of trials that are no result."""
        return self.trials - self.count(*FINISHED) - self.ended

    def ended_text(self, name: str = "", *, replicate: str = "seed") -> str:
        """How many diverged or timed out, in words; empty if none did.

        `replicate`: what a trial is called, where it is not a seed but a fold or a re-split.

        >>> Endings.of(["completed", "diverged", "diverged", "timed out"]).ended_text("a")
        '2 diverged and 1 timed out of 4 seeds of a'
        """
        parts = [f"{self.count(word)} {word}" for word in ENDED if self.count(word)]
        seeds = f"{self.trials} {replicate}{'' if self.trials == 1 else 's'}"
        return f"{' and '.join(parts)} of {seeds}{f' of {name}' if name else ''}" if parts else ""

    def without_text(self, name: str = "", *, replicate: str = "seed") -> str:
        """How many are no result, in words; empty if none.

        >>> Endings.of(["completed", "failed", "lost", "planned"]).without_text("a")
        'no result: 1 failed, 1 lost, 1 not trained of 4 seeds of a'
        """
        words = [(w, n) for w, n in self.outcomes if w not in FINISHED and w not in ENDED]
        parts = [f"{n} {'not trained' if w == 'planned' else w}" for w, n in words]
        seeds = f"{self.trials} {replicate}{'' if self.trials == 1 else 's'}"
        return f"no result: {', '.join(parts)} of {seeds}{f' of {name}' if name else ''}" if parts else ""

    def notes(self, name: str = "", *, replicate: str = "seed") -> list[str]:
        """Both sentences, without empty ones."""
        if all(word in FINISHED for word, _ in self.outcomes):  # nearly always, and asked for each of a million pairs
            return []
        texts = (self.ended_text(name, replicate=replicate), self.without_text(name, replicate=replicate))
        return [note for note in texts if note]


def busy(trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether foreign load was flagged during each trial (N,); a frame without the column `busy` has none flagged."""
    if "busy" not in trials.columns:
        return np.zeros(len(trials), dtype=np.bool_)
    flags: list[object] = trials["busy"].tolist()
    return np.asarray([flag is not None and flag is not pd.NA and flag == True for flag in flags], dtype=np.bool_)  # noqa: E712


def ranked_by_seconds(trials: pd.DataFrame, *, by: str = "configuration") -> tuple[pd.DataFrame, list[str]]:
    """The trials whose seconds are ranked, and the configurations that are ranked by seconds of a busy machine.

    Finished trials with flagged seconds leave while at least three unflagged finished ones of their configuration
    remain. Otherwise all of the configuration stay, and it is marked "busy machine".
    """
    flagged, finished = busy(trials), np.isin(outcomes_of(trials), FINISHED)
    have(trials, by)
    codes, names = factorized([str(name) for name in trials[by].tolist()])
    clean = np.bincount(codes[finished & ~flagged], minlength=len(names))
    leaving = flagged & finished & (clean[codes] >= UNFLAGGED)
    marked = np.unique(codes[flagged & finished & ~leaving])
    return rows(trials, ~leaving), [names[code] for code in marked]


__all__ = [
    "BUSY",
    "ENDED",
    "UNFLAGGED",
    "Endings",
    "busy",
    "counted",
    "is_worse_when_ended",
    "outcomes_of",
    "ranked_by_seconds",
    "with_counted",
]
