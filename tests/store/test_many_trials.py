"""What is done for each of many trials is little: counted in operations and bytes, not in seconds."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import pytest

from assay.recipe.model import Recipe
from assay.report.charts.style import table
from assay.report.downloads import Downloads
from assay.results.results import Results
from assay.store import columns, consistency, curves, exchange, integrity, queries
from assay.store.exchange import export, read_back
from assay.store.store import Store
from benchmarks.synthetic import NAME, synthetic_store

CONFIGURATIONS, SEEDS = 36, 5


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("many") / "many.db"
    return synthetic_store(str(path), configurations=CONFIGURATIONS, seeds=SEEDS)


@pytest.fixture(scope="module")
def exported(many: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "export"
    assert export(many, folder) == CONFIGURATIONS * SEEDS
    return folder


def counted(patch: pytest.MonkeyPatch, *places: tuple[Any, str]) -> Counter[str]:
    """Counts the calls of functions by their name."""
    calls: Counter[str] = Counter()
    for owner, name in places:
        function = getattr(owner, name)

        def call(*arguments: Any, _function: Any = function, _name: str = name, **options: Any) -> Any:
            calls[_name] += 1
            return _function(*arguments, **options)

        patch.setattr(owner, name, call)
    return calls


def test_no_sound_row_is_checked_alone(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch, (columns, "check_row"), (queries, "readable"))
    assert len(Results(many, NAME).frame()) == CONFIGURATIONS * SEEDS
    assert calls["check_row"] == 0
    assert calls["readable"] == 1  # of the study
    assert integrity.check(many) == []
    assert calls["check_row"] == 0


def test_an_import_reads_each_configuration_once_and_no_curve_alone(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consistency._read.cache_clear()
    calls = counted(monkeypatch, (curves, "packed"), (curves, "unpacked"), (columns, "check_row"), (Recipe, "stored"))
    store = Store(str(tmp_path / "new.db"))
    assert read_back(store, exported) == (CONFIGURATIONS * SEEDS, 0)
    assert calls["check_row"] == calls["unpacked"] == 0
    ended_early = (Results(store, NAME).frame()["outcome"] != "completed").sum()
    assert calls["packed"] <= ended_early  # their curves lack a loss
    assert calls["stored"] <= 3 * CONFIGURATIONS


def test_an_export_is_the_same_in_any_portions(many: Store, exported: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(exchange, "ROWS", 7)
    export(many, tmp_path / "again")
    for name in ("trials.parquet", "curves.parquet"):
        whole, portions = pd.read_parquet(exported / name), pd.read_parquet(tmp_path / "again" / name)
        pd.testing.assert_frame_equal(whole, portions)
    for name in ("studies.json", "machines.json"):
        assert (exported / name).read_text() == (tmp_path / "again" / name).read_text()
    store = Store(str(tmp_path / "new.db"))
    assert read_back(store, tmp_path / "again") == (CONFIGURATIONS * SEEDS, 0)
    pd.testing.assert_frame_equal(Results(store, NAME).frame(), Results(many, NAME).frame())
    pd.testing.assert_frame_equal(Results(store, NAME).curves(), Results(many, NAME).curves())


def test_the_rows_of_a_study_hold_little_more_than_their_cells(many: Store) -> None:
    Results(many, NAME)
    tracemalloc.start()
    rows = queries.study_rows(many.database, NAME)[1]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    texts = sum(len(row[name] or "") for row in rows for name in ("recipe", "curve", "confusion", "ledger"))
    assert size < texts + 2000 * len(rows)  # as dictionaries they take 5000 more


def test_the_rows_of_a_chart_are_never_copied() -> None:
    rows = [{"x": 1.0, "y": 2.0}]
    chart = alt.layer(alt.Chart(table(rows)).mark_point().properties(width=100)).configure_view(stroke=None)
    data: Any = chart.data
    assert data["values"][0] is rows[0]


def test_data_of_many_rows_are_compressed_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    from assay.report import downloads

    frame = pd.DataFrame({"name": ["a", "=1+1", "b", "c", "d"], "x": [0.1, 0.2, float("nan"), 0.4, 0.5]})
    whole = gzip.decompress(Downloads.of({"a.csv": frame}).files["a.csv.gz"])
    monkeypatch.setattr(downloads, "_ROWS", 2)
    assert gzip.decompress(Downloads.of({"a.csv": frame}).files["a.csv.gz"]) == whole
    assert whole.decode().splitlines() == ["name,x", "a,0.1", "'=1+1,0.2", "b,", "c,0.4", "d,0.5"]
    empty = Downloads.of({"a.csv": frame.iloc[:0]}).files["a.csv.gz"]
    assert gzip.decompress(empty) == b"name,x\n"
