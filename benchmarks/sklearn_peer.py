"""scikit-learn's MLPClassifier, for the models it supports: relu units, softmax, Adam or SGD, shuffled batches."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.problem import Problem


class Sklearn:
    """One epoch per call. It draws its own weights and batches, so losses are not compared."""

    name = "scikit-learn"

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem, self.threads = problem, threads
        recipe = problem.recipe
        size = recipe.batches.width(len(problem.y))
        self.unit_per_call = -(-len(problem.y) // size)
        self.model = MLPClassifier(
            tuple(recipe.model.hidden),
            activation="relu",
            solver="adam" if recipe.optimizer.name == "adam" else "sgd",
            momentum=0.0,
            alpha=0.0,
            batch_size=size,
            learning_rate_init=recipe.optimizer.learning_rate,
            max_iter=1,
            warm_start=True,
            random_state=1,
        )

    def check(self) -> None:
        """There are no comparable losses."""

    def run(self) -> None:
        """One epoch."""
        with threadpool_limits(self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.problem.x, self.problem.y)
