"""What is on the disk when a commit returns, and what is said of disks that cannot promise it."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import pytest

from assay.store.artifacts import Folder
from assay.store.database import _warn_of_network
from assay.store.store import Store
from assay.system import mounts
from assay.system.files import write_atomically
from tests.store.makers import made_plan

FULL, NORMAL = 2, 1


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were flushed, in order."""
    paths: list[str] = []
    fsync = os.fsync

    def recorded(handle: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
def test_an_artifact_is_flushed_with_every_folder_above_it(tmp_path: Path, flushed: list[str]) -> None:
    root = tmp_path / "store.db.artifacts"
    name = Folder(root).put(b"weights")
    assert {str(tmp_path), str(root), str(root / name[:2])} <= set(flushed)
    flushed.clear()
    Folder(root).put(b"weights")  # another process may have been killed before it flushed the names
    assert {str(tmp_path), str(root), str(root / name[:2])} <= set(flushed)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
def test_a_file_is_flushed_before_it_gets_its_name(tmp_path: Path, flushed: list[str]) -> None:
    write_atomically(tmp_path / "page.html", b"page")
    assert len(flushed) == 2
    assert Path(flushed[0]).name.startswith(".page.html.")
    assert flushed[1] == str(tmp_path)


def test_results_are_flushed_when_their_commit_returns_and_leases_are_not(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))

    def level(**options: bool) -> int:
        with store.database.write(**options) as connection:
            return connection.exec_driver_sql("PRAGMA synchronous").scalar_one()

    assert [level(), level(durable=False), level()] == [FULL, NORMAL, FULL]
    plan = made_plan(1)
    store.register(plan)
    claimed = store.leases.claim(plan.jobs)
    assert claimed is not None
    store.leases.renew([claimed[0]])
    assert level() == FULL
    store.close()


Mount = namedtuple("Mount", "mountpoint fstype")


def test_a_store_on_a_network_file_system_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    mounted = [Mount("/", "ext4"), Mount(str(shared), "nfs4"), Mount(str(tmp_path / "share"), "cifs")]
    monkeypatch.setattr(mounts.psutil, "disk_partitions", lambda all: mounted)
    assert mounts.network_file_system(shared / "deep" / "store.db") == "nfs4"
    assert mounts.network_file_system(tmp_path / "store.db") is None
    _warn_of_network.cache_clear()
    for _ in range(2):
        Store(str(shared / "store.db")).close()
    Store(str(tmp_path / "store.db")).close()
    assert [record.message for record in caplog.records] == [
        f"{shared / 'store.db'}: on a network file system (nfs4); "
        "use it from one machine at a time, and PostgreSQL for several"
    ]
