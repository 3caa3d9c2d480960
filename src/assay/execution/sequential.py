"""Adding seeds only where a verdict is open, at fixed looks that together keep the chance of a false one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.analysis import verdicts
from assay.analysis.alpha_spending import alpha_at
from assay.errors import AssayError
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study

LOOKS = 6
_FRESH = 100_000  # how far the fresh seeds are from those that chose the winner

Run = Callable[[Execution], bool]
"""Brings an execution to its end; True where the user broke it off."""


@dataclass
class Decision:
    """What the looks came to: a sentence for each pair, the seeds of each configuration, the winner on fresh seeds."""

    sentences: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    open: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    seeds: dict[str, int] = field(default_factory=dict[str, int])
    looks: int = 0
    winner: str = ""
    chosen_mean: float = float("nan")  # of the winner on the seeds that chose it
    fresh_mean: float = float("nan")
    fresh_seeds: int = 0
    interrupted: bool = False

    def fresh_sentence(self) -> str:
        """How much of the winner's accuracy was luck of its seeds."""
        return (
            f"{self.winner}: {self.chosen_mean:.2%} on the seeds that chose it, "
            f"{self.fresh_mean:.2%} on {self.fresh_seeds} fresh ones"
        )


def until_decided(
    study: Study, store: Store, run: Run, *, measure: str = "accuracy", alpha: float = 0.05, looks: int = LOOKS
) -> Decision:
    """Runs a study look by look, each with as many new seeds as the study repeats, where a verdict is still open.

    At each look the pairs are judged with Holm's correction at the level that Lan and DeMets' spending leaves for it;
    a pair that is decided stays so. At the end the configuration with the best mean is trained on fresh seeds, for the
    best of many is over-reported on the seeds that chose it.

    Raises: AssayError for a study with one configuration or fewer than 3 repeats.
    """
    step = study.settings.repeats
    labels = list(dict.fromkeys(candidate.label for candidate in study.candidates()))
    if step < 3:
        raise AssayError(f"repeats: got {step}; a verdict needs at least 3 seeds a look")
    if len(labels) < 2:
        raise AssayError("one configuration alone cannot be compared")
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
    """Trains the configuration with the best mean on seeds that had no part in choosing it."""
    trials = _trials(store, study.name)
    best = verdicts.best(trials, measure=measure)
    candidate = next(one for one in study.candidates() if one.label == best.name)
    seed = int(candidate.table.get("seed", 1)) + _FRESH
    count = max(study.settings.repeats, min(decision.seeds[best.name], 10))
    raw: Mapping[str, Any] = {
        **study.settings.model_dump(exclude_none=True),
        "engine": candidate.engine,
        "name": f"{study.name}, fresh seeds",
        "about": f"{best.name} of {study.name} on seeds that had no part in choosing it",
        "design": "one-at-a-time",
        "repeats": count,
        "baseline": {**candidate.table, "seed": seed},
    }
    again = Study.parse(raw)
    decision.winner, decision.chosen_mean = best.name, best.mean
    decision.interrupted = run(Execution(plan(again), store))
    values = _trials(store, again.name)[measure].dropna()
    decision.fresh_mean, decision.fresh_seeds = float(values.mean()), len(values)
