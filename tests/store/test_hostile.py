"""A store that somebody else made: no SQL of its schema is run, no file next to it is trusted, no cell fills memory."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from assay.errors import StoreError
from assay.store import integrity
from assay.store.backup import backup
from assay.store.salvage import salvage, salvage_in_place
from assay.store.store import Store
from assay.system.limits import STORE_CELL_BYTES
from assay.training.checkpoints import to_bytes
from tests.store.makers import made_end, made_history, made_plan

LARGE = 2**18 + 1  # bytes of weights that are a file

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
FOREIGN = {
    "trigger 'boo'": ["CREATE TRIGGER boo AFTER INSERT ON member BEGIN DELETE FROM result; END"],
    "view 'more'": [f"CREATE VIEW more AS {ENDLESS}"],
    "view 'result'": ["ALTER TABLE result RENAME TO hidden", f"CREATE VIEW result AS {ENDLESS}"],
    "view 'alembic_version'": [
        "ALTER TABLE alembic_version RENAME TO old",
        f"CREATE VIEW alembic_version (version_num) AS {ENDLESS}",
    ],
    "virtual table 'text'": ["CREATE VIRTUAL TABLE text USING fts5(a)"],
    "generated column in the table 'member'": ["ALTER TABLE member ADD COLUMN big AS (zeroblob(100000000))"],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of three trials with their weights, the last of which are a file."""
    path = tmp_path / "s.db"
    store, plan = Store(str(path)), made_plan(3)
    store.register(plan)
    for job in plan.jobs:
        lease, _ = store.leases.claim([job]) or pytest.fail("nothing to claim")
        history = made_history(job.trials[0])
        store.finish(lease, job.trials[0], made_end(job.trials[0], content=to_bytes(history)))
        store.leases.release(lease)
    store.close()
    return path


def change(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_schema_with_sql_to_be_run_is_refused(what: str, read_only: bool, path: Path) -> None:
    change(path, *FOREIGN[what])
    with pytest.raises(StoreError, match=f"its schema has (the|a) {what}, whose SQL would be run.*store repair"):
        Store(str(path), read_only=read_only)


@pytest.mark.parametrize(("what", "results"), [("trigger 'boo'", 3), ("view 'more'", 3), ("view 'result'", 0)])
def test_a_repair_copies_the_tables_and_nothing_else(what: str, results: int, path: Path) -> None:
    change(path, *FOREIGN[what])
    target, count = salvage(path)
    assert count == results
    with sqlite3.connect(target) as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT type FROM sqlite_master")}
    connection.close()
    assert kinds == {"table", "index"}


def test_a_cell_above_the_limit_is_no_memory(path: Path) -> None:
    change(path, f"UPDATE result SET curve = zeroblob({STORE_CELL_BYTES.most + 1}) WHERE rowid = 2")
    with pytest.raises(StoreError, match="a cell has more than 128 MiB; `assay store repair"):
        integrity.check(Store(str(path), read_only=True))
    assert salvage(path)[1] == 2


def test_large_cells_are_checked_one_after_the_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.store import database
    from assay.store.schema import machine, result

    change(path, "UPDATE result SET curve = zeroblob(400000)")
    store = Store(str(path), read_only=True)
    with store.database.read() as connection:
        assert database.rows_at_once(store.database, connection, result, 2000) == 2000  # a small file
        monkeypatch.setattr(database, "_BYTES_AT_ONCE", 1_000_000)
        assert database.rows_at_once(store.database, connection, result, 2000) == 2
        assert database.rows_at_once(store.database, connection, machine, 2000) > 100
    store.close()


@pytest.mark.parametrize("kind", ["pipe", "endless", "folder"])
def test_weights_that_are_no_file_are_not_read(kind: str, path: Path, tmp_path: Path) -> None:
    store = Store(str(path))
    name = store.artifacts.put(b"l" * LARGE)
    change(path, f"UPDATE result SET artifact = '{name}' WHERE rowid = 1")
    file = Path(f"{path}.artifacts") / name[:2] / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    (sentence,) = [d.sentence for d in integrity.check(store) if d.kind == "missing"]
    assert "expected a file" in sentence
    assert backup(store, tmp_path / "copy.db") == (3, 3)  # those of the three checkpoints
    store.close()


NOTES = {
    "the name of another file": b"precious.txt",
    "a path": b"../x",
    "nothing": b"",
    "no text": b"\xff\xfe",
    "the name of the store": b"s.db",
    "too much": b"s.db.damaged-1" + b"1" * 10_000,
}


@pytest.mark.parametrize("what", [*NOTES, "pipe", "folder"])
def test_a_note_that_no_repair_wrote_moves_nothing(what: str, path: Path, tmp_path: Path) -> None:
    precious, note, unfinished = tmp_path / "precious.txt", tmp_path / "s.db.repair", tmp_path / ".s.db.repairing"
    precious.write_text("precious")
    unfinished.write_bytes(path.read_bytes())
    if what == "pipe":
        os.mkfifo(note)
    elif what == "folder":
        note.mkdir()
    else:
        note.write_bytes(NOTES[what])
    with pytest.raises(StoreError, match=r"s\.db\.repair: not written by `assay store repair`; move it away"):
        salvage_in_place(path)
    assert precious.read_text() == "precious"
    assert unfinished.read_bytes() == path.read_bytes()


def test_an_interrupted_repair_overwrites_no_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "s.db.repair").write_bytes(b"s.db.damaged-1")
    (tmp_path / "s.db.damaged-1").write_text("precious")
    (tmp_path / ".s.db.repairing").write_bytes(path.read_bytes())
    with pytest.raises(StoreError, match=r"s\.db\.damaged-1: already exists"):
        salvage_in_place(path)
    assert (tmp_path / "s.db.damaged-1").read_text() == "precious"


