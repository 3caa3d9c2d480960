"""Files and folders under other people's names, and files that are something else."""

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
from numpy.typing import NDArray

from assay.data.dataset import from_arrays
from assay.data.datasets import load
from assay.data.idx import read_idx
from assay.data.orientation import taller
from assay.data.roles import ROLES
from assay.errors import DataError
from tests.data.samples import ARRAYS, MNIST, X_TEST, Y_TEST, X, Y, emnist, same, write_set
from tests.folders import mnist_folder

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
        ("train.csv", r"train.csv: a table of 0 rows"),
        ("other.xlsx", r"it holds other.xlsx: a table: save it as CSV or Parquet"),
        ("passengers.csv", r"it holds passengers.csv: a table: give its path"),
        ("data_batch_1", "CIFAR's batches"),
        ("cats/1.png", r"cats/1.png: not an image"),
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
        ("a.xlsx", "a table: save it as CSV or Parquet"),
        ("a.arff", "a table"),
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
    with pytest.raises(DataError, match="not a data set; expected a folder of IDX files or of pictures, a table"):
        load(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "b", "w"):
        pass
    (tmp_path / "b").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="a zip archive: unpack it"):
        load(tmp_path / "b")
