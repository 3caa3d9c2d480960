"""Calibrations of an estimate: here on a CPU, in a worker where jax or a GPU is needed, which ends afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType

from assay.data.cache import DataCache
from assay.engines import load as load_engine
from assay.errors import AssayError
from assay.execution.batches import form_of
from assay.recipe.code import recipe_code
from assay.studies.plan import Job, Trial
from assay.system.gpu import present
from assay.workers.calibration import Cost, calibrated
from assay.workers.environment import environment_for, one_gpu_each
from assay.workers.pool import Workers, import_path

_WAIT_SECONDS = 120.0  # for a worker: it imports its library, starts the GPU and compiles
_TOGETHER = 64  # trials of a cohort that is calibrated
_UNKNOWN = Cost(0.0, 0.0)


class CostCalibration(AbstractContextManager["CostCalibration"]):
    """Measures the costs of trials. Its worker is started when the first trial needs it, and killed at the end."""

    def __init__(self) -> None:
        self._data = DataCache()
        self._workers: dict[str, Workers] = {}  # by device

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for workers in self._workers.values():
            workers.kill_all()

    def of(self, jobs: Sequence[Job]) -> Cost:
        """The cost of a trial of jobs of one kind; 0 if it cannot be trained, and the run will report why."""
        trials = _representatives(jobs)
        if not _in_worker(trials[0]):
            return self._here(trials[0])
        cost = self._there(trials)
        if cost is None and len(trials) > 1:  # the cohort may be too large for the GPU
            cost = self._there(trials[:1])
        return cost or _UNKNOWN

    def _here(self, trial: Trial) -> Cost:
        try:
            data = self._data.prepared(trial.recipe.data.name, trial.recipe.preparation)
            engine = trial.engine if trial.program is None else "numpy"  # stands in for a program that was never timed
            return calibrated([trial.recipe], load_engine(engine, device=trial.device, threads=_threads(trial)), data)
        except AssayError:
            return _UNKNOWN

    def _there(self, trials: Sequence[Trial]) -> Cost | None:
        """The cost by a worker; None if it fails there."""
        first = trials[0]
        workers = self._workers.get(first.device)
        if workers is None:
            environment = environment_for(first.device) | one_gpu_each(first.device, 1)[0]
            workers = self._workers[first.device] = Workers(1, environments=[environment])
        workers.request(
            0,
            "calibrate",
            jobs=[[{"key": trial.key, "recipe": trial.recipe.plain()}] for trial in trials],
            code=recipe_code(first.recipe),
            path=import_path(),
            engine=first.engine,
            device=first.device,
            threads=_threads(first),
        )
        until = monotonic() + _WAIT_SECONDS
        while (left := until - monotonic()) > 0:
            for number, head, _ in workers.messages(left):
                if head is None:
                    workers.drop(number)
                    return None
                if head["kind"] == "calibrated":
                    return Cost(*head["cost"]) if head["cost"] else None
        workers.kill(0)
        return None


def _threads(trial: Trial) -> int | None:
    return 1 if trial.timing == "packed" and trial.device == "cpu" else trial.threads


def _representatives(jobs: Sequence[Job]) -> list[Trial]:
    """The trials to measure: one, and on a GPU, where packed ones travel as cohorts, several of its form."""
    first = jobs[0]
    form = form_of(first) if first.trials[-1].device != "cpu" else None
    if form is None:
        return [first.trials[-1]]
    return [job.trials[-1] for job in jobs if form_of(job) == form][:_TOGETHER]


def _in_worker(trial: Trial) -> bool:
    """Whether a measurement here would take a GPU, which only a process that trains may hold."""
    return trial.program is None and (trial.device != "cpu" or (trial.engine == "jax" and bool(present())))
