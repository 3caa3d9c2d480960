"""Paired comparisons of sides: the verdicts of `assay.analysis` on what the sides measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.axis_columns import DRAWS
from assay.analysis.families import against, chosen, pairs_among
from assay.analysis.quantities import MEASURES
from assay.analysis.seed_values import SeedValues
from assay.analysis.verdict import Verdict
from assay.claims.measured import VALUE, CannotTellError, Measured, SideValues
from assay.claims.side import END
from assay.claims.timing import check_times

FAMILIES = ("claim", "baseline", "left", "right", "pairs")
"""What a comparison is corrected for: those of the claim, or of its study all with the configuration named "baseline",
with the left or the right side, or all pairs."""
_BASELINE = "baseline"


def verdicts(
    pairs: Sequence[tuple[SideValues, SideValues]],
    measured: Measured,
    *,
    alpha: float = 0.05,
    family: str = "claim",
    shift: float = 0.0,
) -> list[Verdict]:
    """The verdicts on pairs of sides over their common seeds, with the correction for the family.

    Args:
        pairs: Sides to compare, all of one quantity.
        measured: The studies.
        alpha: The significance level of the family.
        family: One of `FAMILIES`.
        shift: Added to every value of each first side, for a test against a margin; of the family "claim" only.

    Raises:
        CannotTellError: The sides are the same, have no seeds in common, or their values cannot be paired.
    """
    for pair in pairs:
        if pair[0] is pair[1]:
            raise CannotTellError(f"both sides are the same trials: {pair[0].name}")
        check_times(pair, measured)
    check_looks([side for pair in pairs for side in pair], measured, family=family)
    if family != "claim":
        return [_of_study(a, b, measured, alpha=alpha, family=family) for a, b in pairs]
    column = pairs[0][0].quantity.column
    if column not in MEASURES:
        raise CannotTellError(f"{column} is no measure that trials are compared by; use threshold, less or ratio")
    sides = list({id(side): side for pair in pairs for side in pair}.values())
    first = {id(a) for a, _ in pairs}
    names = _names(sides)
    studies = {side.study for side in sides if side.study}
    if len(studies) > 1 and not all(side.study for side in sides):
        raise CannotTellError("stated values are paired by repeat, which different studies do not share")
    frames = [
        _rows(side, names[id(side)], column=column, by_seed=len(studies) > 1, shift=shift * (id(side) in first))
        for side in sides
    ]
    seeds = SeedValues.of(pd.concat(frames, ignore_index=True), column)
    made = chosen(seeds, [(names[id(a)], names[id(b)]) for a, b in pairs], alpha=alpha).verdicts()
    for verdict in made:
        _check_pairs(verdict)
    return made


def _check_pairs(verdict: Verdict) -> None:
    """Checks that two sides have pairs, on equal test sets. Raises: CannotTellError."""
    if not verdict.n:
        raise CannotTellError(f"{verdict.names[0]} and {verdict.names[1]} have no {verdict.replicate} in common")
    if verdict.incomparable:
        raise CannotTellError(verdict.sentence())


def check_looks(sides: Sequence[SideValues], measured: Measured, *, family: str = "claim") -> None:
    """Checks that a test is corrected for the looks at which seeds were added until pairs were decided.

    Raises:
        CannotTellError: It is not: only the verdicts on all pairs of the study are.
    """
    for side in sides:
        of_study = measured.studies.get(side.study)
        if of_study is None or not of_study.has_looks:
            continue
        is_corrected = family == "pairs" and bool(of_study.look_verdicts(side.quantity.column))
        if not is_corrected:
            raise CannotTellError(
                f"in the study {of_study.name}, seeds were added until its pairs were decided, and only verdicts on "
                "its pairs are corrected for that: compare with family = 'pairs', or train seeds of a fixed number"
            )


def _of_study(a: SideValues, b: SideValues, measured: Measured, *, alpha: float, family: str) -> Verdict:
    """The verdict out of a family of a whole study."""
    column = a.quantity.column
    for verdict in measured.studies[a.study].look_verdicts(column) if a.study and family == "pairs" else ():
        if a.study == b.study and set(verdict.names) == {a.name, b.name}:
            return verdict if verdict.names == (a.name, b.name) else verdict.reversed()
    if not a.study or a.study != b.study or {a.side.at.kind, b.side.at.kind} != {END}:
        raise CannotTellError(
            f"family = {family!r} compares the ends of two configurations of one study; leave it out for these sides"
        )
    seeds = SeedValues.of(measured.studies[a.study].frame, column)
    against_one = {"left": a.name, "right": b.name, "baseline": _BASELINE}
    if family == _BASELINE and _BASELINE not in (a.name, b.name):
        raise CannotTellError(
            "family = 'baseline': neither side is the configuration 'baseline'; write 'left' or 'right'"
        )
    if family in against_one:
        made = against(seeds, against_one[family], alpha=alpha)
    else:
        made = pairs_among(seeds, [a.name, b.name], alpha=alpha)
    verdict = next(v for v in made.verdicts() if set(v.names) == {a.name, b.name})
    _check_pairs(verdict)
    return verdict if verdict.names == (a.name, b.name) else verdict.reversed()


def _names(sides: Sequence[SideValues]) -> Mapping[int, str]:
    """A name for each side that no other has: the configuration, or that with its place and study."""
    plain = [side.name for side in sides]
    full = [f"{side.name}{side.side.at.text()}" for side in sides]
    names = plain if len(set(plain)) == len(plain) else full
    if len(set(names)) < len(names):
        names = [f"{name} ({side.study or 'stated'})" for name, side in zip(full, sides, strict=True)]
    return {id(side): name for side, name in zip(sides, names, strict=True)}


def _rows(side: SideValues, name: str, *, column: str, by_seed: bool, shift: float) -> pd.DataFrame:
    """A side's trials as rows that `SeedValues` pairs: within a study by repeat, between studies by seed."""
    if not side.study:
        numbers = list(side.values.values())
        rows: dict[str, Any] = {"configuration": name, "repeat": list(range(len(numbers))), column: numbers}
        return pd.DataFrame(rows | {"outcome": "completed", "origin": "measured"})
    frame: Any = side.frame
    values = frame[VALUE].to_numpy(dtype=np.float64)
    kept = [c for c in _KEPT if c in frame.columns]
    rows_of_side = frame[kept].assign(
        configuration=name, **{column: np.where(np.isinf(values), np.nan, values) + shift}
    )
    return rows_of_side.assign(repeat=frame["seed"]) if by_seed else rows_of_side


_KEPT = (
    *("trial", "repeat", "outcome", "classes", "data", "origin", "timing", "threads", "machine", "level", "engine"),
    *("busy", "cohort", "budget_seconds", *DRAWS),
)

__all__ = ["FAMILIES", "verdicts"]
