"""The rules `beats` and `differs`: a significant difference over paired seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from assay.analysis.verdict import FEW, Verdict, said_once
from assay.claims.comparing import FAMILIES, verdicts
from assay.claims.measured import Measured
from assay.claims.rules.rule import Answer, Asked, Key, Rule, skew_note

FAMILY = Key(
    "word",
    "what the correction is for: the comparisons of the claim, or of the study all with one side, or all pairs",
    default="claim",
    choices=FAMILIES,
)
_CORRECTED = {
    "claim": "",
    "baseline": ", corrected (Holm) for all comparisons with the baseline",
    "left": ", corrected (Holm) for all comparisons with {left}",
    "right": ", corrected (Holm) for all comparisons with {right}",
    "pairs": ", corrected (Holm) for all pairs of the study",
}


def correction_text(asked: Asked, count: int = 1) -> str:
    """What a rule corrects for, in words."""
    if asked["family"] == "claim" and count > 1:
        return f", corrected (Holm) for {count} comparisons"
    return _CORRECTED[asked["family"]]


def compared(asked: Asked, measured: Measured) -> list[Verdict]:
    """The verdicts on every left side against every right one."""
    lefts, rights = ([measured.read(side) for side in asked.sides(key)] for key in ("left", "right"))
    pairs = [(left, right) for left in lefts for right in rights]
    return verdicts(pairs, measured, alpha=asked.alpha, family=asked["family"])


def answered(made: list[Verdict], holds: bool | None, reason: str) -> Answer:
    """An answer with its verdicts as evidence."""
    few = min(verdict.n for verdict in made)
    of_seeds = not any(verdict.overlap for verdict in made)  # the rates of others were not measured
    with_note = few >= FEW and of_seeds  # with fewer, each sentence has a note of its own
    notes = [skew_note(few, one_sided=False)] if with_note else []
    evidence = "; ".join(filter(None, [*said_once([verdict.sentence() for verdict in made]), *notes]))
    return Answer(holds, evidence, "" if holds is not None else reason, {"verdicts": [v.plain() for v in made]})


def _beats_words(asked: Asked) -> str:
    lefts, rights = asked.sides("left"), asked.sides("right")
    corrected = correction_text(asked, len(lefts) * len(rights))
    return f"{lefts[0].quantity.label}: {{left}} beats {{right}} over paired seeds{corrected}"


def _beats(asked: Asked, measured: Measured) -> Answer:
    made = compared(asked, measured)
    if any(verdict.winner == verdict.names[1] for verdict in made):
        holds: bool | None = False
    else:
        holds = True if all(verdict.winner == verdict.names[0] for verdict in made) else None
    return answered(made, holds, "the difference is not significant" if len(made) == 1 else "not all are significant")


def _differs_words(asked: Asked) -> str:
    corrected = correction_text(asked, len(asked.sides("left")) * len(asked.sides("right")))
    return f"{asked.sides('left')[0].quantity.label}: {{left}} and {{right}} differ over paired seeds{corrected}"


def _differs(asked: Asked, measured: Measured) -> Answer:
    made = compared(asked, measured)
    holds = True if all(verdict.decided for verdict in made) else None
    return answered(made, holds, "no significant difference, which does not show that there is none")


def _is_of_claim(values: Mapping[str, Any]) -> bool:
    return values.get("family") == "claim"


BEATS = Rule(
    "The left side is better than the right one, significantly over paired seeds.",
    sides=("left", "right"),
    keys={"family": FAMILY},
    words=_beats_words,
    answer=_beats,
    several=("left", "right"),
    is_statistical=_is_of_claim,
)
DIFFERS = replace(
    BEATS,
    about="The sides differ, significantly over paired seeds, in either direction.",
    words=_differs_words,
    answer=_differs,
)
