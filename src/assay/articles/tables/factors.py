"""How much of the variance over all runs of a grid each factor explains, alone and with its interactions, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.articles.context import Context
from assay.articles.grids import GridPart, GridSample
from assay.articles.page import Figure, Table
from assay.errors import AssayError

_TITLE = "Which factors matter"


class Factors(GridPart):
    """One row per factor, the one that explains most first; only of a whole grid."""

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table; nothing of a sample."""
        grid = self.grid(context)
        return [factors_table(grid, self.axes(context))] if self.is_whole(context) else []


def factors_table(grid: GridSample, axes: Sequence[str]) -> Table:
    """The table of a whole grid."""
    values = _array(grid, axes)
    variance = float(values.var())
    if variance == 0:
        return Table((), [], _TITLE, "Not available: all runs have the same accuracy.")
    rows: list[tuple[float, list[str]]] = []
    for place, axis in enumerate(axes):
        others = tuple(i for i in range(len(axes)) if i != place)
        means = values.mean(axis=others)
        alone, total = float(means.var()) / variance, float(values.var(axis=place).mean()) / variance
        cells = [f"{100 * float(np.ptp(means)):.1f}", f"{100 * alone:.1f}", f"{100 * total:.1f}"]
        rows.append((total, [axis, *cells]))
    alone = sum(float(row[2]) for _, row in rows)
    note = (
        "Variance of the test accuracy over all runs, every combination with the same weight: the part that a factor "
        "explains alone, and the part that remains when all others are fixed, its interactions included. The factors "
        f"explain {alone:.1f} % one by one; the rest is interactions and the noise of one seed."
    )
    head = ("factor", "from the worst mean to the best [points]", "alone [%]", "with interactions [%]")
    return Table(head, [row for _, row in sorted(rows, key=lambda pair: -pair[0])], _TITLE, note)


def _array(grid: GridSample, axes: Sequence[str]) -> NDArray[np.float64]:
    """The accuracies of all runs, an axis of the array for each factor; the mean over the seeds."""
    runs = grid.unfolded()
    texts = [[str(value) for value in runs[axis].tolist()] for axis in axes]
    levels = [list(dict.fromkeys(column)) for column in texts]
    places = tuple(
        np.asarray([level.index(value) for value in column]) for level, column in zip(levels, texts, strict=True)
    )
    shape = tuple(map(len, levels))
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, places, runs["accuracy"].to_numpy(dtype=np.float64))
    np.add.at(count, places, 1)
    if not count.all():
        raise AssayError("a combination of the grid has no result")
    return total / count


__all__ = ["Factors", "factors_table"]
