"""The environment variables that a worker starts with, by the device that it trains on."""

from __future__ import annotations

import os
from collections.abc import Mapping

from assay.engines.promises import kind_of

_DETERMINISTIC = "--xla_gpu_exclude_nondeterministic_ops=true"
_DECIDED = ("xla_gpu_exclude_nondeterministic_ops", "xla_gpu_deterministic_ops")


def environment_for(device: str, *, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is set for a worker that trains on a device; what the user has set stays as it is.

    On a GPU, jax takes memory as it needs it, and cuBLAS and XLA use deterministic kernels. On the CPU, jax leaves the
    GPUs alone, of which it otherwise takes most of the memory. `base`: the environment of this process by default.

    >>> environment_for("cpu", base={}), environment_for("cpu", base={"JAX_PLATFORMS": "cpu,cuda"})
    ({'JAX_PLATFORMS': 'cpu'}, {})
    >>> environment_for("cuda", base={"XLA_PYTHON_CLIENT_PREALLOCATE": "true", "XLA_FLAGS": "--xla_dump_to=x"})
    {'CUBLAS_WORKSPACE_CONFIG': ':4096:8', 'XLA_FLAGS': '--xla_dump_to=x --xla_gpu_exclude_nondeterministic_ops=true'}
    """
    given = os.environ if base is None else base
    if device == "cpu":
        wanted = {"JAX_PLATFORMS": "cpu"}
    elif kind_of(device) == "cuda":
        wanted = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    else:
        return {}
    added = {name: value for name, value in wanted.items() if name not in given}
    flags = given.get("XLA_FLAGS", "")
    if device != "cpu" and not any(flag in flags for flag in _DECIDED):
        added["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}".strip()
    return added


def one_gpu_each(device: str, count: int, *, base: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """What lets each of some workers see a GPU of its own; nothing for a device with a number, or another kind.

    The GPUs are those that the user's CUDA_VISIBLE_DEVICES leaves, in its order.

    >>> one_gpu_each("cuda", 2, base={"CUDA_VISIBLE_DEVICES": "3,1,0"})
    [{'CUDA_VISIBLE_DEVICES': '3'}, {'CUDA_VISIBLE_DEVICES': '1'}]
    >>> one_gpu_each("cuda", 1, base={}), one_gpu_each("cuda:1", 1, base={}), one_gpu_each("cpu", 1, base={})
    ([{'CUDA_VISIBLE_DEVICES': '0'}], [{}], [{}])
    """
    if device not in ("cuda", "gpu"):
        return [{} for _ in range(count)]
    given = (os.environ if base is None else base).get("CUDA_VISIBLE_DEVICES")
    numbers = list(map(str, range(count))) if given is None else [word.strip() for word in given.split(",")]
    return [{"CUDA_VISIBLE_DEVICES": numbers[number]} if number < len(numbers) else {} for number in range(count)]
