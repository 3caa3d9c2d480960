"""Marks on paper: which are lines, frames and specks, and which are the shape that was meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

_TOUCHING = np.ones((3, 3), bool)  # diagonal pixels touch
_LINE = 0.7  # of the picture: what is straight and shorter may be a stroke
_SLANT = 0.06  # of the picture, the most that a ruled line rises from side to side
_SPECK, _NEAR_SPECK = 0.06, 0.015  # of the main shape's ink
_FAINT = 0.4  # of the main shape's strongest ink
_SMALLEST = 0.04  # of the picture's longer side


@dataclass(frozen=True, eq=False)
class _Line:
    """A straight line across a picture, or down it if `turned`.

    It lies at `place` and runs from `first` to `last`. Its pixels are those where no stroke crosses it.
    """

    pixels: Mask
    turned: bool
    place: float
    first: int
    last: int
    thickness: float

    def spans(self, shape: tuple[int, ...]) -> bool:
        """Whether it runs from edge to edge."""
        side = shape[0] if self.turned else shape[1]
        return self.first <= 0.03 * side and self.last >= 0.97 * side - 1

    def is_ruled(self, shape: tuple[int, ...], rest: Mask) -> bool:
        """Whether it runs from edge to edge and beyond the rest, and is no stroke of a shape that fills the picture."""
        extent = _extent(rest)
        longer = self.last + 1 - self.first >= 1.5 * max(s.stop - s.start for s in extent)
        if longer and self.encloses(extent, margin=0.1) and not self.turned and self.thickness <= 0.7 * _stroke(rest):
            return True  # no stroke is so much longer than the shape that it belongs to: it is underlined
        if not self.spans(shape) or not self.encloses(extent, margin=0.03):
            return False
        is_free = all(s.start > 0 and s.stop < n for s, n in zip(extent, shape, strict=True))
        touches = bool((dilated(self.pixels, _TOUCHING) & rest).any())
        return is_free or not touches or self.thickness <= 0.7 * _stroke(rest)

    def encloses(self, extent: tuple[slice, slice], *, margin: float) -> bool:
        """Whether it runs beyond the other marks, by a fraction of its length on both sides, as no stroke does."""
        other = extent[0] if self.turned else extent[1]
        margin *= self.last + 1 - self.first
        return other.start >= self.first + margin and other.stop <= self.last + 1 - margin


def without_lines(mask: Mask, notes: list[str]) -> Mask:
    """The marks without frames and ruled lines; adds to `notes`. Strokes that cross a line are kept."""
    framed = _without_frame(mask)
    if framed is not None:
        notes.append("a frame was removed")
        mask = framed
    lines = _lines(mask, turned=False) + _lines(mask.T, turned=True)
    rest = _less(mask, lines)
    if not lines:
        return mask
    if not _substantial(rest):
        return _without(_ruled_alone(lines, mask.shape), mask, notes)
    extent = _extent(rest)  # what touches a frame reaches its sides
    removed = [line for line in _frame_sides(lines, mask.shape) if line.encloses(extent, margin=0.0)]
    for line in lines:
        others = _less(mask, [other for other in lines if other.turned == line.turned])
        if line not in removed and _substantial(others) and line.is_ruled(mask.shape, others):
            removed.append(line)
    return _without(removed, mask, notes)


def without_grid(mask: Mask, faint: Mask, notes: list[str]) -> Mask:
    """The marks without faint lines from edge to edge, as on graph paper; adds to `notes`."""
    if min(mask.shape) < 64:  # graph paper of so few pixels has no lines of its own
        return mask
    thin = mask & faint
    lines = [line for line in _lines(thin, turned=False) + _lines(thin.T, turned=True) if line.spans(mask.shape)]
    if len(lines) < 3:
        return mask
    notes.append(f"a grid of {len(lines)} faint lines was removed")
    on: Mask = np.any([line.pixels for line in lines], axis=0)
    return mask & ~(thin & dilated(on, np.ones((5, 5), bool)))  # with the crossings, which belong to no line


def _without(removed: Sequence[_Line], mask: Mask, notes: list[str]) -> Mask:
    if removed:
        notes.append("a line was removed" if len(removed) == 1 else f"{len(removed)} lines were removed")
    return _less(mask, removed)


def _less(mask: Mask, lines: Sequence[_Line]) -> Mask:
    return mask & ~np.any([line.pixels for line in lines], axis=0) if lines else mask


def _ruled_alone(lines: Sequence[_Line], shape: tuple[int, ...]) -> list[_Line]:
    """The lines from edge to edge of a picture that shows nothing else; one alone down the picture may be a 1."""
    spanning = [line for line in lines if line.spans(shape)]
    return spanning if len(spanning) > 1 or not all(line.turned for line in spanning) else []


def _frame_sides(lines: Sequence[_Line], shape: tuple[int, ...]) -> list[_Line]:
    """The lines that are three or four sides of a frame: in the outer quarters, ending on one another."""
    sides: list[_Line] = []
    for turned in (False, True):
        length = shape[1] if turned else shape[0]
        level = [line for line in lines if line.turned == turned]
        before = sorted((line for line in level if line.place < length / 4), key=lambda line: line.place)
        after = sorted((line for line in level if line.place > 3 * length / 4), key=lambda line: line.place)
        sides += [*before[:1], *after[-1:]]

    def ends_on(line: _Line) -> bool:
        others = [other.place for other in sides if other.turned != line.turned]
        near = 2 + 0.05 * max(shape)
        return any(min(abs(line.first - place), abs(line.last - place)) <= near for place in others)

    sides = [line for line in sides if ends_on(line)]
    return sides if len(sides) >= 3 else []


def _substantial(mask: Mask) -> bool:
    """Whether marks are large enough to be what the picture is of."""
    labels, count = _labelled(mask)
    if not count:
        return False
    largest = max(max(s.stop - s.start for s in box) for box in ndimage.find_objects(labels))
    return largest >= max(3, 0.12 * max(mask.shape))


def _extent(mask: Mask) -> tuple[slice, slice]:
    """The bounding box of the marks, specks apart."""
    labels, _ = _labelled(mask)
    areas = np.bincount(labels.ravel())[1:]
    large = np.isin(labels, 1 + np.flatnonzero(areas >= _SPECK * areas.max()))
    return ndimage.find_objects(large.astype(int))[0]


def dilated(mask: Mask, structure: Mask) -> Mask:
    """The mask and the pixels around it that the structure reaches."""
    result: Any = ndimage.binary_dilation(mask, structure)
    return result


def _labelled(mask: Mask) -> tuple[Any, int]:
    result: Any = ndimage.label(mask, _TOUCHING)
    return result[0], int(result[1])


def _stroke(mask: Mask) -> float:
    """The thickness of the strokes in pixels: area / length of their middle, which an opening would not thin."""
    inside: Any = ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")
    ridge = inside[(inside == ndimage.maximum_filter(inside, 3)) & (inside > 0)]
    return 2 * float(np.quantile(ridge, 0.75)) - 1


def _lines(mask: Mask, *, turned: bool) -> list[_Line]:
    """Horizontal lines of a mask, which may be the transposed one; also slightly slanted ones."""
    height, width = mask.shape
    if height < 12 or width < 12:  # a stroke of so small a picture may cross it
        return []
    rest, lines = mask.copy(), list[_Line]()
    most = max(1, round(_SLANT * height))
    step = max(1, most // 4)
    tolerant = min(height, width) >= 64  # a line's edges jump from row to row
    while len(lines) < 60:
        wide = dilated(rest, np.ones((step + 2 * tolerant, 1), bool))
        covered, _, rise = _straightest(wide, range(-most, most + 1, step))
        if covered < _LINE:
            break
        wide = dilated(rest, np.ones((1 + 2 * tolerant, 1), bool))
        covered, row, rise = _straightest(wide, range(rise - step, rise + step + 1))
        if covered < _LINE:
            break
        pixels, line = _line_at(rest, row, rise, turned=turned)
        if not pixels.any():
            break
        lines.append(line)
        rest &= ~pixels
    return lines


def _offsets(width: int, rise: int) -> NDArray[np.int64]:
    return np.rint(np.linspace(-rise / 2, rise / 2, width)).astype(np.int64)


def _sheared(mask: Mask, rise: int) -> Mask:
    """The mask with each column moved, so that lines that rise by `rise` from side to side are level."""
    height, width = mask.shape
    rows = np.arange(height)[:, None] + _offsets(width, rise)
    inside = (rows >= 0) & (rows < height)
    return mask[np.clip(rows, 0, height - 1), np.arange(width)] & inside


def _straightest(mask: Mask, rises: Iterable[int]) -> tuple[float, int, int]:
    """The fraction of the columns that the fullest row covers, that row, and the rise at which it is fullest."""
    best = (0.0, 0, 0)
    for rise in sorted(rises, key=abs):  # level ones first: of equal ones the first stays
        covered = _sheared(mask, rise).mean(axis=1)
        row = int(covered.argmax())
        if covered[row] > best[0]:
            best = (float(covered[row]), row, rise)
    return best


def _line_at(mask: Mask, row: int, rise: int, *, turned: bool) -> tuple[Mask, _Line]:
    """The line along a row of the sheared mask, and its pixels in that mask: those where no stroke crosses it."""
    height, width = mask.shape
    columns = np.arange(width)
    rows = np.clip(row + _offsets(width, rise), 0, height - 1)
    for shift in (-1, 1):
        moved = np.clip(rows + shift, 0, height - 1)
        rows = np.where(~mask[rows, columns] & mask[moved, columns], moved, rows)
    above, below = _reach(mask[::-1], height - 1 - rows), _reach(mask, rows)
    on = mask[rows, columns]
    length = np.where(on, above + below - 1, 0)
    typical = float(np.quantile(length[on], 0.25))  # a stroke along the line may thicken half of it
    plain = on & (length <= typical + max(1.0, 0.5 * typical))
    distance = np.arange(height)[:, None] - rows
    pixels = plain & (distance > -above) & (distance < below)
    crossed = np.flatnonzero(on)
    whole = pixels.T if turned else pixels
    middle = float(np.median(length[on]))
    return pixels, _Line(whole, turned, float(rows.mean()), int(crossed.min()), int(crossed.max()), middle)


def _reach(mask: Mask, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels downwards from the given row of each column are set without a gap."""
    height = len(mask)
    below = np.where(np.arange(height)[:, None] >= rows, mask, True)
    gaps = ~below
    first = np.where(gaps.any(axis=0), gaps.argmax(axis=0), height)
    return (first - rows).astype(np.int64)


