"""`assay doctor`: what this machine can train with, and how to install what is missing."""

from __future__ import annotations

import importlib
from typing import Any

from assay.cli.formats import TableFormat, print_tables
from assay.cli.options import Json
from assay.cli.printing import one_line, print_json
from assay.errors import AssayError


def doctor(as_json: Json = False, table_format: TableFormat = TableFormat.TEXT) -> None:
    """Show engines, devices, threads, libraries and data sets."""
    from assay.cli import tables

    report = machine_report()
    if as_json:
        print_json(report)
        return
    machine: dict[str, Any] = report["machine"]
    lines: list[tuple[str, object]] = [(key, one_line(value)) for key, value in machine.items() if value is not None]
    lines += [(f"GPU {key}", one_line(value)) for key, value in report["gpu"].items()]
    lines += tables.engine_lines(report["engines"])
    lines += [(f"data {name}", sentence) for name, sentence in report["data"].items()]
    print_tables([tables.pairs(lines)], table_format=table_format)


def machine_report() -> dict[str, Any]:
    """The machine; the engines with their versions and devices, or what to install; the data sets."""
    from assay.data.datasets import DATASETS
    from assay.engines import ENGINES
    from assay.system.gpu import cuda_version, driver_version
    from assay.system.machine import describe

    return {
        "machine": describe(),
        "gpu": {key: value for key, value in (("driver", driver_version()), ("CUDA", cuda_version())) if value},
        "engines": {name: _engine(name) for name in ENGINES},
        "data": {name: _data_set(name) for name in DATASETS},
    }


def _engine(name: str) -> dict[str, Any]:
    from assay.engines import installed, missing

    if not installed(name):
        return {"installed": False, "hint": missing(name)}
    return {"installed": True, "version": _version(name), "devices": _devices(name)}


def _version(name: str) -> str:
    from assay.engines import ENGINES

    if name == "native":
        best, *others = importlib.import_module("assay.engines.native_engine").levels()
        return f"{best} kernel" + (f" (also {', '.join(others)})" if others else "")
    from importlib.metadata import version

    package = ENGINES[name][2] or "numpy"
    return f"{package} {version(package)}"


def _devices(name: str) -> list[str]:
    """The CPU, and the GPUs that a process of the engine's library sees, which takes none of their memory."""
    from assay.engines.devices import LIBRARIES, answered

    if name not in LIBRARIES:
        return ["cpu"]
    seen = answered(name)
    named = [f"{device.name} ({device.model})" if device.name != "mps" else "mps" for device in seen.devices]
    return ["cpu", *named] + ([f"no GPU: {seen.reason}"] if seen.reason else [])


def _data_set(name: str) -> str:
    from assay.data.datasets import load

    try:
        dataset = load(name)
    except AssayError as error:
        return str(error)
    return f"{len(dataset.y_train):,} training and {len(dataset.y_test):,} test examples"
