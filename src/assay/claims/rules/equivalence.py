"""The test of `equal`: two sides differ by less than a tolerance, by two one-sided tests over paired seeds."""

from __future__ import annotations

from assay.claims.comparing import verdicts
from assay.claims.measured import Measured, SideValues
from assay.claims.rules.bound_tests import interval_text
from assay.claims.rules.rule import Answer, Asked, figures_of, skew_note


def equivalence(asked: Asked, left: SideValues, right: SideValues, measured: Measured) -> Answer:
    """Whether the mean difference over paired seeds is significantly inside, or outside, the tolerance.

    It holds if the mean is significantly above -tolerance and below tolerance, each at alpha (Schuirmann 1987). It does
    not hold if the mean is significantly outside on either side, each at alpha / 2.
    """
    alpha, tolerance, pair = asked.alpha, asked["tolerance"], [(left, right)]
    (above,), (below,) = (verdicts(pair, measured, alpha=2 * alpha, shift=s * tolerance) for s in (1, -1))
    (under,), (over,) = (verdicts(pair, measured, alpha=alpha, shift=s * tolerance) for s in (1, -1))
    holds: bool | None = None
    if above.decided and above.difference > 0 and below.decided and below.difference < 0:
        holds = True
    elif (under.decided and under.difference < 0) or (over.decided and over.difference > 0):
        holds = False
    quantity = left.quantity
    scale, unit = (100, "points") if quantity.is_fraction else (1, quantity.unit)
    low, high = (scale * (end - tolerance) for end in (above.low, above.high))
    seeds = f"{above.n} {above.replicate}{'' if above.n == 1 else 's'}"
    difference = above.difference - tolerance
    text = f"{scale * difference:.3g} {unit}".rstrip() + interval_text(low, high, alpha=alpha)
    note = "corrected resampled t test" if above.overlap else skew_note(above.n, one_sided=True)
    notes = [note] if note else []
    for name, endings in zip(above.names, above.endings or (), strict=False):
        notes += endings.notes(name, replicate=above.replicate)
    evidence = "; ".join([f"{left.name} minus {right.name}: {text}, {seeds}", *notes])
    reason = "the interval of the difference is not inside the tolerance" if holds is None else ""
    figures = {"left": figures_of(left), "right": figures_of(right), "difference": difference, "n": above.n}
    return Answer(holds, evidence, reason, figures)


__all__ = ["equivalence"]
