"""Workers, slots and nodes of a Ray cluster are killed while a study runs: its bits stay those of a local run.

The driver runs in this process. Kills of drivers are those of `kills`, which do not depend on where workers are.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from assay.execution.places import executor_on
from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.outcome import Outcome
from tests.execution.ray_cluster import RunningCluster, cluster

from .promises import Row, broken, report, stored_results

_STUDY: dict[str, Any] = {
    "name": "faults",
    "design": "grid",
    "repeats": 4,
    "timing": "packed",
    "threads": 1,
    "baseline": {"data": "digits", "model": {"hidden": [64]}, "budget": {"epochs": 80}},
    "axes": {
        "engine": {"native": {"engine": "native"}, "numpy": {"engine": "numpy"}},
        "rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]},
    },
}
_KINDS = {"workers": 3, "slots": 2, "nodes": 1}
"""What is killed, and how often in comparison: a node takes seconds to be started again."""


class Fault:
    """Kills something at a random moment of a study, once."""

    def __init__(self, kind: str, chance: random.Random, running: RunningCluster, node: int) -> None:
        self._kind, self._chance, self._running, self._node = kind, chance, running, node
        self._after = chance.randint(0, 9)
        self.done = False
        self.acknowledged: dict[str, Row] = {}  # the results at that moment

    def strike(self, execution: Execution) -> None:
        """Called with each state of the study."""
        slots: Any = getattr(execution.workers, "_slots", [])
        pids = [slot.about["pid"] for slot in slots if slot.is_ready]
        if self.done or not pids or len(execution.outcomes) < self._after:
            return
        self.done = True
        time.sleep(self._chance.uniform(0.0, 0.3))
        self.acknowledged = stored_results(Path(execution.store.name))
        with suppress(psutil.Error, ProcessLookupError):
            if self._kind == "nodes":
                self._running.tell(f"remove {self._node}")
            else:
                worker = psutil.Process(self._chance.choice(pids))
                os.kill(worker.pid if self._kind == "workers" else worker.ppid(), signal.SIGKILL)


def run(seed: int, cases: int) -> dict[str, int]:
    """Runs so many studies with a fault in each."""
    warnings.simplefilter("ignore")  # of Ray, which leaves sockets to the collector
    chance = random.Random(seed)
    counts = {"cases": 0, "failures": 0, "results": 0, **{f"{kind} killed": 0 for kind in _KINDS}}
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with tempfile.TemporaryDirectory(prefix="assay-hard-") as name, cluster(1, 1) as running:
        os.environ["RAY_ADDRESS"] = running.address
        local, last = _bits(_trained(Path(name) / "local.db", "local")[0]), 1
        while counts["cases"] < cases:
            counts["cases"] += 1
            (kind,) = chance.choices(list(_KINDS), list(_KINDS.values()))
            fault = Fault(kind, chance, running, last)
            store, execution = _trained(Path(name) / f"{counts['cases']}.db", "ray", fault)
            sentences = _broken(store, execution, local) + broken(Path(store.name), fault.acknowledged)
            counts[f"{kind} killed"] += fault.done
            counts["results"] += len(execution.outcomes)
            counts["failures"] += report("ray", f"{seed}, case {counts['cases']} ({kind})", sentences)
            if kind == "nodes" and fault.done:
                running.tell("add 1")
                last += 1
    return counts


def _trained(path: Path, on: str, fault: Fault | None = None) -> tuple[Store, Execution]:
    store = Store(str(path))
    with executor_on(on) as executor:
        execution = Execution(plan(Study.parse(_STUDY)), store, executor=executor)
        execution.check()
        for _ in execution:
            if fault is not None:
                fault.strike(execution)
    return store, execution


def _bits(store: Store) -> dict[str, Any]:
    """Every trial's curve without its seconds."""
    frame = Results(store, "faults").curves().drop(columns=["seconds"]).fillna(-1.0)
    return {str(key): group.to_numpy().tolist() for key, group in frame.groupby("trial")}


def _broken(store: Store, execution: Execution, local: dict[str, Any]) -> list[str]:
    """The promises that a study broke."""
    sentences: list[str] = []
    if set(execution.outcomes.values()) != {Outcome.COMPLETED}:
        sentences.append(f"outcomes: {sorted(map(str, execution.outcomes.values()))}")
    bits = _bits(store)
    if bits != local:
        wrong = [key for key in local if bits.get(key) != local[key]]
        sentences.append(f"{len(wrong)} of {len(local)} trials differ from the local ones, or are missing")
    return sentences
