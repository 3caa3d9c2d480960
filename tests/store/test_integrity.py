"""Files that are no stores, damaged, newer, not to be written to: a sentence each, and nothing is overwritten."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from assay.errors import AssayError, StoreError
from assay.store import benches, database, imported, integrity, queries
from assay.store.artifacts import SMALL_BYTES, Folder
from assay.store.salvage import salvage
from assay.store.schema import VERSION
from assay.store.store import Store
from assay.store.urls import parsed as parsed_url
from tests.store.makers import made_bench, made_end, made_plan

FIXTURES = Path(__file__).parent / "schemas"


def filled(path: Path, trials: int = 30) -> Path:
    store, plan = Store(f"sqlite:///{path}"), made_plan(trials)
    store.register(plan)
    while claimed := store.leases.claim(plan.jobs):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
        store.leases.release(claimed[0])
    store.close()
    return path


def settled(path: Path) -> bytes:
    """The content of a store whose log has been written into the file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"this is no database at all", "not a store of Assay"),
        (b"SQLite format 3\0 and no more", "damaged"),
        (b"\x00" * 4096, "not a store of Assay"),
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=said):
            Store(str(path), read_only=read_only)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE friends (name TEXT)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store(str(path))
    assert path.read_bytes() == content


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="schema version 9999, this Assay reads up to"):
            Store(str(path), read_only=read_only)


