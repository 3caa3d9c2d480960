"""Curves as bytes: exact, refused where damaged, bounded by their size, read many at once."""

from __future__ import annotations

import json
import math
import random
import shutil
import sqlite3
import struct
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from assay.results.results import Results
from assay.store import integrity, queries
from assay.store.curves import (
    ALWAYS,
    EMPTY,
    POINT,
    CurveError,
    check,
    count_of,
    has_column,
    load,
    packed,
    packed_text,
    points_of,
    text_of,
    unpacked,
)
from assay.store.records import history_of
from assay.store.salvage import salvage
from assay.store.schema import result
from assay.store.store import Store
from assay.training.history import Point
from tests.store.makers import made_history, made_plan
from tests.store.test_contract import finish_one
from tests.store.test_integrity import FIXTURES

SMALL: dict[str, list[Any]] = {
    "iteration": [0, 10, 300],
    "examples": [0, 320, 9600],
    "seconds": [0.0, 0.25, 1.5],
    "train_loss": [2.5, None, 0.1],
    "test_accuracy": [0.1, 0.5, 0.975],
}
BYTES = (
    "414301050300000000020201030002050103800808040100000000000000000a0022012000000000000000feff0001060200"
    "0000000000044000000000000004409a9999999999b93f2800000004142784917327"
)
"""The bytes of `SMALL` in version 1, which never change: iteration by steps of two bytes, examples as 32 times the
iteration, seconds in quarters, a bitmap of one missing loss, accuracies as fortieths."""

SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 1e-310, 0.1, 1 / 3, -2.5]
SPECIAL += [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8000000000123, 0xFFF8000000000001)]


