"""Several trainings of one recipe at different seeds, as `fit` returns them for `repeats`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from assay.analysis.quantities import Quantity, end_columns, score_of
from assay.training.history import History

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Fits(Sequence[History]):
    """The histories of one recipe at several seeds, in the order of the seeds. It is a sequence of histories.

    Attributes:
        histories: One for each seed.

    Examples:
        >>> import assay
        >>> fits = assay.fit({"budget": {"epochs": 1}}, repeats=2)
        >>> len(fits), [history.recipe.seed for history in fits]
        (2, [1, 2])
        >>> list(fits.frame().columns[:4])
        ['configuration', 'repeat', 'seed', 'outcome']
    """

    histories: tuple[History, ...]

    @overload
    def __getitem__(self, index: int) -> History: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[History, ...]: ...
    def __getitem__(self, index: int | slice) -> History | tuple[History, ...]:
        return self.histories[index]

    def __len__(self) -> int:
        return len(self.histories)

    def __iter__(self) -> Iterator[History]:
        return iter(self.histories)

    def frame(self) -> pandas.DataFrame:
        """One row per training: its seed, how it ended, and what was measured at its end.

        The columns are those of `Results.frame`, so that the functions of `assay.analysis` take frames of several
        fits, one below the other.
        """
        import pandas

        frame = pandas.DataFrame([row_of(history, repeat) for repeat, history in enumerate(self.histories)])
        return frame.dropna(axis="columns", how="all")

    def curves(self) -> pandas.DataFrame:
        """One row per log point of each training, with the columns repeat and seed, then those of `Point`."""
        import pandas

        return pandas.DataFrame(
            [
                {"repeat": repeat, "seed": history.recipe.seed, **point}
                for repeat, history in enumerate(self.histories)
                for point in history.plain_points()
            ]
        )

    def __repr__(self) -> str:
        """The trainings in one line, with the mean of the score and its deviation over the seeds."""
        first = self.histories[0]
        quantity = score_of(first.task)
        spread = f", {quantity.label} {spread_of([h.score for h in self.histories], quantity)}"
        endings = {str(history.outcome) for history in self.histories}
        return f"<Fits of {first.recipe.label()}: {len(self)} seeds{spread}, {', '.join(sorted(endings))}>"

    def _repr_html_(self) -> str:
        """The summary as a table of a notebook."""
        from assay.report.notebook import values_table

        quantity = score_of(self.histories[0].task)
        pairs = [
            (f"seed {h.recipe.seed}", "-" if h.score is None else f"{quantity.text(h.score)}, {h.ending}") for h in self
        ]
        return values_table(pairs, repr(self))


def row_of(history: History, repeat: int) -> dict[str, Any]:
    """A training as a row of a frame of trials."""
    return {
        "configuration": history.recipe.label(),
        "repeat": repeat,
        "seed": history.recipe.seed,
        "outcome": str(history.outcome),
        **end_columns(history.final),
        **history.measures,
        "iterations": history.iterations,
        "seconds": history.final.seconds,
        "effort": history.effort,
        "classes": len(history.classes) if history.targets is None else None,
        "engine": history.engine,
    }


def spread_of(values: Sequence[float | None], quantity: Quantity) -> str:
    """The mean of values and their standard deviation, in words; those that are missing are counted."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "not measured"
    text = quantity.text(statistics.fmean(known))
    if len(known) > 1:
        text += f" (standard deviation {quantity.text(statistics.stdev(known))})"
    return text + (f" of {len(known)} seeds with a value" if len(known) < len(values) else "")


__all__ = ["Fits", "row_of", "spread_of"]
