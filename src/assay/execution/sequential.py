"""Adds seeds only to comparisons that are not significant yet, at interim looks that together keep alpha."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assay.analysis import verdicts
from assay.analysis.alpha_spending import alpha_at
from assay.analysis.families import all_pairs
from assay.analysis.seed_values import SeedValues
from assay.analysis.verdict import Verdict
from assay.errors import AssayError
from assay.execution.runner import Execution
from assay.execution.winners import keep_winners
from assay.report.text import percent
from assay.results.results import DECIDED, Results
from assay.store.store import Store
from assay.studies.devices import AUTO
from assay.studies.plan import plan
from assay.studies.study import Study

LOOKS = 6
_FRESH_OFFSET = 100_000  # of the fresh seeds, from those that selected the winner

Run = Callable[[Execution], bool]
"""Runs an execution to its end; returns whether the user interrupted it."""


@dataclass
class Decision:
    """The result of all looks: one verdict per pair, the seeds of each configuration, the winner on fresh seeds."""

    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict[tuple[str, str], Verdict])
    open: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    seeds: dict[str, int] = field(default_factory=dict[str, int])
    looks: int = 0
    winner: str = ""
    chosen_mean: float = float("nan")  # of the winner, on the seeds that selected it
    fresh_mean: float = float("nan")
    fresh_seeds: int = 0
    fresh_notes: tuple[str, ...] = ()  # how fresh seeds ended that did not finish
    interrupted: bool = False

    @property
    def sentences(self) -> dict[tuple[str, str], str]:
        """The verdict on each pair in words."""
        return {pair: verdict.sentence() for pair, verdict in self.verdicts.items()}

    def fresh_sentence(self) -> str:
        """The winner's mean on fresh seeds against that on the seeds that selected it, which is biased upwards."""
        return (
            f"{self.winner}: {percent(self.chosen_mean)} on the seeds that selected it, "
            f"{percent(self.fresh_mean)} on {self.fresh_seeds} fresh seeds"
            + "".join(f"; {note}" for note in self.fresh_notes)
        )


def until_decided(
    study: Study, store: Store, run: Run, *, measure: str | None = None, alpha: float = 0.05, looks: int = LOOKS
) -> Decision:
    """Runs a study look by look; each look adds seeds to the configurations of pairs that are not significant yet.

    A look adds as many seeds as the study repeats. It tests the pairs with Holm's correction, at the level that Lan and
    DeMets' alpha spending gives it; a pair that was significant once stays so. The verdicts with their intervals are
    stored with the study. Seeds that diverged or timed out count by the rule of every verdict. Finally, the
    configuration with the best mean is trained on fresh seeds, because the best mean of many is biased upwards on the
    seeds that selected it.

    Raises:
        AssayError: The study has one configuration only, or fewer than 3 repeats, or its test sets are drawn anew.
    """
    if measure is None:
        measure = "r2" if next(iter(study.candidates())).recipe.is_regression else "accuracy"
    _refuse_draws(study)
    step = study.settings.repeats
    labels = list(dict.fromkeys(candidate.label for candidate in study.candidates()))
    if step < 3:
        raise AssayError(f"repeats: got {step}; expected at least 3 seeds per look")
    if len(labels) < 2:
        raise AssayError("the study has only one configuration; a comparison needs at least two")
    if study.settings.device == AUTO:  # one device for all looks, however many trials each of them has
        study = study.patched({"device": plan(study).study.settings.device})
    decision = Decision(seeds=dict.fromkeys(labels, step))
    for look in range(1, looks + 1):
        decision.looks = look
        if run(Execution(plan(study, repeats=decision.seeds), store, prunes=False)):
            decision.interrupted = True
            return decision
        seeds = SeedValues.of(_trials(store, study.name), measure)
        family = all_pairs(seeds, alpha=alpha_at(look, looks, alpha=alpha))
        _judge(decision, [replace(verdict, look=(look, looks)) for verdict in family.verdicts()])
        stored = {"measure": measure, "alpha": alpha, "looks": looks}
        verdicts_of_looks = [verdict.plain() for verdict in decision.verdicts.values()]
        store.annotate(study.name, DECIDED, stored | {"verdicts": verdicts_of_looks})
        undecided = {label for pair in decision.open for label in pair}
        if not undecided or look == looks:
            break
        decision.seeds |= {label: (look + 1) * step for label in undecided if label in decision.seeds}
    if study.settings.keep == "winners":
        keep_winners(store, study.name, measure=measure)
    _fresh(decision, study, store, run, measure)
    return decision


def _refuse_draws(study: Study) -> None:
    """Refuses repeats, or configurations, with test sets of their own: looking again is corrected for seeds alone."""
    if study.settings.draws_anew:
        key = "folds" if study.settings.folds is not None else "split_seeds"
        raise AssayError(
            f"until decided: {key} gives every repeat another test set of the same examples, and more of them do not "
            "decide a comparison as more seeds do; leave one of them out"
        )
    if len({candidate.recipe.data.draw for candidate in study.candidates()}) > 1:
        raise AssayError(
            "until decided: some configurations have another test set than others (data.split, data.folds, data.fold), "
            "so that they do not compare; give all of them one test set"
        )


def _trials(store: Store, name: str) -> Any:
    return Results(store, name).frame()


def _judge(decision: Decision, verdicts_of_look: Sequence[Verdict]) -> None:
    first = not decision.verdicts
    for verdict in verdicts_of_look:
        if not first and verdict.names not in decision.open:
            continue
        decision.verdicts[verdict.names] = verdict
        decision.open -= {verdict.names}
        if not verdict.decided:
            decision.open.add(verdict.names)


def _fresh(decision: Decision, study: Study, store: Store, run: Run, measure: str) -> None:
    """Trains the configuration with the best mean on seeds that were not used to select it."""
    trials = _trials(store, study.name)
    best = verdicts.best(trials, measure=measure)
    candidate = next(c for c in study.candidates() if c.label == best.name)
    seed = int(candidate.table.get("seed", 1)) + _FRESH_OFFSET
    count = max(study.settings.repeats, min(decision.seeds[best.name], 10))
    raw: Mapping[str, Any] = {
        **study.settings.model_dump(exclude_none=True, exclude={"seed", "draws"}),  # this design draws nothing
        "engine": candidate.engine,
        "name": f"{study.name}, fresh seeds",
        "about": f"{best.name} of {study.name} on seeds that were not used to select it",
        "design": "one-at-a-time",
        "repeats": count,
        "baseline": {**candidate.table, "seed": seed},
    }
    fresh = Study.parse(raw)
    decision.winner, decision.chosen_mean = best.name, best.mean
    decision.interrupted = run(Execution(plan(fresh), store))
    seeds = SeedValues.of(_trials(store, fresh.name), measure)
    decision.fresh_mean, decision.fresh_seeds = float(seeds.means()[0]), int(np.sum(~np.isnan(seeds.values[0])))
    decision.fresh_notes = tuple(seeds.endings[0].notes())
