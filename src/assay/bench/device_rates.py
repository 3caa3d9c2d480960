"""What a device does at most: its measured rate of products at a precision, and its memory bandwidth."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from assay.errors import EngineError

_SIZE, _BYTES = 8192, 2**30  # of a product's matrices, and of what is copied: large enough that nothing else counts
_REPETITIONS = 5


@dataclass(frozen=True)
class DeviceRates:
    """The measured rates of a device.

    Attributes:
        name: of the device.
        product: of matrix products at the precision [GFLOP/s].
        memory: of reading and writing its memory [GB/s].
    """

    name: str
    product: float
    memory: float


def device_rates(device: str, precision: str, *, size: int = _SIZE, block: int = _BYTES) -> DeviceRates:
    """Measures the rates of a device with PyTorch, or with jax where PyTorch does not see the device.

    Args:
        device: such as "cuda" or "cuda:1".
        precision: of the products.
        size: of the square matrices.
        block: bytes that are copied.

    Raises:
        EngineError: Neither library sees the device.
    """
    for measure in (_of_torch, _of_jax):
        rates = measure(device, precision, size, block)
        if rates is not None:
            return rates
    raise EngineError(f"the rates of {device!r} cannot be measured: neither torch nor jax sees the device")


def _of_torch(device: str, precision: str, size: int, block: int) -> DeviceRates | None:
    try:
        import torch
    except ImportError:
        return None
    from assay.engines.torch_engine import missing_device

    if missing_device(device):
        return None
    kinds = {"float64": torch.float64, "bfloat16": torch.bfloat16}
    backend: Any = torch.backends.cuda.matmul
    before, backend.allow_tf32 = backend.allow_tf32, precision == "tensorfloat32"
    where = torch.device(device)

    def wait() -> None:
        if where.type == "cuda":
            torch.cuda.synchronize(where)

    try:
        a = torch.ones(size, size, dtype=kinds.get(precision, torch.float32), device=where)
        product = _seconds(lambda: torch.mm(a, a), wait)
        values = torch.ones(block // 4, dtype=torch.float32, device=where)
        copied = _seconds(values.clone, wait)
    finally:
        backend.allow_tf32 = before
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return DeviceRates(name, 2.0 * size**3 / product / 1e9, 2.0 * block / copied / 1e9)


def _of_jax(device: str, precision: str, size: int, block: int) -> DeviceRates | None:
    try:
        import jax
    except ImportError:
        return None
    kind, _, number = device.partition(":")
    try:
        found = jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError):
        return None
    if precision == "float64":  # jax has it only by a setting of the whole process
        return None
    element = "bfloat16" if precision == "bfloat16" else "float32"
    precise = {"float32": "highest", "tensorfloat32": "tensorfloat32"}.get(precision)
    xp: Any = jax.numpy
    a = jax.device_put(xp.ones((size, size), element), found)
    values = jax.device_put(xp.ones(block // 4, "float32"), found)

    def multiplied(a: Any) -> Any:
        return xp.matmul(a, a, precision=precise)

    def plus_one(a: Any) -> Any:
        return a + 1.0

    product: Any = jax.jit(multiplied)
    copy: Any = jax.jit(plus_one)
    of_product = _seconds(lambda: product(a).block_until_ready(), lambda: None)
    copied = _seconds(lambda: copy(values).block_until_ready(), lambda: None)
    return DeviceRates(str(found.device_kind), 2.0 * size**3 / of_product / 1e9, 2.0 * block / copied / 1e9)


def _seconds(work: Callable[[], Any], wait: Callable[[], None]) -> float:
    """The median seconds of the work, after one run that is not counted."""
    seconds: list[float] = []
    for _ in range(_REPETITIONS + 1):
        wait()
        begin = perf_counter()
        work()
        wait()
        seconds.append(perf_counter() - begin)
    return statistics.median(seconds[1:])
