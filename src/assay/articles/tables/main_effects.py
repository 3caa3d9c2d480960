"""The effect of each value of each factor of a grid, and what a sample had said of it."""

from __future__ import annotations

from typing import Any

from assay.articles.context import Context
from assay.articles.grids import GridPart, GridSample, effect_cell, effects_of
from assay.articles.measurements import percent_cell
from assay.articles.page import Figure, Table
from assay.errors import AssayError

_TITLE = "Main effects"
_ADJUSTED = (
    "Adjusted: means in a model with an effect for each value and no interactions, fitted to the trajectories with the "
    "weights of their strata, and evaluated with every other factor balanced; 95 % intervals. The plain mean is "
    "weighted too, but includes the effects of the values that a value was sampled with. Epochs are compared within "
    "each trajectory. Where an interval contains 0, this sample shows no significant effect."
)
_ROUNDING = 1e-9


class MainEffects(GridPart):
    """One row per value of each factor: of a sample with its interval, of the whole grid next to a sample of it.

    Attributes:
        sample: The fraction of the trajectories of the sample that the whole grid is compared with.
    """

    title: str = _TITLE
    sample: float = 0.05

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        grid = self.grid(context)
        if self.is_whole(context):
            return [compared_effects(grid, grid.part(self.sample), self.sample)]
        return [sampled_effects(grid)]


def sampled_effects(sample: GridSample) -> Table:
    """The effects that a sample shows. Raises: AssayError where it is too small."""
    rows = [
        [
            str(row["axis"]),
            sample.value_label(str(row["axis"]), str(row["value"])),
            effect_cell(row),
            percent_cell(float(row["plain"])),
            str(row["n"]),
        ]
        for row in effects_of(sample).to_dict("records")
    ]
    head = ("factor", "value", "adjusted, against the mean of all [points]", "plain mean [%]", "trajectories")
    return Table(head, rows, _TITLE, _ADJUSTED)


def compared_effects(grid: GridSample, sample: GridSample, fraction: float) -> Table:
    """The effects in the whole grid, and what a sample of this fraction had said of each."""
    try:
        guesses: dict[tuple[str, str], Any] = {
            (str(row["axis"]), str(row["value"])): row for row in effects_of(sample).to_dict("records")
        }
    except AssayError:  # too few to distinguish the factors
        guesses = {}
    rows: list[list[str]] = []
    inside = 0
    for row in effects_of(grid).to_dict("records"):
        axis, value, effect = str(row["axis"]), str(row["value"]), float(row["effect"])
        cells = [axis, grid.value_label(axis, value), percent_cell(float(row["plain"])), f"{100 * effect:+.1f}"]
        if guess := guesses.get((axis, value)):
            is_inside = contains((float(guess["low"]), float(guess["high"])), effect)
            inside += is_inside
            rows.append([*cells, effect_cell(guess), "contained" if is_inside else "missed"])
        else:
            rows.append([*cells, "-", "-"])
    note = (
        f"Means over all runs with the value. The sample: the same trainings that `--sample {fraction:g}` trains, "
        f"{len(sample.jobs):,} of {len(grid.jobs):,}, read as if the others did not exist: 95 % intervals of a model "
        "without interactions."
    )
    if guesses:
        note += f" {inside} of {len(guesses)} intervals contain the effect."
    head = ("factor", "value", "mean [%]", "against the mean of all [points]", "the sample had said [points]", "it")
    return Table(head, rows, _TITLE, note)


def contains(limits: tuple[float, float], value: float) -> bool:
    """Whether an interval contains a value, rounding left out of account."""
    return limits[0] - _ROUNDING <= value <= limits[1] + _ROUNDING


__all__ = ["MainEffects", "compared_effects", "contains", "sampled_effects"]
