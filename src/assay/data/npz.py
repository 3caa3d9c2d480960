"""Arrays in untrusted .npz files: no pickle is read, and no memory is taken for what a header merely claims."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.bounds import too_large
from assay.data.foreign import HEADER_BYTES, SAVE_NPZ, advice_for
from assay.data.roles import ROLES, by_role, role_of
from assay.errors import DataError
from assay.system.limits import NPZ_DIMENSIONS, NPZ_HEADER_BYTES

_MAX_HEADER_BYTES = NPZ_HEADER_BYTES.most  # the limit of version 1.0; NumPy itself stops at 10,000
_CHUNK_BYTES = 1 << 20
_UNNAMED = ("arr_0", "arr_1", "arr_2", "arr_3")
_SKLEARN_ORDER = ("x_train", "x_test", "y_train", "y_test")


def read_npz(path: str | Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Reads the named arrays of an .npz file: numbers, booleans or strings.

    The sizes in each array's header, in the zip's directory and of the file itself must agree before memory is taken.

    Raises: DataError if the file is missing or damaged, lacks a name, or holds objects that need pickle.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", x=np.arange(3))
    ...     read_npz(f"{folder}/a.npz", ["x"])["x"].tolist()
    [0, 1, 2]
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected an .npz file")
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, names, path)
            return {name: _read(archive, member, f"{path}: {name}") for name, member in members.items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise DataError(f"{path}: {_not_npz(path, error)}") from None


def npz_names(path: str | Path) -> list[str]:
    """The names of the arrays in an .npz file, in stored order. Raises: DataError."""
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected an .npz file")
        with zipfile.ZipFile(path) as archive:
            return [member.filename.removesuffix(".npy") for member in archive.infolist()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: {_not_npz(path, error)}") from None


def _not_npz(path: Path, error: Exception) -> str:
    """Why a file cannot be read as .npz."""
    with suppress(OSError), path.open("rb") as file:
        if not zipfile.is_zipfile(path) and (kind := advice_for(file.read(HEADER_BYTES))):
            return f"not an .npz file but {kind}"
    return f"not an .npz file, or damaged: {error}"


def read_npz_set(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The four arrays of a data set in an .npz file by our names, and sentences on how theirs were read.

    Keras' names are taken first, then names that mean the same, such as `X_train` or `train_images`, then the unnamed
    arrays of `np.savez(path, x_train, y_train, x_test, y_test)`, where shapes decide the order.

    Raises: DataError if the file is missing or damaged, or does not hold the four.
    """
    names = npz_names(path)
    if set(ROLES) <= set(names):
        return read_npz(path, ROLES), []
    if set(names) == set(_UNNAMED):
        return _unnamed(path, list(read_npz(path, _UNNAMED).values()))
    complete = [roles for roles in by_role(names).values() if set(ROLES) <= set(roles)]
    if len(complete) != 1:
        raise DataError(f"{path}: {_lacking(names)}")
    roles = complete[0]
    for role, alike in roles.items():
        if len(alike) > 1:
            raise DataError(f"{path}: {' and '.join(alike)} both mean {role}; expected one of them, as {role}")
    chosen = [roles[role][0] for role in ROLES]
    unused = [name for name in names if name not in chosen]
    rest = f"; {', '.join(unused[:8])} not used" if unused else ""
    note = f"the arrays {', '.join(chosen)} are read as {', '.join(ROLES)}{rest}"
    return dict(zip(ROLES, read_npz(path, chosen).values(), strict=True)), [note]


