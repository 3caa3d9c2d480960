"""The rule `spread`: how much the seeds of a side differ, against a limit or against another side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.claims.amounts import difference_text
from assay.claims.measured import CannotTellError, Measured
from assay.claims.rules.rule import (
    Answer,
    Asked,
    Key,
    Rule,
    bound_keys,
    bounds_text,
    check_bounds,
    figures_of,
    reduced,
    shown,
    within_bounds,
)
from assay.claims.timing import check_times

_TIMES = ("times_at_least", "times_at_most")


def _words(asked: Asked) -> str:
    quantity = asked.side("side").quantity
    start = f"{quantity.label}: the {asked['over']} of {{side}} over seeds is"
    if asked["than"] is None:
        return f"{start} {bounds_text(asked, lambda value: difference_text(value, quantity))}"
    words = {"times_at_least": "at least", "times_at_most": "at most"}
    bounds = " and ".join(f"{words[key]} {asked[key]:g} times" for key in _TIMES if asked[key] is not None)
    return f"{start} {bounds} that of {{than}}"


def _answer(asked: Asked, measured: Measured) -> Answer:
    side, over = measured.read(asked.side("side")), asked["over"]
    spread = reduced(side, over)
    evidence, figures = shown(side, spread, over), {"side": figures_of(side, spread, over)}
    if asked["than"] is None:
        return Answer(within_bounds(spread, asked), evidence, figures=figures)
    than = measured.read(asked.side("than"))
    check_times([side, than], measured)
    other = reduced(than, over)
    evidence += f"; {shown(than, other, over)}"
    figures["than"] = figures_of(than, other, over)
    if other == 0:
        raise CannotTellError(f"{evidence}: nothing is a multiple of a spread of 0")
    least, most = asked["times_at_least"], asked["times_at_most"]
    times = spread / other
    holds = (least is None or times >= least * (1 - 1e-12)) and (most is None or times <= most * (1 + 1e-12))
    return Answer(holds, f"{evidence}; {times:.3g} times", figures=figures | {"times": times})


def _check(values: Mapping[str, Any]) -> list[str]:
    times = [key for key in _TIMES if values[key] is not None]
    if values["than"] is None:
        return check_bounds(values) + [f"{key}: compares with the side than, which is missing" for key in times]
    bounds = [key for key in ("at_least", "above", "at_most", "below") if values[key] is not None]
    problems = [f"{key}: is a limit without than; write times_at_least or times_at_most" for key in bounds]
    return problems if times or bounds else ["has no bound; expected times_at_least or times_at_most"]


SPREAD = Rule(
    "How much the seeds of a side differ stays within a limit, or a multiple of that of another side.",
    sides=("side", "than"),
    keys={
        **bound_keys("difference"),
        "times_at_least": Key("positive", "it must be this many times that of than, or more"),
        "times_at_most": Key("positive", "it must be this many times that of than, or less"),
        "over": Key("word", "what is a spread", default="range", choices=("range", "sd")),
    },
    words=_words,
    answer=_answer,
    check=_check,
    optional=("than",),
)
