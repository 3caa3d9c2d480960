"""The phases of a search with seeds: screening, race, fresh. Only equal phases compare, and the last one says most.

The trials of such a search have a column `phase`: "fresh" (the winner on seeds that the search has never seen), "race"
(racers on paired seeds that the screening did not use), "earlier fresh" (the winner of an earlier race) or "screening"
(configurations on the seeds by which the racers were chosen). Frames of other studies have no such column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the names of phases are needed where no frame is
    import pandas as pd

PHASE = "phase"
PHASES: Mapping[str, str] = {
    "fresh": "the winner on fresh seeds",
    "race": "a racer on the seeds of the race",
    "earlier fresh": "the winner of an earlier race on its fresh seeds",
    "screening": "on the screening seeds",
}
"""The phases, the one that says most first, each in words."""


def decisive(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the phase that says most, of which one has ended; all trials of a frame without phases.

    >>> import pandas as pd
    >>> outcomes = ["completed", "completed", "planned"]
    >>> decisive(pd.DataFrame({"phase": ["screening", "race", "fresh"], "outcome": outcomes}))["phase"].tolist()
    ['race']
    """
    from assay.analysis.frames import rows

    if PHASE not in trials.columns or trials.empty:
        return trials
    phases = np.asarray([str(phase) for phase in trials[PHASE].tolist()], dtype=object)
    ended = np.asarray([outcome != "planned" for outcome in trials["outcome"].tolist()], dtype=np.bool_)
    for phase in PHASES:
        if (ended & (phases == phase)).any():
            return rows(trials, phases == phase)
    return trials


def by_phase(table: pd.DataFrame) -> pd.DataFrame:
    """A table sorted by phase, the one that says most first; the order within a phase stays."""
    if PHASE not in table.columns:
        return table
    order = {phase: place for place, phase in enumerate(PHASES)}
    return table.sort_values(PHASE, key=lambda column: column.map(order), kind="stable")


__all__ = ["PHASE", "PHASES", "by_phase", "decisive"]
