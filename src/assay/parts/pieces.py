"""The pieces of the vector of all weights that an optimizer steps one after the other: for most, one piece."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from assay.parts.optimizers import Optimizer


class Piece(NamedTuple):
    """Some weights that are next to each other.

    Attributes:
        start: Of the piece in the vector.
        stop: Its end.
        matrix: The shape of the matrix that the piece is, for `matrix_rule`; None for `rule`.
        decays: Whether `weight_decay` applies to it: to weights, not to biases.
        transposed: Whether the vector has the matrix as (outputs, inputs), as torch's modules have it.
    """

    start: int
    stop: int
    matrix: tuple[int, ...] | None
    decays: bool
    transposed: bool = False

    def of(self, vector: Any) -> Any:
        """The piece of a vector (..., P) as a view, of the matrix's shape if it is one."""
        part = vector[..., self.start : self.stop]
        if self.matrix is None:
            return part
        if self.transposed:
            return part.reshape(*part.shape[:-1], *self.matrix[::-1]).swapaxes(-1, -2)
        return part.reshape(*part.shape[:-1], *self.matrix)

    def settings(self, h: Any) -> Any:
        """The hyperparameters of an iteration as they are for this piece, for a rule that decays weights itself."""
        return h if self.decays else without_decay(h)


def without_decay(h: Any) -> Any:
    """The hyperparameters of an iteration for arrays that do not decay."""
    return SimpleNamespace(**{**vars(h), "weight_decay": 0.0})


def is_matrix(name: str, shape: Sequence[int]) -> bool:
    """Whether an array of weights is one that `matrix_rule` steps.

    >>> is_matrix("0.weight", (784, 128)), is_matrix("0.weight", (5, 5, 1, 20)), is_matrix("0.bias", (128,))
    (True, False, False)
    """
    return name.endswith("weight") and len(shape) == 2


def pieces(
    optimizer: type[Optimizer],
    order: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    of_module: bool = False,
) -> list[Piece]:
    """The pieces of the vector of the arrays `order`, for a class of optimizers; one piece if its rule is all it needs.

    `of_module`: the arrays are those of a user's module of torch, under its own names: weights have two dimensions or
    more, and matrices are (outputs, inputs).

    >>> from assay.parts.optimizers import OPTIMIZERS
    >>> shapes = {"0.weight": (3, 2), "1.weight": (2, 2), "0.bias": (2,), "1.bias": (2,)}
    >>> pieces(OPTIMIZERS["adam"], list(shapes), shapes)
    [Piece(start=0, stop=14, matrix=None, decays=True, transposed=False)]
    >>> [(piece.start, piece.stop, piece.matrix) for piece in pieces(OPTIMIZERS["muon"], list(shapes), shapes)]
    [(0, 6, (3, 2)), (6, 10, (2, 2)), (10, 14, None)]
    """
    found: list[Piece] = []
    by_matrix, by_decay = optimizer.has_matrix_rule(), optimizer.decays_weights
    start = 0
    for name in order:
        shape = tuple(shapes[name])
        is_one = len(shape) == 2 if of_module else is_matrix(name, shape)
        matrix = (shape[::-1] if of_module else shape) if by_matrix and is_one else None
        decays = (len(shape) >= 2 if of_module else name.endswith("weight")) or not by_decay
        piece = Piece(start, start + math.prod(shape), matrix, decays, transposed=of_module and matrix is not None)
        last = found[-1] if found else None
        if last is not None and last.matrix is None and matrix is None and last.decays == decays:
            found[-1] = last._replace(stop=piece.stop)
        else:
            found.append(piece)
        start = piece.stop
    return found
