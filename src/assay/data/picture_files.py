"""Picture files: recognised by their content, decoded by Pillow, scaled by the range of their depth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import FileError
from assay.system.file_kinds import SIGNATURES
from assay.system.limits import DEFLATE_RATIO, PICTURE_BYTES, PICTURE_PIXELS, PICTURE_SIDE

Values = NDArray[np.float64]

_CHUNK_PIXELS = 2**20  # converted at a time, so that a large picture is held once
_HEADER_BYTES = 512
_FORMATS = (
    "AVIF", "BMP", "CUR", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MSP", "PCX", "PNG", "PPM",
    "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM",
)  # fmt: skip
"""The formats of Pillow that are tried: no EPS, for which Pillow starts Ghostscript, and no mere stubs."""

_HEIC = "a HEIC photograph, which Assay cannot read: save it as JPEG or PNG"
_RAW = "a camera's raw file, which Assay cannot read: save it as JPEG, PNG or TIFF"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (SIGNATURES["pdf"], "a PDF document: save the page as PNG"),
    (b"%!PS", "a PostScript file, which Assay never runs: save it as PNG"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file, which Assay never runs: save it as PNG"),
    (b"\xff\x0a", "a JPEG XL picture, which Assay cannot read: save it as PNG or JPEG"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture, which Assay cannot read: save it as PNG or JPEG"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture, which Assay cannot read: save it as PNG"),
    (b"#?RADIANCE", "a Radiance HDR picture, which Assay cannot read: save it as PNG"),
    (b"gimp xcf", "a GIMP file, which Assay cannot read: export it as PNG"),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"IIU\x00", _RAW),
    (SIGNATURES["zip"], "a zip archive: unpack it and give the pictures inside"),
    (SIGNATURES["numpy"], "an array of NumPy: save its images as PNG, or as IDX (`assay.data.idx.write_idx`)"),
    (SIGNATURES["git lfs"], "a Git LFS pointer and not the picture itself: run `git lfs pull`"),
    (SIGNATURES["hdf5"], "an HDF5 file: save its images as PNG, or as IDX (`assay.data.idx.write_idx`)"),
)
_BRANDS = {
    b"avif": "avif", b"avis": "avif",
    b"heic": "heic", b"heix": "heic", b"heim": "heic", b"heis": "heic", b"hevc": "heic", b"hevx": "heic",
    b"mif1": "heic", b"msf1": "heic",
    b"crx ": "raw",
}  # fmt: skip
"""The brands of ISO base media files (ISO/IEC 14496-12) that are pictures."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    Attributes:
        colours: (height, width, channels) in [0, 1]; one channel for grey pictures, three for colours.
        opacity: (height, width) in [0, 1]; None where nothing is transparent.
        notes: sentences on what was assumed when it was read.
    """

    colours: Values
    opacity: Values | None = None
    notes: tuple[str, ...] = ()


def foreign(head: bytes) -> str | None:
    """What a file that is no readable picture is, with the cure; None where its first bytes do not say so.

    >>> foreign(b"%PDF-1.7 ...")
    'a PDF document: save the page as PNG'
    """
    for start, sentence in _STARTS:
        if head.startswith(start):
            return sentence
    if head[4:8] == b"ftyp":
        return _foreign_media(head)
    if head[:4] in (b"II*\x00", b"MM\x00*") and head[8:10] == b"CR":
        return _RAW
    if head[128:132] == b"DICM":
        return "a DICOM file, which Assay cannot read: export it as PNG"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page and not a picture: download the picture itself"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG drawing, which Assay cannot read: export it as PNG"
    return None


def _foreign_media(head: bytes) -> str | None:
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(int.from_bytes(head[:4], "big"), len(head)), 4))]
    kinds = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if "avif" in kinds:
        return None  # Pillow reads it; a HEIC photograph never claims this brand
    if kinds:
        return _RAW if kinds[0] == "raw" else _HEIC
    return "a film and not a picture: save one of its frames as PNG"


def read_picture(source: Path | bytes, *, largest: int, name: str = "") -> Picture:
    """The picture in a file or in its content, turned as its EXIF orientation says, at most `largest` pixels a side.

    Values are divided by the range of their depth: 1 for black and white, 255, 65,535, or what the file declares.
    `name` stands in errors; by default, the path.

    Raises: FileError if it is no picture that Pillow reads, is damaged, or claims more pixels than it can hold.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    where = name or str(source)
    try:
        if _size(source) > PICTURE_BYTES.most:
            raise FileError(f"has more than {PICTURE_BYTES}; save it smaller")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged metadata; the pixels decide
            Image.init()
            formats = [name for name in _FORMATS if name in Image.OPEN]  # a build of Pillow may lack some
            file, turn = _tiff_turned_back(source)
            with Image.open(file, formats=formats) as image:
                _check_size(image, source)
                notes = _notes_on(image)
                image.draft(image.mode, (2 * largest, 2 * largest))  # large JPEGs are decoded smaller, and faster
                image.load()
                factor = -(-max(image.size) // largest)
                if turn is None:
                    ImageOps.exif_transpose(image, in_place=True)
                colours, opacity = _decoded(image, factor, notes)
    except UnidentifiedImageError:
        raise FileError(f"{where}: {_unreadable(source)}") from None
    except Image.DecompressionBombError:
        raise FileError(f"{where}: claims more than {PICTURE_PIXELS}; save it smaller") from None
    except FileError as error:
        raise FileError(f"{where}: {error}") from None
    except MemoryError:
        raise FileError(f"{where}: does not fit into memory; save it with fewer pixels") from None
    except Exception as error:  # a damaged file makes Pillow's readers raise whatever they run into
        raise FileError(f"{where}: not an image, or damaged: {error or type(error).__name__}") from None
    colours = _turned(colours, turn or 1)
    opacity = None if opacity is None or opacity.min() >= 1.0 else _turned(opacity, turn or 1)
    return Picture(colours, opacity, tuple(notes))


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _start(source: Path | bytes, size: int) -> bytes:
    """The first bytes of a file."""
    if isinstance(source, bytes):
        return source[:size]
    with source.open("rb") as file:
        return file.read(size)


def _unreadable(source: Path | bytes) -> str:
    """Why Pillow does not know a file."""
    head = _start(source, _HEADER_BYTES)
    if not head:
        return "not an image: the file is empty"
    named = {b"ftyp": "an AVIF picture", b"jP  ": "a JPEG 2000 picture", b"WEBP": "a WebP picture"}
    for mark, kind in named.items():
        if mark in (head[4:8], head[8:12]):
            return f"{kind} that this Pillow cannot read, or damaged: save it as PNG"
    return "not an image that Pillow reads, nor an IDX file; expected PNG, JPEG, TIFF or another picture"


def _tiff_turned_back(source: Path | bytes) -> tuple[Path | BytesIO, int | None]:
    """A file to open, and the EXIF orientation (1 to 8) that is left to undo; None where Pillow undoes it.

    Pillow turns a TIFF file while it decodes it, and takes height for width where they differ. Its orientation, tag
    274, is therefore read here, and 1 is put in its place.
    """
    start = _start(source, 4)
    order: Any = {b"II*\0": "little", b"MM\0*": "big"}.get(start)
    if order is None:
        return BytesIO(source) if isinstance(source, bytes) else source, None
    content = bytearray(source if isinstance(source, bytes) else source.read_bytes())
    entry = (274).to_bytes(2, order) + (3).to_bytes(2, order) + (1).to_bytes(4, order)  # tag, SHORT, one value
    place = content.find(entry) + len(entry)
    turn = int.from_bytes(content[place : place + 2], order) if place >= len(entry) else 1
    if 1 < turn <= 8:
        content[place : place + 2] = (1).to_bytes(2, order)
    return BytesIO(content), turn if 1 <= turn <= 8 else 1


def _turned(values: Values, orientation: int) -> Values:
    """Values (height, width, ...) stored in an EXIF orientation, upright."""
    values = values.swapaxes(0, 1) if orientation >= 5 else values
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


def _check_size(image: Any, source: Path | bytes) -> None:
    """Refuses a picture by the size in its header, before memory is taken for its pixels."""
    width, height = image.size
    if width * height > PICTURE_PIXELS.most or max(width, height) > PICTURE_SIDE.most:
        raise FileError(
            f"claims {width:,} x {height:,} pixels; expected at most {PICTURE_PIXELS.most:,}, "
            f"and {PICTURE_SIDE.most:,} on a side: save it smaller"
        )
    if width * height == 0:
        raise FileError(f"has {width} x {height} pixels; expected at least one")
    bits = 1 if image.mode in ("1", "L", "P") else 8  # pixels of 1 to 8 bits open as these modes
    size = _size(source)
    if image.format == "PNG" and width * height * bits // 8 > DEFLATE_RATIO.most * size:
        raise FileError(f"damaged: claims {width:,} x {height:,} pixels in a file of {size:,} bytes")


def _notes_on(image: Any) -> list[str]:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in ("GIF", "TIFF", "WEBP", "PNG", "AVIF"):
        return [f"the first of {frames:,} pages or frames was read"]
    return []


def _decoded(image: Any, factor: int, notes: list[str]) -> tuple[Values, Values | None]:
    """Colours (height, width, channels) and opacity in [0, 1], reduced by `factor`; adds to `notes`."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _deep(image, factor, notes)[..., None], None
    if mode in ("1", "L") and "transparency" not in image.info:
        return _reduced_image(image, "L", factor)[..., None] / 255.0, None
    transparent = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    pixels = _reduced_image(image, "RGBA" if transparent else "RGB", factor) / 255.0
    colours = pixels[..., :3]
    if (colours[..., :1] == colours).all():
        colours = colours[..., :1]
    return colours, pixels[..., 3] if transparent else None


def _reduced_image(image: Any, mode: str, factor: int) -> NDArray[Any]:
    """A picture in another mode, reduced; converted a band of rows at a time, so that no second copy is held."""
    if factor <= 1:
        return np.asarray(image.convert(mode))
    width, height = image.size
    band = factor * max(1, _CHUNK_PIXELS // (factor * width))
    parts = [
        reduced(np.asarray(image.crop((0, top, width, min(height, top + band))).convert(mode)), factor)
        for top in range(0, height, band)
    ]
    return np.concatenate(parts)


def _deep(image: Any, factor: int, notes: list[str]) -> Values:
    """A grey picture of more than 8 bits, divided by the range of its depth."""
    pixels = np.asarray(image)
    low, high = float(pixels.min()), float(pixels.max())  # NaN where one value is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise FileError("holds NaN or infinity; expected finite values")
    if image.mode == "F":
        return reduced(pixels, factor) / _floating_range(low, high, notes)
    tags: Any = getattr(image, "tag_v2", {})
    bits = _first(tags.get(258), 32 if image.format == "TIFF" and image.mode == "I" else 16)
    bits = bits if 8 < bits <= 32 else 32
    is_signed = _first(tags.get(339), 1) == 2
    top = float(2 ** (bits - is_signed) - 1)
    if low < 0 and is_signed:
        notes.append(f"signed values from {low:,.0f} to {high:,.0f} were scaled by the range of {bits} bits")
        return (reduced(pixels, factor) + top + 1) / (2 * top + 1)
    if low < 0:  # Pillow's integers are signed, also where the file's are not
        pixels = pixels.astype(np.uint32)
        high = float(pixels.max())
    if 0 < high / top < 1 / 16:
        notes.append(f"the highest value, {high:,.0f}, is under a sixteenth of the range of {bits} bits ({top:,.0f})")
    values = reduced(pixels, factor) / top
    white_is_zero = _first(tags.get(262), 1) == 0  # PhotometricInterpretation, which Pillow obeys for 8 bits alone
    return 1.0 - values if white_is_zero else values


def _floating_range(low: float, high: float, notes: list[str]) -> float:
    if low >= 0 and high <= 1:
        return 1.0
    if low >= 0 and high <= 255:
        notes.append(f"floating-point values up to {high:g} were divided by 255")
        return 255.0
    raise FileError(
        f"floating-point values from {low:g} to {high:g}, whose range is unknown; expected 0 to 1: "
        "save it with 8 or 16 bits"
    )


def _first(value: Any, default: int) -> int:
    return int(value[0]) if isinstance(value, tuple) and value else int(value) if isinstance(value, int) else default


def reduced(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Values (height, width, ...) averaged over squares of `factor` pixels; what is over at the edges is averaged too.

    >>> reduced(np.arange(6.0).reshape(2, 3), 2).tolist()
    [[2.0, 3.5]]
    """
    if factor <= 1:
        return values
    totals: NDArray[Any] = values
    for axis in (0, 1):
        totals = np.add.reduceat(totals, np.arange(0, values.shape[axis], factor), axis, dtype=np.float64)
    rows, columns = (np.add.reduceat(np.ones(size), np.arange(0, size, factor)) for size in values.shape[:2])
    counts = np.outer(rows, columns)
    return totals / counts.reshape(counts.shape + (1,) * (values.ndim - 2))


__all__ = ["Picture", "foreign", "read_picture", "reduced"]