def bits(value: Any) -> Any:
    """What tells two values apart that compare equal, or that never do."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def drawn(draw: random.Random) -> dict[str, list[Any]]:
    """Any columns that the format can hold."""
    count = draw.choice([1, 2, 3, 7, 8, 9, 20, 50])
    steps = sorted(draw.sample(range(draw.choice([count, 1000, 2**40, 2**63 - 1])), count))
    if draw.random() < 0.2:
        steps = [draw.choice([0, 2**63 - 1, 5, -(2**63), None]) for _ in range(count)]
    columns: dict[str, list[Any]] = {
        "iteration": steps,
        "examples": [draw.choice([None, 0, 2**63 - 1, 7]) for _ in range(count)],
        "seconds": [draw.random() if draw.random() < 0.7 else draw.choice([None, *SPECIAL]) for _ in range(count)],
    }
    if draw.random() < 0.4 and None not in steps:
        columns["examples"] = [step * 3 if 0 <= step < 2**60 else 0 for step in steps]
    kinds = (
        lambda: draw.randrange(361) / 360,
        lambda: float(np.float32(draw.random())),
        lambda: 3 * draw.random(),
        lambda: draw.choice([None, *SPECIAL]),
        lambda: draw.randrange(2**50) * 2.0**-40,
    )
    for name in POINT[3:]:
        if draw.random() < 0.7:
            kind = draw.choice(kinds)
            columns[name] = [kind() for _ in range(count)]
    return columns


def test_the_bytes_of_a_curve_never_change() -> None:
    assert packed(SMALL).hex() == BYTES
    assert unpacked(bytes.fromhex(BYTES)) == SMALL


@pytest.mark.parametrize("seed", range(100))
def test_every_value_comes_back_bit_by_bit(seed: int) -> None:
    columns = drawn(random.Random(seed))
    content = packed(columns)
    stored = unpacked(content)
    kept = {name: values for name, values in columns.items() if name in ALWAYS or set(values) != {None}}
    assert list(stored) == list(kept)
    for name, values in kept.items():
        assert [bits(value) for value in stored[name]] == [bits(value) for value in values], name
        assert [type(value) for value in stored[name]] == [type(value) for value in values], name
    assert packed(stored) == content  # equal curves have equal bytes
    assert count_of(content) == len(columns["iteration"])


def test_many_curves_are_read_as_each_is_alone() -> None:
    draw = random.Random(1)
    every = [drawn(draw) for _ in range(60)]
    cells = [EMPTY, *map(packed, every), EMPTY]
    curves = load(cells)
    assert curves.errors == {}
    assert curves.counts.tolist() == [0, *(len(columns["iteration"]) for columns in every), 0]
    for name in POINT:
        expected = [value for columns in every for value in columns.get(name, [None] * len(columns["iteration"]))]
        gaps = curves.missing.get(name, np.zeros(len(expected), np.bool_))
        got = [None if gap else value for value, gap in zip(curves.columns[name].tolist(), gaps, strict=True)]
        assert [bits(value) for value in got] == [bits(value) for value in expected], name


def test_one_damaged_curve_among_many_is_named_and_the_others_are_read() -> None:
    cells: list[Any] = [packed(SMALL) for _ in range(5)]
    cells[1] = cells[1][:20] + bytes([cells[1][20] ^ 1]) + cells[1][21:]
    cells[3] = 7
    curves = load(cells, check=True)
    assert set(curves.errors) == {1, 3}
    assert curves.counts.tolist() == [3, 0, 3, 0, 3]
    assert curves.columns["iteration"].tolist() == [0, 10, 300] * 3


@pytest.mark.parametrize("seed", range(5))
def test_no_change_of_a_byte_goes_unseen(seed: int) -> None:
    draw, content = random.Random(seed), packed(SMALL)
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << draw.randrange(8)
        with pytest.raises(CurveError):
            unpacked(bytes(changed))
        with pytest.raises(CurveError):
            unpacked(content[:at])
    with pytest.raises(CurveError):
        unpacked(content + b"\0")


def sealed(content: bytes) -> bytes:
    """Content with the checksum that it should have, as a stranger would make it."""
    return content + struct.pack("<I", zlib.crc32(content))


def test_a_claim_is_refused_before_memory_is_taken() -> None:
    head = bytes.fromhex(BYTES)[:-4]
    points = 3_999_999
    for content, reason in (
        (head[:4] + struct.pack("<I", points) + head[8:], "its header says"),
        (head[:4] + struct.pack("<I", 2**32 - 1) + head[8:], "claims 4,294,967,295 points"),
        (b"AC\2" + head[3:], "has version 2; this Assay reads version 1"),
        (b"XX" + head[2:], "is no stored curve"),
        (b"AC\1\3" + struct.pack("<I", points) + bytes([0, 2, 0, 1, 3, 0, 2, 1, 0]) + bytes(30), "damaged header"),
        (b"AC\1\0" + struct.pack("<I", points), "is cut short"),
    ):
        with pytest.raises(CurveError, match=reason):
            unpacked(sealed(content))
    assert unpacked(EMPTY) == {}
    assert unpacked(sealed(head)) == SMALL


def test_values_that_no_curve_has_are_refused() -> None:
    for change, trained, reason in (
        ({"iteration": [0, 300, 10]}, True, "its iterations do not ascend"),
        ({"iteration": [0, None, 10]}, False, "a point lacks its iteration"),
        ({"examples": [0, -1, 5]}, True, "examples: expected whole numbers from 0 on"),
        ({"examples": [0, None, 5]}, True, "a point lacks its examples or seconds"),
        ({"seconds": [0.0, -1.0, 5.0]}, True, "seconds: expected numbers from 0 on"),
        ({"seconds": [0.0, math.inf, 5.0]}, True, "seconds: expected numbers from 0 on"),
        ({"train_loss": [1.0, math.nan, 5.0]}, True, "train_loss: holds NaN or infinity"),
        ({"test_accuracy": [1.0, 1.5, 0.5]}, True, "test_accuracy: expected fractions from 0 to 1"),
    ):
        with pytest.raises(CurveError, match=reason):
            check(packed(SMALL | change), trained=trained)
    check(packed(SMALL | {"examples": [None, None, None], "seconds": [None, 1.0, None]}), trained=False)
    check(packed(SMALL), trained=True)
    for columns, reason in (
        ({"iteration": [0.5]}, "iteration: expected whole numbers"),
        ({"iteration": [True]}, "iteration: expected whole numbers"),
        ({"seconds": ["1"]}, "seconds: expected numbers"),
        ({"iteration": [2**63]}, "iteration: holds a whole number of more than 64 bits"),
        ({"iteration": [1], "seconds": [1.0, 2.0]}, "its lists differ in length"),
        ({"speed": [1.0]}, "has an unknown column 'speed'"),
    ):
        with pytest.raises(CurveError, match=reason):
            packed(columns)
    for text in ("[]", "{", "7", '{"iteration":3}', "[" * 100_000):
        with pytest.raises(ValueError):
            packed_text(text)


def test_an_ordinary_curve_of_20_points_takes_under_600_bytes() -> None:
    draw, clock = random.Random(0), 52_345.123456789
    columns: dict[str, list[Any]] = {"iteration": sorted(draw.sample(range(500), 20))}
    columns["examples"] = [32 * step - step // 45 * 3 for step in columns["iteration"]]
    columns["seconds"] = [clock + step * draw.uniform(1e-4, 2e-4) - clock for step in columns["iteration"]]
    for name, total in (("train", 1437), ("test", 360)):
        columns[f"{name}_loss"] = [
            2.4 * math.exp(-step / 150) * draw.uniform(0.9, 1.1) for step in columns["iteration"]
        ]
        columns[f"{name}_accuracy"] = [draw.randrange(total) / total for _ in range(20)]
    assert len(packed(columns)) < 600
    assert unpacked(packed(columns)) == columns


def test_an_absent_column_is_told_from_the_header() -> None:
    content = packed(SMALL)
    assert [name for name in POINT if has_column(content, name)] == list(SMALL)
    assert not has_column(b"\xff\0", "test_loss")
    assert not has_column(7, "test_loss")
    assert (count_of(content), count_of(b"AC"), count_of(None)) == (3, 0, 0)


def test_a_stored_curve_is_the_one_that_was_trained(store: Store) -> None:
    plan = made_plan(2)
    store.register(plan)
    key = finish_one(store, plan)
    trained = made_history(plan.trials[key])
    row = queries.one_trial(store.database, key)
    assert isinstance(row["curve"], bytes)
    assert history_of(row).points == trained.points
    assert json.loads(text_of(row["curve"]))["iteration"] == [point.iteration for point in trained.points]
    assert points_of(row["curve"])[0] == Point(0, 0, 0.0, train_loss=1.0, test_loss=1.0, test_accuracy=0.0)


def test_a_flipped_bit_of_a_curve_is_found_by_the_check_and_set_aside(store: Store) -> None:
    plan = made_plan(3)
    store.register(plan)
    keys = [finish_one(store, plan) for _ in range(3)]
    content = bytearray(queries.one_trial(store.database, keys[1])["curve"])
    content[-20] ^= 4  # the last bits of a loss: the number would look right
    with store.database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == keys[1]).values(curve=bytes(content)))
    (defect,) = [defect for defect in integrity.check(store) if defect.kind == "unreadable"]
    assert defect.subject == keys[1]
    assert defect.sentence.endswith("result.curve: is damaged: its checksum does not match")
    assert set(Results(store, "made").curves()["trial"]) == {keys[0], keys[2]}
    integrity.repair(store)
    assert integrity.check(store) == []
    if store.database.path is not None:
        lines = Path(f"{store.database.path}.quarantine.jsonl").read_text().splitlines()
        (row,) = [row for row in map(json.loads, lines) if "curve" in row]
        assert bytes.fromhex(row["curve"]) == bytes(content)


@pytest.mark.parametrize("version", ["v0001", "v0002", "v0003", "v0004", "v0005"])
def test_a_migration_keeps_every_curve(version: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / f"{version}.db", path)
    tables = {"result": "trial"} | ({"imported": "key"} if version >= "v0003" else {})
    with closing(sqlite3.connect(path)) as database:
        for table, key in tables.items():
            database.execute(f"UPDATE {table} SET curve = '[[1, 2' WHERE {key} = (SELECT max({key}) FROM {table})")
        database.commit()
        old = {name: database.execute(f"SELECT {key}, curve FROM {name}").fetchall() for name, key in tables.items()}
        columns = {name: database.execute(f"SELECT * FROM {name}").description for name in tables}
        rest = database.execute("SELECT trial, accuracy, seconds, finished, reason FROM result ORDER BY 1").fetchall()
    Store(str(path)).close()
    with closing(sqlite3.connect(path)) as database:
        for table, key in tables.items():
            names = [row[0] for row in database.execute(f"SELECT * FROM {table}").description]
            assert names[: len(columns[table])] == [row[0] for row in columns[table]]
            new = dict(database.execute(f"SELECT {key}, curve FROM {table}").fetchall())
            for row, text in old[table]:
                assert new[row] == b"[[1, 2" if text == "[[1, 2" else unpacked(new[row]) == json.loads(text)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        again = database.execute("SELECT trial, accuracy, seconds, finished, reason FROM result ORDER BY 1").fetchall()
        assert again == rest
        kinds = database.execute("SELECT DISTINCT typeof(curve) FROM result").fetchall()
        assert kinds == [("blob",)]
        indices = database.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
        assert ("result_finished",) in indices
        assert version < "v0003" or ("ix_imported_study",) in indices
    store = Store(str(path))
    assert len([d for d in integrity.check(store) if d.kind == "unreadable"]) == len(tables)
    store.close()


def test_a_store_of_schema_5_shows_the_same_curves_unmigrated_migrated_and_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / "v0005.db", path)
    store = Store(str(path), read_only=True)
    frame = Results(store, "stored").curves()
    assert Results(store, "stored").picture("curves") is not None
    store.close()
    assert salvage(path)[1] == 6
    for name in (path, Path(f"{path}.repaired")):
        store = Store(str(name))
        assert Results(store, "stored").curves().equals(frame)
        assert integrity.check(store) == []
        store.close()
