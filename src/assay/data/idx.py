"""The IDX format of the MNIST files, read and written, gzip or plain.

A file is two zero bytes, a byte for the element type, a byte for the number of dimensions, the dimensions as big-endian
32-bit numbers, and the elements, big-endian, the last dimension fastest. Source: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from assay.data.bounds import too_large
from assay.data.foreign import HEADER_BYTES, advice_for
from assay.errors import DataError
from assay.system.files import write_atomically
from assay.system.limits import IDX_DIMENSIONS

TYPES = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}

_MAX_DIMENSIONS = IDX_DIMENSIONS.most
_CHUNK_BYTES = 1 << 20  # read at a time, so that memory grows with what a file holds and not with what it claims


def read_idx(path: str | Path) -> NDArray[Any]:
    """Reads the array in an IDX file, in the machine's byte order; gzip is detected by content, not by name.

    Raises: DataError if the file is missing, is not IDX, is damaged, or its size does not match its header.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(f"{folder}/labels.gz", np.array([5, 0, 4], np.uint8))
    ...     read_idx(f"{folder}/labels.gz").tolist()
    [5, 0, 4]
    """
    path = Path(path)
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file; expected an IDX file")
        if not path.is_file():
            raise DataError(f"{path}: not a file; expected an IDX file")
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not compressed:
                return _read(file, path, size=os.fstat(file.fileno()).st_size)
            with gzip.open(file) as unpacked:
                return _read(unpacked, path, compressed=os.fstat(file.fileno()).st_size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip: {error}; expected a whole IDX file inside it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read(
    file: BinaryIO | gzip.GzipFile, path: Path, *, size: int | None = None, compressed: int | None = None
) -> NDArray[Any]:
    """The array in an open file; `size`: the file's size in bytes if it is plain, `compressed`: if it is not."""
    dtype, shape = _read_header(file, path)
    claimed = math.prod(shape) * dtype.itemsize
    claim = f"the header promises {claimed:,} bytes for {_sizes(shape)} of {dtype.newbyteorder('=').name}"
    header = 4 + 4 * len(shape)
    if size is not None and size - header != claimed:
        raise DataError(f"{path}: {_mismatch(size - header, claimed)}: got {size - header:,} bytes of data; {claim}")
    # without the zeros: an array such as (0, 2**32 - 1, ...) is empty, and still too big for NumPy
    if math.prod(filter(None, shape)) * dtype.itemsize > np.iinfo(np.intp).max:
        raise DataError(f"{path}: absurd dimensions {_sizes(shape)}; expected an array that fits into memory")
    if problem := too_large(claimed, compressed):
        raise DataError(f"{path}: {_sizes(shape)} of {dtype.newbyteorder('=').name} {problem}")
    content = bytearray()
    while len(content) <= claimed and (chunk := file.read(min(_CHUNK_BYTES, claimed + 1 - len(content)))):
        content += chunk
    if len(content) != claimed:
        got = f"{len(content):,} bytes" if len(content) < claimed else "more bytes"
        raise DataError(f"{path}: {_mismatch(len(content), claimed)}: got {got} of data; {claim}")
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: BinaryIO | gzip.GzipFile, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4:
        raise DataError(f"{path}: truncated header: got {len(magic)} bytes; expected at least 4")
    if magic[:2] != b"\0\0":
        if kind := advice_for(magic + file.read(HEADER_BYTES - len(magic))):
            raise DataError(f"{path}: not an IDX file but {kind}")
        if magic[2:] == b"\0\0" and magic[1] in TYPES:
            raise DataError(f"{path}: an IDX file in little-endian byte order; expected big-endian numbers")
        raise DataError(
            f"{path}: not an IDX file: starts with the bytes {magic.hex(' ')}; expected 00 00 TYPE DIMENSIONS"
        )
    code, dimensions = magic[2:]
    if code not in TYPES:
        known = ", ".join(f"0x{key:02x} ({dtype.name})" for key, dtype in TYPES.items())
        raise DataError(f"{path}: unknown element type 0x{code:02x}; expected one of {known}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataError(f"{path}: got {dimensions} dimensions; expected 1 to {_MAX_DIMENSIONS}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path}: truncated header: got {4 + len(sizes)} bytes; expected {4 + 4 * dimensions}")
    return TYPES[code], tuple(np.frombuffer(sizes, ">u4").tolist())


def _mismatch(got: int, claimed: int) -> str:
    return "truncated data" if got < claimed else "trailing bytes"


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)


def write_idx(path: str | Path, array: NDArray[Any]) -> None:
    """Writes an array of 1 to 4 dimensions as an IDX file, compressed where the name ends in .gz.

    The write is atomic: a crash leaves the old file or the new one. Equal arrays make equal files.

    Raises: DataError if IDX cannot hold the array, FileError if the file cannot be written.
    """
    path = Path(path)
    codes = {dtype.newbyteorder("="): code for code, dtype in TYPES.items()}
    code = codes.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(dtype.name for dtype in TYPES.values())
        raise DataError(f"{path}: IDX cannot hold elements of type {array.dtype}; expected one of {known}")
    if not 1 <= array.ndim <= _MAX_DIMENSIONS or max(array.shape) >= 2**32:
        raise DataError(
            f"{path}: IDX cannot hold an array of shape {array.shape}; "
            f"expected 1 to {_MAX_DIMENSIONS} dimensions below 2**32"
        )
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(TYPES[code], copy=False).tobytes()
    write_atomically(path, gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)
