"""How trials are called while they run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from assay.execution.active import Held
from assay.studies.plan import Plan, Trial


def labels_of(plans: Sequence[Plan]) -> dict[str, str]:
    """The label of each trial: its configuration, with its study and its repeat if there are several."""
    trial_labels: dict[str, str] = {}
    for plan in plans:
        study = f"{plan.study.name}: " if len(plans) > 1 else ""
        for member in plan.members:
            repeat = f", repeat {member.repeat + 1}" if plan.study.settings.repeats > 1 else ""
            trial_labels.setdefault(member.key, f"{study}{member.label}{repeat}")
    return trial_labels


def sharing_sentence(name: str, trials: Iterable[Trial], stored: Collection[str]) -> str:
    """How many trials of a run are stored, and how many of the others share the trainings that give their curves."""
    left = [trial for trial in trials if trial.key not in stored]
    shared = len(left) - len({trial.trajectory for trial in left})
    text = f"{name}: {len(stored):,} trials stored before, {len(left):,} to train"
    return f"{text}, {shared:,} of them read off the curve of a longer one" if shared else text


def batch_sentence(worker: int, members: Sequence[Held]) -> str:
    """What a worker is given: how many trials, of how many trajectories, and from which iteration on."""
    trials = sum(len(held.job.trials) for held in members)
    start = members[0].start
    begin = f"from the stored iteration {start.iterations:,} on" if start is not None else "from the beginning"
    first = members[0].job.trials[0]
    how = "together, as one batch" if len(members) > 1 else "in one training"
    return f"worker {worker}: {trials:,} {'trial' if trials == 1 else 'trials'} {how}, {begin} ({first.recipe.label()})"
