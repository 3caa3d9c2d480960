"""Pictures of digits as people hand them in: made from clean digits, one function for each group.

A clean digit is ink (28, 28) in [0, 1], 0 where the paper is bare.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Ink = NDArray[np.float64]
Random = np.random.Generator


def enlarged(ink: Ink, factor: int) -> Ink:
    """The digit with `factor` times as many pixels on each side, as a photograph of it would have."""
    size = (ink.shape[1] * factor, ink.shape[0] * factor)
    picture = Image.fromarray((ink * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(picture) / 255.0


def on_paper(ink: Ink, paper: Any, *, pen: Any = 0.2) -> Ink:
    """The digit drawn on paper: ink has `pen` times the lightness of the paper below it."""
    return paper * (1 - ink * (1 - pen))


def bytes_of(values: Ink) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)


def save_grey(values: Ink, path: Path) -> Path:
    Image.fromarray(bytes_of(values)).save(path := path.with_suffix(".png"))
    return path


def save_photograph(values: Ink, path: Path, random: Random, *, noise: float = 0.01, **options: Any) -> Path:
    noisy = values + random.normal(0, noise, values.shape)
    Image.fromarray(bytes_of(noisy)).save(path := path.with_suffix(".jpg"), quality=90, **options)
    return path


def _shade(shape: tuple[int, int], left: float, right: float) -> Ink:
    return np.broadcast_to(np.linspace(left, right, shape[1]), shape)


def shaded(left: float, right: float, *, factor: int) -> Callable[[Ink, Path, Random], Path]:
    def make(ink: Ink, path: Path, random: Random) -> Path:
        digit = enlarged(ink, factor)
        return save_photograph(on_paper(digit, _shade(digit.shape, left, right)), path, random)

    return make


def grey_paper(low: float, high: float, *, factor: int) -> Callable[[Ink, Path, Random], Path]:
    def make(ink: Ink, path: Path, random: Random) -> Path:
        return save_grey(on_paper(enlarged(ink, factor), random.uniform(low, high)), path)

    return make


def clean(ink: Ink, path: Path, random: Random) -> Path:
    return save_grey(1 - ink, path)


def light_on_dark(ink: Ink, path: Path, random: Random) -> Path:
    return save_grey(ink, path)


def corner_pixel(ink: Ink, path: Path, random: Random) -> Path:
    values = 1 - ink
    values[random.choice([0, -1]), random.choice([0, -1])] = 0.0
    return save_grey(values, path)


def corner_pixel_large(ink: Ink, path: Path, random: Random) -> Path:
    values = 1 - enlarged(ink, 5)
    values[random.choice([0, -1]), random.choice([0, -1])] = 0.0
    return save_grey(values, path)


def ruled_line(*, factor: int, through: bool = False, vertical: bool = False, count: int = 1) -> Any:
    def make(ink: Ink, path: Path, random: Random) -> Path:
        values = 1 - enlarged(ink, factor)
        values = values.T.copy() if vertical else values
        height = len(values)
        thick = max(1, factor // 3)
        places = [0.5 + random.uniform(-0.1, 0.1)] if through else np.linspace(0.95, 0.95 - 0.3 * (count - 1), count)
        for place in places:
            row = int(place * height)
            values[row : row + thick] = np.minimum(values[row : row + thick], 0.25)
        return save_grey(values.T if vertical else values, path)

    return make


def frame(*, factor: int, inset: float, level: float = 0.0) -> Callable[[Ink, Path, Random], Path]:
    def make(ink: Ink, path: Path, random: Random) -> Path:
        values = 1 - enlarged(ink, factor)
        i, thick = round(inset * len(values)), max(1, factor // 3)
        outline = np.zeros(values.shape, bool)
        outline[i : len(values) - i, i : len(values) - i] = True
        outline[i + thick : len(values) - i - thick, i + thick : len(values) - i - thick] = False
        values[outline] = level
        return save_grey(values, path)

    return make


def dust(*, factor: int, count: int) -> Callable[[Ink, Path, Random], Path]:
    def make(ink: Ink, path: Path, random: Random) -> Path:
        values = 1 - enlarged(ink, factor)
        for _ in range(count):
            y, x = random.integers(0, len(values), 2)
            size = int(random.integers(1, max(2, factor // 2 + 1)))
            values[y : y + size, x : x + size] = random.uniform(0, 0.5)
        return save_grey(values, path)

    return make


def colours(papers: Any, pens: Any) -> Callable[[Ink, Path, Random], Path]:
    """Coloured paper under uneven light, and a coloured pen."""

    def make(ink: Ink, path: Path, random: Random) -> Path:
        digit = enlarged(ink, 4)[..., None]
        paper, pen = np.array(papers[random.integers(len(papers))]), np.array(pens[random.integers(len(pens))])
        light = _shade(digit.shape[:2], 1.0, 0.8)[..., None]
        return save_photograph(light * ((1 - digit) * paper + digit * pen), path, random)

    return make


PAPERS = [(0.95, 0.9, 0.6), (0.95, 0.75, 0.8), (0.7, 0.85, 0.95), (0.75, 0.9, 0.7), (0.76, 0.62, 0.45)]
PENS = [(0.1, 0.2, 0.7), (0.75, 0.1, 0.1), (0.05, 0.4, 0.15), (0.3, 0.1, 0.4)]
BOARDS = [(0.1, 0.25, 0.18), (0.08, 0.08, 0.09), (0.12, 0.3, 0.22)]


def chalk(ink: Ink, path: Path, random: Random) -> Path:
    """White chalk, which leaves gaps, on a board with smears under uneven light."""
    digit = enlarged(ink, 5)
    board = np.array(BOARDS[random.integers(len(BOARDS))])
    grain = np.clip(0.75 + 0.25 * random.normal(size=digit.shape), 0.2, 1)
    smear = 0.06 * ndimage.gaussian_filter(random.normal(size=digit.shape), 14) / 0.02
    base = board * (1 + np.clip(smear, -0.5, 0.5))[..., None]
    cover = (digit * grain)[..., None]
    light = _shade(digit.shape, 1.0, 0.75)[..., None]
    return save_photograph(light * (base * (1 - cover) + 0.88 * cover), path, random)


def exif(*, factor: int) -> Callable[[Ink, Path, Random], Path]:
    """A photograph that the camera turned and that its EXIF orientation turns back."""
    stored = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that the orientation undoes

    def make(ink: Ink, path: Path, random: Random) -> Path:
        digit = enlarged(ink, factor)
        image = Image.fromarray(bytes_of(on_paper(digit, _shade(digit.shape, 0.9, 0.8))))
        orientation = int(random.choice(list(stored)))
        turned = image.transpose(Image.Transpose(stored[orientation]))
        tags = Image.Exif()
        tags[0x0112] = orientation
        turned.save(path := path.with_suffix(".jpg"), quality=90, exif=tags)
        return path

    return make


def deep(ending: str, *, top: int = 65_535, factor: int = 1) -> Callable[[Ink, Path, Random], Path]:
    def make(ink: Ink, path: Path, random: Random) -> Path:
        values = (1 - enlarged(ink, factor)) * top
        Image.fromarray(values.round().astype(np.uint16)).save(path := path.with_suffix(ending))
        return path

    return make


def off_centre(ink: Ink, path: Path, random: Random) -> Path:
    """The digit pushed into a corner of a picture of the network's size."""
    rows, columns = np.nonzero(ink > 0)
    box = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    values = np.zeros(ink.shape)
    room = [side - size for side, size in zip(ink.shape, box.shape, strict=True)]
    y, x = (int(random.choice([0, free])) for free in room)
    values[y : y + box.shape[0], x : x + box.shape[1]] = box
    return save_grey(1 - values, path)


