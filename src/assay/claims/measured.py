"""What the sides of claims read: the trials and curves of studies, made once, and the values of experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.curves import settled
from assay.analysis.draws import replicate_of
from assay.analysis.frames import FINISHED, numbers
from assay.analysis.quantities import CLASSIFICATION, LOSS, MEASURES, Quantity, known_task, name_of, of_other_task
from assay.analysis.seeds import ENDED, Endings, counted
from assay.claims.quantity import ON_CURVES, names_of
from assay.claims.side import BEST, END, At, Side
from assay.claims.study_frames import StudyData, StudyFrames
from assay.errors import AssayError, has_no, listed, unknown

VALUE = "value of the side"
"""The column of a side's frame that has what each trial counts as."""


class CannotTellError(Exception):
    """A claim cannot be judged from what is measured; the message says why."""


class NotRunError(Exception):
    """A claim needs a value of an experiment, and no code was run for it."""


@dataclass(frozen=True)
class Experiments:
    """The values that experiments gave, such as allocated bytes, by name; `machine` is the hash of the machine."""

    values: Mapping[str, Any]
    machine: str = ""


@dataclass(frozen=True)
class SideValues:
    """What a side measured.

    Attributes:
        side: The side.
        name: The configuration, or the side in words.
        values: What each pair of seeds counts as, by seed or repeat; infinite is worse than any finished trial.
        endings: How the trials ended.
        frame: The trials, with the column `VALUE`; empty for a side of no trials.
        study: The study of the trials; empty for a side of no trials.
    """

    side: Side
    name: str
    values: Mapping[int, float]
    endings: Endings
    frame: pd.DataFrame
    study: str = ""

    @property
    def quantity(self) -> Quantity:
        """What was measured."""
        return self.side.quantity

    @property
    def replicate(self) -> str:
        """What each value is of: "seed", or "fold" or "re-split" where test sets are drawn for each repeat."""
        return replicate_of(self.frame) if self.study else "seed"

    def notes(self, *, named: bool = False) -> list[str]:
        """How many of its trials diverged, timed out or have no result; with `named`, of which side."""
        return self.endings.notes(self.name if named else "", replicate=self.replicate)

    def by_repeat(self) -> Mapping[int, float]:
        """What each repeat counts as; stated values are those of the repeats in order."""
        if not self.study:
            return self.values
        pairs = zip(self.frame["repeat"].tolist(), self.frame[VALUE].tolist(), strict=True)
        return {int(repeat): float(value) for repeat, value in pairs if value == value}

    def known(self) -> list[float]:
        """The values of all seeds that have one."""
        return list(self.values.values())


def _of_other_task(side: Side, study: StudyFrames) -> str:
    """Why a study has no quantity that only the other task has; "" for any other quantity."""
    task, name = known_task(study.frame), side.quantity.column
    if task is None or not of_other_task(name, task):
        return ""
    use = listed([repr(one) for one in (*(metric.name for metric in task.metrics), name_of("test", LOSS.name))])
    if side.is_assumed:
        return (
            f"names no quantity, so that {name} is assumed, which study {study.name}, of a {task.name}, does not have; "
            f"write quantity = one of {use}"
        )
    owner = "regression" if task is CLASSIFICATION else CLASSIFICATION.name
    return f"{name} is of a {owner}, and study {study.name} is of a {task.name}; write quantity = one of {use}"


def replicates(left: SideValues, right: SideValues) -> str:
    """What the common trials of two sides are, such as "seeds"; one of them may be a number in place of trials."""
    return f"{(left if left.study else right).replicate}s"


