"""A study from its definition to its results, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.execution.runner import Execution
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.system.signals import interruption


class StudyInterrupted(KeyboardInterrupt):
    """Ctrl-C during a study: what was finished is stored, what was running has left a checkpoint."""


def run(
    study: Study | Mapping[str, Any] | str | Path,
    *,
    store: str | None = None,
    retry: bool = False,
    again: bool = False,
) -> Results:
    """Runs a study to its end and returns its results; what the store has already is not trained again.

    `study`: a Study, its plain data, a TOML file, or the name of a bundled study. `store`: a URL or a file, by default
    $ASSAY_STORE, else assay.db in the current folder.

    Raises: RecipeError, DataError, EngineError, StoreError; StudyInterrupted on Ctrl-C, with everything stored.
    """
    if isinstance(study, Mapping):
        study = Study.parse(study)
    elif not isinstance(study, Study):
        study = Study.load(study)
    execution = Execution(plan(study), Store(store), retry=retry, again=again)
    with interruption(execution.stop) as interrupted:
        for _ in execution:
            pass
        if interrupted():
            raise StudyInterrupted
    return Results(execution.store, study.name)
