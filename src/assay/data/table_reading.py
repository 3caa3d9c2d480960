"""One table as it is read from a CSV or Parquet file, with everything checked that it claims."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.data.foreign import HEADER_BYTES, advice_for
from assay.data.frames import is_number
from assay.errors import DataError, FileError, listed, to_install
from assay.system.files import read_limited
from assay.system.limits import TABLE_BYTES, TABLE_CELLS, TABLE_COLUMNS
from assay.system.parquet_footer import check_claims

if TYPE_CHECKING:
    import pandas

CSV, PARQUET = (".csv", ".tsv"), (".parquet", ".pq")
_SEPARATORS = ",;\t|"
_CODECS = ("uncompressed", "snappy", "gzip", "zstd")
_BATCH = 4096  # rows


@dataclass
class LoadedTable:
    """A table as it was read.

    Attributes:
        frame: Its columns.
        classes: The names of the classes that columns of numbers state, by the column.
        pictures: The column that holds the files of pictures, which is not in the frame; "" without one.
        notes: What was assumed on reading it.
    """

    frame: pandas.DataFrame
    classes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    pictures: str = ""
    notes: tuple[str, ...] = ()


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table that is read here.

    >>> is_table(Path("a.CSV.gz")), is_table(Path("a.parquet")), is_table(Path("a.npz"))
    (True, True, False)
    """
    return _kind(path) != ""


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(CSV):
        return "csv"
    return "parquet" if path.name.lower().endswith(PARQUET) else ""


def read_table(path: Path) -> LoadedTable:
    """Reads a table. Raises: DataError."""
    try:
        table = _read_csv(path) if _kind(path) == "csv" else _read_parquet(path)
    except FileError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    rows, columns = table.frame.shape
    if not rows or not (columns or table.pictures):
        raise DataError(f"{path}: a table of {rows:,} rows and {columns:,} columns; expected some of each")
    return table


# --- CSV ---


def _read_csv(path: Path) -> LoadedTable:
    import pandas

    content = _unpacked(path)
    if kind := advice_for(content[:HEADER_BYTES]):
        raise DataError(f"{path}: not a table but {kind}")
    if not content.strip():
        raise DataError(f"{path}: the file is empty; expected a header and a row for each example")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start:,} is not UTF-8; save the table as UTF-8") from None
    first = text.lstrip("\r\n").partition("\n")[0].strip("\r")
    separator = max(_SEPARATORS, key=first.count)
    try:
        header = next(csv.reader([first], delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{path}: the header cannot be read: {error}") from None
    check_size(path, rows=text.count("\n") + 1, columns=len(header))
    headless, notes = _without_header(path, header)
    if not headless and (twice := sorted({name for name in header if header.count(name) > 1})):
        raise DataError(f"{path}: two columns are named {twice[0][:40]!r}; expected a name of its own for each")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # of cells that would be left out
            frame = pandas.read_csv(
                io.StringIO(text),
                sep=separator,
                header=None if headless else "infer",
                index_col=False,
                low_memory=False,
            )
            return LoadedTable(frame, notes=notes)
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, pandas.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: not a table: {reason}; expected as many cells in each line as in the header"
        ) from None
    except (ValueError, OverflowError, TypeError) as error:
        raise DataError(f"{path}: not a table: {' '.join(str(error).split())[:200]}") from None


def _without_header(path: Path, first: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
    """Whether the first line is an example, and a note where that is assumed.

    Columns without names are saved by pandas under their numbers, which are a header that has numbers alone.
    """
    if not first or not all(map(is_number, first)):
        return False, ()
    last = len(first) - 1
    if list(first) == list(map(str, range(len(first)))):
        return False, (f"{path.name}: the first line, 0 to {last:,}, is read as the names of the columns",)
    return True, (f"{path.name}: the first line is read as an example; the columns are named 0 to {last:,}",)


def _unpacked(path: Path) -> bytes:
    content = read_limited(path, TABLE_BYTES)
    if not path.name.lower().endswith(".gz"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            content = file.read(TABLE_BYTES.most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a gzip file, or damaged: {error}") from None
    if len(content) > TABLE_BYTES.most:
        raise DataError(f"{path}: has more than {TABLE_BYTES} unpacked; give a part of it")
    return content


def check_size(path: Path, *, rows: int, columns: int) -> None:
    """Refuses a table with too many cells. Raises: DataError."""
    if columns > TABLE_COLUMNS.most:
        raise DataError(f"{path}: has {columns:,} columns; expected at most {TABLE_COLUMNS.most:,}")
    if rows * columns > TABLE_CELLS.most:
        raise DataError(f"{path}: has {rows:,} rows of {columns:,} columns; expected at most {TABLE_CELLS}")


# --- Parquet ---


def _read_parquet(path: Path) -> LoadedTable:
    try:
        import pyarrow as pa
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs pyarrow: {to_install('parquet')}") from None
    if not path.is_file() or path.stat().st_size > TABLE_BYTES.most:
        raise DataError(f"{path}: expected a file of at most {TABLE_BYTES}")
    check_claims(path, codecs=_CODECS, largest=TABLE_BYTES)
    try:
        return _parquet_table(path)
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file, or damaged: {' '.join(str(error).split())[:200]}") from None
    except DataError:
        raise
    except (OSError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a Parquet file, or damaged: {' '.join(str(error).split())[:200]}") from None


def _parquet_table(path: Path) -> LoadedTable:
    import pandas
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    check_size(path, rows=pq.read_metadata(path).num_rows, columns=len(schema.names))
    texts, pictures = list[str](), list[str]()
    for field_ in schema:
        kind = field_.type
        if pa.types.is_struct(kind) and "bytes" in [kind.field(i).name for i in range(kind.num_fields)]:
            pictures.append(field_.name)
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            texts.append(field_.name)
        elif not _is_flat(kind):
            raise DataError(
                f"{path}: column {field_.name[:80]!r} is of type {str(kind)[:80]}; expected numbers or texts"
            )
    if len(pictures) > 1:
        raise DataError(f"{path}: the columns {listed(pictures)} hold pictures; expected one")
    names = [name for name in schema.names if name not in pictures]
    batches = list(row_batches(path, _BATCH, columns=names, dictionaries=texts)) if names else []
    frame: Any = pa.Table.from_batches(batches).to_pandas() if batches else pandas.DataFrame(columns=names)
    return LoadedTable(frame, _class_names(schema.metadata), pictures[0] if pictures else "")


def row_batches(path: Path, size: int, *, columns: Sequence[str], dictionaries: Sequence[str]) -> Iterator[Any]:
    """A table in batches of rows; texts stay encoded by their dictionaries, so that one in many rows is held once."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, read_dictionary=list(dictionaries))
    yield from file.iter_batches(batch_size=size, columns=list(columns), use_threads=False)


def _is_flat(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null, pa.types.is_temporal)
    return any(test(kind) for test in tests) or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of classes that Hugging Face states for columns of numbers, by the column."""
    try:
        about: Any = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        features: Any = about["info"]["features"]
        found = {
            str(name): list(map(str, one["names"]))
            for name, one in features.items()
            if one.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: names for name, names in found.items() if len(set(names)) == len(names) > 1}
