"""Which trials of an article's studies a picture is drawn from, and what columns they get from their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pydantic import Field

from assay.analysis.curves import moving_average
from assay.analysis.frames import have
from assay.articles.context import Context
from assay.articles.kinds import PagePart

Frame = Any  # a pandas frame, whose stubs are too incomplete


class OfTrials(PagePart):
    """A picture of trials.

    Attributes:
        name: Ends the name of its file.
        studies: The studies whose trials are drawn; those that are not planned yet are left out.
        where: The values of a column that are drawn, by the column's name.
        words: The columns that the words of a label are; an empty one for a word that is no column.
        longest: Whether only the longest budget of each cell and seed is drawn; a label ends in its iterations.
        sort: The order of the trials: the values of a column, by the column's name, the first column first.
        names: What a configuration is called in the picture, by its label.
        average: The window of the moving average that is drawn of the training loss too; 0 for none.
    """

    name: str
    studies: tuple[str, ...] = Field(min_length=1)
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    words: tuple[str, ...] = ()
    longest: bool = False
    sort: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    names: dict[str, str] = Field(default_factory=dict)
    average: int = Field(default=0, ge=0)

    def trials(self, context: Context) -> tuple[Frame, Frame]:
        """The trials that are drawn, and the curves of all trials."""
        results = [context.results[name] for name in self.studies if name in context.results]
        if not results:
            context.result(self.studies[0])  # says why it is not there
        trials: Frame = pd.concat([result.frame() for result in results], ignore_index=True)
        curves: Frame = pd.concat([result.curves() for result in results], ignore_index=True)
        labels = trials["configuration"].astype(str)
        split = labels.str.split()
        for place, word in enumerate(self.words):
            if word and word not in trials:
                trials = trials.assign(**{word: split.str[place]})
        if self.longest:
            trials = trials.assign(cell=labels.str.rsplit(n=1).str[0])
        for column in (*self.where, *self.sort):
            have(trials, column)
        for column, values in self.where.items():
            trials = trials[trials[column].isin(values)]
        if self.longest:
            measured = trials[trials["iterations"].notna()].sort_values("iterations", kind="stable")
            trials = measured.drop_duplicates(["cell", "seed"], keep="last")
        for column, values in reversed(self.sort.items()):
            order = {value: place for place, value in enumerate(values)}
            trials = trials.assign(place=trials[column].map(order)).sort_values("place", kind="stable")
        if self.names:
            trials = trials.assign(configuration=trials["configuration"].replace(self.names))
        return with_averages(trials, curves, self.average) if self.average else (trials, curves)


def with_averages(trials: Frame, curves: Frame, window: int) -> tuple[Frame, Frame]:
    """The trials, each with a copy whose training loss is the moving average."""
    curves = curves[curves["trial"].isin(trials["trial"])]
    averages = curves.assign(
        train_loss=curves.groupby("trial", sort=False)["train_loss"].transform(moving_average, window, partial=True),
        trial=curves["trial"].astype(str) + " averaged",  # a frame without rows has no text to add to
    )
    copies = trials.assign(
        trial=trials["trial"] + " averaged", configuration=trials["configuration"] + f", mean of {window}"
    )
    return pd.concat([trials, copies], ignore_index=True), pd.concat([curves, averages], ignore_index=True)


def joined(trials: Frame, columns: Sequence[str]) -> tuple[Frame, str | None]:
    """The trials with a column of the values of several, joined by a space, and its name; None without columns."""
    if len(columns) < 2:
        return trials, columns[0] if columns else None
    for column in columns:
        have(trials, column)
    values = trials[columns[0]].astype(str)
    for column in columns[1:]:
        values = values + " " + trials[column].astype(str)
    return trials.assign(panel=values), "panel"


__all__ = ["Frame", "OfTrials", "joined", "with_averages"]
