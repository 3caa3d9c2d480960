"""A repair of a damaged store keeps the weights, and may be interrupted at any moment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assay.errors import StoreError
from assay.store import integrity
from assay.store.salvage import salvage, salvage_in_place
from assay.store.store import Store
from tests.store.makers import made_end, made_plan

TRIALS = 4


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of four trials with weights as a kill leaves it, everything in its write-ahead log."""
    path = tmp_path_factory.mktemp("killed") / "store.db"
    store, plan = Store(str(path)), made_plan(TRIALS)
    store.register(plan)
    number = 0
    while claimed := store.leases.claim(plan.jobs):
        trial, number = claimed[1].trials[0], number + 1
        content = trial.key.encode() * (10_000 if number % 2 else 1)  # files and rows
        store.finish(claimed[0], trial, made_end(trial, content=content))
        store.leases.release(claimed[0])
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    shutil.copytree(f"{path}.artifacts", f"{copy}.artifacts")
    store.close()
    return copy


def copied(killed: Path, folder: Path) -> Path:
    path = folder / "store.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{killed}{suffix}", f"{path}{suffix}")
    shutil.copytree(f"{killed}.artifacts", f"{path}.artifacts")
    return path


def weights(path: Path) -> list[str]:
    """The trials whose weights the store refers to and has."""
    store = Store(str(path))
    owners = integrity.owners(store)
    contents = [store.artifacts.get(name).decode() for name in owners]
    store.close()
    return sorted(contents)


def test_a_salvaged_store_keeps_its_weights(killed: Path, tmp_path: Path) -> None:
    path = copied(killed, tmp_path)
    target, count = salvage(path)
    assert count == TRIALS
    assert len(weights(target)) == TRIALS
    target.unlink()
    assert salvage_in_place(path)[1] == TRIALS
    assert len(weights(path)) == TRIALS
    store = Store(str(path))
    assert integrity.vacuum(store)[0] == 0
    store.close()


@pytest.mark.parametrize("moment", range(4))
def test_a_repair_in_place_that_was_interrupted_is_finished(
    moment: int, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends before it moves the log, its index or the file; later, nothing is left to move."""
    path = copied(killed, tmp_path)
    (tmp_path / "store.db-shm").write_bytes(b"")
    left, rename = [moment], Path.rename

    def counted(source: Path, target: Path) -> Path:
        if source.name.startswith("store.db"):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        try:
            salvage_in_place(path)
        except KeyboardInterrupt:
            with pytest.raises(StoreError, match="its repair was interrupted; `assay store repair --in-place"):
                Store(str(path))
            with pytest.raises(StoreError, match="its repair was interrupted"):
                Store(str(path), read_only=True)
            with pytest.raises(StoreError, match="its repair was interrupted"):
                salvage(path)
        else:
            assert moment >= 3  # the log, its index, the file
    if (tmp_path / "store.db.repair").exists():
        kept, count = salvage_in_place(path)
        assert (kept.name, count) == ("store.db.damaged-1", TRIALS)
    assert len(weights(path)) == TRIALS
    assert Path(f"{path}.damaged-1-wal").read_bytes() == Path(f"{killed}-wal").read_bytes()
    left_over = {file.name for file in tmp_path.iterdir()} - {"store.db", "store.db.artifacts"}
    assert {name for name in left_over if not name.startswith("store.db.damaged-1")} == set()
