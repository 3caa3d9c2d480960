"""The frames of a study as claims read them, made once, and the configurations that a side selects in it."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.axis_columns import PLACE, RECIPE, axis_of
from assay.analysis.frames import is_imported, places
from assay.analysis.verdict import Verdict
from assay.claims.side import Side
from assay.errors import AssayError, has_no, listed, nearest


class StudyData(Protocol):
    """What is read of a study; `Results` is one.

    Attributes:
        name: The name of the study.
        axes: The columns of its axes.
    """

    name: str

    @property
    def axes(self) -> list[str]:
        """The columns of its axes."""
        ...

    def frame(self) -> pd.DataFrame:
        """One row per trial, as `Results.frame` has them."""
        ...

    def curves(self) -> pd.DataFrame:
        """One row per log point, as `Results.curves` has them."""
        ...

    def budgets(self) -> pd.DataFrame:
        """One row per trial, as `Results.budgets` has them."""
        ...

    @property
    def seeds_added(self) -> str:
        """A sentence on seeds that were added until pairs were decided; empty without any."""
        ...

    def look_verdicts(self, measure: str = "accuracy") -> list[Verdict]:
        """The verdicts that are corrected for looking again, as `Results.look_verdicts` has them."""
        ...


class StudyFrames:
    """The frames of a study, made once."""

    def __init__(self, data: StudyData) -> None:
        self.name, self._data, self.axes = data.name, data, list(data.axes)
        self._texts: dict[str, dict[str, list[int]]] = {}
        self._codes: dict[str, tuple[NDArray[np.int64], list[object]]] = {}

    @property
    def has_looks(self) -> bool:
        """Whether seeds were added until pairs were decided, so that a test must be corrected for the looks."""
        return bool(self._data.seeds_added)

    def look_verdicts(self, measure: str) -> list[Verdict]:
        """The verdicts that are corrected for the looks; empty without any for this measure."""
        return self._data.look_verdicts(measure)

    @cached_property
    def frame(self) -> Any:
        """The measured trials; imported curves are no evidence for a claim about trainings of one's own."""
        frame = self._data.frame()
        return frame[~is_imported(frame)] if len(frame) else frame

    @cached_property
    def columns(self) -> dict[str, str]:
        """The column by every name that a claim may use: axes first, then the other columns."""
        names = {str(column): str(column) for column in self.frame.columns}
        ends: dict[str, list[str]] = {}
        for column in self.axes:
            ends.setdefault(axis_of(column).rpartition(".")[2], []).append(column)
        names |= {end: columns[0] for end, columns in ends.items() if len(columns) == 1 and end not in names}
        return names | {axis_of(column): column for column in self.axes}

    @cached_property
    def budgets(self) -> dict[str, dict[str, float]]:
        """Budget in iterations and in epochs, and when it finished, by the key of the trial."""
        table = self._data.budgets()
        return {str(row["trial"]): row for row in table.to_dict("records")}  # pyright: ignore[reportReturnType]

    @cached_property
    def curves(self) -> dict[str, pd.DataFrame]:
        """The points of each trial, by its key."""
        return {str(key): frame for key, frame in self._data.curves().groupby("trial", sort=False)}

    @cached_property
    def _places(self) -> dict[str, NDArray[np.int64]]:
        return dict(places(self.frame, "configuration"))

    def rows(self, label: str) -> Any:
        """The trials of a configuration."""
        return self.frame.iloc[self._places[label]]

    def _coded(self, column: str) -> tuple[NDArray[np.int64], list[object]]:
        """The number of each cell's value among the different ones, and these; made once per column."""
        if column not in self._codes:
            codes, values = pd.factorize(self.frame[column], use_na_sentinel=False)
            self._codes[column] = np.asarray(codes, dtype=np.int64), list(values)
        return self._codes[column]

    def selected(self, side: Side) -> tuple[list[str], str]:
        """The labels of the configurations that a side selects, and why there is none.

        Raises:
            AssayError: It selects some trials of a configuration and not the others.
        """
        if not len(self.frame):
            return [], f"study {self.name!r} has no trials"
        keep = np.ones(len(self.frame), dtype=np.bool_)
        refused: dict[str, NDArray[np.bool_]] = {}
        for name, wanted in side.where:
            if name not in self.columns:
                reserved = nearest(name, ("study", "quantity", "at", "pick", "configuration", "experiment", "values"))
                hint = f" (or the key {reserved!r})" if reserved else ""
                return [], has_no(f"study {self.name}", "column or axis", name, self._choices()) + hint
            codes, values = self._coded(self.columns[name])
            matches = self._matching(self.columns[name], wanted)[codes]
            if not (keep & matches).any():
                known = list(dict.fromkeys(str(values[code]) for code in np.unique(codes[keep]).tolist()))
                return [], _no_value(self.name, name, ", ".join(map(str, wanted)), known)
            keep &= matches
            missing = np.asarray([value is None or value != value for value in values], dtype=np.bool_)
            refused[name] = ~matches & ~missing[codes]
        codes, labels = self._coded("configuration")
        chosen = np.zeros(len(labels), dtype=np.bool_)
        chosen[codes[keep]] = True
        for name, others in refused.items():
            if (mixed := others & chosen[codes]).any():
                label = labels[int(codes[mixed][0])]
                raise AssayError(
                    f"study {self.name}: trials of {label!r} differ in {name}, and a side reads all trials of a "
                    f"configuration; leave {name} out"
                )
        return [str(labels[place]) for place in np.flatnonzero(chosen)], ""

    def _matching(self, column: str, wanted: Sequence[object]) -> NDArray[np.bool_]:
        """Which of the different values of a column are wanted."""
        _, values = self._coded(column)
        if column not in self._texts:
            self._texts[column] = {}
            for place, value in enumerate(values):
                self._texts[column].setdefault(str(value), []).append(place)
        matches = np.zeros(len(values), dtype=np.bool_)
        for one in wanted:
            if isinstance(one, str) and "*" not in one:
                matches[self._texts[column].get(one, [])] = True
            else:
                matches |= np.asarray([_same(value, one) for value in values], dtype=np.bool_)
        return matches

    def _choices(self) -> list[str]:
        return list(dict.fromkeys(["configuration", *map(axis_of, self.axes), *RECIPE, *PLACE]))


def _no_value(study: str, name: str, wanted: str, known: Sequence[str]) -> str:
    """The sentence on a value that no trial has."""
    guess = nearest(wanted, known)
    hint = f"; did you mean {guess!r}?" if guess else "."
    return f"study {study} has no {name} {wanted!r}{hint} It has: {listed(known, 12)}"


def _same(value: object, wanted: object) -> bool:
    """Whether a cell is the wanted value; a word with * is a pattern."""
    numbers = (int, float)
    if (
        isinstance(value, numbers)
        and isinstance(wanted, numbers)
        and isinstance(value, bool) == isinstance(wanted, bool)
    ):
        return float(value) == float(wanted)
    if isinstance(wanted, str) and "*" in wanted:
        escaped = wanted.replace("[", "[[]").replace("?", "[?]")
        return fnmatch.fnmatchcase(str(value), escaped)
    if isinstance(wanted, bool):
        return str(value).lower() == str(wanted).lower()
    if isinstance(wanted, numbers) and not isinstance(value, bool):
        try:
            return float(str(value)) == float(wanted)
        except ValueError:
            return False
    return str(value) == str(wanted)


__all__ = ["StudyData", "StudyFrames"]
