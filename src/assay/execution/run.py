"""A study from its definition to its results, in one call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.execution.places import executor_on
from assay.execution.runner import Execution
from assay.execution.search import execution_of
from assay.execution.stored import load_study
from assay.results.results import Results
from assay.store.store import Store
from assay.store.urls import Place
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.system.signals import interruption

_log = logging.getLogger("assay.execution")


class StudyInterrupted(KeyboardInterrupt):
    """Ctrl-C during a study. Finished trials are stored, and running trials have saved a checkpoint."""


def run(
    study: Study | Mapping[str, Any] | str | Path,
    *,
    store: Place | None = None,
    retry: bool = False,
    again: bool = False,
    on: str = "local",
    until_decided: bool = False,
) -> Results:
    """Runs a study and returns its results. Trials that the store already holds are not trained again.

    Each trial is trained in a worker process and stored when it ends, so the same call resumes after an interruption.

    Args:
        study: A Study, its plain data, the path of a TOML file, or the name of a bundled or stored study.
        store: A database URL or the path of an SQLite file. None uses $ASSAY_STORE, or assay.db in the current
            folder.
        retry: Retrain trials that failed, were lost, timed out or ran out of memory.
        again: Retrain every trial.
        on: Where workers run: "local", "ray" (the cluster of RAY_ADDRESS, or a new one here) or "ray://HOST:PORT".
        until_decided: Add seeds to the configurations of pairs without a significant difference, at most six times, and
            correct the verdicts for looking again. The best one is then trained on fresh seeds, as study "NAME, fresh
            seeds".

    Returns:
        The results of the study, read from the store.

    Raises:
        RecipeError: The study is wrong; all problems are listed.
        DataError: A data set is missing, or does not fit a recipe.
        EngineError: An engine is unknown, not installed, or cannot train a recipe.
        CodeError: The study names third-party code outside `allowing_code`.
        FileError: There is no such file, and no bundled or stored study of that name.
        StoreError: The store cannot be opened, read or written.
        StudyInterrupted: On Ctrl-C. Finished trials are stored, and running trials have saved a checkpoint.

    Examples:
        >>> import tempfile
        >>> study = {"repeats": 2, "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]}}}
        >>> study["baseline"] = {"budget": {"epochs": 1}}
        >>> results = run(study, store=tempfile.mkdtemp() + "/example.db")
        >>> len(results.frame())
        4
    """
    if isinstance(study, Mapping):
        study = Study.parse(study)
    elif not isinstance(study, Study):
        study = load_study(study, store=store)
    if until_decided:
        if retry or again:
            raise AssayError("until_decided: cannot be combined with retry or again; it plans by itself")
        return _until_decided(study, Store(store), on)
    if study.settings.search is not None:
        if again:
            raise AssayError("again: a search keeps the scores that it was told; give the study another name")
        execution, search = execution_of(study, Store(store), retry=retry)
        _log.warning(search.change) if search.change else None
    else:
        execution = Execution(plan(study), Store(store), retry=retry, again=again)
    with executor_on(on) as execution.executor:
        if _interrupted(execution):
            raise StudyInterrupted
    return Results(execution.store, study.name)


def _interrupted(execution: Execution) -> bool:
    """Runs an execution to its end; returns whether Ctrl-C ended it."""
    for sentence in execution.changes():
        _log.warning(sentence)
    with interruption(execution.stop) as interrupted:
        execution.check()
        for _ in execution:
            pass
        return interrupted()


def _until_decided(study: Study, store: Store, on: str) -> Results:
    """Runs a study look by look. Raises: AssayError, StudyInterrupted."""
    from assay.execution import sequential  # with pandas, which other runs need at their end

    if study.settings.search is not None:
        raise AssayError(
            "until_decided: a search trains each of its configurations on one seed; write seeds = { race = 8 } in its "
            "search to race the best ones on other seeds"
        )
    with executor_on(on) as executor:

        def run_one(execution: Execution) -> bool:
            execution.executor = executor
            return _interrupted(execution)

        if sequential.until_decided(study, store, run_one).interrupted:
            raise StudyInterrupted
    return Results(store, study.name)
