"""Two drivers with one host name that cannot see each other's processes share a store: every trial is trained once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from assay.store import queries
from assay.store.store import Store

ISOLATED = ["unshare", "--pid", "--fork", "--uts", "--mount-proc"]
STUDY = """
name = "two-drivers"
engine = "native"
timing = "packed"
threads = 1
design = "one-at-a-time"
repeats = 12
[baseline]
budget = { iterations = 20000 }
log = "5000 iterations"
"""


def can_isolate() -> bool:
    try:
        return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def leases_until_the_end(path: Path, drivers: list[subprocess.Popen[str]]) -> dict[str, set[str]]:
    """The tokens of the leases that each trajectory ever had, as seen every few milliseconds."""
    leased: dict[str, set[str]] = {}
    begin = time.monotonic()
    while any(driver.poll() is None for driver in drivers) and time.monotonic() - begin < 60:
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            for key, token in connection.execute("SELECT key, token FROM trajectory WHERE token IS NOT NULL"):
                leased.setdefault(key, set()).add(token)
        time.sleep(0.01)
    return leased


@pytest.mark.skipif(not can_isolate(), reason="needs unshare with the rights to make namespaces")
@pytest.mark.endurance
def test_two_drivers_in_containers_of_one_host_name_train_every_trial_once(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    command = [sys.executable, "-m", "assay", "run", "study.toml", "--store", "shared.db"]
    drivers: list[subprocess.Popen[str]] = []
    for number in range(2):
        time.sleep(0.3 * number)  # both have process id 1; started at one moment, each would take the other for itself
        full = [*ISOLATED, "sh", "-c", 'hostname same && exec "$@"', "sh", *command]
        drivers.append(
            subprocess.Popen(full, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    leased = leases_until_the_end(tmp_path / "shared.db", drivers)
    texts = [driver.communicate(timeout=60)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], texts
    assert len(leased) == 12
    assert {len(tokens) for tokens in leased.values()} == {1}  # no lease was taken over
    assert not [text for text in texts if "was not stored" in text]
    store = Store(str(tmp_path / "shared.db"), read_only=True)
    rows, count = queries.trials(store.database, ["outcome=completed"])
    assert count == 12
    assert {row["iterations"] for row in rows} == {20_000}
    store.close()
