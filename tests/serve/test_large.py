from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest
import sqlalchemy as sa

from assay.errors import AssayError
from assay.report.charts.writing import embedded
from assay.report.page import chart_spec, configuration_table
from assay.results.outline import Outline
from assay.results.results import Results
from assay.serve.snapshot import StudySnapshot
from assay.serve.views import View
from assay.store.schema import result
from assay.store.store import Store
from benchmarks.synthetic import synthetic_store
from tests.report.random_stores import random_store
from tests.report.test_page import results as made_results


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_store(str(tmp_path_factory.mktemp("large") / "store.db"), configurations=120, seeds=2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"x": "seconds"},
        {"x": "examples", "log": "x"},
        {"x": "flops"},
        {"measure": "loss"},
        {"measure": "loss", "split": "train"},
        {"smooth": 4},
        {"start": 100.0},
        {"by": "trial"},
        {"x": "epochs"},
    ],
)
def test_the_curves_of_an_outline_are_those_of_the_results_to_the_byte(options: dict[str, Any], store: Store) -> None:
    snapshot = StudySnapshot(store, "synthetic", large=1)
    assert snapshot.outline is not None
    assert snapshot.spec("curves", **options) == embedded(chart_spec(Results(store, "synthetic"), "curves", **options))


@pytest.mark.parametrize("query", ["batch", "optimizer=adam", "accuracy>0.9", 'optimizer!=adam "batch 16"'])
def test_a_selection_of_a_large_study_is_drawn_as_its_results_draw_it(query: str, store: Store) -> None:
    snapshot = StudySnapshot(store, "synthetic", large=1)
    options = snapshot.curve_options(View(q=query))
    assert 1 <= len(options["configurations"]) <= 120
    results = Results(store, "synthetic")
    assert snapshot.spec("curves", **options) == embedded(chart_spec(results, "curves", **options))
    assert StudySnapshot(store, "synthetic").curve_options(View(q=query)) == options


def test_the_table_of_a_large_study_is_that_of_its_results(store: Store) -> None:
    outlined, whole = StudySnapshot(store, "synthetic", large=1), StudySnapshot(store, "synthetic")
    assert whole.outline is None
    pandas.testing.assert_frame_equal(outlined.table[outlined.columns], whole.table[whole.columns])
    shown = configuration_table(Results(store, "synthetic")).reset_index(drop=True)
    pandas.testing.assert_frame_equal(outlined.table[list(shown.columns)], shown)


def test_trials_that_configurations_share_are_ranked_as_the_results_rank_them(tmp_path: Path) -> None:
    made = made_results(tmp_path, design="one-at-a-time")
    assert Outline(made.store, "made").curves_chart() == made.picture("curves").to_dict()
    assert Outline(made.store, "made").frame()["configuration"].nunique() == made.frame()["configuration"].nunique()


_VIEWS: tuple[dict[str, Any], ...] = (
    {},
    {"by": "trial"},
    {"x": "seconds", "measure": "loss"},
    {"x": "flops"},
    {"split": "validation"},
    {"smooth": 3, "log": "x"},
    {"configurations": ["baseline", "rate=0.1", "a"]},
)


def _drawn(made: Outline | Results, options: dict[str, Any]) -> Any:
    try:
        if isinstance(made, Outline):
            return made.curves_chart(**options)
        return made.picture("curves", **options).to_dict()
    except AssayError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(24))
def test_an_outline_of_any_study_draws_what_its_results_draw(seed: int, tmp_path: Path) -> None:
    store = random_store(tmp_path / "store.db", seed)
    try:
        results = Results(store, "s")
    except AssayError:
        return  # logs alone, in a study of their own
    outline = Outline(store, "s")
    for options in _VIEWS:
        assert _drawn(outline, options) == _drawn(results, options)


def test_a_damaged_curve_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = synthetic_store(str(tmp_path / "store.db"), configurations=4, seeds=3)
    keys = Results(store, "synthetic").frame()["trial"].tolist()
    with store.database.write() as connection:
        for key in keys[:2]:
            connection.execute(sa.update(result).where(result.c.trial == key).values(curve=b"AC nonsense"))
    outline = Outline(store, "synthetic")
    assert caplog.text.count("cannot be read: result.curve: ") == 2
    assert _drawn(outline, {}) == _drawn(Results(store, "synthetic"), {})


def test_all_of_a_large_study_is_forgotten_after_it_was_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr("assay.serve.snapshot._KEPT_SECONDS", 0.05)
    snapshot = StudySnapshot(store, "synthetic", large=1)
    assert snapshot.answers == Results(store, "synthetic").answers()
    for _ in range(100):
        if snapshot._results is None:
            break
        time.sleep(0.02)
    assert snapshot._results is None
    assert snapshot.answers
