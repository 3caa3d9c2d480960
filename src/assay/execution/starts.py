"""From where jobs start: what is stored of their trajectories, and the trials that are read off it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from assay.execution.active import Held
from assay.execution.batches import form_of
from assay.store.endings import Ending
from assay.store.records import Finished
from assay.studies.plan import Job, Trial
from assay.training.history import History
from assay.workers.batch import can_resume, covers, read_off


def usable(
    start: History | None, trials: Sequence[Trial], n: int, *, save_best: Collection[str] = ()
) -> History | None:
    """The stored history if the trials can resume from it, else None.

    Args:
        start: The history.
        trials: Trials of its trajectory, the shortest first.
        n: The number of training examples.
        save_best: The keys of trials that keep the weights at their best point.
    """
    if start is None or trials[0].program or start.iterations >= trials[-1].iterations:
        return None
    keeping = [number for number, trial in enumerate(trials) if trial.key in save_best]
    return start if can_resume(start, [trial.recipe for trial in trials], n, save_best=keeping) else None


def ends_within(held: Held, start: History, examples: Mapping[str, int], save_best: Collection[str]) -> list[Ending]:
    """The ends of the trials that end within a stored curve, read off it."""
    endings: list[Ending] = []
    for trial in held.job.trials:
        n = examples[trial.key]
        covered = trial.key not in save_best and covers(start, [trial.recipe], n)
        history = read_off(start, trial.recipe, n, trial.test_counts) if covered else None
        if history is not None:
            history = replace(history, warnings=(*trial.notes, *history.warnings))
            endings.append(Ending(held.lease, trial, Finished(history.outcome, history.reason, history)))
    return endings


def alike(members: Iterable[Held]) -> list[list[Held]]:
    """Members in groups that can be trained as cohorts: of one form, and with starts at the same iteration."""
    groups: dict[Hashable, list[Held]] = {}
    for held in members:
        form = form_of(held.job) or held.job.trajectory
        groups.setdefault((form, None if held.start is None else held.start.iterations), []).append(held)
    return list(groups.values())


def without(held: Held, ended: Collection[str]) -> Held | None:
    """A member without the trials that have ended; None if none is left."""
    left = tuple(trial for trial in held.job.trials if trial.key not in ended)
    return replace(held, job=Job(held.job.trajectory, left)) if left else None
