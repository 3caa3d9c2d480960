"""The devices that torch and jax see, asked in a short-lived process: the one that asks never holds a GPU.

jax takes three quarters of a GPU's memory when it first lists the devices, and keeps it until its process ends. Only
processes that train ask their own library.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assay.engines import ENGINES, load
from assay.engines.base import Engine
from assay.engines.seen import Device, Seen
from assay.errors import FileError
from assay.system.files import write_atomically
from assay.system.gpu import boot_id, driver_version, present
from assay.system.import_path import own_environment, own_process

_SECONDS = 120.0  # that the answer may take: CUDA starts slowly on a machine with many GPUs
_ANSWER = "assay-devices "  # the line with the answer begins with it, because libraries print too
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
LIBRARIES = {name: entry[2] for name, entry in ENGINES.items() if entry[2] in ("torch", "jax")}
"""The library of each engine that runs on more than the CPU."""


@cache
def seen_by(engine: str) -> Seen:
    """The devices that the library of an engine sees, asked once a process; only the CPU where it has no library."""
    if engine not in LIBRARIES:
        return Seen()
    state = _state(engine)
    stored = _stored(engine, state)
    if stored is not None:
        return stored
    answer = answered(engine)
    if state is not None and answer.gpus:
        _store(engine, state, answer)
    return answer


def load_for_planning(name: str, *, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine of that name for a process that will not train: it has asked for devices elsewhere.

    Raises: EngineError if it is unknown or not installed.
    """
    engine = load(name, device=device, threads=threads)
    if device != "cpu":
        engine.seen = seen_by(name)
    return engine


def answered(engine: str) -> Seen:
    """The answer of a process that imports the library of an engine, lists its devices and ends."""
    command = own_process("assay.engines.listing", engine)
    environment = own_environment() | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # others may train on the card now
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Seen(reason=f"{LIBRARIES[engine]} did not list its devices within {_SECONDS:.0f} s")
    lines = done.stdout.decode(errors="replace").splitlines()
    answer = next((line for line in reversed(lines) if line.startswith(_ANSWER)), None)
    if answer is None:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        return Seen(reason=f"{LIBRARIES[engine]} could not list its devices: {last[0].strip()[:300]}")
    return parsed(json.loads(answer.removeprefix(_ANSWER)))


def parsed(plain: Mapping[str, Any]) -> Seen:
    """An answer from its plain data. Raises: KeyError, TypeError, ValueError where it is none."""
    devices = tuple(
        Device(str(one["name"]), str(one["model"]), None if one["memory_bytes"] is None else int(one["memory_bytes"]))
        for one in plain["devices"]
    )
    return Seen(devices, str(plain.get("reason", "")))


def line_of(seen: Seen) -> str:
    """An answer as the line that `answered` reads."""
    return _ANSWER + json.dumps(asdict(seen))


# --- answers of earlier commands -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """What an answer depends on; while it is the same, so is the answer."""

    boot: str
    driver: str
    gpus: tuple[str, ...]
    visible: tuple[str | None, ...]
    versions: tuple[str, ...]


def _state(engine: str) -> _State | None:
    """The state of this machine; None where it cannot be told from another one."""
    boot, driver = boot_id(), driver_version()
    if boot is None or driver is None:
        return None
    visible = tuple(os.environ.get(name) for name in (*_VISIBLE, *_PLATFORMS))
    return _State(boot, driver, tuple(present()), visible, tuple(_versions(LIBRARIES[engine])))


def _versions(library: str) -> list[str]:
    """The versions of what lists the devices; of jax also its plugins for GPUs."""
    names = [library, "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin"] if library == "jax" else [library]
    versions: list[str] = []
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return versions


def _file(engine: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ASSAY_CACHE") or Path(home) / "assay") / f"devices-{engine}.json"


def _digest(state: _State) -> str:
    return hashlib.sha256(json.dumps(asdict(state)).encode()).hexdigest()[:32]


def _stored(engine: str, state: _State | None) -> Seen | None:
    """The stored answer for a state; None where there is none that can be read."""
    if state is None:
        return None
    try:
        plain = json.loads(_file(engine).read_text())
        return parsed(plain["seen"]) if plain["state"] == _digest(state) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(engine: str, state: _State, seen: Seen) -> None:
    file = _file(engine)
    with suppress(OSError, FileError):  # then the next command asks again
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps({"state": _digest(state), "seen": asdict(seen)}).encode())