def _unnamed(path: Path, arrays: list[NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Four arrays without names in the one of the two usual orders that fits their shapes."""
    orders = [order for order in (ROLES, _SKLEARN_ORDER) if _fits(dict(zip(order, arrays, strict=True)))]
    if len(orders) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(_UNNAMED, arrays, strict=True))
        raise DataError(f"{path}: holds {shapes}; which is which is unclear: {SAVE_NPZ}")
    return dict(zip(orders[0], arrays, strict=True)), [f"the unnamed arrays are read as {', '.join(orders[0])}"]


def _fits(arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether arrays can be examples and labels: counts agree, examples are alike, and labels hold fewer values."""
    if not all(array.ndim for array in arrays.values()):
        return False
    examples, labels = (arrays["x_train"], arrays["x_test"]), (arrays["y_train"], arrays["y_test"])
    return (
        [len(x) for x in examples] == [len(y) for y in labels]
        and examples[0].shape[1:] == examples[1].shape[1:]
        and labels[0].shape[1:] == labels[1].shape[1:]
        and math.prod(examples[0].shape[1:]) > math.prod(labels[0].shape[1:])
    )


def _lacking(names: Sequence[str]) -> str:
    """What an archive of these names lacks to be a data set."""
    held = ", ".join(sorted(names)[:20]) or "nothing"
    meanings = {meaning[1] for name in names if (meaning := role_of(name))}
    missing = ", ".join(role for role in ROLES if role not in meanings)
    if len(names) == 1:
        return (
            f"holds the single array {held}; expected {', '.join(ROLES)}: {SAVE_NPZ}, or give the folder of four files"
        )
    if not meanings & {"x_test", "y_test"}:
        cure = f"it has no test set: split its examples, and {SAVE_NPZ}"
    else:
        cure = SAVE_NPZ
    return f"lacks {missing or 'one complete set'}; expected {', '.join(ROLES)}; holds {held}: {cure}"


def _members(archive: zipfile.ZipFile, names: Sequence[str], path: Path) -> dict[str, zipfile.ZipInfo]:
    in_archive = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if missing := [name for name in names if name not in in_archive]:
        held = ", ".join(sorted(in_archive)[:20]) or "nothing"
        raise DataError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(names)}; holds {held}")
    members = {name: in_archive[name] for name in names}
    size = path.stat().st_size
    compressed = sum(member.compress_size for member in members.values())
    if compressed > size:
        raise DataError(f"{path}: claims {compressed:,} bytes of compressed arrays in a file of {size:,} bytes")
    return members


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> NDArray[Any]:
    claimed, compressed = member.file_size, member.compress_size
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: compressed by method {member.compress_type}; expected stored (0) or deflated (8)")
    is_stored = member.compress_type == zipfile.ZIP_STORED
    if is_stored and claimed > compressed:
        raise DataError(f"{where}: claims {claimed:,} bytes, but holds {compressed:,}")
    if problem := too_large(claimed, None if is_stored else compressed):
        raise DataError(f"{where}: {problem}")
    with archive.open(member) as file:
        content = bytearray(file.read(min(claimed, _MAX_HEADER_BYTES)))
        dtype, shape, fortran, start = _header(bytes(content), where)
        expected = start + math.prod(shape) * dtype.itemsize
        if expected != claimed:
            raise DataError(f"{where}: holds {claimed:,} bytes; its header {shape} of {dtype} promises {expected:,}")
        while chunk := file.read(_CHUNK_BYTES):
            content += chunk
    if len(content) != claimed:
        raise DataError(f"{where}: truncated: got {len(content):,} bytes; expected {claimed:,}")
    array: NDArray[Any] = np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(content: bytes, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Element type, shape, whether the array is in Fortran order, and the offset of its elements."""
    file = io.BytesIO(content)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers of Python 2, invalid escapes in damaged ones
            shape, fortran, dtype = readers[version](file)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as error:
        sentence = str(error).partition("\n")[0]
        raise DataError(f"{where}: not an array that NumPy wrote without pickle: {sentence}") from None
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        hint = ": save np.stack(list(x)) for pictures, y.astype(str) for labels" if dtype.kind == "O" else ""
        raise DataError(f"{where}: elements of type {dtype}; expected numbers or strings (pickle is never read){hint}")
    if len(shape) > NPZ_DIMENSIONS.most or any(size < 0 for size in shape):
        raise DataError(f"{where}: got the shape {shape}; expected up to 8 dimensions, none negative")
    if math.prod(filter(None, shape)) * dtype.itemsize > np.iinfo(np.intp).max:
        raise DataError(f"{where}: got the shape {shape}; expected an array that fits into memory")
    return dtype, shape, fortran, file.tell()
