"""The rule `flat-then-falls`: a curve stays on a plateau up to one place, and has fallen at another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import pandas as pd

from assay.analysis.draws import in_words
from assay.analysis.frames import numbers
from assay.claims.measured import CannotTellError, Measured
from assay.claims.quantity import ON_CURVES
from assay.claims.rules.rule import Answer, Asked, Key, Rule, figures_of
from assay.claims.side import END, At

_PLACES = ("start", "flat_until", "fallen_by")


def _words(asked: Asked) -> str:
    text = (
        f"{asked.side('side').quantity.label} of {{side}}, medians over seeds: at {asked['flat_until']:,} iterations "
        f"above {100 * asked['flat_above']:g} % of its value at {asked['start']:,}, and at {asked['fallen_by']:,} "
        f"below {100 * asked['fallen_below']:g} % of it"
    )
    return text + ("; on every seed it increases at least once" if asked["rises"] else "")


def _answer(asked: Asked, measured: Measured) -> Answer:
    side = asked.side("side")
    read = [measured.read(replace(side, at=At("iteration", float(asked[place])))) for place in _PLACES]
    seeds = set.intersection(*(set(one.values) for one in read))
    if not seeds:
        raise CannotTellError(f"{side.text()}: no {read[0].replicate} is measured at all three places")
    start, flat, low = (median(one.values[seed] for seed in seeds) for one in read)
    holds = flat > asked["flat_above"] * start and low < asked["fallen_below"] * start
    shown = (f"{value:.4f} at {asked[place]:,}" for value, place in zip((start, flat, low), _PLACES, strict=True))
    evidence = f"{read[0].name}: {', '.join(shown)} iterations, {in_words(len(seeds), read[0].replicate)}"
    figures: dict[str, Any] = {place: figures_of(one) for place, one in zip(_PLACES, read, strict=True)}
    if asked["rises"]:
        curves = measured.curves_of(read[0])
        jagged = [_rises(curve, ON_CURVES[side.quantity.column]) for curve in curves.values()]
        holds = holds and bool(jagged) and all(jagged)
        evidence += f"; increases on {sum(jagged)} of {len(jagged)} {read[0].replicate}s"
        figures["rises"] = jagged
    return Answer(holds, evidence, figures=figures)


def _rises(curve: pd.DataFrame, column: str) -> bool:
    """Whether a column increases between any two neighbouring log points."""
    return any(b > a for a, b in itertools.pairwise(numbers(curve, column, what="points").tolist()))


def _check(values: Mapping[str, Any]) -> list[str]:
    side, places = values["side"], [values[place] for place in _PLACES]
    problems: list[str] = []
    if not side.is_selection or side.at.kind != END or side.quantity.column not in ON_CURVES:
        problems.append("side: expected trials and a quantity of their curves, such as train_loss, without at")
    if places != sorted(places) or len(set(places)) < len(places):
        problems.append(f"expected start < flat_until < fallen_by; got {', '.join(f'{p:,}' for p in places)}")
    return problems


FLAT_THEN_FALLS = Rule(
    "A curve stays on a plateau up to one place, and has fallen at another.",
    sides=("side",),
    keys={
        "start": Key("count", "the iteration at which the value of the plateau is taken", required=True),
        "flat_until": Key("count", "the iteration up to which it is flat", required=True),
        "fallen_by": Key("count", "the iteration by which it has fallen", required=True),
        "flat_above": Key("positive", "the fraction of the start that is still flat", default=0.85),
        "fallen_below": Key("positive", "the fraction of the start that has fallen", default=0.7),
        "rises": Key("flag", "whether each curve must also increase between two log points", default=False),
    },
    words=_words,
    answer=_answer,
    check=_check,
)
