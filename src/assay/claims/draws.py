"""Which rules may read sides whose test sets are drawn anew for each repeat, as folds or re-splits."""

from __future__ import annotations

from collections.abc import Sequence

from assay.analysis.draws import codes_of, overlaps_of
from assay.claims.measured import CannotTellError, SideValues


def check_independent(sides: Sequence[SideValues]) -> None:
    """Checks that the repeats of the sides are seeds, for a test of independent values.

    Raises:
        CannotTellError: They are folds or re-splits, which share training examples.
    """
    for side in sides:
        if side.study and overlaps_of(side.frame, [side.name] * len(side.frame)):
            raise CannotTellError(
                f"{side.name}: its repeats are tested on folds or re-splits of the same examples, and this test takes "
                "them for independent seeds; only comparisons of two sides by beats, differs, order, no_worse and "
                "equal are corrected for that"
            )


def check_same_sets(left: SideValues, right: SideValues) -> None:
    """Checks that two sides have one test set at each common seed.

    Raises:
        CannotTellError: They have not.
    """
    first, second = (_sets(side) for side in (left, right))
    for seed in first.keys() & second.keys():
        if first[seed] != second[seed]:
            raise CannotTellError(
                f"cannot compare {left.name} and {right.name} seed by seed: their test sets differ "
                f"({first[seed]} and {second[seed]})"
            )


def _sets(side: SideValues) -> dict[object, str]:
    """What the test set of each seed is called."""
    if not side.study:
        return {}
    seeds: list[object] = side.frame["seed"].tolist()
    drawn = codes_of(side.frame)
    if drawn is None:
        return dict.fromkeys(seeds, "the data's own")
    return {seed: drawn[1][code] for seed, code in zip(seeds, drawn[0].tolist(), strict=True)}


__all__ = ["check_independent", "check_same_sets"]
