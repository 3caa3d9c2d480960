"""`keep = "winners"`: when a study has ended, the weights of all but its best configuration are pruned."""

from __future__ import annotations

import logging

from assay.analysis.verdicts import best
from assay.errors import AssayError
from assay.results.results import Results
from assay.store.pruning import prune
from assay.store.store import Store

_log = logging.getLogger("assay.execution")


def keep_winners(store: Store, name: str, *, measure: str | None = None) -> int:
    """Prunes the weights of a study's trials but for all seeds of its best configuration; returns of how many trials.

    The best configuration is the one that the report names: by validation accuracy if every trial has one, else by
    test accuracy, unless a measure is given. Without a configuration that can be ranked, everything is kept.
    """
    trials = Results(store, name).frame()
    try:
        label = best(trials, measure=measure).name
    except AssayError:
        return 0
    winners = set(trials.loc[trials["configuration"] == label, "trial"])
    count = prune(store, name, winners)
    if missing := sum(store.history(key) is None for key in sorted(winners)):
        _log.warning(
            "%s: %d of the %d trials of the best configuration, %s, have no weights: they were pruned when another one "
            "was best, or stored without; --again retrains them",
            name,
            missing,
            len(winners),
            label,
        )
    return count
