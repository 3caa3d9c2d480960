"""What a rule of a claim is: its keys, its sentence, and how it answers from what the sides measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any, Literal

import numpy as np

from assay.analysis.draws import in_words
from assay.analysis.paired import deviation
from assay.analysis.quantities import Quantity
from assay.claims.amounts import amount, difference, number, positive
from assay.claims.measured import CannotTellError, Measured, SideValues
from assay.claims.side import Side
from assay.claims.timing import without_busy
from assay.errors import unknown
from assay.system.load import BUSY

Kind = Literal["amount", "difference", "number", "positive", "word", "flag", "count"]


@dataclass(frozen=True)
class Key:
    """A key of a rule that is no side.

    Attributes:
        kind: "amount" of the quantity, "difference" of two (above 0), "number", "positive", "count" (a whole number of
            1 or more), "flag" (true or false), or "word", one of `choices`.
        about: What it means, in a sentence.
        default: The value where it is left out; None if there is none.
        required: Whether it must be there.
        choices: The words that a "word" may be.
    """

    kind: Kind
    about: str
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()

    def read(self, value: Any, quantity: Quantity) -> Any:
        """The value as the rule takes it. Raises: ValueError."""
        if self.kind == "amount":
            return amount(value, quantity)
        if self.kind == "difference":
            return difference(value, quantity)
        if self.kind == "number":
            return number(value)
        if self.kind == "positive":
            return positive(value)
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise ValueError(f"got {value!r}; expected true or false")
            return value
        if self.kind == "count":
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"got {value!r}; expected a whole number of 1 or more")
            return value
        if value not in self.choices:
            raise ValueError(unknown("word", value, self.choices))
        return value


@dataclass(frozen=True)
class Answer:
    """What a rule says: `holds` is None where it cannot tell, and then `reason` says why.

    Attributes:
        holds: Whether the claim holds.
        evidence: The figures, in words.
        reason: Why it cannot be told.
        figures: The figures as plain data.
        is_not_run: Whether it needs a value of an experiment that was not run.
    """

    holds: bool | None
    evidence: str = ""
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_not_run: bool = False


@dataclass(frozen=True)
class Asked:
    """A rule with the values of its keys, read from a claims file.

    Attributes:
        values: The values by key: sides, lists of sides, and what `Key.read` gave; defaults included.
        alpha: The significance level.
    """

    values: Mapping[str, Any]
    alpha: float = 0.05

    def side(self, key: str) -> Side:
        """The side of a key."""
        return self.values[key]

    def sides(self, key: str) -> tuple[Side, ...]:
        """The sides of a key that has one or several."""
        value = self.values[key]
        return value if isinstance(value, tuple) else (value,)

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key)


def _no_problems(values: Mapping[str, Any]) -> list[str]:
    return []


@dataclass(frozen=True)
class Rule:
    """A rule of a claim.

    Attributes:
        about: What it says, in a sentence.
        sides: The keys that are sides; those in `several` may be lists of sides.
        keys: The other keys.
        words: The rule with its values, in words; the keys of sides in braces stand for the sides.
        answer: The answer from what is measured.
        check: What is wrong with the values together; sentences.
        several: The keys of `sides` that may be lists.
        optional: The keys of `sides` that may be left out.
        is_statistical: Whether it is a test, of which `docs/claims.md` has the measured false alarms.
    """

    about: str
    sides: tuple[str, ...]
    keys: Mapping[str, Key]
    words: Callable[[Asked], str]
    answer: Callable[[Asked, Measured], Answer]
    check: Callable[[Mapping[str, Any]], list[str]] = _no_problems
    several: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    is_statistical: Callable[[Mapping[str, Any]], bool] = lambda values: False


# --- over seeds -------------------------------------------------------------------------------------------------------

OVER = ("median", "mean", "min", "max", "range", "sd")
"""What a side counts as over its seeds."""
EVERY = "every"
"""The condition must hold on every seed: it does not hold if it fails on all, and else nobody can tell."""


def over_key(*more: str) -> Key:
    """The key `over` of a rule."""
    return Key("word", "what the values of the seeds are reduced to", default="median", choices=(*OVER, *more))


def check_costs(side: SideValues) -> None:
    """Raises CannotTellError for a cost of which a training diverged or timed out: what it would have cost is unknown.

    It counts as infinite, and with that a median or a lower bound would hold because of it.
    """
    if side.quantity.kind == "cost" and math.inf in side.values.values():
        raise CannotTellError(_no_number(side))


def on_every_seed(met: Sequence[bool], *sides: SideValues) -> tuple[bool | None, str]:
    """Whether a condition holds on every seed of the sides, and why that cannot be told.

    A seed without a result, such as one that is not trained yet, could still fail it.
    """
    if not all(met):
        return (None, f"the {sides[0].replicate}s disagree") if any(met) else (False, "")
    texts = (side.endings.without_text(side.name, replicate=side.replicate) for side in sides)
    missing = "; ".join(dict.fromkeys(filter(None, texts)))
    return (None, missing) if missing else (True, "")


def reduced(side: SideValues, over: str) -> float:
    """A side's values over its seeds as one number; seconds of a busy machine are left out while 3 others remain.

    Raises:
        CannotTellError: There is no finite number, or a training did not get to the end for its cost.
    """
    check_costs(side)
    values = without_busy(side)
    if over in ("range", "sd") and side.side.constant is None:
        if len(values) < 2:
            raise CannotTellError(f"{side.name}: the {over} over {side.replicate}s needs two of them, and there is one")
        spread = max(values) - min(values) if over == "range" else _deviation(values)
        return _finite(spread, side)
    kinds: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "mean": mean, "min": min, "max": max}
    return _finite(kinds.get(over, median)(values), side)


def _deviation(values: Sequence[float]) -> float:
    return deviation(np.asarray(values, dtype=np.float64))


def _finite(value: float, side: SideValues) -> float:
    if math.isfinite(value):
        return value
    raise CannotTellError(_no_number(side))


def _no_number(side: SideValues) -> str:
    ended = side.endings.ended_text(side.name, replicate=side.replicate) or f"{side.name} has no finite value"
    return f"{ended}: what did not finish has no {side.quantity.label}"


def shown(side: SideValues, value: float, over: str) -> str:
    """A side with its number, in words."""
    if side.side.constant is not None:
        return side.quantity.text(value)
    text = side.quantity.text(value)
    if over in ("range", "sd"):
        text = f"{over} {100 * value:.2f} points" if side.quantity.is_fraction else f"{over} {text}"
    place = side.side.at.text()
    count = f", {in_words(len(side.values), side.replicate)}" if side.study else ""
    notes = "; ".join([*side.notes(), *load_notes(side)]) if side.study else ""
    return f"{side.name}{place}: {text}{count}" + (f" ({notes})" if notes else "")


def load_notes(side: SideValues) -> list[str]:
    """What is known of the load of the machine during the trials of a side whose quantity is a time."""
    if not side.study or not side.quantity.is_timed or "busy" not in side.frame.columns:
        return []
    flags = [str(flag) for flag in side.frame["busy"].tolist()]
    if count := flags.count("True"):
        return [f"{BUSY} in {count} of {len(flags)} trials"]
    return [] if "False" in flags else ["load of the machine unknown, or trials too short to judge it"]


def figures_of(side: SideValues, value: float | None = None, over: str = "median") -> dict[str, Any]:
    """A side's numbers as plain data."""
    known = side.known()
    plain: dict[str, Any] = {"side": side.name, "quantity": side.quantity.name, "n": len(known)}
    plain |= {"values": {str(seed): _plain(number) for seed, number in side.values.items()}}
    if side.study:
        plain["study"] = side.study
    return plain | ({} if value is None else {over: _plain(value)})


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- notes ------------------------------------------------------------------------------------------------------------

