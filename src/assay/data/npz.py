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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import DataError

_MAX_HEADER_BYTES = 1 << 16  # the limit of version 1.0; NumPy itself stops at 10,000
_MAX_DEFLATE_RATIO = 1032  # deflate cannot compress further (zlib's technical notes): a larger claim is false
_CHUNK_BYTES = 1 << 20


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
        raise DataError(f"{path}: not an .npz file, or damaged: {error}") from None


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
    limits = {zipfile.ZIP_STORED: compressed, zipfile.ZIP_DEFLATED: _MAX_DEFLATE_RATIO * compressed}
    limit = limits.get(member.compress_type)
    if limit is None:
        raise DataError(f"{where}: compressed by method {member.compress_type}; expected stored (0) or deflated (8)")
    if claimed > limit:
        raise DataError(
            f"{where}: claims {claimed:,} bytes, but {compressed:,} compressed bytes hold at most {limit:,}"
        )
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
        raise DataError(f"{where}: elements of type {dtype}; expected numbers or strings (pickle is never read)")
    if len(shape) > 8 or any(size < 0 for size in shape):
        raise DataError(f"{where}: got the shape {shape}; expected up to 8 dimensions, none negative")
    if math.prod(filter(None, shape)) * dtype.itemsize > np.iinfo(np.intp).max:
        raise DataError(f"{where}: got the shape {shape}; expected an array that fits into memory")
    return dtype, shape, fortran, file.tell()
