"""Data sets by name and path, splits, scalings, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from assay.data.dataset import Dataset, from_arrays
from assay.data.datasets import DATASETS, load
from assay.data.idx import write_idx
from assay.data.overview import contact_sheet, info
from assay.data.prepare import INPUTS, Preparation, prepare, split
from assay.errors import DataError
from tests.folders import mnist_folder


def tiny(n: int = 12, element: str = "uint8") -> dict[str, Any]:
    x = (np.arange(n * 6).reshape(n, 2, 3) * 7 % 256).astype(element)
    y = np.arange(n) % 3
    return {"x_train": x, "y_train": y, "x_test": x[:6], "y_test": y[:6]}


def test_the_digits_are_those_of_scikit_learn() -> None:
    bunch = load_digits()
    data = load("digits")
    ours = sorted(
        x.tobytes() + bytes([y])
        for x, y in zip(
            np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test]), strict=True
        )
    )
    theirs = sorted(x.tobytes() + bytes([y]) for x, y in zip(bunch.data.astype(np.uint8), bunch.target, strict=True))
    assert ours == theirs


def test_the_digits_are_split_as_documented() -> None:
    digits = load("digits")
    assert (len(digits.x_train), len(digits.x_test), digits.shape, digits.scale) == (1437, 360, (8, 8), 16.0)
    whole = np.bincount(np.concatenate([digits.y_train, digits.y_test]))
    assert np.abs(np.bincount(digits.y_test) - whole * 360 / 1797).max() < 1
    rows = {row.tobytes() for row in digits.x_train} & {row.tobytes() for row in digits.x_test}
    assert len(rows) == 0  # no digit stands on both sides
    assert load("digits").checksum == digits.checksum


def test_the_checksum_is_of_the_contents_alone() -> None:
    one = from_arrays(**tiny(), name="a")
    other = from_arrays(**tiny(), name="b")
    assert one.checksum == other.checksum == "8701caa74e477d6f178793e0b9371ad1848932fa66213faad7cf98a2f81a616b"
    changed = tiny()
    changed["x_train"][0, 0, 0] += 1
    assert from_arrays(**changed).checksum != one.checksum


def test_data_that_train_otherwise_have_another_checksum() -> None:
    one, flat = from_arrays(**tiny()), {key: array.reshape(len(array), -1) for key, array in tiny().items()}
    labels = {"y_train": tiny()["y_train"], "y_test": tiny()["y_test"]}
    others = [
        from_arrays(**tiny(), scale=16.0),
        from_arrays(**flat | labels),
        from_arrays(**tiny(), classes=("a", "b", "c", "d")),
    ]
    assert len({one.checksum, *(other.checksum for other in others)}) == 4


@pytest.mark.parametrize("stem", ["{}-idx{}-ubyte", "{}.idx{}-ubyte"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_of_idx_files_is_a_data_set(tmp_path: Path, stem: str, ending: str) -> None:
    arrays = tiny()
    for name, part, dims in (("train", "train", 3), ("t10k", "test", 3)):
        write_idx(tmp_path / (stem.format(f"{name}-images", dims) + ending), arrays[f"x_{part}"])
        write_idx(tmp_path / (stem.format(f"{name}-labels", 1) + ending), arrays[f"y_{part}"].astype(np.uint8))
    dataset = load(str(tmp_path))
    assert dataset.checksum == from_arrays(**arrays).checksum
    assert dataset.shape == (2, 3)


def test_an_npz_is_a_data_set(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mine.npz", **tiny())
    dataset = load(str(tmp_path / "mine.npz"))
    assert (dataset.name, dataset.checksum) == ("mine", from_arrays(**tiny()).checksum)


def test_an_npz_with_a_pickle_is_refused(tmp_path: Path) -> None:
    arrays = tiny() | {"y_train": np.array([object()] * 12)}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match="pickle"):
        load(str(tmp_path / "mine.npz"))


def test_openml_goes_through_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(**asked: Any) -> Any:
        assert asked["data_id"] == 554
        return SimpleNamespace(data=np.arange(70 * 4.0).reshape(70, 4) % 256, target=np.array(list("ab") * 35, object))

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    dataset = load("openml:554")
    assert (len(dataset.x_train), len(dataset.x_test), dataset.classes) == (60, 10, ("a", "b"))

    def broken(**asked: Any) -> Any:
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", broken)
    with pytest.raises(DataError, match="no network"):
        load("openml:mnist_784")


def changed(**parts: Any) -> dict[str, Any]:
    return tiny() | parts


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (changed(y_train=np.arange(11)), "12 training examples but labels of shape \\(11,\\)"),
        (changed(y_train=np.arange(12) - 1), "labels run from -1 to 10"),
        (changed(y_test=np.arange(6)), "labels run from 0 to 5; expected 0 to 2"),
        (changed(y_train=np.full(12, 0.5)), "expected whole numbers"),
        (changed(x_test=np.zeros((6, 2, 4))), "expected the same"),
        (changed(x_train=np.full((12, 2, 3), np.nan)), "training example 0 holds NaN"),
        (changed(x_train=np.zeros((0, 2, 3)), y_train=np.zeros(0)), "empty"),
        (changed(x_train=np.zeros(12)), "dimensions"),
        (changed(x_train=np.full((12, 2, 3), "a")), "expected numbers"),
    ],
)
def test_wrong_arrays_are_refused(arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        from_arrays(**arrays)


def test_unknown_and_missing_data_sets_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path))
    with pytest.raises(DataError, match="did you mean 'mnist'"):
        load("minst")
    with pytest.raises(DataError, match="assay data fetch mnist"):
        load("mnist")
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load(str(tmp_path))


def test_splits_take_the_first_and_draw_the_validation_from_the_rest() -> None:
    dataset = from_arrays(**tiny())
    rows, drawn = split(dataset, train=7, validation=3)
    assert rows.tolist() == list(range(7))
    assert set(drawn) <= set(range(7, 12))
    rows, drawn = split(dataset, train=None, validation=4)
    assert sorted([*rows, *drawn]) == list(range(12))
    assert (len(rows), len(drawn)) == (8, 4)
    for bad in ({"train": 13, "validation": 0}, {"train": None, "validation": 12}):
        with pytest.raises(DataError, match="12"):
            split(dataset, **bad)


@pytest.mark.parametrize("element", ["uint8", "float32"])
@pytest.mark.parametrize("scaling", INPUTS)
def test_scalings_are_their_formulas(element: str, scaling: str) -> None:
    arrays = tiny(element=element)
    data = prepare(from_arrays(**arrays), Preparation(scaling, "float64", validation=4))
    raw = arrays["x_test"].reshape(6, 6).astype(float)
    train = data.x_train
    scale = 255.0 if element == "uint8" else float(arrays["x_train"].max())
    rows, _ = split(from_arrays(**arrays), train=None, validation=4)
    part = arrays["x_train"].reshape(12, 6)[rows].astype(float) / scale
    expected = {
        "unit": raw / scale,
        "standardise": (raw / scale - part.mean()) / part.std(),
        "standardise-each": (raw - raw.mean(1, keepdims=True)) / raw.std(1, keepdims=True),
        "standardise-features": (raw / scale - part.mean(0)) / part.std(0),
    }[scaling]
    np.testing.assert_allclose(data.x_test, expected, rtol=1e-7, atol=1e-12)
    assert train.shape == (8, 6)
    assert train.flags.c_contiguous
    if scaling == "standardise":
        assert abs(train.mean()) < 1e-7
        assert train.std() == pytest.approx(1, abs=1e-6)


def test_constant_images_cannot_be_standardised() -> None:
    arrays = tiny()
    arrays["x_train"][5] = 9
    dataset = from_arrays(**arrays)
    with pytest.raises(DataError, match="training example 5 is constant"):
        prepare(dataset, Preparation("standardise-each", "float32"))
    flat = from_arrays(**tiny() | {"x_train": np.zeros((12, 2, 3)), "x_test": np.zeros((6, 2, 3))})
    with pytest.raises(DataError, match="use input 'unit'"):
        prepare(flat, Preparation("standardise", "float32"))


def test_info_and_contact_sheet() -> None:
    digits = load("digits")
    about = info(digits).as_dict()
    assert about["training_examples"] == 1437
    assert sum(about["classes"].values()) == 1437
    assert about["share_of_zeros"] == pytest.approx((digits.x_train == 0).mean())
    sheet = contact_sheet(digits)
    assert sheet.width > 500
    assert np.asarray(sheet).std() > 20  # something is drawn
    flat = (digits.x_train, digits.y_train, digits.x_test, digits.y_test)
    assert contact_sheet(Dataset("flat", *flat, (64,), digits.classes, 16)).size == sheet.size
    assert contact_sheet(Dataset("colour", *flat, (4, 4, 4), digits.classes, 16)).width > 500
    strip = from_arrays(**changed(x_train=np.ones((12, 5)), x_test=np.ones((6, 5))))
    with pytest.raises(DataError, match="only \\(height, width\\)"):
        contact_sheet(strip)


def test_every_named_data_set_says_what_it_is() -> None:
    assert all(source.about for source in DATASETS.values())


@pytest.mark.mnist
def test_mnist_is_what_it_should_be() -> None:
    mnist = load(str(mnist_folder()))
    about = info(mnist)
    assert (about.training_examples, about.test_examples, about.shape) == (60_000, 10_000, (28, 28))
    assert about.share_of_zeros == pytest.approx(0.809, abs=0.001)
    assert about.unused_inputs == 67
    mean, deviation = prepare(mnist, Preparation("standardise", "float32")).scaling
    assert (mean, deviation) == (pytest.approx(0.1307, abs=5e-5), pytest.approx(0.3081, abs=5e-5))


def test_a_data_set_is_not_changed_from_outside() -> None:
    arrays = tiny()
    dataset = from_arrays(**arrays)
    arrays["x_train"][0, 0, 0] += 1
    assert dataset.checksum == from_arrays(**tiny()).checksum
    with pytest.raises(ValueError, match="read-only"):
        dataset.x_train[0, 0] = 1
    assert prepare(dataset, Preparation("unit", "float32")).y_test.flags.writeable


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (changed(x_test=np.full((6, 2, 3), 1e300)), "test example 0 holds numbers beyond the range of float32"),
        (changed(y_train=np.full(12, np.inf)), "expected 0 to 9999"),
        (changed(y_train=np.full(12, np.nan)), "expected whole numbers"),
        (changed(y_train=np.arange(12) * 1_000), "expected 0 to 9999"),
    ],
)
def test_values_without_a_number_of_their_own_are_refused(arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        from_arrays(**arrays)


def test_classes_named_by_numbers_are_in_the_order_of_the_numbers() -> None:
    y = np.array(["10", "9", "2"] * 4)
    assert from_arrays(**changed(y_train=y, y_test=y[:6])).classes == ("2", "9", "10")
    assert from_arrays(**changed(y_train=y.astype("S"), y_test=y[:6].astype("S"))).classes == ("2", "9", "10")


@pytest.mark.parametrize("name", ["", "~nobody-of-this-name/a", "a" * 5000, Path("mnist"), "a\0b", "/nowhere/a.npz"])
def test_a_name_that_leads_nowhere_is_an_error(name: str | Path) -> None:
    with pytest.raises(DataError):
        load(name)


def test_half_a_fetched_data_set_says_how_to_get_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    write_idx(tmp_path / "mnist" / "train-labels-idx1-ubyte.gz", np.arange(3, dtype=np.uint8))
    with pytest.raises(DataError, match="assay data fetch mnist"):
        load("mnist")


def test_tables_of_openml_are_not_taken_for_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = iter(
        [
            SimpleNamespace(data=np.arange(280.0).reshape(70, 4) % 5 + 1, target=np.array(list("ab") * 35, object)),
            SimpleNamespace(data=np.ones((70, 4)), target=None),
        ]
    )
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: next(sets))
    dataset = load("openml:11")
    assert (dataset.shape, dataset.scale) == ((4,), 5.0)
    with pytest.raises(DataError, match="no target"):
        load("openml:12")


def test_missing_values_of_openml_are_named_by_their_published_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.arange(280.0).reshape(70, 4), np.array(list("ab") * 35, object)
    gap, unlabelled = x.copy(), y.copy()
    gap[41, 2], unlabelled[23] = np.nan, None
    sets = iter([SimpleNamespace(data=gap, target=y), SimpleNamespace(data=x, target=unlabelled)])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: next(sets))
    with pytest.raises(DataError, match=r"missing values in row 41 \(1 in all\)"):
        load("openml:11")
    with pytest.raises(DataError, match=r"no label in row 23 \(1 in all\)"):
        load("openml:11")


def test_a_constant_image_is_named_by_its_number_in_the_published_set() -> None:
    arrays = tiny(50)
    arrays["x_train"][40] = 9
    with pytest.raises(DataError, match="training example 40 is constant"):
        prepare(from_arrays(**arrays), Preparation("standardise-each", "float32", validation=20))


def test_a_set_that_is_constant_up_to_rounding_cannot_be_standardised() -> None:
    grey = from_arrays(**changed(x_train=np.full((12, 2, 3), 0.1), x_test=np.full((6, 2, 3), 0.1)), scale=0.7)
    with pytest.raises(DataError, match="use input 'unit'"):
        prepare(grey, Preparation("standardise", "float64"))


@pytest.mark.parametrize("bad", [{"train": 0}, {"validation": -1}, {"scaling": "unti"}])
def test_a_wrong_split_or_scaling_is_an_error(bad: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"expected|did you mean"):
        prepare(from_arrays(**tiny()), Preparation(**{"scaling": "unit", "dtype": "float32"} | bad))


def test_the_digits_in_the_frame_of_mnist_are_the_same_digits() -> None:
    """The same split; the ink in the middle 20 x 20, brighter where the small image is brighter, its total in scale."""
    small, large = load("digits"), load("digits-28")
    assert large.shape == (28, 28)
    assert large.x_train.dtype == np.uint8
    np.testing.assert_array_equal(large.y_train, small.y_train)
    np.testing.assert_array_equal(large.y_test, small.y_test)
    frames = large.x_test.reshape(-1, 28, 28).astype(float)
    assert frames[:, :4].max() == frames[:, 24:].max() == frames[:, :, :4].max() == frames[:, :, 24:].max() == 0
    ink = frames.sum((1, 2)) / (large.scale * 20 * 20)
    np.testing.assert_allclose(ink, small.x_test.sum(1) / (16 * 8 * 8), atol=0.02)
    centres = frames[:, 4:24, 4:24][:, 1::5, 1::5][:, :4, :4]  # new pixels 1, 6, 11, 16: old places 0.1, 2.1, 4.1, 6.1
    old = small.x_test.reshape(-1, 8, 8)[:, ::2, ::2]
    assert np.corrcoef(centres.ravel(), old.ravel())[0, 1] > 0.97
