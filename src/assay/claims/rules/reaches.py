"""The rule `reaches`: enough seeds reach a target within a time; those that miss it are censored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis import targets
from assay.analysis.frames import numbers
from assay.analysis.quantities import AXES
from assay.claims.comparing import check_looks
from assay.claims.draws import check_independent
from assay.claims.measured import CannotTellError, Measured, SideValues
from assay.claims.rules.arrival_tests import Arrival, enough, sooner
from assay.claims.rules.rule import Answer, Asked, Key, Rule
from assay.claims.side import END
from assay.claims.timing import check_times

_UNITS = {"iteration": "iterations", "examples": "examples", "seconds": "s", "flops": "operations"}


def _words(asked: Asked) -> str:
    quantity = asked.side("side").quantity
    reached = f"{quantity.label} of {{side}} reaches {quantity.text(asked['target'])}"
    unit, times = _UNITS[asked["by"]], asked["times_at_most"]
    if asked["than"] is None:
        how = "exact binomial test" if asked["significant"] else "Kaplan-Meier, misses censored"
        fraction = (
            f"on {'more than' if asked['significant'] else 'at least'} {100 * asked['fraction']:g} % of the seeds"
        )
        return f"{reached} {fraction} within {asked['within']:,g} {unit} ({how})"
    if asked["significant"]:
        return f"{reached} within {times:g} times the {unit} of {{than}} (sign test over paired seeds)"
    return f"{reached} in at most {times:g} times the median {unit} of {{than}}"


def _answer(asked: Asked, measured: Measured) -> Answer:
    side = measured.read(asked.side("side"))
    by_seed = _arrivals(side, asked, measured)
    times, arrived = _columns(by_seed)
    if asked["significant"]:
        check_looks([side], measured)
        check_independent([side])
    median = targets.median_time(times, arrived)
    shown = "not reached by half" if median is None else f"median {median:,.4g} {_UNITS[asked['by']]}"
    evidence = f"{side.name}: {sum(arrived)} of {len(times)} {side.replicate}s reach it, {shown}"
    figures: dict[str, Any] = {"side": _plain(side, times, arrived, median)}
    if asked["than"] is not None:
        return _faster(asked, measured, evidence, figures, (by_seed, median))
    within, needed = asked["within"], asked["fraction"]
    table = targets.kaplan_meier(times, arrived)
    survival = float(numbers(table, "survival", what="times")[numbers(table, "time", what="times") <= within][-1])
    early = sum(r and t <= within for t, r in zip(times, arrived, strict=True))
    unknown = sum(not r and t < within for t, r in zip(times, arrived, strict=True))
    figures["fraction_within"] = 1 - survival
    evidence += f"; {100 * (1 - survival):.3g} % within {within:,g}"
    if asked["significant"]:
        holds = enough(early, unknown, len(times), fraction=needed, alpha=asked.alpha)
        reason = f"{len(times)} seeds do not decide it" if holds is None else ""
        return Answer(holds, evidence, reason, figures)
    if 1 - survival >= needed - 1e-12:
        return Answer(True, evidence, figures=figures)
    if (early + unknown) / len(times) < needed - 1e-12 or not unknown:
        return Answer(False, evidence, figures=figures)
    return Answer(
        None, evidence, f"{unknown} {side.replicate}s were not trained for {within:,g} {_UNITS[asked['by']]}", figures
    )


def _faster(
    asked: Asked,
    measured: Measured,
    evidence: str,
    figures: dict[str, Any],
    own: tuple[dict[int, Arrival], float | None],
) -> Answer:
    """The median time against that of the other side; one that was never reached is later than the last time seen."""
    than = measured.read(asked.side("than"))
    if asked["by"] == "seconds":
        _check_seconds(measured.read(asked.side("side")), than, measured)
    of_than = _arrivals(than, asked, measured)
    times, arrived = _columns(of_than)
    other, median = targets.median_time(times, arrived), own[1]
    shown = "not reached by half" if other is None else f"median {other:,.4g}"
    evidence += f"; {than.name}: {sum(arrived)} of {len(times)}, {shown}"
    figures["than"] = _plain(than, times, arrived, other)
    most = asked["times_at_most"]
    if asked["significant"]:
        check_looks([than], measured)
        check_independent([than])
        return _signs(own[0], of_than, asked, evidence, figures)
    if median is None and other is None:
        return Answer(None, evidence, f"neither side reaches the target on half of its {than.replicate}s", figures)
    if median is None:
        last = min((one.time for one in own[0].values() if not one.reached), default=0.0)
        assert other is not None
        holds = False if last >= most * other else None
        return Answer(holds, evidence, "" if holds is False else "it was not trained long enough to miss", figures)
    if other is None:
        last = min((t for t, r in zip(times, arrived, strict=True) if not r), default=0.0)
        holds = True if median <= most * last else None
        return Answer(holds, evidence, "" if holds else f"{than.name} was not trained long enough", figures)
    times = f"; {median / other:.3g} times" if other else ""  # 0: it is reached before the first iteration
    return Answer(median <= most * other * (1 + 1e-12), evidence + times, figures=figures)


def _signs(
    own: Mapping[int, Arrival],
    of_than: Mapping[int, Arrival],
    asked: Asked,
    evidence: str,
    figures: Mapping[str, Any],
) -> Answer:
    """On how many common seeds it arrives in time, by the sign test."""
    if not own.keys() & of_than.keys():
        raise CannotTellError(f"{evidence}: the sides have no seed in common")
    holds, (won, lost, unknown) = sooner(own, of_than, times=asked["times_at_most"], alpha=asked.alpha)
    late = f", {unknown} not known" if unknown else ""
    evidence += f"; in time on {won} and later on {lost} common seeds{late}"
    reason = "the seeds do not decide it" if holds is None else ""
    return Answer(holds, evidence, reason, {**figures, "in_time": won, "later": lost, "unknown": unknown})


def _columns(by_seed: Mapping[int, Arrival]) -> tuple[list[float], list[bool]]:
    return [one.time for one in by_seed.values()], [one.reached for one in by_seed.values()]


def _check_seconds(side: SideValues, than: SideValues, measured: Measured) -> None:
    """Checks that the seconds of two sides compare. Raises: CannotTellError."""
    from dataclasses import replace

    from assay.claims.quantity import quantity_of

    seconds = [replace(one.side, quantity=quantity_of("seconds")) for one in (side, than)]
    check_times([measured.read(one) for one in seconds], measured)


def _arrivals(side: SideValues, asked: Asked, measured: Measured) -> dict[int, Arrival]:
    """When each seed reached the target, if it did. Raises: CannotTellError without a curve."""
    curves = measured.curves_of(side)
    if not curves:
        raise CannotTellError(f"{side.name} has no curves")
    quantity = side.quantity
    goal = {"loss" if quantity.kind == "loss" else "accuracy": asked["target"]}
    points = pd.concat(list(curves.values()), ignore_index=True)
    table = targets.times_to(points, side.frame, by=asked["by"], split=quantity.split, **goal)
    arrivals: dict[int, Arrival] = {}
    for seed, (_, row) in zip(side.frame["seed"].tolist(), table.iterrows(), strict=True):
        one = (np.asarray([row["time"]], np.float64), np.asarray([row["reached"]], np.bool_))
        times, arrived = targets.observed(*one, np.asarray([str(row["outcome"])], dtype=object))
        if times:
            arrivals[int(seed)] = Arrival(times[0], arrived[0])
    if not arrivals:
        raise CannotTellError(f"{side.name} has no curve of a finished trial")
    return arrivals


def _plain(side: SideValues, times: list[float], arrived: list[bool], median: float | None) -> dict[str, Any]:
    finite = [None if time == float("inf") else time for time in times]
    return {"side": side.name, "times": finite, "reached": arrived, "median": median}


def _check(values: Mapping[str, Any]) -> list[str]:
    problems: list[str] = []
    for key in ("side", "than"):
        side = values[key]
        if side is None:
            continue
        if not side.is_selection or side.at.kind != END:
            problems.append(f"{key}: expected trials, without at")
        elif side.quantity.split not in ("train", "validation", "test"):
            problems.append(f"{key}: expected a score or loss of the curves, such as test_accuracy")
    if (values["within"] is None) == (values["than"] is None):
        problems.append("expected within = ..., or than and times_at_most")
    if values["fraction"] > 1:
        problems.append(f"fraction: got {values['fraction']:g}; expected a number above 0 and up to 1")
    return problems


REACHES = Rule(
    "Enough seeds reach a target within a time, or sooner than another side.",
    sides=("side", "than"),
    keys={
        "target": Key("amount", "the score or loss to reach", required=True),
        "within": Key("positive", "the time within which it is reached"),
        "by": Key("word", "what time is counted in", default="iteration", choices=tuple(AXES)),
        "fraction": Key("positive", "the fraction of the seeds that must reach it", default=0.5),
        "times_at_most": Key("positive", "how many times the other side's median time it may take", default=1.0),
        "significant": Key("flag", "whether a test over the seeds must show it", default=False),
    },
    words=_words,
    answer=_answer,
    check=_check,
    optional=("than",),
    is_statistical=lambda values: bool(values.get("significant")),
)
