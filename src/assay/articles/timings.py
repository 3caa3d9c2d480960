"""Estimated and measured training times of a reproduction's studies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from assay.articles.measurements import trial_rows
from assay.articles.page import Table
from assay.execution.estimates import estimated
from assay.report.text import duration
from assay.results.results import Results
from assay.store.records import places
from assay.studies.plan import Job, Plan
from assay.system.machine import usable_cores

_NOTE = (
    "Finished trainings only; those that share a trajectory count once. Foreseen: estimated without stored times, by a "
    "calibration of a few twentieths of a second that is repeated for this page (on a busy machine it estimates too "
    "much). Taken: from the ledgers of the stored trials; packed trainings ran side by side, one per core, and their "
    "sum is divided by the number of cores. Loading the data set is included, starting the workers is not. Processor: "
    "the processor time of all cores together, which other load on the machine changes less."
)
_ENTRIES = ("wall", "wait", "train", "evaluate")
_MISSING = "-"


def time_table(plans: Iterable[Plan], results: Iterable[Results]) -> Table:
    """One row per study: the estimated and the measured time of its finished trainings."""
    rows = [_row(plan, trial_rows(result)) for plan, result in zip(plans, results, strict=True)]
    head = ("study", "timing", "trainings", "foreseen", "taken", "training", "evaluation", "taken / foreseen")
    head += ("processor", "on a busy machine")
    return Table(head, rows, "Time: foreseen and taken", _NOTE)


def _row(plan: Plan, trials: Sequence[Mapping[str, Any]]) -> list[str]:
    finished = {str(row["trial"]): row for row in trials if row["outcome"] != "planned"}
    jobs = [job for job in plan.jobs if all(trial.key in finished for trial in job.trials)]
    settings = plan.study.settings
    workers = max(1, len(usable_cores()) // (settings.threads or 1)) if settings.timing == "packed" else 1
    timing = f"packed on {workers} cores" if settings.timing == "packed" else settings.timing
    counts = [plan.study.name, timing, f"{len(jobs):,} of {len(plan.jobs):,}"]
    if not jobs:
        return [*counts, *[_MISSING] * 7]
    longest = [finished[job.trials[-1].key] for job in jobs]
    wall, waited, training, evaluation = (
        sum(float(row[f"ledger_{entry}"]) for row in longest) / workers for entry in _ENTRIES
    )
    taken = wall - waited
    on_this_machine = {str(row["machine"]) for row in longest} <= places()
    estimate = _estimate(jobs, plan) / workers if on_this_machine else 0.0
    foreseen = duration(estimate) if estimate else "another machine"
    ratio = f"{taken / estimate:.2f}" if estimate else _MISSING
    durations = [foreseen, duration(taken), duration(training), duration(evaluation), ratio]
    return [*counts, *durations, _processor(longest), _busy(longest)]


def _processor(trials: Sequence[Mapping[str, Any]]) -> str:
    """The processor time of the trials, all cores together; a dash where one of them does not tell."""
    seconds = [float(row.get("ledger_processor_wall", math.nan)) for row in trials]
    return _MISSING if any(math.isnan(value) for value in seconds) else duration(sum(seconds))


def _busy(trials: Sequence[Mapping[str, Any]]) -> str:
    """How many of the trials that can be judged met foreign load."""
    judged = [bool(row["busy"]) for row in trials if not pd.isna(row["busy"])]
    return f"{sum(judged):,} of {len(judged):,}" if judged else _MISSING


def _estimate(jobs: Sequence[Job], plan: Plan) -> float:
    return sum(estimated(jobs, None, plan.examples).values())


__all__ = ["time_table"]
