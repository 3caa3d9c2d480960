"""The search of a study: its jobs as a frame, what it cost, and what it found, in sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis.axis_columns import axis_columns
from assay.analysis.quantities import MEASURES, QUANTITIES, name_of
from assay.analysis.search_cost import JOB_COLUMNS, SearchCost, incumbents, search_cost
from assay.data.targets import REGRESSION
from assay.errors import AssayError
from assay.report.text import duration, percent
from assay.store.search_rows import SearchRows
from assay.studies.search.objectives import OBJECTIVES, Goal, objectives_of
from assay.studies.search.settings import SearchSettings

if TYPE_CHECKING:
    pass

Frame = Any  # a pandas frame, whose stubs know too little of it
_SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)  # budgets in a sentence


@dataclass(frozen=True)
class Searched:
    """The search of a study.

    Attributes:
        rows: What the store has of it.
        goal: Its objectives.
        is_promoting: Whether it promotes trials from rung to rung.
        definitions: Its axes as its study file has them, by name.
        has_seeds: Whether it races its best configurations on other seeds; its course is that of the first seed.
    """

    rows: SearchRows
    goal: Goal
    is_promoting: bool = False
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    has_seeds: bool = False

    @cached_property
    def jobs(self) -> Frame:
        """One row per job, in order: the columns `JOB_COLUMNS`, and one for each axis."""
        import pandas

        values = [json.loads(row["axis_values"]) for row in self.rows.jobs]
        measured = [json.loads(row["measured"]) if row["measured"] else [] for row in self.rows.jobs]
        columns: dict[str, list[Any]] = {name: [row.get(name) for row in self.rows.jobs] for name in _STORED}
        columns["configuration"] = [row["label"] for row in self.rows.jobs]
        columns["score"] = [scores[0] if scores else None for scores in measured]
        columns["second_score"] = [scores[1] if len(scores) > 1 else None for scores in measured]
        columns["seconds"] = [row["cost_seconds"] for row in self.rows.jobs]
        columns["flops"] = [row["cost_flops"] for row in self.rows.jobs]
        columns["deciding"] = [row["seconds"] for row in self.rows.jobs]
        for name in ("feasible", "reused"):
            columns[name] = [bool(row[name]) for row in self.rows.jobs]
        frame = pandas.DataFrame({name: columns[name] for name in JOB_COLUMNS})
        for name in ("n", "rung", "budget", "parent", "score", "second_score", "seconds", "flops", "deciding"):
            frame[name] = pandas.to_numeric(frame[name])
        for axis, column in self.axes.items():
            frame[column] = pandas.Series([of_job.get(axis) for of_job in values], dtype=object)
        return frame

    @cached_property
    def axes(self) -> dict[str, str]:
        """The column of each axis, by its name."""
        names = dict.fromkeys(axis for row in self.rows.jobs for axis in json.loads(row["axis_values"]))
        return axis_columns(names)

    @property
    def maximize(self) -> bool:
        """Whether more of the first objective is better."""
        return self.goal.maximize[0]

    @property
    def cost(self) -> SearchCost:
        """What the told jobs cost."""
        return search_cost(self.jobs)

    @cached_property
    def incumbents(self) -> Frame:
        """The best score so far after each told job. Raises: AssayError for two objectives, which have no best."""
        if len(self.goal.names) > 1:
            raise AssayError("a search for two objectives has no best score; the chart pareto shows its trade-offs")
        return incumbents(self.jobs, maximize=self.maximize)

    @property
    def is_random(self) -> bool:
        """Whether its suggestions do not depend on results."""
        return self.rows.method == "random" and not self.is_promoting

    @property
    def label(self) -> str:
        """The first objective as the title of an axis."""
        name = self.goal.names[0]
        known = QUANTITIES.get(name_of(self.goal.split, name)) or MEASURES.get(name)
        if OBJECTIVES[name].to_target:
            return f"{'training seconds' if name == 'seconds' else name} to the target"
        label = known.label if known else name
        return f"{label} on the first seed" if self.has_seeds else label

    @property
    def is_fraction(self) -> bool:
        """Whether the first objective is shown in percent."""
        return self.goal.names[0] == "accuracy"

    def text(self, value: float) -> str:
        """A score in words."""
        if self.is_fraction:
            return percent(value)
        return _seconds(value) if self.goal.names[0] == "seconds" else f"{value:,.4g}"

    # --- in words ---

    def cost_sentence(self) -> str:
        """What the search cost, in words."""
        cost = self.cost
        trained = f"{cost.trials:,} trials took {_seconds(cost.seconds)} and {cost.flops:.3g} operations of training"
        if cost.reused:
            were = "was" if cost.reused == 1 else "were"
            trained += f", {_seconds(cost.reused_seconds)} of it before ({cost.reused:,} {were} stored)"
        fraction = "" if np.isnan(cost.fraction) else f", {100 * cost.fraction:.2g} % of what was spent here"
        return f"{trained}; suggestions took {_seconds(cost.deciding)} apart from that{fraction}"

    def best_sentence(self) -> str:
        """How the best score grew with trials and seconds, in words; "" without a score, and for two objectives.

        Of random draws it is the expected best of so many trials; of other methods what this one run had.
        """
        if len(self.goal.names) > 1:
            return ""
        table = self.incumbents
        known = table[table["best"].notna()]
        if known.empty:
            return ""
        if self.is_random and (expected := self._expected()):
            return expected
        shown = [b for b in _SHOWN if b < len(table)] + [len(table)]
        rows = [table.iloc[b - 1] for b in shown]
        parts = [
            f"{int(row['trials']):,} ({_seconds(float(row['seconds']))}): {self.text(float(row['best']))}"
            for row in rows
            if row["best"] == row["best"]
        ]
        return f"best after trials (seconds) of this run{self._biased}: {', '.join(parts)}"

    @property
    def _biased(self) -> str:
        """What the best scores are."""
        return ", of the first seed, which selected them" if self.has_seeds else ", which these scores selected"

    def _expected(self) -> str:
        """The expected best of b random draws, with its band; "" for too few draws."""
        table = self.expected_best
        by_trials = table[table["unit"] == "trials"]
        last_budget = by_trials["budget"].max()
        rows = [row for row in by_trials.to_dict("records") if row["budget"] in (*_SHOWN, last_budget)]
        parts = [
            f"{row['budget']:,.0f}: {self.text(row['expected'])} [{self.text(row['low'])}, {self.text(row['high'])}]"
            for row in rows
        ]
        timed = table[table["unit"] == "seconds"]
        if len(timed):
            last = timed.iloc[-1]
            parts.append(f"{_seconds(float(last['budget']))}: {self.text(float(last['expected']))}")
        return f"expected best of random draws by trials [95 % band] and seconds: {', '.join(parts)}" if parts else ""

    @cached_property
    def expected_best(self) -> Frame:
        """The expected best of random draws by budget, as `tuning_cost` has it. Meaningful where `is_random`."""
        from assay.analysis.tuning_cost import tuning_cost

        return tuning_cost(self.draws(), higher_is_better=self.maximize)

    def draws(self) -> Frame:
        """The suggestions that have a score, as draws for `tuning_cost`; one without a score counts as the worst."""
        jobs = self.jobs
        told = jobs[jobs["outcome"].notna() & (jobs["kind"] == "suggestion") & (jobs["origin"] == "sampler")]
        score = told["score"].where(told["feasible"])
        worst = score.min() if self.maximize else score.max()
        drawn = told.assign(value="all", score=score.fillna(worst))
        return drawn[drawn["score"].notna()][["value", "score", "seconds"]]

    def sentences(self) -> list[str]:
        """What the search cost and found, in words."""
        lines = [f"cost of the search by {self.rows.method}: {self.cost_sentence()}", self.best_sentence()]
        return [line for line in lines if line]

    def plain(self) -> dict[str, Any]:
        """The cost and the course of the best score, as plain data."""
        made: dict[str, Any] = {"cost": self.cost.plain()}
        if len(self.goal.names) == 1:
            improved = self.incumbents[self.incumbents["improved"]]
            made["incumbents"] = [
                {"trials": int(row["trials"]), "seconds": float(row["seconds"]), "best": float(row["best"])}
                for row in improved.to_dict("records")
            ]
        if self.is_random:
            made["expected_best"] = self.expected_best.drop(columns="value").to_dict("records")
        return made


_STORED = ("n", "kind", "rung", "budget", "parent", "origin", "trial", "repeat", "outcome")


def searched(rows: SearchRows | None, about: Mapping[str, Any]) -> Searched | None:
    """The search of a study from what is stored of it, and its definition; None where it is none."""
    if rows is None:
        return None
    raw: Any = about.get("search") or {}
    axes = {str(name): axis for name, axis in (about.get("axes") or {}).items() if isinstance(axis, Mapping)}
    promotes, seeded = bool(raw.get("halving")), bool(raw.get("seeds"))
    return Searched(rows, goal_of_definition(about), is_promoting=promotes, definitions=axes, has_seeds=seeded)


def goal_of_definition(about: Mapping[str, Any]) -> Goal:
    """The objectives of a search from its stored definition, which is not checked anew."""
    raw: Any = about.get("search") or {}
    settings = SearchSettings.model_validate({key: raw[key] for key in _GOAL if key in raw} | {"trials": 1})
    baseline: Any = about.get("baseline") or {}
    data = baseline.get("data")
    split = "validation" if isinstance(data, Mapping) and data.get("validation") else "test"  # pyright: ignore
    is_regression = isinstance(data, Mapping) and data.get("task") == REGRESSION  # pyright: ignore[reportUnknownMemberType]
    names = objectives_of(settings.objective, is_regression=is_regression)
    return Goal(names, split, settings.target, settings.target_loss)


_GOAL = ("objective", "target", "target_loss")


def _seconds(seconds: float) -> str:
    """Seconds with three digits where they are few."""
    return f"{seconds:.3g} s" if seconds < 60 else duration(seconds)


__all__ = ["Searched", "goal_of_definition", "searched"]
