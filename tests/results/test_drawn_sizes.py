"""The overlap of folds: from the sizes that are stored, and for earlier results from the sentence on what was drawn."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import assay
from assay.results.results import Results
from assay.store.schema import VERSION
from assay.store.store import Store

STUDY = {
    "name": "folds",
    "engine": "numpy",
    "timing": "packed",
    "folds": 4,
    "repeats": 4,
    "baseline": {"data": {"name": "iris", "validation": 12}, "budget": "20 iterations"},
    "axes": {"optimizer": ["adam", "descent"]},
}
SIZES = [(150 - tested - 12, tested) for tested in (38, 38, 37, 37)]  # of 150 examples, 12 to validate on


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folds") / "assay.db"
    assay.run(STUDY, store=str(path))
    return path


@pytest.fixture
def path(trained: Path, tmp_path: Path) -> Path:
    """A copy of a store of this version."""
    with sqlite3.connect(trained) as source, sqlite3.connect(tmp_path / "copy.db") as target:
        source.backup(target)
    return tmp_path / "copy.db"


def changed(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def overlaps(path: Path, *, read_only: bool = False) -> list[float]:
    frame = Results(Store(str(path), read_only=read_only), "folds").frame()
    return frame[frame["configuration"] == "adam"].sort_values("draw_fold")["draw_overlap"].tolist()


EXPECTED = [tested / trained for trained, tested in SIZES]
NO_NOTES = "UPDATE result SET warnings = '[]'"
NO_SIZES = "UPDATE result SET train_examples = NULL, test_examples = NULL"


def test_each_result_has_the_sizes_of_its_sets(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        stored = connection.execute("SELECT DISTINCT train_examples, test_examples FROM result").fetchall()
    assert set(stored) == set(SIZES)
    assert overlaps(path) == EXPECTED


def test_the_sizes_need_no_sentence(path: Path) -> None:
    assert overlaps(changed(path, NO_NOTES)) == EXPECTED


def test_earlier_results_have_them_in_their_sentence(path: Path) -> None:
    assert overlaps(changed(path, NO_SIZES)) == EXPECTED


def test_without_either_no_overlap_is_made_up(path: Path) -> None:
    assert all(overlap != overlap for overlap in overlaps(changed(path, NO_SIZES, NO_NOTES)))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_the_version_before_is_read(path: Path, read_only: bool) -> None:
    changed(
        path,
        "ALTER TABLE result DROP COLUMN train_examples",
        "ALTER TABLE result DROP COLUMN test_examples",
        "UPDATE alembic_version SET version_num = '0008'",
    )
    assert overlaps(path, read_only=read_only) == EXPECTED
    with sqlite3.connect(path) as connection:
        version = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    assert version == ("0008" if read_only else VERSION)


def test_saved_weights_keep_them(tmp_path: Path) -> None:
    history = assay.fit({"data": {"name": "iris", "folds": 4, "fold": 3, "validation": 12}, "budget": "1 iteration"})
    assert history.sizes == SIZES[2]
    assert assay.load_history(history.save(tmp_path / "w.safetensors")).sizes == SIZES[2]
