"""Small weights are rows of the transaction that refers to them; large ones, and those of older versions, are files."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from assay.errors import StoreError
from assay.store import artifacts, integrity
from assay.store.artifacts import SMALL_BYTES, BySize, Folder, name_of
from assay.store.backup import backup
from assay.store.schema import artifact
from assay.store.store import Store
from tests.store.makers import made_end, made_plan

SMALL, LARGE = b"s" * SMALL_BYTES, b"l" * (SMALL_BYTES + 1)


def finish(store: Store, contents: list[bytes]) -> list[str]:
    """Trials with these weights; their keys."""
    plan, keys = made_plan(len(contents)), list[str]()
    store.register(plan)
    for content in contents:
        lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
        assert store.finish(lease, job.trials[0], made_end(job.trials[0], content=content))
        store.leases.release(lease)
        keys.append(job.trials[0].key)
    return keys


def rows(store: Store) -> set[str]:
    with store.database.read() as connection:
        return set(connection.execute(sa.select(artifact.c.hash)).scalars())


def files(store: Store) -> set[str]:
    folder = Path(f"{store.database.path}.artifacts")
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_small_weights_make_no_file_and_large_ones_no_row(store: Store) -> None:
    finish(store, [SMALL, LARGE, b"tiny"])
    if store.database.path is None:
        assert rows(store) == {name_of(SMALL), name_of(LARGE), name_of(b"tiny")}
        return
    assert rows(store) == {name_of(SMALL), name_of(b"tiny")}
    assert files(store) == {name_of(LARGE)}
    assert {store.artifacts.get(name) for name in store.artifacts.names()} == {SMALL, LARGE, b"tiny"}
    assert integrity.check(store) == []


def test_a_refused_commit_leaves_no_row_of_its_weights(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_plan(1)
    store.register(plan)
    lease, job = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    store.leases.release(lease)
    assert not store.finish(lease, job.trials[0], made_end(job.trials[0], content=b"late"))
    assert rows(store) == set()


def test_a_checkpoint_replaces_the_one_before_it(store: Store) -> None:
    plan = made_plan(1)
    store.register(plan)
    lease, _ = store.leases.claim(plan.jobs) or pytest.fail("nothing to claim")
    for iteration, content in enumerate((b"first", LARGE, b"third"), 1):
        store.checkpoint(lease, iteration, content)
        assert set(store.artifacts.names()) == {name_of(content)}


def test_a_damaged_or_missing_row_is_found_and_written_anew(store: Store) -> None:
    finish(store, [b"one", b"two"])
    with store.database.write() as connection:
        connection.execute(sa.update(artifact).where(artifact.c.hash == name_of(b"one")).values(content=b"0ne"))
        connection.execute(sa.delete(artifact).where(artifact.c.hash == name_of(b"two")))
    defects = {defect.subject: defect.sentence for defect in integrity.check(store)}
    assert set(defects) == {name_of(b"one"), name_of(b"two")}
    assert "is damaged" in defects[name_of(b"one")]
    assert "is missing" in defects[name_of(b"two")]
    with pytest.raises(StoreError, match="damaged"):
        store.artifacts.get(name_of(b"one"))
    store.artifacts.put(b"one")
    store.artifacts.put(b"two")
    assert integrity.check(store) == []


def test_files_of_an_older_version_are_read_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "SMALL_BYTES", -1)
    store = Store(str(tmp_path / "store.db"))
    (key, _) = finish(store, [b"old", b"other"])
    orphan = store.artifacts.put(b"orphan")
    monkeypatch.undo()
    assert rows(store) == set()
    assert isinstance(store.artifacts, BySize)
    assert store.artifacts.get(name_of(b"old")) == b"old"
    new = store.artifacts.put(b"new orphan")
    assert integrity.vacuum(store) == (0, 0)  # both are young
    monkeypatch.setattr(artifacts, "_YOUNG_SECONDS", -1.0)
    assert integrity.vacuum(store) == (2, len(b"orphan") + len(b"new orphan"))
    assert not {orphan, new} & set(store.artifacts.names())
    assert store.remove(trials=[key]) == 1
    assert integrity.vacuum(store) == (1, 3)
    assert files(store) == {name_of(b"other")}
    store.close()


def test_a_backup_has_the_rows_and_the_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    finish(store, [b"row", LARGE])
    assert backup(store, tmp_path / "copy.db") == (2, 2)
    copy = Store(str(tmp_path / "copy.db"))
    assert {copy.artifacts.get(name) for name in copy.artifacts.names()} == {b"row", LARGE}
    assert isinstance(copy.artifacts, BySize)
    assert isinstance(copy.artifacts.folder, Folder)
    assert files(copy) == {name_of(LARGE)}
    assert integrity.check(copy) == []
    copy.close()
    store.close()
