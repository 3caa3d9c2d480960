"""Workers in slots of a Ray cluster, with the interface of those on this machine."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from assay.data.datasets import load
from assay.data.sent import to_file
from assay.errors import AssayError
from assay.execution.ray.handshake import Node
from assay.execution.ray.slot import END, ERRORS, Slot
from assay.workers.messages import packed, unpacked
from assay.workers.pool import exit_sentence
from assay.workers.tail import KeptEnd

_log = logging.getLogger("assay.execution")
_WORKER = "assay.workers.worker"  # the module that a slot runs
_POLL_SECONDS = 20.0  # that a slot waits for a message of its worker before it answers that there is none
_STATUS_SECONDS = 0.2  # between two statuses of a slot; more where there are many slots
_STATUSES = 500  # a second, of all slots together, at most
_HEAD_SECONDS = 2.0  # between two looks whether the head answers
_HEAD_MISSES = 3  # looks in a row after which it counts as lost
_START_SECONDS = 60.0  # for the first slot, after which it is said that slots wait for other jobs of the cluster
_TRIES = 5  # to start a slot on a node that is alive, after 1, 2, 4 and 8 s
_SEND_SECONDS = 40.0  # for a data set that a later trial needs; leases last for 60 s
_END_SECONDS = 5.0  # for the workers at the end
_LOST = "--on ray: the head of the cluster no longer answers, and with it the cluster is lost"
_RESUMES = "finished trials are stored, and a run resumes the others from their checkpoints"


@dataclass(frozen=True)
class Placement:
    """Where a slot is, and with what.

    Attributes:
        node: Its node.
        cpus: The CPUs that Ray counts for it.
        gpus: The GPUs.
        cores: How many cores its worker is pinned to; 0 to pin none.
        environment: Variables of its worker.
        level: That of the native engine.
    """

    node: Node
    cpus: float
    gpus: int
    cores: int
    environment: Mapping[str, str]
    level: str | None


@dataclass
class _Slot:
    """A slot as the driver sees it. It is new, starting, ready, or lost for good."""

    placement: Placement
    actor: Any = None
    starting: list[Any] = field(default_factory=list[Any])
    poll: Any = None
    about: dict[str, Any] = field(default_factory=dict[str, Any])
    machine: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: KeptEnd = field(default_factory=KeptEnd)
    sent: dict[str, str] = field(default_factory=dict[str, str])  # files of data sets on its node, by name
    told: bool = False  # whether its worker knows them
    end: str = ""  # how its worker has ended
    tries: int = 0
    due: float = 0.0  # when it may be started again
    is_ready: bool = False
    lost: str = ""  # why it is lost for good


@contextmanager
def _connected() -> Generator[None]:
    """Inside, what Ray raises where the driver has lost it becomes a sentence. Raises: AssayError."""
    try:
        yield
    except AssayError:
        raise
    except Exception as error:  # OSError of a pipe, RpcError, RaySystemError: which one depends on the moment
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise AssayError(f"{_LOST} ({reason}); {_RESUMES}") from error


class SlotWorkers:
    """Workers in slots. A slot that dies is started again where its node is alive; with its node it is lost.

    Args:
        ray: The module, which has joined the cluster.
        placements: Where the slots are.
        memory_limit: Maximum number of bytes of each worker; 0 for no limit.
        data: The names of the data sets that every worker will need, each with its task (None: classification).
        files: References to data sets in the object store, by name; added to, so that each is sent to a node once.
        alive: Whether the head of the cluster answers.
    """

    def __init__(
        self,
        ray: Any,
        placements: Sequence[Placement],
        *,
        memory_limit: int,
        data: Mapping[str, str | None],
        files: dict[str, Any],
        alive: Callable[[], bool],
    ) -> None:
        self._ray, self._memory_limit = ray, memory_limit
        self._data, self._files, self._alive = data, files, alive
        self._slots = [_Slot(placement) for placement in placements]
        self._status_seconds = max(_STATUS_SECONDS, len(placements) / _STATUSES)
        self._gone: list[int] = []  # workers that could not be given their job
        self._looked, self._misses = monotonic(), 0
        self._began = self._ended = monotonic()
        self.trials = 0
        """How many trials have ended."""

    @property
    def count(self) -> int:
        """The number of slots that are not lost."""
        return sum(not slot.lost for slot in self._slots)

    @property
    def nodes(self) -> int:
        """The number of their nodes."""
        return len({slot.placement.node.id for slot in self._slots if not slot.lost})

    @property
    def seconds(self) -> float:
        """The seconds from the start of the first slot to the latest end of a trial."""
        return self._ended - self._began

    # --- starting ---

    def wait_for_one(self) -> None:
        """Waits until a slot is ready. Raises: AssayError where all are lost."""
        until, said = monotonic() + _START_SECONDS, False
        while not self.available():
            if monotonic() > until and not said:
                said = True
                _log.warning("Ray has no free CPUs for a slot yet: other jobs hold them; waiting")
            sleep(0.02)
        self._began = self._ended = monotonic()

    @_connected()
    def available(self) -> list[int]:
        """The numbers of the slots that are ready. Raises: AssayError where all are lost, or the head is."""
        self._check_head()
        for number, slot in enumerate(self._slots):
            if not slot.lost and not slot.is_ready and monotonic() >= slot.due:
                self._advance(number, slot)
        if not self.count:
            reasons = "; ".join(dict.fromkeys(slot.lost for slot in self._slots))
            raise AssayError(f"--on ray: every slot is lost: {reasons}; {_RESUMES}")
        return [number for number, slot in enumerate(self._slots) if slot.is_ready]

    def _check_head(self) -> None:
        if monotonic() - self._looked < _HEAD_SECONDS:
            return
        self._misses = 0 if self._alive() else self._misses + 1
        self._looked = monotonic()
        if self._misses >= _HEAD_MISSES:
            raise AssayError(f"{_LOST}; {_RESUMES}")

    def _advance(self, number: int, slot: _Slot) -> None:
        """Starts a slot, or looks whether it has started."""
        if not slot.starting:
            self._begin(slot)
        done, _ = self._ray.wait(slot.starting, num_returns=len(slot.starting), timeout=0)
        if len(done) < len(slot.starting):
            return
        try:
            started, *files = self._ray.get(slot.starting)
        except Exception as error:  # of Ray, or of what the slot could not do on its node
            self._not_started(number, slot, error)
            return
        slot.about, slot.starting, slot.is_ready = json.loads(started), [], True
        slot.sent |= dict(zip(self._data, files, strict=False))
        slot.told = False
        slot.poll = self._receive(slot)
        _log.info("slot %d on node %s: %s", number, slot.placement.node.address, self.notes(number)[0])

    def _begin(self, slot: _Slot) -> None:
        placement, files = slot.placement, [self._file(name) for name in self._data]
        for method, group in ((Slot.receive, "receiving"), (Slot.end, "ending")):
            self._ray.method(concurrency_group=group)(method)  # so that neither waits for the other methods
        if slot.actor is None:
            strategy: Any = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
            actor = self._ray.remote(concurrency_groups={"receiving": 1, "ending": 1})(Slot)
            slot.actor = actor.options(
                num_cpus=placement.cpus,
                num_gpus=placement.gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=strategy(placement.node.id, soft=False),
            ).remote(
                _WORKER,
                self._memory_limit,
                placement.cores,
                environment=dict(placement.environment),
                status_seconds=self._status_seconds,
            )
            slot.sent = {}
        slot.end, slot.tries = "", slot.tries + 1
        sent = [] if slot.sent else [slot.actor.file_of.remote(digest, content) for digest, content in files]
        slot.starting = [slot.actor.start.remote(), *sent]

    def _not_started(self, number: int, slot: _Slot, error: Exception) -> None:
        """A slot that did not start is tried again where its node is alive."""
        slot.actor, slot.starting = None, []
        reason, node = self._sentence(error), slot.placement.node
        if slot.tries < _TRIES and self._is_alive(node):
            slot.due = monotonic() + 2.0 ** (slot.tries - 1)
            return
        slot.lost = f"node {node.address}: {reason}"
        _log.warning("slot %d is lost: %s", number, slot.lost)

    def _is_alive(self, node: Node) -> bool:
        if not self._alive():
            return False
        return any(known["NodeID"] == node.id and known["Alive"] for known in self._ray.nodes())

    def _file(self, name: str) -> tuple[str, Any]:
        """The digest of a data set, and its reference in the object store, into which it is put once."""
        if name not in self._files:
            file = to_file(load(name, task=self._data.get(name)))
            try:
                self._files[name] = file.digest, self._ray.put(file.content)
            except self._ray.exceptions.RayError as error:
                size = f"{len(file.content) / 1e6:.0f} MB"
                raise AssayError(
                    f"--on ray: the data set {name!r} ({size}) does not fit Ray's object store: "
                    f"{self._sentence(error)}; start its nodes with a larger --object-store-memory"
                ) from None
        return self._files[name]

    # --- the interface of workers ---

    def machine(self, number: int) -> dict[str, Any]:
        """The description of a worker's machine, which it sends when it has started; empty before."""
        return self._slots[number].machine

    def notes(self, number: int) -> tuple[str, ...]:
        """A sentence on how the worker ran, which is stored with its results."""
        slot = self._slots[number]
        cores, threads = len(slot.about.get("cores", ())), slot.about.get("threads")
        pinned = f"pinned to {cores} core{'' if cores == 1 else 's'}" if cores else "not pinned"
        told = f"OMP_NUM_THREADS = {threads}" if threads else "OMP_NUM_THREADS not set"
        return (f"trained on Ray {self._ray.__version__}: {pinned}, {told}",)

    @_connected()
    def train(self, number: int, content: bytes, **job: Any) -> None:
        """Gives a worker a job, after the data sets that it needs."""
        slot = self._slots[number]
        for name in dict.fromkeys(trial["recipe"]["data"]["name"] for trials in job["jobs"] for trial in trials):
            if name not in slot.sent:
                digest, reference = self._file(name)
                try:
                    slot.sent[name] = self._ray.get(slot.actor.file_of.remote(digest, reference), timeout=_SEND_SECONDS)
                except Exception as error:  # the worker must not take what its node has under that name
                    slot.end = f"the data set {name!r} could not be sent: {self._sentence(error)}"
                    self._kill([slot])
                    slot.poll = None
                    self._gone.append(number)
                    return
                slot.told = False
        frames = [] if slot.told else [packed("data", files=slot.sent)]
        slot.told = True
        slot.errors.clear()
        slot.actor.send.remote([*frames, packed("train", content=content, **job)])

    @_connected()
    def messages(self, timeout: float) -> list[tuple[int, dict[str, Any] | None, bytes]]:
        """The messages of workers, each with the worker's number; None in place of a header if the worker is gone."""
        self._check_head()
        if self._gone:
            gone, self._gone = self._gone, []
            return [(number, None, b"") for number in gone]
        polls = {slot.poll: number for number, slot in enumerate(self._slots) if slot.poll is not None}
        if not polls:
            sleep(min(timeout, 0.02))
            return []
        ready, _ = self._ray.wait(list(polls), num_returns=1, timeout=timeout)
        if ready and len(polls) > 1:
            ready, _ = self._ray.wait(list(polls), num_returns=len(polls), timeout=0)
        messages: list[tuple[int, dict[str, Any] | None, bytes]] = []
        for reference in ready:
            messages += self._received(polls[reference], reference)
        return messages

    def _receive(self, slot: _Slot) -> Any:
        return slot.actor.receive.remote(_POLL_SECONDS)

    def _received(self, number: int, reference: Any) -> list[tuple[int, dict[str, Any] | None, bytes]]:
        slot = self._slots[number]
        slot.poll = None
        try:
            frames: list[bytes] = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            slot.end = slot.end or self._sentence(error)
            with suppress(Exception):  # only the connection may be lost: it would keep its CPUs
                self._ray.kill(slot.actor)
            slot.actor = None
            return [(number, None, b"")]
        messages: list[tuple[int, dict[str, Any] | None, bytes]] = []
        for frame in frames:
            kind, raw = frame[:1], frame[1:]
            if kind == ERRORS:
                slot.errors.add(raw)
                _log.info("slot %d, standard error: %s", number, raw.decode(errors="replace").strip())
            elif kind == END:
                slot.end = exit_sentence(json.loads(raw)["code"])
                return [*messages, (number, None, b"")]
            else:
                header, content = unpacked(raw)
                self._note(slot, header)
                messages.append((number, header, content))
        slot.poll = self._receive(slot)
        return messages

    def _note(self, slot: _Slot, header: Mapping[str, Any]) -> None:
        """Takes from a message what this class needs of it."""
        if header["kind"] == "ready":
            slot.machine, slot.tries = header["machine"], 0
        elif header["kind"] == "ended":
            self.trials += len(header["reports"])
            self._ended = monotonic()

    @_connected()
    def drop(self, number: int) -> str:
        """Removes a worker that is gone or does not respond. Returns how it ended, in a sentence."""
        slot = self._slots[number]
        if not slot.end:  # it does not respond
            slot.end = "the worker was killed"
            self._kill([slot])
        slot.is_ready, slot.poll, slot.machine = False, None, {}
        address = slot.placement.node.address
        _log.warning("slot %d on node %s: %s; what it trained is tried again", number, address, slot.end)
        return f"{slot.end}, on node {address}"

    def errors(self, number: int) -> str:
        """The last 64 KB that a worker has written to standard error since its job began, also if it is gone now."""
        return self._slots[number].errors.text()

    @_connected()
    def broadcast(self, kind: str) -> None:
        """Sends a message to every worker."""
        for slot in self._slots:
            if slot.is_ready:
                slot.actor.send.remote([packed(kind)])

    def kill_all(self) -> None:
        """Kills every worker."""
        with suppress(Exception):  # where the cluster is lost, its workers are too
            if self._misses == 0 and self._alive():
                self._kill([slot for slot in self._slots if slot.actor is not None])
        for slot in self._slots:
            slot.is_ready, slot.poll = False, None

    def _kill(self, slots: Sequence[_Slot]) -> None:
        """Kills workers, then their actors, which a worker that does not respond may not outlive."""
        ends = [slot.actor.end.remote() for slot in slots if slot.is_ready]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=_END_SECONDS)
        for slot in slots:
            self._ray.kill(slot.actor)
            slot.actor, slot.starting = None, []

    def _sentence(self, error: Exception) -> str:
        """Why a slot is gone, in one line."""
        text = " ".join(str(error).split())
        lowered = text.casefold()
        if isinstance(error, self._ray.exceptions.OutOfMemoryError) or "running low on memory" in lowered:
            return "Ray's memory monitor killed the worker: the node ran out of memory"
        if "node has died" in lowered or "its node" in lowered:
            return "the node was lost"
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):
            return "the connection to the slot was lost, with its process or its node"
        if isinstance(error, self._ray.exceptions.ActorDiedError):
            return "the slot's process died"
        return text[:300] or type(error).__name__
