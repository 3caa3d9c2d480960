"""Learning curves against seconds, from a little below the target on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.analysis.frames import FINISHED
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table
from assay.articles.tables.time_to_target import target_of
from assay.report.charts.curves import CurveOptions, learning_curves

_SHOWN = 0.07  # accuracy shown below the target; further below, curves coincide


class Approach(PagePart):
    """The test accuracy of each configuration of a study whose trainings stop at a target.

    Attributes:
        name: Ends the name of its file.
        study: The study.
    """

    name: str
    study: str

    def draw(self, context: Context) -> list[Table | Figure]:
        """The picture; nothing before a trial is finished."""
        if self.study not in context.results:
            return []
        trials: Any = context.result(self.study).frame()
        if not trials["outcome"].isin(FINISHED).any():
            return []
        curves = context.result(self.study).curves()
        labels = list(dict.fromkeys(str(label) for label in trials["configuration"]))
        named = trials.assign(configuration=trials["configuration"].map(_shortened(labels)))
        target = target_of(context, self.study)
        begin = curves.loc[curves["test_accuracy"] >= target - _SHOWN, "seconds"].min()
        chart = learning_curves(named, curves, CurveOptions(x="seconds", start=float(begin), title=self.title))
        return [Figure(self.name, chart, self.title, self.note)]


def _shortened(names: Sequence[str]) -> dict[str, str]:
    """The names without the words that all names of several words have in the same place.

    >>> _shortened(["64, long, unit", "128, long, unit", "a common choice"])
    {'64, long, unit': '64', '128, long, unit': '128', 'a common choice': 'a common choice'}
    """
    split = [name.split(", ") for name in names if ", " in name]
    columns = enumerate(zip(*split, strict=False)) if len(split) > 1 else ()
    constant = {i for i, words in columns if len(set(words)) == 1}
    return {name: ", ".join(w for i, w in enumerate(name.split(", ")) if i not in constant) or name for name in names}


__all__ = ["Approach"]
