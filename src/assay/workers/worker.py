"""A worker process: trains the jobs of its driver one after the other, and ends when the driver does.

Started as `python -P -m assay.workers.worker FD` with one end of a socket pair.
"""

from __future__ import annotations

import queue
import resource
import sys
import threading
import traceback
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

from assay.data.cache import DataCache
from assay.engines import load as load_engine
from assay.engines.base import Engine
from assay.engines.program import Program
from assay.errors import AssayError, CodeError, ProgramError
from assay.parts.user_optimizers import allowing_code, code_hash
from assay.recipe.model import Recipe
from assay.system.machine import describe
from assay.system.machine_lock import machine_lock
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.loop import TrainingStatus
from assay.training.outcome import Outcome
from assay.workers.batch import EndedEvent, Limits, ProgressEvent, SavedEvent, train_together
from assay.workers.messages import attend, send

_STATUS_SECONDS = 0.2


class Worker:
    """A worker's jobs, the data and engines that it has loaded, and whether the driver has cancelled the job."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.jobs: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()
        self.cancelled = threading.Event()
        self.engine: Engine | Program | None = None
        self._engines: dict[tuple[str, str, int | None], Engine] = {}
        self._data = DataCache(latest_only=True)

    def take(self, head: dict[str, Any], content: bytes) -> None:
        """Puts a job in the queue, or cancels the running one."""
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
            self.cancelled.clear()
            ended: set[str] = set()
            try:
                self._train(head, content, ended)
            except Exception as error:
                outcome = Outcome.OUT_OF_MEMORY if out_of_memory(error) else Outcome.FAILED
                details = str(error) if isinstance(error, ProgramError) else traceback.format_exc()
                sentence = str(error) if isinstance(error, AssayError) else details.strip().splitlines()[-1]
                reason = sentence.strip().splitlines()[0][:500]
                error = None
                self._release()
                for trial in head["trials"]:
                    if trial["key"] not in ended:
                        self._end(trial["key"], outcome, reason, error=details)
            send(self.connection, "idle")

    def _train(self, head: dict[str, Any], content: bytes, ended: set[str]) -> None:
        recipes = recipes_of(head)
        keys = [trial["key"] for trial in head["trials"]]
        start = from_bytes(content, source="checkpoint") if content else None
        cancelled = self.cancelled.is_set
        waiting = partial(send, self.connection, "waiting")
        with machine_lock(
            head["timing"], work=head.get("work", "a training"), cancelled=cancelled, on_wait=waiting
        ) as waited:
            if cancelled():
                return
            begin, processor_begin = perf_counter(), process_time()
            data = self._data.prepared(recipes[0].data.name, recipes[0].preparation)
            engine = self.engine = self._trainer(head)
            engine.choice = head["choice"]
            spent = perf_counter() - begin, process_time() - processor_begin
            limits = Limits(*spent, waited, head["time_limit"], cancelled)
            save_best = [number for number, trial in enumerate(head["trials"]) if trial.get("save_best")]
            events = train_together(recipes, engine, data, start=start, limits=limits, save_best=save_best)
            last = 0.0
            for event in events:
                if isinstance(event, ProgressEvent):
                    if perf_counter() - last > _STATUS_SECONDS:
                        last = perf_counter()
                        self._send_status(event.status)
                elif isinstance(event, SavedEvent):
                    history = event.history
                    send(self.connection, "saved", iteration=history.iterations, content=to_bytes(history))
                else:
                    ended.add(keys[event.number])
                    self._send_end(keys[event.number], event)
            self.engine = None

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

    def _send_end(self, key: str, event: EndedEvent) -> None:
        history = event.history
        self._end(
            key,
            history.outcome,
            history.reason,
            confusion=event.confusion.tolist() if event.confusion is not None else None,
            peak_device_memory_bytes=history.peak_device_memory_bytes,
            warnings=list(history.warnings),
            content=to_bytes(history),
        )

    def _end(self, key: str, outcome: Outcome, reason: str, *, content: bytes = b"", **values: Any) -> None:
        send(self.connection, "ended", key=key, outcome=str(outcome), reason=reason, content=content, **values)

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


def recipes_of(head: dict[str, Any]) -> list[Recipe]:
    """The recipes of a job. A user optimizer, which the driver was allowed to import, is imported here too.

    Raises:
        CodeError: The optimizer's source has changed since; the trial's key has the hash of the former source.
    """
    if not head["code"]:
        return [Recipe.parse(trial["recipe"]) for trial in head["trials"]]
    sys.path[:] = head["path"]
    with allowing_code():
        recipes = [Recipe.parse(trial["recipe"]) for trial in head["trials"]]
    optimizer = recipes[0].optimizer
    if code_hash(optimizer) != head["code"]:
        raise CodeError(f"the source of {optimizer.entry!r} has changed since the study was planned; run it again")
    return recipes


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
