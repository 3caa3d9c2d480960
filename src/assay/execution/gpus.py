"""The GPUs of a run: how many there are for it, and what its trials' machines hold of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay.engines.devices import LIBRARIES, seen_by
from assay.studies.plan import Job, Trial
from assay.system.gpu import facts


def number_of_gpus(trials: Iterable[Trial], device: str) -> int:
    """The number of GPUs that a device names and that the library of every trial's engine sees; at least 1.

    Several GPUs each get a worker only where the device is "cuda", without a number.
    """
    engines = {trial.engine for trial in trials} & set(LIBRARIES)
    return max(1, min((len(seen_by(engine).of(device)) for engine in engines), default=1))


def gpu_facts(jobs: Sequence[Job]) -> list[dict[str, str]]:
    """The facts of each kind of GPU that the jobs name, as the machine of their trials has them; none for the CPU."""
    pairs = {(trial.engine, trial.device) for job in jobs for trial in job.trials if trial.device != "cpu"}
    models = {d.model for engine, device in pairs if engine in LIBRARIES for d in seen_by(engine).of(device)}
    return [facts(model) for model in sorted(models)]
