"""Hyperparameter importance: the fraction of the variance that each axis explains, by functional ANOVA on a forest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import factorized, need, numbers
from assay.analysis.quantities import MEASURES, ranked_by
from assay.analysis.seeds import with_counted
from assay.errors import AssayError, unknown
from assay.rng import stream
from assay.system.machine import usable_cores

Floats = NDArray[np.float64]
Leaves = tuple[Floats, list[Floats]]  # the value of each leaf (L,); for each axis, which of its values it holds (L, V)


def importance(
    trials: pd.DataFrame, axes: Sequence[str], *, measure: str | None = None, trees: int = 64, seed: int = 0
) -> pd.DataFrame:
    """The fraction of the variance that each axis explains alone, and that each two axes explain by their interaction.

    A random forest is fitted to the finished trials. For each tree, the variance over all combinations of the observed
    values is decomposed exactly: V_a = Var(E[y | a]), V_ab = Var(E[y | a, b]) - V_a - V_b, divided by Var(y). The
    result is the mean over the trees with its standard deviation. All values of an axis have equal weight. The noise
    of the seeds is in no fraction, because a tree does not model it: the fractions are of what the forest explains. The
    interactions of three axes and more are what the sum lacks of 1. The trials need not form a balanced grid. Those
    that diverged or timed out count by the rule of `assay.analysis.seeds`.

    How much the forest explains is its R^2 on the trials that a tree has not seen (out of bag). The table is empty
    where this is not above what noise gives: the largest R^2 of 19 forests that are fitted to the numbers permuted
    within each repeat, so that without an effect the chance of a table is 5 %.

    Columns: term ("model", "model x optimizer"), share (the fraction), share_sd, n (trials), explained (R^2 out of bag,
    one number for all rows); in descending order. `.attrs` holds explained and noise, the largest R^2 of the permuted
    ones.

    Raises AssayError without an axis, with fewer than two trials with a number, and if nothing varies.
    Source: Hutter, Hoos, Leyton-Brown, "An efficient approach for assessing hyperparameter importance" (2014);
    Breiman, "Random forests" (2001), section 3.1, for the error out of bag.
    """
    measure = ranked_by(trials).column if measure is None else measure
    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    if not axes:
        raise AssayError("there is no axis to analyse")
    need(trials, [*axes, "outcome", measure])
    finished = with_counted(trials, measure)
    y = numbers(finished, measure)
    if not np.isfinite(y).all():
        raise AssayError(f"a trial that diverged or timed out has no {measure!r}, so there is no variance to explain")
    if y.size < 2 or float(np.ptp(y)) == 0:
        raise AssayError(f"{y.size} trials with a number for {measure!r} show no variation to explain")
    codes, sizes = _codes(finished, axes)
    cells, cell_of = np.unique(codes, axis=0, return_inverse=True)
    forest = _forest(cells, cell_of.ravel(), y, trees=trees, seed=seed)
    of_trees = [_fractions(_leaves(grown.tree, sizes), sizes) for grown in forest]
    fractions = [of_tree for of_tree in of_trees if of_tree is not None]  # (trees, terms)
    if not fractions:
        raise AssayError(f"the axes {', '.join(axes)} explain no variation of {measure!r}")
    few = min(trees, _NOISE_TREES)
    explained = _explained(forest[:few], y)
    noise = _noise(cells, cell_of.ravel(), y, _repeats(finished), trees=few, seed=seed)
    terms = [*axes, *(f"{a} x {b}" for a, b in itertools.combinations(axes, 2))]
    means, deviations = np.mean(fractions, axis=0), np.std(fractions, axis=0)
    table = pd.DataFrame({"term": terms, "share": means, "share_sd": deviations, "n": y.size, "explained": explained})
    table = table.sort_values("share", ascending=False, kind="stable", ignore_index=True)
    table = table if explained > noise else table.iloc[:0]
    table.attrs = {"explained": explained, "noise": noise}
    return table


PERMUTATIONS = 19  # the largest of 19 has a chance of 1 in 20 to be exceeded by a twentieth of the same kind
_NOISE_TREES = 32  # of a forest that is fitted to permuted numbers, and of that which is compared with them


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree, and how it sees the trials."""

    tree: Any  # sklearn.tree._tree.Tree
    unseen: NDArray[np.bool_]  # the trials that were not drawn for it, (trials,)
    predicted: Floats  # (trials,)


def _forest(cells: Floats, cell_of: NDArray[np.int64], y: Floats, *, trees: int, seed: int) -> list[_Tree]:
    """A random forest on trials drawn with replacement, from one row for each combination of values.

    Trials of equal values are one row with their mean and their number as its weight: the tree is that of all trials,
    since a split compares sums over them, and a study has several seeds of each configuration.

    Args:
        cells: The combinations of values, (combinations, axes).
        cell_of: Which of them each trial has, (trials,).
        y: The number of each trial, (trials,).
        trees: The number of trees; the first of them are those of a smaller forest.
        seed: The seeds of the trees are drawn from it.
    """
    from sklearn.tree import DecisionTreeRegressor

    single = np.ascontiguousarray(cells, dtype=np.float32)  # what trees of scikit-learn read

    def grown(number: int) -> _Tree:
        words = stream(seed, "tree of an importance", number)
        drawn = np.bincount(words.integers(y.size, y.size), minlength=y.size)
        weights = np.bincount(cell_of, weights=drawn, minlength=len(cells))
        seen = np.flatnonzero(weights)
        means = np.bincount(cell_of, weights=drawn * y, minlength=len(cells))[seen] / weights[seen]
        tree = DecisionTreeRegressor(random_state=int(words.integers(2**31, 1, start=y.size)[0]))
        fitted = tree.fit(single[seen], means, sample_weight=weights[seen], check_input=False).tree_
        return _Tree(fitted, drawn == 0, fitted.predict(single)[cell_of, 0])

    with ThreadPoolExecutor(len(usable_cores())) as threads:  # which changes no result: each tree has its own draws
        return list(threads.map(grown, range(trees)))


