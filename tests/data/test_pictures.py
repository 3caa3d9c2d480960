"""Pictures as people hand them in are predicted like the clean ones, or refused with a sentence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features
from threadpoolctl import threadpool_limits

import assay
from assay.data.dataset import from_arrays
from assay.data.datasets import load
from assay.data.idx import write_idx
from assay.data.images import read_images
from assay.data.ink import ink_of
from assay.data.picture_files import Picture, read_picture
from assay.data.picture_style import PictureStyle, picture_style
from assay.engines import installed
from assay.engines import load as load_engine
from assay.errors import AssayError, DataError, FileError
from assay.training.checkpoints import from_bytes, restore, save, to_bytes
from assay.training.loop import prepared, train
from assay.training.prediction import predict, prepare_images, probabilities, style_of
from tests.data import pictures
from tests.folders import mnist_folder

PLAIN = PictureStyle(None)
GROUPED = 20


def trained(data: Any, hidden: int = 48, epochs: int = 20) -> assay.History:
    recipe = assay.Recipe.parse({"model": {"hidden": [hidden]}, "budget": {"epochs": epochs}, "log": "5 epochs"})
    return train(
        [recipe], load_engine("native" if installed("native") else "numpy", threads=1), prepared(recipe, data)
    )[0]


def right_digits(history: assay.History, data: Any, *, seed: int) -> tuple[Any, list[str]]:
    """Twenty test digits that the network gets right as clean pictures."""
    x = data.x_test / data.scale
    right = np.flatnonzero(probabilities(history, x).argmax(1) == data.y_test)
    rows = np.random.default_rng(seed).permutation(right)[:GROUPED]
    return x[rows].reshape(-1, *data.shape), [data.classes[y] for y in data.y_test[rows]]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Small products on many threads wait for one another on a busy machine."""
    with threadpool_limits(1):
        yield


def hits(predictions: list[Any], labels: list[str]) -> int:
    return sum(p.label == label for p, label in zip(predictions, labels, strict=True))


@pytest.fixture(scope="module")
def digits() -> assay.History:
    return trained(load("digits-28"))


@pytest.mark.parametrize("group", pictures.GROUPS)
def test_pictures_of_each_kind_are_read(digits: assay.History, tmp_path: Path, group: str) -> None:
    ink, labels = right_digits(digits, load("digits-28"), seed=0)
    files = pictures.make(group, ink, tmp_path)
    assert hits(predict(digits, files), labels) >= 18


@pytest.mark.mnist
@pytest.mark.endurance
def test_pictures_of_mnist_are_read(tmp_path: Path) -> None:
    data = load(mnist_folder())
    history = trained(data, hidden=64, epochs=2)
    ink, labels = right_digits(history, data, seed=0)
    scores = {
        group: hits(predict(history, pictures.make(group, ink, tmp_path / f"{number}")), labels)
        for number, group in enumerate(pictures.GROUPS)
    }
    assert scores.pop("clean") >= 19
    assert min(scores.values()) >= 18, scores
    rows = slice(0, 2000)
    assert own_score(history, data, tmp_path, rows) == pytest.approx(direct_score(history, data, rows), abs=0.005)


def direct_score(history: assay.History, data: Any, rows: slice = slice(None)) -> float:
    return float((probabilities(history, data.x_test[rows] / data.scale).argmax(1) == data.y_test[rows]).mean())


def own_score(history: assay.History, data: Any, folder: Path, rows: slice = slice(None)) -> float:
    """The accuracy on the test set, written as PNG and predicted."""
    images = np.rint(data.x_test[rows] / data.scale * 255).astype(np.uint8).reshape(-1, *data.shape)
    images = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png", compress_level=1)
    predictions = predict(history, [folder / f"{number}.png" for number in range(len(images))])
    return hits(predictions, [data.classes[y] for y in data.y_test[rows]]) / len(images)


