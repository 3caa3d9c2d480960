"""`keep = "winners"`: when a study has ended, the weights of all but its best configuration are pruned."""

from __future__ import annotations

import logging

from assay.analysis.verdicts import best
from assay.errors import AssayError
from assay.results.results import Results
from assay.store.pruning import prune
from assay.store.searches import Searches, StoredJob
from assay.store.store import Store
from assay.studies.search.decisions import goal_of
from assay.studies.search.objectives import Goal
from assay.studies.study import Study
from assay.system.command_line import command_line

_log = logging.getLogger("assay.execution")


def keep_winners(store: Store, name: str, *, measure: str | None = None) -> int:
    """Prunes the weights of a study's trials but for all seeds of its best configuration; returns of how many trials.

    The best configuration is the one that the report names: by validation accuracy if every trial has one, else by
    test accuracy, unless a measure is given. Without a configuration that can be ranked, everything is kept.
    """
    trials = Results(store, name).frame()
    try:
        label = best(trials, measure=measure).name
    except AssayError:
        return 0
    winners = set(trials.loc[trials["configuration"] == label, "trial"])
    count = prune(store, name, winners)
    if missing := sum(store.history(key) is None for key in sorted(winners)):
        _log.warning(
            "%s: %d of the %d trials of the best configuration, %s, have no weights: they were pruned when another one "
            "was best, or stored without; --again retrains them",
            name,
            missing,
            len(winners),
            label,
        )
    return count


def winner(store: Store, name: str) -> tuple[str, str, str]:
    """The key of a trial of the best configuration of a study, its label, and what makes it the best.

    Of a search the best by its objective, or with seeds the winner of its race on a fresh seed; of other studies the
    one that the report names, with its first seed.

    Raises:
        AssayError: No configuration can be ranked, or a search has two objectives.
    """
    results = Results(store, name)
    found = search_jobs(store, name)
    if found is None:
        trials = results.frame()
        chosen = best(trials)
        rows = trials.loc[trials["configuration"] == chosen.name].sort_values("seed")
        return str(rows["trial"].iloc[0]), chosen.name, chosen.measure.replace("_", " ")
    goal, jobs = found
    race = results.race
    if race is not None or results.has_seeds:
        return _of_race(name, results, goal)
    if len(goal.names) > 1:
        raise AssayError(
            f"study {name!r}: a search for {goal.text} has no single best; choose one: assay report {name}"
        )
    full = [job for job in jobs if job.decision.rung is None]  # a rung trains less, and competes with none of them
    ranked = [job for job in full if job.told is not None and job.told.measured is not None and job.told.feasible]
    if not ranked:
        raise AssayError(f"study {name!r}: no trial of the search has a score yet")
    sign = 1.0 if goal.maximize[0] else -1.0
    top = max(ranked, key=lambda job: sign * (job.told.measured or (0.0,))[0] if job.told else 0.0)
    return top.decision.trial, top.decision.label, goal.text


def _of_race(name: str, results: Results, goal: Goal) -> tuple[str, str, str]:
    """The winner of the race of a search: one of its trials on fresh seeds. Raises: AssayError before it has any."""
    race = results.race
    if race is None or not race.done:
        line = command_line("assay run", name)
        state = "has not begun" if race is None else "is not over" if not race.over else "has no fresh seeds yet"
        raise AssayError(
            f"study {name!r}: the race of the search {state}, so that there is no winner; resume it: {line}"
        )
    if not race.winner:
        raise AssayError(f"study {name!r}: no racer of the search has a result, so that it has no winner")
    trials = results.frame()
    rows = trials.loc[(trials["configuration"] == race.winner) & (trials["phase"] == "fresh")].sort_values("seed")
    return str(rows["trial"].iloc[0]), race.winner, f"{goal.text}, winner of the race"


def search_jobs(store: Store, name: str) -> tuple[Goal, list[StoredJob]] | None:
    """The goal of a stored search and its jobs; None of another study."""
    searches = Searches(store.database)
    registered = searches.named(name)
    definition = store.definition(name)
    if registered is None or definition is None:
        return None
    return goal_of(Study.parse(definition)), searches.jobs(registered[0])
