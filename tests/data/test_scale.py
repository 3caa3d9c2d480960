"""Units: the scale comes from training data alone, equal pictures train alike, and other units are refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import assay
from assay.data.cache import DataCache
from assay.data.dataset import Dataset, from_arrays
from assay.data.datasets import load
from assay.data.prepare import INPUTS, Preparation, prepare
from assay.errors import DataError
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.studies.plan import Planner
from assay.studies.settings import Settings
from assay.training.checkpoints import restore, save
from tests.folders import mnist_folder

Y = np.arange(60) % 3
Y_TEST = np.arange(30) % 3


def values(rows: int, name: str = "train") -> NDArray[np.float64]:
    """Pictures (rows, 6, 6) in [0, 1), of which a third of the pixels is 0."""
    drawn = stream(3, name).uniform(rows * 36).reshape(rows, 6, 6)
    return np.where(drawn < 1 / 3, 0.0, drawn)


TRAIN, TEST = values(60), values(30, "test")


def dataset(x_train: NDArray[Any], x_test: NDArray[Any], **settings: Any) -> Dataset:
    return from_arrays(x_train, Y, x_test, Y_TEST, **settings)


def pictures(highest: int, element: str = "uint8") -> tuple[NDArray[Any], NDArray[Any]]:
    """Whole numbers from 0 to `highest`."""
    both = [np.rint(x * highest) for x in (TRAIN, TEST)]
    both[0][0, 0, 0] = highest
    return both[0].astype(element), both[1].astype(element)


@pytest.mark.parametrize("input", INPUTS)
@pytest.mark.parametrize("element", ["uint8", "int64", "uint16", "float64", "float32"])
def test_the_same_binary_pictures_train_alike_whatever_their_element_type(input: str, element: str) -> None:
    masks = TRAIN > 0.5, TEST > 0.5
    as_bool = prepare(dataset(*masks), Preparation(input, "float32"))
    other = prepare(dataset(*(mask.astype(element) for mask in masks)), Preparation(input, "float32"))
    np.testing.assert_allclose(other.x_train, as_bool.x_train, rtol=3e-7)
    np.testing.assert_allclose(other.x_test, as_bool.x_test, rtol=3e-7)
    if input == "unit":
        assert other.x_train.tobytes() == as_bool.x_train.tobytes()
        assert set(np.unique(other.x_train)) == {0.0, 1.0}


def test_binary_pictures_give_the_same_accuracy_as_bool_and_as_uint8() -> None:
    digits = load("digits")
    optimizer = {"name": "adam", "learning_rate": 0.01}
    recipe = {"model": {"hidden": [16]}, "optimizer": optimizer, "budget": {"epochs": 10}}
    accuracies = []
    for element in ("bool", "uint8"):
        x, x_test = ((x > 7).astype(element) for x in (digits.x_train, digits.x_test))
        data = from_arrays(x, digits.y_train, x_test, digits.y_test)
        accuracies.append(assay.fit(recipe, data=data, engine="numpy").accuracy)
    assert accuracies[0] == accuracies[1]
    assert accuracies[0] is not None
    assert accuracies[0] > 0.8


@pytest.mark.parametrize("highest", [1, 15, 16, 100, 127])
def test_whole_numbers_below_eight_bits_are_divided_by_their_highest_with_a_note(highest: int) -> None:
    data = dataset(*pictures(highest))
    assert data.scale == highest
    assert prepare(data, Preparation("unit", "float64")).x_train.max() == 1.0
    said = f"values of 0 to {highest} are divided by {highest}, the highest value of the training set"
    assert (said in data.notes) == (highest != 1)


@pytest.mark.parametrize(
    ("highest", "element"), [(16, "int32"), (4095, "uint16"), (65535, "uint16"), (1000, "float64")]
)
def test_whole_numbers_of_other_types_are_divided_by_their_highest_with_a_note(highest: int, element: str) -> None:
    data = dataset(*pictures(highest, element))
    assert data.scale == highest
    assert f"values of 0 to {highest} are divided by {highest}, the highest value of the training set" in data.notes


@pytest.mark.parametrize("element", ["uint8", "int64", "float32"])
def test_pixels_of_0_to_255_are_divided_by_255_without_a_note(element: str) -> None:
    data = dataset(*pictures(255, element))
    assert (data.scale, data.assumptions) == (255.0, ())


def test_eight_bit_pixels_that_miss_255_are_divided_by_it_with_a_note() -> None:
    data = dataset(*pictures(200))
    assert (data.scale, data.assumptions) == (255.0, ("uint8 values of up to 200 are divided by 255",))


def test_black_pictures_and_a_stated_scale_are_taken_as_they_are() -> None:
    black = np.zeros((60, 6, 6), np.uint8)
    assert dataset(black, black[:30]).scale == 255.0
    assert dataset(black.astype(float), black[:30].astype(float)).scale == 1.0
    stated = dataset(*pictures(16), scale=32.0)
    assert (stated.scale, stated.assumptions) == (32.0, ())


def test_test_values_do_not_enter_the_scale() -> None:
    odd = TEST.copy()
    odd[7, 2, 2] = 1e4
    plain, other = dataset(TRAIN, TEST), dataset(TRAIN, odd)
    assert other.scale == plain.scale == float(np.float32(TRAIN.max()))
    how = Preparation("standardise", "float32")
    assert prepare(other, how).x_train.tobytes() == prepare(plain, how).x_train.tobytes()
    note = next(note for note in other.notes if note.startswith("test example 7 holds the value 10000"))
    assert note.endswith(f"training values run from 0 to {TRAIN.max():g}")


def test_an_odd_training_value_sets_the_scale_and_is_named() -> None:
    odd = TRAIN.copy()
    odd[11, 3, 3] = -1e4
    data = dataset(odd, TEST)
    assert data.scale == 1e4
    assert any(note.startswith("training example 11 holds the value -10000, where 99 %") for note in data.notes)
    assert any("divided by 10000, the largest magnitude" in note for note in data.notes)


@pytest.mark.parametrize(
    ("train", "test", "ranges"),
    [
        (TRAIN, TEST * 255, "training values run from 0 to 0.99\\d+, test values from 0 to 25\\d"),
        (TRAIN * 255, TEST, "training values run from 0 to 25\\d.*, test values from 0 to 0.99\\d+"),
        (*[(x * 255).astype(np.uint8) for x in (TRAIN, TEST / 255 * 16)], "from 0 to 25\\d, test values from 0 to 15"),
        ((TRAIN > 0.5).astype(np.uint8), (TEST > 0.5).astype(np.uint8) * 255, "0 to 1, test values from 0 to 255"),
        (TRAIN * 2 - 1, TEST, "training values run from -1 to 0.99\\d+, test values from 0 to"),
        ((TRAIN - 0.13) / 0.31, TEST, "training values run from -0.4\\d+ to 2.8\\d+, test values from 0 to 0.9"),
        (TRAIN, (TEST - 0.13) / 0.31, "training values run from 0 to 0.99\\d+, test values from -0.4"),
        (TRAIN, TEST * 100, "test values from 0 to 99"),
    ],
)
def test_sets_in_other_units_are_refused_with_both_ranges(train: Any, test: Any, ranges: str) -> None:
    with pytest.raises(DataError, match=ranges) as caught:
        dataset(train, test)
    assert "same units" in str(caught.value)
    data = dataset(train, test, scale=7.0)  # the caller states what is right
    assert data.scale == 7.0
    assert any("both are divided by the stated scale 7" in note for note in data.notes)


def test_features_of_different_magnitudes_and_small_sets_are_no_other_units() -> None:
    columns = np.array([1.0, 40.0, 5e4, 1e-3])
    x = stream(5, "features").uniform(240).reshape(60, 4) * columns
    assert dataset(x, x[:30] * 0.9).scale == x.astype(np.float32).max()
    single = from_arrays(x, Y, x[3:4] / 100, Y[3:4])
    assert single.scale == x.astype(np.float32).max()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_nothing_can_be_divided_by_is_refused(scale: float) -> None:
    with pytest.raises(DataError, match=r"scale: got .*; expected a number > 0"):
        dataset(TRAIN, TEST, scale=scale)


def test_inverted_test_pictures_are_doubted() -> None:
    ink = [np.where(x > 0.8, x, 0.0) for x in (TRAIN, TEST)]
    said = ": is one set inverted?"
    assert any(note.endswith(said) for note in dataset(ink[0], 1 - ink[1]).notes)
    assert not any(said in note for note in [*dataset(*ink).notes, *dataset(TRAIN, 1 - TEST).notes])


def test_values_just_below_0_are_no_other_unit() -> None:
    assert dataset(TRAIN, np.where(TEST == 0, -1e-3, TEST)).scale == float(np.float32(TRAIN.max()))


def test_half_the_range_is_doubted_and_not_refused() -> None:
    data = dataset(TRAIN * 2 - 1, TEST * 0.8 - 0.4)
    assert any("check that both are in the same units" in note for note in data.notes)


def test_pixels_and_checksums_of_known_data_are_what_they_were() -> None:
    pixels = {
        ("digits", "unit"): "822927f6e0e84d7d",
        ("digits", "standardise"): "079881b290f2d2c4",
        ("digits-28", "unit"): "ade479807b9113b0",
        ("digits-28", "standardise"): "da4542fb097544b2",
    }
    for (name, how), expected in pixels.items():
        data = prepare(load(name), Preparation(how, "float32", validation=100))
        assert hashlib.sha256(data.x_train.tobytes() + data.x_test.tobytes()).hexdigest()[:16] == expected
        assert data.notes == ()
    assert load("digits").checksum == "303918b84c1aa28562a34b4c3b9457904281e5ecdb80fc7b856762b3f6e61b31"
    assert load("digits-28").checksum == "0a755e2486339f906c22aa04fd0c88256dfda84caea82a53c907b973ec72363b"


@pytest.mark.mnist
def test_the_pixels_of_mnist_are_what_they_were() -> None:
    mnist = load(mnist_folder())
    assert mnist.checksum == "c956bdbbea7ade66a0ac220b3fa0d5a40d03ca1a36632730dc93a398eb6f7c57"
    data = prepare(mnist, Preparation("unit", "float32", validation=100))
    assert hashlib.sha256(data.x_train.tobytes() + data.x_test.tobytes()).hexdigest()[:16] == "4853f8783b558b24"
    assert data.notes == ()


def test_a_trial_has_another_key_exactly_where_the_scale_is_another() -> None:
    def key(data: Dataset) -> str:
        planner = Planner(Settings(engine="numpy"), load_data=lambda name: data)
        return planner.trial(Recipe.parse({"data": "any", "budget": {"iterations": 3}})).key

    larger_test = TEST.copy()
    larger_test[0, 0, 0] = 2.0
    now = dataset(TRAIN, larger_test)
    before = replace(now, scale=2.0)  # the largest magnitude of both sets, as it used to be
    assert key(now) != key(before)
    binary = dataset(*((x > 0.5).astype(np.uint8) for x in (TRAIN, TEST)))
    assert key(binary) != key(replace(binary, scale=255.0))
    same = dataset(TRAIN, TEST * 0.9)
    assert key(same) == key(replace(same, scale=float(np.float32(TRAIN).max())))


def test_the_scale_stands_with_the_result_and_with_saved_weights(tmp_path: Path) -> None:
    data = dataset(*pictures(16))
    history = assay.fit({"budget": {"iterations": 2}}, data=data, engine="numpy")
    assert history.scale == 16.0
    assert "values of 0 to 16 are divided by 16, the highest value of the training set" in history.warnings
    assert restore(save(history, tmp_path / "w.safetensors")).scale == 16.0


def test_notes_are_computed_once_for_each_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = assay.data.notes.duplicates  # pyright: ignore
    monkeypatch.setattr("assay.data.notes.duplicates", lambda *x: calls.append(1) or real(*x))
    cache = DataCache(load=lambda name: dataset(TRAIN, TEST))
    for how in (
        Preparation("unit", "float32"),
        Preparation("unit", "float64"),
        Preparation("unit", "float32", train=9),
    ):
        cache.prepared("a", how)
    assert calls == [1]
