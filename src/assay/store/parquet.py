"""The Parquet files of an export: written a portion at a time, and read back with checks.

A file is untrusted: its types, its compression and its sizes are checked as it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from assay.errors import FileError, StoreError
from assay.system.files import write_atomically
from assay.system.limits import EXPORT_CONTENT_BYTES, EXPORT_ROWS, EXPORT_TABLE_BYTES
from assay.system.parquet_footer import check_claims

T = TypeVar("T")
_CODECS = ("snappy", "uncompressed")  # what pandas writes; others turn a few bytes into very many
_BATCH = 256  # rows


class TableWriter:
    """A table that is made a portion at a time, so that only its compressed bytes are held.

    Args:
        kinds: The type of each column by its name: int, float, bool or str, or None where every cell is missing. Any
            cell may be missing.
    """

    def __init__(self, kinds: Mapping[str, type | None]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {None: pa.null(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
        self._schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(self._sink, self._schema)

    def add(self, columns: Mapping[str, Any]) -> None:
        """Adds rows, from arrays or sequences of one length. Raises: StoreError for a cell that is not of its type."""
        import pyarrow as pa

        arrays: list[Any] = []
        for field in self._schema:
            cells = columns[field.name]
            try:
                if not isinstance(cells, pa.Array):
                    cells = pa.array(cells, None if hasattr(cells, "dtype") else field.type, from_pandas=True)
                arrays.append(cells.cast(field.type))
            except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError) as error:
                reason = f"{field.name}: {str(error).splitlines()[0][:200]}"
                raise StoreError(f"cannot be exported: {reason}; `assay store check` lists what is damaged") from None
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def write(self, path: Path) -> None:
        """Writes the file. Raises: FileError."""
        self._writer.close()
        write_atomically(path, memoryview(self._sink.getvalue()))


def repeated(words: Sequence[str], counts: Any) -> Any:
    """A column of texts that holds each word so many times."""
    import numpy as np
    import pyarrow as pa

    places = pa.array(np.repeat(np.arange(len(words)), counts))
    return pa.DictionaryArray.from_arrays(places, pa.array(words, pa.string())).cast(pa.string())


def trial_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table of numbers, texts and truth values, read a batch at a time. Raises: FileError, ValueError.

    Texts stay encoded by their dictionaries until a row is made, so that one long text in many rows is held once.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file() or path.stat().st_size > EXPORT_TABLE_BYTES.most:
        raise FileError(f"{path}: expected a file of at most {EXPORT_TABLE_BYTES}")
    try:
        about = pq.read_metadata(path)
        _check(path, about, pq.read_schema(path))
        names = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
        size = 0
        for batch in pq.ParquetFile(path, read_dictionary=names).iter_batches(batch_size=_BATCH, use_threads=False):
            for cells in zip(*map(_cells, batch.columns), strict=True):
                row = dict(zip(batch.schema.names, cells, strict=True))
                size += sum(len(cell) for cell in row.values() if isinstance(cell, str))
                if size > EXPORT_CONTENT_BYTES.most:
                    raise FileError(f"{path}: its texts have more than {EXPORT_CONTENT_BYTES}")
                yield row
    except pa.ArrowException as error:
        raise FileError(f"{path}: not a Parquet file, or damaged: {str(error)[:200]}") from None


def batched(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Some rows at a time."""
    remaining = iter(rows)
    while some := list(islice(remaining, size)):
        yield some


def rows_of(path: Path) -> int:
    """The number of rows that a table claims to have."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _cells(column: Any) -> list[Any]:
    """The cells of a column; equal texts of a dictionary are one object."""
    if not hasattr(column, "dictionary"):
        return column.to_pylist()
    texts = column.dictionary.to_pylist()
    return [None if index is None else texts[index] for index in column.indices.to_pylist()]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _check(path: Path, about: Any, schema: Any) -> None:
    """Checks what the footer claims. Raises: FileError."""
    import pyarrow as pa

    if about.num_rows > EXPORT_ROWS.most:
        raise FileError(f"{path}: claims {about.num_rows:,} rows; expected at most {EXPORT_ROWS.most:,}")
    flat = (_is_text, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    for field in schema:
        if not any(test(field.type) for test in flat):
            raise FileError(f"{path}: column {field.name[:80]!r} is of type {field.type}; expected numbers or texts")
    check_claims(path, codecs=_CODECS, largest=EXPORT_CONTENT_BYTES)