def test_weights_of_another_training_are_found_and_dropped(path: Path) -> None:
    store = Store(str(path))
    assert [defect.kind for defect in integrity.check(store)] == []
    with sqlite3.connect(path) as connection:
        (first, _), (second, other), _ = connection.execute("SELECT trial, artifact FROM result ORDER BY rowid")
        connection.execute("UPDATE result SET artifact = ? WHERE trial = ?", (other, first))
    connection.close()
    defects = [defect for defect in integrity.check(store) if defect.kind == "foreign"]
    assert [defect.subject for defect in defects] == [first]
    assert "its weights are of a training of another recipe" in defects[0].sentence
    assert f"dropped the weights of {first[:8]}, which are of another training" in integrity.repair(store)
    assert store.history(first) is None
    assert store.history(second) is not None
    store.close()


def test_a_checkpoint_of_another_training_is_not_started_from(path: Path) -> None:
    store, plan = Store(str(path)), made_plan(4)
    store.register(plan)
    (job,) = [job for job in plan.jobs if store.leases.claim([job])]
    trial = job.trials[0]
    with sqlite3.connect(path) as connection:
        (other,) = connection.execute("SELECT artifact FROM result LIMIT 1").fetchone()
        connection.execute(
            "UPDATE trajectory SET checkpoint = ?, iteration = 10 WHERE key = ?", (other, job.trajectory)
        )
    connection.close()
    assert store.start_of(job.trajectory) is not None
    assert store.start_of(job.trajectory, trial.recipe) is None
    assert [defect.subject for defect in integrity.check(store) if defect.kind == "foreign"] == [job.trajectory]
    store.close()


def test_two_backups_to_one_file_leave_each_other_alone(path: Path, tmp_path: Path) -> None:
    import fcntl

    copy, unfinished = tmp_path / "copy.db", tmp_path / ".copy.db.unfinished"
    store = Store(str(path))
    with unfinished.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"half")
        other.flush()
        with pytest.raises(StoreError, match=r"copy\.db: another backup is writing it"):
            backup(store, copy)
        assert unfinished.read_bytes() == b"half"
    assert backup(store, copy) == (3, 3)  # the other one was interrupted
    with pytest.raises(StoreError, match=r"copy\.db: already exists"):
        backup(store, copy)
    assert not unfinished.exists()
    store.close()
