"""The numbers of every configuration by seed, from which all comparisons are made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.draws import DRAWN, Draws
from assay.analysis.frames import factorized, measured, need, numbers, paired, rows, same_clock
from assay.analysis.quantities import MEASURES, SCORE, name_of, no_accuracy, ranked_by
from assay.analysis.seeds import Endings, busy, counted, outcomes_of
from assay.errors import AssayError, unknown

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class SeedValues:
    """What the configurations count as at each seed.

    Attributes:
        names: the configurations (k), in order of first appearance.
        measure: the column of `MEASURES`.
        values: (k, seeds): NaN without a result, infinite where worse than any finished trial.
        flagged: (k, seeds): whether foreign load was seen during the trial.
        endings: how the trials of each configuration ended.
        draws: the test sets, where any is drawn anew; None where all trials have that of the data.
    """

    names: tuple[str, ...]
    measure: str
    values: Floats
    flagged: NDArray[np.bool_]
    endings: tuple[Endings, ...]
    draws: Draws | None = None

    @classmethod
    def of(cls, trials: pd.DataFrame, measure: str | None, by: str = "configuration") -> SeedValues:
        """The numbers of the trials by configuration and repeat; imported curves are ignored.

        Without a measure, they are what the task of the trials is ranked by.

        Raises AssayError for two trials of one repeat, and seconds that are not comparable.
        """
        measure = ranked_by(trials).column if measure is None else measure
        if measure not in MEASURES:
            raise AssayError(unknown("measure", measure, MEASURES))
        if measure in (SCORE.name, name_of("validation", SCORE.name)) and (
            reason := no_accuracy(trials, f"got {measure!r}")
        ):
            raise AssayError(f"measure: {reason}; compare by r2, rmse or test_loss")
        trials = paired(trials)
        need(trials, [by, "repeat", "outcome", measure])
        if MEASURES[measure].is_timed:
            same_clock(measured(trials, measure))
        elif (timed := _timed(trials)).any():  # what was reached in equal seconds
            same_clock(measured(rows(trials, timed), measure))
        codes, names = factorized([str(name) for name in trials[by].tolist()])
        repeats: list[object] = trials["repeat"].tolist()
        seeds, labels = factorized([_repeat(value) for value in repeats])
        values = counted(trials, measure)
        values[[label == "" for label in map(_repeat, repeats)]] = np.nan
        _check_repeats(codes, seeds, ~np.isnan(values), names=names, labels=labels, by=by)
        table = np.full((len(names), len(labels)), np.nan)
        flags = np.zeros(table.shape, dtype=np.bool_)
        with_result = np.flatnonzero(~np.isnan(values))
        table[codes[with_result], seeds[with_result]] = values[with_result]
        flags[codes[with_result], seeds[with_result]] = busy(trials)[with_result]
        words: list[list[str]] = [[] for _ in names]
        for code, word, value in zip(codes.tolist(), outcomes_of(trials).tolist(), values.tolist(), strict=True):
            words[code].append("without a number" if math.isnan(value) and word in ("completed", "stopped") else word)
        draws = None
        if DRAWN in trials.columns:
            order = np.argsort(~np.isnan(values), kind="stable")  # of two of one place, that with a result counts
            placed = order[[labels[place] != "" for place in seeds[order].tolist()]]
            draws = Draws.of(trials.iloc[placed], codes[placed], seeds[placed], shape=table.shape)
        return cls(tuple(names), measure, table, flags, tuple(Endings.of(of_name) for of_name in words), draws)

    @classmethod
    def plain(cls, values: Mapping[str, Mapping[int, float]], measure: str) -> SeedValues:
        """The numbers of configurations by seed, all of them of finished trials."""
        seeds = sorted({seed for by_seed in values.values() for seed in by_seed})
        table = np.asarray([[by_seed.get(seed, np.nan) for seed in seeds] for by_seed in values.values()])
        endings = tuple(Endings.of(["completed"] * len(by_seed)) for by_seed in values.values())
        shape = (len(values), len(seeds))
        return cls(tuple(values), measure, table.reshape(shape), np.zeros(shape, dtype=np.bool_), endings)

    def replicate(self, place: int) -> str:
        """What the repeats of a configuration are: "seed", "fold" or "re-split"."""
        return "seed" if self.draws is None else self.draws.word(place)

    def means(self) -> Floats:
        """The mean of each configuration over its seeds with a result (k,); NaN without any."""
        known = ~np.isnan(self.values)
        with np.errstate(invalid="ignore"):
            return np.where(known, self.values, 0.0).sum(axis=1) / np.where(
                known.any(axis=1), known.sum(axis=1), np.nan
            )


def _timed(trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Which trials had a budget in seconds (N,), so that all of their numbers depend on the clock."""
    if "budget_seconds" not in trials.columns:
        return np.zeros(len(trials), dtype=np.bool_)
    return np.isfinite(numbers(trials, "budget_seconds"))


def _repeat(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_repeats(
    codes: Places,
    seeds: Places,
    with_result: NDArray[np.bool_],
    *,
    names: Sequence[str],
    labels: Sequence[str],
    by: str,
) -> None:
    """Raises AssayError if two trials with a result have one configuration and one repeat."""
    places, counts = np.unique(codes[with_result] * len(labels) + seeds[with_result], return_counts=True)
    for place, count in zip(places[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        raise AssayError(
            f"{by} {names[place // len(labels)]!r} has {count} trials of repeat {labels[place % len(labels)]}, so "
            "seeds cannot be paired; restrict the trials to what is to be compared"
        )