class Measured:
    """The studies and experiments that claims are judged by.

    Args:
        studies: The studies, by name.
        experiments: The values of experiments; None where no code was run.
        main: The study of sides that name none; empty if any of the studies may have the configuration.
        stored: The names of all stored studies, for messages.
    """

    def __init__(
        self,
        studies: Mapping[str, StudyData],
        experiments: Experiments | None = None,
        *,
        main: str = "",
        stored: Sequence[str] = (),
    ) -> None:
        self.studies = {name: StudyFrames(data) for name, data in studies.items()}
        self.experiments, self._main = experiments, main
        self._stored = tuple(stored) or tuple(studies)
        self._sides: dict[Side, SideValues] = {}
        self._labels: dict[Side, list[tuple[str, str]]] = {}

    # --- selection ----------------------------------------------------------------------------------------------------

    def problem(self, side: Side) -> str:
        """Why a side cannot be read at all: no such study, configuration or quantity, or several; empty if it can."""
        if not side.is_selection:
            return self._experiment_problem(side)
        if side.study and side.study not in self.studies:
            return unknown("study", side.study, self._stored)
        try:
            selected = self._selected(side)
        except AssayError as error:
            return str(error)
        column = side.quantity.column
        for name in {study for study, _ in selected}:
            if column not in self.studies[name].frame.columns:
                if reason := _of_other_task(side, self.studies[name]):
                    return reason
                return has_no(f"study {name}", "quantity", column, names_of(self.studies[name].frame.columns))
        return ""

    def _experiment_problem(self, side: Side) -> str:
        if not side.experiment or self.experiments is None or side.experiment in self.experiments.values:
            return ""
        return unknown("value of an experiment", side.experiment, self.experiments.values)

    def _selected(self, side: Side) -> list[tuple[str, str]]:
        """Study and label of the configurations that a side selects. Raises: AssayError for none, or too many."""
        if side not in self._labels:
            self._labels[side] = self._found(side)
        return self._labels[side]

    def _found(self, side: Side) -> list[tuple[str, str]]:
        name = side.study or self._main
        studies = [name] if name else list(self.studies)
        found: list[tuple[str, str]] = []
        reasons: list[str] = []
        for name in studies:
            labels, reason = self.studies[name].selected(side)
            found += [(name, label) for label in labels]
            reasons += [reason] if reason else []
        if not found:
            raise AssayError(f"selects nothing: {reasons[0] if reasons else 'no study is given'}")
        if len(found) > 1 and not side.pick:
            names = listed([label if len(studies) == 1 else f"{label} ({study})" for study, label in found])
            raise AssayError(
                f"selects {len(found)} configurations: {names}; name one, or write pick = 'best', 'worst' or 'longest'"
            )
        if side.pick in ("best", "worst") and side.quantity.is_timed and len({study for study, _ in found}) > 1:
            raise AssayError(
                f"selects configurations of several studies, whose times may not compare; add study = {found[0][0]!r}"
            )
        return found

    # --- values -------------------------------------------------------------------------------------------------------

    def read(self, side: Side) -> SideValues:
        """What a side measured.

        Raises:
            CannotTellError: Not a seed of it has a value.
            NotRunError: It is a value of an experiment that was not run.
            AssayError: As `problem` says.
        """
        if side not in self._sides:
            self._sides[side] = self._read(side)
        return self._sides[side]

    def _read(self, side: Side) -> SideValues:
        if not side.is_selection:
            return self._stated(side)
        if problem := self.problem(side):
            raise AssayError(f"{side.text()}: {problem}")
        selected = self._selected(side)
        if side.pick == "longest":
            return self._longest(side, selected)
        read = [self._of(side, *one) for one in selected]
        if len(read) == 1:
            return _with_values(read[0])
        missing = [one.name for one in read if not one.values]
        if missing:
            raise CannotTellError(f"{listed(missing)} of {side.text()} not measured")
        sign = 1 if side.quantity.higher_is_better == (side.pick == "best") else -1
        return max(read, key=lambda one: sign * float(np.median(one.known())))

    def _stated(self, side: Side) -> SideValues:
        values: Sequence[float]
        if side.experiment:
            if self.experiments is None:
                raise NotRunError(f"the experiment {side.experiment!r} was not run")
            if side.experiment not in self.experiments.values:
                raise AssayError(unknown("value of an experiment", side.experiment, self.experiments.values))
            given = self.experiments.values[side.experiment]
            if given is None:
                raise CannotTellError(f"the experiment gave no value for {side.experiment!r}")
            values = [float(one) for one in given] if isinstance(given, list | tuple) else [float(given)]
        else:
            values = [side.constant] if side.constant is not None else side.values
        if not all(map(math.isfinite, values)):
            raise CannotTellError(f"{side.text()} is not a finite number")
        endings = Endings.of(["completed"] * len(values))
        return SideValues(side, side.text(), dict(enumerate(values)), endings, pd.DataFrame())

    def _of(self, side: Side, study: str, label: str) -> SideValues:
        """A side's values for one configuration; they may be empty."""
        return self._values(side, study, label, self.studies[study].rows(label))

    def _longest(self, side: Side, selected: Sequence[tuple[str, str]]) -> SideValues:
        """The trial of the longest budget of each seed, also where that has no result yet."""
        frames: list[Any] = []
        for study, label in selected:
            rows, budgets = self.studies[study].rows(label), self.studies[study].budgets
            lengths = [budgets.get(str(trial), {}).get("budget", math.nan) for trial in rows["trial"].tolist()]
            frames.append(rows.assign(**{"length of the budget": lengths, "study of the side": study}))
        together: Any = pd.concat(frames, ignore_index=True)
        if together["length of the budget"].isna().any():
            raise CannotTellError(f"{side.text()}: a budget in seconds has no length to compare")
        order = together.sort_values("length of the budget", kind="stable")
        last = order.groupby("seed", sort=False).tail(1).sort_values("seed")
        studies = set(last["study of the side"].tolist())
        names = list(dict.fromkeys(str(label) for label in last["configuration"].tolist()))
        if len(studies) > 1 or len(names) > 1:
            raise CannotTellError(f"{side.text()}: the longest budget differs between seeds: {listed(names)}")
        return _with_values(self._values(side, studies.pop(), names[0], last))

    def _values(self, side: Side, study: str, label: str, rows: Any) -> SideValues:
        """The values of these trials, by seed; those that are no result are left out."""
        column = side.quantity.column
        of_study = self.studies[study]
        if side.at.kind == END:
            frame = rows
        else:
            budgets = of_study.budgets
            numbers = [
                _at(of_study.curves.get(str(row["trial"])), row, side, budgets.get(str(row["trial"]), {}))
                for row in rows.to_dict("records")
            ]
            frame = rows.assign(**{column: numbers})
        values = _counted(frame, side)
        frame = frame.assign(**{VALUE: values})
        by_seed = {
            int(seed): float(value)
            for seed, value in zip(frame["seed"].tolist(), values, strict=True)
            if value == value
        }
        endings = Endings.of([str(word) for word in rows["outcome"].tolist()])
        return SideValues(side, label, dict(sorted(by_seed.items())), endings, frame, study)

    def curves_of(self, measured: SideValues) -> dict[str, pd.DataFrame]:
        """The curves of a side's trials, by the key of the trial; empty for a side of no trials."""
        if not measured.study:
            return {}
        curves = self.studies[measured.study].curves
        return {key: curves[key] for key in map(str, measured.frame["trial"].tolist()) if key in curves}

    def is_settled(self, measured: SideValues) -> dict[str, bool]:
        """Whether each curve has settled, by the key of the trial."""
        return {key: settled(curve) for key, curve in self.curves_of(measured).items()}


