"""What the charts read from the tidy frames of a study, and the sentences for what a frame lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.axis_columns import PREFIX, is_no_axis
from assay.analysis.frames import FINISHED, UNKNOWN, clocks, is_imported
from assay.analysis.quantities import MEASURES
from assay.analysis.seeds import counted as counted_as
from assay.errors import AssayError
from assay.errors import unknown as unknown_name
from assay.report.charts.style import LABEL, counted, labels, number, short, unique, word
from assay.report.text import clean

Frame = Any  # a pandas frame: pandas has no types that a strict checker accepts


def checked(frame: Frame, columns: Iterable[str], *, what: str = "trials") -> Frame:
    """The frame, if it has the columns. Raises: AssayError."""
    for column in columns:
        if column not in frame.columns:
            raise AssayError(f"{what}: " + unknown_name("column", column, [str(c) for c in frame.columns]))
    return frame


def words(frame: Frame, column: str) -> list[str]:
    """The column as labels; those of equal texts, of which a large study has many, are made once."""
    made: dict[str, str] = {}
    texts: list[str] = []
    for value in frame[column].tolist():
        if type(value) is not str:
            texts.append(word(value))
            continue
        label = made.get(value)
        texts.append(made.setdefault(value, word(value)) if label is None else label)
    return texts


def numbers(frame: Frame, column: str) -> list[float | None]:
    """The column as plain floats, None for what is not finite, and None alone where the frame lacks the column."""
    if column not in frame.columns:
        return [None] * len(frame)
    return [number(value) for value in frame[column].tolist()]


def floats(frame: Frame, column: str) -> NDArray[np.float64]:
    """The column as an array, NaN for what is not finite, and NaN alone where the frame lacks the column."""
    if column in frame.columns and isinstance(frame[column].dtype, np.dtype) and frame[column].dtype.kind in "fiu":
        values = frame[column].to_numpy(dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan)
    return np.array(numbers(frame, column), dtype=np.float64)


def axes_of(trials: Frame) -> list[str]:
    """The columns that differ between trials and are not measured: the axes of the study."""
    columns = [str(c) for c in trials.columns]
    names = [c for c in columns if not is_no_axis(c) and not c.startswith("ledger_") and PREFIX + c not in columns]
    return [name for name in names if len(set(words(trials, name))) > 1]


def ordered(values: Iterable[Any]) -> list[str]:
    """The different values of an axis as labels: numbers by size, everything else in the order of appearance."""
    seen: dict[str, Any] = {}
    for value in values:
        seen.setdefault(word(value), value)
    plain = {label: number(value) for label, value in seen.items() if not isinstance(value, (bool, str))}
    if len(plain) == len(seen) and all(value is not None for value in plain.values()):
        return sorted(seen, key=lambda label: plain[label] or 0.0)
    return list(seen)


def outcomes(trials: Frame) -> dict[str, int]:
    """How many trials ended in a way other than completed or stopped, most frequent first."""
    if "outcome" not in trials.columns:
        return {}
    counts = pd.Series(trials["outcome"].astype(str)).value_counts()
    return {clean(name): int(count) for name, count in counts.items() if str(name) not in FINISHED}


def unfinished(trials: Frame) -> list[str]:
    """How each trial ended, empty where it completed or stopped."""
    if "outcome" not in trials.columns:
        return [""] * len(trials)
    return ["" if str(o) in FINISHED else clean(o) for o in trials["outcome"].tolist()]


def ended(trials: Frame) -> str:
    """The sentence about trials that did not finish, empty where all did."""
    return counted(outcomes(trials), len(trials))


def nothing(trials: Frame, wanted: str) -> str:
    """Why there is nothing to draw."""
    if not len(trials):
        return "There are no trials."
    how = ended(trials)
    return f"No trial has {wanted}" + (f": {how}." if how else ".")


def mixed(trials: Frame) -> str:
    """The sentence about times that cannot be compared, empty where they can."""
    kinds = {"machine": "machines", "threads": "numbers of threads", "timing": "kinds of timing"}
    unknown = {word(None)}  # of trials that have not run
    counts = [
        f"{count} {plural}"
        for column, plural in kinds.items()
        if column in trials.columns and (count := len(set(words(trials, column)) - unknown)) > 1
    ]
    if not counts and set(kinds) <= set(trials.columns):
        found = clocks(trials)
        if len({timing for timing, *_ in found} - {UNKNOWN}) > 1:
            counts = ["trials that share the seconds of a cohort and others"]
        elif any(level for *_, level in found):
            counts = ["several instruction levels of one engine"]
    return f"times from {', '.join(counts)} are not comparable" if counts else ""


def studies(trials: Frame) -> str:
    """The names of the studies, for a title."""
    names = list(dict.fromkeys(words(trials, "study"))) if "study" in trials.columns else []
    return names[0] if len(names) == 1 else f"{len(names)} studies" if names else ""


def headed(trials: Frame, text: str, title: str | None) -> str:
    """The given title, or the text after the name of the study."""
    study = studies(trials)
    return title if title is not None else f"{study}: {text}" if study else text


def statistics(trials: Frame, by: str, columns: Sequence[str]) -> Frame:
    """One row per value of `by`: n, unfinished (how many did not finish) and min, median, mean, max.

    The statistics are over finite values; their columns are called accuracy_min and so on. Trials that diverged or
    timed out count by the rule of `assay.analysis.seeds`: with their last score, and in the median of a cost as worse
    than any finished trial.
    """
    plain = pd.DataFrame({"name": words(trials, by), "bad": [bool(how) for how in unfinished(trials)]})
    for column in columns:
        plain[column] = _as_counted(trials, column)
    groups = plain.groupby("name", sort=False)
    table = pd.DataFrame({"n": groups.size(), "unfinished": groups["bad"].sum()})
    for column in columns:
        finite = plain[column].where(np.isfinite(plain[column])).groupby(plain["name"], sort=False)
        for statistic in ("min", "median", "mean", "max"):
            values = groups[column].median() if statistic == "median" else finite.agg(statistic)
            table[f"{column}_{statistic}"] = values.where(np.isfinite(values))
    return table.reset_index()


def _as_counted(trials: Frame, column: str) -> Any:
    """What each trial counts as in a column; its own numbers where the frame cannot say how it ended."""
    if column in MEASURES and "outcome" in trials.columns:
        with suppress(AssayError):
            own = is_imported(trials)
            return np.where(own, pd.Series(numbers(trials, column), dtype="float64"), counted_as(trials, column))
    return pd.Series(numbers(trials, column), dtype="float64").to_numpy()


def pooled(trials: Frame, *columns: str | None) -> str:
    """The note that values of these columns pool several configurations, empty where they do not."""
    names = [name for name in columns if name]
    if "configuration" not in trials.columns or {"configuration", "trial"} & set(names) or not len(trials):
        return ""
    keys = pd.DataFrame({str(place): words(trials, name) for place, name in enumerate(names)})
    counts: Any = keys.assign(c=words(trials, "configuration")).groupby(list(keys.columns), sort=False)["c"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"pooled over {low:,}{f' to {high:,}' if low < high else ''} configurations each" if high > 1 else ""


def captions(trials: Frame, by: str, names: Sequence[str]) -> dict[str, str]:
    """A short label for each value of a column; trials and machines have keys, which say nothing to a reader."""
    if by == "trial" and {"configuration", "seed"} <= set(trials.columns):
        columns = (words(trials, name) for name in ("trial", "configuration", "seed"))
        texts = {key: f"{short(label, LABEL - 10)}, seed {seed}" for key, label, seed in zip(*columns, strict=True)}
        return dict(zip(names, unique(texts.get(name, name) for name in names), strict=True))
    if by == "machine":
        order = list(dict.fromkeys(words(trials, by)))
        return {name: f"machine {order.index(name) + 1}" if name in order else short(name) for name in names}
    return labels(names)


def best_of(kept: int, total: int, what: str = "") -> str:
    """The note that not all are shown, empty where all are.

    >>> best_of(12, 40, "configurations"), best_of(3, 3)
    ('showing 12 of 40 configurations', '')
    """
    return f"showing {kept:,} of {total:,} {what}".rstrip() if kept < total else ""


def omitted(count: int, why: str) -> str:
    """The note that some are not drawn, empty where all are.

    >>> omitted(3, "without a time"), omitted(0, "without a time")
    ('3 without a time omitted', '')
    """
    return f"{count:,} {why} omitted" if count else ""
