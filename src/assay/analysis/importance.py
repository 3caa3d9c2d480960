"""How much of the variance each axis explains, by a random forest over the trials, balanced or not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.frames import measured, need, numbers
from assay.analysis.quantities import MEASURES, TEST_SCORE
from assay.errors import AssayError, unknown

Floats = NDArray[np.float64]
Leaves = tuple[Floats, list[Floats]]  # the value of each leaf, and for each axis which of its values lie in it (0 or 1)


def importance(
    trials: pd.DataFrame, axes: Sequence[str], *, measure: str = TEST_SCORE.column, trees: int = 64, seed: int = 0
) -> pd.DataFrame:
    """The share of the variance that each axis explains alone, and each two axes together beyond that.

    A random forest is fitted to the finished trials; of each tree, the variance over all combinations of the values
    seen is split exactly: V_a = Var(E[y | a]), V_ab = Var(E[y | a, b]) - V_a - V_b, divided by Var(y). The shares are
    means over the trees, with their standard deviation. Every value of an axis weighs the same. What a tree cannot
    see (the noise of seeds) is in no share; interactions of three axes and more are what the sum lacks of 1.

    Columns: term ("model", "model x optimizer"), share, share_sd, n (trials); the greatest share first.

    Raises AssayError without an axis, with fewer than two trials with a number, and if nothing varies.
    Source: Hutter, Hoos, Leyton-Brown, "An efficient approach for assessing hyperparameter importance" (2014).
    """
    from sklearn.ensemble import RandomForestRegressor

    if measure not in MEASURES:
        raise AssayError(unknown("measure", measure, MEASURES))
    if not axes:
        raise AssayError("there is no axis to analyse")
    need(trials, [*axes, "outcome", measure])
    some = measured(trials, measure)
    y = numbers(some, measure)
    if y.size < 2 or float(np.ptp(y)) == 0:
        raise AssayError(f"{y.size} trials with a number for {measure!r} show no variation to explain")
    codes, sizes = _codes(some, axes)
    forest = RandomForestRegressor(n_estimators=trees, random_state=seed, n_jobs=1)
    forest.fit(codes, y)
    shares = [found for tree in forest.estimators_ if (found := _shares(_leaves(tree.tree_, sizes), sizes)) is not None]
    if not shares:
        raise AssayError(f"the axes {', '.join(axes)} explain no variation of {measure!r}")
    pairs = [f"{a} x {b}" for a, b in itertools.combinations(axes, 2)]
    table = pd.DataFrame(
        {"term": [*axes, *pairs], "share": np.mean(shares, axis=0), "share_sd": np.std(shares, axis=0), "n": y.size}
    )
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def _codes(trials: pd.DataFrame, axes: Sequence[str]) -> tuple[Floats, list[int]]:
    """The rank of each trial's value among those of the axis, (trials, axes), and how many values each axis has."""
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
    """The boxes into which a fitted tree of scikit-learn cuts the combinations of values."""
    values: list[float] = []
    boxes: list[list[Floats]] = []
    left, right, feature, threshold, value = (
        getattr(tree, name).tolist() for name in ("children_left", "children_right", "feature", "threshold", "value")
    )
    open_nodes: list[tuple[int, list[Floats]]] = [(0, [np.ones(size) for size in sizes])]
    while open_nodes:
        node, box = open_nodes.pop()
        if left[node] < 0:
            values.append(float(value[node][0][0]))
            boxes.append(box)
            continue
        axis = feature[node]
        below = (np.arange(sizes[axis]) <= threshold[node]).astype(np.float64)
        for child, half in ((left[node], below), (right[node], 1.0 - below)):
            open_nodes.append((child, [*box[:axis], box[axis] * half, *box[axis + 1 :]]))
    return np.asarray(values), [np.stack([box[axis] for box in boxes]) for axis in range(len(sizes))]


def _shares(leaves: Leaves, sizes: Sequence[int]) -> list[float] | None:
    """The shares of each axis and of each two; None if the tree is one leaf."""
    values, masks = leaves
    parts = [mask.mean(axis=1) for mask in masks]  # of the axis, in each leaf
    weighted = values * np.prod(parts, axis=0)
    mean = float(weighted.sum())
    total = float(weighted @ values) - mean**2
    if values.size < 2 or total <= 0:
        return None
    alone = [float(np.mean(((weighted / part) @ mask - mean) ** 2)) for part, mask in zip(parts, masks, strict=True)]
    both: list[float] = []
    for i, j in itertools.combinations(range(len(sizes)), 2):
        joint = (masks[i] * (weighted / (parts[i] * parts[j]))[:, None]).T @ masks[j]  # (values of i, values of j)
        both.append(float(np.mean((joint - mean) ** 2)) - alone[i] - alone[j])
    return [share / total for share in (*alone, *both)]
