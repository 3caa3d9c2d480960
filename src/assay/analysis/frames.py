"""What every analysis needs from its frames: columns, numbers, trials with a result, comparable seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.errors import AssayError, listed, unknown

FINISHED = ("completed", "stopped")
SHARED = " in cohorts"
"""What follows the timing of trials that share the seconds of their cohort."""
UNKNOWN = "unknown"
"""The timing, machine or threads of a trial that has none, such as one that waits."""
CLOCK = ("timing", "machine", "threads")  # seconds are comparable where these are equal


def need(frame: pd.DataFrame, columns: Iterable[str], *, what: str = "trials") -> None:
    """Checks that the frame has rows and the columns. Raises AssayError."""
    if len(frame) == 0:
        raise AssayError(f"there are no {what} to analyse")
    for column in columns:
        have(frame, column, what=what)


def have(frame: pd.DataFrame, column: str, *, what: str = "trials") -> None:
    """Checks that the frame has the column. Raises AssayError, with the nearest name."""
    if column not in frame.columns:
        raise AssayError(f"{unknown('column', column, [str(name) for name in frame.columns])} (a frame of {what})")


def numbers(frame: pd.DataFrame, column: str, *, what: str = "trials") -> NDArray[np.float64]:
    """A column as float64, NaN where nothing was measured. Raises AssayError if it holds anything but numbers."""
    have(frame, column, what=what)
    if isinstance(frame[column].dtype, np.dtype) and frame[column].dtype.kind in "fiu":
        return frame[column].to_numpy(dtype=np.float64, copy=True)
    values: list[object] = frame[column].tolist()
    try:
        return np.asarray([np.nan if _absent(value) else value for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise AssayError(f"the column {column!r} of the {what} holds something that is not a number") from None


def rows(frame: pd.DataFrame, keep: NDArray[np.bool_]) -> pd.DataFrame:
    """The rows where `keep` is true."""
    return frame.iloc[np.flatnonzero(keep)]


def measured(trials: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The trials that completed, or were stopped by a stopping rule, with a finite number in each of the columns."""
    return rows(trials, is_measured(trials, *columns))


def is_measured(trials: pd.DataFrame, *columns: str) -> NDArray[np.bool_]:
    """Which trials `measured` has (N,): to count them needs no copy of their rows."""
    have(trials, "outcome")
    keep = np.asarray([str(outcome) in FINISHED for outcome in trials["outcome"].tolist()], dtype=np.bool_)
    for column in columns:
        keep &= np.isfinite(numbers(trials, column))
    return keep