def off_centre_double(ink: Ink, path: Path, random: Random) -> Path:
    values = np.zeros((2 * ink.shape[0], 2 * ink.shape[1]))
    y, x = random.integers(0, ink.shape[0], 2)
    values[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    return save_grey(1 - values, path)


def double_size(ink: Ink, path: Path, random: Random) -> Path:
    return save_grey(1 - enlarged(ink, 2), path)


def small_on_a_sheet(ink: Ink, path: Path, random: Random) -> Path:
    """A digit in a corner of a photographed sheet, an eighth of its width, with the shadow of a hand."""
    digit = enlarged(ink, 4)
    sheet = np.zeros((900, 700))
    y, x = random.integers(60, 700), random.integers(60, 500)
    sheet[y : y + len(digit), x : x + len(digit)] = digit
    paper = _shade(sheet.shape, 0.85, 0.6).copy()
    paper[500:, 350:] *= 0.75
    return save_photograph(on_paper(sheet, ndimage.gaussian_filter(paper, 8)), path, random)


GROUPS: dict[str, Callable[[Ink, Path, Random], Path]] = {
    "clean": clean,
    "light on dark": light_on_dark,
    "shaded paper": shaded(0.78, 0.55, factor=4),
    "dark shaded paper": shaded(0.50, 0.35, factor=4),
    "shaded paper, exact size": shaded(0.78, 0.55, factor=1),
    "dark shaded paper, exact size": shaded(0.50, 0.35, factor=1),
    "light grey paper": grey_paper(0.83, 0.95, factor=1),
    "light grey paper, large": grey_paper(0.83, 0.95, factor=4),
    "darker paper": grey_paper(0.3, 0.83, factor=1),
    "darker paper, large": grey_paper(0.3, 0.83, factor=4),
    "pixel in a corner": corner_pixel,
    "pixel in a corner, large": corner_pixel_large,
    "ruled line": ruled_line(factor=1),
    "ruled line, large": ruled_line(factor=4),
    "ruled line through the digit": ruled_line(factor=4, through=True),
    "vertical line": ruled_line(factor=4, vertical=True),
    "ruled paper": ruled_line(factor=4, count=4),
    "frame at the edge": frame(factor=1, inset=0.0),
    "frame at the edge, large": frame(factor=4, inset=0.0),
    "frame inset": frame(factor=4, inset=0.05),
    "frame inset, exact size": frame(factor=1, inset=0.04),
    "dust": dust(factor=1, count=8),
    "dust, large": dust(factor=4, count=60),
    "coloured paper and pen": colours(PAPERS, PENS),
    "chalk on a board": chalk,
    "turned photograph": exif(factor=4),
    "turned photograph, exact size": exif(factor=1),
    "16-bit PNG": deep(".png"),
    "16-bit TIFF": deep(".tif"),
    "16-bit PNG, large": deep(".png", factor=4),
    "12-bit values in 16 bits": deep(".png", top=4095),
    "off the centre": off_centre,
    "off the centre, double": off_centre_double,
    "double size": double_size,
    "small on a sheet": small_on_a_sheet,
}


def make(group: str, digits: Any, folder: Path, *, seed: int = 0) -> list[Path]:
    """Files of one group, one for each clean digit."""
    random = np.random.default_rng([seed, *group.encode()])
    folder.mkdir(parents=True, exist_ok=True)
    return [GROUPS[group](np.array(ink, float), folder / f"{i}", random) for i, ink in enumerate(digits)]
