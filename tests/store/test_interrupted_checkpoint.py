"""A store whose file is shorter than its header says, because the rest is in the write-ahead log, is whole."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from assay.errors import StoreError
from assay.store import integrity, queries
from assay.store.backup import backup
from assay.store.salvage import salvage, salvage_in_place
from assay.store.store import Store
from tests.store.makers import made_end, made_plan

TRIALS = 30


def with_log(folder: Path) -> Path:
    """A store of 30 trials as a kill leaves it: everything after its creation is in the write-ahead log."""
    path = folder / "store.db"
    store, plan = Store(str(path)), made_plan(TRIALS)
    with store.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA wal_autocheckpoint = 0")
    store.register(plan)
    while claimed := store.leases.claim(plan.jobs):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
        store.leases.release(claimed[0])
    killed = folder / "killed" / "store.db"
    killed.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{killed}{suffix}")
    store.close()
    return killed


def frames(log: bytes) -> list[tuple[int, bytes]]:
    """The pages of a write-ahead log with their numbers, in the order in which a checkpoint writes them."""
    size = struct.unpack(">I", log[8:12])[0]
    newest: dict[int, bytes] = {}
    for start in range(32, len(log) - size - 23, size + 24):
        newest[struct.unpack(">I", log[start : start + 4])[0]] = log[start + 24 : start + 24 + size]
    return sorted(newest.items())


def write_pages(path: Path, pages: list[tuple[int, bytes]]) -> None:
    with path.open("r+b") as file:
        for number, content in pages:
            file.seek((number - 1) * len(content))
            file.write(content)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_log(tmp_path_factory.mktemp("killed"))


def copied(killed: Path, folder: Path, pages: int) -> Path:
    """The store after a kill inside a checkpoint that had written so many pages."""
    path = folder / "store.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{killed}{suffix}", f"{path}{suffix}")
    write_pages(path, frames(Path(f"{killed}-wal").read_bytes())[:pages])
    return path


def test_a_kill_after_every_page_of_a_checkpoint_loses_nothing(killed: Path, tmp_path: Path) -> None:
    count = len(frames(Path(f"{killed}-wal").read_bytes()))
    assert count > 15
    shorter = 0
    for pages in range(count + 1):
        folder = tmp_path / str(pages)
        folder.mkdir()
        path = copied(killed, folder, pages)
        header = path.read_bytes()[:100]
        shorter += path.stat().st_size < struct.unpack(">I", header[28:32])[0] * 4096
        for read_only in (True, False):
            store = Store(str(path), read_only=read_only)
            assert queries.trials(store.database, ["outcome=completed"])[1] == TRIALS
            store.close()
        store = Store(str(path))
        assert not [defect for defect in integrity.check(store) if defect.kind == "damaged"]
        store.close()
    assert shorter > 5  # the case that this is about


def test_what_is_salvaged_has_the_results_of_the_log(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path, 5)
    assert salvage(path)[1] == TRIALS
    assert Path(f"{path}-wal").read_bytes() == Path(f"{killed}-wal").read_bytes()


def test_a_store_salvaged_in_place_opens_without_the_old_log(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path, 5)
    content = path.read_bytes()
    kept, count = salvage_in_place(path)
    assert count == TRIALS
    assert kept.name == "store.db.damaged-1"
    assert kept.read_bytes() == content
    assert Path(f"{kept}-wal").read_bytes() == Path(f"{killed}-wal").read_bytes()
    assert not Path(f"{path}.repaired.artifacts").is_symlink()
    store = Store(str(path))
    assert queries.trials(store.database, ["outcome=completed"])[1] == TRIALS
    store.close()
    assert salvage_in_place(path)[0].name == "store.db.damaged-2"


HOLD = """
import sys, sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM trial").fetchone()
print("open", flush=True)
sys.stdin.read()
"""


def holding(path: Path, statement: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path), statement]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_store_that_a_program_has_open_is_not_salvaged(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path, 5)
    with holding(path, "BEGIN") as process:
        with pytest.raises(StoreError, match="another program has it open"):
            salvage(path)
        process.kill()
    assert salvage(path)[1] == TRIALS


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.store.database._SILENT_SECONDS", 0.1)
    monkeypatch.setattr("assay.store.database._BUSY_SECONDS", 0.3)


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_that_a_program_keeps_for_itself_is_waited_for_aloud_and_never_read_without_its_log(
    read_only: bool, killed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = copied(killed, tmp_path, 0)
    with holding(path, "PRAGMA locking_mode = EXCLUSIVE") as process:
        with pytest.raises(StoreError, match="locked by another program"):
            Store(str(path), read_only=read_only)
        process.kill()
    assert not read_only or "in use by another program; waiting for up to" in caplog.text
    store = Store(str(path), read_only=read_only)
    assert queries.trials(store.database, ["outcome=completed"])[1] == TRIALS
    store.close()


@pytest.mark.usefixtures("short_waits")
def test_a_wait_for_a_writer_is_said_and_ends_with_it(
    killed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.store.database._BUSY_SECONDS", 60.0)
    store = Store(str(copied(killed, tmp_path, 0)))
    writer = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.4, lambda: writer.execute("COMMIT"))
    end.start()
    with store.database.write() as connection:
        assert store.database.now(connection) > 0
    end.join()
    assert "in use by another program; waiting for up to 60 s" in caplog.text
    writer.close()
    store.close()


def test_a_store_in_a_read_only_folder_is_not_read_without_its_log(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path, 0)
    store = Store(str(path), read_only=True)
    with pytest.raises(StoreError, match=r"its newest results are in store\.db-wal"):
        store.database._connect_immutable(path, str(path))
    store.close()


WRITE = """
import sys
from assay.store.store import Store
from tests.store.makers import made_end, made_plan
store, plan = Store(sys.argv[1]), made_plan(200, seed=1000)
store.register(plan)
while claimed := store.leases.claim(plan.jobs):
    store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
    store.leases.release(claimed[0])
"""


@pytest.mark.endurance
def test_a_backup_beside_a_writer_is_a_sound_store(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path, 3)
    with subprocess.Popen([sys.executable, "-c", WRITE, str(path)]) as writer:
        counts: list[int] = []
        while writer.poll() is None or not counts:
            target = tmp_path / f"copy-{len(counts)}.db"
            counts.append(backup(Store(str(path), read_only=True), target)[0])
            copy = Store(str(target))
            assert not [defect for defect in integrity.check(copy) if defect.kind not in ("orphan", "lease")]
            copy.close()
            time.sleep(0.2)
        assert writer.returncode == 0
    assert counts == sorted(counts)
    assert counts[0] >= TRIALS
    with pytest.raises(StoreError, match="already exists"):
        backup(Store(str(path)), tmp_path / "copy-0.db")
    assert not list(tmp_path.glob(".*"))
