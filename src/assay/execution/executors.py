"""What an execution needs of the executor that starts its workers, and the executor of this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from assay.execution.gpus import number_of_gpus
from assay.studies.plan import Trial
from assay.system.machine import usable_cores
from assay.workers.environment import environment_for, one_gpu_each
from assay.workers.pool import Workers


class WorkerPool(Protocol):
    """A number of workers, each with its number: gives them jobs, and receives their messages."""

    @property
    def count(self) -> int:
        """The number of workers."""
        ...

    def available(self) -> Sequence[int]:
        """The numbers of the workers that can be given a job, whether or not they have one."""
        ...

    def machine(self, number: int) -> dict[str, Any]:
        """The description of a worker's machine, which it sends when it has started; empty before."""
        ...

    def notes(self, number: int) -> tuple[str, ...]:
        """Sentences that are stored with the results of a worker, about where it runs."""
        ...

    def train(self, number: int, content: bytes, **job: Any) -> None:
        """Gives a worker a job."""
        ...

    def messages(self, timeout: float) -> list[tuple[int, dict[str, Any] | None, bytes]]:
        """The messages of workers, each with the worker's number; None in place of a header if the worker is gone."""
        ...

    def drop(self, number: int) -> str:
        """Removes a worker that is gone or does not respond. Returns how it ended, in a sentence."""
        ...

    def errors(self, number: int) -> str:
        """The last 64 KB that a worker has written to standard error since its job began, also if it is gone now."""
        ...

    def broadcast(self, kind: str) -> None:
        """Sends a message to every worker."""
        ...

    def kill_all(self) -> None:
        """Kills every worker."""
        ...


@dataclass(frozen=True)
class Needs:
    """What the trials of an execution need of an executor.

    Attributes:
        timing: "isolated" or "packed".
        device: The device of all trials.
        threads: The threads of each trial; None for the engine's choice.
        memory_limit: Maximum number of bytes of each worker; None for no limit.
        trials: The trials that are known.
        engines: The engines of trials that are not decided yet.
        runs_programs: Whether an external program trains.
    """

    timing: str
    device: str
    threads: int | None
    memory_limit: int | None
    trials: Collection[Trial]
    engines: frozenset[str] = frozenset()
    runs_programs: bool = False

    def has_programs(self) -> bool:
        """Whether an external program trains, by what is said or in a trial that is known."""
        return self.runs_programs or any(trial.program is not None for trial in self.trials)


@dataclass(frozen=True)
class Started:
    """Workers, and the cores of this machine that none of them is pinned to."""

    workers: WorkerPool
    spare: Sequence[int] = ()


class Executor(Protocol):
    """Starts workers somewhere."""

    def count(self, needs: Needs) -> int:
        """The number of workers that there is room for."""
        ...

    def start(self, needs: Needs, count: int) -> Started:
        """Starts as many workers at most. Raises: AssayError where none can train the trials."""
        ...

    def sentence(self) -> str:
        """What is said at the end of a run; "" for nothing."""
        ...


class LocalExecutor:
    """Worker processes on this machine, pinned to cores if trials run in parallel."""

    def count(self, needs: Needs) -> int:
        """One worker for isolated trials, else one for each GPU, or for as many cores as a trial has threads."""
        if needs.timing == "isolated":
            return 1
        if needs.device != "cpu":
            return number_of_gpus(needs.trials, needs.device)
        return max(1, len(usable_cores()) // (needs.threads or 1))

    def start(self, needs: Needs, count: int) -> Started:
        """Prepares the workers; each is started when it is given its first job."""
        cores: list[list[int]] = []
        spare: Sequence[int] = ()
        if needs.timing == "packed" and needs.device == "cpu":
            usable, width = usable_cores(), needs.threads or 1
            cores = [usable[n * width : (n + 1) * width] for n in range(count)]
            spare = usable[count * width :]
        environments = [environment_for(needs.device) | gpu for gpu in one_gpu_each(needs.device, count)]
        if needs.has_programs():
            environments = []  # an external program has the environment of its user
        workers = Workers(count, cores=cores, memory_limit=needs.memory_limit, environments=environments)
        return Started(workers, spare)

    def sentence(self) -> str:
        """Nothing."""
        return ""
