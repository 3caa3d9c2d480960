"""Rows whose columns contradict one another are not imported: they would answer for trainings that were not done."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.errors import FileError
from assay.recipe.model import Recipe
from assay.store.consistency import contradictions
from assay.store.exchange import export, read_back
from assay.store.parquet import trial_rows
from assay.store.store import Store
from assay.studies.keys import trial_key_of
from tests.hard.fuzz_exports import filled
from tests.store.makers import made_end, made_plan


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    store = Store(str(tmp_path / "a.db"))
    filled(store, made_plan(2), made_end)
    export(store, tmp_path / "export")
    store.close()
    return tmp_path / "export"


def changed(exported: Path, column: str, change: Callable[[Any], Any]) -> str:
    """The sentence that refuses an export of which one column was changed in every row."""
    path = exported / "trials.parquet"
    frame = pd.read_parquet(path)
    frame[column] = [change(value) for value in frame[column]]
    frame.to_parquet(path, index=False)
    with pytest.raises(FileError) as refused:
        read_back(Store(str(exported.parent / "b.db")), exported)
    return str(refused.value)


def test_an_export_that_was_not_changed_is_taken(exported: Path) -> None:
    assert read_back(Store(str(exported.parent / "b.db")), exported) == (2, 0)


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("recipe", lambda text: text.replace("0.001", "0.5"), "its recipe says 0.5"),
        ("recipe", lambda text: text.replace('"hidden":[128]', '"hidden":[129]'), "its key is not that of its recipe"),
        ("seed", lambda _: 12345, "its column seed is 12345, its recipe says"),
        ("key", lambda key: key[::-1], "its result is of another trial"),
        ("trajectory", lambda key: key[::-1], "its key is not that of its recipe"),
        ("data_checksum", lambda key: key[::-1], "its key is not that of its recipe"),
        ("engine", lambda _: "native", "its key is not that of its recipe"),
        ("numerics", lambda number: number + 1, "its key is not that of its recipe"),
        ("budget", lambda number: number + 1, "its key is not that of its recipe"),
        ("model", lambda _: "\x1b[31mX", "characters that cannot be printed"),
        ("result_accuracy", lambda _: 0.999, "its column accuracy is 0.999, the last point of its curve has 0.9"),
        ("result_train_loss", lambda _: 0.05, "its column train_loss is 0.05"),
        ("result_iterations", lambda _: 10**15, "its column iterations is 1,000,000,000,000,000"),
    ],
)
def test_a_changed_column_is_refused(exported: Path, column: str, change: Callable[[Any], Any], said: str) -> None:
    assert said in changed(exported, column, change)


def test_rows_that_hold_no_digest_of_their_start_or_program_are_taken(exported: Path) -> None:
    frame = pd.read_parquet(exported / "trials.parquet")
    row = frame.iloc[0].to_dict()
    planned = {name: row[name] for name in frame.columns if not name.startswith("result_")}
    ended = {name.removeprefix("result_"): row[name] for name in frame.columns if name.startswith("result_")}
    assert not list(contradictions(planned, ended))
    other = planned | {"trajectory": "0" * 32}
    assert list(contradictions(other, ended)) == ["its key is not that of its recipe"]
    recipe = Recipe.stored(json.loads(planned["recipe"]))
    other["key"] = trial_key_of("0" * 32, recipe, iterations=planned["budget"])
    assert list(contradictions(other, ended)) == ["its key is not that of its recipe"]
    started = ended | {"warnings": json.dumps(["started from the weights in a.safetensors (sha256 00), not ..."])}
    assert not list(contradictions(other, started))
    assert not list(contradictions(other | {"engine": "command:mine"}, ended))


def test_an_export_with_a_trial_twice_is_refused(exported: Path, tmp_path: Path) -> None:
    """A row that is repeated costs a file nothing, and its reader a row each time."""
    path = exported / "trials.parquet"
    frame = pd.read_parquet(path)
    pd.concat([frame, frame.iloc[[0]]]).to_parquet(path, index=False)
    with pytest.raises(FileError, match=f"trial {frame['key'][0][:8]}: is there twice"):
        read_back(Store(str(tmp_path / "other.db")), exported)


def test_one_long_text_in_many_rows_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    """A dictionary of one text of 1 MB stands for 2 GB in a file of a megabyte or less."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * 10**6]))
    path = tmp_path / "trials.parquet"
    pq.write_table(pa.table({"recipe": texts}), path, store_schema=False)
    assert path.stat().st_size < 10**6
    before, rows = pa.default_memory_pool().max_memory(), trial_rows(path)
    assert sum(1 for _ in islice(rows, 536)) == 536  # rows of 1 MB below 512 MiB
    with pytest.raises(FileError, match="its texts have more than 512 MiB"):
        next(rows)
    assert pa.default_memory_pool().max_memory() - before < 2**27
