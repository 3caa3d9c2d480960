"""Hyperparameters that change with t, as tensors on the device."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_recording = False


class BranchError(Exception):
    """A rule branches on a hyperparameter, which a recorded step would freeze at its first value."""


@contextmanager
def recording() -> Generator[None]:
    """While a step is recorded or compared, a branch on a hyperparameter is an error."""
    global _recording
    before, _recording = _recording, True
    try:
        yield
    finally:
        _recording = before


def _binary(operation: Callable[[Any, Any], Any], *, reverse: bool = False) -> Callable[[Varying, Any], Any]:
    def method(self: Varying, other: Any) -> Any:
        mine, value = self.value, other.value if isinstance(other, Varying) else other
        array = isinstance(value, Tensor) and not isinstance(other, Varying)
        if array:
            mine = mine.to(value.dtype)
        result = operation(value, mine) if reverse else operation(mine, value)
        return result if array else Varying(result)

    return method


class Varying:
    """A hyperparameter: float64 with other hyperparameters and Python's numbers, the array's type with an array.

    So `(1 - h.beta2) * g` subtracts in float64 and rounds once, as with Python's numbers in `h`.

    Args:
        value: A float64 tensor of no dimensions, or (T, 1) for T trials.
    """

    __slots__ = ("value",)

    def __init__(self, value: Tensor) -> None:
        self.value = value

    __add__, __radd__ = _binary(operator.add), _binary(operator.add, reverse=True)
    __sub__, __rsub__ = _binary(operator.sub), _binary(operator.sub, reverse=True)
    __mul__, __rmul__ = _binary(operator.mul), _binary(operator.mul, reverse=True)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _binary(operator.truediv, reverse=True)
    __pow__, __rpow__ = _binary(operator.pow), _binary(operator.pow, reverse=True)
    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)  # pyright: ignore[reportAssignmentType]
    __lt__, __le__, __gt__, __ge__ = map(_binary, (operator.lt, operator.le, operator.gt, operator.ge))
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __neg__(self) -> Varying:
        return Varying(-self.value)

    def __bool__(self) -> bool:
        return bool(self._read())

    def __float__(self) -> float:
        return float(self._read())

    def __int__(self) -> int:
        return int(self._read())

    def _read(self) -> Tensor:
        if _recording:
            raise BranchError("its rule reads the value of a hyperparameter, as in a branch on it")
        return self.value

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """torch's functions take it as a tensor."""
        arrays = [a for a in args if isinstance(a, Tensor)]
        plain = [(a.value.to(arrays[0].dtype) if arrays else a.value) if isinstance(a, Varying) else a for a in args]
        result = function(*plain, **(kwargs or {}))
        return result if arrays or not isinstance(result, Tensor) else Varying(result)


def float64(numbers: Any, device: torch.device) -> Tensor:
    """Numbers as float64 on a device; as float32 where the device has no float64."""
    element = torch.float32 if device.type == "mps" else torch.float64
    return torch.as_tensor(numbers, dtype=element, device=device)
