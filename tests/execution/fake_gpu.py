"""A worker whose device "cuda" is the CPU: everything of a study on a GPU but the card. It is run as a worker's module.

It stands for jax, and describes its card by what its environment says, so that a test sees how it was started.
"""

from __future__ import annotations

import os
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from assay.engines import ENGINES
from assay.engines.base import Checkpoint, Cohort, Splits
from assay.engines.numpy_engine import NumpyEngine
from assay.engines.seen import Device, Seen
from assay.recipe.model import Recipe
from assay.workers import gpu_watch
from assay.workers.messages import attend
from assay.workers.worker import Worker

ENTRY = ("tests.execution.fake_gpu", "OnCpu", "")
CARD = Device("cuda:0", "Fake card", 10**10)
STARTED = ("XLA_PYTHON_CLIENT_PREALLOCATE", "CUBLAS_WORKSPACE_CONFIG", "XLA_FLAGS")


class OnCpu(NumpyEngine):
    """The numpy engine under the name of jax, on a device called "cuda"."""

    name: ClassVar[str] = "jax"

    def why_not(self, recipe: Recipe) -> str | None:
        return (self.seen or Seen((CARD,))).missing(self.device, "jax")

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> Any:
        print("a line of XLA", file=sys.stderr, flush=True)
        fails = os.environ.get("FAKE_FAILS", "")
        if len(cohort.recipes) > int(os.environ.get("FAKE_MOST", "1000")):
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory while trying to allocate")
        if fails == "card":
            print("the card fell off", file=sys.stderr, flush=True)
            raise RuntimeError("CUDA_ERROR_UNKNOWN")
        if fails == "killed":
            os.abort()
        return super().start(cohort, checkpoint, splits)

    def advance(self, state: Any, batches: Any, alive: Any) -> Any:
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        return super().advance(state, batches, alive)

    def free_device_memory(self) -> int:
        return 10**10

    def peak_device_memory(self) -> int:
        return 10**7

    def device_facts(self) -> dict[str, str]:
        started = " ".join(os.environ.get(name, "-") for name in STARTED)
        return {"model": f"Fake card {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}", "driver": started, "cuda": "12.8"}


def _processes(number: int) -> frozenset[int] | None:
    """This process, and those that the test names; unknown where it names none."""
    others = os.environ.get("FAKE_OTHERS")
    return None if others is None else frozenset({os.getpid(), *map(int, others.split())})


if __name__ == "__main__":
    ENGINES["jax"] = ENTRY
    gpu_watch.processes = _processes
    worker = Worker(Connection(int(sys.argv[1])))
    attend(worker.connection, worker.take, worker.serve)
