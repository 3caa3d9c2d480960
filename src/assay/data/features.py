"""The input scaling "standardise-features": every feature by its own mean and deviation on the training set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import DataError, listed

_BLOCK = 4096  # examples in float64 at once
_ROUNDING = 16 * float(np.finfo(np.float64).eps)  # relative spread of a feature that varies by rounding alone

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureScaling:
    """The mean and the deviation (D,) of each feature, both after the division by the data set's `scale`.

    z = (x - mean) / deviation; 0 where the deviation is 0, which is that of a feature that is constant in training

    >>> x = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> features = FeatureScaling.of(x, 1.0)
    >>> features.apply(np.array([[2.0, 9.0], [3.0, 5.0]])).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """

    mean: Values
    deviation: Values

    @classmethod
    def of(cls, x_train: NDArray[np.generic], scale: float) -> FeatureScaling:
        """The scaling of training examples (N, D), which are divided by `scale` first.

        deviation = sqrt(mean((x - mean)**2)), with N in the denominator
        """
        lowest, highest = (np.asarray(f(axis=0), np.float64) / scale for f in (x_train.min, x_train.max))
        mean = np.zeros(x_train.shape[1])
        for block in _blocks(x_train, scale):
            mean += block.sum(axis=0)
        mean = np.clip(mean / len(x_train), lowest, highest)
        width = highest - lowest
        varies = width > _ROUNDING * np.maximum(np.abs(lowest), np.abs(highest))
        unit = np.where(varies, width, 1.0)  # squares of what is divided by the width cannot leave the range
        squares = np.zeros(x_train.shape[1])
        for block in _blocks(x_train, scale):
            squares += (((block - mean) / unit) ** 2).sum(axis=0)
        return cls(mean, np.where(varies, unit * np.sqrt(squares / len(x_train)), 0.0))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which features are constant in the training set (D,)."""
        return self.deviation == 0

    def apply(self, x: Values) -> Values:
        """Examples (N, D), already divided by the data set's `scale`, standardised feature by feature."""
        divisor = np.where(self.constant, 1.0, self.deviation)
        return np.where(self.constant, 0.0, (x - self.mean) / divisor)

    def note(self, x_train: NDArray[np.generic], others: Sequence[NDArray[np.generic]]) -> tuple[str, ...]:
        """A sentence on features that are constant in the training examples, and not in other ones (N, D)."""
        places = np.flatnonzero(self.constant)
        if not len(places):
            return ()
        value = x_train[0, places]
        varying = np.zeros(len(places), dtype=np.bool_)
        for x in others:
            varying |= (x[:, places] != value).any(axis=0)
        count = int(varying.sum())
        if not count:
            return ()
        features = f"{count:,} feature{'' if count == 1 else 's'} ({listed([str(n) for n in places[varying]])})"
        verb = "is" if count == 1 else "are"
        return (
            f"{features} {verb} constant in the training set and not in the validation or test set: "
            "input 'standardise-features' makes it 0",
        )


def feature_scaling(name: str, x_train: NDArray[np.generic], scale: float) -> FeatureScaling:
    """The scaling of the training examples (N, D) of a data set. Raises: DataError where no feature varies."""
    features = FeatureScaling.of(x_train, scale)
    if features.constant.all():
        raise DataError(f"{name}: every feature is constant in the training set; use input 'unit'")
    return features


_OTHER_UNITS = 30  # the largest magnitudes of features: the ninth decile against the first


def units_note(x_train: NDArray[np.generic], shape: tuple[int, ...]) -> tuple[str, ...]:
    """A sentence on the features of a table that are in different units, and are not scaled one by one.

    Args:
        x_train: The training examples (N, D).
        shape: The shape of one example; only flat ones are a table.
    """
    if len(shape) != 1 or x_train.dtype == np.uint8:
        return ()
    largest = np.maximum(np.asarray(x_train.max(axis=0), np.float64), -np.asarray(x_train.min(axis=0), np.float64))
    largest = largest[largest > 0]
    if len(largest) < 2:
        return ()
    low, high = np.quantile(largest, [0.1, 0.9])
    if high < _OTHER_UNITS * low:
        return ()
    return (
        f"the features are in different units (largest magnitudes of {largest.min():.3g} to {largest.max():.3g}): "
        "input 'standardise-features' scales each by itself",
    )


def _blocks(x: NDArray[np.generic], scale: float) -> Iterator[Values]:
    """Blocks of the examples, in their order, as float64 and divided by the scale."""
    return (x[start : start + _BLOCK].astype(np.float64) / scale for start in range(0, len(x), _BLOCK))
