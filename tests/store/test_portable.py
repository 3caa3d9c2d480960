"""Exports name data sets without the folders that they lie in, and are read back as what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from assay.data.datasets import load
from assay.data.portable import KNOWN, portable_name
from assay.errors import DataError
from assay.store import benches
from assay.store.exchange import export, read_back
from assay.store.integrity import check
from assay.store.portable import PortableNames
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from tests.folders import mnist_folder
from tests.hard.fuzz_exports import filled
from tests.store.makers import made_bench, made_end


@pytest.mark.parametrize("name", ["digits", "digits-28"])
def test_a_known_data_set_is_known_by_its_checksum(name: str) -> None:
    assert KNOWN[load(name).checksum] == name


@pytest.mark.mnist
def test_mnist_is_known_by_its_checksum() -> None:
    folder = str(mnist_folder())
    assert portable_name(folder, load(folder).checksum) == "mnist"


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("digits", "digits"),
        ("openml:61", "openml:61"),
        ("/home/ada/letters", "letters@0123456789ab"),
        ("~/letters/", "letters@0123456789ab"),
        ("C:\\data\\letters", "letters@0123456789ab"),
        ("data/letters.npz", "letters.npz@0123456789ab"),
        ("/home/ada/mnist", "mnist@0123456789ab"),  # another content than MNIST's: not its name
        ("letters@0123456789ab", "letters@0123456789ab"),  # of an export that was imported
        ("letters", "letters"),
    ],
)
def test_a_path_is_its_last_part_and_its_checksum(name: str, portable: str) -> None:
    assert portable_name(name, "0123456789abcdef") == portable


def test_a_folder_of_a_known_set_has_the_name_of_the_set() -> None:
    assert portable_name("/x/y", load("digits").checksum) == "digits"


def test_a_folder_whose_content_has_changed_is_two_data_sets() -> None:
    names = PortableNames([("/x/kana", "a" * 64), ("/x/kana", "b" * 64)])
    assert names.add("/x/kana", "a" * 64) == "kana@" + "a" * 12
    assert names.text("/x/kana") == "kana"


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    folder = tmp_path / "of ada"
    folder.mkdir()
    draw = np.random.default_rng(0)
    sets = {f"x_{part}": draw.random((20, 4)) for part in ("train", "test")}
    sets |= {f"y_{part}": np.arange(20) % 2 for part in ("train", "test")}
    np.savez(folder / "two.npz", **sets)
    return folder / "two.npz"


def _plan(path: Path) -> Any:
    axes = {"data": {"key": "data.name", "values": [str(path), "digits"]}, "rate": {"r": {"optimizer": "adam"}}}
    raw = {"name": "made", "engine": "numpy", "repeats": 2, "axes": axes}
    return plan(Study.parse(raw | {"baseline": {"budget": 10, "batches": {"size": 8}, "data": {"name": str(path)}}}))


def test_an_export_has_no_folder_of_the_data_and_is_read_back(tmp_path: Path, arrays: Path) -> None:
    store, planned = Store(str(tmp_path / "s.db")), _plan(arrays)
    filled(store, planned, made_end)
    bench = made_bench().plain()
    bench["data"] |= {"name": str(arrays), "checksum": load(arrays).checksum}
    bench["recipe"] = {"data": {"name": str(arrays)}}
    benches.save(store.database, bench)
    export(store, tmp_path / "e")
    marked = f"two.npz@{load(arrays).checksum[:12]}"
    for file in (tmp_path / "e").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file
    rows = pandas.read_parquet(tmp_path / "e" / "trials.parquet")
    assert set(rows["data"]) == {marked, "digits"}
    assert {json.loads(text)["data"]["name"] for text in rows["recipe"]} == {marked, "digits"}
    assert set(rows["key"]) == set(planned.trials)  # keys hold the content, not the name

    again = Store(str(tmp_path / "again.db"))
    assert read_back(again, tmp_path / "e") == (4, 0)
    assert [defect for defect in check(again) if defect.kind != "orphan"] == []
    definition = again.definition("made")
    assert definition is not None and definition["baseline"]["data"]["name"] == marked
    assert definition["axes"]["data"]["values"] == [marked, "digits"]
    assert benches.listed(again.database)[0]["data"] == marked
    export(again, tmp_path / "twice")
    assert set(pandas.read_parquet(tmp_path / "twice" / "trials.parquet")["data"]) == {marked, "digits"}


def test_the_labels_of_members_are_those_of_the_exported_study(tmp_path: Path, arrays: Path) -> None:
    store = Store(str(tmp_path / "s.db"))
    filled(store, _plan(arrays), made_end)
    export(store, tmp_path / "e")
    exported = json.loads((tmp_path / "e" / "studies.json").read_text())["studies"][0]
    study = Study.parse(json.loads(exported["definition"]))
    assert study.digest == exported["digest"]
    labels = dict.fromkeys(member["label"] for member in exported["members"])
    assert list(labels) == [candidate.label for candidate in study.candidates()]
    values = [json.loads(member["axis_values"]) for member in exported["members"]]
    assert values[::2] == [dict(candidate.values) for candidate in study.candidates()]


def test_a_data_set_of_another_machine_asks_for_its_folder() -> None:
    with pytest.raises(DataError, match="kana@0123456789ab: a data set of another machine.*--data"):
        load("kana@0123456789ab")


def test_a_word_of_a_study_that_is_no_data_set_stays() -> None:
    names = PortableNames([("mine", load("digits").checksum)])
    plain = {"about": "mine", "baseline": {"data": "mine"}, "axes": {"data": {"values": ["mine"]}}}
    assert names.plain(plain) == {
        "about": "mine",
        "baseline": {"data": "digits"},
        "axes": {"data": {"values": ["digits"]}},
    }
