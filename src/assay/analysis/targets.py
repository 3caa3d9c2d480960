"""The time to a target accuracy or loss; trials that do not reach it are right-censored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are first used
from numpy.typing import ArrayLike, NDArray

from assay.analysis.frames import FINISHED, ascending, have, measured, need, numbers, own, places, same_clock
from assay.analysis.quantities import AXES, LOSS, SCORE, SPLITS, TEST_SCORE, name_of, no_accuracy
from assay.analysis.seeds import ENDED, Endings, outcomes_of
from assay.errors import AssayError, unknown
from assay.parts.fractions import fraction

Floats = NDArray[np.float64]


class NothingLearnedError(AssayError):
    """The best configuration is no better than chance."""


_LOSS = "give a loss as the target: --loss 0.3, in Python loss=0.3"


def default_target(trials: pd.DataFrame, *, column: str = TEST_SCORE.column) -> float:
    """A score near the best, a fraction: 99 % of the way from chance to the best configuration, rounded down.

    The best configuration is that with the highest mean over its finished trials. Chance is what a constant answer
    scores: the fraction of the largest class of the test set (the column `majority`), at least 1 / classes, or 0 where
    neither is known. It is rounded down to a percent, or to a tenth where the way is under 10 points, or as finely as
    it takes to stay above chance. It is a choice of a target, not a statistic of the trials. Imported curves count only
    if there are no other trials.

    Raises AssayError if no trial has the score, and NothingLearnedError, which is one, if the best is no better than
    chance: neither above 1.5 times chance nor a tenth of the way from chance to 1.
    """
    if reason := no_accuracy(trials, "a target is an accuracy"):
        raise AssayError(f"{reason}; {_LOSS}")
    need(trials, ["outcome", column])
    trials, _ = own(trials)
    finished = measured(trials, column)
    scores = numbers(finished, column)
    if not scores.size:
        raise AssayError(f"no finished trial has an {SCORE.name}, so there is no target to choose")
    members = (
        places(finished, "configuration") if "configuration" in finished.columns else [("", np.arange(scores.size))]
    )
    name, best = max(((label, float(scores[at].mean())) for label, at in members), key=lambda pair: pair[1])
    chance = _chance(finished)
    way = best - chance
    if way < _LEARNED * (1 - chance) and best < _TIMES_CHANCE * chance:
        raise NothingLearnedError(
            f"the best configuration, {name}, has {100 * best:.2f} % and chance is {100 * chance:.2f} %: nothing "
            "learned enough to choose a target"
        )
    step = 100 if way >= 0.1 else 1000
    target = chance + _NEAR * way
    while step < _FINEST and math.floor(target * step + 1e-9) <= chance * step:
        step *= 10
    return max(math.floor(target * step + 1e-9) / step, 1 / step)


def _chance(trials: pd.DataFrame) -> float:
    """What a constant answer scores on the data of these trials; 0 where it is unknown."""
    chances: list[float] = []
    if "classes" in trials.columns:
        chances += (1.0 / numbers(trials, "classes")).tolist()
    if "majority" in trials.columns:
        chances += numbers(trials, "majority").tolist()
    return max((chance for chance in chances if math.isfinite(chance)), default=0.0)


_FINEST = 10**6  # the parts of 1 to which a target is rounded at most
_NEAR = 0.99  # of the way from chance to the best configuration
_LEARNED, _TIMES_CHANCE = 0.1, 1.5  # below both, a score counts as chance


def times_to(
    curves: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    accuracy: float | None = None,
    loss: float | None = None,
    by: str = "iteration",
    split: str = "test",
) -> pd.DataFrame:
    """The time at which each trial first reached the target; by default the target is `default_target`.

    The time is interpolated linearly between the two measured points around the first crossing. If the first point
    already reaches the target, the time is that of this point. A trial that does not reach the target is
    right-censored: `reached` is False and the time is that of its last measured point. A trial without a measured
    point, and one that is no result (failed, lost, out of memory), has no time (NaN).

    Columns: trial, configuration, outcome, time (in units of `by`), reached. `.attrs` holds target, by and quantity.

    Raises AssayError for an unknown axis or split, for an accuracy that is no fraction, and if `by` is "seconds" and
    the seconds are not comparable.
    """
    if by not in AXES:
        raise AssayError(unknown("axis", by, AXES))
    if split not in SPLITS:
        raise AssayError(unknown("split", split, SPLITS))
    if accuracy is not None and loss is not None:
        raise AssayError("a target is an accuracy or a loss, not both")
    need(trials, ["trial", "configuration", "outcome"])
    if by == "seconds":
        same_clock(measured(trials, "seconds") if "seconds" in trials.columns else trials)
    if accuracy is not None:
        if reason := no_accuracy(trials, "the target is an accuracy"):
            raise AssayError(f"{reason}; {_LOSS}")
        accuracy = _fraction(accuracy)
    target = loss if loss is not None else default_target(trials) if accuracy is None else accuracy
    metric = SCORE if loss is None else LOSS
    column = name_of(split, metric.name)
    for name in ("trial", by, column):
        have(curves, name, what="curves")
    sign = 1.0 if metric.higher_is_better else -1.0
    times, values = numbers(curves, by), sign * numbers(curves, column)
    of_trial = _crossings(curves["trial"], times, values, sign * target)
    crossings = [
        (math.nan, False) if _no_result(outcome) else of_trial.get(str(trial), (math.nan, False))
        for trial, outcome in zip(trials["trial"].tolist(), trials["outcome"].tolist(), strict=True)
    ]
    table = trials[["trial", "configuration", "outcome"]].reset_index(drop=True)
    table = table.assign(time=[time for time, _ in crossings], reached=[reached for _, reached in crossings])
    table.attrs = {"target": float(target), "by": by, "quantity": column}
    return table


def _fraction(accuracy: float) -> float:
    try:
        return fraction(accuracy)
    except AssayError as error:
        raise AssayError(f"accuracy: {error}") from None


def unit_of(trials: pd.DataFrame, by: str) -> str:
    """What times by an axis count: `by`, but "epoch" where every curve was imported from a log without iterations.

    >>> unit_of(pd.DataFrame({"steps": ["epochs", "epochs"]}), "iteration")
    'epoch'
    """
    only_epochs = "steps" in trials.columns and set(trials["steps"].tolist()) == {"epochs"}
    return "epoch" if by == "iteration" and only_epochs else by


def batch_sizes_differ(trials: pd.DataFrame) -> bool:
    """Whether the examples of an iteration differ between trials, by more than the rest of an epoch explains.

    >>> batch_sizes_differ(pd.DataFrame({"iterations": [100, 10], "examples": [1000, 1000]}))
    True
    """
    if not {"iterations", "examples"} <= set(trials.columns):
        return False
    iterations, examples = numbers(trials, "iterations"), numbers(trials, "examples")
    is_known = (iterations > 0) & (examples > 0)
    sizes = examples[is_known] / iterations[is_known]
    return bool(sizes.size) and float(sizes.max()) > 1.2 * float(sizes.min())


def without_iterations(trials: pd.DataFrame, by: str) -> list[str]:
    """The configurations whose imported curves count epochs among others that count iterations: they have no time."""
    if by != "iteration" or "steps" not in trials.columns or unit_of(trials, by) == "epoch":
        return []
    return list(dict.fromkeys(map(str, trials["configuration"][trials["steps"] == "epochs"].tolist())))


def _crossings(trials: Any, times: Floats, values: Floats, target: float) -> dict[str, tuple[float, bool]]:
    """By trial, the time at which its values first reach the target, or else the last time; and whether they do."""
    keep = np.isfinite(times) & np.isfinite(values)
    if not keep.all():
        trials, times, values = trials[keep], times[keep], values[keep]
    codes, names = pd.factorize(trials, use_na_sentinel=False)
    if not ascending(codes, times):
        order = np.lexsort((times, codes))
        codes, times, values = codes[order], times[order], values[order]
    if not codes.size:
        return {}
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    ends = np.append(starts[1:], codes.size)
    first = np.minimum.reduceat(np.where(values >= target, np.arange(codes.size), codes.size), starts)
    reached = first < ends
    at = np.where(reached, first, ends - 1)
    inside = reached & (at > starts)  # between two points; the others are at a point
    i = at[inside]
    fraction = (target - values[i - 1]) / (values[i] - values[i - 1])
    when = times[at]
    when[inside] = times[i - 1] + fraction * (times[i] - times[i - 1])
    labels = [str(name) for name in names[codes[starts]]]
    return dict(zip(labels, zip(when.tolist(), reached.tolist(), strict=True), strict=True))


def kaplan_meier(times: ArrayLike, reached: ArrayLike, *, alpha: float = 0.05) -> pd.DataFrame:
    """The Kaplan-Meier estimate of the fraction of trials that have not yet reached the target, with its interval.

    S(t) = product over t_i <= t of (1 - d_i / n_i), with d_i arrivals among n_i trials at risk. The interval is
    Greenwood's on the scale log(-log S), which stays within 0 and 1. It is NaN where the formula is undefined: before
    the first arrival and where S is 0. A trial that can never reach the target has an infinite time.

    Columns: time, at_risk, arrived, censored, survival, low, high; the first row is at time 0.

    >>> kaplan_meier([1.0, 2.0, 3.0], [True, False, True])["survival"].round(4).tolist()
    [1.0, 0.6667, 0.6667, 0.0]

    Raises AssayError for a time that is negative or not a number, and without times.
    Source: Kaplan, Meier (1958); Greenwood (1926); Kalbfleisch, Prentice, "Failure time data" (1980).
    """
    t, arrived = _checked(times, reached)
    steps, n, d, s = _survival(t, arrived)
    censored = np.asarray([np.sum(~arrived & (t == step)) for step in steps], dtype=np.float64)
    z = _normal_quantile(1 - alpha / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(d / (n * (n - d)))
        half = z * np.sqrt(variance) / np.abs(np.log(s))
        low, high = s ** np.exp(half), s ** np.exp(-half)
    low[(s <= 0) | (s >= 1)] = high[(s <= 0) | (s >= 1)] = np.nan
    start = {"time": 0.0, "at_risk": t.size, "arrived": 0, "censored": 0, "survival": 1.0, "low": np.nan}
    start["high"] = np.nan
    columns = (steps, n, d, censored, s, low, high)
    table = pd.DataFrame({name: np.append(first, x) for (name, first), x in zip(start.items(), columns, strict=True)})
    return table.astype(dict.fromkeys(("at_risk", "arrived", "censored"), "int64"))


def _survival(t: Floats, arrived: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, Floats]:
    """The finite times, how many were at risk and arrived at each, and the fraction that had not arrived after it."""
    steps = np.unique(t[np.isfinite(t)])
    d = np.bincount(np.searchsorted(steps, t[arrived]), minlength=steps.size).astype(np.float64)
    n = (t.size - np.searchsorted(np.sort(t), steps)).astype(np.float64)
    return steps, n, d, np.asarray(np.cumprod(1.0 - d / np.maximum(n, 1.0)), dtype=np.float64)


def median_time(times: ArrayLike, reached: ArrayLike) -> float | None:
    """The Kaplan-Meier median of the time to the target; None if fewer than half of the trials reach it."""
    steps, _, _, survival = _survival(*_checked(times, reached))
    past_half = steps[survival <= 0.5 + 1e-12]
    return float(past_half[0]) if past_half.size else None


def restricted_mean(times: ArrayLike, reached: ArrayLike, *, horizon: float) -> tuple[float, float]:
    """The restricted mean time to the target, up to the horizon, and its standard error, in the units of the times.

    This is the area under the Kaplan-Meier curve from 0 to the horizon. The standard error is Greenwood's, the root
    of the sum over t_i <= horizon of (area from t_i to the horizon)^2 d_i / (n_i (n_i - d_i)).

    >>> restricted_mean([1.0, 2.0, 6.0], [True, True, True], horizon=6.0)[0]
    3.0

    Raises AssayError if the horizon lies beyond the last time while trials are still at risk: the curve is undefined
    there.
    Source: Klein, Moeschberger, "Survival analysis" (2003), section 4.5.
    """
    last = _follow_up(times, reached)
    if not 0 < horizon <= last:
        raise AssayError(f"the horizon {horizon:g} is not between 0 and {last:g}, the end of the follow-up")
    observed, arrived = _checked(times, reached)
    first = (0.0, float(observed.size), 0.0, 1.0)  # at time 0 everything is at risk
    t, n, d, s = (np.append(at, x) for at, x in zip(first, _survival(observed, arrived), strict=True))
    widths = np.diff(np.append(np.minimum(t, horizon), horizon))
    area = np.cumsum((s * widths)[::-1])[::-1]  # from each time to the horizon
    terms = (t <= horizon) & (d > 0) & (n > d)
    variance = np.sum(area[terms] ** 2 * d[terms] / (n[terms] * (n[terms] - d[terms])))
    return float(area[0]), math.sqrt(float(variance))


def wilson(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """The Wilson (1927) interval of a proportion, successes / n; NaN if n is 0.

    >>> [round(x, 4) for x in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if n == 0:
        return math.nan, math.nan
    z = _normal_quantile(1 - alpha / 2)
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def summary(times: pd.DataFrame, *, by: str = "configuration", horizon: float | None = None) -> pd.DataFrame:
    """How many trials of each configuration reach the target, and when; the smallest restricted mean first.

    A configuration of which no trial completed, or was stopped by a rule, comes last.

    A trial that diverged or timed out before the target missed it, so it stays at risk until the end instead of being
    censored where it ended, also if it has no curve.

    Args:
        times: the result of `times_to`.
        by: the column to group by.
        horizon: of the restricted mean, common to all groups. By default the longest time to which every group was
            followed.

    Columns: the one of `by`, trials, reached, success (the fraction reached), success_low, success_high (Wilson,
    95 %), median (NaN if fewer than half reach it), restricted_mean, restricted_mean_error, horizon, diverged,
    timed_out, unmeasured (trials that are no result or have no curve, which only `trials` counts).

    Raises AssayError without rows, and for a horizon beyond the end of the follow-up.
    """
    need(times, [by, "outcome", "time", "reached"], what="times")
    words, of_time = outcomes_of(times), numbers(times, "time", what="times")
    reached = np.asarray([bool(value) for value in times["reached"].tolist()], dtype=np.bool_)
    members = places(times, by)
    parts = {label: observed(of_time[at], reached[at], words[at]) for label, at in members}
    if horizon is None:
        longest = float(max(of_time[np.isfinite(of_time)], default=0.0))
        horizon = _common_horizon({_as_key(part) for part in parts.values() if part[0]}, longest)
    columns: dict[_Key, dict[str, object]] = {}  # configurations of which no trial arrives often have the same times
    table: list[dict[str, object]] = []
    for label, at in members:
        key = _as_key(parts[label])
        if key not in columns:
            columns[key] = _arrivals(*key, horizon)
        endings = Endings.of(words[at].tolist())
        ended = {"diverged": endings.count("diverged"), "timed_out": endings.count("timed out")}
        counts = ended | {"unmeasured": len(at) - len(key[0])}
        table.append({by: label, "trials": len(at)} | columns[key] | counts)
    return ranked(pd.DataFrame(table), ["restricted_mean"])


_Key = tuple[tuple[float, ...], tuple[bool, ...]]


def _as_key(part: tuple[list[float], list[bool]]) -> _Key:
    return tuple(part[0]), tuple(part[1])


def _arrivals(times: Sequence[float], reached: Sequence[bool], horizon: float) -> dict[str, object]:
    """The columns of a summary that times and arrivals alone give."""
    n = len(times)
    low, high = wilson(sum(reached), n)
    mean, error = math.nan, math.nan
    if n and not math.isnan(horizon):
        mean, error = restricted_mean(times, reached, horizon=horizon)
    median = median_time(times, reached) if n else None
    return {
        "reached": sum(reached),
        "success": sum(reached) / n if n else math.nan,
        "success_low": low,
        "success_high": high,
        "median": math.nan if median is None else median,
        "restricted_mean": mean,
        "restricted_mean_error": error,
        "horizon": horizon,
    }


def ranked(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A summary sorted by columns: most successes and smallest times first, without a finished trial last."""
    unfinished = table["trials"] - table["diverged"] - table["timed_out"] - table["unmeasured"] <= 0
    ascending = [True, *(column != "success" for column in columns)]
    sorted_table = table.assign(unfinished=unfinished).sort_values(
        ["unfinished", *columns], ascending=ascending, kind="stable", na_position="last", ignore_index=True
    )
    return sorted_table.drop(columns="unfinished")


def observed(
    times: NDArray[np.float64], reached: NDArray[np.bool_], words: NDArray[np.object_]
) -> tuple[list[float], list[bool]]:
    """The times of the trials with a result, infinite for a miss of one that did not finish; whether each reached.

    Args:
        times: the column `time` of `times_to` (n,).
        reached: its column `reached` (n,).
        words: its column `outcome` (n,).
    """
    ended = np.isin(words, ENDED)
    kept = ended | ~np.isnan(times)
    with_misses = np.where(ended & ~reached, np.inf, times)
    return with_misses[kept].tolist(), reached[kept].tolist()


def _no_result(outcome: object) -> bool:
    return str(outcome) not in FINISHED and str(outcome) not in ENDED


def _follow_up(times: ArrayLike, reached: ArrayLike) -> float:
    """The time up to which the curve is defined: infinite if it falls to 0 or ends in trials that never arrive."""
    t, arrived = _checked(times, reached)
    last = float(t.max())
    return math.inf if bool(np.all(arrived[t == last])) else last


def _common_horizon(parts: Iterable[_Key], longest: float) -> float:
    horizon = min([longest, *(_follow_up(times, reached) for times, reached in parts)])
    return horizon if horizon > 0 else math.nan


def _checked(times: ArrayLike, reached: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    t, arrived = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=np.bool_)
    if t.shape != arrived.shape or t.ndim != 1:
        raise AssayError(f"{t.size} times do not match {arrived.size} values of `reached`")
    if not t.size:
        raise AssayError("there are no times to analyse")
    if np.isnan(t).any() or (t < 0).any() or np.isinf(t[arrived]).any():
        raise AssayError("a time must be 0 or more, and finite where the target was reached")
    return t, arrived


def _normal_quantile(p: float) -> float:
    return float(scipy.special.ndtri(p))
