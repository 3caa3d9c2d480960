"""A machine is the same one under every version of Assay: its hash, stored, migrated, imported and salvaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from assay.errors import FileError
from assay.results.results import Results
from assay.store import integrity
from assay.store.exchange import read_back
from assay.store.records import machine_row, places
from assay.store.salvage import salvage
from assay.store.schema import VERSION, bench, machine, result
from assay.store.store import Store
from assay.system import machine as system

OLD = Path(__file__).parent / "two_versions"
"""A store and its export, written by the code of schema 0003: four trials of one machine, two with Assay 0.1.0 and two
with 0.2.0, one trial of another machine, and a bench with each version."""


def old_store(url: str) -> str:
    """The old store at a URL, in PostgreSQL row by row."""
    source = sa.create_engine(f"sqlite:///{OLD / 'v0003.db'}")
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        shutil.copy(OLD / "v0003.db", engine.url.database or "")
        return url
    config = Config()
    config.set_main_option("script_location", "assay.store:migrations")
    with engine.begin() as connection, source.connect() as stored:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        tables = sa.MetaData()
        tables.reflect(connection)  # those of that version
        for table in tables.sorted_tables:
            rows = [dict(row) for row in stored.execute(sa.select(table)).mappings()]
            if rows and table.name != "alembic_version":
                connection.execute(sa.insert(table), rows)
    for opened in (engine, source):
        opened.dispose()
    return url


def hashes(store: Store) -> dict[str, list[str]]:
    with store.database.read() as connection:
        return {
            "machines": sorted(connection.execute(sa.select(machine.c.hash)).scalars()),
            "results": sorted(connection.execute(sa.select(result.c.machine)).scalars()),
            "benches": sorted(connection.execute(sa.select(bench.c.machine)).scalars()),
        }


def expected() -> dict[str, list[str]]:
    """What `hashes` is once every description has its hash of today."""
    rows = json.loads((OLD / "export" / "machines.json").read_text())
    descriptions = [json.loads(row["description"]) for row in rows]
    (two,) = {machine_row(about)["hash"] for about in descriptions if about["cores"] == 2}
    (one,) = {machine_row(about)["hash"] for about in descriptions if about["cores"] == 1}
    assert not {two, one} & {row["hash"] for row in rows}
    return {"machines": sorted([one, two]), "results": sorted([one, *[two] * 4]), "benches": [two] * 2}


def test_a_store_with_two_versions_of_assay_is_migrated_to_one_machine(url: str) -> None:
    store = Store(old_store(url))
    assert hashes(store) == expected()
    assert integrity.check(store) == []
    frame = Results(store, "made").frame()
    assert len(frame) == 6
    assert frame["machine"].nunique() == 2
    store.close()
    reopened = Store(url)
    assert hashes(reopened) == expected()
    reopened.close()


def test_a_machine_without_a_gpu_has_the_hash_that_it_always_had() -> None:
    cpu = {"cpu": "AMD EPYC", "cores": 2, "memory_bytes": 2**33, "system": "Linux 6.1 x86_64", "python": "3.12.1"}
    cpu |= {"blas": [], "versions": {"assay": "0.2.0", "numpy": "2.4.6"}, "commit": "abc"}
    assert machine_row(cpu)["hash"] == "2d1ec7c0db5c941d961b0eb246f1db23"
    card = {"model": "NVIDIA H100", "driver": "570.124", "cuda": "12.8"}
    with_card = {machine_row(cpu | {"gpu": card | other})["hash"] for other in ({}, {"driver": "580.1"})}
    assert len(with_card | {machine_row(cpu)["hash"]}) == 3


def test_a_machine_whose_description_cannot_be_read_keeps_its_hash(tmp_path: Path) -> None:
    url = old_store(f"sqlite:///{tmp_path / 'store.db'}")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for text in ("{", "[]", "7"):
            connection.execute(sa.insert(machine).values(hash=f"kept {text}", description=text))
        connection.execute(sa.update(result).where(result.c.machine.like("bd96%")).values(machine="kept {"))
    engine.dispose()
    after = hashes(Store(url))
    assert {"kept {", "kept []", "kept 7"} < set(after["machines"])
    assert after["results"].count("kept {") == 1


def test_an_old_store_that_may_only_be_read_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    old_store(f"sqlite:///{path}")
    content = path.read_bytes()
    store = Store(str(path), read_only=True)
    results = Results(store, "made")
    assert results.frame()["machine"].nunique() == 3
    assert "AMD EPYC, 2 cores" in dict(results.environment())["machine"]
    store.close()
    assert path.read_bytes() == content


def test_an_old_export_is_imported_under_the_hashes_of_today(store: Store) -> None:
    pytest.importorskip("pyarrow")
    assert read_back(store, OLD / "export") == (5, 1)
    assert hashes(store) == expected()
    assert integrity.check(store) == []
    assert read_back(store, OLD / "export") == (0, 6)
    assert hashes(store) == expected()


@pytest.mark.parametrize("description", ["{", "[]", None])
def test_an_export_with_a_damaged_machine_is_refused(description: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    shutil.copytree(OLD / "export", tmp_path / "out")
    path = tmp_path / "out" / "machines.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([rows[0] | {"description": description}, *rows[1:]]))
    with pytest.raises(FileError, match="not an export of Assay, or damaged"):
        read_back(Store(str(tmp_path / "store.db")), tmp_path / "out")


def test_what_is_salvaged_of_an_old_store_has_the_hashes_of_today(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    old_store(f"sqlite:///{path}")
    target, kept = salvage(path)
    assert kept == 5
    store = Store(str(target))
    assert hashes(store) == expected()
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == VERSION


def test_a_release_leaves_this_machine_what_it_is_and_another_library_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    here = system.describe()
    assert machine_row(here)["hash"] in places()
    for version in ("0.1.0", "9.9.9"):
        later = here | {"versions": here["versions"] | {"assay": version}, "commit": version, "blas": []}
        row = machine_row(later)
        assert row["hash"] in places()
        assert json.loads(row["description"])["versions"]["assay"] == version
    assert machine_row(here | {"versions": here["versions"] | {"numpy": "9"}})["hash"] not in places()
    assert machine_row({"cpu": "x"})["hash"] == machine_row({"cpu": "x", "commit": "y"})["hash"]