@pytest.mark.parametrize("version", ["0.5", "x", ""])
def test_a_version_of_the_schema_that_never_was_is_damage(version: str, tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    if version > VERSION:
        said = "this Assay reads up to"
    else:
        said = "damaged: unknown version of its schema: .*`assay store repair .*` saves what can be read"
    with pytest.raises(StoreError, match=said):
        Store(str(path))


def test_an_older_store_that_lacks_a_table_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / "v0005.db", path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE imported")
    connection.close()
    with pytest.raises(StoreError, match=r"damaged: .*; `assay store repair .*saves what can be read"):
        Store(str(path))


@pytest.mark.parametrize("statement", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_without_the_version_of_its_schema_is_repaired(statement: str, read_only: bool, tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 2)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreError, match="damaged: the version of its schema is missing"):
        Store(str(path), read_only=read_only)
    saved, count = salvage(path)
    assert count == 2
    assert integrity.check(Store(str(saved))) == []


@pytest.mark.parametrize("column", ["name", "data", "outcome", "measured", "updated"])
def test_a_damaged_row_of_a_bench_hides_no_other_and_is_found(
    column: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, plain = Store(str(tmp_path / "store.db")), made_bench().plain()
    benches.save(store.database, plain)
    benches.save(store.database, plain | {"bench": "f" * 64, "name": "other"})
    with store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE bench SET {column} = x'ff00' WHERE name = 'other'")
    assert [row["key"] for row in benches.listed(store.database)] == [plain["bench"]]
    assert f"the bench 'ffffffff' cannot be read: bench.{column}: " in caplog.text
    (defect,) = integrity.check(store)
    assert (defect.kind, defect.subject) == ("unreadable", "f" * 64)
    assert integrity.repair(store)[0] == "quarantined bench ffffffff"
    assert integrity.check(store) == []


@pytest.mark.parametrize(("table", "column"), [("study", "updated"), ("study", "name"), ("result", "accuracy")])
def test_a_damaged_cell_of_a_study_hides_no_other(
    table: str, column: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(f"sqlite:///{filled(tmp_path / 'store.db', 2)}")
    store.register(made_plan(1, name="other", model={"hidden": [7]}))
    which = " WHERE name = 'made'" if table == "study" else ""
    with store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = x'ff00'{which}")
    listed = {row["name"]: row["best"] for row in queries.studies(store.database)}
    assert listed == ({"other": None} if table == "study" else {"other": None, "made": None})
    assert "cannot be read" in caplog.text


def test_a_link_to_a_store_has_the_log_and_the_weights_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    path = filled(tmp_path / "real" / "store.db", 2)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    content = b"w" * (SMALL_BYTES + 1)
    name = Store(str(link)).artifacts.put(content)
    assert Store(str(path)).artifacts.get(name) == content
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.db", "real"]
    (path.with_name("store.db-wal")).write_bytes(b"x" * 100)
    raw = database._raw
    refusing = types.SimpleNamespace(execute=_refuse, close=lambda: None)
    monkeypatch.setattr(database, "_raw", lambda uri, *wait: raw(uri, *wait) if "immutable" in uri else refusing)
    with pytest.raises(StoreError, match=r"store\.db: its newest results are in store\.db-wal"):
        Store(str(link), read_only=True)


def _refuse(statement: str) -> None:
    """As SQLite in a folder that may not be written to."""
    raise sqlite3.OperationalError(f"unable to open database file: {statement}")


def test_weights_next_to_a_link_are_still_read(tmp_path: Path) -> None:
    path, link = filled(tmp_path / "store.db", 1), tmp_path / "link.db"
    link.symlink_to(path)
    content = b"w" * (SMALL_BYTES + 1)
    name = Folder(tmp_path / "link.db.artifacts").put(content)
    assert Store(str(link)).artifacts.get(name) == content


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_store_that_is_taken_away_while_in_use_takes_no_results(how: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store, plan = Store(str(path)), made_plan(2)
    store.register(plan)
    claimed = store.leases.claim(plan.jobs)
    assert claimed is not None
    if how == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "away.db")
    if how == "replaced":
        shutil.copy(tmp_path / "away.db", path)
    with pytest.raises(StoreError, match="was moved, replaced or deleted while it was in use"):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))


def test_a_folder_and_a_missing_store_are_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a folder"):
        Store(str(tmp_path))
    with pytest.raises(StoreError, match="no such store"):
        Store(str(tmp_path / "none.db"), read_only=True)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(str(tmp_path / "no" / "folder" / "x.db"))
    for url in (
        "mysql://host/x",
        "mysql://host/{x}",
        "{a}://b",
        "nonsense://",
        "sqlite://",
        "postgresql+psycopg://nobody@127.0.0.1:1/x",
    ):
        with pytest.raises(StoreError) as told:
            Store(url)
        assert "Traceback" not in str(told.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        Store(str(tmp_path / "store.db"))
    tmp_path.chmod(0o700)


def test_a_store_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 2)
    content = settled(path)
    for extra in tmp_path.glob("store.db-*"):
        extra.unlink()
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        assert queries.trials(Store(str(path), read_only=True).database)[1] == 2
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == content


@pytest.mark.parametrize("seed", range(12))
def test_a_store_cut_short_is_told_and_what_is_left_can_be_saved(seed: int, tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db")
    whole = settled(path)
    cut = random.Random(seed).randrange(1, len(whole))
    path.write_bytes(whole[:cut])
    for read_only in (False, True):
        with pytest.raises(StoreError, match="damaged|not a store"):
            Store(str(path), read_only=read_only)
    assert path.read_bytes() == whole[:cut]
    try:
        target, kept = salvage(path)
    except AssayError:
        return
    store = Store(str(target))
    assert kept <= 30
    assert kept > 0 or cut < 0.8 * len(whole)  # what is before the cut is there
    assert not [finding for finding in integrity.check(store) if finding.kind in ("damaged", "unreadable")]
    store.close()
    assert path.read_bytes() == whole[:cut]


@pytest.mark.parametrize("seed", range(12))
def test_a_page_of_noise_is_told_or_goes_round(seed: int, tmp_path: Path) -> None:
    """Whatever is damaged, there is a sentence or the right answer, never another exception."""
    path = filled(tmp_path / "store.db")
    content = bytearray(settled(path))
    noise = random.Random(seed)
    page = 4096 * noise.randrange(1, len(content) // 4096)
    content[page : page + 4096] = noise.randbytes(4096)
    path.write_bytes(bytes(content))
    try:
        store = Store(str(path))
        findings = integrity.check(store)
        assert findings or queries.trials(store.database)[1] == 30
    except StoreError:
        pass
    target, kept = salvage(path)
    assert kept <= 30
    assert not [f for f in integrity.check(Store(str(target))) if f.kind in ("damaged", "unreadable")]


@pytest.mark.parametrize("version", sorted(path.stem for path in FIXTURES.glob("*.db")))
def test_a_store_of_every_schema_version_opens_with_its_trials(version: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / f"{version}.db", path)
    store = Store(str(path))
    rows, count = queries.trials(store.database, ["outcome=completed"])
    assert count == 6
    assert all(row["accuracy"] > 0 for row in rows)
    assert not [finding for finding in integrity.check(store) if finding.kind in ("damaged", "unreadable")]
    assert len(imported.listed(store.database)) == (version >= "v0003")  # older schemas had no imported curves


def test_the_newest_schema_has_its_stored_file() -> None:
    assert (FIXTURES / f"v{VERSION}.db").is_file()


START = """
import sys, time
from pathlib import Path
from assay.store.store import Store
from tests.store.makers import made_plan
plan = made_plan(20)
Path(sys.argv[2] + "/ready" + sys.argv[3]).touch()
while not Path(sys.argv[2] + "/go").exists():
    time.sleep(0.001)
store = Store(sys.argv[1])
store.register(plan)
"""


@pytest.mark.endurance
def test_eight_processes_start_at_once_on_a_fresh_store(url: str, tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", "-c", START, url, str(tmp_path)]
    root = Path(__file__).parents[2]
    started = [subprocess.Popen([*words, str(n)], cwd=root, stderr=subprocess.PIPE, text=True) for n in range(8)]
    while len(list(tmp_path.glob("ready*"))) < 8:
        time.sleep(0.01)
    (tmp_path / "go").touch()
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    store = Store(url)
    assert queries.trials(store.database)[1] == 20
    assert len(queries.studies(store.database)) == 1
    store.close()


WRITE = """
import sys, time
from assay.store.store import Store
from tests.store.makers import made_bench, made_end, made_plan
url, count, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store, plan = Store(url), made_plan(total)
store.register(plan)
jobs, done, begin = list(plan.jobs), 0, time.perf_counter()
while True:
    claimed, ended = store.leases.claim_or_done(jobs)
    jobs = [job for job in jobs if job.trials[0].key not in ended] if ended else jobs
    if claimed is None:
        break
    lease, job = claimed
    time.sleep(0.01)
    assert store.finish(lease, job.trials[0], made_end(job.trials[0], content=None))
    store.leases.release(lease)
    jobs.remove(next(other for other in jobs if other.trajectory == job.trajectory))
    done += 1
print(done, time.perf_counter() - begin)
"""


def write_together(url: str, writers: int, each: int) -> tuple[list[int], float]:
    """Trials that each of several processes stored, and the seconds of the slowest."""
    words = [sys.executable, "-c", WRITE, url, str(each), str(writers * each)]
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(writers)
    ]
    counts: list[int] = []
    slowest = 0.0
    for process in started:
        said, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
        count, seconds = said.split()
        counts.append(int(count))
        slowest = max(slowest, float(seconds))
    return counts, slowest


@pytest.mark.endurance
def test_writers_share_the_trials_without_a_lock_error_or_a_duplicate(url: str) -> None:
    counts, _ = write_together(url, 4, 30)
    assert sum(counts) == 120


@pytest.mark.endurance
def test_one_writer_costs_a_few_milliseconds_a_trial(url: str) -> None:
    counts, seconds = write_together(url, 1, 100)
    print(f"1 writer: {1000 * seconds / 100 - 10:.1f} ms a trial beyond its own 10 ms")
    assert counts == [100]


@pytest.mark.endurance
def test_eight_writers_of_500_trials_each(url: str, record_property: pytest.RecordProperty) -> None:
    counts, seconds = write_together(url, 8, 500)
    assert sum(counts) == 4000
    record_property("overhead_ms", 1000 * (seconds / 500 - 0.01))
    print(f"8 writers: {1000 * seconds / 500 - 10:.1f} ms a trial beyond its own 10 ms")


def test_a_postgresql_url_without_a_driver_uses_the_one_that_is_installed() -> None:
    for scheme in ("postgres", "postgresql"):
        assert parsed_url(f"{scheme}://me@host/x").drivername == "postgresql+psycopg"
    assert parsed_url("postgresql+psycopg://me@host/x").drivername == "postgresql+psycopg"
