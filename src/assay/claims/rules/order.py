"""The rule `order`: several sides in the order in which they are named, the best first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from assay.claims.comparing import verdicts
from assay.claims.measured import Measured
from assay.claims.rules.beats import answered
from assay.claims.rules.rule import Answer, Asked, Key, Rule, figures_of, over_key, reduced, shown
from assay.claims.timing import check_times


def _words(asked: Asked) -> str:
    first = asked.sides("sides")[0]
    direction = "highest" if first.quantity.higher_is_better else "lowest"
    if asked["significant"]:
        return (
            f"{first.quantity.label}: each of {{sides}} beats the next one over paired seeds, with Holm's correction "
            f"for these comparisons; the {direction} first"
        )
    return f"{first.quantity.label}, {asked['over']} over seeds, in the order {{sides}}, the {direction} first"


def _answer(asked: Asked, measured: Measured) -> Answer:
    sides = [measured.read(side) for side in asked.sides("sides")]
    check_times(sides, measured)
    if asked["significant"]:
        made = verdicts(list(itertools.pairwise(sides)), measured, alpha=asked.alpha)
        against = any(v.winner == v.names[1] for v in made)
        holds = False if against else True if all(v.winner == v.names[0] for v in made) else None
        return answered(made, holds, "not every difference is significant")
    over = asked["over"]
    numbers = [reduced(side, over) for side in sides]
    sign = 1.0 if sides[0].quantity.higher_is_better else -1.0
    holds = all(sign * a > sign * b for a, b in itertools.pairwise(numbers))
    evidence = "; ".join(shown(side, value, over) for side, value in zip(sides, numbers, strict=True))
    figures = {"sides": [figures_of(side, value, over) for side, value in zip(sides, numbers, strict=True)]}
    return Answer(holds, evidence, figures=figures)


def _check(values: Mapping[str, Any]) -> list[str]:
    problems = [] if len(values["sides"]) > 1 else ["sides: got one side; expected two or more"]
    if values["significant"] and values["over"] not in ("median", "mean"):
        problems.append(f"significant tests the differences of paired seeds; leave out over = {values['over']!r}")
    return problems


ORDER = Rule(
    "The sides are in this order, the best first.",
    sides=("sides",),
    keys={
        "over": over_key(),
        "significant": Key("flag", "whether each must beat the next one in a test over paired seeds", default=False),
    },
    words=_words,
    answer=_answer,
    check=_check,
    several=("sides",),
    is_statistical=lambda values: bool(values.get("significant")),
)