def _with_values(measured: SideValues) -> SideValues:
    if not measured.values:
        raise CannotTellError(f"{measured.side.text()} is not measured{_why(measured.endings)}")
    return measured


def _why(endings: Endings) -> str:
    text = endings.without_text()
    return f" ({text})" if text else ""


def _at(curve: Any, row: Mapping[str, Any], side: Side, budget: Mapping[str, float]) -> float:
    """A quantity at a place of a trial's curve; NaN where the curve does not get there.

    A training that diverged or timed out before keeps its last finite value: without any, `counted` says what it is.
    """
    if row["outcome"] not in (*FINISHED, *ENDED):
        return math.nan
    has_ended = row["outcome"] in ENDED
    if curve is None or not len(curve):
        return math.nan
    values = curve[ON_CURVES[side.quantity.column]].to_numpy(dtype=np.float64)
    finite = values[np.isfinite(values)]
    if side.at.kind == BEST:
        return math.nan if not finite.size else float(finite.max() if side.quantity.higher_is_better else finite.min())
    counts, place = _place(curve, side.at, budget)
    reached = np.flatnonzero(counts <= place + 1e-9)
    value = float(values[reached[-1]]) if reached.size and counts[-1] >= place - 1e-9 else math.nan
    is_cost = side.quantity.kind == "cost"
    if has_ended and not math.isfinite(value):
        return math.nan if is_cost or not finite.size else float(finite[-1])
    return value


def _place(curve: Any, at: At, budget: Mapping[str, float]) -> tuple[Any, float]:
    """What a place is counted in at each point of a curve, and the place."""
    if at.kind in ("iteration", "examples"):
        return curve[at.kind].to_numpy(dtype=np.float64), at.amount
    iterations, length = curve["iteration"].to_numpy(dtype=np.float64), budget.get("budget", math.nan)
    if at.kind == "fraction":
        if not math.isfinite(length):
            raise CannotTellError("a budget in seconds has no iterations to take a fraction of")
        return iterations, at.amount * length
    epochs = budget.get("epochs", math.nan)
    if not (math.isfinite(length) and math.isfinite(epochs) and epochs > 0):
        raise CannotTellError("the budget is not in epochs: write at = { iteration = ... } or { examples = ... }")
    return iterations, float(round(at.amount * length / epochs))


def _counted(frame: Any, side: Side) -> list[float]:
    """What each trial counts as in the side's quantity, by the rule of `assay.analysis.seeds`."""
    column, quantity = side.quantity.column, side.quantity
    if side.at.kind != END and quantity.kind == "cost":  # reached before the end: it is what it was there
        finished = np.isin([str(word) for word in frame["outcome"].tolist()], (*FINISHED, *ENDED))
        return np.where(finished, frame[column].to_numpy(dtype=np.float64), np.nan).tolist()
    if column in MEASURES:
        return counted(frame, column).tolist()
    values = numbers(frame, column)
    outcomes = np.asarray([str(word) for word in frame["outcome"].tolist()], dtype=object)
    return np.where(np.isin(outcomes, FINISHED), values, np.where(np.isin(outcomes, ENDED), np.inf, np.nan)).tolist()


__all__ = ["VALUE", "CannotTellError", "Experiments", "Measured", "NotRunError", "SideValues", "StudyData"]
