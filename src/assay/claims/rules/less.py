"""The rule `less`: one side is less than another, by a plain comparison of what was measured."""

from __future__ import annotations

from assay.claims.amounts import difference_text
from assay.claims.draws import check_same_sets
from assay.claims.measured import CannotTellError, Measured, SideValues, replicates
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


def _words(asked: Asked) -> str:
    left, over = asked.side("left"), asked["over"]
    by = f" by more than {difference_text(asked['by'], left.quantity)}" if asked["by"] else ""
    who = "on every common seed" if over == EVERY else f"{over} over seeds"
    return f"{left.quantity.label}, {who}, is less{by} for {{left}} than for {{right}}"


def _answer(asked: Asked, measured: Measured) -> Answer:
    left, right = measured.read(asked.side("left")), measured.read(asked.side("right"))
    check_times([left, right], measured)
    margin, over = asked["by"] or 0.0, asked["over"]
    figures = {"left": figures_of(left), "right": figures_of(right)}
    if over == EVERY:
        check_costs(left)
        check_costs(right)
        pairs = common(left, right)
        less = [a < b - margin for a, b in pairs]
        holds, reason = on_every_seed(less, left, right)
        names = [f"{side.name}{side.side.at.text()}" for side in (left, right)]
        evidence = f"{names[0]} less than {names[1]} on {sum(less)} of {len(pairs)} common {replicates(left, right)}"
        return Answer(holds, evidence, reason, figures)
    a, b = reduced(left, over), reduced(right, over)
    evidence = f"{shown(left, a, over)}; {shown(right, b, over)}"
    figures = {"left": figures_of(left, a, over), "right": figures_of(right, b, over)}
    return Answer(a < b - margin, evidence, figures=figures)


def common(left: SideValues, right: SideValues) -> list[tuple[float, float]]:
    """The values of two sides at their common seeds; a number in place of trials is there at every seed.

    Raises:
        CannotTellError: They have no seed in common.
    """
    if left.side.constant is not None:
        return [(left.side.constant, value) for value in right.known()]
    if right.side.constant is not None:
        return [(value, right.side.constant) for value in left.known()]
    is_stated = bool(left.side.values or right.side.values)  # these have repeats, and no seeds
    check_same_sets(left, right)
    first, second = ((side.by_repeat() if is_stated else side.values) for side in (left, right))
    seeds = [seed for seed in first if seed in second]
    if not seeds:
        raise CannotTellError(f"{left.name} and {right.name} have no {left.replicate} in common")
    return [(first[seed], second[seed]) for seed in seeds]


LESS = Rule(
    "The left side is less than the right one.",
    sides=("left", "right"),
    keys={"over": over_key(EVERY), "by": Key("difference", "by more than this much")},
    words=_words,
    answer=_answer,
)
