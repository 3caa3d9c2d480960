"""Weights in a file, and digits read with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import save_file

import assay
from assay.data.datasets import load
from assay.data.idx import write_idx
from assay.data.images import prepared_image
from assay.data.ink import ink_of
from assay.data.picture_files import Picture
from assay.data.picture_style import PictureStyle, fitted_ink
from assay.errors import AssayError, DataError, FileError
from assay.training.checkpoints import restore, save
from assay.training.prediction import predict


@pytest.fixture(scope="module")
def trained() -> assay.History:
    return assay.fit({"budget": {"epochs": 25}})


@pytest.fixture(scope="module")
def weights(trained: assay.History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(trained, tmp_path_factory.mktemp("weights") / "digits.safetensors")


def test_what_is_saved_is_restored(trained: assay.History, weights: Path) -> None:
    back = restore(weights)
    assert back.recipe == trained.recipe
    assert back.points == trained.points
    assert (back.shape, back.classes, back.scaling) == (trained.shape, trained.classes, trained.scaling)
    for name in trained.checkpoint.weights:
        np.testing.assert_array_equal(back.checkpoint.weights[name], trained.checkpoint.weights[name])
        np.testing.assert_array_equal(back.checkpoint.slots[name], trained.checkpoint.slots[name])


def test_training_goes_on_from_a_file(trained: assay.History, weights: Path) -> None:
    recipe = trained.recipe.with_budget(epochs=26)
    from_file = assay.fit(recipe, start=restore(weights))
    in_memory = assay.fit(recipe, start=trained)
    for name in trained.checkpoint.weights:
        np.testing.assert_array_equal(from_file.checkpoint.weights[name], in_memory.checkpoint.weights[name])


def test_idx_images_are_read(weights: Path, tmp_path: Path) -> None:
    digits = load("digits")
    images = (digits.x_test[:50].reshape(-1, 8, 8) / 16 * 255).round().astype(np.uint8)
    write_idx(tmp_path / "images.gz", images)
    predictions = predict(restore(weights), [tmp_path / "images.gz"])
    right = sum(p.label == str(y) for p, y in zip(predictions, digits.y_test, strict=False))
    assert right >= 45
    assert sum(predictions[0].probabilities.values()) == pytest.approx(1)


def drawn(digit: str, *, size: int, ink: int, paper: int) -> Image.Image:
    image = Image.new("L", (size, size), paper)
    font = ImageFont.load_default(size=int(size * 0.75))
    ImageDraw.Draw(image).text((size / 2, size / 2), digit, fill=ink, font=font, anchor="mm")
    return image


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0)])
def test_drawn_images_of_any_size_are_read(weights: Path, tmp_path: Path, ink: int, paper: int) -> None:
    for digit in "023":
        drawn(digit, size=90 + 40 * int(digit), ink=ink, paper=paper).save(tmp_path / f"{digit}.png")
    predictions = predict(restore(weights), [tmp_path / f"{digit}.png" for digit in "023"])
    assert "".join(p.label for p in predictions) == "023"


def test_enlarged_digits_are_read(weights: Path, tmp_path: Path) -> None:
    digits = load("digits")
    for i, row in enumerate(digits.x_test[:40]):
        grey = 255 - (row.reshape(8, 8) / 16 * 255).astype(np.uint8)
        Image.fromarray(np.pad(grey.repeat(9, 0).repeat(9, 1), 20, constant_values=255)).save(tmp_path / f"{i}.png")
    predictions = predict(restore(weights), [tmp_path / f"{i}.png" for i in range(40)])
    assert sum(p.label == str(y) for p, y in zip(predictions, digits.y_test, strict=False)) >= 34


def test_a_transparent_ground_is_no_ink() -> None:
    colours, opacity = np.zeros((8, 8, 1)), np.zeros((8, 8))
    opacity[2:6, 2:6] = 1.0
    ink = ink_of(Picture(colours, opacity)).ink
    assert ink[4, 4] == 1.0
    assert ink[0, 0] == 0.0


def test_images_are_centred_by_mass() -> None:
    image = np.zeros((100, 60))
    image[10:30, 5:15] = 1.0
    style = PictureStyle(0.0, side=20.0, centre=(13.5, 13.5), by_mass=(True, True))
    frame = fitted_ink(image, (28, 28), style)
    assert frame.shape == (28, 28)
    rows, columns = np.nonzero(frame)
    assert (rows.min(), rows.max() - rows.min() + 1) == (4, 20)
    assert abs(columns.mean() - 13.5) <= 0.5
    assert fitted_ink(np.zeros((50, 50)), (28, 28), style).sum() == 0


def test_wrong_files_are_told(weights: Path, tmp_path: Path) -> None:
    history = restore(weights)
    (tmp_path / "text.png").write_text("no image")
    write_idx(tmp_path / "labels", np.arange(3, dtype=np.uint8))
    for name, said in (("nothing.png", "no such file"), ("text.png", "not an image")):
        with pytest.raises(FileError, match=said):
            predict(history, [tmp_path / name])
    with pytest.raises(DataError, match="expected images"):
        predict(history, [tmp_path / "labels"])


def test_weights_that_are_not_ours_are_told(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        restore(tmp_path / "nothing")
    (tmp_path / "text").write_text("no weights at all")
    with pytest.raises(FileError, match="not a safetensors file"):
        restore(tmp_path / "text")
    save_file({"a": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(FileError, match="not one that Assay wrote"):
        restore(tmp_path / "other")
    save_file({"a": np.zeros(3)}, tmp_path / "newer", metadata={"assay": json.dumps({"format": 99})})
    with pytest.raises(FileError, match="format 99"):
        restore(tmp_path / "newer")
    content = weights.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["assay"] = header["__metadata__"]["assay"].replace('"t": ', '"t": "x", "u": ')
    packed = json.dumps(header).encode()
    (tmp_path / "damaged").write_bytes(len(packed).to_bytes(8, "little") + packed + content[8 + size :])
    with pytest.raises(FileError, match="damaged"):
        restore(tmp_path / "damaged")


@pytest.mark.parametrize("inputs", [2, 0, 2**53 + 1])
def test_a_number_of_inputs_that_contradicts_the_shape_is_refused(inputs: int, weights: Path, tmp_path: Path) -> None:
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["assay"]) | {"inputs": inputs}
    header["__metadata__"]["assay"] = json.dumps(about)
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(FileError, match=f"inputs: got {inputs}, but the shape has 64"):
        restore(tmp_path / "w.safetensors")


@given(cut=st.integers(0, 20_000), place=st.integers(0, 3000), value=st.integers(0, 255))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_weights_are_read_or_refused(weights: Path, tmp_path: Path, cut: int, place: int, value: int) -> None:
    content = bytearray(weights.read_bytes())
    content[place] = value
    (tmp_path / "a").write_bytes(bytes(content[: len(content) - cut]))
    try:
        restore(tmp_path / "a")
    except AssayError:
        pass


def test_a_file_that_cannot_be_written_leaves_the_old_one(trained: assay.History, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        save(trained, tmp_path / "no" / "such" / "folder")
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileError, match="cannot be written"):
        save(trained, tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_picture_of_which_no_ink_is_left_is_refused() -> None:
    style = PictureStyle(0.0, side=20.0, centre=(14.0, 14.0))  # of 28 x 28 pixels, for a network of 8 x 8
    colours = np.ones((40, 33, 1))
    colours[8:30, 28:31] = colours[27:30, 12:31] = 0.0
    image = prepared_image("x.png", Picture(colours), (8, 8), style)
    assert image.values is None
    assert "no ink is left at the size and place of the training pictures" in image.problem