def _without_frame(mask: Mask) -> Mask | None:
    """The marks without an outline that follows its own bounding box and encloses the rest; None without one."""
    labels, count = _labelled(mask)
    if count < 2:
        return None
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        height, width = (s.stop - s.start for s in box)
        if min(height, width) < 0.4 * min(mask.shape) or min(height, width) < 8:
            continue
        component = labels[box] == number
        rim = max(1, round(0.12 * min(height, width)))
        if component[rim:-rim, rim:-rim].sum() > 0.03 * component.sum():
            continue
        sides = (component[:rim].any(0), component[-rim:].any(0), component[:, :rim].any(1), component[:, -rim:].any(1))
        inside = np.zeros(mask.shape, bool)
        inside[box] = mask[box] & ~component
        if min(side.mean() for side in sides) > 0.8 and _substantial(inside):
            return inside
    return None


@dataclass(frozen=True, eq=False)
class Shapes:
    """The connected shapes of a mask: their numbers in it, amounts of ink, strongest ink and bounding boxes.

    The main one has the most ink.
    """

    labels: Any
    amounts: NDArray[Any]
    strongest: NDArray[Any]
    boxes: list[tuple[slice, slice]]

    @classmethod
    def of(cls, mask: Mask, strength: NDArray[np.float64]) -> Shapes | None:
        """The shapes of a mask over the strength of its ink; None where none is larger than a speck."""
        labels, count = _labelled(mask)
        if not count:
            return None
        boxes = ndimage.find_objects(labels)
        sides = [max(s.stop - s.start for s in box) for box in boxes]
        if max(sides) < max(3, _SMALLEST * max(mask.shape)):
            return None
        numbers = np.arange(1, count + 1)
        amounts: Any = ndimage.sum_labels(strength, labels, numbers)
        return cls(labels, amounts, np.asarray(ndimage.maximum(strength, labels, numbers)), boxes)

    def without_specks(self, notes: list[str]) -> Mask:
        """The mask of the main shape and of those that belong to it; adds to `notes`.

        Left out are shapes of under 6 % of its ink, or under 1.5 % close to it, those under 0.4 of its strength, such
        as the edges of shadows, and those that the picture's edge cuts where it does not cut the main one.
        """
        main = self._main()
        box = self.boxes[main]
        near = 0.1 * max(s.stop - s.start for s in box)
        cut = [self._at_edge(i) for i in range(len(self.boxes))]
        kept = np.zeros(len(self.boxes) + 1, bool)
        for i, amount in enumerate(self.amounts):
            least = _NEAR_SPECK if _gap(self.boxes[i], box) <= near else _SPECK
            is_faint = self.strongest[i] < _FAINT * self.strongest[main]
            kept[i + 1] = amount >= least * self.amounts[main] and (cut[main] or not cut[i]) and not is_faint
        kept[main + 1] = True
        if dropped := int((~kept[1:]).sum()):
            notes.append("a speck was removed" if dropped == 1 else f"{dropped} specks were removed")
        return kept[self.labels]

    def _at_edge(self, number: int) -> bool:
        return any(
            s.start == 0 or s.stop == side for s, side in zip(self.boxes[number], self.labels.shape, strict=True)
        )

    def _main(self) -> int:
        """The shape with the most ink; if the edge cuts it, one inside the picture with at least 0.3 times as much."""
        largest = int(self.amounts.argmax())
        if self._at_edge(largest):
            inner = [i for i in range(len(self.amounts)) if not self._at_edge(i)]
            best = max(inner, key=lambda i: self.amounts[i], default=largest)
            if self.amounts[best] >= 0.3 * self.amounts[largest]:
                return best
        return largest


def _gap(a: tuple[slice, slice], b: tuple[slice, slice]) -> float:
    """The pixels between two bounding boxes."""
    return float(max(max(s.start - t.stop, t.start - s.stop, 0) for s, t in zip(a, b, strict=True)))
