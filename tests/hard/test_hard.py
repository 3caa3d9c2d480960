"""A few cases of the fault injectors with every run of the tests; more of them with the long tests.

`python -m tests.hard` runs them whole.
"""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from . import CASES, counts
from .__main__ import PAGE
from .disk import SECTOR, Disk
from .power_cuts import can_record, check_promises
from .recording import operations
from .two_drivers import can_isolate

EVERY_DAY = {"checkpoints": 5, "opens": 60, "commands": 4}
LONG = {
    "kills": 12,
    "writers": 25,
    "commands": 20,
    "checkpoints": 40,
    "opens": 2000,
    "power-cuts": 100,
    "two-drivers": 1,
}


def run(name: str, cases: int) -> None:
    """Runs an injector in a process of its own: most fork, which a process with threads should not."""
    if (name == "power-cuts" and not can_record()) or (name == "two-drivers" and not can_isolate()):
        pytest.skip("needs strace, or unshare, with the rights to use them")
    command = [sys.executable, "-m", "tests.hard", "--cases", str(cases), "--seed", "20260101", "--only", name, "--dry"]
    done = subprocess.run(command, cwd=PAGE.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: seed 20260101: {cases} cases, 0 failures" in done.stdout


@pytest.mark.parametrize("name", EVERY_DAY)
def test_a_few_accidents_break_no_promise(name: str) -> None:
    run(name, EVERY_DAY[name])


@pytest.mark.endurance
@pytest.mark.parametrize("name", LONG)
def test_many_accidents_break_no_promise(name: str) -> None:
    run(name, LONG[name])


def test_every_injector_of_the_table_can_be_run() -> None:
    assert all(callable(importlib.import_module(module).run) for module in CASES.values())


def test_counts_add_up_since_the_last_fix(tmp_path: Path) -> None:
    file = tmp_path / "counts.json"
    counts.add("opens", 1, {"cases": 10, "failures": 2}, file=file)
    assert counts.add("opens", 2, {"cases": 5, "failures": 0}, file=file) == {"cases": 15, "failures": 2}
    counts.fixed("opens", file=file)
    assert counts.add("opens", 3, {"cases": 7, "failures": 0}, file=file) == {"cases": 7, "failures": 0}


def test_the_page_has_the_counts_of_the_file() -> None:
    assert PAGE.read_text() == counts.document(PAGE), "run: python -m tests.hard --docs"


# --- the disk of the power cuts, whose states must be what they say ---


def states(disk: Disk, folder: Path, count: int = 60) -> set[tuple[tuple[str, bytes], ...]]:
    seen: set[tuple[tuple[str, bytes], ...]] = set()
    for number in range(count):
        target = folder / str(number)
        disk.after_cut(target, random.Random(number))
        seen.add(tuple(sorted((str(p.relative_to(target)), p.read_bytes()) for p in target.rglob("*") if p.is_file())))
    return seen


def test_what_was_flushed_with_its_name_survives_every_cut(tmp_path: Path) -> None:
    disk = Disk()
    for operation in (("create", "a"), ("append", "a", b"content"), ("flush", "a"), ("flush", "")):
        disk.apply(operation)
    assert states(disk, tmp_path) == {(("a", b"content"),)}


def test_what_was_not_flushed_is_missing_torn_or_there(tmp_path: Path) -> None:
    disk, new = Disk(), b"n" * 2 * SECTOR
    for operation in (("create", "a"), ("append", "a", b"o" * 2 * SECTOR), ("flush", "a"), ("flush", "")):
        disk.apply(operation)
    disk.apply(("write", "a", 0, new))
    contents = {state[0][1] for state in states(disk, tmp_path)}
    assert {b"o" * 2 * SECTOR, new, b"n" * SECTOR + b"o" * SECTOR, b"o" * SECTOR + b"n" * SECTOR} == contents


def test_a_rename_that_was_not_flushed_leaves_the_old_name_or_the_new_one(tmp_path: Path) -> None:
    disk = Disk()
    for operation in (("create", "a"), ("append", "a", b"x"), ("flush", "a"), ("flush", ""), ("rename", "a", "b")):
        disk.apply(operation)
    assert states(disk, tmp_path) == {(("a", b"x"),), (("b", b"x"),)}


def test_a_recording_without_promises_is_an_error_of_the_harness() -> None:
    notes = [("create", "store.db"), ("note", "", "ab"), ("note", "", "cd")]
    check_promises(notes, {"ab": (), "cd": ()})
    for recorded, results in (([], {}), (notes[:1], {"ab": ()}), (notes[:2], {"ab": (), "cd": ()})):
        with pytest.raises(SystemExit, match="results were promised"):
            check_promises(recorded, results)


def test_a_trace_becomes_operations(tmp_path: Path) -> None:
    def quoted(text: str) -> str:
        return "".join(f"\\x{byte:02x}" for byte in text.encode())

    name, folder = quoted("/store/a"), quoted("/store")
    lines = [
        f'7 openat(AT_FDCWD<{folder}>, "{quoted("a")}", O_RDWR|O_CREAT, 0644) = 3<{name}>',
        f'7 openat(AT_FDCWD<{folder}>, "{quoted("missing")}", O_RDWR) = -1 ENOENT (No such file or directory)',
        f'7 pwrite64(3<{name}>, "{quoted("new")}", 3, 4096 <unfinished ...>',
        f"8 fsync(4<{folder}>)   = 0",
        "7 <... pwrite64 resumed>) = 3",
        f'7 write(1<{quoted("pipe:[1]")}>, "{quoted("text")}", 4) = 4',
        f'7 write(5<{quoted("/store/notes")}>, "{quoted("key")}", 4) = 4',
        f"7 fdatasync(3<{name}>) = 0",
        f'7 rename("{name}", "{quoted("/store/b")}") = 0',
        f'7 unlink("{quoted("/elsewhere")}") = 0',
    ]
    (tmp_path / "trace").write_text("\n".join(lines) + "\n")
    assert list(operations(tmp_path / "trace", Path("/store"))) == [
        ("create", "a"),
        ("flush", ""),
        ("write", "a", 4096, b"new"),
        ("note", "", "key"),
        ("flush", "a"),
        ("rename", "a", "b"),
    ]
