"""The units of a data set: what its values are divided by, and whether its training and test set share them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import DataError

_EIGHT_BITS = 127  # uint8 values above it use all eight bits, so they are pixels of 0 to 255
OTHER_UNITS = 8.0  # the smallest ratio of common confusions is 15 or 16: pixels of 4 bits for those of 8
_DOUBTFUL_UNITS = 2.0
_FEW_VALUES = 16  # too few for a judgement on units
_SAMPLE = 1_000  # examples from which units are judged
_CHANCE = 1e-6  # that examples drawn alike look so different in sign


def scale_of(x: NDArray[Any], element: np.dtype[Any]) -> tuple[float, str]:
    """What training examples are divided by, and a sentence where that is an assumption; `element`: of their source.

    uint8 values that reach 128 are pixels of 0 to 255. Anything else is divided by its largest magnitude, so that the
    same picture trains alike as bool, as uint8 and as float.

    >>> scale_of(np.array([[0, 255]], np.uint8), np.dtype("uint8"))
    (255.0, '')
    >>> scale_of(np.array([[0, 16]], np.uint8), np.dtype("uint8"))
    (16.0, 'values of 0 to 16 are divided by 16, the highest value of the training set')
    """
    lowest, highest = float(x.min()), float(x.max())
    if element == np.uint8 and (highest == 0 or highest > _EIGHT_BITS):
        return 255.0, f"uint8 values of up to {highest:g} are divided by 255" if highest not in (0, 255) else ""
    scale = max(abs(lowest), abs(highest)) or 1.0
    if scale == 1 or (scale == 255 and lowest >= 0):
        return scale, ""
    largest = "highest value" if lowest >= 0 else "largest magnitude"
    return scale, f"values of {lowest:g} to {highest:g} are divided by {scale:g}, the {largest} of the training set"


def unit_notes(name: str, x_train: NDArray[Any], x_test: NDArray[Any], *, given: float | None) -> list[str]:
    """Sentences on odd values and on units that may differ, examples as rows; `given`: a scale that the caller stated.

    Raises: DataError if the two sets are plainly not in the same units and the caller stated no scale.
    """
    ranges = f"training values run from {range_of(x_train)}, test values from {range_of(x_test)}"
    samples = [x[:: max(1, len(x) // _SAMPLE)].astype(np.float64) for x in (x_train, x_test)]
    ratio = _ratio(*samples)
    if ratio >= OTHER_UNITS or _other_signs(*samples):
        if given is None:
            raise DataError(
                f"{name}: {ranges}; expected both in the same units: convert one of them, or state the scale with "
                "from_arrays(..., scale=...) if both are right as they are"
            )
        return [f"{ranges}; both are divided by the stated scale {given:g}"]
    if ratio >= _DOUBTFUL_UNITS:
        return [f"{ranges}: check that both are in the same units"]
    return [*_inversion(*samples), *_odd_values(x_train, x_test, samples[0])]


def range_of(x: NDArray[Any]) -> str:
    """The range of an array in words: "0 to 255"."""
    return f"{float(x.min()):g} to {float(x.max()):g}"


def _ratio(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """By what factor the magnitudes differ, at least 1: the smallest of three quantiles' factors.

    A few odd values move none of the three, and features of different magnitudes never move all of them.
    """
    magnitudes = [np.abs(x[x != 0]) for x in (one, other)]
    if min(len(m) for m in magnitudes) < _FEW_VALUES:
        return 1.0
    logs = np.log([np.quantile(m, (0.5, 0.75, 0.9)) for m in magnitudes])
    differences = logs[0] - logs[1]
    same_direction = (differences > 0).all() or (differences < 0).all()
    return float(np.exp(np.abs(differences).min())) if same_direction else 1.0


def _other_signs(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether one set has many negative values and the other none, beyond chance: standardised against raw values."""
    for some_negative, none_negative in ((one, other), (other, one)):
        negative = some_negative < -0.01 * np.abs(some_negative).max()  # resampling leaves values just below 0
        if (none_negative < 0).any() or negative.mean() < 0.1:
            continue
        without = int((~negative.any(axis=1)).sum())
        if ((without + 1) / (len(some_negative) + 1)) ** len(none_negative) < _CHANCE:
            return True
    return False


def _inversion(train: NDArray[np.float64], test: NDArray[np.float64]) -> list[str]:
    """A sentence where the test values seem to be the training values upside down: ink on paper, chalk on a board."""
    lowest, highest = float(train.min()), float(train.max())
    width, means = highest - lowest, (float(train.mean()), float(test.mean()))
    mirrored = abs(means[0] + means[1] - lowest - highest) < 0.1 * width
    if not mirrored or abs(means[0] - means[1]) < 0.3 * width:
        return []
    return [f"the mean training value is {means[0]:.3g}, the mean test value {means[1]:.3g}: is one set inverted?"]


def _odd_values(x_train: NDArray[Any], x_test: NDArray[Any], sample: NDArray[np.float64]) -> list[str]:
    """Sentences on single values far outside the others."""
    notes: list[str] = []
    row, value = _largest(x_train)
    magnitudes = np.abs(sample[sample != 0])
    usual = float(np.quantile(magnitudes, 0.99)) if len(magnitudes) else 0.0
    if usual and abs(value) > 10 * usual:
        notes.append(
            f"training example {row} holds the value {value:g}, where 99 % of the magnitudes are at most {usual:g}: "
            "it sets what all values are divided by"
        )
    test_row, test_value = _largest(x_test)
    if value and abs(test_value) > 3 * abs(value):
        notes.append(
            f"test example {test_row} holds the value {test_value:g}; training values run from {range_of(x_train)}"
        )
    return notes


def _largest(x: NDArray[Any]) -> tuple[int, float]:
    """The example with the value of the largest magnitude, and that value."""
    extremes = [int(x.argmin()), int(x.argmax())]
    place = max(extremes, key=lambda k: abs(float(x.flat[k])))
    return place // x.shape[1], float(x.flat[place])
