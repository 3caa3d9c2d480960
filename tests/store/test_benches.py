"""Benches in a store: they go round, are found when damaged, travel with an export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assay.errors import AssayError, StoreError
from assay.report import benches as report
from assay.report.page import bench_page
from assay.store import benches, integrity
from assay.store.exchange import export, read_back
from assay.store.store import Store
from tests.store.makers import made_bench


def test_a_bench_goes_round_and_is_replaced_as_it_grows(store: Store) -> None:
    made = made_bench()
    rows = made.rows[1].epochs
    made.rows[1].epochs = rows[:1]
    benches.save(store.database, made.plain())
    made.rows[1].epochs, made.outcome = rows, "completed"
    benches.save(store.database, made.plain())
    (row,) = benches.listed(store.database)
    assert (row["outcome"], row["measured"], row["data"]) == ("completed", 2, "digits")
    assert benches.one(store.database, "0000") == made.plain() == benches.one(store.database, "made")
    assert benches.find(store.database, "none") is None
    with pytest.raises(StoreError, match="unknown bench 'mad'; did you mean 'made'"):
        benches.one(store.database, "mad")
    benches.save(store.database, made.plain() | {"bench": "0" * 31 + "1", "name": "other"})
    with pytest.raises(StoreError, match="more than one bench"):
        benches.find(store.database, "0000")
    assert benches.remove(store.database, ["0" * 32]) == 1
    assert [one["name"] for one in benches.listed(store.database)] == ["other"]


def test_a_damaged_bench_is_found_and_quarantined(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    benches.save(store.database, made_bench().plain())
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE bench SET content = '{\"format\": 1}'")
    with pytest.raises(StoreError, match="bench 00000000 cannot be read"):
        benches.one(store.database, "0000")
    assert [finding.kind for finding in integrity.check(store)] == ["unreadable"]
    assert "quarantined bench 00000000" in integrity.repair(store)
    assert integrity.check(store) == []
    assert "cannot" not in (tmp_path / "store.db.quarantine.jsonl").read_text()


def test_an_export_with_a_damaged_bench_is_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    benches.save(store.database, made_bench().plain())
    export(store, tmp_path / "out")
    path = tmp_path / "out" / "benches.json"
    path.write_text(path.read_text().replace('\\"calibration\\"', '\\"calibrated\\"'))
    other = Store(str(tmp_path / "other.db"))
    with pytest.raises(AssayError, match="not an export of Assay, or damaged"):
        read_back(other, tmp_path / "out")
    assert benches.listed(other.database) == []


def test_the_stored_file_of_the_schema_holds_a_bench(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(Path(__file__).parent / "schemas" / "v0002.db", path)
    (row,) = benches.listed(Store(str(path)).database)
    plain = benches.one(Store(str(path)).database, row["key"])
    assert report.lines(plain) and bench_page(plain)
