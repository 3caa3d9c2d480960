"""A disk that is full: a sentence, everything finished is there, and the study goes on once there is room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from assay.errors import FileError, StoreError
from assay.execution.full_disk import WithoutRoom
from assay.execution.runner import Execution
from assay.store import integrity, queries
from assay.store.store import Store
from tests.store.makers import made_plan

STUDY = """
name = "full"
design = "grid"
repeats = 12
timing = "packed"
engine = "numpy"
[baseline]
data = "digits"
model.hidden = [256]
budget.epochs = 1
[axes.rate]
key = "optimizer.learning_rate"
values = [0.001, 0.01]
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine may not mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "assay.cli", "run", "full.toml", "--store", str(folder / "store.db")]
    return subprocess.run(words, cwd=folder.parent, capture_output=True, text=True, timeout=200)


@pytest.mark.endurance
def test_a_full_disk_loses_nothing_and_the_study_goes_on_when_there_is_room(small_disk: Path) -> None:
    (small_disk.parent / "full.toml").write_text(STUDY)
    done = run(small_disk)
    assert done.returncode == 2
    assert "no space left on the disk" in done.stderr or "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    path = str(small_disk / "store.db")
    store = Store(path, read_only=True)
    before = {row["key"]: row["finished"] for row in queries.trials(store.database, ["outcome=completed"], limit=99)[0]}
    assert 0 < len(before) < 24
    store.close()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = run(small_disk)
    assert again.returncode == 0, again.stderr
    store = Store(path)
    rows = queries.trials(store.database, ["outcome=completed"], limit=99)[0]
    assert len(rows) == 24
    assert before.items() <= {row["key"]: row["finished"] for row in rows}.items()
    assert not [finding for finding in integrity.check(store) if finding.kind in ("damaged", "unreadable", "missing")]
    store.close()


def test_checkpoints_without_room_leave_the_earlier_ones_and_no_files(small_disk: Path) -> None:
    store, plan = Store(str(small_disk / "store.db")), made_plan(2)
    store.register(plan)
    first, second = (claimed[0] for _ in range(2) if (claimed := store.leases.claim(plan.jobs)))
    store.checkpoint_all([(first, 1, b"a" * 2**19), (second, 1, b"b" * 2**19)])
    before = sorted(store.artifacts.names())
    assert len(before) == 2
    with pytest.raises(FileError, match="No space left"):
        store.checkpoint_all([(first, 2, b"c" * 2**19), (second, 2, b"d" * 3 * 2**20)])
    assert sorted(store.artifacts.names()) == before
    assert integrity.check(store) == []
    store.checkpoint_all([(first, 2, b"c" * 2**19)])
    assert len(list(store.artifacts.names())) == 2
    store.close()


@pytest.mark.parametrize("room", [False, True])
def test_a_training_outlives_a_checkpoint_without_room(
    room: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The checkpoint of `stop` comes through the same message as those in the midst of a training."""
    store, plan, tried = Store(str(tmp_path / "s.db")), made_plan(1, budget={"iterations": 10**9}), []

    def checkpoint_all(self: Store, checkpoints: object) -> None:
        tried.append(checkpoints)
        raise FileError("x: cannot be written: No space left on device" if room else "x: cannot be written: broken")

    monkeypatch.setattr(Store, "checkpoint_all", checkpoint_all)
    execution = Execution(plan, store)

    def trained() -> None:
        for status in execution:
            if status.running and status.running[0].iteration:
                execution.stop()

    if room:
        trained()
        assert "No space left on device; training continues without this checkpoint" in caplog.text
    else:
        with pytest.raises(FileError, match="broken"):
            trained()
    assert len(tried) == 1
    assert store.leases.claim(plan.jobs)  # its lease has ended


def test_a_full_disk_is_said_once_until_there_was_room(caplog: pytest.LogCaptureFixture) -> None:
    room = WithoutRoom()
    for errors, warnings in ((2, 1), (0, 1), (2, 2)):
        for error in [StoreError("s.db: no space left on the disk (full)")] * errors or [None]:
            with room.spared("it is trained again"):
                if error:
                    raise error
        assert len(caplog.records) == warnings
    assert caplog.records[0].getMessage() == "s.db: no space left on the disk (full); it is trained again"
    with pytest.raises(StoreError, match="damaged"), room.spared("it is trained again"):
        raise StoreError("damaged")


def test_a_store_that_cannot_even_be_made_is_told(small_disk: Path) -> None:
    (small_disk.parent / "full.toml").write_text(STUDY)
    (small_disk / "ballast").write_bytes(b"x" * (3 * 2**20 - 8192))
    done = run(small_disk)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (small_disk / "ballast").unlink()
    assert Store(str(small_disk / "store.db"))


def test_a_folder_that_may_not_be_written_to_is_told(small_disk: Path) -> None:
    (small_disk.parent / "full.toml").write_text(STUDY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = run(small_disk)
    assert done.returncode == 2
    assert "cannot be opened for writing" in done.stderr
    assert "Traceback" not in done.stderr
