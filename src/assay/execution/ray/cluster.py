"""The executor on a Ray cluster: joins it, asks its nodes, and places a slot for each worker. It trains nothing."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import json
import logging
import os
import platform
import re
import shutil
import socket
import threading
import warnings
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from assay.errors import AssayError, listed, shortened, to_install
from assay.execution.executors import Needs, Started
from assay.execution.ray import slot
from assay.execution.ray.handshake import Agreed, Node, agreed, answer_of
from assay.execution.ray.pool import Placement, SlotWorkers
from assay.recipe.code import code_entries
from assay.report.text import counted, duration
from assay.system.machine import usable_cores
from assay.workers import node as node_facts
from assay.workers.environment import environment_for

_log = logging.getLogger("assay.execution")
_NODE = "assay.workers.node"
_ANSWER_SECONDS = 30.0  # for a node to answer; a busy one takes seconds to import torch or jax
_REACH_SECONDS = 5.0  # for a host to take a connection
_TOKEN = Path("~/.ray/auth_token")
_OBJECT_STORE_BYTES = 512 * 2**20  # of a Ray that is started here: data sets, and weights on their way
_LEAST_OBJECT_STORE_BYTES = 80 * 2**20
_KEPT_VARIABLES = ("ASSAY_TURN", "ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE", "XLA_FLAGS", "NPY_DISABLE_CPU_FEATURES")
"""Variables of the driver that its workers get on every node, because bits or turns depend on them."""


@contextmanager
def joined(on: str) -> Generator[RayCluster]:
    """Joins the cluster, and leaves it at the end; one that was started here ends then.

    Args:
        on: "ray", for RAY_ADDRESS or else a cluster that is started here, or "ray://HOST:PORT".

    Raises:
        AssayError: Ray is not installed, the address is wrong, or the cluster cannot be reached or joined.
    """
    if importlib.util.find_spec("ray") is None:
        raise AssayError(f"--on {on} needs ray: {to_install('ray')}")
    address = (os.environ.get("RAY_ADDRESS") or "local") if on == "ray" else on
    named = on if on != "ray" else f"RAY_ADDRESS={address}" if address != "local" else "--on ray"
    head = _head_of(address, named)
    _set_variables(joins=address != "local")
    ray: Any = importlib.import_module("ray")
    begin = monotonic()
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    _silence()
    try:
        with warnings.catch_warnings(action="ignore"), _without_standard_error():
            if address == "local":
                ray.init(address="local", num_cpus=len(usable_cores()), **_own(), **_QUIET)
            else:
                ray.init(address=address, **_QUIET)
    except Exception as error:
        ray.shutdown()
        raise AssayError(f"{named}: cannot join the Ray cluster: {_first_sentence(error)}{_hint(error)}") from None
    try:
        if head is None:
            head = _host_and_port(ray.get_runtime_context().gcs_address)
        cluster = RayCluster(ray, head, is_local=address == "local", seconds=monotonic() - begin)
        if address.startswith("ray://"):
            _log.warning(
                "%s: Ray's client moves data slowly, and gives up when it loses its connection for 30 s; `ray job "
                "submit`, or RAY_ADDRESS=auto on a node of the cluster, avoids that",
                address,
            )
        yield cluster
    finally:
        _leave(ray, head)


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}


def _set_variables(*, joins: bool) -> None:
    """Sets what Ray reads when it is imported: no telemetry, no log of its own, and the token if there is one."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    token = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or _TOKEN.expanduser().is_file()
    if joins and token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def _without_standard_error() -> Generator[None]:
    """Inside, what Ray's core writes to standard error is lost; its errors are raised too."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _hint(error: Exception) -> str:
    """What may help where Ray only says that it could not connect."""
    if "ersion mismatch" in str(error) or os.environ.get("RAY_AUTH_MODE") == "token":
        return ""
    return "; if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"


def _own() -> dict[str, Any]:
    """What a Ray that is started here has."""
    return {"object_store_memory": _object_store_bytes(), "include_dashboard": False}


def _silence() -> None:
    """Ray prints the log of a node that was lost on standard error, in place of which a sentence is said here."""
    module: Any = importlib.import_module("ray._private.worker")
    if hasattr(module, "print_to_stdstream"):
        module.print_to_stdstream = _log_printed


def _log_printed(data: object, *_: object, **__: object) -> None:
    """What Ray would print."""
    _log.debug("ray: %s", data)


def _leave(ray: Any, head: tuple[str, int] | None) -> None:
    """Leaves the cluster. Where its head is lost, Ray would wait for it, and end this process after 60 s."""

    def leave() -> None:
        with suppress(Exception):
            ray.shutdown()

    leaving = threading.Thread(target=leave, daemon=True)
    leaving.start()
    leaving.join(0.5 if head is not None and not _answers(head) else 20.0)
    if leaving.is_alive():
        module: Any = importlib.import_module("ray._private.worker")
        atexit.unregister(module.shutdown)


def _object_store_bytes() -> int:
    """How much memory the objects of a Ray that is started here may take: what /dev/shm has, up to a limit."""
    shared = Path(slot.SHARED_MEMORY)
    free = shutil.disk_usage(shared).free if shared.is_dir() else _OBJECT_STORE_BYTES
    return max(_LEAST_OBJECT_STORE_BYTES, min(_OBJECT_STORE_BYTES, int(0.8 * free)))


def _head_of(address: str, named: str) -> tuple[str, int] | None:
    """The host and port of an address, which must take a connection; None where Ray finds them itself.

    Raises: AssayError.
    """
    if address in ("local", "auto"):
        return None
    head = _host_and_port(address.removeprefix("ray://"))
    if head is None:
        raise AssayError(f"{named}: not an address of Ray; expected ray://HOST:PORT, HOST:PORT, auto or local")
    try:
        socket.create_connection(head, _REACH_SECONDS).close()
    except OSError as error:
        port = "10001, the port of Ray's client" if address.startswith("ray://") else "6379, the port of a Ray head"
        reason = error.strerror or str(error)
        raise AssayError(
            f"{named}: {head[0]}:{head[1]} does not answer ({reason}); expected a running Ray head, usually at {port}"
        ) from None
    return head


def _host_and_port(address: str) -> tuple[str, int] | None:
    """The parts of HOST:PORT.

    >>> _host_and_port("10.0.0.1:6379"), _host_and_port("[::1]:6379"), _host_and_port("10.0.0.1")
    (('10.0.0.1', 6379), ('::1', 6379), None)
    """
    match = re.fullmatch(r"\[?([^\[\]/@\s]+?)\]?:(\d{1,5})", address)
    return (match[1], int(match[2])) if match and 0 < int(match[2]) < 65536 else None


def _answers(head: tuple[str, int]) -> bool:
    try:
        socket.create_connection(head, 1.0).close()
    except OSError:
        return False
    return True


def _first_sentence(error: Exception) -> str:
    """What Ray says of an error, on one line."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:400]}..."


