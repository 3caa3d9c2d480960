"""What Ray adds to a trial: `python -m benchmarks.ray_overhead --rounds 5 --json FILE`.

The same trials, of about 1 s and of about 10 ms, run on this machine's cores by the local executor and by `--on ray`,
in turn. Measured are the wall seconds per trial, without starting the workers, and the processor seconds of the driver
and of Ray's own processes: its head, its node, its agents and the slots, without the workers that train.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import sqlalchemy as sa

from assay.execution.executors import Executor, Needs, Started
from assay.execution.places import executor_on
from assay.execution.runner import Execution
from assay.store.schema import result
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.system.machine import describe, usable_cores
from assay.training.outcome import Outcome

KINDS = {"1 s": (1.0, 24), "10 ms": (0.01, 2000)}
"""Name -> seconds of a trial, about, and how many there are."""
_CALIBRATION = 20_000  # iterations


class Timed:
    """An executor that notes when its workers have started."""

    def __init__(self, executor: Executor) -> None:
        self._executor, self.started = executor, 0.0

    def count(self, needs: Needs) -> int:
        """As the executor."""
        return self._executor.count(needs)

    def start(self, needs: Needs, count: int) -> Started:
        """As the executor."""
        made = self._executor.start(needs, count)
        self.started = time.perf_counter()
        return made

    def sentence(self) -> str:
        """As the executor."""
        return self._executor.sentence()


def study(iterations: int, trials: int) -> Study:
    """Trials that differ in their seed."""
    settings = {"design": "one-at-a-time", "engine": "native", "timing": "packed", "threads": 1, "keep": "nothing"}
    baseline = {"data": "digits", "model": {"hidden": [64]}, "budget": {"iterations": iterations}}
    return Study.parse({"name": "overhead", **settings, "repeats": trials, "baseline": baseline})


def iterations_of(seconds: float) -> int:
    """How many iterations take so long here, by one trial in a worker."""
    with tempfile.TemporaryDirectory() as folder:
        execution = Execution(plan(study(_CALIBRATION, 1)), Store(f"{folder}/store.db"))
        for _ in execution:
            pass
        with execution.store.database.read() as connection:
            taken = connection.execute(sa.select(result.c.seconds)).scalar_one()
        return max(1, round(_CALIBRATION * seconds / taken))


def processor_seconds() -> dict[int, float]:
    """The processor seconds so far of this process and of its children that are not workers, by process."""
    used = {0: sum(psutil.Process().cpu_times()[:2])}
    for process in psutil.Process().children(recursive=True):
        try:
            if "assay.workers.worker" not in process.cmdline():
                used[process.pid] = sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return used


def measure(executor: Executor, iterations: int, trials: int) -> dict[str, Any]:
    """One run on an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        timed = Timed(executor)
        execution = Execution(plan(study(iterations, trials)), Store(f"{folder}/store.db"), executor=timed)
        before: dict[int, float] = {}
        for _ in execution:
            if timed.started and not before:
                before = processor_seconds()
            if len(execution.outcomes) == trials:
                break  # what follows stops the workers
        wall, after = time.perf_counter() - timed.started, processor_seconds()
        assert set(execution.outcomes.values()) == {Outcome.COMPLETED}
    used = {process: seconds - before.get(process, 0.0) for process, seconds in after.items()}
    cores = len(usable_cores())
    return {
        "per_trial": wall / trials,
        "driver": used.pop(0) / wall / cores,
        "ray": sum(used.values()) / wall / cores,
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    """Measures both executors in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the trials")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with executor_on("ray") as ray, executor_on("local") as local:
        for kind in arguments.kinds:
            seconds, count = KINDS[kind]
            iterations, trials = iterations_of(seconds), max(4, round(count * arguments.scale))
            for turn in range(arguments.rounds):
                for name, executor in (("local", local), ("ray", ray)):
                    row = {"trial": kind, "round": turn, "on": name, "iterations": iterations, "trials": trials}
                    rows.append(row | measure(executor, iterations, trials))
                    print(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in rows[-1].items()}))
    for kind in arguments.kinds:
        print(summary(kind, [row for row in rows if row["trial"] == kind]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), "runs": rows}, indent=1) + "\n")


def summary(kind: str, rows: list[dict[str, Any]]) -> str:
    """The medians of a kind as a row of the table in docs/scale.md."""
    medians: dict[str, dict[str, float]] = {}
    for name in ("local", "ray"):
        of_one = [row for row in rows if row["on"] == name]
        medians[name] = {key: median([row[key] for row in of_one]) for key in ("per_trial", "driver", "ray")}
    local, ray = medians["local"], medians["ray"]
    ratios = [b["per_trial"] / a["per_trial"] for a, b in zip(rows[::2], rows[1::2], strict=True)]
    drivers = f"{100 * local['driver']:.1f} %, {100 * ray['driver']:.1f} %"
    spread = f"{median(ratios):.3f} ({min(ratios):.3f} .. {max(ratios):.3f})"
    seconds = f"{local['per_trial']:.5f} | {ray['per_trial']:.5f}"
    return f"| {kind} | {rows[0]['trials']:,} | {seconds} | {spread} | {drivers} | {100 * ray['ray']:.1f} % |"


if __name__ == "__main__":
    main()
