"""Test sets drawn anew: disjoint, by class, the same everywhere, and refused where they cannot be."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import assay
from assay.data.cache import DataCache
from assay.data.datasets import load
from assay.data.prepare import prepare
from assay.data.resampling import Draw, drawn_counts, rows_of
from assay.errors import DataError, RecipeError
from assay.recipe.model import Recipe

LABELS = st.lists(st.integers(2, 12), min_size=2, max_size=5).flatmap(
    lambda counts: st.permutations([k for k, n in enumerate(counts) for _ in range(n)])
)


@given(y=LABELS, folds=st.integers(2, 8), split=st.integers(0, 5))
def test_folds_are_disjoint_cover_all_examples_and_have_each_class_alike(y: list[int], folds: int, split: int) -> None:
    labels = np.array(y)
    folds = min(folds, len(labels))
    parts = [rows_of("a", labels, Draw(split, folds, i), tested=1) for i in range(1, folds + 1)]
    tested = [test for _, test in parts]
    assert sorted(np.concatenate(tested).tolist()) == list(range(len(labels)))
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for k in np.unique(labels):
        counts = [int((labels[test] == k).sum()) for test in tested]
        assert max(counts) - min(counts) <= 1
    for training, test in parts:
        assert sorted([*training.tolist(), *test.tolist()]) == list(range(len(labels)))
        assert set(labels[training]) == set(y)  # no class is missing in training


@given(y=LABELS, split=st.integers(0, 1000), part=st.floats(0.1, 0.6))
def test_a_split_has_the_size_and_the_fractions_of_classes(y: list[int], split: int, part: float) -> None:
    labels = np.array(y)
    count = max(1, int(part * (len(labels) - len(set(y)))))
    training, test = rows_of("a", labels, Draw(split), tested=count)
    assert len(test) == count
    assert sorted([*training.tolist(), *test.tolist()]) == list(range(len(labels)))
    for k, whole in enumerate(np.bincount(labels)):
        assert abs((labels[test] == k).sum() - count * whole / len(labels)) < 2
        assert (labels[training] == k).any()


def test_draws_differ_by_their_seed_and_are_the_same_in_another_process() -> None:
    data = load("iris")
    rows = [data.resampled(split=s).x_test for s in (0, 1, 1)]
    assert not np.array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[1], rows[2])
    code = "import assay; print(assay.load_data('iris').resampled(split=1).x_test.sum(dtype='float64').hex())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == rows[1].sum(dtype="float64").hex()


def test_the_first_training_examples_of_sorted_data_are_a_random_sample() -> None:
    x, y = np.arange(300.0).reshape(100, 3), np.repeat([0, 1], 50)
    data = assay.from_arrays(x, y, x, y, name="sorted")
    recipe = Recipe.parse({"data": {"name": "sorted", "train": 20, "split": 1}})
    assert set(prepare(data, recipe.preparation).y_train.tolist()) == {0, 1}


def test_a_regression_is_cut_without_regard_to_its_targets() -> None:
    data = load("diabetes")
    parts = [data.resampled(folds=10, fold=i) for i in range(1, 11)]
    assert sorted(len(part.y_test) for part in parts) == [44] * 8 + [45] * 2
    everything = np.sort(np.concatenate([data.y_train, data.y_test]))
    np.testing.assert_array_equal(np.sort(np.concatenate([part.y_test for part in parts])), everything)
    with pytest.raises(DataError, match="R2 compares with their mean: use fewer folds"):
        data.resampled(folds=442, fold=1)


def test_notes_say_what_was_drawn_and_whether_the_data_had_a_test_set() -> None:
    note = load("iris").resampled(folds=5, fold=2).notes[0]
    assert note == ("the test set is fold 2 of 5 of all examples (split 0), the same fraction of each class: 30 of 150")
    assert not any("no test set was given" in note for note in load("iris").resampled(split=1).notes)
    x, y = np.arange(40.0).reshape(20, 2), np.array([0, 1] * 10)
    own = assay.from_arrays(x, y, x + 0.5, y).resampled(split=1)
    assert own.notes[0].endswith("20 of 40; results do not compare with published ones on the data's own test set")


def test_classes_of_few_examples_are_named_and_of_one_refused() -> None:
    x, y = np.arange(24.0).reshape(12, 2), np.array([0] * 8 + [1] * 4)
    data = assay.from_arrays(x, y, x + 0.5, y, name="few", classes=["a", "b"])
    assert "class 'b' has fewer examples than there are folds (10), so" in data.resampled(folds=10, fold=1).notes[1]
    single = replace(data, y_test=np.zeros(12, np.int64), y_train=np.array([0] * 11 + [1]))
    with pytest.raises(DataError, match="class 'b' has one example in few, which is missing in training"):
        single.resampled(folds=3, fold=1)
    with pytest.raises(DataError, match=r"data.folds: got 30; expected at most 24: few has 24 examples"):
        data.resampled(folds=30, fold=1)
    with pytest.raises(DataError, match="drawn anew already"):
        data.resampled(split=1).resampled(split=2)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"folds": 5}, "folds = 5 is missing its fold"),
        ({"fold": 2}, "folds is missing; give both"),
        ({"folds": 3, "fold": 4}, "fold: got 4; expected 1 to 3"),
        ({"folds": 1, "fold": 1}, "data.folds: got 1; expected a number >= 2"),
        ({"split": -1}, "data.split: got -1"),
    ],
)
def test_wrong_draws_are_refused(table: dict[str, int], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        Recipe.parse({"data": {"name": "iris", **table}})


def test_a_draw_is_in_the_key_and_its_absence_is_not() -> None:
    plain = Recipe.parse({"data": "iris"})
    assert set(plain.canonical()["data"]) == {"name", "validation"}
    recipes = [plain.patched({"data": table}) for table in ({"split": 0}, {"split": 1}, {"folds": 5, "fold": 1})]
    recipes += [plain.patched({"data": {"folds": 5, "fold": 2}})]
    assert len({recipe.key() for recipe in (plain, *recipes)}) == 5
    assert plain.patched({"data": {"split": 0, "folds": 5, "fold": 1}}).key() == recipes[2].key()
    assert Recipe.stored(recipes[3].plain()) == recipes[3]


def test_training_on_a_fold_is_tested_on_that_fold() -> None:
    recipe = {"data": {"name": "iris", "folds": 5, "fold": 4}, "model": {"hidden": [8]}, "budget": "20 epochs"}
    history = assay.fit(recipe, engine="numpy")
    drawn = load("iris").resampled(folds=5, fold=4)
    right = history.predict(drawn.x_test) == np.array(drawn.classes)[drawn.y_test]
    assert right.mean() == pytest.approx(history.points[-1].test_accuracy, abs=1e-6)
    assert history.data_checksum == load("iris").checksum
    assert history.confusion is not None
    assert history.confusion.sum() == 30
    assert any("fold 4 of 5" in note for note in history.warnings)


def test_prepared_folds_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Recipe.parse({"data": {"name": "iris", "folds": 5, "fold": 1}})
    monkeypatch.setattr("assay.data.cache._MOST_BYTES", 2 * 150 * 4 * 4)
    cache = DataCache()
    made = [cache.prepared("iris", one.patched({"data": {"folds": 5, "fold": i}}).preparation) for i in range(1, 6)]
    again = [cache.prepared("iris", one.patched({"data": {"folds": 5, "fold": i}}).preparation) for i in (5, 1)]
    assert again[0] is made[4]
    assert again[1] is not made[0]


def test_without_a_draw_a_data_set_is_itself() -> None:
    data = load("iris")
    assert data.drawn(None) is data


@pytest.mark.parametrize(
    ("note", "counts"),
    [
        (
            "the test set is fold 2 of 5 of all examples (split 0), the same fraction of each class: 30 of 150",
            (30, 150),
        ),
        (
            "the test set is fold 1 of 10 of the training and test examples (split 3), the same fraction of each "
            "class: 7,000 of 70,000; results do not compare with published ones on the data's own test set",
            (7_000, 70_000),
        ),
        (
            "the test set was drawn anew from the training and test examples (split 7), the same fraction of each "
            "class: 360 of 1,797; results do not compare with published ones on the data's own test set",
            (360, 1_797),
        ),
        (
            "the test set was drawn anew from all examples (split 1), without regard to their targets: 88 of 442",
            (88, 442),
        ),
    ],
)
def test_the_sizes_are_read_from_the_notes_that_stores_hold(note: str, counts: tuple[int, int]) -> None:
    """Stored results have the sizes in this sentence alone: its words are an interface."""
    assert drawn_counts(["another note: 3 of 4", note, "one more"]) == counts
    assert drawn_counts(["another note: 3 of 4"]) is None


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("draw", [{"split": 4}, {"folds": 6, "fold": 3}, {"split": 2, "folds": 4, "fold": 4}])
def test_the_note_of_today_has_the_sizes_of_the_sets(regression: bool, draw: dict[str, int]) -> None:
    data = load("diabetes" if regression else "wine")
    drawn = data.resampled(**draw)
    assert drawn_counts(drawn.notes) == (len(drawn.y_test), len(data.y_train) + len(data.y_test))
