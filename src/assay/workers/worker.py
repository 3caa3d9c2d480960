"""A worker process: trains the jobs of its driver one after the other, and ends when the driver does.

Started as `python -P -m assay.workers.worker FD` with one end of a socket pair.
"""

from __future__ import annotations

import queue
import resource
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

from assay.data.cache import DataCache
from assay.data.prepare import Prepared
from assay.engines import load as load_engine
from assay.engines.base import Cohort, Engine
from assay.engines.program import Program
from assay.errors import AssayError, CodeError, ProgramError
from assay.parts.user_optimizers import allowing_code, code_hash
from assay.recipe.model import Recipe
from assay.system.machine import describe
from assay.system.machine_lock import machine_lock
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.loop import TrainingStatus
from assay.training.outcome import Outcome
from assay.workers.batch import Event, Limits, Member, ProgressEvent, SavedEvent, train_cohort
from assay.workers.messages import attend, send
from assay.workers.reports import Reports, end_report, split

_STATUS_SECONDS = 0.2
_COHORT_BYTES = 2**29  # of the weights, slots and outputs of a cohort


class Worker:
    """A worker's jobs, the data and engines that it has loaded, and whether the driver has stopped for good.

    A stop that comes before its job has begun counts as well: a worker takes seconds to start on a busy machine.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.jobs: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()
        self.cancelled = threading.Event()
        self.engine: Engine | Program | None = None
        self._engines: dict[tuple[str, str, int | None], Engine] = {}
        self._data = DataCache(latest_only=True)
        self._seconds = 0.0  # that the last batch took, without its data
        self._told = 0.0  # when the last status was sent

    def take(self, head: dict[str, Any], content: bytes) -> None:
        """Puts a job in the queue, or cancels all of them."""
        if head["kind"] == "train":
            self.jobs.put((head, content))
        else:
            self.cancelled.set()
            if self.engine is not None:
                self.engine.cancel()

    def serve(self) -> None:
        """Trains jobs until the driver closes the connection."""
        send(self.connection, "ready", machine=describe())
        while True:
            head, content = self.jobs.get()
            self._seconds, ended = 0.0, set[str]()
            reports = Reports(self._send_reports)
            try:
                self._train(head, content, reports, ended)
            except Exception as error:
                outcome = Outcome.OUT_OF_MEMORY if out_of_memory(error) else Outcome.FAILED
                details = str(error) if isinstance(error, ProgramError) else traceback.format_exc()
                sentence = str(error) if isinstance(error, AssayError) else details.strip().splitlines()[-1]
                failed = {"outcome": str(outcome), "reason": sentence.strip().splitlines()[0][:500], "error": details}
                error = None
                self._release()
                for trial in (trial for job in head["jobs"] for trial in job):
                    if trial["key"] not in ended:
                        reports.add("ended", {"key": trial["key"], **failed})
            reports.flush()
            send(self.connection, "idle", seconds=self._seconds)

    def _train(self, head: dict[str, Any], content: bytes, reports: Reports, ended: set[str]) -> None:
        jobs, recipes = head["jobs"], recipes_of(head)
        starts = [from_bytes(start, source="checkpoint") if start else None for start in split(content, head["starts"])]
        members = [
            Member(of_job, start, [number for number, trial in enumerate(job) if trial["save_best"]])
            for job, of_job, start in zip(jobs, recipes, starts, strict=True)
        ]
        cancelled = self.cancelled.is_set
        waiting = partial(send, self.connection, "waiting")
        with machine_lock(
            head["timing"], work=head.get("work", "a training"), cancelled=cancelled, on_wait=waiting
        ) as waited:
            if cancelled():
                return
            begin, processor_begin = perf_counter(), process_time()
            data = self._data.prepared(recipes[0][0].data.name, recipes[0][0].preparation)
            engine = self.engine = self._trainer(head)
            engine.choice = head["choice"]
            spent = perf_counter() - begin, process_time() - processor_begin
            limits = Limits(*spent, waited, head["time_limit"], cancelled)
            for first, group in in_memory(members, engine, data, limit=head["memory_limit"]):
                for event in train_cohort(group, engine, data, limits=limits):
                    self._report(event, jobs, first, reports, ended)
                if cancelled():
                    break
                limits = Limits(time_limit=head["time_limit"], cancelled=cancelled)
            self.engine, self._seconds = None, perf_counter() - begin - spent[0]

    def _report(
        self, event: Event, jobs: list[list[dict[str, Any]]], first: int, reports: Reports, ended: set[str]
    ) -> None:
        """Reports an event; `first` is the number of the job of its first member."""
        if isinstance(event, ProgressEvent):
            reports.tick()
            if perf_counter() - self._told > _STATUS_SECONDS:
                self._told = perf_counter()
                self._send_status(event.status)
        elif isinstance(event, SavedEvent):
            key = jobs[first + event.member][-1]["key"]
            reports.add("saved", {"key": key, "iteration": event.history.iterations}, to_bytes(event.history))
        else:
            trial = jobs[first + event.member][event.number]
            reports.add("ended", *end_report(trial["key"], event.history, event.confusion, keep=trial["keep"]))
            ended.add(trial["key"])

    def _send_status(self, status: TrainingStatus) -> None:
        send(
            self.connection,
            "status",
            iteration=status.iteration,
            iterations=status.iterations,
            accuracy=status.point.test_accuracy,
            loss=status.point.train_loss,
            point=[status.point.iteration, status.point.examples, status.point.seconds],
        )

    def _send_reports(self, kind: str, reports: list[dict[str, Any]], content: bytes) -> None:
        send(self.connection, kind, reports=reports, content=content)

    def _trainer(self, head: dict[str, Any]) -> Engine | Program:
        """The engine of a job, or the program, which the driver was allowed to run. Raises: CodeError."""
        if head["program"]:
            return Program.planned(head["program"], device=head["device"], threads=head["threads"])
        return self._engine(head["engine"], head["device"], head["threads"])

    def _engine(self, name: str, device: str, threads: int | None) -> Engine:
        if (name, device, threads) not in self._engines:
            self._engines[name, device, threads] = load_engine(name, device=device, threads=threads)
        return self._engines[name, device, threads]

    def _release(self) -> None:
        """Releases the data and engines of a failed job, so that the next one has their memory."""
        self.engine = None
        self._engines.clear()
        self._data.clear()


def recipes_of(head: dict[str, Any]) -> list[list[Recipe]]:
    """The recipes of each job. A user optimizer, which the driver was allowed to import, is imported here too.

    Raises:
        CodeError: The optimizer's source has changed since; the trial's key has the hash of the former source.
    """
    if not head["code"]:
        return [[Recipe.parse(trial["recipe"]) for trial in job] for job in head["jobs"]]
    sys.path[:] = head["path"]
    with allowing_code():
        recipes = [[Recipe.parse(trial["recipe"]) for trial in job] for job in head["jobs"]]
    optimizer = recipes[0][0].optimizer
    if code_hash(optimizer) != head["code"]:
        raise CodeError(f"the source of {optimizer.entry!r} has changed since the study was planned; run it again")
    return recipes


def in_memory(
    members: Sequence[Member], engine: Engine | Program, data: Prepared, *, limit: int | None
) -> Iterator[tuple[int, Sequence[Member]]]:
    """The members in cohorts that fit the memory of a worker, each with the number of its first member.

    `limit`: the bytes that the worker may take; None for no limit.
    """
    size = len(members)
    if size > 1:
        recipe, n = members[0].recipes[-1], len(data.y_train)
        network = recipe.model.network(data.shape, data.classes)
        one, two = (engine.memory(Cohort((recipe,) * count, network), n) for count in (1, 2))
        outputs = 8 * len(data.y_test) * data.classes
        weights = 8 * network.parameters * (1 + type(recipe.optimizer).slots)  # copies that are reported
        size = max(
            1, (_COHORT_BYTES if limit is None else min(_COHORT_BYTES, limit // 4)) // (two - one + outputs + weights)
        )
    for first in range(0, len(members), size):
        yield first, members[first : first + size]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, of any library, says that memory ran out."""
    text = str(error).casefold()
    phrases = ("out of memory", "can't allocate memory", "cannot allocate memory", "resource_exhausted", "bad_alloc")
    return isinstance(error, MemoryError) or any(phrase in text for phrase in phrases)


def main(arguments: list[str]) -> None:
    """Runs a worker. Arguments: the descriptor of its socket, and the limit of its memory in bytes (0 for none)."""
    if len(arguments) > 1 and int(arguments[1]):
        resource.setrlimit(resource.RLIMIT_DATA, (int(arguments[1]), int(arguments[1])))
    worker = Worker(Connection(int(arguments[0])))
    attend(worker.connection, worker.take, worker.serve)


if __name__ == "__main__":
    main(sys.argv[1:])
