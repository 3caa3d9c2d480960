"""Temporaries for the numpy engine: plain formulas that allocate nothing after the first iteration.

The formulas of activations, losses and optimizers are pure expressions such as `beta1 * m + (1 - beta1) * g`. NumPy
would allocate an array for each operation. Arrays that come from an `Arena` write every operation's result into a
buffer kept from the previous iteration: the same expression needs the same buffers in the same order.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


class Arena:
    """Buffers of float64 by shape, handed out in order; `reset` frees all of them."""

    def __init__(self) -> None:
        self._buffers: dict[Shape, list[ArenaArray]] = {}
        self._used: dict[Shape, int] = {}
        self.array_type = type("ArenaArray", (ArenaArray,), {"arena": self})

    def reset(self) -> None:
        """Frees every buffer; values computed before will be overwritten."""
        for shape in self._used:
            self._used[shape] = 0

    def take(self, shape: Shape) -> ArenaArray:
        """A buffer with arbitrary contents."""
        used = self._used.get(shape, 0)
        buffers = self._buffers.setdefault(shape, [])
        if used == len(buffers):
            buffers.append(np.empty(shape).view(self.array_type))
        self._used[shape] = used + 1
        return buffers[used]

    def wrap(self, array: NDArray[Any]) -> ArenaArray:
        """A view of an array whose operations write their results into this arena."""
        return array.view(self.array_type)


class ArenaArray(np.ndarray[Any, Any]):
    """An array whose operations write into buffers of its class's arena."""

    arena: Arena

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [x.view(np.ndarray) if isinstance(x, ArenaArray) else x for x in inputs]
        if method == "reduce":
            result = out[0] if out else self.arena.take(_reduced(plain[0], options))
            ufunc.reduce(*plain, out=result.view(np.ndarray), **options)
        else:
            result = out[0] if out else self.arena.take(_broadcast(ufunc, plain))
            ufunc(*plain, out=result.view(np.ndarray), **options)
        return result


def _broadcast(ufunc: np.ufunc, inputs: list[Any]) -> Shape:
    first = inputs[0]
    if len(inputs) == 1:
        return first.shape
    second = inputs[1]
    if type(second) is not np.ndarray:
        return first.shape
    if type(first) is not np.ndarray:
        return second.shape
    if ufunc is np.matmul:
        return (*first.shape[:-1], second.shape[-1])
    if first.ndim == second.ndim:
        if first.shape == second.shape:
            return first.shape
        # through a list: a tuple made from an iterator is resized, and Python's free lists then keep 2,000 such tuples
        return tuple([max(sides) for sides in zip(first.shape, second.shape, strict=True)])
    return np.broadcast_shapes(first.shape, second.shape)


def _reduced(array: NDArray[Any], options: dict[str, Any]) -> Shape:
    axis = options.get("axis", 0)
    if axis is None:
        return (1,) * array.ndim if options.get("keepdims") else ()
    axes = {a % array.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    if options.get("keepdims"):
        return tuple([1 if a in axes else size for a, size in enumerate(array.shape)])
    return tuple([size for a, size in enumerate(array.shape) if a not in axes])


class Namespace:
    """The namespace `xp` of the formulas: NumPy's functions, except the one that always allocates."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def ones_like(array: ArenaArray) -> ArenaArray:
        ones = array.arena.take(array.shape)
        ones.fill(1.0)
        return ones


xp = cast(Any, Namespace())
