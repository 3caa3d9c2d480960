"""Arrays in other people's order of axes; whatever arrays and files hold, they make a data set or a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from assay.data.dataset import from_arrays
from assay.data.datasets import load
from assay.data.foreign import advice_for
from assay.data.idx import write_idx
from assay.data.notes import duplicates
from assay.data.roles import role_of
from assay.errors import DataError
from tests.data.samples import MNIST, X_TEST, Y_TEST, M, N, X, Y, emnist, same


def test_channels_first_are_read_as_channels_first() -> None:
    first = [np.moveaxis(x, 3, 1) for x in (X, X_TEST)]
    same(from_arrays(first[0], Y, first[1], Y_TEST), "(3, 6, 5) are read as 6 x 5 pixels with 3 channels first")
    grey = from_arrays(X[:, None, :, :, 0], Y, X_TEST[:, None, :, :, 0], Y_TEST)
    assert grey.shape == (6, 5, 1)
    np.testing.assert_array_equal(grey.x_train, X[..., 0].reshape(N, -1))
    assert "examples of shape (1, 6, 5) are read as 6 x 5 pixels with 1 channel first" in grey.notes


def test_the_shape_of_cifar_is_32_x_32_pixels() -> None:
    x = np.zeros((4, 3, 32, 32), np.uint8)
    assert from_arrays(x, Y[:4], x, Y[:4]).shape == (32, 32, 3)
    odd = np.zeros((4, 2, 32, 32), np.uint8)
    data = from_arrays(odd, Y[:4], odd, Y[:4])
    assert data.shape == (2, 32, 32)
    assert any("if the channels come first, pass np.moveaxis(x, 1, -1)" in note for note in data.notes)
    last = np.zeros((4, 32, 32, 16), np.uint8)
    assert not any("channels" in note for note in from_arrays(last, Y[:4], last, Y[:4]).notes)


def test_examples_on_the_last_axis_are_moved_to_the_first() -> None:
    last = [np.moveaxis(x, 0, -1) for x in (X, X_TEST)]
    same(from_arrays(last[0], Y, last[1], Y_TEST), "arrays of shape (H, W, C, N) are read with the examples last")
    grey, plain = (
        from_arrays(f(X[..., 0]), Y, f(X_TEST[..., 0]), Y_TEST) for f in (lambda x: x.transpose(1, 2, 0), np.array)
    )
    assert grey.checksum == plain.checksum
    assert "arrays of shape (H, W, N) are read with the examples last" in grey.notes
    columns = from_arrays(X.reshape(N, -1).T, Y[None], X_TEST.reshape(M, -1).T, Y_TEST[None])
    np.testing.assert_array_equal(columns.x_train, X.reshape(N, -1))
    assert "arrays of shape (D, N) are read with the examples last" in columns.notes


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ((X, X_TEST, Y, Y_TEST), "scikit-learn's order x_train, x_test, y_train, y_test"),
        ((X.ravel(), Y, X_TEST, Y_TEST), r"have 1 dimensions; .* reshape them with x.reshape\(20, -1\)"),
        ((X[:-1], Y, X_TEST, Y_TEST), r"19 training examples but labels of shape \(20,\)"),
        ((X, Y, X_TEST[:, :, :4], Y_TEST), r"\(6, 5, 3\), test examples \(6, 4, 3\); expected the same"),
        ((X.astype(object), Y, X_TEST, Y_TEST), r"element type object; expected numbers: pass np.stack"),
        (([*list(X[:-1]), X[0][:2]], Y, X_TEST, Y_TEST), "training examples are no array: .* expected examples of one"),
        ((X, Y, csr_array(np.eye(10)), Y_TEST), r"have 0 dimensions; .* pass x.toarray\(\) for a sparse matrix"),
        ((np.ma.masked_equal(X, 255), Y, X_TEST, Y_TEST), "the training examples have masked values"),
        ((X, np.ma.masked_equal(Y, 2), X_TEST, Y_TEST), "the training labels have masked values"),
    ],
)
def test_arrays_that_fit_in_no_order_are_refused(arrays: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        from_arrays(*arrays)


def test_strings_that_hold_no_characters_are_refused() -> None:
    y = np.array(["a", "b"] * 10)
    y.view(np.uint32)[3] = 0x7FFFFFFF
    for damaged in (y, y.astype(y.dtype.newbyteorder())):
        with pytest.raises(DataError, match="hold what is no character"):
            from_arrays(X, damaged, X_TEST, Y_TEST)


# --- whatever they hold: a data set or a sentence ---


@given(st.binary(max_size=600))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_recognised_or_not(content: bytes) -> None:
    assert advice_for(content) is None or isinstance(advice_for(content), str)


@given(st.text(max_size=250))
@settings(deadline=None, max_examples=150)
def test_any_name_has_a_role_or_none(name: str) -> None:
    meaning = role_of(name)
    assert meaning is None or meaning[1].partition("_")[0] in ("x", "y")


_names = st.sampled_from(
    [
        "x_train",
        "y_train",
        "x_test",
        "y_test",
        "X_train",
        "train_labels",
        "test_images",
        "arr_0",
        "arr_1",
        "arr_2",
        "arr_3",
    ]
)
_shapes = st.lists(st.integers(0, 5), max_size=5).map(tuple)
_elements = st.sampled_from(["uint8", "bool", "int32", "float64", "U2", "S2", "complex64"])


def _array(shape: tuple[int, ...], element: str, seed: int) -> NDArray[Any]:
    drawn = np.random.default_rng(seed).integers(0, 4, shape)
    return drawn.astype(element)


@given(st.dictionaries(_names, st.builds(_array, _shapes, _elements, st.integers(0, 9)), max_size=5), st.data())
@settings(deadline=None, max_examples=150)
def test_archives_of_any_arrays_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any], data: Any
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    survives(path)


def survives(path: Path) -> None:
    """Loads a data set that keeps its promises, or raises DataError."""
    try:
        dataset = load(path)
    except DataError:
        return
    assert isinstance(dataset.notes, tuple)
    assert len(dataset.x_train) == len(dataset.y_train)
    assert dataset.x_train.shape[1] == dataset.x_test.shape[1] == np.prod(dataset.shape)
    assert min(dataset.y_train.min(), dataset.y_test.min()) >= 0
    assert max(dataset.y_train.max(), dataset.y_test.max()) < len(dataset.classes)
    assert dataset.scale > 0


@pytest.mark.parametrize("shape", [(0, 0, 0), (3, 0, 0), (0, 16, 16)])
def test_pictures_without_a_pixel_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for name in emnist("letters"):
        write_idx(tmp_path / name, np.zeros(shape if "images" in name else shape[:1], np.uint8))
    with pytest.raises(DataError, match="emnist-letters: the training set is empty"):
        load(tmp_path)


_stems = st.sampled_from([*MNIST, *emnist("letters"), *emnist("digits"), "kmnist-train-imgs.npz", "readme.txt", "raw"])


@given(st.dictionaries(_stems, st.builds(_array, _shapes, st.sampled_from(["uint8", "int32"]), st.integers(0, 9))))
@settings(deadline=None, max_examples=100)
def test_folders_of_any_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, array in arrays.items():
        if 1 <= array.ndim <= 4:
            write_idx(folder / name, array)
        else:
            (folder / name).write_bytes(b"\x00\x00\x08")
    survives(folder)


@given(
    st.builds(_array, _shapes, _elements, st.integers(0, 9)), st.builds(_array, _shapes, _elements, st.integers(0, 9))
)
@settings(deadline=None, max_examples=150)
def test_any_arrays_make_a_data_set_or_a_sentence(x: Any, y: Any) -> None:
    try:
        data = from_arrays(x, y, x, y)
    except DataError:
        return
    assert len(data.x_train) == len(data.y_train) >= 1


@given(st.integers(1, 4), st.integers(0, 12), st.integers(0, 12), st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_duplicates_are_those_of_a_plain_search(width: int, train: int, test: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, x_test = (generator.integers(0, 2, (rows, width)) for rows in (train, test))
    first = {tuple(map(int, row)): i for i, row in reversed(list(enumerate(x)))}
    plain = [(i, first[key]) for i, row in enumerate(x_test) if (key := tuple(map(int, row))) in first]
    assert duplicates(x, x_test) == plain
