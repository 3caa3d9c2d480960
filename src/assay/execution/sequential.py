"""Adds seeds only to comparisons that are not significant yet, at interim looks that together keep alpha."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.analysis import verdicts
from assay.analysis.alpha_spending import alpha_at
from assay.errors import AssayError
from assay.execution.runner import Execution
from assay.report.text import percent
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study

LOOKS = 6
_FRESH_OFFSET = 100_000  # of the fresh seeds, from those that selected the winner

Run = Callable[[Execution], bool]
"""Runs an execution to its end; returns whether the user interrupted it."""


@dataclass
class Decision:
    """The result of all looks: one verdict per pair, the seeds of each configuration, the winner on fresh seeds."""

    sentences: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    open: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    seeds: dict[str, int] = field(default_factory=dict[str, int])
    looks: int = 0
    winner: str = ""
    chosen_mean: float = float("nan")  # of the winner, on the seeds that selected it
    fresh_mean: float = float("nan")
    fresh_seeds: int = 0
    interrupted: bool = False

    def fresh_sentence(self) -> str:
        """The winner's mean on fresh seeds against that on the seeds that selected it, which is biased upwards."""
        return (
            f"{self.winner}: {percent(self.chosen_mean)} on the seeds that selected it, "
            f"{percent(self.fresh_mean)} on {self.fresh_seeds} fresh seeds"
        )


def until_decided(
    study: Study, store: Store, run: Run, *, measure: str = "accuracy", alpha: float = 0.05, looks: int = LOOKS
) -> Decision:
    """Runs a study look by look; each look adds seeds to the configurations of pairs that are not significant yet.

    A look adds as many seeds as the study repeats. It tests the pairs with Holm's correction, at the level that Lan and
    DeMets' alpha spending gives it; a pair that was significant once stays so. Finally, the configuration with the best
    mean is trained on fresh seeds, because the best mean of many is biased upwards on the seeds that selected it.

    Raises:
        AssayError: The study has one configuration only, or fewer than 3 repeats.
    """
    step = study.settings.repeats
    labels = list(dict.fromkeys(candidate.label for candidate in study.candidates()))
    if step < 3:
        raise AssayError(f"repeats: got {step}; expected at least 3 seeds per look")
    if len(labels) < 2:
        raise AssayError("the study has only one configuration; a comparison needs at least two")
    decision = Decision(seeds=dict.fromkeys(labels, step))
    for look in range(1, looks + 1):
        decision.looks = look
        if run(Execution(plan(study, repeats=decision.seeds), store)):
            decision.interrupted = True
            return decision
        table = verdicts.pairwise(_trials(store, study.name), measure=measure, alpha=alpha_at(look, looks, alpha=alpha))
        _judge(decision, table.to_dict("records"))
        undecided = {label for pair in decision.open for label in pair}
        if not undecided or look == looks:
            break
        decision.seeds |= {label: (look + 1) * step for label in undecided if label in decision.seeds}
    _fresh(decision, study, store, run, measure)
    return decision


def _trials(store: Store, name: str) -> Any:
    return Results(store, name).frame()


def _judge(decision: Decision, rows: list[dict[Any, Any]]) -> None:
    first = not decision.sentences
    for row in rows:
        pair = (str(row["a"]), str(row["b"]))
        if not first and pair not in decision.open:
            continue
        decision.sentences[pair] = str(row["sentence"])
        decision.open -= {pair}
        if not row["decided"]:
            decision.open.add(pair)


def _fresh(decision: Decision, study: Study, store: Store, run: Run, measure: str) -> None:
    """Trains the configuration with the best mean on seeds that were not used to select it."""
    trials = _trials(store, study.name)
    best = verdicts.best(trials, measure=measure)
    candidate = next(c for c in study.candidates() if c.label == best.name)
    seed = int(candidate.table.get("seed", 1)) + _FRESH_OFFSET
    count = max(study.settings.repeats, min(decision.seeds[best.name], 10))
    raw: Mapping[str, Any] = {
        **study.settings.model_dump(exclude_none=True),
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
    values = _trials(store, fresh.name)[measure].dropna()
    decision.fresh_mean, decision.fresh_seeds = float(values.mean()), len(values)
