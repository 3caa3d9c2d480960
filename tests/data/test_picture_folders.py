"""Folders of pictures, one folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import assay
from assay.data.datasets import load
from assay.errors import DataError

X = (np.arange(12 * 30).reshape(12, 6, 5) * 3 % 251).astype(np.uint8)


def write(folder: Path, label: str, *numbers: int, mode: str = "L", suffix: str = ".png") -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    for i in numbers:
        Image.fromarray(X[i]).convert(mode).save(folder / label / f"{i}{suffix}")


def test_pictures_in_train_and_test_are_read_pixel_for_pixel(tmp_path: Path) -> None:
    for part, numbers in (("train", range(8)), ("test", range(8, 12))):
        for i in numbers:
            write(tmp_path / part, "even" if i % 2 == 0 else "odd", i)
    (tmp_path / "train" / "odd" / "Thumbs.db").write_bytes(b"?")
    (tmp_path / "train" / "odd" / "notes.txt").write_bytes(b"?")
    data = load(tmp_path)
    assert (data.shape, data.classes, data.x_train.dtype) == ((6, 5), ("even", "odd"), np.uint8)
    rows = {x.tobytes(): data.classes[y] for x, y in zip(data.x_train, data.y_train, strict=True)}
    assert rows == {X[i].tobytes(): "even" if i % 2 == 0 else "odd" for i in range(8)}
    np.testing.assert_array_equal(data.x_test.reshape(-1, 6, 5), X[[10, 8, 11, 9]])
    assert "1 file that is no picture was left out of train: notes.txt" in data.notes
    assert not any("sorted by class" in note for note in data.notes)
    with pytest.raises(DataError, match="test: got 0.5, but there is the folder 'test'"):
        load(tmp_path, test=0.5)


def test_pictures_without_a_split_are_split_and_this_is_said(tmp_path: Path) -> None:
    write(tmp_path / "set", "a", *range(5))
    write(tmp_path / "set", "b", *range(5, 10))
    data = load(tmp_path / "set")
    assert (len(data.x_train), data.y_test.tolist()) == (8, [0, 1])
    assert data.notes[0].startswith("no test set was given: 2 of 10 examples")
    with pytest.raises(DataError, match="label given for data that need no such setting"):
        load(tmp_path / "set", label="a")
    above = load(tmp_path)
    assert above.checksum == data.checksum
    assert above.notes[0] == "read from set below the given folder"


def test_a_validation_folder_is_the_test_set_where_there_is_none(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write(tmp_path / part, "a", 0, 1)
        write(tmp_path / part, "b", 2, 3)
    assert "there is no folder test, so val is the test set" in load(tmp_path).notes
    write(tmp_path / "test", "a", 4)
    data = load(tmp_path)
    assert len(data.x_test) == 1
    assert "val not used" in data.notes


def test_colours_and_grey_are_one_set(tmp_path: Path) -> None:
    write(tmp_path, "a", *range(3))
    write(tmp_path, "b", *range(3, 6), mode="RGB")
    assert load(tmp_path, test=2).shape == (6, 5)  # all of them are grey
    Image.fromarray(np.stack([X[6], X[7], X[8]], axis=-1)).save(tmp_path / "b" / "9.png")
    data = load(tmp_path, test=2)
    assert data.shape == (6, 5, 3)
    assert "6 grey pictures among those with colours have three equal channels" in data.notes


def test_pictures_of_different_sizes_are_refused_and_resized_on_demand(tmp_path: Path) -> None:
    write(tmp_path, "a", 0, 1)
    write(tmp_path, "b", 2, 3)
    Image.fromarray(np.full((9, 7), 200, np.uint8)).save(tmp_path / "b" / "9.png")
    with pytest.raises(DataError, match=r"0.png has 6 x 5 pixels .* 9 x 7; resize them with .* --size 6x5"):
        load(tmp_path)
    data = load(tmp_path, size=(6, 5), test=2)
    assert "1 of 5 pictures were resized to 6 x 5 pixels, whatever their proportions" in data.notes
    everything = np.concatenate([data.x_train, data.x_test])
    assert (everything == 200).all(axis=1).sum() == 1
    assert {X[0].tobytes(), X[3].tobytes()} <= {x.tobytes() for x in everything}


def test_what_is_no_set_of_pictures_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "one", "a", *range(4))
    with pytest.raises(DataError, match="all training examples are of class 'a'"):
        assay.fit({"budget": "1 iteration"}, data=load(tmp_path / "one"))
    write(tmp_path / "empty", "a", 0, 1)
    (tmp_path / "empty" / "b").mkdir()
    with pytest.raises(DataError, match="b: holds no picture"):
        load(tmp_path / "empty")
    write(tmp_path / "deep", "a", 0, 1)
    write(tmp_path / "deep" / "a", "inner", 2)
    with pytest.raises(DataError, match="a folder within the class 'a'"):
        load(tmp_path / "deep")
    write(tmp_path / "broken", "a", 0, 1)
    (tmp_path / "broken" / "a" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="2.png: not an image"):
        load(tmp_path / "broken")
    write(tmp_path / "clear", "a", 0, 1)
    Image.fromarray(np.zeros((6, 5, 4), np.uint8)).save(tmp_path / "clear" / "a" / "2.png")
    with pytest.raises(DataError, match="2.png: has transparent pixels"):
        load(tmp_path / "clear")
    for part in ("train", "test"):
        write(tmp_path / "more" / part, "a", 0, 1)
        write(tmp_path / "more" / part, "b", 2, 3)
    write(tmp_path / "more" / "test", "c", 4)
    with pytest.raises(DataError, match="test label 'c' does not occur in the training set"):
        load(tmp_path / "more")
