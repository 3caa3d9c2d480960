"""`assay data convert` from a table and from pictures to a file that trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from assay.cli import app
from assay.data.datasets import load


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "convert", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_a_table_becomes_a_file_with_the_same_data(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("id,size,kind\n" + "".join(f"{i},{i % 5},{'ab'[i % 2]}\n" for i in range(40)))
    code, text = run(table, tmp_path / "a.npz", "--label", "kind", "--test", "0.25")
    assert (code, "30 training and 10 test examples of 1 values, 2 classes" in text) == (0, True)
    assert "note: column 'id' numbers the rows and is left out" in text
    assert load(tmp_path / "a.npz").checksum == load(table, label="kind", test=0.25).checksum
    code, text = run(table, tmp_path / "a.npz", "--label", "kind")
    assert (code, "exists already" in text) == (2, True)
    code, text = run(table, tmp_path / "a.npz", "--label", "kind", "--force", "--json")
    assert json.loads(text)["test_examples"] == 8


def test_pictures_are_resized(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4 + number, 5), 40 * number, np.uint8)).save(path)
    assert run(tmp_path / "set", tmp_path / "s.npz")[0] == 2
    assert run(tmp_path / "set", tmp_path / "s.npz", "--size", "4x5", "--test", "2")[0] == 0
    assert load(tmp_path / "s.npz").shape == (4, 5)


@pytest.mark.parametrize("size", ["28", "0x3", "axb", "3x3x3", "1x999999", ""])
def test_a_size_that_is_none_says_what_is_expected(tmp_path: Path, size: str) -> None:
    code, text = run("digits", tmp_path / "d.npz", "--size", size)
    assert (code, "expected HEIGHTxWIDTH, such as 28x28" in text) == (2, True)
