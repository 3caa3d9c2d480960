"""The rule `threshold`: a number that must stay on one side of a limit, or between two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.claims.comparing import check_looks
from assay.claims.draws import check_independent
from assay.claims.measured import CannotTellError, Measured
from assay.claims.rules.bound_tests import tested
from assay.claims.rules.rule import (
    BOUNDS,
    EVERY,
    Answer,
    Asked,
    Key,
    Rule,
    bound_keys,
    bounds_text,
    check_bounds,
    check_costs,
    figures_of,
    on_every_seed,
    over_key,
    reduced,
    shown,
    skew_note,
    within_bounds,
)


def _words(asked: Asked) -> str:
    side, over = asked.side("side"), asked["over"]
    if asked["significant"]:
        return f"{side.quantity.label} of {{side}}: the mean over seeds is {_bounds(asked)} (one-sided test per bound)"
    who = "on every seed" if over == EVERY else f"{over} over seeds"
    return f"{side.quantity.label} of {{side}}, {who}, is {_bounds(asked)}"


def _bounds(asked: Asked) -> str:
    return bounds_text(asked, asked.side("side").quantity.text)


def _answer(asked: Asked, measured: Measured) -> Answer:
    side = measured.read(asked.side("side"))
    if asked["significant"]:
        return _tested(asked, measured)
    over = asked["over"]
    if over == EVERY:
        check_costs(side)
        met = [within_bounds(value, asked) for value in side.known()]
        holds, reason = on_every_seed(met, side)
        evidence = f"{side.name}{side.side.at.text()}: on {sum(met)} of {len(met)} {side.replicate}s"
        return Answer(holds, evidence, reason, figures_of(side))
    value = reduced(side, over)
    return Answer(within_bounds(value, asked), shown(side, value, over), figures=figures_of(side, value, over))


def _tested(asked: Asked, measured: Measured) -> Answer:
    """The mean over seeds against each bound."""
    side = measured.read(asked.side("side"))
    check_looks([side], measured)
    check_independent([side])
    values = np.asarray(side.known())
    if not np.isfinite(values).all():
        raise CannotTellError(f"{side.endings.ended_text(side.name)}: the mean over seeds is not known")
    bounds = {key: asked[key] for key in BOUNDS if asked[key] is not None}
    holds, (low, high) = tested(values, bounds, alpha=asked.alpha)
    mean = float(values.mean())
    note = skew_note(values.size, one_sided=True)
    evidence = "; ".join(filter(None, (f"mean over seeds of {shown(side, mean, 'mean')}", note)))
    reason = f"{values.size} seeds do not decide whether the mean is {_bounds(asked)}" if holds is None else ""
    interval = {name: None if end != end else end for name, end in (("low", low), ("high", high))}
    return Answer(holds, evidence, reason, figures_of(side, mean, "mean") | interval)


def _check(values: Mapping[str, Any]) -> list[str]:
    problems = check_bounds(values)
    if values.get("significant") and values.get("over") not in ("median", "mean"):
        problems.append(f"significant tests the mean over seeds; leave out over = {values['over']!r}")
    return problems


THRESHOLD = Rule(
    "A quantity stays above or below a limit.",
    sides=("side",),
    keys={
        **bound_keys(),
        "over": over_key(EVERY),
        "significant": Key("flag", "whether the mean must pass the limit in a test over the seeds", default=False),
    },
    words=_words,
    answer=_answer,
    check=_check,
    is_statistical=lambda values: bool(values.get("significant")),
)
