"""A row's process with engines that no user has: one that computes something else, one whose process dies, ..."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from assay.bench import worker
from assay.engines import ENGINES
from assay.engines.numpy_engine import NumpyEngine

KINDS = ("wrong", "killed", "greedy", "broken", "slow")


class Wrong(NumpyEngine):
    """Its weights are not those of the recipe."""

    def start(self, cohort: Any, checkpoint: Any, splits: Any) -> Any:
        state = super().start(cohort, checkpoint, splits)
        state.trials[0].w.vector *= 1.01
        return state


class Late(NumpyEngine):
    """Does something in its second epoch, which is after the certificate and the first one."""

    epochs = 0

    def evaluate(self, state: Any, split: str) -> Any:
        self.epochs += 1
        if self.epochs == 3:
            self.happen()
        return super().evaluate(state, split)

    def happen(self) -> None:
        raise NotImplementedError


class Killed(Late):
    def happen(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Greedy(Late):
    def happen(self) -> None:
        raise MemoryError("no room for that")


class Broken(Late):
    def happen(self) -> None:
        raise ZeroDivisionError("a mistake in the program")


class Slow(Late):
    def happen(self) -> None:
        time.sleep(600)


def register() -> None:
    """Puts them among the engines."""
    for kind in KINDS:
        ENGINES[kind] = ("tests.bench.fakes", kind.capitalize(), "")


if __name__ == "__main__":
    register()
    worker.main(sys.argv[1:])
