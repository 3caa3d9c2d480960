"""When times of two sides may be compared: trained in turn in one study, or machine and load known and alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from assay.analysis.frames import FINISHED, clocks, described
from assay.analysis.seeds import ranked_by_seconds
from assay.claims.measured import VALUE, CannotTellError, Measured, SideValues
from assay.system.load import BUSY

_IN_TURN = 3600.0  # seconds between two trials of a study up to which they count as trained in turn


def check_times(sides: Sequence[SideValues], measured: Measured) -> None:
    """Checks that the times of the sides compare, if their quantity is one.

    Raises:
        CannotTellError: They come from different machines, timings, numbers of threads or instruction levels; or from
            different runs of which the load is unknown or was high.
    """
    timed = [side for side in sides if side.quantity.is_timed]
    if len(timed) < 2:
        return
    trained = [side for side in timed if side.study]
    if len(trained) < len(timed):
        _check_experiments(timed, measured)
    if len(trained) < 2:
        return
    frames: list[Any] = [side.frame[np.isfinite(side.frame[VALUE])] for side in trained]
    groups = clocks(pd.concat(frames, ignore_index=True))
    if len(groups) > 1:
        named = "; ".join(described(clock, len(members)) for clock, members in groups.items())
        raise CannotTellError(f"these seconds do not compare: {named}. {_IN_ONE}")
    if _are_in_turn(trained, frames, measured):
        return
    for side, frame in zip(trained, frames, strict=True):
        unknown = int(frame["foreign_seconds"].isna().sum()) if "foreign_seconds" in frame else len(frame)
        loaded = sum(flag is True or str(flag) == "True" for flag in frame["busy"].tolist())
        if unknown or loaded:
            what = f"the load of the machine is unknown for {unknown} of" if unknown else f"{loaded} of {BUSY} in"
            raise CannotTellError(
                f"the sides were trained in different runs, and {what} {len(frame)} trials of {side.name}. {_IN_ONE}"
            )


_IN_ONE = "Train both as configurations of one study, in turn: the same --timing and --threads on one machine"


def _check_experiments(timed: Sequence[SideValues], measured: Measured) -> None:
    """Stored times against those of an experiment: the machine must be that of the experiment, where it is known."""
    machine = measured.experiments.machine if measured.experiments else ""
    for side in timed:
        if side.side.values:
            raise CannotTellError(
                f"stated seconds name no machine, so they do not compare with measured ones. {_IN_ONE}"
            )
        if not side.study or not machine:
            continue
        machines = {str(name) for name in side.frame["machine"][np.isfinite(side.frame[VALUE])].tolist()}
        if machines - {machine}:
            raise CannotTellError(f"the seconds of {side.name} are of another machine than those of the experiment")


def _are_in_turn(sides: Sequence[SideValues], frames: Sequence[Any], measured: Measured) -> bool:
    """Whether all trials are of one study, and no long pause lies between those of one side and those of the others."""
    if len({side.study for side in sides}) > 1:
        return False
    of_study = measured.studies[sides[0].study]
    spans: list[tuple[float, float]] = []
    for frame in frames:
        times = [float(of_study.budgets[str(trial)]["finished"]) for trial in frame["trial"].tolist()]
        if not times or not all(map(math.isfinite, times)):
            return False
        spans.append((min(times), max(times)))
    spans.sort()
    end = spans[0][1]
    for start, last in spans[1:]:
        if start - end > _IN_TURN:
            return False
        end = max(end, last)
    return True


def without_busy(side: SideValues) -> list[float]:
    """The values of a side; seconds of a busy machine are left out while three others remain."""
    if not side.study or not side.quantity.is_timed:
        return side.known()
    kept, _ = ranked_by_seconds(side.frame)
    return [float(value) for value in kept[VALUE].tolist() if value == value]


def is_finished(side: SideValues) -> bool:
    """Whether every trial of a side with a result finished."""
    return side.endings.count(*FINISHED) == side.endings.trials


__all__ = ["check_times", "is_finished", "without_busy"]
