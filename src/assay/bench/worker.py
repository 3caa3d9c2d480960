"""The process of one row: loads its engine, computes its certificate, or trains an epoch, as its driver requests.

Started as `python -P -m assay.bench.worker FD 0` with one end of a socket pair. Between two messages it
computes nothing, so that only one of many rows uses the machine.
"""

from __future__ import annotations

import os
import queue
import sys
import traceback
from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from assay.bench.contenders import load as load_contender
from assay.bench.device_rates import device_rates
from assay.bench.probes import Probe, Prober
from assay.bench.rounding import ARITHMETIC, bounds
from assay.data.datasets import load
from assay.data.prepare import Prepared
from assay.engines.base import Engine
from assay.errors import AssayError, EngineError
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.training.loop import Training, peak_memory, prepared
from assay.workers.environment import environment_for
from assay.workers.messages import attend, send
from assay.workers.worker import out_of_memory, recipes_of

_STATUS_SECONDS = 0.5


class RowWorker:
    """The engine of one row, and its training once it has begun."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.recipe: Recipe
        self.engine: Engine
        self.training: Training
        self._epochs: Generator[None] | Iterator[None]

    def take(self, head: dict[str, Any], content: bytes) -> None:
        """Puts a message in the queue."""
        self.messages.put(head)

    def serve(self) -> None:
        """Handles the driver's messages until it is gone."""
        handlers = {
            "load": self._load,
            "certify": self._certify,
            "bound": self._bound,
            "rates": self._rates,
            "begin": self._begin,
            "epoch": self._epoch,
        }
        while True:
            head = self.messages.get()
            try:
                handlers[head["kind"]](head)
            except EngineError as error:
                send(self.connection, "cannot", reason=str(error))
            except Exception as error:
                expected = isinstance(error, AssayError)
                reason = " ".join(str(error).split()) if expected else traceback.format_exc().strip().splitlines()[-1]
                send(self.connection, "failed", reason=reason[:500], out_of_memory=out_of_memory(error))

    def _load(self, head: dict[str, Any]) -> None:
        """Imports and makes the engine.

        Its compilation cache is an empty folder, so that every start compiles. GPU memory is allocated on demand, so
        that rows can share it, and kernels are deterministic, as in a worker.
        """
        os.environ["ASSAY_CACHE"] = head["cache"]
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        os.environ |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | environment_for(head["device"])
        self.recipe = recipes_of(head)[0][0]
        self.engine = load_contender(head["engine"], device=head["device"], threads=head["threads"])
        reason = self.engine.why_not(self.recipe)
        if reason:
            raise EngineError(reason)
        send(self.connection, "loaded")

    def _data(self) -> Prepared:
        return _prepared(self.recipe)

    def _certify(self, head: dict[str, Any]) -> None:
        """Sends the first losses in float64 and the weights after them, and the probes at the row's own precision."""
        content: dict[str, NDArray[np.float64]] = {}
        if head["iterations"]:
            content = self._in_float64(head["iterations"])
        numbers: dict[str, float] = {}
        if head["probes"]:
            numbers, arrays = Prober(self.engine, self._probe(self.recipe)).arrays()
            content |= {f"probe/{name}": array for name, array in arrays.items()}
        send(self.connection, "certified", numbers=numbers, content=save(content))

    def _in_float64(self, iterations: int) -> dict[str, NDArray[np.float64]]:
        """The first losses and the weights after them, with the recipe's own optimizer, in float64."""
        recipe = self.recipe.patched({"precision": "float64"})
        if reason := self.engine.why_not(recipe):
            raise EngineError(reason)
        training = Training([recipe], self.engine, _prepared(recipe))
        batches = make_batches(recipe.batches, training.cohort.seeds, 1, iterations, training.n)
        state, progress = self.engine.advance(training.state, batches, np.ones(1, np.bool_))
        weights = {name: np.ascontiguousarray(w, np.float64) for name, w in self.engine.export(state).weights.items()}
        return {**weights, "losses": progress.losses[0]}

    def _bound(self, head: dict[str, Any]) -> None:
        """Sends the bounds of the gradient of a recipe's first batch."""
        probe = self._probe(recipes_of(head)[0][0])
        limits = bounds(
            probe.recipe, probe.network, probe.weights, probe.first, arithmetic=ARITHMETIC[head["arithmetic"]]
        )
        send(self.connection, "bounded", whole=probe.whole, size=len(probe.first[1]), content=save(limits.arrays()))

    def _rates(self, head: dict[str, Any]) -> None:
        """Sends the rates of a device at a precision."""
        if os.environ.get("JAX_PLATFORMS") == "cpu":  # set when this process began as that of the reference
            del os.environ["JAX_PLATFORMS"]
        os.environ.update(environment_for(head["device"]))
        send(self.connection, "measured", rates=asdict(device_rates(head["device"], head["precision"])))

    def _probe(self, recipe: Recipe) -> Probe:
        data = _prepared(recipe)
        return Probe.of(recipe, recipe.model.network(data.shape, data.classes), data.x_train, data.y_train)

    def _begin(self, head: dict[str, Any]) -> None:
        """Passes the data to the engine, and evaluates the initial weights."""
        begin = perf_counter()
        data = self._data()
        self.training = Training([self.recipe], self.engine, data, data_seconds=perf_counter() - begin)
        data_seconds = perf_counter() - begin
        self._epochs = self._log_points()
        next(self._epochs)
        send(self.connection, "begun", data=data_seconds, compile=perf_counter() - begin - data_seconds)

    def _epoch(self, head: dict[str, Any]) -> None:
        """Trains to the next log point, which the recipe has after every epoch."""
        training = self.training
        before, points = replace(training.ledger), training.trials[0].points
        seen = points[-1].examples or 0
        next(self._epochs, None)
        trial, now = training.trials[0], training.ledger
        if trial.outcome is not None and trial.outcome != "completed":
            send(self.connection, "diverged", reason=trial.reason)
            return
        last = points[-1]
        send(
            self.connection,
            "trained",
            compile=now.compile - before.compile,  # the warm-up, before the first iteration
            batches=now.data - before.data,
            train=now.train - before.train,
            validate=now.evaluate - before.evaluate,
            examples=(last.examples or 0) - seen,
            loss=last.test_loss,
            accuracy=last.test_accuracy,
            r2=last.test_r2,
            rmse=last.test_rmse,
            foreign_so_far=training.foreign_seconds(),
            train_so_far=now.train,
            peak_memory_bytes=peak_memory(),
            peak_device_memory_bytes=self.engine.peak_device_memory(),
        )

    def _log_points(self) -> Generator[None]:
        """Trains; yields at every log point, and reports its progress to the driver in between."""
        reported = perf_counter()
        for status in self.training:
            if status.new_point:
                yield
                reported = perf_counter()
            elif perf_counter() - reported > _STATUS_SECONDS:
                reported = perf_counter()
                send(self.connection, "status", iteration=status.iteration, iterations=status.iterations)


def _prepared(recipe: Recipe) -> Prepared:
    return prepared(recipe, load(recipe.data.name, task=recipe.data.task))


def main(arguments: list[str]) -> None:
    """Runs a row on the socket whose descriptor is the first argument."""
    worker = RowWorker(Connection(int(arguments[0])))
    attend(worker.connection, worker.take, worker.serve)


if __name__ == "__main__":
    main(sys.argv[1:])
