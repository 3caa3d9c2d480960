"""Notes on a finished training whose result is plainly not what was meant, one sentence each.

They cost less than one evaluation of the test set, and most of them nothing unless they apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.prepare import Prepared
from assay.engines.arena import Arena
from assay.engines.numpy_layers import as_images, evaluated
from assay.parts.durations import iterations
from assay.parts.foreign_schedules import ForeignSchedule
from assay.parts.layers import Activate, Dropout, Network
from assay.parts.schedules import Constant, Exponential, Schedule, Step
from assay.recipe.model import Recipe
from assay.report.text import percent, short_percent
from assay.training.history import History, Point
from assay.training.outcome import Outcome

_VANISHED = 1e-6  # of the learning rate at the start
_SAMPLES = (32, 256)  # examples on which hidden units are looked at; the second only if half are dead on the first
_DEAD = 0.5  # fraction of the hidden units

Confusion = NDArray[np.int64]


def result_notes(history: History, data: Prepared, confusion: Callable[[], Confusion | None]) -> list[str]:
    """What is plainly wrong with the result of a training, one sentence each.

    Args:
        history: The finished training, with its weights.
        data: The data that it was trained on.
        confusion: Computes the confusion matrix (C, C) on the test set; called only where it is needed.
    """
    done = history.outcome in (Outcome.COMPLETED, Outcome.STOPPED) and history.iterations > 0
    if not done:
        return []
    notes = [*_disturbed(history), *schedule_notes(history.recipe, len(data.y_train), history.iterations)]
    notes += _answers(history, data, confusion)
    return notes + _dead_units(history, data)


# --- the schedule -----------------------------------------------------------------------------------------------------


def _disturbed(history: History) -> list[str]:
    """That foreign load took a part of a budget in seconds."""
    seconds, foreign = history.recipe.budget.seconds, history.load.foreign
    if seconds is None or foreign is None or not history.load.busy:
        return []
    return [
        f"busy machine: foreign load took {foreign:.3g} s of the {history.ledger.train:.3g} s of training, so that the "
        f"budget of {seconds:g} s made fewer iterations than it would alone"
    ]


def schedule_notes(recipe: Recipe, examples: int, done: int) -> list[str]:
    """Where the learning rate does not do what the schedule is for.

    Args:
        recipe: The recipe, with lengths in iterations.
        examples: The number of training examples.
        done: The number of iterations done.
    """
    timed = recipe.budget.seconds is not None
    schedule, budget = recipe.schedule, done if timed else recipe.iterations(examples)
    warm_up = iterations(schedule.warm_up)
    if warm_up >= budget:
        end = _rate_at_end(schedule, budget)
        return [f"schedule.warm_up takes {warm_up:,} iterations, but {_budget(recipe, budget)}: {end}"]
    if isinstance(schedule, Constant | ForeignSchedule):
        return []
    notes = _not_reached(schedule, warm_up, budget, in_words=_budget(recipe, budget))
    return notes or _vanished(schedule, warm_up, done)


def _budget(recipe: Recipe, iterations: int) -> str:
    seconds = recipe.budget.seconds
    return f"the budget is {iterations:,}" if seconds is None else f"the budget of {seconds:g} s made {iterations:,}"


def _not_reached(schedule: Schedule, warm_up: int, budget: int, *, in_words: str) -> list[str]:
    """That the budget ends before the horizon, or before a step schedule lowers the rate once."""
    name = "every" if isinstance(schedule, Step | Exponential) else "horizon"
    length = iterations(schedule.settings()[name])
    if isinstance(schedule, Exponential) or warm_up + length <= budget:
        return []
    after = f" after the warm-up of {warm_up:,}" if warm_up else ""
    return [
        f"schedule.{name} is never reached: it is {length:,} iterations{after}, but {in_words}: "
        f"{_rate_at_end(schedule, budget)}"
    ]


def _rate_at_end(schedule: Schedule, budget: int) -> str:
    factor = float(schedule.factors(budget, 1)[0])
    return f"the learning rate ends at {short_percent(factor, 3)} of its value"


def _vanished(schedule: Schedule, warm_up: int, done: int) -> list[str]:
    """That the rate is under a millionth of its start for most of the training. After the warm-up it never rises."""

    def factor(t: int) -> float:
        return float(schedule.factors(t, 1)[0])

    low, high = warm_up, done  # the rate is not vanished at `low`
    if factor(max(1, done // 2)) >= _VANISHED or done <= warm_up:
        return []
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if factor(middle) >= _VANISHED else (low, middle)
    fraction = percent((done - high + 1) / done)
    return [
        f"the learning rate is under 1e-6 of its start from iteration {high:,} on, for {fraction} of the {done:,} "
        f"iterations: check schedule.{'horizon' if 'horizon' in schedule.settings() else 'every'}"
    ]


# --- the answers ------------------------------------------------------------------------------------------------------


def _answers(history: History, data: Prepared, confusion: Callable[[], Confusion | None]) -> list[str]:
    """That the network is no better than naming the most frequent class of the test set, or the mean target."""
    if history.recipe.is_regression:
        return _no_better_than_mean(history.r2)
    notes = _majority(history.accuracy, np.bincount(data.y_test, minlength=data.classes), data.class_names)
    matrix = confusion() if notes else None
    if matrix is None or np.count_nonzero(matrix.sum(axis=0)) != 1:
        return notes
    only = data.class_names[int(matrix.sum(axis=0).argmax())]
    return [f"the network answers {only!r} for every one of the {len(data.y_test):,} test examples"]


def _no_better_than_mean(r2: float | None) -> list[str]:
    if r2 is None or r2 > 0:
        return []
    return [f"the test R2, {r2:.3g}, is not above 0, which always answering the mean of the test targets would give"]


def _majority(accuracy: float | None, counts: Sequence[int] | NDArray[np.int64], names: Sequence[str]) -> list[str]:
    """That an accuracy is not above that of the most frequent class; `counts`: test examples of each class."""
    largest = int(np.argmax(counts))
    fraction = float(counts[largest]) / float(np.sum(counts))
    if accuracy is None or accuracy > fraction + 1e-9:
        return []
    return [
        f"the test accuracy, {percent(accuracy)}, is not above the {percent(fraction)} that always answering "
        f"{names[largest]!r}, the most frequent class of the test set, would give"
    ]


def curve_notes(
    recipe: Recipe, examples: int, end: Point, *, test_counts: Sequence[int], names: Sequence[str]
) -> list[str]:
    """The notes on a training of which only the curve is known.

    Args:
        recipe: The recipe, with lengths in iterations.
        examples: The number of training examples.
        end: The last point of the curve.
        test_counts: The number of test examples of each class.
        names: The names of the classes.
    """
    if not end.iteration:
        return []
    schedule = schedule_notes(recipe, examples, end.iteration)
    if recipe.is_regression:
        return schedule + _no_better_than_mean(end.test_r2)
    return schedule + _majority(end.test_accuracy, test_counts, names)


# --- hidden units -----------------------------------------------------------------------------------------------------


def _dead_units(history: History, data: Prepared) -> list[str]:
    """That half of the relu units, or channels, are 0 for every example of a sample of the test set."""
    weights = history.checkpoint.weights
    if not weights:  # an external program need not save any
        return []
    network = history.recipe.model.network(data.shape, data.classes)
    if not any(_is_relu(layer) for layer in network.layers):
        return []
    arrays = {name: w[0] for name, w in weights.items()}
    dead, units, x = 0, 1, data.x_test
    for most in _SAMPLES:
        x = data.x_test[:: -(-len(data.x_test) // most)]
        dead, units = _dead(network, arrays, x)
        if dead < _DEAD * units:  # with more examples there are only fewer
            return []
    return [f"{dead:,} of {units:,} hidden relu units are dead: 0 for each of {len(x):,} test examples"]


def _dead(network: Network, weights: dict[str, NDArray[Any]], x: NDArray[Any]) -> tuple[int, int]:
    """How many relu units are never above 0, and how many there are; a channel of a convolution is a unit."""
    arena = Arena()
    w = {name: np.asarray(weights[name], np.float64) for name in network.arrays}
    running = {name: w[name] for name in network.buffers}
    dead = units = 0
    with np.errstate(all="ignore"):
        a: Any = as_images(arena.wrap(np.asarray(x, np.float64)), network)
        for number, layer in network.numbered():
            if isinstance(layer, Dropout):
                continue
            a = evaluated(layer, number, arena, w, running, a)
            if _is_relu(layer):
                highest = np.asarray(a).reshape(-1, a.shape[-1]).max(axis=0)
                dead, units = dead + int(np.count_nonzero(highest <= 0)), units + len(highest)
    return dead, units


def _is_relu(layer: object) -> bool:
    return isinstance(layer, Activate) and layer.function == "relu"
