"""NVIDIA GPUs as their driver reports them: model, driver, CUDA version, and the processes that compute on them.

Nothing here takes memory of a GPU: the driver's own libraries (libcuda, NVML) are asked without a context. Where they
are missing, or do not answer, a value is None: unknown.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path("/proc")
_TEXT_BYTES = 96
_PROCESSES = 64  # for which there is room in the first call
_TOO_SMALL = 7  # NVML_ERROR_INSUFFICIENT_SIZE


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t of the versions 2 and 3 of nvmlDeviceGetComputeRunningProcesses."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint),
        ("part", ctypes.c_uint),
    )


@cache
def _cuda() -> Any:
    """libcuda, not initialised, which is enough to ask for its version; None where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


@cache
def _nvml() -> Any:
    """NVML, initialised; None where there is none."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        return library if library.nvmlInit_v2() == 0 else None
    except (OSError, AttributeError):
        return None


def driver_version(root: Path = _ROOT) -> str | None:
    """The version of the NVIDIA driver, such as "570.124.06"; None if unknown. `root`: where /proc is."""
    library = _nvml()
    if library is not None:
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        with suppress(AttributeError):
            if library.nvmlSystemGetDriverVersion(text, ctypes.c_uint(_TEXT_BYTES)) == 0:
                return text.value.decode(errors="replace") or None
    with suppress(OSError):
        for line in (root / "driver/nvidia/version").read_text().splitlines():
            words = line.partition("Kernel Module")[2].split()
            numbers = [word for word in words if word[:1].isdigit()]
            if numbers:
                return numbers[0]
    return None


def cuda_version() -> str | None:
    """The CUDA version of the driver, such as "12.8", which all libraries on the machine share; None if unknown."""
    library, number = _cuda(), ctypes.c_int(0)
    if library is None:
        return None
    with suppress(AttributeError):
        if library.cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value:
            return f"{number.value // 1000}.{number.value % 1000 // 10}"
    return None


def boot_id(root: Path = _ROOT) -> str | None:
    """What names the time since the machine was started; None if unknown. `root`: where /proc is."""
    try:
        return (root / "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None


def present(root: Path = _ROOT) -> list[str]:
    """The addresses of the GPUs that the driver has now, whichever of them a process may use."""
    try:
        return sorted(folder.name for folder in (root / "driver/nvidia/gpus").iterdir())
    except OSError:
        return []


def processes(number: int) -> frozenset[int] | None:
    """The ids of the processes that compute on a GPU, by its number in this process; None if they cannot be seen."""
    address, library = _address(number), _nvml()
    if address is None or library is None:
        return None
    handle = ctypes.c_void_p()
    try:
        if library.nvmlDeviceGetHandleByPciBusId_v2(address, ctypes.byref(handle)) != 0:
            return None
        ask = _newest(library, "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
    except AttributeError:
        return None
    room = _PROCESSES
    while True:
        found, count = (_Process * room)(), ctypes.c_uint(room)
        code = ask(handle, ctypes.byref(count), found)
        if code != _TOO_SMALL:
            break
        room = max(2 * room, count.value)
    return frozenset(int(process.pid) for process in found[: count.value]) if code == 0 else None


def _newest(library: Any, *names: str) -> Any:
    """The first function of these that a library has. Raises: AttributeError where it has none."""
    for name in names:
        with suppress(AttributeError):
            return getattr(library, name)
    raise AttributeError(names[-1])


def _address(number: int) -> bytes | None:
    """The PCI address of a GPU by its number among those that this process sees; None if unknown."""
    library = _cuda()
    if library is None:
        return None
    device, text = ctypes.c_int(), ctypes.create_string_buffer(_TEXT_BYTES)
    with suppress(AttributeError):
        if (
            library.cuInit(ctypes.c_uint(0)) == 0  # it makes no context; a process that trains has done it already
            and library.cuDeviceGet(ctypes.byref(device), ctypes.c_int(number)) == 0
            and library.cuDeviceGetPCIBusId(text, ctypes.c_int(_TEXT_BYTES), device) == 0
        ):
            return text.value
    return None


def facts(model: str) -> dict[str, str]:
    """What of a GPU is part of the machine: timings are comparable where all of it is equal.

    Args:
        model: Its name, as the library that trains on it reports it.
    """
    known = {"model": model, "driver": driver_version(), "cuda": cuda_version()}
    return {name: value for name, value in known.items() if value}


def gpu_text(facts: object) -> str:
    """The facts of a GPU in words, as far as they are known; they may be from another store.

    >>> gpu_text({"model": "NVIDIA H100", "driver": "570.124", "cuda": "12.8"})
    'NVIDIA H100, driver 570.124, CUDA 12.8'
    """
    if not isinstance(facts, Mapping):
        return "unknown"
    names = (("model", ""), ("driver", "driver "), ("cuda", "CUDA "))
    return ", ".join(f"{prefix}{facts[name]}" for name, prefix in names if facts.get(name)) or "unknown"


def others(before: frozenset[int] | None, after: frozenset[int] | None, *, own: int | None = None) -> int | None:
    """The number of other processes on a GPU around a training in this one; None if they cannot be seen.

    A process that does not find itself in the list afterwards, as in a container with ids of its own, cannot tell
    its own entry from those of others.

    >>> others(frozenset(), frozenset({7}), own=7), others(frozenset({9}), frozenset({7, 9}), own=7)
    (0, 1)
    >>> others(frozenset(), frozenset({812}), own=7)
    """
    own = os.getpid() if own is None else own
    if before is None or after is None or own not in after:
        return None
    return len((before | after) - {own})
