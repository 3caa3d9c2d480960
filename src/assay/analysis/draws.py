"""The test sets of the configurations, where they are drawn anew: which comparisons they allow, and their overlap.

A draw is a fold of a cross-validation or a re-split (`assay.data.resampling`). Where the draws of a configuration
differ from one repeat to the next, its repeats share training examples and are no independent seeds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.axis_columns import DRAWS
from assay.analysis.frames import numbers

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

DRAWN = DRAWS[0]
"""The column that is there where any trial of a study has a draw."""
OWN = 0
"""The code of the test set that comes with the data."""
NONE = -1
"""The code where a configuration has no trial."""


@dataclass(frozen=True)
class Draws:
    """The test set of every configuration at every repeat.

    Attributes:
        codes: (k, repeats): the number of the test set: `OWN`, `NONE`, or that of a draw.
        names: what each code from 0 on is called.
        overlaps: (k,): test examples / training examples, the largest of the configuration; 0 where all of its trials
            have one test set, so that its repeats are seeds; NaN where the sizes are not stored.
        folds: (k,): the number of parts of each cross-validation; 0 for re-splits, and for seeds.
        repeated: (k,): whether some, but not all, repeats of the configuration have one test set.
    """

    codes: Places
    names: tuple[str, ...]
    overlaps: Floats
    folds: Places
    repeated: NDArray[np.bool_]

    @classmethod
    def of(cls, trials: pd.DataFrame, rows: Places, repeats: Places, *, shape: tuple[int, int]) -> Draws | None:
        """The draws of trials in these places of a table (k, repeats); None without any draw."""
        drawn = codes_of(trials)
        if drawn is None:
            return None
        codes, names = drawn
        table = np.full(shape, NONE, dtype=np.int64)
        table[rows, repeats] = codes
        of_trial, folds_of_trial = numbers(trials, "draw_overlap"), numbers(trials, "draw_folds")
        overlaps, folds = np.zeros(shape[0]), np.zeros(shape[0], dtype=np.int64)
        repeated = np.zeros(shape[0], dtype=np.bool_)
        for row in range(shape[0]):
            used = table[row][table[row] != NONE]
            different = np.unique(used).size
            if different < 2:
                continue
            repeated[row] = different < used.size
            own = rows == row
            known = of_trial[own][~np.isnan(of_trial[own])]
            overlaps[row] = known.max() if known.size else math.nan
            parts = np.unique(folds_of_trial[own])
            folds[row] = int(parts[0]) if parts.size == 1 and parts[0] > 0 else 0
        return cls(table, names, overlaps, folds, repeated)

    def word(self, row: int) -> str:
        """What the repeats of a configuration are: "seed", "fold" or "re-split"."""
        return word_of(float(self.overlaps[row]), int(self.folds[row]))

    def overlap(self, first: Places, second: Places) -> Floats:
        """The overlap of each comparison (m,): the larger one of its two sides."""
        return np.maximum(self.overlaps[first], self.overlaps[second])

    def parts(self, first: Places, second: Places) -> Places:
        """The folds of each comparison (m,); 0 where the two sides have different ones."""
        return np.where(self.folds[first] == self.folds[second], self.folds[first], 0)

    def allowed(self, first: Places, second: Places, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each comparison (m,), of the repeats that it uses (m, repeats), is one on equal test sets."""
        differ = (used & (self.codes[first] != self.codes[second])).any(axis=1)
        several = used.sum(axis=1) > 1
        unclear = self.repeated[first] | self.repeated[second] | np.isnan(self.overlap(first, second))
        return ~differ & ~(several & unclear)

    def reason(self, first: int, second: int, used: NDArray[np.bool_]) -> str:
        """Why a comparison is not allowed; empty if it is."""
        a, b = self.codes[first], self.codes[second]
        differ = np.flatnonzero(used & (a != b))
        if differ.size:
            place = int(differ[0])
            return f"their test sets differ ({self.names[a[place]]} and {self.names[b[place]]})"
        if used.sum() < 2:
            return ""
        if self.repeated[first] or self.repeated[second]:
            return "some of their repeats have the same test set and others do not"
        if math.isnan(self.overlap(np.asarray([first]), np.asarray([second]))[0]):
            return "the sizes of their test sets are not stored"
        return ""


def codes_of(trials: pd.DataFrame) -> tuple[Places, tuple[str, ...]] | None:
    """The number of the test set of each trial (N,), and what each number is called; None without any draw."""
    if DRAWN not in trials.columns:
        return None
    columns = (numbers(trials, name).tolist() for name in DRAWS[:3])
    words = [_word(*cells) for cells in zip(*columns, strict=True)]
    if not any(words):
        return None
    names = {"": OWN}
    codes = [names.setdefault(word, len(names)) for word in words]
    return np.asarray(codes, dtype=np.int64), tuple(name or "the data's own" for name in names)


def _word(split: float, folds: float, fold: float) -> str:
    """A test set in words; empty for the data's own."""
    if split != split:
        return ""
    return f"split {split:.0f}" if folds != folds else f"fold {fold:.0f} of {folds:.0f}, split {split:.0f}"


def word_of(overlap: float, folds: int) -> str:
    """What a pair is called.

    >>> word_of(0.0, 0), word_of(0.25, 5), word_of(0.25, 0)
    ('seed', 'fold', 're-split')
    """
    return "seed" if overlap == 0 else "fold" if folds else "re-split"


def replicate_of(trials: pd.DataFrame) -> str:
    """What the trials of one configuration are called: "seed", or where their test sets differ "fold" or "re-split"."""
    if not overlaps_of(trials, [""] * len(trials)):
        return word_of(0.0, 0)
    folds = np.unique(numbers(trials, DRAWS[1]))
    return word_of(math.inf, int(folds[0]) if folds.size == 1 and folds[0] > 0 else 0)


def in_words(count: int, replicate: str) -> str:
    """A number of replicates.

    >>> in_words(1, "fold"), in_words(8, "seed")
    ('1 fold', '8 seeds')
    """
    return f"{count} {replicate}{'' if count == 1 else 's'}"


def pairing(trials: pd.DataFrame, repeats: Sequence[Hashable]) -> list[Hashable]:
    """What trials are paired by: the repeat, or where test sets are drawn, the repeat with its test set."""
    drawn = codes_of(trials)
    return list(repeats) if drawn is None else list(zip(repeats, drawn[0].tolist(), strict=True))


def overlaps_of(trials: pd.DataFrame, names: Sequence[str]) -> Mapping[str, float]:
    """The overlap of each configuration whose test sets differ from one trial to the next; empty without any.

    `names`: the configuration of each trial (N,). Unknown sizes count as an overlap without end.
    """
    drawn = codes_of(trials)
    if drawn is None:
        return {}
    overlaps: dict[str, list[float]] = {}
    codes: dict[str, set[int]] = {}
    for name, code, overlap in zip(names, drawn[0].tolist(), numbers(trials, "draw_overlap").tolist(), strict=True):
        codes.setdefault(name, set()).add(code)
        overlaps.setdefault(name, []).append(overlap)
    several = [name for name, of_name in codes.items() if len(of_name) > 1]
    return {name: max((x for x in overlaps[name] if x == x), default=math.inf) for name in several}


__all__ = ["DRAWN", "NONE", "OWN", "Draws", "codes_of", "in_words", "overlaps_of", "pairing", "replicate_of", "word_of"]
