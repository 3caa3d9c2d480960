"""A description of the machine: processor, memory, libraries, commit."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
from threadpoolctl import threadpool_info

from assay.system.load import quota

GPU = "gpu"
"""The key of a machine's description with the model, driver and CUDA version of the GPU that a trial ran on."""
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib")


@functools.cache
def describe() -> dict[str, Any]:
    """The description of this machine, as far as it is known without loading an engine."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": blas(),
        "versions": versions(),
        "commit": commit(),
    }


def cpu_model() -> str:
    """The processor's name as the operating system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """The number of cores that this process may use."""
    return len(usable_cores())


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use: by its affinity, and no more than its container's quota.

    Of a quota of 2.5 cores, 2 are used: a third one would be throttled most of the time.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    limit = quota()
    return list(allowed) if limit is None else list(allowed)[: max(1, int(limit))]


@functools.cache
def instruction_level() -> str | None:
    """The widest vector instructions of the processor: "avx512", "avx2" or "baseline"; None if unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), None)
    if flags is None:
        return None
    levels = {"avx512": {"avx512f", "avx512dq", "avx512vl", "avx512bw"}, "avx2": {"avx2", "fma"}}
    return next((level for level, needed in levels.items() if needed <= flags), "baseline")


@functools.cache
def blas_kernel() -> str | None:
    """The kernel of the loaded BLAS, such as "SkylakeX"; None if unknown."""
    return next((pool["kernel"] for pool in blas() if pool["kernel"]), None)


def blas() -> list[dict[str, Any]]:
    """The loaded BLAS libraries, each with version, threads and kernel."""
    pools: list[dict[str, Any]] = threadpool_info()  # pyright: ignore[reportUnknownVariableType, reportAssignmentType]
    return [
        {
            "library": pool.get("internal_api"),
            "version": pool.get("version"),
            "threads": pool.get("num_threads"),
            "kernel": pool.get("architecture"),
        }
        for pool in pools
        if pool.get("user_api") == "blas"
    ]


def versions() -> dict[str, str]:
    """The versions of Assay and of the numerical libraries that are installed."""
    # `assay` is loaded: this module is a part of it. To import it here by its name would be an import of a room above.
    installed: dict[str, str] = {"assay": importlib.import_module("assay").__version__}
    for name in _LIBRARIES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """The commit of the working tree that Assay runs from, or None if it is installed as a package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        git = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return git.stdout.strip() or None