ASSUMES = "assumes"
"""How the note on what a test assumes begins."""
_SKEWED = ((5, 0.18, 0.25), (7, 0.16, 0.21), (20, 0.10, 0.14))
"""Seeds up to which false alarms of skewed differences are so many, two-sided and one-sided (docs/claims.md)."""


def skew_note(n: int, *, one_sided: bool) -> str:
    """What a test over few seeds assumes, with the measured rate of false alarms where it does not hold; or nothing.

    >>> skew_note(8, one_sided=True)
    'assumes nearly symmetric differences: up to 14 % false alarms with 8 seeds if they are skewed'
    """
    for most, two, one in _SKEWED:
        if 2 <= n <= most:
            rate = 100 * (one if one_sided else two)
            return (
                f"{ASSUMES} nearly symmetric differences: up to {rate:.0f} % false alarms with {n} seeds if they are "
                "skewed"
            )
    return ""


# --- bounds -----------------------------------------------------------------------------------------------------------

BOUNDS = {"at_least": ">=", "above": ">", "at_most": "<=", "below": "<"}
_LOWER, _UPPER = ("at_least", "above"), ("at_most", "below")


def bound_keys(kind: Kind = "amount") -> dict[str, Key]:
    """The keys of a lower and an upper bound."""
    about = {
        "at_least": "it must be this much or more",
        "above": "it must be more than this",
        "at_most": "it must be this much or less",
        "below": "it must be less than this",
    }
    return {name: Key(kind, text) for name, text in about.items()}


def check_bounds(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the bounds of a rule."""
    lower = [key for key in _LOWER if values.get(key) is not None]
    upper = [key for key in _UPPER if values.get(key) is not None]
    problems: list[str] = []
    if not lower and not upper:
        problems.append(f"has no bound; expected one of {', '.join(BOUNDS)}")
    problems += [f"has {keys[0]} and {keys[1]}; expected one of them" for keys in (lower, upper) if len(keys) > 1]
    if len(lower) == len(upper) == 1 and values[lower[0]] > values[upper[0]]:
        problems.append(f"{lower[0]} is more than {upper[0]}, so that nothing can hold")
    return problems


def within_bounds(value: float, asked: Asked) -> bool:
    """Whether a number meets the bounds; rounding of the last digits of a float counts as equal."""
    slack = 1e-12 * max(1.0, abs(value))
    lower, above, upper, below = (asked[key] for key in ("at_least", "above", "at_most", "below"))
    return (
        (lower is None or value >= lower - slack)
        and (above is None or value > above)
        and (upper is None or value <= upper + slack)
        and (below is None or value < below)
    )


def bounds_text(asked: Asked, form: Callable[[float], str]) -> str:
    """The bounds in words."""
    words = {"at_least": "at least", "above": "above", "at_most": "at most", "below": "below"}
    return " and ".join(f"{word} {form(asked[key])}" for key, word in words.items() if asked[key] is not None)


__all__ = [
    "ASSUMES",
    "BOUNDS",
    "EVERY",
    "OVER",
    "Answer",
    "Asked",
    "Key",
    "Rule",
    "bound_keys",
    "bounds_text",
    "check_bounds",
    "check_costs",
    "figures_of",
    "load_notes",
    "on_every_seed",
    "over_key",
    "reduced",
    "shown",
    "skew_note",
    "within_bounds",
]
