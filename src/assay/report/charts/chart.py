"""What a chart is: an entry of the table CHARTS."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from assay.errors import AssayError, unknown
from assay.report.charts.style import drawn_in
from assay.report.charts.writing import shown_offline

Needs = Literal[
    "history",  # the curve of one training, and what to say of it
    "trials",
    "own trials",  # none that was imported
    "trials and curves",
    "effects",
    "importance",
    "verdicts",
    "confusion",  # of one trial, as the next two
    "confused",
    "weights",
    "epochs",  # of a bench
    "search",  # the jobs of a search, as `Results.searched` has them
    "tuning cost",
    "nothing",
]


@dataclass(frozen=True)
class Shape:
    """What a study is like, as far as it decides which charts are worth drawing."""

    design: str
    axes: int
    repeats: int
    configurations: int
    learning_rates: int
    objectives: int = 1  # of a search
    promotes: bool = False  # a search with halving
    is_random: bool = False  # its trials were drawn at random, so that tuning cost can be told


def _never(_: Shape) -> bool:
    return False


@dataclass(frozen=True)
class Chart:
    """A chart: its name, the data that it needs, the function that draws it, its title, and a line about it.

    `draw` takes the data, and its options by keyword, or together as one object of the class `options`. `suits` says
    of which studies the chart is a part of the page; `keeps_colours`: a dark page must not invert it; `of_trial`: it is
    of one trial, which its title names.
    """

    name: str
    needs: Needs
    draw: Callable[..., Any]
    title: str
    about: str
    options: type[Any] | None = None
    suits: Callable[[Shape], bool] = _never
    keeps_colours: bool = False
    of_trial: bool = False

    def __call__(self, *data: Any, **options: Any) -> Any:
        """The chart of the data. Raises: AssayError for an option that it does not have."""
        self.check(options)
        width = options.pop("width", None)
        with drawn_in(width):
            drawn = self.draw(*data, self.options(**options)) if self.options else self.draw(*data, **options)
        return shown_offline(drawn)

    def check(self, options: Iterable[str]) -> None:
        """Raises AssayError for an option that it does not have."""
        known = self.option_names
        for option in options:
            if option not in known:
                raise AssayError(f"chart {self.name!r}: {unknown('option', option, known)}")

    @property
    def option_names(self) -> list[str]:
        """The names of its options; the last is `width`, which every chart has."""
        if self.options is not None:
            return [*(field.name for field in fields(self.options)), "width"]
        parameters = inspect.signature(self.draw).parameters.values()
        return [*(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY), "width"]


__all__ = ["Chart", "Needs", "Shape"]
