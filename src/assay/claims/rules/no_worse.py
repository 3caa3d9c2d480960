"""The rule `no-worse`: non-inferiority of one side to another, with a margin."""

from __future__ import annotations

from assay.analysis.verdict import Verdict
from assay.claims.amounts import difference_text
from assay.claims.comparing import verdicts
from assay.claims.measured import Measured, SideValues
from assay.claims.rules.beats import FAMILY, answered, correction_text
from assay.claims.rules.bound_tests import interval_text
from assay.claims.rules.equal import same_training
from assay.claims.rules.rule import Answer, Asked, Key, Rule, figures_of, skew_note
from assay.system.load import BUSY


def _words(asked: Asked) -> str:
    quantity = asked.side("left").quantity
    margin = difference_text(asked["margin"], quantity)
    test = "one-sided test at 5 %" if asked["family"] == "claim" else "simultaneous 95 % interval"
    direction = "below" if quantity.higher_is_better else "above"
    corrected = correction_text(asked)
    return f"{quantity.label}: {{left}} is not more than {margin} {direction} {{right}} ({test}{corrected})"


def _answer(asked: Asked, measured: Measured) -> Answer:
    left, right = measured.read(asked.side("left")), measured.read(asked.side("right"))
    sign = 1.0 if left.quantity.higher_is_better else -1.0
    margin = asked["margin"]
    if asked["family"] != "claim":
        (verdict,) = verdicts([(left, right)], measured, alpha=asked.alpha, family=asked["family"])
        low, high = sorted((sign * verdict.low, sign * verdict.high))
        if verdict.overlap and not verdict.deviation > 0:
            return answered([verdict], None, f"equal differences on all {verdict.replicate}s decide nothing")
        holds = False if high < -margin else True if low >= -margin else None
        return answered([verdict], holds, "the interval contains the margin")
    if same_training(left, right):
        evidence = (
            f"{left.name} and {right.name} are equal in every bit on all {len(left.values)} common {left.replicate}s"
        )
        return Answer(True, evidence, figures={"left": figures_of(left), "right": figures_of(right)})
    (shifted,) = verdicts([(left, right)], measured, alpha=2 * asked.alpha, shift=sign * margin)
    return _of_shifted(shifted, left, right, shift=sign * margin, alpha=asked.alpha)


def _of_shifted(shifted: Verdict, left: SideValues, right: SideValues, *, shift: float, alpha: float) -> Answer:
    """The answer from the comparison in which the left side was improved by the margin."""
    holds = None if not shifted.decided else shifted.winner == shifted.names[0]
    quantity = left.quantity
    scale, unit = (100, "points") if quantity.is_fraction else (1, quantity.unit)
    low, high = (scale * (end - shift) for end in (shifted.low, shifted.high))
    interval = interval_text(low, high, alpha=alpha)
    seeds = f"{shifted.n} {shifted.replicate}{'' if shifted.n == 1 else 's'}"
    difference = f"{scale * (shifted.difference - shift):.3g} {unit}{interval}, {seeds}"
    note = "corrected resampled t test" if shifted.overlap else skew_note(shifted.n, one_sided=True)
    notes = [note] if note else []
    notes += [f"seconds of a {BUSY}"] if shifted.is_busy else []
    notes += [f"{shifted.left_busy} more with seconds of a {BUSY} left out"] if shifted.left_busy else []
    for name, endings in zip(shifted.names, shifted.endings or (), strict=False):
        notes += endings.notes(name, replicate=shifted.replicate)
    evidence = "; ".join([f"{left.name} minus {right.name}: {difference}", *notes])
    more = shifted.more_seeds if holds is None else None
    needed = f"; about {more} more {shifted.replicate}s needed" if more else ""
    figures = {"verdict": shifted.plain(), "margin": abs(shift), "difference": shifted.difference - shift}
    reason = f"the interval contains the margin{needed}" if holds is None else ""
    return Answer(holds, evidence, reason, figures)


NO_WORSE = Rule(
    "The left side is not worse than the right one by more than a margin.",
    sides=("left", "right"),
    keys={
        "margin": Key("difference", "how much worse it may be, such as '0.3 points'", required=True),
        "family": FAMILY,
    },
    words=_words,
    answer=_answer,
    is_statistical=lambda values: values.get("family") == "claim",
)
