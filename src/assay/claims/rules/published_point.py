"""The rule `published-point`: a published figure of one run agrees with the measured runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.analysis.frames import FINISHED
from assay.analysis.seeds import ENDED
from assay.claims.agreement import TOLERANCE, WORDS, Agreement, Run, of_loss, of_score
from assay.claims.draws import check_independent
from assay.claims.measured import VALUE, Measured, SideValues
from assay.claims.rules.rule import Answer, Asked, Key, Rule, figures_of

_EXACT = "exact"


def _words(asked: Asked) -> str:
    quantity = asked.side("side").quantity
    word = "" if asked["word"] == _EXACT else f"{asked['word']} "
    return f"{quantity.label}: the published {word}{quantity.text(asked['published'])} agrees with {{side}}"


def _answer(asked: Asked, measured: Measured) -> Answer:
    side = measured.read(asked.side("side"))
    check_independent([side])
    runs = runs_of(side, measured)
    word = "" if asked["word"] == _EXACT else asked["word"]
    if side.quantity.kind == "loss":
        agreement = of_loss(asked["published"], word, runs)
    else:
        agreement = of_score(asked["published"], word, runs, tolerance=asked["tolerance"] or TOLERANCE)
    seeds = f"{agreement.n} seed{'' if agreement.n == 1 else 's'}"
    text = side.quantity.text
    evidence = f"{side.name}: median {text(agreement.median)} ({text(agreement.least)} .. {text(agreement.greatest)}), "
    evidence += f"{seeds}, curve {_PLACE_WORDS.get(agreement.place, agreement.place)}"
    evidence += "; near chance" if agreement.near_chance and side.quantity.kind == "score" else ""
    evidence += f"; {agreement.why}" if agreement.holds is False else ""
    return Answer(agreement.holds, evidence, agreement.why, _figures(asked, side, agreement))


_PLACE_WORDS = {"settled": "settled", "plateau": "on a plateau", "cliff": "not settled"}


def runs_of(side: SideValues, measured: Measured) -> list[Run]:
    """The runs of a side as the rule of agreement reads them; what diverged or timed out as it ended."""
    settled = measured.is_settled(side)
    runs: list[Run] = []
    is_loss = side.quantity.kind == "loss"
    for row in side.frame.to_dict("records"):
        value = float(row[VALUE])
        if row["outcome"] not in (*FINISHED, *ENDED) or value != value:
            continue
        score = float(row["accuracy"]) if is_loss and "accuracy" in row else value
        loss = value if is_loss and value != float("inf") else None
        runs.append(Run(score, settled.get(str(row["trial"]), False), loss))
    return runs


def _figures(asked: Asked, side: SideValues, agreement: Agreement) -> Mapping[str, Any]:
    low, high = agreement.interval
    plain = figures_of(side, agreement.median) | {"published": asked["published"], "word": asked["word"]}
    plain |= {"place": agreement.place, "near_chance": agreement.near_chance, "why": agreement.why}
    return plain | {"low": None if low != low else low, "high": None if high != high else high}


def _check(values: Mapping[str, Any]) -> list[str]:
    side = values["side"]
    if not side.is_selection:
        return ["side: expected trials; a stated number is compared by the rule equal"]
    if side.quantity.kind == "cost":
        return ["side: published costs are of another machine; expected the quantity to be a score or a loss"]
    if side.quantity.kind == "loss" and values["tolerance"] is not None:
        return ["tolerance: is that of a score; a loss holds within 10 % of the median"]
    return []


PUBLISHED_POINT = Rule(
    "A published figure agrees with the measured runs.",
    sides=("side",),
    keys={
        "published": Key("amount", "the figure", required=True),
        "word": Key("word", "how the figure is qualified", default=_EXACT, choices=(_EXACT, *WORDS)),
        "tolerance": Key("difference", "how far the median of a settled score may be off; 1 point by default"),
    },
    words=_words,
    answer=_answer,
    check=_check,
)
