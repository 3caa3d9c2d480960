"""A store may be named by a path object wherever one is taken."""

from __future__ import annotations

from pathlib import Path

import assay
from assay.results.results import Results
from assay.store.store import Store

STUDY = {
    "name": "tiny",
    "engine": "numpy",
    "baseline": {"data": "iris", "budget": {"iterations": 2}},
    "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]}},
}


def test_a_study_runs_into_a_store_that_a_path_names(tmp_path: Path) -> None:
    path = tmp_path / "of path.db"
    assert len(assay.run(STUDY, store=path).frame()) == 2
    assert len(Results(Store(path, read_only=True), "tiny").frame()) == 2
    assert len(assay.run("tiny", store=path).frame()) == 2
    assert len(assay.run("tiny", store=str(path)).frame()) == 2