def _explained(forest: Sequence[_Tree], y: Floats) -> float:
    """R^2 of a forest on the trials that its trees have not seen (out of bag); each trial needs one such tree."""
    unseen = np.stack([tree.unseen for tree in forest])
    counts = unseen.sum(axis=0)
    seen = counts > 0
    sums = np.sum(np.stack([tree.predicted for tree in forest]), axis=0, where=unseen)
    error = float(np.mean((y[seen] - sums[seen] / counts[seen]) ** 2)) if seen.any() else math.inf
    return 1.0 - error / float(np.var(y))


def _noise(
    cells: Floats, cell_of: NDArray[np.int64], y: Floats, repeats: NDArray[np.int64], *, trees: int, seed: int
) -> float:
    """The largest R^2 of forests fitted to the numbers permuted within each repeat."""
    largest = -math.inf
    for number in range(PERMUTATIONS):
        permuted = y.copy()
        for repeat in range(int(repeats.max()) + 1):
            places = np.flatnonzero(repeats == repeat)
            order = stream(seed, "permutation of an importance", number * 100_003 + repeat).permutation(places.size)
            permuted[places] = y[places[order]]
        largest = max(largest, _explained(_forest(cells, cell_of, permuted, trees=trees, seed=seed), permuted))
    return largest


def _repeats(trials: pd.DataFrame) -> NDArray[np.int64]:
    """The number of each trial's repeat; a frame without repeats is one."""
    values = trials["repeat"].tolist() if "repeat" in trials.columns else [0] * len(trials)
    return factorized([str(value) for value in values])[0]


def _codes(trials: pd.DataFrame, axes: Sequence[str]) -> tuple[Floats, list[int]]:
    """The rank of each trial's value among the values of the axis (trials, axes), and the number of values per axis."""
    columns: list[list[int]] = []
    sizes: list[int] = []
    for axis in axes:
        raw: list[object] = trials[axis].tolist()
        try:
            values = np.unique(np.asarray(raw, dtype=np.float64), return_inverse=True)
        except (TypeError, ValueError):
            values = np.unique(np.asarray([str(value) for value in raw]), return_inverse=True)
        columns.append(values[1].tolist())
        sizes.append(values[0].size)
    return np.asarray(columns, dtype=np.float64).T, sizes


def _leaves(tree: Any, sizes: Sequence[int]) -> Leaves:
    """The boxes into which a fitted tree of scikit-learn partitions the combinations of values, from the right.

    Each box holds the ranks from `low` to below `high` of each axis; a node gets its box from its parent, all nodes of
    a depth at once.
    """
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    low = np.zeros((left.size, len(sizes)), dtype=np.int64)
    high = np.tile(np.asarray(sizes, dtype=np.int64), (left.size, 1))
    nodes = np.zeros(1, dtype=np.int64)
    while (nodes := nodes[left[nodes] >= 0]).size:
        below, above, axis = left[nodes], right[nodes], feature[nodes]
        for children in (below, above):
            low[children], high[children] = low[nodes], high[nodes]
        border = np.floor(tree.threshold[nodes]).astype(np.int64) + 1
        high[below, axis] = np.minimum(high[below, axis], border)
        low[above, axis] = np.maximum(low[above, axis], border)
        nodes = np.concatenate([below, above])
    leaves = np.flatnonzero(left < 0)[::-1]
    masks = [
        ((np.arange(size) >= low[leaves, axis, None]) & (np.arange(size) < high[leaves, axis, None])).astype(np.float64)
        for axis, size in enumerate(sizes)
    ]
    return np.asarray(tree.value[leaves, 0, 0], dtype=np.float64), masks


def _fractions(leaves: Leaves, sizes: Sequence[int]) -> list[float] | None:
    """The fraction of the variance of each axis and of each pair of axes; None if the tree is one leaf."""
    values, masks = leaves
    parts = [mask.mean(axis=1) for mask in masks]  # the part of the axis that each leaf covers, (L,) per axis
    weighted = values * np.prod(parts, axis=0)
    mean = float(weighted.sum())
    total = float(weighted @ values) - mean**2
    if values.size < 2 or total <= 0:
        return None
    main = [float(np.mean(((weighted / part) @ mask - mean) ** 2)) for part, mask in zip(parts, masks, strict=True)]
    interactions: list[float] = []
    for i, j in itertools.combinations(range(len(sizes)), 2):
        joint = (masks[i] * (weighted / (parts[i] * parts[j]))[:, None]).T @ masks[j]  # (values of i, values of j)
        interactions.append(float(np.mean((joint - mean) ** 2)) - main[i] - main[j])
    return [variance / total for variance in (*main, *interactions)]
