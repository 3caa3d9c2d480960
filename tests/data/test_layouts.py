"""Arrays in other people's order of axes, and files under other people's names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from assay.data.dataset import Dataset, from_arrays
from assay.data.datasets import load
from assay.data.foreign import kind_of
from assay.data.idx import read_idx, write_idx
from assay.data.notes import duplicates
from assay.data.orientation import taller
from assay.data.roles import ROLES, role_of
from assay.errors import DataError
from assay.rng import stream
from tests.folders import mnist_folder

N, M = 20, 10
Y, Y_TEST = np.arange(N) % 4, np.arange(M) % 4


def colours(rows: int, name: str) -> NDArray[np.uint8]:
    """Pictures of 6 x 5 pixels with 3 channels."""
    drawn = np.rint(stream(4, name).uniform(rows * 90) * 255).astype(np.uint8).reshape(rows, 6, 5, 3)
    drawn[0, 0, 0, 0] = 255
    return drawn


X, X_TEST = colours(N, "train"), colours(M, "test")
PLAIN = from_arrays(X, Y, X_TEST, Y_TEST)
ARRAYS = {"x_train": X, "y_train": Y, "x_test": X_TEST, "y_test": Y_TEST}


def same(data: Dataset, note: str = "") -> None:
    assert (data.shape, data.checksum) == (PLAIN.shape, PLAIN.checksum)
    assert not note or any(note in other for other in data.notes), data.notes


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


# --- .npz files ---


@pytest.mark.parametrize(
    "names",
    [
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("train_x", "train_y", "test_x", "test_y"),
        ("trainX", "trainY", "testX", "testY"),
        ("train_data", "train_targets", "test_data", "test_targets"),
        ("images_train", "labels_train", "images_test", "labels_test"),
        ("mnist_train_images", "mnist_train_labels", "mnist_t10k_images", "mnist_t10k_labels"),
        ("x_train", "y_train", "X_test", "y_test"),
    ],
)
def test_npz_files_under_other_names_are_read_and_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(names, ARRAYS.values(), strict=True)), extra=Y)
    said = f"the arrays {', '.join(names)} are read as x_train, y_train, x_test, y_test; extra not used"
    same(load(tmp_path / "a.npz"), said)


def test_our_names_come_before_others(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS, X_train=X[:1])
    data = load(tmp_path / "a.npz")
    same(data)
    assert not any("are read as" in note for note in data.notes)


@pytest.mark.parametrize("order", [ROLES, ("x_train", "x_test", "y_train", "y_test")])
def test_unnamed_arrays_are_read_in_the_order_that_fits(tmp_path: Path, order: tuple[str, ...]) -> None:
    np.savez(tmp_path / "a.npz", *(ARRAYS[role] for role in order))
    same(load(tmp_path / "a.npz"), f"the unnamed arrays are read as {', '.join(order)}")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X, "y": Y}, "holds x, y: it has no test set: split its examples, and save"),
        ({"x_train": X, "y_train": Y}, "lacks x_test, y_test; .* no test set"),
        ({"train_images": X, "train_labels": Y, "test_images": X_TEST}, "lacks y_test;"),
        ({"arr_0": X}, "holds the single array arr_0; .* or give the folder of four files"),
        ({"arr_0": Y, "arr_1": X, "arr_2": X, "arr_3": Y}, "which is which is unclear: save its arrays with np.savez"),
        (
            {"X_train": X, "train_x": X, "y_train": Y, "x_test": X_TEST, "y_test": Y_TEST},
            "X_train and train_x both mean",
        ),
        (ARRAYS | {"y_train": Y.astype(object)}, "pickle is never read.*y.astype"),
        ({"val_images": X, "val_labels": Y, "train_images": X, "train_labels": Y}, "lacks x_test, y_test"),
    ],
)
def test_npz_files_that_are_no_data_set_say_what_they_hold(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=said):
        load(tmp_path / "a.npz")


# --- folders ---


def write_set(folder: Path, names: tuple[str, ...], arrays: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (arrays or ARRAYS).values(), strict=True):
        write_idx(folder / name, array if array.ndim > 2 or array.shape[1:] else array.astype(np.uint8))
    return folder


MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def emnist(variant: str) -> tuple[str, ...]:
    return tuple(
        f"emnist-{variant}-{part}-{kind}-ubyte.gz"
        for part, kind in [
            ("train", "images-idx3"),
            ("train", "labels-idx1"),
            ("test", "images-idx3"),
            ("test", "labels-idx1"),
        ]
    )


@pytest.mark.parametrize("below", ["MNIST/raw", "raw", "FashionMNIST/raw", "gzip", "archive"])
def test_a_set_below_the_given_folder_is_found(tmp_path: Path, below: str) -> None:
    write_set(tmp_path / below, MNIST)
    same(load(tmp_path), f"read from {below} below the given folder")


def test_several_sets_below_a_folder_are_asked_about(tmp_path: Path) -> None:
    for name in ("MNIST/raw", "FashionMNIST/raw"):
        write_set(tmp_path / name, MNIST)
    with pytest.raises(DataError, match="holds 2 data sets; give the name of one") as caught:
        load(tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)


def test_files_unpacked_into_folders_of_their_names_are_found(tmp_path: Path) -> None:
    for name, array in zip(MNIST, ARRAYS.values(), strict=True):
        write_set(tmp_path / name, (name,), {"x": array})
    same(load(tmp_path))


def upright_letters(rows: int, classes: int) -> NDArray[np.uint8]:
    """Pictures of strokes that are taller than wide, a different one for each class."""
    x = np.zeros((rows, 28, 28), np.uint8)
    for row in range(rows):
        x[row, 4:24, 8 + row % classes % 12] = 255
        x[row, 4 + row % classes % 20, 8:20] = 200
        x[row, 23, 20] = row % 200 + 20
    return x


def letters(*, transposed: bool) -> dict[str, Any]:
    x, y = upright_letters(52, 26), np.arange(52) % 26 + 1
    stored = np.ascontiguousarray(x.swapaxes(1, 2)) if transposed else x
    return {"x_train": stored, "y_train": y, "x_test": stored[:26] // 2 * 2, "y_test": y[:26]}


@pytest.mark.parametrize("transposed", [True, False])
def test_the_letters_of_emnist_have_26_classes_and_stand_upright(tmp_path: Path, transposed: bool) -> None:
    data = load(write_set(tmp_path / "EMNIST", emnist("letters"), letters(transposed=transposed)))
    assert data.name == "emnist-letters"
    assert data.classes == tuple("abcdefghijklmnopqrstuvwxyz")
    assert (data.y_train.min(), data.y_train.max()) == (0, 25)
    np.testing.assert_array_equal(data.x_train.reshape(-1, 28, 28), upright_letters(52, 26))
    said = "EMNIST's pictures are stored on their side; they were turned upright"
    assert (said in data.notes) == transposed
    assert any(note.startswith("labels run from 1 to 26") for note in data.notes)


def test_one_of_several_sets_of_emnist_is_chosen_by_its_name(tmp_path: Path) -> None:
    for variant in ("letters", "byclass"):
        write_set(tmp_path / "gzip", emnist(variant), letters(transposed=True))
    with pytest.raises(DataError, match="holds 2 data sets") as caught:
        load(tmp_path)
    assert str(tmp_path / "gzip" / "emnist-letters") in str(caught.value)
    for name in (tmp_path / "gzip" / "emnist-letters", tmp_path / "emnist-letters"):
        assert load(str(name)).classes[:2] == ("a", "b")


def test_letters_on_their_side_under_other_names_are_noticed() -> None:
    said = "the pictures seem to lie on their side"
    for transposed in (True, False):
        arrays = letters(transposed=transposed)
        assert any(said in note for note in from_arrays(**arrays).notes) == transposed


@pytest.mark.mnist
def test_digits_on_their_side_are_noticed() -> None:
    mnist = load(mnist_folder())
    x, x_test = mnist.x_train[:3000].reshape(-1, 28, 28), mnist.x_test[:500].reshape(-1, 28, 28)
    assert taller(x) == pytest.approx(0.146, abs=0.001)
    assert taller(x.swapaxes(1, 2)) == -taller(x)
    y, y_test = mnist.y_train[:3000], mnist.y_test[:500]
    assert from_arrays(x, y, x_test, y_test).notes == ()
    turned = from_arrays(x.swapaxes(1, 2), y, x_test.swapaxes(1, 2), y_test)
    assert [note.partition(",")[0] for note in turned.notes] == ["the pictures seem to lie on their side"]


def test_qmnist_is_read_by_its_names_and_its_first_column(tmp_path: Path) -> None:
    names = tuple(
        f"qmnist-{part}-{kind}" for part in ("train", "test") for kind in ("images-idx3-ubyte", "labels-idx2-int.gz")
    )
    tables = [np.column_stack([y, *[np.zeros_like(y)] * 7]).astype(np.int32) for y in (Y, Y_TEST)]
    arrays = ARRAYS | {"y_train": tables[0], "y_test": tables[1]}
    same(load(write_set(tmp_path, names, arrays)), "labels of shape (N, 8) are QMNIST's: column 0 is the class")


def test_kmnist_in_four_npz_files_is_read(tmp_path: Path) -> None:
    names = ("kmnist-train-imgs", "kmnist-train-labels", "kmnist-test-imgs", "kmnist-test-labels")
    for name, array in zip(names, ARRAYS.values(), strict=True):
        np.savez(tmp_path / f"{name}.npz", array)
    same(load(tmp_path))
    with pytest.raises(DataError, match="single array arr_0.*folder of four files"):
        load(tmp_path / "kmnist-train-imgs.npz")


def test_a_folder_without_a_set_says_what_it_holds(tmp_path: Path) -> None:
    write_set(tmp_path / "part", MNIST)
    (tmp_path / "part" / MNIST[3]).unlink()
    with pytest.raises(DataError, match="has no t10k-labels-idx1-ubyte"):
        load(tmp_path / "part")
    for name, said in [
        ("a.npz", r"to use a.npz, give its path"),
        ("train.csv", r"it holds train.csv: a table: read it with pandas"),
        ("data_batch_1", "CIFAR's batches"),
        ("cats/1.png", r"folders of pictures \(cats, ...\)"),
    ]:
        path = tmp_path / name.replace("/", "-") / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"?")
        with pytest.raises(DataError, match=said):
            load(tmp_path / name.replace("/", "-"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it holds nothing"):
        load(tmp_path / "empty")


def test_two_files_for_one_role_are_asked_about(tmp_path: Path) -> None:
    write_set(tmp_path, emnist("letters"), letters(transposed=True))
    shutil.copy(tmp_path / emnist("letters")[0], tmp_path / "emnist-letters-training-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match="are both there; expected one of them"):
        load(tmp_path)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_set(tmp_path / "sets", MNIST)
    np.savez(tmp_path / "a.npz", **ARRAYS)
    same(load("~/sets"))
    same(load("~/a.npz"))
    with pytest.raises(DataError, match="no such folder or file"):
        load("~/nothing")


# --- files that are something else ---


def contents() -> dict[str, tuple[bytes, str]]:
    """Contents that people have under the name of an IDX file, and what is said of each."""
    plain = bytes.fromhex("00000801" + "00000002" + "0102")
    return {
        "page": (b"\n<!DOCTYPE html><html>404</html>", "a web page, so the download went wrong"),
        "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "a web page"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        "zip": (b"PK\x03\x04" + b"\0" * 30, "a zip archive: unpack it"),
        "twice": (gzip.compress(gzip.compress(plain)), "gzip inside gzip"),
        "gzipped page": (gzip.compress(b"<html></html>"), "a web page"),
        "xz": (lzma.compress(plain), "an xz archive"),
        "bzip2": (bz2.compress(plain), "a bzip2 archive"),
        "tar": (b"a" * 257 + b"ustar" + b"\0" * 250, "a tar archive"),
        "npy": (b"\x93NUMPY\x01\x00", "a single NumPy array"),
        "hdf": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        "pickle": (pickle.dumps([1]), "a pickle, which is never read"),
        "png": (b"\x89PNG\r\n\x1a\n", "a picture"),
    }


def test_an_idx_file_in_the_wrong_byte_order_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes.fromhex("03080000" + "02000000" * 3) + b"\0" * 8)
    with pytest.raises(DataError, match="little-endian byte order; expected big-endian"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize("name", contents())
def test_an_idx_file_that_is_something_else_is_named(tmp_path: Path, name: str) -> None:
    content, said = contents()[name]
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_idx(tmp_path / "train-images-idx3-ubyte.gz")
    assert "train-images-idx3-ubyte.gz: not an IDX file but" in str(caught.value)


@pytest.mark.parametrize("name", ["page", "pointer", "pickle", "hdf"])
def test_an_npz_file_that_is_something_else_is_named(tmp_path: Path, name: str) -> None:
    content, said = contents()[name]
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataError, match=said):
        load(tmp_path / "mnist.npz")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.pt", "PyTorch, a pickle, which is never read: save its arrays with np.savez"),
        ("a.pkl", "a pickle, which is never read because it can run code"),
        ("a.h5", "read it with h5py"),
        ("a.onnx", "the weights of a model, not a data set"),
        ("a.safetensors", "the weights of a model"),
        ("a.csv", "a table: read it with pandas"),
        ("a.csv.gz", "a table"),
        ("A.PARQUET", "a table"),
        ("a.zip", "an archive: unpack it"),
        ("a.tar.gz", "an archive: unpack it"),
        ("a.mat", "scipy.io.loadmat"),
        ("a.npy", "a single NumPy array"),
        ("a.png", "pictures are for `assay predict"),
        ("a.toml", "assay train FILE"),
    ],
)
def test_other_files_given_as_data_are_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no such file; .*{said}"):
        load(tmp_path / name)
    (tmp_path / name).write_bytes(b"?")
    with pytest.raises(DataError, match=f"{name}: .*{said}") as caught:
        load(tmp_path / name)
    assert "no such" not in str(caught.value)


def test_a_single_idx_file_and_an_unknown_file_say_what_to_give(tmp_path: Path) -> None:
    write_set(tmp_path, MNIST)
    for name in MNIST[1:3]:
        with pytest.raises(DataError, match=f"four in a folder: give {tmp_path}"):
            load(tmp_path / name)
    (tmp_path / "a").write_bytes(b"text")
    with pytest.raises(DataError, match="not a data set; expected a folder of IDX files or an .npz file"):
        load(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "b", "w"):
        pass
    (tmp_path / "b").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="a zip archive: unpack it"):
        load(tmp_path / "b")


# --- whatever they hold: a data set or a sentence ---


@given(st.binary(max_size=600))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_recognised_or_not(content: bytes) -> None:
    assert kind_of(content) is None or isinstance(kind_of(content), str)


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
