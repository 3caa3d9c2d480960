"""What the studies of a reproduction were to take, and what they took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.articles.measurements import trial_rows
from assay.articles.page import Table
from assay.execution.eta import estimated
from assay.report.text import duration
from assay.results.results import Results
from assay.store.records import places
from assay.studies.plan import Job, Plan
from assay.system.machine import usable_cores

_NOTE = (
    "Of the trainings that are finished; those that share a trajectory count once. Foreseen: by a calibration of a few "
    "twentieths of a second, from nothing, made anew with this page (on a busy machine it foresees too much). Taken: "
    "from the ledgers of the stored trials; packed trainings ran side by side, one on a core, and their sum is divided "
    "by the cores. Loading the data set is in it, starting the workers comes on top."
)
_ENTRIES = ("wall", "wait", "train", "evaluate")
_NO_NUMBER = "-"


def time_table(plans: Iterable[Plan], results: Iterable[Results]) -> Table:
    """A row for each study: what its finished trainings were to take by a calibration, and what they took."""
    rows = [_row(plan, trial_rows(result)) for plan, result in zip(plans, results, strict=True)]
    head = ("study", "timing", "trainings", "foreseen", "taken", "training", "evaluation", "taken / foreseen")
    return Table(head, rows, "Time: foreseen and taken", _NOTE)


def _row(plan: Plan, trials: Sequence[Mapping[str, Any]]) -> list[str]:
    finished = {str(row["trial"]): row for row in trials if row["outcome"] != "planned"}
    jobs = [job for job in plan.jobs if all(trial.key in finished for trial in job.trials)]
    settings = plan.study.settings
    workers = max(1, len(usable_cores()) // (settings.threads or 1)) if settings.timing == "packed" else 1
    timing = f"packed on {workers} cores" if settings.timing == "packed" else settings.timing
    counts = [plan.study.name, timing, f"{len(jobs):,} of {len(plan.jobs):,}"]
    if not jobs:
        return [*counts, *[_NO_NUMBER] * 5]
    longest = [finished[job.trials[-1].key] for job in jobs]
    wall, waited, training, evaluation = (
        sum(float(row[f"ledger_{entry}"]) for row in longest) / workers for entry in _ENTRIES
    )
    taken = wall - waited
    here = {str(row["machine"]) for row in longest} <= places()
    foreseen = _foreseen(jobs, plan) / workers if here else 0.0
    said = [duration(foreseen), duration(taken)] if foreseen else ["another machine", duration(taken)]
    ratio = f"{taken / foreseen:.2f}" if foreseen else _NO_NUMBER
    return [*counts, *said, duration(training), duration(evaluation), ratio]


def _foreseen(jobs: Sequence[Job], plan: Plan) -> float:
    return sum(estimated(jobs, None, plan.examples).values())


__all__ = ["time_table"]
