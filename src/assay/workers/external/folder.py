"""The folder that a program gets, and the weights that it may save there: the contract of docs/runners.md."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from assay.engines.base import Cohort, Splits
from assay.engines.program import Program
from assay.errors import AssayError, ProgramError
from assay.parts.batches import Batches, make_batches
from assay.parts.layers import BatchNorm, Layer, Network, Pool, Weighted

FORMAT = 1
_ROWS = 2**20  # row numbers written at once
_LONGEST_HEADER = 10_000  # bytes; NumPy's own limit


def write_folder(folder: Path, cohort: Cohort, splits: Splits, program: Program, log_points: Sequence[int]) -> None:
    """Writes everything that a program needs to train the cohort's only recipe up to the last log point.

    Raises: AssayError if the disk has too little space.
    """
    recipe, network, iterations = cohort.first, cohort.network, log_points[-1]
    element = np.dtype(np.float64 if recipe.precision == "float64" else np.float32)
    width = recipe.batches.width(splits.examples)
    kind = _kind(next(_batches(cohort, splits.examples, min(iterations, 1)), None))
    needed = sum(x.nbytes + y.nbytes for x, y in splits.parts.values()) + element.itemsize * network.parameters
    needed += iterations * (12 + (4 * width if kind == "rows" else 4))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AssayError(
            f"{folder}: the program's folder takes {needed / 2**30:,.1f} GiB, only {free / 2**30:,.1f} GiB are free; "
            "set TMPDIR to a larger disk, or train fewer iterations"
        )
    for name in ("weights", "data", "batches", "final"):
        (folder / name).mkdir()
    for name, weights in cohort.initial_weights().items():
        np.save(folder / "weights" / f"{name}.npy", weights[0].astype(element))
    for name in ("train", "test", "validation"):
        if name in splits.parts:
            x, y = splits.parts[name]
            np.save(folder / "data" / f"{name}.x.npy", x)
            np.save(folder / "data" / f"{name}.y.npy", y.astype(np.int32))
    _write_batches(folder / "batches", cohort, splits.examples, iterations, kind)
    rates = cohort.step_values(1, iterations)[0]["learning_rate"] if iterations else np.empty(0)
    np.save(folder / "learning_rates.npy", rates)
    np.save(folder / "log_points.npy", np.array(log_points, np.int64))
    content = description(cohort, splits, program, iterations=iterations, batches=kind)
    (folder / "recipe.json").write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")


def description(cohort: Cohort, splits: Splits, program: Program, *, iterations: int, batches: str) -> dict[str, Any]:
    """The content of recipe.json."""
    recipe, network = cohort.first, cohort.network
    subset = recipe.log.train_loss
    return {
        "format": FORMAT,
        "precision": recipe.precision,
        "inputs": network.inputs,
        "classes": network.classes,
        "examples": {name: len(splits.parts[name][1]) for name in splits.parts if name != "subset"},
        "layers": _layers(network),
        "output": network.output,
        "loss": recipe.loss,
        "epsilon": float(np.finfo(np.float64 if recipe.precision == "float64" else np.float32).eps),
        "optimizer": recipe.optimizer.model_dump(mode="json"),
        "regularisation": recipe.regularisation.model_dump(mode="json"),
        "clip_norm": recipe.clip_norm,
        "clip_of": recipe.clip_of,
        "iterations": iterations,
        "batches": batches,
        "train_loss": splits.examples if subset == "full" else subset,
        "seed": recipe.seed,
        "device": program.device,
        "threads": program.threads,
        "recipe": recipe.plain(),
    }


def _layers(network: Network) -> list[dict[str, Any]]:
    """The layers in order, each with its kind and its settings; those with weights are numbered."""
    return [
        asdict(layer) | {"kind": _kind_of_layer(layer)} | ({"number": number} if isinstance(layer, Weighted) else {})
        for number, layer in network.numbered()
    ]


def _kind_of_layer(layer: Layer) -> str:
    """The kind of a layer, spelt as in a recipe."""
    if isinstance(layer, Pool):
        return f"{layer.kind}_pool"
    return "batch_norm" if isinstance(layer, BatchNorm) else type(layer).__name__.lower()


def _batches(cohort: Cohort, examples: int, iterations: int) -> Iterator[Batches]:
    """The batches of all iterations, in chunks that fit into memory."""
    kind = cohort.first.batches
    step = max(1, _ROWS // kind.width(examples))
    for first in range(1, iterations + 1, step):
        yield make_batches(kind, cohort.seeds, first, min(step, iterations + 1 - first), examples)


def _kind(batches: Batches | None) -> str:
    """The form of the batches: "rows", "starts" or "full"."""
    if batches is None or (batches.rows is None and batches.starts is None):
        return "full"
    return "rows" if batches.rows is not None else "starts"


def _write_batches(folder: Path, cohort: Cohort, examples: int, iterations: int, kind: str) -> None:
    width = min(cohort.first.batches.width(examples), examples)
    with (folder / "sizes.npy").open("wb") as sizes:
        _write_header(sizes, (iterations,))
        if kind == "full":
            for batches in _batches(cohort, examples, iterations):
                sizes.write(batches.sizes.tobytes())
            return
        with (folder / f"{kind}.npy").open("wb") as file:
            _write_header(file, (iterations, width) if kind == "rows" else (iterations,))
            for batches in _batches(cohort, examples, iterations):
                sizes.write(batches.sizes.tobytes())
                indices = batches.rows if kind == "rows" else batches.starts
                assert indices is not None  # by the kind
                file.write(np.ascontiguousarray(indices[0], np.int32).tobytes())


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Writes the header of a .npy file of int32 numbers, whose content follows in chunks."""
    npy.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": shape})


# --- the program's final weights --------------------------------------------------------------------------------------


def final_weights(folder: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float64]]:
    """The weights that the program saved in `final`, by name; empty if it saved none.

    Links are not followed, and sizes are checked before memory is allocated. Raises: ProgramError.
    """
    try:
        descriptor = os.open(folder / "final", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ProgramError(f"the folder 'final' cannot be read: {error.strerror}") from None
    try:
        files = sorted(os.listdir(descriptor))  # noqa: PTH208 (a descriptor, not a path)
        missing = [name for name in shapes if f"{name}.npy" not in files]
        if files and missing:
            raise ProgramError(f"final/{missing[0]}.npy is missing; expected every array of weights, or none")
        return {name: _read(descriptor, name, shape) for name, shape in shapes.items()} if files else {}
    finally:
        os.close(descriptor)


def _read(folder: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        handle = os.open(f"{name}.npy", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise ProgramError(f"final/{name}.npy cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ProgramError(f"final/{name}.npy is not a regular file")
        try:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            read_shape, fortran, dtype = read(file, max_header_size=_LONGEST_HEADER)
        except (ValueError, EOFError) as error:
            raise ProgramError(f"final/{name}.npy is not a .npy file: {error}") from None
        size = int(np.prod(shape)) * dtype.itemsize
        if read_shape != shape or dtype.kind != "f" or status.st_size - file.tell() != size:
            raise ProgramError(
                f"final/{name}.npy: got {dtype} of shape {read_shape}, {status.st_size - file.tell():,} bytes; "
                f"expected floating-point numbers of shape {shape}, {size:,} bytes"
            )
        array = np.frombuffer(file.read(size), dtype).reshape(shape, order="F" if fortran else "C")
    if not np.isfinite(array).all():
        raise ProgramError(f"final/{name}.npy holds numbers that are not finite")
    return np.ascontiguousarray(array, np.float64)