def textured(channels: int) -> Any:
    """Four kinds of texture that fill their pictures, as garments do: stripes of two directions, checks, a gradient."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:16, :16]
    kinds = [np.sin(y), np.sin(x), np.sin(x) * np.sin(y), (x + y) / 15 - 1]
    labels = random.integers(0, 4, 600)
    grey = np.array([kinds[k] for k in labels]) * random.uniform(0.1, 0.5, (600, 1, 1)) + 0.5
    tint = random.uniform(0.3, 1, (600, 1, 1, channels)) if channels > 1 else np.ones((1, 1, 1, 1))
    images = np.clip(grey[..., None] * tint + random.normal(0, 0.15, (600, 16, 16, channels)), 0, 1)
    images = (255 * images).astype(np.uint8)
    images = images if channels > 1 else images[..., 0]
    return from_arrays(images[:400], labels[:400], images[400:], labels[400:], name="textures")


@pytest.mark.parametrize("channels", [1, 3])
def test_textures_and_colours_score_as_stored(tmp_path: Path, channels: int) -> None:
    data = textured(channels)
    assert data.pictures is not None
    assert data.pictures.border is None
    history = trained(data)
    assert history.accuracy is not None
    assert history.accuracy > 0.7
    assert own_score(history, data, tmp_path) == pytest.approx(history.accuracy, abs=0.005)


@pytest.mark.parametrize("name", ["digits", "digits-28"])
def test_embedded_digits_score_as_stored(tmp_path: Path, name: str) -> None:
    history = trained(load(name))
    assert history.accuracy is not None
    assert own_score(history, load(name), tmp_path) == pytest.approx(history.accuracy, abs=0.005)


def test_a_channel_of_one_and_grey_in_three_channels_get_ink(tmp_path: Path) -> None:
    whole = load("digits-28")
    for channels in (1, 3):
        train_x, test_x = (
            x.reshape(-1, 28, 28, 1).repeat(channels, axis=3) for x in (whole.x_train[::4], whole.x_test)
        )
        data = from_arrays(train_x, whole.y_train[::4], test_x, whole.y_test)
        history = trained(data)
        assert history.accuracy is not None
        ink, labels = right_digits(history, whole if channels == 1 else data, seed=0)
        ink = ink if ink.ndim == 3 else ink[..., 0]
        files = pictures.make("shaded paper", ink, tmp_path / str(channels))
        assert hits(predict(history, files), labels) >= 17  # of a quarter of the training examples


# --- the style of training pictures ---


def test_the_style_of_the_embedded_digits() -> None:
    style = load("digits-28").pictures
    assert style is not None
    assert (style.border, style.full, style.side, style.several) == (0.0, 1.0, 20.0, 0.0)
    assert style.centre == pytest.approx((13.5, 13.8), abs=0.1)
    small = load("digits").pictures
    assert small is not None
    assert (small.border, small.side, small.by_mass) == (0.0, 8.0, (False, True))


def test_dark_ink_on_a_light_border_is_a_style(tmp_path: Path) -> None:
    whole = load("digits-28")
    data = from_arrays(
        255 - whole.x_train.reshape(-1, 28, 28), whole.y_train, 255 - whole.x_test.reshape(-1, 28, 28), whole.y_test
    )
    assert data.pictures is not None
    assert (data.pictures.border, data.pictures.full) == (1.0, 0.0)
    history = trained(data)
    clean = whole.x_test[:30].reshape(-1, 28, 28) / 255
    labels = [str(y) for y in whole.y_test[:30]]
    for group in ("clean", "light on dark"):
        assert hits(predict(history, pictures.make(group, clean, tmp_path / group)), labels) >= 28


def test_ink_that_moves_in_training_is_not_moved(tmp_path: Path) -> None:
    random, images = np.random.default_rng(0), np.zeros((400, 24, 24), np.uint8)
    labels = random.integers(0, 2, 400)
    for image, label in zip(images, labels, strict=True):  # the class is the place
        y, x = random.integers(2, 16), random.integers(2, 7) + 10 * label
        image[y : y + 6, x : x + 4] = 255
    data = from_arrays(images[:300], labels[:300], images[300:], labels[300:])
    assert data.pictures is not None
    assert (data.pictures.border, data.pictures.side) == (0.0, 0.0)
    history = trained(data)
    assert history.accuracy == 1.0
    assert own_score(history, data, tmp_path) == 1.0


def test_letters_of_several_shapes_are_no_question() -> None:
    images = np.zeros((50, 20, 20), np.uint8)
    images[:, 4:16, 4:8] = images[:, 4:16, 12:16] = 255
    style = picture_style(images.reshape(50, -1), (20, 20), 255.0)
    assert style is not None
    assert style.several == 1.0
    two = Picture(1 - images[0][..., None] / 255)
    assert ink_of(two, may_have_several=True).problem is None
    assert "more than one digit?" in str(ink_of(two).problem)


def test_values_below_zero_get_the_training_range(tmp_path: Path) -> None:
    style = PictureStyle(None, low=(-1.0, -2.0, -1.0), high=(1.0, 2.0, 3.0))
    Image.fromarray(np.full((4, 4, 3), [0, 255, 51], np.uint8)).save(tmp_path / "a.png")
    image = read_images(tmp_path / "a.png", (4, 4, 3), style)[0]
    assert image.values is not None
    np.testing.assert_allclose(image.values[0, 0], [-1.0, 2.0, -0.2])
    assert any("the range of the training pictures" in note for note in image.notes)


def test_the_style_is_stored_with_the_weights_and_older_weights_do_without(
    digits: assay.History, tmp_path: Path
) -> None:
    assert from_bytes(to_bytes(digits), source="bytes").pictures == digits.pictures
    old = from_bytes(to_bytes(replace(digits, pictures=None)), source="bytes")
    assert old.pictures is None
    renamed = old.recipe.model_copy(update={"data": old.recipe.data.model_copy(update={"name": "digits-28"})})
    assert style_of(replace(old, recipe=renamed, data_checksum=load("digits-28").checksum)) == (digits.pictures, ())
    style, assumed = style_of(old)  # its data set is not at hand
    assert (style.border, style.side, style.by_mass) == (0.0, 20.0, (True, True))
    assert "assumed: ink on an empty border, as in MNIST (--ink or --no-ink says so)" in assumed[0]
    assert style_of(old, ink=False) == (PLAIN, ())
    assert style_of(replace(old, shape=(28, 28, 3)))[0].border is None
    pictures.clean(load("digits-28").x_test[0].reshape(28, 28) / 255, tmp_path / "a", np.random.default_rng())
    assert "assumed" in predict(old, [tmp_path / "a.png"])[0].notes[0]


def test_a_damaged_style_is_refused(digits: assay.History) -> None:
    for plain in ({"border": 0.0}, {**PLAIN.plain(), "centre": [1]}, {**PLAIN.plain(), "high": ["x"]}, [1], {"a": 1}):
        content = to_bytes(digits)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        about = json.loads(header["__metadata__"]["assay"]) | {"pictures": plain}
        header["__metadata__"]["assay"] = json.dumps(about)
        packed = json.dumps(header).encode()
        with pytest.raises(FileError, match="damaged"):
            from_bytes(len(packed).to_bytes(8, "little") + packed + content[8 + size :], source="a")


# --- depths, orientations, formats ---

VALUES = np.arange(30, dtype=float).reshape(5, 6) / 29


def decoded(path: Path) -> Any:
    return read_picture(path, largest=256).colours[..., 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = Image.fromarray((VALUES * 255).astype(np.uint8))
    image = image if orientation == 1 else image.transpose(Image.Transpose(inverse[orientation]))
    tags = Image.Exif()
    tags[0x0112] = orientation
    for ending in ("png", "tif", "webp"):
        options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
        image.save(tmp_path / f"a.{ending}", exif=tags, **options)
        np.testing.assert_allclose(decoded(tmp_path / f"a.{ending}"), np.floor(VALUES * 255) / 255, atol=0.003)


@pytest.mark.parametrize(
    ("mode", "dtype", "top"),
    [("L", np.uint8, 255), ("I;16", np.uint16, 65_535), ("I", np.int32, 2**31 - 1), ("F", np.float32, 1)],
)
def test_each_depth_is_divided_by_its_range(tmp_path: Path, mode: str, dtype: Any, top: int) -> None:
    image = Image.fromarray((VALUES * top).astype(dtype))
    assert image.mode == mode
    endings = {"L": ["png", "tif"], "I;16": ["png", "tif"]}.get(mode, ["tif"])
    for ending in endings:
        image.save(tmp_path / f"a.{ending}")
        np.testing.assert_allclose(decoded(tmp_path / f"a.{ending}"), VALUES, atol=0.004)


def test_one_bit_palettes_cmyk_and_opacity(tmp_path: Path) -> None:
    grey = Image.fromarray((VALUES > 0.5).astype(np.uint8) * 255)
    for mode, ending in (("1", "png"), ("1", "tif"), ("P", "gif"), ("P", "png"), ("CMYK", "tif"), ("LA", "png")):
        grey.convert(mode).save(tmp_path / f"a.{ending}")
        np.testing.assert_allclose(decoded(tmp_path / f"a.{ending}"), VALUES > 0.5, atol=0.01)
    see_through = Image.new("RGBA", (6, 5), (255, 255, 255, 0))
    see_through.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", largest=256).opacity is not None
    image = read_images(tmp_path / "a.png", (5, 6), PLAIN)[0]
    assert image.values is not None
    assert image.values.min() == 1.0
    assert "transparent pixels count as white" in image.notes


def test_floating_point_of_no_known_range_is_refused(tmp_path: Path) -> None:
    Image.fromarray((VALUES * 3000).astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(FileError, match="floating-point values from 0 to 3000, whose range is unknown"):
        decoded(tmp_path / "a.tif")
    Image.fromarray((VALUES * np.nan).astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(FileError, match="holds NaN"):
        decoded(tmp_path / "a.tif")


def test_other_sizes_are_averaged_and_cut_to_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:12], wide[:, 12:16] = 200, 100
    Image.fromarray(wide).save(tmp_path / "a.png")
    image = read_images(tmp_path / "a.png", (2, 2), PLAIN)[0]
    assert image.values is not None
    np.testing.assert_allclose(image.values * 255, [[200, 100], [200, 100]], atol=0.01)
    assert image.notes == ("cut to its middle, 8 of 24 columns and 8 of 8 rows",)


FORMATS = ["png", "jpg", "gif", "tif", "bmp", "webp", "avif", "ico", "tga", "jp2", "ppm", "pcx", "sgi", "dds"]


@pytest.mark.parametrize("ending", FORMATS)
def test_each_format_is_read_by_its_content(digits: assay.History, tmp_path: Path, ending: str) -> None:
    for name, needed in (("avif", "avif"), ("jp2", "jpg_2000"), ("webp", "webp")):
        if ending == name and not features.check(needed):
            pytest.skip(f"this Pillow has no {needed}")
    ink, labels = right_digits(digits, load("digits-28"), seed=0)
    for number, values in enumerate(ink):
        image = Image.fromarray(pictures.bytes_of(1 - pictures.enlarged(values, 2)))
        image.convert("RGB").save(tmp_path / f"a.{ending}")
        (tmp_path / f"a.{ending}").rename(tmp_path / str(number))
    assert hits(predict(digits, [tmp_path / str(number) for number in range(len(ink))]), labels) >= 18


def box(brand: bytes, *compatible: bytes) -> bytes:
    content = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return (4 + len(content)).to_bytes(4, "big") + content + bytes(64)


FOREIGN = {
    "heic": (box(b"heic", b"mif1", b"heic"), "a HEIC photograph, which Assay cannot read: save it as JPEG"),
    "mif1": (box(b"mif1", b"heic"), "a HEIC photograph"),
    "avif": (box(b"avif", b"mif1", b"avif"), "AVIF picture that this Pillow cannot read, or damaged"),
    "film": (box(b"isom", b"mp42"), "a film"),
    "cr3": (box(b"crx ", b"isom"), "raw file"),
    "pdf": (b"%PDF-1.7\n", "a PDF document: save the page as PNG"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "html": (b"<!DOCTYPE html><html>", "a web page and not a picture"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "zip": (b"PK\x03\x04rest", "a zip archive"),
    "npy": (b"\x93NUMPY\x01\x00", "an array of NumPy"),
    "dicom": (bytes(128) + b"DICM", "a DICOM file"),
    "jxl": (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    "jp2": (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 picture that this Pillow cannot read"),
    "ico": (b"\x00\x00\x01\x00\x00\x00", "not an image"),
    "gzip": (gzip.compress(b"some text"), "a gzip file that holds no IDX file"),
    "cut gzip": (gzip.compress(b"\0\0\x08\x03" + bytes(99))[:-12], "gzip"),
    "empty": (b"", "the file is empty"),
    "text": (b"hello", "not an image"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_picture_is_named_and_never_taken_for_idx(tmp_path: Path, kind: str) -> None:
    content, sentence = FOREIGN[kind]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_images(tmp_path / "file", (28, 28), PLAIN)
    assert sentence in str(caught.value)
    assert "element type" not in str(caught.value)


def test_a_picture_that_claims_too_many_pixels_takes_no_memory(tmp_path: Path) -> None:
    Image.new("1", (9, 9)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    import zlib

    for width, sentence in (
        (10_000, "claims 10,000 x 9,000 pixels; expected at most"),
        (60_000, "claims more than 64,000,000 pixels"),
        (7_000, "damaged: claims 7,000 x 9,000 pixels"),
    ):
        content[16:24] = width.to_bytes(4, "big") + (9_000).to_bytes(4, "big")
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(FileError, match=sentence):
            decoded(tmp_path / "a.png")


@cache
def _samples() -> dict[str, bytes]:
    result: dict[str, bytes] = {}
    image = Image.fromarray(pictures.bytes_of(1 - load("digits-28").x_test[0].reshape(28, 28) / 255)).convert("RGB")
    for name in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "TGA", "ICO", "WEBP", "JPEG2000", "PPM"):
        image.save(buffer := BytesIO(), format=name)
        result[name] = buffer.getvalue()
    return result


@given(data=st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_pictures_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    known = _samples()
    content = bytearray(known[data.draw(st.sampled_from(sorted(known)))])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 300) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    (tmp_path / "a").write_bytes(content)
    for style, shape in ((PLAIN, (8, 8, 3)), (load("digits-28").pictures or PLAIN, (28, 28))):
        try:
            for image in read_images(tmp_path / "a", shape, style):
                assert image.problem or (image.values is not None and np.isfinite(image.values).all())
        except AssayError:
            pass


@given(
    pixels=st.integers(1, 40).flatmap(
        lambda h: st.integers(1, 40).flatmap(
            lambda w: st.binary(min_size=h * w, max_size=h * w).map(
                lambda b: np.frombuffer(b, np.uint8).reshape(h, w, 1) / 255.0
            )
        )
    )
)
@settings(deadline=None, max_examples=150)
def test_any_pixels_give_finite_ink_or_a_problem(pixels: Any) -> None:
    result = ink_of(Picture(pixels))
    assert np.isfinite(result.ink).all()
    assert 0 <= result.ink.min() <= result.ink.max() <= 1
    assert result.problem is not None or result.ink.max() > 0


# --- sentences ---


def blank(values: Any, path: Path) -> Path:
    return pictures.save_photograph(np.asarray(values, float), path, np.random.default_rng(0))


def sheets() -> dict[str, Callable[[Path], Path]]:
    ruled = np.full((200, 200), 0.95)
    ruled[::40] = 0.5
    dusty = np.ones((120, 120))
    dusty[5::23, 7::31] = 0.0
    return {
        "white": lambda path: pictures.save_grey(np.ones((60, 60)), path),
        "flat grey": lambda path: pictures.save_grey(np.full((28, 28), 0.5), path),
        "black": lambda path: pictures.save_grey(np.zeros((90, 40)), path),
        "shaded": lambda path: blank(np.linspace(0.5, 0.35, 112) + np.zeros((112, 1)), path),
        "shaded, exact size": lambda path: blank(np.linspace(0.78, 0.55, 28) + np.zeros((28, 1)), path),
        "ruled": lambda path: pictures.save_grey(ruled, path),
        "dusty": lambda path: pictures.save_grey(dusty, path),
        "one pixel": lambda path: pictures.save_grey(np.eye(1, 784).reshape(28, 28), path),
    }


@pytest.mark.parametrize("kind", sheets())
def test_a_page_without_ink_gets_no_label(digits: assay.History, tmp_path: Path, kind: str) -> None:
    prediction = predict(digits, [sheets()[kind](tmp_path / "a")])[0]
    assert (prediction.label, prediction.probabilities) == (None, {})
    assert prediction.problem.startswith("no ink found")


def test_two_digits_are_a_question(digits: assay.History, tmp_path: Path) -> None:
    ink, _ = right_digits(digits, load("digits-28"), seed=0)
    side, stacked = np.hstack([ink[0], ink[1]]), np.vstack([ink[0], ink[1]])
    for number, values in enumerate((side, stacked, pictures.enlarged(side, 4))):
        path = pictures.save_grey(1 - values, tmp_path / str(number))
        assert predict(digits, [path])[0].problem.startswith("more than one digit? 2 separate shapes")


def test_what_was_removed_is_said(digits: assay.History, tmp_path: Path) -> None:
    ink, _ = right_digits(digits, load("digits-28"), seed=0)
    expected = {
        "pixel in a corner": "a speck was removed",
        "ruled line, large": "a line was removed",
        "frame at the edge, large": "a frame was removed",
    }
    for group, sentence in expected.items():
        notes = [p.notes for p in predict(digits, pictures.make(group, ink, tmp_path))]
        assert sum(sentence in note for note in notes) >= 18


def test_networks_of_no_picture_say_so(digits: assay.History, tmp_path: Path) -> None:
    path = pictures.save_grey(np.ones((9, 9)), tmp_path / "a")
    for shape in ((784,), (3, 32, 32), (28, 28, 2)):
        with pytest.raises(DataError, match="was trained on examples of shape"):
            predict(replace(digits, shape=shape), [path])


def test_all_files_that_cannot_be_read_are_named(digits: assay.History, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(FOREIGN["heic"][0])
    with pytest.raises(FileError) as caught:
        predict(digits, [tmp_path / "none.png", tmp_path / "photo.jpg", tmp_path])
    assert str(caught.value).count("\n") == 2
    for sentence in ("no such file", "HEIC", "is a folder"):
        assert sentence in str(caught.value)


def test_idx_files_of_colours_and_of_other_ranges(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3)).astype(np.uint8)
    write_idx(tmp_path / "a", colours)
    images = read_images(tmp_path / "a", (5, 6, 3), PLAIN)
    assert [image.name for image in images] == [f"{tmp_path / 'a'}[{i}]" for i in range(3)]
    assert images[2].values is not None
    np.testing.assert_allclose(images[2].values, colours[2] / 255)
    write_idx(tmp_path / "a", (colours[..., 0] // 4).astype(np.int16))
    image = read_images(tmp_path / "a", (5, 6), PLAIN)[0]
    assert image.values is not None
    np.testing.assert_allclose(image.values, (colours[0, ..., 0] // 4) / (colours[..., 0] // 4).max())
    assert image.notes[0].startswith("values from 0 to 6")


# --- the command ---


def test_the_command_shows_what_the_network_is_given(invoke: Any, digits: assay.History) -> None:
    save(digits, "w.safetensors")
    ink, labels = right_digits(digits, load("digits-28"), seed=0)
    pictures.make("shaded paper", ink[:2], Path())
    pictures.save_grey(np.ones((40, 40)), Path("blank"))
    words = ["predict", "w.safetensors", "0.jpg", "1.jpg", "blank.png"]
    code, out, err = invoke(*words, "--show", "given.png")
    assert code == 0
    assert f"0.jpg: {labels[0]}   {labels[0]}: " in out
    assert "blank.png: no ink found" in out
    assert "what the network is given: given.png" in err
    with Image.open("given.png") as sheet:
        assert sheet.size == (3 * 120 + 8, 154 + 8)
        tile = np.asarray(sheet.convert("L"))[8 : 8 + 112 : 4, 8 : 8 + 112 : 4]
    values = prepare_images(digits, ["0.jpg"])[0].values
    np.testing.assert_array_equal(tile, np.rint(np.asarray(values) * 255))
    predictions = json.loads(invoke(*words, "--json")[1])["predictions"]
    assert [p["label"] for p in predictions] == [*labels[:2], None]
    assert predictions[2]["problem"].startswith("no ink found")
    for name in ("given.jpg", "no/such/given.png"):
        code, _, err = invoke(*words, "--show", name)
        assert (code, "expected a file in an existing folder" in err) == (2, True)


def test_no_ink_gives_the_picture_as_it_is(invoke: Any, digits: assay.History) -> None:
    save(digits, "w.safetensors")
    pictures.save_grey(np.ones((28, 28)), Path("blank"))
    code, out, _ = invoke("predict", "w.safetensors", "blank.png", "--no-ink", "--json")
    assert code == 0
    assert json.loads(out)["predictions"][0]["label"] in digits.classes
    values = prepare_images(restore("w.safetensors"), ["blank.png"], ink=False)[0].values
    assert values is not None
    assert values.min() == 1.0


# --- what lies around the paper, and on it ---------------------------------------------------------------------------


def _on_graph_paper(ink: np.ndarray) -> np.ndarray:
    paper = np.ones(ink.shape)
    paper[::20] = paper[:, ::20] = 0.8
    return paper * (1 - 0.85 * ink)


def _underlined(ink: np.ndarray) -> np.ndarray:
    paper = 1 - 0.9 * ink
    bottom = np.flatnonzero((ink > 0.5).any(axis=1)).max()
    paper[bottom - 2 : bottom + 3, 20:-20] = 0.1
    return paper


def _turned_on_a_desk(ink: np.ndarray) -> np.ndarray:
    upright = np.asarray(Image.fromarray(pictures.bytes_of(ink)).rotate(-8)) / 255  # the sheet is turned, not the digit
    sheet = Image.fromarray(pictures.bytes_of(0.85 * (1 - 0.85 * upright)))
    desk = Image.new("L", (500, 500), 60)
    mask = Image.new("L", sheet.size, 255).rotate(8, expand=True)
    desk.paste(sheet.rotate(8, expand=True), ((500 - mask.width) // 2, (500 - mask.height) // 2), mask)
    return np.asarray(desk) / 255


@pytest.mark.parametrize(
    "paper", [pytest.param(_on_graph_paper, marks=pytest.mark.endurance), _underlined, _turned_on_a_desk]
)
def test_graph_paper_underlines_and_turned_sheets_are_removed(paper, digits: assay.History, tmp_path: Path) -> None:
    ink, labels = right_digits(digits, load("digits-28"), seed=0)
    paths = []
    for number, values in enumerate(ink[:10]):
        large = np.pad(pictures.enlarged(values, 10), 40 if paper is not _turned_on_a_desk else 30)
        paths.append(pictures.save_grey(paper(large), tmp_path / str(number)))
    assert hits(predict(digits, paths), labels[:10]) >= 9


def test_the_hard_edge_of_a_shadow_gets_a_sentence_and_no_label(digits: assay.History, tmp_path: Path) -> None:
    ink, _ = right_digits(digits, load("digits-28"), seed=0)
    large = pictures.enlarged(ink[0], 10)
    y, x = np.mgrid[: large.shape[0], : large.shape[1]] / len(large)
    path = pictures.save_grey(np.where(x + 0.3 * y > 0.6, 0.45, 0.85) * (1 - 0.8 * large), tmp_path / "a")
    (prediction,) = predict(digits, [path])
    assert prediction.label is None
    assert "an area at the edge, such as a shadow or a table: crop the picture" in prediction.problem
