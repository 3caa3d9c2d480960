"""The rows of an exported Parquet file, which is untrusted: types, compression and sizes are checked as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.errors import FileError
from assay.system.limits import EXPORT_CONTENT_BYTES, EXPORT_ROWS, EXPORT_TABLE_BYTES

_CODECS = ("SNAPPY", "UNCOMPRESSED")  # what pandas writes; others turn a few bytes into very many
_BATCH = 256  # rows


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
    total = 0
    for group in range(about.num_row_groups):
        for number in range(about.row_group(group).num_columns):
            column = about.row_group(group).column(number)
            total += column.total_uncompressed_size
            if column.compression not in _CODECS:
                raise FileError(f"{path}: compressed by {column.compression}; expected {' or '.join(_CODECS)}")
    if total > EXPORT_CONTENT_BYTES.most:
        raise FileError(f"{path}: claims {total:,} bytes; expected at most {EXPORT_CONTENT_BYTES}")
