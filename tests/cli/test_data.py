"""`assay data info` and what other commands say about data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from assay.rng import stream
from assay.store.schema import result
from assay.store.store import Store


def write_sorted(path: str = "sorted.npz", *, scale: float = 16.0) -> None:
    """Sixty pictures of each of three classes, in the order of the classes, with whole numbers from 0 to 16."""
    y, y_test = np.repeat(np.arange(3), 60), np.arange(30) % 3
    x = [np.rint(stream(9, f"x{part}").uniform(n * 16) * 16).reshape(n, 4, 4) for part, n in enumerate((180, 30))]
    x[0][0, 0, 0] = 16
    np.savez(path, X_train=x[0], y_train=y, X_test=x[1] * scale / 16, y_test=y_test)


NOTES = [
    "the arrays X_train, y_train, X_test, y_test are read as x_train, y_train, x_test, y_test",
    "values of 0 to 16 are divided by 16, the highest value of the training set",
    "the training examples are sorted by class: unshuffled batches see one class at a time",
]
FEW = (
    "the 100 training examples used hold 2 of 3 classes (0, 1): data.train takes the first examples; shuffle them "
    "before saving, or use more"
)


def test_info_shows_the_ranges_of_both_sets_the_divisor_and_the_notes(invoke: Any) -> None:
    write_sorted()
    code, out, _ = invoke("data", "info", "sorted.npz", "--json")
    about = json.loads(out)
    assert code == 0
    assert (about["lowest"], about["highest"], about["test_lowest"], about["test_highest"]) == (0, 16, 0, 16)
    assert (about["divided_by"], about["first_examples_with_all_classes"]) == (16, 121)
    assert (about["classes"], about["test_classes"]) == ({"0": 60, "1": 60, "2": 60}, {"0": 10, "1": 10, "2": 10})
    assert about["notes"] == NOTES
    assert Path(about["contact_sheet"]).is_file()
    _, out, _ = invoke("data", "info", "sorted.npz")
    assert out.count("note ") == 3
    assert "test highest" in out


def test_info_describes_tables_which_cannot_be_drawn(invoke: Any) -> None:
    x, y = stream(9, "table").uniform(60).reshape(12, 5), np.arange(12) % 2
    np.savez("table.npz", x_train=x, y_train=y, x_test=x[:6] * 0.9, y_test=y[:6])
    code, out, _ = invoke("data", "info", "table.npz", "--json")
    assert code == 0
    assert (json.loads(out)["contact_sheet"], json.loads(out)["shape"]) == (None, [5])
    assert not Path("assay-out").exists()
    code, out, _ = invoke("data", "info", "table.npz")
    assert (code, "contact sheet" in out) == (0, False)


@pytest.mark.parametrize("words", [("data", "info", "units.npz"), ("train", "--set", "data=units.npz")])
def test_test_pictures_in_other_units_are_an_error_with_both_ranges(invoke: Any, words: tuple[str, ...]) -> None:
    write_sorted("units.npz", scale=255.0)
    code, _, err = invoke(*words)
    assert code == 2
    assert "training values run from 0 to 16, test values from 0 to 255" in " ".join(err.split())


def test_notes_on_data_stand_with_the_stored_result(invoke: Any) -> None:
    write_sorted()
    words = ("train", "--json", "--engine", "numpy", "--set", "data.name=sorted.npz", "--set", "data.train=100")
    _, out, _ = invoke(*words, "--set", "budget.iterations=20")
    first = json.loads(out)["warnings"]
    assert first[: len(NOTES) + 1] == [*NOTES, FEW]
    _, out, _ = invoke(*words, "--set", "budget.iterations=20")
    assert json.loads(out)["warnings"] == first  # the stored answer


def test_a_run_says_what_stands_out_in_its_data_and_stores_it(invoke: Any) -> None:
    write_sorted()
    study = (
        'engine = "numpy"\ndesign = "list"\n[baseline]\nlog = 5\ndata = { name = "sorted.npz", train = 100 }\n'
        "budget = { iterations = %d }\n[trials.only]\nseed = 1\n"
    )
    for iterations in (20, 10):  # the second is read off the curve of the first
        Path(f"{iterations}.toml").write_text(study % iterations)
        code, _, err = invoke("run", f"{iterations}.toml")
        assert code == 0, err
        assert all(f"sorted.npz: {note}" in " ".join(err.split()) for note in [*NOTES, FEW])
    with Store("assay.db").database.read() as connection:
        rows = connection.execute(sa.select(result.c.reason, result.c.warnings)).all()
    assert sorted("read off" in reason for reason, _ in rows) == [False, True]
    assert [json.loads(warnings)[: len(NOTES) + 1] for _, warnings in rows] == [[*NOTES, FEW]] * 2
    _, _, err = invoke("run", "10.toml", "--plan")
    assert f"sorted.npz: {NOTES[1]}" in " ".join(err.split())
