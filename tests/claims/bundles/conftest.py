"""A small study of the digits, trained once, and a bundle of it without pages, which take seconds to draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.claims.bundles import derived
from assay.claims.bundles.content import About
from assay.claims.bundles.publishing import publish
from assay.execution.fit import fit
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import Trial, plan
from assay.studies.study import Study
from tests.hard.fuzz_exports import filled

STUDY = {
    "name": "rates",
    "about": "Which rate is best?",
    "engine": "numpy",
    "threads": 1,
    "repeats": 3,
    "baseline": {"model": {"hidden": [8]}, "budget": 40},
    "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.03]}},
}


def trained(trial: Trial) -> Finished:
    history = fit(trial.recipe, engine=trial.engine, threads=trial.threads)
    return Finished(history.outcome, history.reason, history, confusion=history.confusion)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = Store(str(tmp_path_factory.mktemp("of ada") / "s.db"))
    filled(opened, plan(Study.parse(STUDY)), trained)
    return opened


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_reports", lambda content, studies: {})


@pytest.fixture
def bundle(store: Store, tmp_path: Path, without_pages: None) -> Path:
    return publish(store, About("rates"), ["rates"], tmp_path / "rates.zip").path
