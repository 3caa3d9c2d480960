"""The rule `equal`: two sides are the same, in every bit or within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.analysis.frames import numbers
from assay.claims.amounts import difference_text
from assay.claims.measured import Measured, SideValues, replicates
from assay.claims.rules.equivalence import equivalence
from assay.claims.rules.less import common
from assay.claims.rules.rule import (
    EVERY,
    Answer,
    Asked,
    Key,
    Rule,
    check_costs,
    figures_of,
    on_every_seed,
    over_key,
    reduced,
    shown,
)
from assay.claims.timing import check_times

_PROOFS = ("train_loss", "test_loss", "validation_loss")  # losses: equal bits of them are no coincidence


def _words(asked: Asked) -> str:
    quantity = asked.side("left").quantity
    if asked["bits"]:
        return f"{quantity.label}: {{left}} and {{right}} are equal in every bit on every common seed"
    who = "on every common seed" if asked["over"] == EVERY else f"{asked['over']} over seeds"
    within = difference_text(asked["tolerance"], quantity)
    if asked["significant"]:
        return f"{quantity.label}: {{left}} and {{right}} differ by less than {within} (two one-sided tests over seeds)"
    return f"{quantity.label}, {who}: {{left}} and {{right}} are equal within {within}"


def _answer(asked: Asked, measured: Measured) -> Answer:
    left, right = measured.read(asked.side("left")), measured.read(asked.side("right"))
    figures: dict[str, Any] = {"left": figures_of(left), "right": figures_of(right)}
    if asked["bits"]:
        pairs = common(left, right)
        different = [(a, b) for a, b in pairs if a != b]
        shown_pair = different[0] if different else pairs[0]
        evidence = f"equal on {len(pairs) - len(different)} of {len(pairs)}: {shown_pair[0]!r} and {shown_pair[1]!r}"
        return _of_every(not different, f"{left.name} and {right.name}: {evidence}", (left, right), figures)
    if asked["significant"]:
        if same_training(left, right):
            pairs_in_words = f"all {len(left.values)} common {replicates(left, right)}"
            evidence = f"{left.name} and {right.name} are equal in every bit on {pairs_in_words}"
            return Answer(True, evidence, figures=figures)
        return equivalence(asked, left, right, measured)
    check_times([left, right], measured)
    tolerance, over = asked["tolerance"], asked["over"]
    if over == EVERY:
        check_costs(left)
        check_costs(right)
        pairs = common(left, right)
        close = [abs(a - b) <= _with_rounding(tolerance, a) for a, b in pairs]
        evidence = (
            f"{left.name} and {right.name}: within it on {sum(close)} of {len(close)} common {replicates(left, right)}"
        )
        return _of_every(all(close), evidence, (left, right), figures)
    a, b = reduced(left, over), reduced(right, over)
    figures = {"left": figures_of(left, a, over), "right": figures_of(right, b, over)}
    sign = "-" if a < b else "+"
    apart = f"{sign}{difference_text(abs(a - b), left.quantity)}" if a != b else "equal"
    evidence = f"{shown(left, a, over)}; {shown(right, b, over)}; {apart}"
    return Answer(abs(a - b) <= _with_rounding(tolerance, a), evidence, figures=figures)


def _of_every(equal: bool, evidence: str, sides: Sequence[SideValues], figures: Mapping[str, Any]) -> Answer:
    """One seed that differs decides; otherwise a seed without a result could still differ."""
    holds, reason = on_every_seed([True], *sides) if equal else (False, "")
    return Answer(holds, evidence, reason, figures)


def _with_rounding(tolerance: float, value: float) -> float:
    """The tolerance, and what the last digits of two floats may differ by."""
    return tolerance + 1e-12 * max(1.0, abs(value))


def same_training(left: SideValues, right: SideValues) -> bool:
    """Whether both sides are the same trainings: all values and losses are equal in every bit on the common seeds."""
    if not left.study or not right.study or left.values != right.values:
        return False
    columns = [c for c in _PROOFS if c in left.frame.columns and c in right.frame.columns]
    compared = 0
    for column in columns:
        of_left, of_right = (
            dict(zip(side.frame["seed"].tolist(), numbers(side.frame, column).tolist(), strict=True))
            for side in (left, right)
        )
        for seed in left.values:
            a, b = of_left.get(seed, math.nan), of_right.get(seed, math.nan)
            if math.isfinite(a) != math.isfinite(b) or (math.isfinite(a) and a != b):
                return False
            compared += math.isfinite(a)
    return compared >= len(left.values) > 0


def _check(values: Mapping[str, Any]) -> list[str]:
    if values["bits"] and values["tolerance"] is not None:
        return ["has bits and tolerance; expected one of them"]
    if not values["bits"] and values["tolerance"] is None:
        return ["has no tolerance; expected tolerance = ... or bits = true"]
    if not values["significant"]:
        return []
    problems = ["significant tests the mean difference; leave it out with bits"] if values["bits"] else []
    if values["over"] not in ("median", "mean"):
        problems.append(f"significant tests the mean over seeds; leave out over = {values['over']!r}")
    if any(values[key] is not None and values[key].constant is not None for key in ("left", "right")):
        problems.append("significant compares paired seeds; for a number, write rule = 'threshold' with both bounds")
    return problems


EQUAL = Rule(
    "The sides are equal, in every bit or within a tolerance.",
    sides=("left", "right"),
    keys={
        "bits": Key("flag", "whether every value must be equal in every bit", default=False),
        "tolerance": Key("difference", "how much they may differ"),
        "over": over_key(EVERY),
        "significant": Key("flag", "whether a test over paired seeds must show that they are", default=False),
    },
    words=_words,
    answer=_answer,
    check=_check,
    is_statistical=lambda values: bool(values.get("significant")),
)
