"""Gradient-descent variants: which training examples each iteration sees.

Batch i is a pure function of (seed, i): it does not depend on how a training was chunked, resumed or put in a cohort.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from assay.parts.part import Count, Part, Unit, table_of
from assay.rng import stream

Rows = NDArray[np.int32]
Size = Annotated[Count, Unit("examples")]


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of k consecutive iterations, in one of three forms.

    `rows` (S, k, B): the examples of each batch, B the size of the largest; `starts` (S, k): the first row of a
    contiguous run; neither: the full training set. S is 1 if every trial of the cohort has the same batches, else T.
    `sizes` (k,): the number of examples of each batch. `first`: the iteration count of the first one, from 1.
    """

    first: int
    sizes: NDArray[np.int32]
    rows: Rows | None = None
    starts: Rows | None = None

    @property
    def count(self) -> int:
        """k, the number of iterations."""
        return len(self.sizes)


class Full(Part):
    """Batch gradient descent: every iteration sees all N training examples."""

    kind: Literal["full"] = "full"

    def width(self, examples: int) -> int:
        """B, the number of examples of a full-sized batch."""
        return examples

    def make(self, seed: int, first: int, count: int, examples: int) -> Batches:
        """The batches of iterations first ... first + count - 1 (from 1) for N `examples`, with S = 1."""
        return Batches(first, np.full(count, examples, np.int32))


class Single(Part):
    """Stochastic gradient descent: every iteration sees one uniformly random example."""

    kind: Literal["single"] = "single"

    def width(self, examples: int) -> int:
        return 1

    def make(self, seed: int, first: int, count: int, examples: int) -> Batches:
        rows = stream(seed, "batches").integers(examples, count, start=first - 1)
        return Batches(first, np.ones(count, np.int32), rows=rows.astype(np.int32).reshape(1, count, 1))


class Window(Part):
    """The articles' mini-batch: a contiguous run of `size` examples at a uniformly random position.

    Attributes:
        size: Examples per batch.
    """

    kind: Literal["window"] = "window"
    size: Size = 100

    def width(self, examples: int) -> int:
        return self.size

    def make(self, seed: int, first: int, count: int, examples: int) -> Batches:
        starts = stream(seed, "batches").integers(examples - self.size + 1, count, start=first - 1)
        return Batches(first, np.full(count, self.size, np.int32), starts=starts.astype(np.int32).reshape(1, count))


class Replacement(Part):
    """Every iteration sees `size` examples drawn with replacement.

    Attributes:
        size: Examples per batch.
    """

    kind: Literal["replacement"] = "replacement"
    size: Size = 100

    def width(self, examples: int) -> int:
        return self.size

    def make(self, seed: int, first: int, count: int, examples: int) -> Batches:
        rows = stream(seed, "batches").integers(examples, count * self.size, start=(first - 1) * self.size)
        sizes = np.full(count, self.size, np.int32)
        return Batches(first, sizes, rows=rows.astype(np.int32).reshape(1, count, self.size))


@lru_cache(maxsize=64)  # chunks are shorter than epochs, and trials with the same seed share their permutations
def _permutation(seed: int, epoch: int, examples: int) -> Rows:
    return stream(seed, "shuffle", epoch).permutation(examples).astype(np.int32)


class Shuffled(Part):
    """Epochs of a random permutation, split into batches of `size`; the last batch of an epoch may be smaller.

    Attributes:
        size: Examples per batch.
    """

    kind: Literal["shuffled"] = "shuffled"
    size: Size = 32

    def width(self, examples: int) -> int:
        return min(self.size, examples)

    def make(self, seed: int, first: int, count: int, examples: int) -> Batches:
        per_epoch = -(-examples // self.size)
        epochs, within = np.divmod(np.arange(first - 1, first - 1 + count), per_epoch)
        padded = np.zeros((int(epochs[-1] - epochs[0]) + 1, per_epoch * self.size), np.int32)
        for row, epoch in zip(padded, range(int(epochs[0]), int(epochs[-1]) + 1), strict=True):
            row[:examples] = _permutation(seed, epoch, examples)
        rows = padded.reshape(-1, per_epoch, self.size)[epochs - epochs[0], within]
        sizes = np.minimum(self.size, examples - within * self.size).astype(np.int32)
        return Batches(first, sizes, rows=rows[None, :, : self.width(examples)])


class Ordered(Part):
    """Epochs in the order of the data, split into batches of `size`; the last batch of an epoch may be smaller.

    Attributes:
        size: Examples per batch.
    """

    kind: Literal["sequential"] = "sequential"
    size: Size = 32

    def width(self, examples: int) -> int:
        return min(self.size, examples)

    def make(self, seed: int, first: int, count: int, examples: int) -> Batches:
        starts = self.size * (np.arange(first - 1, first - 1 + count) % -(-examples // self.size))
        sizes = np.minimum(self.size, examples - starts).astype(np.int32)
        rows = np.minimum(starts[:, None] + np.arange(self.width(examples)), examples - 1).astype(np.int32)
        return Batches(first, sizes, rows=rows[None])


BatchKind = Full | Single | Window | Shuffled | Replacement | Ordered
BATCHES = table_of(Full, Single, Window, Shuffled, Replacement, Ordered, tag="kind")


def make_batches(kind: BatchKind, seeds: tuple[int, ...], first: int, count: int, examples: int) -> Batches:
    """The batches of a cohort: one set if all seeds are equal, else one set for each trial."""
    if len(set(seeds)) == 1 or isinstance(kind, Full | Ordered):
        return kind.make(seeds[0], first, count, examples)
    each = [kind.make(seed, first, count, examples) for seed in seeds]
    rows = [b.rows for b in each if b.rows is not None]
    starts = [b.starts for b in each if b.starts is not None]
    return Batches(
        first,
        each[0].sizes,
        rows=np.concatenate(rows) if rows else None,
        starts=np.concatenate(starts) if starts else None,
    )


def iterations_per_epoch(kind: BatchKind, examples: int) -> float:
    """Iterations until N examples have been seen; a whole number where the last batch of an epoch is smaller."""
    if isinstance(kind, Shuffled | Ordered):
        return -(-examples // kind.size)
    return examples / kind.width(examples)


def examples_seen(kind: BatchKind, iterations: int, examples: int) -> int:
    """The total number of examples in the first `iterations` batches."""
    if isinstance(kind, Shuffled | Ordered):
        epochs, rest = divmod(iterations, -(-examples // kind.size))
        return epochs * examples + rest * kind.size
    return iterations * kind.width(examples)