def factorized(values: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The number of each value among the different ones (N,), and these in order of first appearance.

    >>> codes, names = factorized(["b", "a", "b"])
    >>> codes.tolist(), names
    ([0, 1, 0], ['b', 'a'])
    """
    numbers_of = {name: number for number, name in enumerate(dict.fromkeys(values))}
    return np.asarray([numbers_of[value] for value in values], dtype=np.int64), list(numbers_of)


def ascending(groups: NDArray[Any], values: NDArray[np.float64]) -> bool:
    """Whether rows are sorted by the number of their group (N,), and within each by their value (N,).

    >>> ascending(np.array([0, 0, 1]), np.array([1.0, 2.0, 0.0])), ascending(np.array([0, 0]), np.array([2.0, 1.0]))
    (True, False)
    """
    same = groups[1:] == groups[:-1]
    return bool((groups[1:] >= groups[:-1]).all() and (~same | (values[1:] >= values[:-1])).all())


def places(frame: pd.DataFrame, by: str) -> list[tuple[str, NDArray[np.int64]]]:
    """(str(value), positions of its rows) for each value of a column, in order of first appearance.

    >>> [(name, at.tolist()) for name, at in places(pd.DataFrame({"optimizer": ["adam", "sgd", "adam"]}), "optimizer")]
    [('adam', [0, 2]), ('sgd', [1])]
    """
    have(frame, by)
    codes, names = factorized([str(value) for value in frame[by].tolist()])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    return list(zip(names, np.split(order, ends[:-1]), strict=False))


def groups(frame: pd.DataFrame, by: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields (str(value), rows) for each value of a column, in order of first appearance."""
    for name, positions in places(frame, by):
        yield name, frame.iloc[positions]


def median(values: NDArray[np.float64], *, infinite: int = 0) -> float:
    """The median of the values and of so many infinite ones; NaN without any. For a few values as fast as a sort.

    >>> median(np.array([3.0, 1.0])), median(np.array([3.0, 1.0]), infinite=1), median(np.array([1.0]), infinite=2)
    (2.0, 3.0, inf)
    """
    ordered = [*sorted(values.tolist()), *[math.inf] * infinite]
    half, odd = divmod(len(ordered), 2)
    if not ordered:
        return math.nan
    return ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2


def spread(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    """The mean, minimum and maximum of the values as three entries; NaN without values.

    >>> spread("accuracy", np.array([0.5, 1.0]))
    {'accuracy': 0.75, 'accuracy_min': 0.5, 'accuracy_max': 1.0}
    """
    statistics = [float(values.mean()), float(values.min()), float(values.max())] if values.size else [math.nan] * 3
    return dict(zip((name, f"{name}_min", f"{name}_max"), statistics, strict=True))


def outcomes(trials: pd.DataFrame, *, finished: int) -> dict[str, int]:
    """The number of trials, and how many of them finished with a number, diverged, timed out, or are no result."""
    return outcome_counts([str(outcome) for outcome in trials["outcome"].tolist()], finished=finished)


def outcome_counts(words: Sequence[object], *, finished: int) -> dict[str, int]:
    """`outcomes` of trials that ended with these words."""
    words = list(words)
    diverged, timed_out = words.count("diverged"), words.count("timed out")
    missing = len(words) - finished - diverged - timed_out
    return {"n": finished, "trials": len(words), "diverged": diverged, "timed_out": timed_out, "missing": missing}


def is_imported(trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows are curves imported from logs (N,); none in a frame without the column `origin`."""
    if "origin" not in trials.columns:
        return np.zeros(len(trials), dtype=np.bool_)
    return np.asarray([str(origin) == "imported" for origin in trials["origin"].tolist()], dtype=np.bool_)


def own(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The trials measured by Assay, and a sentence on the excluded ones; all rows if every one is imported.

    >>> own(pd.DataFrame({"configuration": ["a", "b (imported)"], "origin": ["measured", "imported"]}))[1]
    'b (imported) left out: an imported log has the seconds of another framework and machine'
    """
    imported = is_imported(trials)
    if not imported.any() or imported.all():
        return trials, ""
    names = list(dict.fromkeys(str(name) for name in trials["configuration"][imported].tolist()))
    return rows(trials, ~imported), (
        f"{listed(names)} left out: an imported log has the seconds of another framework and machine"
    )


def paired(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials whose seeds can be paired: those measured by Assay. Raises AssayError without any."""
    imported = is_imported(trials)
    if len(trials) and imported.all():
        raise AssayError("imported logs name no seeds that can be paired, so they cannot be compared seed by seed")
    return rows(trials, ~imported) if imported.any() else trials


def clocks(trials: pd.DataFrame) -> dict[tuple[str, ...], list[int]]:
    """The positions of the trials with comparable seconds, by (timing, machine, threads, level).

    Trials that were trained together share the seconds of their cohort, which do not compare with those of a trial
    alone: their timing is "packed in cohorts". On a GPU an iteration takes about as long for many trials as for one, so
    that cohorts of one size alone compare: "packed in cohorts of 45".

    The instruction level separates trials of one engine alone, because engines choose theirs by themselves: `level` is
    "" where the trials of each engine have one known level at most, and else "engine level" for those that do not have
    the most frequent level of their engine. A trial without a known level joins that one.

    The largest group comes first. The groups of imported curves come last.
    """
    for column in CLOCK:
        have(trials, column)
    columns = [[_word(value) for value in trials[column].tolist()] for column in CLOCK]
    if "cohort" in trials.columns:
        columns[0] = [
            f"{timing}{size}" if size else timing for timing, size in zip(columns[0], _cohorts(trials), strict=True)
        ]
    places: dict[tuple[str, ...], list[int]] = {}
    for position, clock in enumerate(zip(*columns, strict=True)):
        places.setdefault(clock, []).append(position)
    levels = _engine_levels(trials)
    positions: dict[tuple[str, ...], list[int]] = {}
    for clock, members in places.items():
        main = _most_frequent(levels, members)
        for position in members:
            engine, level = levels[position]
            other = f"{engine} {level}" if level is not None and level != main[engine] else ""
            positions.setdefault((*clock, other), []).append(position)
    return dict(sorted(positions.items(), key=lambda item: (item[0][0].startswith("imported"), -len(item[1]))))


def _cohorts(trials: pd.DataFrame) -> list[str]:
    """What each trial's timing is called after it, for the trials that share seconds; "" for those alone."""
    sizes = numbers(trials, "cohort")
    on_gpu = np.zeros(len(trials), np.bool_)
    if "device" in trials.columns:
        on_gpu = np.array([not _absent(device) and device != "cpu" for device in trials["device"].tolist()])
    return [
        (f"{SHARED} of {size:.0f}" if gpu else SHARED) if size > 1 else ""
        for size, gpu in zip(sizes, on_gpu, strict=True)
    ]


def same_clock(trials: pd.DataFrame) -> None:
    """Checks that the seconds of the trials are comparable. Raises AssayError, naming the groups."""
    by_clock = clocks(trials)
    if len(by_clock) > 1:
        sentence = "; ".join(described(clock, len(positions)) for clock, positions in by_clock.items())
        raise AssayError(
            f"these seconds are not comparable: {sentence}. Restrict the trials with comparable(), or compare by flops"
        )


def assumed_levels(trials: pd.DataFrame) -> str:
    """The sentence on trials without a known instruction level that are compared with those of a known one, or "".

    >>> frame = pd.DataFrame({"engine": "native", "level": ["avx2", "avx2", None]})
    >>> assumed_levels(frame.assign(timing="isolated", machine="3f2a", threads=2))
    '1 trial stored without an instruction level is taken to have avx2 (native)'
    """
    levels = _engine_levels(trials)
    counts: dict[str, int] = {}
    for members in clocks(trials).values():
        main = _most_frequent(levels, members)
        for position in members:
            engine, level = levels[position]
            if level is None and engine in main:
                assumed = f"{main[engine]} ({engine})"
                counts[assumed] = counts.get(assumed, 0) + 1
    if not counts:
        return ""
    total = sum(counts.values())
    names = list(counts) if len(counts) == 1 else [f"{count} {level}" for level, count in counts.items()]
    trials_are = (
        "trial stored without an instruction level is"
        if total == 1
        else ("trials stored without an instruction level are")
    )
    return f"{total} {trials_are} taken to have {' and '.join(names)}"


def _engine_levels(trials: pd.DataFrame) -> list[tuple[str, str | None]]:
    """The engine of each trial and its instruction level, None where it is unknown."""
    if "level" not in trials.columns or "engine" not in trials.columns:
        return [("", None)] * len(trials)
    pairs = zip(trials["engine"].tolist(), trials["level"].tolist(), strict=True)
    return [(str(engine), None if _absent(level) else str(level)) for engine, level in pairs]


def _most_frequent(levels: Sequence[tuple[str, str | None]], members: Iterable[int]) -> dict[str, str]:
    """The most frequent known level of each engine, of equally frequent ones the first."""
    counts: dict[str, dict[str, int]] = {}
    for position in members:
        engine, level = levels[position]
        if level is not None:
            of_engine = counts.setdefault(engine, {})
            of_engine[level] = of_engine.get(level, 0) + 1
    return {engine: max(of_engine, key=lambda level: of_engine[level]) for engine, of_engine in counts.items()}


def described(clock: tuple[str, ...], count: int) -> str:
    """One group of trials with comparable seconds, in words.

    >>> described(("isolated", "3f2a", "2"), 8)
    '8 trials isolated on machine 3f2a with 2 threads'
    >>> described(("isolated", "3f2a", "2", "native avx2"), 1)
    '1 trial isolated on machine 3f2a with 2 threads, instruction level native avx2'
    """
    timing, machine, threads, *level = clock
    if timing.startswith("imported"):
        curves = f"{count} imported curve{'' if count == 1 else 's'}"
        return f"{curves} with seconds of another framework ({timing.partition(': ')[2]}), machine {machine}"
    trials = f"{count} trial{'' if count == 1 else 's'}"
    used = "on one core each" if timing.startswith("packed") and threads == UNKNOWN else _in_words(threads)
    where = f"{trials} {timing} on machine {machine[:8]} {used}"
    return where + (f", instruction level {level[0]}" if level and level[0] else "")


def _in_words(threads: str) -> str:
    return f"with {threads} thread{'' if threads == '1' else 's'}"


def _absent(value: object) -> bool:
    return value is None or value is pd.NA or value != value


def _word(value: object) -> str:
    if _absent(value):
        return UNKNOWN
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
