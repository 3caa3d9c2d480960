"""The footer of a Parquet file is read before pyarrow sees it, which ends the process at some damaged ones."""

from __future__ import annotations

import random
from pathlib import Path

import pandas
import pyarrow.parquet as pq
import pytest

from assay.errors import FileError
from assay.store.parquet import trial_rows
from assay.system.limits import PARQUET_FOOTER_BYTES
from assay.system.parquet_footer import columns


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    frame = pandas.DataFrame({"number": range(1000), "text": ["a" * 90] * 1000, "gap": [None, 0.5] * 500})
    frame.to_parquet(path, row_group_size=300)
    return path


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "none"])
def test_columns_are_those_that_pyarrow_describes(codec: str, table: Path) -> None:
    pandas.read_parquet(table).to_parquet(table, row_group_size=300, compression=None if codec == "none" else codec)
    about = pq.read_metadata(table)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    described = [group.column(number) for group in groups for number in range(group.num_columns)]
    expected = [(column.compression.lower(), column.total_uncompressed_size) for column in described]
    assert list(columns(table)) == expected
    assert len(expected) == 12
    if codec in ("gzip", "zstd"):
        with pytest.raises(FileError, match=f"compressed by {codec}; expected snappy or uncompressed"):
            next(trial_rows(table))


def test_a_damaged_footer_is_refused_or_read_and_never_ends_the_process(table: Path) -> None:
    content, draw = bytearray(table.read_bytes()), random.Random(1)
    size = int.from_bytes(content[-8:-4], "little")
    ends = {"read": 0, "refused": 0}
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 3))):
            changed[len(content) - 8 - draw.randrange(1, size + 1)] = draw.randrange(256)
        table.write_bytes(changed)
        try:
            list(columns(table))
            ends["read"] += 1
        except FileError as error:
            assert "its footer is damaged" in str(error)
            ends["refused"] += 1
    assert min(ends.values()) > 20


def test_claims_of_a_footer_are_held_against_its_bytes(table: Path) -> None:
    content = table.read_bytes()
    for size, sentence in ((len(content), "its end is missing"), (2**31, "its end is missing"), (0, "is damaged")):
        table.write_bytes(content[:-8] + size.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(FileError, match=sentence):
            list(columns(table))
    with table.open("wb") as file:
        file.truncate(PARQUET_FOOTER_BYTES.most + 100)
        file.seek(0, 2)
        file.write((PARQUET_FOOTER_BYTES.most + 1).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(FileError, match="claims a footer of 8,388,609 bytes; expected at most 8 MiB"):
        list(columns(table))
    table.write_bytes(b"\x49" + b"\x9c" * 40 + b"\x00" * 9 + (41).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(FileError, match="its footer is damaged"):
        list(columns(table))
