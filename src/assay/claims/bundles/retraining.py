"""Trains trials of a bundle again, drawn by the verifier's seed, and compares each with what was published."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Any

from assay.claims.bundles.content import Content
from assay.claims.bundles.data_sets import DataSets
from assay.claims.bundles.differences import ENGINE, LEVEL, Difference, allowed, difference, layers_of
from assay.claims.bundles.environment import needs_code
from assay.claims.bundles.tables import Row
from assay.engines import ENGINES, installed
from assay.engines.program import Command
from assay.engines.promises import numerics
from assay.engines.promises import promised as law
from assay.errors import AssayError
from assay.execution.fit import fit
from assay.parts.foreign import exempt_module
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
from assay.report.text import short_percent
from assay.system.machine import describe
from assay.training.history import History, Point
from assay.training.log_points import shareable
from assay.training.outcome import RANKED, Outcome

_STARTED = "started from "
_COHORT = 3  # the law of `assay.engines.base` that a trial alone equals the trial in its cohort
_ROUNDING = 1e-6  # of an accuracy in 32 bits


class Answer(StrEnum):
    """What a repeated training says of the published one."""

    SAME = "same bits"
    WITHIN = "within"
    DIFFERS = "differs"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Repeated:
    """A trial that was drawn.

    Attributes:
        trial: Its key.
        place: Study, configuration and repeat.
        answer: What the repeated training says.
        sentence: What was compared with what, or why nothing was.
        engine: The engine and level that it was published with, and those here.
        difference: Of the two curves; None where it was not run.
        ratio: Seconds of training here / published; None where one has none.
    """

    trial: str
    place: str
    answer: Answer
    sentence: str
    engine: str = ""
    difference: Difference | None = None
    ratio: float | None = None

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "trial": self.trial,
            "place": self.place,
            "answer": str(self.answer),
            "sentence": self.sentence,
            "engine": self.engine,
            "largest_difference": None if self.difference is None else self.difference.plain(),
            "time_ratio": self.ratio,
        }


def repeatable(row: Row) -> str:
    """Why a trial cannot be compared with a repeated one; empty if it can."""
    if row["outcome"] is None:
        return "has no result"
    if Outcome(row["outcome"]) not in (*RANKED, Outcome.DIVERGED):
        return f"{row['outcome']}: its end depends on the machine"
    if any(note.startswith(_STARTED) for note in json.loads(row["warnings"] or "[]")):
        return "started from weights that are not in the bundle"
    recipe = Recipe.stored(json.loads(row["recipe"]))
    return "" if shareable(recipe) else "its budget, a rule or a log point is in seconds"


def drawn(rows: Sequence[Row], *, sample: int | None, seed: int) -> list[Row]:
    """The trials that a seed draws, in the order of the bundle; None draws all."""
    if sample is None or sample >= len(rows):
        return list(rows)
    keys = sorted(row["key"] for row in rows)  # the draw depends on the trials alone, not on their order
    chosen = set(random.Random(f"assay verify {seed}").sample(keys, sample))  # noqa: S311
    return [row for row in rows if row["key"] in chosen]


def chance_of_missing(tampered: int, *, trials: int, sample: int) -> float:
    """The probability that a sample without replacement has none of the tampered trials: hypergeometric.

    >>> chance_of_missing(1, trials=20, sample=5), chance_of_missing(3, trials=3, sample=1)
    (0.75, 0.0)
    """
    return math.comb(trials - tampered, sample) / math.comb(trials, sample)


def repeat_all(rows: Sequence[Row], content: Content, data: DataSets, *, allow_code: bool) -> Iterator[Repeated]:
    """Trains trials again, one by one."""
    machines = {row["hash"]: json.loads(row["description"]) for row in content.machines}
    definitions = {str(study["name"]): study["definition"] for study in content.studies}
    points = _points(content, {row["key"] for row in rows})
    first: dict[str, Row] = {}
    for member in content.members:
        first.setdefault(member["trial"], member)
    for row in rows:
        member = first[row["key"]]
        place = f"{member['study']}: {member['label']}, repeat {member['repeat']}"
        machine = machines.get(row["machine"], {})
        try:
            yield _repeated(
                row, points[row["key"]], machine, data, place=place, code=(allow_code, definitions[member["study"]])
            )
        except AssayError as error:
            reason = str(error).splitlines()
            yield Repeated(row["key"], place, Answer.NOT_RUN, f"not run: {'; '.join(reason)[:300]}")


def _points(content: Content, keys: set[str]) -> dict[str, list[Point]]:
    points: dict[str, list[Point]] = {key: [] for key in keys}
    for row in content.points:
        if row["trial"] in keys:
            points[row["trial"]].append(Point(**{name: value for name, value in row.items() if name != "trial"}))
    return points


def _repeated(
    row: Row,
    published: Sequence[Point],
    machine: Mapping[str, Any],
    data: DataSets,
    *,
    place: str,
    code: tuple[bool, Mapping[str, Any]],
) -> Repeated:
    """A trial that is trained again. Raises: AssayError where it cannot be."""
    allow_code, definition = code
    if needs_code(row) and not allow_code:
        reason = "not run: it needs code of its author; --allow-code runs code of your own that has its name"
        return Repeated(row["key"], place, Answer.NOT_RUN, reason)
    if row["device"] not in (None, "cpu"):
        return Repeated(row["key"], place, Answer.NOT_RUN, f"not run: it was trained on {row['device']}")
    dataset = data.find(row["data"], row["data_checksum"])
    if dataset is None:
        return Repeated(row["key"], place, Answer.NOT_RUN, f"not run: {data.why_not(row['data'])}")
    with allowing_code() if allow_code else nullcontext():
        plain = json.loads(row["recipe"])
        imports = (needs_code(row) and allow_code) or exempt_module(row["optimizer"] or "")
        recipe = Recipe.parse(plain) if imports else Recipe.stored(plain)
        history = fit(
            recipe,
            data=replace(dataset, name=recipe.data.name),
            engine=_engine(row, definition),
            threads=row["threads"],
        )
    tested = len(dataset.drawn(recipe.data.draw).y_test)
    return _compared(row, published, history, machine, place=place, example=1 / tested)


def _engine(row: Row, definition: Mapping[str, Any]) -> str | Command:
    """The engine of a trial, or another one where it is not installed here."""
    if str(row["engine"]).startswith("command:"):
        given = definition.get("engine")
        if not isinstance(given, dict):
            raise AssayError("its program is not in the definition of its study")
        return Command(**given)
    name = str(row["engine"])
    return name if name in ENGINES and installed(name) else "auto"


def _compared(
    row: Row,
    published: Sequence[Point],
    history: History,
    machine: Mapping[str, Any],
    *,
    place: str,
    example: float,
) -> Repeated:
    """What the repeated training says of the published one; `example`: what one test example makes of an accuracy."""
    found = difference(published, history.points)
    there = f"{row['engine']}{_level(row['level'])}"
    here = f"{history.engine}{_level(history.level)}"
    engines = there if there == here else f"{there}; here {here}"
    seconds = published[-1].seconds if published else None
    ratio = history.points[-1].seconds / seconds if seconds and history.points[-1].seconds else None
    made = Repeated(row["key"], place, Answer.SAME, "", engines, found, ratio)
    if found.same_bits and str(history.outcome) == row["outcome"]:
        if wrong := _unlike_end(row, history):
            return replace(made, answer=Answer.DIFFERS, sentence=f"its curve has the same bits, but {wrong}")
        return replace(made, sentence=f"same bits at {found.points:,} log points")
    if str(history.outcome) != row["outcome"]:
        reason = f"it {row['outcome']}; here it {history.outcome}"
        return replace(made, answer=Answer.DIFFERS, sentence=reason)
    if not found.same_points:
        return replace(made, answer=Answer.DIFFERS, sentence=f"differs: {found.where}")
    if promised(row, history, machine):
        reason = f"differs, although engine, numerics, level, libraries and processor are the same: {found.where}"
        return replace(made, answer=Answer.DIFFERS, sentence=reason)
    kind = LEVEL if row["engine"] == history.engine else ENGINE
    limit = allowed(kind, history.iterations, layers_of(history.recipe.model))
    has_bound = math.isfinite(found.accuracy) and math.isfinite(found.loss)
    gaps = f"{100 * found.accuracy:.2f} points of accuracy, {short_percent(found.loss)} of loss"
    largest = gaps if has_bound else found.where
    if limit is None:
        reason = f"not comparable: {largest}; so many iterations were not measured between engines and levels"
        return replace(made, answer=Answer.NOT_RUN, sentence=reason)
    most = max(limit.accuracy, example * (1 + _ROUNDING))  # a smaller data set has larger steps than the measured ones
    bound = f"{100 * most:.2f} points and {short_percent(limit.loss)}, the largest of {limit.n} measured pairs"
    bound += " or one test example" * (most > limit.accuracy)
    if found.accuracy <= most and found.loss <= limit.loss:
        return replace(made, answer=Answer.WITHIN, sentence=f"{largest}: within {bound} of another {kind}")
    more = f"; more than {bound}: {found.where}" if has_bound else ""
    return replace(made, answer=Answer.DIFFERS, sentence=f"differs: {largest}{more}")


def _unlike_end(row: Row, history: History) -> str:
    """A result of a training that is not that of the repeated one, in words; empty where all are."""
    ours: dict[str, Any] = {name: getattr(history, name) for name in ("iterations", "flops", "parameters")}
    ours["confusion"] = None if history.confusion is None else history.confusion.tolist()
    ours["classes"] = list(history.classes)
    for name, value in ours.items():
        given = json.loads(row[name]) if isinstance(row[name], str) else row[name]
        if given is not None and value is not None and given != value:
            return f"{name} is {str(given)[:60]}, here {str(value)[:60]}"
    return ""


def promised(row: Row, history: History, machine: Mapping[str, Any]) -> bool:
    """Whether the same bits are promised: engine, numerics, level, libraries, threads and processor are the same."""
    here = describe()
    engine, device = str(row["engine"]), row["device"] or "cpu"
    library = {"numpy": ("numpy",), "torch": ("torch",), "jax": ("jax", "jaxlib")}.get(engine, ())
    versions, ours = machine.get("versions", {}), here["versions"]
    together = law(engine, _COHORT, device=device)
    same = [
        engine == history.engine,
        row["numerics"] == numerics(engine, device),
        row["level"] == history.level,
        machine.get("cpu") == here["cpu"],
        all(versions.get(name) == ours.get(name) for name in library),
        engine == "native" or row["threads"] is not None or row["cores"] == here["cores"],
        (row["cohort"] or 1) == 1 or (together is not None and together.same_bits),
    ]
    return all(same) and not needs_code(row)


def _level(level: str | None) -> str:
    return f" ({level})" if level else ""


def time_sentence(repeated: Sequence[Repeated], content: Content) -> str:
    """How the training times compare, with both machines; empty without one."""
    ratios = sorted(one.ratio for one in repeated if one.ratio is not None)
    if not ratios:
        return ""
    names = list(dict.fromkeys(json.loads(row["description"]).get("cpu", "unknown") for row in content.machines))
    timings = sorted({str(row["timing"]) for row in content.trials})
    spread = f" ({ratios[0]:.2g} to {ratios[-1]:.2g})" if len(ratios) > 1 else ""
    return (
        f"Training took {median(ratios):.2g} times the published seconds{spread}: published on {', '.join(names)} "
        f"({', '.join(timings)}), here on {describe()['cpu']}, where nothing kept other programs away"
    )


__all__ = [
    "Answer",
    "Repeated",
    "chance_of_missing",
    "drawn",
    "promised",
    "repeat_all",
    "repeatable",
    "time_sentence",
]
