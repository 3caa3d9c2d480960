"""How trials are called while they run."""

from __future__ import annotations

from collections.abc import Sequence

from assay.studies.plan import Plan


def labels_of(plans: Sequence[Plan]) -> dict[str, str]:
    """The label of each trial: its configuration, with its study and its repeat if there are several."""
    trial_labels: dict[str, str] = {}
    for plan in plans:
        study = f"{plan.study.name}: " if len(plans) > 1 else ""
        for member in plan.members:
            repeat = f", repeat {member.repeat + 1}" if plan.study.settings.repeats > 1 else ""
            trial_labels.setdefault(member.key, f"{study}{member.label}{repeat}")
    return trial_labels
