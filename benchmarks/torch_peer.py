"""PyTorch as a competent user writes it: data in memory, no DataLoader, the optimizers' fastest flags."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import nn

from benchmarks.problem import CHECKED, Problem

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def network(problem: Problem) -> nn.Sequential:
    """The model, with the problem's weights."""
    element = torch.float64 if problem.recipe.precision == "float64" else torch.float32
    model, layers = problem.recipe.model, []
    dense = problem.cohort.network.dense
    for i, layer in enumerate(dense):
        linear = nn.Linear(layer.inputs, layer.units, dtype=element)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(problem.weights[f"{i}.weight"].T))
            linear.bias.copy_(torch.from_numpy(problem.weights[f"{i}.bias"]))
        layers.append(linear)
        if i < len(dense) - 1:
            layers.append(ACTIVATIONS[model.activation]())
    if model.output == "sigmoid":
        layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)  # softmax and log-softmax are in the loss


def loss_of(problem: Problem) -> Any:
    """The loss from the network's values and the labels' one-hot form or numbers."""
    if problem.recipe.loss == "mse":
        return lambda a, y, numbers: F.mse_loss(a, y)
    if problem.recipe.loss == "quadratic":
        return lambda a, y, numbers: 0.5 * F.mse_loss(a, y, reduction="sum") / len(a)
    return lambda a, y, numbers: F.cross_entropy(a, numbers)


def optimizer_of(problem: Problem, parameters: Any) -> torch.optim.Optimizer:
    """The optimizer with the flags that were fastest on a CPU."""
    kind = problem.recipe.optimizer
    if kind.name == "descent":
        return torch.optim.SGD(parameters, lr=kind.learning_rate, fused=True)
    if kind.name == "adam":
        return torch.optim.Adam(parameters, lr=kind.learning_rate, fused=True)
    return torch.optim.Adadelta(parameters, lr=kind.learning_rate, rho=kind.decay, eps=kind.epsilon, foreach=True)


class TorchEager:
    """The plain training loop."""

    name = "torch eager"

    def __init__(self, problem: Problem, threads: int, *, compiled: bool = False) -> None:
        self.problem, self.threads = problem, threads
        self.unit_per_call = 1 if problem.evaluates else problem.iterations
        self.x, self.numbers = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
        self.y = F.one_hot(self.numbers, problem.data.classes).to(self.x.dtype)
        self.x_test, self.y_test = torch.from_numpy(problem.data.x_test), torch.from_numpy(problem.data.y_test)
        self.loss = loss_of(problem)
        self.compiled = compiled
        if compiled:
            self.name = "torch.compile"
        self._fresh()
        self.places = self._places(problem.indices(1, problem.iterations))
        self._train(self.places[:3])

    def _places(self, indices: list[Any]) -> list[Any]:
        return [i if isinstance(i, slice) else torch.from_numpy(i) for i in indices]

    def _fresh(self) -> None:
        torch.set_num_threads(self.threads)
        model = network(self.problem)
        self.optimizer = optimizer_of(self.problem, model.parameters())
        self.model = model
        self.forward = lambda x, y, numbers: self.loss(model(x), y, numbers)
        if self.compiled:
            self.forward = torch.compile(self.forward)

    def _train(self, places: list[Any], losses: list[float] | None = None) -> None:
        x, y, numbers, optimizer, forward = self.x, self.y, self.numbers, self.optimizer, self.forward
        for place in places:
            loss = forward(x[place], y[place], numbers[place])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if losses is not None:
                losses.append(float(loss))

    def check(self) -> NDArray[np.float64]:
        """The first losses."""
        self._fresh()
        losses: list[float] = []
        self._train(self._places(self.problem.indices(1, CHECKED)), losses)
        self._fresh()
        self._train(self.places[:3])
        return np.array(losses)

    def run(self) -> None:
        """Goes on training."""
        torch.set_num_threads(self.threads)
        self._train(self.places)
        if self.problem.evaluates:
            with torch.no_grad():
                float((self.model(self.x_test).argmax(1) == self.y_test).sum())
