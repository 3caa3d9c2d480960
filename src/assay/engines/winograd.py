"""Winograd's minimal filtering, for torch on a CPU: convolutions of 5 by 5 in a sixth of the multiplications.

A tile of 4 by 4 outputs y needs 8 by 8 inputs x. With a convolution read as a product of polynomials, which 8 points
determine,

    y = A^T [(G w G^T) * (B^T x B)] A

where A (8, 4) and G (8, 5) evaluate at the points, B^T (8, 8) is the transpose of the interpolation, and * multiplies
elements: 64 products in place of 400. Over all tiles and channels each of them is a product of matrices. Sums come out
in another order, and the transforms amplify rounding: about six times a plain convolution's error in float32.

Source: S. Winograd, Arithmetic Complexity of Computations (1980); A. Lavin and S. Gray, Fast Algorithms for
Convolutional Neural Networks (2016).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from assay.parts.layers import Conv2d

KERNEL = 5
TILE = KERNEL - 1  # outputs of a tile in each direction; its inputs are two blocks of that size
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity: small ones and their reciprocals amplify least
_MIN_CHANNELS = 32  # with fewer, moving the values costs as much as the multiplications save
_MAX_WASTE = 1.35  # outputs in whole tiles, as a multiple of the layer's outputs


def fits(layer: Conv2d) -> bool:
    """Whether a layer is faster this way: a kernel of this size, enough channels, and outputs that fill their tiles."""
    height, width, channels = layer.out
    return (
        (layer.kernel, layer.stride) == (KERNEL, 1)
        and min(layer.image[2], channels) >= _MIN_CHANNELS
        and _tiles(height) * _tiles(width) * TILE**2 <= _MAX_WASTE * height * width
    )


def values(layer: Conv2d) -> int:
    """The number of values per image in the widest intermediate array."""
    height, width, channels = layer.out
    return _tiles(height) * _tiles(width) * (len(POINTS) + 1) ** 2 * max(layer.image[2], channels)


def convolution(layer: Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer's outputs, (N, channels out, height, width) to torch but channels last in memory, as x is.

    weight (5, 5, channels in, channels out), bias (channels out,), all of one floating-point type, on a CPU.
    """
    height, width, _ = layer.out
    x = x.permute(0, 2, 3, 1)
    # the layer's padding, and what the last tiles lack
    top, left = layer.padding, layer.padding
    bottom = (_tiles(height) + 1) * TILE - layer.image[0] - top
    right = (_tiles(width) + 1) * TILE - layer.image[1] - left
    if top or left or bottom or right:
        x = F.pad(x, (0, 0, left, right, top, bottom))
    y: Any = _Convolution.apply(x.contiguous(), weight, bias)
    return y[:, :height, :width].permute(0, 3, 1, 2)


@cache
def transforms(element: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """B^T (8, 8), G (8, 5) and A (8, 4)."""
    outputs, kernel, product = _evaluation(TILE), _evaluation(KERNEL), _evaluation(len(POINTS) + 1)
    # each point's row may be scaled in one of the three if another compensates: powers of two, which are exact
    a, g = (2.0 ** -np.round(np.log2(np.linalg.norm(rows, axis=1, keepdims=True))) for rows in (outputs, kernel))
    inputs = np.linalg.inv(product).T / (a * g)
    b, g, a = (torch.tensor(matrix, dtype=element) for matrix in (inputs, g * kernel, a * outputs))
    return b, g, a


def _evaluation(terms: int) -> NDArray[np.float64]:
    """(8, terms): the powers of each point; at infinity the highest one alone counts."""
    at = np.vander([*POINTS, 0.0], terms, increasing=True)
    at[-1] = np.eye(terms)[-1]
    return at


def _along_both(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix x matrix^T for a matrix (p, q) and many x (q, q, ...) at once, contiguous: (p, p, all the rest)."""
    p, q = matrix.shape
    return torch.matmul(matrix, torch.mm(matrix, x.view(q, -1)).view(p, q, -1))


def _tiles(side: int) -> int:
    """How many tiles cover a side of the outputs."""
    return -(-side // TILE)


def _blocks(x: Tensor) -> Tensor:
    """A view of images (N, height, width, C) by blocks: (N, rows, 4, columns, 4, C)."""
    n, height, width, c = x.shape
    return x.view(n, height // TILE, TILE, width // TILE, TILE, c)


_QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # the blocks of a tile's inputs, down and to the right


class _Convolution(torch.autograd.Function):
    """y (N, 4 rows, 4 columns, O) of x (N, 4 (rows + 1), 4 (columns + 1), C), w (5, 5, C, O) and b (O,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        inputs, kernel, outputs = transforms(x.dtype)
        points, (c, o), n = len(inputs) ** 2, w.shape[2:], len(x)
        rows, columns = x.shape[1] // TILE - 1, x.shape[2] // TILE - 1
        patches, blocks = x.new_empty(2, TILE, 2, TILE, n, rows, columns, c), _blocks(x)
        for i, j in _QUARTERS:
            patches[i, :, j].copy_(blocks[:, i : i + rows, :, j : j + columns].permute(2, 4, 0, 1, 3, 5))
        v = _along_both(inputs, patches).view(points, -1, c)
        u = _along_both(kernel, w.contiguous()).view(points, c, o)
        tiles = _along_both(outputs.T, torch.bmm(v, u)).view(TILE, TILE, n, rows, columns, o)
        ctx.save_for_backward(v, u)
        y = x.new_empty(n, rows, TILE, columns, TILE, o)
        # windows of zeros, such as backgrounds, must give b exactly and not b plus a rounding error: relu has its kink
        # at 0
        seen = F.max_pool2d(x.ne(0).any(3).to(x.dtype).unsqueeze(1), KERNEL, 1).view(n, rows, TILE, columns, TILE, 1)
        torch.addcmul(b, tiles.permute(2, 3, 0, 4, 1, 5), seen, out=y)
        return y.view(n, rows * TILE, columns * TILE, o)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the base names its arguments freely)
        ctx: Any, slope: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        inputs, kernel, outputs = transforms(slope.dtype)
        v, u = ctx.saved_tensors
        (points, c, o), n = u.shape, len(slope)
        rows, columns = slope.shape[1] // TILE, slope.shape[2] // TILE
        tiles = slope.new_empty(TILE, TILE, n, rows, columns, o)
        tiles.copy_(slope.reshape(n, rows, TILE, columns, TILE, o).permute(2, 4, 0, 1, 3, 5))
        products = _along_both(outputs, tiles).view(points, -1, o)
        dw = _along_both(kernel.T, torch.bmm(v.transpose(1, 2), products)).view(KERNEL, KERNEL, c, o)
        db = slope.sum((0, 1, 2))
        if not ctx.needs_input_grad[0]:
            return None, dw, db
        patches = _along_both(inputs.T, torch.bmm(products, u.transpose(1, 2)))
        patches = patches.view(2, TILE, 2, TILE, n, rows, columns, c)
        dx = slope.new_zeros(n, (rows + 1) * TILE, (columns + 1) * TILE, c)
        blocks = _blocks(dx)
        for i, j in _QUARTERS:
            blocks[:, i : i + rows, :, j : j + columns] += patches[i, :, j].permute(2, 3, 0, 4, 1, 5)
        return dx, dw, db
