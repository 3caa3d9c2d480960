"""The orthogonalisation of Muon: a matrix with its singular values moved near 1, by products of matrices alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.parts.activations import Array

STEPS = 5
COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the polynomial a s + b s**3 + c s**5 (Jordan, "Muon", 2024). It does not converge: after five steps the singular
values lie in about 0.7 ... 1.2, which is as good for training and needs fewer steps."""


def orthogonalised(xp: Any, x: Array, epsilon: Any) -> Array:
    """x / (|x| + epsilon), and five times x <- a x + (b x x^T + c (x x^T)**2) x.

    Args:
        xp: The namespace of the arrays.
        x: A matrix (M, N), or some of them (..., M, N).
        epsilon: Added to the Frobenius norm |x|, against a division by zero.

    Examples:
        >>> import numpy as np
        >>> x = orthogonalised(np, np.diag([3.0, 0.5]), 1e-8)
        >>> bool((np.abs(np.diag(x) - 1) < 0.35).all())
        True
    """
    a, b, c = COEFFICIENTS
    is_tall = x.shape[-2] > x.shape[-1]
    x = xp.swapaxes(x, -1, -2) if is_tall else x  # the product x x^T is then the smaller one
    x = x / (xp.sqrt((x * x).sum((-2, -1), keepdims=True)) + epsilon)
    for _ in range(STEPS):
        square = x @ xp.swapaxes(x, -1, -2)
        x = a * x + (b * square + c * (square @ square)) @ x
    return xp.swapaxes(x, -1, -2) if is_tall else x


def operations(shape: Sequence[int]) -> int:
    """The arithmetic operations of `orthogonalised` for a matrix of this shape.

    >>> operations((2, 3)) == operations((3, 2)) == 3 * 6 + 2 + 5 * (2 * 4 * 3 * 2 + 2 * 8 + 3 * 4 + 2 * 6)
    True
    """
    m, n = sorted(shape)
    each = 4 * m * m * n + 2 * m**3 + 3 * m * m + 2 * m * n
    return 3 * m * n + 2 + STEPS * each
