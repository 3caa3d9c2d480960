"""The rule `ratio`: one side divided by another stays within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.analysis.seeds import UNFLAGGED, busy
from assay.claims.comparing import check_looks
from assay.claims.draws import check_independent
from assay.claims.measured import CannotTellError, Measured, SideValues
from assay.claims.rules.bound_tests import interval_text, tested
from assay.claims.rules.less import common as paired_values
from assay.claims.rules.rule import (
    BOUNDS,
    Answer,
    Asked,
    Key,
    Rule,
    bound_keys,
    bounds_text,
    check_bounds,
    figures_of,
    load_notes,
    over_key,
    reduced,
    shown,
    skew_note,
    within_bounds,
)
from assay.claims.timing import check_times
from assay.system.load import BUSY


def _words(asked: Asked) -> str:
    left, over = asked.side("left"), asked["over"]
    bounds = bounds_text(asked, lambda value: f"{value:g} times")
    if asked["significant"]:
        return (
            f"{left.quantity.label}: the geometric mean over paired seeds of {{left}} / {{right}} is {bounds} "
            "(one-sided test per bound)"
        )
    return f"{left.quantity.label}, {over} over seeds: that of {{left}} is {bounds} that of {{right}}"


def _answer(asked: Asked, measured: Measured) -> Answer:
    left, right = measured.read(asked.side("left")), measured.read(asked.side("right"))
    check_times([left, right], measured)
    if asked["significant"]:
        return _tested(asked, measured, left, right)
    over = asked["over"]
    a, b = reduced(left, over), reduced(right, over)
    evidence = f"{shown(left, a, over)}; {shown(right, b, over)}"
    figures: dict[str, Any] = {"left": figures_of(left, a, over), "right": figures_of(right, b, over)}
    if b == 0:
        raise CannotTellError(f"{evidence}: a ratio to 0 is no number")
    return Answer(within_bounds(a / b, asked), f"{evidence}; ratio {a / b:.4g}", figures=figures | {"ratio": a / b})


def _tested(asked: Asked, measured: Measured, left: SideValues, right: SideValues) -> Answer:
    """The logarithms of the ratios of paired seeds against those of the bounds."""
    check_looks([left, right], measured)
    check_independent([left, right])
    pairs, left_out = _quiet_pairs(left, right)
    if not all(math.isfinite(a) and math.isfinite(b) and a > 0 and b > 0 for a, b in pairs):
        raise CannotTellError(f"{left.name} and {right.name}: a ratio needs two numbers above 0 on every seed")
    logarithms = np.asarray([math.log(a / b) for a, b in pairs])
    bounds = {key: math.log(asked[key]) for key in BOUNDS if asked[key] is not None}
    holds, ends = tested(logarithms, bounds, alpha=asked.alpha)
    mean = math.exp(float(logarithms.mean()))
    low, high = map(math.exp, ends)
    interval = interval_text(low, high, alpha=asked.alpha)
    seeds = f"{len(pairs)} paired seed{'' if len(pairs) == 1 else 's'}"
    load = list(dict.fromkeys([*load_notes(left), *load_notes(right)]))
    load += [f"{left_out} pairs with seconds of a {BUSY} left out"] if left_out else []
    note = skew_note(len(pairs), one_sided=True)
    evidence = "; ".join(
        filter(None, (f"{left.name} / {right.name}: {mean:.3g} times{interval}, {seeds}", *load, note))
    )
    figures = {"left": figures_of(left), "right": figures_of(right), "ratio": mean}
    figures |= {name: None if end != end else end for name, end in (("low", low), ("high", high))}
    return Answer(holds, evidence, "the interval contains a bound" if holds is None else "", figures)


def _quiet_pairs(left: SideValues, right: SideValues) -> tuple[list[tuple[float, float]], int]:
    """The pairs, without seconds of a busy machine while three others remain; and how many are left out."""
    pairs = paired_values(left, right)
    if not left.quantity.is_timed or not left.study or not right.study:
        return pairs, 0
    flagged = {
        int(seed)
        for side in (left, right)
        for seed, flag in zip(side.frame["seed"].tolist(), busy(side.frame).tolist(), strict=True)
        if flag
    }
    quiet = [(left.values[s], right.values[s]) for s in left.values if s in right.values and s not in flagged]
    return (quiet, len(pairs) - len(quiet)) if len(quiet) >= UNFLAGGED else (pairs, 0)


def _check(values: Mapping[str, Any]) -> list[str]:
    problems = check_bounds(values)
    if values["significant"] and values["over"] not in ("median", "mean"):
        problems.append(f"significant tests the ratios of paired seeds; leave out over = {values['over']!r}")
    return problems


RATIO = Rule(
    "The left side divided by the right one stays within bounds.",
    sides=("left", "right"),
    keys={
        **bound_keys("positive"),
        "over": over_key(),
        "significant": Key("flag", "whether it must pass the bounds in a test over paired seeds", default=False),
    },
    words=_words,
    answer=_answer,
    check=_check,
    is_statistical=lambda values: bool(values.get("significant")),
)
