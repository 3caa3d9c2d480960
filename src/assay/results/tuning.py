"""What tuning costs in a stored study whose trials were drawn at random: curves for each value of an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.analysis import tuning_cost as analysis
from assay.analysis.axis_columns import axis_column, axis_columns, axis_of
from assay.analysis.effort import comparable_costs
from assay.analysis.frames import own
from assay.analysis.quantities import MEASURES, Quantity
from assay.errors import AssayError, unknown
from assay.report.answers import selected_by
from assay.store.store import Store
from assay.studies.candidates import Space
from assay.studies.plan import Planner, Trial
from assay.studies.study import Study
from assay.training.outcome import RANKED

if TYPE_CHECKING:
    from assay.results.results import Results

Frame = Any  # a pandas frame, whose stubs know too little of it
_MOST = 18
"""Values of an axis that are compared: as many as a chart has lines."""


@dataclass(frozen=True)
class Default:
    """What a value of an axis reaches with the defaults of everything else, untuned.

    Attributes:
        value: Of the axis.
        score: In the measure; None where it is not stored.
        seconds: Of its training.
        missing: Why it has no score; "" where it has one.
    """

    value: str
    score: float | None = None
    seconds: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class TuningCost:
    """What tuning costs.

    Attributes:
        study: Its name.
        by: The axis; "" where all draws are one curve.
        measure: What the score is.
        table: The columns value, unit, budget, expected, low, high and n, as `analysis.tuning_cost` makes them.
        defaults: What each value reaches untuned, in the order of the values.
        notes: Sentences on the draws.
    """

    study: str
    by: str
    measure: str
    table: Frame
    defaults: tuple[Default, ...]
    notes: tuple[str, ...]

    @property
    def quantity(self) -> Quantity:
        """The measure."""
        return MEASURES[self.measure]

    def sentences(self) -> list[str]:
        """Which value is best with which budget, and where the curves cross: only beyond the bands."""
        is_higher = self.quantity.higher_is_better
        crossed = [one.sentence() for one in analysis.crossovers(self.table, higher_is_better=is_higher)]
        return [*crossed, *analysis.leaders(self.table, higher_is_better=is_higher)]


def tuning_cost(results: Results, *, by: str | None, measure: str | None) -> TuningCost:
    """What tuning costs in a study. Raises: AssayError where its trials are no random draws."""
    notes = why_random(results)
    trials, left_out = own(results.screening())
    trials, apart = comparable_costs(_drawn(results, trials))
    column = _column(results, by)
    chosen = measure or selected_by(trials)
    if chosen not in MEASURES or MEASURES[chosen].kind == "cost":
        scores = [name for name, one in MEASURES.items() if one.kind != "cost"]
        raise AssayError(f"measure: {unknown('score', chosen, scores)}")
    drawn, of_draws = analysis.draws(trials, by=column, measure=chosen)
    values = list(dict.fromkeys(drawn["value"].tolist()))
    if len(values) > _MOST:
        raise AssayError(f"{axis_of(column or '')} has {len(values):,} values; tuning cost compares at most {_MOST}")
    table = analysis.tuning_cost(drawn, higher_is_better=MEASURES[chosen].higher_is_better)
    if table.empty:
        raise AssayError(
            f"{len(drawn):,} draws are too few: a curve needs {analysis.LEAST_DRAWS} for a value; more trials of the "
            "random design, or --by another axis, give more"
        )
    few = [value for value in values if value not in set(table["value"])]
    notes += [f"no curve for {', '.join(few)}: fewer than {analysis.LEAST_DRAWS} draws"] if few else []
    untimed = [value for value in values if value not in few and not _is_timed(table, value)]
    notes += (
        [f"no curve in seconds for {', '.join(untimed)}: a draw lacks its seconds, or takes half of all"]
        if untimed
        else []
    )
    notes += [f"selected on {MEASURES[chosen].split}"] if MEASURES[chosen].split == "test" else []
    notes += [line for line in (left_out, apart, *of_draws) if line]
    defaults = tuple(_defaults(results, column, values, chosen))
    return TuningCost(results.name, axis_of(column or ""), chosen, table, defaults, tuple(notes))


def _is_timed(table: Frame, value: str) -> bool:
    return bool(((table["value"] == value) & (table["unit"] == "seconds")).any())


def why_random(results: Results) -> list[str]:
    """Why the trials of a study are random draws, where it has to be said. Raises: AssayError where they are none."""
    design = str(results.about.get("design", "grid"))
    why = f"tuning cost needs trials that were drawn at random; study {results.name!r}"
    remedy = 'a study with design = "random", or a search with method = "random", has such trials'
    if design == "random":
        return []
    if design == "grid":
        return ["a grid counts as uniform draws of its points"]
    if design != "search":
        kind = "lists configurations that somebody chose" if design == "list" else f"has the design {design!r}"
        raise AssayError(f"{why} {kind}; {remedy}")
    search = results.searched
    method = "" if search is None else search.rows.method
    if method != "random":
        raise AssayError(
            f"{why} is a search by {method}, which chose its trials by the results of earlier ones; {remedy}"
        )
    if search is not None and search.is_promoting:
        raise AssayError(f"{why} stopped trials by their results (halving), so that most have no final score; {remedy}")
    return []


def _drawn(results: Results, trials: Frame) -> Frame:
    """The trials that were drawn: of a search its suggestions, without neighbours of repeated ones and racers."""
    if results.searched is None:
        return trials
    jobs = results.searched.jobs
    drawn = set(jobs[(jobs["kind"] == "suggestion") & (jobs["origin"] == "sampler")]["trial"])
    return trials[trials["trial"].isin(drawn)]


def _column(results: Results, by: str | None) -> str | None:
    """The column of the axis; None where there is one curve. Raises: AssayError."""
    columns = axis_columns_of(results)
    frame: Frame = results.screening()
    if by is None or by == "optimizer.name":
        named = optimizer_axis(results.about)
        if named in columns:
            return columns[named]
        is_varied = by is not None or int(frame["optimizer"].nunique()) > 1
        return "optimizer" if is_varied else None
    column = axis_column(by, columns, frame.columns)
    axis: Any = (results.about.get("axes") or {}).get(axis_of(column))
    if isinstance(axis, Mapping) and "low" in axis:
        raise AssayError(f"{axis_of(column)} is a range; expected an axis with values, such as one of optimizers")
    return column


def axis_columns_of(results: Results) -> dict[str, str]:
    """The column of each axis, by its name."""
    return {axis_of(column): column for column in results.axes} or axis_columns([])


def optimizer_axis(about: Mapping[str, Any]) -> str:
    """The axis of a stored definition that sets the optimizer; "" without one."""
    axes: Any = about.get("axes") or {}
    for name, axis in axes.items():
        if not isinstance(axis, Mapping):
            continue
        if axis.get("key") in ("optimizer", "optimizer.name"):
            return str(name)
        patches = [patch for patch in axis.values() if isinstance(patch, Mapping)]  # pyright: ignore
        if patches and all(_names_optimizer(patch.get("optimizer")) for patch in patches):  # pyright: ignore
            return str(name)
    return ""


def _names_optimizer(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Mapping) and "name" in value)


# --- the defaults alone ----------------------------------------------------------------------------------------------


def _defaults(results: Results, column: str | None, values: list[str], measure: str) -> list[Default]:
    """What each value reaches with the baseline of the study in every other axis."""
    try:
        made = default_trials(results, column, values)
    except AssayError as error:
        return [Default(value, missing=str(error)) for value in values]
    return [
        _default(results.store, value, made.get(value, "its defaults alone are no recipe"), measure) for value in values
    ]


def default_trials(results: Results, column: str | None, values: list[str]) -> dict[str, Trial | str]:
    """The trial of each value with the baseline in every other axis, or why there is none.

    Raises: AssayError where the stored definition cannot be read here.
    """
    definition = defaults_study(results, column)
    if definition is None:
        return dict.fromkeys(values, f"{axis_of(column or '')} is no axis of the study")
    study = Study.parse(definition, source=results.name)
    planner, space = Planner(study.settings), Space(study.settings, study.baseline, study.axes)
    made: dict[str, Trial | str] = {}
    points: list[tuple[str, Any]] = (
        [("all", {})]
        if column is None
        else [(str(value), {axis.name: value}) for axis in study.axes for value in axis.patches]
    )
    for name, point in points:
        try:
            candidate = space.candidate(point)
            made[name] = planner.trial(candidate.recipe, candidate.engine)
        except (AssayError, ValueError) as error:
            made[name] = f"its defaults are not valid: {error}"
    return made


def defaults_study(results: Results, column: str | None) -> dict[str, Any] | None:
    """The study of the defaults: the axis alone, with the baseline in the others; None where the axis is none of it."""
    about = results.about
    raw: Any = about.get("axes") or {}
    axes = {} if column is None else {axis_of(column): raw.get(axis_of(column))}
    if None in axes.values():
        return None
    kept = ("timing", "engine", "device", "threads", "time_limit", "memory_limit", "baseline")
    axes = {name: {key: value for key, value in axis.items() if key != "when"} for name, axis in axes.items()}
    varied = {"design": "grid", "axes": axes} if axes else {"design": "list", "trials": {"defaults": {}}}
    definition = {"name": f"{results.name}-defaults", **{key: about[key] for key in kept if key in about}, **varied}
    return _with_valid_values(definition)


def _with_valid_values(definition: dict[str, Any]) -> dict[str, Any]:
    """A study of one axis without the values that need another axis, such as an optimizer without a default rate."""
    for name, axis in definition.get("axes", {}).items():
        values: Any = axis.get("values") if isinstance(axis, dict) else None
        if isinstance(values, list) and not _is_valid(definition):
            each = [{**definition, "axes": {name: {**axis, "values": [value]}}} for value in values]  # pyright: ignore
            valid = [value for value, alone in zip(values, each, strict=True) if _is_valid(alone)]  # pyright: ignore
            return {**definition, "axes": {name: {**axis, "values": valid}}} if valid else definition
    return definition


def _is_valid(definition: dict[str, Any]) -> bool:
    try:
        Study.parse(definition)
    except AssayError:
        return False
    return True


def _default(store: Store, value: str, trial: Trial | str, measure: str) -> Default:
    if isinstance(trial, str):
        return Default(value, missing=trial)
    outcome = store.outcomes([trial.key]).get(trial.key)
    if outcome not in RANKED:
        how = "is not stored" if outcome is None else str(outcome)
        return Default(value, missing=f"the trial of the defaults {how}")
    history = store.result(trial.key)
    assert history is not None  # it has a result
    assert history.points  # it was ranked
    score = getattr(history.points[-1], MEASURES[measure].name, None)
    return Default(value, score, history.points[-1].seconds, "" if score is not None else "it has no such score")


__all__ = ["Default", "TuningCost", "default_trials", "defaults_study", "tuning_cost", "why_random"]
