"""Processor seconds, foreign load and instruction levels: stored, migrated, exported, salvaged, filtered, shown."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assay.cli.tables import BUSY, study, summary, trials
from assay.errors import StoreError
from assay.report.answers import preparation, processor_sentence
from assay.results.results import Results
from assay.store import queries
from assay.store.exchange import export, read_back
from assay.store.records import Finished, history_of
from assay.store.salvage import salvage
from assay.store.schema import ADDED, VERSION, result
from assay.store.store import Store
from assay.system.load import Load
from assay.training.checkpoints import from_bytes, to_bytes
from assay.training.history import History
from assay.training.ledger import ENTRIES, Ledger
from tests.store.makers import made_history, made_plan
from tests.store.test_integrity import FIXTURES
from tests.store.test_machines import OLD, old_store

LOADS = (Load(1.5, 0.125, False), Load(1.25, 2.5, True), Load(0.03, 0.01, None), Load(None, None, None))
PROCESSOR = {name: 0.25 * number for number, name in enumerate(ENTRIES)}


def history(made: History, load: Load) -> History:
    known = PROCESSOR | {"train": load.processor} if load.processor is not None else None
    ledger = Ledger(data=0.5, train=2.0, wall=3.0, processor=known)
    level = None if load.processor is None else "avx2"
    return replace(made, ledger=ledger, load=load, level=level, preparation_seconds=0.75, skipped=0.5)


def fill(store: Store) -> list[str]:
    """Four trials with the loads above; their keys."""
    plan = made_plan(4)
    store.register(plan)
    for trial, load in zip(plan.trials.values(), LOADS, strict=True):
        lease, _ = store.leases.claim([job for job in plan.jobs if job.trials[0].key == trial.key]) or (None, None)
        assert lease is not None
        ended = history(made_history(trial), load)
        assert store.finish(lease, trial, Finished(ended.outcome, ended.reason, ended))
        store.leases.release(lease)
    return list(plan.trials)


def loads_in(store: Store, keys: list[str]) -> list[Load]:
    rows = [queries.one_trial(store.database, key) for key in keys]
    return [Load(row["processor_seconds"], row["foreign_seconds"], row["busy"]) for row in rows]


def test_a_trial_is_stored_with_its_load(store: Store) -> None:
    keys = fill(store)
    assert loads_in(store, keys) == list(LOADS)
    stored = [history_of(queries.one_trial(store.database, key)) for key in keys]
    assert [one.load for one in stored] == list(LOADS)
    assert [one.level for one in stored] == ["avx2", "avx2", "avx2", None]
    assert {(one.preparation_seconds, one.skipped) for one in stored} == {(0.75, 0.5)}
    assert stored[0].ledger.processor == PROCESSOR | {"train": 1.5}
    assert stored[0].ledger.plain()["wall"] == 3.0
    assert stored[3].ledger.processor is None
    frame = Results(store, "made").frame()
    assert frame["processor_seconds"].tolist()[:3] == [1.5, 1.25, 0.03]
    assert frame["foreign_seconds"].tolist()[:3] == [0.125, 2.5, 0.01]
    assert frame["busy"].tolist() == [False, True, None, None]
    assert frame["level"].tolist() == ["avx2", "avx2", "avx2", None]
    assert frame["ledger_processor_train"].tolist()[:3] == [1.5, 1.25, 0.03]
    assert frame["ledger_train"].tolist() == [2.0] * 4
    row = Results(store, "made").summary().to_dict("records")[0]
    assert (row["processor_seconds"], row["busy_trials"]) == (1.25, 1)
    assert ("instruction level", "avx2") in Results(store, "made").environment()


def test_trials_are_filtered_by_their_load(store: Store) -> None:
    keys = fill(store)
    for text, expected in (
        ("busy=true", [keys[1]]),
        ("busy=FALSE", [keys[0]]),
        ("processor_seconds>1.3", [keys[0]]),
        ("foreign_seconds<0.1", [keys[2]]),
        ("level=avx2", keys[:3]),
        ("stale=0", keys),
    ):
        rows, count = queries.trials(store.database, [text], sort="seed")
        assert (sorted(row["key"] for row in rows), count) == (sorted(expected), len(expected)), text
    with pytest.raises(StoreError, match="filter 'busy=maybe': got 'maybe'; expected true or false"):
        queries.trials(store.database, ["busy=maybe"])


def test_a_checkpoint_carries_its_load_and_one_without_is_unknown(store: Store) -> None:
    trial = next(iter(made_plan(1).trials.values()))
    whole = history(made_history(trial), LOADS[1])
    again = from_bytes(to_bytes(whole), source="test")
    assert (again.load, again.level, again.ledger) == (LOADS[1], "avx2", whole.ledger)
    assert (again.preparation_seconds, again.skipped) == (0.75, 0.5)
    from safetensors.numpy import load, save

    content = to_bytes(whole)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = json.loads(header["__metadata__"]["assay"])
    del about["load"]  # as older versions wrote it
    old = from_bytes(save(load(content), metadata={"assay": json.dumps(about)}), source="test")
    assert (old.load, old.level, old.ledger.processor) == (Load(), None, None)
    assert old.ledger.train == 2.0


def test_an_older_store_is_migrated_with_everything_unknown(url: str) -> None:
    store = Store(old_store(url))
    rows, count = queries.trials(store.database)
    assert count == 6
    assert all(row[name] is None for row in rows for name in ADDED)
    assert Results(store, "made").frame()["busy"].tolist() == [None] * 6
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == VERSION
    store.close()


def test_an_older_store_is_read_as_it_is(url: str) -> None:
    old_store(url)
    store = Store(url, read_only=True)
    for _ in range(2):  # on more than one connection
        with store.database.read() as first, store.database.read() as second:
            for connection in (first, second):
                assert connection.execute(sa.select(sa.func.count()).select_from(result)).scalar_one() == 5
        frame = Results(store, "made").frame()
        assert frame["level"].tolist() == [None] * 6
        assert frame["processor_seconds"].isna().all()
        assert frame["seconds"].notna().sum() == 5
        assert queries.trials(store.database, ["busy=true"]) == ([], 0)
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "0003"
    store.close()


@pytest.mark.parametrize("version", ["v0003", "v0004", f"v{VERSION}"])
def test_stores_of_every_readable_version_are_read_without_a_change(version: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / f"{version}.db", path)
    content = path.read_bytes()
    store = Store(str(path), read_only=True)
    frame = Results(store, "stored").frame()
    assert len(frame) == 6
    assert frame["processor_seconds"].notna().all() == (version >= "v0005")
    store.close()
    assert path.read_bytes() == content


def test_an_export_carries_the_load_and_an_older_one_is_read(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    keys = fill(store)
    export(store, tmp_path / "out")
    other = Store(str(tmp_path / "other.db"))
    assert read_back(other, tmp_path / "out") == (4, 0)
    assert loads_in(other, keys) == list(LOADS)
    assert [queries.one_trial(other.database, key)["level"] for key in keys] == ["avx2", "avx2", "avx2", None]
    older = Store(str(tmp_path / "older.db"))
    assert read_back(older, OLD / "export") == (5, 1)
    assert all(row[name] is None for row in queries.trials(older.database)[0] for name in ADDED)


def test_what_is_salvaged_of_an_older_store_has_nothing_made_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / "v0004.db", path)
    target, kept = salvage(path)
    assert kept == 6
    with sqlite3.connect(target) as connection:
        found = connection.execute(f"SELECT {', '.join(ADDED)} FROM result").fetchall()
    connection.close()
    assert found == [(None,) * len(ADDED)] * 6


def rendered(table: Any) -> str:
    from rich.console import Console

    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_tables_show_processor_seconds_and_mark_a_busy_machine(store: Store) -> None:
    keys = fill(store)
    rows = {row["key"]: row for row in queries.trials(store.database)[0]}
    listed = rendered(trials([rows[key] for key in keys]))
    lines = [next(line for line in listed.splitlines() if key[:8] in line) for key in keys]
    assert [BUSY in line for line in lines] == [False, True, False, False]
    assert ["(1.500)" in lines[0], "(1.250)" in lines[1], "(" in lines[3]] == [True, True, False]
    assert f"4, 1 {BUSY}" in rendered(study(Results(store, "made").summary(), "title"))
    texts = [rendered(summary(history_of(queries.one_trial(store.database, key)))) for key in keys]
    assert "0.125 s, 6.25 % of training\n" in "".join(line.rstrip() + "\n" for line in texts[0].splitlines())
    assert f"2.500 s, 125.00 % of training: {BUSY}" in texts[1]
    assert "0.010 s; trainings under 0.2 s are not judged" in texts[2]
    assert texts[3].count("unknown") == 2
    assert "effective" in texts[0] and "(50.00 % of them skipped: zero inputs)" in texts[0]
    assert "0.750 s until a new engine has the data" in texts[0]


def test_sentences_name_processor_seconds_busy_trials_and_preparation(store: Store) -> None:
    fill(store)
    frame = Results(store, "made").frame()
    name = frame["configuration"][0]
    assert processor_sentence(frame) == (
        f"processor seconds of training (median): {name} 1.25 (1 of 4 trials on a busy machine)"
    )
    assert preparation(frame) == (
        "seconds of training leave out the preparation (once per process, until a new engine has the data): "
        "numpy 0.75 s (median)"
    )
    unknown = frame.assign(processor_seconds=float("nan"), busy=None, preparation_seconds=float("nan"))
    assert (processor_sentence(unknown), preparation(unknown)) == ("", "")
