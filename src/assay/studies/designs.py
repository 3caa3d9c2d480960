"""Designs: which combinations of the axes' values a study trains."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from assay.rng import stream
from assay.studies.space import Axis, Value

Configuration = Mapping[str, Value]
"""Axis -> value; an axis that is not in it stays at the baseline."""


def one_at_a_time(axes: Sequence[Axis], draws: int, seed: int) -> Iterator[Configuration]:
    """The baseline, then each value of each axis on its own."""
    yield {}
    for axis in axes:
        for value in axis.values:
            yield {axis.name: value}


def grid(axes: Sequence[Axis], draws: int, seed: int) -> Iterator[Configuration]:
    """Every combination of values; the last axis varies fastest."""
    for values in itertools.product(*(axis.values for axis in axes)):
        yield {axis.name: value for axis, value in zip(axes, values, strict=True)}


def random(axes: Sequence[Axis], draws: int, seed: int) -> Iterator[Configuration]:
    """Independent draws. Draw i of an axis depends only on (seed, axis, i), so more draws keep the first ones.

    Source: Bergstra and Bengio, "Random search for hyper-parameter optimization" (JMLR 2012).
    """
    names = [axis.name for axis in axes]
    drawn = [axis.draws(stream(seed, f"design/{axis.name}"), draws) for axis in axes]
    for values in zip(*drawn, strict=True):
        yield dict(zip(names, values, strict=True))


def search(axes: Sequence[Axis], draws: int, seed: int) -> Iterator[Configuration]:
    """None: the configurations of a search are decided while it runs (`studies.search`)."""
    return iter(())


Design = Callable[[Sequence[Axis], int, int], Iterator[Configuration]]

DESIGNS: dict[str, Design] = {
    "one-at-a-time": one_at_a_time,
    "grid": grid,
    "random": random,
    "list": one_at_a_time,  # its trials are the values of one axis; the study skips the baseline
    "search": search,
}
