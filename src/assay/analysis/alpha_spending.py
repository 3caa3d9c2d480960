"""Group-sequential tests: the significance level of each look at the data while seeds are added (alpha spending)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy  # its parts are loaded when they are first used
from numpy.typing import NDArray

from assay.errors import AssayError

Floats = NDArray[np.float64]

_NODES = 200  # of the integration over the continuation region
_MOST_LOOKS = 50


def spent(fraction: float, *, alpha: float = 0.05) -> float:
    """The part of alpha spent once a fraction t of the planned seeds is done: 4 - 4 Phi(z(1 - alpha/4) / sqrt(t)).

    Each of the two sides spends 2 - 2 Phi(z(1 - a/2) / sqrt(t)) of its a = alpha / 2, as is usual.

    >>> round(spent(0.5), 6), round(spent(1.0), 6)
    (0.003051, 0.05)

    Source: Lan, DeMets, "Discrete sequential boundaries for clinical trials" (1983), after O'Brien, Fleming (1979).
    """
    if not 0 <= fraction <= 1:
        raise AssayError(f"a fraction of the planned seeds lies between 0 and 1, not {fraction:g}")
    if fraction == 0:
        return 0.0
    return float(4 * scipy.special.ndtr(scipy.special.ndtri(alpha / 4) / math.sqrt(fraction)))


def alpha_at(look: int, looks: int, *, alpha: float = 0.05) -> float:
    """The two-sided level of look number `look` (from 1) of `looks` equally spaced ones; together they keep alpha.

    The verdict of a look is `compare(..., alpha=alpha_at(look, looks))`; no seeds are added after the first significant
    one. The levels are those at which a Brownian motion first leaves its bounds with the probabilities of `spent`.

    >>> [round(alpha_at(look, 2), 4) for look in (1, 2)]
    [0.0031, 0.049]

    Raises AssayError for a look outside 1 ... looks, more than 50 looks, or an alpha outside 0 ... 1.
    Source: Armitage, McPherson, Rowe (1969) for the integration; Jennison, Turnbull, "Group sequential methods"
    (2000), chapters 7 and 19, and section 4.4 for using the levels with t tests.
    """
    if not 0 < alpha < 1:
        raise AssayError(f"alpha lies between 0 and 1, not {alpha:g}")
    if not 1 <= looks <= _MOST_LOOKS:
        raise AssayError(f"the number of looks lies between 1 and {_MOST_LOOKS}, not {looks}")
    if not 1 <= look <= looks:
        raise AssayError(f"the look lies between 1 and {looks}, not {look}")
    return _levels(looks, alpha)[look - 1]


@lru_cache(maxsize=32)
def _levels(looks: int, alpha: float) -> tuple[float, ...]:
    step = math.sqrt(1 / looks)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    levels: list[float] = []
    positions, mass = np.zeros(1), np.ones(1)  # of the motion that is still within its bounds
    for look in range(1, looks + 1):
        fraction = look / looks
        due = spent(fraction, alpha=alpha) - spent((look - 1) / looks, alpha=alpha)

        bound: float = scipy.optimize.brentq(_excess, 0.0, 40.0, args=(positions, mass, step, due), xtol=1e-12)  # pyright: ignore[reportAssignmentType]
        levels.append(float(2 * scipy.special.ndtr(-bound / math.sqrt(fraction))))
        next_positions = bound * nodes
        distances = (next_positions[:, None] - positions[None, :]) / step
        density = np.exp(-(distances**2) / 2) @ mass / (step * math.sqrt(2 * math.pi))
        positions, mass = next_positions, density * bound * weights
    return tuple(levels)


def _excess(bound: float, positions: Floats, mass: Floats, step: float, due: float) -> float:
    """The logarithm of the probability of leaving the bound at this look, minus that of the probability due."""
    leaving = scipy.special.ndtr((positions - bound) / step) + scipy.special.ndtr(-(positions + bound) / step)
    return math.log(max(float(leaving @ mass), 1e-300)) - math.log(due)
