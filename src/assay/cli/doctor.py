"""What this machine has to train with, and what to do about what it lacks."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from assay.data.datasets import DATASETS, load
from assay.engines import ENGINES, installed, missing
from assay.errors import AssayError
from assay.system.machine import describe


def examine() -> dict[str, Any]:
    """The machine, every engine with its version and devices or what to install, every data set and where it is."""
    return {
        "machine": describe(),
        "engines": {name: _engine(name) for name in ENGINES},
        "data": {name: _data(name) for name in DATASETS},
    }


def _engine(name: str) -> dict[str, Any]:
    if not installed(name):
        return {"installed": False, "hint": missing(name)}
    return {"installed": True, "version": _version(name), "devices": _devices(name)}


def _version(name: str) -> str:
    if name == "native":
        best, *others = importlib.import_module("assay.engines.native_engine").levels()
        return f"{best} kernel" + (f" (also {', '.join(others)})" if others else "")
    package = ENGINES[name][2] or "numpy"
    return f"{package} {importlib.metadata.version(package)}"


def _devices(name: str) -> list[str]:
    if name == "torch":
        torch = importlib.import_module("torch")
        devices = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return devices + (["mps"] if torch.backends.mps.is_available() else [])
    if name == "jax":
        jax = importlib.import_module("jax")
        return [f"{d.platform}:{d.id}" if d.platform != "cpu" else "cpu" for d in jax.devices()]
    return ["cpu"]


def _data(name: str) -> str:
    try:
        dataset = load(name)
    except AssayError as error:
        return str(error)
    return f"{len(dataset.y_train):,} training and {len(dataset.y_test):,} test examples"
