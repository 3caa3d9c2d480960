"""Which jobs are trained together, and how many of them: batches worth about a second, of one form."""

from __future__ import annotations

from collections.abc import Hashable

from assay.engines.promises import promised
from assay.parts.modules import is_module
from assay.studies.plan import Job, Trial
from assay.training.log_points import shareable

SECONDS = 1.0
"""What a batch is worth, by the estimate or by what earlier batches of its form took."""
_LEAST_SECONDS = 0.1  # that a batch is worth at least, also where it leaves other workers without one
MOST = 256
"""Trajectories in a batch at most."""
MOST_ON_GPU = 4096
"""The same on a GPU, where the worker makes cohorts of it that its memory holds."""


def form_of(job: Job) -> Hashable | None:
    """What the jobs of one batch have in common; None if the job is trained alone.

    Alone are isolated trials, rules and log points on the clock, external programs, users' optimizers, and on a CPU
    engines that do not promise that a trial in a cohort has the bits of the trial alone. On a GPU a tolerance is
    enough: the size of its cohort stands with each result.
    """
    if not all(map(trains_in_cohorts, job.trials)):
        return None
    first = job.trials[0]
    return (first.engine, first.data_checksum, first.engine_choice, *((t.form, t.iterations) for t in job.trials))


def trains_in_cohorts(trial: Trial) -> bool:
    """Whether a trial gives in a cohort what it gives alone: bit for bit, on a GPU to a tolerance."""
    if trial.timing != "packed" or not trial.form or trial.program is not None:
        return False
    form = (trial.form, trial.engine, trial.device)
    if form not in _together:  # the same for all trials of the form, of which there may be 100,000
        together = promised(trial.engine, 3, device=trial.device)
        recipe, promises = trial.recipe, together is not None and (together.same_bits or trial.device != "cpu")
        _together[form] = promises and shareable(recipe) and not recipe.optimizer.is_user_defined()
        _together[form] = _together[form] and not is_module(recipe.model)  # its code may keep anything
    return _together[form]


_together: dict[tuple[str, str, str], bool] = {}


class BatchSizes:
    """How many jobs make a batch: so many as take about a second, and no more than a worker's part of those open.

    On a GPU a batch is a worker's part of those open, because its iterations take about as long for many trials as
    for one.
    """

    def __init__(self, workers: int, *, device: str = "cpu") -> None:
        self._workers, self._on_gpu = max(workers, 1), device != "cpu"
        self._parts: dict[Hashable, int] = {}  # of the jobs of a form, on a GPU
        self._measured: dict[Hashable, float] = {}  # seconds of a job, by its form

    def done(self, form: Hashable | None, jobs: int, seconds: float) -> None:
        """Counts a finished batch of so many jobs of a form."""
        if form is not None and jobs and seconds > 0:
            self._measured[form] = seconds / jobs

    def of(self, form: Hashable | None, *, estimate: float, waiting: int) -> int:
        """The number of jobs of a batch.

        Args:
            form: Of its jobs.
            estimate: The estimated seconds of a job; 0 if unknown. It counts until a batch of the form was measured.
            waiting: The number of jobs of the form that no worker has.
        """
        if self._on_gpu:
            return 1 if form is None else self._on_one_gpu(form, waiting)
        seconds = self._measured.get(form, estimate)
        if form is None or seconds <= 0:
            return 1
        part = max(-(-waiting // self._workers), int(_LEAST_SECONDS / seconds))
        return max(1, min(MOST, int(SECONDS / seconds), part))

    def _on_one_gpu(self, form: Hashable, waiting: int) -> int:
        """A worker's part of the jobs of a form that waited at first, so that each worker has one batch of them."""
        self._parts[form] = max(self._parts.get(form, 1), -(-waiting // self._workers))
        return min(MOST_ON_GPU, self._parts[form])
