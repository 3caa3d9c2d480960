"""Plain NumPy: the matrix form, and the example-by-example form of a first network from scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.problem import CHECKED, Problem


def sigmoid(z: NDArray[Any]) -> NDArray[Any]:
    """1 / (1 + exp(-z))"""
    return 1.0 / (1.0 + np.exp(-z))


class NumpyMatrix:
    """Sigmoid layers under the quadratic loss with plain gradient descent, one batch at a time."""

    name = "numpy, matrix form"

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem, self.threads = problem, threads
        self.unit_per_call = 1
        self.onehot = np.eye(problem.data.classes)[problem.y]
        self.batches = problem.indices(1, problem.iterations)
        self._fresh()

    def _fresh(self) -> None:
        count = len(self.problem.cohort.network.dense)
        self.w = [self.problem.weights[f"{i}.weight"].copy() for i in range(count)]
        self.b = [self.problem.weights[f"{i}.bias"].copy() for i in range(count)]

    def _gradients(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, list[Any], list[Any]]:
        values = [x]
        for w, b in zip(self.w, self.b, strict=True):
            values.append(sigmoid(values[-1] @ w + b))
        e = values[-1] - y
        d, gw, gb = e * values[-1] * (1.0 - values[-1]), [], []
        for i in reversed(range(len(self.w))):
            gw.append(values[i].T @ d)
            gb.append(d.sum(0))
            if i:
                d = (d @ self.w[i].T) * values[i] * (1.0 - values[i])
        return 0.5 * float((e * e).sum()), gw[::-1], gb[::-1]

    def _step(self, batch: Any) -> float:
        x, y = self.problem.x[batch], self.onehot[batch]
        loss, gw, gb = self._gradients(x, y)
        rate = self.problem.recipe.optimizer.learning_rate / len(x)
        for w, b, dw, db in zip(self.w, self.b, gw, gb, strict=True):
            w -= rate * dw
            b -= rate * db
        return loss / len(x)

    def check(self) -> NDArray[np.float64]:
        """The first losses."""
        losses = np.array([self._step(batch) for batch in self.problem.indices(1, CHECKED)])
        self._fresh()
        return losses

    def run(self) -> None:
        """Continues training."""
        with threadpool_limits(self.threads):
            for batch in self.batches:
                self._step(batch)


class NumpySamples(NumpyMatrix):
    """The same, one example at a time, with gradients summed over the batch."""

    name = "numpy, per sample"

    def _step(self, batch: Any) -> float:
        x, y = self.problem.x[batch], self.onehot[batch]
        total, sums = 0.0, None
        for i in range(len(x)):
            loss, gw, gb = self._gradients(x[i : i + 1], y[i : i + 1])
            total += loss
            sums = (
                [gw, gb]
                if sums is None
                else [[a + b for a, b in zip(s, g, strict=True)] for s, g in zip(sums, (gw, gb), strict=True)]
            )
        assert sums is not None
        rate = self.problem.recipe.optimizer.learning_rate / len(x)
        for w, b, dw, db in zip(self.w, self.b, *sums, strict=True):
            w -= rate * dw
            b -= rate * db
        return total / len(x)
