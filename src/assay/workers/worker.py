"""A worker process: trains the jobs of its driver one after the other, and ends when the driver does.

Started as `python -P -m assay.workers.worker FD` with one end of a socket pair.
"""

from __future__ import annotations

import queue
import resource
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

from assay.data.cache import DataCache
from assay.data.sent import load_sent
from assay.engines import load as load_engine
from assay.engines.base import Engine
from assay.engines.program import Program
from assay.errors import AssayError, CodeError, ProgramError
from assay.parts.user_optimizers import allowing_code
from assay.recipe.code import code_entries, recipe_code
from assay.recipe.model import Recipe
from assay.system.machine import describe
from assay.system.machine_lock import machine_lock
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.history import History
from assay.training.loop import TrainingStatus
from assay.training.outcome import Outcome
from assay.workers.batch import Event, Limits, Member, ProgressEvent, SavedEvent, train_cohort
from assay.workers.calibration import Cost, calibrated
from assay.workers.cohort_sizes import CohortSizes
from assay.workers.gpu_watch import GpuWatch
from assay.workers.messages import attend, send
from assay.workers.reports import Reports, end_report, split

_STATUS_SECONDS = 0.2


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
        self._sizes = CohortSizes()
        self._group: Sequence[Member] = ()  # the cohort in training
        self._watch: GpuWatch | None = None  # of an isolated trial
        self._seconds = 0.0  # that the last batch took, without its data
        self._told = 0.0  # when the last status was sent

    def take(self, head: dict[str, Any], content: bytes) -> None:
        """Puts a job in the queue, or cancels all of them."""
        if head["kind"] in ("train", "calibrate", "data"):
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
            if head["kind"] == "data":
                self._data = DataCache(latest_only=True, load=partial(load_sent, files=head["files"]))
                continue
            if head["kind"] == "calibrate":
                send(self.connection, "calibrated", cost=self._calibrated(head))
                continue
            self._seconds, ended = 0.0, set[str]()
            reports = Reports(self._send_reports)
            try:
                self._train(head, content, reports, ended)
            except Exception as error:
                outcome = Outcome.OUT_OF_MEMORY if out_of_memory(error) else Outcome.FAILED
                if outcome is Outcome.OUT_OF_MEMORY and self._group:
                    self._sizes.ran_out(self._group, self.engine)
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

    def _calibrated(self, head: dict[str, Any]) -> Cost | None:
        """The cost of a trial, or of each of a cohort; None where it cannot be trained, which the run will report."""
        try:
            recipes = [recipe for (recipe,) in recipes_of(head)]
            data = self._data.prepared(recipes[0].data.name, recipes[0].preparation)
            return calibrated(recipes, self._engine(head["engine"], head["device"], head["threads"]), data)
        except Exception:
            traceback.print_exc()
            self._release()
            return None

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
            self._watch = GpuWatch(engine, starts[0]) if head["timing"] == "isolated" else None
            first = 0
            while first < len(members) and not cancelled():
                size = self._sizes.size(members[first:], engine, data, limit=head["memory_limit"])
                group = self._group = members[first : first + size]
                for event in train_cohort(group, engine, data, limits=limits):
                    self._report(event, jobs, first, reports, ended)
                self._sizes.learn(group, engine, data)
                first, limits = first + size, Limits(time_limit=head["time_limit"], cancelled=cancelled)
            self.engine, self._group, self._seconds = None, (), perf_counter() - begin - spent[0]

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
            history = self._marked(event.history)
            reports.add("saved", {"key": key, "iteration": history.iterations}, to_bytes(history))
        else:
            trial = jobs[first + event.member][event.number]
            history = self._marked(event.history)
            reports.add("ended", *end_report(trial["key"], history, event.confusion, keep=trial["keep"]))
            ended.add(trial["key"])

    def _marked(self, history: History) -> History:
        return history if self._watch is None else self._watch.marked(history)

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
        self.engine, self._group = None, ()
        self._engines.clear()
        self._data.clear()


def recipes_of(head: dict[str, Any]) -> list[list[Recipe]]:
    """The recipes of each job. A user's optimizer or model, which the driver may import, is imported here too.

    Raises:
        CodeError: The source of one has changed since; the trial's key has the hash of the former source.
    """
    if not head["code"]:
        return [[Recipe.parse(trial["recipe"]) for trial in job] for job in head["jobs"]]
    sys.path[:] = head["path"]
    with allowing_code():
        recipes = [[Recipe.parse(_without_code(trial["recipe"])) for trial in job] for job in head["jobs"]]
    first = recipes[0][0]
    if recipe_code(first) != head["code"]:
        names = " or ".join(map(repr, code_entries(first)))
        raise CodeError(f"the source of {names} has changed since the study was planned; run it again")
    return recipes


def _without_code(table: dict[str, Any]) -> dict[str, Any]:
    """A recipe's plain data without what its model's code is known by, which is found again here."""
    model = table.get("model")
    if not isinstance(model, dict) or ":" not in str(model.get("name")):  # pyright: ignore
        return table
    return {**table, "model": {key: value for key, value in model.items() if key != "code"}}  # pyright: ignore


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