class RayCluster:
    """An executor whose workers are on the nodes of a Ray cluster.

    Args:
        ray: The module, which has joined the cluster.
        head: The host and port that a living head answers on; None if unknown.
        is_local: Whether the cluster was started here, for this run.
        seconds: How long it took to join it.
    """

    def __init__(self, ray: Any, head: tuple[str, int] | None, *, is_local: bool, seconds: float) -> None:
        self._ray, self._head, self._is_local, self.joining_seconds = ray, head, is_local, seconds
        self._answers: dict[tuple[str, ...], Agreed] = {}
        self._workers: SlotWorkers | None = None
        self._files: dict[str, Any] = {}
        self._said: set[str] = set()
        cloudpickle: Any = importlib.import_module("ray.cloudpickle")
        cloudpickle.register_pickle_by_value(slot)

    def count(self, needs: Needs) -> int:
        """The number of slots. The first call asks the nodes, which takes seconds.

        Raises: AssayError where no slot fits, or no node can train the trials.
        """
        return len(self._placements(needs)[0])

    def start(self, needs: Needs, count: int) -> Started:
        """Starts as many slots at most, spread over the nodes. Raises: AssayError where none starts."""
        placements, level = self._placements(needs)
        environment = _environment(needs.device)
        if level is not None:
            environment["ASSAY_NATIVE_LEVEL"] = level
        workers = self._workers = SlotWorkers(
            self._ray,
            [replace(placement, environment=environment) for placement in placements[:count]],
            memory_limit=needs.memory_limit or 0,
            data=dict(sorted({t.recipe.data.name: t.recipe.data.task for t in needs.trials}.items())),
            files=self._files,
            alive=self._check_head,
        )
        workers.wait_for_one()
        return Started(workers)

    def sentence(self) -> str:
        """How long the trials took each, and to start."""
        if self._workers is None or not self._workers.trials:
            return ""
        workers = self._workers
        each = workers.seconds / workers.trials
        slots, nodes = counted(workers.count, "slot"), counted(workers.nodes, "node")
        return (
            f"Ray: {counted(workers.trials, 'trial')} in {duration(workers.seconds)} on {slots} of {nodes}, "
            f"{each:.3g} s per trial; joining took {duration(self.joining_seconds)}"
        )

    def _check_head(self) -> bool:
        return self._head is None or _answers(self._head)

    def _placements(self, needs: Needs) -> tuple[list[Placement], str | None]:
        """Where slots fit, a slot of each node in turn, and the native engine's level."""
        _refuse_programs(needs)
        isolated, width = needs.timing == "isolated", needs.threads or 1
        fitting = [node for node in self._nodes() if _slots_of(node, needs)]
        if not fitting:
            raise AssayError(self._no_room(needs))
        terms = self._agreed(fitting, needs)
        placements: list[tuple[int, Placement]] = []
        for node in terms.nodes:
            whole = node.cpus if isolated and needs.device == "cpu" else float(width)
            cpus = whole if needs.device == "cpu" else 0.0
            pinned = 0 if isolated or needs.device != "cpu" else width
            for turn in range(1 if isolated else _slots_of(node, needs)):
                placements.append((turn, Placement(node, cpus, int(needs.device != "cpu"), pinned, {}, terms.level)))
        return [placement for _, placement in sorted(placements, key=lambda pair: pair[0])], terms.level

    def _nodes(self) -> list[Node]:
        """The nodes that are alive."""
        raw = [node for node in self._ray.nodes() if node["Alive"]]
        same = Counter(node["NodeManagerAddress"] for node in raw)
        nodes: list[Node] = []
        for node in raw:
            address, resources = node["NodeManagerAddress"], node["Resources"]
            label = address if same[address] == 1 else f"{address} ({node['NodeID'][:6]})"
            nodes.append(Node(node["NodeID"], label, resources.get("CPU", 0.0), resources.get("GPU", 0.0)))
        return sorted(nodes, key=lambda node: (node.address, node.id))

    def _no_room(self, needs: Needs) -> str:
        """Why no slot fits."""
        width = needs.threads or 1
        what = "a GPU" if needs.device != "cpu" else f"{counted(width, 'CPU')} for threads = {width}"
        has = [
            f"{node.address}: {counted(int(node.cpus), 'CPU')}, {counted(int(node.gpus), 'GPU')}"
            for node in self._nodes()
        ]
        return f"--on ray: no node has {what}; {shortened(has, 5, separator='; ')}"

    def _agreed(self, nodes: Sequence[Node], needs: Needs) -> Agreed:
        """The handshake with nodes, once for each set of engines. Raises: AssayError where none is left."""
        engines = sorted({trial.engine for trial in needs.trials} | needs.engines)
        key = (needs.timing, needs.device, *engines, *(node.id for node in nodes))
        if key in self._answers:
            return self._answers[key]
        asked = self._ask(nodes, engines, needs.device)
        here = json.loads(json.dumps(node_facts.facts(engines), default=str))
        here |= {"python": platform.python_version(), "ray": self._ray.__version__}
        terms = agreed(asked, here, engines, isolated=needs.timing == "isolated")
        why = [f"node {address}: {reason}" for address, reason in terms.refused.items()]
        if not terms.nodes:
            kinds = "; isolated trials need machines of one kind" if needs.timing == "isolated" and len(why) > 1 else ""
            raise AssayError(f"--on ray: no node can train this study{kinds}: {shortened(why, 5, separator='; ')}")
        for sentence in (*(f"{reason}; it gets no trials" for reason in why), *terms.notes):
            if sentence not in self._said:
                self._said.add(sentence)
                _log.warning("%s", sentence)
        self._answers[key] = terms
        return terms

    def _ask(self, nodes: Sequence[Node], engines: Sequence[str], device: str) -> list[Node]:
        """The nodes with their answers."""
        strategy: Any = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        task = self._ray.remote(num_cpus=0, max_retries=0)(slot.ask_node)
        question, environment = json.dumps({"engines": list(engines)}), _environment(device)
        asked = [
            task.options(scheduling_strategy=strategy(node.id, soft=False)).remote(
                _NODE, question, _ANSWER_SECONDS, environment
            )
            for node in nodes
        ]
        answers: list[Node] = []
        until = monotonic() + _ANSWER_SECONDS + 5
        for node, reference in zip(nodes, asked, strict=True):
            answer: dict[str, Any] = {"problem": "Ray did not start a task there in time"}
            try:
                answer = answer_of(self._ray.get(reference, timeout=max(0.0, until - monotonic())))
            except self._ray.exceptions.GetTimeoutError:
                self._ray.cancel(reference, force=True)
            except self._ray.exceptions.RayError as error:
                answer = {"problem": f"Ray cannot start a task there: {_first_sentence(error)}"}
            answers.append(replace(node, answer=answer))
        return answers


def _slots_of(node: Node, needs: Needs) -> int:
    """How many slots fit on a node."""
    if needs.device != "cpu":
        return int(node.gpus)
    return int(node.cpus // (needs.threads or 1))


def _environment(device: str) -> dict[str, str]:
    """The variables that workers have on every node, whatever is set there."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | environment_for(device, base=kept)


def _refuse_programs(needs: Needs) -> None:
    """Raises: AssayError where an external program trains, or a GPU has a number."""
    if needs.has_programs():
        raise AssayError("--on ray: an external program trains on its own machine; leave --on out")
    if needs.device not in ("cpu", "cuda", "gpu"):
        raise AssayError(
            f"--on ray: got device {needs.device!r}; expected cpu or cuda, of which Ray chooses the number"
        )
    code = sorted({name for trial in needs.trials for name in code_entries(trial.recipe)})
    if code:
        _log.info("imported on each node, where they must be installed: %s", listed(code))
