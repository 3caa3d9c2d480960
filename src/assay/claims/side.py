"""One side of a claim: which trials, where on their curves, and which quantity; or a number that is no training's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.analysis.quantities import Quantity
from assay.claims.amounts import amount, number
from assay.claims.quantity import ON_CURVES, quantity_of
from assay.errors import has_no, unknown
from assay.report.text import short_percent
from assay.system.limits import CLAIM_CHARACTERS, CLAIM_COLUMNS

PICKS = ("longest", "best", "worst")
END, BEST = "end", "best"
PLACES = ("iteration", "examples", "epoch", "fraction")
_SELECTING = ("configuration", "where")
_READ = ("study", "quantity", "at", "pick")
INHERITED = ("study", "quantity", "at")
"""The keys that the sides of a rule take from the rule, where they do not have them."""
_OTHER_KINDS = ("experiment", "values")


@dataclass(frozen=True)
class At:
    """Where on a curve a quantity is read: the end, the best log point, or the last log point up to a place.

    Attributes:
        kind: "end", "best", or what `amount` counts: "iteration", "examples", "epoch" or "fraction" of the budget.
        amount: The place; 0 for the end and the best point.
    """

    kind: str = END
    amount: float = 0.0

    def text(self) -> str:
        """The place in words; empty for the end.

        >>> At().text(), At("iteration", 500).text(), At("epoch", 1).text()
        ('', ' at 500 iterations', ' after epoch 1')
        """
        if self.kind == END:
            return ""
        if self.kind == BEST:
            return ", best of the curve"
        if self.kind == "epoch":
            return f" after epoch {self.amount:g}"
        if self.kind == "fraction":
            return f" after {short_percent(self.amount, 3)} of the budget"
        return f" at {self.amount:,.0f} {'iterations' if self.kind == 'iteration' else self.kind}"


@dataclass(frozen=True)
class Side:
    """A side of a claim.

    Attributes:
        quantity: What is read.
        study: The study; empty where any of the studies may have the configuration.
        where: The values that a configuration must have, by column or axis; patterns with * for labels.
        at: Where on the curves.
        pick: Which of several configurations: "longest", "best", "worst"; empty where only one may be selected.
        constant: A number in place of trials.
        experiment: The name of a value that an experiment gives, in place of trials.
        values: Numbers by repeat, in place of trials.
        is_assumed: Whether no quantity was named, so that it is the accuracy.
    """

    quantity: Quantity
    study: str = ""
    where: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    at: At = At()
    pick: str = ""
    constant: float | None = None
    experiment: str = ""
    values: tuple[float, ...] = ()
    is_assumed: bool = field(default=False, compare=False)

    @property
    def is_selection(self) -> bool:
        """Whether it is read from trials."""
        return self.constant is None and not self.experiment and not self.values

    def text(self) -> str:
        """The side in words, without its quantity."""
        if self.constant is not None:
            return self.quantity.text(self.constant)
        if self.experiment:
            return self.experiment.replace("_", " ")
        if self.values:
            return f"{len(self.values)} stated values"
        parts = [
            " or ".join(map(str, wanted)) if column == "configuration" else f"{column} {' or '.join(map(str, wanted))}"
            for column, wanted in self.where
        ]
        selected = ", ".join(parts) or "all trials"
        picked = f"the {self.pick} of {selected}" if self.pick else selected
        return f"{picked}{self.at.text()}" + (f" in {self.study}" if self.study else "")


def parse_side(raw: Any, inherited: Mapping[str, Any], *, place: str, problems: list[str]) -> Side | None:
    """A side from its table or number; adds to `problems` what is wrong with it, and then is None.

    Args:
        raw: The value in the file.
        inherited: The keys of `INHERITED` that the rule has.
        place: Where it is, for messages.
        problems: The sentences on what is wrong.
    """
    before = len(problems)
    table: dict[str, Any] = dict(inherited)
    if isinstance(raw, Mapping):
        table |= {str(key): value for key, value in raw.items()}
    elif not isinstance(raw, int | float | str) or isinstance(raw, bool):
        problems.append(f"{place}: got {raw!r}; expected a table such as {_EXAMPLE}, or a number")
        return None
    quantity = _quantity(table.get("quantity", "accuracy"), place, problems)
    if quantity is None:
        return None
    if not isinstance(raw, Mapping):
        try:
            return Side(quantity, constant=amount(raw, quantity))
        except ValueError as error:
            problems.append(f"{place}: {error}")
            return None
    kinds = [key for key in _OTHER_KINDS if key in table]
    if kinds:
        return _of_no_trials(raw, kinds, quantity, place=place, problems=problems)
    side = Side(
        quantity,
        study=_text(table.get("study", ""), f"{place}.study", problems),
        where=_where(table, place, problems),
        at=_at(table.get("at", END), f"{place}.at", problems),
        pick=_pick(table.get("pick", ""), f"{place}.pick", problems),
        is_assumed="quantity" not in table,
    )
    if side.at.kind != END and quantity.column not in ON_CURVES:
        problems.append(f"{place}.at: {quantity.name} is measured at the end only; leave out at, or write at = 'end'")
    if side.at.kind == BEST and quantity.kind not in ("score", "loss"):
        problems.append(f"{place}.at: 'best' is the best of a score or loss; {quantity.name} is neither")
    return side if len(problems) == before else None


_EXAMPLE = '{ configuration = "adam" }'


def _quantity(value: Any, place: str, problems: list[str]) -> Quantity | None:
    if not isinstance(value, str):
        problems.append(f"{place}.quantity: got {value!r}; expected a name such as 'accuracy'")
        return None
    try:
        return quantity_of(value)
    except ValueError as error:
        problems.append(f"{place}.quantity: {error}")
        return None


def _of_no_trials(
    raw: Mapping[str, Any], kinds: list[str], quantity: Quantity, *, place: str, problems: list[str]
) -> Side | None:
    """A side with values of an experiment, or stated ones."""
    allowed = [*_OTHER_KINDS, "quantity"]
    others = [key for key in raw if key not in allowed]
    problems += [f"{place}: {has_no(f'a side with {kinds[0]}', 'key', key, allowed)}" for key in others]
    if len(kinds) > 1:
        problems.append(f"{place}: has {' and '.join(kinds)}; expected one of them")
    if others or len(kinds) > 1:
        return None
    if kinds[0] == "experiment":
        before = len(problems)
        name = _text(raw["experiment"], f"{place}.experiment", problems)
        return Side(quantity, experiment=name) if len(problems) == before else None
    values = raw["values"]
    if not isinstance(values, list) or not values:
        problems.append(f"{place}.values: got {values!r}; expected a list of numbers, one per repeat")
        return None
    read: list[float] = []
    for i, value in enumerate(values):
        try:
            read.append(amount(value, quantity))
        except ValueError as error:
            problems.append(f"{place}.values[{i}]: {error}")
    return Side(quantity, values=tuple(read)) if len(read) == len(values) else None


def _where(table: Mapping[str, Any], place: str, problems: list[str]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """The values that select configurations: keys of the side, and those of `where` for axes with a reserved name."""
    selecting = {key: value for key, value in table.items() if key not in (*_READ, "where")}
    more = table.get("where", {})
    if not isinstance(more, Mapping):
        problems.append(f"{place}.where: got {more!r}; expected a table such as {{ model = '3LS' }}")
        more = {}
    both = [key for key in more if key in selecting]
    problems += [f"{place}.where.{key}: is given twice" for key in both]
    selecting |= {str(key): value for key, value in more.items()}
    if not selecting:
        problems.append(f"{place}: selects no configuration; write configuration = 'LABEL', or an axis and its value")
    if len(selecting) > CLAIM_COLUMNS.most:
        problems.append(f"{place}: selects by {len(selecting)} columns; expected {CLAIM_COLUMNS} at most")
        return ()
    chosen: list[tuple[str, tuple[Any, ...]]] = []
    for key, value in selecting.items():
        wanted = tuple(value) if isinstance(value, list) else (value,)
        if not wanted or not all(isinstance(one, str | int | float | bool) for one in wanted):
            problems.append(f"{place}.{key}: got {value!r}; expected a word or a number, or a list of them")
        elif sum(len(str(one)) for one in (key, *wanted)) > CLAIM_CHARACTERS.most:
            problems.append(f"{place}.{key[:40]}: has more than {CLAIM_CHARACTERS}")
        else:
            chosen.append((key, wanted))
    return tuple(chosen)


def _at(value: Any, place: str, problems: list[str]) -> At:
    """The place on a curve: "end", "best", a number of iterations, or a table with one place."""
    if value in (END, BEST):
        return At(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"iteration": value}
    if isinstance(value, str):
        problems.append(f"{place}: {unknown('place', value, (END, BEST, *(f'{{ {p} = ... }}' for p in PLACES)))}")
        return At()
    if not isinstance(value, Mapping) or len(value) != 1:
        problems.append(f"{place}: got {value!r}; expected 'end', 'best', or one place such as {{ iteration = 500 }}")
        return At()
    ((kind, counted),) = value.items()
    if kind not in PLACES:
        problems.append(f"{place}: {unknown('place', kind, PLACES)}")
        return At()
    try:
        read = number(counted)
    except ValueError as error:
        problems.append(f"{place}.{kind}: {error}")
        return At()
    if read < 0 or (kind == "fraction" and read > 1):
        limits = "between 0 and 1" if kind == "fraction" else "0 or more"
        problems.append(f"{place}.{kind}: got {read:g}; expected a number {limits}")
    return At(str(kind), read)


def _pick(value: Any, place: str, problems: list[str]) -> str:
    if value == "" or value in PICKS:
        return str(value)
    problems.append(f"{place}: {unknown('pick', value, PICKS)}")
    return ""


def _text(value: Any, place: str, problems: list[str]) -> str:
    if isinstance(value, str):
        return value
    problems.append(f"{place}: got {value!r}; expected a name")
    return ""


__all__ = ["BEST", "END", "INHERITED", "PICKS", "PLACES", "At", "Side", "parse_side"]
